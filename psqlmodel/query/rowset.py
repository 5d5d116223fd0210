"""Rowset: what SELECT and its combinations share; ordering, limits, set operations, includes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import Expression, Ordering
from psqlmodel.query.include import Includable, deepened, included
from psqlmodel.query.nodes import Node, Shape
from psqlmodel.query.outputs import position
from psqlmodel.query.statement import Assembly, Query

T = TypeVar("T")

if TYPE_CHECKING:
    from psqlmodel.query.combine import CombinedQuery


class Rowset(Query[T]):
    """A query that reads: SELECT, UNION, …"""

    def __init__(self) -> None:
        super().__init__()
        self.ordering: tuple[Ordering, ...] = ()
        self.last_ordered = 0  # how many of them the last OrderBy gave
        self.most: int | None = None
        self.ties = False
        self.skipped: int | None = None
        self.includes: tuple[Any, ...] = ()

    def OrderBy(self, *ordering: Any) -> Self:
        """Order the rows, after what they are ordered by already.

            Select(User).OrderBy(User.name.Desc().NullsLast(), User.id)

        Raises `QueryError` for what is no column or expression.
        """
        query, key = self._copied(), self.key
        made: list[Ordering] = []
        called: list[Shape] = ["ORDER BY"]
        for item in ordering:
            if type(item) is not Ordering:
                item = _ordering(item)
            made.append(item)
            expression = item.expression
            if expression.params:  # its text depends on values: see `by_position`
                key = ()
            if not expression.sources <= self.known:
                query.pending = query.pending | expression.sources
            called += (expression.shape, item.direction)
        query.ordering = (*self.ordering, *made)
        query.last_ordered = len(made)
        query.key = key and (*key, tuple(called))
        return query

    def Asc(self) -> Self:
        """Order ascending by all that the last `OrderBy` names: `.OrderBy(User.name).Asc()`."""
        return self._directed(" ASC")

    def Desc(self) -> Self:
        """Order descending by all that the last `OrderBy` names; `.OrderBy(User.name.Desc())` says it for one.

        Select(User).OrderBy(User.age, User.name).Desc()
        """
        return self._directed(" DESC")

    def _directed(self, direction: str) -> Self:
        if not self.ordering:
            raise QueryError(f"{direction.strip().capitalize()}() comes after OrderBy: .OrderBy(User.name).Desc()")
        last = self.ordering[len(self.ordering) - self.last_ordered :]
        query = self._copied()
        query.ordering = self.ordering[: len(self.ordering) - self.last_ordered]
        # The key has what was called before, too: the same calls always come to the same text.
        query.key = self.key and (*self.key, f"DIRECTED{direction}")
        return query.OrderBy(*[Ordering(each.expression, f"{direction}{_nulls(each)}") for each in last])

    def Limit(self, count: int) -> Self:
        """Return at most `count` rows."""
        query = self._copied()
        query.most, query.ties = _count("Limit", count), False
        query.key = self.key and (*self.key, "LIMIT")
        return query

    def LimitWithTies(self, count: int) -> Self:
        """Return the first `count` rows, and those that are equal to the last of them in what they are ordered by."""
        if not self.ordering:
            raise QueryError("LimitWithTies needs an order: .OrderBy(…) before it")
        query = self._copied()
        query.most, query.ties = _count("LimitWithTies", count), True
        query.key = self.key and (*self.key, "WITH TIES")
        return query

    def Offset(self, count: int) -> Self:
        """Skip the first `count` rows."""
        query = self._copied()
        query.skipped = _count("Offset", count)
        query.key = self.key and (*self.key, "OFFSET")
        return query

    def Include(self, *paths: Includable) -> Self:
        """Load relations of the objects too, one query for each: relations, paths of them, or model classes.

        Select(User).Include(User.orders.Where(Order.total > 100).Limit(3))
        """
        if not self.entities:
            raise QueryError("Include needs a query that selects a model: Select(User).Include(User.orders)")
        return self._with(includes=(*self.includes, *map(included, paths)), key=self.key)

    def ThenInclude(self, path: Any) -> Self:
        """Load a relation of the objects that the last `Include` loads."""
        if not self.includes:
            raise QueryError("ThenInclude comes after Include: .Include(User.orders).ThenInclude(Order.items)")
        changed = deepened(self.includes[-1], included(path))
        return self._with(includes=(*self.includes[:-1], changed), key=self.key)

    def Union(self, other: Rowset[Any]) -> CombinedQuery[T]:
        """Return the rows of both queries, each once."""
        return self._combined("\nUNION\n", other)

    def UnionAll(self, other: Rowset[Any]) -> CombinedQuery[T]:
        """Return the rows of both queries."""
        return self._combined("\nUNION ALL\n", other)

    def IntersectAll(self, other: Rowset[Any]) -> CombinedQuery[T]:
        """Return the rows that both queries have, as often as both have them."""
        return self._combined("\nINTERSECT ALL\n", other)

    def ExceptAll(self, other: Rowset[Any]) -> CombinedQuery[T]:
        """Return the rows that the other query does not have, one less for each that it has."""
        return self._combined("\nEXCEPT ALL\n", other)

    def Intersect(self, other: Rowset[Any]) -> CombinedQuery[T]:
        """Return the rows that both queries have."""
        return self._combined("\nINTERSECT\n", other)

    def Except(self, other: Rowset[Any]) -> CombinedQuery[T]:
        """Return the rows that the other query does not have."""
        return self._combined("\nEXCEPT\n", other)

    def _combined(self, operator: str, other: Rowset[Any]) -> CombinedQuery[T]:
        from psqlmodel.query.combine import CombinedQuery

        return CombinedQuery(self, operator, other)

    def _add_tail(self, assembly: Assembly) -> None:
        if self.ordering:
            assembly.join("\nORDER BY ", [self._ordered(item) for item in self.ordering], ", ")
        if self.most is not None:
            assembly.value("\nFETCH FIRST " if self.ties else "\nLIMIT ", self.most)
            if self.ties:
                assembly.text(" ROWS WITH TIES")
        if self.skipped is not None:
            assembly.value("\nOFFSET ", self.skipped)

    def _ordered(self, ordering: Ordering) -> Node:
        node = self.by_position(ordering.expression)
        if node is ordering.expression:
            return ordering if ordering.direction != " ASC" else node
        return Expression((node.shape, ordering.direction)) if ordering.direction != " ASC" else node

    def by_position(self, node: Node) -> Node:
        """Return the position of `node` in the select list where it has parameters, else `node`.

        To PostgreSQL `f(x, $1)` and `f(x, $2)` are two expressions, even if the values are equal.
        """
        if not node.params:
            return node
        found = position(self.outputs, node)
        return node if found is None else Expression(str(found))


def _ordering(item: Any) -> Ordering:
    if isinstance(item, Expression):
        return Ordering(item, " ASC")
    raise QueryError(f"OrderBy takes columns and expressions such as User.name.Desc(), not {item!r}")


def _nulls(ordering: Ordering) -> str:
    _, nulls, where = ordering.direction.partition(" NULLS")
    return nulls + where


def _count(verb: str, count: Any) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise QueryError(f"{verb} takes a whole number of rows from 0 on, not {count!r}")
    return count
