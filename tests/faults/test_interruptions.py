"""Tasks cancelled at every await, threads ended at every statement: on whatever a session does.

Whatever is interrupted is done or not done, the pool gets back no connection in doubt, and the session goes on.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from psqlmodel import AsyncSession, Engine, Select, Session, create_async_engine, create_engine
from tests.database.both import Awaited

from .place import Author, Book, Place

BEFOREHAND = "Ann,Bob,Cy"
Work = Callable[[Any], Awaitable[None]]


async def read(session: Any) -> None:
    _ = await session.exec(Select(Author).OrderBy(Author.name).Include(Author.books, Author.genres)).all()
    _ = await session.get(Book, -2)


async def write_at_once(session: Any) -> None:
    session.add(Author(name="Dan"))
    await session.commit()


async def write_in_a_savepoint(session: Any) -> None:
    session.add(Author(name="Dan"))
    async with session.begin_nested():
        session.add(Author(name="Eve"))
    await session.commit()


async def write_by_copy(session: Any) -> None:
    await session.bulk_insert([Author(name="Dan") for _ in range(200)])
    await session.commit()


async def write_with_settings(session: Any) -> None:
    ann = await session.get(Author, -1, lock="update")
    ann.name = "Anna"
    await session.exec("SELECT 1")
    await session.commit()


WORKS = {
    read: BEFOREHAND,
    write_at_once: "Ann,Bob,Cy,Dan",
    write_in_a_savepoint: "Ann,Bob,Cy,Dan,Eve",
    write_by_copy: ",".join(["Ann", "Bob", "Cy", *["Dan"] * 200]),
    write_with_settings: "Anna,Bob,Cy",
}
NAMES = "SELECT string_agg(name, ',' ORDER BY name) FROM fault_authors"


def names(place: Place, engine: Any) -> str:
    """Return who is there when thrown away connections have ended: what was cancelled may still be done until then."""
    place.observer.wait_for_others(engine.pool.status().size)
    place.nothing_is_left_open()
    return str(place.observer.query(NAMES)[0][0])


@pytest.mark.parametrize("work", WORKS)
async def test_cancelled_at_each_await(place: Place, work: Work) -> None:
    async with create_async_engine(place.dsn, max_pool_size=2) as engine:
        turns = finished = 0
        while finished < 2:
            await asyncio.to_thread(place.restart)
            async with AsyncSession(engine) as session:
                task = asyncio.ensure_future(work(session))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                finished += not task.cancelled()
                await after(place, engine, session, work, done=not task.cancelled())
            turns += 1 + turns // 10
        assert turns > 5
    await asyncio.to_thread(place.observer.wait_for_others, 0)


async def after(place: Place, engine: Any, session: Any, work: Work, *, done: bool) -> None:
    """All of it or nothing; then the same session does it again."""
    found = await asyncio.to_thread(names, place, engine)
    assert found in ({WORKS[work]} if done else {BEFOREHAND, WORKS[work]})
    await session.rollback()
    assert engine.pool.status().in_use == 0
    if found == BEFOREHAND:
        await work(session)
        await session.rollback()
        assert await asyncio.to_thread(names, place, engine) == WORKS[work]


@pytest.mark.parametrize("work", WORKS)
def test_a_thread_that_is_ended_at_each_statement(place: Place, work: Work) -> None:
    """As debuggers and some servers end a thread: an exception that comes from nowhere, at the n-th statement."""
    with create_engine(place.dsn, max_pool_size=2) as engine:
        for number in itertools.count(1):
            place.restart()
            ended = run_in_a_thread(engine, work, number)
            found = names(place, engine)
            assert found in ({BEFOREHAND, WORKS[work]} if ended else {WORKS[work]})
            assert engine.pool.status().in_use == 0
            with Session(engine) as session:
                assert session.exec_scalar("SELECT 1") == 1
            if not ended:
                break
        assert number > 1
        place.observer.wait_for_others(engine.pool.status().size)
    place.observer.wait_for_others(0)


def run_in_a_thread(engine: Engine, work: Work, number: int) -> bool:
    """Run the work in a thread that is ended at the given statement; tell whether it was."""
    left = itertools.count(1)
    outcome: list[bool] = []

    def at_statement(_: object) -> None:
        if next(left) == number:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(threading.get_ident()), ctypes.py_object(SystemExit)
            )

    def live() -> None:
        try:
            with Session(engine) as session:
                work(Awaited(session)).send(None)
        except StopIteration:
            outcome.append(False)
        except SystemExit:
            outcome.append(True)

    stop = engine.on_statement(at_statement)
    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    stop()
    return outcome[0]
