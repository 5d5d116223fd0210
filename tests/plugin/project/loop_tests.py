"""Tests of programs that bring event loops of their own, on the asynchronous engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from shop import emails_async, register_async

from psqlmodel import AsyncEngine, AsyncSession


@pytest.mark.parametrize("time", range(2))
def test_a_program_that_has_its_own_loop(async_engine: AsyncEngine, time: int) -> None:
    async def program() -> list[str]:
        await register_async(async_engine, "ada")
        async with AsyncSession(async_engine) as session:
            return await emails_async(session)

    assert asyncio.run(program()) == ["ada", "seed"]


@pytest.fixture(scope="module")
def loop_of_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("time", range(15))  # more often than the pool has connections
def test_a_server_in_a_thread(
    async_engine: AsyncEngine, loop_of_a_thread: asyncio.AbstractEventLoop, time: int
) -> None:
    asyncio.run_coroutine_threadsafe(register_async(async_engine, "ada"), loop_of_a_thread).result(10)
