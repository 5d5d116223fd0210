"""A database with a canary, an engine of either kind, and everything that was sent through it or said about it.

A `Place` runs coroutines over one session kind. After each test the canary must be alive: a table, its rows, and the
list of the tables beside it.
"""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from psqlmodel import AsyncEngine, Engine, PSQLModelError, create_async_engine, create_engine
from psqlmodel.embedded import Server
from tests.database.both import Both

from .models import MADE
from .texts import TIMEOUT

T = TypeVar("T")
_CURSOR = re.compile(r"psqlmodel_stream_\d+")  # numbered

_CANARY = """
CREATE TABLE canary (id int PRIMARY KEY, song text);
INSERT INTO canary SELECT n, 'tweet' FROM generate_series(1, 10) n;
CREATE TABLE ddl_seen (tag text, object text);
CREATE FUNCTION note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $f$
BEGIN
    INSERT INTO ddl_seen SELECT command_tag, object_identity FROM pg_event_trigger_ddl_commands();
END $f$;
CREATE FUNCTION note_drop() RETURNS event_trigger LANGUAGE plpgsql AS $f$
BEGIN
    INSERT INTO ddl_seen SELECT 'drop ' || object_type, object_identity FROM pg_event_trigger_dropped_objects();
END $f$;
CREATE EVENT TRIGGER on_ddl ON ddl_command_end EXECUTE FUNCTION note_ddl();
CREATE EVENT TRIGGER on_drop ON sql_drop EXECUTE FUNCTION note_drop();
"""


def each(cases: dict[str, Any]) -> list[Any]:
    """Return the names of cases as parameters of a test, each with the marks of its function."""
    return [pytest.param(name, marks=getattr(work, "pytestmark", ())) for name, work in cases.items()]


class Place:
    """One database behind an engine of one kind; `run` runs a coroutine there, always on the same event loop."""

    def __init__(self, kind: str, engine: Engine | AsyncEngine, sql: Engine, runner: asyncio.Runner) -> None:
        self.both = Both(kind, engine, sql)
        self.sql = sql
        self.engine = engine
        self._runner = runner
        _ = engine.on_statement(self.both.statements.take)

    def __repr__(self) -> str:
        return f"<{self.both.kind} place>"

    def run(self, work: Awaitable[T]) -> T:
        """Run a coroutine to its end."""

        async def whole() -> T:
            return await work

        return self._runner.run(whole())

    def outcome(self, work: Callable[[Any], Awaitable[T]]) -> tuple[T | PSQLModelError, list[str]]:
        """Run `work(session)` in a session that is rolled back; return what came of it, and the texts that were sent.

        An error must be one of psqlmodel's: any other passes.
        """

        async def whole() -> T | PSQLModelError:
            async with self.both.session() as session:
                try:
                    return await work(session)
                except PSQLModelError as error:
                    return error
                finally:
                    await session.rollback()

        self.both.statements.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = self.run(whole())
        return result, [_CURSOR.sub("psqlmodel_stream", event.text) for event in self.both.statements]

    def check_canary(self) -> None:
        """Raise if anything happened to the canary, or anything was made or dropped that nobody asked for."""
        assert self.sql.execute("SELECT count(*) FROM canary WHERE song = 'tweet'").scalar() == 10
        assert self.sql.execute("SELECT count(*) FROM canary").scalar() == 10
        assert self.sql.execute("SELECT tag, object FROM ddl_seen") == []


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest) -> None:
    """A large budget has no time limit."""
    if not TIMEOUT:
        request.node.add_marker(pytest.mark.timeout(0))


@pytest.fixture(scope="session")
def hostile_dsn(server: Server) -> str:
    dsn = server.create_database("hostile")
    with create_engine(dsn) as engine:
        engine.create_all(MADE)
        engine.execute(_CANARY)
        engine.execute("DELETE FROM ddl_seen")
        engine.execute('CREATE ROLE "it\'s a ""role""\\"')
    return dsn


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="session")
def beside(hostile_dsn: str) -> Iterator[Engine]:
    """An engine of its own, to look at what happened."""
    with create_engine(hostile_dsn) as engine:
        yield engine


@pytest.fixture(scope="session", params=["sync", "async"])
def _place(request: pytest.FixtureRequest, hostile_dsn: str, beside: Engine, runner: asyncio.Runner) -> Iterator[Place]:
    if request.param == "sync":
        with create_engine(hostile_dsn, max_pool_size=4) as engine:
            yield Place("sync", engine, beside, runner)
        return
    asynchronous = create_async_engine(hostile_dsn, max_pool_size=4)
    made = Place("async", asynchronous, beside, runner)
    yield made
    made.run(asynchronous.dispose())


async def _look(session: Any) -> None:
    await session.exec("SELECT 1")


@pytest.fixture
def place(_place: Place) -> Iterator[Place]:
    _place.sql.execute("DELETE FROM ddl_seen")
    _place.sql.execute("TRUNCATE hostile_things, hostile_notes RESTART IDENTITY CASCADE")
    _ = _place.outcome(_look)  # an engine's first session begins with BEGIN, also for a read
    yield _place
    _place.check_canary()
    assert _place.engine.pool.status().in_use == 0
