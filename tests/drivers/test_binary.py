"""Arrays of numbers in binary, as our codecs write and read them: the server says the same as of asyncpg's own."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from psqlmodel.drivers import wire
from psqlmodel.drivers.binary import ELEMENTS, codec
from psqlmodel.errors import DataError
from psqlmodel.steps import Statement

NUMBERS = [oid for oid in ELEMENTS if wire.NATIVE[oid][0] in ("int2", "int4", "int8", "float8")]
GREATEST = {"int2": 2**15 - 1, "int4": 2**31 - 1, "int8": 2**63 - 1, "float8": 1.7976931348623157e308}
ARRAYS = [
    [],
    [[]],
    [0],
    [1, -1, 256, -257],
    list(range(-300, 300)),
    [1, None, 3],
    [None],
    [[1, 2], [3, 4]],
    [[[1], [None]], [[3], [4]]],
    (1, 2),
    range(3),
]


def listed(values):
    return [listed(value) for value in values] if isinstance(values, list | tuple | range) else values


@pytest.mark.parametrize("name", GREATEST)
@pytest.mark.parametrize("values", ARRAYS, ids=str)
def test_what_is_written_is_read(connections, name, values):
    _, asynchronous = connections
    statement = Statement(f"SELECT $1::{name}[], ($1::{name}[])::text, $2::text::{name}[]", [values, literal(values)])
    read, text, by_server = asynchronous.execute(statement).data[0]
    assert read == by_server == ([] if values == [[]] else listed(values))
    assert text == literal(values)
    assert {type(value) for value in flat(read)} <= {float if name == "float8" else int, type(None)}


def literal(values):
    parts = [literal(v) if isinstance(v, list) else "NULL" if v is None else str(v) for v in values]
    return "{" + ",".join(parts) + "}" if parts != ["{}"] else "{}"


def flat(values):
    return [each for value in values for each in (flat(value) if isinstance(value, list) else [value])]


@pytest.mark.parametrize("name", GREATEST)
def test_the_greatest_and_the_least(connections, name):
    _, asynchronous = connections
    greatest = GREATEST[name]
    values = [greatest, -greatest if name == "float8" else -greatest - 1]
    assert asynchronous.execute(Statement(f"SELECT $1::{name}[]", [values])).data[0][0] == values
    if name == "float8":
        back = asynchronous.execute(Statement("SELECT $1::float8[]", [[math.inf, -math.inf, math.nan, -0.0]])).data
        assert list(map(repr, back[0][0])) == ["inf", "-inf", "nan", "-0.0"]
        return
    for beyond in ([greatest + 1], [greatest + 1, None]):
        with pytest.raises(DataError, match=r"\$1"):
            asynchronous.execute(Statement(f"SELECT $1::{name}[]", [beyond]))


@pytest.mark.parametrize(
    "values", [5, "12", {1: 2}, ["x"], [Exception], [[1], [2, 3]], [1, [2]], [[1], 2], [1.5]], ids=str
)
def test_what_is_no_array_of_integers_is_refused(connections, values):
    _, asynchronous = connections
    with pytest.raises(DataError, match=r"\$1") as caught:
        asynchronous.execute(Statement("SELECT $1::int4[]", [values]))
    assert repr(values) not in str(caught.value)


@pytest.mark.parametrize("oid", NUMBERS)
def test_bytes_are_those_of_the_format(oid):
    """Independent of the server: a header of five words, then each number after its length, the first byte first."""
    encode, decode = codec(oid)
    name, _ = wire.NATIVE[oid]
    size = {"int2": 2, "int4": 4, "int8": 8, "float8": 8}[name]
    data = encode([1, 2])
    assert [int.from_bytes(data[n : n + 4], "big") for n in range(0, 20, 4)] == [1, 0, oid, 2, 1]
    assert data[20:24] == size.to_bytes(4, "big")
    assert len(data) == 20 + 2 * (4 + size)
    if name != "float8":
        assert data[24 : 24 + size] == (1).to_bytes(size, "big")
    assert decode(data) == [1, 2]


@pytest.mark.parametrize("oid", NUMBERS)
def test_indexes_that_do_not_begin_at_one(connections, oid):
    _, asynchronous = connections
    name, _ = wire.NATIVE[oid]
    assert asynchronous.execute(Statement(f"SELECT '[0:2]={{1,NULL,3}}'::{name}[]", [])).data[0][0] == [1, None, 3]


# --- moments ----------------------------------------------------------------------------------------------------------

NAIVE = datetime(2024, 2, 29, 23, 59, 59, 999999)
MOMENTS = [
    [],
    [NAIVE],
    [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999998), datetime(1999, 12, 31, 23, 59, 59, 999999)],
    [datetime.max, datetime.min, NAIVE],
    [NAIVE, None],
    [[NAIVE, None], [datetime.max, datetime(2000, 1, 1)]],
]


def with_zone(values, zone):
    return [
        with_zone(value, zone) if isinstance(value, list) else value and value.replace(tzinfo=zone) for value in values
    ]


def texts(values):
    return [
        texts(value)
        if isinstance(value, list)
        else value and {datetime.max: "infinity", datetime.min: "-infinity"}.get(value, value.isoformat(" "))
        for value in values
    ]


@pytest.mark.parametrize("values", MOMENTS, ids=str)
def test_moments_are_what_the_server_reads_of_their_texts(connections, values):
    _, asynchronous = connections
    for name, zone in (("timestamp", None), ("timestamptz", UTC)):
        given = with_zone(values, zone)
        text = Statement(
            f"SELECT $1::{name}[], $1::{name}[]::text = $2::text[]::{name}[]::text", [given, texts(values)]
        )
        assert asynchronous.execute(text).data[0] == (given, True)


def test_a_moment_of_another_zone_is_the_same_moment(connections):
    _, asynchronous = connections
    east = timezone(timedelta(hours=5, minutes=30))
    given = [
        datetime(2024, 5, 1, 3, 0, tzinfo=east),
        datetime.max.replace(tzinfo=east),
        datetime(2024, 5, 1, tzinfo=UTC),
    ]
    back = asynchronous.execute(Statement("SELECT $1::timestamptz[]", [given])).data[0][0]
    assert back == [given[0], datetime.max.replace(tzinfo=UTC), given[2]]
    assert {moment.tzinfo for moment in back} == {UTC}


def test_a_zone_too_much_or_too_little_is_utc_as_it_is_for_one(connections):
    _, asynchronous = connections
    east = timezone(timedelta(hours=2))
    naive, aware = datetime(2024, 5, 1, 12), datetime(2024, 5, 1, 14, tzinfo=east)
    row = asynchronous.execute(Statement("SELECT $1::timestamptz[], $2::timestamp[]", [[naive], [aware]])).data[0]
    assert tuple(row) == ([naive.replace(tzinfo=UTC)], [naive])


def test_moments_that_python_can_not_hold(connections):
    _, asynchronous = connections
    with pytest.raises(DataError, match="year"):
        asynchronous.execute(Statement("SELECT ARRAY['0001-01-01 BC'::timestamp]", []))


@pytest.mark.parametrize("values", [["2024-01-01"], [5], [datetime(2024, 1, 1).date()], 5, "x"], ids=str)
def test_what_is_no_array_of_moments_is_refused(connections, values):
    _, asynchronous = connections
    with pytest.raises(DataError, match=r"\$1"):
        asynchronous.execute(Statement("SELECT $1::timestamptz[]", [values]))
