"""Expressions: what stands in a query where SQL has a value; columns, and what operators make of them.

An `Expression` is immutable. Its operators return new ones and refuse at once what could not mean what it
says. A value beside a column is dumped by the column's type and becomes a parameter; it never enters the
text. This module must not know models, queries or functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from typing import Any, Final, Generic, NoReturn, TypeAlias, TypeVar

from psqlmodel.errors import QueryError
from psqlmodel.query.nodes import (
    ADD,
    AND,
    ATOM,
    CAST,
    COMPARISON,
    DEFERRED,
    MULTIPLY,
    NO_SOURCES,
    NOT,
    OR,
    OTHER,
    POWER,
    SIGN,
    Deferred,
    Node,
    Params,
    Shape,
    Source,
)
from psqlmodel.query.operators import Operators
from psqlmodel.query.quoting import quote
from psqlmodel.query.values import SETTLED, bind, bind_list, by_python_type
from psqlmodel.types import PgType
from psqlmodel.types.scalars import text

T_co = TypeVar("T_co", covariant=True)
# What a clause takes as a condition. For type checkers a column of the plain spelling (`age: int = Column()`) compares
# to a bool; what really is a bool is refused when the query is built.
Predicate: TypeAlias = "Expression[bool | None] | bool"

_new = object.__new__


class Expression(Operators, Node, Generic[T_co]):
    """A value in a query, of Python type `T_co`.

    Comparing, adding, … make new expressions; `&`, `|` and `~` combine conditions. An expression has no truth
    value: `and`, `or`, `not` and `in` raise `QueryError`.

        (User.age >= 18) & User.name.ILike("a%")
    """

    __slots__ = ("flags", "level", "params", "shape", "sources", "type")
    level: int

    def __init__(
        self,
        shape: Shape,
        params: Params = (),
        sources: frozenset[Source] = NO_SOURCES,
        flags: int = 0,
        level: int = ATOM,
        type: PgType[Any] | None = None,
    ) -> None:
        self.shape = shape
        self.params = params
        self.sources = sources
        self.flags = flags
        self.level = level
        self.type = type

    __hash__ = object.__hash__
    # Without this, `__getitem__` would make every expression an endless iterable.
    __iter__: Any = None

    def __contains__(self, item: object) -> NoReturn:
        raise QueryError(f"`in` does not build SQL; write {self!r}.In(…), .Contains(…) or .HasKey(…)")

    def __bool__(self) -> NoReturn:
        raise QueryError(
            f"{self!r} is a part of a query and has no truth value: combine conditions with & | ~ "
            "(and parentheses), not with and, or, not"
        )

    def __repr__(self) -> str:
        return _plain(self.shape)

    @property
    def label(self) -> str | None:
        """The name of this expression as a column of a result, where it has one of its own."""
        return None

    # --- comparison -----------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return comparison(self, " = ", other) if other is not None else self.IsNull()

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return comparison(self, " <> ", other) if other is not None else self.IsNotNull()

    def __lt__(self, other: Any) -> Condition:
        return comparison(self, " < ", other)

    def __le__(self, other: Any) -> Condition:
        return comparison(self, " <= ", other)

    def __gt__(self, other: Any) -> Condition:
        return comparison(self, " > ", other)

    def __ge__(self, other: Any) -> Condition:
        return comparison(self, " >= ", other)

    def IsNull(self) -> Condition:
        """Test for NULL; `== None` says the same."""
        return _applied(self, " IS NULL", None, None)

    def IsNotNull(self) -> Condition:
        """Test for a value; `!= None` says the same."""
        return _applied(self, " IS NOT NULL", None, None)

    def IsDistinctFrom(self, other: Any) -> Condition:
        """Compare so that NULL is a value like others: distinct from all but NULL."""
        if other is None:
            return self.IsNotNull()
        return infix(self, " IS DISTINCT FROM ", beside(self, other), COMPARISON, OTHER)

    def IsNotDistinctFrom(self, other: Any) -> Condition:
        """Compare so that NULL equals NULL."""
        if other is None:
            return self.IsNull()
        return infix(self, " IS NOT DISTINCT FROM ", beside(self, other), COMPARISON, OTHER)

    def In(self, values: Iterable[Any] | Node) -> Condition:
        """Test whether the value is one of `values` (an iterable, one array parameter) or of a subquery.

        An empty iterable is false. Raises `QueryError` for None among the values: `.In(…) | .IsNull()` says
        that.
        """
        return _membership(self, values, " = ANY(", " IN (", ".In(…) | .IsNull()")

    def NotIn(self, values: Iterable[Any] | Node) -> Condition:
        """Test whether the value is none of `values` or of a subquery; an empty iterable is true."""
        return _membership(self, values, " <> ALL(", " NOT IN (", ".NotIn(…) & .IsNotNull()")

    def Between(self, low: Any, high: Any) -> Condition:
        """Test whether the value lies between two others, both included."""
        return _between(self, " BETWEEN ", low, high)

    def NotBetween(self, low: Any, high: Any) -> Condition:
        """Test whether the value lies outside two others."""
        return _between(self, " NOT BETWEEN ", low, high)

    # --- conditions -----------------------------------------------------------------------------------------

    def __and__(self, other: Any) -> Condition:
        return infix(self, " AND ", condition(other), AND, AND)

    def __or__(self, other: Any) -> Condition:
        return infix(self, " OR ", condition(other), OR, OR)

    def __rand__(self, other: Any) -> Condition:
        return infix(condition(other), " AND ", self, AND, AND)

    def __ror__(self, other: Any) -> Condition:
        return infix(condition(other), " OR ", self, OR, OR)

    def __invert__(self) -> Condition:
        return compose(NOT, None, "NOT ", paren(self, NOT))

    # --- arithmetic; `+` joins texts ------------------------------------------------------------------------

    def __add__(self, other: Any) -> Expression[T_co]:
        return self.Concat(other) if self._is_text() else arithmetic(self, " + ", other, ADD)

    def __radd__(self, other: Any) -> Expression[T_co]:
        if self._is_text():
            return literal(other).Concat(self)
        return arithmetic(counterpart(self, other), " + ", self, ADD)

    def __sub__(self, other: Any) -> Expression[Any]:
        return arithmetic(self, " - ", other, ADD)

    def __rsub__(self, other: Any) -> Expression[Any]:
        return arithmetic(counterpart(self, other), " - ", self, ADD)

    def __mul__(self, other: Any) -> Expression[T_co]:
        return arithmetic(self, " * ", other, MULTIPLY)

    def __rmul__(self, other: Any) -> Expression[T_co]:
        return arithmetic(counterpart(self, other), " * ", self, MULTIPLY)

    def __truediv__(self, other: Any) -> Expression[Any]:
        return arithmetic(self, " / ", other, MULTIPLY)

    def __rtruediv__(self, other: Any) -> Expression[Any]:
        return arithmetic(counterpart(self, other), " / ", self, MULTIPLY)

    def __mod__(self, other: Any) -> Expression[T_co]:
        return arithmetic(self, " % ", other, MULTIPLY)

    def __rmod__(self, other: Any) -> Expression[T_co]:
        return arithmetic(counterpart(self, other), " % ", self, MULTIPLY)

    def __pow__(self, other: Any) -> Expression[Any]:
        return arithmetic(self, " ^ ", other, POWER)

    def __rpow__(self, other: Any) -> Expression[Any]:
        return arithmetic(counterpart(self, other), " ^ ", self, POWER)

    def __neg__(self) -> Expression[T_co]:
        return compose(SIGN, self.type, "-", paren(self, CAST))

    def Concat(self, *others: Any) -> Expression[Any]:
        """Join texts with `||`; NULL makes the whole NULL."""
        joined: Expression[Any] = self
        for other in others:
            joined = infix(joined, " || ", text_operand(other), OTHER, OTHER, ADD, self.type)
        return joined

    def Collate(self, collation: str) -> Expression[T_co]:
        """Compare and order the text by a collation, such as `"C"`."""
        return compose(CAST, self.type, paren(self, CAST), f" COLLATE {quote(collation)}")

    def AtTimeZone(self, zone: Any) -> Expression[Any]:
        """Say a moment in a time zone, or which moment a local time was there: `Event.at.AtTimeZone("Europe/Rome")`."""
        return compose(ATOM, None, "(", paren(self, CAST), " AT TIME ZONE ", paren(text_operand(zone), CAST), ")")

    # --- what the operators of `operators.py` are made of ---------------------------------------------------

    def _beside(self, operator: str, value: Any) -> Expression[Any]:
        return infix(self, operator, beside(self, value), OTHER, ADD)

    def _beside_text(self, operator: str, value: Any) -> Expression[Any]:
        return infix(self, operator, text_operand(value), OTHER, ADD)

    def _like(self, operator: str, pattern: Any) -> Condition:
        return infix(self, operator, text_operand(pattern), COMPARISON, OTHER)

    def _is_text(self) -> bool:
        return self.type is not None and self.type.python is str

    # --- in a select list or ORDER BY -----------------------------------------------------------------------

    def As(self, name: str) -> Labeled[T_co]:
        """Name the expression as a column of the result."""
        return Labeled(self, name)

    def Cast(self, type: Any) -> Expression[Any]:
        """Cast to a PostgreSQL type: `User.age.Cast(types.text)`."""
        return compose(CAST, type, paren(self, CAST), f"::{cast_name(type)}")

    def Asc(self) -> Ordering:
        """Order ascending."""
        return Ordering(self, " ASC")

    def Desc(self) -> Ordering:
        """Order descending."""
        return Ordering(self, " DESC")

    def NullsFirst(self) -> Ordering:
        """Order ascending, NULL first."""
        return Ordering(self, " ASC NULLS FIRST")

    def NullsLast(self) -> Ordering:
        """Order ascending, NULL last."""
        return Ordering(self, " ASC NULLS LAST")


class Labeled(Expression[T_co]):
    """An expression with a name for the result."""

    __slots__ = ("_label", "inner")

    def __init__(self, inner: Expression[T_co], name: str) -> None:
        super().__init__(inner.shape, inner.params, inner.sources, inner.flags, inner.level, inner.type)
        quote(name)
        self.inner = inner
        self._label = name

    @property
    def label(self) -> str:
        """The name that was given."""
        return self._label


class Ordering(Node):
    """An expression with its direction in ORDER BY."""

    __slots__ = ("direction", "expression")

    def __init__(self, expression: Expression[Any], direction: str) -> None:
        self.expression = expression
        self.direction = direction

    def NullsFirst(self) -> Ordering:
        """Put NULL first."""
        return Ordering(self.expression, self.direction.partition(" NULLS")[0] + " NULLS FIRST")

    def NullsLast(self) -> Ordering:
        """Put NULL last."""
        return Ordering(self.expression, self.direction.partition(" NULLS")[0] + " NULLS LAST")

    @property
    def shape(self) -> Shape:
        """The text of the expression and its direction."""
        return (self.expression.shape, self.direction)

    @property
    def params(self) -> Params:  # type: ignore[override]
        """The parameters of the expression."""
        return self.expression.params

    @property
    def sources(self) -> frozenset[Source]:  # type: ignore[override]
        """The sources of the expression."""
        return self.expression.sources

    @property
    def flags(self) -> int:  # type: ignore[override]
        """The flags of the expression."""
        return self.expression.flags


class ColumnExpression(Expression[T_co]):
    """A column of a table, an alias or a subquery.

    `source` is what it belongs to, `name` its name in the database, `key` the attribute, `type` its
    PostgreSQL type as the model knows it. `origin` is the model's column where this one is seen through an
    alias.
    """

    __slots__ = ("key", "name", "origin", "source")

    def __init__(
        self,
        source: Source | None,
        name: str | None,
        key: str | None,
        type: PgType[Any] | None,
        origin: ColumnExpression[Any] | None = None,
    ) -> None:
        if source is None or name is None:
            super().__init__(None, type=type)
        else:
            super().__init__(f"{source.qualifier}.{quote(name)}", (), source.itself, 0, ATOM, type)
        # A declaration that is not bound to a table yet has no source; the model layer binds it.
        self.source: Any = source
        self.name: Any = name
        self.key: Any = key
        self.origin: ColumnExpression[Any] = self if origin is None else origin

    @property
    def label(self) -> str | None:
        """The attribute."""
        return self.key  # type: ignore[no-any-return]

    def through(self, source: Source) -> ColumnExpression[T_co]:
        """Return this column as seen through another source: an alias of its table."""
        return ColumnExpression(source, self.name, self.key, self.type, self.origin)

    def __repr__(self) -> str:
        return f"{self.source}.{self.key}" if self.source is not None else f"column {self.key or self.name}"


Condition = Expression[bool]


# --- building: parts become one expression ------------------------------------------------------------------


def comparison(left: Expression[Any], operator: str, other: Any) -> Condition:
    """Compare `left` with a value or an expression. The hot path of building, hence written out."""
    if type(other) not in SETTLED:
        if isinstance(other, ColumnExpression):
            return _columns(left, operator, other)
        if isinstance(other, Node):
            return infix(left, operator, other, COMPARISON, OTHER)
        if other is None:
            raise QueryError(f"{left!r}{operator}None is never true; test for NULL with .IsNull() or .IsNotNull()")
    value = bind(left, other)
    node: Condition = _new(Expression)
    node.shape = (left.shape if left.level > COMPARISON else ("(", left.shape, ")"), operator, None)
    node.params = (*left.params, value)
    node.sources = left.sources
    node.flags = left.flags | DEFERRED if type(value) is Deferred else left.flags
    node.level = COMPARISON
    node.type = None
    return node


def _columns(left: Expression[Any], operator: str, right: Expression[Any]) -> Condition:
    """Compare with a column, as every join does; written out like `comparison`."""
    node: Condition = _new(Expression)
    node.shape = (left.shape if left.level > COMPARISON else ("(", left.shape, ")"), operator, right.shape)
    node.params = left.params
    node.sources = left.sources | right.sources
    node.flags = left.flags
    node.level = COMPARISON
    node.type = None
    return node


def _applied(left: Expression[Any], lead: str, tail: str | None, bound: Any) -> Condition:
    """Apply an operator with one parameter inside (`= ANY($1)`), or with none if `tail` is None."""
    shape = left.shape if left.level > COMPARISON else ("(", left.shape, ")")
    if tail is None:
        return Expression((shape, lead), left.params, left.sources, left.flags, COMPARISON)
    flags = left.flags | DEFERRED if isinstance(bound, Deferred) else left.flags
    return Expression((shape, lead, None, tail), (*left.params, bound), left.sources, flags, COMPARISON)


def infix(
    left: Node,
    operator: str,
    right: Node,
    level: int,
    left_minimum: int,
    right_minimum: int | None = None,
    type: PgType[Any] | None = None,
) -> Expression[Any]:
    """Join two nodes by an operator; an operand below its minimum level gets parentheses."""
    right = paren(right, left_minimum if right_minimum is None else right_minimum)
    if left.level == level >= left_minimum and isinstance(left.shape, tuple):
        # A chain (a OR b OR c …) stays flat: thousands of terms must not nest as deep.
        shape = (*left.shape, operator, right.shape)
    else:
        left = paren(left, left_minimum)
        shape = (left.shape, operator, right.shape)
    sources = left.sources | right.sources
    return Expression(shape, left.params + right.params, sources, left.flags | right.flags, level, type)


def compose(level: int, type: PgType[Any] | None, *parts: str | Node) -> Expression[Any]:
    """Return the expression whose text is `parts` in their order."""
    shape: list[Shape] = []
    params: Params = ()
    sources = NO_SOURCES
    flags = 0
    for part in parts:
        if isinstance(part, str):
            shape.append(part)
            continue
        shape.append(part.shape)
        params += part.params
        if part.sources is not sources:
            sources = sources | part.sources if sources else part.sources
        flags |= part.flags
    return Expression(tuple(shape), params, sources, flags, level, type)


def paren(node: Node, minimum: int) -> Node:
    """Return `node`, in parentheses where it holds together less tightly than `minimum` or is a query."""
    if node.level >= minimum:
        return node
    return Expression(("(", node.shape, ")"), node.params, node.sources, node.flags)


def condition(value: Any) -> Node:
    """Return `value` if it can be a condition; raise `QueryError` with the likely mistake if not."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, bool):
        raise QueryError(
            f"a condition is the constant {value}: it compares two Python values, none of them a column. (Nor is a "
            "relation: compare its key, Order.user_id == user.id)"
        )
    if value is None:
        raise QueryError("not a condition: None; leave it out where there is none")
    raise QueryError(
        f"not a condition: {type(value).__name__}; & and | bind tighter than comparisons, "
        f"so write (User.age > 18) & (User.name == 'x'){'; SQL by hand is Text(…)' if isinstance(value, str) else ''}"
    )


def arithmetic(left: Expression[Any], operator: str, other: Any, level: int) -> Expression[Any]:
    """Compute with `left` and a value or an expression; operators of one level group to the left."""
    right = other if isinstance(other, Node) else counterpart(left, other)
    return infix(left, operator, right, level, level, level + 1, left.type)


# --- values beside expressions ------------------------------------------------------------------------------


def beside(left: Expression[Any], value: Any) -> Node:
    """Return `value` as an operand whose type the server infers from `left`."""
    if isinstance(value, Node):
        return value
    if value is None:
        return NULL
    bound = bind(left, value)
    return Expression(None, (bound,), NO_SOURCES, DEFERRED if isinstance(bound, Deferred) else 0, ATOM, left.type)


def counterpart(left: Expression[Any], value: Any) -> Expression[Any]:
    """Return `value` as an operand of arithmetic: bare if it has the type of `left`, else with its own type.

    Without this `Event.day + 3` would make the 3 a date, since the server infers the type of `left`.
    """
    type_ = left.type
    if type_ is not None and type(value) is type_.python and not type_.guess:
        return beside(left, value)  # type: ignore[return-value]
    return literal(value)


def operand(value: Any) -> Node:
    """Return `value` as an operand that brings its own type."""
    return value if isinstance(value, Node) else literal(value)


def literal(value: Any) -> Expression[Any]:
    """Return a value as a parameter with the cast that its Python type asks for."""
    if isinstance(value, Expression):
        return value
    if value is None:
        return NULL
    wire, cast = by_python_type(value)
    return Expression((None, cast), (wire,), level=CAST)


def typed(value: Any, type: PgType[Any]) -> Node:
    """Return `value` as a parameter with a cast to `type`."""
    if isinstance(value, Node):
        return value
    return Expression((None, f"::{type.base}"), (type.dump(value),), level=CAST, type=type)


def text_operand(value: Any) -> Node:
    """Return a text as an operand; anything else must be an expression."""
    if isinstance(value, str):
        return Expression((None, "::text"), (text.dump(value),), level=CAST)
    if isinstance(value, Node):
        return value
    raise QueryError(f"expected a str or an expression, not {type(value).__name__}")


def cast_name(type: PgType[Any]) -> str:
    """Return the name of a type in a cast; raise `QueryError` for what is no type."""
    if not isinstance(type, PgType):
        raise QueryError(f"a cast takes a type such as types.bigint, not {type!r}")
    return type.base if type.serial else type.name


def _between(left: Expression[Any], operator: str, low: Any, high: Any) -> Condition:
    if low is None or high is None:
        raise QueryError(f"{left!r}.Between(…) with None is never true; use >= or <= where one side is open")
    first, last, tested = paren(beside(left, low), OTHER), paren(beside(left, high), OTHER), paren(left, OTHER)
    shape = (tested.shape, operator, first.shape, " AND ", last.shape)
    sources = tested.sources | first.sources | last.sources
    flags = tested.flags | first.flags | last.flags
    return Expression(shape, tested.params + first.params + last.params, sources, flags, COMPARISON)


def _membership(left: Expression[Any], values: Any, array: str, subquery: str, null: str) -> Condition:
    if isinstance(values, Node):
        if getattr(values, "width", 1) != 1:
            raise QueryError(f"{left!r}.In takes a subquery that selects one column")
        return compose(COMPARISON, None, paren(left, OTHER), subquery, values, ")")
    items = list(values) if isinstance(values, list | tuple | set | frozenset) else _items(left, values)
    kinds = set(map(type, items))
    if NoneType in kinds:
        raise QueryError(f"{left!r}.In with None among its values would never match NULL; write {null}")
    if not kinds <= SETTLED and any(issubclass(kind, Node) for kind in kinds):
        parts: list[str | Node] = []
        for item in items:
            parts += (", ", beside(left, item))
        return compose(COMPARISON, None, paren(left, OTHER), subquery, *parts[1:], ")")
    if left.type is not None and left.type.element is not None:
        raise QueryError(f"{left!r} is an array: use .Contains, .Overlaps or .Has, or compare with == and |")
    return _applied(left, array, ")", bind_list(left, items))


def _items(left: Expression[Any], values: Any) -> list[Any]:
    if isinstance(values, str | bytes | dict) or not isinstance(values, Iterable):
        raise QueryError(f"{left!r}.In takes a list of values or a subquery, not {type(values).__name__}")
    return list(values)


def _plain(shape: Shape) -> str:
    """Return the text of a shape with `?` for each parameter: for messages only."""
    if shape is None:
        return "?"
    if isinstance(shape, tuple):
        return "".join(map(_plain, shape))
    return shape.replace('"', "") if isinstance(shape, str) else ""


NULL: Final[Expression[Any]] = Expression("NULL")
