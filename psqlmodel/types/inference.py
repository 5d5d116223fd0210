"""From Python annotations to types. What a plain annotation says is a guess; the database may know better."""

from __future__ import annotations

import types as _types
import typing
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any
from uuid import UUID

from psqlmodel.errors import MappingError
from psqlmodel.types import geometry, jsons, network, ranges, scalars, temporal
from psqlmodel.types.arrays import array
from psqlmodel.types.enums import enum
from psqlmodel.types.pgtype import PgType
from psqlmodel.types.ranges import Multirange, Range

# The order matters: bool is an int, datetime a date.
_SCALARS: tuple[tuple[type[Any], PgType[Any]], ...] = (
    (bool, scalars.boolean),
    (int, scalars.integer),
    (float, scalars.double),
    (str, scalars.text),
    (bytes, scalars.bytea),
    (bytearray, scalars.bytea),
    (memoryview, scalars.bytea),
    (Decimal, scalars.numeric),
    (datetime, temporal.timestamptz),
    (date, temporal.date),
    (time, temporal.time),
    (timedelta, temporal.interval),
    (UUID, scalars.uuid),
    (IPv4Interface, network.inet),
    (IPv6Interface, network.inet),
    (IPv4Address, network.inet),
    (IPv6Address, network.inet),
    (IPv4Network, network.cidr),
    (IPv6Network, network.cidr),
    (geometry.Point, geometry.point),
    (geometry.Line, geometry.line),
    (geometry.LineSegment, geometry.lseg),
    (geometry.Box, geometry.box),
    (geometry.Path, geometry.path),
    (geometry.Polygon, geometry.polygon),
    (geometry.Circle, geometry.circle),
    (dict, jsons.jsonb),
    (list, jsons.jsonb),
)
_RANGES: dict[Any, tuple[PgType[Any], PgType[Any]]] = {
    int: (ranges.int4range, ranges.int4multirange),
    Decimal: (ranges.numrange, ranges.nummultirange),
    float: (ranges.numrange, ranges.nummultirange),
    date: (ranges.daterange, ranges.datemultirange),
    datetime: (ranges.tstzrange, ranges.tstzmultirange),
}
_LISTS = (list, Sequence)
_DICTS = (dict, Mapping)
_UNIONS = (typing.Union, _types.UnionType)


def from_annotation(annotation: Any) -> PgType[Any]:
    """Return the type for an annotation without its `| None`: a type given itself, a guess for everything
    else.

    Raises `MappingError` where no type follows from it.

        from_annotation(str)        # text, a guess
        from_annotation(list[int])  # integer[], a guess
    """
    if isinstance(annotation, PgType):
        return annotation
    found = _from_origin(annotation) if typing.get_origin(annotation) is not None else _from_class(annotation)
    if found is None:
        spelled = getattr(annotation, "__qualname__", None) or repr(annotation)
        raise MappingError(f"no PostgreSQL type follows from the annotation {spelled}: say it with Column(type=...)")
    return found


def _from_class(annotation: Any) -> PgType[Any] | None:
    if annotation is Any or annotation is object or typing.is_typeddict(annotation):
        return jsons.jsonb.as_guess()
    if isinstance(annotation, typing.NewType):
        return from_annotation(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar) or not isinstance(annotation, type):
        # `type Name = ...` of Python 3.12 has a value and no class.
        value = getattr(annotation, "__value__", None)
        return None if value is None else from_annotation(value)
    return _of_class(annotation)


@cache
def _of_class(kind: type[Any]) -> PgType[Any] | None:
    if issubclass(kind, Enum):
        return enum(kind, native=False).as_guess()
    return next((made.as_guess() for python, made in _SCALARS if issubclass(kind, python)), None)


def _from_origin(annotation: Any) -> PgType[Any] | None:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        given = next((item for item in arguments[1:] if isinstance(item, PgType)), None)
        return given or from_annotation(arguments[0])
    if origin in _UNIONS:
        return _from_union(arguments)
    if origin is typing.Literal:
        return _one(list(map(type, arguments)))
    if origin in _DICTS:
        return jsons.jsonb.as_guess()
    if origin in _LISTS:
        return _from_list(arguments[0])
    if origin is Range or origin is Multirange:
        found = _RANGES.get(arguments[0])
        return None if found is None else found[origin is Multirange].as_guess()
    return None


def _from_union(arguments: tuple[Any, ...]) -> PgType[Any] | None:
    return _one([item for item in arguments if item is not type(None)])


def _one(annotations: list[Any]) -> PgType[Any] | None:
    kinds = {from_annotation(item) for item in annotations}
    return kinds.pop() if len(kinds) == 1 else None


def _from_list(element: Any) -> PgType[Any]:
    found = from_annotation(element)
    # A list of objects is a JSON document; a list of anything else is an array, of any dimension.
    if found.python is object or found.python is dict:
        return jsons.jsonb.as_guess()
    return array(found).as_guess() if found.guess else array(found)
