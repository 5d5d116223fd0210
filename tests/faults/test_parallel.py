"""Faults under parallel reads: a cut at each request, a cancellation at each await; a clear error, nothing leaks."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from psqlmodel import (
    AsyncSession,
    ConnectionLost,
    ParallelError,
    Select,
    Session,
    create_async_engine,
    create_engine,
)

from .place import Author, Book, Place
from .proxy import HOWS

TASKS = [Select(Author).OrderBy(Author.name).Include(Author.books), Select(Book), "SELECT count(*) FROM fault_books"]


def judge(results: list[Any], scanned: list[Any]) -> None:
    authors, books, ((count,),) = results
    assert [(author.name, len(author.books)) for author in authors] == [("Ann", 1), ("Bob", 1), ("Cy", 1)]
    assert (len(books), count, len(scanned)) == (3, 3, 3)


@pytest.mark.parametrize("how", HOWS)
def test_cut_at_each_request_of_parallel_reads(place: Place, how: str) -> None:
    place.restart()
    failures = 0
    with create_engine(place.proxy.dsn, max_pool_size=3) as engine:
        for number in itertools.count(1):
            with Session(engine) as session:
                place.proxy.cut(number, how)
                try:
                    judge(session.parallel_exec(TASKS, consistent=True), session.parallel_scan(Select(Book)))
                except (ParallelError, ConnectionLost) as error:
                    failures += 1
                    assert isinstance(error, ConnectionLost) or isinstance(error.__cause__, ConnectionLost)
                was_cut = not place.proxy.armed
                place.proxy.cut(0, how)
            assert engine.pool.status().in_use == 0
            place.nothing_is_left_open()
            if not was_cut:
                break
    assert failures > 3
    place.observer.wait_for_others(0)


@pytest.mark.parametrize("how", HOWS)
async def test_cut_at_each_request_of_async_parallel_reads(place: Place, how: str) -> None:
    place.restart()
    failures = 0
    async with create_async_engine(place.proxy.dsn, max_pool_size=3) as engine:
        for number in itertools.count(1):
            async with AsyncSession(engine) as session:
                place.proxy.cut(number, how)
                try:
                    read = await session.parallel_exec(TASKS, consistent=True)
                    judge(read, await session.parallel_scan(Select(Book)))
                except (ParallelError, ConnectionLost) as error:
                    failures += 1
                    assert isinstance(error, ConnectionLost) or isinstance(error.__cause__, ConnectionLost)
                was_cut = not place.proxy.armed
                place.proxy.cut(0, how)
            assert engine.pool.status().in_use == 0
            await asyncio.to_thread(place.nothing_is_left_open)
            if not was_cut:
                break
    assert failures > 3
    await asyncio.to_thread(place.observer.wait_for_others, 0)


async def test_cancelled_at_each_await_of_parallel_reads(place: Place) -> None:
    place.restart()
    turns = finished = 0
    async with create_async_engine(place.proxy.dsn, max_pool_size=3) as engine:
        while finished < 2:
            async with AsyncSession(engine) as session:

                async def work(session: AsyncSession = session) -> None:
                    read = await session.parallel_exec(TASKS, consistent=True)
                    judge(read, await session.parallel_scan(Select(Book)))

                task = asyncio.create_task(work())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                assert engine.pool.status().in_use == 0
                await asyncio.to_thread(place.nothing_is_left_open)
                if not task.cancelled():
                    assert task.exception() is None
                    finished += 1
            turns += 1 + turns // 10
    assert turns > 10
    await asyncio.to_thread(place.observer.wait_for_others, 0)
