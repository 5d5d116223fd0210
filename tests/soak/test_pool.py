"""A pool under ten times more tasks than it has connections, while tasks are cancelled and connections ended.

Each task moves one unit between two accounts and notes the transfer in the same transaction. In the end every transfer
that was reported as done is there once, none that was reported as not done is there, and no money came or went.
A few seconds by default; `make soak` takes 60 (PSQLMODEL_SOAK=seconds).
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import pytest

from psqlmodel import (
    AsyncSession,
    Column,
    CommitOutcomeUnknown,
    ConnectionLost,
    PSQLModel,
    Select,
    Session,
    create_async_engine,
    create_engine,
    table,
)
from tests.faults.engines import now
from tests.faults.server import Observer

SECONDS = float(os.environ.get("PSQLMODEL_SOAK", "3"))
CONNECTIONS = 5
TASKS = 10 * CONNECTIONS
ACCOUNTS = 20
BALANCE = 1000

pytestmark = pytest.mark.timeout(SECONDS * 3 + 120)


@table("soak_accounts")
class Account(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    balance: Column[int]


@table("soak_transfers")
class Transfer(PSQLModel):
    id: Column[UUID] = Column(primary_key=True)
    units: Column[int]


class Ledger:
    """What the tasks were told: which transfers are done, which may be, and how they ended."""

    def __init__(self) -> None:
        self.done: set[UUID] = set()
        self.perhaps: set[UUID] = set()
        self.ends: Counter[str] = Counter()
        self.ended = 0

    def note(self, transfer: UUID, error: BaseException | None) -> None:
        """Note how a transfer ended. A cancellation may have come while COMMIT was under way."""
        self.ends[type(error).__name__ if error else "done"] += 1
        if error is None:
            self.done.add(transfer)
        elif isinstance(error, CommitOutcomeUnknown | asyncio.CancelledError):
            self.perhaps.add(transfer)

    def check(self, observer: Observer) -> None:
        """Compare with what the database has, and print what there was."""
        print(f"{SECONDS:g} s, {TASKS} at once on {CONNECTIONS} connections, {self.ended} ended: {dict(self.ends)}")
        assert self.ended > 0
        rows = [UUID(str(row[0])) for row in observer.query("SELECT id FROM soak_transfers")]
        found = set(rows)
        assert len(rows) == len(found)
        assert self.done <= found <= self.done | self.perhaps
        assert observer.query("SELECT sum(balance) FROM soak_accounts") == [(ACCOUNTS * BALANCE,)]
        assert self.ends["done"] > TASKS


@pytest.fixture
def observer(fresh_database: str) -> Any:
    with create_engine(fresh_database) as engine:
        engine.create_all([Account, Transfer])
        with Session(engine) as session:
            session.add_all([Account(id=number, balance=BALANCE) for number in range(ACCOUNTS)])
            session.commit()
    opened = Observer(fresh_database)
    yield opened
    opened.close()


def pick() -> tuple[int, int]:
    """Two accounts, in the order in which all tasks lock them."""
    low, high = sorted(random.sample(range(ACCOUNTS), 2))
    return low, high


def end_some(observer: Observer, until: float, stop: threading.Event, ledger: Ledger) -> None:
    """End the connection of somebody, some ten times a second, and wait until it has ended.

    One whose end is on its way only would still look alive to `bury_the_dead`.
    """
    while time.monotonic() < until and not stop.wait(0.1):
        ended = observer.query(
            """SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = current_database()
            AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"""
        )
        ledger.ended += len(ended)


async def bury_the_dead(pool: Any) -> None:
    """Take those out of the pool that were ended while they rested: nobody has met them since."""
    held = [await now(pool.acquire()) for _ in range(pool.status().idle)]
    for connection in held:
        await now(pool.release(connection, discard=not await now(pool.alive(connection))))


def settled(observer: Observer, engine: Any, ledger: Ledger) -> None:
    status = engine.pool.status()
    assert (status.in_use, status.waiting) == (0, 0)
    assert status.size <= CONNECTIONS
    observer.wait_for_others(status.size)
    observer.wait_for_others(0, "state <> 'idle'")
    ledger.check(observer)


def test_threads(fresh_database: str, observer: Observer) -> None:
    ledger = Ledger()
    failures: list[BaseException] = []
    until = time.monotonic() + SECONDS
    with create_engine(fresh_database, pool_size=CONNECTIONS, max_pool_size=CONNECTIONS) as engine:

        def transfer() -> None:
            identifier, (low, high) = uuid4(), pick()
            error = None
            try:
                with Session(engine) as session:
                    assert len(session.exec(Select(Account)).all()) == ACCOUNTS  # a read before, outside of it
                    session.rollback()
                    source = session.get(Account, low, lock="update")
                    target = session.get(Account, high, lock="update")
                    source.balance -= 1
                    target.balance += 1
                    session.add(Transfer(id=identifier, units=1))
                    session.commit()
            except ConnectionLost as caught:
                error = caught
            ledger.note(identifier, error)

        def live() -> None:
            try:
                while time.monotonic() < until:
                    transfer()
            except BaseException as caught:
                failures.append(caught)

        ending = threading.Thread(target=end_some, args=(observer, until, threading.Event(), ledger))
        threads = [threading.Thread(target=live) for _ in range(TASKS)]
        for thread in [ending, *threads]:
            thread.start()
        for thread in [ending, *threads]:
            thread.join()
        assert not failures, failures[0]
        asyncio.run(bury_the_dead(engine.pool))
        settled(observer, engine, ledger)
    observer.wait_for_others(0)


async def test_tasks(fresh_database: str, observer: Observer) -> None:
    ledger = Ledger()
    until = time.monotonic() + SECONDS
    async with create_async_engine(fresh_database, pool_size=CONNECTIONS, max_pool_size=CONNECTIONS) as engine:

        async def transfer() -> None:
            identifier, (low, high) = uuid4(), pick()
            error: BaseException | None = None
            try:
                async with AsyncSession(engine) as session:
                    assert len(await session.exec(Select(Account)).all()) == ACCOUNTS
                    await session.rollback()
                    source = await session.get(Account, low, lock="update")
                    target = await session.get(Account, high, lock="update")
                    source.balance -= 1
                    target.balance += 1
                    await session.add(Transfer(id=identifier, units=1))
                    await session.commit()
            except (ConnectionLost, asyncio.CancelledError) as caught:
                error = caught
            ledger.note(identifier, error)

        async def live() -> None:
            while time.monotonic() < until:
                task = asyncio.create_task(transfer())
                if random.random() < 0.1:
                    for _ in range(random.randrange(200)):
                        await asyncio.sleep(0)
                    task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result()
                else:
                    ledger.ends["cancelled before it began"] += 1

        stop = threading.Event()
        ending = asyncio.create_task(asyncio.to_thread(end_some, observer, until, stop, ledger))
        try:
            await asyncio.gather(*[live() for _ in range(TASKS)])
        finally:
            stop.set()
            await ending
        await bury_the_dead(engine.pool)
        await asyncio.to_thread(settled, observer, engine, ledger)
    await asyncio.to_thread(observer.wait_for_others, 0)
