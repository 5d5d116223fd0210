"""Streams: the rows of a query some at a time, by a cursor of the server. Steps, and what iterates over them.

The cursor lives in the session's transaction. Each batch is loaded like a result of its own, with what the query
includes; the session keeps none of its objects unless the program changes them or holds them. So memory does not grow
with the rows. A stream sends nothing before the first row is asked for, and nothing when it is dropped: a cursor that
was left behind is closed with the session's next stream, or by the server at the end of the transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import ref

from psqlmodel.core.loading.access import load_included, tell_included
from psqlmodel.core.loading.reading import Loaded, autoflush, load_rows, prepared
from psqlmodel.core.transaction import Transaction, execute
from psqlmodel.errors import QueryError, SessionError
from psqlmodel.model.mapper import registry
from psqlmodel.query.compiler import Compiled
from psqlmodel.query.quoting import quote
from psqlmodel.query.rowset import Rowset
from psqlmodel.query.select import SelectQuery
from psqlmodel.query.statement import Query
from psqlmodel.steps import Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace
    from psqlmodel.observe.trace import Included

T = TypeVar("T")

# A name is used once in a process: what a driver knows of a FETCH text stays true for as long as it knows the text.
_numbers = count(1)


class Cursor:
    """One query that is read in batches: steps that open it, read on and close it.

    Raises `QueryError` for what is no SELECT of the builder, and for a batch of no rows.
    """

    __slots__ = ("__weakref__", "_batch", "_compiled", "_name", "_query", "_told", "_workspace", "done")

    def __init__(self, workspace: Workspace, query: Any, batch: int) -> None:
        if not isinstance(query, Rowset) or query.extra_tables:
            raise QueryError(
                f"stream takes a Select of the builder that only reads, not {_what(query)}: send others by exec"
            )
        if type(batch) is not int or batch < 1:
            raise QueryError("the batch of a stream is a number of rows, 1 or more")
        self._workspace = workspace
        self._query: Rowset[Any] = query
        self._batch = batch
        self._name = ""
        self._compiled: Compiled | None = None
        self._told: list[Included] | None = None
        self.done = False

    def read(self) -> Steps[list[Any]]:
        """Return the objects or rows of the next batch; none at the end, where the cursor is closed.

        Raises `SessionError` where the transaction has ended since the stream began.
        """
        if self.done:
            return []
        compiled = self._compiled or (yield from self._open())
        if self._name not in self._workspace.transaction.cursors:
            self.done = True
            raise SessionError(
                "the stream ended with its transaction: read it to the end before commit or rollback, "
                "or write by another session while it goes on"
            )
        text = f"FETCH FORWARD {self._batch} FROM {self._name}"
        rows = yield from execute(self._workspace, Statement(text, purpose="query"))
        if len(rows.data) < self._batch:
            yield from self.close()
        loaded = load_rows(self._workspace, self._query, compiled, rows)
        if self._query.includes:
            yield from load_included(self._workspace, self._query, loaded)
            self._tell_included(loaded)
        return loaded.items

    def _tell_included(self, loaded: Loaded[Any]) -> None:
        """Tell the traces what the query included: once for all batches, for one of them may not be looked at."""
        if self._told is None:
            self._told = tell_included(self._workspace, self._query, loaded)
            return
        for each in self._told:
            each.objects += len(loaded.items)

    def close(self) -> Steps[None]:
        """Close the cursor, where it is open: there is nothing more to read."""
        self.done = True
        transaction = self._workspace.transaction
        if self._name in transaction.cursors:
            del transaction.cursors[self._name]
            if not _failed(transaction):
                _ = yield from execute(self._workspace, Statement(f"CLOSE {self._name}", prepare=False))

    def _open(self) -> Steps[Compiled]:
        workspace, query = self._workspace, self._query
        if registry.distributed:
            from psqlmodel.core.loading.shards import check_query  # most programs need none of it

            check_query(query)
        compiled = yield from prepared(workspace, query)
        yield from autoflush(workspace, compiled.tables)
        yield from _close_dropped(workspace)
        self._name = quote(f"psqlmodel_stream_{next(_numbers)}")
        text = f"DECLARE {self._name} NO SCROLL CURSOR FOR {compiled.text}"
        _ = yield from execute(workspace, Statement(text, compiled.args, fresh=True))
        transaction = workspace.transaction
        transaction.cursors[self._name] = ref(self)
        if isinstance(query, SelectQuery) and query.locks:
            transaction.locked = True
        self._compiled = compiled
        return compiled


def _failed(transaction: Transaction) -> bool:
    """Tell whether an error ended the transaction or its savepoint: nothing can be sent then."""
    savepoints = transaction.savepoints
    return transaction.failure is not None or bool(savepoints and savepoints[-1].failure is not None)


def _close_dropped(workspace: Workspace) -> Steps[None]:
    """Close the cursors whose streams are gone: an open one keeps its table from being altered."""
    cursors = workspace.transaction.cursors
    for name in [name for name, reference in cursors.items() if reference() is None]:
        del cursors[name]
        _ = yield from execute(workspace, Statement(f"CLOSE {name}", prepare=False))


def _what(query: Any) -> str:
    if isinstance(query, type):
        return f"the class {query.__name__}; write Select({query.__name__})"
    return "one with With(…)" if isinstance(query, Rowset) else type(query).__name__


# --- what the program iterates over -------------------------------------------------------------------------


class Stream(Generic[T]):
    """The rows of a query, some at a time: iterate over it, once. As a `with` block, or by `close()`, it ends early."""

    __slots__ = ("_cursor", "_items", "_run")

    def __init__(self, run: Callable[[Steps[Any]], Any], workspace: Workspace, query: Query[T], batch: int) -> None:
        self._run = run
        self._cursor = Cursor(workspace, query, batch)
        self._items: Iterator[T] = iter(())

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        for item in self._items:
            return item
        self._items = iter(self._run(self._cursor.read()))
        return next(self._items)

    def close(self) -> None:
        """Close the server's cursor; there are no more rows."""
        self._items = iter(())
        if not self._cursor.done:
            self._run(self._cursor.close())

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncStream(Generic[T]):
    """The rows of a query, some at a time, by `async for`; as an `async with` block, or by `close()`, it ends early."""

    __slots__ = ("_cursor", "_items", "_run")

    def __init__(
        self, run: Callable[[Steps[Any]], Awaitable[Any]], workspace: Workspace, query: Query[T], batch: int
    ) -> None:
        self._run = run
        self._cursor = Cursor(workspace, query, batch)
        self._items: Iterator[T] = iter(())

    def __aiter__(self) -> AsyncStream[T]:
        return self

    async def __anext__(self) -> T:
        for item in self._items:
            return item
        self._items = iter(await self._run(self._cursor.read()))
        for item in self._items:
            return item
        raise StopAsyncIteration

    async def close(self) -> None:
        """Close the server's cursor; there are no more rows."""
        self._items = iter(())
        if not self._cursor.done:
            await self._run(self._cursor.close())

    async def __aenter__(self) -> AsyncStream[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
