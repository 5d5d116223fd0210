"""The synchronous session: `Session` over psycopg2, a shell around the same steps as `AsyncSession`.

Every method is one line: it hands steps to the channel. There is no decision here, no loop and no SQL (but for `get`,
which asks what is known before it makes steps); a test compares the names and parameters of the two classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, overload

from psqlmodel.core import bulk, lifecycle, locking, retry
from psqlmodel.core.context import SessionManager
from psqlmodel.core.engine import Engine, create_async_engine, create_engine
from psqlmodel.core.engine.channel import SessionChannel
from psqlmodel.core.engine.engine import EngineBase
from psqlmodel.core.guard import Guard
from psqlmodel.core.loading import access
from psqlmodel.core.loading.result import Led, QueryResult
from psqlmodel.core.row import Row
from psqlmodel.core.savepoint import Nested
from psqlmodel.core.shell import Lock, Params, SessionBase
from psqlmodel.core.transaction import rollback as roll_back
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.core.verbs.methods import Verbs
from psqlmodel.core.workspace import Workspace
from psqlmodel.query.statement import Query
from psqlmodel.steps import Notify, Steps, run

if TYPE_CHECKING:
    from psqlmodel.core.bulk import Counted
    from psqlmodel.core.engine.tracing import Tracing
    from psqlmodel.core.loading.streaming import Stream
    from psqlmodel.observe.plan import QueryPlan
    from psqlmodel.query.sql import RawSQL
    from psqlmodel.query.templates import Template

__all__ = ["Engine", "Session", "create_async_engine", "create_engine"]

T = TypeVar("T")
S = TypeVar("S")
M = TypeVar("M")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


class Session(Verbs, SessionBase[Engine]):
    """A unit of work on a synchronous engine.

    Parameters:
        engine: from `create_engine(…)`.
        auto_commit: commit when the `with` block ends without an error.
        auto_rollback: roll back when the block ends with an error; else the transaction stays for the caller.
        atomic: `commit()` closes the session.
        autoflush: send pending changes before a query that could see them.
        strict: an unloaded relation raises `NotLoadedError` instead of being loaded when it is read.
        isolation: `"READ COMMITTED"`, `"REPEATABLE READ"` or `"SERIALIZABLE"`.
        read_only, deferrable: options of the transaction. One that only reads takes a replica, where there are some.
        after: the token of a commit, `session.token`, that a replica must have before it serves.

    The transaction begins with the first statement; until then the session holds no connection. Without a `with` block
    it needs `close()`. One thread uses a session at a time. Raises `EngineKindError` for an asynchronous engine.

        with Session(engine) as session:
            session.add(User(name="Ada"))
            session.commit()
    """

    _kind: ClassVar[type] = Engine
    _advice: ClassVar[str] = "Session needs a synchronous engine, create_engine(dsn); or AsyncSession"
    _lazy: ClassVar[bool] = True
    _channel: SessionChannel

    def _connect(self, engine: Any) -> None:
        self._channel = SessionChannel(engine)
        self._workspace.unit.load_now = partial(_load_now, self._workspace, self._guard, self._channel)

    def _handle(self, request: Notify) -> None:
        with self._guard.lent():
            for handler in request.handlers:
                handler(self)

    def _run(self, steps: Steps[T]) -> T:
        self._guard.enter()
        try:
            return run(steps, self._channel)
        finally:
            self._guard.leave()

    def _end(self, steps: Steps[None], error: BaseException | None = None) -> None:
        if self._seized(error):
            return
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

    def delete_all(self, models: Iterable[Any]) -> None:
        """Register several objects for deletion at the next flush; none is registered if one of them can't be.

        `models` are objects of any classes. Raises what `delete` raises.

            session.delete_all(user.orders)
        """
        _ = self._now(self._workspace.unit.delete_all, models)

    def flush(self) -> None:
        """Send pending changes without committing: generated keys and defaults are on the objects afterwards.

        Raises the server's error, after rolling the transaction back and restoring the objects.
        """
        self._run(flush(self._workspace))

    def commit(self) -> None:
        """Flush and commit. The objects stay readable; the next statement begins another transaction.

        Under `isolation="REPEATABLE READ"` or `"SERIALIZABLE"`, a transaction that is nothing but this flush runs again
        by itself where the server refuses it because of others.

        Raises the server's error, after rolling back and restoring the objects.
        """
        self._run(lifecycle.commit(self._workspace, self._guard, self._policy))

    def prepare(self, identifier: str) -> None:
        """Flush, and prepare the transaction for two-phase commit under an identifier that is unique on the server.

        It is durable then, holds its locks, and waits for `engine.commit_prepared(identifier)` or
        `engine.rollback_prepared(identifier)`, from whatever connection. The objects are as after a commit. Raises
        `ConfigurationError` where the server takes no prepared transactions.
        """
        self._run(lifecycle.prepare(self._workspace, self._guard, self._policy, identifier))

    def run(self, work: Callable[[Session], T], *, retries: int = 3) -> T:
        """Run `work(session)` as a whole transaction of this session, commit, and return what it returns.

        It runs again as `Engine.run` says; before each attempt, what the session holds is loaded anew. An error rolls
        back. Raises `SessionError` where a transaction is open or changes are pending.

            session.run(lambda session: transfer(session, 1, 2))
        """
        result: T = retry.run_within(self, work, retries)
        return result

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

    def savepoint(self, name: str) -> Nested:
        """Return the block of `begin_nested` with a savepoint of this name."""
        return self.begin_nested(name)

    def refresh(self, model: Any, attributes: Iterable[str] | None = None, *, keep_changes: bool = False) -> None:
        """Reload an object from the database, discarding its local changes.

        `attributes` limits it to some columns or relations. Raises `StaleObjectError` if the row is gone.
        """
        self._run(access.refresh(self._workspace, model, attributes, keep_changes=keep_changes))

    def load(self, models: Any, *paths: Any) -> None:
        """Load relations of one object or many: one query for each relation.

        session.load(users, User.orders)
        """
        self._run(access.load(self._workspace, models, *paths))

    # --- querying ---------------------------------------------------------------------------------------------------

    def get(
        self,
        model: type[M],
        pk: Any,
        *,
        lock: Lock | None = None,
        nowait: bool = False,
        skip_locked: bool = False,
    ) -> M | None:
        """Return the object with this primary key, or None; one that the session has is returned without a query.

        `pk` is a value, or a tuple or dictionary for a composite key. `lock` locks the row until the transaction ends:
        "update", "no key update", "share" or "key share"; then a query is always sent and the object takes the fresh
        values. `nowait` raises `LockNotAvailable` instead of waiting, `skip_locked` gives None.

            user = session.get(User, 1, lock="update")
        """
        found: M | None = access.known(self._workspace, model, pk, lock, nowait, skip_locked)
        return self._run(locking.get(self._workspace, model, pk, lock, nowait, skip_locked)) if found is None else found

    @overload
    def exec(self, query: Query[T], params: None = None) -> QueryResult[T]: ...
    @overload
    def exec(self, query: str | RawSQL | Template, params: Params = None) -> QueryResult[Row]: ...
    def exec(self, query: Any, params: Any = None) -> QueryResult[Any]:
        """Execute a query or SQL text and return its result.

        `params` are the values of SQL text: a sequence for `%s`, a mapping for `%(name)s`.

            users = session.exec(Select(User).Where(User.age > 18)).all()
        """
        return QueryResult(self._run(access.select(self._workspace, query, params)))

    @overload
    def exec_one(self, query: Query[T], params: None = None) -> T | None: ...
    @overload
    def exec_one(self, query: str | RawSQL | Template, params: Params = None) -> Row | None: ...
    def exec_one(self, query: Any, params: Any = None) -> Any:
        """Return the first object or row of a query, or None."""
        return self.exec(query, params).first()

    @overload
    def exec_scalar(self, query: Query[Led[S]], params: None = None) -> S | None: ...
    @overload
    def exec_scalar(self, query: Query[T], params: None = None) -> T | None: ...
    @overload
    def exec_scalar(self, query: str | RawSQL | Template, params: Params = None) -> Any: ...
    def exec_scalar(self, query: Any, params: Any = None) -> Any:
        """Return the first value of the first row of a query, or None."""
        return self.exec(query, params).scalar()

    def explain(self, query: Any, params: Any = None, *, analyze: bool = False) -> QueryPlan:
        """Return how the server would execute a query, or SQL text with its `params`: `print` shows the tree.

        `analyze` executes it, in a savepoint that is rolled back, and tells times and rows. The plan says the values of
        the query, as EXPLAIN does. Raises `QueryError` for what is no query, and what the server says of it.

            print(session.explain(Select(User).Where(User.name == "Ada"), analyze=True))
        """
        from psqlmodel.core.explaining import plan_of  # only who asks pays for it

        return self._run(plan_of(self._workspace, query, params, analyze=analyze))

    def trace(self, *, plans: bool = False, values: bool = False) -> Tracing:
        """Return a `with` block that records what this session sends, and finds what to change: `print` shows it.

        `plans` asks for the plan of each text when the block ends, on another connection; `values` keeps the arguments,
        which are in no trace else.

            with session.trace() as trace:
                users = session.exec(Select(User)).all()
            print(trace)
        """
        from psqlmodel.core.engine.tracing import Tracing, in_session

        return Tracing(self.engine, in_session(self._workspace, self._channel), plans=plans, values=values)

    def stream(self, query: Query[T], *, batch: int = 1000) -> Stream[T]:
        """Return the objects or rows of a SELECT to iterate over, loaded `batch` rows at a time with what it includes.

        For results that need not fit into memory: the session keeps only the objects that the program changes. The
        server's cursor lives in the transaction, and is closed at the end, by `close()` or at the end of a `with` block
        of the stream. Raises `QueryError` for other queries; `SessionError`, from the iteration, once the transaction
        has ended.

            for user in session.stream(Select(User).Include(User.orders), batch=1000): ...
        """
        from psqlmodel.core.loading.streaming import Stream  # only who streams pays for it

        return Stream(self._run, self._workspace, query, batch)

    # --- locks ------------------------------------------------------------------------------------------------------

    def claim(self, model: type[M], count: int = 1, *, where: Any = None, order_by: Any = None) -> list[M]:
        """Lock up to `count` rows that no other transaction holds and return their objects: jobs of a queue.

        `where` is a condition; `order_by` a column, an ordering or a list of them (default: the primary key). Other
        workers get other rows until this transaction ends. Raises `QueryError`, `MissingPrimaryKeyError`.

            jobs = session.claim(Job, 10, where=Job.done == False)
        """
        found: list[M] = self._run(locking.claim(self._workspace, model, count, where, order_by))
        return found

    def lock(self, name: str) -> None:
        """Wait for the lock of a name, and hold it until the transaction ends (an advisory lock).

        It locks nothing but the name: who asks for the same one waits. In SQL it is
        `pg_advisory_xact_lock(hashtextextended(name, 0))`.

            session.lock("nightly report")
        """
        self._run(locking.lock_name(self._workspace, name))

    def try_lock(self, name: str) -> bool:
        """Take the lock of a name if nobody has it, and tell whether it was to be had; see `lock`."""
        return self._run(locking.try_lock_name(self._workspace, name))

    # --- bulk and parallel work -------------------------------------------------------------------------------------

    def bulk_insert(
        self,
        models: Iterable[Any],
        *,
        model: type | None = None,
        columns: Any = None,
        returning: bool = True,
        on_conflict: Literal["ignore", "update"] | None = None,
        on: Any = None,
        progress: Callable[[int], Any] | None = None,
    ) -> Counted:
        """Insert many objects, or dictionaries of `model`, or tuples of its `columns`, past the identity map.

        Generated keys are on the objects and in the dictionaries afterwards unless `returning` is False. `on_conflict`
        says what becomes of rows that agree with one in the table in the columns `on` (default: the primary key, else
        the one unique key): "ignore" leaves them out, "update" writes them. `progress` is called after each chunk with
        the number of models taken so far. Returns the number of rows written, with `.inserted` and `.updated`. Errors
        name the position of the row, and nothing of the call stays.

            session.bulk_insert(rows, model=Reading, columns=[Reading.sensor, Reading.value])
        """
        return self._run(
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

    def bulk_upsert(
        self,
        models: Iterable[Any],
        *,
        on: Any = None,
        update: Any = None,
        model: type | None = None,
        columns: Any = None,
        returning: bool = True,
        progress: Callable[[int], Any] | None = None,
    ) -> Counted:
        """Insert many rows, or update those that agree with them in the columns `on`, past the identity map.

        `on` has a unique constraint (default: the primary key, else the one unique key); `update` are the columns that
        are written where the row is there (default: all that are set). The rest is as with `bulk_insert`; two rows with
        one key within a chunk raise `InvalidValueError`.

            session.bulk_upsert(products, on=Product.sku)
        """
        return self._run(
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

    def bulk_update(
        self,
        models: Iterable[Any],
        *,
        model: type | None = None,
        columns: Any = None,
        progress: Callable[[int], Any] | None = None,
    ) -> int:
        """Update many rows by primary key, past the identity map; returns their number.

        Takes what `bulk_insert` takes; all set columns are written. What the session has of these rows is read again.
        Raises `StaleObjectError` where a key matches no row.
        """
        return self._run(bulk.bulk_update(self._workspace, models, model=model, columns=columns, progress=progress))

    def bulk_delete(
        self, models: Iterable[Any], *, model: type | None = None, progress: Callable[[int], Any] | None = None
    ) -> int:
        """Delete the rows of many objects, or of primary keys of `model`; returns how many there were.

        Loaded objects follow, those that ON DELETE takes along, too. A key without a row is no error.

            session.bulk_delete([1, 2, 3], model=User)
        """
        return self._run(bulk.bulk_delete(self._workspace, models, model=model, progress=progress))

    def copy_to(self, query: Any, file: Any, *, format: Literal["csv", "binary", "arrow"] = "csv") -> int:
        """Write what a query returns to a file, by COPY; returns the number of rows. Memory stays small.

        `query` is a Select, SQL text or a model class; `file` a path or an open file. CSV begins with the names of the
        columns; Arrow, which needs pyarrow, is a stream of record batches. Pending changes to the tables of the query
        are flushed first. A value that has no place in Arrow raises `DataError` with row and column.

            session.copy_to(Select(User).Where(User.active), "users.csv")
        """
        return self._run(bulk.copy_to(self._workspace, query, file, format=format))

    def copy_from(
        self, model: type, file: Any, *, format: Literal["csv", "binary", "arrow"] = "csv", columns: Any = None
    ) -> int:
        """Insert the rows of a file into the table of a model, by COPY; returns their number. Memory stays small.

        `file` is a path or an open file. The first line of a CSV file names its columns, and so does an Arrow stream or
        file, for which pyarrow is needed; a binary file has `columns` (default: all that the database does not
        compute). What the file lacks the database makes. Errors name the row.

            session.copy_from(User, "users.csv")
        """
        return self._run(bulk.copy_from(self._workspace, model, file, format=format, columns=columns))

    @overload
    def parallel_exec(
        self, tasks: tuple[Query[A], Query[B]], *, max_workers: int | None = None, consistent: bool = False
    ) -> tuple[list[A], list[B]]: ...
    @overload
    def parallel_exec(
        self, tasks: tuple[Query[A], Query[B], Query[C]], *, max_workers: int | None = None, consistent: bool = False
    ) -> tuple[list[A], list[B], list[C]]: ...
    @overload
    def parallel_exec(
        self,
        tasks: tuple[Query[A], Query[B], Query[C], Query[D]],
        *,
        max_workers: int | None = None,
        consistent: bool = False,
    ) -> tuple[list[A], list[B], list[C], list[D]]: ...
    @overload
    def parallel_exec(
        self,
        tasks: tuple[Callable[[], A], Callable[[], B]],
        *,
        max_workers: int | None = None,
        consistent: bool = False,
    ) -> tuple[A, B]: ...
    @overload
    def parallel_exec(
        self,
        tasks: tuple[Callable[[], A], Callable[[], B], Callable[[], C]],
        *,
        max_workers: int | None = None,
        consistent: bool = False,
    ) -> tuple[A, B, C]: ...
    @overload
    def parallel_exec(
        self, tasks: tuple[Any, ...], *, max_workers: int | None = None, consistent: bool = False
    ) -> tuple[Any, ...]: ...
    @overload
    def parallel_exec(
        self, tasks: list[Any] | Iterator[Any], *, max_workers: int | None = None, consistent: bool = False
    ) -> list[Any]: ...
    @overload
    def parallel_exec(
        self, tasks: Iterable[Any], *, max_workers: int | None = None, consistent: bool = False
    ) -> Any: ...
    def parallel_exec(self, tasks: Any, *, max_workers: int | None = None, consistent: bool = False) -> Any:
        """Run queries at the same time on connections of the pool, outside this transaction; results in order.

        A task is a query, SQL text, a pair of SQL text and parameters, or a function without arguments; a tuple of
        tasks gives a tuple. `max_workers` run at once at most. With `consistent` all tasks see one snapshot of the
        database. Raises `ParallelError` for the first that failed; `SessionError` where the snapshot could not contain
        what this session has not committed.

            users, orders = session.parallel_exec([Select(User), Select(Order)])
        """
        from psqlmodel.core.parallel import threads  # with the pool of threads: 10 ms

        return threads.run_all(self, tasks, max_workers=max_workers, consistent=consistent)

    def parallel_scan(self, query: Query[T], *, workers: int = 4) -> list[T]:
        """Read a large table on several connections at once, in one snapshot, and return all that the query selects.

        The rows come in the order in which the table is split. Raises `QueryError` for a query with an order, a limit
        or another clause about all rows, `ParallelError` where a part failed, `SessionError` as `parallel_exec` does.

            spikes = session.parallel_scan(Select(Reading).Where(Reading.value > 100), workers=4)
        """
        from psqlmodel.core.parallel import threads

        return threads.scan(self, query, workers=workers)

    # --- the session's life -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Roll back what is open and let the objects go; they stay readable."""
        self._end(lifecycle.close(self._workspace, self._guard))

    def __enter__(self) -> Self:
        self._token = self._made_current()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        SessionManager.pop(self._token)
        self._end(lifecycle.leave(self._workspace, self._guard, self._policy, error), error)


def _load_now(workspace: Workspace, guard: Guard, channel: SessionChannel, obj: Any, key: str) -> Any:
    """Load what is missing at the moment it is read. No method: the unit of work must not keep the session alive."""
    guard.enter()
    try:
        return run(access.load_missing(workspace, obj, key), channel)
    finally:
        guard.leave()


def _run_in_sessions(engine: EngineBase, work: Callable[[Any], Any], retries: int, options: dict[str, Any]) -> Any:
    """Run `work` in sessions of the engine's kind."""
    if isinstance(engine, Engine):
        return retry.run_fresh(Session, engine, work, retries, options)
    from psqlmodel.core.async_session import AsyncSession  # only those who made an asynchronous engine need it

    return retry.run_fresh_async(AsyncSession, engine, work, retries, options)


EngineBase.runner = staticmethod(_run_in_sessions)
