"""Flushes of many kinds of rows at once: new, changed and deleted ones of several tables, links, versions, bad values.

Each rule is a list of things that the program does and one end: a flush, a commit that may be the whole transaction, a
savepoint, a query that flushes. A flush is small (one statement, where it can be) or about as large as small ones may
be, so that both ways of writing get the same programs. It fails exactly where plain SQL, row by row, fails, for one of
the same reasons; then all objects are what they were. Checked after every rule: objects say what the records say,
server defaults and computed columns included. After each commit: the tables are the twin's, and versions are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from psqlmodel import Count, DatabaseError, PSQLModelError, Select, StaleObjectError
from psqlmodel.core.unitofwork.parts import MOST_ROWS
from psqlmodel.model.state import UNSET as NOT_LOADED

from .driving import Driving, peek
from .ground import OnPurpose, Refused, label, said
from .mixture_models import KINDS
from .mixture_twin import STALE, Record, Twin
from .reference import DOOMED, NEW, STORED, UNSET

STATUS = {NEW: "pending", STORED: "persistent", DOOMED: "deleted"}
LINKED = [(name, link) for name, kind in KINDS.items() for link in kind.links]
BAD = [name for name, kind in KINDS.items() if kind.bad]

kinds = st.sampled_from(sorted(KINDS))
which = st.integers(0, 7)
many = st.sampled_from([1, 1, 1, 2, 3, 7])
plain_kinds = st.sampled_from(["Depot", "Crate", "Item", "Tag", "Slot"])  # what one statement may write


def writing(kinds: Any) -> Any:
    """New and changed objects."""
    return st.one_of(
        st.tuples(st.just("make"), kinds, many, st.integers(0, 15), which),
        st.tuples(st.just("set_values"), kinds, many, st.integers(0, 15), which),
        st.tuples(st.just("point"), st.sampled_from(LINKED), which, st.none() | which),
    )


anything = st.one_of(
    writing(kinds),
    writing(kinds),
    st.tuples(st.just("tag"), which, st.sets(which, max_size=3)),
    st.tuples(st.just("delete"), kinds, which),
    st.tuples(st.just("delete_some"), kinds, st.sampled_from([2, 3, 1000])),
    st.tuples(st.just("change_mind"), kinds, which),
    st.tuples(st.just("again"), which),
)
full = st.sampled_from([0] * 15 + [MOST_ROWS - 1, MOST_ROWS, MOST_ROWS + 1])
spoiled = st.sampled_from([None] * 9 + BAD)
ends = st.sampled_from(["flush", "commit", "commit", "commit", "query", "nothing", "nothing"])


class Mixtures(RuleBasedStateMachine):
    """One session, the program's objects, and the reference."""

    def __init__(self, driving: Driving, plain: Any, twin: Any) -> None:
        super().__init__()
        self.driving = driving
        self.plain = plain  # a connection beside the session, which commits at once
        self.twin = Twin(twin)
        self.session = driving.session()
        self.nested: list[Any] = []  # open blocks of begin_nested
        self.seen: list[dict[str, dict[str, Any]]] = [{}]  # what the objects said when each block, or all, began
        self.numbers: Counter[str] = Counter()
        self.lost: list[Record] = []  # what a rollback made transient again
        self.worked = False  # whether something was flushed since the transaction began

    # --- rules ----------------------------------------------------------------------------------------------------

    @initialize()
    def a_few_of_each(self) -> None:
        for name in KINDS:
            self.make(name, 2, 0, 0)
        self.finish("commit")

    @rule(
        things=st.lists(anything, min_size=1, max_size=8), fill=full, of=kinds, spoiled=spoiled, index=which, end=ends
    )
    def do(self, things: list[tuple[Any, ...]], fill: int, of: str, spoiled: str | None, index: int, end: str) -> None:
        """Any mixture, and then one end of it."""
        try:
            for name, *drawn in things:
                getattr(self, name)(*drawn)
            if fill > len(self.twin.pending()):
                self.make(of, fill - len(self.twin.pending()), fill, 1)
            if spoiled is not None:
                self.spoil(spoiled, index)
            self.finish(end)
        except Refused:
            pass

    @rule(things=st.lists(writing(plain_kinds), min_size=1, max_size=8), fill=full, of=plain_kinds, end=ends)
    def write(self, things: list[tuple[Any, ...]], fill: int, of: str, end: str) -> None:
        """What one statement can write, if nothing else is pending."""
        self.do(things, fill, of, None, 0, end)

    @rule(things=st.lists(writing(plain_kinds), min_size=1, max_size=8), fill=full, of=plain_kinds)
    def write_alone(self, things: list[tuple[Any, ...]], fill: int, of: str) -> None:
        """A commit that is the whole transaction."""
        if not self.nested:
            self.do([], 0, of, None, 0, "commit")
            self.do(things, fill, of, None, 0, "commit")

    @rule(kind=kinds, count=st.sampled_from([1, 3, 1000]))
    def delete_alone(self, kind: str, count: int) -> None:
        """So may be the deletion of objects of one class."""
        if not self.nested:
            self.do([], 0, kind, None, 0, "commit")
            self.do([("delete_some", kind, count)], 0, kind, None, 0, "commit")

    @precondition(lambda self: len(self.nested) < 2)
    @rule()
    def begin_nested(self) -> None:
        block = self.session.begin_nested()
        try:
            self.act(lambda: self.driving.enter(block))
        except Refused:
            return
        self.nested.append(block)
        self.twin.begin_nested()
        self.seen.append(self.snapshot())

    @precondition(lambda self: self.nested)
    @rule(fails=st.booleans())
    def end_nested(self, fails: bool) -> None:
        """A block that ends writes what is pending; one that fails is taken back, rows and objects."""
        if fails:
            self.leave_nested(OnPurpose())
            return
        try:
            self.act(lambda: self.wait(self.session.flush()))
        except Refused:
            return
        self.driving.leave(self.nested.pop())
        self.twin.release_nested()
        _ = self.seen.pop()

    @rule()
    def rollback(self) -> None:
        self.wait(self.session.rollback())
        self.rolled_back()

    @precondition(lambda self: not self.worked and not self.nested)
    @rule(kind=kinds, index=which, note=st.integers(10, 12), gone=st.booleans())
    def someone_is_faster(self, kind: str, index: int, note: int, gone: bool) -> None:
        """A row changes, or goes, beside the session, which holds no lock yet."""
        record = pick([r for r in self.twin.of(kind, STORED, DOOMED) if r.stored], index)
        if record is None:
            return
        table = record.kind.table
        column, value = "note", f"{record}, {note}"
        if kind in ("Depot", "Tag"):
            column, value = ("size", str(note % 3 + 4)) if kind == "Depot" else ("name", value)
        bump = {"Depot": ", version = version + 1", "Crate": ", version = clock_timestamp()"}.get(kind, "")
        referred = any(record in r.links.values() for r in self.twin.records.values()) or kind == "Tag"
        changed = f"SET {column} = '{value}'"
        for schema, moved in (("public", bump), ("twin", ", version = version + 1")):
            text = f"UPDATE {schema}.{table} {changed}{moved} WHERE label = %s"
            if gone and not referred:
                text = f"DELETE FROM {schema}.{table} WHERE label = %s"
            with self.plain.cursor() as cursor:
                cursor.execute(text, [record.label])

    # --- what a program does --------------------------------------------------------------------------------------

    def make(self, kind: str, count: int, columns: int, parent: int) -> None:
        """New objects: which columns they set, and where their parents are, differs from one to the next."""
        made = []
        for n in range(count):
            links = self.links_for(kind, parent + n, bare=bool(columns & 8))
            if links is None:
                return
            values = {
                column: choices[(parent + n) % len(choices)]
                for bit, (column, choices) in enumerate(KINDS[kind].values.items())
                if (columns + n // 3) >> bit & 1 and not (count > 20 and column in ("code", "name"))
            }
            made.append(self.new(kind, values, links))
        if len(made) == 1:
            self.session.add(made[0].obj)
        else:
            self.session.add_all([record.obj for record in made])

    def links_for(self, kind: str, index: int, *, bare: bool) -> dict[str, Record | None] | None:
        """The parents of a new object, new or stored; None where it can't have those that it needs."""
        links = {}
        for link, target in KINDS[kind].links.items():
            needed = link in KINDS[kind].needed
            parent = None if bare and not needed else pick(self.twin.of(target, NEW, STORED), index)
            if parent is None and needed:
                return None
            links[link] = parent
        return links

    def new(self, kind: str, values: dict[str, Any], links: dict[str, Record | None]) -> Record:
        self.numbers[kind] += 1
        label, own = f"{kind}{self.numbers[kind]}", dict(values)
        if kind == "Slot":
            own["number"] = self.numbers[kind]
        parents = {link: to.obj for link, to in links.items() if to is not None}
        obj = KINDS[kind].cls(label=label, **own, **parents)
        if kind == "Alarm":
            values = {"level": 2, **values}  # a default of the program's side
        record = self.twin.records[label] = Record(kind, label, obj, values, links)
        return record

    def set_values(self, kind: str, count: int, columns: int, value: int) -> None:
        for n, record in enumerate(self.twin.of(kind, NEW, STORED)[-count:]):
            for bit, (column, choices) in enumerate(record.kind.values.items()):
                if columns >> bit & 1 or len(record.kind.values) == 1:
                    self.set(record, column, choices[(value + n) % len(choices)])

    def set(self, record: Record, column: str, value: Any) -> None:
        setattr(record.obj, column, value)
        record.values[column] = value

    def spoil(self, kind: str, index: int) -> None:
        """A value that a constraint or a trigger refuses."""
        record, bad = pick(self.twin.of(kind, NEW, STORED), index), KINDS[kind].bad
        if record is not None and bad is not None:
            self.set(record, *bad)

    def point(self, where: tuple[str, str], index: int, target: int | None) -> None:
        """`item.crate = crate`, be it one that is new."""
        kind, link = where
        record = pick(self.twin.of(kind, NEW, STORED), index)
        to = None if target is None else pick(self.twin.of(KINDS[kind].links[link], NEW, STORED), target)
        if record is None or (to is None and link in KINDS[kind].needed):
            return
        setattr(record.obj, link, to and to.obj)
        record.links[link] = to

    def tag(self, index: int, tags: set[int]) -> None:
        record, there = pick(self.twin.of("Item", NEW, STORED), index), self.twin.of("Tag", NEW, STORED)
        if record is None:
            return
        self.act(lambda: self.driving.read(self.session, record.obj, "tags"))
        if record.label in self.twin.records and there:
            wanted = list(dict.fromkeys(there[n % len(there)] for n in tags))
            record.obj.tags = [tag.obj for tag in wanted if tag.label in self.twin.records]
            record.tags = {tag.label for tag in wanted if tag.label in self.twin.records}

    def delete(self, kind: str, index: int) -> None:
        record = pick(self.twin.of(kind, NEW, STORED), index)
        if record is not None and self.may_go(record):
            self.session.delete(record.obj)
            self.doom(record)

    def delete_some(self, kind: str, count: int) -> None:
        """New, clean and changed ones, in one call."""
        records = [r for r in self.twin.of(kind, NEW, STORED)[-count:] if self.may_go(r)]
        self.session.delete_all([record.obj for record in records])
        for record in records:
            self.doom(record)

    def may_go(self, record: Record) -> bool:
        """A new object that others refer to is no row that could go."""
        return record.state == STORED or not self.twin.is_needed(record)

    def doom(self, record: Record) -> None:
        if record.state == NEW:
            del self.twin.records[record.label]
        record.state = DOOMED

    def change_mind(self, kind: str, index: int) -> None:
        """`add` takes back a deletion that was not flushed."""
        record = pick(self.twin.of(kind, DOOMED), index)
        if record is not None:
            self.session.add(record.obj)
            record.state = STORED

    def again(self, index: int) -> None:
        """What a rollback made transient is added again, where all that it refers to is there."""
        record = pick(self.lost, index)
        if record is None or any(to and self.twin.records.get(to.label) is not to for to in record.links.values()):
            return
        if any(tag not in self.twin.records for tag in record.tags):
            return
        self.lost.remove(record)
        self.session.add(record.obj)
        self.twin.records[record.label] = record

    # --- how it ends ----------------------------------------------------------------------------------------------

    def finish(self, end: str) -> None:
        if end == "commit" and not self.nested:
            self.act(lambda: self.wait(self.session.commit()))
            self.twin.commit()
            self.begin()
            assert not (found := self.twin.differences()), "\n".join(found)
            self.versions_are_known()
        elif end == "query":  # flushes what it could see
            query = Select(Count()).From(KINDS["Item"].cls)
            self.act(lambda: self.wait(self.session.exec_scalar(query)))
        elif end != "nothing":
            self.act(lambda: self.wait(self.session.flush()))

    def act(self, call: Callable[[], Any]) -> None:
        """Let the session work; where that flushes, the reference flushes too, and they agree about the outcome."""
        before, bound = len(self.driving.sent), self.bound()
        try:
            call()
        except (PSQLModelError, DatabaseError) as error:
            self.refused(error)
            raise Refused from error
        written = [event.text for event in self.driving.sent[before:] if event.purpose == "flush"]
        if written or not self.session._workspace.unit.has_changes:
            assert len(written) <= bound, f"{len(written)} statements, at most {bound} are needed:\n" + "\n".join(
                written
            )
            reasons = self.twin.flush()
            assert not reasons, f"written, and plain SQL refuses: {reasons}"
            self.worked = self.worked or bool(written)

    def refused(self, error: PSQLModelError) -> None:
        """The reference refuses too; both go back to where the innermost block began."""
        reasons = self.twin.flush()
        reason = STALE if isinstance(error, StaleObjectError) else getattr(error, "sqlstate", None)
        assert reason in reasons, f"{error!r}, not {reasons or 'nothing'}"
        lost = list(error.objects) if isinstance(error, StaleObjectError) else []
        if any(self.kind_of(obj).versioned for obj in lost):
            assert {obj.label for obj in lost} <= reasons[STALE], f"{error}, but {reasons}"
        if self.nested:
            self.leave_nested(error)
        else:
            self.wait(self.session.rollback())
            self.rolled_back()
        for name in reasons.get(STALE, ()):
            self.refresh(name)

    def kind_of(self, obj: Any) -> Any:
        return KINDS[type(obj).__name__]

    def refresh(self, name: str) -> None:
        """Load what lost, as a program does before it tries again; a row that is gone is let go."""
        record = self.twin.records.get(name)
        if record is None:
            return
        kind = record.kind
        found = self.twin.sql(
            f"SELECT {', '.join([*kind.columns, 'version'])} FROM twin.{kind.table} WHERE label = %s", [name]
        )
        try:
            self.wait(self.session.refresh(record.obj))
        except StaleObjectError:
            assert not found, f"{record} has a row"
            self.session.expunge(record.obj)
            self.forget(record)
            return
        assert found, f"{record} has no row"
        record.stored = dict(zip([*kind.columns, "version"], found[0], strict=True))
        record.values = {column: record.stored[column] for column in record.values}
        self.learned(record)

    def forget(self, record: Record) -> None:
        del self.twin.records[record.label]
        self.twin.forget(record)
        for seen in self.seen:
            _ = seen.pop(record.label, None)

    def learned(self, record: Record) -> None:
        """What was read is what a rollback leaves."""
        self.twin.learned(record)
        for seen in self.seen:
            if record.label in seen:
                seen[record.label] = said(record.obj)

    def leave_nested(self, error: BaseException) -> None:
        self.driving.leave(self.nested.pop(), error)
        self.check_restored(self.twin.rollback_nested(), self.seen.pop())

    def rolled_back(self) -> None:
        """After the end of the whole transaction: all blocks are over, the objects are what they were."""
        seen = self.seen[0]
        self.nested.clear()
        del self.seen[1:]
        self.check_restored(self.twin.rollback(), seen)
        self.worked = False

    def begin(self) -> None:
        self.worked = False
        self.seen = [self.snapshot()]

    def bound(self) -> int:
        """How many statements a flush may take: one per table, operation and set of columns, and a few for the rest."""
        groups, pending = set(), self.twin.pending()
        for record in pending:
            links = tuple(link for link, to in record.links.items() if to is not None)
            if record.state == NEW:
                groups.add((record.kind_name, tuple(record.row), links))
            elif record.state == STORED:
                groups.add((record.kind_name, *record.changed))
            else:
                groups.add((record.kind_name,))
        reread = 2 * sum(record.kind_name == "Parcel" for record in pending)
        return len(groups) + min(reread, 2 * len(groups)) + 8

    # --- checks ---------------------------------------------------------------------------------------------------

    @invariant()
    def objects_say_what_the_records_say(self) -> None:
        for record in self.twin.records.values():
            self.check(record)

    def check(self, record: Record) -> None:
        obj = record.obj
        assert obj._state.status == STATUS[record.state], f"{record} is {obj._state.status}, not {record.state}"
        for column, value in record.values.items():
            if value is not UNSET:
                assert peek(obj, column) == value, f"{record}.{column} is {peek(obj, column)!r}, not {value!r}"
        for link, to in record.links.items():
            shown, key = peek(obj, link), peek(obj, f"{link}_id")
            if shown is not NOT_LOADED:
                assert label(shown) == (to and to.label), f"{record}.{link}"
            if record.state == STORED and to is not None and to.state == STORED and not record.changed:
                assert key == to.obj.id, f"{record}.{link}_id"
            elif to is None:
                assert key in (None, NOT_LOADED), f"{record}.{link}_id"
        if record.kind_name == "Item" and peek(obj, "tags") is not NOT_LOADED and record.state != DOOMED:
            shown = {tag.label for tag in peek(obj, "tags")}
            may = {tag for tag in record.tags if self.twin.records[tag].state != DOOMED}
            assert may <= shown <= record.tags, f"{record}.tags"

    def versions_are_known(self) -> None:
        for name, version in (("Depot", "version"), ("Crate", "version")):
            there = dict(self.twin.sql(f"SELECT label, {version} FROM public.{KINDS[name].table}"))
            mine = dict(self.twin.sql(f"SELECT label, version FROM twin.{KINDS[name].table}"))
            for record in self.twin.of(name, STORED):
                if mine.get(record.label) == record.stored["version"]:  # nobody else has changed it
                    assert record.obj.version == there[record.label], f"{record}.version"

    def check_restored(self, made: list[Record], seen: dict[str, dict[str, Any]]) -> None:
        for record in made:
            assert record.obj._state.status == "transient", f"{record} is {record.obj._state.status}"
            if record.kind_name not in ("Slot", "Alarm"):
                assert record.obj.__dict__.get("id") is None, f"{record} keeps its key"
        for record in self.twin.records.values():
            now = said(record.obj)
            for key, value in seen.get(record.label, {}).items():
                if not (key == "xmin" and value is None):  # ON DELETE moved it; what was read since stays true
                    assert now.get(key, value) == value, f"{record}.{key} after rollback"
        self.lost = [*self.lost, *self.as_made(made)][-20:]

    def as_made(self, made: list[Record]) -> list[Record]:
        """Records of what is transient again: they say what the objects say now."""
        for record in made:
            record.state, record.stored, record.stored_tags = NEW, {}, set()
            values = record.obj.__dict__
            record.values = {column: values.get(column, UNSET) for column in record.values}
        return made

    def snapshot(self) -> dict[str, dict[str, Any]]:
        return {record.label: said(record.obj) for record in self.twin.records.values()}

    def wait(self, given: Any) -> Any:
        return self.driving.wait(given)

    def teardown(self) -> None:
        try:
            for block in reversed(self.nested):
                self.driving.leave(block, OnPurpose())
            self.wait(self.session.rollback())
        finally:
            self.wait(self.session.close())


def pick(there: list[Record], index: int) -> Record | None:
    return there[index % len(there)] if there else None
