"""Snapshots: several connections that see one state of the database, and sessions for a while on one of them.

The first transaction exports its snapshot, the others begin in it. Both are REPEATABLE READ and READ ONLY. The tasks
of a worker run one after the other in its transaction: each in a session of its own, to which the worker's connection
is lent. Steps, and what they need; nothing is sent here.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.beginning import Beginning, begin_text
from psqlmodel.core.engine.observing import observe_alike
from psqlmodel.core.transaction import check, execute
from psqlmodel.errors import SessionError
from psqlmodel.query.quoting import quote_literal
from psqlmodel.steps import Release, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

_BEGIN: Final = begin_text(isolation="REPEATABLE READ", read_only=True)


def rest(workspace: Workspace) -> Steps[None]:
    """Give the session's connection back for the time of the tasks, where no transaction is open on it."""
    if not workspace.transaction.begun:
        yield Release()


def refuse_writes(workspace: Workspace, verb: str) -> None:
    """Raise `SessionError` where the session holds what a snapshot can't contain: changes that nobody committed."""
    check(workspace)
    transaction = workspace.transaction
    held = workspace.unit.pending()
    if transaction.worked or any(savepoint.worked_before for savepoint in transaction.savepoints):
        held.append("what was flushed or executed in the open transaction")
    if held:
        raise SessionError(
            f"{verb} reads one snapshot of what is committed, which can't contain {', '.join(held)}: commit or roll "
            "back before"
        )


def own(workspace: Workspace) -> Steps[str | None]:
    """Return the snapshot in which the session itself reads, where its transaction has one; else None.

    Under REPEATABLE READ and SERIALIZABLE the tasks see what the session sees. Raises `SessionError` within a
    savepoint, where the server does not share it.
    """
    transaction, text = workspace.transaction, workspace.transaction.beginning.text
    isolated = transaction.beginning.isolated or not (workspace.catalog.read_committed or "READ COMMITTED" in text)
    if not transaction.begun or not isolated:
        return None
    if transaction.savepoints:
        raise SessionError("the snapshot of this transaction can't be shared within begin_nested(): leave it before")
    rows = yield from execute(workspace, _export())
    identifier: str = rows.data[0][0]
    return identifier


def begin(identifier: str | None, settings: Beginning) -> Steps[str]:
    """Begin a transaction in this snapshot, or in a new one, with the session's settings; return its identifier.

    The snapshot comes before the settings, which are a query already.
    """
    if identifier is None:
        rows = yield _export(_BEGIN)
        identifier = str(rows.data[0][0])
    else:
        text = f"SET TRANSACTION SNAPSHOT {quote_literal(identifier)}"
        _ = yield Statement(text, prepare=False, prelude=_BEGIN, purpose="transaction")
    statement = settings.statement()
    if statement is not None:
        _ = yield statement
    return identifier


def _export(prelude: str = "") -> Statement:
    return Statement("SELECT pg_export_snapshot()", prepare=False, prelude=prelude, purpose="transaction")


# --- the sessions of the tasks --------------------------------------------------------------------------------


def fresh(session: Any, *, read_only: bool = False) -> Any:
    """Return a session of the same kind on the same engine, with the same role, settings and timeouts."""
    made = type(session)(session.engine, read_only=read_only)
    transaction = made._workspace.transaction
    beginning = copy(session._workspace.transaction.beginning)
    beginning.text = transaction.beginning.text
    transaction.beginning = beginning
    observe_alike(made._channel, session._channel)
    return made


def lend(channel: Any, session: Any) -> Any:
    """Return a fresh session in the transaction that is open on the channel's connection."""
    made = fresh(session)
    made._workspace.transaction.beginning = _Over(made.settings)
    made._workspace.transaction.begun = True
    made._channel.take_over(channel)
    return made


def take_back(channel: Any, lent: Any) -> None:
    """Take the connection back from a session that it was lent to; its objects are detached when it is closed.

    Raises `SessionError` where the task has ended the transaction.
    """
    if not lent._channel.connected:
        raise SessionError(_ENDED)
    channel.take_over(lent._channel)
    lent._workspace.transaction.end()


class _Over(Beginning):
    """How a task would begin another transaction: not at all, since it would see another state than the others."""

    def __init__(self, settings: Any) -> None:
        super().__init__(_BEGIN, settings=settings)

    def statement(self) -> Statement | None:
        raise SessionError(_ENDED)


_ENDED: Final = (
    "the task ended its transaction, by commit(), rollback() or an error, and with it the snapshot that all tasks "
    "share: only read in it, and put what may fail into begin_nested()"
)
