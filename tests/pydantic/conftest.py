"""A database with the models, behind an engine of either kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from psqlmodel import create_async_engine, create_engine
from psqlmodel.embedded import Server
from tests.database.both import Both

from .models import MODELS


@pytest.fixture(scope="session")
def heroes_dsn(server: Server) -> str:
    dsn = server.create_database("pydantic_heroes", template="template0")
    with create_engine(dsn) as engine:
        engine.create_all(MODELS)
    return dsn


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest, heroes_dsn: str) -> Iterator[Both]:
    """The empty tables behind an engine of either kind."""
    with create_engine(heroes_dsn, settings={"lock_timeout": "5s"}) as sql:
        for model in MODELS:
            sql.execute(f"TRUNCATE {model.__mapper__.qualified} RESTART IDENTITY CASCADE")
        engine = sql if request.param == "sync" else create_async_engine(heroes_dsn)
        made = Both(request.param, engine, sql)
        stop = engine.on_statement(made.statements.take)
        yield made
        stop()
        assert engine.pool.status().in_use == 0
