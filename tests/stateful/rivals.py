"""Two sessions at once over the same rows, and someone who writes plain SQL beside them.

Each rule is something that one of them does. Both have transactions of their own, which overlap in any way, under READ
COMMITTED, REPEATABLE READ or SERIALIZABLE; a lock that the other one holds is waited for briefly, and never got.
Checked after every rule: the objects of both say what they should. At each flush: it is refused exactly where plain SQL
is, for one of the same reasons (SERIALIZABLE may refuse more), and the losers that it names have lost. After each
commit and rollback: the tables are the twin's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg2.errors
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from psqlmodel import IntegrityError, LockNotAvailable, PSQLModelError, Select, SerializationFailure, StaleObjectError
from psqlmodel.model.state import UNSET as NOT_LOADED

from .driving import Driving, peek
from .ground import OnPurpose, Refused
from .reference import DOOMED, NEW, STORED
from .rival_models import RIVALS
from .side import GONE, PATIENCE, TAKEN, Row, Seen, Side

REASONS = {
    "stale": StaleObjectError,
    "lock": LockNotAvailable,
    "conflict": SerializationFailure,
    "integrity": IntegrityError,
}
STATUS = {NEW: "pending", STORED: "persistent", DOOMED: "deleted", GONE: "deleted", TAKEN: "deleted"}
VERSIONED = tuple(rival.cls for rival in RIVALS.values() if rival.versioned)
LABELS = ("a", "b", "c")

who = st.integers(0, 1)
kinds = st.sampled_from(sorted(RIVALS))
labels = st.sampled_from(LABELS)
which = st.integers(0, 2)
faster = st.integers(4, 6)  # amounts that none of the two parties writes
values = st.fixed_dictionaries(
    {"amount": st.integers(0, 3)},
    optional={"note": st.sampled_from([None, "x", "y"]), "vault_label": st.sampled_from([None, *LABELS])},
)


class Party:
    """One session, its twin, and its open savepoints."""

    def __init__(self, driving: Driving, twin: Any, isolation: str | None) -> None:
        self.driving = driving
        self.session = driving.session(lock_timeout=PATIENCE, isolation=isolation)
        # What SERIALIZABLE reads and writes is what REPEATABLE READ does, and it may refuse more: see `may_conflict`.
        self.may_conflict = isolation == "SERIALIZABLE"
        self.side = Side(twin, "REPEATABLE READ" if self.may_conflict else isolation)
        self.isolation = isolation
        self.nested: list[Any] = []

    def begin(self) -> None:
        """Both transactions take their snapshots at the same moment, where they keep one."""
        if self.isolation is None:
            return  # how a transaction begins is part of what is tested
        self.driving.wait(self.session.exec("SELECT 1"))
        self.side.sql("SELECT 1")

    def act(self, call: Callable[[], Any]) -> Any:
        """Let the session work; where that flushes, plain SQL flushes too, and they agree about the outcome."""
        before = len(self.driving.sent)
        try:
            result = self.driving.wait(call())
        except PSQLModelError as error:
            self.refused(error, self.side.flush())
        if self._wrote(before) or not self.session._workspace.unit.has_changes:
            against = self.side.flush()
            assert not against, f"written, and plain SQL refuses: {against}"
        return result

    def refused(self, error: PSQLModelError, against: dict[str, set[Any]]) -> None:
        """Plain SQL has something against it, too; both go back, and what was lost is loaded again.

        Under SERIALIZABLE PostgreSQL refuses what two transactions read of each other's writes, at any statement: which
        of them it is depends on how its rows were found, and is no promise.
        """
        allowed = self.may_conflict and isinstance(error, SerializationFailure)
        expected = tuple(REASONS[reason] for reason in against)
        assert allowed or isinstance(error, expected), f"{error!r}, not {against or 'nothing'}"
        lost = [obj for obj in error.objects if type(obj) in VERSIONED] if isinstance(error, StaleObjectError) else []
        assert set(lost) <= against.get("stale", set()), f"{error}, but {against}"
        self.go_back(error)
        for obj in lost:
            if (type(obj).__name__, obj.label) in self.side.known:
                self.refresh(type(obj).__name__, obj.label)
        raise Refused from error

    def wait(self, call: Callable[[], Any]) -> Any:
        """Wait for what flushes nothing, and may be refused under SERIALIZABLE all the same."""
        try:
            return self.driving.wait(call())
        except SerializationFailure as error:
            if not self.may_conflict:
                raise
            self.go_back(error)
            raise Refused from error

    def go_back(self, error: BaseException | None = None) -> None:
        if self.nested:
            self.driving.leave(self.nested.pop(), error or OnPurpose())
            self.side.rollback_nested()
        else:
            self.driving.wait(self.session.rollback())
            self.side.rollback()
            self.begin()

    def refresh(self, kind: str, label: str, **options: Any) -> None:
        """Load an object anew; one whose row someone else has deleted leaves the session.

        A relation that was loaded is loaded anew, too, by a query: that flushes what concerns it.
        """
        before = len(self.driving.sent)
        seen, row = self.side.known[kind, label], self.side.rows(kind).get(label)
        kept = {column: seen.values[column] for column in seen.changed} if options else {}
        try:
            self.wait(lambda: self.session.refresh(seen.obj, **options))
        except PSQLModelError as error:
            if self._wrote(before):
                self.refused(error, self.side.flush())
            assert isinstance(error, StaleObjectError), error
            assert row is None, f"{seen} has a row"
            self.session.expunge(seen.obj)
            del self.side.known[kind, label]
            return
        assert row is not None, f"{seen} has no row"
        seen.forget_changes()
        seen.take(row)
        seen.set(kept)
        if self._wrote(before):
            against = self.side.flush()
            assert not against, f"written, and plain SQL refuses: {against}"

    def _wrote(self, before: int) -> bool:
        """Tell whether the session has flushed since so many statements were sent."""
        return any(event.purpose == "flush" for event in self.driving.sent[before:])

    def take(self, kind: str, objects: list[Any]) -> None:
        """What a query brought: the rows of the twin, in the objects that the session has.

        A row may come twice, so to speak: where someone else has made one with the key of an object that is not
        flushed. A deposit that is in another vault than the session knew when it deleted the vault comes back.
        """
        rows, known = self.side.rows(kind), self.side.known
        assert {obj.label for obj in objects} == set(rows)
        for obj in objects:
            seen = known.get((kind, obj.label))
            if seen is None:
                _ = self.side.learn(kind, obj, STORED, rows[obj.label])
            elif seen.state == GONE:
                self.session.expunge(obj)
            elif seen.state == TAKEN:
                self.revived(seen, obj, rows[obj.label])
            elif seen.state != NEW:
                assert seen.obj is obj
                seen.take(rows[obj.label])

    def revived(self, seen: Seen, obj: Any, row: Row) -> None:
        """The row of an object that was presumed to be deleted came."""
        assert seen.obj is obj
        seen.state = STORED
        seen.take(row)

    def check(self) -> None:
        for seen in self.side.known.values():
            assert seen.obj._state.status == STATUS[seen.state], f"{seen} is {seen.obj._state.status}"
            for column, value in seen.values.items():
                said = peek(seen.obj, column)
                assert said == value or said is NOT_LOADED, f"{seen}.{column} is {said!r}, not {value!r}"
            if seen.rival.counts and seen.state == STORED:
                assert seen.obj.version == seen.base["version"], f"{seen} has version {seen.obj.version}"

    def close(self) -> None:
        try:
            for block in reversed(self.nested):
                self.driving.leave(block, OnPurpose())
            self.driving.wait(self.session.rollback())
        finally:
            self.driving.wait(self.session.close())


def step(**strategies: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule of one party; it is over when the session refuses."""

    def decorate(function: Callable[..., None]) -> Any:
        def of_one(self: Rivals, who: int, **drawn: Any) -> None:
            try:
                function(self, self.parties[who], **drawn)
            except Refused:
                pass

        of_one.__name__, of_one.__doc__ = function.__name__, function.__doc__
        return rule(who=who, **strategies)(of_one)

    return decorate


class Rivals(RuleBasedStateMachine):
    """The rules: what either of the two, or someone else, may do."""

    def __init__(self, driving: Driving, twins: list[Any], plain: Any, isolation: str | None) -> None:
        super().__init__()
        self.driving = driving
        self.plain = plain  # a connection beside the sessions, which commits at once
        self.parties = [Party(driving, twin, isolation) for twin in twins]

    @initialize()
    def both_know_some_rows(self) -> None:
        for kind, rival in RIVALS.items():
            for label in LABELS[:2]:
                self.beside_row(rival.table, label, "a" if kind == "Deposit" else None)
        for party in self.parties:
            party.begin()
            for kind, rival in RIVALS.items():
                party.take(kind, party.driving.wait(party.session.exec(Select(rival.cls)).all()))
            _ = party.act(party.session.commit)
            party.side.commit()
            party.begin()

    def beside_row(self, table: str, label: str, vault: str | None) -> None:
        """A row that was there before all."""
        row = {"label": label, "amount": 0} | ({"vault_label": vault} if vault else {})
        version = {"version": 1} if table == "vaults" else {}
        with self.plain.cursor() as cursor:
            for schema, values in (("public", row | version), ("twin", row)):
                places = ", ".join(["%s"] * len(values))
                text = f"INSERT INTO {schema}.{table} ({', '.join(values)}) VALUES ({places})"
                cursor.execute(text, list(values.values()))

    @invariant()
    def objects_say_what_they_should(self) -> None:
        for party in self.parties:
            party.check()

    def compare_tables(self) -> None:
        with self.plain.cursor() as cursor:
            for rival in RIVALS.values():
                found = []
                for schema in ("public", "twin"):
                    cursor.execute(f"SET search_path = {schema}; {rival.seen} ORDER BY label")
                    found.append(cursor.fetchall())
                assert found[0] == found[1], rival.table

    # --- what the program does to objects ---------------------------------------------------------------------------

    @step(kind=kinds, label=labels, given=values)
    def create(self, party: Party, kind: str, label: str, given: Row) -> None:
        if (kind, label) not in party.side.known:
            row = {"note": None, "vault_label": None, **given}
            row = {column: row[column] for column in RIVALS[kind].columns}
            obj = RIVALS[kind].cls(label=label, **row)
            party.session.add(obj)
            _ = party.side.learn(kind, obj, NEW, row)

    @step(kind=kinds, index=which, given=values)
    def change(self, party: Party, kind: str, index: int, given: Row) -> None:
        seen = pick(party.side.of(kind, NEW, STORED), index)
        if seen is not None:
            given = of_kind(kind, given)
            for column, value in given.items():
                setattr(seen.obj, column, value)
            seen.set(given)

    @step(index=which, vault=st.none() | which)
    def move(self, party: Party, index: int, vault: int | None) -> None:
        """`deposit.vault = vault`: an object instead of its key."""
        seen = pick(party.side.of("Deposit", NEW, STORED), index)
        target = None if vault is None else pick(party.side.of("Vault", NEW, STORED), vault)
        if seen is not None:
            seen.obj.vault = target and target.obj
            label = target and target.label
            if seen.values["vault_label"] != label:
                seen.set({"vault_label": label})

    @step(kind=kinds, index=which)
    def delete(self, party: Party, kind: str, index: int) -> None:
        seen = pick(party.side.of(kind, STORED), index)
        if seen is not None:
            party.session.delete(seen.obj)
            seen.state = DOOMED

    @step(kind=kinds, index=which)
    def change_of_mind(self, party: Party, kind: str, index: int) -> None:
        """`add` takes back a deletion that was not flushed."""
        seen = pick(party.side.of(kind, DOOMED), index)
        if seen is not None:
            party.session.add(seen.obj)
            seen.state = STORED

    # --- reading ----------------------------------------------------------------------------------------------------

    @step(kind=kinds)
    def query(self, party: Party, kind: str) -> None:
        _ = party.act(lambda: party.session.flush())
        party.take(kind, party.act(lambda: party.session.exec(Select(RIVALS[kind].cls)).all()))

    @step(kind=kinds)
    def query_without_flush(self, party: Party, kind: str) -> None:
        """Fresh rows meet objects that were changed, deleted or made and not written yet."""
        with party.session.no_autoflush():
            found = party.wait(lambda: party.session.exec(Select(RIVALS[kind].cls)).all())
        party.take(kind, found)

    @step(kind=kinds, label=labels)
    def get(self, party: Party, kind: str, label: str) -> None:
        found = party.act(lambda: party.session.get(RIVALS[kind].cls, label))
        seen, row = party.side.known.get((kind, label)), party.side.rows(kind).get(label)
        if seen is not None and seen.state not in (GONE, TAKEN):
            assert found is (seen.obj if seen.state in (NEW, STORED) else None)
        elif row is None:
            assert found is None
        elif seen is None:
            _ = party.side.learn(kind, found, STORED, row)
        elif seen.state == TAKEN:
            party.revived(seen, found, row)
        else:
            party.session.expunge(found)

    @step(kind=kinds, index=which, keep=st.booleans())
    def refresh(self, party: Party, kind: str, index: int, keep: bool) -> None:
        """With `keep_changes` the changes are made on the fresh row: what others did to it is known then."""
        seen = pick(party.side.of(kind, STORED), index)
        if seen is not None:
            party.refresh(kind, seen.label, **({"keep_changes": True} if keep else {}))

    # --- verbs ------------------------------------------------------------------------------------------------------

    @step(kind=kinds, label=labels, given=values)
    def merge(self, party: Party, kind: str, label: str, given: Row) -> None:
        """Values from elsewhere enter the object of their key, or make one."""
        seen = party.side.known.get((kind, label))
        if seen is not None and seen.state != STORED:
            return
        given = of_kind(kind, given)
        if seen is None:
            _ = party.act(lambda: party.session.flush())  # what merge does before it asks for the row
        row = party.side.rows(kind).get(label)
        merged = party.wait(lambda: party.session.merge(RIVALS[kind].cls(label=label, **given)))
        if seen is None:
            seen = party.side.learn(kind, merged, STORED if row else NEW, row or {})
        assert merged is seen.obj
        seen.set(given)

    @step(kind=kinds, label=labels, given=values)
    def upsert(self, party: Party, kind: str, label: str, given: Row) -> None:
        """A row is there afterwards, whatever others did to it; the session's object has it."""
        given = of_kind(kind, given)
        _ = party.act(lambda: party.session.flush())
        known = party.side.known.get((kind, label))
        if known is not None and known.state in (GONE, TAKEN):
            return
        try:
            written = party.driving.wait(party.session.upsert([RIVALS[kind].cls(label=label, **given)]))
        except PSQLModelError as error:
            party.refused(error, party.side.upsert(kind, label, given)[0])
        against, row = party.side.upsert(kind, label, given)
        assert not against, f"written, and plain SQL refuses: {against}"
        if known is None:
            party.side.made(party.side.learn(kind, written[0], STORED, row))
        else:
            assert written[0] is known.obj
            party.side.wrote(known, row)

    # --- transactions -----------------------------------------------------------------------------------------------

    @step()
    def flush(self, party: Party) -> None:
        _ = party.act(lambda: party.session.flush())

    @step()
    def commit(self, party: Party) -> None:
        if not party.nested:
            _ = party.act(lambda: party.session.commit())
            party.side.commit()
            party.begin()
            self.compare_tables()

    @step()
    def rollback(self, party: Party) -> None:
        party.go_back()
        self.compare_tables()

    @step()
    def begin_nested(self, party: Party) -> None:
        if len(party.nested) < 2:
            block = party.session.begin_nested()
            _ = party.act(lambda: party.driving.enter(block))
            party.nested.append(block)
            party.side.begin_nested()

    @step()
    def end_nested(self, party: Party) -> None:
        if party.nested:
            _ = party.act(lambda: party.session.flush())
            party.driving.leave(party.nested.pop())
            party.side.release_nested()

    # --- someone else -----------------------------------------------------------------------------------------------

    @rule(kind=kinds, label=labels, amount=faster)
    def someone_changes(self, kind: str, label: str, amount: int) -> None:
        """An UPDATE by hand moves the version, as it must; `xmin` moves by itself."""
        bump = ", version = version + 1" if RIVALS[kind].counts else ""
        table = RIVALS[kind].table
        self.beside(
            f"UPDATE public.{table} SET amount = %s{bump} WHERE label = %s",
            f"UPDATE twin.{table} SET amount = %s WHERE label = %s",
            (amount, label),
        )

    @step(index=which, amount=faster)
    def someone_is_faster(self, party: Party, index: int, amount: int) -> None:
        """The row of an object that is about to be written changes."""
        known = party.side.known.values()
        seen = pick([s for s in known if s.state == DOOMED or (s.state == STORED and s.changed)], index)
        if seen is not None:
            self.someone_changes(seen.kind, seen.label, amount)

    @rule(kind=kinds, label=labels)
    def someone_deletes(self, kind: str, label: str) -> None:
        table = RIVALS[kind].table
        self.beside(
            f"DELETE FROM public.{table} WHERE label = %s",
            f"DELETE FROM twin.{table} WHERE label = %s",
            (label,),
        )

    @rule(label=labels, vault=st.none() | labels)
    def someone_moves(self, label: str, vault: str | None) -> None:
        """A deposit is in another vault than the two know: a deletion of that one does not take it along."""
        text = "UPDATE {}.deposits SET vault_label = %s WHERE label = %s"
        self.beside(text.format("public"), text.format("twin"), (vault, label))

    @step(index=which)
    def a_vault_goes_that_a_deposit_has_left(self, party: Party, index: int) -> None:
        """The session does not know that it has left, and presumes that it went with the vault."""
        vaults = {seen.label: seen for seen in party.side.of("Vault", STORED)}
        inside = [seen for seen in party.side.of("Deposit", STORED) if seen.values["vault_label"] in vaults]
        seen = pick([seen for seen in inside if not seen.changed], index)
        if seen is not None:
            self.someone_moves(seen.label, None)
            vault = vaults[seen.values["vault_label"]]
            party.session.delete(vault.obj)
            vault.state = DOOMED
            _ = party.act(lambda: party.session.flush())
            party.take("Deposit", party.act(lambda: party.session.exec(Select(RIVALS["Deposit"].cls)).all()))

    def beside(self, ours: str, twins: str, args: Row | tuple[Any, ...]) -> None:
        """Do the same to the tables and to their twin, and find the same locks, and the same rows missing."""
        outcomes = []
        for text in (ours, twins):
            with self.plain.cursor() as cursor:
                try:
                    cursor.execute(text, args)
                    outcomes.append(cursor.rowcount)
                except psycopg2.errors.LockNotAvailable:
                    outcomes.append("locked")
                except psycopg2.errors.ForeignKeyViolation:
                    outcomes.append("no vault")
        assert outcomes[0] == outcomes[1], f"{ours}: {outcomes}"

    def teardown(self) -> None:
        for party in self.parties:
            party.close()


def pick(there: list[Seen], index: int) -> Seen | None:
    return there[index % len(there)] if there else None


def of_kind(kind: str, given: Row) -> Row:
    return {column: value for column, value in given.items() if column in RIVALS[kind].columns}
