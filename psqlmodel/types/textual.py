"""Types that travel as text and whose Python value is that text: bit strings, full text search, xml, pg_lsn,
and every type that this library does not know by itself (`custom`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from types import NoneType
from typing import Any

from psqlmodel.errors import InvalidValueError
from psqlmodel.types.pgtype import PgType, pgtype
from psqlmodel.types.quoting import quote
from psqlmodel.types.scalars import dump_str, texts_fit


@cache
def named(name: str) -> PgType[str]:
    """Return a type by its spelling in SQL; its values are texts in the type's own form."""
    return pgtype(name, str, dump_str(name), natives=frozenset({str, NoneType}), fits=texts_fit(None))


@cache
def custom(name: str, schema: str | None = None) -> PgType[str]:
    """Return a type that this library does not know, by its name in the database; its values are texts.

    area: Column[str] = Column(type=custom("geometry", schema="gis"))
    """
    return named(f"{quote(schema)}.{quote(name)}" if schema else quote(name))


# --- bit strings --------------------------------------------------------------------------------------------

_BITS = re.compile("[01]*")


def _dump_bits(name: str, check: Callable[[int], bool], wanted: str) -> Callable[[Any], Any]:
    checked = dump_str(name)

    def dump(value: Any) -> Any:
        text = checked(value)
        if text is None:
            return None
        if not _BITS.fullmatch(text):
            raise InvalidValueError(f"{name} takes a text of 0 and 1")
        if not check(len(text)):
            raise InvalidValueError(f"{name}: the text has {len(text)} bits, it must have {wanted}")
        return text

    return dump


def _size(size: int) -> int:
    if type(size) is not int or size < 1:
        raise InvalidValueError("the size of a bit type is an int from 1")
    return size


# The cast is to varbit, which assigns to bit(n) with a check; a cast to bit would cut or fill silently.
def _bit(name: str, dump: Callable[[Any], Any], oid: int, array_oid: int, **options: Any) -> PgType[str]:
    return pgtype(name, str, dump, base="varbit", oid=oid, array_oid=array_oid, **options)


@cache
def _bit_of(size: int) -> PgType[str]:
    name = f"bit({_size(size)})"
    return _bit(name, _dump_bits(name, size.__eq__, str(size)), 1560, 1561)


@cache
def _varbit_of(size: int) -> PgType[str]:
    name = f"varbit({_size(size)})"
    return _bit(name, _dump_bits(name, size.__ge__, f"at most {size}"), 1562, 1563)


def _any_size(size: int) -> bool:
    return True


bit = _bit("bit", _dump_bits("bit", _any_size, ""), 1560, 1561, modify=_bit_of)
varbit = _bit("varbit", _dump_bits("varbit", _any_size, ""), 1562, 1563, modify=_varbit_of)

# --- full text search, xml, positions in the write-ahead log ------------------------------------------------


def _plain(name: str, oid: int, array_oid: int) -> PgType[str]:
    natives = frozenset({str, NoneType})
    return pgtype(name, str, dump_str(name), natives=natives, fits=texts_fit(None), oid=oid, array_oid=array_oid)


tsvector = _plain("tsvector", 3614, 3643)
tsquery = _plain("tsquery", 3615, 3645)
xml = _plain("xml", 142, 143)

_LSN = re.compile("([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


def _dump_lsn(value: Any) -> Any:
    text = dump_str("pg_lsn")(value)
    if text is None:
        return None
    match = _LSN.fullmatch(text)
    if match is None:
        raise InvalidValueError("pg_lsn takes a text of two hexadecimal numbers such as 16/B374D848")
    return f"{int(match[1], 16):X}/{int(match[2], 16):X}"


pg_lsn = pgtype("pg_lsn", str, _dump_lsn, oid=3220, array_oid=3221)
