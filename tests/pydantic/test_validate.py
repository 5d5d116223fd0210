"""Outside data becomes objects: validated once, by what the columns allow; and then it can be stored."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from psqlmodel import Engine, Point, Range, Select, Session, create_engine
from psqlmodel.pydantic import Create, Shape
from tests.database.both import Both

from .models import City, Hero, Kinds, Mood, Power, Rank, Team

KINDS: dict[str, tuple[Any, Any]] = {  # what JSON brings, and what it becomes
    "schema": ("x", "x"),
    "model_config": ("y", "y"),
    "short": ("abcde", "abcde"),
    "picked": ("it's two", "it's two"),
    "literal": ("a", "a"),
    "even": (4, 4),
    "small": (-32768, -32768),
    "big": (2**63 - 1, 2**63 - 1),
    "share": (0.5, 0.5),
    "amount": ("-9999.99", Decimal("-9999.99")),
    "whole": (7, Decimal(7)),
    "yes": (True, True),
    "data": ("/+8=", b"\xff\xef"),
    "key": ("12345678-1234-5678-1234-567812345678", UUID("12345678-1234-5678-1234-567812345678")),
    "day": ("2024-02-29", date(2024, 2, 29)),
    "at": ("12:30:00", time(12, 30)),
    "moment": ("2024-02-29T12:30:00Z", datetime(2024, 2, 29, 12, 30, tzinfo=UTC)),
    "local": ("2024-02-29T12:30:00", datetime(2024, 2, 29, 12, 30)),
    "lasting": ("P1DT2H", timedelta(days=1, hours=2)),
    "mood": ("bad", Mood.BAD),
    "rank": (2, Rank.HIGH),
    "anything": ([1, {"a": None}], [1, {"a": None}]),
    "settings": ({"a": [1]}, {"a": [1]}),
    "tags": (["a", "ü"], ["a", "ü"]),
    "marks": ([1, 2], [1, 2]),
    "address": ("10.0.0.1", IPv4Address("10.0.0.1")),
    "span": ("[1,5)", Range(1, 5)),
    "spans": (["[1,5)", "empty"], [Range(1, 5), Range(empty=True)]),
    "spot": ("(1.5,2.0)", Point(1.5, 2)),
}


def errors_of(model: Any, data: Any) -> list[tuple[str, str]]:
    """Return place and type of each error that the data has."""
    with pytest.raises(ValidationError) as caught:
        model.validate(data)
    return [(".".join(map(str, error["loc"])), error["type"]) for error in caught.value.errors()]


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [False, True])
def test_every_kind_of_value_is_read(as_json: bool) -> None:
    data = {key: outside for key, (outside, _) in KINDS.items()}
    kinds = Kinds.validate(json.dumps(data) if as_json else data)
    assert {key: getattr(kinds, key) for key in KINDS} == {key: inside for key, (_, inside) in KINDS.items()}


def test_values_of_python_are_taken_as_they_are() -> None:
    inside = {key: value for key, (_, value) in KINDS.items()}
    kinds = Kinds.validate(inside)
    assert {key: getattr(kinds, key) for key in KINDS} == inside


async def test_every_kind_comes_back_as_it_was(both: Both) -> None:
    data = {key: outside for key, (outside, _) in KINDS.items()}
    async with both.session() as session:
        await session.add(Kinds.validate(data))
        await session.commit()
    async with both.session() as session:
        kinds = await session.exec(Select(Kinds)).one()
        dumped = kinds.model_dump(mode="json", exclude={"id"})
        assert dumped == {**data, "whole": "7"}
        assert Kinds.validate({**dumped, "id": kinds.id}).model_dump() == kinds.model_dump()


@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        ("short", "abcdef", "string_too_long"),
        ("short", "a\0", "value_error"),
        ("short", "\ud800", "string_unicode"),
        ("picked", "two", "literal_error"),
        ("even", 3, "multiple_of"),
        ("small", 32768, "less_than_equal"),
        ("big", 2**63, "less_than_equal"),
        ("share", 1.01, "less_than_equal"),
        ("amount", "1.234", "decimal_max_places"),
        ("amount", "10000", "decimal_whole_digits"),
        ("amount", "NaN", "finite_number"),
        ("data", "?", "value_error"),
        ("moment", "2024-02-29T12:30:00", "timezone_aware"),
        ("local", "2024-02-29T12:30:00Z", "timezone_naive"),
        ("at", "12:30:00Z", "value_error"),
        ("mood", "ugly", "enum"),
        ("anything", {"a": "\0"}, "value_error"),
        ("anything", object(), "invalid-json-value"),
        ("settings", {"a": float("nan")}, "value_error"),
        ("tags", ["a", "\0"], "value_error"),
        ("address", "10.0.0.256", "ip_v4_address"),
        ("span", "[5,1)", "value_error"),
        ("span", 3, "value_error"),
        ("spot", "(1)", "value_error"),
    ],
)
def test_a_value_that_the_column_can_not_hold(column: str, value: Any, error: str) -> None:
    found = errors_of(Kinds, {column: value})
    assert {place.partition(".")[0] for place, _ in found} == {column}
    assert error in {kind for _, kind in found}


def test_all_errors_are_told_at_once_with_their_places() -> None:
    data = {"name": "A", "age": -1, "mood": "x", "level": None, "nam": 1, "upper": "B", "version": 3}
    assert errors_of(Hero, data) == [
        ("name", "string_too_short"),
        ("mood", "enum"),
        ("age", "greater_than_equal"),
        ("level", "int_type"),
        ("nam", "extra_forbidden"),
        ("upper", "extra_forbidden"),
        ("version", "extra_forbidden"),
    ]


def test_an_error_names_the_class() -> None:
    with pytest.raises(ValidationError, match="1 validation error for Hero\nname"):
        Hero.validate({})


# --- objects ----------------------------------------------------------------------------------------------------------


def test_what_is_not_set_is_left_to_the_defaults() -> None:
    hero = Hero.validate({"name": "Ada"})
    assert hero.mood is Mood.GOOD
    assert hero.to_dict() == Hero(name="Ada").to_dict()
    assert "made" not in hero.to_dict()  # the database makes it
    assert "age" in Hero.validate({"name": "Ada", "age": None}).to_dict()


async def test_a_new_object_is_inserted_with_what_was_set(both: Both) -> None:
    async with both.session() as session:
        hero = Hero.validate('{"name": "Ada", "age": 36}')
        await session.add(hero)
        await session.commit()
        assert (hero.id, hero.upper, hero.version) == (1, "ADA", 1)
        (insert,) = both.statements.of("flush")
        assert '"secret"' not in insert.partition("RETURNING")[0]


def test_an_object_is_taken_as_it_is() -> None:
    wrong = Hero(name="x" * 99, age=-1)  # as a row of the database may be
    assert Hero.validate(wrong) is wrong
    assert TypeAdapter(list[Hero]).validate_python([wrong])[0] is wrong
    assert TypeAdapter(Create[Hero]).validate_python(wrong) is wrong


def test_an_object_of_another_class_is_refused() -> None:
    assert errors_of(Hero, Team(name="x")) == [("", "model_class")]
    assert errors_of(Hero, [("name", "Ada")]) == [("", "dict_type")]


def test_a_key_is_taken_where_the_shape_has_one() -> None:
    assert Hero.validate({"id": 3, "name": "Ada"}).id == 3
    with pytest.raises(ValidationError, match="extra_forbidden"):
        TypeAdapter(Create[Hero]).validate_python({"id": 3, "name": "Ada"})


def test_a_model_is_a_field_of_other_models() -> None:
    class Party(BaseModel):
        host: Hero
        guests: list[Create[Hero]] = []
        place: City | Team | None = None

    party = Party.model_validate_json('{"host": {"name": "Ada"}, "guests": [{"name": "Bob"}], "place": {"name": "x"}}')
    assert isinstance(party.host, Hero)
    assert [guest.name for guest in party.guests] == ["Bob"]
    assert isinstance(party.place, City)
    with pytest.raises(ValidationError, match=r"guests\.0\.name"):
        Party.model_validate({"host": {"name": "Ada"}, "guests": [{"name": "B"}]})


# --- relations --------------------------------------------------------------------------------------------------------


def test_relations_come_only_where_they_are_named() -> None:
    assert errors_of(Team, {"name": "x", "heroes": []}) == [("heroes", "extra_forbidden")]


async def test_related_objects_are_validated_linked_and_inserted(both: Both) -> None:
    data = {
        "name": "Four",
        "heroes": [{"name": "Ada", "powers": [{"name": "logic"}]}, {"name": "Bob"}],
        "city": {"name": "Paris"},
    }
    team = Team.validate(data, relations=[Team.heroes.Include(Hero.powers), Team.city])
    assert [(type(hero), hero.team) for hero in team.heroes] == [(Hero, team), (Hero, team)]
    async with both.session() as session:
        await session.add(team)
        await session.commit()
    assert both.column('SELECT name FROM "pyd_heroes" WHERE team_id = %s ORDER BY 1', team.id) == ["Ada", "Bob"]
    assert both.value("SELECT count(*) FROM pyd_teams JOIN pyd_cities c ON c.id = city_id WHERE c.name = 'Paris'") == 1
    assert both.value("SELECT count(*) FROM pyd_powers") == 1


def test_errors_in_related_objects_have_their_places() -> None:
    with pytest.raises(ValidationError) as caught:
        Team.validate({"name": "x", "heroes": [{"name": "Ada"}, {"name": "B", "team_id": 3}]}, relations=[Team.heroes])
    assert [error["loc"] for error in caught.value.errors()] == [("heroes", 1, "name"), ("heroes", 1, "team_id")]


def test_a_related_object_may_be_an_object() -> None:
    power = Power(name="logic")
    hero = Hero.validate({"name": "Ada", "powers": [power]}, relations=[Hero.powers])
    assert hero.powers[0] is power


def test_a_key_may_be_missing_where_the_object_comes() -> None:
    shape = Annotated[Hero, Shape("create", relations=[Hero.team])]
    hero = TypeAdapter(shape).validate_python({"name": "Ada", "team": {"name": "x"}})
    assert hero.team is not None
    assert hero.team.name == "x"


async def test_a_new_object_without_related_ones_has_empty_relations(both: Both) -> None:
    """Its answer may show them, whatever the data had: they are loaded, also after the commit."""
    shape = Shape("create", relations=[Team.heroes.Include(Hero.powers), Team.city])
    validated = TypeAdapter(Annotated[Team, shape]).validate_python
    teams = [validated({"name": "Four"}), validated({"name": "Five", "heroes": [{"name": "Ada"}]})]
    async with both.session() as session:
        await session.add_all(teams)
        await session.commit()
    shown = TypeAdapter(Annotated[Team, Shape("read", relations=[Team.heroes.Include(Hero.powers)])]).dump_python
    assert shown(teams[0])["heroes"] == []
    assert [hero["powers"] for hero in shown(teams[1])["heroes"]] == [[]]
    four, five = validated({"name": "x"}), validated({"name": "y"})
    assert four.heroes is not five.heroes


async def test_a_key_of_a_new_object_counts_where_the_data_bring_no_parent(both: Both) -> None:
    async with both.session() as session:
        await session.add(Team(name="Four"))
        await session.flush()
        shape = Annotated[Hero, Shape("create", relations=[Hero.team, Hero.powers])]
        key = (await session.exec(Select(Team)).one()).id
        hero = TypeAdapter(shape).validate_python({"name": "Ada", "team_id": key})
        await session.add(hero)
        await session.flush()
        assert hero.team_id == key
        await session.rollback()


# --- what validates can be stored -------------------------------------------------------------------------------------

_texts = st.text(max_size=8)
_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.decimals().filter(lambda value: not value.is_snan()),  # which Python itself can't look up
    _texts,
    st.binary(max_size=4),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.dates(),
    st.timedeltas(),
    st.lists(st.one_of(_texts, st.integers(), st.none()), max_size=3),
    st.dictionaries(_texts, st.one_of(_texts, st.floats(), st.none()), max_size=3),
    st.sampled_from([outside for outside, _ in KINDS.values() if not isinstance(outside, dict | list)]),
)


@pytest.fixture(scope="module")
def engine(heroes_dsn: str) -> Iterator[Engine]:
    with create_engine(heroes_dsn) as engine:
        yield engine


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(st.sampled_from(sorted(KINDS)), _values, min_size=1, max_size=3))
def test_what_validates_can_be_stored(engine: Engine, data: dict[str, Any]) -> None:
    """Except an `int` that the model does not say the width of: the database's type decides."""
    try:
        kinds = Kinds.validate(data)
    except ValidationError:
        return
    if any(abs(getattr(kinds, key) or 0) >= 2**31 for key in ("even", "rank")):
        return
    with Session(engine) as session:
        session.add(kinds)
        session.flush()
        session.refresh(kinds)
        kinds.model_dump_json()
        session.rollback()


# --- without Pydantic -------------------------------------------------------------------------------------------------


def test_without_pydantic_models_work_and_say_what_is_missing() -> None:
    program = """
import dataclasses, sys
sys.modules["pydantic"] = None
from psqlmodel import Column, ConfigurationError, PSQLModel, table
@table("lonely")
class Lonely(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
lonely = Lonely(name="x").update_from({"name": "y"})
assert dataclasses.asdict(lonely) == {"name": "y"}
for use in (lonely.model_dump, lonely.model_dump_json, lambda: Lonely.validate({})):
    try:
        use()
    except ConfigurationError as error:
        print(error)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (found.stderr, found.returncode) == ("", 0)
    assert found.stdout.splitlines() == ["this needs Pydantic: pip install 'psqlmodel[pydantic]'"] * 3
