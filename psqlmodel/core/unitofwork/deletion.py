"""Deletion: the rows of one class, and what their deletion means for loaded objects. Steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.unitofwork import links, sql, versioning
from psqlmodel.core.unitofwork.collect import Changes
from psqlmodel.core.unitofwork.ordering import Group
from psqlmodel.core.unitofwork.sending import send
from psqlmodel.core.unitofwork.updating import in_key_order, key_arrays, named_keys, read_versions
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.state import DELETED, Presumed, State, set_state
from psqlmodel.steps import Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def delete(workspace: Workspace, group: Group, changes: Changes) -> Steps[None]:
    """Delete the rows of one class, or together those of classes that refer to each other: one statement.

    Raises `StaleObjectError` where a row is not found, or has another version than its object.
    """
    type_of = workspace.catalog.type_of
    first, together = group[0], len(group) > 1
    rows_of: dict[Mapper, list[Any]] = {}
    parts: list[tuple[str, list[sql.TypedColumn]]] = []
    args: list[Any] = []
    for mapper in group:
        objects = rows_of[mapper] = in_key_order(mapper, changes.deleted[mapper])
        yield from links.unlink_deleted(workspace, mapper, objects)
        yield from read_versions(workspace, mapper, objects, "DELETE")
        keys = [*named_keys(mapper, type_of), *versioning.guards(mapper, type_of)]
        arrays = [*key_arrays(mapper, objects, type_of), *versioning.versions(mapper, objects, type_of)]
        if together and mapper.version is not None:
            yield from _check_versions(workspace, mapper, objects, Statement(sql.lock(mapper.qualified, keys), arrays))
        parts.append((mapper.qualified, keys))
        args += arrays
    if together:
        text = sql.delete_together(parts)
    else:
        text = sql.delete(*parts[0]) if first.version is None else sql.delete_guarded(*parts[0])
    rows = yield from send(workspace, first, rows_of[first], Statement(text, args, purpose="flush"))
    if not together and rows.count == len(rows_of[first]):
        return
    # Without a version a DELETE only tells how many rows it found: then any of its objects may have lost.
    found = rows.data[0] if together else [[row[0] for row in rows.data] or [0] * rows.count]
    for (mapper, objects), ordinals in zip(rows_of.items(), found, strict=True):
        if len(ordinals) != len(objects):
            lost = versioning.lost_of(objects, ordinals) or objects
            raise versioning.stale_error(mapper, "DELETE", lost, len(objects), len(objects) - len(ordinals))


def _check_versions(workspace: Workspace, mapper: Mapper, objects: list[Any], lock: Statement) -> Steps[None]:
    """Compare versions before rows that refer to each other go: one that stays would be a foreign key's error."""
    lock.purpose = "flush"
    rows = yield from send(workspace, mapper, objects, lock)
    lost = versioning.lost_of(objects, [row[0] for row in rows.data])
    if lost:
        raise versioning.stale_error(mapper, "DELETE", lost, len(objects))


def mark_cascaded(workspace: Workspace, mapper: Mapper, deleted: list[Any]) -> None:
    """Follow ON DELETE for loaded objects: those that the database deleted too, and keys that it set to NULL.

    By the keys that the session knows: someone else may have changed them since, so it is presumed and not certain.
    """
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
                _presume_deleted(workspace, child, hit)
                mark_cascaded(workspace, child, hit)


def _presume_deleted(workspace: Workspace, mapper: Mapper, objects: list[Any]) -> None:
    """Take objects of one class off the session's books; they stay in the identity map for rows that live yet."""
    unit = workspace.unit
    unit.undo.deleted(objects)
    for obj in objects:
        _ = unit.tracked.pop(id(obj), None)
        set_state(obj, Presumed(unit, mapper, DELETED, obj._state.batch))
    links.leave_lists(mapper, objects)


def now_deleted(workspace: Workspace, mapper: Mapper, objects: Sequence[Any]) -> None:
    """Take objects of one class whose rows are gone out of the session's books, and off the lists of others."""
    unit = workspace.unit
    unit.undo.deleted(objects)
    known = workspace.identity.of(mapper)
    for obj, key in zip(objects, mapper.stored_keys_of(objects), strict=True):
        reference = known.get(key)
        if reference is not None and reference() is obj:
            del known[key]
        unit.tracked.pop(id(obj), None)
        unit.deleted.pop(id(obj), None)
        if obj._state.status != DELETED or obj._state.original:
            set_state(obj, State(unit, mapper, DELETED, obj._state.batch))
    links.leave_lists(mapper, objects)
