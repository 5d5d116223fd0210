"""A web application that has each way to be wrong, in synchronous and in asynchronous routes. A uvicorn runs it."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from threading import Event
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException

from psqlmodel import (
    AsyncSession,
    Column,
    PSQLModel,
    Relation,
    Select,
    Session,
    SessionManager,
    Unique,
    table,
)
from psqlmodel.fastapi import Create, Database, Read, Shape, Update, error_handlers, found

warnings.simplefilter("error")


@table("web_teams")
class Team(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str] = Column(max_len=20)
    heroes: Relation[list[Hero]] = Relation()


@table("web_heroes", constraints=[Unique("rank", deferrable=True, initially_deferred=True)])
class Hero(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str] = Column(max_len=20, name="hero_name", unique=True)
    secret: Column[str | None]
    age: Column[int | None] = Column(check="age % 2 = 0")
    rank: Column[int | None]
    version: Column[int] = Column(version=True)
    team_id: Column[int | None] = Column(foreign_key="web_teams.id")
    team: Relation[Team | None] = Relation()


database = Database(models=[Team, Hero], max_pool_size=2)
narrow = Database(max_pool_size=1, pool_timeout=0.1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    async with database.lifespan(app), narrow.lifespan(app):
        yield


app = FastAPI(lifespan=lifespan, exception_handlers=error_handlers())

Sync = Annotated[Session, database.session]
SyncTransaction = Annotated[Session, database.transaction]
Async = Annotated[AsyncSession, database.async_session]
AsyncTransaction = Annotated[AsyncSession, database.async_transaction]

# --- models as types: the body, lists, nothing, answers ---------------------------------------------------------------


@app.post("/sync/heroes")
def sync_create(hero: Hero, session: Sync) -> Hero:
    session.add(hero)
    session.commit()
    return hero


@app.post("/async/heroes")
async def async_create(hero: Hero, session: Async) -> Hero:
    await session.add(hero)
    await session.commit()
    return hero


@app.post("/sync/many")
def sync_many(heroes: list[Create[Hero]], session: SyncTransaction) -> list[Read[Hero]]:
    session.add_all(heroes)
    session.flush()
    return heroes


@app.post("/async/many")
async def async_many(heroes: list[Create[Hero]], session: AsyncTransaction) -> list[Read[Hero]]:
    await session.add_all(heroes)
    await session.flush()
    return heroes


@app.get("/sync/heroes/{hero_id}", response_model_exclude={"secret": True, "team": {"id"}})
def sync_read(hero_id: int, session: Sync, team: bool = False) -> Hero:
    query = Select(Hero).Where(Hero.id == hero_id)
    return session.exec(query.Include(Hero.team) if team else query).one()


@app.get("/async/heroes/{hero_id}", response_model_exclude={"secret": True, "team": {"id"}})
async def async_read(hero_id: int, session: Async, team: bool = False) -> Hero:
    query = Select(Hero).Where(Hero.id == hero_id)
    return await session.exec(query.Include(Hero.team) if team else query).one()


@app.get("/sync/plain/{hero_id}", response_model=None)
def sync_plain(hero_id: int, session: Sync) -> Any:
    """Without a model of the answer: FastAPI's own encoder."""
    return {"hero": session.get(Hero, hero_id)}


@app.get("/async/plain/{hero_id}", response_model=None)
async def async_plain(hero_id: int, session: Async) -> Any:
    return {"hero": await session.get(Hero, hero_id)}


@app.patch("/sync/heroes/{hero_id}")
def sync_change(hero_id: int, patch: Update[Hero], session: SyncTransaction) -> Hero:
    return found(session.get(Hero, hero_id), "no such hero").update_from(patch)


@app.patch("/async/heroes/{hero_id}")
async def async_change(hero_id: int, patch: Update[Hero], session: AsyncTransaction) -> Hero:
    return found(await session.get(Hero, hero_id), "no such hero").update_from(patch)


@app.post("/sync/optional")
def sync_optional(hero: Create[Hero] | None = None) -> str:
    return "nobody" if hero is None else hero.name


@app.post("/sync/two")
def sync_two(hero: Create[Hero], team: Annotated[Team, Shape("create")]) -> list[str]:
    return [hero.name, team.name]


# --- what goes wrong --------------------------------------------------------------------------------------------------

SQL = {
    "null": "INSERT INTO web_heroes (hero_name, version) VALUES (NULL, 1)",
    "data": "SELECT 'x'::integer",
    "overflow": "UPDATE web_heroes SET age = 4000000000",
    "locked": "SELECT 1 FROM web_heroes FOR UPDATE NOWAIT",
}


@app.post("/sync/sql/{name}")
def sync_sql(name: str, session: Sync) -> None:
    session.exec(SQL[name])


@app.post("/async/sql/{name}")
async def async_sql(name: str, session: Async) -> None:
    await session.exec(SQL[name])


@app.get("/sync/page")
def sync_page(session: Sync, after: str | None = None) -> list[Read[Hero]]:
    return list(session.page(Select(Hero).OrderBy(Hero.name), after=after))


@app.get("/async/page")
async def async_page(session: Async, after: str | None = None) -> list[Read[Hero]]:
    return list(await session.page(Select(Hero).OrderBy(Hero.name), after=after))


@app.post("/sync/stale/{hero_id}")
def sync_stale(hero_id: int, session: Sync) -> None:
    hero = session.exec(Select(Hero).Where(Hero.id == hero_id)).one()
    with Session(database.engine) as other:
        other.exec(Select(Hero).Where(Hero.id == hero_id)).one().secret = "theirs"
        other.commit()
    hero.secret = "ours"
    session.commit()


@app.post("/async/stale/{hero_id}")
async def async_stale(hero_id: int, session: Async) -> None:
    hero = await session.exec(Select(Hero).Where(Hero.id == hero_id)).one()
    async with AsyncSession(database.async_engine) as other:
        (await other.exec(Select(Hero).Where(Hero.id == hero_id)).one()).secret = "theirs"
        await other.commit()
    hero.secret = "ours"
    await session.commit()


@app.post("/sync/busy")
def sync_busy(session: Annotated[Session, narrow.session]) -> None:
    session.exec("SELECT 1")
    with Session(narrow.engine) as other:
        other.exec("SELECT 1")


@app.post("/async/busy")
async def async_busy(session: Annotated[AsyncSession, narrow.async_session]) -> None:
    await session.exec("SELECT 1")
    async with AsyncSession(narrow.async_engine) as other:
        await other.exec("SELECT 1")


held, released = Event(), Event()


@app.post("/hold")
def hold(session: Annotated[Session, narrow.session]) -> None:
    """Keep the one session that there is, without a connection."""
    held.set()
    assert released.wait(30)


@app.post("/held")
def wait_until_held() -> bool:
    return held.wait(30)


@app.post("/release")
def release() -> None:
    released.set()


@app.post("/sync/refused")
def sync_refused(hero: Create[Hero], session: SyncTransaction) -> None:
    session.add(hero)
    session.flush()
    raise HTTPException(418, "not today")


@app.post("/async/refused")
async def async_refused(hero: Create[Hero], session: AsyncTransaction) -> None:
    await session.add(hero)
    await session.flush()
    raise HTTPException(418, "not today")


# --- the current session, many requests at once -----------------------------------------------------------------------


@app.get("/sync/current")
def sync_current(session: Sync) -> bool:
    return SessionManager.current() is session and Select(Hero).Where(Hero.id == 0).all() == []


@app.get("/async/current")
async def async_current(session: Async) -> bool:
    return SessionManager.current_async() is session


@app.get("/sync/pool")
def sync_pool() -> int:
    return database.engine.pool.status().in_use


@app.get("/async/pool")
async def async_pool() -> int:
    return database.async_engine.pool.status().in_use
