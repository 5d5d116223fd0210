"""Channels: what `run` and `run_async` send requests through; one for each session and each one-off job.

A channel takes a connection from the engine's pool with its first request and gives it back at a `Release`.
An error that the server reported leaves the connection usable. Anything else (a cancellation, Ctrl-C, a
defect) leaves it in doubt: the channel throws it away at once, before the steps hear of it. A request that must
be sent once only goes to a connection that was looked at. A channel decides nothing about transactions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from psqlmodel.errors import ConnectionLost, PoolTimeout, PSQLModelError, SessionClosedError
from psqlmodel.record import Record
from psqlmodel.steps import NO_COLUMNS, Copy, Notify, Release, Request, Rows, Statement

if TYPE_CHECKING:
    from psqlmodel.core.engine import Engine
    from psqlmodel.core.engine.async_engine import AsyncEngine

NOTHING = Rows((), NO_COLUMNS, 0)
_CLOSED = "the session was closed while it waited for a connection"
_ASIDE = (Release, Notify)  # what is not for the server


class StatementEvent(Record):
    """What was sent: the text (values are not in it), the number of arguments and rows, the time, the
    purpose.
    """

    text: str
    arguments: int
    rows: int
    seconds: float
    purpose: str
    error: BaseException | None = None


Listener: TypeAlias = Callable[[StatementEvent], object]
# A weak reference to the session, which calls the handlers of an event: a channel keeps no session alive.
Owner: TypeAlias = Callable[[], Any]


class Exchange:
    """One request and its answer, as observers see it.

    `request` is what the steps gave, `sent` what goes to the server: an observer may put another text in its place that
    means the same. `channel` and `connection` carry it; `begun` and `seconds` are of `time.perf_counter`.
    """

    __slots__ = ("begun", "channel", "connection", "error", "request", "rows", "seconds", "sent")

    def __init__(self, channel: Any, connection: Any, request: Statement | Copy) -> None:
        self.channel = channel
        self.connection = connection
        self.request = self.sent = request
        self.rows = NOTHING
        self.seconds = 0.0
        self.error: BaseException | None = None
        self.begun = 0.0

    def announce(self, observers: tuple[Observer, ...]) -> None:
        """Tell the observers that the request is about to be sent."""
        for observer in observers:
            observer.sending(self)
        self.begun = time.perf_counter()

    def close(self, observers: tuple[Observer, ...], rows: Rows, error: BaseException | None = None) -> None:
        """Tell the observers what came of it."""
        self.seconds = time.perf_counter() - self.begun
        self.rows, self.error = rows, error
        for observer in observers:
            observer.answered(self)

    @property
    def count(self) -> int:
        """The number of rows that came, or that the server says were written."""
        return self.rows.count if isinstance(self.request, Copy) else len(self.rows.data) or self.rows.count

    @property
    def event(self) -> StatementEvent:
        """What listeners are told."""
        request = self.request
        arguments = 0 if isinstance(request, Copy) else len(request.args)
        return StatementEvent(request.text, arguments, self.count, self.seconds, request.purpose, self.error)


class Observer(Protocol):
    """What hears of every exchange of an engine, or of one session."""

    def sending(self, exchange: Exchange) -> None:
        """Hear of a request that is about to be sent; `exchange.sent` may be replaced."""
        ...

    def answered(self, exchange: Exchange) -> None:
        """Hear what came of it: rows, or an error."""
        ...


class Listening:
    """The observer that calls a listener."""

    __slots__ = ("_listener",)

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def sending(self, exchange: Exchange) -> None:
        """Nothing to do before there is an answer."""

    def answered(self, exchange: Exchange) -> None:
        """Call the listener."""
        _ = self._listener(exchange.event)


class SessionChannel:
    """The synchronous channel: `send` a request, get its rows."""

    __slots__ = ("_abandoned", "_connection", "_engine", "session")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Any = None
        self._abandoned = False
        self.session: Owner | None = None

    @property
    def connected(self) -> bool:
        """True while the channel holds a connection."""
        return self._connection is not None

    @property
    def here(self) -> Any:
        """What has connections to the server of the one that is held."""
        return self._engine.here

    def send(self, request: Request) -> Rows:
        """Send a request; a `Release` gives the connection back."""
        if isinstance(request, _ASIDE):
            return self._answer(request)
        connection = self._connection
        if connection is None:
            connection = self._connect()
        sent = monotonic()
        try:
            if request.once and not self._engine.pool.alive(connection):
                connection = self._replace()
            if self._engine.observers:
                return self._observed(connection, request)
            rows: Rows = connection.execute(request)
        except ConnectionLost as error:
            if self._connection is not None:
                error.seconds = monotonic() - sent
            raise
        except PSQLModelError:
            raise
        except BaseException:
            _ = self.release(discard=True)
            raise
        return rows

    def release(self, *, discard: bool = False) -> Rows:
        """Give the connection back, if one is held; `discard` closes it instead."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._engine.pool.release(connection, discard=discard)
        return NOTHING

    def try_connect(self) -> bool:
        """Take a connection if one is to be had without waiting, and tell whether it was."""
        try:
            self._connection = self._engine.acquire(0)
        except PoolTimeout:
            return False
        return True

    def take_over(self, other: SessionChannel) -> None:
        """Take the connection of another channel, and the transaction that is open on it."""
        self._connection, other._connection = other._connection, None
        self._engine = other._engine  # to which it goes back

    def abandon(self) -> None:
        """Close the connection of a session that was dropped, now or when it comes."""
        self._abandoned = True
        _ = self.release(discard=True)

    def _connect(self) -> Any:
        connection = self._connection = self._engine.acquire()
        if self._abandoned:
            _ = self.release()
            raise SessionClosedError(_CLOSED)
        return connection

    def _replace(self) -> Any:
        """Take another connection instead of one that is dead."""
        _ = self.release(discard=True)
        return self._connect()

    def _answer(self, request: Release | Notify) -> Rows:
        if isinstance(request, Release):
            return self.release(discard=request.discard)
        session = None if self.session is None else self.session()
        if session is not None:
            session._handle(request)
        return NOTHING

    def _observed(self, connection: Any, request: Statement | Copy) -> Rows:
        observers = self._engine.observers
        exchange = Exchange(self, connection, request)
        exchange.announce(observers)
        try:
            rows: Rows = connection.execute(exchange.sent)
        except BaseException as error:
            exchange.close(observers, NOTHING, error)
            raise
        exchange.close(observers, rows)
        return rows


class AsyncSessionChannel:
    """The asynchronous channel: `await send(request)`."""

    __slots__ = ("_abandoned", "_connection", "_engine", "session")

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: Any = None
        self._abandoned = False
        self.session: Owner | None = None

    @property
    def connected(self) -> bool:
        """True while the channel holds a connection."""
        return self._connection is not None

    @property
    def here(self) -> Any:
        """What has connections to the server of the one that is held."""
        return self._engine.here

    async def send(self, request: Request) -> Rows:
        """Send a request; a `Release` gives the connection back."""
        if isinstance(request, _ASIDE):
            return await self._answer(request)
        connection = self._connection
        if connection is None:
            connection = await self._connect()
        sent = monotonic()
        try:
            if request.once and not await self._engine.pool.alive(connection):
                connection = await self._replace()
            if self._engine.observers:
                return await self._observed(connection, request)
            rows: Rows = await connection.execute(request)
        except ConnectionLost as error:
            if self._connection is not None:
                error.seconds = monotonic() - sent
            raise
        except PSQLModelError:
            raise
        except BaseException:
            _ = await self.release(discard=True)  # does not wait: a discarded connection is closed behind our back
            raise
        return rows

    async def release(self, *, discard: bool = False) -> Rows:
        """Give the connection back, if one is held; `discard` closes it instead."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._engine.pool.release(connection, discard=discard)
        return NOTHING

    async def try_connect(self) -> bool:
        """Take a connection if one is to be had without waiting, and tell whether it was."""
        try:
            self._connection = await self._engine.acquire(0)
        except PoolTimeout:
            return False
        return True

    def take_over(self, other: AsyncSessionChannel) -> None:
        """Take the connection of another channel, and the transaction that is open on it."""
        self._connection, other._connection = other._connection, None
        self._engine = other._engine  # to which it goes back

    def abandon(self) -> None:
        """Close the connection of a session that was dropped, now or when it comes; its event loop may be gone."""
        self._abandoned = True
        connection, self._connection = self._connection, None
        if connection is not None:
            self._engine.pool.abandon(connection)

    async def _connect(self) -> Any:
        connection = self._connection = await self._engine.acquire()
        if self._abandoned:
            _ = await self.release()
            raise SessionClosedError(_CLOSED)
        return connection

    async def _replace(self) -> Any:
        """Take another connection instead of one that is dead."""
        _ = await self.release(discard=True)
        return await self._connect()

    async def _answer(self, request: Release | Notify) -> Rows:
        if isinstance(request, Release):
            return await self.release(discard=request.discard)
        session = None if self.session is None else self.session()
        if session is not None:
            await session._handle(request)
        return NOTHING

    async def _observed(self, connection: Any, request: Statement | Copy) -> Rows:
        observers = self._engine.observers
        exchange = Exchange(self, connection, request)
        exchange.announce(observers)
        try:
            rows: Rows = await connection.execute(exchange.sent)
        except BaseException as error:
            exchange.close(observers, NOTHING, error)
            raise
        exchange.close(observers, rows)
        return rows
