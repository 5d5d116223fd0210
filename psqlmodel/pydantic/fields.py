"""Fields: from a column to the annotation that Pydantic reads: its type, its constraints, and how JSON shows it.

What JSON has no form for (ranges, geometry) travels there as PostgreSQL's own text, bytes as base64. Every value that
passes is one that the column can hold: the column's own type has the last word. Imports Pydantic; sends nothing.
"""

from __future__ import annotations

import base64
import binascii
import math
import typing
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Annotated, Any, ForwardRef, Literal, Optional

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    JsonValue,
    NaiveDatetime,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import to_jsonable_python

from psqlmodel.errors import InvalidValueError, MappingError
from psqlmodel.model.constraints import Check
from psqlmodel.model.declaration import inherited_fields, without_none
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.state import UNSET
from psqlmodel.pydantic.checks import Bounds, bounds_of
from psqlmodel.schema.text import sql_text
from psqlmodel.types import (
    Box,
    Circle,
    Line,
    LineSegment,
    Multirange,
    Path,
    PgType,
    Point,
    Polygon,
    Range,
)

_AS_TEXT = (Range, Multirange, Point, Line, LineSegment, Box, Path, Polygon, Circle)
_INTEGER_BITS = {"int2": 16, "int4": 32, "int8": 64}
_MEASURED = (int, float, Decimal)
_INET = IPv4Address | IPv6Address | IPv4Interface | IPv6Interface


def annotations_of(mapper: Mapper) -> dict[str, Any]:
    """Return the annotation of each column by its attribute, without its `| None`; UNSET where it has none."""
    fields = inherited_fields(mapper.cls)
    return {key: without_none(fields[key].annotation)[0] if key in fields else UNSET for key in mapper.attributes}


def field_of(mapper: Mapper, column: Column[Any], annotation: Any) -> Any:
    """Return the annotation of a column for Pydantic: constraints, NULL where it is allowed, and the comment.

    `annotation` is what the class says, as `annotations_of` gives it.
    """
    bounds = _bounds(mapper, column)
    type_, metadata = _type_of(column.pg_type, annotation)
    if "choices" in bounds and type_ is str:
        type_ = Literal[bounds.pop("choices")]
    constraints = _constraints(column.pg_type, bounds)
    if constraints:
        metadata.append(Field(**constraints))
    if "max_digits" in constraints:
        metadata.append(_NumberText(constraints["max_digits"], constraints["decimal_places"]))
    found = _annotated(type_, *metadata, *_storable(column.pg_type))
    if column.nullable:
        found = or_none(found)
    return _annotated(found, *([Field(description=column.comment)] if column.comment else []))


def with_default(annotation: Any, column: Column[Any]) -> Any:
    """Return the annotation with the column's default as the schema shows it; nothing is filled in by it."""
    if column.default is UNSET or column.default is None:
        return annotation
    shown = to_jsonable_python(column.default, serialize_unknown=True)
    return _annotated(annotation, Field(json_schema_extra={"default": shown}))


def or_none(annotation: Any) -> Any:
    """Return `annotation | None`, of whatever an annotation may be."""
    return Optional[annotation]  # noqa: UP045 - `|` is not for all of them


def _list_of(annotation: Any) -> Any:
    return list[annotation]


# --- types ------------------------------------------------------------------------------------------------------


def _type_of(pg_type: PgType[Any], annotation: Any) -> tuple[Any, list[Any]]:
    """Return the Python type and what else the annotation says of it."""
    metadata: list[Any] = []
    if typing.get_origin(annotation) is Annotated:
        annotation, *rest = typing.get_args(annotation)
        metadata = [item for item in rest if not isinstance(item, PgType)]
    special = _special(pg_type)
    if special is not None:
        return special, metadata
    if _says_nothing(annotation):
        return _by_type(pg_type), metadata
    return annotation, metadata


def _says_nothing(annotation: Any) -> bool:
    return annotation in (UNSET, Any, object) or isinstance(annotation, PgType | str | ForwardRef)


def _special(pg_type: PgType[Any]) -> Any:
    """Return the type of what Pydantic would take for something else than PostgreSQL does; None for all others."""
    kind = pg_type.python
    if pg_type.element is not None:
        element = _special(pg_type.element)
        return None if element is None else _list_of(or_none(element))
    if issubclass(kind, bytes):
        return _BYTES
    if issubclass(kind, datetime):
        return NaiveDatetime if pg_type.transport == "timestamp" else AwareDatetime
    if kind is float:
        return _FLOAT
    return _as_text(pg_type) if issubclass(kind, _AS_TEXT) else None


def _by_type(pg_type: PgType[Any]) -> Any:
    if pg_type.element is not None:
        return _list_of(or_none(_by_type(pg_type.element)))
    name = pg_type.name
    if pg_type.lazy:
        return JsonValue
    if name == "inet":
        return _INET
    if name == "cidr":
        return IPv4Network | IPv6Network
    if name == "hstore":
        return dict[str, str | None]
    return list[float] if name.startswith("vector") else pg_type.python


def _as_text(pg_type: PgType[Any]) -> Any:
    def read(value: Any) -> Any:
        return pg_type.load_text(value) if isinstance(value, str) else value

    def check(value: Any) -> Any:
        if not isinstance(value, pg_type.python):
            raise InvalidValueError(f"{pg_type.name} takes a {pg_type.python.__name__} or PostgreSQL's text of one")
        return value

    return Annotated[
        Any,
        AfterValidator(check),
        BeforeValidator(read),
        PlainSerializer(pg_type.dump_text, return_type=str, when_used="json-unless-none"),
        WithJsonSchema({"type": "string", "description": f"{pg_type.name}, as PostgreSQL writes it"}),
    ]


def _from_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value.translate(_URL_SAFE), validate=True)
    except binascii.Error:
        raise InvalidValueError("bytes travel in JSON as base64, and the text is none") from None


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _in_json(value: float) -> float | str:
    """Return a number as JSON has it; infinities and NaN by the names that Pydantic reads."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


# A lambda, because a return type would become the schema.
_FLOAT = Annotated[float, PlainSerializer(lambda value: _in_json(value), when_used="json-unless-none")]
_URL_SAFE = str.maketrans("-_", "+/")
_BYTES = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    PlainSerializer(_to_base64, return_type=str, when_used="json-unless-none"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]

# --- constraints ------------------------------------------------------------------------------------------------


def _bounds(mapper: Mapper, column: Column[Any]) -> Bounds:
    """Return what the CHECK constraints of column and table demand of the column."""
    texts = [column.check] if column.check is not None else []
    texts += [text for each in mapper.constraints if isinstance(each, Check) and (text := _text(each)) is not None]
    found: Bounds = {}
    for text in texts:
        found.update(bounds_of(text, column.name))
    return found


def _text(check: Check) -> str | None:
    try:
        return sql_text(check.condition)
    except MappingError:
        return None


def _constraints(pg_type: PgType[Any], bounds: Bounds) -> dict[str, Any]:
    """Return the constraints as parameters of Pydantic's `Field`."""
    kind = pg_type.python
    if issubclass(kind, Enum | bool) or pg_type.element is not None:
        return {}
    if issubclass(kind, str):
        return _lengths(pg_type, bounds)
    if not issubclass(kind, _MEASURED):
        return {}
    found = _digits(pg_type) if kind is Decimal else {}
    for name, value in bounds.items():
        if name in ("ge", "gt", "le", "lt") and (kind is not int or value == int(value)):
            found.pop({"gt": "ge", "lt": "le"}.get(name, name), None)
            found[name] = kind(value)
    return _within_bits(pg_type, found) if kind is int else found


def _lengths(pg_type: PgType[Any], bounds: Bounds) -> dict[str, Any]:
    found: dict[str, Any] = {name: bounds[name] for name in ("min_length", "max_length") if name in bounds}
    if pg_type.length is not None:
        found["max_length"] = min(pg_type.length, found.get("max_length", pg_type.length))
    return found


def _digits(pg_type: PgType[Any]) -> dict[str, Any]:
    """Return precision and scale of numeric(12,2)."""
    base, _, modifiers = pg_type.name.rstrip(")").partition("(")
    if base != "numeric" or not modifiers:
        return {}
    precision, _, scale = modifiers.partition(",")
    whole, places = int(precision) - int(scale or 0), int(scale or 0)
    if whole < 0 or places < 0:
        return {}
    greatest = Decimal((0, (9,) * int(precision), -places))
    return {"max_digits": int(precision), "decimal_places": places, "ge": -greatest, "le": greatest}


class _NumberText:
    """Tells JSON schema how the text of a number of so many digits looks, which Pydantic leaves out."""

    def __init__(self, digits: int, places: int) -> None:
        fraction = rf"(\.\d{{0,{places}}}0*)?" if places else r"(\.0*)?"
        self.pattern = rf"^-?0*\d{{0,{digits - places}}}{fraction}$"

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        found: dict[str, Any] = handler(schema)
        for each in found.get("anyOf", [found]):
            if each.get("type") == "string":
                each["pattern"] = self.pattern
        return found


def _within_bits(pg_type: PgType[Any], found: dict[str, Any]) -> dict[str, Any]:
    """Add the limits of an integer type where the model says which: a plain `int` may stand for a wider column."""
    bits = None if pg_type.guess else _INTEGER_BITS.get(pg_type.transport)
    if bits is None:
        return found
    if "ge" not in found and "gt" not in found:
        found["ge"] = -(1 << bits - 1)
    if "le" not in found and "lt" not in found:
        found["le"] = (1 << bits - 1) - 1
    return found


def _storable(pg_type: PgType[Any]) -> list[Any]:
    """Return the check that the column's own type makes: NUL in texts, NaN in JSON, zones of times.

    Not of a plain `int`, which may stand for a wider column of a table that we did not make.
    """
    innermost = pg_type if pg_type.element is None else pg_type.element
    return [] if pg_type.guess and innermost.python is int else [AfterValidator(_checked(pg_type.dump))]


def _checked(dump: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        dump(value)
        return value

    return check


def _annotated(annotation: Any, *metadata: Any) -> Any:
    return Annotated[annotation, *metadata] if metadata else annotation
