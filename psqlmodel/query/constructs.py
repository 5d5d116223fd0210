"""Constructs with a syntax of their own: Case, Exists, Row, Excluded, Text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import (
    NULL,
    Condition,
    Expression,
    beside,
    compose,
    literal,
)
from psqlmodel.query.lexing import tokens
from psqlmodel.query.nodes import (
    ANY_TABLE,
    ATOM,
    COMPARISON,
    DEFERRED,
    CastSlot,
    DeferredList,
    ExcludedName,
    Node,
    Source,
    TransportSlot,
)
from psqlmodel.query.statement import Query
from psqlmodel.query.values import bind_list

if TYPE_CHECKING:
    from psqlmodel.query.templates import Template

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Case:
    """Choose a value by conditions: `Case().When(User.age < 18, "minor").Else("adult")`.

    With an argument, `When` takes values of it: `Case(User.kind).When("a", 1)`.
    """

    def __init__(self, subject: Expression[Any] | None = None) -> None:
        self._subject = subject

    @overload
    def When(self, condition: Any, result: Expression[T]) -> CaseExpression[T]: ...
    @overload
    def When(self, condition: Any, result: Query[Any]) -> CaseExpression[Any]: ...
    @overload
    def When(self, condition: Any, result: T) -> CaseExpression[T]: ...
    def When(self, condition: Any, result: Any) -> CaseExpression[Any]:
        """Add a case: what holds, and the value then."""
        return CaseExpression(self._subject, (), None, False).When(condition, result)


class CaseExpression(Expression[T_co | None], Generic[T_co]):
    """A CASE with one arm at least; `Else` ends it, without it the value is NULL where no case holds."""

    __slots__ = ("arms", "ended", "otherwise", "subject")

    def __init__(
        self,
        subject: Expression[Any] | None,
        arms: tuple[tuple[Any, Any], ...],
        otherwise: Any,
        ended: bool,
    ) -> None:
        self.subject = subject
        self.arms = arms
        self.otherwise = otherwise
        self.ended = ended
        if arms:
            made = self._written()
            super().__init__(made.shape, made.params, made.sources, made.flags, ATOM, made.type)

    @overload
    def When(self, condition: Any, result: Expression[T]) -> CaseExpression[T_co | T]: ...
    @overload
    def When(self, condition: Any, result: Query[Any]) -> CaseExpression[Any]: ...
    @overload
    def When(self, condition: Any, result: T) -> CaseExpression[T_co | T]: ...
    def When(self, condition: Any, result: Any) -> CaseExpression[Any]:
        """Add a case: what holds, and the value then."""
        if self.ended:
            raise QueryError("Case: .When(…) comes before .Else(…)")
        if self.subject is None and not isinstance(condition, Expression):
            raise QueryError(
                f"Case().When takes a condition, not {type(condition).__name__}; Case(column) takes values"
            )
        return CaseExpression(self.subject, (*self.arms, (condition, result)), None, False)

    @overload
    def Else(self, result: Expression[T]) -> Expression[T_co | T]: ...
    @overload
    def Else(self, result: Query[Any]) -> Expression[Any]: ...
    @overload
    def Else(self, result: T) -> Expression[T_co | T]: ...
    def Else(self, result: Any) -> Expression[Any]:
        """Give the value for when no case holds."""
        if self.ended:
            raise QueryError("Case has one .Else(…)")
        return CaseExpression(self.subject, self.arms, result, True)

    def _written(self) -> Expression[Any]:
        results = [result for _, result in self.arms] + [self.otherwise]
        known = next((r for r in results if isinstance(r, Expression) and r.type is not None), None)
        parts: list[str | Node] = ["CASE"]
        if self.subject is not None:
            parts += (" ", self.subject)
        for condition, result in self.arms:
            tested = condition if self.subject is None else beside(self.subject, condition)
            parts += (" WHEN ", tested, " THEN ", _result(known, result))
        if self.ended:
            parts += (" ELSE ", _result(known, self.otherwise))
        return compose(ATOM, known.type if known is not None else None, *parts, " END")


def _result(known: Expression[Any] | None, value: Any) -> Node:
    if isinstance(value, Query):
        return value.Scalar()
    return literal(value) if known is None else beside(known, value)


def Exists(query: Query[Any]) -> Condition:
    """Test whether a subquery gives any row; it may refer to the tables of the query around it.

    Select(User).Where(Exists(Select(Order).Where(Order.user_id == User.id)))
    """
    if not isinstance(query, Query):
        raise QueryError(f"Exists takes a query, not {type(query).__name__}")
    return Expression(("EXISTS (", query.shape, ")"), query.params, query.sources, query.flags)


class Row(Expression[tuple[Any, ...]]):
    """Several values compared as one: `Row(A.x, A.y) == (1, 2)`, `Row(A.x, A.y).In([(1, 2), (3, 4)])`."""

    __slots__ = ("items",)

    def __init__(self, *items: Expression[Any]) -> None:
        if len(items) < 2 or not all(isinstance(item, Expression) for item in items):
            raise QueryError("Row takes two or more columns or expressions")
        made = _row(items)
        super().__init__(made.shape, made.params, made.sources, made.flags)
        self.items = items

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return super().__eq__(self._alike(other))

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return super().__ne__(self._alike(other))

    def __lt__(self, other: Any) -> Condition:
        return super().__lt__(self._alike(other))

    def __le__(self, other: Any) -> Condition:
        return super().__le__(self._alike(other))

    def __gt__(self, other: Any) -> Condition:
        return super().__gt__(self._alike(other))

    def __ge__(self, other: Any) -> Condition:
        return super().__ge__(self._alike(other))

    __hash__ = Expression.__hash__

    def In(self, values: Iterable[Any] | Node) -> Condition:
        """Test whether the row is one of `values` (tuples; one array parameter a column) or of a subquery."""
        return self._member(" IN (", values)

    def NotIn(self, values: Iterable[Any] | Node) -> Condition:
        """Test whether the row is none of `values` or of a subquery."""
        return self._member(" NOT IN (", values)

    def _member(self, operator: str, values: Any) -> Condition:
        if isinstance(values, Query):
            if values.width != len(self.items):
                raise QueryError(f"{self!r}.In takes a subquery of {len(self.items)} columns, not {values.width}")
            return compose(COMPARISON, None, self, operator, values, ")")
        rows = [self._checked(row) for row in values]
        arrays: list[str | Node] = []
        casts: list[str | Node] = []
        for index, item in enumerate(self.items):
            origin = getattr(item, "origin", None)
            if origin is None:
                raise QueryError(f"{self!r}.In with values takes plain columns, not {item!r}")
            arrays += (", ", carried(origin, [row[index] for row in rows]))
            casts += (", ", f'"r"."c{index + 1}"', Expression(CastSlot(origin)))
        names = ", ".join(f'"c{index + 1}"' for index in range(len(self.items)))
        inner = ("SELECT ", *casts[1:], " FROM unnest(", *arrays[1:], f') AS "r" ({names})')
        return compose(COMPARISON, None, self, operator, *inner, ")")

    def _alike(self, other: Any) -> Any:
        if isinstance(other, Node):
            return other
        return _row([beside(item, value) for item, value in zip(self.items, self._checked(other), strict=True)])

    def _checked(self, row: Any) -> Any:
        if not isinstance(row, tuple | list) or len(row) != len(self.items):
            raise QueryError(f"{self!r} is compared with tuples of {len(self.items)} values, not {type(row).__name__}")
        if any(value is None for value in row):
            raise QueryError(f"{self!r}: a row with None is never equal to another")
        return row


def _row(items: Iterable[Node]) -> Expression[Any]:
    parts: list[str | Node] = []
    for item in items:
        parts += (", ", item)
    return compose(ATOM, None, "(", *parts[1:], ")")


def carried(column: Any, values: list[Any]) -> Expression[Any]:
    """Return many values of a column as one array parameter: `$1::int4[]`, of its real type when compiled.

    They are checked now, unless the type is only guessed and the catalog may know a wider one.
    """
    type_ = column.type
    doubtful = values if not type_.guess else [v for v in values if not isinstance(v, type_.python)]
    bind_list(column, doubtful)
    return Expression((None, "::", TransportSlot(column)), (DeferredList(column, values),), flags=DEFERRED)


class ExcludedRow:
    """The row that an INSERT could not insert, in `OnConflict(…).DoUpdate(…)`: `Excluded.name`."""

    def __getattr__(self, name: str) -> Expression[Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Expression[Any]:
        return Expression(("EXCLUDED.", ExcludedName(name)), sources=EXCLUDED.itself)


EXCLUDED: Final = Source("EXCLUDED", "EXCLUDED")
Excluded: Final = ExcludedRow()


def Text(sql: str | Template, *params: Any) -> Expression[Any]:
    """Write a piece of SQL by hand.

    `params` take the place of `%s` in order (or of `%(name)s`, with one mapping); they are values or
    expressions. A literal `%` needs no doubling where there are no params. The text itself must never contain
    a value. From Python 3.14 on a t-string has them in their places: `Text(t"levenshtein({User.name}, {name}) < 3")`.

        Select(User).Where(Text("levenshtein(%s, %s) < 3", User.name, "Ann"))
    """
    if not isinstance(sql, str):
        if params:
            raise QueryError("a t-string has its values inside; params belong to Text of a str")
        return _text_of(sql)
    return _text(sql, params, params[0] if len(params) == 1 and isinstance(params[0], Mapping) else params)


def _text_of(template: Any) -> Expression[Any]:
    from psqlmodel.query.templates import as_text  # few programs need it

    sql, values = as_text(template)
    return _text(sql, values, values)


def _text(sql: Any, params: Any, given: Any) -> Expression[Any]:
    parts: list[str | Node] = []
    used: set[Any] = set()
    count = 0
    if any(kind == "word" and piece.upper() == "FROM" for kind, piece in tokens(sql)):
        parts.append(ANY_TABLE)  # a subquery may read what is pending
    for kind, piece in tokens(sql):
        if kind == "dollar":
            raise QueryError(f"Text numbers its parameters itself: write %s, not {piece}")
        if kind == "semicolon":
            raise QueryError("Text is a piece of one statement: it must not contain ';'")
        if kind != "percent" or not params:
            parts.append(piece)
        elif piece in ("%", "%%"):
            parts.append("%")
        else:
            key = count if piece == "%s" else piece[2:-2]
            count += piece == "%s"
            parts.append(_given(given, key))
            used.add(key)
    if params and len(used) != len(given):
        raise QueryError(f"Text has {len(used)} places for {len(given)} parameters")
    return compose(0, None, *parts)


def _given(given: Any, key: Any) -> Node:
    try:
        value = given[key]
    except (KeyError, IndexError, TypeError):
        raise QueryError(f"Text has no parameter for {f'%({key})s' if isinstance(key, str) else '%s'}") from None
    if value is None:
        return NULL
    if isinstance(value, Query):
        return value.Scalar()
    return value if isinstance(value, Expression) else literal(value)
