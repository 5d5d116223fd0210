"""Keyset pagination: the rows after (or before) a row, found by what a query is ordered by, not by counting.

A token says where a page ended: the values of the ordering columns of its last row, in PostgreSQL's text form. Pure.
Why not OFFSET: https://use-the-index-luke.com/no-offset
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

from psqlmodel.errors import PageTokenError, QueryError
from psqlmodel.query.constructs import Row
from psqlmodel.query.expression import ColumnExpression, Expression, Ordering
from psqlmodel.query.outputs import EntityOutput
from psqlmodel.query.select import SelectQuery


class Keyset:
    """What a query is ordered by, completed by the primary key, so that no two rows are at one place."""

    __slots__ = ("columns", "orderings", "query")

    def __init__(self, query: Any) -> None:
        if (
            not isinstance(query, SelectQuery)
            or len(query.outputs) != 1
            or not isinstance(query.outputs[0], EntityOutput)
        ):
            raise QueryError("page takes a query of one model: Select(User).OrderBy(User.name)")
        if query.most is not None or query.skipped is not None:
            raise QueryError("page limits the query itself: leave out .Limit and .Offset")
        output = query.outputs[0]
        self.query = query
        self.orderings = [*query.ordering]
        for ordering in self.orderings:
            if not isinstance(ordering.expression, ColumnExpression) or ordering.expression not in _Set(output.columns):
                raise QueryError(
                    f"page needs an order by columns of {output.entity.__name__}, not {ordering.expression!r}"
                )
        ordered = _Set(ordering.expression for ordering in self.orderings)
        last = self.orderings[-1].direction if self.orderings else " ASC"
        direction = " DESC" if last.startswith(" DESC") else " ASC"
        keys = [column for column in output.columns if getattr(column.origin, "primary_key", False)]
        if not keys:
            raise QueryError(f"page needs a primary key, which {output.entity.__name__} does not have")
        self.orderings += [Ordering(column, direction) for column in keys if column not in ordered]
        self.columns: list[Any] = [ordering.expression for ordering in self.orderings]

    def rows(self, size: int, after: str | None, before: str | None) -> SelectQuery[Any]:
        """Return the query of the rows after a token (or before one, in the opposite order), one more than a page."""
        orderings = self.orderings if before is None else [_reversed(ordering) for ordering in self.orderings]
        query = self.query._with(ordering=tuple(orderings), key=())
        token = after if before is None else before
        if token is not None:
            query = query.Where(_after(orderings, self.values(token)))
        return query.Limit(size + 1)

    def token(self, obj: Any) -> str:
        """Return the token of an object's place."""
        values = []
        for column in self.columns:
            value = getattr(obj, column.key)
            values.append(None if value is None else column.type.dump_text(value))
        text = json.dumps([self._mark(), values], separators=(",", ":"), ensure_ascii=False)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def values(self, token: str) -> list[Any]:
        """Return the values of a token; raises `PageTokenError` for one that is none, or of another order."""
        try:
            mark, texts = json.loads(base64.urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4)))
            if mark != self._mark() or len(texts) != len(self.columns):
                raise PageTokenError(
                    "the token of page belongs to a query with another order; begin with the first page"
                )
            pairs = zip(self.columns, texts, strict=True)
            return [None if text is None else column.type.load_text(text) for column, text in pairs]
        except PageTokenError:
            raise
        except Exception as error:  # whatever a stranger sent
            raise PageTokenError("the token of page is none that page gave; begin with the first page") from error

    def _mark(self) -> int:
        """Return a number that says which order a token belongs to."""
        spelled = "".join(f"{ordering.expression!r}{ordering.direction}," for ordering in self.orderings)
        return zlib.crc32(spelled.encode())


class _Set(set[int]):
    """Columns by identity: comparing them would build conditions."""

    def __init__(self, columns: Any) -> None:
        super().__init__(id(column.origin) for column in columns)

    def __contains__(self, column: Any) -> bool:
        return super().__contains__(id(column.origin))


def _reversed(ordering: Ordering) -> Ordering:
    first = _nulls_first(ordering)
    down = ordering.direction.startswith(" DESC")
    return Ordering(ordering.expression, f"{' ASC' if down else ' DESC'} NULLS {'LAST' if first else 'FIRST'}")


def _nulls_first(ordering: Ordering) -> bool:
    """Tell where NULL stands: PostgreSQL takes it for the greatest value unless told otherwise."""
    if "NULLS" in ordering.direction:
        return ordering.direction.endswith("FIRST")
    return ordering.direction.startswith(" DESC")


def _after(orderings: Sequence[Ordering], values: Sequence[Any]) -> Expression[bool]:
    """Return the condition for the rows behind the one with these values, so that an index leads to the first of them.

    With an OR alone the server would read the index from its beginning, and filter. So columns of one direction are
    compared as a row, and others are bounded by the first of them, unless NULL stands behind its value.
    """
    if len(orderings) == 1:
        return _beyond(orderings, values)
    down = {ordering.direction.startswith(" DESC") for ordering in orderings}
    if len(down) == 1 and None not in values and not any(_nullable(ordering) for ordering in orderings):
        row = Row(*(ordering.expression for ordering in orderings))
        return row < tuple(values) if down.pop() else row > tuple(values)
    first, value = orderings[0], values[0]
    condition = _beyond(orderings, values)
    if value is None or (_nullable(first) and not _nulls_first(first)):
        return condition
    column: Any = first.expression
    bound: Expression[bool] = column <= value if first.direction.startswith(" DESC") else column >= value
    return bound & condition


def _nullable(ordering: Ordering) -> bool:
    return bool(getattr(getattr(ordering.expression, "origin", None), "nullable", True))


def _beyond(orderings: Sequence[Ordering], values: Sequence[Any]) -> Expression[bool]:
    """Return the condition for the rows behind the one with these values: `a > x OR (a = x AND (b > y OR …))`."""
    ordering, value, more = orderings[0], values[0], orderings[1:]
    column: Any = ordering.expression
    behind = _behind(ordering, value)
    if not more:
        return _FALSE if behind is None else behind
    rest = _beyond(more, values[1:])
    same: Expression[bool] = (column.IsNull() if value is None else column == value) & rest
    return same if behind is None else behind | same


def _behind(ordering: Ordering, value: Any) -> Expression[bool] | None:
    column: Any = ordering.expression
    if value is None:
        return column.IsNotNull() if _nulls_first(ordering) else None
    further: Expression[bool] = column < value if ordering.direction.startswith(" DESC") else column > value
    return further | column.IsNull() if _nullable(ordering) and not _nulls_first(ordering) else further


_FALSE: Expression[bool] = Expression("FALSE")
