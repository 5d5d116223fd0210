"""A shop behind a PgBouncer in transaction mode, with two connections to the server that take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest

from psqlmodel import AsyncEngine, Engine, create_async_engine, create_engine
from psqlmodel.embedded import Server
from tests.database.both import Both

from .bouncer import Bouncer, find
from .models import MODELS

# Two statements in a row meet two connections: nothing works that needs what another statement left there.
TURNS = "server_round_robin = 1"
_EMPTY = "TRUNCATE pooler_customers, pooler_orders, pooler_lines RESTART IDENTITY"


@pytest.fixture(scope="session")
def pooled_dsn(server: Server) -> str:
    """The DSN of the shop, past the pooler."""
    dsn = server.create_database("behind_pooler")
    with create_engine(dsn) as engine:
        engine.create_all(MODELS)
    return dsn


@pytest.fixture(scope="session")
def bouncer(server: Server, pooled_dsn: str) -> Iterator[Bouncer]:
    if find() is None:
        pytest.skip("there is no pgbouncer here: apt-get install pgbouncer")
    with Bouncer(server, pooled_dsn, more=TURNS) as running:
        open_both(running)
        yield running


@pytest.fixture
def sql(pooled_dsn: str) -> Iterator[Engine]:
    """What happens beside the sessions, past the pooler; the shop is empty."""
    with create_engine(pooled_dsn) as engine:
        engine.execute(_EMPTY)
        yield engine


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def make(kind: str, bouncer: Bouncer, sql: Engine) -> Iterator[Callable[..., Both]]:
    """Make engines of either kind, behind the pooler; none of them may hold a connection at the end."""
    made: list[Engine | AsyncEngine] = []

    def make(dsn: str = bouncer.dsn, **options: Any) -> Both:
        create = create_engine if kind == "sync" else create_async_engine
        made.append(create(dsn, **options))
        return Both(kind, made[-1], sql)

    yield make
    for engine in made:
        assert engine.pool.status().in_use == 0
        if isinstance(engine, Engine):
            engine.dispose()
    assert_quiet(bouncer)


@pytest.fixture
def both(make: Callable[..., Both]) -> Both:
    return make(pooler="pgbouncer", pool_size=4)


def open_both(bouncer: Bouncer) -> None:
    """Let PgBouncer open both connections to the server: it does when two transactions are open."""
    with create_engine(bouncer.dsn, pooler="pgbouncer") as engine:
        with engine.transaction() as one, engine.transaction() as two:
            pids = {each.execute("SELECT pg_backend_pid()").scalar() for each in (one, two)}
    assert len(pids) == 2


def show(bouncer: Bouncer, what: str) -> list[dict[str, Any]]:
    """Return what PgBouncer says of itself: `SHOW POOLS`, …"""
    connection = psycopg2.connect(bouncer.admin)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW {what}")
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    finally:
        connection.close()


def pool_of(bouncer: Bouncer) -> dict[str, Any]:
    """Return PgBouncer's account of the shop."""
    return next(each for each in show(bouncer, "POOLS") if each["database"] == "behind_pooler")


def assert_quiet(bouncer: Bouncer) -> None:
    """Nobody holds or waits for a connection to the server, and there are two at most."""
    pool = pool_of(bouncer)
    assert (pool["sv_active"], pool["cl_waiting"]) == (0, 0)
    assert pool["sv_idle"] + pool["sv_used"] <= 2
