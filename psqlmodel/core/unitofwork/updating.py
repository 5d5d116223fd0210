"""Updating: changed rows of one class, one statement for each set of changed columns. Steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.transaction import execute
from psqlmodel.core.unitofwork import insertion, routing, sql, versioning
from psqlmodel.core.unitofwork.collect import dumped, dumped_column, outgoing, take_all_keys, values_of
from psqlmodel.core.unitofwork.sending import MANY, send
from psqlmodel.core.unitofwork.undo import AsTheyWere
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.versions import is_system
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Rows, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def update(workspace: Workspace, mapper: Mapper, columns: tuple[str, ...], objects: list[Any]) -> Steps[None]:
    """Write these columns of rows that the database has: one statement.

    Raises `StaleObjectError` where a row is not found, or has another version than its object.
    """
    relations = outgoing(mapper)
    take_all_keys(objects, relations)
    objects = in_key_order(mapper, objects)
    changed = [mapper.attributes[key] for key in columns if mapper.version is None or key != mapper.version.key]
    yield from _write(workspace, mapper, changed, values_of(objects, changed), objects)
    _rekey(workspace, mapper, columns, objects)


def _write(
    workspace: Workspace, mapper: Mapper, changed: list[Column[Any]], values: list[list[Any]], objects: list[Any]
) -> Steps[None]:
    """Send the UPDATE of an array of values for each column, and receive what the server makes anew."""
    yield from read_versions(workspace, mapper, objects, "UPDATE")
    computed = workspace.catalog.generated(mapper)
    made = [c for c in mapper.columns if c.generated or c.version or c.name in computed]
    statement = _statement(workspace, mapper, changed, values, objects, made)
    rows = yield from send(workspace, mapper, objects, statement)
    if rows.count != len(objects):
        yield from _stale(workspace, mapper, objects, rows)
    for column in made:
        for obj in objects:
            versioning.remember(obj, str(column.key))
    if made:
        insertion.receive(objects, made, rows, len(objects) > 1)


def _statement(
    workspace: Workspace,
    mapper: Mapper,
    changed: list[Column[Any]],
    values: list[list[Any]],
    objects: list[Any],
    made: list[Column[Any]],
) -> Statement:
    type_of = workspace.catalog.type_of
    types = [type_of(column) for column in changed]
    sets = sql.named(changed, types)
    keys = [*named_keys(mapper, type_of), *versioning.guards(mapper, type_of)]
    bump = versioning.bump(mapper)
    if not sets and not bump:  # only the version is to be checked
        bump = [f"{keys[0][0]} = t.{keys[0][0]}"]
    returning = [quote(str(column.name)) for column in made]
    guarding = versioning.versions(mapper, objects, type_of)
    columns = zip(changed, types, values, strict=True)
    if len(objects) == 1:
        ones = [dumped(mapper, column, type_, array[0]) for column, type_, array in columns]
        args = [*ones, *stored_key(mapper, objects[0], type_of), *_version(mapper, objects[0], type_of)]
        text = sql.update_one(mapper.qualified, sets, keys, returning, bump)
    else:
        arrays = [dumped_column(mapper, column, type_, array) for column, type_, array in columns]
        stored = key_arrays(mapper, objects, type_of)
        args = [*arrays, *stored, *guarding]
        if mapper.distribution is None:
            text = sql.update_many(mapper.qualified, sets, keys, returning, bump)
        else:
            routed, values = routing.route(mapper, stored, type_of, len(args) + 1)
            text = routing.update_many(mapper, sets, keys, returning, bump, routed)
            args += values
    return Statement(text, args, purpose="flush")


def named_keys(mapper: Mapper, type_of: Any) -> list[sql.TypedColumn]:
    """Return the primary key by its quoted names, with its types."""
    return sql.named(mapper.primary_key, [type_of(column) for column in mapper.primary_key])


def _version(mapper: Mapper, obj: Any, type_of: Any) -> list[Any]:
    """Return the version of one object as a wire value: none where there is no version."""
    version = mapper.version
    return [] if version is None else [dumped(mapper, version, type_of(version), obj.__dict__[version.key])]


def read_versions(workspace: Workspace, mapper: Mapper, objects: list[Any], operation: str) -> Steps[None]:
    """Read the versions of rows that the database itself changed in this transaction (ON DELETE SET NULL).

    Such a version is None without the program having set it. The one that is read can't tell what someone else did
    before; so the rows must say what their objects say. Raises `StaleObjectError` for those that don't; `operation` is
    what they are read for, in the message.
    """
    version = mapper.version
    if version is None or not is_system(version):
        return
    unread = [obj for obj in objects if obj.__dict__.get(version.key, "") is None]
    asked = [obj for obj in unread if version.key not in obj._state.original]
    if not asked:
        return
    keys = key_arrays(mapper, asked, workspace.catalog.type_of)
    columns = [version, *_compared(workspace, mapper)]
    rows = yield from _read(workspace, mapper, columns, keys)
    lost = versioning.lost_of(asked, insertion.alike(asked, columns[1:], rows))
    if lost:
        raise versioning.stale_error(mapper, operation, lost, len(objects))
    insertion.receive(asked, columns[:1], rows, numbered=True)


def _compared(workspace: Workspace, mapper: Mapper) -> list[Column[Any]]:
    """Return the columns that hold what programs wrote."""
    computed = workspace.catalog.generated(mapper)
    return [c for c in mapper.columns if not (c.primary_key or c.generated or c.version or c.name in computed)]


def read_new_versions(workspace: Workspace, mapper: Mapper, objects: Sequence[Any]) -> Steps[None]:
    """Read the versions of new rows whose INSERT did not give them back, before anyone else sees the rows."""
    version = versioning.withheld(mapper, workspace.catalog)
    if version is None or not objects:
        return
    arrays = arrays_of(mapper, [mapper.key_of(obj) for obj in objects], workspace.catalog.type_of)
    rows = yield from _read(workspace, mapper, [version], arrays)
    insertion.receive(objects, [version], rows, numbered=True)


def _read(workspace: Workspace, mapper: Mapper, columns: list[Column[Any]], keys: list[list[Any]]) -> Steps[Rows]:
    """Read columns of rows by key, each with its ordinal first."""
    names = [quote(str(column.name)) for column in columns]
    text = sql.by_keys(mapper.qualified, named_keys(mapper, workspace.catalog.type_of), names)
    return (yield from execute(workspace, Statement(text, keys, fresh=len(keys[0]) >= MANY, purpose="flush")))


def in_key_order(mapper: Mapper, objects: Sequence[Any]) -> list[Any]:
    """Sort rows by key, so that two sessions lock the same rows in the same order."""
    return list(objects) if len(objects) == 1 else with_stored_keys(mapper, objects)[0]


def with_stored_keys(mapper: Mapper, objects: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return objects in the order of `in_key_order`, and their keys in the database."""
    keys = mapper.keys_of(objects) if type(objects) is AsTheyWere else mapper.stored_keys_of(objects)
    try:
        if sorted(keys) == keys:  # as loaded objects mostly are: a tenth of the time
            return list(objects), keys
        order = sorted(range(len(keys)), key=keys.__getitem__)
    except TypeError:
        return list(objects), keys
    return [objects[n] for n in order], [keys[n] for n in order]


def stored_key(mapper: Mapper, obj: Any, type_of: Any) -> list[Any]:
    """Return the primary key of a row in the database as wire values."""
    [key] = mapper.stored_keys_of((obj,))
    parts = (key,) if len(mapper.primary_key) == 1 else key
    return [dumped(mapper, c, type_of(c), part) for c, part in zip(mapper.primary_key, parts, strict=True)]


def key_arrays(mapper: Mapper, objects: Sequence[Any], type_of: Any) -> list[list[Any]]:
    """Return the primary keys of rows in the database: an array for each column."""
    return arrays_of(mapper, mapper.stored_keys_of(objects), type_of)


def arrays_of(mapper: Mapper, keys: list[Any], type_of: Any) -> list[list[Any]]:
    """Return primary keys as an array for each column."""
    columns = mapper.primary_key
    parts = [keys] if len(columns) == 1 else [[key[n] for key in keys] for n in range(len(columns))]
    return [dumped_column(mapper, c, type_of(c), part) for c, part in zip(columns, parts, strict=True)]


def _rekey(workspace: Workspace, mapper: Mapper, columns: tuple[str, ...], objects: list[Any]) -> None:
    """Enter objects whose primary key changed under the new one."""
    if not any(column.key in columns for column in mapper.primary_key):
        return
    for obj in objects:
        workspace.identity.discard(mapper, mapper.stored_key_of(obj), obj)
    for obj in objects:
        workspace.identity.put(mapper, mapper.key_of(obj), obj)
        # The row is found under its new key from now on; the old one is in the undo log, which has the former mapping.
        found = {str(c.key): obj.__dict__[c.key] for c in mapper.primary_key if c.key in columns}
        obj._state.original = {**obj._state.original, **found}


def vacate(
    workspace: Workspace,
    mapper: Mapper,
    columns: tuple[str, ...],
    objects: list[Any],
    value: Callable[[Column[Any]], Any],
) -> Steps[None]:
    """Give columns of rows a value for the time being, so that others may have theirs; `value` makes one."""
    changed = [mapper.attributes[key] for key in columns]
    values = [[value(column) for _ in objects] for column in changed]
    yield from _write(workspace, mapper, changed, values, in_key_order(mapper, objects))


def _stale(workspace: Workspace, mapper: Mapper, objects: list[Any], answered: Rows) -> Steps[None]:
    """Find out which rows were not there, or not in the version that was read, and raise."""
    if mapper.version is None:
        type_of = workspace.catalog.type_of
        keys, args = named_keys(mapper, type_of), key_arrays(mapper, objects, type_of)
        if mapper.distribution is None:
            text = sql.missing_rows(mapper.qualified, keys)
            rows = yield from execute(workspace, Statement(text, args, purpose="flush"))
            missing = [row[0] for row in rows.data]
        else:
            missing = yield from routing.missing(workspace, mapper, keys, args, "flush")
        lost = [objects[n - 1] for n in missing] or objects
    else:
        found = [row[0] for row in answered.data] if len(objects) > 1 else []
        lost = versioning.lost_of(objects, found)
    raise versioning.stale_error(mapper, "UPDATE", lost, len(objects))
