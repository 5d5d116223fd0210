"""Savepoints: a part of a transaction that can be rolled back by itself, with the objects. Steps, and their blocks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from psqlmodel.core import transaction
from psqlmodel.core.transaction import Savepoint
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.errors import ConfigurationError, PSQLModelError, SessionError
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def enter(workspace: Workspace, name: str | None) -> Steps[Savepoint]:
    """Flush what is pending, which belongs to the transaction around, and set a savepoint."""
    if name is not None and (not isinstance(name, str) or not name):
        raise ConfigurationError(f"a savepoint's name is a text, not {name!r}")
    yield from flush(workspace)
    chosen = name or f"psqlmodel_{len(workspace.transaction.savepoints) + 1}"
    return (yield from transaction.set_savepoint(workspace, quote(chosen)))


def leave(workspace: Workspace, savepoint: Savepoint, error: BaseException | None) -> Steps[None]:
    """End the savepoint's block: keep what was done in it, or roll it back after an error."""
    open_savepoints = workspace.transaction.savepoints
    if savepoint not in open_savepoints:
        return  # the whole transaction is over
    if open_savepoints[-1] is not savepoint:
        raise SessionError("savepoints end in the reverse order of their beginning: end the inner one first")
    if error is not None or savepoint.failure is not None:
        swallowed, savepoint.failure = savepoint.failure, None
        yield from transaction.rollback_savepoint(workspace, savepoint)
        if error is None and swallowed is not None:
            raise SessionError(
                f"the savepoint was rolled back because of an earlier error ({type(swallowed).__name__}) that its "
                "block did not pass on: what was done in the block is lost"
            ) from swallowed
        return
    try:
        yield from flush(workspace)
    except PSQLModelError:
        if savepoint in workspace.transaction.savepoints:
            savepoint.failure = None
            yield from transaction.rollback_savepoint(workspace, savepoint)
        raise
    yield from transaction.release_savepoint(workspace, savepoint)


class Nested:
    """The `with` block of `Session.begin_nested()`."""

    def __init__(self, run: Callable[[Steps[Any]], Any], workspace: Workspace, name: str | None) -> None:
        self._run = run
        self._workspace = workspace
        self._name = name

    def __enter__(self) -> Nested:
        self._savepoint: Savepoint = self._run(enter(self._workspace, self._name))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(leave(self._workspace, self._savepoint, error))


class AsyncNested:
    """The `async with` block of `AsyncSession.begin_nested()`."""

    def __init__(self, run: Callable[[Steps[Any]], Awaitable[Any]], workspace: Workspace, name: str | None) -> None:
        self._run = run
        self._workspace = workspace
        self._name = name

    async def __aenter__(self) -> AsyncNested:
        self._savepoint: Savepoint = await self._run(enter(self._workspace, self._name))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ = await self._run(leave(self._workspace, self._savepoint, error))
