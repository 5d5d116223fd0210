"""What every test may use: a PostgreSQL of its own for the run, databases on it, and `async def` tests.

No test shares a database with another process: each pytest worker has a server of its own (0.6 s, once, on
demand).
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from psqlmodel.embedded import Server, binaries

_numbers = itertools.count(1)

# Properties are tried with the same examples in each run, however slow the machine is.
settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A running PostgreSQL, empty; one for each pytest worker."""
    with Server(options={"max_connections": "200", "max_prepared_transactions": "20"}) as running:
        yield running


@pytest.fixture(scope="session")
def database_dsn(server: Server) -> str:
    """The DSN of an empty database that the tests of this worker share."""
    return server.create_database("shared_by_tests")


@pytest.fixture
def fresh_database(server: Server) -> Iterator[str]:
    """The DSN of an empty database for one test; connections left open to it are ended afterwards."""
    name = f"fresh_{next(_numbers)}"
    yield server.create_database(name, template="template0")
    server.drop_database(name)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "since(major): the test needs this PostgreSQL or a later one (PG_BIN names another)"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("since"):
        if binaries.find().major < mark.args[0]:
            pytest.skip(f"the test needs PostgreSQL {mark.args[0]}, and this is {binaries.find().version}")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True
