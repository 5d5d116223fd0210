"""Transactions: when they begin, how they end, and what an error does to them. Steps; no driver, no clock.

BEGIN rides on the first statement that is no mere read (see `alone.py`). State moves before the `yield` that moves the
server: "begun" is recorded first, so that a cancelled BEGIN is rolled back rather than leaked. After an error the
transaction is over at once: the pool rolls back what is open on a connection that it takes back, and the objects are
restored. If earlier work of the same transaction is lost by that, the session refuses to go on until `rollback()` says
that the program knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from psqlmodel.core.alone import reads_only
from psqlmodel.core.events import notify, refuse_within_flush
from psqlmodel.errors import (
    CommitOutcomeUnknown,
    ConfigurationError,
    ConnectionLost,
    DatabaseError,
    OperationalError,
    PSQLModelError,
    TransactionAbortedError,
    TransactionRollbackError,
)
from psqlmodel.query.quoting import quote_literal
from psqlmodel.steps import Copy, Release, Rows, Statement, Steps

if TYPE_CHECKING:
    from weakref import ref

    from psqlmodel.core.beginning import Beginning
    from psqlmodel.core.workspace import Workspace

T = TypeVar("T")


class Savepoint:
    """An open savepoint. `failure` is the error that ended it, until its block is left.

    `worked_before` is what the transaction, or the savepoint around, had done when it was set, `cursors_before` the
    names of those that were open.
    """

    __slots__ = ("cursors_before", "failure", "name", "worked_before")

    def __init__(self, name: str, *, worked_before: bool, cursors_before: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.cursors_before = cursors_before
        self.worked_before = worked_before
        self.failure: BaseException | None = None


class Transaction:
    """Where the transaction of a session stands.

    `begun`: the server has it, or may have it. `used`: there were reads before that. `closing`: COMMIT follows the
    flush at hand; `alone`: its one statement is the whole transaction, without BEGIN and COMMIT. `worked`: something
    was done, since it began or since the innermost of its `savepoints` was set, that an error would lose. `locked`:
    it holds locks that the program asked for. `failure`: the error that ended it, until `rollback()`. `beginning`
    says how it starts. `resolve_commit`: the outcome of a COMMIT whose answer was lost is found out, at the price of
    one more statement before COMMIT. `keep`, where there is one, keeps what is pending for a replay. `cursors` has
    references to the streams that are open, by the name of their cursor. `commits` counts the transactions that were
    committed, `sent` the requests that were sent in any, but for those that read the catalog. `take_token` asks, where
    there are replicas, for the `token` of a commit; `elsewhere`: this one reads from replicas.
    """

    __slots__ = (
        "alone",
        "beginning",
        "begun",
        "closing",
        "commits",
        "cursors",
        "elsewhere",
        "failure",
        "keep",
        "locked",
        "resolve_commit",
        "savepoints",
        "sent",
        "take_token",
        "token",
        "used",
        "worked",
    )

    def __init__(self, beginning: Beginning, *, resolve_commit: bool = False) -> None:
        self.beginning = beginning
        self.resolve_commit = resolve_commit
        self.keep: Callable[[], None] | None = None
        self.take_token: Callable[[], Steps[str]] | None = None
        self.token: str | None = None
        self.elsewhere = False
        self.commits = 0
        self.cursors: dict[str, ref[object]] = {}
        self.sent = 0
        self.begun = False
        self.alone = False
        self.closing = False
        self.used = False
        self.worked = False
        self.locked = False
        self.failure: BaseException | None = None
        self.savepoints: list[Savepoint] = []

    @property
    def open(self) -> bool:
        """Whether there is anything to end: work on the server, or a connection that was read from."""
        return self.begun or self.used

    def end(self) -> None:
        """Forget the transaction: the next statement begins another."""
        self.begun = False
        self.alone = False
        self.closing = False
        self.used = False
        self.worked = False
        self.locked = False
        self.failure = None
        self.cursors = {}
        self.savepoints = []

    def back_to(self, savepoint: Savepoint) -> None:
        """Forget the cursors that were opened since the savepoint: rolling back to it closes them."""
        self.cursors = {name: known for name, known in self.cursors.items() if name in savepoint.cursors_before}


def execute(
    workspace: Workspace, request: Statement | Copy, explain: Callable[[DatabaseError], None] | None = None
) -> Steps[Rows]:
    """Send a statement in the session's transaction, which begins with it where it has not begun.

    `explain` may look at an error of the server before the objects are restored. Raises `TransactionAbortedError`
    where an earlier error ended the transaction, and what the server reports.
    """
    transaction = workspace.transaction
    if transaction.failure is not None or transaction.savepoints:
        check(workspace)
    if request.purpose != "catalog":
        transaction.sent += 1
    if not transaction.begun and transaction.beginning.plain and workspace.catalog.read_committed:
        transaction.used = True
        if reads_only(request):
            return _read_alone(request)
    return _execute(workspace, request, explain)


def _execute(
    workspace: Workspace, request: Statement | Copy, explain: Callable[[DatabaseError], None] | None
) -> Steps[Rows]:
    transaction = workspace.transaction
    try:
        if not transaction.begun:
            transaction.begun = True
            return (yield from (_send_alone(request) if transaction.alone else _begin(transaction.beginning, request)))
        return (yield from _send_alone(request)) if transaction.alone else (yield request)
    except GeneratorExit:
        raise
    except BaseException as error:
        if transaction.alone and isinstance(error, ConnectionLost) and error.statement is not None:
            yield from _lost_alone(workspace, error)
        if explain is not None and isinstance(error, DatabaseError):
            explain(error)
        if request.purpose != "flush" and workspace.unit.pending():
            transaction.worked = True  # what is pending is undone too, though nobody asked for it to be written
        yield from fail(workspace, error)
        raise


def _begin(beginning: Beginning, request: Statement | Copy) -> Steps[Rows]:
    """Send the first request of a transaction, with BEGIN before it; again, where the connection was dead already.

    Nothing is lost by that, for nothing was committed. SQL by hand may say COMMIT itself, and the rows of a COPY may
    come from an iterator: they are sent once, to a connection that was looked at.
    """
    settings = None if beginning.plain else beginning.statement()
    first = request if settings is None else settings
    first.prelude = beginning.text
    first.once = isinstance(first, Copy) or first.purpose == "raw"
    try:
        rows = yield first
    except ConnectionLost as error:
        if first.once or not _was_dead(error):
            raise
        yield Release(discard=True)
        rows = yield first
    return rows if settings is None else (yield request)


_PROMPT: Final = 1.0  # seconds; a dead connection shows within a round trip, and what ran longer is not begun anew


def _was_dead(error: ConnectionLost) -> bool:
    """Tell whether a connection was dead before something was sent on it, or as good as that."""
    return error.seconds is not None and error.seconds < _PROMPT


CONFLICTS: Final = ("40001", "40P01")  # rolled back to let others pass
_REPLAYS: Final = 5


def _send_alone(request: Statement | Copy) -> Steps[Rows]:
    """Send a statement that is the whole transaction; again, where it was rolled back to let others pass.

    It is never sent again after its connection was lost, so it goes to one that was looked at.
    """
    request.once = True
    for _ in range(_REPLAYS):
        try:
            return (yield request)
        except TransactionRollbackError as error:
            if error.sqlstate not in CONFLICTS:
                raise
    return (yield request)


def _lost_alone(workspace: Workspace, error: ConnectionLost) -> Steps[None]:
    """Raise for a statement that was the whole transaction and whose answer was lost."""
    ours = CommitOutcomeUnknown(
        "the connection was lost during the statement that was the whole transaction: it may have been committed or "
        "not; look in the database before running it again, or let engine.run(…) find out"
    )
    yield Release(discard=True)
    yield from fail(workspace, ours)
    raise ours from error


def _read_alone(request: Statement | Copy) -> Steps[Rows]:
    """Send a read before the transaction begins; again, where the connection was dead already.

    An error loses nothing but, at worst, the connection.
    """
    try:
        return (yield request)
    except ConnectionLost as error:
        yield Release(discard=True)
        if not _was_dead(error):
            raise
    try:
        return (yield request)
    except ConnectionLost:
        yield Release(discard=True)
        raise


def within(workspace: Workspace, steps: Steps[T]) -> Steps[T]:
    """Run steps that know nothing of the session in its transaction."""
    try:
        request = next(steps)
        while True:
            assert isinstance(request, Statement | Copy)
            rows = yield from execute(workspace, request)
            request = steps.send(rows)
    except StopIteration as stop:
        result: T = stop.value
        return result


def check(workspace: Workspace) -> None:
    """Raise `TransactionAbortedError` where an error ended the transaction and `rollback()` has not followed."""
    savepoints = workspace.transaction.savepoints
    failure = savepoints[-1].failure if savepoints else None
    if failure is not None:
        raise TransactionAbortedError(
            f"the savepoint was rolled back because of an earlier error ({_told(failure)}); leave "
            "the block of begin_nested() to go on"
        ) from failure
    failure = workspace.transaction.failure
    if failure is not None:
        raise TransactionAbortedError(
            f"the transaction was rolled back because of an earlier error ({_told(failure)}), and "
            "its earlier work with it; call session.rollback() to go on with a new transaction"
        ) from failure


def _told(failure: BaseException) -> str:
    """Return an error in words; a cancellation has none of its own."""
    return f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__


def commit(workspace: Workspace) -> Steps[None]:
    """Send COMMIT, if a transaction is open; what was written can't be undone afterwards.

    Raises what the server reports, and `CommitOutcomeUnknown` where the answer was lost and can't be found out.
    """
    transaction = workspace.transaction
    used = transaction.open
    take_token = transaction.take_token if transaction.begun else None
    if transaction.begun and not transaction.alone:
        yield from _commit(workspace)
    if used:
        transaction.commits += 1
        transaction.end()
        if take_token is None:
            yield Release()
    workspace.unit.committed()
    if take_token is not None:
        transaction.token = yield from take_token()
        yield Release()
    if used and workspace.events.of("after_commit"):
        yield from notify(workspace.events, "after_commit")


def prepare(workspace: Workspace, identifier: str) -> Steps[None]:
    """Send PREPARE TRANSACTION: the transaction leaves the session, and waits on the server for its second phase."""
    transaction = workspace.transaction
    transaction.savepoints = []
    text = f"PREPARE TRANSACTION {quote_literal(identifier)}"
    try:
        _ = yield Statement(text, prepare=False, purpose="transaction")
    except GeneratorExit:
        raise
    except BaseException as error:
        yield from fail(workspace, error)
        if isinstance(error, ConnectionLost):
            raise CommitOutcomeUnknown(
                "the connection was lost during PREPARE TRANSACTION: engine.prepared() tells whether it is prepared"
            ) from error
        if isinstance(error, DatabaseError) and error.sqlstate == NOT_ENABLED:
            raise ConfigurationError(TWO_PHASE_ADVICE) from error
        raise
    transaction.commits += 1
    transaction.end()
    yield Release()
    workspace.unit.committed()


NOT_ENABLED: Final = "55000"  # object_not_in_prerequisite_state
TWO_PHASE_ADVICE: Final = (
    "the server takes no prepared transactions: set max_prepared_transactions above 0, and restart it"
)


def _commit(workspace: Workspace) -> Steps[None]:
    transaction = workspace.transaction
    identifier = (yield from _identifier(workspace)) if transaction.resolve_commit else None
    transaction.savepoints = []  # whatever COMMIT says, they are gone
    try:
        _ = yield Statement("COMMIT", prepare=False, purpose="transaction")
    except GeneratorExit:
        raise
    except ConnectionLost as error:
        yield Release(discard=True)
        if error.statement is None:  # it was not sent: the connection is a parent process's
            yield from fail(workspace, error)
            raise
        yield from _resolve(workspace, identifier, error)
    except BaseException as error:
        yield from fail(workspace, error)
        raise


def _identifier(workspace: Workspace) -> Steps[str | None]:
    """Return the number that the server gave the transaction; it has none while it has written nothing."""
    statement = Statement("SELECT pg_current_xact_id_if_assigned()::text", purpose="transaction")
    rows = yield from execute(workspace, statement)
    identifier: str | None = rows.data[0][0]
    return identifier


def _resolve(workspace: Workspace, identifier: str | None, error: ConnectionLost) -> Steps[None]:
    """Find out what became of a COMMIT whose answer was lost; return if it was committed, else raise."""
    transaction = workspace.transaction
    if transaction.resolve_commit and identifier is None and not transaction.worked:
        return  # nothing was written: there is nothing to know
    status = None if identifier is None else (yield from _status(identifier))
    if status == "committed":
        return
    ours: OperationalError
    if status == "aborted":
        ours = TransactionRollbackError(
            "the connection was lost during COMMIT and the server rolled the transaction back: nothing of it is in the "
            "database, and it may be run again"
        )
    else:
        ours = CommitOutcomeUnknown(
            "the connection was lost during COMMIT: the transaction may have been committed or not; look in the "
            "database before running it again, or let engine.run(…) find out"
        )
    yield from fail(workspace, ours)
    raise ours from error


_PATIENCE: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)  # seconds; the server may not know of the loss yet


def _status(identifier: str) -> Steps[str | None]:
    """Ask the server, on another connection, how a transaction ended; None where it can't tell."""
    for seconds in _PATIENCE:
        ask = Statement(
            "SELECT pg_xact_status($1::text::xid8) FROM pg_sleep($2)", (identifier, seconds), purpose="transaction"
        )
        try:
            rows = yield ask
        except ConnectionLost:
            yield Release(discard=True)  # one that the pool has from before the loss; the next may be new
        except PSQLModelError:
            return None
        else:
            status: str | None = rows.data[0][0]
            if status != "in progress":
                return status
    return None


def rollback(workspace: Workspace) -> Steps[None]:
    """Roll the transaction back and restore the objects to what they were when it began."""
    refuse_within_flush(workspace)
    begun, used = workspace.transaction.begun, workspace.transaction.used
    workspace.transaction.end()
    workspace.unit.restore()
    if not begun and not used:
        return
    try:
        if begun:
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
    yield from notify(workspace.events, "after_rollback")


def fail(workspace: Workspace, error: BaseException) -> Steps[None]:
    """End the transaction after `error`, or its innermost savepoint if there is one, and restore the objects.

    The connection goes back to be rolled back there; where its state is in doubt it is thrown away, and all savepoints.
    """
    transaction = workspace.transaction
    if not transaction.begun:
        return
    in_doubt = not isinstance(error, PSQLModelError) or isinstance(error, ConnectionLost)
    if transaction.savepoints and not in_doubt:
        yield from _fail_to_savepoint(workspace, error)
        return
    worked = transaction.worked or any(savepoint.worked_before for savepoint in transaction.savepoints)
    lost = worked or transaction.locked
    transaction.end()
    workspace.unit.restore()
    transaction.failure = error if lost else None
    yield Release(discard=in_doubt)
    try:
        yield from notify(workspace.events, "after_rollback")
    except Exception as second:
        error.add_note(f"a handler of after_rollback failed too: {type(second).__name__}: {second}")


def _fail_to_savepoint(workspace: Workspace, error: BaseException) -> Steps[None]:
    """Go back to the innermost savepoint, which stays set: what was done before it is whole."""
    transaction = workspace.transaction
    savepoint = transaction.savepoints[-1]
    if savepoint.failure is not None:
        return
    transaction.back_to(savepoint)
    workspace.unit.restore_savepoint()
    workspace.unit.undo.push()
    savepoint.failure = error if transaction.worked or transaction.locked else None
    transaction.worked = False
    try:
        yield Statement(f"ROLLBACK TO SAVEPOINT {savepoint.name}", prepare=False, purpose="transaction")
    except GeneratorExit:
        raise
    except BaseException as second:
        transaction.savepoints = []
        workspace.unit.restore()
        transaction.end()
        transaction.failure = second
        yield Release(discard=True)
        raise


def set_savepoint(workspace: Workspace, name: str) -> Steps[Savepoint]:
    """Set a savepoint; `name` is a quoted identifier. What is pending must be flushed before."""
    transaction = workspace.transaction
    savepoint = Savepoint(name, worked_before=transaction.worked, cursors_before=frozenset(transaction.cursors))
    _ = yield from execute(workspace, Statement(f"SAVEPOINT {name}", prepare=False, purpose="transaction"))
    transaction.savepoints.append(savepoint)
    transaction.worked = False
    workspace.unit.undo.push()
    return savepoint


def release_savepoint(workspace: Workspace, savepoint: Savepoint) -> Steps[None]:
    """Give up the innermost savepoint: what was done since belongs to the transaction around it."""
    transaction = workspace.transaction
    _ = yield from execute(
        workspace, Statement(f"RELEASE SAVEPOINT {savepoint.name}", prepare=False, purpose="transaction")
    )
    transaction.savepoints.remove(savepoint)
    transaction.worked = transaction.worked or savepoint.worked_before
    workspace.unit.undo.merge()


def rollback_savepoint(workspace: Workspace, savepoint: Savepoint) -> Steps[None]:
    """Go back to the innermost savepoint and give it up; the objects are what they were when it was set."""
    transaction = workspace.transaction
    transaction.savepoints.remove(savepoint)
    transaction.worked = savepoint.worked_before
    transaction.back_to(savepoint)
    workspace.unit.restore_savepoint()
    text = f"ROLLBACK TO SAVEPOINT {savepoint.name}; RELEASE SAVEPOINT {savepoint.name}"
    _ = yield from execute(workspace, Statement(text, prepare=False, purpose="transaction"))
