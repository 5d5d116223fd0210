"""Updating: changed rows of one class, one statement for each set of changed columns. Steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.transaction import execute
from psqlmodel.core.unitofwork import insertion, sql
from psqlmodel.core.unitofwork.collect import dumped, dumped_column, outgoing, take_keys, value_of
from psqlmodel.core.unitofwork.sending import send
from psqlmodel.errors import StaleObjectError
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def update(workspace: Workspace, mapper: Mapper, columns: tuple[str, ...], objects: list[Any]) -> Steps[None]:
    """Write these columns of rows that the database has: one statement.

    Raises `StaleObjectError` where a row is not found.
    """
    relations = outgoing(mapper)
    for obj in objects:
        take_keys(obj, relations)
    objects = in_key_order(mapper, objects)
    type_of = workspace.catalog.type_of
    changed = [mapper.attributes[key] for key in columns]
    sets = sql.named(changed, [type_of(column) for column in changed])
    keys = sql.named(mapper.primary_key, [type_of(column) for column in mapper.primary_key])
    made = [c for c in mapper.columns if c.generated or c.name in workspace.catalog.generated(mapper)]
    returning = [quote(column.name) for column in made]
    if len(objects) == 1:
        obj = objects[0]
        values = [dumped(mapper, c, type_of(c), value_of(obj, c.key)) for c in changed]
        text = sql.update_one(mapper.qualified, sets, keys, returning)
        args = [*values, *stored_key(mapper, obj, type_of)]
    else:
        arrays = [dumped_column(mapper, c, type_of(c), [value_of(o, c.key) for o in objects]) for c in changed]
        text = sql.update_many(mapper.qualified, sets, keys, returning)
        args = [*arrays, *key_arrays(mapper, objects, type_of)]
    rows = yield from send(workspace, mapper, objects, Statement(text, args, purpose="flush"))
    if rows.count != len(objects):
        yield from stale(workspace, mapper, objects, "UPDATE")
    if made:
        insertion.receive(objects, made, rows, len(objects) > 1)
    _rekey(workspace, mapper, columns, objects)


def in_key_order(mapper: Mapper, objects: Sequence[Any]) -> list[Any]:
    """Sort rows by key, so that two sessions lock the same rows in the same order."""
    try:
        return sorted(objects, key=mapper.stored_key_of)
    except TypeError:
        return list(objects)


def stored_key(mapper: Mapper, obj: Any, type_of: Any) -> list[Any]:
    """Return the primary key of a row in the database as wire values."""
    key = mapper.stored_key_of(obj)
    parts = (key,) if len(mapper.primary_key) == 1 else key
    return [dumped(mapper, c, type_of(c), part) for c, part in zip(mapper.primary_key, parts, strict=True)]


def key_arrays(mapper: Mapper, objects: Sequence[Any], type_of: Any) -> list[list[Any]]:
    """Return the primary keys of rows in the database: an array for each column."""
    stored = [mapper.stored_key_of(obj) for obj in objects]
    columns = mapper.primary_key
    parts = [stored] if len(columns) == 1 else [[key[n] for key in stored] for n in range(len(columns))]
    return [dumped_column(mapper, c, type_of(c), part) for c, part in zip(columns, parts, strict=True)]


def _rekey(workspace: Workspace, mapper: Mapper, columns: tuple[str, ...], objects: list[Any]) -> None:
    """Enter objects whose primary key changed under the new one."""
    if not any(column.key in columns for column in mapper.primary_key):
        return
    for obj in objects:
        workspace.identity.discard(mapper, mapper.stored_key_of(obj), obj)
    for obj in objects:
        workspace.identity.put(mapper, mapper.key_of(obj), obj)
        # The row is found under its new key from now on; the old one is in the undo log.
        obj._state.original.update((str(c.key), obj.__dict__[c.key]) for c in mapper.primary_key if c.key in columns)


def vacate(
    workspace: Workspace,
    mapper: Mapper,
    columns: tuple[str, ...],
    objects: list[Any],
    value: Callable[[Column[Any]], Any],
) -> Steps[None]:
    """Give columns of rows a value for the time being, so that others may have theirs; `value` makes one."""
    type_of = workspace.catalog.type_of
    changed = [mapper.attributes[key] for key in columns]
    sets = sql.named(changed, [type_of(column) for column in changed])
    keys = sql.named(mapper.primary_key, [type_of(column) for column in mapper.primary_key])
    arrays = [dumped_column(mapper, c, type_of(c), [value(c) for _ in objects]) for c in changed]
    text = sql.update_many(mapper.qualified, sets, keys, ())
    args = [*arrays, *key_arrays(mapper, objects, type_of)]
    _ = yield from send(workspace, mapper, objects, Statement(text, args, purpose="flush"))


def stale(workspace: Workspace, mapper: Mapper, objects: list[Any], operation: str) -> Steps[None]:
    """Find out which rows were not there, and raise."""
    type_of = workspace.catalog.type_of
    lost = objects
    if operation == "UPDATE":
        keys = sql.named(mapper.primary_key, [type_of(column) for column in mapper.primary_key])
        statement = Statement(
            sql.missing_rows(mapper.qualified, keys), key_arrays(mapper, objects, type_of), purpose="flush"
        )
        rows = yield from execute(workspace, statement)
        lost = [objects[row[0] - 1] for row in rows.data] or objects
    named = ", ".join(f"{mapper.name} {mapper.stored_key_of(obj)!r}" for obj in lost[:5])
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    which = f"{len(lost)} of {len(objects)} rows" if operation == "UPDATE" else "at least one row"
    raise StaleObjectError(
        f"{operation} of {mapper.qualified} did not find {which} ({named}{more}): someone else deleted them or "
        "changed their keys; refresh or reload the objects and try again",
        tuple(lost),
    )
