"""Orphans: what becomes of objects that lost their parent, as their relation says. Decides, and sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psqlmodel.errors import OrphanError
from psqlmodel.model.relations import RelationInfo
from psqlmodel.model.state import UNSET

if TYPE_CHECKING:
    from psqlmodel.core.unitofwork.unit import UnitOfWork


def settle_orphans(unit: UnitOfWork) -> None:
    """Register orphans for deletion where their relation says so.

    Raises `OrphanError` for one that may not be left alone.
    """
    for obj in list(unit.tracked.values()):
        mapper = type(obj).__mapper__
        for key in obj._state.original:
            relation = mapper.relations.get(key) or mapper.hidden.get(key)
            if relation is None or relation.declared.secondary is not None or not relation.outgoing:
                continue
            if lost_its_parent(obj, relation):
                _settle(unit, obj, relation)
                break


def lost_its_parent(obj: Any, relation: RelationInfo) -> bool:
    """Tell whether `obj` had a parent by this relation and has none now."""
    old = obj._state.original[relation.key]
    if old is None or obj.__dict__.get(relation.key, UNSET) is not None:
        return False
    # The key may have been set by hand meanwhile; what is part of the primary key stays as it is.
    return all(obj.__dict__.get(column.key) is None or column.primary_key for column in relation.local)


def _settle(unit: UnitOfWork, obj: Any, relation: RelationInfo) -> None:
    back = relation.back
    wish = None if back is None else back.declared.orphans
    required = [column for column in relation.local if not column.nullable]
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
