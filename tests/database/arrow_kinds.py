"""A table with a column of each kind, and what each is in Arrow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
from hypothesis import strategies as st

from psqlmodel import Column, PSQLModel, table
from psqlmodel.embedded import binaries


@dataclass(frozen=True)
class OfKind:
    """A column: its type in PostgreSQL, its type in Arrow, a value as a text and as Arrow gives it, and any texts."""

    sql: str
    type: Any
    text: str
    value: Any
    texts: st.SearchStrategy[str]


def _numbers(bits: int) -> st.SearchStrategy[str]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(str)


def _decimals(digits: int, scale: int) -> st.SearchStrategy[str]:
    most = 10**digits - 1
    return st.integers(-most, most).map(
        lambda n: str(Decimal(n).scaleb(-scale)) if digits <= 28 else _shifted(n, scale)
    )


def _shifted(number: int, scale: int) -> str:
    sign, digits = ("-" if number < 0 else ""), str(abs(number)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def _array(element: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def literal(items: list[str | None]) -> str:
        return "{" + ",".join("NULL" if item is None else _quoted(item) for item in items) + "}"

    return st.lists(st.none() | element, max_size=4).map(literal)


def _quoted(item: str) -> str:
    escaped = item.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["\\N", "\\.", "\n", "\r\n", '"', "\ufeff", "NULL", "\\", "\t", ",", "{}", "nan", "infinity"]
)
# The first and the last stand for the infinities, here as everywhere.
_DATES = st.dates(date(1, 1, 2), date(9999, 12, 30)).map(str) | st.sampled_from(["infinity", "-infinity"])
_LOCALS = st.datetimes(datetime(1, 1, 1, 1), datetime(9999, 12, 31, 1)).map(str) | st.sampled_from(
    ["infinity", "-infinity"]
)
_MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda at: f"{at}+00") | st.sampled_from(
    ["infinity", "-infinity"]
)
_INTERVALS = st.builds(
    "{} mons {} days {}:{:02}:{:02}.{:06}".format,
    st.integers(-100_000, 100_000),
    st.integers(-100_000, 100_000),
    st.integers(-1_000_000, 1_000_000),
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(0, 999_999),
)
_FLOATS = st.floats().map(repr)
_BYTES = st.binary(max_size=12).map(lambda data: f"\\x{data.hex()}")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | _TEXTS.map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)
_JSON_TEXTS = _JSON.map(json.dumps)
_UUIDS = st.uuids().map(str)
_MOODS = st.sampled_from(["happy", "so so", "sad"])

_UTC = "timestamptz"
_A, _B = UUID(int=1), UUID("6a2f41a3-c54c-fce8-32d2-0324e1c32e22")
_MONTH = pa.MonthDayNano([14, -3, 4 * 3600 * 10**9 + 5_000])

_ANY_SCALE = binaries.find().major >= 15  # before, a numeric's scale was between 0 and its precision

KINDS: dict[str, OfKind] = {
    "small": OfKind("smallint", pa.int16(), "-5", -5, _numbers(16)),
    "whole": OfKind("integer", pa.int32(), "-7", -7, _numbers(32)),
    "big": OfKind("bigint", pa.int64(), str(-(2**63)), -(2**63), _numbers(64)),
    "number": OfKind("oid", pa.uint32(), "4294967295", 2**32 - 1, st.integers(0, 2**32 - 1).map(str)),
    "single": OfKind("real", pa.float32(), "0.5", 0.5, st.floats(width=32).map(repr)),
    "double": OfKind("double precision", pa.float64(), "-Infinity", float("-inf"), _FLOATS),
    "exact": OfKind("numeric(12,3)", pa.decimal128(12, 3), "-1234.5", Decimal("-1234.500"), _decimals(12, 3)),
    "wide": OfKind("numeric(60,5)", pa.decimal256(60, 5), "1.25", Decimal("1.25000"), _decimals(60, 5)),
    "tiny": OfKind("numeric(2,4)" if _ANY_SCALE else "numeric(4,4)", pa.decimal128(4, 4),
                   "0.0012", Decimal("0.0012"), st.just("-0.0099")),
    "round": OfKind("numeric(3,-2)" if _ANY_SCALE else "numeric(5,0)", pa.decimal128(5, 0),
                    "1230" if _ANY_SCALE else "1200", Decimal(1200),
                    st.integers(-999, 999).map("{}00".format)),
    "free": OfKind("numeric", pa.string(), "1e-30", "0.000000000000000000000000000001",
                   st.decimals(allow_nan=True, allow_infinity=False).filter(lambda d: not d.is_snan()).map(
                       lambda d: "NaN" if d.is_nan() else f"{d:.40E}")),
    "flag": OfKind("boolean", pa.bool_(), "t", True, st.sampled_from(["t", "f"])),
    "words": OfKind("text", pa.string(), 'a, "b"\n', 'a, "b"\n', _TEXTS),
    "short": OfKind("varchar(20)", pa.string(), "", "", _TEXTS),
    "fixed": OfKind("char(3)", pa.string(), "a", "a  ", st.sampled_from(["", "a", "é\n"])),
    "raw": OfKind("bytea", pa.binary(), "\\x00ff", b"\0\xff", _BYTES),
    "day": OfKind("date", pa.date32(), "0044-03-15", date(44, 3, 15), _DATES),
    "clock": OfKind("time", pa.time64("us"), "12:34:56.789", time(12, 34, 56, 789000), st.times().map(str)),
    "zoned": OfKind("timetz", pa.string(), "12:00+02", "12:00:00+02", st.just("12:00:00-03:30")),
    "local": OfKind("timestamp", pa.timestamp("us"), "infinity", datetime.max, _LOCALS),
    "moment": OfKind(_UTC, pa.timestamp("us", tz="UTC"), "2024-02-29 12:00:00.5+02",
                     datetime(2024, 2, 29, 10, 0, 0, 500000, tzinfo=UTC), _MOMENTS),
    "span": OfKind("interval", pa.month_day_nano_interval(), "1 year 2 mons -3 days 4:00:00.000005", _MONTH,
                   _INTERVALS),
    "mark": OfKind("uuid", pa.uuid(), str(_B), _B, _UUIDS),
    "doc": OfKind("jsonb", pa.json_(pa.string()), '{"a": [1, null]}', '{"a": [1, null]}',
                  _JSON_TEXTS.filter(lambda t: "\\u0000" not in t)),
    "note": OfKind("json", pa.json_(pa.string()), '{"b" :  1}', '{"b" :  1}', _JSON_TEXTS),
    "mood": OfKind("mood", pa.dictionary(pa.int32(), pa.string(), ordered=True), "so so", "so so", _MOODS),
    "code": OfKind("postcode", pa.string(), "0123", "0123", st.integers(0, 10**9).map(str)),
    "address": OfKind("inet", pa.string(), "10.0.0.1/8", "10.0.0.1/8", st.ip_addresses().map(str)),
    "period": OfKind("int4range", pa.string(), "[1,5]", "[1,6)", st.integers(0, 99).map("[{},200)".format)),
    "frame": OfKind("box", pa.string(), "(1,2),(3,4)", "(3,4),(1,2)", st.just("(0.5,0),(-1,-2)")),
    "numbers": OfKind("integer[]", pa.list_(pa.int32()), "{1,NULL,-3}", [1, None, -3], _array(_numbers(32))),
    "texts": OfKind("text[]", pa.list_(pa.string()), '{"",NULL,"a,\\"b"}', ["", None, 'a,"b'], _array(_TEXTS)),
    "marks": OfKind("uuid[]", pa.list_(pa.uuid()), f"{{{_A},NULL}}", [_A, None], _array(_UUIDS)),
    "moments": OfKind("timestamptz[]", pa.list_(pa.timestamp("us", tz="UTC")), '{"2024-01-01 00:00+00",NULL}',
                      [datetime(2024, 1, 1, tzinfo=UTC), None], _array(_MOMENTS)),
    "moods": OfKind("mood[]", pa.list_(pa.string()), '{sad,"so so"}', ["sad", "so so"], _array(_MOODS)),
    "raws": OfKind("bytea[]", pa.list_(pa.binary()), '{"\\\\x01",NULL}', [b"\1", None], _array(_BYTES)),
    "prices": OfKind("numeric(8,2)[]", pa.list_(pa.decimal128(8, 2)), "{1.5,NULL}", [Decimal("1.50"), None],
                     _array(_decimals(8, 2))),
    "spans": OfKind("interval[]", pa.list_(pa.month_day_nano_interval()), '{"1 day",NULL}',
                    [pa.MonthDayNano([0, 1, 0]), None], _array(_INTERVALS)),
    "docs": OfKind("json[]", pa.list_(pa.json_(pa.string())), '{"{\\"a\\":1}",NULL}', ['{"a":1}', None],
                   _array(_JSON_TEXTS)),
    "flags": OfKind("boolean[]", pa.list_(pa.bool_()), "{t,NULL,f}", [True, None, False],
                    _array(st.sampled_from(["t", "f"]))),
    "doubles": OfKind("float8[]", pa.list_(pa.float64()), "{1.5,NULL,Infinity}", [1.5, None, float("inf")],
                      _array(_FLOATS)),
    "clocks": OfKind("time[]", pa.list_(pa.time64("us")), "{12:00,NULL}", [time(12), None],
                     _array(st.times().map(str))),
    "frames": OfKind("box[]", pa.list_(pa.string()), "{(1,1),(0,0);(3,3),(2,2)}", ["(1,1),(0,0)", "(3,3),(2,2)"],
                     st.just("{(1,1),(0,0)}")),
    "matrix": OfKind("int8[]", pa.list_(pa.int64()), "{}", [], _array(_numbers(64))),
}  # fmt: skip

KINDS_SQL = (
    "CREATE TABLE IF NOT EXISTS arrow_kinds (id integer PRIMARY KEY, "
    + ", ".join(f"{name} {kind.sql}" for name, kind in KINDS.items())
    + ")"
)


@table("arrow_kinds")
class Kind(PSQLModel):
    """The model says less than the database knows: guesses, where an annotation says it."""

    id: Column[int] = Column(primary_key=True)
    small: Column[int | None]
    whole: Column[int | None]
    big: Column[int | None]
    number: Column[int | None]
    single: Column[float | None]
    double: Column[float | None]
    exact: Column[Decimal | None]
    wide: Column[Decimal | None]
    tiny: Column[Decimal | None]
    round: Column[Decimal | None]
    free: Column[Decimal | None]
    flag: Column[bool | None]
    words: Column[str | None]
    short: Column[str | None]
    fixed: Column[str | None]
    raw: Column[bytes | None]
    day: Column[date | None]
    clock: Column[time | None]
    zoned: Column[time | None]
    local: Column[datetime | None]
    moment: Column[datetime | None]
    span: Column[timedelta | None]
    mark: Column[UUID | None]
    doc: Column[dict[str, Any] | None]
    note: Column[dict[str, Any] | None]
    mood: Column[str | None]
    code: Column[str | None]
    address: Column[str | None]
    period: Column[str | None]
    frame: Column[str | None]
    numbers: Column[list[int] | None]
    texts: Column[list[str] | None]
    marks: Column[list[UUID] | None]
    moments: Column[list[datetime] | None]
    moods: Column[list[str] | None]
    raws: Column[list[bytes] | None]
    prices: Column[list[Decimal] | None]
    spans: Column[list[timedelta] | None]
    docs: Column[list[str] | None]
    flags: Column[list[bool] | None]
    doubles: Column[list[float] | None]
    clocks: Column[list[time] | None]
    frames: Column[list[str] | None]
    matrix: Column[list[int] | None]
