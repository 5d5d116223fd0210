"""Calls: functions and aggregates with FILTER, ORDER BY, DISTINCT and OVER; any function by name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import Expression, Ordering, Predicate, compose, literal
from psqlmodel.query.nodes import AGGREGATE, ATOM, NO_SOURCES, WINDOW, Node
from psqlmodel.query.quoting import quote
from psqlmodel.types import PgType

if TYPE_CHECKING:
    from psqlmodel.query.sources import Table

T_co = TypeVar("T_co", covariant=True)

# First and last row of a frame relative to the current one: None is unbounded, negative is before it.
Frame: TypeAlias = tuple[int | None, int | None]

_SIMPLE_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*\Z")


class Call(Expression[T_co]):
    """A call of a function: `name(arguments)`, with what may follow."""

    __slots__ = ("arguments", "inside", "kind", "label_", "opening", "ordering", "tail")

    opening: str
    arguments: tuple[Node, ...]
    kind: int
    ordering: tuple[Node, ...]
    tail: tuple[str | Node, ...]
    label_: str

    @property
    def label(self) -> str | None:
        """The name of the function."""
        return self.label_

    def Distinct(self) -> Self:
        """Let the aggregate see equal values once."""
        if not self.arguments or self.opening.endswith("DISTINCT "):
            raise QueryError(f"{self!r}: DISTINCT needs an argument, and once is enough")
        return self._remade(opening=self.opening + "DISTINCT ")

    def OrderBy(self, *ordering: Any) -> Self:
        """Order the values that the aggregate sees: `ArrayAgg(User.name).OrderBy(User.id)`."""
        made = tuple(_ordering(item) for item in ordering)
        return self._remade(ordering=(*self.ordering, *made))

    def Filter(self, condition: Predicate) -> Self:
        """Let the aggregate see only the rows for which `condition` holds."""
        if not isinstance(condition, Expression) or condition.flags & (AGGREGATE | WINDOW):
            raise QueryError(f"Filter takes a condition without aggregates, not {condition!r}")
        return self._remade(tail=(*self.tail, " FILTER (WHERE ", condition, ")"))

    def WithinGroup(self, *ordering: Any) -> Self:
        """Order the rows of an ordered-set aggregate: `Func.mode().WithinGroup(User.age)`."""
        items: list[str | Node] = [" WITHIN GROUP (ORDER BY "]
        for index, item in enumerate(ordering):
            items += (", ", _ordering(item)) if index else (_ordering(item),)
        return self._remade(tail=(*self.tail, *items, ")"), kind=AGGREGATE)

    def AsTable(self, name: str, *columns: str, ordinality: str = "", **typed: Any) -> Table:
        """Return a function that gives rows as a table, for From and joins.

        `columns` are the names of its columns; `ordinality` names one more that numbers the rows. For a function that
        gives records, such as `jsonb_to_recordset`, say names and types: `a=types.integer`.

            days = Func.generate_series(first, last, timedelta(days=1)).AsTable("days", "day")
            Select(days.day, Count(Order.id)).From(days).LeftJoin(Order, Order.day == days.day).GroupBy(days.day)
        """
        from psqlmodel.query.tables import FunctionTable

        return FunctionTable(self, name, columns, typed, ordinality)

    def Over(
        self,
        window: str | None = None,
        *,
        partition_by: Any = (),
        order_by: Any = (),
        rows: Frame | None = None,
        range: Frame | None = None,
        groups: Frame | None = None,
    ) -> Expression[T_co]:
        """Compute over a window of rows instead of a group.

        `window` is the name of one that the query's `.Window(…)` defines. `partition_by` and `order_by` are expressions
        or lists of them. A frame is `(first, last)` relative to
        the current row: negative before, 0 the row itself, positive after, None unbounded.

            Sum(Order.total).Over(partition_by=Order.user_id, order_by=Order.id, rows=(None, 0))
        """
        self._check_open()
        parts = window_parts(window, partition_by, order_by, rows, range, groups)
        made = compose(ATOM, self.type, self, " OVER (", *parts, ")")
        made.flags = made.flags & ~AGGREGATE | WINDOW
        return self._named(made)

    def _check_open(self) -> None:
        if not self.opening:
            raise QueryError(f"{self!r}: .Over(…) comes last")

    def _named(self, made: Expression[Any]) -> Expression[T_co]:
        call: Call[T_co] = Call(made.shape, made.params, made.sources, made.flags, made.level, made.type)
        call.label_ = self.label_
        call.opening, call.arguments, call.kind, call.ordering, call.tail = "", (), 0, (), ()
        return call

    def _remade(self, **changes: Any) -> Self:
        self._check_open()
        values = {key: getattr(self, key) for key in ("opening", "arguments", "kind", "ordering", "tail")}
        return make_call(self.label_, type=self.type, **(values | changes))  # type: ignore[return-value]


def window_parts(
    base: str | None, partition_by: Any, order_by: Any, rows: Frame | None, range: Frame | None, groups: Frame | None
) -> list[str | Node]:
    """Return what stands in the parentheses of a window; `base` is the name of one that it begins with."""
    parts: list[str | Node] = [] if base is None else [quote(base)]
    for lead, items in (("PARTITION BY ", _several(partition_by)), ("ORDER BY ", _several(order_by))):
        for index, item in enumerate(items):
            parts += (", " if index else (" " if parts else "") + lead, _ordering(item))
    frames = [("ROWS", rows), ("RANGE", range), ("GROUPS", groups)]
    given = [(name, frame) for name, frame in frames if frame is not None]
    if len(given) > 1:
        raise QueryError("a window has one frame: rows, range or groups")
    for name, frame in given:
        parts += _frame((" " if parts else "") + name, frame)
    return parts


def make_call(
    label: str,
    opening: str,
    arguments: tuple[Node, ...],
    *,
    kind: int = 0,
    type: PgType[Any] | None = None,
    ordering: tuple[Node, ...] = (),
    tail: tuple[str | Node, ...] = (),
) -> Call[Any]:
    """Return the call that `opening` (`count(`) begins; `kind` is AGGREGATE, WINDOW or 0."""
    parts: list[str | Node] = [opening]
    for index, argument in enumerate(arguments):
        if kind == AGGREGATE and argument.flags & (AGGREGATE | WINDOW):
            raise QueryError(f"{label}: an aggregate can't contain {argument!r}; use a subquery")
        parts += (", ", argument) if index else (argument,)
    for index, item in enumerate(ordering):
        parts += (", " if index else " ORDER BY ", item)
    made = compose(ATOM, type, *parts, ")", *tail)
    call: Call[Any] = Call(made.shape, made.params, made.sources, made.flags | kind, ATOM, type)
    call.label_ = label
    call.opening, call.arguments, call.kind, call.ordering, call.tail = (
        opening,
        arguments,
        kind,
        ordering,
        tail,
    )
    return call


def call(name: str, *arguments: Any, type: PgType[Any] | None = None) -> Call[Any]:
    """Call a function by its plain name; values become parameters with the type of their Python type."""
    return make_call(name, f"{name}(", tuple(argument(value) for value in arguments), type=type)


def aggregate(name: str, *arguments: Any, type: PgType[Any] | None = None) -> Call[Any]:
    """Call an aggregate by its plain name."""
    return make_call(name, f"{name}(", tuple(argument(value) for value in arguments), kind=AGGREGATE, type=type)


def argument(value: Any) -> Node:
    """Return an argument of a function: an expression, a subquery, or a value with its own type."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, Node):
        return value.Scalar()  # type: ignore[attr-defined,no-any-return]
    return literal(value)


class FunctionName:
    """A function by name: calling it builds the call; an attribute of it is a function of that schema."""

    __slots__ = ("_names",)

    def __init__(self, *names: str) -> None:
        self._names = names

    def __getattr__(self, name: str) -> FunctionName:
        if name.startswith("__"):
            raise AttributeError(name)
        return FunctionName(*self._names, name)

    def __call__(self, *arguments: Any) -> Call[Any]:
        """Call the function; values become parameters with the type of their Python type."""
        if not self._names:
            raise QueryError('Func needs the name of a function: Func.date_trunc("month", Order.created)')
        spelled = ".".join(map(_spelled, self._names))
        from psqlmodel.query.spoken import spoken  # few programs call functions by name

        given = spoken(self._names[-1], arguments)
        return make_call(self._names[-1], f"{spelled}(", tuple(argument(value) for value in given))

    def __repr__(self) -> str:
        return ".".join(("Func", *self._names))


Func: Final = FunctionName()


def _spelled(name: str) -> str:
    """Return the name as it is where that says the same; what can't be a name is refused either way."""
    quoted = quote(name)
    return name if _SIMPLE_NAME.match(name) else quoted


def _ordering(item: Any) -> Node:
    if isinstance(item, Ordering):
        return item.expression if item.direction == " ASC" else item
    if isinstance(item, Expression):
        return item
    raise QueryError(f"expected a column or an expression, not {item!r}")


def _several(items: Any) -> tuple[Any, ...]:
    if isinstance(items, Iterable) and not isinstance(items, Node | str):
        return tuple(items)
    return (items,)


def _frame(name: str, frame: Any) -> list[str | Node]:
    if not isinstance(frame, tuple) or len(frame) != 2:
        raise QueryError("a frame is a pair (first, last): (-2, 0), (None, 0)")
    first, last = frame
    if first is not None and last is not None and first > last:
        raise QueryError(f"the frame {frame!r} ends before it begins")
    return [f"{name} BETWEEN ", *_edge(first, "PRECEDING"), " AND ", *_edge(last, "FOLLOWING")]


def _edge(edge: Any, unbounded: str) -> list[str | Node]:
    if edge is None:
        return [f"UNBOUNDED {unbounded}"]
    if not isinstance(edge, int) or isinstance(edge, bool):
        raise QueryError(f"the edge of a frame is a number of rows or None, not {edge!r}")
    if edge == 0:
        return ["CURRENT ROW"]
    count = Expression[Any]((None, "::bigint"), (abs(edge),), NO_SOURCES)
    return [count, " PRECEDING" if edge < 0 else " FOLLOWING"]
