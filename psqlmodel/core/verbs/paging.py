"""Pages: a part of a query's objects, and the tokens of what comes before and after it. Steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from psqlmodel.core.loading import access
from psqlmodel.errors import QueryError
from psqlmodel.query.keyset import Keyset
from psqlmodel.steps import Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

T = TypeVar("T")


class Page(Generic[T]):
    """Some objects of a query: `items`, and `next` and `previous`, the tokens of the pages beside it, or None.

    It iterates, has a length, and gives an object by its place or several by a slice.
    """

    __slots__ = ("items", "next", "previous")

    def __init__(self, items: list[T], previous: str | None, next: str | None) -> None:
        self.items = items
        self.previous = previous
        self.next = next

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> list[T]: ...
    def __getitem__(self, place: int | slice) -> T | list[T]:
        return self.items[place]

    def __repr__(self) -> str:
        return f"<Page of {len(self.items)}{', more follow' if self.next else ''}>"


def page(workspace: Workspace, query: Any, after: str | None, before: str | None, size: int) -> Steps[Page[Any]]:
    """Return the objects of a query after (or before) a token, `size` of them at most.

    Raises `QueryError` for a query that has no order of its own columns, `PageTokenError` for a token that is none, or
    of another order.
    """
    if type(size) is not int or size < 1:
        raise QueryError(f"the size of a page is a whole number from 1 on, not {size!r}")
    if after is not None and before is not None:
        raise QueryError("a page is after one token or before one, not both")
    keyset = Keyset(query)
    loaded = yield from access.select(workspace, keyset.rows(size, after, before))
    found = loaded.items
    items, more = list(found[:size]), len(found) > size
    if before is not None:
        items.reverse()
    if not items:
        return Page([], None, None)
    behind = more if before is None else True
    ahead = after is not None if before is None else more
    return Page(items, keyset.token(items[0]) if ahead else None, keyset.token(items[-1]) if behind else None)
