"""Array literals, written and read; array types over native and text-carried elements."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psqlmodel import types
from psqlmodel.errors import InvalidValueError
from psqlmodel.types import array, array_literal, integer, parse_array, text
from psqlmodel.types.geometry import Box

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("values", "literal"),
    [
        ([], "{}"),
        ([1, -2], "{1,-2}"),
        ([1.5, float("nan"), float("-inf")], "{1.5,nan,-inf}"),
        ([True, False], "{t,f}"),
        ([None], "{NULL}"),
        ([1, None], "{1,NULL}"),
        (["a", None, "NULL", ""], '{"a",NULL,"NULL",""}'),
        (['a"b', "c\\d", "e,f", "{g}"], '{"a\\"b","c\\\\d","e,f","{g}"}'),
        ([b"\x00\xff"], '{"\\\\x00ff"}'),
        ([Decimal("1.50"), Decimal("NaN")], "{1.50,NaN}"),
        ([date(2026, 1, 2)], "{2026-01-02}"),
        ([datetime(2026, 1, 2, 3)], '{"2026-01-02 03:00:00"}'),
        ([timedelta(-1, 5)], '{"-1 days 5 seconds 0 microseconds"}'),
        ([UUID(int=1)], "{00000000-0000-0000-0000-000000000001}"),
        ([[1, 2], [3, None]], "{{1,2},{3,NULL}}"),
        ([[["a"]], [["b"]]], '{{{"a"}},{{"b"}}}'),
        ([[], []], "{}"),
        ((1, 2), "{1,2}"),
    ],
)
def test_literals(values, literal):
    assert array_literal(values) == literal


@pytest.mark.parametrize(
    "values",
    [[[1], 2], [1, [2]], [[1], [2, 3]], [[1], None], [[[1], [2]], [[3], [4, 5]]], ["a\0"], [None, "a\0"]],
)
def test_what_is_no_array_is_refused(values):
    with pytest.raises(InvalidValueError):
        array_literal(values)


def test_what_is_no_wire_value_is_refused():
    with pytest.raises(InvalidValueError, match="object is no wire value"):
        array_literal([object()])


@pytest.mark.parametrize(
    ("literal", "values"),
    [
        ("{}", []),
        ("{ }", []),
        ("{1,NULL,3}", ["1", None, "3"]),
        ('{"NULL",null}', ["NULL", None]),
        ('{"a\\"b","c\\\\d",e}', ['a"b', "c\\d", "e"]),
        ('{"",x}', ["", "x"]),
        ("[0:2]={1,2,3}", ["1", "2", "3"]),
        ("[-1:0][2:3]={{1,2},{3,4}}", [["1", "2"], ["3", "4"]]),
        ('{ "a" , b c }', ["a", "b c"]),
        ('{"line\nbreak"}', ["line\nbreak"]),
        ("{{{1}}}", [[["1"]]]),
    ],
)
def test_parsing(literal, values):
    assert parse_array(literal) == values


@pytest.mark.parametrize("literal", ["", "1,2", "{", "}", "{1", '{"a}', "{{1}", "{1}}", "[0:1]", '{"a"b"}', '{"\\'])
def test_malformed_literals_are_refused(literal):
    with pytest.raises(InvalidValueError, match="no array literal"):
        parse_array(literal)


def test_elements_are_loaded_but_not_null():
    assert parse_array("{1,NULL}", int) == [1, None]
    assert parse_array("{{1},{2}}", int) == [[1], [2]]
    assert parse_array("{(1,1),(0,0);(2,2),(1,1)}", delimiter=";") == ["(1,1),(0,0)", "(2,2),(1,1)"]


def test_spaces_of_python_alone_are_part_of_a_text():
    """PostgreSQL writes them without quotes."""
    assert parse_array("{\x1f}") == ["\x1f"]
    assert parse_array('{"",\x85,\u3000a\xa0}') == ["", "\x85", "\u3000a\xa0"]
    assert parse_array("{ }") == []
    assert parse_array('{ "" , a }') == ["", "a"]


@given(st.lists(st.none() | TEXTS))
def test_any_texts_survive(values):
    assert parse_array(array_literal(values)) == values


@given(st.integers(1, 3), st.integers(1, 3), st.data())
def test_any_two_dimensions_survive(rows, columns, data):
    row = st.lists(st.none() | TEXTS, min_size=columns, max_size=columns)
    values = data.draw(st.lists(row, min_size=rows, max_size=rows))
    assert parse_array(array_literal(values)) == values


@given(st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)))
def test_any_integers_survive(values):
    column = integer.array()
    assert column.load_text(column.dump_text(values)) == values
    assert column.dump(values) == values


@given(st.lists(st.floats()))
def test_any_floats_survive(values):
    column = types.double.array()
    assert repr(column.load_text(column.dump_text(values))) == repr(values)


def test_the_type():
    column = array(types.varchar(40))
    assert column is types.varchar(40).array()
    assert (column.name, column.base, column.cast) == ("varchar(40)[]", "varchar[]", "::varchar[]")
    assert (column.transport, column.oid, column.mutable) == ("text", 1015, True)
    assert column.element is types.varchar(40)
    assert column.array() is column
    assert integer.array().load is None


def test_wire_values():
    assert integer.array().dump((1, None)) == [1, None]
    assert types.numeric.array().dump([[1], [0.5]]) == [[Decimal(1)], [Decimal("0.5")]]
    assert types.jsonb.array().dump([{"a": 1}, [1, [2]], None]) == ['{"a":1}', "[1,[2]]", None]
    assert types.jsonb.array().load(['{"a":1}', None]) == [{"a": 1}, None]
    assert types.inet.array().dump(["10.0.0.1"]) == ["10.0.0.1"]
    assert types.money.array().dump([Decimal("1.5")]) == ["1.5"]
    assert integer.array().dump([[], []]) == []
    assert integer.array().dump(None) is None


def test_a_wire_list_is_not_the_users_list():
    values = [1, 2]
    assert integer.array().dump(values) is not values


def test_columns_travel_as_literals():
    assert text.array().dump_column([["a", 'b"'], None, []]) == ['{"a","b\\""}', None, "{}"]
    assert types.jsonb.array().dump_column([[{"a": "b"}]]) == ['{"{\\"a\\":\\"b\\"}"}']


def test_arrays_of_types_that_are_not_built_in_are_texts_both_ways():
    mood = types.custom("mood").array()
    assert mood.oid == 0
    assert mood.dump(["ok", None]) == '{"ok",NULL}'
    assert mood.load('{ok,NULL,"not so"}') == ["ok", None, "not so"]
    assert mood.load(["ok", None]) == ["ok", None]
    assert types.vector(2).array().dump([[1, 2], [3, 4]]) == '{"[1.0,2.0]","[3.0,4.0]"}'


def test_boxes_are_separated_by_semicolons():
    column = types.box.array()
    boxes = [Box((1, 1), (0, 0)), Box((2, 2), (1, 1))]
    literal = '{"(1.0,1.0),(0.0,0.0)";"(2.0,2.0),(1.0,1.0)"}'
    assert column.dump_text(boxes) == literal
    assert array_literal(column.dump(boxes)) == literal
    assert column.load_text("{(1,1),(0,0);(2,2),(1,1)}") == boxes
    assert array_literal(column.dump([[boxes[0]], [boxes[1]]])).count(";") == 1


@pytest.mark.parametrize("value", ["ab", 5, {1}, {"a": 1}, [True], [2**31], [[1], [2, 3]], [[1], 2]])
def test_refused_by_an_integer_array(value):
    for dump in (integer.array().dump, integer.array().dump_text):
        with pytest.raises(InvalidValueError):
            dump(value)


def test_no_arrays_of_serial_and_of_what_is_no_type():
    with pytest.raises(InvalidValueError, match="no arrays of serial"):
        array(types.serial)
    with pytest.raises(InvalidValueError, match="takes a type"):
        array(int)
