"""The pool for threads: psycopg2 connections.

`acquire` gives a connection that works and is in no transaction; `release` takes it back, rolled back, or
closes it where its state is in doubt. Connections are made when they are needed, never before. A pool knows
no session, and sends no SQL but ROLLBACK and a probe: after a long idle time, and of those that rest when another
was lost.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

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

LOOK_AFTER = 0.5  # seconds of rest after which the socket is looked at, which costs 2 µs


class Connection(AnyConnection, Protocol):
    """What a pool needs of a synchronous connection."""

    def execute(self, request: Statement | Copy) -> Rows:
        """Send one request."""
        ...

    def reset(self) -> None:
        """Roll back what is open."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


C = TypeVar("C", bound=Connection)


class _Waiter(Generic[C]):
    """A thread that waits: it is given an entry, the right to connect (no entry), or told that the pool
    closed.
    """

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
        self._drained = threading.Event()

    def acquire(self, timeout: float | None = None) -> C:
        """Return a connection that works, waiting up to `timeout` seconds for one.

        Raises `PoolTimeout`, `PoolClosedError`, or what connecting raises.
        """
        while True:
            entry = self._take(self._timeout if timeout is None else timeout)
            if entry is None:
                return self._open()
            connection = entry.connection
            self._out[connection] = entry
            try:
                usable = self._usable(entry)
            except BaseException:
                self.release(connection, discard=True)
                raise
            if usable:
                return connection
            self.release(connection, discard=True)

    def release(self, connection: C, *, discard: bool = False) -> None:
        """Take a connection back; `discard` closes it instead. A connection that is not out is ignored."""
        entry = self._out.pop(connection, None)
        if entry is None:
            return  # given back before, or taken by the parent of this process
        if connection.closed:
            self._slots.lost_at = time.monotonic()
        if discard or not _clean(connection) or self._slots.expired(entry, time.monotonic()):
            self._drop(connection)
            return
        surplus: list[Entry[C]] = []
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
        if timeout is not None and self._out:
            self._drained.wait(timeout)
            for connection in list(self._out):
                self.release(connection, discard=True)

    def alive(self, connection: C) -> bool:
        """Tell whether a connection that is out still has its server, as far as that is known on this side."""
        return not connection.closed and not _has_news(connection)

    def status(self) -> PoolStatus:
        """Return how the pool stands."""
        with self._lock:
            return self._slots.status()

    # --- how acquire waits

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
                raise PoolTimeout(timeout_message(self._slots.status(), timeout))
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
        connection = entry.connection
        if connection.closed or self._slots.suspected(entry):
            return not connection.closed and _answers(connection)
        if rest < LOOK_AFTER:
            return True
        if self._slots.expired(entry, now) or _has_news(connection):
            return False
        return rest < PROBE_AFTER or _answers(connection)

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
            elif self._slots.closed and not self._slots.used:
                self._drained.set()

    def _forked(self) -> None:
        """Begin anew in a child process: the connections belong to the parent, and so do their sockets."""
        from psqlmodel.drivers.inherited import keep  # the driver did so before, if there are connections

        keep(self._slots)
        for connection in self._out:
            connection.disown()
        self._start()


_pools: WeakSet[Pool[Any]] = WeakSet()


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
        readable = has_news(connection.fileno())
    except (OSError, ValueError):  # closed; or more than select can watch: let the probe decide
        readable = True
    return readable and not _answers(connection)  # a NOTIFY or a changed setting is readable as well


def _answers(connection: Connection) -> bool:
    try:
        connection.execute(PROBE)
    except DatabaseError:
        return False
    return True
