"""Each behaviour once, on both sessions: `both` is a database with a synchronous engine, then with an asynchronous one.

The tables are made once for each worker and emptied before each test. Sequences start at 1000, so that the keys that a
test sets itself (below) meet none that the server makes. No test may leave a connection in use.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from threading import Thread

import pytest

from psqlmodel import AsyncEngine, Engine, create_async_engine, create_engine
from psqlmodel.embedded import Server

from .both import Both, Statements
from .models import MADE, OTHERS_SQL

_RESTART = """
DO $$ DECLARE s record; BEGIN
    FOR s IN SELECT oid::regclass AS name FROM pg_class WHERE relkind = 'S'
             AND relnamespace = 'public'::regnamespace AND oid::regclass::text NOT LIKE 'people%' LOOP
        EXECUTE format('ALTER SEQUENCE %s RESTART WITH 1000', s.name);
    END LOOP;
END $$"""

# One statement; with the foreign keys asleep, circles do not matter.
_EMPTY = """
DO $$ DECLARE t record; BEGIN
    PERFORM set_config('session_replication_role', 'replica', true);
    FOR t IN SELECT oid::regclass AS name FROM pg_class
             WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace LOOP
        EXECUTE format('DELETE FROM %s', t.name);
    END LOOP;
END $$"""


_LEFT = """
SELECT pid, query FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND state <> 'idle'"""


def left_open(sql: Engine, seconds: float = 9) -> list[str]:
    """Return the last statements of transactions that stay open; a connection that was dropped ends in a moment."""
    until = time.monotonic() + seconds
    while rows := sql.execute(_LEFT):
        if time.monotonic() > until:
            for row in rows:  # the next test must not wait for them
                sql.execute("SELECT pg_terminate_backend(%s, 5000)", [row.pid])
            return [row.query for row in rows]
    return []


@pytest.fixture(scope="session")
def shop_dsn(server: Server) -> str:
    """The DSN of a database with the tables of the models."""
    dsn = server.create_database("shop")
    with create_engine(dsn) as engine:
        engine.create_all(MADE)
        for statement in _statements(OTHERS_SQL):
            engine.execute(statement)
        engine.execute(_RESTART)
    return dsn


def _statements(text: str) -> Iterator[str]:
    pending = ""
    for line in text.splitlines():
        pending += line + "\n"
        if pending.rstrip().endswith(";") and pending.count("$$") != 1:
            yield pending
            pending = ""


@pytest.fixture(scope="session")
def sync_engine(shop_dsn: str) -> Iterator[Engine]:
    with create_engine(shop_dsn, max_pool_size=8) as engine:
        engine.execute("SELECT 1")  # with its first connection it learns the default isolation
        yield engine


@pytest.fixture(scope="session")
def async_engine(shop_dsn: str) -> AsyncEngine:
    engine = create_async_engine(shop_dsn, max_pool_size=8)

    async def greet() -> None:
        await engine.execute("SELECT 1")

    first = Thread(target=asyncio.run, args=[greet()])  # on an event loop of its own, beside that of the tests
    first.start()
    first.join()
    return engine


@pytest.fixture(scope="session")
def plain_sql(shop_dsn: str) -> Iterator[Engine]:
    """An engine of its own for what happens beside the sessions."""
    with create_engine(shop_dsn, settings={"lock_timeout": "5s"}) as engine:
        yield engine


@pytest.fixture(params=["sync", "async"])
def both(
    request: pytest.FixtureRequest, sync_engine: Engine, async_engine: AsyncEngine, plain_sql: Engine
) -> Iterator[Both]:
    """An empty shop behind an engine of either kind."""
    plain_sql.execute(_EMPTY)
    engine = sync_engine if request.param == "sync" else async_engine
    made = Both(request.param, engine, plain_sql)
    stop = engine.on_statement(made.statements.take)
    yield made
    stop()
    assert left_open(plain_sql) == []
    assert engine.pool.status().in_use == 0


@pytest.fixture
def statements(both: Both) -> Statements:
    """What was sent through the engine under test."""
    return both.statements
