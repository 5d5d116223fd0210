"""What a program may do with a session, as rules; what must hold, as checks after every one of them.

Each rule does the same thing twice: to the objects of the session, and to the records of the reference. It reads as
what the session promises. Checked after every rule: loaded attributes and relations say what the records say, both
sides of a relation agree. After each commit: the tables are the twin's. After each rollback: the objects are what they
were. At each flush: it fails exactly where row-by-row SQL with deferred constraints fails, and it sends few statements.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from psqlmodel import Select

from .ground import Ground, OnPurpose, Refused, copied, label, related
from .models import KINDS
from .reference import DOOMED, NEW, STORED, UNSET, Record

T = TypeVar("T")

which = st.integers(0, 5)  # one of the objects of a class
some = st.lists(st.integers(0, 5), max_size=3)
emails = st.sampled_from([None, "a@x", "b@x", "c@x"])
small = st.integers(0, 3)


def step(**strategies: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule that is over when the session refuses to flush."""

    def decorate(function: Callable[..., None]) -> Any:
        @functools.wraps(function)
        def until_refused(self: SessionMachine, **drawn: Any) -> None:
            try:
                function(self, **drawn)
            except Refused:
                pass

        return rule(**strategies)(until_refused)

    return decorate


class SessionMachine(Ground):
    """The rules: what a program may do."""

    @initialize()
    def a_small_world(self) -> None:
        self.new_team(leader=0, marks=[1])
        for n in range(3):
            self.new_person(team=0, mentor=n - 1, email=None, by_list=False)
        self.new_skill(people=[0, 1])
        self.new_folder(parent=0)
        self.new_task(owner=0, folder=0, by_list=False)
        self.new_passport(holder=0, by_holder=False)
        self.commit()

    # --- new objects ----------------------------------------------------------------------------------------------

    @step(leader=which, marks=st.none() | st.lists(small, max_size=2))
    def new_team(self, leader: int, marks: list[int] | None) -> None:
        leader_record = self.pick("Person", leader)
        values = {"settings": {"size": 1, "deep": {"list": [1]}}, "marks": marks}
        self.create("Team", values, {"leader": leader_record})

    @step(team=which, mentor=which, email=emails, by_list=st.booleans())
    def new_person(self, team: int, mentor: int, email: str | None, by_list: bool) -> None:
        links = {"team": self.pick("Team", team), "mentor": self.pick("Person", mentor)}
        self.create("Person", {"email": email, "rank": UNSET}, links, "team" if by_list else None)

    @step(holder=which, by_holder=st.booleans())
    def new_passport(self, holder: int, by_holder: bool) -> None:
        person = self.pick("Person", holder)
        if person is None or any(self.world.linked_to(person, "passport")):
            return  # two passports are another rule's
        self.create("Passport", {}, {"holder": person}, "holder" if by_holder else None)

    @step(parent=which)
    def new_folder(self, parent: int) -> None:
        self.create("Folder", {}, {"parent": self.pick("Folder", parent)})

    @step(owner=which, folder=which, by_list=st.booleans())
    def new_task(self, owner: int, folder: int, by_list: bool) -> None:
        person = self.pick("Person", owner)
        if person is not None:
            _ = by_list and self.read(person, "tasks")  # may flush: folders may go
            links = {"owner": person, "folder": self.pick("Folder", folder)}
            self.create("Task", {}, links, "owner" if by_list else None)

    @step(people=some)
    def new_skill(self, people: list[int]) -> None:
        record = self.create("Skill", {"level": 1}, {})
        for person in self.pick_some("Person", people):
            self.read(person, "skills").append(record.obj)
            self.world.pairs.add((person.label, record.label))

    # --- values ---------------------------------------------------------------------------------------------------

    @step(person=which, email=emails)
    def set_email(self, person: int, email: str | None) -> None:
        record = self.pick("Person", person)
        if record is not None:
            self.obj(record).email = record.values["email"] = email

    @step(person=which, rank=small)
    def set_rank(self, person: int, rank: int) -> None:
        record = self.pick("Person", person)
        if record is not None:
            self.obj(record).rank = record.values["rank"] = rank

    @step(skill=which, level=small)
    def set_level(self, skill: int, level: int) -> None:
        record = self.pick("Skill", skill)
        if record is not None:
            self.obj(record).level = record.values["level"] = level

    @step(team=which, key=st.sampled_from(["size", "color"]), value=small)
    def edit_settings_in_place(self, team: int, key: str, value: int) -> None:
        record = self.pick("Team", team)
        if record is not None:
            for settings in (self.obj(record).settings, record.values["settings"]):
                settings[key] = value
                settings["deep"]["list"].append(value)

    @step(team=which, value=small)
    def edit_marks_in_place(self, team: int, value: int) -> None:
        record = self.pick("Team", team)
        if record is None:
            return
        obj = self.obj(record)
        if obj.marks is None:
            obj.marks, record.values["marks"] = [value], [value]
        else:
            obj.marks.append(value)
            record.values["marks"].append(value)

    # --- relations ------------------------------------------------------------------------------------------------

    LINKS = sorted((name, link) for name, kind in KINDS.items() for link in kind.links)
    LISTS = sorted((name, key) for name, kind in KINDS.items() for key in kind.lists if key not in kind.single)

    @step(link=st.sampled_from(LINKS), child=which, parent=st.none() | which)
    def point(self, link: tuple[str, str], child: int, parent: int | None) -> None:
        """`task.owner = person`: the foreign key follows, and the lists of both owners."""
        kind, name = link
        record = self.pick(kind, child)
        target = None if parent is None else self.pick(KINDS[kind].links[name], parent)
        if name == "holder" and target is not None and any(self.world.linked_to(target, "passport")):
            return  # one passport takes another's place in `give_passport`
        if record is not None:
            setattr(self.obj(record), name, self.obj(target))
            record.links[name] = target

    @step(link=st.sampled_from(LINKS), child=which, parent=st.none() | which, looked=st.booleans())
    def point_by_key(self, link: tuple[str, str], child: int, parent: int | None, looked: bool) -> None:
        """`task.owner_id = 5`: the relation follows at once, lists at the flush, also those that were `looked` at."""
        kind, name = link
        record = self.pick(kind, child)
        target = None if parent is None else self.pick(KINDS[kind].links[name], parent)
        if record is None or record.state == NEW or (target is not None and target.key is None):
            return
        if name == "holder" and target is not None and any(self.world.linked_to(target, "passport")):
            return
        owners = [owner for owner in (record.links[name], target) if looked and owner is not None and owner.alive]
        for owner in owners:
            _ = self.read(owner, next(key for key, known in owner.kind.lists.items() if known == link))
        obj = self.obj(record)
        if not {record.label, target.label if target else record.label} <= self.world.records.keys():
            return  # reading flushed, and a deletion took them along
        setattr(obj, f"{name}_id", target and target.key)
        record.links[name] = target
        self.by_key.add((record.label, name))
        if looked:
            self.act(lambda: self.wait(self.session.flush()))

    @step(where=st.sampled_from(LISTS), owner=which, items=some, at=st.sampled_from(["append", "insert", "extend"]))
    def add_to_list(self, where: tuple[str, str], owner: int, items: list[int], at: str) -> None:
        """`person.tasks.append(task)`: the task leaves its former owner."""
        record, (kind, link) = self.pick(where[0], owner), KINDS[where[0]].lists[where[1]]
        if record is None:
            return
        related = self.read(record, where[1])
        for item in self.pick_some(kind, items):
            if self.obj(item) not in related:
                _ = {
                    "append": related.append,
                    "insert": lambda x: related.insert(0, x),
                    "extend": lambda x: related.extend([x]),
                }[at](item.obj)
                item.links[link] = record

    @step(where=st.sampled_from(LISTS), owner=which, items=some)
    def replace_list(self, where: tuple[str, str], owner: int, items: list[int]) -> None:
        """`person.tasks = [...]`: who is not in it any more belongs to nobody; a column that forbids that says so."""
        record, (kind, link) = self.pick(where[0], owner), KINDS[where[0]].lists[where[1]]
        if record is None:
            return
        related = self.read(record, where[1])
        wanted = self.pick_some(kind, items)
        objects = [self.obj(item) for item in wanted]
        for former in [self.world.records[item.label] for item in related]:
            if former not in wanted and former.links[link] is record:
                former.links[link] = None
        setattr(self.obj(record), where[1], objects)
        for item in wanted:
            item.links[link] = record

    @step(
        where=st.sampled_from(LISTS), owner=which, index=small, how=st.sampled_from(["remove", "pop", "del", "clear"])
    )
    def take_from_list(self, where: tuple[str, str], owner: int, index: int, how: str) -> None:
        record, (_, link) = self.pick(where[0], owner), KINDS[where[0]].lists[where[1]]
        if record is None:
            return
        related = self.read(record, where[1])
        if not related:
            return
        index %= len(related)
        gone = [self.world.records[item.label] for item in (related if how == "clear" else [related[index]])]
        if how == "remove":
            related.remove(related[index])
        elif how == "pop":
            related.pop(index)
        elif how == "del":
            del related[index]
        else:
            related.clear()
        for item in gone:
            if item.links[link] is record:
                item.links[link] = None

    @step(person=which, passport=st.none() | which)
    def give_passport(self, person: int, passport: int | None) -> None:
        """`person.passport = passport`: who had it has none; the one that is replaced has no holder."""
        holder = self.pick("Person", person)
        former = holder and self.read(holder, "passport")  # may flush: passports may go
        given = None if passport is None else self.pick("Passport", passport)
        if holder is None or (given is not None and given.links["holder"] is holder):
            return
        self.obj(holder).passport = self.obj(given)
        if former is not None:
            self.world.records[former.label].links["holder"] = None
        if given is not None:
            given.links["holder"] = holder

    @step(person=which, skills=some, from_person=st.booleans(), replace=st.booleans())
    def learn(self, person: int, skills: list[int], from_person: bool, replace: bool) -> None:
        """Many-to-many, from either side: rows of the link table come and go, each once."""
        learner = self.pick("Person", person)
        if learner is None:
            return
        wanted = self.pick_some("Skill", skills)
        if from_person and replace:
            _ = self.read(learner, "skills")
            self.obj(learner).skills = [self.obj(skill) for skill in wanted]
            self.world.pairs = {pair for pair in self.world.pairs if pair[0] != learner.label}
        elif from_person:
            known = self.read(learner, "skills")
            known.extend([self.obj(skill) for skill in wanted if self.obj(skill) not in known])
        else:
            for skill in wanted:
                people = self.read(skill, "people")
                if self.obj(learner) not in people:
                    people.append(self.obj(learner))
        self.world.pairs |= {(learner.label, skill.label) for skill in wanted}

    @step(person=which, index=small, from_person=st.booleans())
    def unlearn(self, person: int, index: int, from_person: bool) -> None:
        learner = self.pick("Person", person)
        if learner is None:
            return
        known = self.read(learner, "skills")
        if not known:
            return
        skill = self.world.records[known[index % len(known)].label]
        if from_person:
            known.remove(self.obj(skill))
        elif skill.alive:
            self.read(skill, "people").remove(self.obj(learner))
        else:
            return
        self.world.pairs.discard((learner.label, skill.label))

    # --- deletion -------------------------------------------------------------------------------------------------

    @step(kind=st.sampled_from(sorted(KINDS)), index=which)
    def delete(self, kind: str, index: int) -> None:
        """The database's ON DELETE decides what becomes of others, at the flush."""
        record = self.pick(kind, index)
        if record is None:
            return
        if record.state == NEW:
            if not self.world.referred_to(record):
                self.session.delete(self.obj(record))
                del self.world.records[record.label]
            return
        self.session.delete(self.obj(record))
        record.state = DOOMED

    @step(kind=st.sampled_from(sorted(KINDS)), index=which)
    def change_of_mind(self, kind: str, index: int) -> None:
        """`add` takes back a deletion that was not flushed."""
        doomed = [r for r in self.world.records.values() if r.kind_name == kind and r.state == DOOMED]
        if doomed:
            record = doomed[index % len(doomed)]
            self.session.add(record.obj)
            record.state = STORED

    # --- reading --------------------------------------------------------------------------------------------------

    @step(
        where=st.sampled_from([*LISTS, ("Person", "passport"), ("Person", "skills"), ("Skill", "people"), *LINKS]),
        index=which,
    )
    def look(self, where: tuple[str, str], index: int) -> None:
        """Reading a relation loads it; the checks see that it says what it should."""
        record = self.pick(where[0], index)
        if record is not None:
            _ = self.read(record, where[1])

    @step(kind=st.sampled_from(sorted(KINDS)))
    def query(self, kind: str) -> None:
        """A query sees what is pending, and brings the objects that the session has."""
        found = self.act(lambda: list(self.wait(self.wait(self.session.exec(Select(KINDS[kind].cls))).all())))
        self.act(lambda: self.wait(self.session.flush()))
        assert {obj.label for obj in found} == {r.label for r in self.world.records.values() if r.kind_name == kind}
        for obj in found:
            record = self.world.records[obj.label]
            assert record.obj is None or record.obj is obj
            record.obj = obj

    @step()
    def query_everything(self) -> None:
        cls = KINDS["Person"].cls
        query = Select(cls).Include(cls.team, cls.mentor, cls.pupils, cls.leads, cls.passport, cls.tasks, cls.skills)
        found = self.act(lambda: list(self.wait(self.wait(self.session.exec(query)).all())))
        for obj in found:
            record = self.world.records[obj.label]
            assert record.obj is None or record.obj is obj
            record.obj = obj

    @step(kind=st.sampled_from(sorted(KINDS)), index=which)
    def get(self, kind: str, index: int) -> None:
        record = self.pick(kind, index)
        if record is not None and record.key is not None:
            found = self.act(lambda: self.wait(self.session.get(record.kind.cls, record.key)))
            assert found is self.obj(record)

    @step(kind=st.sampled_from(sorted(KINDS)), index=which)
    def refresh(self, kind: str, index: int) -> None:
        """Refreshing an object without changes changes nothing."""
        record = self.pick(kind, index)
        if record is not None and record.state == STORED:
            self.act(lambda: self.wait(self.session.flush()))
            if record.label in self.world.records:
                self.act(lambda: self.wait(self.session.refresh(self.obj(record))))

    @step(kind=st.sampled_from(sorted(KINDS)), index=which, rank=small)
    def discard_changes(self, kind: str, index: int, rank: int) -> None:
        """Refreshing an object discards what was changed in it."""
        record = self.pick(kind, index)
        if record is None or self.world.dirty:
            return
        obj = self.obj(record)
        targets = {link: self.obj(self.pick(target, rank)) for link, target in record.kind.links.items()}
        if kind == "Person":
            obj.rank = rank
        for link, target in targets.items():
            if link != "holder":
                setattr(obj, link, target)
        self.wait(self.session.refresh(obj))

    @step(kind=st.sampled_from(sorted(KINDS)))
    def query_without_flush(self, kind: str) -> None:
        """With autoflush off a query shows what is in the database; changes of its objects are kept."""
        with self.session.no_autoflush():
            found = list(self.wait(self.wait(self.session.exec(Select(KINDS[kind].cls))).all()))
        assert {obj.label for obj in found} == self.world.stored(kind)
        for obj in found:
            record = self.world.records[obj.label]
            assert record.obj is None or record.obj is obj
            record.obj = obj

    @precondition(lambda self: not self.world.dirty)
    @step()
    def let_go(self) -> None:
        """The identity map is weak: what the program drops may go, and comes back by its key."""
        for record in self.world.records.values():
            if record.key is not None:
                record.obj = None
        gc.collect()

    # --- transactions ---------------------------------------------------------------------------------------------

    @step()
    def flush(self) -> None:
        self.act(lambda: self.wait(self.session.flush()))

    @precondition(lambda self: not self.nested)
    @step()
    def commit(self) -> None:
        self.act(lambda: self.wait(self.session.commit()))
        self.world.commit()
        self.compare_tables()
        self.remember()

    @precondition(lambda self: not self.nested)
    @step()
    def rollback(self) -> None:
        self.wait(self.session.rollback())
        self.rolled_back()

    @precondition(lambda self: len(self.nested) < 3)
    @step()
    def begin_nested(self) -> None:
        block = self.session.begin_nested()
        self.act(lambda: self.driving.enter(block))
        self.nested.append(block)
        self.world.begin_nested()
        self.seen.append(self.snapshot())

    @precondition(lambda self: self.nested)
    @step()
    def end_nested(self) -> None:
        block = self.nested[-1]
        self.act(lambda: self.driving.leave(block), ending=True)
        self.nested.pop()
        self.seen.pop()
        self.world.release_nested()

    @precondition(lambda self: self.nested)
    @step()
    def fail_nested(self) -> None:
        """An error in the block takes back the block, rows and objects, and nothing else."""
        self.driving.leave(self.nested.pop(), OnPurpose())
        self.nested_rolled_back()

    @precondition(lambda self: self.lost)
    @step(index=which)
    def try_again(self, index: int) -> None:
        """What a rollback made transient can be added again, with all that hangs on it."""
        first = self.lost[index % len(self.lost)]
        known = {id(obj) for obj in self.lost} | {id(r.obj) for r in self.world.records.values() if r.alive}
        if any(id(other) not in known for obj in self.lost for other in related(obj)):
            return  # it hangs on something that is gone
        if any(
            f"{link}_id" in obj.__dict__ and link not in obj.__dict__ for obj in self.lost for link in links_of(obj)
        ):
            return  # so it may, by a key that was written by hand
        if any(self.has_passport(obj.__dict__.get("holder")) for obj in self.lost if "holder" in links_of(obj)):
            return  # two passports are another rule's
        self.session.add(first)
        back = [obj for obj in self.lost if obj in self.session]
        self.lost = [obj for obj in self.lost if obj not in self.session]
        for obj in back:
            kind = type(obj).__name__
            values = {column: copied(obj.__dict__.get(column, UNSET)) for column in KINDS[kind].columns}
            self.world.records[obj.label] = Record(kind, obj.label, obj, values, {})
        for obj in back:
            record = self.world.records[obj.label]
            shown = {link: label(obj.__dict__.get(link)) for link in record.kind.links}
            record.links = {link: self.world.records[label] if label else None for link, label in shown.items()}
            for key, at in (("skills", 0), ("people", 1)):
                for other in obj.__dict__.get(key, ()) if key in type(obj).__mapper__.relations else ():
                    self.world.pairs.add((obj.label, other.label) if at == 0 else (other.label, obj.label))

    def has_passport(self, holder: Any) -> bool:
        record = None if holder is None else self.world.records.get(holder.label)
        return record is not None and any(self.world.linked_to(record, "passport"))

    @precondition(lambda self: not self.nested)
    @step(person=which, rank=small, team=st.none() | which, let_go=st.booleans())
    def next_session(self, person: int, rank: int, team: int | None, let_go: bool) -> None:
        """Objects outlive their session; what changes meanwhile is written by the next one that they are added to."""
        self.act(lambda: self.wait(self.session.commit()))
        self.world.commit()
        self.remember()
        self.wait(self.session.close())
        self.session = self.driving.session()
        self.lost.clear()
        if let_go:
            for record in self.world.records.values():
                record.obj = None
            return
        record, target = self.pick("Person", person), None if team is None else self.pick("Team", team)
        if record is not None and record.obj is not None and (target is None or target.obj is not None):
            record.obj.rank = record.values["rank"] = rank
            record.obj.team = target and target.obj
            record.links["team"] = target
        self.session.add_all([record.obj for record in self.world.records.values() if record.obj is not None])


def links_of(obj: Any) -> Iterable[str]:
    return KINDS[type(obj).__name__].links
