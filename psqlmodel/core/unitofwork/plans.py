"""Plans: what a small flush of one shape does, decided once. Pure: it decides, and sends nothing.

The next request of a web application changes and adds rows like the last one. The shape of such a flush is the classes
of its objects with the attributes that are set or were changed. Where each class comes once, so that no unique value
changes hands, and nothing refers to what is new, all that `collect`, `takeover` and `parts` decide follows from the
shape. A plan keeps it until the catalog is read anew: a fifth of the time of such a commit, a sixteenth of the whole
web transaction. Whatever no plan fits goes the long way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from psqlmodel.core.unitofwork.collect import Changes, plain_keys
from psqlmodel.core.unitofwork.parts import Deletion, Insertion, Parts, Update, may_be_alone
from psqlmodel.core.unitofwork.together import recipe_of
from psqlmodel.model.state import UNSET

if TYPE_CHECKING:
    from psqlmodel.core.unitofwork.unit import UnitOfWork
    from psqlmodel.core.workspace import Workspace

MOST_OBJECTS: Final = 4  # of a web request; among more there mostly are several of a class

Shape: TypeAlias = tuple[Any, ...]
Part: TypeAlias = Insertion | Update

_NONE: Final[Shape] = ()  # the shape of what has no plan


class Plan:
    """The parts of a flush, without their objects: each with the place of its object among those that are pending."""

    __slots__ = ("alone", "parts", "recipe")

    def __init__(self, parts: list[tuple[int, Part]], recipe: Any, *, alone: bool) -> None:
        self.parts = parts
        self.recipe = recipe
        self.alone = alone


def shape_of(workspace: Workspace) -> Shape:
    """Return the shape of what is pending; an empty one where it is too much, or more than new and changed rows."""
    unit = workspace.unit
    if unit.deleted or unit.orphaned or not 0 < len(unit.new) + len(unit.tracked) <= MOST_OBJECTS:
        return _NONE
    shape: list[Any] = [Plan, may_be_alone(workspace)]
    for obj in unit.new.values():
        shape += (type(obj), *obj.__dict__)
    shape.append(None)
    for obj in unit.tracked.values():
        shape += (type(obj), *obj._state.original)
    return tuple(shape)


def planned(workspace: Workspace, shape: Shape) -> tuple[Changes, Parts] | None:
    """Return the changes and the parts of a flush of this shape; None where no plan fits it."""
    plan: Plan | None = workspace.catalog.derived.get(shape)
    if plan is None:
        return None
    pending = _pending(workspace.unit)
    changes, parts = Changes(), Parts(alone=plan.alone)
    parts.recipe = plan.recipe
    for place, part in plan.parts:
        obj = pending[place]
        if not _fits(part, obj):
            return None
        made: Any = _with(part, [obj])
        parts.all.append(made)
        if isinstance(part, Insertion):
            changes.new[part.mapper] = made.objects
            parts.insertions.append(made)
        else:
            changes.changed[part.mapper] = {part.keys: made.objects}
            parts.writings.append(made)
    return changes, parts


def keep(workspace: Workspace, shape: Shape, parts: Parts) -> None:
    """Make a plan of the parts that a flush of this shape has, if nothing but the shape decided them."""
    pending = _pending(workspace.unit)
    if not shape or len(pending) != len(parts.all):
        return
    place_of = {id(obj): place for place, obj in enumerate(pending)}
    found = [part for part in parts.all if not isinstance(part, Deletion)]
    if len({part.mapper for part in found}) != len(pending) or not all(map(_follows_from_shape, found)):
        return
    if len(found) == 1 and isinstance(found[0], Insertion):  # it is no statement of parts
        return
    placed = [(place_of[id(part.objects[0])], _with(part, [])) for part in found]
    workspace.catalog.keep(shape, Plan(placed, recipe_of(workspace, parts), alone=parts.alone))


def _pending(unit: UnitOfWork) -> list[Any]:
    return [*unit.new.values(), *unit.tracked.values()]


def _fits(part: Part, obj: Any) -> bool:
    """Tell whether an object of the plan's shape has the values that it takes for granted."""
    values = obj.__dict__
    if isinstance(part, Insertion):
        return not _has_no_key(part, values)
    if not part.mapper.related_keys.isdisjoint(values):
        return False
    for key, old in obj._state.original.items():
        new = values.get(key, old)
        if old is new or (type(old) is type(new) and old == new):  # not changed after all
            return False
    return True


def _follows_from_shape(part: Part) -> bool:
    """Tell whether a part would be the same with every object whose attributes have the same names."""
    obj = part.objects[0]
    if len(part.objects) > 1 or not part.mapper.related_keys.isdisjoint(obj.__dict__):
        return False
    if isinstance(part, Insertion):
        return part.is_plain and not _has_no_key(part, obj.__dict__)
    changed = set(part.keys)
    return changed.issubset(plain_keys(part.mapper)) and changed == obj._state.original.keys()


def _has_no_key(part: Insertion, values: dict[str, Any]) -> bool:
    """Tell whether a key was set to None, which says as much as a key that was not set."""
    return None in [values.get(str(column.key), UNSET) for column in part.mapper.primary_key]


def _with(part: Any, objects: list[Any]) -> Any:
    """Return a part like this one with other objects."""
    made = object.__new__(type(part))
    made.__dict__.update(part.__dict__)
    made.objects = objects
    return made
