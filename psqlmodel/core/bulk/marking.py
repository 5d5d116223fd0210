"""Marking: what bulk work leaves on models, and on objects that the session has of the same rows.

A session knows its objects by their keys. Those whose rows were written are read again, with one query for each class
and chunk; what the program changed in them stays changed, and a rollback brings them back. Where the session has none
of them, nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.loading.access import reload_columns
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.state import DELETED, TRANSIENT, UNSET, Raw, raw_name, set_state
from psqlmodel.steps import Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def put(items: Sequence[Any], key: str, values: Sequence[Any]) -> None:
    """Put a value on each object or dictionary; other mappings may be read only."""
    if items and isinstance(items[0], Mapping):
        for item, value in zip(items, values, strict=True):
            if isinstance(item, dict):
                item[key] = value
    else:
        for item, value in zip(items, values, strict=True):
            item.__dict__[key] = value


def detach(mapper: Mapper, objects: Iterable[Any]) -> None:
    """Let new objects know that they have rows."""
    for obj in objects:
        if obj._state is TRANSIENT:
            set_state(obj, mapper.detached)


def held(workspace: Workspace, mapper: Mapper, keys: Iterable[Any]) -> list[Any]:
    """Return the objects that the session has of the rows with these primary keys."""
    if not workspace.identity.knows(mapper):
        return []
    wanted = set(keys)
    loaded = workspace.identity.objects(mapper)
    pairs = zip(loaded, mapper.stored_keys_of(loaded), strict=True)
    return [obj for obj, key in pairs if key in wanted and obj._state.status != DELETED]


def read_again(
    workspace: Workspace, mapper: Mapper, written: Sequence[Column[Any]], keys: Iterable[Any], models: Sequence[Any]
) -> Steps[None]:
    """Give the session's objects with these keys what their rows have now, in the columns that were written.

    Columns that the server computes, and the version, count as written. `models` are those that the rows came from:
    they know what was written already.
    """
    objects = held(workspace, mapper, keys)
    computed = workspace.catalog.generated(mapper)
    made = [column for column in mapper.columns if column.version or column.name in computed]
    if objects and not made:
        known = set(map(id, models))
        objects = [obj for obj in objects if id(obj) not in known]
    if not objects:
        return
    columns = [c for c in {c.key: c for c in (*written, *made)}.values() if not c.primary_key]
    for obj in objects:
        workspace.unit.undo.updated(obj, {column.key or "": _before(obj, column.key or "") for column in columns})
    yield from reload_columns(workspace, mapper, objects, columns)


def _before(obj: Any, key: str) -> Any:
    values, original = obj.__dict__, obj._state.original
    if key in original:
        return original[key]
    raw = raw_name(key)
    return Raw(values[raw]) if raw in values else values.get(key, UNSET)
