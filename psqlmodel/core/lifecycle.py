"""The life of a session: what leaving its block, committing and closing mean. Steps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core import transaction
from psqlmodel.core.beginning import check_text
from psqlmodel.core.events import refuse_within_flush
from psqlmodel.core.replay import commit_whole
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.errors import ConfigurationError, DatabaseError, EngineKindError, SessionError, UncommittedChangesWarning
from psqlmodel.steps import Steps

if TYPE_CHECKING:
    from psqlmodel.core.engine.channel import AsyncSessionChannel, SessionChannel
    from psqlmodel.core.guard import Guard
    from psqlmodel.core.workspace import Workspace


_MOST_FLUSHES: Final = 100


class Policy:
    """How a session ends: `auto_commit` and `auto_rollback` at the end of its block, `atomic` at a commit."""

    __slots__ = ("atomic", "auto_commit", "auto_rollback")

    def __init__(self, *, auto_commit: bool, auto_rollback: bool, atomic: bool) -> None:
        self.auto_commit = auto_commit
        self.auto_rollback = auto_rollback
        self.atomic = atomic


def commit(workspace: Workspace, guard: Guard, policy: Policy) -> Steps[None]:
    """Flush and commit; an atomic session is closed by it."""
    return _commit_and_close(workspace, guard) if policy.atomic else _commit(workspace)


def _commit_and_close(workspace: Workspace, guard: Guard) -> Steps[None]:
    yield from _commit(workspace)
    yield from close(workspace, guard)


def prepare(workspace: Workspace, guard: Guard, policy: Policy, identifier: str) -> Steps[None]:
    """Flush, and prepare the transaction for its second phase; an atomic session is closed by it."""
    if not isinstance(identifier, str) or not identifier:
        raise ConfigurationError(f"prepare takes the transaction's identifier, a text, not {type(identifier).__name__}")
    _ = check_text("the identifier of a prepared transaction", identifier)
    transaction.check(workspace)
    yield from _flush_all(workspace)
    transaction.check(workspace)
    if not workspace.transaction.begun:
        raise SessionError("there is nothing to prepare: this transaction has sent no statement")
    yield from transaction.prepare(workspace, identifier)
    if policy.atomic:
        yield from close(workspace, guard)


def _commit(workspace: Workspace) -> Steps[None]:
    transaction.check(workspace)
    try:
        yield from commit_whole(workspace, _flush_and_commit)
    except GeneratorExit:
        raise
    except BaseException:
        # The error of a commit says that the transaction is over; nothing more must be acknowledged.
        workspace.transaction.failure = None
        raise


def _flush_and_commit(workspace: Workspace) -> Steps[None]:
    ending = workspace.transaction
    ending.closing = not (ending.resolve_commit or workspace.events.of("after_flush"))
    try:
        yield from _flush_all(workspace)
    finally:
        ending.closing = False
    transaction.check(workspace)  # a handler may have swallowed an error that ended it
    yield from transaction.commit(workspace)


def _flush_all(workspace: Workspace) -> Steps[None]:
    """Flush, and flush again what handlers of `after_flush` changed."""
    for _ in range(_MOST_FLUSHES):
        yield from flush(workspace)
        if not workspace.events.of("after_flush") or not workspace.unit.pending():
            return
    raise SessionError(f"handlers of after_flush made changes after each of {_MOST_FLUSHES} flushes: they never end")


def leave(workspace: Workspace, guard: Guard, policy: Policy, error: BaseException | None) -> Steps[None]:
    """End the session's block: commit, roll back, or leave the transaction to the caller, as the policy says.

    An error of the block is never masked by one of the rollback. Changes that nobody committed are named by a warning.
    """
    if guard.closed:
        return
    if error is None and policy.auto_commit:
        try:
            yield from _commit(workspace)
        finally:
            yield from close(workspace, guard)
    elif error is None:
        try:
            _warn_of_losses(workspace)
        finally:  # a filter may make an error of the warning
            yield from close(workspace, guard)
    elif policy.auto_rollback:
        try:
            yield from close(workspace, guard)
        except DatabaseError as masked:
            error.add_note(f"rolling back failed too: {masked}")


def close(workspace: Workspace, guard: Guard) -> Steps[None]:
    """Roll back what is open and let all objects go; they stay readable."""
    if guard.closed:
        return
    refuse_within_flush(workspace)
    guard.closed = True
    try:
        if workspace.transaction.open or workspace.unit.has_changes:
            yield from transaction.rollback(workspace)
    finally:
        workspace.unit.close()


def seize(workspace: Workspace, guard: Guard, channel: SessionChannel | AsyncSessionChannel) -> None:
    """Close a session that another thread or task still uses: its connection is closed under it."""
    guard.closed = True
    channel.abandon()
    workspace.transaction.end()
    workspace.unit.restore()
    workspace.unit.close()


def set_settings(workspace: Workspace, settings: Mapping[str, Any]) -> None:
    """Take other settings for the transactions to come."""
    if workspace.transaction.begun:
        raise SessionError(
            "the settings count from the beginning of a transaction: commit() or rollback() this one first"
        )
    workspace.transaction.beginning = workspace.transaction.beginning.with_settings(settings)


def check_engine(engine: object, kind: type, message: str) -> None:
    """Refuse an engine of the other kind with `EngineKindError`."""
    if not isinstance(engine, kind):
        raise EngineKindError(f"{message} (got {type(engine).__name__})")


def abandon(guard: Guard | None, channel: SessionChannel | AsyncSessionChannel | None) -> None:
    """Throw away the connection of a session that nobody closed and nobody can close any more."""
    if guard is None or channel is None or guard.closed or not channel.connected:
        return
    guard.closed = True
    channel.abandon()  # before the warning, of which a filter may make an error
    warnings.warn(
        f"an open {guard.kind} was dropped with its transaction, which is rolled back; use it in a with block or call "
        "close()",
        ResourceWarning,
        stacklevel=2,
    )


def _warn_of_losses(workspace: Workspace) -> None:
    pending = workspace.unit.pending()
    if workspace.transaction.worked:
        pending.append("what was flushed or executed in the transaction")
    if pending:
        warnings.warn(
            f"the session ended without commit(), and these changes are lost: {', '.join(pending)}; call "
            "session.commit(), or session.rollback() if that is meant",
            UncommittedChangesWarning,
            stacklevel=_stack_level(),
        )
    else:
        workspace.unit.let_go_of_unmodified()


def _stack_level() -> int:
    """Return how far up the program is that ended the session."""
    import sys

    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("psqlmodel."):
        frame, level = frame.f_back, level + 1
    return level
