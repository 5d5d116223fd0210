"""Grouping: the loaded lists of parents follow foreign keys that the program wrote itself, once they are in the rows.

A relation that is set keeps both sides in step at once; a key that is set (`order.user_id = 5`) says only at the flush
where the object belongs. Only objects that the session has are looked at; nothing is sent, and nothing is left to be
written. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from psqlmodel.model.state import UNSET

if TYPE_CHECKING:
    from psqlmodel.core.unitofwork.unit import UnitOfWork
    from psqlmodel.model.mapper import Mapper
    from psqlmodel.model.relations import RelationInfo

# by relation and parent: the parent, and its children that came or went
Groups: TypeAlias = "dict[tuple[int, int], tuple[RelationInfo, Any, list[Any]]]"


def regroup(unit: UnitOfWork, new: Mapping[Mapper, Sequence[Any]], changed: Iterable[Any]) -> None:
    """Show new and changed objects on the loaded lists of the parents that their keys name, and only there."""
    left: Groups = {}
    joined: Groups = {}
    for mapper, objects in new.items():
        for relation in _listed(unit, mapper):
            for obj in objects:
                if obj.__dict__.get(relation.key) is None:  # else the list was kept in step
                    _note(joined, relation, _parent(unit, relation, obj.__dict__), obj)
    for obj in changed:
        _note_move(unit, obj, left, joined)
    for back, parent, children in left.values():
        back.hide(parent, *children)
    for back, parent, children in joined.values():
        back.show(parent, *children)


def _note_move(unit: UnitOfWork, obj: Any, left: Groups, joined: Groups) -> None:
    mapper, original = type(obj).__mapper__, obj._state.original
    if mapper.links_of_column.isdisjoint(original):
        return
    for relation in _listed(unit, mapper):
        if original.keys().isdisjoint(relation.local_keys):
            continue
        former = _parent(unit, relation, {**obj.__dict__, **original})
        parent = _parent(unit, relation, obj.__dict__)
        if former is not parent:
            _note(left, relation, former, obj)
            _note(joined, relation, parent, obj)


def _listed(unit: UnitOfWork, mapper: Mapper) -> list[RelationInfo]:
    """Return the relations of a class to parents that may show its objects."""
    return [
        relation
        for relation in mapper.all_relations()
        if relation.declared.secondary is None
        and relation.outgoing
        and relation.back is not None
        and relation.to_primary_key
        and unit.identity.of(relation.target)
    ]


def _parent(unit: UnitOfWork, relation: RelationInfo, values: Mapping[str, Any]) -> Any:
    parts = [values.get(key) for key in relation.local_keys]
    if any(part is None or part is UNSET for part in parts):
        return None
    return unit.identity.get(relation.target, parts[0] if len(parts) == 1 else tuple(parts))


def _note(groups: Groups, relation: RelationInfo, parent: Any, child: Any) -> None:
    back = relation.back
    if parent is not None and back is not None:
        groups.setdefault((id(back), id(parent)), (back, parent, []))[2].append(child)
