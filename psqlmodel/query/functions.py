"""Functions: aggregates, window functions and common functions; `Func.name(…)` is any other.

An argument that is no expression becomes a parameter with the type of its Python value.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any, TypeVar, overload

from psqlmodel.errors import QueryError
from psqlmodel.query.calls import Call, aggregate, argument, call, make_call
from psqlmodel.query.expression import ColumnExpression, Expression, cast_name, compose, typed
from psqlmodel.query.nodes import AGGREGATE, WINDOW
from psqlmodel.types import PgType
from psqlmodel.types.jsons import jsonb
from psqlmodel.types.scalars import bigint, boolean, double, integer, text, uuid
from psqlmodel.types.temporal import date, timestamptz

T = TypeVar("T")
M = TypeVar("M")

_star: Expression[Any] = Expression("*")


def Count(what: Any = None) -> Call[int]:
    """Count rows, or with an expression the rows where it is not NULL."""
    if what is None:
        return make_call("count", "count(", (_star,), kind=AGGREGATE, type=bigint)
    if hasattr(what, "__columns__"):
        raise QueryError("Count takes nothing (rows) or a column: Count(User.id)")
    return aggregate("count", what, type=bigint)


@overload
def Sum(what: Expression[T]) -> Call[T | None]: ...
@overload
def Sum(what: T) -> Call[T | None]: ...  # a column of the plain spelling
def Sum(what: Any) -> Call[Any]:
    """Add up; NULL where there is no row."""
    return aggregate("sum", what)


@overload
def Avg(what: Expression[int | Decimal | None]) -> Call[Decimal | None]: ...
@overload
def Avg(what: Any) -> Call[Any]: ...
def Avg(what: Any) -> Call[Any]:
    """Compute the mean; NULL where there is no row."""
    return aggregate("avg", what)


@overload
def Min(what: Expression[T]) -> Call[T | None]: ...
@overload
def Min(what: T) -> Call[T | None]: ...  # a column of the plain spelling
def Min(what: Any) -> Call[Any]:
    """Find the least value; NULL where there is no row."""
    return aggregate("min", what, type=_type(what))


@overload
def Max(what: Expression[T]) -> Call[T | None]: ...
@overload
def Max(what: T) -> Call[T | None]: ...  # a column of the plain spelling
def Max(what: Any) -> Call[Any]:
    """Find the greatest value; NULL where there is no row."""
    return aggregate("max", what, type=_type(what))


@overload
def ArrayAgg(what: Expression[T]) -> Call[list[T] | None]: ...
@overload
def ArrayAgg(what: T) -> Call[list[T] | None]: ...  # a column of the plain spelling
def ArrayAgg(what: Any) -> Call[Any]:
    """Collect the values into an array."""
    type_ = _type(what)
    return aggregate("array_agg", what, type=type_.array() if type_ is not None and not type_.serial else None)


def JsonbAgg(what: Any) -> Call[Any]:
    """Collect the values into a JSON array."""
    return aggregate("jsonb_agg", what, type=jsonb)


def JsonbObjectAgg(key: Any, value: Any) -> Call[Any]:
    """Collect keys and values into a JSON object."""
    return aggregate("jsonb_object_agg", key, value, type=jsonb)


def StringAgg(what: Expression[Any], separator: str) -> Call[str | None]:
    """Join the texts, with `separator` between them."""
    return aggregate("string_agg", what, separator, type=text)


def BoolAnd(condition: Expression[Any]) -> Call[bool | None]:
    """Tell whether the condition holds for all rows."""
    return aggregate("bool_and", condition, type=boolean)


def BoolOr(condition: Expression[Any]) -> Call[bool | None]:
    """Tell whether the condition holds for some row."""
    return aggregate("bool_or", condition, type=boolean)


# --- window functions: they need `.Over(…)` -----------------------------------------------------------------


def RowNumber() -> Call[int]:
    """Number the rows of the window from 1."""
    return _window("row_number", type=bigint)


def Rank() -> Call[int]:
    """Give equal rows equal ranks, with gaps."""
    return _window("rank", type=bigint)


def DenseRank() -> Call[int]:
    """Give equal rows equal ranks, without gaps."""
    return _window("dense_rank", type=bigint)


def PercentRank() -> Call[float]:
    """Rank the rows from 0 to 1."""
    return _window("percent_rank", type=double)


def CumeDist() -> Call[float]:
    """Tell what part of the rows comes before or is equal."""
    return _window("cume_dist", type=double)


def Ntile(buckets: int) -> Call[int]:
    """Divide the rows into `buckets` of nearly equal size."""
    return _window("ntile", buckets, type=integer)


def Lag(what: Expression[T], offset: int = 1, default: Any = None) -> Call[T | None]:
    """Read the row `offset` before the current one."""
    return _neighbour("lag", what, offset, default)


def Lead(what: Expression[T], offset: int = 1, default: Any = None) -> Call[T | None]:
    """Read the row `offset` after the current one."""
    return _neighbour("lead", what, offset, default)


def FirstValue(what: Expression[T]) -> Call[T | None]:
    """Read the first row of the frame."""
    return _window("first_value", what, type=_type(what))


def LastValue(what: Expression[T]) -> Call[T | None]:
    """Read the last row of the frame."""
    return _window("last_value", what, type=_type(what))


def NthValue(what: Expression[T], n: int) -> Call[T | None]:
    """Read the n-th row of the frame, from 1."""
    return _window("nth_value", what, n, type=_type(what))


# --- for type checkers: at run time these give back what they are given -------------------------------------


@overload
def Nullable(what: type[M]) -> Expression[M | None]: ...
@overload
def Nullable(what: Expression[T]) -> Expression[T | None]: ...
@overload
def Nullable(what: Any) -> Any: ...
def Nullable(what: Any) -> Any:
    """Tell type checkers that a model or an expression may be missing from a row, on the outer side of a join.

    Select(User, Nullable(Order)).LeftJoin(Order, Order.user_id == User.id)  # rows of (User, Order | None)
    """
    return what


@overload
def NotNullable(what: Expression[T | None]) -> Expression[T]: ...
@overload
def NotNullable(what: Any) -> Any: ...
def NotNullable(what: Any) -> Any:
    """Tell type checkers that an expression is never NULL in this query: `Select(NotNullable(Sum(Order.total)))`."""
    return what


@overload
def Col(what: ColumnExpression[T]) -> ColumnExpression[T]: ...
@overload
def Col(what: T) -> ColumnExpression[T]: ...
def Col(what: Any) -> Any:
    """Tell type checkers that a column of the plain spelling (`age: int = Column()`) is a column.

    On the class it has the type of its value for them. Raises `QueryError` for what is no column.

        Select(User).Where(Col(User.age).In([1, 2])).OrderBy(Col(User.name).Desc())
    """
    if not isinstance(what, ColumnExpression):
        raise QueryError(f"Col takes a column such as User.name, not {type(what).__name__}")
    return what


# --- values -------------------------------------------------------------------------------------------------


@overload
def Coalesce(a: Expression[T | None], b: Expression[T] | T, /) -> Call[T]: ...
@overload
def Coalesce(a: Expression[T | None], b: Expression[T | None] | T | None, c: Expression[T] | T, /) -> Call[T]: ...
@overload
def Coalesce(*values: Any) -> Call[Any]: ...
def Coalesce(*values: Any) -> Call[Any]:
    """Take the first value that is not NULL."""
    return _alike("coalesce", values)


@overload
def NullIf(value: Expression[T], other: Any) -> Call[T | None]: ...
@overload
def NullIf(value: Any, other: Any) -> Call[Any]: ...
def NullIf(value: Any, other: Any) -> Call[Any]:
    """Make NULL of a value that equals another."""
    return _alike("nullif", (value, other))


@overload
def Greatest(value: Expression[T], /, *others: Expression[T] | T) -> Call[T]: ...
@overload
def Greatest(*values: Any) -> Call[Any]: ...
def Greatest(*values: Any) -> Call[Any]:
    """Take the greatest of several values."""
    return _alike("greatest", values)


@overload
def Least(value: Expression[T], /, *others: Expression[T] | T) -> Call[T]: ...
@overload
def Least(*values: Any) -> Call[Any]: ...
def Least(*values: Any) -> Call[Any]:
    """Take the least of several values."""
    return _alike("least", values)


def Cast(value: Any, type: Any) -> Expression[Any]:
    """Cast an expression, or give a value a type: `Cast([], types.integer.array())`."""
    if isinstance(value, Expression):
        return value.Cast(type)
    cast_name(type)
    result: Any = typed(value, type)
    return result  # type: ignore[no-any-return]


def Value(value: T) -> Expression[T]:
    """Make a parameter of a value, with the type of its Python type: `Value("x").As("kind")`."""
    result: Any = argument(value)
    return result  # type: ignore[no-any-return]


def AnyOf(array: Any) -> Expression[Any]:
    """Stand for any element of an array, or row of a subquery, on the right of a comparison."""
    return _quantified("ANY (", array)


def AllOf(array: Any) -> Expression[Any]:
    """Stand for all elements of an array, or rows of a subquery, on the right of a comparison."""
    return _quantified("ALL (", array)


# --- text, numbers, time ------------------------------------------------------------------------------------


def Lower(value: Any) -> Call[str]:
    """Make letters small."""
    return call("lower", value, type=text)


def Upper(value: Any) -> Call[str]:
    """Make letters capital."""
    return call("upper", value, type=text)


def Length(value: Any) -> Call[int]:
    """Count characters."""
    return call("length", value, type=integer)


def Trim(value: Any) -> Call[str]:
    """Remove spaces at both ends."""
    return call("btrim", value, type=text)


def Concat(*values: Any) -> Call[str]:
    """Join values as text; NULL counts as empty."""
    return call("concat", *values, type=text)


def Substring(value: Any, start: int, length: int | None = None) -> Call[str]:
    """Cut out a part of a text, from character `start` (from 1) on."""
    return call("substr", value, start, *(() if length is None else (length,)), type=text)


def Replace(value: Any, old: Any, new: Any) -> Call[str]:
    """Replace each occurrence of a text."""
    return call("replace", value, old, new, type=text)


def Abs(value: Expression[T]) -> Call[T]:
    """Drop the sign."""
    return call("abs", value, type=_type(value))


def Round(value: Expression[Any], digits: int | None = None) -> Call[Any]:
    """Round to whole numbers or, for numeric, to `digits` after the point."""
    return call("round", value, *(() if digits is None else (digits,)), type=_type(value))


def Now() -> Call[datetime.datetime]:
    """Tell when the transaction began."""
    return call("now", type=timestamptz)


def CurrentDate() -> Expression[datetime.date]:
    """Tell today's date in the session's time zone."""
    return Expression("CURRENT_DATE", type=date)


def DateTrunc(unit: str, value: Expression[T]) -> Call[T]:
    """Round a time down to a unit, such as `"month"`."""
    return call("date_trunc", unit, value, type=_type(value))


def Extract(unit: str, value: Expression[Any]) -> Call[Any]:
    """Read a part of a time, such as `"year"`, as a number."""
    return make_call("extract", "date_part(", (argument(unit), argument(value)), type=double)


def RandomUUID() -> Call[Any]:
    """Make a random UUID."""
    return call("gen_random_uuid", type=uuid)


def Random() -> Call[float]:
    """Make a random number from 0 to 1."""
    return call("random", type=double)


def JsonbBuildObject(**values: Any) -> Call[Any]:
    """Build a JSON object of names and values."""
    flat = [part for pair in values.items() for part in pair]
    return call("jsonb_build_object", *flat, type=jsonb)


def _type(what: Any) -> PgType[Any] | None:
    return what.type if isinstance(what, Expression) else None


def _window(name: str, *arguments: Any, type: PgType[Any] | None = None) -> Call[Any]:
    return make_call(name, f"{name}(", tuple(argument(value) for value in arguments), kind=WINDOW, type=type)


def _neighbour(name: str, what: Expression[Any], offset: int, default: Any) -> Call[Any]:
    last = () if default is None else (_like([what], default),)
    return _window(name, what, offset, *last, type=_type(what))


def _alike(name: str, values: tuple[Any, ...]) -> Call[Any]:
    """Values among expressions take their type: an enum column's default is an enum, not a text."""
    if not values:
        raise QueryError(f"{name} needs values")
    expressions = [value for value in values if isinstance(value, Expression) and value.type is not None]
    type_ = expressions[0].type if expressions else None
    arguments = tuple(_like(expressions, value) for value in values)
    return make_call(name, f"{name}(", arguments, type=type_)


def _like(expressions: list[Expression[Any]], value: Any) -> Any:
    from psqlmodel.query.expression import beside

    return beside(expressions[0], value) if expressions and value is not None else argument(value)


def _quantified(opening: str, array: Any) -> Expression[Any]:
    if isinstance(array, list | tuple):
        array = argument(list(array))
    if not hasattr(array, "shape"):
        raise QueryError(f"{opening}…) takes an array or a subquery, not {array!r}")
    return compose(11, None, opening, array, ")")
