"""Fetching: many objects by their keys. Steps: one query for those that the session does not have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.loading.access import identity_key
from psqlmodel.core.loading.keys import tuple_in
from psqlmodel.core.loading.reading import autoflush, fetch, load_rows
from psqlmodel.errors import InvalidValueError, NotMappedError
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.model.state import DELETED
from psqlmodel.query.select import Select
from psqlmodel.steps import Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def get_many(workspace: Workspace, model: Any, keys: Any) -> Steps[list[Any]]:
    """Return the objects with these primary keys, in their order; None for a key without a row.

    What the session has needs no statement; the rest is one query. Raises what `get` raises.
    """
    if not isinstance(model, type):
        raise NotMappedError(f"get_many takes a model class and keys, not {type(model).__name__} as its class")
    mapper = mapper_of(model)
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        raise InvalidValueError(f"get_many takes a list of keys of {mapper.name}, not {type(keys).__name__}")
    wanted = [identity_key(mapper, key) for key in keys]
    found = yield from by_keys(workspace, mapper, wanted)
    return [found.get(key) for key in wanted]


def by_keys(workspace: Workspace, mapper: Mapper, keys: Sequence[Any]) -> Steps[dict[Any, Any]]:
    """Return the objects with these keys that there are, by key; those that the session deletes are not there."""
    found = _known(workspace, mapper, keys)
    if len(found) < len(set(keys)):
        yield from autoflush(workspace, frozenset((mapper.qualified,)))
        found = _known(workspace, mapper, keys)
    missing = [key for key in dict.fromkeys(keys) if key not in found]
    if missing:
        columns = mapper.primary_key
        condition = columns[0].In(missing) if len(columns) == 1 else tuple_in(columns, columns, missing)
        query = Select(mapper.cls).Where(condition)
        compiled, rows = yield from fetch(workspace, query, purpose="load")
        loaded = load_rows(workspace, query, compiled, rows).items
        found.update((mapper.stored_key_of(obj), obj) for obj in loaded)
    return {key: obj for key, obj in found.items() if obj._state.status != DELETED}


def _known(workspace: Workspace, mapper: Mapper, keys: Sequence[Any]) -> dict[Any, Any]:
    pairs = ((key, workspace.identity.get(mapper, key)) for key in keys)
    return {key: obj for key, obj in pairs if obj is not None}
