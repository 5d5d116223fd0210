"""Transactions: when they begin, how they end, and what an error does to them. Steps; no driver, no clock.

BEGIN rides on the first statement. State moves before the `yield` that moves the server: "begun" is recorded first,
so that a cancelled BEGIN is rolled back rather than leaked. After an error the transaction is rolled back at once and
the objects are restored; if earlier work of the same transaction is lost by that, the session refuses to go on until
`rollback()` says that the program knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from psqlmodel.errors import ConfigurationError, ConnectionLost, DatabaseError, TransactionAbortedError
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
    if transaction.failure is not None:
        raise TransactionAbortedError(_aborted(transaction.failure)) from transaction.failure
    if not transaction.begun:
        transaction.begun = True
        request.prelude = transaction.begin
    try:
        return (yield request)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield from _fail(workspace, error)
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


def commit(workspace: Workspace) -> Steps[None]:
    """Flush, then COMMIT; the objects stay as they are. An error rolls back and restores the objects."""
    transaction, unit = workspace.transaction, workspace.unit
    if transaction.failure is not None:
        raise TransactionAbortedError(_aborted(transaction.failure)) from transaction.failure
    try:
        yield from unit.flush(workspace)
        if transaction.begun:
            yield from _send_commit(workspace)
    except GeneratorExit:
        raise
    except BaseException:
        # The error of a commit says that the transaction is over; nothing more must be acknowledged.
        transaction.failure = None
        raise
    unit.committed()


def _send_commit(workspace: Workspace) -> Steps[None]:
    try:
        yield Statement("COMMIT", prepare=False, purpose="transaction")
    except GeneratorExit:
        raise
    except ConnectionLost as error:
        error.add_note("The connection was lost during COMMIT: the transaction may have been committed or not.")
        yield from _fail(workspace, error)
        raise
    except BaseException as error:
        yield from _fail(workspace, error)
        raise
    workspace.transaction.end()
    yield Release()


def rollback(workspace: Workspace) -> Steps[None]:
    """Roll the transaction back and restore the objects to what they were when it began."""
    transaction = workspace.transaction
    begun = transaction.begun
    transaction.end()
    workspace.unit.restore()
    if begun:
        yield from _send_rollback()


def _fail(workspace: Workspace, error: BaseException) -> Steps[None]:
    """End the transaction after `error`, with the connection clean or thrown away, and restore the objects."""
    transaction = workspace.transaction
    worked = transaction.worked
    transaction.end()
    workspace.unit.restore()
    transaction.failure = error if worked else None
    if isinstance(error, DatabaseError) and not isinstance(error, ConnectionLost):
        yield from _send_rollback()
    else:
        yield Release(discard=True)


def _send_rollback() -> Steps[None]:
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


def _aborted(failure: BaseException) -> str:
    return (
        f"the transaction was rolled back because of an earlier error ({type(failure).__name__}: {failure}), and "
        "its earlier work with it; call session.rollback() to go on with a new transaction"
    )
