"""A sample database: where its SQL is, the models of its tables and views, and what is true of them.

`load` fills an empty database from the SQL, as psql would, with the driver alone: the COPY blocks of a dump are sent
as COPY. It must not know the library under test.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Sample:
    """One sample database.

    `pairs` is the SQL for the members of each relation; `new_objects` makes two rows for each table; `growth` says
    where that makes another number of rows than two; `edits` is a change for the rows of each class; `afterwards` is
    SQL to run when the files are loaded.
    """

    name: str
    files: Sequence[Path]
    tables: Sequence[Any]
    views: Sequence[Any]
    pairs: dict[str, str]
    new_objects: Callable[[], list[Any]]
    edits: dict[Any, tuple[str, Any]]
    growth: dict[Any, int] = field(default_factory=dict)
    afterwards: str = ""

    def __repr__(self) -> str:
        return self.name

    @property
    def models(self) -> list[Any]:
        return [*self.tables, *self.views]

    @property
    def missing(self) -> list[str]:
        """The names of the files that are not there."""
        return [path.name for path in self.files if not path.exists()]


def load(dsn: str, sample: Sample) -> None:
    """Fill the database at `dsn`."""
    for path in sample.files:
        with contextlib.closing(psycopg2.connect(dsn)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            for sql, data in _pieces(path.read_text(encoding="utf-8")):
                if data is None:
                    cursor.execute(sql)
                else:
                    cursor.copy_expert(sql, io.StringIO(data))
    if sample.afterwards:
        with contextlib.closing(psycopg2.connect(dsn)) as connection:
            connection.autocommit = True
            connection.cursor().execute(sample.afterwards)


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """Give the SQL between COPY blocks, and each COPY with its data."""
    while True:
        head, copy, rest = text.partition("\nCOPY ")
        if any(line and not line.startswith("--") for line in head.splitlines()):
            yield head, None
        if not copy:
            return
        columns, _, rest = rest.partition(";\n")
        data, _, text = rest.partition("\\.\n")
        yield copy + columns, data


def server_texts(dsn: str, table: str, columns: Sequence[str]) -> list[tuple[str | None, ...]]:
    """Return all rows of a table as the server spells their values, sorted; None is NULL."""
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
    text = io.StringIO()
    with contextlib.closing(psycopg2.connect(dsn, options="-c timezone=UTC -c intervalstyle=postgres")) as connection:
        sql = f"COPY (SELECT {names} FROM {table}) TO STDOUT (FORMAT csv, NULL '<null>', FORCE_QUOTE *)"
        connection.cursor().copy_expert(sql, text)
    # A NULL is written without quotes, and so never the same as a text.
    rows = csv.reader(io.StringIO(text.getvalue().replace(",<null>", ',"\0"').replace("\n<null>", '\n"\0"')))
    found = [tuple(None if value == "\0" else value for value in row) for row in rows]
    return sorted(found, key=repr)
