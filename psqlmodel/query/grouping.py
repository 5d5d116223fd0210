"""What GROUP BY takes beside columns, and windows that have a name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import Expression, compose
from psqlmodel.query.nodes import ATOM, GROUPED, Node


def Rollup(*items: Any) -> Expression[Any]:
    """Group by all items, by all but the last, and so on to the whole: subtotals and a total.

    Select(Order.country, Order.city, Sum(Order.total)).GroupBy(Rollup(Order.country, Order.city))
    """
    return _grouped("ROLLUP", items)


def Cube(*items: Any) -> Expression[Any]:
    """Group by every combination of the items."""
    return _grouped("CUBE", items)


def GroupingSets(*sets: Any) -> Expression[Any]:
    """Group by each of several sets: columns, tuples of columns, `()` for the whole, `Rollup(…)` and `Cube(…)`.

    GroupBy(GroupingSets((Order.country, Order.city), Order.country, ()))
    """
    return _grouped("GROUPING SETS", sets)


def Grouping(*items: Any) -> Expression[int]:
    """Tell by bits which of the items a row is not grouped by: 0 for a plain group, 1 where the last is left out."""
    parts: list[str | Node] = []
    for item in items:
        parts += (", ", _item(item))
    return compose(ATOM, None, "GROUPING(", *parts[1:], ")")


def _grouped(kind: str, items: Iterable[Any]) -> Expression[Any]:
    parts: list[str | Node] = []
    for item in items:
        parts += (", ", _set(item) if isinstance(item, tuple | list) else _item(item))
    if not parts:
        raise QueryError(f"{kind} needs columns or expressions")
    return compose(ATOM, None, f"{kind} (", *parts[1:], ")")


def _set(items: Iterable[Any]) -> Node:
    parts: list[str | Node] = []
    for item in items:
        parts += (", ", _item(item))
    return compose(ATOM, None, "(", *parts[1:], ")")


def _item(item: Any) -> Node:
    if not isinstance(item, Expression) or item.flags & GROUPED:
        raise QueryError(f"grouping takes columns and expressions without aggregates, not {item!r}")
    return item
