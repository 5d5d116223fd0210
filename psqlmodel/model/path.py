"""RelationPath: a relation with the filter, order, limit and deeper includes that one `Include` asks for."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import Expression
from psqlmodel.query.include import Includable

if TYPE_CHECKING:
    from psqlmodel.model.relations import RelationInfo


class RelationPath:
    """What `.Include(User.orders.Where(…).Limit(3))` loads. Immutable: every method returns a new path.

    A path that is filtered or limited shows a part of the relation: it is loaded for reading.
    """

    conditions: tuple[Any, ...] = ()
    ordering: tuple[Any, ...] = ()
    limit: int | None = None
    offset: int | None = None
    includes: tuple[Any, ...] = ()

    def __init__(self, relation: RelationInfo) -> None:
        self.relation = relation

    @property
    def partial(self) -> bool:
        """Whether the path shows only a part of the relation."""
        return bool(self.conditions) or self.limit is not None or self.offset is not None

    def Where(self, *conditions: Any) -> RelationPath:
        """Load only the related objects that meet all conditions.

        Raises `QueryError` for what is no condition.
        """
        for condition in conditions:
            if not isinstance(condition, Expression):
                raise QueryError(f"{self.relation!r}.Where takes conditions, not {type(condition).__name__}")
        return self._with(conditions=(*self.conditions, *conditions))

    def OrderBy(self, *ordering: Any) -> RelationPath:
        """Order the related objects of each parent."""
        return self._with(ordering=(*self.ordering, *ordering))

    def Limit(self, count: int) -> RelationPath:
        """Load at most `count` related objects for each parent."""
        return self._with(limit=_count("Limit", count))

    def Offset(self, count: int) -> RelationPath:
        """Skip the first `count` related objects of each parent."""
        return self._with(offset=_count("Offset", count))

    def Include(self, *paths: Includable) -> RelationPath:
        """Load relations of the related objects too: further relations, paths or model classes."""
        return self._with(includes=(*self.includes, *paths))

    def _with(self, **changes: Any) -> RelationPath:
        made: Self | RelationPath = RelationPath(self.relation)
        for name in ("conditions", "ordering", "limit", "offset", "includes"):
            setattr(made, name, changes.get(name, getattr(self, name)))
        return made

    def __copy__(self) -> RelationPath:
        return self._with()

    def __deepcopy__(self, memo: dict[int, Any]) -> RelationPath:
        return copy.copy(self)


def _count(verb: str, count: int) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise QueryError(f"{verb} takes a whole number of rows from 0 on, not {count!r}")
    return count
