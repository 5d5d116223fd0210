"""Isolation: an engine whose sessions all work in one transaction, which is rolled back at the end of a test.

`isolate(engine)` puts a pool in the place of the engine's that hands out leases of one connection. So whatever uses the
engine joins: sessions of the test and of the code under test, `engine.execute`, `engine.run`, bulk work. The code may
commit; handlers of `after_commit` run; nothing of it stays. Between `begin` and `end` only. No transaction is ever
committed on the server.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from psqlmodel.core.engine.jobs import AsyncDirect, Direct
from psqlmodel.drivers.slots import PoolStatus
from psqlmodel.errors import SessionError
from psqlmodel.steps import Copy, Rows, Statement, Steps, run, run_async
from psqlmodel.testing.joining import Lease
from psqlmodel.testing.nesting import Nesting

if TYPE_CHECKING:
    from psqlmodel.core.engine import Engine
    from psqlmodel.core.engine.async_engine import AsyncEngine

_BEGIN: Final = Statement("BEGIN ISOLATION LEVEL READ COMMITTED", prepare=False, purpose="transaction")
_ROLLBACK: Final = Statement("ROLLBACK", prepare=False, purpose="transaction")
_OUTSIDE: Final = (
    "the engine of the tests works while a test runs that asks for it, by the fixture engine, async_engine, session or "
    "async_session; what is to be there for all tests is made by the fixture psqlmodel_setup"
)
_OVER: Final = "this belongs to a test that has ended: close sessions and streams within the test that opened them"


class _Place:
    """The connection of one test, and who works on it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.nesting = Nesting()
        self.abandoned: list[Lease] = []
        self.leases = 0
        self.over = False

    def steps(self, steps: Steps[Any]) -> Steps[Any]:
        """Run steps of a lease, after the transactions of those that were dropped are rolled back."""
        if self.over:
            raise SessionError(_OVER)
        while self.abandoned:
            yield from self.abandoned.pop().reset()
        return (yield from steps)

    def lease(self) -> Lease:
        self.leases += 1
        return Lease(self.nesting, self.connection.pid)


class _Leased:
    """A lease in the hands of a session: what it takes for its connection."""

    pooled = False

    def __init__(self, lock: Any, place: _Place) -> None:
        self._lock = lock
        self.place = place
        self.lease = place.lease()
        self.pid: int = place.connection.pid

    @property
    def closed(self) -> bool:
        """True when the connection of the test is lost."""
        return bool(self.place.connection.closed)

    @property
    def in_transaction(self) -> bool:
        """True when a transaction of this user is open."""
        return not self.place.over and self.lease.in_transaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self.place.connection, name)  # what observers ask of a connection

    def abandon(self) -> None:
        """Leave what is open to be rolled back before the next statement; twice does no harm."""
        if self.in_transaction:
            self.place.abandoned.append(self.lease)


class _SyncLeased(_Leased):
    def execute(self, request: Statement | Copy) -> Rows:
        """Send one request."""
        rows: Rows = self.drive(self.lease.execute(request))
        return rows

    def drive(self, steps: Steps[Any]) -> Any:
        """Run steps on the connection; one thread at a time."""
        with self._lock:
            return run(self.place.steps(steps), Direct(self.place.connection))


class _AsyncLeased(_Leased):
    async def execute(self, request: Statement | Copy) -> Rows:
        """Send one request."""
        rows: Rows = await self.drive(self.lease.execute(request))
        return rows

    async def drive(self, steps: Steps[Any]) -> Any:
        """Run steps on the connection; one task at a time."""
        async with self._lock:
            return await run_async(self.place.steps(steps), AsyncDirect(self.place.connection))


class IsolatedPool:
    """The pool of a synchronous engine under test, in front of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pool: Any = engine.pool
        self._lock = threading.RLock()
        self._open = False
        self._place: _Place | None = None

    def begin(self) -> None:
        """Begin a test."""
        self._open = True

    def end(self) -> None:
        """End the test: roll back whatever was done."""
        with self._lock:
            place, self._place, self._open = self._place, None, False
            if place is None:
                return
            place.over = True
            try:
                if not place.connection.closed:
                    _ = place.connection.execute(_ROLLBACK)
            finally:
                self._pool.release(place.connection)
            if place.nesting.reshaped:
                self._engine.catalog.invalidate()

    def acquire(self, timeout: float | None = None) -> _SyncLeased:
        """Return a lease of the connection."""
        with self._lock:
            if not self._open:
                raise SessionError(_OUTSIDE)
            if self._place is None:
                connection = self._pool.acquire(timeout)
                _ = connection.execute(_BEGIN)
                self._place = _Place(connection)
            return _SyncLeased(self._lock, self._place)

    def release(self, connection: _SyncLeased, *, discard: bool = False) -> None:
        """End a lease: what is open is rolled back, as a pool does."""
        connection.place.leases -= 1
        if connection.in_transaction and not connection.closed:
            connection.drive(connection.lease.reset())

    def alive(self, connection: _SyncLeased) -> bool:
        """Tell whether the connection still has its server."""
        return not connection.closed

    def status(self) -> PoolStatus:
        """Return how the pool stands: each lease counts as a connection."""
        return _status(self._pool, [self._place])

    def close(self, timeout: float | None = None) -> None:
        """Close the engine's own pool; not while a test runs: a program that disposes of its engine has others' too."""
        if not self._open:
            self._pool.close(timeout)


class AsyncIsolatedPool:
    """The pool of an asynchronous engine under test: one connection for each event loop of a test.

    `cut` ends, by the server, the connections of these process ids, and returns when they are gone: those whose event
    loop can do nothing more for them.
    """

    def __init__(self, engine: AsyncEngine, cut: Callable[[list[int]], object]) -> None:
        self._engine = engine
        self._pool: Any = engine.pool
        self._cut = cut
        self._open = False
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._places: dict[asyncio.AbstractEventLoop, _Place] = {}

    def begin(self) -> None:
        """Begin a test."""
        self._open = True

    def end(self) -> None:
        """End the test, from outside of its event loop: roll back whatever was done."""
        places, self._places, self._open = self._places, {}, False
        lost: list[int] = []
        for loop, place in places.items():
            place.over = True
            if not (loop.is_closed() or loop.is_running()):
                loop.run_until_complete(self._end(place))
                continue
            lost.append(place.connection.pid)
            if loop.is_running():  # in another thread
                _ = loop.call_soon_threadsafe(self._pool.abandon, place.connection)
        if lost:
            _ = self._cut(lost)
        if any(place.nesting.reshaped for place in places.values()):
            self._engine.catalog.invalidate()

    async def _end(self, place: _Place) -> None:
        try:
            if not place.connection.closed:
                await place.connection.execute(_ROLLBACK)
        finally:
            await self._pool.release(place.connection)

    async def acquire(self, timeout: float | None = None) -> _AsyncLeased:
        """Return a lease of the connection."""
        if not self._open:
            raise SessionError(_OUTSIDE)
        loop = asyncio.get_running_loop()
        lock = self._locks.setdefault(loop, asyncio.Lock())
        async with lock:
            place = self._places.get(loop)
            if place is None:
                connection = await self._pool.acquire(timeout)
                await connection.execute(_BEGIN)
                place = self._places[loop] = _Place(connection)
        return _AsyncLeased(lock, place)

    async def release(self, connection: _AsyncLeased, *, discard: bool = False) -> None:
        """End a lease: what is open is rolled back, as a pool does."""
        connection.place.leases -= 1
        if connection.in_transaction and not connection.closed:
            await connection.drive(connection.lease.reset())

    def abandon(self, connection: _AsyncLeased) -> None:
        """End a lease whose user was dropped; needs no running loop."""
        connection.place.leases -= 1
        connection.abandon()

    async def alive(self, connection: _AsyncLeased) -> bool:
        """Tell whether the connection still has its server."""
        return not connection.closed

    def status(self) -> PoolStatus:
        """Return how the pool stands: each lease counts as a connection."""
        return _status(self._pool, list(self._places.values()))

    async def close(self, timeout: float | None = None) -> None:
        """Close the engine's own pool; not while a test runs."""
        if not self._open:
            await self._pool.close(timeout)


def isolate(engine: Engine) -> IsolatedPool:
    """Have all that uses a synchronous engine work in one transaction for each test: `begin()`, then `end()`."""
    made: IsolatedPool = _put(engine, IsolatedPool(engine))
    return made


def isolate_async(engine: AsyncEngine, cut: Callable[[list[int]], object]) -> AsyncIsolatedPool:
    """Do for an asynchronous engine what `isolate` does; `cut` as in `AsyncIsolatedPool`."""
    made: AsyncIsolatedPool = _put(engine, AsyncIsolatedPool(engine, cut))
    return made


def _put(engine: Any, pool: Any) -> Any:
    engine.pool = pool
    # Else the very first session would begin a transaction in order to read. The server corrects it, when it is asked.
    engine.catalog.read_committed = True
    return pool


def dispose(engine: AsyncEngine) -> None:
    """Dispose of an asynchronous engine from outside of the event loops on which it was used, where they are left."""
    for loop in list(engine.pool._homes):
        if not loop.is_closed() and not loop.is_running():
            loop.run_until_complete(engine.dispose())


def _status(pool: Any, places: list[_Place | None]) -> PoolStatus:
    used = sum(place.leases for place in places if place is not None)
    return PoolStatus(used, 0, used, 0, max(pool.status().max_size, used))
