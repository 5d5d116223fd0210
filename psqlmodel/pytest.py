"""The pytest plugin: a PostgreSQL for the run, sessions that are rolled back after each test, and more fixtures.

pytest loads it by itself where psqlmodel is installed. It costs a run that does not use it the import of this module:
all else comes with the first fixture that is asked for. Fixtures of the same name in a conftest.py take precedence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager

    from psqlmodel import AsyncEngine, AsyncSession, Engine, Session
    from psqlmodel.testing.counting import Sent
    from psqlmodel.testing.databases import TestServer
    from psqlmodel.testing.factory import AsyncFactory, Factory
    from psqlmodel.testing.isolation import AsyncIsolatedPool, IsolatedPool

__all__ = ["AssertStatements", "NoNPlusOne"]

_ENGINES = ("engine", "async_engine", "fresh_engine", "fresh_async_engine")


class AssertStatements(Protocol):
    """What the fixture `assert_statements` is."""

    def __call__(
        self, count: int | None = None, *, at_most: int | None = None, engine: Any = None
    ) -> AbstractContextManager[Sent]:
        """Return the block in which just `count` statements, or not more than `at_most`, may be sent."""
        ...


class NoNPlusOne(Protocol):
    """What the fixture `no_n_plus_one` is."""

    def __call__(self, *, times: int = 2, engine: Any = None) -> AbstractContextManager[Sent]:
        """Return the block in which no place may send the same query more often than `times`."""
        ...


# --- options --------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("psqlmodel", "psqlmodel: a PostgreSQL for tests")
    group.addoption(
        "--psqlmodel-dsn",
        metavar="DSN",
        help="the server on which tests make their databases, instead of one that the run starts for itself",
    )
    group.addoption(
        "--psqlmodel-seed",
        metavar="N",
        default="0",
        help="what the values of the factories follow from, with the name of the test (default: 0)",
    )
    parser.addini("psqlmodel_dsn", "what --psqlmodel-dsn says", default="")
    parser.addini("psqlmodel_models", "modules or packages with the models whose tables are made", type="linelist")


def pytest_configure(config: pytest.Config) -> None:
    """Tell of the marker."""
    config.addinivalue_line(
        "markers", "no_n_plus_one(times=2): fail where one place sends the same query more often than that"
    )


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Watch a test that is marked with `no_n_plus_one`."""
    __tracebackhide__ = True
    marker = pyfuncitem.get_closest_marker("no_n_plus_one")
    if marker is None:
        return (yield)
    from psqlmodel.testing.counting import Watched, refuse_repetition

    times: int = marker.kwargs.get("times", *(marker.args or (2,)))
    with Watched(_engines(pyfuncitem._request, None), partial(refuse_repetition, times=times)):
        return (yield)


# --- server and databases: one for each worker ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def psqlmodel_server(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """The server of the run: one that xdist's workers share, or the one that `--psqlmodel-dsn` names."""
    from psqlmodel.testing.databases import given_server, own_server

    worker: dict[str, Any] = getattr(request.config, "workerinput", {})
    run, number = worker.get("testrunuid"), worker.get("workerid", "main")
    dsn = request.config.getoption("--psqlmodel-dsn") or request.config.getini("psqlmodel_dsn")
    server: TestServer
    if dsn:
        import uuid

        server = given_server(f"psqlmodel_test_{uuid.uuid4().hex[:8]}_{number}", dsn)
    else:
        server = own_server(f"test_{number}", None if run is None else f"tests-{run}")
    with contextlib.closing(server):
        yield server


@pytest.fixture(scope="session")
def psqlmodel_models(request: pytest.FixtureRequest) -> list[type] | None:
    """The models whose tables are made: those of the setting `psqlmodel_models`, else (None) all that are defined."""
    paths = request.config.getini("psqlmodel_models")
    if not paths:
        return None
    from psqlmodel.core.engine.discovery import find_models

    return list(find_models(tuple(paths)))


@pytest.fixture(scope="session")
def psqlmodel_setup(psqlmodel_models: list[type] | None) -> Callable[[Engine], None]:
    """What fills the template: a function of its engine. By default it makes the tables of the models.

    Write your own for migrations, or for rows that all tests find.
    """
    return lambda engine: engine.create_all(psqlmodel_models)


@pytest.fixture(scope="session")
def psqlmodel_template(psqlmodel_server: TestServer, psqlmodel_setup: Callable[[Engine], None]) -> str:
    """The name of this worker's template: every database of its tests is a copy."""
    from psqlmodel.core.session import create_engine

    name = psqlmodel_server.create("template")
    with create_engine(psqlmodel_server.dsn(name)) as engine:
        psqlmodel_setup(engine)
    return name


@pytest.fixture(scope="session")
def psqlmodel_dsn(psqlmodel_server: TestServer, psqlmodel_template: str) -> str:
    """The DSN of this worker's database, in which nothing is committed."""
    return psqlmodel_server.dsn(psqlmodel_server.create("shared", psqlmodel_template))


# --- engines and sessions that are rolled back ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def _psqlmodel_isolated(psqlmodel_dsn: str) -> Iterator[tuple[Engine, IsolatedPool]]:
    from psqlmodel.core.session import create_engine
    from psqlmodel.testing.isolation import isolate

    with create_engine(psqlmodel_dsn) as engine:
        yield engine, isolate(engine)


@pytest.fixture(scope="session")
def _psqlmodel_isolated_async(
    psqlmodel_dsn: str, psqlmodel_server: TestServer
) -> tuple[AsyncEngine, AsyncIsolatedPool]:
    from psqlmodel.core.session import create_async_engine
    from psqlmodel.testing.isolation import isolate_async

    engine = create_async_engine(psqlmodel_dsn)
    return engine, isolate_async(engine, psqlmodel_server.cut)


@pytest.fixture
def engine(_psqlmodel_isolated: tuple[Engine, IsolatedPool]) -> Iterator[Engine]:
    """An engine on which nothing lasts: all its sessions work in one transaction, rolled back after the test."""
    made, pool = _psqlmodel_isolated
    pool.begin()
    try:
        yield made
    finally:
        pool.end()


@pytest.fixture
def async_engine(_psqlmodel_isolated_async: tuple[AsyncEngine, AsyncIsolatedPool]) -> Iterator[AsyncEngine]:
    """What `engine` is, for asyncpg."""
    made, pool = _psqlmodel_isolated_async
    pool.begin()
    try:
        yield made
    finally:
        pool.end()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on the fixture `engine`. It may commit; after the test the database is what it was."""
    from psqlmodel.core.context import SessionManager
    from psqlmodel.core.session import Session

    made = Session(engine)
    entry = SessionManager.push(made)
    try:
        yield made
    finally:
        SessionManager.pop(entry)
        made.close()


@pytest.fixture
def async_session(async_engine: AsyncEngine) -> Iterator[AsyncSession]:
    """What `session` is, on the fixture `async_engine`, with whatever runs the `async def` tests."""
    from psqlmodel.core import lifecycle
    from psqlmodel.core.async_session import AsyncSession
    from psqlmodel.core.context import SessionManager

    made = AsyncSession(async_engine)
    entry = SessionManager.push(made)
    try:
        yield made
    finally:
        SessionManager.pop(entry)
        if not made.closed:  # its event loop may be gone: nothing is sent
            lifecycle.seize(made._workspace, made._guard, made._channel)


# --- databases of a test's own --------------------------------------------------------------------------------------


@pytest.fixture
def fresh_dsn(psqlmodel_server: TestServer, psqlmodel_template: str) -> Iterator[str]:
    """The DSN of a database of the test's own, a copy of the template: for what must really be committed."""
    name = psqlmodel_server.create("fresh", psqlmodel_template)
    yield psqlmodel_server.dsn(name)
    psqlmodel_server.drop(name)


@pytest.fixture
def fresh_engine(fresh_dsn: str) -> Iterator[Engine]:
    """An engine with connections of its own to a database of the test's own."""
    from psqlmodel.core.session import create_engine

    with create_engine(fresh_dsn) as made:
        yield made


@pytest.fixture
def fresh_async_engine(fresh_dsn: str) -> Iterator[AsyncEngine]:
    """What `fresh_engine` is, for asyncpg."""
    from psqlmodel.core.session import create_async_engine
    from psqlmodel.testing.isolation import dispose

    made = create_async_engine(fresh_dsn)
    yield made
    dispose(made)


# --- statements -----------------------------------------------------------------------------------------------------


@pytest.fixture
def assert_statements(request: pytest.FixtureRequest) -> AssertStatements:
    """Fail where a block sends another number of statements than it should, and say which.

    with assert_statements(2):
        list_orders(session)
    """
    from psqlmodel.testing.counting import Watched, expect

    def block(count: int | None = None, *, at_most: int | None = None, engine: Any = None) -> Watched:
        if (count is None) == (at_most is None):
            raise TypeError("assert_statements takes the number of statements, or at_most=")
        return Watched(_engines(request, engine), partial(expect, count=count, at_most=at_most))

    return block


@pytest.fixture
def no_n_plus_one(request: pytest.FixtureRequest) -> NoNPlusOne:
    """Fail where one place in a block sends the same query for each of many objects.

    with no_n_plus_one():
        list_orders(session)
    """
    from psqlmodel.testing.counting import Watched, refuse_repetition

    def block(*, times: int = 2, engine: Any = None) -> Watched:
        return Watched(_engines(request, engine), partial(refuse_repetition, times=times))

    return block


def _engines(request: pytest.FixtureRequest, given: Any) -> list[Any]:
    """Return the engine that is given, or all that the test has asked for."""
    if given is not None:
        return [given]
    found = [request.getfixturevalue(name) for name in _ENGINES if name in request.fixturenames]
    if not found:
        raise pytest.UsageError("no engine to watch: ask for session, async_session or an engine, or pass engine=")
    return found


# --- objects --------------------------------------------------------------------------------------------------------


@pytest.fixture
def make(session: Session, request: pytest.FixtureRequest) -> Factory:
    """Make an object of a model with valid values, and what it needs, in the fixture `session`.

    order = make(Order, total=3)
    """
    from psqlmodel.testing.factory import Factory

    return Factory(session, seed=_seed(request))


@pytest.fixture
def async_make(async_session: AsyncSession, request: pytest.FixtureRequest) -> AsyncFactory:
    """Do what `make` does, in the fixture `async_session`.

    order = await async_make(Order, total=3)
    """
    from psqlmodel.testing.factory import AsyncFactory

    return AsyncFactory(async_session, seed=_seed(request))


def _seed(request: pytest.FixtureRequest) -> str:
    return f"{request.config.getoption('--psqlmodel-seed')} {request.node.nodeid}"
