"""How type checkers see the names of types: `id: serial` is an int on an object and an expression on the
class.

At run time each of these names is a `PgType`; this module is never imported then. It must have the names that
`psqlmodel.types` has, which the tests compare.
"""

# ruff: noqa: D101  # the names say it all

from __future__ import annotations

from datetime import date as Date
from datetime import datetime as DateTime
from datetime import time as Time
from datetime import timedelta as Delta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload
from uuid import UUID

from psqlmodel.types import geometry
from psqlmodel.types.pgtype import PgType
from psqlmodel.types.ranges import Multirange, Range

if TYPE_CHECKING:
    from psqlmodel.query.expression import ColumnExpression

T = TypeVar("T")
_ADVICE: Final = "for type checkers only: import the names from psqlmodel.types"


class _Spelled(PgType[T]):
    __slots__ = ()

    def __init__(self) -> None:
        raise TypeError(_ADVICE)

    @classmethod
    def array(cls) -> PgType[list[T]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise TypeError(_ADVICE)

    @overload
    def __get__(self, instance: None, owner: Any) -> ColumnExpression[T]: ...
    @overload
    def __get__(self, instance: object, owner: Any) -> T: ...
    def __get__(self, instance: object | None, owner: Any) -> Any: ...

    def __set__(self, instance: object, value: T) -> None: ...


class smallint(_Spelled[int]): ...


class integer(_Spelled[int]): ...


class bigint(_Spelled[int]): ...


class smallserial(_Spelled[int]): ...


class serial(_Spelled[int]): ...


class bigserial(_Spelled[int]): ...


class oid(_Spelled[int]): ...


class money(_Spelled[Decimal]): ...


class real(_Spelled[float]): ...


class double(_Spelled[float]): ...


class text(_Spelled[str]): ...


class citext(_Spelled[str]): ...


class name(_Spelled[str]): ...


class bytea(_Spelled[bytes]): ...


class boolean(_Spelled[bool]): ...


class uuid(_Spelled[UUID]): ...


class date(_Spelled[Date]): ...


class json(_Spelled[Any]): ...


class jsonb(_Spelled[Any]): ...


class inet(_Spelled[IPv4Address | IPv4Interface | IPv6Address | IPv6Interface]): ...


class cidr(_Spelled[IPv4Network | IPv6Network]): ...


class macaddr(_Spelled[str]): ...


class macaddr8(_Spelled[str]): ...


class int4range(_Spelled[Range[int]]): ...


class int8range(_Spelled[Range[int]]): ...


class numrange(_Spelled[Range[Decimal]]): ...


class tsrange(_Spelled[Range[DateTime]]): ...


class tstzrange(_Spelled[Range[DateTime]]): ...


class daterange(_Spelled[Range[Date]]): ...


class int4multirange(_Spelled[Multirange[int]]): ...


class int8multirange(_Spelled[Multirange[int]]): ...


class nummultirange(_Spelled[Multirange[Decimal]]): ...


class tsmultirange(_Spelled[Multirange[DateTime]]): ...


class tstzmultirange(_Spelled[Multirange[DateTime]]): ...


class datemultirange(_Spelled[Multirange[Date]]): ...


class point(_Spelled[geometry.Point]): ...


class line(_Spelled[geometry.Line]): ...


class lseg(_Spelled[geometry.LineSegment]): ...


class box(_Spelled[geometry.Box]): ...


class path(_Spelled[geometry.Path]): ...


class polygon(_Spelled[geometry.Polygon]): ...


class circle(_Spelled[geometry.Circle]): ...


class tsvector(_Spelled[str]): ...


class tsquery(_Spelled[str]): ...


class xml(_Spelled[str]): ...


class pg_lsn(_Spelled[str]): ...


class hstore(_Spelled[dict[str, str | None]]): ...


class numeric(_Spelled[Decimal]):
    def __init__(self, precision: int, scale: int = ...) -> None: ...


class varchar(_Spelled[str]):
    def __init__(self, length: int) -> None: ...


class char(_Spelled[str]):
    def __init__(self, length: int) -> None: ...


class time(_Spelled[Time]):
    def __init__(self, precision: int) -> None: ...


class timetz(_Spelled[Time]):
    def __init__(self, precision: int) -> None: ...


class timestamp(_Spelled[DateTime]):
    def __init__(self, precision: int) -> None: ...


class timestamptz(_Spelled[DateTime]):
    def __init__(self, precision: int) -> None: ...


class interval(_Spelled[Delta]):
    def __init__(self, precision: int) -> None: ...


class bit(_Spelled[str]):
    def __init__(self, size: int) -> None: ...


class varbit(_Spelled[str]):
    def __init__(self, size: int) -> None: ...


class vector(_Spelled[list[float]]):
    def __init__(self, dimensions: int) -> None: ...
