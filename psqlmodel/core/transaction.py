"""Transactions: when they begin, how they end, and what an error does to them. Steps; no driver, no clock.

BEGIN rides on the first statement. State moves before the `yield` that moves the server: "begun" is recorded first,
so that a cancelled BEGIN is rolled back rather than leaked. After an error the transaction is over at once: the pool
rolls back what is open on a connection that it takes back, and the objects are restored. If earlier work of the same
transaction is lost by that, the session refuses to go on until `rollback()` says that the program knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from psqlmodel.errors import (
    ConfigurationError,
    ConnectionLost,
    DatabaseError,
    PSQLModelError,
    TransactionAbortedError,
)
from psqlmodel.steps import Copy, Release, Rows, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

T = TypeVar("T")

ISOLATION_LEVELS: Final = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


class Transaction:
    """Where the transaction of a session stands.

    `begun`: the server has it, or may have it. `worked`: something was done in it that an error would lose.
    `failure`: the error that ended it, until `rollback()`. `begin` is the statement that starts it.
    """

    __slots__ = ("begin", "begun", "failure", "worked")

    def __init__(self, begin: str = "BEGIN") -> None:
        self.begin = begin
        self.begun = False
        self.worked = False
        self.failure: BaseException | None = None

    def end(self) -> None:
        """Forget the transaction: the next statement begins another."""
        self.begun = False
        self.worked = False
        self.failure = None


def begin_text(*, isolation: str | None = None, read_only: bool = False, deferrable: bool = False) -> str:
    """Return the BEGIN of these options.

    Raises `ConfigurationError` for an isolation level that PostgreSQL does not have.
    """
    text = "BEGIN"
    if isolation is not None:
        level = isolation.upper().replace("_", " ")
        if level not in ISOLATION_LEVELS:
            raise ConfigurationError(f"isolation={isolation!r} is none of {', '.join(ISOLATION_LEVELS)}")
        text += f" ISOLATION LEVEL {level}"
    if read_only:
        text += " READ ONLY"
    if deferrable:
        text += " DEFERRABLE"
    return text


def execute(workspace: Workspace, request: Statement | Copy) -> Steps[Rows]:
    """Send a statement in the session's transaction, which begins with it where it has not begun.

    Raises `TransactionAbortedError` where an earlier error ended the transaction, and what the server reports.
    """
    transaction = workspace.transaction
    if not transaction.begun:
        check(workspace)
        transaction.begun = True
        request.prelude = transaction.begin
    try:
        return (yield request)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield from fail(workspace, error)
        raise


def within(workspace: Workspace, steps: Steps[T]) -> Steps[T]:
    """Run steps that know nothing of the session in its transaction."""
    try:
        request = next(steps)
        while True:
            assert not isinstance(request, Release)
            rows = yield from execute(workspace, request)
            request = steps.send(rows)
    except StopIteration as stop:
        result: T = stop.value
        return result


def check(workspace: Workspace) -> None:
    """Raise `TransactionAbortedError` where an earlier error ended the transaction and `rollback()` has not followed."""
    failure = workspace.transaction.failure
    if failure is not None:
        raise TransactionAbortedError(
            f"the transaction was rolled back because of an earlier error ({type(failure).__name__}: {failure}), and "
            "its earlier work with it; call session.rollback() to go on with a new transaction"
        ) from failure


def commit(workspace: Workspace) -> Steps[None]:
    """Send COMMIT, if a transaction is open; what was written can't be undone afterwards."""
    if workspace.transaction.begun:
        try:
            yield Statement("COMMIT", prepare=False, purpose="transaction")
        except GeneratorExit:
            raise
        except BaseException as error:
            if isinstance(error, ConnectionLost):
                error.add_note("The connection was lost during COMMIT: the transaction may have been committed or not.")
            yield from fail(workspace, error)
            raise
        workspace.transaction.end()
        yield Release()
    workspace.unit.committed()


def rollback(workspace: Workspace) -> Steps[None]:
    """Roll the transaction back and restore the objects to what they were when it began."""
    begun = workspace.transaction.begun
    workspace.transaction.end()
    workspace.unit.restore()
    if not begun:
        return
    try:
        yield Statement("ROLLBACK", prepare=False, purpose="transaction")
    except GeneratorExit:
        raise
    except DatabaseError:
        # The connection is gone, and the transaction with it: there is nothing left to roll back.
        yield Release(discard=True)
    except BaseException:
        yield Release(discard=True)
        raise
    else:
        yield Release()


def fail(workspace: Workspace, error: BaseException) -> Steps[None]:
    """End the transaction after `error`, if one is open, and restore the objects.

    The connection goes back to be rolled back there; where its state is in doubt it is thrown away.
    """
    transaction = workspace.transaction
    if not transaction.begun:
        return
    worked = transaction.worked
    transaction.end()
    workspace.unit.restore()
    transaction.failure = error if worked else None
    yield Release(discard=not isinstance(error, PSQLModelError) or isinstance(error, ConnectionLost))
