"""Orphans: what becomes of objects that lost their parent, as their relation says. Decides, and sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psqlmodel.core.unitofwork.collect import is_pending
from psqlmodel.errors import OrphanError
from psqlmodel.model.relations import RelationInfo
from psqlmodel.model.state import UNSET

if TYPE_CHECKING:
    from psqlmodel.core.unitofwork.unit import UnitOfWork


def settle_orphans(unit: UnitOfWork) -> None:
    """Register orphans for deletion where their relation says so.

    A new object is forgotten instead, with those that hang on it in the same way: nobody has seen a row of it.
    Raises `OrphanError` for one that may not be left alone.
    """
    if unit.orphaned:
        _settle_new(unit)
    for obj in list(unit.tracked.values()):
        mapper = type(obj).__mapper__
        if mapper.related_keys.isdisjoint(obj._state.original):
            continue
        for key in obj._state.original:
            relation = mapper.relations.get(key) or mapper.hidden.get(key)
            if relation is None or relation.declared.secondary is not None or not relation.outgoing:
                continue
            if lost_its_parent(obj, relation):
                _settle(unit, obj, relation)
                break


def lost_its_parent(obj: Any, relation: RelationInfo) -> bool:
    """Tell whether a persistent object had a parent by this relation and has none now."""
    return obj._state.original[relation.key] is not None and _has_no_parent(obj, relation)


def dropped(unit: UnitOfWork) -> list[Any]:
    """Return the new objects that are not written after all: orphans, and what would be deleted as orphans of these."""
    found = [obj for obj, r in _new_orphans(unit) if r.back is not None and r.back.declared.orphans == "delete"]
    for obj in found:
        found += _hanging_on(obj)
    return found


def _has_no_parent(obj: Any, relation: RelationInfo) -> bool:
    if obj.__dict__.get(relation.key, UNSET) is not None:
        return False
    # The key may have been set by hand meanwhile; what is part of the primary key stays as it is.
    return all(obj.__dict__.get(column.key) is None or column.primary_key for column in relation.local)


def _settle_new(unit: UnitOfWork) -> None:
    for obj in dropped(unit):
        if is_pending(obj):  # it may have been found twice
            unit.delete(obj)
    for obj, relation in _new_orphans(unit):
        _settle(unit, obj, relation)
    unit.orphaned.clear()


def _new_orphans(unit: UnitOfWork) -> list[tuple[Any, RelationInfo]]:
    """Return the new objects that were taken from their parents and got no other, with the relation to these."""
    return [(obj, r) for obj, r in unit.orphaned if unit.new.get(id(obj)) is obj and _has_no_parent(obj, r)]


def _hanging_on(obj: Any) -> list[Any]:
    found = [r.loaded(obj) for r in type(obj).__mapper__.relations.values() if r.declared.orphans == "delete"]
    items = [item for value in found for item in (value if isinstance(value, list) else (value,))]
    return [item for item in items if is_pending(item)]


def _settle(unit: UnitOfWork, obj: Any, relation: RelationInfo) -> None:
    back = relation.back
    wish = None if back is None else back.declared.orphans
    emptied = [column for column in relation.local if not column.primary_key] or relation.local
    required = [column for column in emptied if not column.nullable]
    if wish == "delete":
        unit.delete(obj)
    elif wish == "error" or (required and wish is None):
        name, parent = type(obj).__name__, relation.target.name
        key = required[0] if required else relation.local[0]
        raise OrphanError(
            f"this {name} has lost its {parent}"
            + (f", and {name}.{key.key} can't be NULL" if required else "")
            + f": give it another {parent}, delete it, or declare "
            f'{repr(back) if back is not None else "the relation"} with Relation(orphans="delete")',
            obj,
        )
