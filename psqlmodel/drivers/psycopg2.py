"""The synchronous driver: a psycopg2 connection that answers statements with rows of wire values.

`connect` makes a `Connection`; `Connection.execute` sends one request and returns its `Rows`. The connection
is in autocommit mode: BEGIN and COMMIT are statements of the session. Two ways to send the same text, with
one meaning: a text that comes a second time is prepared on the server (`PREPARE`, then `EXECUTE name (…)`),
and until then its arguments travel as untyped literals, so that the server infers their types from the
context as it does for `$1`. Statements with `prepare=False` (SQL that users write) carry literals of the
arguments' own types.

Dates and moments stay the texts that the server wrote; the shape says so with negative OIDs.

Values enter SQL only through psycopg2's quoting; nothing here decides about transactions or retries a
statement inside one.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

import psycopg2
from psycopg2 import extensions

from psqlmodel.drivers import wire
from psqlmodel.drivers.failure import make_error, unreadable
from psqlmodel.drivers.files import literal_text
from psqlmodel.drivers.inherited import Inherited
from psqlmodel.drivers.pooled import refuse
from psqlmodel.errors import DatabaseError, DataError, ProgrammingError, PSQLModelError
from psqlmodel.query.lexing import first_word, tokens
from psqlmodel.steps import NO_COLUMNS, Copy, CopyIn, CopyOut, Rows, Shape, Statement
from psqlmodel.types import parse_array
from psqlmodel.types.quoting import check_statement

PREPARED_STATEMENTS = 256  # of each connection; each costs the server some 10 to 50 kB
SHAPES = 512
COPY_CHUNK = 1 << 16
STALE_PLAN = "0A000"  # "cached plan must not change result type"

_PREPARABLE = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE"})
_BARE = frozenset({str, int, bool, type(None)})
_TEXT = frozenset({str, type(None)})
_NUMBERS = frozenset({int})


class _Plan:
    """What is known of a text on one connection: how to send it, and its name once it is prepared."""

    __slots__ = ("execute", "literal", "name", "order", "preparable", "shape")

    def __init__(self, text: str) -> None:
        self.literal, self.order = placeholders(check_statement(text))
        self.preparable = first_word(text) in _PREPARABLE
        self.name = ""
        self.execute = ""
        self.shape: Shape | None = None


class Connection:
    """One psycopg2 connection; used by one thread at a time."""

    __slots__ = ("_counter", "_cursor", "_plans", "_prepares", "_raw", "_seen", "_shapes", "pid")
    pooled = False

    def __init__(self, raw: extensions.connection, *, prepared_statements: bool = True) -> None:
        self._raw = raw
        self._cursor = raw.cursor()
        self._prepares = prepared_statements
        self._plans: OrderedDict[str, _Plan] = OrderedDict()
        self._shapes: dict[Any, Shape] = {}
        self._counter = 0
        self.pid = raw.info.backend_pid

    @property
    def closed(self) -> bool:
        """True when the connection is closed or known to be lost."""
        return self._raw.closed != 0

    @property
    def in_transaction(self) -> bool:
        """True when a transaction is open or the state is in doubt."""
        return self._raw.get_transaction_status() != extensions.TRANSACTION_STATUS_IDLE

    def fileno(self) -> int:
        """Return the descriptor of the socket; an idle connection whose socket is readable is lost."""
        return self._raw.fileno()

    def execute(self, request: Statement | Copy) -> Rows:
        """Send one request and return its rows.

        Raises a `DatabaseError` of the class that its SQLSTATE names.
        """
        if isinstance(request, CopyIn | CopyOut):
            return self._copy_file(request)
        try:
            if isinstance(request, Copy):
                return self._copy(request)
            return self._statement(request)
        except (psycopg2.Error, ValueError) as error:
            if isinstance(error, PSQLModelError):
                raise
            self._fail(error, request)

    def reset(self) -> None:
        """Roll back what is open, so that the connection can be given to someone else."""
        if self.in_transaction:
            self._cursor.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; the server rolls back what is open."""
        self._raw.close()

    def disown(self) -> None:
        """Leave the connection to the parent of this process: it is never used or closed here."""
        foreign: Any = Inherited(self._raw, self._cursor)
        self._raw = self._cursor = foreign

    # --- statements

    def _statement(self, request: Statement) -> Rows:
        text = request.text
        plan = self._plans.get(text)
        if plan is None:
            plan = self._remember(text)
            return self._send_text(plan, request)
        self._plans.move_to_end(text)
        if request.fresh:
            return self._send_text(plan, request)
        if plan.name and request.prepare:
            return self._send_execute(plan, request, request.prelude)
        if request.prepare and self._prepares and plan.preparable:
            self._prepare(plan, request)
            return self._send_execute(plan, request, "")
        return self._send_text(plan, request)

    def _send_text(self, plan: _Plan, request: Statement) -> Rows:
        prelude, args = request.prelude, request.args
        text = plan.literal if args else request.text
        if request.comment:
            text = f"{text}{_escaped(request.comment) if args else request.comment}"
        if not args:
            self._cursor.execute(f"{prelude};{text}" if prelude else text)
            return self._rows(plan)
        render = untyped if request.prepare else typed
        values = [render(args[position]) for position in plan.order]
        self._cursor.execute(f"{prelude};{text}" if prelude else text, values)
        return self._rows(plan)

    def _send_execute(self, plan: _Plan, request: Statement, prelude: str) -> Rows:
        command, args = plan.execute, request.args
        if args and _NUMBERS.issuperset(map(type, args)):
            # The digits of an int are its literal. psycopg2 comes to the same in 8 % of the time of a get by key.
            command, args = command % tuple(args), ()
        elif not _BARE.issuperset(map(type, args)):
            args = [value if type(value) in _BARE else wire.to_text(value) for value in args]
        if request.comment:
            command = f"{command}{_escaped(request.comment) if args else request.comment}"
        try:
            self._cursor.execute(f"{prelude};{command}" if prelude else command, args or None)
        except psycopg2.Error as error:
            if error.pgcode != STALE_PLAN:
                raise
            return self._again(plan, request, prelude, error)
        return self._rows(plan)

    def _again(self, plan: _Plan, request: Statement, prelude: str, error: psycopg2.Error) -> Rows:
        """Send it once more with a new plan, because the table has changed; not possible in a transaction."""
        if prelude:
            self._cursor.execute("ROLLBACK")  # ours, and empty: it began with this statement
        self._forget(request.text)
        if self.in_transaction:
            raise error
        return self._statement(request)

    def _rows(self, plan: _Plan) -> Rows:
        cursor = self._cursor
        description = cursor.description
        if description is None:
            return Rows((), NO_COLUMNS, max(cursor.rowcount, 0))
        shape = plan.shape
        if shape is None:
            shape = self._shape(description)
            if plan.name:  # a prepared statement never changes its columns
                plan.shape = shape
        count = cursor.rowcount
        try:
            data = cursor.fetchall()
        except (ValueError, OverflowError) as error:
            raise unreadable(error, shape) from None
        if len(data) > 1000:  # the cursor keeps the driver's buffer of the whole result until it is used again
            self._cursor = self._raw.cursor()
        return Rows(data, shape, count)

    def _shape(self, description: Sequence[Any]) -> Shape:
        names = tuple([column[0] for column in description])
        oids = tuple([column[1] for column in description])
        shape = self._shapes.get((names, oids))
        if shape is None:
            if len(self._shapes) >= SHAPES:
                self._shapes.clear()
            marked = tuple([-oid if oid in _LEFT_AS_TEXT else oid for oid in oids])
            shape = self._shapes[names, oids] = Shape(names, marked)
        return shape

    # --- plans

    def _remember(self, text: str) -> _Plan:
        plan = self._plans[text] = _Plan(text)
        if len(self._plans) > PREPARED_STATEMENTS:
            self._forget(next(iter(self._plans)))
        return plan

    def _prepare(self, plan: _Plan, request: Statement) -> None:
        """Prepare the text in a message of its own: an error here leaves nothing half done."""
        self._counter += 1
        name = f"psqlmodel_{self._counter}"
        prepare = f"PREPARE {name} AS {request.text}"
        self._cursor.execute(f"{request.prelude};{prepare}" if request.prelude else prepare)
        plan.name = name
        marks = ", ".join(["%s"] * len(request.args))
        plan.execute = f"EXECUTE {name} ({marks})" if marks else f"EXECUTE {name}"

    def _forget(self, text: str) -> None:
        plan = self._plans.pop(text)
        if plan.name and self._raw.get_transaction_status() != extensions.TRANSACTION_STATUS_INERROR:
            self._cursor.execute(f"DEALLOCATE {plan.name}")

    # --- COPY

    def _copy(self, request: Copy) -> Rows:
        cursor = self._cursor
        if request.prelude:
            cursor.execute(request.prelude)
        source: Any = _Source(request)  # copy_expert reads only; its stub wants more
        columns = ", ".join(request.columns)
        try:
            cursor.copy_expert(f"COPY {request.table} ({columns}) FROM STDIN", source, COPY_CHUNK)
        except psycopg2.Error as error:
            if source.error is not None:
                raise source.error from error
            raise
        return Rows((), NO_COLUMNS, max(cursor.rowcount, 0))

    def _copy_file(self, request: CopyIn | CopyOut) -> Rows:
        """Read or write a file. What goes wrong with it is raised as it is, with the connection in doubt."""
        cursor, file = self._cursor, request.file
        try:
            if request.prelude:
                cursor.execute(request.prelude)
            cursor.copy_expert(_copy_command(request), file, COPY_CHUNK)
        except psycopg2.Error as error:
            if file.error is not None:
                raise file.error from error
            self._fail(error, request)
        return Rows((), NO_COLUMNS, max(cursor.rowcount, 0))

    # --- errors

    def _fail(self, error: Exception, request: Statement | Copy) -> NoReturn:
        text = request.text if isinstance(request, Statement | CopyOut) else f"COPY {request.table} FROM STDIN"
        if type(error) is psycopg2.DatabaseError and error.pgcode is None:
            self._raw.close()  # libpq's own words: the connection broke, of which psycopg2 hears only at the next use
        raise our_error(error, text, self.closed) from error


class PooledConnection(Connection):
    """A connection to a pooler that gives each transaction another connection to the server.

    All goes as simple queries: none of them needs what another left on a connection.
    """

    __slots__ = ()
    pooled = True

    def execute(self, request: Statement | Copy) -> Rows:
        """Send one request; raises `QueryError` for SQL that can't work there (`psqlmodel.drivers.pooled`)."""
        if isinstance(request, Statement):
            refuse(request.text)
        return super().execute(request)


def _copy_command(request: CopyIn | CopyOut) -> str:
    if isinstance(request, CopyOut):
        options = "csv, HEADER" if request.format == "csv" else request.format
        return f"COPY ({literal_text(request)}\n) TO STDOUT WITH (FORMAT {options})"
    return f"{request.text} WITH (FORMAT {request.format})"


class _Source:
    """The records of a COPY as the file that psycopg2 reads; keeps what went wrong while they were made."""

    def __init__(self, request: Copy) -> None:
        self._blocks = wire.copy_blocks(request.records)
        self.error: BaseException | None = None

    def read(self, size: int) -> str:
        """Return the next block, nothing at the end. It may be longer than `size`, which is a hint to psycopg2."""
        try:
            return next(self._blocks, "")
        except BaseException as error:
            self.error = error
            raise


# --- texts and values ---------------------------------------------------------------------------------------


def placeholders(text: str) -> tuple[str, tuple[int, ...]]:
    """Return the text with `%s` for each `$n`, and the position of the argument for each of them."""
    pieces: list[str] = []
    order: list[int] = []
    for kind, piece in tokens(text):
        if kind == "dollar":
            order.append(int(piece[1:]) - 1)
            pieces.append("%s")
        else:
            pieces.append(piece.replace("%", "%%"))
    return "".join(pieces), tuple(order)


def _escaped(comment: str) -> str:
    """Return a comment as psycopg2 takes it beside arguments."""
    return comment.replace("%", "%%")


def untyped(value: Any) -> str | None:
    """Return the text of a wire value: as a quoted literal, the server infers its type from the context."""
    return value if type(value) in _TEXT else wire.to_text(value)


class Typed:
    """A literal with its type: `'2024-01-01'::date`."""

    __slots__ = ("_connection", "_text", "_type")

    def __init__(self, text: str, kind: str) -> None:
        self._text = text
        self._type = kind
        self._connection: Any = None

    def __conform__(self, protocol: object) -> Typed:
        return self

    def prepare(self, connection: Any) -> None:
        """Take the connection whose quoting rules apply (psycopg2 calls this)."""
        self._connection = connection

    def getquoted(self) -> bytes:
        """Return the literal as psycopg2 quotes it, with the cast."""
        quoted = extensions.QuotedString(self._text)
        if self._connection is not None:
            quoted.prepare(self._connection)
        return bytes(quoted.getquoted()) + b"::" + self._type.encode()


def typed(value: Any) -> Any:
    """Return what psycopg2 writes as a literal of the value's own type; lists and texts stay untyped."""
    kind = type(value)
    if (kind is int or kind is float) and value < 0 and value > -math.inf:
        return Typed(repr(value), _number(value))  # of a bare -1::int2 the cast would take the 1 only
    if kind in _BARE or kind is float:
        return value
    if kind is datetime:
        return Typed(wire.to_text(value), "timestamp" if value.tzinfo is None else "timestamptz")
    if kind is time:
        return Typed(wire.to_text(value), "time" if value.tzinfo is None else "timetz")
    name = _LITERALS.get(kind)
    text = wire.to_text(value)
    return text if name is None else Typed(text, name)


def _number(value: float) -> str:
    """Return the type of a bare number in SQL."""
    if type(value) is float:
        return "numeric"
    return "int4" if value >= -(2**31) else "int8" if value >= -(2**63) else "numeric"


_LITERALS: dict[type, str] = {
    Decimal: "numeric",
    date: "date",
    timedelta: "interval",
    UUID: "uuid",
    bytes: "bytea",
}


# --- connecting ---------------------------------------------------------------------------------------------


def connect(
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
    parameters = _parameters(dsn, connect_timeout)
    if prepared_statements:
        parameters["options"] = _options(dsn.get("options", ""), settings or {})
    connection = Connection(_open(parameters), prepared_statements=prepared_statements)
    if not prepared_statements and settings:
        _set(connection, settings)
    return connection


def connect_pooled(
    dsn: dict[str, str], *, settings: dict[str, str] | None = None, connect_timeout: float | None = None
) -> PooledConnection:
    """Open a connection to a pooler that gives each transaction another connection to the server.

    `settings` must be some that it keeps for each of its clients: PgBouncer keeps `TimeZone` and `DateStyle`. The rest
    is as with `connect`.
    """
    connection = PooledConnection(_open(_parameters(dsn, connect_timeout)), prepared_statements=False)
    if settings:
        _set(connection, settings)
    return connection


def _parameters(dsn: dict[str, str], connect_timeout: float | None) -> dict[str, str]:
    parameters = _keepalives() | dsn | {"client_encoding": "UTF8"}
    if connect_timeout is not None and "connect_timeout" not in dsn:
        parameters["connect_timeout"] = str(max(2, round(connect_timeout)))  # libpq takes less than 2 as 2
    return parameters


def _open(parameters: dict[str, str]) -> extensions.connection:
    try:
        raw = psycopg2.connect(extensions.make_dsn(**parameters))
    except psycopg2.Error as error:
        raise connect_error(error) from error
    raw.autocommit = True
    _register_casters(raw)
    return raw


def _keepalives() -> dict[str, str]:
    # A peer that vanished without a word is noticed after 30 + 3 × 10 seconds, not after hours.
    return {"keepalives": "1", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}


def _options(given: str, settings: dict[str, str]) -> str:
    quoted = [f"-c {name}={_escape(value)}" for name, value in settings.items()]
    return " ".join([given, *quoted])


_SPLITS = re.compile(r"[\\ \t\n\r\v\f]")  # where the server ends an option, unless a backslash stands before it


def _escape(value: str) -> str:
    return _SPLITS.sub(r"\\\g<0>", value)


def _set(connection: Connection, settings: dict[str, str]) -> None:
    """Set by statement what a pooler (PgBouncer) refuses or drops as a startup parameter."""
    calls = ", ".join([f"set_config(${2 * n + 1}, ${2 * n + 2}, false)" for n in range(len(settings))])
    connection.execute(
        Statement(f"SELECT {calls}", [each for pair in settings.items() for each in pair], prepare=False)
    )


# --- values of results --------------------------------------------------------------------------------------


def _cast_bytes(value: Any, cursor: Any) -> bytes | None:
    return None if value is None else bytes(psycopg2.BINARY(value, cursor))


def _cast_uuid(value: Any, cursor: Any) -> UUID | None:
    return None if value is None else UUID(value)


def _cast_void(value: Any, cursor: Any) -> None:
    return None


def _cast_boxes(value: Any, cursor: Any) -> list[Any] | None:
    """Boxes are the one type whose arrays are delimited by `;`, which psycopg2 does not know."""
    return None if value is None else parse_array(value, None, ";")


# Loaders read them in C: a datetime that psycopg2 makes costs 300 to 430 ns, its text and `fromisoformat` 160 to 250.
_LEFT_AS_TEXT = frozenset({1082, 1114, 1184})

_SCALARS: dict[int, Any] = {
    16: extensions.BOOLEAN,
    17: extensions.new_type((17,), "BYTES", _cast_bytes),
    20: extensions.INTEGER,
    21: extensions.INTEGER,
    23: extensions.INTEGER,
    26: extensions.INTEGER,
    700: extensions.FLOAT,
    701: extensions.FLOAT,
    1083: extensions.PYTIME,
    1186: extensions.PYINTERVAL,
    1266: extensions.PYTIME,
    1700: extensions.DECIMAL,
    2950: extensions.new_type((2950,), "UUID", _cast_uuid),
}


def _finite_or(caster: Any, greatest: Any, least: Any) -> Any:
    """Return a caster that knows the infinities inside arrays, where psycopg2's own fails on them."""
    infinities = {"infinity": greatest, "-infinity": least}

    def cast(value: Any, cursor: Any) -> Any:
        return infinities[value] if value in infinities else caster(value, cursor)

    return extensions.new_type((), caster.name, cast)


_MAX, _MIN = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
_ELEMENTS: dict[int, Any] = {
    1082: _finite_or(extensions.PYDATE, date.max, date.min),
    1114: _finite_or(extensions.PYDATETIME, _MAX.replace(tzinfo=None), _MIN.replace(tzinfo=None)),
    1184: _finite_or(extensions.PYDATETIMETZ, _MAX, _MIN),
}


def _make_casters() -> dict[int, Any]:
    casters: dict[int, Any] = {2278: extensions.new_type((2278,), "VOID", _cast_void)}
    for oid, (name, array) in (wire.NATIVE | wire.TEXTUAL).items():
        casters[oid] = _SCALARS.get(oid, extensions.UNICODE)
        if oid == wire.BOX:
            casters[array] = extensions.new_type((array,), "BOX[]", _cast_boxes)
        elif array:
            casters[array] = extensions.new_array_type((array,), f"{name}[]", _ELEMENTS.get(oid, casters[oid]))
    return casters


_CASTERS = _make_casters()


def _register_casters(raw: extensions.connection) -> None:
    """Put our casters on this connection alone; others in the process keep what they registered.

    Through the dictionary, since `register_type` binds psycopg2's own casters to their own OIDs only.
    """
    raw.string_types.update(_CASTERS)


# --- errors -------------------------------------------------------------------------------------------------


def our_error(error: Exception, statement: str, lost: bool) -> DatabaseError | Exception:
    """Return the error to raise for what psycopg2 raised; `lost` says that the connection is closed."""
    if not isinstance(error, psycopg2.Error):
        message = "a text holds a character that PostgreSQL can't store (NUL or a lone surrogate)"
        return DataError(message, sqlstate="22021", statement=statement)
    diag = error.diag
    if error.pgcode is None and not lost:
        return ProgrammingError(_first_line(error), statement=statement)
    ours = make_error(
        diag.message_primary or _first_line(error) or "the connection to the server is lost",
        sqlstate=error.pgcode,
        statement=statement,
        schema=diag.schema_name,
        table=diag.table_name,
        column=diag.column_name,
        constraint=diag.constraint_name,
        detail=diag.message_detail,
        hint=diag.message_hint,
    )
    _silence(error, str(ours))
    return ours


def connect_error(error: psycopg2.Error) -> DatabaseError:
    """Return the error to raise for a connection that could not be made."""
    message = "; ".join(" ".join(line.split()) for line in str(error).splitlines() if line.strip())
    return make_error(f"can't connect: {message}", sqlstate=error.pgcode or _connect_sqlstate(message))


def _connect_sqlstate(message: str) -> str | None:
    """Libpq reports no SQLSTATE for a refused connection; the words for these are stable, if in English."""
    for words, sqlstate in _REFUSALS:
        if words in message:
            return sqlstate
    return None


_REFUSALS = (
    ("password authentication failed", "28P01"),
    ("no password supplied", "28P01"),
    ("no pg_hba.conf entry", "28000"),
    ("too many clients", "53300"),
    ("remaining connection slots", "53300"),
    ('" does not exist', "3D000"),
    ("the database system is ", "57P03"),
)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _silence(error: BaseException, message: str) -> None:
    """Take the values out of the driver's own text: it is printed in tracebacks as the cause."""
    error.args = (message,)
