"""Source: the models of a bulk call, some at a time, whatever gives them. Steps.

A list is cut. An iterator is read between two requests, while the session is lent to it: it may read from the same
session. An asynchronous one is awaited there, which only an `AsyncSession` can. It decides nothing about what it hands
on.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from psqlmodel.errors import NotMappedError
from psqlmodel.steps import Notify, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

Handler: TypeAlias = Callable[[Any], Awaitable[None] | None]
Callback: TypeAlias = Callable[[int], Any]


class Source:
    """What a bulk call was given, to be taken in chunks of at most `size`.

    Raises `NotMappedError` for what is no list or iterator, and for an asynchronous iterator on a `Session`.
    """

    __slots__ = ("_made", "_read", "_rest", "_size")

    def __init__(self, workspace: Workspace, models: Any, size: int) -> None:
        self._size = size
        self._made: list[Any] = []
        self._rest: Iterator[Any] | None = None
        self._read: Handler | None = None
        if isinstance(models, AsyncIterable):
            self._read = self._awaiting(models.__aiter__(), workspace)
        elif isinstance(models, Mapping | str | bytes) or not isinstance(models, Iterable):
            raise NotMappedError(f"bulk work takes a list or an iterator of models, not {type(models).__name__}")
        elif isinstance(models, list | tuple):
            self._rest = iter(models)
        else:
            self._read = self._taking(iter(models))

    def take(self) -> Steps[list[Any]]:
        """Return the next chunk; an empty one at the end. What the iterator raises is raised."""
        if self._rest is not None:
            return list(islice(self._rest, self._size))
        assert self._read is not None
        _ = yield Notify("bulk", [self._read])
        made, self._made = self._made, []
        return made

    def _taking(self, items: Iterator[Any]) -> Handler:
        def read(session: Any) -> None:
            self._made = list(islice(items, self._size))

        return read

    def _awaiting(self, items: AsyncIterator[Any], workspace: Workspace) -> Handler:
        if workspace.lazy:
            raise NotMappedError(
                "a Session can't wait for an asynchronous iterator: use AsyncSession, or collect its items before"
            )

        async def read(session: Any) -> None:
            async for item in items:
                self._made.append(item)
                if len(self._made) == self._size:
                    return

        return read


def tell(callback: Callback | None, rows: int) -> Steps[None]:
    """Call the `progress` of a bulk call; on an `AsyncSession` it may be a coroutine function."""
    if callback is not None:
        _ = yield Notify("bulk", [lambda session: callback(rows)])
