"""Connections of both drivers to the shared database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from psqlmodel.core.engine.dsn import parse_dsn
from psqlmodel.drivers import asyncpg as asyncpg_driver
from psqlmodel.drivers import psycopg2 as psycopg2_driver
from psqlmodel.steps import Copy, Rows, Statement
from tests.drivers.texts import read

SETTINGS = {"TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "postgres"}


class Psycopg2:
    """A connection through psycopg2."""

    def __init__(self, dsn: str, **options: Any) -> None:
        self.connection = psycopg2_driver.connect(parse_dsn(dsn).parameters, settings=SETTINGS, **options)

    def execute(self, request: Statement | Copy) -> Rows:
        return read(self.connection.execute(request))

    def close(self) -> None:
        self.connection.close()


class Asyncpg:
    """A connection through asyncpg, on an event loop of its own, with the same methods."""

    def __init__(self, dsn: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        opening = asyncpg_driver.connect(parse_dsn(dsn).parameters, settings=SETTINGS, **options)
        try:
            self.connection = self._runner.run(opening)
        except BaseException:
            self._runner.close()
            raise

    def execute(self, request: Statement | Copy) -> Rows:
        return read(self._runner.run(self.connection.execute(request)))

    def close(self) -> None:
        self._runner.run(self.connection.close())
        self._runner.close()


DRIVERS = {"psycopg2": Psycopg2, "asyncpg": Asyncpg}


@pytest.fixture(params=list(DRIVERS))
def driver(request: pytest.FixtureRequest) -> type[Psycopg2] | type[Asyncpg]:
    return DRIVERS[request.param]


@pytest.fixture
def connection(driver: Any, database_dsn: str) -> Iterator[Any]:
    opened = driver(database_dsn)
    yield opened
    opened.close()


@pytest.fixture
def connections(database_dsn: str) -> Iterator[tuple[Psycopg2, Asyncpg]]:
    """One connection of each driver."""
    sync = Psycopg2(database_dsn)
    asynchronous = Asyncpg(database_dsn)
    yield sync, asynchronous
    sync.close()
    asynchronous.close()
