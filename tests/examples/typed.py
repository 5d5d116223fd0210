"""What type checkers see of models as types, and what they reject: a mark that is not needed is an error too.

Checked; never run.
"""

from __future__ import annotations

from typing import Annotated, Any, assert_type

from fastapi import FastAPI
from pydantic import BaseModel

from psqlmodel import AsyncEngine, AsyncSession, Column, Engine, PSQLModel, Relation, Session, table
from psqlmodel.fastapi import Create, Database, Read, Shape, Update, error_handlers, found


@table("typed_teams")
class Team(PSQLModel):
    """Who belongs together."""

    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    heroes: Relation[list[Hero]] = Relation()


@table("typed_heroes")
class Hero(PSQLModel):
    """Who it is about."""

    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    team_id: Column[int | None] = Column(foreign_key="typed_teams.id")
    team: Relation[Team | None] = Relation()


NewTeam = Annotated[Team, Shape("create", relations=[Team.heroes], exclude=["id", Team.name])]
database = Database("embedded", models=[Hero, Team], session_options={"strict": True}, max_pool_size=3)
app = FastAPI(lifespan=database.lifespan, exception_handlers=error_handlers())
Sessions = Annotated[Session, database.session]
AsyncSessions = Annotated[AsyncSession, database.async_transaction]


MODELS = [Hero, Team]  # of which mypy makes a list of their metaclass
several = Database(models=MODELS)


def lent(engine: Engine, async_engine: AsyncEngine) -> None:
    """Engines of a test."""
    with database.using(engine, async_engine):
        assert_type(database.async_engine, AsyncEngine)


class Party(BaseModel):
    """A model as a field."""

    host: Hero
    guests: list[Create[Hero]] = []
    shown: Read[Team] | None = None
    patch: Update[Hero]


def bodies(new: Create[Hero], nested: NewTeam, patch: Update[Hero], session: Sessions, party: Party) -> Read[Hero]:
    """The values behind the types are objects."""
    assert_type(new, Hero)
    assert_type(new.name, str)
    assert_type(nested.heroes, list[Hero])
    assert_type(patch["name"], Any)
    assert_type(patch.model, type[Hero])
    assert_type(session, Session)
    assert_type(party.guests, list[Hero])
    hero = found(session.get(Hero, 1))
    assert_type(hero, Hero)
    assert_type(hero.update_from(patch), Hero)
    return hero.update_from({"name": "Ada"})


async def asynchronous(session: AsyncSessions) -> None:
    """The same, awaited."""
    assert_type(session, AsyncSession)
    assert_type(found(await session.get(Team, 1), "no such team"), Team)


def methods(hero: Hero) -> None:
    """What a model has for outside data."""
    assert_type(Hero.validate({"name": "Ada"}), Hero)
    assert_type(Team.validate(b"{}", relations=[Team.heroes]), Team)
    assert_type(hero.model_dump(mode="json", include={"name"}), dict[str, Any])
    assert_type(hero.model_dump_json(indent=2), str)
    assert_type(database.engine, Engine)
    assert_type(database.async_engine, AsyncEngine)


def wrong(new: Create[Hero], patch: Update[Hero]) -> None:
    """What is rejected."""
    assert new.nam  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    new.name = 3  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    patch["name"] = "x"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    Hero.validate(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    new.model_dump(mode="xml")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Shape("write")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
