"""The asynchronous session: `AsyncSession` over asyncpg, a shell around the same steps as `Session`.

Every method is one line: it hands steps to the channel. There is no decision here, no loop and no SQL (but for `get`,
which asks what is known before it makes steps); a test compares the names and parameters of the two classes.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from inspect import isawaitable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias, TypeVar, overload

from psqlmodel.core import bulk, lifecycle, locking, retry
from psqlmodel.core.context import SessionManager
from psqlmodel.core.done import Done
from psqlmodel.core.engine.async_engine import AsyncEngine
from psqlmodel.core.engine.channel import AsyncSessionChannel
from psqlmodel.core.loading import access
from psqlmodel.core.loading.reading import Loaded
from psqlmodel.core.loading.result import Led, PendingQuery, PendingResult
from psqlmodel.core.parallel import coroutines
from psqlmodel.core.row import Row
from psqlmodel.core.savepoint import AsyncNested
from psqlmodel.core.shell import Lock, Params, SessionBase
from psqlmodel.core.transaction import rollback as roll_back
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.core.verbs.methods import AsyncVerbs
from psqlmodel.query.statement import Query
from psqlmodel.steps import Notify, Steps, run_async

if TYPE_CHECKING:
    from psqlmodel.core.bulk import Counted
    from psqlmodel.core.engine.tracing import AsyncTracing
    from psqlmodel.core.loading.streaming import AsyncStream
    from psqlmodel.observe.plan import QueryPlan
    from psqlmodel.query.sql import RawSQL
    from psqlmodel.query.templates import Template

__all__ = ["AsyncEngine", "AsyncSession"]

T = TypeVar("T")
S = TypeVar("S")
M = TypeVar("M")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
Task: TypeAlias = Awaitable[A] | Callable[[], Awaitable[A]]


class AsyncSession(AsyncVerbs, SessionBase[AsyncEngine]):
    """A unit of work on an asynchronous engine: what `Session` is, awaited.

    The parameters are those of `Session`. `add` and `delete` register at once and may be awaited or not. An unloaded
    relation raises `NotLoadedError` with the ways out. One task uses a session at a time. Raises `EngineKindError`
    for a synchronous engine.

        async with AsyncSession(engine) as session:
            session.add(User(name="Ada"))
            await session.commit()
    """

    _kind: ClassVar[type] = AsyncEngine
    _advice: ClassVar[str] = "AsyncSession needs an asynchronous engine, create_async_engine(dsn); or Session"
    _lazy: ClassVar[bool] = False
    _channel: AsyncSessionChannel

    def _connect(self, engine: Any) -> None:
        self._channel = AsyncSessionChannel(engine)

    async def _handle(self, request: Notify) -> None:
        with self._guard.lent():
            for handler in request.handlers:
                result = handler(self)
                if isawaitable(result):
                    await result

    async def _run(self, steps: Steps[T]) -> T:
        self._guard.enter_to_wait()
        try:
            return await run_async(steps, self._channel)
        finally:
            self._guard.leave()

    async def _end(self, steps: Steps[None], error: BaseException | None = None) -> None:
        if self._seized(error):
            return
        try:
            await run_async(steps, self._channel)
        finally:
            self._guard.leave()

    # --- persistence ------------------------------------------------------------------------------------------------

    def add(self, model: Any) -> Done:
        """Register an object, as `Session.add` does; at once, awaited or not."""
        return self._now(self._workspace.unit.add, model)

    def add_all(self, models: Iterable[Any]) -> Done:
        """Register several objects, as `Session.add_all` does; at once, awaited or not."""
        return self._now(self._workspace.unit.add_all, models)

    def delete(self, model: Any) -> Done:
        """Register an object for deletion, as `Session.delete` does; at once, awaited or not."""
        return self._now(self._workspace.unit.delete, model)

    def delete_all(self, models: Iterable[Any]) -> Done:
        """Register several objects for deletion, as `Session.delete_all` does; at once, awaited or not."""
        return self._now(self._workspace.unit.delete_all, models)

    async def flush(self) -> None:
        """Send pending changes without committing; see `Session.flush`."""
        await self._run(flush(self._workspace))

    async def commit(self) -> None:
        """Flush and commit; see `Session.commit`."""
        await self._run(lifecycle.commit(self._workspace, self._guard, self._policy))

    async def prepare(self, identifier: str) -> None:
        """Flush, and prepare the transaction for two-phase commit; see `Session.prepare`."""
        await self._run(lifecycle.prepare(self._workspace, self._guard, self._policy, identifier))

    async def run(self, work: Callable[[AsyncSession], Awaitable[T]], *, retries: int = 3) -> T:
        """Run `await work(session)` as a whole transaction of this session, and commit; see `Session.run`."""
        result: T = await retry.run_within_async(self, work, retries)
        return result

    async def rollback(self) -> None:
        """Roll the transaction back; see `Session.rollback`."""
        await self._run(roll_back(self._workspace))

    def begin_nested(self, name: str | None = None) -> AsyncNested:
        """Return an `async with` block whose work can be rolled back by itself; see `Session.begin_nested`."""
        return AsyncNested(self._run, self._workspace, name)

    def savepoint(self, name: str) -> AsyncNested:
        """Return the block of `begin_nested` with a savepoint of this name."""
        return self.begin_nested(name)

    async def refresh(self, model: Any, attributes: Iterable[str] | None = None, *, keep_changes: bool = False) -> None:
        """Reload an object from the database; see `Session.refresh`."""
        await self._run(access.refresh(self._workspace, model, attributes, keep_changes=keep_changes))

    async def load(self, models: Any, *paths: Any) -> None:
        """Load relations of one object or many; see `Session.load`."""
        await self._run(access.load(self._workspace, models, *paths))

    # --- querying ---------------------------------------------------------------------------------------------------

    async def get(
        self,
        model: type[M],
        pk: Any,
        *,
        lock: Lock | None = None,
        nowait: bool = False,
        skip_locked: bool = False,
    ) -> M | None:
        """Return the object with this primary key, or None; see `Session.get`."""
        found: M | None = access.known(self._workspace, model, pk, lock, nowait, skip_locked)
        return (
            await self._run(locking.get(self._workspace, model, pk, lock, nowait, skip_locked))
            if found is None
            else found
        )

    @overload
    def exec(self, query: Query[T], params: None = None) -> PendingResult[T]: ...
    @overload
    def exec(self, query: str | RawSQL | Template, params: Params = None) -> PendingResult[Row]: ...
    def exec(self, query: Any, params: Any = None) -> PendingResult[Any]:
        """Execute a query or SQL text when the result, or one of its methods, is awaited; see `Session.exec`.

        users = await session.exec(Select(User)).all()
        """
        return PendingResult(query, params, lambda: self._select(query, params))

    async def _select(self, query: Any, params: Any) -> Loaded[Any]:
        return await self._run(access.select(self._workspace, query, params))

    @overload
    def exec_one(self, query: Query[T], params: None = None) -> PendingQuery[T | None]: ...
    @overload
    def exec_one(self, query: str | RawSQL | Template, params: Params = None) -> PendingQuery[Row | None]: ...
    def exec_one(self, query: Any, params: Any = None) -> PendingQuery[Any]:
        """Return the first object or row of a query, or None."""
        return self.exec(query, params).first()

    @overload
    def exec_scalar(self, query: Query[Led[S]], params: None = None) -> PendingQuery[S | None]: ...
    @overload
    def exec_scalar(self, query: Query[T], params: None = None) -> PendingQuery[T | None]: ...
    @overload
    def exec_scalar(self, query: str | RawSQL | Template, params: Params = None) -> PendingQuery[Any]: ...
    def exec_scalar(self, query: Any, params: Any = None) -> PendingQuery[Any]:
        """Return the first value of the first row of a query, or None."""
        return self.exec(query, params).scalar()

    async def explain(self, query: Any, params: Any = None, *, analyze: bool = False) -> QueryPlan:
        """Return how the server would execute a query, or executes it; see `Session.explain`."""
        from psqlmodel.core.explaining import plan_of  # only who asks pays for it

        return await self._run(plan_of(self._workspace, query, params, analyze=analyze))

    def trace(self, *, plans: bool = False, values: bool = False) -> AsyncTracing:
        """Return an `async with` block that records what this session sends; see `Session.trace`."""
        from psqlmodel.core.engine.tracing import AsyncTracing, in_session

        return AsyncTracing(self.engine, in_session(self._workspace, self._channel), plans=plans, values=values)

    def stream(self, query: Query[T], *, batch: int = 1000) -> AsyncStream[T]:
        """Return the objects or rows of a SELECT for `async for`, `batch` rows at a time; see `Session.stream`.

        async for user in session.stream(Select(User)): ...
        """
        from psqlmodel.core.loading.streaming import AsyncStream  # only who streams pays for it

        return AsyncStream(self._run, self._workspace, query, batch)

    # --- locks ------------------------------------------------------------------------------------------------------

    async def claim(self, model: type[M], count: int = 1, *, where: Any = None, order_by: Any = None) -> list[M]:
        """Lock rows that no other transaction holds and return their objects; see `Session.claim`."""
        found: list[M] = await self._run(locking.claim(self._workspace, model, count, where, order_by))
        return found

    async def lock(self, name: str) -> None:
        """Wait for the lock of a name, and hold it until the transaction ends; see `Session.lock`."""
        await self._run(locking.lock_name(self._workspace, name))

    async def try_lock(self, name: str) -> bool:
        """Take the lock of a name if nobody has it; see `Session.lock`."""
        return await self._run(locking.try_lock_name(self._workspace, name))

    # --- bulk and parallel work -------------------------------------------------------------------------------------

    async def bulk_insert(
        self,
        models: Iterable[Any] | AsyncIterable[Any],
        *,
        model: type | None = None,
        columns: Any = None,
        returning: bool = True,
        on_conflict: Literal["ignore", "update"] | None = None,
        on: Any = None,
        progress: Callable[[int], Any] | None = None,
    ) -> Counted:
        """Insert many objects past the identity map, of an asynchronous iterator, too; see `Session.bulk_insert`.

        `progress` may be a coroutine function.
        """
        return await self._run(
            bulk.bulk_insert(
                self._workspace,
                models,
                model=model,
                columns=columns,
                returning=returning,
                on_conflict=on_conflict,
                on=on,
                progress=progress,
            )
        )

    async def bulk_upsert(
        self,
        models: Iterable[Any] | AsyncIterable[Any],
        *,
        on: Any = None,
        update: Any = None,
        model: type | None = None,
        columns: Any = None,
        returning: bool = True,
        progress: Callable[[int], Any] | None = None,
    ) -> Counted:
        """Insert or update many rows past the identity map; see `Session.bulk_upsert`."""
        return await self._run(
            bulk.bulk_upsert(
                self._workspace,
                models,
                on=on,
                update=update,
                model=model,
                columns=columns,
                returning=returning,
                progress=progress,
            )
        )

    async def bulk_update(
        self,
        models: Iterable[Any] | AsyncIterable[Any],
        *,
        model: type | None = None,
        columns: Any = None,
        progress: Callable[[int], Any] | None = None,
    ) -> int:
        """Update many rows past the identity map; see `Session.bulk_update`."""
        return await self._run(
            bulk.bulk_update(self._workspace, models, model=model, columns=columns, progress=progress)
        )

    async def bulk_delete(
        self,
        models: Iterable[Any] | AsyncIterable[Any],
        *,
        model: type | None = None,
        progress: Callable[[int], Any] | None = None,
    ) -> int:
        """Delete the rows of many objects or keys; see `Session.bulk_delete`."""
        return await self._run(bulk.bulk_delete(self._workspace, models, model=model, progress=progress))

    async def copy_to(self, query: Any, file: Any, *, format: Literal["csv", "binary", "arrow"] = "csv") -> int:
        """Write what a query returns to a file; see `Session.copy_to`."""
        return await self._run(bulk.copy_to(self._workspace, query, file, format=format))

    async def copy_from(
        self, model: type, file: Any, *, format: Literal["csv", "binary", "arrow"] = "csv", columns: Any = None
    ) -> int:
        """Insert the rows of a file; see `Session.copy_from`."""
        return await self._run(bulk.copy_from(self._workspace, model, file, format=format, columns=columns))

    @overload
    async def parallel_exec(
        self, tasks: tuple[Query[A], Query[B]], *, max_workers: int | None = None, consistent: bool = False
    ) -> tuple[list[A], list[B]]: ...
    @overload
    async def parallel_exec(
        self, tasks: tuple[Query[A], Query[B], Query[C]], *, max_workers: int | None = None, consistent: bool = False
    ) -> tuple[list[A], list[B], list[C]]: ...
    @overload
    async def parallel_exec(
        self,
        tasks: tuple[Query[A], Query[B], Query[C], Query[D]],
        *,
        max_workers: int | None = None,
        consistent: bool = False,
    ) -> tuple[list[A], list[B], list[C], list[D]]: ...
    @overload
    async def parallel_exec(
        self,
        tasks: tuple[Task[A], Task[B]],
        *,
        max_workers: int | None = None,
        consistent: bool = False,
    ) -> tuple[A, B]: ...
    @overload
    async def parallel_exec(
        self,
        tasks: tuple[Task[A], Task[B], Task[C]],
        *,
        max_workers: int | None = None,
        consistent: bool = False,
    ) -> tuple[A, B, C]: ...
    @overload
    async def parallel_exec(
        self, tasks: tuple[Any, ...], *, max_workers: int | None = None, consistent: bool = False
    ) -> tuple[Any, ...]: ...
    @overload
    async def parallel_exec(
        self, tasks: list[Any] | Iterator[Any], *, max_workers: int | None = None, consistent: bool = False
    ) -> list[Any]: ...
    @overload
    async def parallel_exec(
        self, tasks: Iterable[Any], *, max_workers: int | None = None, consistent: bool = False
    ) -> Any: ...
    async def parallel_exec(self, tasks: Any, *, max_workers: int | None = None, consistent: bool = False) -> Any:
        """Run queries at the same time on connections of the pool; see `Session.parallel_exec`.

        A task may be an awaitable of a query, too: `Select(User).first()`; a function is one of coroutines.
        """
        return await coroutines.run_all(self, tasks, max_workers=max_workers, consistent=consistent)

    async def parallel_scan(self, query: Query[T], *, workers: int = 4) -> list[T]:
        """Read a large table on several connections at once, in one snapshot; see `Session.parallel_scan`."""
        return await coroutines.scan(self, query, workers=workers)

    # --- the session's life -----------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Roll back what is open and let the objects go; they stay readable."""
        await self._end(lifecycle.close(self._workspace, self._guard))

    async def __aenter__(self) -> Self:
        self._token = self._made_current()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        SessionManager.pop(self._token)
        await self._end(lifecycle.leave(self._workspace, self._guard, self._policy, error), error)
