"""What the rules of the machine stand on: how a call is made and refused, and what is checked after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from psqlmodel.errors import PSQLModelError, StaleObjectError
from psqlmodel.model.state import UNSET as NOT_LOADED

from .driving import Driving, peek
from .models import KINDS, SEEN
from .reference import DOOMED, NEW, STORED, UNSET, Record, World

T = TypeVar("T")


class Refused(Exception):
    """The session refused to flush, as the reference does; both are rolled back."""


class OnPurpose(Exception):
    """Raised in a savepoint's block, to leave it."""


class Ground(RuleBasedStateMachine):
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
        self.by_key: set[tuple[str, str]] = set()  # links whose keys were written by hand, and not flushed yet
        self.lost: list[Any] = []  # objects that a rollback made transient again

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
            must, may = self.world.linked_to(record, key)
            moving = {label for label, link in self.by_key if link == record.kind.lists[key][1]}
            self.check_list(record, key, must - moving, may | moving)
        if record.kind_name in ("Person", "Skill"):
            self.check_list(
                record, "skills" if record.kind_name == "Person" else "people", *self.world.partners(record)
            )

    def check_link(self, record: Record, link: str, target: Record | None) -> None:
        shown, key = peek(record.obj, link), peek(record.obj, f"{link}_id")
        if shown is not NOT_LOADED:
            assert label(shown) == (target and target.label), f"{record}.{link}"
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
            assert label(shown) in (must or may | {None}), f"{record}.{key}"
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
        return {r.label: said(r.obj) for r in self.world.records.values() if r.obj is not None}

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
        obj = KINDS[kind].cls(label=label, **copied(given), **direct)
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
            self.by_key.clear()
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
        self.by_key.clear()
        for record in [r for r in made if r.obj is not None]:
            assert record.obj._state.status == "transient", f"{record} is {record.obj._state.status}"
            if "id" in record.kind.cls.__mapper__.attributes:
                assert record.obj.__dict__.get("id") is None, f"{record} keeps its key"
        self.lost += [record.obj for record in made if record.obj is not None]
        for record in self.world.records.values():
            if record.obj is None:
                continue
            now = said(record.obj)
            for key, value in seen.get(record.label, {}).items():
                assert now.get(key, value) == value, f"{record}.{key} after rollback"

    def teardown(self) -> None:
        try:
            for block in reversed(self.nested):
                self.driving.leave(block, OnPurpose())
            self.wait(self.session.rollback())
        finally:
            self.wait(self.session.close())


def said(obj: Any) -> dict[str, Any]:
    mapper = type(obj).__mapper__
    said = {key: copied(peek(obj, key)) for key in mapper.attributes if peek(obj, key) is not NOT_LOADED}
    for key, relation in mapper.relations.items():
        value = relation.loaded(obj)
        if value is not NOT_LOADED:
            # Sorted: a list that a query brought anew is in the order of the keys, whatever it was before.
            said[key] = sorted(item.label for item in value) if isinstance(value, list) else label(value)
    return said


def related(obj: Any) -> list[Any]:
    found = []
    for relation in type(obj).__mapper__.relations.values():
        value = relation.loaded(obj)
        if value is not NOT_LOADED and value is not None:
            found += value if isinstance(value, list) else [value]
    return found


def label(obj: Any) -> str | None:
    return None if obj is None else obj.label


def copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value
