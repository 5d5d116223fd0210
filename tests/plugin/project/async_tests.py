"""Tests that a user of psqlmodel writes, on the asynchronous fixtures; RUNNER is pytest-asyncio or anyio."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from shop import Customer, Order, Place, emails_async, register_async

from psqlmodel import (
    AsyncEngine,
    AsyncSession,
    DataError,
    ReadOnlyTransaction,
    Select,
    SessionError,
    UniqueViolation,
)

pytestmark = pytest.mark.RUNNER


@pytest.mark.parametrize("time", range(3))
async def test_what_the_session_commits_is_gone_for_the_next_test(async_session: AsyncSession, time: int) -> None:
    assert await emails_async(async_session) == ["seed"]
    await async_session.add(Customer(name="Bob", email="bob"))
    await async_session.commit()
    assert await emails_async(async_session) == ["bob", "seed"]


@pytest.mark.parametrize("time", range(2))
async def test_what_the_program_commits_is_seen_and_gone(
    async_engine: AsyncEngine, async_session: AsyncSession, time: int
) -> None:
    assert await emails_async(async_session) == ["seed"]
    key = await register_async(async_engine, "ada")
    found = await async_session.get(Customer, key)
    assert found is not None
    assert found.email == "ada"
    await async_session.delete(found)  # the fixture closes what is open


async def test_all_ways_into_the_database_join(async_engine: AsyncEngine, async_session: AsyncSession) -> None:
    await async_engine.execute("INSERT INTO customers (name, email) VALUES (%s, %s)", ["a", "execute"])
    async with async_engine.transaction() as connection:
        await connection.execute("INSERT INTO customers (name, email) VALUES ('a', 'transaction')")

    async def add(session: AsyncSession) -> None:
        await session.add(Customer(name="a", email="run"))

    await async_engine.run(add)
    await async_session.bulk_insert([Customer(name="a", email="bulk")])
    await async_session.commit()
    assert await emails_async(async_session) == ["bulk", "execute", "run", "seed", "transaction"]
    found = await async_session.parallel_exec([Select(Customer), Select(Customer.email)], consistent=True)
    assert [len(each) for each in found] == [5, 5]


async def test_tasks_of_the_program(async_engine: AsyncEngine, async_session: AsyncSession) -> None:
    keys = await asyncio.gather(*[register_async(async_engine, f"task {n}") for n in range(20)])
    assert len(set(keys)) == 20
    assert len(await emails_async(async_session)) == 21


async def test_a_task_that_is_cancelled(async_engine: AsyncEngine, async_session: AsyncSession) -> None:
    await register_async(async_engine, "ada")
    started = asyncio.Event()

    async def wait() -> None:
        async with AsyncSession(async_engine) as session:
            await session.add(Customer(name="a", email="never"))
            await session.flush()
            started.set()
            await session.exec("SELECT pg_sleep(60)")

    task = asyncio.create_task(wait())
    await started.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await emails_async(async_session) == ["ada", "seed"]


async def test_an_error_takes_only_its_own_transaction_along(
    async_engine: AsyncEngine, async_session: AsyncSession
) -> None:
    await register_async(async_engine, "ada")
    with pytest.raises(UniqueViolation):
        await register_async(async_engine, "ada")
    with pytest.raises(DataError):
        await async_engine.execute("SELECT 1 / 0")
    await async_session.add(Customer(name="Bob", email="bob"))
    await async_session.commit()
    assert await emails_async(async_session) == ["ada", "bob", "seed"]


async def test_sessions_within_each_other(async_engine: AsyncEngine, async_session: AsyncSession) -> None:
    await async_session.add(Customer(name="a", email="outer"))
    await async_session.flush()
    await register_async(async_engine, "inner")
    with pytest.raises(SessionError, match="fresh_engine"):
        await async_session.rollback()
    await async_session.commit()
    assert await emails_async(async_session) == ["inner", "outer", "seed"]


async def test_a_deferred_constraint_is_checked_by_commit(async_session: AsyncSession) -> None:
    await async_session.add_all([Place(position=1), Place(position=2)])
    await async_session.flush()
    await async_session.exec("UPDATE places SET position = 1")
    with pytest.raises(UniqueViolation):
        await async_session.commit()
    assert await async_session.exec(Select(Place)).all() == []


async def test_a_session_that_only_reads(async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine, read_only=True) as reading:
        await reading.add(Customer(name="a", email="a"))
        with pytest.raises(ReadOnlyTransaction):
            await reading.flush()
    await register_async(async_engine, "ada")


async def test_a_table_that_the_test_makes(async_engine: AsyncEngine, async_session: AsyncSession) -> None:
    assert len(await async_session.exec(Select(Customer)).all()) == 1
    await async_engine.execute("CREATE TABLE made_by_a_test (n int)")
    await async_engine.execute("ALTER TABLE customers ADD COLUMN extra int")
    assert len(await async_session.exec(Select(Customer)).all()) == 1


async def test_one_database_of_its_own(fresh_async_engine: AsyncEngine, async_session: AsyncSession) -> None:
    await register_async(fresh_async_engine, "fresh")
    async with AsyncSession(fresh_async_engine) as one:
        assert await emails_async(one) == ["fresh", "seed"]
    assert await emails_async(async_session) == ["seed"]


async def test_orders_and_statements(
    async_session: AsyncSession, async_make: Any, assert_statements: Any, no_n_plus_one: Any
) -> None:
    orders = await async_make.many(Order, 3)
    assert len({order.customer.email for order in orders}) == 3
    await async_session.commit()
    with assert_statements(2), no_n_plus_one():
        await async_session.exec(Select(Order).Include(Order.customer)).all()
        async_session.strict = True
        await async_session.exec(Select(Customer)).all()
    with pytest.raises(AssertionError, match="3 statements for"), no_n_plus_one():
        for order in orders:
            await async_session.exec(Select(Customer).Where(Customer.id == order.customer_id)).one()


async def test_leaves_a_transaction_open(async_engine: AsyncEngine) -> None:
    session = AsyncSession(async_engine)
    await session.add(Customer(name="a", email="left"))
    await session.flush()
    kept.append(session)


kept: list[Any] = []
