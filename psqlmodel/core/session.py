"""Sessions: `Session` over psycopg2 and `AsyncSession` over asyncpg, two shells around the same steps.

Every method is one line: it hands steps to the channel. There is no decision here, no loop and no SQL; a test compares
the names and parameters of the two classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, overload

from psqlmodel.core import bulk, lifecycle, parallel
from psqlmodel.core.context import SessionManager
from psqlmodel.core.done import DONE, Done
from psqlmodel.core.engine import AsyncEngine, Engine
from psqlmodel.core.engine.channel import AsyncSessionChannel, SessionChannel
from psqlmodel.core.guard import Guard
from psqlmodel.core.lifecycle import Policy
from psqlmodel.core.loading import access
from psqlmodel.core.loading.reading import Loaded
from psqlmodel.core.loading.result import PendingQuery, PendingResult, QueryResult
from psqlmodel.core.row import Row
from psqlmodel.core.savepoint import AsyncNested, Nested
from psqlmodel.core.transaction import begin_text
from psqlmodel.core.transaction import rollback as roll_back
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.core.workspace import Workspace
from psqlmodel.query.statement import Query
from psqlmodel.steps import Steps, run, run_async

T = TypeVar("T")
M = TypeVar("M")
Params: TypeAlias = Sequence[Any] | Mapping[str, Any] | None


class _SessionBase:
    """What both sessions are made of."""

    _workspace: Workspace
    _guard: Guard
    _policy: Policy

    def _prepare(
        self,
        engine: Engine | AsyncEngine,
        *,
        lazy: bool,
        auto_commit: bool,
        auto_rollback: bool,
        atomic: bool,
        autoflush: bool,
        strict: bool,
        isolation: str | None,
        read_only: bool,
        deferrable: bool,
    ) -> None:
        begin = begin_text(isolation=isolation, read_only=read_only, deferrable=deferrable)
        self.engine = engine
        self._workspace = Workspace(engine, engine.catalog, lazy=lazy, autoflush=autoflush, strict=strict, begin=begin)
        self._guard = Guard(type(self).__name__)
        self._policy = Policy(auto_commit=auto_commit, auto_rollback=auto_rollback, atomic=atomic)
        self._token: Any = None

    def _now(self, register: Callable[[Any], None], model: Any) -> Done:
        self._guard.enter()
        try:
            register(model)
        finally:
            self._guard.leave()
        return DONE

    def __del__(self) -> None:
        lifecycle.abandon(self.__dict__.get("_guard"), self.__dict__.get("_channel"))

    @property
    def closed(self) -> bool:
        """Whether the session is closed."""
        return self._guard.closed

    @property
    def strict(self) -> bool:
        """Whether an unloaded attribute is an error even where it could be loaded."""
        return self._workspace.unit.strict

    @strict.setter
    def strict(self, value: bool) -> None:
        self._workspace.unit.strict = value

    def no_autoflush(self) -> AbstractContextManager[None]:
        """Return a `with` block in which queries do not flush pending changes.

        with session.no_autoflush():
            session.exec(Select(User)).all()
        """
        return self._workspace.no_autoflush()

    def __contains__(self, model: object) -> bool:
        return self._workspace.unit.contains(model)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self.closed else 'open'} on {self.engine!r}>"


class Session(_SessionBase):
    """A unit of work on a synchronous engine.

    Parameters:
        engine: from `create_engine(…)`.
        auto_commit: commit when the `with` block ends without an error.
        auto_rollback: roll back when the block ends with an error; else the transaction stays for the caller.
        atomic: `commit()` closes the session.
        autoflush: send pending changes before a query that could see them.
        strict: an unloaded relation raises `NotLoadedError` instead of being loaded when it is read.
        isolation: `"READ COMMITTED"`, `"REPEATABLE READ"` or `"SERIALIZABLE"`.
        read_only, deferrable: options of the transaction.

    The transaction begins with the first statement; until then the session holds no connection. Without a `with` block
    it needs `close()`. One thread uses a session at a time. Raises `EngineKindError` for an asynchronous engine.

        with Session(engine) as session:
            session.add(User(name="Ada"))
            session.commit()
    """

    def __init__(
        self,
        engine: Engine,
        *,
        auto_commit: bool = False,
        auto_rollback: bool = True,
        atomic: bool = False,
        autoflush: bool = True,
        strict: bool = False,
        isolation: str | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> None:
        lifecycle.check_engine(
            engine, Engine, "Session needs a synchronous engine, create_engine(dsn); or AsyncSession"
        )
        self._channel = SessionChannel(engine)
        self._prepare(
            engine,
            lazy=True,
            auto_commit=auto_commit,
            auto_rollback=auto_rollback,
            atomic=atomic,
            autoflush=autoflush,
            strict=strict,
            isolation=isolation,
            read_only=read_only,
            deferrable=deferrable,
        )
        self._workspace.unit.load_now = partial(_load_now, self._workspace, self._guard, self._channel)

    def _run(self, steps: Steps[T]) -> T:
        self._guard.enter()
        try:
            return run(steps, self._channel)
        finally:
            self._guard.leave()

    def _end(self, steps: Steps[None]) -> None:
        self._guard.enter_to_end()
        try:
            run(steps, self._channel)
        finally:
            self._guard.leave()

    # --- persistence ------------------------------------------------------------------------------------------------

    def add(self, model: Any) -> None:
        """Register an object for insertion or update, with the new objects that hang on it.

        Raises `NotMappedError`, or `ObjectStateError` for an object of another session.

            session.add(User(name="Ada"))
        """
        _ = self._now(self._workspace.unit.add, model)

    def add_all(self, models: Iterable[Any]) -> None:
        """Register several objects; none is registered if one of them can't be."""
        _ = self._now(self._workspace.unit.add_all, models)

    def delete(self, model: Any) -> None:
        """Register an object for deletion at the next flush.

        Raises `ObjectStateError` for an object that has no row.
        """
        _ = self._now(self._workspace.unit.delete, model)

    def flush(self) -> None:
        """Send pending changes without committing: generated keys and defaults are on the objects afterwards.

        Raises the server's error, after rolling the transaction back and restoring the objects.
        """
        self._run(flush(self._workspace))

    def commit(self) -> None:
        """Flush and commit. The objects stay readable; the next statement begins another transaction.

        Raises the server's error, after rolling back and restoring the objects.
        """
        self._run(lifecycle.commit(self._workspace, self._guard, self._policy))

    def rollback(self) -> None:
        """Roll the transaction back; the objects return to what they were when it began."""
        self._run(roll_back(self._workspace))

    def begin_nested(self, name: str | None = None) -> Nested:
        """Return a `with` block whose work can be rolled back by itself: an error in it leaves the rest whole.

        `name` is the savepoint's, for those who look at the server's log.

            with session.begin_nested():
                session.add(User(name="Ada"))
        """
        return Nested(self._run, self._workspace, name)

    def refresh(self, model: Any, attributes: Iterable[str] | None = None) -> None:
        """Reload an object from the database, discarding its local changes.

        `attributes` limits it to some columns or relations. Raises `StaleObjectError` if the row is gone.
        """
        self._run(access.refresh(self._workspace, model, attributes))

    def load(self, models: Any, *paths: Any) -> None:
        """Load relations of one object or many: one query for each relation.

        session.load(users, User.orders)
        """
        self._run(access.load(self._workspace, models, *paths))

    # --- querying ---------------------------------------------------------------------------------------------------

    def get(self, model: type[M], pk: Any) -> M | None:
        """Return the object with this primary key, or None; one that the session has is returned without a query.

        `pk` is a value, or a tuple or dictionary for a composite key.

            user = session.get(User, 1)
        """
        found: M | None = self._run(access.get(self._workspace, model, pk))
        return found

    @overload
    def exec(self, query: Query[T], params: None = None) -> QueryResult[T]: ...
    @overload
    def exec(self, query: str, params: Params = None) -> QueryResult[Row]: ...
    def exec(self, query: Any, params: Any = None) -> QueryResult[Any]:
        """Execute a query or SQL text and return its result.

        `params` are the values of SQL text: a sequence for `%s`, a mapping for `%(name)s`.

            users = session.exec(Select(User).Where(User.age > 18)).all()
        """
        return QueryResult(self._run(access.select(self._workspace, query, params)))

    @overload
    def exec_one(self, query: Query[T], params: None = None) -> T | None: ...
    @overload
    def exec_one(self, query: str, params: Params = None) -> Row | None: ...
    def exec_one(self, query: Any, params: Any = None) -> Any:
        """Return the first object or row of a query, or None."""
        return self.exec(query, params).first()

    def exec_scalar(self, query: Any, params: Any = None) -> Any:
        """Return the first value of the first row of a query, or None."""
        return self.exec(query, params).scalar()

    # --- bulk and parallel work -------------------------------------------------------------------------------------

    def bulk_insert(self, models: Iterable[Any], *, model: type | None = None, returning: bool = True) -> int:
        """Insert many objects, or dictionaries of `model`, past the identity map; returns their number.

        Generated keys are on the objects afterwards unless `returning` is False.
        """
        return self._run(bulk.bulk_insert(self._workspace, models, model=model, returning=returning))

    def bulk_update(self, models: Iterable[Any], *, model: type | None = None) -> int:
        """Update many rows by primary key, past the identity map; returns their number.

        Raises `StaleObjectError` where a key matches no row.
        """
        return self._run(bulk.bulk_update(self._workspace, models, model=model))

    def parallel_exec(self, tasks: Iterable[Any], *, max_workers: int | None = None) -> list[Any]:
        """Run queries at the same time on connections of the pool, outside this transaction; results in order.

        users, orders = session.parallel_exec([Select(User), Select(Order)])
        """
        return parallel.run_all(self, tasks, max_workers=max_workers)

    # --- the session's life -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Roll back what is open and let the objects go; they stay readable."""
        self._end(lifecycle.close(self._workspace, self._guard))

    def __enter__(self) -> Self:
        self._token = SessionManager.push(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        SessionManager.pop(self._token)
        self._end(lifecycle.leave(self._workspace, self._guard, self._policy, error))


def _load_now(workspace: Workspace, guard: Guard, channel: SessionChannel, obj: Any, key: str) -> Any:
    """Load what is missing at the moment it is read. No method: the unit of work must not keep the session alive."""
    guard.enter()
    try:
        return run(access.load_missing(workspace, obj, key), channel)
    finally:
        guard.leave()


class AsyncSession(_SessionBase):
    """A unit of work on an asynchronous engine: what `Session` is, awaited.

    The parameters are those of `Session`. `add` and `delete` register at once and may be awaited or not. An unloaded
    relation raises `NotLoadedError` with the ways out. One task uses a session at a time. Raises `EngineKindError`
    for a synchronous engine.

        async with AsyncSession(engine) as session:
            session.add(User(name="Ada"))
            await session.commit()
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        auto_commit: bool = False,
        auto_rollback: bool = True,
        atomic: bool = False,
        autoflush: bool = True,
        strict: bool = False,
        isolation: str | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> None:
        lifecycle.check_engine(
            engine, AsyncEngine, "AsyncSession needs an asynchronous engine, create_async_engine(dsn); or Session"
        )
        self._channel = AsyncSessionChannel(engine)
        self._prepare(
            engine,
            lazy=False,
            auto_commit=auto_commit,
            auto_rollback=auto_rollback,
            atomic=atomic,
            autoflush=autoflush,
            strict=strict,
            isolation=isolation,
            read_only=read_only,
            deferrable=deferrable,
        )

    async def _run(self, steps: Steps[T]) -> T:
        self._guard.enter()
        try:
            return await run_async(steps, self._channel)
        finally:
            self._guard.leave()

    async def _end(self, steps: Steps[None]) -> None:
        self._guard.enter_to_end()
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

    async def flush(self) -> None:
        """Send pending changes without committing; see `Session.flush`."""
        await self._run(flush(self._workspace))

    async def commit(self) -> None:
        """Flush and commit; see `Session.commit`."""
        await self._run(lifecycle.commit(self._workspace, self._guard, self._policy))

    async def rollback(self) -> None:
        """Roll the transaction back; see `Session.rollback`."""
        await self._run(roll_back(self._workspace))

    def begin_nested(self, name: str | None = None) -> AsyncNested:
        """Return an `async with` block whose work can be rolled back by itself; see `Session.begin_nested`."""
        return AsyncNested(self._run, self._workspace, name)

    async def refresh(self, model: Any, attributes: Iterable[str] | None = None) -> None:
        """Reload an object from the database; see `Session.refresh`."""
        await self._run(access.refresh(self._workspace, model, attributes))

    async def load(self, models: Any, *paths: Any) -> None:
        """Load relations of one object or many; see `Session.load`."""
        await self._run(access.load(self._workspace, models, *paths))

    # --- querying ---------------------------------------------------------------------------------------------------

    async def get(self, model: type[M], pk: Any) -> M | None:
        """Return the object with this primary key, or None; see `Session.get`."""
        return await self._run(access.get(self._workspace, model, pk))

    @overload
    def exec(self, query: Query[T], params: None = None) -> PendingResult[T]: ...
    @overload
    def exec(self, query: str, params: Params = None) -> PendingResult[Row]: ...
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
    def exec_one(self, query: str, params: Params = None) -> PendingQuery[Row | None]: ...
    def exec_one(self, query: Any, params: Any = None) -> PendingQuery[Any]:
        """Return the first object or row of a query, or None."""
        return self.exec(query, params).first()

    def exec_scalar(self, query: Any, params: Any = None) -> PendingQuery[Any]:
        """Return the first value of the first row of a query, or None."""
        return self.exec(query, params).scalar()

    # --- bulk and parallel work -------------------------------------------------------------------------------------

    async def bulk_insert(
        self,
        models: Iterable[Any],
        *,
        model: type | None = None,
        returning: bool = True,
    ) -> int:
        """Insert many objects past the identity map; see `Session.bulk_insert`."""
        return await self._run(bulk.bulk_insert(self._workspace, models, model=model, returning=returning))

    async def bulk_update(self, models: Iterable[Any], *, model: type | None = None) -> int:
        """Update many rows past the identity map; see `Session.bulk_update`."""
        return await self._run(bulk.bulk_update(self._workspace, models, model=model))

    async def parallel_exec(self, tasks: Iterable[Any], *, max_workers: int | None = None) -> list[Any]:
        """Run queries at the same time on connections of the pool; see `Session.parallel_exec`."""
        return await parallel.gather_all(self, tasks, max_workers=max_workers)

    # --- the session's life -----------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Roll back what is open and let the objects go; they stay readable."""
        await self._end(lifecycle.close(self._workspace, self._guard))

    async def __aenter__(self) -> Self:
        self._token = SessionManager.push(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        SessionManager.pop(self._token)
        await self._end(lifecycle.leave(self._workspace, self._guard, self._policy, error))
