"""Replicas: where a session reads that only reads, and how it sees what the program wrote before.

A commit on the primary has a position in the server's log, which the context keeps (`contextvars`). A replica serves
from the moment when it has replayed that position: what it is known to have replayed is remembered, else it is asked,
and waited for briefly. Where none has come so far the primary serves. One that fails is left alone for a while.

`Reader` and `AsyncReader` stand in for the engine in the channel of a session that reads. Nothing here knows sessions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.engine.dsn import Target
from psqlmodel.core.engine.jobs import AsyncDirect, Direct
from psqlmodel.errors import DatabaseError, InvalidValueError
from psqlmodel.steps import Statement, Steps, run, run_async

if TYPE_CHECKING:
    from psqlmodel.core.engine.async_engine import AsyncEngine
    from psqlmodel.core.engine.channel import Observer
    from psqlmodel.core.engine.engine import Engine, EngineBase

_TOKEN: Final = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})")
_END: Final = (1 << 64) - 1  # no replica comes so far: the position of a commit is not known
_FIRST_PAUSE: Final = 0.002  # seconds; each is twice the last,
_LONGEST_PAUSE: Final = 0.05  # up to this
# A promoted replica replays no more: it writes.
_REPLAYED: Final = (
    "SELECT (CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0') "
    "ELSE pg_current_wal_insert_lsn() END)::text FROM pg_sleep($1)"
)
# What is inserted, not what is written: under synchronous_commit = off a commit returns before that.
_WRITTEN: Final = "SELECT pg_current_wal_insert_lsn()::text"


def position_of(token: Any) -> int:
    """Return the position that a token stands for; raises `InvalidValueError` for what is no token."""
    match = _TOKEN.fullmatch(token) if isinstance(token, str) else None
    if match is None:
        raise InvalidValueError("after=… takes the token of a session, session.token, or of engine.token()")
    return int(match.group(1), 16) << 32 | int(match.group(2), 16)


def token_of(position: int) -> str:
    """Return the token of a position, as the server writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


class Replica:
    """One replica: its pool, how far it is known to have come, and whether it is left alone for a while."""

    def __init__(self, target: Target, make_pool: Callable[[Target], Any], retry: float) -> None:
        self.target = target
        self.pool = make_pool(target)
        self._retry = retry
        self._resting_until = 0.0
        self._replayed = 0

    def __repr__(self) -> str:
        return f"<Replica {self.target}{'' if self.available else ' (down)'}>"

    @property
    def available(self) -> bool:
        """Whether it is asked: it has not failed lately."""
        return monotonic() >= self._resting_until

    def failed(self) -> None:
        """Leave it alone for a while. What it had replayed is open again: it may come back as another one."""
        self._resting_until = monotonic() + self._retry
        self._replayed = 0

    def try_again(self) -> None:
        """Take note that it is about to be asked: where it had failed, the others wait until it has answered."""
        if self._resting_until:
            self._resting_until = monotonic() + self._retry

    def answered(self) -> None:
        """Take note that it works."""
        self._resting_until = 0.0

    def reaches(self, position: int, until: float) -> Steps[bool]:
        """Tell whether it has replayed a position, waiting for it until then (monotonic seconds)."""
        pause = 0.0
        while self._replayed < position:
            rows = yield Statement(_REPLAYED, (pause,), purpose="transaction")
            self._replayed = max(self._replayed, position_of(rows.data[0][0]))
            left = until - monotonic()
            if left <= 0:
                break
            pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE, left)
        return self._replayed >= position


class Replicas:
    """The replicas of an engine, and the position that the present context has written up to."""

    def __init__(
        self, targets: Sequence[Target], make_pool: Callable[[Target], Any], *, wait: float, retry: float
    ) -> None:
        self.all = [Replica(target, make_pool, retry) for target in targets]
        self._wait = wait
        self._turns = count()
        self._written: ContextVar[int] = ContextVar("psqlmodel_written", default=0)

    @property
    def written(self) -> int:
        """The position of the last commit of this context."""
        return self._written.get()

    def note(self, position: int) -> None:
        """Take note of a commit of this context."""
        if position > self._written.get():
            _ = self._written.set(position)

    def in_turn(self, position: int, last: Replica | None) -> list[Replica]:
        """Return those to ask, the least busy first; of those that are equal, the one that served `last`."""
        if position >= _END:
            return []
        asked = [replica for replica in self.all if replica.available]
        first = next(self._turns) % max(1, len(asked))
        asked = asked[first:] + asked[:first]
        return sorted(asked, key=lambda replica: (replica.pool.status().in_use, replica is not last))

    def deadline(self) -> float:
        """Return until when a replica is waited for (monotonic seconds)."""
        return monotonic() + self._wait

    def take_token(self) -> Steps[str]:
        """Ask the primary for its position, keep it in the context, and return its token.

        After a COMMIT: that one stands, whatever becomes of the question. Where it stands is then not known, and the
        primary serves this context from now on.
        """
        try:
            position = yield from current()
        except DatabaseError:
            position = _END
        except BaseException:
            self.note(_END)
            raise
        self.note(position)
        return token_of(position)


def current() -> Steps[int]:
    """Return the position of the primary now."""
    rows = yield Statement(_WRITTEN, purpose="transaction")
    return position_of(rows.data[0][0])


class _Source:
    """What both readers are: the engine in all that is not about connections."""

    def __init__(self, engine: EngineBase, replicas: Replicas, after: str | None) -> None:
        self._base = engine
        self._replicas = replicas
        self._after = 0 if after is None else position_of(after)
        self._serving: Replica | None = None
        self._last: Replica | None = None

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Those of the engine."""
        return self._base.observers

    @property
    def here(self) -> Any:
        """What has connections to the server of the one that is held."""
        return self._base if self._serving is None else _Same(self._base, self._serving)

    def _position(self) -> int:
        return max(self._after, self._replicas.written)


class _Same:
    """Stands in for an engine of either kind: all connections are of one replica."""

    def __init__(self, engine: EngineBase, replica: Replica) -> None:
        self._base = engine
        self.pool = replica.pool
        self.acquire = replica.pool.acquire

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Those of the engine."""
        return self._base.observers

    @property
    def here(self) -> Any:
        """Itself."""
        return self


class Reader(_Source):
    """Stands in for an `Engine` where a session only reads. It has one connection out at a time."""

    def __init__(self, engine: Engine, replicas: Replicas, after: str | None) -> None:
        super().__init__(engine, replicas, after)
        self._engine = engine

    @property
    def pool(self) -> Any:
        """What takes the connection back."""
        return self

    def acquire(self, timeout: float | None = None) -> Any:
        """Take a connection of a replica that has come far enough, or of the primary."""
        position, until = self._position(), self._replicas.deadline()
        for replica in self._replicas.in_turn(position, self._last):
            connection = self._try(replica, position, until, timeout)
            if connection is not None:
                self._serving = self._last = replica
                return connection
        self._serving = None
        return self._engine.acquire(timeout)

    def release(self, connection: Any, *, discard: bool = False) -> None:
        """Take a connection back; a replica that lost it is left alone for a while."""
        replica, self._serving = self._serving, None
        if replica is None:
            self._engine.pool.release(connection, discard=discard)
            return
        if connection.closed:
            replica.failed()
        replica.pool.release(connection, discard=discard)

    def alive(self, connection: Any) -> bool:
        """Tell whether the server is still there, as far as that is known on this side."""
        pool = self._engine.pool if self._serving is None else self._serving.pool
        alive: bool = pool.alive(connection)
        return alive

    def _try(self, replica: Replica, position: int, until: float, timeout: float | None) -> Any:
        replica.try_again()
        try:
            connection = replica.pool.acquire(timeout)
        except DatabaseError:
            replica.failed()
            return None
        try:
            reached = run(replica.reaches(position, until), Direct(connection))
        except BaseException as error:
            replica.pool.release(connection, discard=True)
            if not isinstance(error, DatabaseError):
                raise
            replica.failed()
            return None
        replica.answered()
        if reached:
            return connection
        replica.pool.release(connection)
        return None


class AsyncReader(_Source):
    """Stands in for an `AsyncEngine` where a session only reads; what `Reader` is, awaited."""

    def __init__(self, engine: AsyncEngine, replicas: Replicas, after: str | None) -> None:
        super().__init__(engine, replicas, after)
        self._engine = engine

    @property
    def pool(self) -> Any:
        """What takes the connection back."""
        return self

    async def acquire(self, timeout: float | None = None) -> Any:
        """Take a connection of a replica that has come far enough, or of the primary."""
        position, until = self._position(), self._replicas.deadline()
        for replica in self._replicas.in_turn(position, self._last):
            connection = await self._try(replica, position, until, timeout)
            if connection is not None:
                self._serving = self._last = replica
                return connection
        self._serving = None
        return await self._engine.acquire(timeout)

    async def release(self, connection: Any, *, discard: bool = False) -> None:
        """Take a connection back; a replica that lost it is left alone for a while."""
        replica, self._serving = self._serving, None
        if replica is None:
            await self._engine.pool.release(connection, discard=discard)
            return
        if connection.closed:
            replica.failed()
        await replica.pool.release(connection, discard=discard)

    def abandon(self, connection: Any) -> None:
        """Close a connection whose user was dropped."""
        pool = self._engine.pool if self._serving is None else self._serving.pool
        _ = pool.abandon(connection)

    async def alive(self, connection: Any) -> bool:
        """Tell whether the server is still there, as far as that is known on this side."""
        pool = self._engine.pool if self._serving is None else self._serving.pool
        alive: bool = await pool.alive(connection)
        return alive

    async def _try(self, replica: Replica, position: int, until: float, timeout: float | None) -> Any:
        replica.try_again()
        try:
            connection = await replica.pool.acquire(timeout)
        except DatabaseError:
            replica.failed()
            return None
        try:
            reached = await run_async(replica.reaches(position, until), AsyncDirect(connection))
        except BaseException as error:
            await replica.pool.release(connection, discard=True)  # does not wait: it is closed behind our back
            if not isinstance(error, DatabaseError):
                raise
            replica.failed()
            return None
        replica.answered()
        if reached:
            return connection
        await replica.pool.release(connection)
        return None
