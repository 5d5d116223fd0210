"""The SQL of a flush: one text per table, operation and set of columns, whatever the number of rows. Pure.

Many rows travel as one array per column (`unnest($1::int8[], $2::text[])`). What the server makes is matched by the
ordinal that each row brings along, never by the order in which rows come back.
"""
# ruff: noqa: S608 - every name here is quoted, and values are parameters

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from psqlmodel.query.quoting import quote
from psqlmodel.types import PgType
from psqlmodel.types.arrays import array_literal

TypedColumn = tuple[str, PgType[Any]]  # the quoted name, and what the column really is


# Elements whose text is made faster here than asyncpg encodes them one by one: 30 ns instead of 210 for a text, 45 for
# 130 of a bool. (Numbers and moments are encoded by the column: see drivers/binary.py.)
_QUICK_AS_TEXT: Final = frozenset({"text", "bool"})


def as_array(type_: PgType[Any]) -> str:
    """Return the type of the parameter that carries a column: an array."""
    return f"{type_.transport}[]"


def as_text(type_: PgType[Any]) -> str:
    """Return the type of the parameter that carries a column: the text of an array, where that is quicker.

    The server does not see then how many rows come: right only where nothing is joined with them.
    """
    return f"text::{type_.transport}[]" if type_.transport in _QUICK_AS_TEXT else as_array(type_)


def argument_as_text(type_: PgType[Any], array: list[Any]) -> Any:
    """Return the argument for a parameter of `as_text`."""
    return array_literal(array) if type_.transport in _QUICK_AS_TEXT else array


def in_rows(made: Sequence[str]) -> str:
    """Return what a SELECT gives of rows with the keys that the server made: each with its ordinal."""
    return ", ".join(["ord", *made])


def in_arrays(made: Sequence[str]) -> str:
    """Return the same of integer keys as one row: an array of the ordinals, and one of each key in the same order."""
    return ", ".join(f"array_agg({name}::int8)" for name in ["ord", *made])


def named(columns: Sequence[Any], types: Sequence[PgType[Any]]) -> list[TypedColumn]:
    """Return the columns by their quoted names, with their types."""
    return [(quote(column.name), type_) for column, type_ in zip(columns, types, strict=True)]


def insert_one(table: str, columns: Sequence[TypedColumn], returning: Sequence[str]) -> str:
    """Return the INSERT of one row: `$n` is the wire value of column n."""
    if not columns:
        body = "DEFAULT VALUES"
    else:
        names = ", ".join(name for name, _ in columns)
        body = f"({names}) VALUES ({', '.join(f'${n}' for n in range(1, len(columns) + 1))})"
    return f"INSERT INTO {table} {body}{_returning(returning)}"


def insert_many(
    table: str,
    columns: Sequence[TypedColumn],
    made: Sequence[tuple[str, str]],
    returning: Sequence[str],
    keys: Sequence[str],
    carried: Callable[[PgType[Any]], str] = as_array,
    told: Callable[[Sequence[str]], str] = in_rows,
) -> str:
    """Return the INSERT of many rows.

    `carried` tells the type of the parameter for a column, `told` how the keys come back where nothing else does.
    `made` are key columns that the server makes, with the expression that makes them; `returning` the columns whose
    values are wanted, `keys` the primary key. The result has the ordinal (from 1) first, then the columns of `made`,
    then those of `returning`. Without both it has no rows. `$1` is the number of rows where there are no columns.
    Without `keys` the rows are not looked at as they were written, which saves a tenth of the time: right where only
    `made` is wanted and nothing on the server changes it.
    """
    given = [name for name, _ in columns]
    source = _source(columns, carried)
    if not made and not returning:
        return f"INSERT INTO {table} ({', '.join(given)}) SELECT {_values(columns)} FROM {source}"
    made_names = [name for name, _ in made]
    selected = [*(f"{expression} AS {name}" for name, expression in made), *_aliased(columns), "d.ord"]
    targets = ", ".join([*made_names, *given])
    override = " OVERRIDING SYSTEM VALUE" if made else ""
    insert = f"INSERT INTO {table} ({targets}){override} SELECT {targets} FROM r ORDER BY ord"
    rows = f"WITH r AS MATERIALIZED (SELECT {', '.join(selected)} FROM {source})"
    if not keys:
        return f"{rows}, i AS ({insert}) SELECT {told(made_names)} FROM r"
    back = list(dict.fromkeys([*keys, *returning]))
    join = " AND ".join(f"i.{key} = r.{key}" for key in keys)
    wanted = ", ".join(["r.ord", *(f"r.{name}" for name in made_names), *(f"i.{name}" for name in returning)])
    return f"{rows}, i AS ({insert} RETURNING {', '.join(back)}) SELECT {wanted} FROM i JOIN r ON {join}"


def make_keys(made: Sequence[tuple[str, str]]) -> str:
    """Return the query that makes keys before their rows: the ordinal (from 1), then the columns of `made`."""
    keys = ", ".join(f"{expression} AS {name}" for name, expression in made)
    return f"SELECT ord, {keys} FROM generate_series(1, $1::int8) AS ord"


def update_one(
    table: str,
    columns: Sequence[TypedColumn],
    keys: Sequence[TypedColumn],
    returning: Sequence[str],
    made: Sequence[str] = (),
) -> str:
    """Return the UPDATE of one row `t`: first the new values, then the key; `made` are assignments besides."""
    sets = ", ".join([*(f"{name} = ${n}" for n, (name, _) in enumerate(columns, 1)), *made])
    where = " AND ".join(f"{name} = ${n}" for n, (name, _) in enumerate(keys, len(columns) + 1))
    alias = " AS t" if made else ""
    return f"UPDATE {table}{alias} SET {sets} WHERE {where}{_returning(returning)}"


def update_many(
    table: str,
    columns: Sequence[TypedColumn],
    keys: Sequence[TypedColumn],
    returning: Sequence[str],
    made: Sequence[str] = (),
    routed: str = "",
) -> str:
    """Return the UPDATE of many rows `t`: an array per new value, then an array per key column.

    `made` are assignments besides, `routed` is a condition besides (see `routing`). With `returning` the result has the
    ordinal (from 1) first.
    """
    parts = [*columns, *keys]
    arrays = ", ".join(f"${n}::{type_.transport}[]" for n, (_, type_) in enumerate(parts, 1))
    fields = ", ".join(f"c{n}" for n in range(1, len(parts) + 1))
    sets = ", ".join([*(f"{name} = d.c{n}{type_.cast}" for n, (name, type_) in enumerate(columns, 1)), *made])
    where = keys_equal(keys, len(columns) + 1)
    back = f" RETURNING d.ord, {', '.join(f't.{name}' for name in returning)}" if returning else ""
    return (
        f"UPDATE {table} AS t SET {sets} FROM unnest({arrays}) WITH ORDINALITY AS d({fields}, ord) "
        f"WHERE {where}{routed}{back}"
    )


def update_many_cast(
    table: str,
    columns: Sequence[TypedColumn],
    keys: Sequence[TypedColumn],
    returning: Sequence[str],
    made: Sequence[str],
    routed: str,
) -> str:
    """Return what `update_many` does, with the values cast to their types in a common table before."""
    parts = [*columns, *keys]
    values = ", ".join(f"d.c{n}{type_.cast} AS c{n}" for n, (_, type_) in enumerate(parts, 1))
    sets = ", ".join([*(f"{name} = d.c{n}" for n, (name, _) in enumerate(columns, 1)), *made])
    where = " AND ".join(f"t.{name} = d.c{n}" for n, (name, _) in enumerate(keys, len(columns) + 1))
    back = f" RETURNING d.ord, {', '.join(f't.{name}' for name in returning)}" if returning else ""
    return (
        f"WITH d AS MATERIALIZED (SELECT {values}, d.ord FROM {unnest(parts)}) "
        f"UPDATE {table} AS t SET {sets} FROM d WHERE {where}{routed}{back}"
    )


def delete(table: str, keys: Sequence[TypedColumn], first: int = 1, routed: str = "") -> str:
    """Return the DELETE of many rows: an array per key column, from parameter `first` on; `routed`: see `routing`."""
    if len(keys) == 1:
        name, type_ = keys[0]
        cast = f"{type_.cast}[]" if type_.cast else ""
        return f"DELETE FROM {table} WHERE {name} = ANY(${first}::{type_.transport}[]{cast})"
    return f"DELETE FROM {table} AS t USING {unnest(keys, first)} WHERE {keys_equal(keys, 1)}{routed}"


def delete_guarded(table: str, keys: Sequence[TypedColumn], first: int = 1, routed: str = "") -> str:
    """Return the DELETE of many rows, the version among their keys; the result has the ordinals of those found."""
    return f"DELETE FROM {table} AS t USING {unnest(keys, first)} WHERE {keys_equal(keys, 1)}{routed} RETURNING d.ord"


def lock(table: str, keys: Sequence[TypedColumn]) -> str:
    """Return the query that locks rows and gives the ordinals (from 1) of those found: an array per key column."""
    return f"SELECT d.ord FROM {unnest(keys)} JOIN {table} AS t ON {keys_equal(keys, 1)} ORDER BY d.ord FOR UPDATE OF t"


def by_keys(table: str, keys: Sequence[TypedColumn], columns: Sequence[str], routed: str = "") -> str:
    """Return the query for the ordinals (from 1) and some columns of rows: an array per key column."""
    wanted = ", ".join(["d.ord", *(f"t.{column}" for column in columns)])
    return f"SELECT {wanted} FROM {unnest(keys)} JOIN {table} AS t ON {keys_equal(keys, 1)}{routed}"


def delete_together(parts: Sequence[tuple[str, Sequence[TypedColumn]]]) -> str:
    """Return the DELETE of rows of several tables at once: an array per key column of each.

    The result is one row with an array per table: the ordinals (from 1) of the rows that were found.

    Foreign keys are checked at the end of a statement: rows that refer to each other can only go together.
    """
    deletes, first = [], 1
    for n, (table, keys) in enumerate(parts, 1):
        deletes.append(f"d{n} AS ({delete_guarded(table, keys, first)})")
        first += len(keys)
    found = ", ".join(f"ARRAY(SELECT ord FROM d{n})" for n in range(1, len(parts) + 1))
    return f"WITH {', '.join(deletes)} SELECT {found}"


def missing_rows(table: str, keys: Sequence[TypedColumn]) -> str:
    """Return the query for the ordinals (from 1) of the keys that have no row: an array per key column."""
    return f"SELECT d.ord FROM {unnest(keys)} WHERE NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {keys_equal(keys, 1)})"


def unnest(columns: Sequence[TypedColumn], first: int = 1, carried: Callable[[PgType[Any]], str] = as_array) -> str:
    """Return the rows `d` of columns c1, c2, … and `ord` (from 1): an array per column, from parameter `first`."""
    arrays = ", ".join(f"${n}::{carried(type_)}" for n, (_, type_) in enumerate(columns, first))
    fields = ", ".join(f"c{n}" for n in range(1, len(columns) + 1))
    return f"unnest({arrays}) WITH ORDINALITY AS d({fields}, ord)"


def _source(columns: Sequence[TypedColumn], carried: Callable[[PgType[Any]], str]) -> str:
    return unnest(columns, 1, carried) if columns else "generate_series(1, $1::int8) AS d(ord)"


def _values(columns: Sequence[TypedColumn]) -> str:
    return ", ".join(f"d.c{n}{type_.cast}" for n, (_, type_) in enumerate(columns, 1))


def _aliased(columns: Sequence[TypedColumn]) -> list[str]:
    return [f"d.c{n}{type_.cast} AS {name}" for n, (name, type_) in enumerate(columns, 1)]


def keys_equal(keys: Sequence[TypedColumn], first: int) -> str:
    """Return the condition that the key columns of `t` are the columns of `d` from number `first` on."""
    return " AND ".join(f"t.{name} = d.c{n}{type_.cast}" for n, (name, type_) in enumerate(keys, first))


def _returning(columns: Sequence[str]) -> str:
    return f" RETURNING {', '.join(columns)}" if columns else ""
