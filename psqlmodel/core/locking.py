"""Locks that a program asks for: on the row of an object, on the next rows of a queue, on a name. Steps.

All of them end with the transaction. While it holds one, an error ends the transaction for good: the session refuses
to go on without the lock until `rollback()` says that the program knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.beginning import check_text
from psqlmodel.core.loading import access
from psqlmodel.core.transaction import execute
from psqlmodel.errors import ConfigurationError, MissingPrimaryKeyError, NotMappedError, QueryError, SessionError
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.query.select import Select, SelectQuery
from psqlmodel.steps import Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

_STRENGTHS: Final = {
    "update": SelectQuery.ForUpdate,
    "no key update": SelectQuery.ForNoKeyUpdate,
    "share": SelectQuery.ForShare,
    "key share": SelectQuery.ForKeyShare,
}


def get(workspace: Workspace, model: Any, key: Any, lock: str | None, nowait: bool, skip_locked: bool) -> Steps[Any]:
    """Return the object of class `model` with this primary key, its row locked where `lock` says how, or None.

    Without a lock it is `access.get`. With one a query is always sent, and the object takes the fresh values.
    """
    if lock is None:
        if nowait or skip_locked:
            raise QueryError('nowait and skip_locked belong to a lock: get(…, lock="update", nowait=True)')
        return access.get(workspace, model, key)
    if lock not in _STRENGTHS:
        raise QueryError(f"lock={lock!r} is none of {', '.join(map(repr, _STRENGTHS))}")
    return _get_locked(workspace, model, key, lock, nowait, skip_locked)


def _get_locked(workspace: Workspace, model: Any, key: Any, lock: str, nowait: bool, skip_locked: bool) -> Steps[Any]:
    mapper = _mapper(model, "get")
    identity = access.identity_key(mapper, key)
    parts = (identity,) if len(mapper.primary_key) == 1 else identity
    conditions = [column == part for column, part in zip(mapper.primary_key, parts, strict=True)]
    query = _STRENGTHS[lock](Select(model).Where(*conditions), nowait=nowait, skip_locked=skip_locked)
    loaded = yield from access.select(workspace, query)
    return loaded.items[0] if loaded.items else None


def claim(workspace: Workspace, model: Any, count: int, where: Any, order_by: Any) -> Steps[list[Any]]:
    """Lock up to `count` rows that nobody else holds and return their objects."""
    mapper = _mapper(model, "claim")
    ordering = (
        mapper.primary_key if order_by is None else order_by if isinstance(order_by, tuple | list) else [order_by]
    )
    query = Select(model) if where is None else Select(model).Where(where)
    loaded = yield from access.select(workspace, query.OrderBy(*ordering).Limit(count).ForUpdate(skip_locked=True))
    return loaded.items


def _ordering(mapper: Mapper, order_by: Any) -> Sequence[Any]:
    if order_by is None:
        return mapper.primary_key
    return order_by if isinstance(order_by, list | tuple) else (order_by,)


def lock_name(workspace: Workspace, name: str) -> Steps[None]:
    """Wait for the advisory lock of a name."""
    _ = yield from _advisory(workspace, "pg_advisory_xact_lock", name)
    workspace.transaction.locked = True


def try_lock_name(workspace: Workspace, name: str) -> Steps[bool]:
    """Take the advisory lock of a name if nobody has it; tell whether it was to be had."""
    taken: bool = yield from _advisory(workspace, "pg_try_advisory_xact_lock", name)
    workspace.transaction.locked = workspace.transaction.locked or taken
    return taken


def _advisory(workspace: Workspace, function: str, name: Any) -> Steps[Any]:
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"a lock's name is a text, not {type(name).__name__}")
    _ = check_text("a lock's name", name)
    if workspace.transaction.elsewhere:
        raise SessionError("a replica's lock of a name is not the primary's: take it in a session that may write")
    # The server makes the number of the name, so that programs in other languages can name the same lock.
    statement = Statement(f"SELECT {function}(hashtextextended($1, 0))", (name,), purpose="lock")
    rows = yield from execute(workspace, statement)
    return rows.data[0][0]


def _mapper(model: Any, verb: str) -> Mapper:
    if not isinstance(model, type):
        raise NotMappedError(f"{verb} takes a model class, not {type(model).__name__}")
    mapper = mapper_of(model)
    if not mapper.primary_key:
        raise MissingPrimaryKeyError(f"{mapper.name} has no primary key: lock its rows with Select(…).ForUpdate()")
    return mapper
