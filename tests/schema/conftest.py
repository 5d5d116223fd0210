"""Channels for steps: the same steps on either driver, with what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg2.extensions import parse_dsn

from psqlmodel.drivers import asyncpg as async_driver
from psqlmodel.drivers import psycopg2 as sync_driver
from psqlmodel.steps import Copy, Release, Rows, Statement, Steps, run

SETTINGS = {"TimeZone": "UTC"}


class SyncDrive:
    """Runs steps on psycopg2; `sent` are the texts."""

    def __init__(self, dsn: str) -> None:
        self.sent: list[str] = []
        self.connection = sync_driver.connect(parse_dsn(dsn), settings=SETTINGS)

    def __call__(self, steps: Steps[Any]) -> Any:
        return run(steps, self)

    def send(self, request: Statement | Copy | Release) -> Rows:
        assert not isinstance(request, Release), "a connection was given up"
        if isinstance(request, Statement):
            self.sent.append(request.text)
        return self.connection.execute(request)

    def sql(self, text: str, *args: Any) -> list[Any]:
        return [tuple(row) for row in self(_one(Statement(text, args, prepare=False)))]

    def close(self) -> None:
        self.connection.close()


class AsyncDrive(SyncDrive):
    """Runs steps on asyncpg, in an event loop of its own."""

    def __init__(self, dsn: str) -> None:
        self.sent = []
        self.loop = asyncio.Runner()
        self.asynchronous = self.loop.run(async_driver.connect(parse_dsn(dsn), settings=SETTINGS))

    def send(self, request: Statement | Copy | Release) -> Rows:
        assert not isinstance(request, Release), "a connection was given up"
        if isinstance(request, Statement):
            self.sent.append(request.text)
        return self.loop.run(self.asynchronous.execute(request))

    def close(self) -> None:
        self.loop.run(self.asynchronous.close())
        self.loop.close()


def _one(statement: Statement) -> Steps[Any]:
    rows = yield statement
    return rows.data


@pytest.fixture(params=[SyncDrive, AsyncDrive], ids=["psycopg2", "asyncpg"])
def drive(request: pytest.FixtureRequest, fresh_database: str) -> Iterator[SyncDrive]:
    """Runs steps on a fresh database, once with each driver."""
    drive = request.param(fresh_database)
    yield drive
    drive.close()


@pytest.fixture
def sync_drive(fresh_database: str) -> Iterator[SyncDrive]:
    """Runs steps on a fresh database with psycopg2, where the driver can make no difference."""
    drive = SyncDrive(fresh_database)
    yield drive
    drive.close()
