"""Staging: rows that may be there already, by way of a temporary table. Steps.

They are copied into a table that lives no longer than the transaction, so that it works behind a transaction pooler,
and go on from there by INSERT … ON CONFLICT. Its columns have the types of the real ones. The name tells the table and
the columns: what a driver knows of it stays true.
"""
# ruff: noqa: S608 - every name here is quoted, and values travel by COPY

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from psqlmodel.core.bulk.conflicts import Counted, OnConflict
from psqlmodel.core.bulk.marking import detach, put, read_again
from psqlmodel.core.bulk.rows import Batch
from psqlmodel.core.bulk.sending import send
from psqlmodel.core.transaction import execute
from psqlmodel.model.fields import Column
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Columns, Copy, Rows, Statement, Steps
from psqlmodel.types import loader

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

_ORDINAL = '"#"'  # names that no column of a model has
_KIND = '"?"'


class Staged:
    """A batch with its columns and their values, and the temporary table for it."""

    __slots__ = ("batch", "columns", "names", "table", "types", "values")

    def __init__(
        self, workspace: Workspace, batch: Batch, columns: Sequence[Column[Any]], values: list[list[Any]]
    ) -> None:
        self.batch = batch
        self.columns = columns
        self.names = [quote(column.name or "") for column in columns]
        self.types = [workspace.catalog.type_of(column).transport for column in columns]
        self.values = values
        kind = blake2b("\0".join([batch.mapper.qualified, *self.names]).encode(), digest_size=12)
        self.table = f'"pg_temp".{quote(f"psqlmodel_bulk_{kind.hexdigest()}")}'

    def create(self) -> Statement:
        """Return the statement that makes the table."""
        wanted = ", ".join([*self.names, f"0::int8 AS {_ORDINAL}"])
        text = (
            f"CREATE TEMPORARY TABLE {self.table} ON COMMIT DROP AS "
            f"SELECT {wanted} FROM {self.batch.mapper.qualified} WITH NO DATA"
        )
        return Statement(text, prepare=False, purpose="bulk")

    def copy(self) -> Copy:
        """Return the request that fills it."""
        ordinals = list(range(1, len(self.batch.items) + 1))
        return Copy(self.table, [*self.names, _ORDINAL], [*self.types, "int8"], Columns([*self.values, ordinals]))

    def drop(self) -> Statement:
        """Return the statement that drops it."""
        return Statement(f"DROP TABLE {self.table}", prepare=False, purpose="bulk")

    def insertion(self, target: Sequence[Column[Any]], sets: Sequence[str]) -> str:
        """Return the INSERT into the real table `t`, without RETURNING."""
        names = ", ".join(self.names)
        on = ", ".join(quote(column.name or "") for column in target)
        action = f"DO UPDATE SET {', '.join(sets)}" if sets else "DO NOTHING"
        return (
            f"INSERT INTO {self.batch.mapper.qualified} AS t ({names}) OVERRIDING SYSTEM VALUE "
            f"SELECT {names} FROM {self.table} AS r ORDER BY r.{_ORDINAL} ON CONFLICT ({on}) {action}"
        )


def write_staged(workspace: Workspace, staged: Staged, conflict: OnConflict, returning: bool) -> Steps[Counted]:
    """Write a batch; mark its models where `returning`, and read again what the session has of the rows."""
    batch = staged.batch
    target, sets = conflict.target(batch), conflict.sets(workspace, batch)
    _ = yield from execute(workspace, staged.create())
    _ = yield from send(workspace, batch, staged.copy())
    insertion = staged.insertion(target, sets)
    # A row version that this statement inserted has no xmax; one that it updated was locked by it.
    is_new = "true" if not sets else "t.xmax = 0" if workspace.catalog.is_ordinary(batch.mapper) else "NULL::bool"
    if batch.mapper.primary_key and (returning or (sets and workspace.identity.knows(batch.mapper))):
        by = target if sets else batch.mapper.primary_key
        text = _telling_each(staged, insertion, by, is_new)
        rows = yield from send(workspace, batch, Statement(text, prepare=False, purpose="bulk"))
        counted = yield from _marked(workspace, staged, conflict, rows, returning)
    else:
        text = (
            f"WITH i AS ({insertion} RETURNING {is_new} AS {_KIND}) "
            f"SELECT count(*), count(*) FILTER (WHERE {_KIND}), count({_KIND}) FROM i"
        )
        rows = yield from send(workspace, batch, Statement(text, prepare=False, purpose="bulk"))
        total, inserted, told = rows.data[0]
        counted = Counted(total, inserted if told == total else None)
    _ = yield from execute(workspace, staged.drop())
    return counted


def _telling_each(staged: Staged, insertion: str, by: Sequence[Column[Any]], is_new: str) -> str:
    """Return the text whose rows have the ordinal of each model that was written, whether it is new, and its key."""
    keys = [quote(column.name or "") for column in staged.batch.mapper.primary_key]
    match = [quote(column.name or "") for column in by]
    back = ", ".join(f"t.{name}" for name in dict.fromkeys([*keys, *match]))
    same = " AND ".join(f"i.{name} = r.{name}" for name in match)
    return (
        f"WITH i AS ({insertion} RETURNING {back}, {is_new} AS {_KIND}) "
        f"SELECT r.{_ORDINAL}, i.{_KIND}, {', '.join(f'i.{key}' for key in keys)} "
        f"FROM i JOIN {staged.table} AS r ON {same} ORDER BY r.{_ORDINAL}"
    )


def _marked(workspace: Workspace, staged: Staged, conflict: OnConflict, rows: Rows, returning: bool) -> Steps[Counted]:
    """Put keys on the models whose rows were written; those that were left out stay as they were."""
    batch, mapper = staged.batch, staged.batch.mapper
    loads = [loader(column.type, rows.shape.oids[n]) for n, column in enumerate(mapper.primary_key, 2)]
    written: dict[Any, tuple[int, bool | None]] = {}
    for ordinal, new, *parts in rows.data:
        key = tuple([part if load is None else load(part) for load, part in zip(loads, parts, strict=True)])
        _ = written.setdefault(key, (ordinal - 1, new))  # of two models with one key, the first was written
    items = [batch.items[at] for at, _ in written.values()]
    if returning:
        for n, column in enumerate(mapper.primary_key):
            if column.key in batch.open:
                put(items, column.key or "", [key[n] for key in written])
    if returning and batch.of_objects:
        detach(mapper, items)
    updated = [key for key, (_, new) in written.items() if not new]
    keys = [key[0] for key in updated] if len(mapper.primary_key) == 1 else updated
    yield from read_again(workspace, mapper, conflict.written(workspace, batch), keys, ())
    kinds = [new for _, new in written.values()]
    return Counted(len(kinds), None if None in kinds else sum(map(bool, kinds)))
