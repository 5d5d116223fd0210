"""Deletion: the rows of one class, and what their deletion means for loaded objects. Steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.unitofwork import links, routing, sql, versioning
from psqlmodel.core.unitofwork.collect import Changes
from psqlmodel.core.unitofwork.ordering import Group
from psqlmodel.core.unitofwork.sending import send
from psqlmodel.core.unitofwork.undo import AsTheyWere
from psqlmodel.core.unitofwork.updating import arrays_of, named_keys, read_versions, with_stored_keys
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
        objects, stored = with_stored_keys(mapper, changes.deleted[mapper])
        rows_of[mapper] = objects
        yield from links.unlink_deleted(workspace, mapper, objects)
        yield from read_versions(workspace, mapper, objects, "DELETE")
        keys = [*named_keys(mapper, type_of), *versioning.guards(mapper, type_of)]
        arrays = [*arrays_of(mapper, stored, type_of), *versioning.versions(mapper, objects, type_of)]
        if together and mapper.version is not None:
            yield from _check_versions(workspace, mapper, objects, Statement(sql.lock(mapper.qualified, keys), arrays))
        parts.append((mapper.qualified, keys))
        args += arrays
    if together:
        text = sql.delete_together(parts)
    else:
        routed = ""
        if first.distribution is not None and len(first.primary_key) > 1:
            routed, values = routing.route(first, args, type_of, len(args) + 1)
            args += values
        delete_rows = sql.delete if first.version is None else sql.delete_guarded
        text = delete_rows(*parts[0], routed=routed)
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
            gone = set(_values(deleted, key.remote)) - {None}
            loaded = workspace.identity.objects(child)
            pairs = zip(loaded, _values(loaded, key.local), strict=True)
            hit = [obj for obj, value in pairs if value in gone and obj._state.status != DELETED]
            if key.on_delete == "SET NULL":
                for obj in hit:
                    links.nullify(workspace, obj, key)
            elif hit:
                _presume_deleted(workspace, child, hit)
                mark_cascaded(workspace, child, hit)


def _values(objects: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Return what each object has in some columns: a tuple where they are several; None where one is None."""
    if len(names) == 1:
        (name,) = names
        return [obj.__dict__.get(name) for obj in objects]
    found = [tuple([obj.__dict__.get(name) for name in names]) for obj in objects]
    return [None if None in values else values for values in found]


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
    workspace.identity.remove(mapper, objects)
    unit.no_longer_deleted(objects)
    for obj in () if type(objects) is AsTheyWere else objects:
        unit.tracked.pop(id(obj), None)
        if obj._state.status != DELETED or obj._state.original:
            set_state(obj, State(unit, mapper, DELETED, obj._state.batch))
    links.leave_lists(mapper, objects)
