"""Wire values as text, and the built-in types of PostgreSQL: what both drivers share.

`to_text` gives the text form that PostgreSQL reads for a wire value; it never quotes for SQL, that is the
driver's work. The tables tell which built-in types travel as text and which OIDs their arrays have
(pg_type.dat of PostgreSQL 14 to 18; built-in OIDs never change).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from types import NoneType
from typing import Any, Final

from psqlmodel.steps import Columns
from psqlmodel.types import array_literal, plain_texts, text_of

# Native types: OID → (name, OID of the array type).
NATIVE: Final[dict[int, tuple[str, int]]] = {
    16: ("bool", 1000),
    17: ("bytea", 1001),
    19: ("name", 1003),
    20: ("int8", 1016),
    21: ("int2", 1005),
    23: ("int4", 1007),
    25: ("text", 1009),
    26: ("oid", 1028),
    700: ("float4", 1021),
    701: ("float8", 1022),
    1042: ("bpchar", 1014),
    1043: ("varchar", 1015),
    1082: ("date", 1182),
    1083: ("time", 1183),
    1114: ("timestamp", 1115),
    1184: ("timestamptz", 1185),
    1186: ("interval", 1187),
    1266: ("timetz", 1270),
    1700: ("numeric", 1231),
    2950: ("uuid", 2951),
}

# Types that travel as text: OID → (name, OID of the array type; 0 where there is none).
TEXTUAL: Final[dict[int, tuple[str, int]]] = {
    18: ("char", 1002),
    24: ("regproc", 1008),
    27: ("tid", 1010),
    28: ("xid", 1011),
    29: ("cid", 1012),
    114: ("json", 199),
    142: ("xml", 143),
    194: ("pg_node_tree", 0),
    600: ("point", 1017),
    601: ("lseg", 1018),
    602: ("path", 1019),
    603: ("box", 1020),
    604: ("polygon", 1027),
    628: ("line", 629),
    650: ("cidr", 651),
    718: ("circle", 719),
    774: ("macaddr8", 775),
    790: ("money", 791),
    829: ("macaddr", 1040),
    869: ("inet", 1041),
    1033: ("aclitem", 1034),
    1560: ("bit", 1561),
    1562: ("varbit", 1563),
    1790: ("refcursor", 2201),
    2202: ("regprocedure", 2207),
    2203: ("regoper", 2208),
    2204: ("regoperator", 2209),
    2205: ("regclass", 2210),
    2206: ("regtype", 2211),
    2249: ("record", 2287),
    2970: ("txid_snapshot", 2949),
    3220: ("pg_lsn", 3221),
    3361: ("pg_ndistinct", 0),
    3402: ("pg_dependencies", 0),
    3614: ("tsvector", 3643),
    3615: ("tsquery", 3645),
    3642: ("gtsvector", 3644),
    3734: ("regconfig", 3735),
    3769: ("regdictionary", 3770),
    3802: ("jsonb", 3807),
    3904: ("int4range", 3905),
    3906: ("numrange", 3907),
    3908: ("tsrange", 3909),
    3910: ("tstzrange", 3911),
    3912: ("daterange", 3913),
    3926: ("int8range", 3927),
    4072: ("jsonpath", 4073),
    4089: ("regnamespace", 4090),
    4096: ("regrole", 4097),
    4191: ("regcollation", 4192),
    4451: ("int4multirange", 6150),
    4532: ("nummultirange", 6151),
    4533: ("tsmultirange", 6152),
    4534: ("tstzmultirange", 6153),
    4535: ("datemultirange", 6155),
    4536: ("int8multirange", 6157),
    4600: ("pg_brin_bloom_summary", 0),
    4601: ("pg_brin_minmax_multi_summary", 0),
    5017: ("pg_mcv_list", 0),
    5038: ("pg_snapshot", 5039),
    5069: ("xid8", 271),
}

BOX: Final = 603
FIRST_USER_OID: Final = 16384  # FirstNormalObjectId: everything above was made by a CREATE


def array_delimiter(element: int) -> str:
    """Return the delimiter in array literals of the element type with this OID: `;` for box alone."""
    return ";" if element == BOX else ","


def to_text(value: Any) -> str:
    """Return the text form of a wire value, lists included, as the server's input function reads it.

    `value` is not None. Raises `InvalidValueError` for a value that is no wire value.
    """
    if isinstance(value, list | tuple):
        return array_literal(value)
    return text_of(value)


# --- rows for COPY ------------------------------------------------------------------------------------------

_BLOCK = 1000  # rows that are written column by column: enough to pay for it, few enough to stay in the cache
_SPECIAL = re.compile(r"[\\\t\n\r]")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_blocks(records: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield records of wire values in COPY's text format, a thousand lines at a time.

    Column by column, since a column is of one type: a quarter of the time of value by value.
    """
    for block in _blocks(records):
        columns = [_copy_column(column) for column in block]
        yield "\n".join(map("\t".join, zip(*columns, strict=True))) + "\n"


def _blocks(records: Iterable[Sequence[Any]]) -> Iterator[Iterable[Sequence[Any]]]:
    """Yield the columns of some rows at a time."""
    if isinstance(records, Columns):
        for start in range(0, len(records.values[0]), _BLOCK):
            yield [column[start : start + _BLOCK] for column in records.values]
        return
    rows = iter(records)
    while block := list(islice(rows, _BLOCK)):
        yield zip(*block, strict=True)


def _copy_column(values: Sequence[Any]) -> Iterable[str]:
    kinds = set(map(type, values))
    if NoneType in kinds:
        texts = iter(_copy_texts([value for value in values if value is not None], kinds - {NoneType}))
        return ["\\N" if value is None else next(texts) for value in values]
    return _copy_texts(values, kinds)


def _copy_texts(values: Sequence[Any], kinds: set[type]) -> Iterable[str]:
    """Return the texts of values that are not None, escaped for COPY."""
    if kinds == {str}:
        return values if _SPECIAL.search("".join(values)) is None else [text.translate(_ESCAPES) for text in values]
    write = plain_texts(kinds)
    return [to_text(value).translate(_ESCAPES) for value in values] if write is None else write(values)


def utc_naive(value: datetime) -> datetime:
    """Return an aware datetime as the naive one that the server makes of it in a session at UTC."""
    return value.astimezone(UTC).replace(tzinfo=None)
