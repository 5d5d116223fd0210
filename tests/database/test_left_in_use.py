"""A session's block that is left while another task or thread still uses the session: nothing leaks, nothing hides."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from psqlmodel import AsyncSession, ConcurrentUseError, PSQLModelError, Session

from .both import Both, only_async, only_sync


@only_async
async def test_a_task_that_goes_on_loses_the_connection(both: Both) -> None:
    engine: Any = both.engine
    with pytest.raises(ConcurrentUseError, match="two threads or tasks"):
        async with AsyncSession(engine) as session:
            slow = asyncio.ensure_future(session.exec_scalar("SELECT pg_sleep(20)"))
            await asyncio.sleep(0)  # it waits for a connection now
            _ = await session.exec_scalar("SELECT 1")
    with pytest.raises(PSQLModelError):
        _ = await slow
    assert session.closed


@only_async
async def test_the_error_of_the_block_is_not_masked(both: Both) -> None:
    engine: Any = both.engine
    with pytest.raises(ZeroDivisionError):
        async with AsyncSession(engine) as session:
            slow = asyncio.ensure_future(session.exec_scalar("SELECT pg_sleep(20)"))
            await asyncio.sleep(0)
            _ = 1 / 0
    with pytest.raises(PSQLModelError):
        _ = await slow


@only_sync
def test_a_thread_that_goes_on_finds_the_session_closed(both: Both) -> None:
    engine: Any = both.engine
    outcome: list[Any] = []

    def use() -> None:
        try:
            outcome.append(session.exec_scalar("SELECT pg_sleep(0.3)::text"))
            outcome.append(session.exec_scalar("SELECT 1"))
        except PSQLModelError as error:
            outcome.append(error)

    with pytest.raises(ConcurrentUseError), Session(engine) as session:
        _ = session.exec_scalar("SELECT 1")
        thread = threading.Thread(target=use)
        thread.start()
        while True:  # until the thread is at it
            _ = session.exec_scalar("SELECT 1")
    thread.join()
    assert isinstance(outcome[-1], PSQLModelError)
    assert session.closed
