"""The asynchronous engine: `AsyncEngine` over asyncpg, what `Engine` is, awaited. Made by `create_async_engine`.

Apart from `Engine` because asyncio costs more at import than the rest of the package.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from psqlmodel.core.beginning import begin_text
from psqlmodel.core.engine import jobs
from psqlmodel.core.engine.channel import AsyncSessionChannel
from psqlmodel.core.engine.dsn import Target
from psqlmodel.core.engine.engine import GREETING, EngineBase, Params, T
from psqlmodel.core.engine.jobs import PreparedTransaction
from psqlmodel.core.engine.options import Options
from psqlmodel.core.row import RowList
from psqlmodel.drivers.async_pool import AsyncPool
from psqlmodel.errors import DatabaseError
from psqlmodel.schema.ddl import create_all, drop_all
from psqlmodel.steps import Statement, Steps, run_async

if TYPE_CHECKING:
    from psqlmodel.core.async_session import AsyncSession
    from psqlmodel.core.engine.tracing import AsyncTracing


class AsyncEngine(EngineBase):
    """A pool of asyncpg connections to one database for each event loop. Made by `create_async_engine`."""

    _awaits: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._watched: Callable[[Any], Any] | None = None
        if options.answer_timeout is not None:
            from psqlmodel.drivers.watch import AsyncWatched  # few programs watch

            self._watched = partial(AsyncWatched, patience=options.answer_timeout)
        self.pool: AsyncPool[Any] = AsyncPool(self._open, **self._pool_options())
        self._find_replicas(lambda target: AsyncPool(lambda: self._open(target), **self._pool_options()))
        self._started = not self._asks_for_work
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Do what `ensure_database`, `ensure_tables` and `embedded` ask for; the first connection does it
        else.
        """
        async with self._starting:
            if not self._started:
                await self._start()
                self._started = True

    async def acquire(self, timeout: float | None = None) -> Any:
        """Take a driver's connection out of the pool; `await engine.pool.release(connection)` gives it
        back.
        """
        if not self._started:
            await self.start()
        return await self.pool.acquire(timeout)

    def reader(self, after: str | None) -> Any:
        """Return what stands in for the engine in the channel of a session that only reads; see `Engine.reader`."""
        if self.replicas is None:
            return self
        from psqlmodel.core.engine.replicas import AsyncReader

        return AsyncReader(self, self.replicas, after)

    async def token(self) -> str:
        """Return a token of what is committed now; see `Engine.token`."""
        from psqlmodel.core.engine.replicas import current

        return self._noted(await self.run_steps(current()))

    async def run_steps(self, steps: Steps[T]) -> T:
        """Run steps on a connection of the pool and return their result."""
        channel = AsyncSessionChannel(self)
        try:
            return await run_async(steps, channel)
        finally:
            _ = await channel.release()

    async def execute(self, sql: str, params: Params = None) -> RowList:
        """Execute one SQL statement by itself and return its rows, as `Engine.execute` does."""
        return await self.run_steps(jobs.execute(sql, params))

    def connect(self) -> AsyncEngineConnection:
        """Return a connection for SQL by hand; use it in an `async with` block."""
        return AsyncEngineConnection(self, jobs.Job())

    def transaction(
        self, *, isolation: str | None = None, read_only: bool = False, deferrable: bool = False
    ) -> AsyncEngineConnection:
        """Return a connection in a transaction; use it in an `async with` block."""
        begin = begin_text(isolation=isolation, read_only=read_only, deferrable=deferrable)
        return AsyncEngineConnection(self, jobs.Job(begin))

    async def run(self, work: Callable[[AsyncSession], Awaitable[T]], *, retries: int = 3, **options: Any) -> T:
        """Run `work(session)` as a whole transaction and return what it returns.

        Each attempt has a session of its own, made with `options`, which is committed at the end. Where the server
        rolls the transaction back to let another one pass (`SerializationFailure`, `DeadlockDetected`), it runs
        again, up to `retries` times, after a short random wait. A COMMIT whose answer is lost is looked up: it is
        never applied twice. Raises the error of the last attempt, and `CommitOutcomeUnknown`.

            await engine.run(lambda session: transfer(session, 1, 2), isolation="SERIALIZABLE")
        """
        result: T = await self.runner(self, work, retries, options)
        return result

    def trace(self, *, plans: bool = False, values: bool = False) -> AsyncTracing:
        """Return an `async with` block that records what all sessions of this engine send; see `Session.trace`."""
        from psqlmodel.core.engine.tracing import AsyncTracing, in_engine

        return AsyncTracing(self, in_engine(self), plans=plans, values=values)

    async def commit_prepared(self, identifier: str) -> None:
        """Commit a transaction that `session.prepare` prepared, on whatever connection.

        Raises `ProgrammingError` where there is none of this identifier.
        """
        await self.run_steps(jobs.end_prepared("COMMIT", identifier))

    async def rollback_prepared(self, identifier: str) -> None:
        """Roll a prepared transaction back; see `commit_prepared`."""
        await self.run_steps(jobs.end_prepared("ROLLBACK", identifier))

    async def prepared(self) -> list[PreparedTransaction]:
        """Return the prepared transactions of the database that wait for their second phase, the oldest first."""
        return await self.run_steps(jobs.prepared())

    async def create_all(self, models: Iterable[type] | None = None) -> None:
        """Create the missing tables of `models` (default: those of the engine, else all that are defined)."""
        await self.run_steps(create_all(self._mappers(models)))
        self.catalog.invalidate()
        if self.replicas is not None:
            _ = await self.token()  # the replicas have them later

    async def drop_all(self, models: Iterable[type] | None = None) -> None:
        """Drop the tables of `models` (default: those of the engine, else all that are defined)."""
        await self.run_steps(drop_all(self._mappers(models)))
        self.catalog.invalidate()
        if self.replicas is not None:
            _ = await self.token()  # the replicas have them later

    async def dispose(self, timeout: float | None = None) -> None:
        """Close the pool, and stop an embedded server. Connections in use are closed when they come back.

        `timeout`: wait so many seconds for those in use, then close them under their users.
        """
        await self.pool.close(timeout)
        for replica in self.replicas.all if self.replicas is not None else ():
            await replica.pool.close(timeout)
        if self._server is not None:
            await asyncio.to_thread(self._stop_embedded)

    async def __aenter__(self) -> AsyncEngine:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.dispose()

    async def _open(self, target: Target | None = None) -> Any:
        target = target or self._target
        connection = await self._connect_to(target)
        if self._watched is not None:
            connection = self._watched(connection)
        try:
            greeting = await connection.execute(Statement(GREETING, prepare=False, purpose="catalog"))
            usable = self._learn(greeting, connection, target)
        except BaseException:
            connection.terminate()
            raise
        if usable:
            return connection
        await connection.close()
        return await self._open(target)

    async def _connect_to(self, target: Target) -> Any:
        from psqlmodel.drivers import asyncpg  # importing the package imports no driver

        parameters = self.options.connection_parameters(target)
        if self._pooled:
            return await asyncpg.connect_pooled(parameters, **self._pooled_options())
        try:
            return await asyncpg.connect(parameters, **self._connection_options())
        except DatabaseError as error:
            if not self._was_refused(error):
                raise
        return await self._connect_to(target)

    async def _start(self) -> None:
        options = self.options
        if options.target.embedded and self._server is None:
            self._target = await asyncio.to_thread(self._serve_embedded)
        if options.ensure_database:
            await self._ensure_database()
        if options.ensure_tables:
            self._started = True  # its own statements need a connection
            try:
                await self.create_all()
            except BaseException:
                self._started = False
                raise

    async def _ensure_database(self) -> None:
        name = jobs.database_name(self._target)
        for maintenance in jobs.MAINTENANCE:
            try:
                connection = await self._connect_to(self._target.on_database(maintenance))
            except DatabaseError:
                continue  # the one may be missing or closed to us; what is wrong in truth shows at the target
            try:
                await run_async(jobs.create_database(name), jobs.AsyncDirect(connection))
            finally:
                await connection.close()
            return


class AsyncEngineConnection:
    """A connection for SQL by hand; from `engine.connect()` or `engine.transaction()`."""

    def __init__(self, engine: AsyncEngine, job: jobs.Job) -> None:
        self._channel = AsyncSessionChannel(engine)
        self._job = job

    async def execute(self, sql: str, params: Params = None) -> RowList:
        """Execute one SQL statement and return its rows; `params` as in `Engine.execute`."""
        return await run_async(self._job.execute(sql, params), self._channel)

    async def close(self) -> None:
        """Give the connection back; a transaction that is open is rolled back."""
        self._job.closed = True
        _ = await self._channel.release()

    async def __aenter__(self) -> AsyncEngineConnection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await run_async(self._job.finish(error), self._channel)
        finally:
            await self.close()
