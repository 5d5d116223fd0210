"""What a program may do with a session, as rules; what must hold, as checks after every one of them.

Each rule does the same thing twice: to the objects of the session, and to the records of the reference. It reads as
what the session promises. Checked after every rule: loaded attributes and relations say what the records say, both
sides of a relation agree. After each commit: the tables are the twin's. After each rollback: the objects are what they
were. At each flush: it fails exactly where row-by-row SQL with deferred constraints fails, and it sends few statements.
"""

from __future__ import annotations

import functools
import gc
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from psqlmodel import Select
from psqlmodel.errors import PSQLModelError, StaleObjectError
from psqlmodel.model.state import UNSET as NOT_LOADED

from .driving import Driving, peek
from .models import KINDS, SEEN
from .reference import DOOMED, NEW, STORED, UNSET, Record, World

T = TypeVar("T")

which = st.integers(0, 5)  # one of the objects of a class
some = st.lists(st.integers(0, 5), max_size=3)
emails = st.sampled_from([None, "a@x", "b@x", "c@x"])
small = st.integers(0, 3)


class Refused(Exception):
    """The session refused to flush, as the reference does; both are rolled back."""


class OnPurpose(Exception):
    """Raised in a savepoint's block, to leave it."""


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


class SessionMachine(RuleBasedStateMachine):
    """One session, the program's objects, and the reference."""

    def __init__(self, driving: Driving, plain: Any, twin: Any) -> None:
        super().__init__()
        self.driving = driving
        self.plain = plain  # a connection beside the session, to look at the tables
        self.world = World(twin)
        self.session = driving.session()
        self.nested: list[Any] = []  # open blocks of begin_nested
        self.seen: list[dict[str, dict[str, Any]]] = []  # what the objects said when each block, or all, began
        self.numbers: Counter[str] = Counter()
        self.lost: list[Any] = []  # objects that a rollback made transient again

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
        given = None if passport is None else self.pick("Passport", passport)
        if holder is None or (given is not None and given.links["holder"] is holder):
            return
        former = self.read(holder, "passport")
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
        if any(id(other) not in known for obj in self.lost for other in _related(obj)):
            return  # it hangs on something that is gone
        self.session.add(first)
        back = [obj for obj in self.lost if obj in self.session]
        self.lost = [obj for obj in self.lost if obj not in self.session]
        for obj in back:
            kind = type(obj).__name__
            values = {column: _copied(obj.__dict__.get(column, UNSET)) for column in KINDS[kind].columns}
            self.world.records[obj.label] = Record(kind, obj.label, obj, values, {})
        for obj in back:
            record = self.world.records[obj.label]
            shown = {link: _label(obj.__dict__.get(link)) for link in record.kind.links}
            record.links = {link: self.world.records[label] if label else None for link, label in shown.items()}
            for key, at in (("skills", 0), ("people", 1)):
                for other in obj.__dict__.get(key, ()) if key in type(obj).__mapper__.relations else ():
                    self.world.pairs.add((obj.label, other.label) if at == 0 else (other.label, obj.label))

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

    # --- checks ---------------------------------------------------------------------------------------------------

    @invariant()
    def objects_say_what_the_records_say(self) -> None:
        for record in self.world.records.values():
            if record.obj is not None:
                self.check_object(record)

    def check_object(self, record: Record) -> None:
        obj = record.obj
        status = {NEW: "pending", STORED: "persistent", DOOMED: "deleted"}[record.state]
        assert obj._state.status == status, f"{record} is {obj._state.status}, not {status}"
        assert obj in self.session
        for column, value in record.values.items():
            if value is not UNSET:
                assert peek(obj, column) == value, f"{record}.{column}"
        for link, target in record.links.items():
            self.check_link(record, link, target)
        for key in record.kind.lists:
            self.check_list(record, key, *self.world.linked_to(record, key))
        if record.kind_name in ("Person", "Skill"):
            self.check_list(
                record, "skills" if record.kind_name == "Person" else "people", *self.world.partners(record)
            )

    def check_link(self, record: Record, link: str, target: Record | None) -> None:
        shown, key = peek(record.obj, link), peek(record.obj, f"{link}_id")
        if shown is not NOT_LOADED:
            assert _label(shown) == (target and target.label), f"{record}.{link}"
            assert target is None or target.obj is None or shown is target.obj
        if target is None:
            assert key is None or key is NOT_LOADED, f"{record}.{link}_id"
        elif target.key is not None:
            assert key == target.key or record.state == NEW, f"{record}.{link}_id"

    def check_list(self, record: Record, key: str, must: set[str], may: set[str]) -> None:
        shown = peek(record.obj, key)
        if shown is NOT_LOADED:
            shown = record.obj.__dict__.get(f"_raw_{key}", NOT_LOADED)
        if shown is NOT_LOADED:
            return
        if key in record.kind.single:
            assert _label(shown) in (must or may | {None}), f"{record}.{key}"
            return
        labels = [item.label for item in shown]
        assert len(set(labels)) == len(labels), f"{record}.{key} has one twice"
        assert must <= set(labels) <= may, f"{record}.{key} is {labels}, must {must}, may {may}"

    def compare_tables(self) -> None:
        rows, pairs = self.world.rows()
        with self.plain.cursor() as cursor:
            for name, kind in KINDS.items():
                cursor.execute(SEEN[name])
                columns = [*kind.columns, *kind.links]
                wrote = {row[0]: dict(zip(columns, row[1:], strict=True)) for row in cursor.fetchall()}
                assert wrote == {
                    label: row for label, row in rows.items() if row.keys() == set(columns) and label.startswith(name)
                }
            cursor.execute("SELECT p.label, s.skill_id FROM people_skills s JOIN people p ON p.id = s.person_id")
            assert set(cursor.fetchall()) == pairs

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """What all objects say, as far as it is loaded."""
        return {r.label: _said(r.obj) for r in self.world.records.values() if r.obj is not None}

    def remember(self) -> None:
        self.seen = [self.snapshot()]

    # --- helpers --------------------------------------------------------------------------------------------------

    def wait(self, given: Any) -> Any:
        return self.driving.wait(given)

    def pick(self, kind: str, index: int) -> Record | None:
        """One of the living records of a class; None where there is none, or the index is below 0."""
        there = [r for r in self.world.records.values() if r.kind_name == kind and r.alive]
        return there[index % len(there)] if there and index >= 0 else None

    def pick_some(self, kind: str, indexes: list[int]) -> list[Record]:
        picked = [self.pick(kind, index) for index in indexes]
        return list(dict.fromkeys(r for r in picked if r is not None))

    def obj(self, record: Record | None) -> Any:
        """The object of a record, fetched where the program has let it go."""
        if record is not None and record.obj is None:
            record.obj = self.act(lambda: self.wait(self.session.get(record.kind.cls, record.key)))
            assert record.obj is not None
            assert record.obj.label == record.label
        return record and record.obj

    def read(self, record: Record, key: str) -> Any:
        """A relation's value, loaded where need be, with its objects in the records."""
        obj = self.obj(record)
        value = self.act(lambda: self.driving.read(self.session, obj, key))
        for item in value if isinstance(value, list) else [value] if value is not None else []:
            known = self.world.records[item.label]
            assert known.obj is None or known.obj is item
            known.obj = item
        return value

    def create(
        self, kind: str, values: dict[str, Any], links: dict[str, Record | None], through: str | None = None
    ) -> Record:
        """Make an object: with its links and `add`, or by the list (or one-to-one) behind the link `through`."""
        self.numbers[kind] += 1
        label = f"{kind}{self.numbers[kind]}"
        given = {k: v for k, v in values.items() if v is not UNSET}
        parent = links.get(through) if through else None
        list_key = ""
        if parent is not None:
            list_key = next(k for k, known in parent.kind.lists.items() if known == (kind, through))
            _ = self.read(parent, list_key)
        direct = {
            link: self.obj(to) for link, to in links.items() if to is not None and (parent is None or link != through)
        }
        obj = KINDS[kind].cls(label=label, **_copied(given), **direct)
        record = Record(kind, label, obj, values, links)
        if parent is None:
            self.session.add(obj)
        elif list_key in parent.kind.single:
            setattr(parent.obj, list_key, obj)
        else:
            getattr(parent.obj, list_key).append(obj)
        self.world.records[label] = record
        return record

    def act(self, call: Callable[[], T], *, ending: bool = False) -> T:
        """Let the session work; where that flushes, the reference flushes too, and they agree about the outcome."""
        bound, before = self.bound(), len(self.driving.sent)
        try:
            result = call()
        except PSQLModelError as error:
            self.refused(error, ending)
            raise Refused from error
        written = [event.text for event in self.driving.sent[before:] if event.purpose == "flush"]
        if written or not self.session._workspace.unit.has_changes:
            assert len(written) <= bound, f"{len(written)} statements, at most {bound} are needed:\n" + "\n".join(
                written
            )
            unexpected = self.world.flush()
            assert unexpected is None, f"written, and plain SQL refuses: {unexpected}"
            self.take_keys()
        return result

    def refused(self, error: PSQLModelError, ending: bool) -> None:
        """The reference refuses too; both go back to where the innermost block began."""
        assert not isinstance(error, StaleObjectError)
        expected = self.world.flush()
        assert expected is not None, f"refused, and plain SQL is not: {error!r}"
        if ending:
            self.nested.pop()
            self.nested_rolled_back()
        elif self.nested:
            self.driving.leave(self.nested.pop(), error)
            self.nested_rolled_back()
        else:
            self.wait(self.session.rollback())
            self.rolled_back()

    def bound(self) -> int:
        """How many statements a flush may take: one per table, operation and set of columns, and the links."""
        inserts, updates, deletes = set(), set(), set()
        for record in self.world.records.values():
            if record.state == NEW:
                linked = tuple(link for link, to in record.links.items() if to is not None)
                inserts.add(
                    (
                        record.kind_name,
                        linked,
                        tuple(v is UNSET for v in record.values.values()),
                        record.label if linked else "",
                    )
                )
            elif record.state == DOOMED:
                deletes.add(record.kind_name)
            elif changed := self.world.changed(record):
                updates.add((record.kind_name, *changed))
        late = {"Team", "Person", "Folder"} if inserts else set()
        unlinked = len({"Person", "Skill"} & deletes)
        return len(inserts) + len(updates) + len(deletes) + len(late) + unlinked + 2

    def take_keys(self) -> None:
        for record in self.world.records.values():
            if record.obj is not None:
                record.key = record.obj.__dict__[record.kind.cls.__mapper__.primary_key[0].key]

    def rolled_back(self) -> None:
        """After the end of the whole transaction: all blocks are over, the objects are what they were."""
        seen = self.seen[0]
        self.nested.clear()
        del self.seen[1:]
        self.check_restored(self.world.rollback(), seen)

    def nested_rolled_back(self) -> None:
        self.check_restored(self.world.rollback_nested(), self.seen.pop())

    def check_restored(self, made: list[Record], seen: dict[str, dict[str, Any]]) -> None:
        for record in [r for r in made if r.obj is not None]:
            assert record.obj._state.status == "transient", f"{record} is {record.obj._state.status}"
            if "id" in record.kind.cls.__mapper__.attributes:
                assert record.obj.__dict__.get("id") is None, f"{record} keeps its key"
        self.lost += [record.obj for record in made if record.obj is not None]
        for record in self.world.records.values():
            if record.obj is None:
                continue
            now = _said(record.obj)
            for key, value in seen.get(record.label, {}).items():
                assert now.get(key, value) == value, f"{record}.{key} after rollback"

    def teardown(self) -> None:
        try:
            for block in reversed(self.nested):
                self.driving.leave(block, OnPurpose())
            self.wait(self.session.rollback())
        finally:
            self.wait(self.session.close())


def _said(obj: Any) -> dict[str, Any]:
    mapper = type(obj).__mapper__
    said = {key: _copied(peek(obj, key)) for key in mapper.attributes if peek(obj, key) is not NOT_LOADED}
    for key, relation in mapper.relations.items():
        value = relation.loaded(obj)
        if value is not NOT_LOADED:
            # Sorted: a list that a query brought anew is in the order of the keys, whatever it was before.
            said[key] = sorted(item.label for item in value) if isinstance(value, list) else _label(value)
    return said


def _related(obj: Any) -> list[Any]:
    found = []
    for relation in type(obj).__mapper__.relations.values():
        value = relation.loaded(obj)
        if value is not NOT_LOADED and value is not None:
            found += value if isinstance(value, list) else [value]
    return found


def _label(obj: Any) -> str | None:
    return None if obj is None else obj.label


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
