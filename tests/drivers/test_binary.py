"""Arrays of numbers in binary, as our codecs write and read them: the server says the same as of asyncpg's own."""

from __future__ import annotations

import math

import pytest

from psqlmodel.drivers import wire
from psqlmodel.drivers.binary import NUMBERS, codec
from psqlmodel.errors import DataError
from psqlmodel.steps import Statement

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
    "values", [5, "12", {1: 2}, ["x"], [object()], [[1], [2, 3]], [1, [2]], [[1], 2], [1.5]], ids=str
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
