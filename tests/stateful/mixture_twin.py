"""The reference for flushes of many kinds of rows: records, and plain SQL that writes them row by row to twin tables.

A `Record` is what one object should say. `Twin.flush` writes what differs and says what stands against it, by SQLSTATE;
constraints are checked at its end, and PostgreSQL itself decides what ON DELETE means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import psycopg2

from .mixture_models import KINDS, SEEN, SEEN_PAIRS, Kind
from .reference import DOOMED, NEW, STORED, UNSET

STALE = "stale"
Reasons: TypeAlias = dict[str, set[str]]  # SQLSTATE, or STALE → the labels of the rows that are known
Sql: TypeAlias = tuple[str, list[Any]]
DEFERRED = "SELECT conname FROM pg_constraint WHERE condeferrable AND connamespace = 'twin'::regnamespace ORDER BY 1"


class Record:
    """What one object should say. `stored` is its row as the session knows it; a version that others moved is another.

    `links` lead to other records, `tags` are labels (of items alone).
    """

    def __init__(self, kind: str, label: str, obj: Any, values: dict[str, Any], links: dict[str, Any]) -> None:
        self.kind_name = kind
        self.label = label
        self.obj = obj
        self.state = NEW
        self.values = {column: values.get(column, UNSET) for column in (*self.kind.values, *self.kind.made)}
        self.links: dict[str, Record | None] = links
        self.tags: set[str] = set()
        self.stored: dict[str, Any] = {}
        self.stored_tags: set[str] = set()

    @property
    def kind(self) -> Kind:
        return KINDS[self.kind_name]

    @property
    def row(self) -> dict[str, Any]:
        """The twin's row, as the program wants it; without what it leaves to the server."""
        row = {**self.values, **{link: to and to.label for link, to in self.links.items()}}
        return {column: value for column, value in row.items() if value is not UNSET and column not in self.kind.made}

    @property
    def changed(self) -> dict[str, Any]:
        return {column: value for column, value in self.row.items() if value != self.stored[column]}

    def contents(self) -> tuple[Any, ...]:
        return self.state, dict(self.values), dict(self.links), set(self.tags), dict(self.stored), set(self.stored_tags)

    def put_back(self, contents: tuple[Any, ...]) -> None:
        self.state, values, links, tags, stored, stored_tags = contents
        self.values, self.links, self.tags = dict(values), dict(links), set(tags)
        self.stored, self.stored_tags = dict(stored), set(stored_tags)

    def __repr__(self) -> str:
        return self.label


class Twin:
    """All records, and a transaction over the twin tables."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.records: dict[str, Record] = {}
        self._frames: list[dict[Record, tuple[Any, ...]]] = [{}]
        self.sql("BEGIN")

    def sql(self, text: str, args: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(text, list(args) or None)
            return cursor.fetchall() if cursor.description else []

    # --- asking ---------------------------------------------------------------------------------------------------

    def of(self, kind: str, *states: str) -> list[Record]:
        return [r for r in self.records.values() if r.kind_name == kind and r.state in states]

    def pending(self) -> list[Record]:
        """The records of which a flush writes something."""
        return [r for r in self.records.values() if r.state != STORED or r.changed or r.tags != r.stored_tags]

    def is_needed(self, record: Record) -> bool:
        """Whether another record refers to this one."""
        return any(record in r.links.values() or record.label in r.tags for r in self.records.values())

    def differences(self) -> list[str]:
        """Where the session's tables, as a transaction beside it sees them, are not the twin's."""
        found = []
        for name, kind in KINDS.items():
            wrote = set(self.sql(SEEN[name]))
            meant = set(self.sql(f"SELECT label, {', '.join(kind.columns)} FROM twin.{kind.table}"))
            found += [f"written {row}" for row in wrote - meant] + [f"meant {row}" for row in meant - wrote]
        pairs, meant = set(self.sql(SEEN_PAIRS)), set(self.sql("SELECT item, tag FROM twin.items_tags"))
        return [*found, *map(str, pairs ^ meant)]

    # --- writing --------------------------------------------------------------------------------------------------

    def flush(self) -> Reasons:
        """Write what differs. Returns what stands against it; nothing is written then."""
        statements = [*self._unlink(), *self._insert(), *self._update(), *self._link(), *self._delete()]
        self.sql("SAVEPOINT flush")
        try:
            stale = self._send(statements, self._plainly)
            self.sql("SET CONSTRAINTS ALL IMMEDIATE")
            reasons = {STALE: stale} if stale else {}
        except psycopg2.Error:
            self.sql("ROLLBACK TO SAVEPOINT flush")
            reasons = self._all_reasons(statements)
        if reasons:
            self.sql("ROLLBACK TO SAVEPOINT flush")
        self.sql("RELEASE SAVEPOINT flush; SET CONSTRAINTS ALL DEFERRED")
        if not reasons:
            self._settle()
        return reasons

    def _all_reasons(self, statements: list[tuple[Record, Sql]]) -> Reasons:
        """Everything that stands against these statements: which of them the session meets first is its own affair."""
        reasons: Reasons = {}

        def try_to(record: Record, text: str, args: list[Any]) -> bool:
            self.sql("SAVEPOINT one")
            try:
                return self._plainly(record, text, args)
            except psycopg2.Error as error:
                self.sql("ROLLBACK TO SAVEPOINT one")
                reasons.setdefault(str(error.pgcode), set()).add(record.label)
                return True
            finally:
                self.sql("RELEASE SAVEPOINT one")

        stale = self._send(statements, try_to)
        if stale:
            reasons[STALE] = stale
        for constraint in self.sql(DEFERRED):
            try:
                self.sql(f"SAVEPOINT one; SET CONSTRAINTS twin.{constraint[0]} IMMEDIATE")
            except psycopg2.Error as error:
                self.sql("ROLLBACK TO SAVEPOINT one")
                _ = reasons.setdefault(str(error.pgcode), set())
        return reasons

    def _send(self, statements: list[tuple[Record, Sql]], send: Callable[[Record, str, list[Any]], bool]) -> set[str]:
        """Send all; returns the labels of those whose rows were not found."""
        return {record.label for record, (text, args) in statements if not send(record, text, args)}

    def _plainly(self, record: Record, text: str, args: list[Any]) -> bool:
        """Send one statement, and let the record take what it gives back. Tells whether it found its row."""
        with self._connection.cursor() as cursor:
            cursor.execute(text, args)
            row = cursor.fetchone() if cursor.description else None
            if row is not None:
                record.stored.update(zip([column[0] for column in cursor.description], row, strict=True))
            return bool(cursor.rowcount)

    def _insert(self) -> list[tuple[Record, Sql]]:
        found = []
        for record in self.records.values():
            if record.state == NEW:
                row, kind = {"label": record.label, **record.row}, record.kind
                text = (
                    f"INSERT INTO twin.{kind.table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))}) "
                    f"RETURNING {', '.join([*kind.columns, 'version'])}"
                )
                found.append((record, (text, list(row.values()))))
        return found

    def _update(self) -> list[tuple[Record, Sql]]:
        found = []
        for record in self.records.values():
            if record.state == STORED and (changed := record.changed):
                sets = ", ".join(f"{column} = %s" for column in changed)
                text = (
                    f"UPDATE twin.{record.kind.table} SET {sets}, version = version + 1 WHERE {_row_of(record)} "
                    f"RETURNING {', '.join([*changed, *record.kind.made, 'version'])}"
                )
                found.append((record, (text, [*changed.values(), *_found_by(record)])))
        return found

    def _delete(self) -> list[tuple[Record, Sql]]:
        """Children first: nobody deletes what ON DELETE has taken along."""
        doomed = [r for kind in reversed(KINDS) for r in self.of(kind, DOOMED)]
        return [(r, (f"DELETE FROM twin.{r.kind.table} WHERE {_row_of(r)}", _found_by(r))) for r in doomed]

    def _link(self) -> list[tuple[Record, Sql]]:
        pairs = [(r, tag) for r in self.of("Item", NEW, STORED) for tag in sorted(r.tags - r.stored_tags)]
        return [(r, ("INSERT INTO twin.items_tags VALUES (%s, %s)", [r.label, tag])) for r, tag in pairs]

    def _unlink(self) -> list[tuple[Record, Sql]]:
        pairs = [(r, tag) for r in self.of("Item", STORED) for tag in sorted(r.stored_tags - r.tags)]
        text = "DELETE FROM twin.items_tags WHERE item = %s AND tag = %s"
        return [(r, (text, [r.label, tag])) for r, tag in pairs]

    def _settle(self) -> None:
        """All is written: the records say so, and those that were deleted or taken along are gone."""
        doomed = [r for r in self.records.values() if r.state == DOOMED]
        for record in self.records.values():
            if record.state != DOOMED:
                record.state, record.stored_tags = STORED, set(record.tags)
                record.values = {column: record.stored[column] for column in record.values}
        if doomed:
            self._follow_deletions(doomed)

    def _follow_deletions(self, doomed: list[Record]) -> None:
        there = {row[0] for kind in KINDS.values() for row in self.sql(f"SELECT label FROM twin.{kind.table}")}
        taken = [*doomed]
        while taken:  # what goes with them, by the keys that the session knows
            gone = taken.pop()
            _ = self.records.pop(gone.label, None)
            for record in list(self.records.values()):
                for link, to in record.links.items():
                    if to is not gone:
                        continue
                    if record.label not in there:
                        taken.append(record)
                    else:
                        record.links[link] = record.stored[link] = None
                record.tags.discard(gone.label)
                record.stored_tags.discard(gone.label)

    # --- transactions ---------------------------------------------------------------------------------------------

    def remember(self) -> None:
        """What the records are now is what a rollback goes back to."""
        self._frames[-1] = {record: record.contents() for record in self.records.values()}

    def commit(self) -> None:
        self.sql("COMMIT; BEGIN")
        self.remember()

    def rollback(self) -> list[Record]:
        """Go back to the beginning; returns the records that the transaction had made."""
        self.sql("ROLLBACK; BEGIN")
        del self._frames[1:]
        return self._restore()

    def begin_nested(self) -> None:
        self.sql(f"SAVEPOINT nested_{len(self._frames)}")
        self._frames.append({})
        self.remember()

    def release_nested(self) -> None:
        _ = self._frames.pop()
        self.sql(f"RELEASE SAVEPOINT nested_{len(self._frames)}")

    def rollback_nested(self) -> list[Record]:
        self.sql(f"ROLLBACK TO SAVEPOINT nested_{len(self._frames) - 1}")
        made = self._restore()
        _ = self._frames.pop()
        return made

    def forget(self, record: Record) -> None:
        """Let a record go whose row someone else has deleted: no rollback brings it back."""
        for frame in self._frames:
            _ = frame.pop(record, None)

    def learned(self, record: Record) -> None:
        """What was read anew stays known after a rollback."""
        for frame in self._frames:
            if record in frame:
                frame[record] = record.contents()

    def _restore(self) -> list[Record]:
        frame = self._frames[-1]
        made = [record for record in self.records.values() if record not in frame]
        for record, contents in frame.items():
            record.put_back(contents)
        self.records = {record.label: record for record in frame}
        return made


def _row_of(record: Record) -> str:
    return "label = %s AND version = %s" if record.kind.versioned else "label = %s"


def _found_by(record: Record) -> list[Any]:
    return [record.label, record.stored["version"]] if record.kind.versioned else [record.label]
