"""Every type through both drivers: a single parameter and a batch, and the same Python value from each."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from psqlmodel import types
from psqlmodel.drivers import asyncpg as async_driver
from psqlmodel.drivers import psycopg2 as sync_driver
from psqlmodel.steps import Statement, Steps, run, run_async
from psqlmodel.types import PgType

from .test_server import CASES, same

SETTINGS = {"TimeZone": "UTC", "lc_monetary": "C"}


EXTENSIONS = {"hstore", "citext", "vector"}  # the last one where the server has it


class SyncSide:
    """Drives steps over psycopg2."""

    missing: set[str]

    def __init__(self, parameters: dict[str, str]) -> None:
        self.connection = sync_driver.connect(parameters, settings=SETTINGS)

    def send(self, request: Any) -> Any:
        return self.connection.execute(request)

    def run(self, steps: Steps[Any]) -> Any:
        return run(steps, self)

    def close(self) -> None:
        self.connection.close()


class AsyncSide:
    """Drives steps over asyncpg, in a loop of its own."""

    missing: set[str]

    def __init__(self, parameters: dict[str, str]) -> None:
        self.runner = asyncio.Runner()
        self.connection = self.runner.run(async_driver.connect(parameters, settings=SETTINGS))

    async def send(self, request: Any) -> Any:
        return await self.connection.execute(request)

    def run(self, steps: Steps[Any]) -> Any:
        return self.runner.run(run_async(steps, self))

    def close(self) -> None:
        self.runner.run(self.connection.close())
        self.runner.close()


@pytest.fixture(scope="module", params=[SyncSide, AsyncSide], ids=["psycopg2", "asyncpg"])
def side(request, server) -> Iterator[SyncSide | AsyncSide]:
    from psqlmodel.core.engine.dsn import parse_dsn

    dsn = server.create_database(f"types_{request.param.__name__.lower()}")
    made = request.param(parse_dsn(dsn).parameters)
    there = {row[0] for row in made.run(once("SELECT name::text FROM pg_available_extensions")).data}
    for extension in EXTENSIONS & there:
        made.run(once(f"CREATE EXTENSION IF NOT EXISTS {extension}"))
    made.missing = EXTENSIONS - there
    yield made
    made.close()


def once(text: str, *args: Any) -> Steps[Any]:
    rows = yield Statement(text, args)
    return rows


_numbers = itertools.count(1)


def round_trip(pg_type: PgType[Any], value: Any) -> Steps[Any]:
    table = f"t{next(_numbers)}"  # another text each time: a prepared INSERT keeps its parameter's type
    yield from once(f"CREATE TEMP TABLE {table} (n serial, a {pg_type.name})")
    yield from once(f"INSERT INTO {table} (a) VALUES ($1)", pg_type.dump(value))
    unnest = f"unnest($1::{pg_type.transport}[])"
    yield from once(
        f"INSERT INTO {table} (a) SELECT v{pg_type.cast} FROM {unnest} AS u(v)",
        pg_type.dump_column([value, None]),
    )
    rows = yield from once(f"SELECT a FROM {table} ORDER BY n")
    load = types.loader(pg_type, rows.shape.oids[0])
    return [wire if wire is None or load is None else load(wire) for (wire,) in rows.data]


@pytest.mark.parametrize(("pg_type", "value"), CASES, ids=lambda item: getattr(item, "name", ""))
def test_round_trip(side, pg_type, value):
    extension = (pg_type.element or pg_type).extension
    if extension in side.missing:
        pytest.skip(f"this server has no {extension}")
    one, many, null = side.run(round_trip(pg_type, value))
    assert same(one, value)
    assert same(many, value)
    assert type(one) is type(value) or isinstance(value, type(one)) or isinstance(one, type(value))
    assert null is None


@pytest.mark.parametrize(
    ("now", "literal", "wire"),
    [("text[]", "{5}", ["5"]), ("bigint", "5", 5), ("text", "5", "5"), ("jsonb", "[1]", "[1]")],
)
def test_a_table_that_changes_is_read_by_its_new_types(side, now, literal, wire):
    """Bytes of the new type, read by the old one's codec, once ended the process."""
    side.run(once("CREATE TEMP TABLE changing (a int)"))
    try:
        side.run(once("INSERT INTO changing VALUES (1)"))
        for _ in range(3):
            assert side.run(once("SELECT a FROM changing")).data[0][0] == 1
        side.run(once(f"ALTER TABLE changing ALTER a TYPE {now} USING '{literal}'::{now}"))
        found = side.run(once("SELECT a FROM changing"))
        assert [row[0] for row in found.data] == [wire]
    finally:
        side.run(once("DROP TABLE changing"))
