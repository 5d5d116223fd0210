"""Models as JSON schema: what a column allows is what its schema says. No database."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from decimal import Decimal
from ipaddress import IPv4Interface, IPv4Network, IPv6Address
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from psqlmodel import Column, ConfigurationError, Multirange, NotMappedError, PSQLModel, Range, table, types
from psqlmodel.pydantic import Create, Read, Shape, Update
from psqlmodel.types import array

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


# --- every type -------------------------------------------------------------------------------------------------------

TYPES = [getattr(types, name) for name in types.__all__ if isinstance(getattr(types, name), types.PgType)]


@pytest.mark.parametrize("pg_type", TYPES, ids=str)
def test_every_type_has_a_schema(pg_type: Any) -> None:
    """Where the annotation is the PostgreSQL type itself, and in arrays."""
    length = (3,) if pg_type.name == "vector" else ()
    columns: dict[str, Any] = {"one": Column(type=pg_type(*length) if length else pg_type, nullable=True)}
    if not pg_type.serial:
        columns["many"] = Column(type=array(columns["one"].type), nullable=True)
    made: Any = type(PSQLModel)("Made", (PSQLModel,), {"id": Column(type=types.integer, primary_key=True), **columns})
    model = table("pyd_every_type")(made)
    for mode in ("validation", "serialization"):
        assert schema(Read[model], mode)["properties"].keys() >= columns.keys()
    made = model.validate({"id": 1, "one": None})
    assert json.loads(made.model_dump_json()) == {"id": 1, "one": None}


@pytest.mark.parametrize(
    ("pg_type", "outside", "inside"),
    [
        (types.inet, "10.0.0.1/8", IPv4Interface("10.0.0.1/8")),
        (types.inet, "::1", IPv6Address("::1")),
        (types.cidr, "10.0.0.0/8", IPv4Network("10.0.0.0/8")),
        (types.macaddr, "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
        (types.hstore, {"a": "b", "c": None}, {"a": "b", "c": None}),
        (types.vector(2), [1.5, 2], [1.5, 2.0]),
        (types.daterange, "[2024-01-01,)", Range(date(2024, 1, 1), None)),
        (types.datemultirange, "{[2024-01-01,2024-02-01)}", Multirange([Range(date(2024, 1, 1), date(2024, 2, 1))])),
        (types.array(types.bytea), ["AA==", None], [b"\0", None]),
        (types.array(types.int4range), ["[1,2)", None], [Range(1, 2), None]),
        (types.array(types.numeric(4, 1)), ["1.5"], [Decimal("1.5")]),
        (types.varbit(3), "101", "101"),
        (types.jsonb, {"a": [1, None]}, {"a": [1, None]}),
        (types.time, "12:30:00", time(12, 30)),
    ],
    ids=str,
)
def test_types_without_an_annotation(pg_type: Any, outside: Any, inside: Any) -> None:
    made: Any = type(PSQLModel)("Made", (PSQLModel,), {"value": Column(type=pg_type)})
    model = table("pyd_without_annotation")(made)
    found = model.validate(json.dumps({"value": outside}))
    assert found.value == inside
    assert json.loads(found.model_dump_json())["value"] == outside


def test_columns_of_mixins_and_bases() -> None:
    class Dated:
        made: Column[datetime | None]

    class Base(PSQLModel):
        id: Column[int] = Column(primary_key=True)
        note: Column[Annotated[str, Field(pattern="^a")] | None]

    @table("pyd_inherited")
    class Inherited(Dated, Base):
        tags: Column[list[str]] = Column(default_factory=list)

    assert one(Inherited, "made") == {"type": "string", "format": "date-time"}
    assert one(Inherited, "note") == {"type": "string", "pattern": "^a"}
    assert one(Inherited, "tags") == {"type": "array", "items": {"type": "string"}}
    assert schema(Create[Inherited]).get("required") is None
