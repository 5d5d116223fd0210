"""Showing: an object as a dictionary of what is loaded, related objects as dictionaries too. Sends no query, ever.

The way back is not taken: in `user.orders` an order has no `user`. An object that is met inside of itself is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psqlmodel.errors import NotLoadedError
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.state import PENDING, TRANSIENT, UNSET
from psqlmodel.pydantic.choosing import below, is_left_out, pruned
from psqlmodel.pydantic.forms import nested_shape, shown_columns
from psqlmodel.pydantic.shapes import ANY, Shape

if TYPE_CHECKING:
    from psqlmodel.model.base import PSQLModel
    from psqlmodel.model.relations import RelationInfo


def shown(
    obj: PSQLModel, shape: Shape, *, strict: bool = False, include: Any = None, exclude: Any = None
) -> dict[str, Any]:
    """Return the loaded columns and relations that a shape shows; `include` and `exclude` are those of Pydantic.

    `strict` demands all relations, as a strict session does, except those that are left out. Raises `NotLoadedError`
    for a relation that is demanded, or named by the shape, and not loaded.
    """
    found = _Showing(strict).of(obj, shape, None, frozenset(), include, exclude)
    chosen: dict[str, Any] = pruned(found, include, exclude)
    return chosen


class _Plan:
    """What a shape shows of the objects of one class: columns, and relations with the shape of their objects."""

    def __init__(self, mapper: Mapper, shape: Shape) -> None:
        self.keys = tuple(str(column.key) for column in shown_columns(mapper, shape))
        self.named = shape.relations is not None
        self.relations: list[tuple[RelationInfo, Shape]] = []
        if shape.relations is not None:
            self.relations = [(path.relation, nested_shape(path)) for path in shape.relations]
        elif shape.shows_what_is_loaded:
            self.relations = [(relation, ANY) for relation in mapper.relations.values()]


def _plan(mapper: Mapper, shape: Shape) -> _Plan:
    found: _Plan | None = mapper.forms.get(shape)
    if found is None:
        found = mapper.forms[shape] = _Plan(mapper, shape)
    return found


class _Showing:
    def __init__(self, strict: bool) -> None:
        self.strict = strict

    def of(
        self,
        obj: PSQLModel,
        shape: Shape,
        came_by: RelationInfo | None,
        above: frozenset[int],
        include: Any = None,
        exclude: Any = None,
    ) -> dict[str, Any]:
        mapper, own = type(obj).__mapper__, obj.__dict__
        plan = _plan(mapper, shape)
        found = {key: own[key] for key in plan.keys if key in own}
        if len(found) < len(plan.keys):  # something is not loaded, or not decoded yet
            seen = ((key, mapper.seen(own, key)) for key in plan.keys)
            found = {key: value for key, value in seen if value is not UNSET}
        if not plan.relations:
            return found
        above |= {id(obj)}
        way_back = None if came_by is None or plan.named else came_by.back
        for relation, inner in plan.relations:
            if relation is way_back or is_left_out(relation.key, include, exclude):
                continue
            value = self._value(obj, relation, plan.named)
            if value is None:
                found[relation.key] = None
            elif value is not UNSET:
                chosen = [_below(relation, each) for each in (include, exclude)]
                related = [item for item in _listed(value, relation) if id(item) not in above]
                items = [self.of(item, inner, relation, above, *chosen) for item in related]
                if relation.many or items:
                    found[relation.key] = items if relation.many else items[0]
        return found

    def _value(self, obj: PSQLModel, relation: RelationInfo, named: bool) -> Any:
        """Return what is loaded of a relation, or UNSET; raise where it is demanded."""
        own = obj.__dict__
        if relation.key in own:
            return own[relation.key]
        if relation.slot in own:
            return own[relation.slot]
        state = obj._state
        if state is TRANSIENT or state.status == PENDING:
            return (() if relation.many else None) if named else UNSET
        if named or self.strict or getattr(state.unit, "strict", False):
            raise NotLoadedError(
                f"{relation!r} is not loaded, and showing a {relation.mapper.name} sends no query: add "
                f".Include({relation!r}) to the query, or leave the relation out"
            )
        return UNSET


def _listed(value: Any, relation: RelationInfo) -> Any:
    return value if relation.many else (value,)


def _below(relation: RelationInfo, chosen: Any) -> Any:
    """Return what `include` or `exclude` says of related objects: of a list, what it says of all of them."""
    found = below(relation.key, chosen)
    return below("__all__", found) if relation.many else found
