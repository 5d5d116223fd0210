"""Faults under the asynchronous engine: cancellation everywhere, lost connections, several event loops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from psqlmodel.core.engine import create_async_engine
from psqlmodel.core.engine.channel import AsyncSessionChannel
from psqlmodel.errors import ConnectionLost, DatabaseError, PoolClosedError, PoolTimeout, QueryCanceled
from psqlmodel.steps import Release, Statement

from .proxy import Proxy


async def cancel_after(task: asyncio.Task, turns: int) -> None:
    """Cancel a task after so many turns of the event loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def unit_of_work(engine, table: str) -> None:
    async with engine.transaction() as connection:
        await connection.execute(f"INSERT INTO {table} VALUES (1)")
        await connection.execute(f"SELECT count(*) FROM {table}")
        await connection.execute(f"INSERT INTO {table} VALUES (2)")


async def test_cancellation_at_any_await_leaks_nothing(fresh_database, observer):
    engine = create_async_engine(fresh_database, pool_size=2, max_pool_size=2)
    await engine.execute("CREATE TABLE work (id int)")
    finished = turns = 0
    while finished < 3:
        task = asyncio.create_task(unit_of_work(engine, "work"))
        await cancel_after(task, turns)
        finished += not task.cancelled()
        turns += 1
        assert engine.pool.status().in_use == 0
        assert engine.pool.status().waiting == 0
    assert turns > 5
    counted = (await engine.execute("SELECT count(*) AS n, count(DISTINCT id) AS d FROM work"))[0]
    assert counted.n % 2 == 0  # never half a transaction
    assert counted.n >= 2 * finished
    await asyncio.to_thread(observer.wait_for_others, engine.pool.status().size)
    assert observer.others("state LIKE 'idle in transaction%'") == 0
    await engine.dispose()
    await asyncio.to_thread(observer.wait_for_others, 0)


async def test_cancelled_while_the_server_works(fresh_database, observer):
    engine = create_async_engine(fresh_database)
    channel = AsyncSessionChannel(engine)
    await channel.send(Statement("SELECT 1", prelude="BEGIN"))
    task = asyncio.create_task(channel.send(Statement("SELECT pg_sleep(60)", prepare=False)))
    waiting = "state = 'active' AND query LIKE '%pg_sleep(60)%'"
    await asyncio.to_thread(observer.wait_for_others, 1, waiting)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not channel.connected
    await asyncio.to_thread(observer.wait_for_others, 0)  # the server stops as well, long before 60 s
    await channel.send(Release(discard=True))
    assert (await engine.execute("SELECT 1 AS one"))[0].one == 1
    await engine.dispose()


async def test_a_cancellation_that_overtakes_its_statement(fresh_database, observer):
    """The server ignores a request to cancel while it is idle: the statement that comes after it must end too."""
    proxy = Proxy(fresh_database, delay=0.3)  # seconds, for statements: a request to cancel passes at once
    engine = create_async_engine(proxy.dsn)
    channel = AsyncSessionChannel(engine)
    sleep = "SELECT pg_sleep($1)"
    await channel.send(Statement(sleep, [0], prelude="BEGIN"))  # prepared: the next time it is one request
    task = asyncio.create_task(channel.send(Statement(sleep, [60])))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(observer.wait_for_others, 0)
    await channel.send(Release(discard=True))
    await engine.dispose()
    proxy.close()


async def test_cancelled_while_waiting_for_a_connection(fresh_database):
    engine = create_async_engine(fresh_database, pool_size=1, max_pool_size=1)
    held = await engine.acquire()
    waiters = [asyncio.create_task(engine.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    assert engine.pool.status().waiting == 3
    waiters[0].cancel()
    await asyncio.wait([waiters[0]])
    assert engine.pool.status().waiting == 2
    await engine.pool.release(held)  # goes to the second, which is cancelled before it wakes up
    waiters[1].cancel()
    await asyncio.wait([waiters[1]])
    assert await waiters[2] is held
    await engine.pool.release(held)
    assert engine.pool.status().in_use == 0
    await engine.dispose()


async def test_cancelled_while_waiting_for_the_right_to_connect(fresh_database):
    engine = create_async_engine(fresh_database, pool_size=1, max_pool_size=1)
    held = await engine.acquire()
    waiters = [asyncio.create_task(engine.acquire()) for _ in range(2)]
    await asyncio.sleep(0)
    await engine.pool.release(held, discard=True)
    waiters[0].cancel()
    await asyncio.wait([waiters[0]])
    connection = await waiters[1]
    assert connection is not held
    await engine.pool.release(connection)
    await engine.dispose()


async def test_a_time_limit_around_a_statement(fresh_database, observer):
    engine = create_async_engine(fresh_database)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await engine.execute("SELECT pg_sleep(60)")
    assert engine.pool.status().in_use == 0
    await asyncio.to_thread(observer.wait_for_others, 0)
    await engine.dispose()


async def test_a_statement_timeout_leaves_the_connection_usable(fresh_database):
    async with create_async_engine(fresh_database, statement_timeout=0.5) as engine:
        async with engine.connect() as connection:
            with pytest.raises(QueryCanceled):
                await connection.execute("SELECT pg_sleep(20)")
            assert (await connection.execute("SELECT 1 AS one"))[0].one == 1


async def test_terminated_idle_and_at_work(fresh_database, observer):
    engine = create_async_engine(fresh_database)
    await engine.execute("SELECT 1")
    await asyncio.to_thread(observer.terminate_others)
    await asyncio.sleep(0)
    assert (await engine.execute("SELECT 1 AS one"))[0].one == 1

    async def work() -> None:
        async with engine.transaction() as connection:
            await connection.execute("SELECT 1")
            await asyncio.to_thread(observer.terminate_others)
            await connection.execute("SELECT 2")

    with pytest.raises(ConnectionLost):
        await work()
    assert engine.pool.status().size == 0
    assert (await engine.execute("SELECT 1 AS one"))[0].one == 1
    await engine.dispose()


async def test_terminated_in_the_middle_of_a_statement(fresh_database, observer):
    engine = create_async_engine(fresh_database)
    task = asyncio.create_task(engine.execute("SELECT pg_sleep(60)"))
    await asyncio.to_thread(observer.wait_for_others, 1, "state = 'active' AND query LIKE '%pg_sleep(60)%'")
    await asyncio.to_thread(observer.terminate_others)
    with pytest.raises(ConnectionLost):
        await task
    assert engine.pool.status().size == 0
    await engine.dispose()


async def test_an_exhausted_pool_says_so_and_recovers(fresh_database):
    engine = create_async_engine(fresh_database, pool_size=1, max_pool_size=1, pool_timeout=0.05)
    held = await engine.acquire()
    with pytest.raises(PoolTimeout, match="all 1 are in use"):
        await engine.acquire()
    assert engine.pool.status().waiting == 0
    await engine.pool.release(held)
    assert (await engine.execute("SELECT 1 AS one"))[0].one == 1
    await engine.dispose()


async def test_many_tasks(fresh_database, observer):
    engine = create_async_engine(fresh_database, pool_size=3, max_pool_size=3)

    async def work(number: int) -> int:
        if number % 10 == 0:
            with pytest.raises(DatabaseError):
                await engine.execute("SELECT 1/0")
        return (await engine.execute("SELECT %s::int AS n", [number]))[0].n

    assert await asyncio.gather(*map(work, range(100))) == list(range(100))
    assert engine.pool.status().in_use == 0
    assert observer.others() == 3
    await engine.dispose()


async def test_a_connection_comes_back_without_its_transaction(fresh_database, observer):
    engine = create_async_engine(fresh_database)
    connection = await engine.acquire()
    await connection.execute(Statement("CREATE TABLE open (id int)", prelude="BEGIN"))
    await engine.pool.release(connection)
    assert observer.others("state = 'idle in transaction'") == 0
    assert observer.query("SELECT to_regclass('open')") == [(None,)]
    await engine.dispose()


async def test_dispose_wakes_those_who_wait(fresh_database):
    engine = create_async_engine(fresh_database, pool_size=1, max_pool_size=1)
    held = await engine.acquire()
    waiting = asyncio.create_task(engine.acquire())
    await asyncio.sleep(0)
    await engine.dispose(timeout=0.01)
    with pytest.raises(PoolClosedError):
        await waiting
    assert held.closed
    with pytest.raises(PoolClosedError):
        await engine.execute("SELECT 1")


def test_one_engine_on_several_event_loops(fresh_database, observer):
    engine = create_async_engine(fresh_database)

    async def use() -> int:
        first, second = await asyncio.gather(*[engine.execute("SELECT pg_backend_pid() AS pid") for _ in range(2)])
        assert first[0].pid != second[0].pid
        return first[0].pid

    first = asyncio.run(use())
    observer.wait_for_others(0)  # the connections have ended with their loop
    assert asyncio.run(use()) != first
    assert engine.pool.status().size == 0


def test_one_engine_on_loops_in_several_threads(fresh_database, observer):
    engine = create_async_engine(fresh_database)
    failures: list[BaseException] = []

    async def use() -> None:
        for number in range(20):
            assert (await engine.execute("SELECT %s::int AS n", [number]))[0].n == number

    def work() -> None:
        try:
            asyncio.run(use())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    observer.wait_for_others(0)


def test_a_loop_that_ends_with_a_connection_in_use(fresh_database, observer):
    engine = create_async_engine(fresh_database)

    async def forget() -> None:
        connection = await engine.acquire()
        await connection.execute(Statement("SELECT 1", prelude="BEGIN"))

    asyncio.run(forget())
    observer.wait_for_others(0)
    assert asyncio.run(engine.execute("SELECT 1 AS one"))[0].one == 1
