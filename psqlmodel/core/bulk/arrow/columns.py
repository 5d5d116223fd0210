"""Columns: from texts of PostgreSQL to arrays of Arrow. Pure.

A `Column` says which Arrow type a column of a query has, and makes arrays of the texts that COPY gives for it. Most
types pyarrow reads by itself (`direct`). The rest are read as texts and converted here, by the column. A value that its
Arrow type can't hold is an error that names row and column, never the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import time
from decimal import Decimal
from typing import Any, Final

from psqlmodel.core.bulk.arrow.needed import arrow
from psqlmodel.errors import DataError, PSQLModelError
from psqlmodel.later import pattern
from psqlmodel.schema.description import TypeInfo
from psqlmodel.types import by_oid, parse_array
from psqlmodel.types.temporal import READERS

Convert = Callable[[Any], Any]

BOOL: Final = 16
NUMERIC: Final = 1700
NUMERIC_ARRAY: Final = 1231
INTERVAL: Final = 1186
UUID: Final = 2950
BYTEA: Final = 17
BOX: Final = 603
_JSON: Final = frozenset({114, 3802})

# What pyarrow reads by itself: OID → the name of its type, and what reads a text that pyarrow does not take.
_DIRECT: Final[dict[int, tuple[str, Convert]]] = {
    BOOL: ("bool_", {"t": True, "f": False}.__getitem__),
    20: ("int64", int),
    21: ("int16", int),
    23: ("int32", int),
    26: ("uint32", int),
    700: ("float32", float),
    701: ("float64", float),
    1082: ("date32", READERS[1082]),
    1083: ("time64", time.fromisoformat),
    1114: ("timestamp", READERS[1114]),
    1184: ("timestamptz", READERS[1184]),
}


class Column:
    """One column of a query: its `name`, its Arrow `type`, and what makes an array of its texts.

    `direct`: pyarrow's reader of CSV makes the array, unless a value is one that it does not take.
    """

    __slots__ = ("convert", "direct", "name", "type")

    def __init__(self, name: str, type_: Any, convert: Convert, *, direct: bool = False) -> None:
        self.name = name
        self.type = type_
        self.direct = direct
        self.convert = convert

    @property
    def read_as(self) -> Any:
        """The type that the reader of CSV is told."""
        return self.type if self.direct else arrow().string()

    def array(self, texts: Any, before: int) -> Any:
        """Return the array of some texts; `before` is how many rows came before them.

        Raises `DataError` with the row, from 1, and the column.
        """
        try:
            return self.convert(texts)
        except _UNFIT as error:
            for n in range(len(texts)):
                self._try(texts.slice(n, 1), before + n + 1)
            raise DataError(f'column "{self.name}" does not fit Arrow\'s {self.type}', sqlstate="22000") from error

    def _try(self, text: Any, row: int) -> None:
        try:
            _ = self.convert(text)
        except _UNFIT as error:
            why = f": {error}" if isinstance(error, PSQLModelError) else ""
            raise DataError(
                f'row {row}, column "{self.name}": the value does not fit Arrow\'s {self.type}{why}; select it as a '
                "text (::text) to have it as it is",
                sqlstate="22000",
            ) from None


_UNFIT: Final = (ValueError, ArithmeticError, LookupError, TypeError, NotImplementedError, PSQLModelError)


def column_of(name: str, oid: int, modified: str, types: dict[int, TypeInfo]) -> Column:
    """Return the column for a type of PostgreSQL.

    `modified` is the type's spelling with its precision, where that is known; `types` has those of the database's own.
    """
    info = types.get(oid)
    if info is not None and info.base is not None:  # of an array of domains; elsewhere the server says the base
        return column_of(name, info.base.oid, modified, types)
    found = by_oid(oid)
    element = info.element.oid if info is not None and info.element is not None else 0
    if found is not None and found.element is not None:
        element = found.element.oid
    if element:
        return _array_column(name, column_of(name, element, modified, types), ";" if element == BOX else ",")
    if oid in _DIRECT:
        return _direct(name, *_DIRECT[oid])
    if oid == NUMERIC:
        return _numeric(name, modified)
    if info is not None and info.labels:
        return _enum(name, info.labels)
    return _other(name, oid)


def _direct(name: str, kind: str, read: Convert) -> Column:
    pa = arrow()
    makers: dict[str, Convert] = {
        "time64": lambda made: made("us"),
        "timestamp": lambda made: made("us"),
    }
    type_ = pa.timestamp("us", tz="UTC") if kind == "timestamptz" else None
    if type_ is None:
        type_ = makers.get(kind, lambda made: made())(getattr(pa, kind))
    return Column(name, type_, _by_value(type_, read), direct=True)


def _by_value(type_: Any, read: Convert) -> Convert:
    """Return what makes an array of texts, one by one where pyarrow does not take them: it knows no infinities."""

    def convert(texts: Any) -> Any:
        try:
            return texts.cast(type_)
        except (ValueError, NotImplementedError):
            pass
        return arrow().array([None if text is None else read(text) for text in texts.to_pylist()], type_)

    return convert


def precision(modified: str) -> tuple[int, int] | None:
    """Return precision and scale of `numeric(12,2)`; None where it has none."""
    found = re.search(r"^(?:numeric|decimal)\s*\(\s*(\d+)\s*(?:,\s*(-?\d+)\s*)?\)", modified)
    return None if found is None else (int(found.group(1)), int(found.group(2) or 0))


def _numeric(name: str, modified: str) -> Column:
    """A numeric without precision has digits without end, and Arrow's decimals 76: it stays a text."""
    pa = arrow()
    found = precision(modified)
    if found is None:
        return _other(name, NUMERIC)
    digits, scale = found
    digits, scale = (digits - scale, 0) if scale < 0 else (max(digits, scale), scale)
    if digits > 76:
        return _other(name, NUMERIC)
    if digits <= 38:
        type_ = pa.decimal128(digits, scale)
        return Column(name, type_, _by_value(type_, Decimal), direct=True)
    type_ = pa.decimal256(digits, scale)
    return Column(name, type_, _by_value(type_, Decimal))


def _enum(name: str, labels: Sequence[str]) -> Column:
    pa = arrow()
    known = pa.array(labels, pa.string())

    def convert(texts: Any) -> Any:
        places = pa.compute.index_in(texts, value_set=known)
        if places.null_count != texts.null_count:
            raise DataError("it is a label that the enum got meanwhile", sqlstate="22000")
        return pa.DictionaryArray.from_arrays(places, known, ordered=True)

    return Column(name, pa.dictionary(pa.int32(), pa.string(), ordered=True), convert)


def _other(name: str, oid: int) -> Column:
    pa = arrow()
    if oid == BYTEA:
        return Column(name, pa.binary(), _binaries)
    if oid == UUID:
        return Column(name, pa.uuid(), _uuids)
    if oid == INTERVAL:
        return Column(name, pa.month_day_nano_interval(), _by_value(pa.month_day_nano_interval(), _interval))
    if oid in _JSON:
        type_ = pa.json_(pa.string())
        return Column(name, type_, lambda texts: pa.ExtensionArray.from_storage(type_, texts))
    return Column(name, pa.string(), lambda texts: texts, direct=True)


def _binaries(texts: Any) -> Any:
    return arrow().array([None if text is None else _bytes(text) for text in texts.to_pylist()], arrow().binary())


def _bytes(text: str) -> bytes:
    if text[:2] != "\\x":
        raise DataError("bytea_output is not hex in this session", sqlstate="22000")
    return bytes.fromhex(text[2:])


def _uuids(texts: Any) -> Any:
    pa = arrow()
    filled = texts.fill_null("0" * 32)
    data = bytes.fromhex("".join(filled.to_pylist()).replace("-", ""))  # all of them in one call
    stored = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(texts), [None, pa.py_buffer(data)])
    if texts.null_count:
        stored = pa.compute.if_else(texts.is_valid(), stored, pa.scalar(None, pa.binary(16)))
    return pa.ExtensionArray.from_storage(pa.uuid(), stored)


# `IntervalStyle` postgres, which sessions have: 1 year 2 mons -3 days +04:05:06.789
_INTERVAL = pattern(
    r"(?:([-+]?\d+) years? ?)?(?:([-+]?\d+) mons? ?)?(?:([-+]?\d+) days? ?)?"
    r"(?:([-+]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?"
)


def _interval(text: str) -> Any:
    found = _INTERVAL.fullmatch(text) if text else None
    if found is None:
        raise DataError("it is an interval without end, or IntervalStyle is not postgres", sqlstate="22000")
    years, months, days, sign, hours, minutes, seconds, fraction = found.groups()
    micros = (int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)) * 1_000_000
    micros += int((fraction or "").ljust(6, "0"))
    nanos = (-micros if sign == "-" else micros) * 1000
    return arrow().MonthDayNano([12 * int(years or 0) + int(months or 0), int(days or 0), nanos])


def _array_column(name: str, element: Column, delimiter: str) -> Column:
    """Lists, of one dimension: how many an array has its type does not say, and a type of Arrow must."""
    pa = arrow()
    if pa.types.is_dictionary(element.type):
        element = _other(name, 0)

    def convert(texts: Any) -> Any:
        offsets: list[int | None] = []
        flat: list[str | None] = []
        for text in texts.to_pylist():
            offsets.append(None if text is None else len(flat))
            if text is not None:
                flat += _elements(text, delimiter)
        offsets.append(len(flat))
        values = element.convert(pa.array(flat, pa.string()))
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)

    return Column(name, pa.list_(element.type), convert)


def _elements(text: str, delimiter: str) -> list[str | None]:
    values = parse_array(text, None, delimiter)
    if any(isinstance(value, list) for value in values):
        raise DataError("it has more than one dimension", sqlstate="22000")
    return values
