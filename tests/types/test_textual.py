"""Types that travel as text: JSON, enums, networks, geometry, bits, hstore, vector, and custom ones."""

from __future__ import annotations

import copy
import math
import pickle
from datetime import datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import ip_address, ip_interface, ip_network
from uuid import uuid4

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psqlmodel import types
from psqlmodel.errors import InvalidValueError, MappingError, QueryError
from psqlmodel.types import Box, Circle, Line, LineSegment, Path, Point, Polygon

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


class Mood(Enum):
    OK = "ok"
    NOT_SO = 'not "so", really'
    FINE = "ok"  # noqa: PIE796  # an alias


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


# --- JSON ---------------------------------------------------------------------------------------------------


@given(JSONS.filter(lambda value: value is not None))
def test_json_survives(value):
    assert types.jsonb.load(types.jsonb.dump(value)) == value


def test_json_is_written_short_and_readable():
    assert types.jsonb.dump({"a": [1, "é😀"], "b": None}) == '{"a":[1,"é😀"],"b":null}'
    assert types.json.dump_column([{"a": 1}, None, []]) == ['{"a":1}', None, "[]"]
    assert (types.jsonb.lazy, types.jsonb.mutable, types.jsonb.cast) == (True, True, "::jsonb")


CYCLE: list = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": math.nan}, "NaN or an infinity"),
        ([math.inf], "NaN or an infinity"),
        ({"a": "secret\0"}, "NUL"),
        ({"secret\0": 1}, "NUL"),
        ("\\\0", "NUL"),
        ("secret\ud800", "surrogate"),
        (CYCLE, "contains itself"),
        ({"a": [Decimal(1)]}, r"can't hold a decimal\.Decimal"),
        ([datetime(2026, 1, 1)], r"can't hold a datetime\.datetime"),
        ({1, 2}, "can't hold a set"),
        ({(1, 2): 3}, "can't hold a tuple"),
        (b"secret", "can't hold a bytes"),
    ],
)
def test_what_is_no_json_is_refused(value, words):
    with pytest.raises(InvalidValueError, match=words) as caught:
        types.jsonb.dump(value)
    assert "secret" not in str(caught.value)


def test_json_nested_too_deeply_is_refused():
    value: list = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidValueError, match="nested too deeply"):
        types.jsonb.dump(value)


def test_a_backslash_before_u0000_is_no_nul():
    assert types.jsonb.load(types.jsonb.dump("\\u0000")) == "\\u0000"
    assert types.jsonb.load(types.jsonb.dump("\\\\u0000")) == "\\\\u0000"


# --- enums --------------------------------------------------------------------------------------------------


def test_native_enum():
    mood = types.enum(Mood, name="mood", schema="App")
    assert mood is types.enum(Mood, name="mood", schema="App")
    assert (mood.name, mood.cast) == ('"App"."mood"', '::"App"."mood"')
    assert mood.labels == ("ok", 'not "so", really')
    assert (mood.type_name, mood.schema, mood.python) == ("mood", "App", Mood)
    assert mood.dump(Mood.NOT_SO) == Mood.NOT_SO.value
    assert mood.load("ok") is Mood.OK
    assert mood.dump_column([Mood.OK, None]) == ["ok", None]
    assert mood.dump("ok") == "ok"
    assert mood.dump(None) is None


def test_the_name_of_a_native_enum_follows_from_the_class():
    assert types.enum(Mood).name == '"mood"'

    class HTTPState(Enum):
        A = "a"

    assert types.enum(HTTPState).type_name == "http_state"


def test_plain_enums():
    assert types.enum(Mood, native=False).name == "text"
    level = types.enum(Level, native=False)
    assert (level.name, level.transport) == ("integer", "int4")
    assert level.dump(Level.HIGH) == 2
    assert type(level.dump(Level.HIGH)) is int
    assert level.load(2) is Level.HIGH
    assert level.dump_column([Level.LOW, None, 2]) == [1, None, 2]
    assert type(types.enum(Colour, native=False).dump(Colour.RED)) is str


def test_arrays_of_enums():
    column = types.enum(Mood).array()
    assert column.dump([Mood.OK, None, Mood.NOT_SO]) == '{"ok",NULL,"not \\"so\\", really"}'
    assert column.load('{ok,NULL,"not \\"so\\", really"}') == [Mood.OK, None, Mood.NOT_SO]
    plain = types.enum(Level, native=False).array()
    assert plain.dump([Level.LOW, None]) == [1, None]
    assert plain.load([1, None]) == [Level.LOW, None]
    assert plain.dump_text([Level.LOW]) == "{1}"


def test_what_is_no_member_is_refused():
    mood = types.enum(Mood)
    with pytest.raises(InvalidValueError, match="the str is no value of Mood"):
        mood.dump("secret")
    with pytest.raises(InvalidValueError, match="takes members of Mood, not of"):
        mood.dump(Colour.RED)
    with pytest.raises(InvalidValueError, match="Mood does not name: add it"):
        mood.load("secret")


def test_classes_that_can_be_no_enum_type():
    class Mixed(Enum):
        A = "a"
        B = 2

    class Long(Enum):
        A = "é" * 32

    class Empty(Enum):
        pass

    for cls, native in (
        (Mixed, False),
        (Mixed, True),
        (Level, True),
        (Long, True),
        (Empty, True),
        (str, True),
    ):
        with pytest.raises(MappingError):
            types.enum(cls, native=native)


# --- networks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pg_type", "value", "wire"),
    [
        (types.inet, ip_address("10.0.0.1"), "10.0.0.1"),
        (types.inet, ip_address("::1"), "::1"),
        (types.inet, ip_interface("10.0.0.1/24"), "10.0.0.1/24"),
        (types.cidr, ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        (types.cidr, ip_network("2001:db8::/32"), "2001:db8::/32"),
    ],
)
def test_addresses(pg_type, value, wire):
    assert pg_type.dump(value) == wire == pg_type.dump(wire)
    assert pg_type.load(wire) == value
    assert type(pg_type.load(wire)) is type(value)


def test_mac_addresses_are_normalised():
    assert types.macaddr.dump("08-00-2B-01-02-03") == "08:00:2b:01:02:03"
    assert types.macaddr.dump("0800.2b01.0203") == "08:00:2b:01:02:03"
    assert types.macaddr8.dump("08002b0102030405") == "08:00:2b:01:02:03:04:05"
    assert types.macaddr.load is None


@pytest.mark.parametrize(
    ("pg_type", "value"),
    [
        (types.inet, "secret"),
        (types.inet, 5),
        (types.inet, ip_network("10.0.0.0/8")),
        (types.inet, ip_address("fe80::1%eth0")),
        (types.cidr, "10.0.0.1/8"),
        (types.cidr, ip_address("10.0.0.1")),
        (types.macaddr, "08:00:2b:01:02"),
        (types.macaddr, 5),
        (types.macaddr8, "08:00:2b:01:02:03"),
    ],
)
def test_what_is_no_address_is_refused(pg_type, value):
    with pytest.raises(InvalidValueError) as caught:
        pg_type.dump(value)
    assert "secret" not in str(caught.value)


# --- geometry -----------------------------------------------------------------------------------------------

SHAPES = [
    (types.point, Point(1.5, -2), "(1.5,-2)"),
    (types.point, Point(math.inf, 1e300), "(Infinity,1e+300)"),
    (types.line, Line(1, 2, 3), "{1,2,3}"),
    (types.lseg, LineSegment((0, 0), (1, 1)), "[(0,0),(1,1)]"),
    (types.box, Box((0, 5), (5, 0)), "(5,5),(0,0)"),
    (types.path, Path([(0, 0), (1, 1)]), "((0,0),(1,1))"),
    (types.path, Path([(0, 0), (1, 1)], closed=False), "[(0,0),(1,1)]"),
    (types.polygon, Polygon([(0, 0), (1, 0), (1, 1)]), "((0,0),(1,0),(1,1))"),
    (types.circle, Circle((1, 2), 3), "<(1,2),3>"),
]


@pytest.mark.parametrize(("pg_type", "value", "text"), SHAPES)
def test_shapes(pg_type, value, text):
    assert pg_type.load(text) == value
    assert pg_type.load(pg_type.dump(value)) == value
    assert pickle.loads(pickle.dumps(value)) == value == copy.deepcopy(value)
    assert hash(value) == hash(copy.copy(value))
    assert pg_type.dump(None) is None


def test_shapes_of_other_kinds_are_never_equal():
    assert Box((1, 1), (0, 0)) != LineSegment((1, 1), (0, 0))
    assert Path([(0, 0)]) != Path([(0, 0)], closed=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Point("1", 2),
        lambda: Point(True, 2),
        lambda: Line(0, 0, 1),
        lambda: LineSegment((1,), (1, 2)),
        lambda: Path([]),
        lambda: Polygon([1]),
        lambda: Circle((0, 0), -1),
        lambda: types.point.dump((1, 2)),
        lambda: types.point.load("(1)"),
        lambda: types.line.load("{1,2}"),
        lambda: types.path.load("((1,2),(3))"),
        lambda: types.polygon.load("()"),
        lambda: types.circle.load("<(1,x),2>"),
    ],
)
def test_what_is_no_shape_is_refused(make):
    with pytest.raises(InvalidValueError):
        make()


# --- bits, search, xml, log positions -----------------------------------------------------------------------


def test_bit_strings():
    assert types.bit(3).dump("101") == "101"
    assert types.varbit(3).dump("1") == "1"
    assert types.varbit.dump("") == ""
    # A cast to bit(3) or to bit would cut or fill without a word; varbit is assigned with a check.
    assert types.bit(3).cast == types.varbit.cast == "::varbit"
    assert types.bit(3).array().cast == "::varbit[]"
    for pg_type, value in (
        (types.bit(3), "10"),
        (types.varbit(3), "1010"),
        (types.varbit, "102"),
        (types.bit(2), 2),
    ):
        with pytest.raises(InvalidValueError):
            pg_type.dump(value)
    with pytest.raises(InvalidValueError):
        types.bit(0)


def test_texts_of_their_own_form():
    assert types.tsvector.dump("'a':1 'b':2") == "'a':1 'b':2"
    assert types.xml.cast == "::xml"
    assert types.pg_lsn.dump("0016/b374d848") == "16/B374D848"
    for pg_type, value in (
        (types.tsquery, 1),
        (types.xml, "\0"),
        (types.pg_lsn, "16"),
        (types.pg_lsn, "x/y"),
    ):
        with pytest.raises(InvalidValueError):
            pg_type.dump(value)


def test_custom_types_are_texts_with_quoted_names():
    area = types.custom('geo"metry', schema="gis")
    assert area is types.custom('geo"metry', schema="gis")
    assert (area.name, area.cast) == ('"gis"."geo""metry"', '::"gis"."geo""metry"')
    assert area.dump("POINT(1 1)") == "POINT(1 1)"
    assert area.load is None
    values = ["a", None]
    assert area.dump_column(values) is values
    with pytest.raises(InvalidValueError):
        area.dump_column(["a\0"])
    with pytest.raises(QueryError):
        types.custom("")


# --- extensions ---------------------------------------------------------------------------------------------


@given(st.dictionaries(TEXTS, st.none() | TEXTS))
def test_hstore_survives(value):
    assert types.hstore.load(types.hstore.dump(value)) == value


def test_hstore_as_postgresql_writes_it():
    assert types.hstore.load('"a"=>"1", "b\\"c"=>NULL, "d"=>"NULL"') == {"a": "1", 'b"c': None, "d": "NULL"}
    assert types.hstore.load("") == {}
    assert (types.hstore.mutable, types.hstore.extension) == (True, "hstore")
    with pytest.raises(InvalidValueError, match="no hstore literal"):
        types.hstore.load("a")


@pytest.mark.parametrize("value", [[("a", "b")], {"a": 1}, {1: "a"}, {None: "a"}, {"a": "secret\0"}])
def test_refused_by_hstore(value):
    with pytest.raises(InvalidValueError) as caught:
        types.hstore.dump(value)
    assert "secret" not in str(caught.value)


def test_vectors():
    assert types.vector(3).name == "vector(3)"
    assert types.vector(3).cast == "::vector"
    assert types.vector(3).dump([1, 2.5, -0.0]) == "[1.0,2.5,-0.0]"
    assert types.vector.dump(numpy.array([1, 2], dtype="float32")) == "[1.0,2.0]"
    assert types.vector.load("[1,2.5]") == [1.0, 2.5]
    assert types.vector(2).dump(None) is None
    assert types.vector(2).dump_column([[1, 2], None]) == ["[1.0,2.0]", None]


@pytest.mark.parametrize("value", [[1, 2], [1, 2, math.nan], [1, 2, True], [1, 2, "3"], "[1,2,3]", {1, 2, 3}])
def test_refused_by_vector(value):
    with pytest.raises(InvalidValueError):
        types.vector(3).dump(value)


def test_uuid_is_not_text():
    with pytest.raises(InvalidValueError, match=r"text takes a str, not uuid\.UUID"):
        types.text.dump(uuid4())
