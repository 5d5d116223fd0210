"""W1, W1b and the frame of W8: the calls of one `get`, of one that the session answers, and of a session's life."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from psqlmodel import AsyncEngine, AsyncSession, Column, Engine, PSQLModel, Session, create_async_engine, create_engine
from psqlmodel import table as mapped
from psqlmodel.embedded import Server

from .calls import awaited_calls_of, calls_of


@mapped("counted_parts")
class Part(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]


@pytest.fixture(scope="module")
def dsn(server: Server) -> str:
    made = server.create_database("counts_of_get")
    with create_engine(made) as engine:
        engine.create_all([Part])
        engine.execute("INSERT INTO counted_parts SELECT n, 'part ' || n FROM generate_series(1, 20) n")
    return made


@pytest.fixture(scope="module")
def engine(dsn: str) -> Iterator[Engine]:
    with create_engine(dsn) as made:
        yield made


@pytest.fixture
def async_engine(dsn: str) -> AsyncEngine:
    return create_async_engine(dsn)


KNOWN = 3  # `get` of the session, `known`, and the object's status: a deleted one is not given

# Session: get, known, the choice of the steps, _run, run; the guard entered (with the caller's place) and left: 8.
# Steps: get, mapper, key, identity map, are there changes; the row by key, its argument (2), the statement: 9.
# Transaction: execute, and whether this read needs one: 3; after the answer the two that wait go on: 2.
# Channel and driver: send, execute, its plan, EXECUTE, the rows (2): 6; and the object: its loader, where it is
# entered, its state, the sweep: 5.
MISS = 33
MISS_ASYNC = 37  # coroutines that wait go on, but there is no text to make

# What a session is made of: 14. Entering the block, and what is current in this context: 4. Leaving it: what is current
# (2), guard and session (9), is something lost and is something open (5), the objects let go (6); and two when it is
# forgotten: 24.
SESSION = 42


def test_a_key_that_the_session_has(engine: Engine) -> None:
    with Session(engine) as session:
        part = session.get(Part, 1)
        assert calls_of(lambda: session.get(Part, 1)) == KNOWN
        assert session.get(Part, 1) is part


async def test_a_key_that_the_session_has_awaited(async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine) as session:
        part = await session.get(Part, 1)
        assert await awaited_calls_of(lambda: session.get(Part, 1)) == KNOWN
        assert await session.get(Part, 1) is part
    await async_engine.dispose()


def test_a_key_that_is_asked_of_the_server(engine: Engine) -> None:
    with Session(engine) as session:
        for key in range(1, 5):  # prepared with the second, its result known with the third
            _ = session.get(Part, key)
        assert calls_of(lambda: session.get(Part, 5)) <= MISS


async def test_a_key_that_is_asked_of_the_server_awaited(async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine) as session:
        for key in range(1, 5):
            _ = await session.get(Part, key)
        assert await awaited_calls_of(lambda: session.get(Part, 5)) <= MISS_ASYNC
    await async_engine.dispose()


def test_a_session_that_does_nothing(engine: Engine) -> None:
    def open_and_close() -> None:
        with Session(engine):
            pass

    open_and_close()
    assert calls_of(open_and_close) <= SESSION


async def test_a_session_that_does_nothing_awaited(async_engine: AsyncEngine) -> None:
    async def open_and_close() -> None:
        async with AsyncSession(async_engine):
            pass

    await open_and_close()
    assert await awaited_calls_of(open_and_close) <= SESSION
    await async_engine.dispose()
