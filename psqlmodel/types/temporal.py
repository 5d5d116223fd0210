"""Dates and times. The greatest and least `date` and `datetime` stand for PostgreSQL's infinities.

`timestamptz` takes aware datetimes only and `timestamp` naive ones only, so that no time is off by an offset
that nobody asked for; `date` refuses datetimes, whose time would be lost.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from datetime import date as Date
from datetime import datetime as DateTime
from datetime import time as Time
from datetime import timedelta as Delta
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import Any, TypeVar

from psqlmodel.errors import DataError, InvalidValueError
from psqlmodel.later import pattern
from psqlmodel.types.arrays import text_of
from psqlmodel.types.pgtype import PgType, pgtype, refuse, variant

T = TypeVar("T")
_zones = attrgetter("tzinfo")


def _native(
    name: str,
    python: type[Any],
    dump: Callable[[Any], Any],
    load_text: Callable[[str], Any],
    oid: int,
    array_oid: int,
    fits: Callable[[list[Any]], bool] | None = None,
) -> PgType[Any]:
    @cache
    def modify(precision: int) -> PgType[Any]:
        if type(precision) is not int or not 0 <= precision <= 6:
            raise InvalidValueError(f"{name}(precision) takes 0 to 6 digits of a second")
        return variant(made, name=f"{name}({precision})", modify=None)

    made = pgtype(
        name,
        python,
        dump,
        dump_text=lambda value: None if value is None else text_of(dump(value)),
        load_text=load_text,
        natives=frozenset({python, NoneType}),
        fits=fits,
        transport=name,
        oid=oid,
        array_oid=array_oid,
        modify=None if name == "date" else modify,
    )
    return made


def _dump_date(value: Any) -> Any:
    if type(value) is Date or value is None:
        return value
    if isinstance(value, DateTime):
        raise InvalidValueError("date takes a date, not a datetime: say which day with .date()")
    if isinstance(value, Date):
        return Date(value.year, value.month, value.day)
    raise refuse("date", value, "a date")


def _dump_time(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, Time):
        raise refuse("time", value, "a time")
    if value.tzinfo is not None:
        raise InvalidValueError("time takes a time without zone; use timetz for one with an offset")
    return value


def _dump_timetz(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, Time):
        raise refuse("timetz", value, "a time")
    if value.utcoffset() is None:
        raise InvalidValueError(
            "timetz takes a time with a fixed offset (tzinfo=timezone(...)); use time for one without"
        )
    return value


def _dump_timestamp(value: Any) -> Any:
    if isinstance(value, DateTime):
        if value.tzinfo is None:
            return value
        raise InvalidValueError(
            "timestamp takes a naive datetime, this one has a zone: use timestamptz, "
            "or drop the zone with .astimezone(UTC).replace(tzinfo=None)"
        )
    if value is None:
        return None
    raise refuse("timestamp", value, "a datetime")


def _dump_timestamptz(value: Any) -> Any:
    if isinstance(value, DateTime):
        if value.tzinfo is not None and value.utcoffset() is not None:
            return value
        raise InvalidValueError(
            "timestamptz takes an aware datetime, this one has no zone: give it one (datetime.now(UTC)), "
            "or declare the column as timestamp"
        )
    if value is None:
        return None
    raise refuse("timestamptz", value, "a datetime")


def _all_naive(values: list[Any]) -> bool:
    return set(map(_zones, values)) == {None}


def _all_aware(values: list[Any]) -> bool:
    return None not in set(map(_zones, values))


def _dump_interval(value: Any) -> Any:
    if type(value) is Delta or value is None or isinstance(value, Delta):
        return value
    raise refuse("interval", value, "a timedelta")


# --- from text ----------------------------------------------------------------------------------------------


def _load_date(text: str) -> Date:
    if text == "infinity":
        return Date.max
    return Date.min if text == "-infinity" else _held(Date.fromisoformat, text)


def _load_timestamp(text: str) -> DateTime:
    if text == "infinity":
        return DateTime.max  # noqa: DTZ901  # timestamp has no zone
    return DateTime.min if text == "-infinity" else _held(DateTime.fromisoformat, text)  # noqa: DTZ901


def _load_timestamptz(text: str) -> DateTime:
    if text == "infinity":
        return DateTime.max.replace(tzinfo=UTC)
    if text == "-infinity":
        return DateTime.min.replace(tzinfo=UTC)
    return _held(_in_utc, text)


def _in_utc(text: str) -> DateTime:
    return DateTime.fromisoformat(text).astimezone(UTC)


def _held(read: Callable[[str], T], text: str) -> T:
    """Read a text; raises `DataError` where Python can't hold what it says."""
    try:
        return read(text)
    except (ValueError, OverflowError):
        raise _beyond() from None


def in_column(error: DataError, name: str) -> DataError:
    """Return the error of a value that can't be read, with the name of its column."""
    if not error.columns:
        error.columns, error.args = (name,), (f"{name}: {error}",)
    return error


def naming(convert: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    """Return what does the same as a conversion, and names the column of a value that can't be read."""

    def read(wire: Any) -> Any:
        try:
            return convert(wire)
        except DataError as error:
            raise in_column(error, name) from None

    return read


def _beyond() -> DataError:
    return DataError(
        "a date or time is before the year 1 or after 9999, which Python can't hold (or DateStyle is not ISO): "
        "select its text, with a cast",
        sqlstate="22008",
    )


# Drivers may leave a moment as the text that the server wrote: see `READERS`. These read it by one call in C.
QUICK: dict[Callable[[str], Any], Callable[[str], Any]] = {}


def _reader(quick: Callable[[str], Any], greatest: Any, least: Any) -> Callable[[str], Any]:
    """Return what reads the texts that `quick` reads, in the zone that they name, and infinities."""
    infinities = {"infinity": greatest, "-infinity": least}

    def read(text: str) -> Any:
        try:
            return quick(text)
        except ValueError:
            if text in infinities:
                return infinities[text]
        raise _beyond()

    QUICK[read] = quick
    return read


# By OID. psycopg2's own way from a timestamptz to a datetime costs more than the rest of an order's row.
READERS: dict[int, Callable[[str], Any]] = {
    1082: _reader(Date.fromisoformat, Date.max, Date.min),
    1114: _reader(DateTime.fromisoformat, DateTime.max, DateTime.min),  # noqa: DTZ901  # timestamp has no zone
    1184: _reader(DateTime.fromisoformat, DateTime.max.replace(tzinfo=UTC), DateTime.min.replace(tzinfo=UTC)),
}


_INTERVAL = pattern(
    r"(?:(-?\+?\d+) years? ?)?(?:(-?\+?\d+) mons? ?)?(?:(-?\+?\d+) days? ?)?"
    r"(?:([-+]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?"
)


def _load_interval(text: str) -> Delta:
    # Months count 30 days and years 365, as both drivers have it.
    match = _INTERVAL.fullmatch(text)
    if not text or match is None:
        raise InvalidValueError("the text is no interval in postgres style: set intervalstyle to postgres")
    years, months, days, sign, hours, minutes, seconds, fraction = match.groups()
    clock = Delta(
        hours=int(hours or 0),
        minutes=int(minutes or 0),
        seconds=int(seconds or 0),
        microseconds=int((fraction or "0").ljust(6, "0")),
    )
    whole = Delta(days=int(years or 0) * 365 + int(months or 0) * 30 + int(days or 0))
    return whole - clock if sign == "-" else whole + clock


date = _native("date", Date, _dump_date, _load_date, 1082, 1182)
time = _native("time", Time, _dump_time, Time.fromisoformat, 1083, 1183, _all_naive)
timetz = _native("timetz", Time, _dump_timetz, Time.fromisoformat, 1266, 1270, lambda values: False)
timestamp = _native("timestamp", DateTime, _dump_timestamp, _load_timestamp, 1114, 1115, _all_naive)
timestamptz = _native("timestamptz", DateTime, _dump_timestamptz, _load_timestamptz, 1184, 1185, _all_aware)
interval = _native("interval", Delta, _dump_interval, _load_interval, 1186, 1187)
