"""Flush: from the changes of a unit of work to statements, one for each table, operation and set of columns. Steps.

The order is: link rows that go, new rows (parents first), changed rows, link rows that come, deleted rows (children
first). What the rows were before goes to the undo log before anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.transaction import execute, fail, within
from psqlmodel.core.unitofwork import insertion, links, sql
from psqlmodel.core.unitofwork.collect import (
    Changes,
    collect,
    dumped,
    dumped_column,
    outgoing,
    take_keys,
    validate,
    value_of,
)
from psqlmodel.core.unitofwork.ordering import parents_first
from psqlmodel.core.unitofwork.sending import send
from psqlmodel.errors import StaleObjectError
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.state import DELETED, Raw, State, raw_name, set_state
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def flush(workspace: Workspace) -> Steps[None]:
    """Write all changes of the session's unit of work in its transaction.

    Raises what the server reports and `StaleObjectError` for a row that is gone, after the transaction is rolled back
    and the objects are restored; `InvalidValueError` for a value that does not fit, before anything is sent.
    """
    unit, catalog = workspace.unit, workspace.catalog
    if not unit.has_changes:
        return
    touched = {type(o).__mapper__ for held in (unit.new, unit.tracked, unit.deleted) for o in held.values()}
    if catalog.missing(touched):
        yield from within(workspace, catalog.ensure(touched))
    changes = collect(unit)
    validate(changes, catalog.type_of)
    _remember(workspace, changes)
    try:
        yield from _write(workspace, changes)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield from fail(workspace, error)
        raise
    _settle(workspace, changes)


def _write(workspace: Workspace, changes: Changes) -> Steps[None]:
    order = parents_first(changes.mappers)
    yield from links.unlink(workspace, changes.unlinked)
    for mapper in order:
        yield from insertion.insert(workspace, mapper, changes)
    for (mapper, columns), objects in changes.late.items():  # keys that a circle of rows left open
        yield from _update(workspace, mapper, columns, objects)
    for mapper in order:
        for columns, objects in changes.changed.get(mapper, {}).items():
            yield from _update(workspace, mapper, columns, objects)
    yield from links.link(workspace, changes.linked)
    for mapper in reversed(order):
        yield from _delete(workspace, mapper, changes.deleted.get(mapper, ()))
    if changes.written:
        workspace.transaction.worked = True


def _remember(workspace: Workspace, changes: Changes) -> None:
    undo = workspace.unit.undo
    for objects in changes.new.values():
        for obj in objects:
            undo.inserted(obj)
    for obj in workspace.unit.tracked.values():
        undo.updated(obj, obj._state.original)
    for objects in changes.deleted.values():
        for obj in objects:
            undo.deleted(obj, obj._state.original)


# --- updates --------------------------------------------------------------------------------------------------------


def _update(workspace: Workspace, mapper: Mapper, columns: tuple[str, ...], objects: list[Any]) -> Steps[None]:
    relations = outgoing(mapper)
    for obj in objects:
        take_keys(obj, relations)
    objects = _in_key_order(mapper, objects)
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
        args = [*values, *_stored_key(mapper, obj, type_of)]
    else:
        arrays = [dumped_column(mapper, c, type_of(c), [value_of(o, c.key) for o in objects]) for c in changed]
        text = sql.update_many(mapper.qualified, sets, keys, returning)
        args = [*arrays, *_key_arrays(mapper, objects, type_of)]
    rows = yield from send(workspace, mapper, objects, Statement(text, args, purpose="flush"))
    if rows.count != len(objects):
        yield from _stale(workspace, mapper, objects, "UPDATE")
    if made:
        insertion.receive(objects, made, rows, len(objects) > 1)
    _rekey(workspace, mapper, columns, objects)


def _in_key_order(mapper: Mapper, objects: Sequence[Any]) -> list[Any]:
    """Sort rows by key, so that two sessions lock the same rows in the same order."""
    try:
        return sorted(objects, key=mapper.stored_key_of)
    except TypeError:
        return list(objects)


def _stored_key(mapper: Mapper, obj: Any, type_of: Any) -> list[Any]:
    key = mapper.stored_key_of(obj)
    parts = (key,) if len(mapper.primary_key) == 1 else key
    return [dumped(mapper, c, type_of(c), part) for c, part in zip(mapper.primary_key, parts, strict=True)]


def _key_arrays(mapper: Mapper, objects: Sequence[Any], type_of: Any) -> list[list[Any]]:
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


# --- deletes --------------------------------------------------------------------------------------------------------


def _delete(workspace: Workspace, mapper: Mapper, objects: Sequence[Any]) -> Steps[None]:
    if not objects:
        return
    objects = _in_key_order(mapper, objects)
    yield from links.unlink_deleted(workspace, mapper, objects)
    type_of = workspace.catalog.type_of
    keys = sql.named(mapper.primary_key, [type_of(column) for column in mapper.primary_key])
    args = _key_arrays(mapper, objects, type_of)
    statement = Statement(sql.delete(mapper.qualified, keys), args, purpose="flush")
    rows = yield from send(workspace, mapper, objects, statement)
    if rows.count != len(objects):
        yield from _stale(workspace, mapper, objects, "DELETE")


def _stale(workspace: Workspace, mapper: Mapper, objects: list[Any], operation: str) -> Steps[None]:
    """Find out which rows were not there, and raise."""
    type_of = workspace.catalog.type_of
    lost = objects
    if operation == "UPDATE":
        keys = sql.named(mapper.primary_key, [type_of(column) for column in mapper.primary_key])
        statement = Statement(
            sql.missing_rows(mapper.qualified, keys), _key_arrays(mapper, objects, type_of), purpose="flush"
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


def _mark_cascaded(workspace: Workspace, mapper: Mapper, deleted: list[Any]) -> None:
    """Follow ON DELETE for loaded objects: those that the database deleted too, and keys that it set to NULL."""
    for child in workspace.identity.mappers():
        for key in links.keys_to(child, mapper):
            gone = {tuple(obj.__dict__.get(name) for name in key.remote) for obj in deleted}
            hit = [
                obj
                for obj in workspace.identity.objects(child)
                if tuple(obj.__dict__.get(name) for name in key.local) in gone and obj._state.status != DELETED
            ]
            if key.on_delete == "SET NULL":
                for obj in hit:
                    links.nullify(workspace, obj, key)
            elif hit:
                for obj in hit:
                    _now_deleted(workspace, obj)
                _mark_cascaded(workspace, child, hit)


def _now_deleted(workspace: Workspace, obj: Any) -> None:
    unit, mapper = workspace.unit, type(obj).__mapper__
    state = State(unit, mapper, DELETED, obj._state.batch)
    unit.undo.deleted(obj, obj._state.original)
    workspace.identity.discard(mapper, mapper.stored_key_of(obj), obj)
    unit.tracked.pop(id(obj), None)
    set_state(obj, state)


# --- afterwards -----------------------------------------------------------------------------------------------------


def _settle(workspace: Workspace, changes: Changes) -> None:
    """Make everything that was written clean: what the database has is what the objects say."""
    unit = workspace.unit
    for mapper, objects in changes.new.items():
        # What one of them lacks later is loaded for all that were written together.
        batch = unit.batch(mapper) if mapper.relations and len(objects) > 1 else None
        if batch is not None:
            batch.bring(objects)
        for obj in objects:
            obj._state.batch = batch
            unit.settle(obj, baseline(obj))
    for mapper, deleted in changes.deleted.items():
        for obj in deleted:
            unit.deleted.pop(id(obj), None)
            _now_deleted(workspace, obj)
            links.leave_lists(obj)
        _mark_cascaded(workspace, mapper, deleted)
    for obj in list(unit.tracked.values()):
        unit.undo.updated(obj, obj._state.original)
        unit.settle(obj, baseline(obj))


def baseline(obj: Any) -> dict[str, Any]:
    """Return what values that can be edited in place are compared with from now on: those that were handed out."""
    mapper = type(obj).__mapper__
    values = obj.__dict__
    found: dict[str, Any] = {}
    for key in mapper.mutable:
        value = values.get(key)
        if value is not None and raw_name(key) not in values:
            found[key] = Raw(mapper.attributes[key].type.dump(value))
    return found
