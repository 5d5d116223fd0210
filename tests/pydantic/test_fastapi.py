"""Sessions as dependencies, models as bodies and answers, errors as answers: through HTTP, on a running uvicorn."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI, HTTPException

from psqlmodel import (
    AsyncSession,
    ConfigurationError,
    Engine,
    Select,
    UncommittedChangesWarning,
    create_async_engine,
    create_engine,
)
from psqlmodel.embedded import Server
from psqlmodel.fastapi import Database, found
from tests.examples.service import running

from .models import MODELS, Team

_names = itertools.count(1)


@pytest.fixture(scope="module")
def sql(server: Server) -> Iterator[Engine]:
    with create_engine(server.create_database("pydantic_web", template="template0")) as engine:
        yield engine


@pytest.fixture(scope="module")
def web(server: Server, sql: Engine) -> Iterator[httpx.Client]:
    dsn = server.dsn_for("pydantic_web")
    with running("heroes_web:app", Path(__file__).parent / "web", dsn) as client:
        yield client
        # Whatever happened, no connection was kept.
        assert client.get("/sync/pool").json() == client.get("/async/pool").json() == 0


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def name() -> str:
    return f"hero {next(_names)}"


def details(response: httpx.Response) -> list[tuple[str, list[str]]]:
    return [(error["type"], error["loc"]) for error in response.json()["detail"]]


# --- bodies and answers -----------------------------------------------------------------------------------------------


def test_a_model_is_a_body_and_an_answer(web: httpx.Client, kind: str) -> None:
    data = {"name": name(), "age": 4}
    answer = web.post(f"/{kind}/heroes", json=data)
    assert answer.status_code == 200
    hero = answer.json()
    assert hero == {**data, "id": hero["id"], "version": 1, "secret": None, "rank": None, "team_id": None}
    refused = web.post(f"/{kind}/heroes", json={"name": 3})
    assert (refused.status_code, details(refused)) == (422, [("string_type", ["body", "name"])])


def test_lists(web: httpx.Client, kind: str) -> None:
    heroes = web.post(f"/{kind}/many", json=[{"name": name()}, {"name": name()}]).json()
    assert all(hero["id"] for hero in heroes)
    refused = web.post(f"/{kind}/many", json=[{"name": name()}, {}])
    assert details(refused) == [("missing", ["body", 1, "name"])]


def test_bodies_that_may_be_missing_and_several_at_once(web: httpx.Client) -> None:
    assert web.post("/sync/optional").json() == "nobody"
    assert web.post("/sync/optional", json={"name": "Ada"}).json() == "Ada"
    assert web.post("/sync/two", json={"hero": {"name": "Ada"}, "team": {"name": "x"}}).json() == ["Ada", "x"]


def test_a_relation_is_shown_where_it_is_loaded(web: httpx.Client, sql: Engine, kind: str) -> None:
    team = sql.execute("INSERT INTO web_teams (name) VALUES ('Four') RETURNING id").scalar()
    hero = web.post(f"/{kind}/heroes", json={"name": name(), "team_id": team}).json()["id"]
    bare = web.get(f"/{kind}/heroes/{hero}").json()
    assert {"team", "secret"} & set(bare) == set()
    whole = web.get(f"/{kind}/heroes/{hero}", params={"team": True}).json()
    assert whole == {**bare, "team": {"name": "Four"}}


def test_without_a_model_of_the_answer_the_columns_are_shown(web: httpx.Client, kind: str) -> None:
    hero = web.post(f"/{kind}/heroes", json={"name": name()}).json()
    assert web.get(f"/{kind}/plain/{hero['id']}").json() == {"hero": hero}


def test_a_patch(web: httpx.Client, sql: Engine, kind: str) -> None:
    hero = web.post(f"/{kind}/heroes", json={"name": name(), "secret": "x", "age": 2}).json()
    assert web.patch(f"/{kind}/heroes/{hero['id']}", json={"age": None}).json()["age"] is None
    stored = sql.execute("SELECT secret, age, version FROM web_heroes WHERE id = %s", [hero["id"]])
    assert list(map(tuple, stored)) == [("x", None, 2)]


# --- transactions -----------------------------------------------------------------------------------------------------


def test_a_transaction_is_rolled_back_when_the_route_raises(web: httpx.Client, sql: Engine, kind: str) -> None:
    hero = name()
    assert web.post(f"/{kind}/refused", json={"name": hero}).status_code == 418
    assert list(sql.execute("SELECT 1 FROM web_heroes WHERE hero_name = %s", [hero])) == []


def test_an_error_of_the_commit_is_an_answer(web: httpx.Client, sql: Engine, kind: str) -> None:
    """The constraint is looked at by COMMIT, when the route has returned already: nothing was promised yet."""
    heroes: Any = [{"name": name(), "rank": 1000 + next(_names)} for _ in range(2)]
    heroes[1]["rank"] = heroes[0]["rank"]
    refused = web.post(f"/{kind}/many", json=heroes)
    assert (refused.status_code, [kind for kind, _ in details(refused)]) == (409, ["unique"])
    assert list(sql.execute("SELECT 1 FROM web_heroes WHERE rank = %s", [heroes[0]["rank"]])) == []


# --- errors -----------------------------------------------------------------------------------------------------------


def test_what_is_not_there(web: httpx.Client, kind: str) -> None:
    assert (web.get(f"/{kind}/heroes/0").status_code, web.get(f"/{kind}/heroes/0").json()) == (
        404,
        {"detail": "Not Found"},
    )
    missing = web.patch(f"/{kind}/heroes/0", json={})
    assert (missing.status_code, missing.json()) == (404, {"detail": "no such hero"})


def test_what_is_taken(web: httpx.Client, kind: str) -> None:
    hero = {"name": name()}
    web.post(f"/{kind}/heroes", json=hero)
    refused = web.post(f"/{kind}/heroes", json=hero)
    # The column is called hero_name in the database; outside it has the name of the attribute.
    assert (refused.status_code, details(refused)) == (409, [("unique", ["body", "name"])])
    assert hero["name"] not in refused.text


def test_what_it_refers_to_is_missing(web: httpx.Client, kind: str) -> None:
    refused = web.post(f"/{kind}/heroes", json={"name": name(), "team_id": 0})
    assert (refused.status_code, details(refused)) == (409, [("foreign_key", ["body", "team_id"])])


def test_what_someone_else_changed(web: httpx.Client, kind: str) -> None:
    hero = web.post(f"/{kind}/heroes", json={"name": name()}).json()["id"]
    refused = web.post(f"/{kind}/stale/{hero}")
    assert (refused.status_code, details(refused)) == (409, [("stale", ["body"])])


def test_bad_values(web: httpx.Client, kind: str) -> None:
    refused = web.post(f"/{kind}/heroes", json={"name": name(), "age": 3})
    assert (refused.status_code, details(refused)) == (422, [("check", ["body", "age"])])
    refused = web.post(f"/{kind}/heroes", json={"name": name(), "age": 4_000_000_000})
    assert (refused.status_code, details(refused)) == (422, [("value", ["body"])])
    assert "Hero.age" in refused.json()["detail"][0]["msg"]
    refused = web.post(f"/{kind}/sql/null")
    assert (refused.status_code, [kind for kind, _ in details(refused)]) == (422, ["not_null"])
    for name_ in ("data", "overflow"):
        refused = web.post(f"/{kind}/sql/{name_}")
        assert (refused.status_code, details(refused)) == (422, [("value", ["body"])])
        assert "SELECT" not in refused.text


def test_a_token_that_is_none(web: httpx.Client, kind: str) -> None:
    assert web.get(f"/{kind}/page").status_code == 200
    refused = web.get(f"/{kind}/page", params={"after": "x'; DROP TABLE web_heroes"})
    assert (refused.status_code, details(refused)) == (422, [("page_token", ["query"])])


def test_what_someone_else_holds(web: httpx.Client, sql: Engine, kind: str) -> None:
    hero = web.post(f"/{kind}/heroes", json={"name": name()}).json()["id"]
    with sql.transaction() as held:
        held.execute("SELECT 1 FROM web_heroes WHERE id = %s FOR UPDATE", [hero])
        refused = web.post(f"/{kind}/sql/locked")
    assert (refused.status_code, details(refused)) == (409, [("locked", ["body"])])


def test_no_connection_is_free(web: httpx.Client, kind: str) -> None:
    busy = web.post(f"/{kind}/busy")
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")


def test_no_session_is_free(web: httpx.Client) -> None:
    """Who waits for a session waits no longer than for a connection."""
    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(web.post, "/hold")
        assert web.post("/held").json() is True
        busy = web.post("/sync/busy")
        web.post("/release")
        assert holding.result().status_code == 200
    assert (busy.status_code, busy.json()) == (503, {"detail": "The database is busy; try again"})


# --- the session ------------------------------------------------------------------------------------------------------


def test_the_session_of_the_request_is_current(web: httpx.Client, kind: str) -> None:
    assert web.get(f"/{kind}/current").json() is True


def test_many_requests_share_two_connections(web: httpx.Client, kind: str) -> None:
    """Leaving a session needs no thread of those that the routes run in: all of them may wait for its connection."""
    hero = web.post(f"/{kind}/heroes", json={"name": name()}).json()["id"]
    with ThreadPoolExecutor(80) as threads:
        answers = threads.map(lambda _: web.get(f"/{kind}/heroes/{hero}").status_code, range(160))
        assert set(answers) == {200}


# --- the lifespan -----------------------------------------------------------------------------------------------------


async def test_engines_live_as_long_as_the_application(heroes_dsn: str) -> None:
    database = Database(heroes_dsn)
    with pytest.raises(ConfigurationError, match=r"lifespan=database\.lifespan"):
        _ = database.engine
    async with database.lifespan():
        engine, async_engine = database.engine, database.async_engine
        assert engine.execute("SELECT 1").scalar() == 1
        assert (await async_engine.execute("SELECT 1")).scalar() == 1
    with pytest.raises(ConfigurationError, match="not open"):
        _ = database.async_engine
    assert engine.pool.status().size == async_engine.pool.status().size == 0


async def test_both_engines_share_an_embedded_server() -> None:
    """The tables that the one makes are there for the other."""
    database = Database("embedded", models=MODELS)
    async with database.lifespan(), AsyncSession(database.async_engine) as session:
        assert await session.exec(Select(Team)).all() == []


async def test_the_engines_of_somebody_else(heroes_dsn: str) -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nowhere", models=MODELS)
    app = FastAPI(lifespan=database.lifespan)

    @app.get("/sync")
    def which(session: Any = database.session) -> bool:
        return session.engine is engine

    @app.get("/async")
    async def which_async(session: Any = database.async_transaction) -> bool:
        return session.engine is database.async_engine is async_engine

    async with create_async_engine(heroes_dsn) as async_engine:
        with create_engine(heroes_dsn) as engine:
            transport = httpx.ASGITransport(app)
            with database.using(engine, async_engine):
                async with database.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                    assert (await client.get("/sync")).json() is True
                    assert (await client.get("/async")).json() is True
                assert database.engine.execute("SELECT 1").scalar() == 1, "the lifespan has closed nothing"
            with pytest.raises(ConfigurationError, match="not open"):
                _ = database.engine


async def test_engines_that_were_not_lent(heroes_dsn: str) -> None:
    database = Database(heroes_dsn)
    with create_engine(heroes_dsn) as engine:
        with database.using(engine), pytest.raises(ConfigurationError, match="no asynchronous engine"):
            _ = database.async_engine
        with database.using(), pytest.raises(ConfigurationError, match="no synchronous engine"):
            _ = database.engine
        async with database.lifespan():
            with pytest.raises(ConfigurationError, match="open already"), database.using(engine):
                pass


def test_found() -> None:
    assert found(0) == 0
    with pytest.raises(HTTPException) as caught:
        found(None, "gone")
    assert (caught.value.status_code, caught.value.detail) == (404, "gone")


@pytest.mark.parametrize("dependency", ["session", "transaction", "async_session", "async_transaction"])
async def test_a_cancelled_request_gives_its_connection_back(heroes_dsn: str, dependency: str) -> None:
    """It is cancelled while the server works for it; the lock that it waits for is released then."""
    database = Database(heroes_dsn, max_pool_size=1)
    app = FastAPI(lifespan=database.lifespan)
    statement = f"SELECT pg_advisory_xact_lock(hashtext('{dependency}'))"
    if "async" in dependency:

        @app.get("/")
        async def wait_async(session: Any = getattr(database, dependency)) -> None:  # noqa: B008
            await session.exec(statement)
    else:

        @app.get("/")
        def wait(session: Any = getattr(database, dependency)) -> None:  # noqa: B008
            session.exec(statement)

    scope = anyio.CancelScope()  # as a server or a middleware does it: every further await is cancelled, too

    async def ask() -> None:
        with scope:
            await client.get("/")

    transport = httpx.ASGITransport(app)
    with create_engine(heroes_dsn) as other:
        async with database.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            with other.transaction() as holder:
                holder.execute(statement)
                request = asyncio.ensure_future(ask())
                async with asyncio.timeout(30):
                    while not other.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                        assert not request.done()
                        await asyncio.sleep(0)
                scope.cancel()
                await asyncio.sleep(0)
            await request
            engine = database.async_engine if "async" in dependency else database.engine
            assert engine.pool.status().in_use == 0
            assert (await client.get("/")).status_code == 200  # its turn is free, too


# --- in one process: what is sent, what tests replace -----------------------------------------------------------------


@pytest.mark.parametrize("dependency", ["session", "async_session"])
async def test_an_answer_sends_no_query(heroes_dsn: str, dependency: str) -> None:
    """Not for a relation that could be loaded when it is read, and not for a value that is not loaded."""
    database = Database(heroes_dsn)
    app = FastAPI(lifespan=database.lifespan)
    statements: list[str] = []
    query = Select(Team).OrderBy(Team.id)
    if "async" in dependency:

        @app.get("/")
        async def teams_async(session: Any = getattr(database, dependency)) -> list[Team]:  # noqa: B008
            session.add_all([Team(name="one"), Team(name="two")])
            return await session.exec(query).all()
    else:

        @app.get("/")
        def teams(session: Any = getattr(database, dependency)) -> list[Team]:  # noqa: B008
            session.add_all([Team(name="one"), Team(name="two")])
            return session.exec(query).all()

    transport = httpx.ASGITransport(app)
    async with database.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for engine in (database.engine, database.async_engine):
            engine.on_statement(lambda event: statements.append(event.text))
        with pytest.warns(UncommittedChangesWarning):
            shown = (await client.get("/")).json()
    assert [team["name"] for team in shown][-2:] == ["one", "two"]  # beside what other tests left
    assert all(team.keys() == {"id", "name", "city_id"} for team in shown)
    (select,) = [text for text in statements if text.startswith("SELECT") and "pyd_teams" in text]
    assert statements.index(select) == len(statements) - 2  # then nothing but the rollback
    assert "ROLLBACK" in statements[-1]


async def test_a_dependency_can_be_replaced(heroes_dsn: str) -> None:
    database = Database(heroes_dsn)
    app = FastAPI()  # without its lifespan: nothing is open

    @app.get("/")
    def which(session: Any = database.session) -> str:
        return str(session)

    app.dependency_overrides[database.session.dependency] = lambda: "mine"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        assert (await client.get("/")).json() == "mine"
