"""Work of an engine without a session, as steps: SQL by hand, a transaction around it, a missing database
made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from psqlmodel.core.beginning import check_text
from psqlmodel.core.engine.dsn import Target
from psqlmodel.core.row import RowList, rows_of
from psqlmodel.errors import CommitOutcomeUnknown, ConfigurationError, ConnectionLost, DatabaseError, SessionClosedError
from psqlmodel.query.quoting import quote, quote_literal
from psqlmodel.query.raw import translate_params
from psqlmodel.record import Record
from psqlmodel.steps import Release, Request, Rows, Statement, Steps

# Databases that every server has; one of them may be closed to us.
MAINTENANCE: Final = ("postgres", "template1")
_EXISTS_ALREADY: Final = ("42P04", "23505")  # another process was faster


class PreparedTransaction(Record):
    """A transaction that waits for `commit_prepared` or `rollback_prepared`: its identifier, since when, whose."""

    identifier: str
    prepared_at: datetime
    owner: str


def execute(sql: str, params: Sequence[Any] | Mapping[str, Any] | None, begin: str = "") -> Steps[RowList]:
    """Execute SQL that a user wrote, the first on its connection, and return its rows; `begin` is sent before it."""
    return (yield from _execute(sql, params, begin, once=True))


def _execute(sql: str, params: Sequence[Any] | Mapping[str, Any] | None, begin: str, *, once: bool) -> Steps[RowList]:
    text, args = translate_params(sql, params)
    statement = Statement(text, args, prepare=False, prelude=begin, purpose="raw")
    statement.once = once  # later ones may need what earlier ones left on the connection
    rows = yield statement
    return RowList(rows_of(rows), rows.count or len(rows.data))


class Job:
    """SQL by hand on one connection; in a transaction where `begin` says how it begins."""

    __slots__ = ("begin", "begun", "closed", "used")

    def __init__(self, begin: str = "") -> None:
        self.begin = begin
        self.begun = False
        self.used = False
        self.closed = False

    def execute(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None) -> Steps[RowList]:
        """Execute SQL; the first one begins the transaction."""
        if self.closed:
            raise SessionClosedError("this connection was given back; open another with engine.connect()")
        begin = "" if self.begun else self.begin
        self.begun = bool(self.begin)
        first, self.used = not self.used, True
        return (yield from _execute(sql, params, begin, once=first))

    def finish(self, error: BaseException | None) -> Steps[None]:
        """End the transaction: COMMIT, or ROLLBACK where an error ends it; that error is never masked."""
        if not self.begun:
            return
        self.begun = False
        if error is None:
            _ = yield Statement("COMMIT", prepare=False, purpose="transaction")
            return
        try:
            _ = yield Statement("ROLLBACK", prepare=False, purpose="transaction")
        except DatabaseError:
            _ = yield Release(discard=True)


def end_prepared(verb: str, identifier: str) -> Steps[None]:
    """Send the second phase of a prepared transaction: `verb` is COMMIT or ROLLBACK.

    Raises `CommitOutcomeUnknown` where the connection is lost meanwhile.
    """
    if not isinstance(identifier, str) or not identifier:
        raise ConfigurationError(f"the identifier of a prepared transaction is a text, not {type(identifier).__name__}")
    _ = check_text("the identifier of a prepared transaction", identifier)
    statement = Statement(f"{verb} PREPARED {quote_literal(identifier)}", prepare=False, purpose="transaction")
    statement.once = True
    try:
        _ = yield statement
    except ConnectionLost as error:
        if error.statement is None:  # there was no connection to send it on
            raise
        raise CommitOutcomeUnknown(
            f"the connection was lost during {verb} PREPARED: it was done, or the transaction still waits, and then "
            "engine.prepared() has it and it can be sent again"
        ) from error


def prepared() -> Steps[list[PreparedTransaction]]:
    """Return the transactions of this database that wait for their second phase, the oldest first."""
    statement = Statement(
        "SELECT gid, prepared, owner::text FROM pg_catalog.pg_prepared_xacts WHERE database = current_database() "
        "ORDER BY prepared, gid",
        purpose="transaction",
    )
    statement.once = True
    rows = yield statement
    return [PreparedTransaction(*row) for row in rows_of(rows)]


def create_database(name: str) -> Steps[None]:
    """Create the database where it is missing; runs on another database of the same server."""
    found = yield Statement("SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1", [name], purpose="schema")
    if found.data:
        return
    try:
        _ = yield Statement(f"CREATE DATABASE {quote(name)}", prepare=False, purpose="schema")
    except DatabaseError as error:
        if error.sqlstate not in _EXISTS_ALREADY:
            raise


def database_name(target: Target) -> str:
    """Return the name of the target's database.

    Raises `ConfigurationError` where neither the DSN nor the environment names one.
    """
    parameters = target.parameters
    name = parameters.get("dbname") or os.environ.get("PGDATABASE") or parameters.get("user")
    if not name:
        raise ConfigurationError("ensure_database=True needs the name of the database in the DSN")
    return name


class Direct:
    """A channel over one synchronous connection that is in no pool."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def send(self, request: Request) -> Rows:
        """Send a request."""
        rows: Rows = self._connection.execute(request)
        return rows


class AsyncDirect:
    """A channel over one asynchronous connection that is in no pool."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def send(self, request: Request) -> Rows:
        """Send a request."""
        rows: Rows = await self._connection.execute(request)
        return rows
