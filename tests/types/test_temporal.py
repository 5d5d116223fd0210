"""Dates and times: zones are neither invented nor dropped; the infinities are the extreme values."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psqlmodel import types
from psqlmodel.errors import InvalidValueError

NAIVE = datetime(2026, 1, 2, 3, 4, 5, 600000)
AWARE = NAIVE.replace(tzinfo=UTC)
PLUS = timezone(timedelta(hours=5, minutes=30))


class Day(date):
    pass


@pytest.mark.parametrize(
    ("pg_type", "value"),
    [
        (types.date, date(2026, 1, 2)),
        (types.date, date.max),
        (types.time, time(23, 59, 59, 999999)),
        (types.timetz, time(1, 2, tzinfo=PLUS)),
        (types.timestamp, NAIVE),
        (types.timestamp, datetime.min),
        (types.timestamptz, AWARE),
        (types.timestamptz, NAIVE.replace(tzinfo=PLUS)),
        (types.timestamptz, NAIVE.replace(tzinfo=ZoneInfo("Europe/Paris"))),
        (types.interval, timedelta(-1, 5, 7)),
    ],
)
def test_taken_and_given_back_by_text(pg_type, value):
    assert pg_type.dump(value) == value
    assert pg_type.dump_column([value, None]) == [value, None]
    if pg_type is not types.interval:
        assert pg_type.load_text(pg_type.dump_text(value)) == value


@pytest.mark.parametrize(
    ("pg_type", "value", "words"),
    [
        (types.date, NAIVE, "not a datetime"),
        (types.date, "2026-01-02", "takes a date, not str"),
        (types.time, time(1, tzinfo=PLUS), "use timetz"),
        (types.time, NAIVE, "takes a time"),
        (types.timetz, time(1), "use time for one without"),
        (types.timetz, time(1, tzinfo=ZoneInfo("Europe/Paris")), "fixed offset"),
        (types.timestamp, AWARE, "use timestamptz"),
        (types.timestamp, date(2026, 1, 2), "takes a datetime"),
        (types.timestamptz, NAIVE, r"datetime\.now\(UTC\)"),
        (types.timestamptz, 5, "takes a datetime, not int"),
        (types.interval, 5, "takes a timedelta"),
    ],
)
def test_refused(pg_type, value, words):
    with pytest.raises(InvalidValueError, match=words):
        pg_type.dump(value)
    with pytest.raises(InvalidValueError, match=words):
        pg_type.dump_column([None, value])


def test_subclasses_of_date_become_dates():
    assert type(types.date.dump(Day(2026, 1, 2))) is date


def test_columns_of_aware_and_naive_values_travel_as_they_are():
    for pg_type, value in ((types.timestamptz, AWARE), (types.timestamp, NAIVE), (types.date, date.min)):
        values = [value, value]
        assert pg_type.dump_column(values) is values


def test_infinities_as_text():
    array = types.date.array()
    assert array.dump_text([date.max, date.min]) == "{infinity,-infinity}"
    assert array.load_text("{infinity,-infinity}") == [date.max, date.min]
    forever = types.timestamptz.array()
    ends = [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]
    assert forever.dump_text(ends) == '{"infinity","-infinity"}'
    assert forever.load_text("{infinity,-infinity}") == ends


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("00:00:00", timedelta()),
        ("1 day", timedelta(1)),
        ("-1 days", timedelta(-1)),
        ("1 mon", timedelta(30)),
        ("1 year 2 mons 3 days 04:05:06.789", timedelta(365 + 60 + 3, 4 * 3600 + 5 * 60 + 6, 789000)),
        (
            "-1 years -2 mons +3 days -04:05:06",
            timedelta(-365 - 60 + 3) - timedelta(hours=4, minutes=5, seconds=6),
        ),
        ("838:59:59", timedelta(hours=838, minutes=59, seconds=59)),
    ],
)
def test_intervals_in_postgres_style(text, value):
    assert types.interval.load_text(text) == value


@pytest.mark.parametrize("text", ["", "P1D", "1 fortnight"])
def test_other_interval_styles_are_refused(text):
    with pytest.raises(InvalidValueError):
        types.interval.load_text(text)


def test_precision():
    assert types.timestamptz(3).name == "timestamptz(3)"
    assert types.timestamptz(3) is types.timestamptz(3)
    assert types.timestamptz(3).cast == ""
    for wrong in (7, -1, "3"):
        with pytest.raises(InvalidValueError):
            types.timestamp(wrong)
    with pytest.raises(InvalidValueError):
        types.date(3)


@given(st.datetimes(timezones=st.just(UTC)))
def test_any_instant_survives_its_text(value):
    assert types.timestamptz.load_text(types.timestamptz.dump_text(value)) == value
