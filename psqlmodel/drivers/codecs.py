"""How asyncpg's connections carry values: which types travel as text, which arrays in binary of our own.

So that both drivers give the same values, and no type is looked up by a query of asyncpg's.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import asyncpg

from psqlmodel.drivers import binary, wire
from psqlmodel.types import parse_array, text_of

_FLOAT4, _NUMERIC, _TIMESTAMP, _TIMESTAMPTZ = 700, 1700, 1114, 1184


class TextConnection(asyncpg.Connection):
    """asyncpg's connection, taught to carry every type that is not native as text, without asking the server.

    asyncpg looks up types that it does not know by a query (a slow one), on every connection anew. Here
    built-in arrays are declared from our table and all others (enums, composites, ranges, their arrays,
    extension types) travel as text, so that both drivers give the same values.
    """

    async def _introspect_types(self, typeoids: Any, timeout: Any) -> Any:
        declare_text(self, [(oid, f"type_{oid}") for oid in typeoids if oid >= wire.FIRST_USER_OID])
        return _ARRAYS, _NoStatement


class _NoStatement:
    """What `_introspect_types` must name as its statement: none that could have replaced the prepared one."""

    name = "none"


def declare_text(raw: Any, types: list[tuple[int, str]]) -> None:
    """Let these types travel as text on this connection."""
    settings = raw._protocol.get_settings()
    for oid, name in types:
        settings.add_python_codec(oid, name, "pg_catalog", (), "scalar", wire.to_text, str, "text")
    settings.register_data_types(_ARRAYS)  # a new codec empties asyncpg's cache of them


def _array_record(element: int, name: str, array: int) -> dict[str, Any]:
    """Return the description of an array type as asyncpg's query would have given it."""
    return {
        "oid": array,
        "ns": "pg_catalog",
        "name": f"_{name}",
        "kind": b"b",
        "basetype": None,
        "elemtype": element,
        "elemdelim": wire.array_delimiter(element),
        "range_subtype": None,
        "attrtypoids": None,
        "attrnames": None,
        "depth": 0,
        "basetype_name": None,
        "elemtype_name": name,
        "range_subtype_name": None,
    }


_ARRAYS = [_array_record(oid, name, array) for oid, (name, array) in (wire.NATIVE | wire.TEXTUAL).items() if array]
_TEXT_TYPES = [(oid, name) for oid, (name, _) in wire.TEXTUAL.items()]


def _float4(value: Any) -> str:
    return repr(float(value))


# Native types whose text is better or quicker than asyncpg's binary: OID → (name, encoder, decoder).
# - Binary float4 would be 1.10000002384…; its text is the shortest that means the same: 1.1.
# - Of a numeric and of a moment asyncpg takes two to three times as long in binary, of an array of 1,000 numerics seven
#   times: 100,000 orders are read in half of the processor time. Moments stay texts, which generated loaders read.
MOMENTS = frozenset({1114, 1184})
AS_TEXT: dict[int, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    _FLOAT4: ("float4", _float4, float),
    _NUMERIC: ("numeric", text_of, Decimal),
    1231: ("_numeric", wire.to_text, lambda text: parse_array(text, Decimal)),
    _TIMESTAMP: ("timestamp", text_of, str),
    _TIMESTAMPTZ: ("timestamptz", text_of, str),
}


def declare_codecs(raw: Any) -> None:
    """Teach a connection how values travel."""
    declare_text(raw, _TEXT_TYPES)
    settings = raw._protocol.get_settings()
    for oid, (name, encode, decode) in AS_TEXT.items():
        settings.add_python_codec(oid, name, "pg_catalog", (), "scalar", encode, decode, "text")
    for oid in binary.ELEMENTS:
        name, array = wire.NATIVE[oid]
        settings.add_python_codec(array, f"_{name}", "pg_catalog", (), "scalar", *binary.codec(oid), "binary")
    settings.register_data_types(_ARRAYS)
