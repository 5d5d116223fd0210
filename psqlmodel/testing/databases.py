"""Databases for tests: on a server that the run starts for itself, or on one that is there already.

`own_server` and `given_server` return a `TestServer`; it makes databases, copies of a template among them, drops them,
and ends connections. Nothing is made before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote as percent

from psqlmodel.query.quoting import quote

if TYPE_CHECKING:
    from psqlmodel.core.engine import Engine

_CUT: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE pid = ANY (%s::int[]) AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""
# A database is no template while somebody is in it; who was may still be on the way out.
_EMPTY: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"""


class TestServer:
    """A server on which tests have databases of their own; `prefix` begins the names of these."""

    __test__ = False  # no test class

    def __init__(self, engine: Engine, prefix: str, dsn_for: Callable[[str], str], stop: Callable[[], None]) -> None:
        self._engine = engine
        self._prefix = prefix
        self._dsn_for = dsn_for
        self._stop = stop
        self._made: list[str] = []
        self._numbers = 0

    def create(self, name: str, template: str | None = None) -> str:
        """Create a database and return its name; `template` is the name of one that is copied."""
        self._numbers += 1
        whole = f"{self._prefix}_{name}_{self._numbers}"
        source = "" if template is None else f" TEMPLATE {quote(template)}"
        if template is not None:
            _ = self._engine.execute(_EMPTY, [template])
        _ = self._engine.execute(f"CREATE DATABASE {quote(whole)}{source}")
        self._made.append(whole)
        return whole

    def drop(self, name: str) -> None:
        """Drop a database and end the connections to it."""
        _ = self._engine.execute(f"DROP DATABASE IF EXISTS {quote(name)} WITH (FORCE)")
        self._made.remove(name)

    def dsn(self, name: str) -> str:
        """Return the DSN of a database, for either driver."""
        return self._dsn_for(name)

    def cut(self, pids: list[int]) -> None:
        """End the connections of these process ids, and wait until they are gone."""
        _ = self._engine.execute(_CUT, [pids])

    def close(self) -> None:
        """Let go of the server; it takes its databases along where nobody else uses it."""
        self._engine.dispose()
        self._stop()


class GivenServer(TestServer):
    """A server that stays when the tests are over."""

    def close(self) -> None:
        """Drop all that was made."""
        try:
            for name in list(self._made):
                self.drop(name)
        finally:
            super().close()


def own_server(prefix: str, shared: str | None) -> TestServer:
    """Return a private server; `shared` is a name under which other processes of the run find the same one.

    Raises `EmbeddedError` where PostgreSQL's programs are missing.
    """
    from psqlmodel.core.session import create_engine
    from psqlmodel.embedded import Server

    server = (Server() if shared is None else Server.shared(shared)).start()
    return TestServer(create_engine(server.dsn), prefix, server.dsn_for, server.stop)


def given_server(prefix: str, dsn: str) -> GivenServer:
    """Return the server that a DSN names; its user must be allowed to create databases."""
    from psqlmodel.core.session import create_engine

    engine = create_engine(dsn)
    parameters = engine.options.target.parameters
    return GivenServer(engine, prefix, lambda name: _url(parameters | {"dbname": name}), lambda: None)


def _url(parameters: dict[str, Any]) -> str:
    """Return the DSN of these parameters as an URL, which both drivers read."""
    rest = {key: value for key, value in parameters.items() if key not in ("user", "password", "dbname")}
    user, password = (percent(parameters.get(key, ""), safe="") for key in ("user", "password"))
    credentials = f"{user}:{password}@" if password else f"{user}@" if user else ""
    options = "&".join([f"{key}={percent(value, safe='')}" for key, value in rest.items()])
    return f"postgresql://{credentials}/{percent(parameters['dbname'], safe='')}" + (f"?{options}" if options else "")
