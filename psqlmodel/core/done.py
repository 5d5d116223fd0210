"""Done: what `AsyncSession.add` and `delete` return; the work is done already, and awaiting it is allowed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final


class Done:
    """An awaitable that is complete from the start."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield  # makes this a generator; there is nothing to wait for

    def __repr__(self) -> str:
        return "<done>"


DONE: Final = Done()
