"""Values: how a Python value becomes a parameter, by what stands beside it or by its own type."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.errors import InvalidValueError, PSQLModelError, QueryError
from psqlmodel.query.nodes import Deferred, DeferredList
from psqlmodel.types import PgType, from_annotation
from psqlmodel.types.temporal import timestamp

if TYPE_CHECKING:
    from psqlmodel.query.expression import Expression

# Python types whose wire value is the same for every column that may be declared with them; none is a `Node`.
SETTLED: Final = frozenset({bool, int, str, bytes, decimal.Decimal, datetime.date, uuid.UUID})

_CASTS: Final[dict[type, str]] = {
    bool: "::boolean",
    str: "::text",
    float: "::double precision",
    bytes: "::bytea",
    decimal.Decimal: "::numeric",
    datetime.date: "::date",
    datetime.timedelta: "::interval",
    uuid.UUID: "::uuid",
}
_INT4 = 2**31
_INT8 = 2**63


def bind(left: Expression[Any], value: Any) -> Any:
    """Return the parameter for a value that stands beside `left`, without a cast: the server knows the type.

    It is the wire value, or `Deferred` where the type of the column is guessed and the guess matters. Raises
    `InvalidValueError` for a value that the column can't hold.
    """
    type_ = left.type
    if type_ is None:
        return by_python_type(value)[0]
    try:
        wire = type_.dump(value)
    except InvalidValueError as error:
        # A naive datetime may fit the column as it is in the database, though not the guess.
        if type_.guess and isinstance(value, type_.python):
            wire = by_python_type(value)[0]
            origin = getattr(left, "origin", None)
            return wire if origin is None else Deferred(origin, value)
        raise InvalidValueError(f"{left!r}: {error}") from None
    if type_.guess and type_.python not in SETTLED:
        origin = getattr(left, "origin", None)
        return wire if origin is None else Deferred(origin, value, type_.dump, wire)
    return wire


def bind_list(left: Expression[Any], values: list[Any]) -> Any:
    """Return the array parameter for values that are each compared with `left`."""
    type_ = left.type
    if type_ is None:
        return [by_python_type(value)[0] for value in values]
    origin = getattr(left, "origin", None)
    if type_.guess and type_.python not in SETTLED and origin is not None:
        return DeferredList(origin, values)
    try:
        return type_.dump_column(values)
    except InvalidValueError as error:
        if type_.guess and origin is not None and all(isinstance(value, type_.python) for value in values):
            return DeferredList(origin, values)
        raise InvalidValueError(f"{left!r}: {error}") from None


def by_python_type(value: Any) -> tuple[Any, str]:
    """Return the wire value and the cast for a value that no column stands beside.

    Raises `QueryError` for a Python type that has no PostgreSQL type, `InvalidValueError` for an unfit value.
    """
    kind = type(value)
    if kind is int:
        if -_INT4 <= value < _INT4:
            return value, "::integer"
        return (value, "::bigint") if -_INT8 <= value < _INT8 else (decimal.Decimal(value), "::numeric")
    type_ = type_of_value(value)
    return type_.dump(value), _CASTS.get(kind) or f"::{type_.base}"


def type_of_value(value: Any) -> PgType[Any]:
    """Return the PostgreSQL type that a value has by itself."""
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        return timestamp
    annotation = _annotation(value)
    try:
        type_ = from_annotation(annotation)
    except (PSQLModelError, TypeError):
        raise _no_value(value) from None
    if type_.python is object and not isinstance(value, dict):  # what JSON takes is no type of its own
        raise _no_value(value)
    return type_


def _no_value(value: Any) -> QueryError:
    return QueryError(
        f"a {type(value).__name__} is not a value that SQL can take here; pass a plain value (for an object: its "
        "key), or say its type with Cast(value, type)"
    )


def _annotation(value: Any) -> Any:
    if isinstance(value, list | tuple):
        elements = _flat(value)
        kinds = {type(element) for element in elements if element is not None}
        if not kinds:
            raise QueryError("the type of an empty list is not known: say it with Cast([], types.integer.array())")
        kind = kinds.pop() if len(kinds) == 1 else _common(kinds)
        return list[kind]  # type: ignore[valid-type]
    if isinstance(value, enum.Enum):
        return type(value)
    return type(value)


def _flat(value: Any) -> list[Any]:
    found: list[Any] = []
    for element in value:
        if isinstance(element, list | tuple):
            found.extend(_flat(element))
        else:
            found.append(element)
    return found


def _common(kinds: set[type]) -> type:
    for common in (float, decimal.Decimal):
        if kinds <= {int, common}:
            return common
    raise QueryError(f"a list of mixed types ({', '.join(sorted(k.__name__ for k in kinds))}) has no SQL type")
