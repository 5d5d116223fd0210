"""Steps: the logic of a session as generators that yield requests and receive rows.

A step function is written once and driven twice: `run` drives it over a synchronous channel (psycopg2),
`run_async` over an asynchronous one (asyncpg). The contract, in one paragraph: a step function yields a
`Statement`, a `Copy`, a `Release` or a `Notify` and receives `Rows`; an error of the server, a lost connection or a
cancellation is thrown into it at that `yield`, so that its `except` and `finally` clauses see everything that
happens; what it returns is the result. It does no input or output itself, imports no driver, and moves its own
state before the `yield` that moves the server (a cancelled BEGIN must not leak a transaction).

    def count_users() -> Steps[int]:
        rows = yield Statement("SELECT count(*) FROM users")
        return rows.data[0][0]
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

T = TypeVar("T")


class Statement:
    """One SQL statement with its arguments.

    `text` uses PostgreSQL's own placeholders `$1 … $n`; `args` are wire values (see `psqlmodel.types`), in order.
    `prepare` says that the text will come again and is worth a prepared statement; `fresh` that it must be planned
    for the arguments at hand all the same (see `sending.MANY`). `prelude` is SQL without parameters or rows
    (`BEGIN …`) that must run directly before: in the same round trip where the driver can. `once`, set before it is
    sent, says that nobody could send it again: a connection that is dead already must be noticed before.
    `purpose` tells observers why it is sent: "query", "flush", "load", "transaction", "catalog", "schema", "raw".

    All but `text` and `args` are given by keyword. That is not enforced, because keyword-only parameters make the call
    nearly twice as slow, and there is one for each statement.
    """

    __slots__ = ("args", "fresh", "once", "prelude", "prepare", "purpose", "text")
    comment: str = ""  # what psycopg2 sends after the text and beside the plan; only tagged statements have one

    def __init__(
        self,
        text: str,
        args: Sequence[Any] = (),
        prepare: bool = True,
        fresh: bool = False,
        prelude: str = "",
        purpose: str = "query",
    ) -> None:
        self.text = text
        self.args = args
        self.prepare = prepare
        self.fresh = fresh
        self.once = False
        self.prelude = prelude
        self.purpose = purpose

    def __repr__(self) -> str:
        return f"Statement({self.text!r}, {len(self.args)} arguments)"


class Columns:
    """Records given by the column: a driver may take the lists of `values`, or iterate over the records."""

    __slots__ = ("values",)

    def __init__(self, values: Sequence[Sequence[Any]]) -> None:
        self.values = values

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self.values, strict=True)


class Copy:
    """Rows to be written by COPY … FROM STDIN: the one request that is no statement.

    `table` is the quoted, qualified table; `columns` the quoted column names; `types` the element types that carry
    the values (`PgType.transport`), `records` the rows as tuples of wire values, or `Columns`. `prelude` and `once` as
    in `Statement`.
    """

    __slots__ = ("columns", "once", "prelude", "purpose", "records", "table", "types")

    def __init__(
        self,
        table: str,
        columns: Sequence[str],
        types: Sequence[Any],
        records: Iterable[Sequence[Any]],
        *,
        prelude: str = "",
        purpose: str = "bulk",
    ) -> None:
        self.table = table
        self.columns = columns
        self.types = types
        self.records = records
        self.once = False
        self.prelude = prelude
        self.purpose = purpose

    @property
    def text(self) -> str:
        """The statement."""
        return f"COPY {self.table} ({', '.join(self.columns)}) FROM STDIN"


class CopyIn(Copy):
    """The rows of an open file, by COPY … FROM STDIN: `file.read(size)` gives bytes; `format` is "csv" or "binary"."""

    __slots__ = ("file", "format")

    def __init__(self, table: str, columns: Sequence[str], file: Any, format: str) -> None:
        super().__init__(table, columns, (), ())
        self.file = file
        self.format = format


class CopyOut(Copy):
    """The rows of a query into an open file, by COPY (query) TO STDOUT: `file.write` takes bytes.

    `query` and `args` are as in `Statement`; `format` is "csv", with the names of the columns first, or "binary".
    """

    __slots__ = ("args", "file", "format", "query")

    def __init__(self, query: str, args: Sequence[Any], file: Any, format: str) -> None:
        super().__init__("", (), (), ())
        self.query = query
        self.args = args
        self.file = file
        self.format = format

    @property
    def text(self) -> str:
        """The statement, without the values of its arguments."""
        return f"COPY ({self.query}) TO STDOUT"


class Release:
    """Give the connection back to its pool; with `discard` it is closed, because its state is in doubt."""

    __slots__ = ("discard",)

    def __init__(self, *, discard: bool = False) -> None:
        self.discard = discard


class Notify:
    """Call the handlers of an event of the session; nothing is sent. What a handler raises is thrown into the steps."""

    __slots__ = ("event", "handlers")

    def __init__(self, event: str, handlers: Sequence[Callable[[Any], Any]]) -> None:
        self.event = event
        self.handlers = handlers


class Shape:
    """The columns of a result: names and type OIDs, in order. A negative OID: the values are texts.

    One object for each prepared text, so that what is derived from it (loaders, row classes) can be kept in
    `derived` and found again by a dictionary look-up.
    """

    __slots__ = ("derived", "names", "oids")

    def __init__(self, names: tuple[str, ...], oids: tuple[int, ...]) -> None:
        self.names = names
        self.oids = oids
        self.derived: dict[Any, Any] = {}


class Rows:
    """What the server answered: `data` (tuples or records of wire values), their `shape`, the `count` of the tag."""

    __slots__ = ("count", "data", "shape")

    def __init__(self, data: Sequence[Sequence[Any]], shape: Shape, count: int) -> None:
        self.data = data
        self.shape = shape
        self.count = count


NO_COLUMNS = Shape((), ())

Request: TypeAlias = Statement | Copy | Release | Notify
Steps: TypeAlias = Generator[Request, Rows, T]


class Channel(Protocol):
    """What `run` needs: something that sends a request and waits for its rows."""

    def send(self, request: Request) -> Rows:
        """Send a request."""
        ...


class AsyncChannel(Protocol):
    """What `run_async` needs: something that sends a request and gives its rows, awaited."""

    async def send(self, request: Request) -> Rows:
        """Send a request."""
        ...


def run(steps: Steps[T], channel: Channel) -> T:
    """Drive `steps` over a synchronous channel and return their result.

    Errors of the channel, `KeyboardInterrupt` included, are thrown into the steps; what the steps raise is raised.
    """
    send = channel.send
    try:
        request = next(steps)
        while True:
            try:
                rows = send(request)
            except BaseException as error:
                request = steps.throw(error)
            else:
                request = steps.send(rows)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def run_async(steps: Steps[T], channel: AsyncChannel) -> T:
    """Drive `steps` over an asynchronous channel and return their result.

    A cancellation arrives in the steps like any error, so that they can clean up; it goes on afterwards.
    """
    send = channel.send
    try:
        request = next(steps)
        while True:
            try:
                rows = await send(request)
            except BaseException as error:
                request = steps.throw(error)
            else:
                request = steps.send(rows)
    except StopIteration as stop:
        result: T = stop.value
        return result
