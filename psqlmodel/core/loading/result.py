"""Results: what `session.exec` gives; a sequence of objects or rows that has been read completely.

`QueryResult` is the synchronous one. On an `AsyncSession`, `exec` gives a `PendingResult`: awaiting it sends
the query and gives an `AsyncQueryResult`, which iterates without awaiting and whose methods are awaitable;
its own methods give a `PendingQuery`, which sends the query when it is awaited. Nothing here sends anything
itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeAlias, TypeVar, overload

from psqlmodel.core.loading.reading import Loaded
from psqlmodel.errors import MultipleResultsFound, NoResultFound
from psqlmodel.model.base import PSQLModel

if TYPE_CHECKING:
    from psqlmodel.core.row import Row as ResultRow

T = TypeVar("T", covariant=True)
R = TypeVar("R", covariant=True)
S = TypeVar("S")
Led: TypeAlias = "tuple[S, *tuple[Any, ...]]"  # a row whose first value is an S


class _Items(Generic[T]):
    """What both results have: they iterate, have a length and an index, and are true if there is a row."""

    __slots__ = ("_items", "rowcount")

    def __init__(self, loaded: Loaded[T]) -> None:
        self._items = loaded.items
        self.rowcount = loaded.rowcount

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return bool(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._items[index]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._items)}>"


class QueryResult(_Items[T]):
    """The result of a query: iterate over it, or ask for `.all()`, `.first()`, `.one()`, …

    `rowcount` is the number of rows that the statement returned or changed.

        for user in session.exec(Select(User)): ...
    """

    __slots__ = ()

    def all(self) -> list[T]:
        """Return all objects or rows."""
        return list(self._items)

    def first(self) -> T | None:
        """Return the first object or row, or None where there is none."""
        return self._items[0] if self._items else None

    def one(self) -> T:
        """Return the only object or row.

        Raises `NoResultFound` where there is none, `MultipleResultsFound` where there are several.
        """
        return only(self._items)

    def one_or_none(self) -> T | None:
        """Return the only object or row, or None where there is none.

        Raises `MultipleResultsFound` where there are several.
        """
        return only(self._items) if self._items else None

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return each object or row as a dictionary of its values; objects within rows are dictionaries, too."""
        return dictionaries(self._items)

    @overload
    def scalars(self: QueryResult[Led[S]]) -> list[S]: ...
    @overload
    def scalars(self: QueryResult[ResultRow]) -> list[Any]: ...
    @overload
    def scalars(self) -> list[T]: ...
    def scalars(self) -> list[Any]:
        """Return the first value of each row; objects are themselves."""
        return scalars(self._items)

    @overload
    def scalar(self: QueryResult[Led[S]]) -> S | None: ...
    @overload
    def scalar(self: QueryResult[ResultRow]) -> Any: ...
    @overload
    def scalar(self) -> T | None: ...
    def scalar(self) -> Any:
        """Return the first value of the first row, or None where there is no row."""
        return scalars(self._items[:1])[0] if self._items else None


class AsyncQueryResult(_Items[T]):
    """The result of an awaited query; it iterates without awaiting, and its methods are awaitable.

    result = await session.exec(Select(User))
    users = await result.all()
    """

    __slots__ = ()

    async def all(self) -> list[T]:
        """Return all objects or rows."""
        return list(self._items)

    async def first(self) -> T | None:
        """Return the first object or row, or None where there is none."""
        return self._items[0] if self._items else None

    async def one(self) -> T:
        """Return the only object or row.

        Raises `NoResultFound` where there is none, `MultipleResultsFound` where there are several.
        """
        return only(self._items)

    async def one_or_none(self) -> T | None:
        """Return the only object or row, or None where there is none.

        Raises `MultipleResultsFound` where there are several.
        """
        return only(self._items) if self._items else None

    async def to_dicts(self) -> list[dict[str, Any]]:
        """Return each object or row as a dictionary of its values; objects within rows are dictionaries, too."""
        return dictionaries(self._items)

    @overload
    async def scalars(self: AsyncQueryResult[Led[S]]) -> list[S]: ...
    @overload
    async def scalars(self: AsyncQueryResult[ResultRow]) -> list[Any]: ...
    @overload
    async def scalars(self) -> list[T]: ...
    async def scalars(self) -> list[Any]:
        """Return the first value of each row; objects are themselves."""
        return scalars(self._items)

    @overload
    async def scalar(self: AsyncQueryResult[Led[S]]) -> S | None: ...
    @overload
    async def scalar(self: AsyncQueryResult[ResultRow]) -> Any: ...
    @overload
    async def scalar(self) -> T | None: ...
    async def scalar(self) -> Any:
        """Return the first value of the first row, or None where there is no row."""
        return scalars(self._items[:1])[0] if self._items else None


class Pending(Awaitable[R]):
    """A query that is sent when it is awaited, once: awaiting it again gives the same result.

    `query` and `params` say what is sent; `take` makes the result of what was loaded. One that is never
    awaited warns, as a coroutine does.
    """

    __slots__ = ("_awaited", "_given", "_run", "params", "query", "take")

    def __init__(
        self,
        query: Any,
        params: Any,
        run: Callable[[], Awaitable[Loaded[Any]]],
        take: Callable[[Loaded[Any]], R],
    ) -> None:
        self.query = query
        self.params = params
        self.take = take
        self._run = run
        self._awaited = False
        self._given: tuple[R] | None = None

    def __await__(self) -> Generator[Any, Any, R]:
        self._awaited = True
        if self._given is None:
            loaded = yield from self._run().__await__()
            self._given = (self.take(loaded),)
        return self._given[0]

    if not TYPE_CHECKING:  # who forgets the await is told so; type checkers know it without

        def __iter__(self, *_: Any) -> NoReturn:
            self._awaited = True  # said once is enough
            raise TypeError(f"the query is not executed yet, await it first: {_short(self.query)}")

        __len__ = __getitem__ = __aiter__ = __iter__

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_") or name in Pending.__slots__:
                raise AttributeError(name)
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}: the query is not executed yet, await it first: "
                f"{_short(self.query)}"
            )

    def take_over(self) -> None:
        """Leave the query to `parallel_exec`, which runs it elsewhere."""
        self._awaited = True

    def __del__(self) -> None:
        if not getattr(self, "_awaited", True):
            warnings.warn(f"a query was never awaited: {_short(self.query)}", RuntimeWarning, stacklevel=2)


class PendingQuery(Pending[R]):
    """An awaitable such as `Select(User).all()` under an `AsyncSession`: it sends the query and gives its
    objects.
    """

    __slots__ = ()


class PendingResult(Pending[AsyncQueryResult[T]]):
    """What `AsyncSession.exec` gives: await it for the result, or await one of its methods at once.

    users = await session.exec(Select(User)).all()
    """

    __slots__ = ()

    def __init__(self, query: Any, params: Any, run: Callable[[], Awaitable[Loaded[T]]]) -> None:
        super().__init__(query, params, run, AsyncQueryResult)

    def all(self) -> PendingQuery[list[T]]:
        """Return all objects or rows."""
        return self._verb(lambda result: result.all())

    def first(self) -> PendingQuery[T | None]:
        """Return the first object or row, or None where there is none."""
        return self._verb(lambda result: result.first())

    def one(self) -> PendingQuery[T]:
        """Return the only object or row; see `QueryResult.one`."""
        return self._verb(lambda result: result.one())

    def one_or_none(self) -> PendingQuery[T | None]:
        """Return the only object or row, or None; see `QueryResult.one_or_none`."""
        return self._verb(lambda result: result.one_or_none())

    def to_dicts(self) -> PendingQuery[list[dict[str, Any]]]:
        """Return each object or row as a dictionary of its values; see `QueryResult.to_dicts`."""
        return self._verb(lambda result: result.to_dicts())

    @overload
    def scalars(self: PendingResult[Led[S]]) -> PendingQuery[list[S]]: ...
    @overload
    def scalars(self: PendingResult[ResultRow]) -> PendingQuery[list[Any]]: ...
    @overload
    def scalars(self) -> PendingQuery[list[T]]: ...
    def scalars(self) -> PendingQuery[list[Any]]:
        """Return the first value of each row; objects are themselves."""
        return self._verb(lambda result: result.scalars())

    @overload
    def scalar(self: PendingResult[Led[S]]) -> PendingQuery[S | None]: ...
    @overload
    def scalar(self: PendingResult[ResultRow]) -> PendingQuery[Any]: ...
    @overload
    def scalar(self) -> PendingQuery[T | None]: ...
    def scalar(self) -> PendingQuery[Any]:
        """Return the first value of the first row, or None where there is no row."""
        return self._verb(lambda result: result.scalar())

    def _verb(self, method: Callable[[QueryResult[T]], R]) -> PendingQuery[R]:
        self.take_over()
        return PendingQuery(self.query, self.params, self._run, lambda loaded: method(QueryResult(loaded)))


def only(items: Sequence[T]) -> T:
    """Return the only item.

    Raises `NoResultFound` where there is none, `MultipleResultsFound` where there are several.
    """
    if not items:
        raise NoResultFound("the query found no row, and one() needs one; first() and one_or_none() give None")
    if len(items) > 1:
        raise MultipleResultsFound(
            f"the query found {len(items)} rows where one was asked for; first() takes the first"
        )
    return items[0]


def scalars(items: Sequence[Any]) -> list[Any]:
    """Return the first value of each row; what is no row is itself."""
    return [item[0] if isinstance(item, tuple) else item for item in items]


def dictionaries(items: Sequence[Any]) -> list[dict[str, Any]]:
    """Return each object or row as a dictionary; objects within rows are dictionaries, too."""
    found: list[dict[str, Any]] = [item.to_dict() for item in items]
    for each in found:
        for name, value in each.items():
            if isinstance(value, PSQLModel):
                each[name] = value.to_dict()
    return found


def _short(query: Any) -> str:
    text = " ".join(str(query).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
