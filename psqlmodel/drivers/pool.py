"""The pools: `Pool` for threads (psycopg2), `AsyncPool` for tasks (asyncpg).

`acquire` gives a connection that works and is in no transaction; `release` takes it back, rolled back, or closes
it where its state is in doubt. Connections are made when they are needed, never before. A pool knows no session,
and sends no SQL but ROLLBACK and, after a long idle time, a probe.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from psqlmodel.drivers.slots import Entry, PoolStatus, Slots
from psqlmodel.errors import DatabaseError, PoolClosedError, PoolTimeout
from psqlmodel.steps import Copy, Rows, Statement

__all__ = ["AsyncConnection", "AsyncPool", "Connection", "Pool", "PoolStatus"]

MAX_IDLE = 300.0  # seconds until a connection beyond `pool_size` is closed
PROBE_AFTER = 60.0  # seconds of rest after which a connection is asked: firewalls drop quiet ones silently
LOOK_AFTER = 0.5  # seconds of rest after which the socket is looked at, which costs 2 µs
_PROBE = Statement("SELECT 1", prepare=False, purpose="pool")


class Connection(Protocol):
    """What a pool needs of a synchronous connection."""

    @property
    def closed(self) -> bool: ...
    @property
    def in_transaction(self) -> bool: ...
    @property
    def pid(self) -> int: ...
    def fileno(self) -> int: ...
    def execute(self, request: Statement | Copy) -> Rows: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


class AsyncConnection(Protocol):
    """What a pool needs of an asynchronous connection."""

    @property
    def closed(self) -> bool: ...
    @property
    def in_transaction(self) -> bool: ...
    @property
    def pid(self) -> int: ...
    async def execute(self, request: Statement | Copy) -> Rows: ...
    async def reset(self) -> None: ...
    async def close(self) -> None: ...
    def terminate(self) -> None: ...


C = TypeVar("C", bound=Connection)
A = TypeVar("A", bound=AsyncConnection)


class _Waiter(Generic[C]):
    """A thread that waits: it is given an entry, the right to connect (no entry), or told that the pool closed."""

    __slots__ = ("entry", "granted", "ready")

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.granted = False
        self.entry: Entry[C] | None = None

    def grant(self, entry: Entry[C] | None) -> None:
        self.granted = True
        self.entry = entry
        self.ready.set()


class Pool(Generic[C]):
    """Connections shared by threads.

    `connect` opens one; `pool_size` connections stay open when nobody needs them, `max_size` is the limit;
    `timeout` is how long `acquire` waits, `max_lifetime` how old a connection may become (both in seconds).
    """

    def __init__(
        self,
        connect: Callable[[], C],
        *,
        pool_size: int = 5,
        max_size: int = 10,
        timeout: float = 30.0,
        max_lifetime: float = 3600.0,
    ) -> None:
        self._connect = connect
        self._timeout = timeout
        self._make_slots: Callable[[], Slots[C, _Waiter[C]]] = lambda: Slots(
            pool_size, max_size, MAX_IDLE, max_lifetime
        )
        self._start()
        _pools.add(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._slots = self._make_slots()
        self._out: dict[C, Entry[C]] = {}

    def acquire(self, timeout: float | None = None) -> C:
        """Return a connection that works, waiting up to `timeout` seconds for one.

        Raises `PoolTimeout`, `PoolClosedError`, or what connecting raises.
        """
        while True:
            entry = self._take(self._timeout if timeout is None else timeout)
            if entry is None:
                return self._open()
            if self._usable(entry):
                self._out[entry.connection] = entry
                return entry.connection
            self._drop(entry.connection)

    def release(self, connection: C, *, discard: bool = False) -> None:
        """Take a connection back; `discard` closes it instead. A connection that is not out is ignored."""
        entry = self._out.pop(connection, None)
        if entry is None:
            return  # given back before, or taken by the parent of this process
        if discard or not _clean(connection) or self._slots.expired(entry, time.monotonic()):
            self._drop(connection)
            return
        with self._lock:
            closed = self._slots.closed
            if not closed:
                entry.returned = time.monotonic()
                waiter = self._slots.give_back(entry)
                if waiter is not None:
                    waiter.grant(entry)
                surplus = self._slots.take_surplus(entry.returned)
        if closed:
            self._drop(connection)
            return
        for old in surplus:
            old.connection.close()

    def close(self, timeout: float | None = None) -> None:
        """Close the pool: idle connections now, those in use when they come back.

        `timeout` is how many seconds to wait for those in use; after them they are closed under their users.
        """
        with self._lock:
            entries, waiters = self._slots.close()
            for waiter in waiters:
                waiter.grant(None)
        for entry in entries:
            entry.connection.close()
        if timeout is not None:
            self._close_used(time.monotonic() + timeout)

    def status(self) -> PoolStatus:
        """Return how the pool stands."""
        with self._lock:
            return self._slots.status()

    # --- how acquire waits ---

    def _take(self, timeout: float) -> Entry[C] | None:
        """Take an idle connection, or the right to open one (None), waiting for either."""
        with self._lock:
            slots = self._slots
            if slots.closed:
                raise PoolClosedError("the engine is disposed; create a new one")
            entry = slots.take_idle()
            if entry is not None or slots.may_connect():
                return entry
            waiter: _Waiter[C] = _Waiter()
            slots.waiters.append(waiter)
        try:
            waiter.ready.wait(timeout)
        except BaseException:
            self._withdraw(waiter)
            raise
        return self._granted(waiter, timeout)

    def _granted(self, waiter: _Waiter[C], timeout: float) -> Entry[C] | None:
        with self._lock:
            if not waiter.granted:
                self._slots.waiters.remove(waiter)
                raise PoolTimeout(_timeout_message(self._slots.status(), timeout))
            if waiter.entry is None and self._slots.closed:
                raise PoolClosedError("the engine was disposed while this call waited for a connection")
            return waiter.entry

    def _withdraw(self, waiter: _Waiter[C]) -> None:
        """Undo a wait that was interrupted (Ctrl-C), whatever it was given in the meantime."""
        with self._lock:
            if not waiter.granted:
                self._slots.waiters.remove(waiter)
                return
        if waiter.entry is not None:
            self._out[waiter.entry.connection] = waiter.entry
            self.release(waiter.entry.connection)
        elif not self._slots.closed:
            self._free_slot()

    def _open(self) -> C:
        try:
            connection = self._connect()
        except BaseException:
            self._free_slot()
            raise
        self._out[connection] = Entry(connection, time.monotonic())
        return connection

    def _usable(self, entry: Entry[C]) -> bool:
        now = time.monotonic()
        rest = now - entry.returned
        if rest < LOOK_AFTER:
            return not entry.connection.closed
        if self._slots.expired(entry, now) or entry.connection.closed or _has_news(entry.connection):
            return False
        return rest < PROBE_AFTER or _answers(entry.connection)

    def _drop(self, connection: C) -> None:
        """Close a connection and pass its slot on."""
        try:
            connection.close()
        finally:
            self._free_slot()

    def _free_slot(self) -> None:
        with self._lock:
            waiter = self._slots.give_up()
            if waiter is not None:
                waiter.grant(None)

    def _close_used(self, deadline: float) -> None:
        pause = threading.Event()
        while self._out and time.monotonic() < deadline:
            pause.wait(0.01)
        for connection in list(self._out):
            self.release(connection, discard=True)

    def _forked(self) -> None:
        """Begin anew in a child process: the connections belong to the parent, and so do their sockets."""
        _inherited.append(self._slots)
        _inherited.append(self._out)
        self._start()


# Connections of a parent process: kept, because closing them here would end the parent's sessions.
_inherited: list[object] = []
_pools: WeakSet[Pool[Connection]] = WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _clean(connection: Connection) -> bool:
    """Bring a connection into the state in which it may be given out again; False if that fails."""
    if connection.closed:
        return False
    if not connection.in_transaction:
        return True
    try:
        connection.reset()
    except Exception:  # whatever the driver raises: it is closed, not used again
        return False
    return not connection.closed and not connection.in_transaction


def _has_news(connection: Connection) -> bool:
    """Tell whether the socket of an idle connection is readable: the server has closed it or is about to."""
    try:
        readable, _, _ = select.select([connection.fileno()], [], [], 0)
    except (OSError, ValueError):  # closed; or more descriptors than select can watch: let the probe decide
        return not _answers(connection)
    return bool(readable) and not _answers(connection)  # a NOTIFY or a changed setting is readable as well


def _answers(connection: Connection) -> bool:
    try:
        connection.execute(_PROBE)
    except DatabaseError:
        return False
    return True


def _timeout_message(status: PoolStatus, timeout: float) -> str:
    return (
        f"no connection became free within {timeout:g} s: all {status.max_size} are in use and "
        f"{status.waiting} more callers wait. Close sessions that are done, or raise max_pool_size or pool_timeout"
    )


# --- tasks --------------------------------------------------------------------------------------------------------


class _Home(Generic[A]):
    """What an asynchronous pool has on one event loop."""

    __slots__ = ("guard", "out", "retiring", "slots")

    def __init__(self, slots: Slots[A, asyncio.Future[Entry[A] | None]]) -> None:
        self.slots = slots
        self.out: dict[A, Entry[A]] = {}
        self.retiring: set[asyncio.Task[None]] = set()
        self.guard: AsyncGenerator[None, None] | None = None


class AsyncPool(Generic[A]):
    """Connections shared by the tasks of an event loop, with the parameters of `Pool`.

    A connection lives on the loop that made it, so each loop has its own: one engine serves several calls of
    `asyncio.run`, one after the other or in several threads. When a loop ends, its connections are closed with it.
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
            self._discard(home, connection)

    async def release(self, connection: A, *, discard: bool = False) -> None:
        """Take a connection back; `discard` closes it instead. A connection that is not out is ignored."""
        home = self._homes.get(asyncio.get_running_loop())
        entry = home.out.get(connection) if home is not None else None
        if home is None or entry is None:
            return
        if discard or connection.closed or home.slots.closed or home.slots.expired(entry, time.monotonic()):
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
            await _drained(home, timeout)
            for connection in list(home.out):
                self._discard(home, connection)
        await self._close_all(home, entries)

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

    # --- one loop ---

    async def _settle(self) -> _Home[A]:
        """Make the accounts for the running loop, and a guard that closes its connections when the loop ends."""
        if self._closed:
            raise PoolClosedError("the engine is disposed; create a new one")
        self._sweep()
        home: _Home[A] = _Home(self._make_slots())
        self._homes[asyncio.get_running_loop()] = home
        home.guard = self._guard(home)
        await anext(home.guard)
        return home

    async def _guard(self, home: _Home[A]) -> AsyncGenerator[None, None]:
        """Close what is open when the loop closes its asynchronous generators, as `asyncio.run` does at its end."""
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
        try:
            done, _ = await asyncio.wait([waiter], timeout=timeout)
        except BaseException:
            self._withdraw(home, waiter)
            raise
        if not done:
            slots.waiters.remove(waiter)
            raise PoolTimeout(_timeout_message(slots.status(), timeout))
        entry = waiter.result()
        if entry is None and slots.closed:
            raise PoolClosedError("the engine was disposed while this call waited for a connection")
        return entry

    def _withdraw(self, home: _Home[A], waiter: asyncio.Future[Entry[A] | None]) -> None:
        """Undo a wait that was cancelled, whatever it was given in the meantime."""
        if not waiter.done():
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
        if connection.closed or home.slots.expired(entry, now):
            return False
        if now - entry.returned < PROBE_AFTER:
            return True
        try:
            await connection.execute(_PROBE)
        except DatabaseError:
            return False
        except BaseException:
            self._discard(home, connection)
            raise
        return True

    def _give_back(self, home: _Home[A], entry: Entry[A]) -> None:
        home.out.pop(entry.connection, None)
        entry.returned = time.monotonic()
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
        if waiter is not None:
            waiter.set_result(None)

    def _retire(self, home: _Home[A], connection: A) -> None:
        if connection.closed:
            connection.terminate()
            return
        task = asyncio.get_running_loop().create_task(_close(connection))
        home.retiring.add(task)
        task.add_done_callback(home.retiring.discard)

    async def _close_all(self, home: _Home[A], entries: list[Entry[A]]) -> None:
        for entry in entries:
            self._retire(home, entry.connection)
        if home.retiring:
            await asyncio.wait(list(home.retiring))


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


async def _drained(home: _Home[A], timeout: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while home.out:
                await asyncio.sleep(0.01)
