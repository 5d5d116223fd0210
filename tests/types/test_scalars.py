"""Numbers, texts, booleans, bytes, UUIDs: what is taken and refused, and that no message tells a value."""

from __future__ import annotations

import copy
import math
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Optional
from uuid import UUID

import numpy
import pytest

from psqlmodel.errors import InvalidValueError
from psqlmodel.types import (
    bigint,
    boolean,
    bytea,
    char,
    double,
    integer,
    money,
    numeric,
    oid,
    real,
    serial,
    smallint,
    text,
    uuid,
    varchar,
)

KEY = UUID("12345678-1234-5678-1234-567812345678")


class Level(IntEnum):
    LOW = 1


class Shade(StrEnum):
    RED = "red"


class Old(str):
    pass


TAKEN = [
    (smallint, -32768, -32768),
    (smallint, 32767, 32767),
    (integer, 2**31 - 1, 2**31 - 1),
    (bigint, -(2**63), -(2**63)),
    (oid, 2**32 - 1, 2**32 - 1),
    (serial, 7, 7),
    (integer, Level.LOW, 1),
    (integer, numpy.int64(5), 5),
    (double, 1, 1.0),
    (double, Decimal("1.5"), 1.5),
    (double, Fraction(1, 4), 0.25),
    (double, numpy.float32(0.5), 0.5),
    (real, 3.4028234663852886e38, 3.4028234663852886e38),
    (real, math.inf, math.inf),
    (numeric, Decimal("NaN"), Decimal("NaN")),
    (numeric, Decimal("-Infinity"), Decimal("-Infinity")),
    (numeric, 0.1, Decimal("0.1")),
    (numeric, 10**40, Decimal(10**40)),
    (numeric(12, 2), Decimal("1.50"), Decimal("1.50")),
    (money, Decimal("-1234.5"), "-1234.5"),
    (money, Decimal("1E+3"), "1000"),
    (text, "", ""),
    (text, "é😀'\"\\%", "é😀'\"\\%"),
    (text, Shade.RED, "red"),
    (text, Old("x"), "x"),
    (varchar(3), "ab ", "ab "),
    (varchar(3), "abc   ", "abc   "),
    (char(2), "é", "é"),
    (boolean, True, True),
    (bytea, bytearray(b"\0a"), b"\0a"),
    (bytea, memoryview(b"ab"), b"ab"),
    (uuid, str(KEY), KEY),
]

REFUSED = [
    (smallint, 32768),
    (integer, -(2**31) - 1),
    (bigint, 2**63),
    (oid, -1),
    (integer, True),
    (integer, "5"),
    (integer, 5.0),
    (integer, Decimal(5)),
    (double, True),
    (double, "1.5"),
    (double, 10**400),
    (real, 1e39),
    (numeric, True),
    (numeric, "1"),
    (numeric, Decimal("sNaN")),
    (money, Decimal("NaN")),
    (money, "1"),
    (text, 5),
    (text, b"x"),
    (text, "secret\0"),
    (text, "secret\ud800"),
    (varchar(3), "abcd"),
    (char, "ab"),
    (boolean, 1),
    (boolean, "t"),
    (bytea, "secret"),
    (uuid, "secret"),
    (uuid, 5),
]


@pytest.mark.parametrize(("pg_type", "value", "wire"), TAKEN)
def test_taken(pg_type, value, wire):
    dumped = pg_type.dump(value)
    assert type(dumped) is type(wire)
    assert dumped == wire or dumped != dumped
    assert len(pg_type.dump_column([value, None])) == 2
    assert pg_type.dump_column([value, None])[1] is None


@pytest.mark.parametrize(("pg_type", "value"), REFUSED)
def test_refused_one_by_one_and_in_columns(pg_type, value):
    with pytest.raises(InvalidValueError) as caught:
        pg_type.dump(value)
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith(("the text", pg_type.base, pg_type.name))
    with pytest.raises(InvalidValueError):
        pg_type.dump_column([None, value])
    with pytest.raises(InvalidValueError):
        pg_type.dump_text(value)


@pytest.mark.parametrize("pg_type", [smallint, double, numeric, money, text, boolean, bytea, uuid])
def test_null_is_none(pg_type):
    assert pg_type.dump(None) is None
    assert pg_type.dump_column([None, None]) == [None, None]
    assert pg_type.dump_column([]) == []


def test_the_message_says_what_to_do():
    with pytest.raises(InvalidValueError, match=r"integer holds -2147483648 to 2147483647 .* use bigint"):
        integer.dump(2**31)
    with pytest.raises(InvalidValueError, match="integer takes an int, not bool"):
        integer.dump(True)
    with pytest.raises(InvalidValueError, match=r"varchar\(3\): the text has 4 characters, at most 3"):
        varchar(3).dump("abcd")


@pytest.mark.parametrize(
    ("pg_type", "values"),
    [
        (integer, [1, 2, None]),
        (double, [1.5, math.nan]),
        (numeric, [Decimal(1)]),
        (text, ["a", "é", None]),
        (varchar(1), ["a"]),
        (boolean, [True, None]),
        (bytea, [b"x"]),
        (uuid, [KEY]),
    ],
)
def test_a_column_of_native_values_travels_as_it_is(pg_type, values):
    assert pg_type.dump_column(values) is values


def test_a_column_converts_what_needs_it():
    assert numeric.dump_column([1, None, 0.5]) == [Decimal(1), None, Decimal("0.5")]
    assert money.dump_column([Decimal("1.5")]) == [Decimal("1.5")]  # carried as numeric, whatever the locale
    assert varchar(2).dump_column(["ab  "]) == ["ab  "]


@pytest.mark.parametrize(
    ("shown", "amount"),
    [
        ("$1,234.50", "1234.50"),
        ("-$1,234.50", "-1234.50"),
        ("($0.99)", "-0.99"),
        ("1.234,50 €", "1234.50"),
        ("¥1,235", "1235"),
        ("$92,233,720,368,547,758.07", "92233720368547758.07"),
        ("kr 5,00", "5.00"),
    ],
)
def test_money_is_read_in_any_locale(shown, amount):
    assert money.load(shown) == Decimal(amount)


def test_money_that_is_none_is_refused():
    with pytest.raises(InvalidValueError):
        money.load("nothing")


def test_a_type_is_one_object_immutable_and_hashable():
    assert varchar(40) is varchar(40)
    assert varchar(40) is not varchar(41)
    assert numeric(5) is not numeric(5, 0)
    assert copy.deepcopy(integer) is integer is copy.copy(integer)
    assert len({integer, integer, bigint}) == 2
    with pytest.raises(AttributeError):
        integer.name = "other"


@pytest.mark.parametrize(
    ("pg_type", "name", "base", "transport", "cast"),
    [
        (varchar(40), "varchar(40)", "varchar", "text", ""),
        (char(3), "char(3)", "bpchar", "text", ""),
        (numeric(12, 2), "numeric(12,2)", "numeric", "numeric", ""),
        (serial, "serial", "integer", "int4", ""),
        (oid, "oid", "oid", "int8", "::oid"),
        (money, "money", "money", "numeric", "::money"),
        (double, "double precision", "double precision", "float8", ""),
    ],
)
def test_spelling(pg_type, name, base, transport, cast):
    assert (pg_type.name, pg_type.base, pg_type.transport, pg_type.cast) == (name, base, transport, cast)
    assert repr(pg_type) == name


@pytest.mark.parametrize(
    "make",
    [
        lambda: varchar(0),
        lambda: varchar("5"),
        lambda: varchar(True),
        lambda: numeric(0),
        lambda: numeric(2000),
        lambda: numeric(5, "2"),
        lambda: integer(4),
        lambda: varchar(3)(4),
    ],
)
def test_wrong_lengths_are_refused(make):
    with pytest.raises(InvalidValueError):
        make()


def test_types_stand_in_annotations():
    assert (varchar | None) == Optional[varchar]  # noqa: UP045
    assert (None | varchar) == Optional[varchar]  # noqa: UP045
