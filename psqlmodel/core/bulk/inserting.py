"""Inserting: new rows by COPY; where rows may be there already, by way of a temporary table. Steps.

Keys that the server makes are reserved before, one statement for a chunk, so that a row knows its key without any order
being promised. Nothing is read back but keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psqlmodel.core.bulk.conflicts import Counted, OnConflict
from psqlmodel.core.bulk.marking import detach, put
from psqlmodel.core.bulk.rows import Batch, Form, batches_of, dumped, new_rows
from psqlmodel.core.bulk.sending import send, whole
from psqlmodel.core.bulk.source import Callback, Source, tell
from psqlmodel.core.transaction import execute, within
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.errors import MissingPrimaryKeyError
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Columns, Copy, Statement, Steps
from psqlmodel.types import loader

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

CHUNK = 10_000  # rows: a few MB at a time, and little to gain from more


def bulk_insert(
    workspace: Workspace,
    models: Any,
    *,
    model: type | None = None,
    columns: Any = None,
    returning: bool = True,
    on_conflict: str | None = None,
    on: Any = None,
    progress: Callback | None = None,
) -> Steps[Counted]:
    """Insert objects, dictionaries or tuples (with `columns`) for the class `model`; return how many rows were written.

    Keys that the server makes are on the objects (and in the dictionaries) afterwards, unless `returning` is False;
    then the objects are detached: adding one to a session does not insert it again. Pending changes of the session are
    flushed first. Raises `InvalidValueError` and the server's errors with the position of the row, `ObjectStateError`
    for an object that a session is about to insert or has.
    """
    conflict = OnConflict.of("bulk_insert", on_conflict, on)
    form = Form("bulk_insert", model, columns)
    return (yield from _insert_all(workspace, Source(workspace, models, CHUNK), form, conflict, returning, progress))


def bulk_upsert(
    workspace: Workspace,
    models: Any,
    *,
    on: Any = None,
    update: Any = None,
    model: type | None = None,
    columns: Any = None,
    returning: bool = True,
    progress: Callback | None = None,
) -> Steps[Counted]:
    """Insert rows, or update those that have the same values in the columns `on`; return how many were written.

    `update` are the columns that are written where the row is there: by default all that are set, but for `on`, the
    primary key and the version. The rest is as with `bulk_insert`.
    """
    conflict = OnConflict("bulk_upsert", on, update)
    form = Form("bulk_upsert", model, columns)
    return (yield from _insert_all(workspace, Source(workspace, models, CHUNK), form, conflict, returning, progress))


def _insert_all(
    workspace: Workspace,
    source: Source,
    form: Form,
    conflict: OnConflict | None,
    returning: bool,
    progress: Callback | None,
) -> Steps[Counted]:
    if workspace.autoflush:
        yield from flush(workspace)
    steps = _chunks(workspace, source, form, conflict, returning, progress)
    return (yield from whole(workspace, form.verb, steps))


def _chunks(
    workspace: Workspace,
    source: Source,
    form: Form,
    conflict: OnConflict | None,
    returning: bool,
    progress: Callback | None,
) -> Steps[Counted]:
    counted, taken = Counted(0, 0), 0
    while chunk := (yield from source.take()):
        for batch in batches_of(chunk, taken, form, new_rows):
            wanted = returning and batch.keeps_keys
            counted = counted.plus((yield from _insert(workspace, form.verb, batch, conflict, wanted)))
        taken += len(chunk)
        yield from tell(progress, taken)
    return counted


def _insert(
    workspace: Workspace, verb: str, batch: Batch, conflict: OnConflict | None, returning: bool
) -> Steps[Counted]:
    mapper = batch.mapper
    if workspace.catalog.missing([mapper]):
        yield from within(workspace, workspace.catalog.ensure([mapper]))
    if conflict is not None:
        conflict.check(workspace, batch)
    given = [mapper.attributes[key] for key in batch.keys]
    values = dumped(workspace, batch, given)
    keys: dict[str, list[Any]] = {}
    if batch.open and (returning or not given):
        keys = yield from _reserve_keys(workspace, verb, batch)
    columns = [*(mapper.attributes[key] for key in keys), *given]
    made = [workspace.catalog.type_of(mapper.attributes[key]).dump_column(keys[key]) for key in keys]
    if conflict is not None:
        from psqlmodel.core.bulk.staging import Staged, write_staged  # brings hashlib: 5 ms

        staged = Staged(workspace, batch, columns, [*made, *values])
        return (yield from write_staged(workspace, staged, conflict, returning))
    types = [workspace.catalog.type_of(column).transport for column in columns]
    names = [quote(column.name or "") for column in columns]
    _ = yield from send(workspace, batch, Copy(mapper.qualified, names, types, Columns([*made, *values])))
    for key, reserved in keys.items():
        put(batch.items, key, reserved)
    if batch.of_objects and mapper.primary_key and len(keys) == len(batch.open):
        detach(mapper, batch.items)
    return Counted(len(batch.items), len(batch.items))


def _reserve_keys(workspace: Workspace, verb: str, batch: Batch) -> Steps[dict[str, list[Any]]]:
    """Ask the server for the keys that it makes; return them by attribute."""
    mapper = batch.mapper
    columns = [mapper.attributes[key] for key in batch.open]
    makers = workspace.catalog.makers(mapper)
    for column in columns:
        if column.name not in makers:
            raise MissingPrimaryKeyError(
                f"{verb}: models[{batch.positions[0]}] has no {mapper.name}.{column.key}, and the database has no "
                "default for it: set it, or pass returning=False if a trigger makes it"
            )
    made = ", ".join(makers[column.name or ""] for column in columns)
    text = f"SELECT {made} FROM generate_series(1, $1::int8)"  # noqa: S608 (the database's own defaults)
    rows = yield from execute(workspace, Statement(text, [len(batch.items)], purpose="bulk"))
    found: dict[str, list[Any]] = {}
    for n, column in enumerate(columns):
        load = loader(column.type, rows.shape.oids[n])
        found[column.key or ""] = [row[n] if load is None else load(row[n]) for row in rows.data]
    return found
