"""Objects as dictionaries and JSON: what is loaded, and never a query."""

from __future__ import annotations

import dataclasses
import json
import pprint
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticSerializationError

from psqlmodel import NotLoadedError, Select
from psqlmodel.pydantic import Create, Read, Shape, Update
from psqlmodel.pydantic.choosing import pruned
from tests.database.both import Both

from .models import City, Hero, Kinds, Power, Team

COLUMNS = {"id", "name", "secret", "mood", "age", "level", "made", "upper", "version", "team_id", "mentor_id"}


async def filled(both: Both) -> None:
    """Two heroes in a team in a city; the first is the mentor of the second; both have one power."""
    logic = Power(name="logic")
    ada = Hero(name="Ada", powers=[logic])
    bob = Hero(name="Bob", powers=[logic], mentor=ada)
    async with both.session() as session:
        await session.add(Team(name="Four", city=City(name="Paris"), heroes=[ada, bob]))
        await session.commit()
    both.statements.clear()


async def test_what_is_not_loaded_is_left_out(both: Both) -> None:
    await filled(both)
    async with both.session() as session:
        hero = await session.exec(Select(Hero).Where(Hero.name == "Ada")).one()
        both.statements.clear()
        assert set(hero.model_dump()) == COLUMNS
        assert json.loads(hero.model_dump_json()).keys() == COLUMNS
        assert set(TypeAdapter(Hero).dump_python(hero)) == COLUMNS
        assert both.statements == []


async def test_loaded_relations_are_shown_and_the_way_back_is_not(both: Both) -> None:
    await filled(both)
    async with both.session() as session:
        query = Select(Team).Include(Team.city).Include(Team.heroes.Include(Hero.powers).Include(Hero.mentor))
        team = await session.exec(query).one()
        both.statements.clear()
        shown = team.model_dump(mode="json")
        assert both.statements == []
    assert (shown["name"], shown["city"]) == ("Four", {"id": 1, "name": "Paris"})
    ada, bob = shown["heroes"]
    assert "team" not in ada
    assert [power["name"] for power in ada["powers"]] == ["logic"]
    assert "heroes" not in ada["powers"][0]
    assert ada["mentor"] is None
    assert bob["mentor"]["name"] == "Ada"


async def test_a_circle_ends_where_it_closes(both: Both) -> None:
    await filled(both)
    async with both.session() as session:
        bob = await session.exec(Select(Hero).Where(Hero.name == "Bob").Include(Hero.team, Hero.mentor)).one()
        await session.load(bob.mentor, Hero.team)
        await session.load(bob.team, Team.heroes)
        both.statements.clear()
        shown = bob.model_dump()
        assert both.statements == []
    assert "heroes" not in shown["team"]  # the way back
    # From the mentor's team on, the mentor's way back is another one, and Bob himself is left out.
    assert shown["mentor"]["team"]["name"] == "Four"


def test_an_object_that_is_its_own_is_left_out() -> None:
    hero = Hero(name="Ada")
    hero.mentor = hero
    assert "mentor" not in hero.model_dump()
    one, two, three = Hero(name="One"), Hero(name="Two"), Hero(name="Six")
    one.mentor, two.mentor, three.mentor = two, three, one
    shown = one.model_dump()
    assert shown["mentor"]["mentor"]["name"] == "Six"
    assert "mentor" not in shown["mentor"]["mentor"]


async def test_strict_names_what_is_not_loaded(both: Both) -> None:
    await filled(both)
    async with both.session() as session:
        hero = await session.exec(Select(Hero).Where(Hero.name == "Ada").Include(Hero.team)).one()
        with pytest.raises(NotLoadedError, match=r"Hero\.powers is not loaded.*\.Include\(Hero\.powers\)"):
            hero.model_dump(strict=True, exclude={"team"})
        with pytest.raises(NotLoadedError, match=r"Team\.city is not loaded"):
            hero.model_dump(strict=True)
        found = hero.model_dump(strict=True, exclude={"powers": ..., "mentor": True, "pupils": True, "team": {"city"}})
        assert set(found["team"]) == {"id", "name", "city_id"}
        assert set(hero.model_dump(strict=True, include={"team": {"name"}})) == {"team"}
        found = hero.model_dump(strict=True, exclude={"powers", "mentor", "pupils", "team"})
        assert set(found) == COLUMNS
        assert set(hero.model_dump(strict=True, include={"id"})) == {"id"}
    async with both.session(strict=True) as session:
        hero = await session.exec(Select(Hero).Where(Hero.name == "Ada")).one()
        with pytest.raises(NotLoadedError, match=r"Hero\.team is not loaded"):
            hero.model_dump()
        with pytest.raises(PydanticSerializationError, match=r"Hero\.team is not loaded"):
            TypeAdapter(Hero).dump_json(hero)
        assert set(TypeAdapter(Read[Hero]).dump_python(hero)) == COLUMNS


async def test_a_relation_that_the_shape_names_must_be_loaded(both: Both) -> None:
    await filled(both)
    adapter = TypeAdapter(Annotated[Team, Shape("read", relations=[Team.heroes.Include(Hero.powers)])])
    async with both.session() as session:
        team = await session.exec(Select(Team)).one()
        with pytest.raises(PydanticSerializationError, match=r"Team\.heroes is not loaded"):
            adapter.dump_python(team)
        await session.load(team, Team.heroes.Include(Hero.powers), Team.city)
        both.statements.clear()
        shown = adapter.dump_python(team)
        assert both.statements == []
    assert set(shown) == {"id", "name", "city_id", "heroes"}
    assert set(shown["heroes"][0]) == COLUMNS | {"powers"}


async def test_a_closed_session_shows_what_it_loaded(both: Both) -> None:
    await filled(both)
    async with both.session() as session:
        team = await session.exec(Select(Team).Include(Team.heroes)).one()
    assert [hero["name"] for hero in team.model_dump()["heroes"]] == ["Ada", "Bob"]


def test_a_new_object_shows_what_was_set() -> None:
    assert Hero(name="Ada").model_dump() == {"name": "Ada", "mood": Hero(name="x").mood, "level": 1, "version": 1}
    shown = TypeAdapter(Annotated[Team, Shape("read", relations=[Team.heroes, Team.city])]).dump_python(Team(name="x"))
    assert shown == {"name": "x", "heroes": [], "city": None}


# --- options ----------------------------------------------------------------------------------------------------------


def test_include_exclude_and_none() -> None:
    team = Team(name="x", city_id=None, heroes=[Hero(name="Ada", age=None)])
    assert team.model_dump(include={"name", "city_id"}) == {"name": "x", "city_id": None}
    assert team.model_dump(include={"heroes": {"__all__": {"name"}}}) == {"heroes": [{"name": "Ada"}]}
    exclude = {"name": True, "heroes": {"__all__": {"mood", "level", "version"}}}
    assert team.model_dump(exclude=exclude, exclude_none=True) == {"heroes": [{"name": "Ada"}]}
    assert team.model_dump_json(include={"name"}, indent=1) == '{\n "name": "x"\n}'


def test_what_is_shown_is_a_copy() -> None:
    kinds = Kinds(settings={"a": [1]}, tags=["x"])
    shown = kinds.model_dump()
    shown["settings"]["a"].append(2)
    shown["tags"].append("y")
    assert (kinds.settings, kinds.tags) == ({"a": [1]}, ["x"])


async def test_showing_is_no_change(both: Both) -> None:
    """Values that can be edited in place are not handed out: nothing is watched, nothing written."""
    async with both.session() as session:
        await session.add(Kinds(settings={"a": 1}, tags=["x"]))
        await session.commit()
    async with both.session() as session:
        kinds = await session.exec(Select(Kinds)).one()
        assert kinds.model_dump(include={"settings", "tags"}) == {"settings": {"a": 1}, "tags": ["x"]}
        both.statements.clear()
        await session.commit()
        assert both.statements.of("flush") == []


def test_infinity_has_a_name_in_json() -> None:
    assert Kinds(share=float("inf")).model_dump_json() == '{"share":"Infinity"}'
    assert Kinds.validate('{"share": null}').share is None


def test_a_model_within_other_models() -> None:
    class Party(BaseModel):
        host: Hero
        place: City | Team
        patch: Update[Hero]

    party = Party(host=Hero(name="Ada"), place=Team(name="x"), patch={"age": 3})  # type: ignore[arg-type]
    shown: Any = party.model_dump(exclude={"host": {"mood"}})
    assert shown == {
        "host": {"name": "Ada", "level": 1, "version": 1},
        "place": {"name": "x"},
        "patch": {"age": 3},
    }
    assert json.loads(party.model_dump_json())["place"] == {"name": "x"}


def test_a_value_of_unknown_type_is_shown_by_its_columns() -> None:
    assert TypeAdapter(Any).dump_python(Team(name="x", heroes=[])) == {"name": "x"}
    assert TypeAdapter(Create[Team]).dump_python(Team(name="x")) == {"name": "x"}


def test_what_is_no_object_of_the_class_is_told() -> None:
    with pytest.warns(UserWarning, match="Expected a Hero, not a Team"):
        TypeAdapter(Hero).dump_python(Team(name="x"))  # type: ignore[arg-type]


# --- the dataclass protocol -------------------------------------------------------------------------------------------


async def test_an_object_is_a_dataclass_of_its_loaded_columns(both: Both) -> None:
    await filled(both)
    assert dataclasses.is_dataclass(Hero)
    assert {field.name for field in dataclasses.fields(Hero)} == COLUMNS
    async with both.session() as session:
        hero = await session.exec(Select(Hero).Where(Hero.name == "Ada").Include(Hero.team)).one()
        both.statements.clear()
        assert dataclasses.asdict(hero) == hero.to_dict()
        assert both.statements == []
    assert pprint.pformat(Team(name="x")) == "Team(name='x')"


def test_a_class_without_a_table_is_none() -> None:
    from psqlmodel import PSQLModel

    assert not dataclasses.is_dataclass(PSQLModel)


# --- as Pydantic does it ----------------------------------------------------------------------------------------------

CHOICES: list[Any] = [
    None,
    {"name"},
    {"name", "heroes"},
    {"name": True, "heroes": True},
    {"name": False, "city_id": True},
    {"heroes": {"__all__": {"name"}}},
    {"heroes": {0: {"name"}, -1: {"age": True}}},
    {"heroes": {0}},
    {"heroes": {-1: ...}},
    {"heroes": {"__all__": {"name": True}, 1: True}, "name": ...},
    {"heroes": {2: {"settings": {"a": {"b"}}}}},
]


@pytest.mark.parametrize("include", CHOICES)
@pytest.mark.parametrize("exclude", CHOICES)
def test_choosing_is_what_pydantic_does_with_its_own_models(include: Any, exclude: Any) -> None:
    data = {
        "name": "x",
        "city_id": 1,
        "heroes": [
            {"name": "Ada", "age": 1},
            {"name": "Bob", "age": 2},
            {"name": "Cem", "settings": {"a": {"b": 1, "c": 2}, "d": 3}},
        ],
    }

    class Own(BaseModel):
        team: Any

    expected = Own(team=data).model_dump(
        include=None if include is None else {"team": include}, exclude=None if exclude is None else {"team": exclude}
    )
    assert pruned(data, include, exclude) == expected.get("team", {})


def test_what_is_chosen_from_outside_counts() -> None:
    class Party(BaseModel):
        guests: list[Hero]

    team = Team(name="x", heroes=[Hero(name="Ada"), Hero(name="Bob")])
    party = Party(guests=team.heroes)
    assert party.model_dump(include={"guests": {1: {"name"}}}) == {"guests": [{"name": "Bob"}]}
    shown = TypeAdapter(Team).dump_python(team, include={"heroes": {0: {"name"}}})
    assert shown == {"heroes": [{"name": "Ada"}]}
    assert TypeAdapter(Team).dump_json(team, exclude={"heroes": ...}) == b'{"name":"x"}'
