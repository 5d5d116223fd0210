"""Models as JSON schema: what a column allows is what its schema says. No database."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter

from psqlmodel import Column, ConfigurationError, NotMappedError, PSQLModel
from psqlmodel.pydantic import Create, Read, Shape, Update

from .models import City, Hero, Kinds, Team


def schema(annotation: Any, mode: Any = "validation") -> dict[str, Any]:
    return TypeAdapter(annotation).json_schema(mode=mode)


def one(annotation: Any, column: str) -> Any:
    """Return the schema of a column, of a nullable one what it is beside null, without its title."""
    found = dict(schema(annotation)["properties"][column])
    found.pop("title", None)
    if "anyOf" in found and {"type": "null"} in found["anyOf"]:
        rest = [part for part in found["anyOf"] if part != {"type": "null"}]
        return rest[0] if len(rest) == 1 else rest
    return found


# --- columns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("name", {"type": "string", "maxLength": 40, "minLength": 2, "description": "as known to the press"}),
        ("age", {"type": "integer", "minimum": 0, "exclusiveMaximum": 1000}),
        ("level", {"type": "integer", "minimum": -32768, "maximum": 32767, "default": 1}),
        ("mood", {"$ref": "#/$defs/Mood", "default": "good"}),
        ("made", {"type": "string", "format": "date-time"}),
    ],
)
def test_constraints_of_columns(column: str, expected: dict[str, Any]) -> None:
    assert one(Hero, column) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("schema", {"type": "string"}),
        ("short", {"type": "string", "maxLength": 5}),
        ("picked", {"enum": ["one", "it's two"], "type": "string"}),
        ("literal", {"enum": ["a", "b"], "type": "string"}),
        ("even", {"type": "integer", "multipleOf": 2}),
        ("big", {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}),
        ("share", {"type": "number", "minimum": 0, "maximum": 1}),
        (
            "amount",
            [
                {"type": "number", "minimum": -9999.99, "maximum": 9999.99},
                {"type": "string", "pattern": r"^-?0*\d{0,4}(\.\d{0,2}0*)?$"},
            ],
        ),
        (
            "whole",
            [
                {"type": "number", "minimum": -999, "maximum": 999},
                {"type": "string", "pattern": r"^-?0*\d{0,3}(\.0*)?$"},
            ],
        ),
        ("data", {"type": "string", "contentEncoding": "base64"}),
        ("key", {"type": "string", "format": "uuid"}),
        ("lasting", {"type": "string", "format": "duration"}),
        ("mood", {"$ref": "#/$defs/Mood"}),
        ("rank", {"$ref": "#/$defs/Rank"}),
        ("settings", {"type": "object", "additionalProperties": True}),
        ("tags", {"type": "array", "items": {"type": "string"}}),
        ("address", {"type": "string", "format": "ipv4"}),
        ("span", {"type": "string", "description": "int4range, as PostgreSQL writes it"}),
        ("spot", {"type": "string", "description": "point, as PostgreSQL writes it"}),
    ],
)
def test_kinds_of_columns(column: str, expected: Any) -> None:
    assert one(Kinds, column) == expected


def test_null_is_allowed_where_the_column_allows_it() -> None:
    properties = schema(Hero)["properties"]
    assert {key for key, each in properties.items() if {"type": "null"} in each.get("anyOf", ())} == {
        *("secret", "age", "team_id", "mentor_id")
    }


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_what_each_shape_takes_and_needs() -> None:
    columns = {"name", "secret", "mood", "age", "level", "made", "team_id", "mentor_id"}
    assert set(schema(Hero)["properties"]) == columns | {"id"}
    assert set(schema(Create[Hero])["properties"]) == columns
    assert set(schema(Update[Hero])["properties"]) == columns
    assert [schema(each).get("required") for each in (Hero, Create[Hero], Update[Hero])] == [["name"], ["name"], None]
    assert "default" not in schema(Update[Hero])["properties"]["level"]
    assert {schema(each)["additionalProperties"] for each in (Hero, Create[Hero], Update[Hero])} == {False}


def test_what_each_shape_shows() -> None:
    columns = ["id", "name", "secret", "mood", "age", "level", "made", "upper", "version", "team_id", "mentor_id"]
    read = schema(Read[Hero], "serialization")
    assert (list(read["properties"]), read["required"]) == (columns, columns)
    whole = schema(Hero, "serialization")["$defs"]["Hero"]
    assert whole["required"] == columns
    assert set(whole["properties"]) - set(columns) == {"team", "powers", "mentor", "pupils"}
    assert whole["properties"]["pupils"]["items"] == {"$ref": "#/$defs/Hero"}


def test_names() -> None:
    shapes = [Hero, Create[Hero], Update[Hero], Annotated[Hero, Shape("create", exclude=["secret"], name="NewHero")]]
    assert [schema(each)["title"] for each in shapes] == ["HeroInput", "HeroCreate", "HeroUpdate", "NewHero"]
    assert schema(Read[Hero], "serialization")["title"] == "HeroRead"
    assert schema(Team, "serialization")["$defs"]["Team"]["description"] == "Those who act together."


def test_a_shape_of_ones_own() -> None:
    chosen = Annotated[Hero, Shape(include=[Hero.id, "version", Hero.name], exclude=["id"])]
    assert list(schema(chosen)["properties"]) == ["name", "version"]
    assert list(schema(chosen, "serialization")["properties"]) == ["name", "version"]
    changed = Annotated[Update[Hero], Shape(exclude=[Hero.secret], name="HeroChanges")]
    assert schema(changed)["title"] == "HeroChanges"
    assert "secret" not in schema(changed)["properties"]


def test_relations_of_a_shape() -> None:
    shape = Shape("read", relations=[Team.heroes, Team.city.Include(City.teams)], name="TeamWithAll")
    shown = schema(Annotated[Team, shape], "serialization")
    assert shown["required"] == ["id", "name", "city_id", "heroes", "city"]
    assert shown["properties"]["heroes"]["items"] == {"$ref": "#/$defs/HeroRead"}
    assert shown["$defs"]["CityWithTeams"]["required"] == ["id", "name", "teams"]
    taken = schema(Annotated[Team, Shape("create", relations=[Team.heroes])])
    assert taken["required"] == ["name"]
    assert "team_id" not in taken["$defs"]["TeamHeroesCreate"]["properties"]


def test_two_shapes_that_say_the_same_are_one() -> None:
    one, other = Shape(exclude=[Hero.name], relations=[Hero.team]), Shape(exclude=["name"], relations=[Hero.team])
    assert one == other
    assert hash(one) == hash(other)
    assert one != Shape(exclude=["name"])
    assert one != "a shape"


def test_a_model_as_a_field() -> None:
    class Party(BaseModel):
        heroes: list[Hero]
        host: Team | None = None

    found = Party.model_json_schema()
    assert found["properties"]["heroes"]["items"] == {"$ref": "#/$defs/HeroInput"}
    assert found["required"] == ["heroes"]


# --- what can't be ----------------------------------------------------------------------------------------------------


def test_what_is_no_shape_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not for 'write'"):
        Shape("write")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"Hero names 'nam', which is no column of it; did you mean 'name'\?"):
        schema(Annotated[Hero, Shape(exclude=["nam"])])
    with pytest.raises(ConfigurationError, match="columns by name or attribute"):
        hash(Shape(include=[3]))
    with pytest.raises(ConfigurationError, match="relations as attributes"):
        hash(Shape(relations=["team"]))  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="beside a model class"):
        schema(Annotated[int, Shape()])
    with pytest.raises(ConfigurationError, match="Update\\[Hero\\]"):
        schema(Annotated[Hero, Shape("update")])
    with pytest.raises(ConfigurationError, match="changes columns"):
        schema(Annotated[Update[Hero], Shape(relations=[Hero.team])])
    with pytest.raises(ConfigurationError, match="needs the class"):
        schema(Update)


def test_a_class_without_a_table_is_refused() -> None:
    class Plain(PSQLModel):
        id: Column[int]

    with pytest.raises(NotMappedError, match="@table"):
        schema(Plain)
