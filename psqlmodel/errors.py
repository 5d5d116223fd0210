"""The errors and warnings of psqlmodel: one tree for both drivers.

Every error is a `PSQLModelError`. What the server reports becomes a `DatabaseError` of the class that its SQLSTATE
names, with the driver's own error as `__cause__`. No message here contains a parameter value or a password.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "PSQLModelError",
    "ConfigurationError",
    "EmbeddedError",
    "MappingError",
    "RelationError",
    "QueryError",
    "InvalidValueError",
    "PageTokenError",
    "SessionError",
    "SessionClosedError",
    "NoActiveSessionError",
    "ConcurrentUseError",
    "EngineKindError",
    "ObjectStateError",
    "OrphanError",
    "NotMappedError",
    "MissingPrimaryKeyError",
    "NotLoadedError",
    "TransactionAbortedError",
    "NoResultFound",
    "MultipleResultsFound",
    "StaleObjectError",
    "PoolTimeout",
    "PoolClosedError",
    "ParallelError",
    "UncommittedChangesWarning",
    "DatabaseError",
    "DataError",
    "IntegrityError",
    "UniqueViolation",
    "ForeignKeyViolation",
    "NotNullViolation",
    "CheckViolation",
    "ExclusionViolation",
    "OperationalError",
    "ConnectionLost",
    "CommitOutcomeUnknown",
    "QueryCanceled",
    "LockNotAvailable",
    "InsufficientResources",
    "TransactionRollbackError",
    "SerializationFailure",
    "DeadlockDetected",
    "ProgrammingError",
    "UndefinedTable",
    "UndefinedColumn",
    "InsufficientPrivilege",
    "InFailedTransaction",
    "ReadOnlyTransaction",
    "error_class",
]

# --- what the program did wrong: raised before anything is sent --------------------------------------------------


class PSQLModelError(Exception):
    """The root of all errors of psqlmodel."""


class ConfigurationError(PSQLModelError):
    """An engine, a DSN or an option is not usable as given."""


class EmbeddedError(ConfigurationError):
    """The embedded PostgreSQL can't be found, initialised or started."""


class MappingError(PSQLModelError):
    """A model class can't be mapped as it is written."""


class RelationError(MappingError):
    """A relation is ambiguous or no foreign key leads to its target."""


class QueryError(PSQLModelError):
    """A query is refused while it is built: it could not mean what it says."""


class InvalidValueError(PSQLModelError, ValueError):
    """A value does not fit the type of its column."""


class PageTokenError(QueryError, InvalidValueError):
    """The token that came back for a page is none that this order gave: it comes from outside."""


class SessionError(PSQLModelError):
    """A session is used in a way it does not allow."""


class SessionClosedError(SessionError):
    """The session is closed."""


class NoActiveSessionError(SessionError):
    """No session is active in this context."""


class ConcurrentUseError(SessionError):
    """Two threads or tasks use one session at the same time."""


class EngineKindError(SessionError, TypeError):
    """A `Session` was given an asynchronous engine, or an `AsyncSession` a synchronous one."""


class ObjectStateError(SessionError):
    """The object is not in the state that the call needs (another session's object, a transient one, …)."""


class NotMappedError(PSQLModelError, TypeError):
    """The class or object is not a mapped model."""


class MissingPrimaryKeyError(PSQLModelError):
    """The primary key that the call needs is not set."""


class OrphanError(SessionError):
    """An object lost its parent in a relation that needs one; `object` is the one."""

    def __init__(self, message: str, obj: Any) -> None:
        super().__init__(message)
        self.object = obj


class NotLoadedError(SessionError):
    """A relation or column was not loaded, and loading it here is not possible.

    It is no `AttributeError`: `getattr(user, "orders", [])` must not answer "not loaded" with an empty list.
    """


class TransactionAbortedError(SessionError):
    """An earlier error ended the transaction; `rollback()` opens the way for the next one."""


class NoResultFound(PSQLModelError):
    """`one()` found no row."""


class MultipleResultsFound(PSQLModelError):
    """`one()` or `one_or_none()` found more than one row."""


class StaleObjectError(SessionError):
    """An UPDATE or DELETE of the flush did not find the row of its object, or not in the version that was read.

    Attributes: `objects`, those that lost, and for each of them in `changes` what the program had changed (new values
    by attribute), because the objects themselves are restored.
    """

    def __init__(self, message: str, objects: tuple[Any, ...] = (), changes: tuple[dict[str, Any], ...] = ()) -> None:
        super().__init__(message)
        self.objects = objects
        self.changes = changes


class PoolTimeout(PSQLModelError, TimeoutError):
    """No connection became free in time."""


class PoolClosedError(PSQLModelError):
    """The engine was disposed while a connection was asked for."""


class ParallelError(PSQLModelError):
    """A task of `parallel_exec`, or a part of `parallel_scan`, failed; `task` is its index, `__cause__` its error."""

    def __init__(self, message: str, task: int) -> None:
        super().__init__(message)
        self.task = task


class UncommittedChangesWarning(UserWarning):
    """A session ended with changes that were never committed."""


# --- what the server said -----------------------------------------------------------------------------------------


class DatabaseError(PSQLModelError):
    """An error that PostgreSQL reported.

    Attributes: `sqlstate` (five characters or None), `statement` (the SQL text, without values), `schema`, `table`,
    `columns`, `constraint`, `detail`, `hint` as PostgreSQL reports them, `model` (the mapped class, where known),
    `object` (the object at fault, where known) and `value` (its value in the first of `columns`, where known).
    """

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str | None = None,
        statement: str | None = None,
        schema: str | None = None,
        table: str | None = None,
        columns: tuple[str, ...] = (),
        constraint: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.statement = statement
        self.schema = schema
        self.table = table
        self.columns = columns
        self.constraint = constraint
        self.detail = detail
        self.hint = hint
        self.model: type | None = None
        self.object: Any = None
        self.value: Any = None


class DataError(DatabaseError):
    """A value is not acceptable to the server (class 22)."""


class IntegrityError(DatabaseError):
    """A constraint is violated (class 23)."""


class UniqueViolation(IntegrityError):
    """A unique or primary key exists already (23505)."""


class ForeignKeyViolation(IntegrityError):
    """A referenced row is missing or still referenced (23503, 23001)."""


class NotNullViolation(IntegrityError):
    """A column that must not be NULL is (23502)."""


class CheckViolation(IntegrityError):
    """A CHECK constraint is not satisfied (23514)."""


class ExclusionViolation(IntegrityError):
    """An EXCLUDE constraint is not satisfied (23P01)."""


class OperationalError(DatabaseError):
    """The server or the connection could not do its work; the statement as such may be right."""


class ConnectionLost(OperationalError):
    """The connection broke, or could not be made (class 08, 57P01 … 57P03, or no SQLSTATE at all).

    `statement` is None where there was no connection to send it on. `seconds`: how long after it was sent the loss was
    noticed.
    """

    seconds: float | None = None


class CommitOutcomeUnknown(ConnectionLost):
    """The connection broke during COMMIT, and whether the transaction was committed can't be known."""


class QueryCanceled(OperationalError):
    """The statement was cancelled: by a timeout or on request (57014)."""


class LockNotAvailable(OperationalError):
    """A lock asked for with NOWAIT or a lock timeout was not to be had (55P03)."""


class InsufficientResources(OperationalError):
    """The server ran out of memory, disk or connections (class 53)."""


class TransactionRollbackError(OperationalError):
    """The server rolled the transaction back; running it again may succeed (class 40)."""


class SerializationFailure(TransactionRollbackError):
    """The transaction can't be serialised with others (40001)."""


class DeadlockDetected(TransactionRollbackError):
    """The transaction was chosen to end a deadlock (40P01)."""


class ProgrammingError(DatabaseError):
    """The statement is wrong (class 42 and what has no class of its own)."""


class UndefinedTable(ProgrammingError):
    """The table does not exist (42P01)."""


class UndefinedColumn(ProgrammingError):
    """The column does not exist (42703)."""


class InsufficientPrivilege(ProgrammingError):
    """The role may not do this (42501)."""


class InFailedTransaction(ProgrammingError):
    """The transaction is aborted until it is rolled back (25P02)."""


class ReadOnlyTransaction(ProgrammingError):
    """A write was sent in a read-only transaction (25006)."""


_BY_SQLSTATE: dict[str, type[DatabaseError]] = {
    "23505": UniqueViolation,
    "23503": ForeignKeyViolation,
    "23001": ForeignKeyViolation,  # what PostgreSQL 18 says of ON DELETE RESTRICT
    "23502": NotNullViolation,
    "23514": CheckViolation,
    "23P01": ExclusionViolation,
    "25P02": InFailedTransaction,
    "25006": ReadOnlyTransaction,
    "40001": SerializationFailure,
    "40P01": DeadlockDetected,
    "42P01": UndefinedTable,
    "42703": UndefinedColumn,
    "42501": InsufficientPrivilege,
    "55P03": LockNotAvailable,
    "57014": QueryCanceled,
    "57P01": ConnectionLost,
    "57P02": ConnectionLost,
    "57P03": ConnectionLost,
    "57P05": ConnectionLost,
}

_BY_CLASS: dict[str, type[DatabaseError]] = {
    "08": ConnectionLost,
    "22": DataError,
    "23": IntegrityError,
    "28": OperationalError,  # the server refuses the role or the password
    "3D": OperationalError,  # the database does not exist
    "40": TransactionRollbackError,
    "53": InsufficientResources,
    "55": OperationalError,
    "57": OperationalError,
    "58": OperationalError,
    "XX": OperationalError,
}


def error_class(sqlstate: str | None) -> type[DatabaseError]:
    """Return the error class for a SQLSTATE; no SQLSTATE at all means that the connection is lost.

    The codes are those of PostgreSQL's manual, appendix A (errcodes.txt).
    """
    if sqlstate is None:
        return ConnectionLost
    return _BY_SQLSTATE.get(sqlstate) or _BY_CLASS.get(sqlstate[:2], ProgrammingError)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `name` was probably meant to be, or None where none is near."""
    import difflib  # 1 ms, for those who make an error

    near = difflib.get_close_matches(name, list(candidates), n=1)
    return near[0] if near else None
