"""The reference for two sessions: what one of them knows, and its twin transaction in plain SQL, row by row.

A `Side` is the twin of one session: its `Seen` are what the session's objects should say, its connection has a
transaction of its own over the twin tables and waits as briefly for locks as the session does. So PostgreSQL itself
says who loses: a row that is gone or has moved on (`"stale"`), a lock that is held (`"lock"`), a constraint
(`"integrity"`), a row that changed since the snapshot (`"conflict"`). Nothing here knows what the other side does.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg2
from hypothesis import reject
from psycopg2.errors import LockNotAvailable, SerializationFailure

from .reference import DOOMED, NEW, STORED
from .rival_models import RIVALS, Rival

GONE = "gone"  # deleted by this transaction
TAKEN = "taken"  # by ON DELETE, as far as this side knows
PATIENCE = 0.01  # seconds that one side waits for a lock that the other one holds: it never gets it by waiting
Row: TypeAlias = dict[str, Any]


def reason_of(error: psycopg2.Error) -> str:
    """What stands against a statement, in a word."""
    if isinstance(error, LockNotAvailable):
        return "lock"
    return "conflict" if isinstance(error, SerializationFailure) else "integrity"


class Seen:
    """What one object should say.

    `values` are its columns; `base` is the row as this side knows it, with the version on which changes are made;
    `touched` are the columns that the program has set since, be it to what they were.
    """

    def __init__(self, kind: str, obj: Any, state: str, row: Row) -> None:
        self.kind = kind
        self.obj = obj
        self.label: str = obj.label
        self.state = state
        self.values = {column: row.get(column) for column in RIVALS[kind].columns}
        self.base = {"version": 1, **self.values, **row}
        self.touched: set[str] = set()

    @property
    def rival(self) -> Rival:
        return RIVALS[self.kind]

    @property
    def changed(self) -> list[str]:
        return [column for column, value in self.values.items() if value != self.base[column]]

    def set(self, given: Row) -> None:
        self.values.update(given)
        self.touched.update(given)

    def take(self, row: Row) -> None:
        """A fresh row: changed columns are kept, and the version on which they were changed."""
        waits, changed = self.changed or self.state == DOOMED, self.changed
        for column, value in row.items():
            if column in self.values and column not in changed:
                self.base[column] = self.values[column] = value
                self.touched.discard(column)
            elif column == "version" and not waits:
                self.base[column] = value

    def forget_changes(self) -> None:
        self.values = {column: self.base[column] for column in self.values}
        self.touched.clear()

    def __repr__(self) -> str:
        return f"{self.kind} {self.label} ({self.state})"


class Note:
    """What a `Seen` was before this transaction, or this savepoint, wrote it."""

    def __init__(self, made: bool) -> None:
        self.made = made
        self.columns: Row = {}

    def keep(self, columns: Row) -> None:
        self.columns = {**columns, **self.columns}


class Side:
    """What one session knows, and its twin transaction."""

    def __init__(self, connection: Any, isolation: str | None) -> None:
        self._connection = connection
        self._isolation = isolation
        self.known: dict[tuple[str, str], Seen] = {}
        self._frames: list[dict[Seen, Note]] = [{}]
        self._begin()

    # --- asking ---------------------------------------------------------------------------------------------------

    def rows(self, kind: str) -> dict[str, Row]:
        """The twin's rows of a class by label, as this transaction sees them.

        Where a row was deleted since the snapshot and this transaction has made it again, PostgreSQL shows both. What
        the one of that label is then is nobody's promise: such a program is not followed.
        """
        columns = ["label", *RIVALS[kind].columns, "version"]
        found = self.sql(f"SELECT {', '.join(columns)} FROM {RIVALS[kind].table}")
        if len({row[0] for row in found}) < len(found):
            reject()
        return {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in found}

    def of(self, kind: str, *states: str) -> list[Seen]:
        return [seen for seen in self.known.values() if seen.kind == kind and seen.state in states]

    def learn(self, kind: str, obj: Any, state: str, row: Row) -> Seen:
        made = self.known[kind, obj.label] = Seen(kind, obj, state, row)
        return made

    # --- writing --------------------------------------------------------------------------------------------------

    def flush(self) -> dict[str, set[Any]]:
        """Write what differs. Returns what stands against it, with the objects whose rows are stale; nothing is
        written then.
        """
        against: dict[str, set[Any]] = {}
        self.sql("SAVEPOINT flush")
        for seen, text, args in self._statements():
            self._try(against, text, args, seen)
        self._try(against, "SET CONSTRAINTS ALL IMMEDIATE", [])
        if against:
            self.sql("ROLLBACK TO SAVEPOINT flush")
        else:
            self._settle()
        self.sql("RELEASE SAVEPOINT flush; SET CONSTRAINTS ALL DEFERRED")
        return against

    def upsert(self, kind: str, label: str, values: Row) -> tuple[dict[str, set[Any]], Row]:
        """Insert a row or write over it. Returns what stands against it, and the row."""
        against: dict[str, set[Any]] = {}
        columns, rival = ["label", *values], RIVALS[kind]
        sets = ", ".join(f"{column} = EXCLUDED.{column}" for column in values)
        self._try(
            against,
            f"INSERT INTO {rival.table} ({', '.join(columns)}) VALUES ({_places(columns)}) "
            f"ON CONFLICT (label) DO UPDATE SET {sets}",
            [label, *values.values()],
        )
        if not against:
            self._try(against, "SET CONSTRAINTS ALL IMMEDIATE", [])
            self.sql("SET CONSTRAINTS ALL DEFERRED")
        return against, self.rows(kind).get(label, {})

    def wrote(self, seen: Seen, row: Row) -> None:
        """A verb wrote a row that this side knew."""
        self._note(seen, made=False).keep(dict(seen.base))
        seen.base.update(row)
        seen.forget_changes()

    def made(self, seen: Seen) -> None:
        """A verb wrote a row that this side did not know: its object is transient after a rollback."""
        _ = self._note(seen, made=True)

    def _statements(self) -> list[tuple[Seen, str, list[Any]]]:
        found = []
        every = [seen for kind in ("Vault", "Deposit", "Ticket") for seen in self.of(kind, NEW, STORED)]
        for seen in sorted(every, key=lambda seen: seen.state != NEW):
            row, table = {"label": seen.label, **seen.values}, seen.rival.table
            if seen.state == NEW:
                text = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({_places(row)})"
                found.append((seen, text, list(row.values())))
            elif changed := seen.changed:
                sets = ", ".join(f"{column} = %s" for column in changed)
                text = f"UPDATE {table} SET {sets} WHERE {_found_by(seen)}"
                found.append((seen, text, [*(row[column] for column in changed), *_finding(seen)]))
        for seen in [seen for kind in ("Ticket", "Deposit", "Vault") for seen in self.of(kind, DOOMED)]:
            text = f"DELETE FROM {seen.rival.table} WHERE {_found_by(seen)}"
            found.append((seen, text, _finding(seen)))
        return found

    def _try(self, against: dict[str, set[Any]], text: str, args: list[Any], seen: Seen | None = None) -> None:
        self.sql("SAVEPOINT one")
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(text, args or None)
                if seen is not None and cursor.rowcount == 0:
                    against.setdefault("stale", set()).add(seen.obj)
        except (LockNotAvailable, SerializationFailure, psycopg2.IntegrityError) as error:
            self.sql("ROLLBACK TO SAVEPOINT one")
            _ = against.setdefault(reason_of(error), set())
        self.sql("RELEASE SAVEPOINT one")

    def _settle(self) -> None:
        """All is written: the records say so, and those that ON DELETE took are gone."""
        gone = {seen.label for seen in self.of("Vault", DOOMED)}
        for seen in self.known.values():
            if seen.state == NEW:
                _ = self._note(seen, made=True)
                seen.state, seen.base = STORED, {**seen.values, "version": 1}
            elif seen.state == DOOMED:
                _ = self._note(seen, made=False)
                seen.state = GONE
            elif seen.touched:
                changed = seen.changed
                kept = {*seen.touched, "version"} if changed else seen.touched
                self._note(seen, made=False).keep({column: seen.base[column] for column in kept})
                seen.base.update(seen.values, version=seen.base["version"] + bool(changed))
            seen.touched.clear()
        for seen in self.of("Deposit", STORED):
            if seen.values["vault_label"] in gone:
                _ = self._note(seen, made=False)
                seen.state = TAKEN

    def _note(self, seen: Seen, *, made: bool) -> Note:
        return self._frames[-1].setdefault(seen, Note(made))

    # --- transactions ---------------------------------------------------------------------------------------------

    def commit(self) -> None:
        self.sql("COMMIT")
        self._begin()
        self._frames = [{}]
        self.known = {key: seen for key, seen in self.known.items() if seen.state not in (GONE, TAKEN)}

    def rollback(self) -> None:
        self.sql("ROLLBACK")
        self._begin()
        while self._frames:
            self._restore(self._frames.pop())
        self._frames = [{}]

    def begin_nested(self) -> None:
        self.sql(f"SAVEPOINT nested_{len(self._frames)}")
        self._frames.append({})

    def release_nested(self) -> None:
        newest = self._frames.pop()
        self.sql(f"RELEASE SAVEPOINT nested_{len(self._frames)}")
        for seen, note in newest.items():
            self._note(seen, made=note.made).keep(note.columns)

    def rollback_nested(self) -> None:
        frame = self._frames.pop()
        self.sql(f"ROLLBACK TO SAVEPOINT nested_{len(self._frames)}")
        self._restore(frame)

    def _restore(self, frame: dict[Seen, Note]) -> None:
        for seen, note in frame.items():
            if note.made:
                self.known = {key: known for key, known in self.known.items() if known is not seen}
            seen.base.update(note.columns)
            seen.state = STORED
        self.known = {key: seen for key, seen in self.known.items() if seen.state != NEW}
        for seen in self.known.values():
            if seen.state in (GONE, TAKEN):
                continue  # in a frame around this one: it goes on saying what it said
            seen.forget_changes()
            if seen.state == DOOMED:
                seen.state = STORED

    def _begin(self) -> None:
        self.sql(f"BEGIN ISOLATION LEVEL {self._isolation or 'READ COMMITTED'}")
        self.sql(f"SET LOCAL search_path = twin; SET LOCAL lock_timeout = '{PATIENCE}s'")

    def sql(self, text: str, args: Any = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(text, list(args) or None)
            return cursor.fetchall() if cursor.description else []


def _places(columns: Any) -> str:
    return ", ".join(["%s"] * len(columns))


def _found_by(seen: Seen) -> str:
    return "label = %s AND version = %s" if seen.rival.versioned else "label = %s"


def _finding(seen: Seen) -> list[Any]:
    return [seen.label, seen.base["version"]] if seen.rival.versioned else [seen.label]
