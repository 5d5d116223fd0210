"""t-strings as SQL: the real ones where Python has them, look-alikes before; no database."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from psqlmodel import SQL, Column, InvalidValueError, Max, PSQLModel, QueryError, Relation, Select, Text, table
from tests.tstrings import t


@table("template_people")
class Person(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    pets: Relation[list[Pet]]


@table("template_pets")
class Pet(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    person_id: Column[int] = Column(foreign_key="template_people.id")


HOSTILE = "x'; DROP TABLE people; -- {name} $1 %s"


def written(source: str, **names: Any) -> tuple[str, list[Any]]:
    return SQL(t(source, **names)).statement()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="t-strings came with Python 3.14")
def test_these_are_real_ones() -> None:
    from string.templatelib import Template  # type: ignore[import-not-found,unused-ignore]

    assert type(t("a {b}", b=1)) is Template


def test_values_are_parameters() -> None:
    assert written("SELECT {a}, {b + 1}, {a}", a=HOSTILE, b=1) == ("SELECT $1, $2, $3", [HOSTILE, 2, HOSTILE])
    assert written("SELECT {a}{b}", a=None, b=[1, 2]) == ("SELECT $1$2", [None, [1, 2]])
    assert written("SELECT 1") == ("SELECT 1", [])
    assert written("") == ("", [])


def test_what_looks_like_a_place_and_is_none() -> None:
    assert written("SELECT '{{}}' || '%s' || '{{a}}' || {a}", a=1) == ("SELECT '{}' || '%s' || '{a}' || $1", [1])


def test_what_stands_for_its_sql() -> None:
    text, args = written(
        "SELECT * FROM {Person} WHERE {Person.name} = {name} AND id = {last}",
        Person=Person,
        name=HOSTILE,
        last=Select(Max(Person.id)).Where(Person.id < 9),
    )
    assert text.startswith('SELECT * FROM "template_people" WHERE "template_people"."name" = $1 AND id = (SELECT max(')
    assert args == [HOSTILE, 9]


def test_one_inside_another_is_a_piece_of_its_sql() -> None:
    condition = t("name = {name}", name=HOSTILE)
    both = t("{condition} AND id > {low}", condition=condition, low=3)
    assert written("SELECT * FROM people WHERE {both} LIMIT {n}", both=both, n=1) == (
        "SELECT * FROM people WHERE name = $1 AND id > $2 LIMIT $3",
        [HOSTILE, 3, 1],
    )
    assert written("{a} UNION {b}", a=t("SELECT 1"), b=SQL("SELECT {x}", x=2)) == ("SELECT 1 UNION SELECT $1", [2])
    assert SQL("SELECT 1 WHERE {c}", c=t("{x} = 1", x=5)).statement() == ("SELECT 1 WHERE $1 = 1", [5])


def test_deep_ones() -> None:
    piece = t("{n}", n=0)
    for n in range(1, 100):
        piece = t("{piece}, {n}", piece=piece, n=n)
    text, args = SQL(t("SELECT {piece}", piece=piece)).statement()
    assert text.endswith(", $100")
    assert args == list(range(100))


@pytest.mark.parametrize("place", ["{a!r}", "{a!s}", "{a!a}", "{a:>10}", "{a!r:>10}"])
def test_a_value_is_neither_converted_nor_formatted(place: str) -> None:
    with pytest.raises(QueryError, match=r"^\{a\}: a value in SQL takes no conversion and no format$"):
        written(f"SELECT {place}", a="secret")
    with pytest.raises(QueryError, match="takes no conversion"):
        written("SELECT {inner}", inner=t(place, a=1))


def test_names_with_values_are_not_for_them() -> None:
    with pytest.raises(QueryError, match="has its values inside"):
        SQL(t("SELECT {a}", a=1), b=2)
    with pytest.raises(QueryError, match="has its values inside"):
        Text(t("{a} = 1", a=1), 2)


def test_a_row_is_no_value() -> None:
    with pytest.raises(QueryError, match=r"^a Person is a row, not a value: give one of its columns, or its class$"):
        written("SELECT * FROM pets WHERE person_id = {owner}", owner=Person(id=1, name="secret"))
    with pytest.raises(InvalidValueError):
        written("SELECT {thing}", thing=object())


def test_into_a_model() -> None:
    query = SQL(t("SELECT * FROM people WHERE name = {n}", n=HOSTILE)).Into(Person).Where(Person.id > 3)
    text, args = query.to_sql_params()
    assert 'FROM (SELECT * FROM people WHERE name = $1) AS "template_people"' in text
    assert list(args) == [HOSTILE, 3]
    with pytest.raises(QueryError, match="Into takes what reads"):
        SQL(t("DELETE FROM people WHERE id = {n}", n=1)).Into(Person)


def test_the_end_of_a_statement() -> None:
    for end in (";", " ;\n", ";; "):
        assert SQL(t("SELECT {n}" + end, n=1)).statement() == ("SELECT $1", [1])
    assert SQL("SELECT ';'").statement() == ("SELECT ';'", [])
    assert SQL("SELECT {no}x", no=SQL("NOT ")).statement()[0] == "SELECT NOT x"
    assert "\n) AS" in str(SQL("SELECT * FROM people -- all of them").Into(Person))
    assert "people) AS" in str(SQL("-- all of them\nSELECT * FROM people").Into(Person))


def test_a_piece_of_a_query_of_the_builder() -> None:
    near = Text(t("levenshtein({Person.name}, {name}) < 3", Person=Person, name=HOSTILE))
    text, args = Select(Person.id).Where(near & (Person.id > 1)).to_sql_params()
    assert 'levenshtein("template_people"."name", $1::text) < 3' in text
    assert list(args) == [HOSTILE, 1]
    assert "7 % 2 = 1" in str(Select(Person.id).Where(Text(t("7 % 2 = 1"))))
    assert "id % 2 = $1" in str(Select(Person.id).Where(Text(t("id % 2 = {one}", one=1))))
    assert Select(Text(t("{data}", data={"a": 1}))).to_sql_params()[1]  # one dictionary is a value, no names
    with pytest.raises(QueryError, match="must not contain ';'"):
        Text(t("{a} = 1; DROP TABLE people", a=1))
