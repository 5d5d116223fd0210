"""Grouping: the loaded lists of parents follow foreign keys that the program wrote itself, once they are in the rows.

A relation that is set keeps both sides in step at once; a key that is set (`order.user_id = 5`) says only at the flush
where the object belongs. Only objects that the session has are looked at; nothing is sent, and nothing is left to be
written. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from psqlmodel.core.unitofwork.collect import outgoing
from psqlmodel.model.state import UNSET

if TYPE_CHECKING:
    from psqlmodel.core.unitofwork.unit import UnitOfWork
    from psqlmodel.model.mapper import Mapper
    from psqlmodel.model.relations import RelationInfo

# by relation, then by key of the parent: the children that came or went
Groups: TypeAlias = "dict[RelationInfo, dict[Any, list[Any]]]"


def regroup(unit: UnitOfWork, new: Mapping[Mapper, Sequence[Any]], changed: Sequence[Any]) -> None:
    """Show new and changed objects on the loaded lists of the parents that their keys name, and only there."""
    left: Groups = {}
    joined: Groups = {}
    for mapper, objects in new.items():
        for relation in _listed(unit, mapper):
            by_key = joined.setdefault(relation, {})
            for obj in objects:
                if obj.__dict__.get(relation.key) is None:  # else the list was kept in step
                    by_key.setdefault(_key(relation, obj.__dict__), []).append(obj)
    classes: set[Any] = set(map(type, changed))
    linked = {cls: cls.__mapper__.links_of_column for cls in classes if cls.__mapper__.links_of_column}
    for obj in changed if linked else ():
        if type(obj) in linked and not linked[type(obj)].isdisjoint(obj._state.original):
            _note_move(unit, obj, left, joined)
    if left or joined:
        _move(unit, left, joined)


def regroup_written(
    unit: UnitOfWork, mapper: Mapper, come: Sequence[Any], moved: Sequence[tuple[Any, Mapping[str, Any]]]
) -> None:
    """Show objects of one class, as a verb wrote them, on the loaded lists of the parents that their keys name.

    `come` are those that the session did not have; `moved` the others, with what their columns were before.
    """
    left: Groups = {}
    joined: Groups = {}
    for relation in _listed(unit, mapper):
        by_key = joined.setdefault(relation, {})
        for obj in come:
            if obj.__dict__.get(relation.key) is None:  # else the list was kept in step
                by_key.setdefault(_key(relation, obj.__dict__), []).append(obj)
        for obj, before in moved:
            former, key = _key(relation, before), _key(relation, obj.__dict__)
            if former != key and obj._state.original.keys().isdisjoint(relation.local_keys):
                left.setdefault(relation, {}).setdefault(former, []).append(obj)
                by_key.setdefault(key, []).append(obj)
    _move(unit, left, joined)


def _move(unit: UnitOfWork, left: Groups, joined: Groups) -> None:
    for back, parent, children in _loaded(unit, left):
        back.hide(parent, *children)
    for back, parent, children in _loaded(unit, joined):
        back.show(parent, *children)


def _note_move(unit: UnitOfWork, obj: Any, left: Groups, joined: Groups) -> None:
    mapper, original = type(obj).__mapper__, obj._state.original
    for relation in _listed(unit, mapper):
        if original.keys().isdisjoint(relation.local_keys):
            continue
        former, key = _key(relation, {**obj.__dict__, **original}), _key(relation, obj.__dict__)
        if former != key:
            left.setdefault(relation, {}).setdefault(former, []).append(obj)
            joined.setdefault(relation, {}).setdefault(key, []).append(obj)


def _listed(unit: UnitOfWork, mapper: Mapper) -> list[RelationInfo]:
    """Return the relations of a class to parents that may show its objects."""
    return [
        relation
        for relation in outgoing(mapper)
        if relation.back is not None and relation.to_primary_key and unit.identity.may_know(relation.target)
    ]


def _key(relation: RelationInfo, values: Mapping[str, Any]) -> Any:
    """Return the key of the parent: one with None or UNSET in it names no object."""
    local = relation.local_keys
    return values.get(local[0]) if len(local) == 1 else tuple([values.get(key) for key in local])


def _loaded(unit: UnitOfWork, groups: Groups) -> Iterator[tuple[RelationInfo, Any, list[Any]]]:
    """Give the opposite relations, and the parents where they are loaded, with the children."""
    for relation, by_key in groups.items():
        back = relation.back
        for key, children in by_key.items():
            parent = unit.identity.get(relation.target, key)
            if parent is not None and back is not None and back.loaded(parent) is not UNSET:
                yield back, parent, children
