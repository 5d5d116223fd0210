"""The asynchronous driver: an asyncpg connection that answers statements with records of wire values.

`connect` makes a `Connection`; `await connection.execute(request)` sends one request and gives its `Rows`.
Types that are not native travel as text through codecs that cost no query (see `TextConnection`). Prepared statements
are kept in a least-recently-used map of our own, each with the `Shape` of its result.

A cancelled `execute` leaves the connection in doubt: whoever holds it must discard it. Nothing here decides
about transactions or retries a statement inside one.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Any, NoReturn, cast
from urllib.parse import urlencode

import asyncpg
from asyncpg import exceptions

from psqlmodel.drivers import wire
from psqlmodel.drivers.arguments import CHARACTERS, adapt
from psqlmodel.drivers.codecs import AS_TEXT, MOMENTS, TextConnection, declare_codecs
from psqlmodel.drivers.failure import make_error, unreadable
from psqlmodel.drivers.files import literal_text
from psqlmodel.drivers.inherited import Inherited
from psqlmodel.drivers.pooled import refuse
from psqlmodel.errors import DatabaseError, DataError, ProgrammingError, PSQLModelError
from psqlmodel.gcpause import WORTH_A_PAUSE, relax, tighten
from psqlmodel.query.lexing import first_word, is_script
from psqlmodel.steps import NO_COLUMNS, Copy, CopyIn, CopyOut, Rows, Shape, Statement
from psqlmodel.types.quoting import check_statement

COPY_CHUNK = 1 << 16  # bytes
RECEIVED_AT_ONCE = 1 << 16  # bytes
PREPARED_STATEMENTS = 256  # of each connection; each costs the server some 10 to 50 kB
_FEW = 3  # results that are no accident

# Commands that give no rows go as a simple query: one trip instead of two.
_ROWLESS = frozenset(
    [
        "BEGIN",
        "START",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT",
        "RELEASE",
        "SET",
        "RESET",
        "CREATE",
        "ALTER",
        "DROP",
        "TRUNCATE",
        "COMMENT",
        "GRANT",
        "REVOKE",
        "LOCK",
        "DECLARE",
        "CLOSE",
        "DO",
        "DISCARD",
        "LISTEN",
        "UNLISTEN",
        "NOTIFY",
        "ANALYZE",
        "VACUUM",
        "REFRESH",
        "REINDEX",
        "CLUSTER",
        "PREPARE",
        "DEALLOCATE",
        "CHECKPOINT",
    ]
)


class _Prepared:
    """A prepared statement with the shape of its rows and the OIDs of its parameters."""

    __slots__ = ("bind_execute", "parameters", "shape", "small", "state", "statement")

    def __init__(self, raw: Any, statement: Any) -> None:
        self.statement = statement  # asyncpg closes it on the server when this lets it go
        # What `statement.fetch` and `get_statusmsg` come to after ten calls more: 5 to 10 % of a statement's time here.
        self.bind_execute = raw._protocol.bind_execute
        self.state = statement._state
        self.small = 0  # how many of its last results were; after a few of them the next one is taken to be, too
        self.parameters: tuple[int, ...] = tuple([kind.oid for kind in statement.get_parameters()])
        attributes = statement.get_attributes()
        names = tuple([attribute.name for attribute in attributes])
        oids = [attribute.type.oid for attribute in attributes]
        self.shape = Shape(names, tuple([-oid if oid in MOMENTS else oid for oid in oids]))

    async def execute(self, args: Sequence[Any]) -> Rows:
        """Execute it and return its rows. Whoever calls has seen that the connection is open."""
        if self.small < _FEW:
            data, status = await self._relaxed(args)
        else:
            data, status, _ = await self.bind_execute(self.state, args, "", 0, True, None)
        self.small = 0 if len(data) >= WORTH_A_PAUSE else self.small + 1
        return Rows(data, self.shape, len(data) if self.shape.names else _count(status.decode()))

    async def _relaxed(self, args: Sequence[Any]) -> tuple[list[Any], bytes]:
        """Execute it while the garbage collector runs less often: until the loop's next turn, when the rows are read.

        Else the collector would look at all rows between fetching and reading them, which takes a tenth of the time of
        both. The list is a copy, since the event loop keeps asyncpg's own until that turn: a fifth of the memory of
        what is made of it.
        """
        loop = asyncio.get_running_loop()
        relax()
        try:
            data, status, _ = await self.bind_execute(self.state, args, "", 0, True, None)
        finally:
            if loop.is_closed():
                tighten()
            else:
                _ = loop.call_soon(tighten)
        rows = data[:]
        data.clear()
        return rows, status


class Connection:
    """One asyncpg connection; used by one task at a time, on the event loop that made it."""

    __slots__ = ("_capacity", "_columns", "_counter", "_prepared", "_raw", "_rowless", "pid")
    pooled = False

    def __init__(self, raw: Any, *, prepared_statements: bool = True) -> None:
        self._raw: Any = raw
        self._capacity = PREPARED_STATEMENTS if prepared_statements else 0
        self._prepared: OrderedDict[str, _Prepared] = OrderedDict()
        self._rowless: dict[str, bool] = {}
        self._counter = 0
        self._columns: dict[tuple[str, tuple[str, ...]], tuple[int, ...]] = {}
        self.pid: int = raw.get_server_pid()

    @property
    def closed(self) -> bool:
        """True when the connection is closed or known to be lost."""
        return bool(self._raw.is_closed())

    @property
    def in_transaction(self) -> bool:
        """True when a transaction is open."""
        return not self._raw.is_closed() and bool(self._raw.is_in_transaction())

    async def execute(self, request: Statement | Copy) -> Rows:
        """Send one request and return its rows.

        Raises a `DatabaseError` of the class that its SQLSTATE names; a cancellation passes through, and the
        connection must then be discarded.
        """
        if isinstance(request, CopyIn | CopyOut):
            return await self._copy_file(request)
        try:
            if request.prelude:
                await self._raw.execute(request.prelude)
            if isinstance(request, Copy):
                return await self._copy(request)
            if not request.args and self._is_rowless(request):
                return Rows((), NO_COLUMNS, _count(await self._raw.execute(request.text)))
            prepared = self._prepared.get(request.text)
            if prepared is None or request.fresh or not request.prepare:
                prepared, request = await self._made_ready(request)
            else:
                self._prepared.move_to_end(request.text)
            if self._raw.is_closed():
                raise exceptions.InterfaceError("the connection is closed")
            try:
                return await prepared.execute(request.args)
            except (exceptions.InvalidCachedStatementError, exceptions.OutdatedSchemaCacheError) as error:
                return await self._again(request, error)
            except (exceptions.InterfaceError, UnicodeError):  # an argument that does not fit is a ValueError, too
                raise
            except (ValueError, OverflowError, DataError) as error:
                raise unreadable(error, prepared.shape) from None
        except (exceptions.PostgresError, exceptions.InterfaceError, exceptions.InternalClientError) as error:
            self._fail(error, request)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            self._fail(error, request)

    async def reset(self) -> None:
        """Roll back what is open, so that the connection can be given to someone else."""
        if self._raw.is_in_transaction():
            await self._raw.execute("ROLLBACK")

    async def close(self) -> None:
        """Close the connection in order; the server rolls back what is open."""
        self._prepared.clear()
        insisting = asyncio.ensure_future(self._insist())
        try:
            await self._raw.close(timeout=2)  # seconds: a peer that does not answer is not worth more
        finally:
            insisting.cancel()

    async def _insist(self) -> None:
        """Ask the server again and again to cancel what it still works on.

        A request that overtakes its statement (asyncpg sends it on a connection of its own) finds an idle server,
        which ignores it: the statement would go on to its end with nobody waiting for it.
        """
        while True:
            await asyncio.sleep(0.2)
            self._raw._cancel_current_command(asyncio.get_running_loop().create_future())

    def terminate(self) -> None:
        """Close the connection at once, without a word to the server."""
        self._prepared.clear()
        self._raw.terminate()

    def fileno(self) -> int:
        """Return the descriptor of the socket; -1 where there is none any more."""
        transport = self._raw._transport
        sock = None if transport is None else transport.get_extra_info("socket")
        return -1 if sock is None else int(sock.fileno())

    def disown(self) -> None:
        """Leave the connection to the parent of this process: it is never used or closed here."""
        self._raw = Inherited(self._raw, self._prepared)
        self._prepared = OrderedDict()

    # --- statements

    async def _made_ready(self, request: Statement) -> tuple[_Prepared, Statement]:
        """Prepare a statement; SQL that users write is changed so that it means what its literals mean."""
        prepared = None if request.fresh else self._prepared.get(request.text)
        if prepared is None:
            prepared = await self._prepare(request)
        if request.prepare or not request.args:
            return prepared, request
        text, args = adapt(request.text, request.args, prepared.parameters)
        adapted = Statement(text, args, prepare=False, purpose=request.purpose)
        return (prepared, adapted) if text == request.text else await self._made_ready(adapted)

    async def _prepare(self, request: Statement) -> _Prepared:
        _ = check_statement(request.text)
        if request.fresh or not (request.prepare and self._capacity):
            return _Prepared(self._raw, await self._raw.prepare(request.text, name=""))
        # The name is ours: without one, asyncpg (with its own cache off) prepares the unnamed statement. That
        # is parsed anew at each use, and where a table has changed its rows are then read by the old codecs.
        self._counter += 1
        prepared = _Prepared(self._raw, await self._raw.prepare(request.text, name=f"psqlmodel_{self._counter}"))
        self._prepared[request.text] = prepared
        if len(self._prepared) > self._capacity:
            self._prepared.popitem(last=False)  # asyncpg closes it on the server with the next one
        return prepared

    async def _again(self, request: Statement, error: Exception) -> Rows:
        """Send it once more with a new plan, because the table has changed; not possible in a transaction."""
        self._prepared.pop(request.text, None)
        if isinstance(error, exceptions.OutdatedSchemaCacheError):
            await self._raw.reload_schema_state()
        if request.prelude:  # the transaction is ours, and empty: it began with this statement
            await self._raw.execute(f"ROLLBACK;{request.prelude}")
        elif self._raw.is_in_transaction():
            raise error
        prepared = await self._prepare(request)
        return await prepared.execute(request.args)

    def _is_rowless(self, request: Statement) -> bool:
        text = request.text
        known = self._rowless.get(text)
        if known is None:
            known = first_word(check_statement(text)) in _ROWLESS or (
                not request.prepare and ";" in text and is_script(text)
            )
            if len(self._rowless) >= 4 * PREPARED_STATEMENTS:
                self._rowless.clear()
            self._rowless[text] = known
        return known

    # --- COPY

    async def _copy(self, request: Copy) -> Rows:
        if not await self._takes_binary(request):
            return await self._copy_text(request)
        schema, table = _path(request.table)
        columns = [_bare(name) for name in request.columns]
        try:
            status = await self._raw.copy_records_to_table(
                table, records=request.records, columns=columns, schema_name=schema
            )
        except exceptions.InternalClientError:  # before anything is sent: the table is another by now
            self._columns.clear()
            return await self._copy_text(request)
        return Rows((), NO_COLUMNS, _count(status))

    async def _copy_text(self, request: Copy) -> Rows:
        schema, table = _path(request.table)
        columns = [_bare(name) for name in request.columns]
        status = await self._raw.copy_to_table(table, source=_chunks(request), columns=columns, schema_name=schema)
        return Rows((), NO_COLUMNS, _count(status))

    async def _copy_file(self, request: CopyIn | CopyOut) -> Rows:
        """Read or write a file. What goes wrong with it is raised as it is, with the connection in doubt."""
        file = request.file
        try:
            if request.prelude:
                await self._raw.execute(request.prelude)
            status = await (self._write_file(request) if isinstance(request, CopyOut) else self._read_file(request))
        except (exceptions.PostgresError, exceptions.InterfaceError, exceptions.InternalClientError, OSError) as error:
            if file.error is not None:
                raise file.error from None
            self._fail(error, request)
        return Rows((), NO_COLUMNS, _count(status))

    async def _write_file(self, request: CopyOut) -> str:
        async def write(data: bytes) -> None:
            await asyncio.to_thread(request.file.write, data)

        header = True if request.format == "csv" else None
        status = await self._raw.copy_from_query(
            f"{literal_text(request)}\n", output=write, format=request.format, header=header
        )
        return str(status)

    async def _read_file(self, request: CopyIn) -> str:
        async def pieces() -> AsyncIterator[bytes]:
            while piece := await asyncio.to_thread(request.file.read, COPY_CHUNK):
                yield piece

        schema, table = _path(request.table)
        columns = [_bare(name) for name in request.columns]
        status = await self._raw.copy_to_table(
            table, source=pieces(), columns=columns, schema_name=schema, format=request.format
        )
        return str(status)

    async def _takes_binary(self, request: Copy) -> bool:
        """Tell whether all columns are what their values are, and binary is faster than text: a float takes a fifth.

        A numeric takes asyncpg seven times as long in binary, which makes text the faster for rows that have one.
        """
        if "numeric" in request.types:
            return False
        key = (request.table, tuple(request.columns))
        oids = self._columns.get(key)
        if oids is None:
            listing = ", ".join(request.columns)
            probe = await self._raw.prepare(f"SELECT {listing} FROM {request.table} LIMIT 0", name="")  # noqa: S608 (quoted identifiers)
            oids = self._columns[key] = tuple([each.type.oid for each in probe.get_attributes()])
        return all(fits_binary(kind, oid) for kind, oid in zip(request.types, oids, strict=True))

    # --- errors

    def _fail(self, error: Exception, request: Statement | Copy) -> NoReturn:
        text = request.text if isinstance(request, Statement | CopyOut) else f"COPY {request.table} FROM STDIN"
        if isinstance(error, OSError) and not self.closed:
            self.terminate()  # a time-out leaves it in doubt, and asyncpg does not always notice
        raise our_error(error, text, self.closed) from error


class PooledConnection(Connection):
    """A connection to a pooler that gives each transaction another connection to the server.

    All goes as unnamed statements. asyncpg has one described with Flush, without Sync, and sends it again with its
    arguments: until then the pooler keeps to one connection.
    """

    __slots__ = ()
    pooled = True

    async def execute(self, request: Statement | Copy) -> Rows:
        """Send one request; raises `QueryError` for SQL that can't work there (`psqlmodel.drivers.pooled`)."""
        if isinstance(request, Statement):
            refuse(request.text)
        try:
            return await super().execute(request)
        except PSQLModelError:
            if not self._raw.is_closed() and not self._raw.is_in_transaction():
                await self._let_go()
            raise

    async def _let_go(self) -> None:
        """Send the Sync that is missing where a statement was described but, its arguments refused, not executed."""
        try:
            await self._raw.execute("SELECT 1")
        except (exceptions.PostgresError, exceptions.InterfaceError, exceptions.InternalClientError, OSError):
            self.terminate()


def _count(status: str) -> int:
    tail = status.rpartition(" ")[2]
    return int(tail) if tail.isdigit() else 0


def fits_binary(transport: str, oid: int) -> bool:
    """Tell whether a column of the type `oid` takes binary values of this type of transport."""
    if transport == "text":
        return oid in CHARACTERS
    return oid not in AS_TEXT and oid in wire.NATIVE and wire.NATIVE[oid][0] == transport


async def _chunks(request: Copy) -> AsyncIterator[bytes]:
    for block in wire.copy_blocks(request.records):
        yield block.encode()


_NAME = re.compile(r'"(?:[^"]|"")*"')  # a quoted one; a name may hold what looks like the end of another


def _path(table: str) -> tuple[str | None, str]:
    """Split a quoted, qualified table name, since asyncpg quotes names itself."""
    names = [_bare(name) for name in _NAME.findall(table)]
    return (names[0], names[1]) if len(names) > 1 else (None, names[0] if names else table)


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name[:1] == '"' else name


# --- connecting ---------------------------------------------------------------------------------------------


async def connect(
    dsn: dict[str, str],
    *,
    settings: dict[str, str] | None = None,
    prepared_statements: bool = True,
    connect_timeout: float | None = None,
) -> Connection:
    """Open a connection.

    `dsn` holds libpq's connection parameters, `settings` the server's (`TimeZone`, `statement_timeout`, …),
    `connect_timeout` is in seconds. Raises `ConnectionLost` when the server can't be reached and another
    `DatabaseError` when it refuses.
    """
    given = {"DateStyle": "ISO", **(settings or {})} if prepared_statements else None
    connection = Connection(await _open(dsn, given, connect_timeout), prepared_statements=prepared_statements)
    if not prepared_statements:
        for name, value in (settings or {}).items():
            await connection.execute(Statement("SELECT set_config($1, $2, false)", (name, value), prepare=False))
    return connection


async def connect_pooled(
    dsn: dict[str, str], *, settings: dict[str, str] | None = None, connect_timeout: float | None = None
) -> PooledConnection:
    """Open a connection to a pooler that gives each transaction another connection to the server.

    `settings` must be some that it keeps for each of its clients: PgBouncer keeps `TimeZone` and `DateStyle`. The rest
    is as with `connect`.
    """
    return PooledConnection(await _open(dsn, settings, connect_timeout), prepared_statements=False)


async def _open(dsn: dict[str, str], settings: dict[str, str] | None, connect_timeout: float | None) -> Any:
    try:
        raw: Any = await asyncpg.connect(
            "postgresql://?" + urlencode(_parameters(dsn)),
            timeout=_seconds(dsn.get("connect_timeout"), connect_timeout),
            statement_cache_size=0,  # ours knows shapes
            connection_class=TextConnection,
            server_settings=settings,
        )
    except (exceptions.PostgresError, exceptions.InterfaceError, OSError, ValueError) as error:
        raise connect_error(error) from error
    except exceptions.InternalClientError as error:  # no host is what target_session_attrs asks for
        raise connect_error(error) from error
    _keep_alive(raw)
    _receive_less_at_once(raw)
    declare_codecs(raw)
    return raw


def _keep_alive(raw: Any) -> None:
    """Let the kernel notice a peer that vanished after 30 + 3 × 10 seconds, as libpq is told to."""
    sock = raw._transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # not on every system
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _receive_less_at_once(raw: Any) -> None:
    """Let asyncio take memory for 64 KiB where it reads what the server sends, not for 256.

    What is larger than 128 KiB, glibc's malloc maps from the system and gives back at once, each time, until the
    program happens to free a larger piece (python/cpython#85451). That is two page faults and three system calls for
    each answer: a seventh to a quarter of the processor time of a web transaction. Large results take as long as
    before.
    """
    if hasattr(raw._transport, "max_size"):  # of asyncio's own loop without TLS, whose buffer is made once
        raw._transport.max_size = RECEIVED_AT_ONCE


def _seconds(in_dsn: str | None, given: float | None) -> float:
    """Return how long to wait for a connection: as the DSN says, else as the caller says, else a minute."""
    if in_dsn is not None:
        return float(in_dsn)
    return 60.0 if given is None else given


# What libpq calls by another name or does not send to the server.
_RENAMED = {"dbname": "database"}
_LIBPQ_ONLY = frozenset(
    [
        "connect_timeout",
        "client_encoding",
        "fallback_application_name",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "hostaddr",
        "channel_binding",
        "gssencmode",
        "load_balance_hosts",
    ]
)


def _parameters(dsn: dict[str, str]) -> dict[str, str]:
    return {_RENAMED.get(key, key): value for key, value in dsn.items() if key not in _LIBPQ_ONLY}


# --- errors -------------------------------------------------------------------------------------------------


def our_error(error: Exception, statement: str, lost: bool) -> DatabaseError | Exception:
    """Return the error to raise for what asyncpg raised; `lost` says that the connection is closed."""
    if isinstance(error, exceptions.PostgresError) and error.sqlstate and _reported(error):
        return _server_error(error, statement)
    if isinstance(error, UnicodeError | exceptions.DataError):
        message = "an argument does not fit its parameter's type"
        ours: DatabaseError = DataError(f"{message} ({_argument(error)})", sqlstate="22000", statement=statement)
    elif lost or isinstance(error, OSError):
        ours = make_error("the connection to the server is lost", sqlstate=None, statement=statement)
    elif isinstance(error, exceptions.PostgresError):
        ours = make_error(str(error), sqlstate=error.sqlstate, statement=statement)
    else:
        ours = ProgrammingError(str(error).partition("\n")[0], statement=statement)
    error.args = (str(ours),)
    error.__cause__ = error.__context__ = None  # the codec's own error, which quotes the value
    return ours


def _reported(error: exceptions.PostgresError) -> bool:
    """Tell whether the server reported it; asyncpg uses the same classes for its own refusals."""
    return getattr(error, "severity", None) is not None


def _argument(error: BaseException) -> str:
    """Return which argument asyncpg refused: `$2`. The rest of its message holds the value."""
    marker = str(error).partition("query argument ")[2].partition(":")[0]
    return f"argument {marker}" if marker[:1] == "$" else type(error).__name__


def _server_error(error: exceptions.PostgresError, statement: str) -> DatabaseError:
    fields = cast(Any, error)
    ours = make_error(
        fields.message or str(error),
        sqlstate=fields.sqlstate,
        statement=statement,
        schema=fields.schema_name,
        table=fields.table_name,
        column=fields.column_name,
        constraint=fields.constraint_name,
        detail=fields.detail,
        hint=fields.hint,
    )
    fields.args, fields.detail, fields.hint = (str(ours),), None, None  # printed in tracebacks as the cause
    return ours


def connect_error(error: Exception) -> DatabaseError:
    """Return the error to raise for a connection that could not be made."""
    sqlstate = getattr(error, "sqlstate", None)
    message = " ".join(str(error).split()) or "the server did not answer in time"
    return make_error(f"can't connect: {message}", sqlstate=sqlstate)
