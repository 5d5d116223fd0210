"""Dates and times: zones are neither invented nor dropped; the infinities are the extreme values."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psqlmodel import types
from psqlmodel.errors import DataError, InvalidValueError

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


# --- texts that a driver left: by the negative OID

DATE, TIMESTAMP, TIMESTAMPTZ = 1082, 1114, 1184
AMSTERDAM = timezone(timedelta(minutes=17, seconds=30))  # as it was in 1800


@pytest.mark.parametrize(
    ("oid", "text", "value"),
    [
        (DATE, "2024-02-29", date(2024, 2, 29)),
        (DATE, "infinity", date.max),
        (DATE, "-infinity", date.min),
        (TIMESTAMP, "2024-02-29 12:00:00.5", datetime(2024, 2, 29, 12, 0, 0, 500000)),
        (TIMESTAMP, "infinity", datetime.max),
        (TIMESTAMP, "-infinity", datetime.min),
        (TIMESTAMPTZ, "2024-02-29 12:00:00.000001+00", datetime(2024, 2, 29, 12, 0, 0, 1, UTC)),
        (TIMESTAMPTZ, "1800-01-01 00:17:30+00:17:30", datetime(1800, 1, 1, 0, 17, 30, tzinfo=AMSTERDAM)),
        (TIMESTAMPTZ, "0001-01-01 00:00:00+05:30", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))),
        (TIMESTAMPTZ, "infinity", datetime.max.replace(tzinfo=UTC)),
        (TIMESTAMPTZ, "-infinity", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_a_text_that_a_driver_left_is_read(oid, text, value):
    load = types.loader(None, -oid)
    assert load is not None
    assert load(text) == value
    assert getattr(load(text), "tzinfo", None) is None or load(text).utcoffset() == value.utcoffset()
    quick = types.quick(load)
    assert quick is not None
    if "infinity" in text:
        with pytest.raises(ValueError, match="Invalid isoformat"):
            quick(text)
    else:
        assert quick(text) == value


@pytest.mark.parametrize("text", ["0044-03-15 12:00:00+00 BC", "10000-01-01 00:00:00+00", "294276-12-31 00:00:00+00"])
@pytest.mark.parametrize("oid", [DATE, TIMESTAMP, TIMESTAMPTZ])
def test_what_python_can_not_hold_is_an_error_without_the_value(oid, text):
    if oid == DATE:
        text = text.replace(" 00:00:00+00", "").replace(" 12:00:00+00", "")
    load = types.loader(None, -oid)
    assert load is not None
    with pytest.raises(DataError, match="before the year 1 or after 9999") as caught:
        load(text)
    assert caught.value.sqlstate == "22008"
    assert text[:4] not in str(caught.value)


def test_only_conversions_of_such_texts_are_quick():
    assert types.quick(None) is None
    assert types.quick(types.loader(None, 3802)) is None
