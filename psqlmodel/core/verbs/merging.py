"""Merging: objects from elsewhere, and what hangs on them by loaded relations, become the session's. Steps.

First everything is read, level by level, with one query for each class and for each relation of a level; then it is
decided whether all of it can be merged; then it is copied, and nothing is sent any more. What counts is what the
program said: of a detached object its changes, of a new one all that it was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.loading.include import include
from psqlmodel.core.unitofwork.collect import changed_columns
from psqlmodel.core.verbs.books import changes
from psqlmodel.core.verbs.fetching import by_keys
from psqlmodel.core.verbs.written import listed
from psqlmodel.errors import MissingPrimaryKeyError, ObjectStateError, StaleObjectError
from psqlmodel.model.collections import distinct
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.relations import RelationInfo
from psqlmodel.model.state import DETACHED, TRANSIENT, UNSET, Raw
from psqlmodel.steps import Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def merge(workspace: Workspace, objects: Any) -> Steps[Any]:
    """Bring the values of objects from elsewhere into the session's objects; return these, in order, or the one.

    A new object with a key gives all values that were set; where there is no row, the session gets a new object. A
    detached one gives what was changed since it was loaded. Loaded relations are followed; the given objects stay as
    they are. Raises `MissingPrimaryKeyError` for a given object without key, `ObjectStateError` for one of another
    open session, `StaleObjectError` where the row of a detached object is gone, or has another version than an object
    that has changes.
    """
    given = listed(objects, "merge")
    for position, obj in enumerate(given):
        if not _is_ours(workspace, obj, f"objects[{position}]") and _key(obj) is None:
            name = type(obj).__mapper__.name
            raise MissingPrimaryKeyError(f"merge: objects[{position}] has no {name} key: add it as a new object")
    graph = _Graph(given)
    level = graph.enter(workspace, given)
    while level:
        yield from _find(workspace, graph, level)
        yield from _load(workspace, graph, level)
        level = graph.enter(workspace, _related(level))
    _refuse_older(graph)
    known = {key: obj for key, obj in graph.foreign.items() if key in graph.targets}
    _make_missing(workspace, graph)
    for obj in graph.foreign.values():
        _copy_relations(graph, obj)
    for key, obj in known.items():
        _copy_columns(obj, graph.targets[key])
    merged = [graph.targets[id(obj)] for obj in given]
    return merged if isinstance(objects, Iterable) else merged[0]


class _Graph:
    """What is merged: the given objects and all that hang on them, and what stands for each in the session.

    `foreign` are those that are not the session's own, `targets` the session's objects by the id of what they stand
    for.
    """

    __slots__ = ("foreign", "given", "targets")

    def __init__(self, given: Iterable[Any]) -> None:
        self.given = {id(obj) for obj in given}
        self.foreign: dict[int, Any] = {}
        self.targets: dict[int, Any] = {}

    def enter(self, workspace: Workspace, objects: Iterable[Any]) -> list[Any]:
        """Take in objects; return those that are to be looked up."""
        level = []
        for obj in objects:
            if id(obj) in self.foreign or id(obj) in self.targets:
                continue
            if _is_ours(workspace, obj, "a related object"):
                self.targets[id(obj)] = obj
            else:
                self.foreign[id(obj)] = obj
                level.append(obj)
        return level

    def standing_for(self, objects: Iterable[Any]) -> list[Any]:
        """Return what stands for these objects, each once; nothing for a row that is gone."""
        return list(distinct(self.targets[id(obj)] for obj in objects if id(obj) in self.targets))


def _is_ours(workspace: Workspace, obj: Any, called: str) -> bool:
    state = obj._state
    if state is TRANSIENT or state.status == DETACHED:
        return False
    if state.unit is workspace.unit:
        return True
    raise ObjectStateError(
        f"merge: {called}, a {type(obj).__name__}, belongs to another session: commit and close that one first"
    )


def _key(obj: Any) -> Any:
    """Return the primary key of the row that an object is about, or None where it does not know it."""
    mapper = type(obj).__mapper__
    key = mapper.stored_key_of(obj) if mapper.primary_key else None
    return None if isinstance(key, tuple) and None in key else key


# --- what is read -----------------------------------------------------------------------------------------------------


def _find(workspace: Workspace, graph: _Graph, level: Sequence[Any]) -> Steps[None]:
    """Find the session's objects for those of a level: one query for each class."""
    by_class: dict[Mapper, list[Any]] = {}
    for obj in level:
        if _key(obj) is not None:
            by_class.setdefault(type(obj).__mapper__, []).append(obj)
    for mapper, objects in by_class.items():
        found = yield from by_keys(workspace, mapper, [_key(obj) for obj in objects])
        graph.targets.update((id(obj), found[_key(obj)]) for obj in objects if _key(obj) in found)


def _load(workspace: Workspace, graph: _Graph, level: Sequence[Any]) -> Steps[None]:
    """Load the relations that are loaded in a level, where the session has them not: one query for each."""
    lacking: dict[RelationInfo, list[Any]] = {}
    for obj in level:
        target = graph.targets.get(id(obj))
        for relation in type(obj).__mapper__.relations.values() if target is not None else ():
            replaced = relation.outgoing and _speaks(obj, relation)
            if not replaced and _loaded(obj, relation) is not UNSET and relation.loaded(target) is UNSET:
                lacking.setdefault(relation, []).append(target)
    for relation, targets in lacking.items():
        yield from include(workspace, relation.mapper, targets, [relation])


def _related(level: Sequence[Any]) -> Iterator[Any]:
    """Give what hangs on the objects by loaded relations, and what hung there before the program took it away."""
    for obj in level:
        for relation in type(obj).__mapper__.all_relations():
            value = _loaded(obj, relation)
            if value is not UNSET and value is not None:
                yield from value if relation.many else (value,)
            yield from _before(obj, relation)


def _loaded(obj: Any, relation: RelationInfo) -> Any:
    """Return what a relation has; UNSET where it was not loaded, or is the list of a new object that says nothing."""
    value = relation.loaded(obj)
    nothing_said = obj._state is TRANSIENT and relation.many and value is not UNSET and not value
    return UNSET if nothing_said and not getattr(value, "whole", False) else value


def _before(obj: Any, relation: RelationInfo) -> list[Any]:
    """Return what hung on a detached object by a relation from the other side before the program changed it."""
    old = None if obj._state is TRANSIENT or relation.outgoing else obj._state.original.get(relation.key)
    if isinstance(old, Raw):
        return list(old.wire)
    return [] if old is None or old is UNSET else [old]


# --- whether it can be merged -----------------------------------------------------------------------------------------


def _refuse_older(graph: _Graph) -> None:
    """Refuse what can't be merged before anything is changed."""
    needed = set(graph.given)
    for obj in graph.foreign.values():
        for relation in type(obj).__mapper__.all_relations():
            needed.update(map(id, _linked(obj, relation)))
    lost = []
    for key, obj in graph.foreign.items():
        target = graph.targets.get(key)
        if target is not None:
            if _is_older(obj, target):
                lost.append(obj)
        elif obj._state is not TRANSIENT and (key in needed or changes(obj)):
            lost.append(obj)
    if lost:
        named = ", ".join(f"{type(obj).__name__} {_key(obj)!r}" for obj in lost[:5])
        raise StaleObjectError(
            f"merge: {len(lost)} of {len(graph.foreign)} objects ({named}) are older than their rows, or their rows "
            "are gone: load them again",
            tuple(lost),
            tuple(_values(obj) for obj in lost),
        )


def _linked(obj: Any, relation: RelationInfo) -> list[Any]:
    """Return the objects that the program linked to one: by a new object, or since it was loaded."""
    value = _loaded(obj, relation)
    if value is UNSET or value is None or not _speaks(obj, relation):
        return []
    if not relation.many:
        return [value]
    before = set(map(id, _before(obj, relation)))
    return [item for item in value if id(item) not in before]


def _speaks(obj: Any, relation: RelationInfo) -> bool:
    """Tell whether the program said something about a relation: all of a new object, the changes of a detached one."""
    return obj._state is TRANSIENT or relation.key in obj._state.original


def _is_older(obj: Any, target: Any) -> bool:
    version = type(obj).__mapper__.version
    if version is None or (obj._state is not TRANSIENT and not changed_columns(obj)):
        return False
    if obj._state is TRANSIENT and version.has_default():
        return False  # a new object has the first version without having read any
    mine = obj.__dict__.get(version.key)
    return mine is not None and bool(mine != target.__dict__.get(version.key))


# --- what is copied ---------------------------------------------------------------------------------------------------


def _make_missing(workspace: Workspace, graph: _Graph) -> None:
    """Make the session's objects for new ones whose rows are not there; the same key twice is one object."""
    made: dict[tuple[Mapper, Any], Any] = {}
    for position, obj in graph.foreign.items():
        if position in graph.targets or obj._state is not TRANSIENT:
            continue
        mapper, key = type(obj).__mapper__, _key(obj)
        target = None if key is None else made.get((mapper, key))
        if target is None:
            target = mapper.cls(**_values(obj))
            workspace.unit.add(target)
            made[mapper, key] = target
        else:
            _copy_columns(obj, target)
        graph.targets[position] = target


def _copy_columns(obj: Any, target: Any) -> None:
    """Copy the values; those of keys follow their relations, which are copied before them."""
    mapper = type(obj).__mapper__
    linked = [r for r in mapper.all_relations() if r.outgoing and _speaks(obj, r) and _loaded(obj, r) is not UNSET]
    left_out = {key for relation in linked for key in relation.local_keys}
    if obj._state is TRANSIENT:
        left_out.update(str(column.key) for column in mapper.primary_key)
    for key, value in _values(obj).items():
        if key not in left_out:
            setattr(target, key, value)


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


def _copy_relations(graph: _Graph, obj: Any) -> None:
    target = graph.targets.get(id(obj))
    for relation in type(obj).__mapper__.all_relations() if target is not None else ():
        value = _loaded(obj, relation)
        if value is UNSET or not _speaks(obj, relation):
            continue
        if relation.many:
            _copy_list(graph, obj, target, relation)
        else:
            relation.assign(target, None if value is None else graph.targets[id(value)])


def _copy_list(graph: _Graph, obj: Any, target: Any, relation: RelationInfo) -> None:
    """Add what the program added and remove what it removed; a list that it gave to a new object replaces the other.

    What others added meanwhile stays.
    """
    current, value = getattr(target, relation.key), relation.loaded(obj)
    if obj._state is TRANSIENT and getattr(value, "whole", False):
        wanted = graph.standing_for(value)
    else:
        left = set(map(id, value))
        gone = set(map(id, graph.standing_for(item for item in _before(obj, relation) if id(item) not in left)))
        kept = [item for item in current if id(item) not in gone]
        wanted = list(distinct([*kept, *graph.standing_for(_linked(obj, relation))]))
    if list(map(id, wanted)) != list(map(id, current)):
        current[:] = wanted
