"""Models with all that outside data can meet: constraints, defaults, every kind of type, relations of every kind."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from psqlmodel import Check, Column, Point, PSQLModel, Range, Relation, table
from psqlmodel.types import array, bigint, int8range, numeric, serial, smallint, timestamp, varchar
from psqlmodel.types import enum as enum_type


class Mood(enum.Enum):
    """As text."""

    GOOD = "good"
    BAD = "bad"


class Rank(enum.IntEnum):
    """As a number."""

    LOW = 1
    HIGH = 2


@table("pyd_cities")
class City(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str] = Column(max_len=30, unique=True)
    teams: Relation[list[Team]] = Relation()


@table("pyd_teams", comment="Those who act together.")
class Team(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str] = Column(max_len=20, unique=True)
    city_id: Column[int | None] = Column(foreign_key="pyd_cities.id")
    city: Relation[City | None] = Relation()
    heroes: Relation[list[Hero]] = Relation(order_by="name")


@table("pyd_heroes", constraints=[Check("age >= 0 AND age < 1000", name="pyd_age"), Check("level < 100 OR age > 3")])
class Hero(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str] = Column(max_len=40, check="length(name) >= 2", comment="as known to the press")
    secret: Column[str | None]
    mood: Column[Mood] = Column(default=Mood.GOOD)
    age: Column[int | None]
    level: Column[int] = Column(type=smallint, default=1)
    made: Column[datetime] = Column(server_default="now()")
    upper: Column[str | None] = Column(generated="upper(name)")
    version: Column[int] = Column(version=True)
    team_id: Column[int | None] = Column(foreign_key="pyd_teams.id")
    team: Relation[Team | None] = Relation()
    powers: Relation[list[Power]] = Relation(secondary="auto")
    mentor_id: Column[int | None] = Column(foreign_key="pyd_heroes.id")
    mentor: Relation[Hero | None] = Relation(foreign_keys="mentor_id")
    pupils: Relation[list[Hero]] = Relation(foreign_keys="mentor_id", back="mentor")


@table("pyd_powers")
class Power(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    heroes: Relation[list[Hero]] = Relation(secondary="auto")


@table("pyd_kinds")
class Kinds(PSQLModel):
    """One column of each kind; the names are such that Pydantic's own classes would not take them."""

    id: serial = Column(primary_key=True)
    schema: Column[str | None]
    model_config: Column[str | None]
    short: varchar | None = Column(max_len=5)
    picked: Column[str | None] = Column(check="picked IN ('one', 'it''s two')")
    literal: Column[Literal["a", "b"] | None]
    even: Column[Annotated[int, Field(multiple_of=2)] | None]
    small: Column[int | None] = Column(type=smallint)
    big: Column[int | None] = Column(type=bigint)
    share: Column[float | None] = Column(check="share BETWEEN 0 AND 1")
    amount: Column[Decimal | None] = Column(type=numeric(6, 2))
    whole: Column[Decimal | None] = Column(type=numeric(3))
    yes: Column[bool | None]
    data: Column[bytes | None]
    key: Column[UUID | None]
    day: Column[date | None]
    at: Column[time | None]
    moment: Column[datetime | None]
    local: Column[datetime | None] = Column(type=timestamp)
    lasting: Column[timedelta | None]
    mood: Column[Mood | None] = Column(type=enum_type(Mood, name="pyd_mood"))
    rank: Column[Rank | None]
    anything: Column[Any] = Column(nullable=True)
    settings: Column[dict[str, Any] | None]
    tags: Column[list[str] | None]
    marks: Column[list[int] | None] = Column(type=array(smallint))
    address: Column[IPv4Address | None]
    span: Column[Range[int] | None]
    spans: Column[list[Range[int]] | None] = Column(type=array(int8range))
    spot: Column[Point | None]


MODELS = [City, Team, Hero, Power, Kinds]
