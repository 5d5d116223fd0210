"""From annotations to guesses, from the catalog to types, and from a guess to what the column really is."""

from __future__ import annotations

import ast
import typing
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict
from uuid import UUID

import pytest

from psqlmodel import types
from psqlmodel.errors import MappingError
from psqlmodel.types import (
    Multirange,
    PgType,
    Point,
    Range,
    as_text,
    by_oid,
    from_annotation,
    from_catalog,
    loader,
    resolve,
)


class Mood(Enum):
    OK = "ok"
    SAD = "sad"


class Level(IntEnum):
    LOW = 1


class Document(TypedDict):
    a: int


Key = NewType("Key", int)

GUESSES = [
    (int, "integer"),
    (str, "text"),
    (float, "double precision"),
    (bool, "boolean"),
    (Decimal, "numeric"),
    (bytes, "bytea"),
    (date, "date"),
    (time, "time"),
    (datetime, "timestamptz"),
    (timedelta, "interval"),
    (UUID, "uuid"),
    (dict, "jsonb"),
    (list, "jsonb"),
    (dict[str, Any], "jsonb"),
    (Mapping[str, int], "jsonb"),
    (Document, "jsonb"),
    (Any, "jsonb"),
    (list[dict[str, Any]], "jsonb"),
    (list[Any], "jsonb"),
    (list[Document], "jsonb"),
    (list[int], "integer[]"),
    (Sequence[str], "text[]"),
    (list[list[float]], "double precision[]"),
    (list[int | None], "integer[]"),
    (int | None, "integer"),
    (Optional[str], "text"),  # noqa: UP045
    (Mood, "text"),
    (Level, "integer"),
    (list[Mood], "text[]"),
    (Literal["a", "b"], "text"),
    (Key, "integer"),
    (Annotated[int, "note"], "integer"),
    (IPv4Address, "inet"),
    (IPv4Address | types.inet.python, "inet"),
    (IPv6Network, "cidr"),
    (Point, "point"),
    (Range[int], "int4range"),
    (Range[Decimal], "numrange"),
    (Range[date], "daterange"),
    (Range[datetime], "tstzrange"),
    (Multirange[int], "int4multirange"),
]


@pytest.mark.parametrize(("annotation", "name"), GUESSES)
def test_annotations_are_guesses(annotation, name):
    found = from_annotation(annotation)
    assert found.name == name
    assert found.guess
    assert found is from_annotation(annotation)


def test_types_are_no_guesses():
    assert from_annotation(types.bigint) is types.bigint
    assert not types.bigint.guess
    assert from_annotation(Annotated[int, types.bigint]) is types.bigint
    assert from_annotation(list[types.bigint]) is types.bigint.array()


@pytest.mark.parametrize(
    "annotation",
    [object, set, set[int], int | str, Range[str], complex, "int", Literal["a", 1], tuple[int, str]],
)
def test_annotations_that_say_no_type(annotation):
    if annotation is object:
        assert from_annotation(annotation).name == "jsonb"
        return
    with pytest.raises(MappingError, match=r"say it with Column\(type=...\)|no PostgreSQL type"):
        from_annotation(annotation)


def test_by_oid():
    assert by_oid(23) is types.integer
    assert by_oid(1007) is types.integer.array()
    assert by_oid(3802) is types.jsonb
    assert by_oid(1043) is types.varchar
    assert by_oid(1042).name == "bpchar"
    assert by_oid(1560).dump("101") == "101"
    assert by_oid(999_999) is None


def test_from_catalog():
    assert from_catalog("int8", "pg_catalog", 20) is types.bigint
    assert from_catalog("_int8", "pg_catalog", 1016, element=types.bigint) is types.bigint.array()
    mood = from_catalog("mood", "app", 50001, kind="e", labels=("ok", "sad"))
    assert (mood.name, mood.cast, mood.labels, mood.oid) == (
        '"app"."mood"',
        '::"app"."mood"',
        ("ok", "sad"),
        0,
    )
    assert mood is from_catalog("mood", "app", 50001, kind="e", labels=("ok", "sad"))
    year = from_catalog("year", "public", 50002, kind="d", base=types.integer)
    assert (year.name, year.transport, year.cast, year.dump(5)) == ('"public"."year"', "int4", "", 5)
    short = from_catalog("short", "public", 50003, kind="d", base=types.varchar(3))
    assert (short.transport, short.cast, short.base) == ("text", "", '"public"."short"')
    moods = from_catalog("_mood", "app", 50004, element=mood)
    assert (moods.name, moods.cast) == ('"app"."mood"[]', '::"app"."mood"[]')
    assert moods.load("{ok}") == ["ok"]
    assert from_catalog("floatrange", "public", 50005, kind="r", element=types.double).load("[1,2)") == Range(1.0, 2.0)
    assert from_catalog("fm", "public", 50006, kind="m", element=types.double).load("{[1,2)}") == Multirange(
        [Range(1.0, 2.0)]
    )
    hstore = from_catalog("hstore", "ext", 50007)
    assert (hstore.cast, hstore.load('"a"=>NULL')) == ('::"ext"."hstore"', {"a": None})
    pair = from_catalog("pair", "public", 50008, kind="c")
    assert (pair.dump("(1,2)"), pair.cast) == ("(1,2)", '::"public"."pair"')


def test_the_database_wins():
    guess = from_annotation
    assert resolve(guess(int), types.bigint) is types.bigint
    assert resolve(guess(int), types.integer) is types.integer
    assert resolve(guess(datetime), types.timestamp) is types.timestamp
    assert resolve(guess(dict), types.json) is types.json
    assert resolve(guess(dict), types.hstore) is types.hstore
    assert resolve(guess(list[int]), types.smallint.array()) is types.smallint.array()
    assert resolve(guess(list[str]), types.jsonb) is types.jsonb
    assert resolve(guess(str), types.varchar) is types.varchar
    assert resolve(guess(str), types.date) is types.date
    assert resolve(types.integer, types.bigint) is types.bigint
    assert resolve(types.serial, types.integer) is types.integer


def test_a_length_that_the_model_knows_is_kept():
    assert resolve(types.varchar(40), types.varchar) is types.varchar(40)


def test_enums_stay_enums():
    actual = from_catalog("mood", "app", 50001, kind="e")
    found = resolve(from_annotation(Mood), actual)
    assert found is resolve(from_annotation(Mood), actual)
    assert (found.cast, found.dump(Mood.OK), found.load("sad")) == ('::"app"."mood"', "ok", Mood.SAD)
    assert not found.guess
    assert resolve(types.enum(Mood), types.varchar).cast == ""
    assert resolve(types.enum(Mood), types.varchar).load("ok") is Mood.OK
    domain = from_catalog("level", "app", 50009, kind="d", base=types.smallint)
    assert resolve(from_annotation(Level), domain).load(1) is Level.LOW
    assert resolve(from_annotation(Level), domain).transport == "int2"
    several = resolve(from_annotation(list[Mood]), actual.array())
    assert several.load("{ok,sad}") == [Mood.OK, Mood.SAD]
    assert several.cast == '::"app"."mood"[]'


def test_texts_stay_texts():
    for actual, value in ((types.inet, "10.0.0.1"), (types.jsonb, '{"a": 1}'), (types.hstore, '"a"=>NULL')):
        found = resolve(from_annotation(str), actual)
        assert found is as_text(actual)
        assert (found.python, found.load, found.cast) == (str, None, actual.cast)
        assert (found.lazy, found.mutable) == (False, False)
        assert found.dump(value) == value
        assert found.dump_column([value, None]) == [value, None]
    texts = resolve(from_annotation(list[str]), types.inet.array())
    assert texts.load is None
    assert texts.dump(["10.0.0.1"]) == ["10.0.0.1"]


def test_loaders():
    guess = from_annotation
    assert loader(guess(int), 20) is None
    assert loader(None, 25) is None
    assert loader(None, 3802)('{"a":1}') == {"a": 1}
    assert loader(None, 999_999) is None
    assert loader(guess(str), 869) is None
    assert loader(guess(dict), 114)('{"a":1}') == {"a": 1}
    assert loader(guess(Mood), 999_999)("ok") is Mood.OK
    assert loader(guess(Mood), 1043)("ok") is Mood.OK
    assert loader(guess(int), 999_999) is None
    assert loader(guess(str), 999_999) is None
    assert loader(guess(list[Mood]), 999_999)("{ok}") == [Mood.OK]
    assert loader(guess(list[str]), 999_999)("{a,b}") == ["a", "b"]
    assert loader(guess(dict), 999_999)('"a"=>NULL') == {"a": None}
    assert loader(guess(dict), 999_999)('{"a":1}') == {"a": 1}
    assert loader(types.hstore, 999_999)('"a"=>"b"') == {"a": "b"}
    assert loader(types.tstzrange, 3910)('["2026-01-01 00:00:00+00",)') == Range(datetime(2026, 1, 1, tzinfo=UTC))


def test_guesses_convert_as_the_type_does():
    assert from_annotation(list[int]).dump([1]) == [1]
    assert from_annotation(int).as_guess() is from_annotation(int)
    assert types.integer.as_guess() is from_annotation(int)


def test_type_checkers_see_the_names_that_are_there():
    here = FilePath(types.__file__).parent
    spelled = {
        node.name
        for node in ast.parse((here / "spelling.py").read_text()).body
        if isinstance(node, ast.ClassDef) and node.name != "_Spelled"
    }
    there = {key for key in types.__all__ if isinstance(getattr(types, key), PgType)}
    assert spelled == there


def test_type_checkers_see_the_python_types_that_are_there():
    here = FilePath(types.__file__).parent
    for node in ast.parse((here / "spelling.py").read_text()).body:
        if not isinstance(node, ast.ClassDef) or node.name == "_Spelled":
            continue
        said = ast.unparse(node.bases[0].slice).split(" | ")[0].split("[")[0].split(".")[-1]
        python = getattr(types, node.name).python
        names = {
            "Any": "object",
            "Date": "date",
            "DateTime": "datetime",
            "Time": "time",
            "Delta": "timedelta",
        }
        assert names.get(said, said) == python.__name__, node.name


def test_everything_in_all_is_there():
    assert len(set(types.__all__)) == len(types.__all__)
    assert all(hasattr(types, key) for key in types.__all__)
    assert typing.get_type_hints(type("M", (), {"__annotations__": {"a": "types.varchar | None"}}), globals())
