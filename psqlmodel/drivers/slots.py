"""The accounts of a pool: which connections are idle, who waits, how many may still be made.

Pure: no lock, no clock, no connection is opened or closed here. A pool asks and then does the work; both
pools (`pool` for threads, `async_pool` for tasks) keep one `Slots`. Waiters are served in the order they
came; idle connections are taken last in, first out, so that a quiet pool lets most of its connections age
and be closed.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

from psqlmodel.record import Record
from psqlmodel.steps import Statement

MAX_IDLE = 300.0  # seconds until a connection beyond `pool_size` is closed
PROBE_AFTER = 60.0  # seconds of rest after which a connection is asked: firewalls drop quiet ones silently
PROBE = Statement("SELECT 1", prepare=False, purpose="pool")

C = TypeVar("C")
W = TypeVar("W")


class AnyConnection(Protocol):
    """What both kinds of connection tell of themselves."""

    @property
    def closed(self) -> bool:
        """True when the connection is closed or known to be lost."""
        ...

    @property
    def in_transaction(self) -> bool:
        """True when a transaction is open."""
        ...

    @property
    def pid(self) -> int:
        """The process id of the server's backend."""
        ...

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        ...

    def disown(self) -> None:
        """Leave the connection to the parent of this process."""
        ...


class PoolStatus(Record):
    """How a pool stands: connections open, idle and in use, callers waiting, connections at most."""

    size: int
    idle: int
    in_use: int
    waiting: int
    max_size: int


class Entry(Generic[C]):
    """A connection of the pool with the times (monotonic seconds) of its making and of its last return."""

    __slots__ = ("connection", "created", "returned")

    def __init__(self, connection: C, now: float) -> None:
        self.connection = connection
        self.created = now
        self.returned = now


class Slots(Generic[C, W]):
    """The accounts of one pool. A slot is the right to one connection: it is idle, in use, or being
    connected.
    """

    __slots__ = ("closed", "idle", "keep", "lost_at", "max_idle", "max_lifetime", "max_size", "used", "waiters")

    def __init__(self, keep: int, max_size: int, max_idle: float, max_lifetime: float) -> None:
        self.keep = keep
        self.max_size = max_size
        self.max_idle = max_idle
        self.max_lifetime = max_lifetime
        self.idle: list[Entry[C]] = []
        self.used = 0
        self.waiters: deque[W] = deque()
        self.closed = False
        self.lost_at = float("-inf")  # when a connection was last found to be lost

    def take_idle(self) -> Entry[C] | None:
        """Take the connection that was returned last, if one is idle."""
        if not self.idle:
            return None
        self.used += 1
        return self.idle.pop()

    def may_connect(self) -> bool:
        """Reserve a slot for a new connection, if there is one left."""
        if self.used + len(self.idle) >= self.max_size:
            return False
        self.used += 1
        return True

    def give_back(self, entry: Entry[C]) -> W | None:
        """Take a connection back; returns the waiter that it goes to instead, its slot included."""
        if self.waiters:
            return self.waiters.popleft()
        self.used -= 1
        self.idle.append(entry)
        return None

    def give_up(self) -> W | None:
        """Give a slot up, its connection being gone; returns the waiter that may connect in its place."""
        if self.waiters and not self.closed:
            return self.waiters.popleft()
        self.used -= 1
        return None

    def expired(self, entry: Entry[C], now: float) -> bool:
        """Tell whether a connection is too old to be used again."""
        return now - entry.created > self.max_lifetime

    def suspected(self, entry: Entry[C]) -> bool:
        """Tell whether a connection rests since before another was lost: what ended that one may have ended it too."""
        return entry.returned <= self.lost_at

    def take_surplus(self, now: float) -> list[Entry[C]]:
        """Take the idle connections out that nobody has needed for long; the caller closes them."""
        surplus: list[Entry[C]] = []
        while len(self.idle) + self.used > self.keep and self.idle:
            if now - self.idle[0].returned <= self.max_idle:
                break
            surplus.append(self.idle.pop(0))
        return surplus

    def close(self) -> tuple[list[Entry[C]], list[W]]:
        """Close the accounts; returns the idle connections to close and the waiters to tell."""
        self.closed = True
        entries, self.idle = self.idle, []
        waiters = list(self.waiters)
        self.waiters.clear()
        return entries, waiters

    def status(self) -> PoolStatus:
        """Return how the pool stands."""
        idle = len(self.idle)
        return PoolStatus(self.used + idle, idle, self.used, len(self.waiters), self.max_size)


def timeout_message(status: PoolStatus, timeout: float) -> str:
    """Return what `PoolTimeout` says."""
    return (
        f"no connection became free within {timeout:g} s: all {status.max_size} are in use and "
        f"{status.waiting} more callers wait. Close sessions that are done, or raise max_pool_size or "
        "pool_timeout"
    )
