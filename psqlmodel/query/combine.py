"""CombinedQuery: UNION, INTERSECT and EXCEPT of queries with the same columns."""

from __future__ import annotations

from typing import Any, TypeVar

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import Expression, Ordering
from psqlmodel.query.nodes import Node
from psqlmodel.query.outputs import position
from psqlmodel.query.rowset import Rowset
from psqlmodel.query.statement import Assembly

T = TypeVar("T")


class CombinedQuery(Rowset[T]):
    """The rows of two queries, combined; ordered and limited as a whole."""

    def __init__(self, left: Rowset[T], operator: str, right: Rowset[Any]) -> None:
        if not isinstance(right, Rowset):
            raise QueryError(f"{operator.strip()} takes another query, not {type(right).__name__}")
        if left.width != right.width:
            raise QueryError(f"{operator.strip()} needs queries of one width: they have {left.width} and {right.width}")
        super().__init__()
        self.left = left
        self.operator = operator
        self.right = right
        self.outputs = left.outputs
        self.includes = left.includes
        self.known = left.known

    def assemble(self) -> Assembly:
        """Return the statement's shape, parameters and needs."""
        assembly = Assembly()
        for lead, query in (("(", self.left), (f"){self.operator}(", self.right)):
            assembly.text(lead)
            assembly.add(query)
        assembly.text(")")
        self._add_tail(assembly)
        return assembly

    def _ordered(self, ordering: Ordering) -> Node:
        found = position(self.outputs, ordering.expression)
        if found is None:
            raise QueryError(f"{self.operator.strip()} is ordered by what it selects, not by {ordering.expression!r}")
        return Expression(f"{found}{ordering.direction.removesuffix(' ASC')}")
