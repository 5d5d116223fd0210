"""The reference: what the program meant, as plain records, and an executor that writes them row by row in plain SQL.

A `Record` is what one object should say. `World.flush` writes what differs to the twin tables, one statement per row;
constraints are checked at its end, and PostgreSQL itself decides what ON DELETE means. Then the records take over what
the twin says. The session under test must come to the same rows, or fail where this fails.
"""

from __future__ import annotations

import copy
from typing import Any

import psycopg2
from psycopg2.extras import Json

from .models import KINDS, Kind

UNSET: Any = type("Unset", (), {"__repr__": lambda self: "UNSET", "__deepcopy__": lambda self, memo: self})()

NEW, STORED, DOOMED = "new", "stored", "doomed"  # doomed: deleted by the program, and not flushed yet


class Record:
    """What one object should say; `obj` is the object of the session, None where the program has let it go."""

    def __init__(
        self, kind: str, label: str, obj: Any, values: dict[str, Any], links: dict[str, Record | None]
    ) -> None:
        self.kind_name = kind
        self.label = label
        self.obj = obj
        self.state = NEW
        self.values = values
        self.links = links
        self.key: Any = None  # the primary key in the session's tables, once it is known

    @property
    def kind(self) -> Kind:
        return KINDS[self.kind_name]

    @property
    def alive(self) -> bool:
        return self.state in (NEW, STORED)

    def row(self) -> dict[str, Any]:
        """The row that the twin should have, by its columns."""
        return {**self.values, **{link: to and to.label for link, to in self.links.items()}}

    def __repr__(self) -> str:
        return self.label


class Snapshot:
    """The records as they were at the beginning of a transaction or savepoint."""

    def __init__(self, world: World) -> None:
        self.records = dict(world.records)
        self.contents = {r.label: (r.state, copy.deepcopy(r.values), dict(r.links)) for r in world.records.values()}
        self.pairs = set(world.pairs)


class World:
    """All records, the pairs of people and skills, and the twin."""

    def __init__(self, connection: Any) -> None:
        self.records: dict[str, Record] = {}
        self.pairs: set[tuple[str, str]] = set()
        self.snapshots: list[Snapshot] = []
        self._twin = connection
        self._stored: dict[str, dict[str, Any]] = {}
        self._stored_pairs: set[tuple[str, str]] = set()
        self._sql("BEGIN; SET LOCAL search_path = twin")
        self._take_over()
        self.snapshots = [Snapshot(self)]

    # --- asking ---------------------------------------------------------------------------------------------------

    def linked_to(self, record: Record, name: str) -> tuple[set[str], set[str]]:
        """The labels that a list of `record` must show, and those that it may show (doomed, but not gone)."""
        kind, link = record.kind.lists[name]
        there = [r for r in self.records.values() if r.kind_name == kind and r.links[link] is record]
        return {r.label for r in there if r.alive}, {r.label for r in there}

    def partners(self, record: Record) -> tuple[set[str], set[str]]:
        """The same for the many-to-many lists."""
        ours, theirs = (0, 1) if record.kind_name == "Person" else (1, 0)
        labels = {pair[theirs] for pair in self.pairs if pair[ours] == record.label}
        return {label for label in labels if self.records[label].alive}, labels

    def referred_to(self, record: Record) -> bool:
        """Whether a link or pair leads to or from a record's lists."""
        return any(record in r.links.values() for r in self.records.values()) or any(
            record.label in pair for pair in self.pairs
        )

    def changed(self, record: Record) -> list[str]:
        """The twin's columns in which a stored record differs from its row."""
        row, stored = record.row(), self._stored[record.label]
        return [column for column, value in row.items() if value != stored[column]]

    def stored(self, kind: str) -> set[str]:
        """The labels of the rows of a class that the twin has."""
        return {label for label in self._stored if self.records[label].kind_name == kind}

    @property
    def dirty(self) -> bool:
        return self.pairs != self._stored_pairs or any(
            r.state != STORED or self.changed(r) for r in self.records.values()
        )

    # --- writing --------------------------------------------------------------------------------------------------

    def flush(self) -> psycopg2.Error | None:
        """Write what differs; return the error that PostgreSQL has against it, and change nothing then."""
        self._sql("SAVEPOINT flush")
        try:
            self._write()
            self._sql("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        except psycopg2.IntegrityError as error:
            self._sql("ROLLBACK TO SAVEPOINT flush; RELEASE SAVEPOINT flush")
            return error
        self._sql("RELEASE SAVEPOINT flush")
        self._take_over()
        return None

    def commit(self) -> None:
        self._sql("COMMIT; BEGIN; SET LOCAL search_path = twin")
        self.snapshots = [Snapshot(self)]

    def rollback(self) -> list[Record]:
        """Go back to the beginning; returns the records that the transaction had made."""
        self._sql("ROLLBACK; BEGIN; SET LOCAL search_path = twin")
        del self.snapshots[1:]
        return self._restore(self.snapshots[0])

    def begin_nested(self) -> None:
        self._sql(f"SAVEPOINT nested_{len(self.snapshots)}")
        self.snapshots.append(Snapshot(self))

    def release_nested(self) -> None:
        self.snapshots.pop()
        self._sql(f"RELEASE SAVEPOINT nested_{len(self.snapshots)}")

    def rollback_nested(self) -> list[Record]:
        snapshot = self.snapshots.pop()
        self._sql(f"ROLLBACK TO SAVEPOINT nested_{len(self.snapshots)}")
        return self._restore(snapshot)

    def rows(self) -> tuple[dict[str, dict[str, Any]], set[tuple[str, str]]]:
        """What the twin has."""
        found: dict[str, dict[str, Any]] = {}
        for kind in KINDS.values():
            columns = ["label", *kind.columns, *kind.links]
            for row in self._sql(f"SELECT {', '.join(columns)} FROM {kind.table}"):
                found[row[0]] = dict(zip(columns[1:], row[1:], strict=True))
        return found, set(self._sql("SELECT person, skill FROM people_skills"))

    def _write(self) -> None:
        for pair in sorted(self._stored_pairs - self.pairs):
            self._sql("DELETE FROM people_skills WHERE person = %s AND skill = %s", pair)
        for record in self.records.values():
            if record.state == NEW:
                row = {"label": record.label, **record.row()}
                row = {column: value for column, value in row.items() if value is not UNSET}
                places = ", ".join(["%s"] * len(row))
                self._sql(
                    f"INSERT INTO {record.kind.table} ({', '.join(row)}) VALUES ({places})", map(_wire, row.values())
                )
        for record in self.records.values():
            if record.state == STORED:
                for column in self.changed(record):
                    self._sql(
                        f"UPDATE {record.kind.table} SET {column} = %s WHERE label = %s",
                        [_wire(record.row()[column]), record.label],
                    )
        for pair in sorted(self.pairs - self._stored_pairs):
            self._sql("INSERT INTO people_skills VALUES (%s, %s)", pair)
        for record in self.records.values():
            if record.state == DOOMED:
                self._sql(f"DELETE FROM {record.kind.table} WHERE label = %s", [record.label])

    def _take_over(self) -> None:
        """Let the records say what the twin has; those without a row are gone."""
        self._stored, self._stored_pairs = self.rows()
        self.pairs = set(self._stored_pairs)
        self.records = {label: r for label, r in self.records.items() if label in self._stored}
        for record in self.records.values():
            row = copy.deepcopy(self._stored[record.label])
            record.state = STORED
            record.values = {column: row[column] for column in record.kind.columns}
            record.links = {link: self.records[row[link]] if row[link] else None for link in record.kind.links}

    def _restore(self, snapshot: Snapshot) -> list[Record]:
        made = [r for label, r in self.records.items() if label not in snapshot.records]
        self.records = dict(snapshot.records)
        self.pairs = set(snapshot.pairs)
        for record in self.records.values():
            record.state, values, links = snapshot.contents[record.label]
            record.values, record.links = copy.deepcopy(values), dict(links)
        self._stored, self._stored_pairs = self.rows()
        return made

    def _sql(self, text: str, args: Any = ()) -> list[tuple[Any, ...]]:
        with self._twin.cursor() as cursor:
            cursor.execute(text, list(args) or None)
            return cursor.fetchall() if cursor.description else []


def _wire(value: Any) -> Any:
    return Json(value) if isinstance(value, dict) else value
