"""The SQL of verbs that insert and update at once: one text per table and set of columns. Pure.

Rows travel as one array per column, with their ordinal; what comes back is found by the key that the verb goes by.
"""
# ruff: noqa: S608 - every name here is quoted, and values are parameters

from __future__ import annotations

from collections.abc import Sequence

from psqlmodel.core.unitofwork.sql import TypedColumn

ORDINAL = '"#"'  # names that no column of a model has
KIND = '"?"'


def given_rows(columns: Sequence[TypedColumn]) -> str:
    """Return the common table `r` of the given rows: an array per column."""
    arrays = ", ".join(f"${n}::{type_.transport}[]" for n, (_, type_) in enumerate(columns, 1))
    fields = ", ".join(f"c{n}" for n in range(1, len(columns) + 1))
    values = ", ".join(f"d.c{n}{type_.cast} AS {name}" for n, (name, type_) in enumerate(columns, 1))
    return (
        f"r AS MATERIALIZED (SELECT {values}, d.{ORDINAL} "
        f"FROM unnest({arrays}) WITH ORDINALITY AS d({fields}, {ORDINAL}))"
    )


def upsert(
    table: str, columns: Sequence[TypedColumn], on: Sequence[str], sets: Sequence[str], returning: Sequence[str]
) -> str:
    """Return the INSERT … ON CONFLICT DO UPDATE of many rows `t`.

    The result has the columns of `returning`, the ordinal (from 1), and whether the row was inserted.
    """
    names = ", ".join(name for name, _ in columns)
    # A row version that this statement inserted has no xmax; one that it updated was locked by it.
    return (
        f"WITH {given_rows(columns)}, i AS (INSERT INTO {table} AS t ({names}) OVERRIDING SYSTEM VALUE "
        f"SELECT {names} FROM r ORDER BY {ORDINAL} ON CONFLICT ({', '.join(on)}) DO UPDATE SET {', '.join(sets)} "
        f"RETURNING {listed('t', returning)}, t.xmax = 0 AS {KIND}) "
        f"SELECT {listed('i', returning)}, r.{ORDINAL}, i.{KIND} FROM i JOIN r ON {equal('i', 'r', on)}"
    )


def insert_missing(
    table: str, columns: Sequence[TypedColumn], on: Sequence[str], returning: Sequence[str], withheld: str | None
) -> str:
    """Return the INSERT of those rows that are not there yet; the result as that of `upsert`, of all rows.

    A row that another transaction inserts meanwhile is not in the result: asked again, the statement finds it. Rows
    that are there take no key from a sequence. `withheld` is the column that an INSERT does not give back, if any.
    """
    there = f"SELECT 1 FROM {table} AS t WHERE {equal('t', 'r', on)}"
    return (
        f"WITH {given_rows(columns)}, i AS ({_insert_where_not(there, table, columns, on, returning, withheld)}) "
        f"SELECT {listed('i', returning)}, r.{ORDINAL}, true FROM i JOIN r ON {equal('i', 'r', on)} "
        f"UNION ALL SELECT {listed('t', returning)}, r.{ORDINAL}, false FROM {table} AS t JOIN r "
        f"ON {equal('t', 'r', on)}"
    )


def insert_absent(table: str, columns: Sequence[TypedColumn], on: Sequence[str], returning: Sequence[str]) -> str:
    """Return the INSERT of those rows that are not there yet; the result as that of `upsert`, of the inserted ones.

    With `find` it does what `insert_missing` does, in two statements that a cluster takes.
    """
    names = ", ".join(name for name, _ in columns)
    return (
        f"WITH {given_rows(columns)}, i AS (INSERT INTO {table} AS t ({names}) OVERRIDING SYSTEM VALUE "
        f"SELECT {names} FROM r ORDER BY {ORDINAL} ON CONFLICT ({', '.join(on)}) DO NOTHING "
        f"RETURNING {listed('t', returning)}) "
        f"SELECT {listed('i', returning)}, r.{ORDINAL}, true FROM i JOIN r ON {equal('i', 'r', on)}"
    )


def find(table: str, columns: Sequence[TypedColumn], on: Sequence[str], returning: Sequence[str], routed: str) -> str:
    """Return the query for the rows that are there; the result as that of `upsert`. `routed`: see `routing`."""
    return (
        f"WITH {given_rows(columns)} SELECT {listed('t', returning)}, r.{ORDINAL}, false "
        f"FROM {table} AS t JOIN r ON {equal('t', 'r', on)}{routed}"
    )


def update_or_insert(
    table: str,
    columns: Sequence[TypedColumn],
    on: Sequence[str],
    sets: Sequence[str],
    returning: Sequence[str],
    withheld: str | None,
) -> str:
    """Return the UPDATE of the rows `t` that are there, and the INSERT of the others; the result as that of `upsert`.

    For tables that do not tell by `xmax` what was inserted. `sets` take their values from `r`. A row that another
    transaction inserts meanwhile is not in the result: sent again, the statement updates it.
    """
    written = f"SELECT 1 FROM u WHERE u.{ORDINAL} = r.{ORDINAL}"
    return (
        f"WITH {given_rows(columns)}, u AS (UPDATE {table} AS t SET {', '.join(sets)} FROM r "
        f"WHERE {equal('t', 'r', on)} RETURNING {listed('t', returning)}, r.{ORDINAL}), "
        f"i AS ({_insert_where_not(written, table, columns, on, returning, withheld)}) "
        f"SELECT {listed('i', returning)}, r.{ORDINAL}, true FROM i JOIN r ON {equal('i', 'r', on)} "
        f"UNION ALL SELECT {listed('u', returning)}, u.{ORDINAL}, false FROM u"
    )


def _insert_where_not(
    found: str,
    table: str,
    columns: Sequence[TypedColumn],
    on: Sequence[str],
    returning: Sequence[str],
    withheld: str | None,
) -> str:
    names = ", ".join(name for name, _ in columns)
    return (
        f"INSERT INTO {table} AS t ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM r WHERE NOT EXISTS ({found}) "
        f"ORDER BY {ORDINAL} ON CONFLICT ({', '.join(on)}) DO NOTHING RETURNING {given_back('t', returning, withheld)}"
    )


def given_back(table: str, names: Sequence[str], withheld: str | None) -> str:
    """Return the columns that an INSERT gives back, with NULL for the system column that it does not."""
    return ", ".join(f"NULL::xid AS {name}" if name == withheld else f"{table}.{name}" for name in names)


def listed(table: str, names: Sequence[str]) -> str:
    """Return the columns of a table as a list."""
    return ", ".join(f"{table}.{name}" for name in names)


def equal(left: str, right: str, names: Sequence[str]) -> str:
    """Return the condition that two tables agree in these columns."""
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in names)
