"""FastAPI: engines that live as long as the application, sessions as dependencies, errors as answers. An extra.

It adds nothing to FastAPI but what FastAPI asks for: a lifespan, dependencies, exception handlers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeAlias, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, HTTPException, Request
from fastapi.params import Depends as Dependency
from fastapi.responses import JSONResponse, Response

from psqlmodel.core.async_session import AsyncSession
from psqlmodel.core.engine import Engine, create_async_engine, create_engine
from psqlmodel.core.engine.async_engine import AsyncEngine
from psqlmodel.core.engine.options import Options
from psqlmodel.core.session import Session
from psqlmodel.errors import (
    CheckViolation,
    ConfigurationError,
    DatabaseError,
    DataError,
    ExclusionViolation,
    ForeignKeyViolation,
    IntegrityError,
    InvalidValueError,
    LockNotAvailable,
    NoResultFound,
    NotNullViolation,
    PageTokenError,
    PoolTimeout,
    PSQLModelError,
    StaleObjectError,
    TransactionRollbackError,
    UniqueViolation,
)
from psqlmodel.pydantic import Create, Read, Shape, Update

__all__ = ["Create", "Database", "Read", "Shape", "Update", "error_handlers", "found"]

T = TypeVar("T")
Handler: TypeAlias = Callable[[Request, Any], Coroutine[Any, Any, Response]]


class Database:
    """The engines of an application, and its sessions as dependencies.

    Parameters: `dsn` and `options` are those of `create_engine`; `models` are classes whose tables are made at the
    start where they are missing; `session_options` are those of `Session`: `{"strict": True}`.

    Nothing is opened before the lifespan begins; both engines are closed when it ends. A dependency lives until the
    answer is made, before it is sent: so an error of a commit is still an answer, and no connection waits for a slow
    client. `session` and `async_session` commit when you do; `transaction` and `async_transaction` commit when the
    route returns, and roll back when it raises.

        database = Database("postgresql://me@localhost/shop")
        app = FastAPI(lifespan=database.lifespan, exception_handlers=error_handlers())
        Sessions = Annotated[Session, database.session]
    """

    _turns: anyio.Semaphore

    def __init__(
        self,
        dsn: str | None = None,
        *,
        models: Iterable[type] = (),
        session_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._dsn = dsn
        self._models = list(models)
        self._session_options = dict(session_options or {})
        self._options = options
        self._engines: tuple[Engine | None, AsyncEngine | None] | None = None
        self._lent = False

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncGenerator[None, None]:
        """Open the engines for as long as the application runs: `FastAPI(lifespan=database.lifespan)`.

        In a lifespan of your own: `async with database.lifespan(app): …`. Within `using` it opens and closes nothing.
        """
        if self._lent:
            yield
            return
        engine: Engine = await anyio.to_thread.run_sync(partial(create_engine, self._dsn, **self._options))
        async_engine = create_async_engine(engine.embedded_dsn or self._dsn, **self._options)
        try:
            if self._models:
                await anyio.to_thread.run_sync(engine.create_all, self._models)
            self._open(engine, async_engine)
            yield
        finally:
            self._engines = None
            with anyio.CancelScope(shield=True):
                await async_engine.dispose()
                await anyio.to_thread.run_sync(engine.dispose)

    @contextmanager
    def using(self, *engines: Engine | AsyncEngine) -> Generator[None]:
        """Work on engines of somebody else for a block, which neither makes tables nor closes them: those of a test.

        Params: engines – one of each kind, or only the one that the routes of the block need.
        Raises `ConfigurationError` while the database is open.

            with database.using(async_engine):
                client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
        """
        if self._engines is not None:
            raise ConfigurationError("the database is open already: using() comes before the lifespan begins")
        synchronous = next((each for each in engines if isinstance(each, Engine)), None)
        asynchronous = next((each for each in engines if isinstance(each, AsyncEngine)), None)
        self._open(synchronous, asynchronous)
        self._lent = True
        try:
            yield
        finally:
            self._lent, self._engines = False, None

    def _open(self, engine: Engine | None, async_engine: AsyncEngine | None) -> None:
        self._engines = engine, async_engine
        if engine is not None:
            self._turns = anyio.Semaphore(engine.pool.status().max_size)

    @property
    def engine(self) -> Engine:
        """The synchronous engine. Raises `ConfigurationError` outside of the lifespan."""
        found = self._running()[0]
        if found is None:
            raise ConfigurationError("using() was given no synchronous engine: database.using(engine, async_engine)")
        return found

    @property
    def async_engine(self) -> AsyncEngine:
        """The asynchronous engine. Raises `ConfigurationError` outside of the lifespan."""
        found = self._running()[1]
        if found is None:
            raise ConfigurationError("using() was given no asynchronous engine: database.using(engine, async_engine)")
        return found

    def _running(self) -> tuple[Engine | None, AsyncEngine | None]:
        if self._engines is None:
            raise ConfigurationError(
                "the database is not open: write FastAPI(lifespan=database.lifespan), and run the application with its "
                "lifespan (in tests: with TestClient(app) as client), or on engines of the test: with "
                "database.using(engine, async_engine)"
            )
        return self._engines

    # --- dependencies -----------------------------------------------------------------------------------------------

    @property
    def session(self) -> Dependency:
        """A `Session` for each request, which the route commits: `Annotated[Session, database.session]`."""
        return _until_answered(self._session)

    @property
    def transaction(self) -> Dependency:
        """A `Session` that is committed when the route returns, and rolled back when it raises."""
        return _until_answered(self._transaction)

    @property
    def async_session(self) -> Dependency:
        """An `AsyncSession` for each request, which the route commits."""
        return _until_answered(self._async_session)

    @property
    def async_transaction(self) -> Dependency:
        """An `AsyncSession` that is committed when the route returns, and rolled back when it raises."""
        return _until_answered(self._async_transaction)

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None, None]:
        """Let no more synchronous sessions be at work than there are connections: the others wait here, not in threads.

        FastAPI runs a route, and afterwards makes its answer, in one of 40 threads. Were all of them to wait for a
        connection, no answer could be made, and those who have the connections would not give them back.
        """
        _ = self.engine
        timeout = float(self._options.get("pool_timeout", Options.defaults["pool_timeout"]))
        try:
            with anyio.fail_after(timeout):
                await self._turns.acquire()
        except TimeoutError:
            raise PoolTimeout(f"no session was free within {timeout:g} seconds: raise max_pool_size") from None
        try:
            yield
        finally:
            self._turns.release()

    async def _session(self) -> AsyncIterator[Session]:
        async with self._turn(), _in_request(Session(self.engine, **self._session_options)) as session:
            yield session

    async def _transaction(self) -> AsyncIterator[Session]:
        session = Session(self.engine, **self._session_options, auto_commit=True)
        async with self._turn(), _in_request(session):
            yield session

    async def _async_session(self) -> AsyncIterator[AsyncSession]:
        async with AsyncSession(self.async_engine, **self._session_options) as session:
            yield session

    async def _async_transaction(self) -> AsyncIterator[AsyncSession]:
        async with AsyncSession(self.async_engine, **self._session_options, auto_commit=True) as session:
            yield session


def _until_answered(dependency: Callable[..., Any]) -> Dependency:
    found: Dependency = Depends(dependency, scope="function")
    return found


@asynccontextmanager
async def _in_request(session: Session) -> AsyncGenerator[Session, None]:
    """Enter a session in the context of the request, and leave it in a thread, for that may wait for the server.

    Entered here and not in a thread, it is current where the route runs, too. The thread is one of its own: the others
    may all be taken. A cancelled request leaves its session all the same.
    """
    _ = session.__enter__()
    try:
        yield session
    except BaseException as error:
        await _leave(session, type(error), error, error.__traceback__)
        raise
    await _leave(session, None, None, None)


async def _leave(session: Session, *error: Any) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(session.__exit__, *error, limiter=anyio.CapacityLimiter(1))


# --- errors as answers ------------------------------------------------------------------------------------------


def found(value: T | None, detail: str = "Not Found") -> T:
    """Return a value that is there; answer 404 where there is none.

    Raises `fastapi.HTTPException` for None.

        hero = found(session.get(Hero, hero_id))
    """
    if value is None:
        raise HTTPException(404, detail)
    return value


def error_handlers() -> dict[int | type[Exception], Handler]:
    """Return what `FastAPI(exception_handlers=…)` takes: which error of psqlmodel is which answer.

    404: `NoResultFound`. 409: a unique or excluded value that is taken, a row that is missing or still referred to, an
    object that someone else changed, a conflict with another transaction, a lock that is held. 422: a value that the
    column can't hold, NULL where there must be a value, a CHECK that fails, a token that is none of a page. 503: no
    connection became free in time. The answers name columns in FastAPI's own form, and tell neither SQL nor values.
    """
    return {
        NoResultFound: _not_found,
        IntegrityError: _conflict,
        StaleObjectError: _conflict,
        TransactionRollbackError: _conflict,
        LockNotAvailable: _conflict,
        NotNullViolation: _bad_value,
        CheckViolation: _bad_value,
        DataError: _bad_value,
        InvalidValueError: _bad_value,
        PoolTimeout: _busy,
    }


_SAID: tuple[tuple[type[Exception], str, str], ...] = (
    (UniqueViolation, "unique", "is taken already"),
    (ExclusionViolation, "exclusion", "overlaps with what is there already"),
    (ForeignKeyViolation, "foreign_key", "refers to what does not exist, or is still referred to"),
    (IntegrityError, "integrity", "conflicts with what is stored"),
    (StaleObjectError, "stale", "Someone else has changed or deleted it meanwhile"),
    (TransactionRollbackError, "conflict", "Another transaction was in the way; try again"),
    (LockNotAvailable, "locked", "Someone else is changing it; try again"),
)
_WRONG: tuple[tuple[type[Exception], str, str], ...] = (
    (NotNullViolation, "not_null", "must have a value"),
    (CheckViolation, "check", "is not acceptable"),
    (PSQLModelError, "value", "is not acceptable"),
)


async def _not_found(request: Request, error: NoResultFound) -> JSONResponse:
    return JSONResponse({"detail": "Not Found"}, 404)


async def _conflict(request: Request, error: PSQLModelError) -> JSONResponse:
    return JSONResponse({"detail": _details(error, _SAID)}, 409)


async def _bad_value(request: Request, error: PSQLModelError) -> JSONResponse:
    return JSONResponse({"detail": _details(error, _WRONG)}, 422)


async def _busy(request: Request, error: PoolTimeout) -> JSONResponse:
    return JSONResponse({"detail": "The database is busy; try again"}, 503, {"Retry-After": "1"})


def _details(error: PSQLModelError, said: Iterable[tuple[type[Exception], str, str]]) -> list[dict[str, Any]]:
    """Return the error in the form of FastAPI's own validation errors, one for each column that it names."""
    name, text = next((name, text) for kind, name, text in said if isinstance(error, kind))
    if isinstance(error, PageTokenError):
        return [
            {"type": "page_token", "loc": ["query"], "msg": "This is no token of these pages; begin with the first"}
        ]
    if isinstance(error, InvalidValueError):
        return [{"type": name, "loc": ["body"], "msg": str(error)}]  # which never tells the value
    columns = _attributes(error) if isinstance(error, DatabaseError) else []
    if columns:
        together = ", ".join(columns)
        return [{"type": name, "loc": ["body", column], "msg": f"{together} {text}"} for column in columns]
    return [{"type": name, "loc": ["body"], "msg": text if text[0].isupper() else f"A value {text}"}]


def _attributes(error: DatabaseError) -> list[str]:
    """Return the attributes of the columns that the server named."""
    mapper: Any = getattr(error.model, "__mapper__", None)
    by_name = {} if mapper is None else mapper.by_name
    return [str(by_name[name].key) if name in by_name else name for name in error.columns]
