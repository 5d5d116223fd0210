"""Ranges and multiranges: as values, and as text."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psqlmodel import types
from psqlmodel.errors import InvalidValueError
from psqlmodel.types import Multirange, Range
from psqlmodel.types.ranges import custom_range, range_of

BOUNDS = st.sampled_from(["[)", "[]", "(]", "()"])


@st.composite
def ranges(draw, ends):
    lower, upper = draw(st.none() | ends), draw(st.none() | ends)
    if lower is not None and upper is not None and lower > upper:
        lower, upper = upper, lower
    return Range(lower, upper, draw(BOUNDS), empty=draw(st.booleans()))


@given(ranges(st.integers(-(2**31), 2**31 - 1)))
def test_integers_survive(value):
    assert types.int4range.load(types.int4range.dump(value)) == value


@given(ranges(st.datetimes(timezones=st.just(UTC))))
def test_instants_survive(value):
    assert types.tstzrange.load(types.tstzrange.dump(value)) == value


@given(ranges(st.dates()))
def test_dates_survive(value):
    assert types.daterange.load(types.daterange.dump(value)) == value


@given(ranges(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_texts_survive(value):
    pg_type = custom_range(types.text, "textrange")
    assert pg_type.load(pg_type.dump(value)) == value


@given(st.lists(ranges(st.integers(-100, 100))))
def test_multiranges_survive(items):
    value = Multirange(items)
    assert types.int4multirange.load(types.int4multirange.dump(value)) == value


@pytest.mark.parametrize(
    ("pg_type", "text", "value"),
    [
        (types.int4range, "empty", Range(empty=True)),
        (types.int4range, "[1,10)", Range(1, 10)),
        (types.int4range, "(,5)", Range(None, 5)),
        (types.int4range, "(,)", Range()),
        (types.numrange, "[1.50,2.25]", Range(Decimal("1.50"), Decimal("2.25"), "[]")),
        (types.daterange, "[2026-01-01,infinity)", Range(date(2026, 1, 1), date.max)),
        (
            types.tsrange,
            '["2026-01-01 00:00:00","2026-01-02 12:30:00.5")',
            Range(datetime(2026, 1, 1), datetime(2026, 1, 2, 12, 30, 0, 500000)),
        ),
        (types.tstzrange, '["2026-01-01 00:00:00+00",)', Range(datetime(2026, 1, 1, tzinfo=UTC))),
    ],
)
def test_as_postgresql_writes_them(pg_type, text, value):
    assert pg_type.load(text) == value
    assert pg_type.load(pg_type.dump(value)) == value


def test_multiranges_as_postgresql_writes_them():
    assert types.int4multirange.load("{[1,3),[5,9)}") == Multirange([Range(1, 3), Range(5, 9)])
    assert types.int4multirange.load("{}") == Multirange()
    shown = '{["2026-01-01 00:00:00","2026-01-02 00:00:00"),["2026-02-01 00:00:00",)}'
    assert len(types.tsmultirange.load(shown)) == 2


@pytest.mark.parametrize("text", ["", "[1,2", "1,2", "[1;2)", "[1,2,3)"])
def test_malformed_ranges_are_refused(text):
    with pytest.raises(InvalidValueError, match="no int4range literal"):
        types.int4range.load(text)


@pytest.mark.parametrize("text", ["", "{", "[1,2)", "{[1,2}", "{1}"])
def test_malformed_multiranges_are_refused(text):
    with pytest.raises(InvalidValueError, match="no int4multirange literal"):
        types.int4multirange.load(text)


def test_a_range_is_what_postgresql_would_store():
    assert Range(1, 1) == Range(empty=True)
    assert Range(1, 1, "[]") != Range(empty=True)
    assert Range(None, 5, "[]").bounds == "(]"
    assert Range(5, None, "[]").bounds == "[)"
    assert Range(3, 4, empty=True) == Range(empty=True)


def test_contains():
    assert 1 in Range(1, 3)
    assert 3 not in Range(1, 3)
    assert 3 in Range(1, 3, "(]")
    assert 1 not in Range(1, 3, "(]")
    assert 10**9 in Range(1)
    assert -5 in Range()
    assert None not in Range()
    assert 1 not in Range(empty=True)
    assert 6 in Multirange([Range(1, 3), Range(5, 9)])
    assert 4 not in Multirange([Range(1, 3), Range(5, 9)])
    assert Range(1, 3) in Multirange([Range(1, 3)])


def test_values_are_frozen_hashable_copyable_and_picklable():
    value, several = Range(1, 3, "[]"), Multirange([Range(1, 3)])
    assert copy.deepcopy(value) == value == pickle.loads(pickle.dumps(value))
    assert copy.deepcopy(several) == several == pickle.loads(pickle.dumps(several))
    assert {value: 1}[Range(1, 3, "[]")] == 1
    assert {several: 1}[Multirange([Range(1, 3)])] == 1
    with pytest.raises(AttributeError):
        value.lower = 2
    with pytest.raises(AttributeError):
        del value.lower
    assert (repr(value), repr(Range(1, 2)), repr(Range(empty=True))) == (
        "Range(1, 3, '[]')",
        "Range(1, 2)",
        "Range(empty=True)",
    )
    assert several[0] == Range(1, 3)
    assert several[:1] == several
    assert value.lower_inclusive
    assert value.upper_inclusive
    assert not Range(empty=True)
    assert value != (1, 3)


def test_wrong_ranges_are_refused():
    with pytest.raises(InvalidValueError, match="above"):
        Range(2, 1)
    with pytest.raises(InvalidValueError, match="compared"):
        Range(1, "a")
    with pytest.raises(InvalidValueError, match="bounds="):
        Range(1, 2, "<>")
    with pytest.raises(InvalidValueError, match="iterable of Range"):
        Multirange([(1, 2)])


@pytest.mark.parametrize("value", [(1, 2), "[1,2)", Multirange(), Range("a", "b"), Range(1.0, 2.0), Range(0, 2**31)])
def test_refused_by_int4range(value):
    with pytest.raises(InvalidValueError):
        types.int4range.dump(value)


def test_refused_by_int4multirange():
    with pytest.raises(InvalidValueError, match="takes a Multirange"):
        types.int4multirange.dump([Range(1, 2)])


def test_a_naive_end_is_refused_where_a_zone_is_needed():
    with pytest.raises(InvalidValueError, match="timestamptz takes an aware datetime"):
        types.tstzrange.dump(Range(datetime(2026, 1, 1)))


def test_custom_ranges_are_named_and_quoted():
    pg_type = custom_range(types.double, "floatrange", schema="App")
    assert pg_type is custom_range(types.double, "floatrange", schema="App")
    assert (pg_type.name, pg_type.cast) == ('"App"."floatrange"', '::"App"."floatrange"')
    assert range_of(types.double, "x").load("[0.5,1.5)") == Range(0.5, 1.5)


def test_columns_travel_as_text():
    assert types.int4range.dump_column([Range(1, 2), None]) == ["[1,2)", None]
    assert (types.int4range.transport, types.int4range.cast) == ("text", "::int4range")
