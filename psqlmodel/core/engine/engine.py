"""Engines: where the server is, the pool of connections to it, and SQL without a session.

`Engine` (psycopg2) is here, `AsyncEngine` (asyncpg) in `async_engine`, which only those import who make one. They are
parallel shells; what they do is written once, as steps.
An engine knows no session; making one connects to nothing, unless `ensure_database`, `ensure_tables` or
`embedded` ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar, overload

from psqlmodel.core.beginning import begin_text
from psqlmodel.core.engine import jobs
from psqlmodel.core.engine.catalog import Catalog
from psqlmodel.core.engine.channel import Listener, Listening, Observer, SessionChannel
from psqlmodel.core.engine.dsn import Target, parse_dsn
from psqlmodel.core.engine.jobs import PreparedTransaction
from psqlmodel.core.engine.options import PGBOUNCER, Options, read_options
from psqlmodel.core.events import Events, Handler
from psqlmodel.core.row import RowList
from psqlmodel.drivers.pool import Pool
from psqlmodel.errors import DatabaseError
from psqlmodel.model.mapper import Mapper, mapper_of, registry
from psqlmodel.steps import Rows, Statement, Steps, run

if TYPE_CHECKING:
    from psqlmodel.core.engine.async_engine import AsyncEngine
    from psqlmodel.core.engine.replicas import Replicas
    from psqlmodel.core.engine.tracing import Tracing
    from psqlmodel.core.session import Session

# What an engine asks of each new connection.
GREETING: Final = (
    "SELECT current_setting('default_transaction_isolation'), pg_backend_pid(), current_setting('IntervalStyle')"
)

T = TypeVar("T")
Params = Sequence[Any] | Mapping[str, Any] | None


@overload
def create_engine(dsn: str | None = None, *, async_: Literal[False] = False, **options: Any) -> Engine: ...
@overload
def create_engine(dsn: str | None = None, *, async_: Literal[True], **options: Any) -> AsyncEngine: ...
@overload
def create_engine(dsn: str | None = None, *, async_: bool, **options: Any) -> Engine | AsyncEngine: ...
def create_engine(dsn: str | None = None, *, async_: bool = False, **options: Any) -> Engine | AsyncEngine:
    """Return an engine for a PostgreSQL server.

    `dsn` is `postgresql://user:password@host:5432/database`, `host=… dbname=…`, `"embedded"` (a private
    server, gone at exit) or `"embedded:///path"` (kept); without it `DATABASE_URL` counts, then the `PG*`
    variables. `async_` chooses asyncpg. Options (times in seconds):

    - `pool_size` (5) connections stay open, `max_pool_size` (10) is the limit, `pool_timeout` (30) the wait
      for one, `max_lifetime` (3600) the age at which one is replaced;
    - `connect_timeout` (10), `statement_timeout` (none), `application_name`, `timezone` ("UTC"), `settings`
      (server settings for each connection: `{"lock_timeout": "2s"}`);
    - `answer_timeout` (none): how long this side waits for the answer to a statement, whatever the server does;
    - `pooler`: "pgbouncer" (in transaction mode) or "none"; without it the first connection finds out;
    - `prepared_statements` (True);
    - `tags={"application": "shop"}`: what a comment after each statement says (see `psqlmodel.tagged`);
    - `replicas=[dsn, …]`: standbys, from which `Session(engine, read_only=True)` reads; `replica_wait` (0.2) is how
      long one is waited for that has not come as far as the context has written, `replica_retry` (5) how long one is
      left alone that failed;
    - `ensure_database` makes a missing database, `ensure_tables` the missing tables of `models=[User, …]` or
      of `models_path=` (a module's name, a file or a folder). A synchronous engine does so at once, an
      asynchronous one with its first connection, or at `await engine.start()`.

    Raises `ConfigurationError` for what is not usable as given.

        engine = create_engine("postgresql://me@localhost/shop")
    """
    settings = read_options(dsn, options)
    if not async_:
        return Engine(settings)
    from psqlmodel.core.engine.async_engine import AsyncEngine  # with asyncio: 25 ms

    return AsyncEngine(settings)


def create_async_engine(dsn: str | None = None, **options: Any) -> AsyncEngine:
    """Return an asynchronous engine: `create_engine` with `async_=True`."""
    return create_engine(dsn, async_=True, **options)


class EngineBase:
    """What both engines are: options, observers, catalog.

    `runner` runs a function in sessions; set by those who know sessions: an engine does not.
    """

    runner: ClassVar[Callable[..., Any]]

    _awaits: ClassVar[bool] = False

    def __init__(self, options: Options) -> None:
        self.options = options
        self.catalog = Catalog()
        self.observers: tuple[Observer, ...] = ()
        self.included: tuple[Any, ...] = ()  # the traces that want to know what queries include
        if options.tags is not None:
            from psqlmodel.observe.tags import Tagging  # few tag

            self.observers = (Tagging(options.tags),)
        self.events = Events(awaits=self._awaits)
        self._target = options.target
        self._server: Any = None
        self._pooled = options.pooler == PGBOUNCER
        self.replicas: Replicas | None = None

    def on_statement(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(StatementEvent)` after each statement; returns a function that ends this.

        Nothing is measured while nobody listens. Values of parameters are not in the event.

            stop = engine.on_statement(lambda event: print(event.seconds, event.text))
        """
        return self.observe(Listening(listener))

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Let an observer hear of each exchange with the server, values included; returns a function that ends this."""
        self.observers = (*self.observers, observer)

        def stop() -> None:
            self.observers = tuple([each for each in self.observers if each is not observer])

        return stop

    def log_statements(
        self, level: int | str = "DEBUG", *, slower_than: float = 0.0, values: bool = False
    ) -> Callable[[], None]:
        """Log each statement to the logger `psqlmodel`, as of the line that asked for it; returns what ends this.

        `level` is that of `logging`, `slower_than` the seconds below which nothing is logged (errors are), `values`
        writes the arguments and the constants of the text, which are left out else.

            stop = engine.log_statements("INFO", slower_than=0.1)
        """
        from psqlmodel.observe.log import Logging  # with logging: few log

        return self.observe(Logging(level, slower_than, values))

    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler(session)` at each `event` of every session of this engine; returns a function that ends this.

        The events are those of `Session.on`; a session's own handlers come after.

            stop = engine.on("before_flush", stamp)
        """
        return self.events.on(event, handler)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.options.target}>"

    @property
    def here(self) -> Any:
        """What has connections to the same server: the engine itself. Replicas differ."""
        return self

    @property
    def embedded_dsn(self) -> str | None:
        """The DSN of the embedded server that the engine uses, for another engine on the same data; else None.

        An asynchronous engine knows it once it has connected.
        """
        return None if self._server is None else str(self._server.dsn)

    @property
    def pooler(self) -> str | None:
        """The pooler in front of the server: "pgbouncer", or None where there is none or nobody knows yet."""
        return PGBOUNCER if self._pooled else None

    def _learn(self, greeting: Rows, connection: Any, target: Target) -> bool:
        """Take note of what a new connection said; tell whether it may be used, or shows a pooler for which it was not
        made.
        """
        isolation, backend, style = greeting.data[0]
        if target is self._target:
            self.catalog.read_committed = isolation == "read committed"
        if connection.pooled:
            from psqlmodel.core.engine import pooler  # few have one

            pooler.check_style(style)
            return True
        if self.options.pooler is None and connection.pid != backend:  # a process that the server does not have
            self._pooled = True
            return False
        return True

    def _was_refused(self, error: DatabaseError) -> bool:
        """Tell whether a pooler, of which nobody knew, refused a connection; now it is known."""
        from psqlmodel.core.engine import pooler

        if self.options.pooler is not None or not pooler.refused(error):
            return False
        self._pooled = True
        return True

    @property
    def _asks_for_work(self) -> bool:
        options = self.options
        return bool(options.target.embedded) or options.ensure_database or options.ensure_tables

    def _pooled_options(self) -> dict[str, Any]:
        from psqlmodel.core.engine import pooler

        pooler.check(self.options)
        return {"settings": self.options.pooled_settings(), "connect_timeout": self.options.connect_timeout}

    def _connection_options(self) -> dict[str, Any]:
        return {
            "settings": self.options.server_settings(),
            "prepared_statements": self.options.prepared_statements,
            "connect_timeout": self.options.connect_timeout,
        }

    def _pool_options(self) -> dict[str, Any]:
        options = self.options
        return {
            "pool_size": options.pool_size,
            "max_size": options.max_pool_size,
            "timeout": options.pool_timeout,
            "max_lifetime": options.max_lifetime,
        }

    def _find_replicas(self, make_pool: Callable[[Target], Any]) -> None:
        """Make the pools of the replicas, where there are some."""
        options = self.options
        if options.replicas:
            from psqlmodel.core.engine.replicas import Replicas  # few have them

            self.replicas = Replicas(
                options.replicas, make_pool, wait=options.replica_wait, retry=options.replica_retry
            )

    def _mappers(self, models: Iterable[type] | None) -> list[Mapper]:
        """Return the mappers of `models`, else of the models that the engine was given, else of all."""
        chosen = list(models) if models is not None else [*self.options.models]
        if models is None and self.options.models_path:
            from psqlmodel.core.engine.discovery import find_models  # with pathlib; few ask for it

            chosen += find_models(self.options.models_path)
        if not chosen and models is None:
            return registry.mappers()
        return [mapper_of(model) for model in dict.fromkeys(chosen)]

    def _serve_embedded(self) -> Target:
        """Start the embedded server and return where it is."""
        from psqlmodel import embedded  # only those who ask for it need it

        self._server = embedded.acquire(self.options.target.embedded)
        return parse_dsn(self._server.dsn)

    def _noted(self, position: int) -> str:
        """Keep a position of the primary in the context, and return its token."""
        from psqlmodel.core.engine.replicas import token_of

        if self.replicas is not None:
            self.replicas.note(position)
        return token_of(position)

    def _stop_embedded(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()


class Engine(EngineBase):
    """A pool of psycopg2 connections to one database; safe to share between threads. Made by
    `create_engine`.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._watched: Callable[[Any], Any] | None = None
        if options.answer_timeout is not None:
            from psqlmodel.drivers.watch import Watch, Watched  # few programs watch

            self._watched = partial(Watched, watch=Watch(options.answer_timeout))
        self.pool: Pool[Any] = Pool(self._open, **self._pool_options())
        self._find_replicas(lambda target: Pool(lambda: self._open(target), **self._pool_options()))
        if self._asks_for_work:
            try:
                self._start()
            except BaseException:
                self.dispose()
                raise

    def acquire(self, timeout: float | None = None) -> Any:
        """Take a driver's connection out of the pool; `engine.pool.release(connection)` gives it back."""
        return self.pool.acquire(timeout)

    def reader(self, after: str | None) -> Any:
        """Return what stands in for the engine in the channel of a session that only reads: its replicas, if it has
        some.

        `after` is a token of what must be seen.
        """
        if self.replicas is None:
            return self
        from psqlmodel.core.engine.replicas import Reader

        return Reader(self, self.replicas, after)

    def token(self) -> str:
        """Return a token of what is committed now: whoever gives it to `Session(…, read_only=True, after=token)` sees
        it, on whatever replica. This context sees it from now on, too.

        A session's own commits need no such question: they are in `session.token`.
        """
        from psqlmodel.core.engine.replicas import current

        return self._noted(self.run_steps(current()))

    def run_steps(self, steps: Steps[T]) -> T:
        """Run steps on a connection of the pool and return their result."""
        channel = SessionChannel(self)
        try:
            return run(steps, channel)
        finally:
            _ = channel.release()

    def execute(self, sql: str, params: Params = None) -> RowList:
        """Execute one SQL statement by itself and return its rows.

        `params` is a list for `%s`, a mapping for `%(name)s`. Raises the server's error as a `DatabaseError`.

            engine.execute("SELECT name FROM users WHERE id = %s", [1])[0].name
        """
        return self.run_steps(jobs.execute(sql, params))

    def connect(self) -> EngineConnection:
        """Return a connection for SQL by hand, each statement committed by itself; use it in a `with` block.

        with engine.connect() as connection:
            connection.execute("VACUUM users")
        """
        return EngineConnection(self, jobs.Job())

    def transaction(
        self, *, isolation: str | None = None, read_only: bool = False, deferrable: bool = False
    ) -> EngineConnection:
        """Return a connection in a transaction: committed at the end of the `with` block, rolled back on
        error.

        with engine.transaction() as connection:
            connection.execute("UPDATE users SET name = %s", ["Ada"])
        """
        begin = begin_text(isolation=isolation, read_only=read_only, deferrable=deferrable)
        return EngineConnection(self, jobs.Job(begin))

    def run(self, work: Callable[[Session], T], *, retries: int = 3, **options: Any) -> T:
        """Run `work(session)` as a whole transaction and return what it returns.

        Each attempt has a session of its own, made with `options`, which is committed at the end. Where the server
        rolls the transaction back to let another one pass (`SerializationFailure`, `DeadlockDetected`), it runs
        again, up to `retries` times, after a short random wait. A COMMIT whose answer is lost is looked up: it is
        never applied twice. Raises the error of the last attempt, and `CommitOutcomeUnknown`.

            engine.run(lambda session: transfer(session, 1, 2), isolation="SERIALIZABLE")
        """
        result: T = self.runner(self, work, retries, options)
        return result

    def trace(self, *, plans: bool = False, values: bool = False) -> Tracing:
        """Return a `with` block that records what all sessions of this engine send; see `Session.trace`.

        with engine.trace() as trace:
            handle(request)
        print(trace)
        """
        from psqlmodel.core.engine.tracing import Tracing, in_engine

        return Tracing(self, in_engine(self), plans=plans, values=values)

    def commit_prepared(self, identifier: str) -> None:
        """Commit a transaction that `session.prepare` prepared, on whatever connection.

        Raises `ProgrammingError` where there is none of this identifier.
        """
        self.run_steps(jobs.end_prepared("COMMIT", identifier))

    def rollback_prepared(self, identifier: str) -> None:
        """Roll a prepared transaction back; see `commit_prepared`."""
        self.run_steps(jobs.end_prepared("ROLLBACK", identifier))

    def prepared(self) -> list[PreparedTransaction]:
        """Return the prepared transactions of the database that wait for their second phase, the oldest first."""
        return self.run_steps(jobs.prepared())

    def create_all(self, models: Iterable[type] | None = None) -> None:
        """Create the missing tables of `models` (default: those of the engine, else all that are defined)."""
        from psqlmodel.schema import ddl  # a program that makes no tables does without

        self.run_steps(ddl.create_all(self._mappers(models)))
        self.catalog.invalidate()
        if self.replicas is not None:
            _ = self.token()  # the replicas have them later

    def drop_all(self, models: Iterable[type] | None = None) -> None:
        """Drop the tables of `models` (default: those of the engine, else all that are defined)."""
        from psqlmodel.schema import ddl

        self.run_steps(ddl.drop_all(self._mappers(models)))
        self.catalog.invalidate()
        if self.replicas is not None:
            _ = self.token()  # the replicas have them later

    def dispose(self, timeout: float | None = None) -> None:
        """Close the pool, and stop an embedded server. Connections in use are closed when they come back.

        `timeout`: wait so many seconds for those in use, then close them under their users.
        """
        self.pool.close(timeout)
        for replica in self.replicas.all if self.replicas is not None else ():
            replica.pool.close(timeout)
        self._stop_embedded()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.dispose()

    def _open(self, target: Target | None = None) -> Any:
        target = target or self._target
        connection = self._connect_to(target)
        if self._watched is not None:
            connection = self._watched(connection)
        try:
            greeting = connection.execute(Statement(GREETING, prepare=False, purpose="catalog"))
            usable = self._learn(greeting, connection, target)
        except BaseException:
            connection.close()
            raise
        if usable:
            return connection
        connection.close()
        return self._open(target)

    def _connect_to(self, target: Target) -> Any:
        from psqlmodel.drivers import psycopg2  # importing the package imports no driver

        parameters = self.options.connection_parameters(target)
        if self._pooled:
            return psycopg2.connect_pooled(parameters, **self._pooled_options())
        try:
            return psycopg2.connect(parameters, **self._connection_options())
        except DatabaseError as error:
            if not self._was_refused(error):
                raise
        return self._connect_to(target)

    def _start(self) -> None:
        options = self.options
        if options.target.embedded:
            self._target = self._serve_embedded()
        if options.ensure_database:
            self._ensure_database()
        if options.ensure_tables:
            self.create_all()

    def _ensure_database(self) -> None:
        name = jobs.database_name(self._target)
        for maintenance in jobs.MAINTENANCE:
            try:
                connection = self._connect_to(self._target.on_database(maintenance))
            except DatabaseError:
                continue  # the one may be missing or closed to us; what is wrong in truth shows at the target
            try:
                run(jobs.create_database(name), jobs.Direct(connection))
            finally:
                connection.close()
            return


class EngineConnection:
    """A connection for SQL by hand; from `engine.connect()` or `engine.transaction()`."""

    def __init__(self, engine: Engine, job: jobs.Job) -> None:
        self._channel = SessionChannel(engine)
        self._job = job

    def execute(self, sql: str, params: Params = None) -> RowList:
        """Execute one SQL statement and return its rows; `params` as in `Engine.execute`."""
        return run(self._job.execute(sql, params), self._channel)

    def close(self) -> None:
        """Give the connection back; a transaction that is open is rolled back."""
        self._job.closed = True
        _ = self._channel.release()

    def __enter__(self) -> EngineConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            run(self._job.finish(error), self._channel)
        finally:
            self.close()
