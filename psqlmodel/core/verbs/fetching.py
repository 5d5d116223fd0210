"""Fetching: many objects by their keys, and merging objects from elsewhere into the session. Steps: one query each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.loading.access import identity_key
from psqlmodel.core.loading.keys import tuple_in
from psqlmodel.core.loading.reading import autoflush, fetch, load_rows
from psqlmodel.core.unitofwork.collect import changed_columns
from psqlmodel.core.verbs.written import listed
from psqlmodel.errors import (
    InvalidValueError,
    MissingPrimaryKeyError,
    NotMappedError,
    ObjectStateError,
    StaleObjectError,
)
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.model.state import DELETED, DETACHED, TRANSIENT
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
    found = yield from _by_keys(workspace, mapper, wanted)
    return [found.get(key) for key in wanted]


def _by_keys(workspace: Workspace, mapper: Mapper, keys: Sequence[Any]) -> Steps[dict[Any, Any]]:
    """Return the objects with these keys that there are, by key; those that the session deletes are not there."""
    found = _known(workspace, mapper, keys)
    if len(found) < len(set(keys)):
        yield from autoflush(workspace, frozenset((mapper.qualified,)))
        found = _known(workspace, mapper, keys)
    missing = [key for key in dict.fromkeys(keys) if key not in found]
    if missing:
        columns = mapper.primary_key
        condition = columns[0].In(missing) if len(columns) == 1 else tuple_in(columns, columns, missing)
        compiled, rows = yield from fetch(workspace, Select(mapper.cls).Where(condition), purpose="load")
        loaded = load_rows(workspace, compiled, rows).items
        found.update((mapper.stored_key_of(obj), obj) for obj in loaded)
    return {key: obj for key, obj in found.items() if obj._state.status != DELETED}


def _known(workspace: Workspace, mapper: Mapper, keys: Sequence[Any]) -> dict[Any, Any]:
    pairs = ((key, workspace.identity.get(mapper, key)) for key in keys)
    return {key: obj for key, obj in pairs if obj is not None}


def merge(workspace: Workspace, objects: Any) -> Steps[Any]:
    """Bring the values of objects from elsewhere into the session's objects; return these, in order, or the one.

    A new object with a key gives all values that were set; where there is no row, the session gets a new object. A
    detached one gives what was changed since it was loaded. The given objects stay as they are, and relations are not
    followed. One query for each class. Raises `MissingPrimaryKeyError` for an object without key, `ObjectStateError`
    for one of another open session, `StaleObjectError` where the row of a detached object is gone, or has another
    version than an object that has changes.
    """
    given = listed(objects, "merge")
    wanted: dict[Mapper, list[Any]] = {}
    for position, obj in enumerate(given):
        if not _is_ours(workspace, obj, position):
            wanted.setdefault(type(obj).__mapper__, []).append(_key(obj, position))
    found: dict[Mapper, dict[Any, Any]] = {}
    for mapper, keys in wanted.items():
        found[mapper] = yield from _by_keys(workspace, mapper, keys)
    targets = [
        obj if _is_ours(workspace, obj, position) else found[type(obj).__mapper__].get(_key(obj, position))
        for position, obj in enumerate(given)
    ]
    _refuse_older(given, targets)
    merged = [_merged(workspace, obj, target, found) for obj, target in zip(given, targets, strict=True)]
    return merged if isinstance(objects, Iterable) else merged[0]


def _is_ours(workspace: Workspace, obj: Any, position: int) -> bool:
    state = obj._state
    if state is TRANSIENT or state.status == DETACHED:
        return False
    if state.unit is workspace.unit:
        return True
    raise ObjectStateError(
        f"merge: objects[{position}], a {type(obj).__name__}, belongs to another session: "
        "commit and close that one first"
    )


def _key(obj: Any, position: int) -> Any:
    mapper = type(obj).__mapper__
    key = mapper.stored_key_of(obj) if mapper.primary_key else None
    if key is None or (isinstance(key, tuple) and None in key):
        raise MissingPrimaryKeyError(f"merge: objects[{position}] has no {mapper.name} key: add it as a new object")
    return key


def _refuse_older(given: Sequence[Any], targets: Sequence[Any]) -> None:
    """Refuse what can't be merged before anything is changed."""
    lost = []
    for obj, target in zip(given, targets, strict=True):
        version = type(obj).__mapper__.version
        gone = target is None and obj._state is not TRANSIENT
        if gone or (
            target is not None and target is not obj and version is not None and _differs(obj, target, version)
        ):
            lost.append(obj)
    if lost:
        named = ", ".join(f"{type(obj).__name__} {_key(obj, 0)!r}" for obj in lost[:5])
        raise StaleObjectError(
            f"merge: {len(lost)} of {len(given)} objects ({named}) are older than their rows, or their rows are gone: "
            "load them again",
            tuple(lost),
            tuple(_values(obj) for obj in lost),
        )


def _differs(obj: Any, target: Any, version: Any) -> bool:
    if obj._state is not TRANSIENT and not changed_columns(obj):
        return False
    if obj._state is TRANSIENT and version.has_default():
        return False  # a new object has the first version without having read any
    mine = obj.__dict__.get(version.key)
    return mine is not None and bool(mine != target.__dict__.get(version.key))


def _values(obj: Any) -> dict[str, Any]:
    """Return the values to be merged: of a new object what was set, of a detached one what was changed."""
    mapper = type(obj).__mapper__
    values = obj._values(copy_mutable=True)
    keys = values if obj._state is TRANSIENT else changed_columns(obj)
    version = mapper.version
    return {
        key: values[key]
        for key in keys
        if key in values and mapper.attributes[key].generated is None and (version is None or key != version.key)
    }


def _merged(workspace: Workspace, obj: Any, target: Any, found: dict[Mapper, dict[Any, Any]]) -> Any:
    if target is obj:
        return obj
    mapper = type(obj).__mapper__
    values = _values(obj)
    if target is None:
        target = found[mapper].get(mapper.key_of(obj))  # the same key twice in the list
    if target is None:
        target = found[mapper][mapper.key_of(obj)] = mapper.cls(**values)
        workspace.unit.add(target)
        return target
    for key, value in values.items():
        if not mapper.attributes[key].primary_key or obj._state is not TRANSIENT:
            setattr(target, key, value)
    return target
