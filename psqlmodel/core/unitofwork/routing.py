"""Routing: statements about rows of a distributed table say on which shards these are. Pure, but for `missing`.

A statement that names its rows by arrays of keys is sent to all shards: the server does not look into arrays that are
joined. So it names the values of the distribution column besides, each once (`t.tenant_id = ANY($4)`), and goes to one
shard where all rows are of one tenant. Tables that are not distributed never come here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.transaction import execute
from psqlmodel.core.unitofwork import sql
from psqlmodel.errors import ObjectStateError, QueryError
from psqlmodel.model.mapper import Mapper
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Statement, Steps
from psqlmodel.types import PgType

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace
    from psqlmodel.model.fields import Column


def route(mapper: Mapper, keys: Sequence[list[Any]], type_of: Any, number: int) -> tuple[str, list[Any]]:
    """Return a condition on the rows `t`, for behind others, and its arguments, which begin with parameter `number`.

    `keys` are the arrays of the primary key. Both are empty where no shard can be told (a reference table).
    """
    for column, array in zip(mapper.primary_key, keys, strict=False):
        if column is by(mapper):
            return condition(column, type_of(column), array, number)
    return "", []


def condition(column: Column[Any], type_: PgType[Any], values: list[Any], number: int) -> tuple[str, list[Any]]:
    """Return the condition that the distribution column of `t` is one of some wire values, and its argument."""
    cast = f"{type_.cast}[]" if type_.cast else ""
    text = f" AND t.{quote(str(column.name))} = ANY(${number}::{type_.transport}[]{cast})"
    return text, [list(dict.fromkeys(values))]


def by(mapper: Mapper) -> Column[Any] | None:
    """Return the column by which the rows of a table are distributed, if they are."""
    return None if mapper.distribution is None else mapper.distribution.column


def update_many(
    mapper: Mapper,
    columns: Sequence[sql.TypedColumn],
    keys: Sequence[sql.TypedColumn],
    returning: Sequence[str],
    made: Sequence[str],
    routed: str,
) -> str:
    """Return the UPDATE of many rows, as `sql.update_many` does.

    Citus takes no function in it that is not immutable, and the casts of some types are none: they come before it.
    """
    if any(type_.cast for _, type_ in (*columns, *keys)):
        return sql.update_many_cast(mapper.qualified, columns, keys, returning, made, routed)
    return sql.update_many(mapper.qualified, columns, keys, returning, made, routed)


def missing(
    workspace: Workspace, mapper: Mapper, keys: Sequence[sql.TypedColumn], arrays: list[list[Any]], purpose: str
) -> Steps[list[int]]:
    """Return the ordinals (from 1) of the keys that have no row.

    By those that have one: Citus takes no `NOT EXISTS` about rows that come from arrays.
    """
    routed, values = route(mapper, arrays, workspace.catalog.type_of, len(keys) + 1)
    text = sql.by_keys(mapper.qualified, keys, [], routed)
    rows = yield from execute(workspace, Statement(text, [*arrays, *values], purpose=purpose))
    found = {row[0] for row in rows.data}
    return [n for n in range(1, len(arrays[0]) + 1) if n not in found]


def refuse_moved(mapper: Mapper, changed: dict[tuple[str, ...], list[Any]]) -> None:
    """Refuse a change of the distribution column: a row does not move to another shard.

    `changed` are changed objects by the columns that changed. Raises `ObjectStateError`.
    """
    column = by(mapper)
    for columns, objects in changed.items():
        if column is not None and column.key in columns:
            raise ObjectStateError(
                f"{mapper.name} {mapper.stored_key_of(objects[0])!r}: {column.key} can't change, for it says on which "
                f"shard the row is: set it back, or delete this {mapper.name} and add another with the new {column.key}"
            )


def check_written(mapper: Mapper, columns: Sequence[Any], verb: str) -> None:
    """Refuse to write the distribution column of rows that are there already.

    Raises `QueryError`.
    """
    column = by(mapper)
    if column is not None and any(each is column for each in columns):
        raise QueryError(
            f"{verb} would write {mapper.name}.{column.key}, which says on which shard a row is, and can't change: "
            "leave it out"
        )
