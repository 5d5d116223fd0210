"""The pool for tasks: asyncpg connections, those of each event loop apart.

As `psqlmodel.drivers.pool`: `acquire` gives a connection that works, `release` takes it back, rolled back, or
closes it where its state is in doubt. Connections are made when they are needed, never before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from psqlmodel.drivers.slots import (
    MAX_IDLE,
    PROBE,
    PROBE_AFTER,
    AnyConnection,
    Entry,
    PoolStatus,
    Slots,
    timeout_message,
)
from psqlmodel.drivers.sockets import has_news
from psqlmodel.errors import DatabaseError, PoolClosedError, PoolTimeout
from psqlmodel.steps import Copy, Rows, Statement


class AsyncConnection(AnyConnection, Protocol):
    """What a pool needs of an asynchronous connection."""

    async def execute(self, request: Statement | Copy) -> Rows:
        """Send one request."""
        ...

    async def reset(self) -> None:
        """Roll back what is open."""
        ...

    async def close(self) -> None:
        """Close the connection in order."""
        ...

    def terminate(self) -> None:
        """Close the connection at once."""
        ...


A = TypeVar("A", bound=AsyncConnection)
Queue: TypeAlias = deque[tuple[float, asyncio.Future[Any]]]  # who waits, and until when, in the order they came


class _Home(Generic[A]):
    """What an asynchronous pool has on one event loop."""

    __slots__ = ("drained", "guard", "out", "queues", "retiring", "slots")

    def __init__(self, slots: Slots[A, asyncio.Future[Entry[A] | None]]) -> None:
        self.slots = slots
        self.out: dict[A, Entry[A]] = {}
        self.retiring: set[asyncio.Task[None]] = set()
        self.drained = asyncio.Event()
        self.guard: AsyncGenerator[None, None] | None = None
        self.queues: dict[float, Queue] = {}  # by how many seconds they wait at most


class AsyncPool(Generic[A]):
    """Connections shared by the tasks of an event loop, with the parameters of `Pool`.

    A connection lives on the loop that made it, so each loop has its own: one engine serves several calls of
    `asyncio.run`, one after the other or in several threads. When a loop ends, its connections are closed
    with it.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[A]],
        *,
        pool_size: int = 5,
        max_size: int = 10,
        timeout: float = 30.0,
        max_lifetime: float = 3600.0,
    ) -> None:
        self._connect = connect
        self._timeout = timeout
        self._make_slots: Callable[[], Slots[A, asyncio.Future[Entry[A] | None]]] = lambda: Slots(
            pool_size, max_size, MAX_IDLE, max_lifetime
        )
        self._homes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Home[A]] = WeakKeyDictionary()
        self._max_size = max_size
        self._closed = False
        _pools.add(self)

    async def acquire(self, timeout: float | None = None) -> A:
        """Return a connection that works, waiting up to `timeout` seconds for one.

        Raises `PoolTimeout`, `PoolClosedError`, or what connecting raises.
        """
        home = self._homes.get(asyncio.get_running_loop()) or await self._settle()
        while True:
            entry = await self._take(home, self._timeout if timeout is None else timeout)
            if entry is None:
                return await self._open(home)
            connection = entry.connection
            home.out[connection] = entry
            if await self._usable(home, entry):
                return connection
            if connection.closed:
                home.slots.lost_at = time.monotonic()
            self._discard(home, connection)

    async def release(self, connection: A, *, discard: bool = False) -> None:
        """Take a connection back; `discard` closes it instead. A connection that is not out is ignored."""
        home = self._homes.get(asyncio.get_running_loop())
        entry = home.out.get(connection) if home is not None else None
        if home is None or entry is None:
            return
        now = time.monotonic()
        lost = connection.closed
        if lost:
            home.slots.lost_at = now
        if discard or lost or home.slots.closed or home.slots.expired(entry, now):
            self._discard(home, connection)
            return
        if connection.in_transaction:
            try:
                await connection.reset()
            except BaseException as error:
                self._discard(home, connection)
                if not isinstance(error, Exception):
                    raise
                return
        self._give_back(home, entry)

    def abandon(self, connection: A) -> None:
        """Close a connection whose user was dropped without giving it back; needs no running loop."""
        for home in list(self._homes.values()):
            if connection in home.out:
                connection.terminate()  # its user may still wait for an answer, and must hear of it now
                self._discard(home, connection)

    async def close(self, timeout: float | None = None) -> None:
        """Close the pool: idle connections now, those in use when they come back.

        `timeout` is how many seconds to wait for those in use; after them they are closed under their users.
        """
        self._closed = True
        home = self._homes.get(asyncio.get_running_loop())
        if home is None:
            return
        entries, waiters = home.slots.close()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        if timeout is not None:
            if home.out:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(home.drained.wait(), timeout)
            for connection in list(home.out):
                self._discard(home, connection)
        await self._close_all(home, entries)

    async def alive(self, connection: A) -> bool:
        """Tell whether a connection that is out still has its server, as far as that is known on this side."""
        if connection.closed:
            return False
        try:
            readable = has_news(connection.fileno())
        except (OSError, ValueError):  # closed; or more than select can watch: let the probe decide
            readable = True
        return not readable or await _answers(connection)

    def status(self) -> PoolStatus:
        """Return how the pool stands on the running loop; outside of one, on all loops together."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        homes = [home for key, home in self._homes.items() if loop is None or key is loop]
        each = [home.slots.status() for home in homes]
        return PoolStatus(
            sum(status.size for status in each),
            sum(status.idle for status in each),
            sum(status.in_use for status in each),
            sum(status.waiting for status in each),
            self._max_size,
        )

    # --- one loop

    async def _settle(self) -> _Home[A]:
        """Make the accounts for the running loop, and a guard that closes its connections when the loop
        ends.
        """
        if self._closed:
            raise PoolClosedError("the engine is disposed; create a new one")
        self._sweep()
        home: _Home[A] = _Home(self._make_slots())
        self._homes[asyncio.get_running_loop()] = home
        home.guard = self._guard(home)
        await anext(home.guard)
        return home

    async def _guard(self, home: _Home[A]) -> AsyncGenerator[None, None]:
        """Close what is open when the loop closes its asynchronous generators, as `asyncio.run` does at its
        end.
        """
        try:
            yield
        finally:
            self._homes.pop(asyncio.get_running_loop(), None)
            entries, _ = home.slots.close()
            for connection in home.out:
                connection.terminate()
            home.out.clear()
            await self._close_all(home, entries)

    def _sweep(self) -> None:
        """Forget the loops that were closed without closing their asynchronous generators."""
        for loop in [loop for loop in self._homes if loop.is_closed()]:
            home = self._homes.pop(loop)
            for connection in [*home.out, *(entry.connection for entry in home.slots.close()[0])]:
                with contextlib.suppress(RuntimeError):  # its loop can't do the work any more
                    connection.terminate()

    async def _take(self, home: _Home[A], timeout: float) -> Entry[A] | None:
        slots = home.slots
        if slots.closed or self._closed:
            raise PoolClosedError("the engine is disposed; create a new one")
        entry = slots.take_idle()
        if entry is not None or slots.may_connect():
            return entry
        waiter: asyncio.Future[Entry[A] | None] = asyncio.get_running_loop().create_future()
        slots.waiters.append(waiter)
        queue = _queue_of(home, timeout)
        queue.append((asyncio.get_running_loop().time() + timeout, waiter))
        try:
            entry = await waiter
        except TimeoutError:
            raise PoolTimeout(timeout_message(slots.status(), timeout)) from None
        except BaseException:
            self._withdraw(home, waiter)
            raise
        finally:
            while queue and queue[0][1].done():  # they are served in the order they came
                _ = queue.popleft()
        if entry is None and slots.closed:
            raise PoolClosedError("the engine was disposed while this call waited for a connection")
        return entry

    def _withdraw(self, home: _Home[A], waiter: asyncio.Future[Entry[A] | None]) -> None:
        """Undo a wait that was cancelled, whatever it was given in the meantime."""
        if waiter.cancelled() or waiter.exception() is not None:
            with contextlib.suppress(ValueError):  # it is no longer there
                home.slots.waiters.remove(waiter)
            return
        entry = waiter.result()
        if entry is not None:
            self._give_back(home, entry)
        elif not home.slots.closed:
            self._free_slot(home)

    async def _open(self, home: _Home[A]) -> A:
        try:
            connection = await self._connect()
        except BaseException:
            self._free_slot(home)
            raise
        home.out[connection] = Entry(connection, time.monotonic())
        return connection

    async def _usable(self, home: _Home[A], entry: Entry[A]) -> bool:
        now = time.monotonic()
        connection = entry.connection
        if connection.closed:
            return False
        if home.slots.expired(entry, now):
            return False
        if now - entry.returned < PROBE_AFTER and not home.slots.suspected(entry):
            return True
        try:
            return await _answers(connection)
        except BaseException:
            self._discard(home, connection)
            raise

    def _give_back(self, home: _Home[A], entry: Entry[A]) -> None:
        home.out.pop(entry.connection, None)
        entry.returned = time.monotonic()
        waiter = home.slots.give_back(entry)
        while waiter is not None and waiter.done():  # cancelled, and has not heard of it yet
            waiter = home.slots.give_back(entry)
        if waiter is not None:
            waiter.set_result(entry)
        for old in home.slots.take_surplus(entry.returned):
            self._retire(home, old.connection)

    def _discard(self, home: _Home[A], connection: A) -> None:
        """Close a connection in the background and pass its slot on."""
        home.out.pop(connection, None)
        self._retire(home, connection)
        self._free_slot(home)

    def _free_slot(self, home: _Home[A]) -> None:
        waiter = home.slots.give_up()
        while waiter is not None and waiter.done():
            waiter = home.slots.give_up()
        if waiter is not None:
            waiter.set_result(None)
        elif home.slots.closed and not home.slots.used:
            home.drained.set()

    def _retire(self, home: _Home[A], connection: A) -> None:
        if connection.closed:
            connection.terminate()
            return
        task = asyncio.get_running_loop().create_task(_close(connection))
        home.retiring.add(task)
        task.add_done_callback(home.retiring.discard)

    def _forked(self) -> None:
        """Begin anew in a child process: loops and connections belong to the parent, and so do the sockets."""
        from psqlmodel.drivers.inherited import keep  # the driver did so before, if there are connections

        homes = list(self._homes.values())
        self._homes = WeakKeyDictionary()
        for home in homes:
            keep(home.slots)
            home.slots = self._make_slots()
            for connection in home.out:
                connection.disown()
            home.out.clear()

    async def _close_all(self, home: _Home[A], entries: list[Entry[A]]) -> None:
        for entry in entries:
            self._retire(home, entry.connection)
        if home.retiring:
            await asyncio.wait(list(home.retiring))


_pools: WeakSet[AsyncPool[Any]] = WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _queue_of(home: _Home[Any], timeout: float) -> Queue:
    """Return the queue of those who wait so many seconds at most, with an alarm for the first of them.

    An alarm for each, or `asyncio.wait`, is a fortieth to a twentieth of a transaction that waits for its connection.
    """
    queue = home.queues.get(timeout)
    if queue is None:
        queue = home.queues[timeout] = deque()
        _ = asyncio.get_running_loop().call_later(timeout, _give_up, home, timeout)
    return queue


def _give_up(home: _Home[Any], timeout: float) -> None:
    """End the waits that took so many seconds, and set the alarm for the next."""
    queue, loop = home.queues[timeout], asyncio.get_running_loop()
    while queue and (queue[0][1].done() or queue[0][0] <= loop.time()):
        _, waiter = queue.popleft()
        if not waiter.done():
            home.slots.waiters.remove(waiter)
            waiter.set_exception(TimeoutError())
    if queue:
        _ = loop.call_at(queue[0][0], _give_up, home, timeout)
    else:
        del home.queues[timeout]


async def _answers(connection: AsyncConnection) -> bool:
    try:
        _ = await connection.execute(PROBE)
    except DatabaseError:
        return False
    return True


async def _close(connection: AsyncConnection) -> None:
    """Close a connection in order, or at once where that fails.

    In order, because asyncpg then waits until a cancelled query has ended on the server as well.
    """
    try:
        await connection.close()
    except Exception:
        connection.terminate()
    except BaseException:
        connection.terminate()
        raise
