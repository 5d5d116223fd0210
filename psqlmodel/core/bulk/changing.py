"""Changing: many rows updated or deleted by key. Steps.

Changed rows go by one `UPDATE … FROM unnest` for each set of columns, rows to delete by their keys in arrays: a hundred
thousand at a time, sorted, so that two sessions lock the same rows in the same order. Nothing is read back, unless the
session has objects of these rows (see `marking`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from operator import lt
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from psqlmodel.core.bulk.marking import held, read_again
from psqlmodel.core.bulk.rows import Batch, Form, batches_of, changed_rows, dumped, keys_to_delete, refuse_twice
from psqlmodel.core.bulk.sending import send, whole
from psqlmodel.core.bulk.source import Callback, Source, tell
from psqlmodel.core.transaction import execute, within
from psqlmodel.core.unitofwork import deletion, routing, sql, versioning
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.core.unitofwork.sending import MANY
from psqlmodel.errors import InvalidValueError, StaleObjectError
from psqlmodel.steps import Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

# Rows, some ten MB: a statement may read the whole table; 0.75 of the time of 10,000 rows at once.
CHUNK = 100_000


def bulk_update(
    workspace: Workspace,
    models: Any,
    *,
    model: type | None = None,
    columns: Any = None,
    progress: Callback | None = None,
) -> Steps[int]:
    """Write all set columns of objects, or dictionaries or tuples (with `columns`) for `model`, to the rows of their
    keys; return their number.

    None is written as NULL. Pending changes of the session are flushed first. Raises `MissingPrimaryKeyError` for a
    row without key, `StaleObjectError` for keys that match no row, `InvalidValueError` for values that do not fit, and
    for a key that is there twice in 100,000 rows.
    """
    source, form = Source(workspace, models, CHUNK), Form("bulk_update", model, columns)
    if workspace.autoflush:
        yield from flush(workspace)
    return (yield from whole(workspace, "bulk_update", _update_all(workspace, source, form, progress)))


def bulk_delete(
    workspace: Workspace, models: Any, *, model: type | None = None, progress: Callback | None = None
) -> Steps[int]:
    """Delete the rows of objects, or of primary keys of `model`; return how many there were.

    A key is a value, or a tuple or dictionary for a composite one; one that matches no row is no error. The database's
    ON DELETE decides about rows that refer to them. Pending changes of the session are flushed first.
    """
    source, form = Source(workspace, models, CHUNK), Form("bulk_delete", model)
    if workspace.autoflush:
        yield from flush(workspace)
    return (yield from whole(workspace, "bulk_delete", _delete_all(workspace, source, form, progress)))


# --- changed rows -------------------------------------------------------------------------------------------


def _update_all(workspace: Workspace, source: Source, form: Form, progress: Callback | None) -> Steps[int]:
    taken = 0
    while chunk := (yield from source.take()):
        for batch in batches_of(chunk, taken, form, changed_rows):
            yield from _update(workspace, batch)
        taken += len(chunk)
        yield from tell(progress, taken)
    return taken


def _update(workspace: Workspace, batch: Batch) -> Steps[None]:
    mapper = batch.mapper
    if workspace.catalog.missing([mapper]):
        yield from within(workspace, workspace.catalog.ensure([mapper]))
    _sort(batch)
    keys = list(mapper.primary_key)
    computed = workspace.catalog.generated(mapper)
    attributes = [mapper.attributes[key] for key in batch.keys]
    plain = [column for column in attributes if not column.primary_key and not column.version]
    changed = [column for column in plain if column.name not in computed]
    if not changed:
        raise InvalidValueError(f"bulk_update: models[{batch.positions[0]}] sets no column besides its key")
    type_of = workspace.catalog.type_of
    sets = sql.named(changed, [type_of(column) for column in changed])
    wanted = sql.named(keys, [type_of(column) for column in keys])
    args = dumped(workspace, batch, [*changed, *keys])
    stored = args[len(changed) :]
    if mapper.distribution is None:
        text = sql.update_many(mapper.qualified, sets, wanted, [], versioning.bump(mapper))
    else:
        routed, values = routing.route(mapper, stored, type_of, len(args) + 1)
        text = routing.update_many(mapper, sets, wanted, [], versioning.bump(mapper), routed)
        args = [*args, *values]
    statement = Statement(text, args, fresh=len(batch.items) >= MANY, purpose="bulk")
    rows = yield from send(workspace, batch, statement)
    if rows.count != len(batch.items):
        yield from _report_lost(workspace, batch, wanted, stored)
    yield from read_again(workspace, mapper, changed, _keys(batch), batch.items)


def _keys(batch: Batch) -> Sequence[Any]:
    """Return the primary keys of a batch, as the identity map has them."""
    parts = [batch.columns[column.key or ""] for column in batch.mapper.primary_key]
    return parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))


def _sort(batch: Batch) -> None:
    """Sort by key, so that two sessions lock the same rows in the same order; refuse a key that is there twice."""
    keys = _keys(batch)
    if _ascending(keys):
        return
    if len(set(keys)) != len(keys):
        refuse_twice(keys, batch.positions, "bulk_update")
    try:
        order = sorted(range(len(keys)), key=keys.__getitem__)
    except TypeError:
        return
    batch.items = [batch.items[n] for n in order]
    batch.positions = [batch.positions[n] for n in order]
    batch.columns = {key: [values[n] for n in order] for key, values in batch.columns.items()}


def _ascending(keys: Sequence[Any]) -> bool:
    """Tell whether keys are sorted, and each there once: most are, and it is told in a fifth of the time."""
    try:
        return all(map(lt, keys, islice(keys, 1, None)))
    except TypeError:
        return False


def _report_lost(
    workspace: Workspace, batch: Batch, keys: list[sql.TypedColumn], arrays: list[list[Any]]
) -> Steps[None]:
    if batch.mapper.distribution is None:
        text = sql.missing_rows(batch.mapper.qualified, keys)
        rows = yield from execute(workspace, Statement(text, arrays, purpose="bulk"))
        missing = [row[0] for row in rows.data]
    else:
        missing = yield from routing.missing(workspace, batch.mapper, keys, arrays, "bulk")
    lost = sorted([n - 1 for n in missing], key=batch.positions.__getitem__)
    named = ", ".join(f"models[{batch.positions[n]}]" for n in lost[:5])
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    raise StaleObjectError(
        f"bulk_update: {len(lost)} of {len(batch.items)} keys match no row of {batch.mapper.qualified} "
        f"({named}{more}); roll back, or insert them",
        tuple(batch.items[n] for n in lost),
    )


# --- rows that go -------------------------------------------------------------------------------------------


def _delete_all(workspace: Workspace, source: Source, form: Form, progress: Callback | None) -> Steps[int]:
    deleted = taken = 0
    while chunk := (yield from source.take()):
        for batch in batches_of(chunk, taken, form, keys_to_delete):
            deleted += yield from _delete(workspace, batch)
        taken += len(chunk)
        yield from tell(progress, taken)
    return deleted


def _delete(workspace: Workspace, batch: Batch) -> Steps[int]:
    mapper = batch.mapper
    if workspace.catalog.missing([mapper]):
        yield from within(workspace, workspace.catalog.ensure([mapper]))
    columns = list(mapper.primary_key)
    named = sql.named(columns, [workspace.catalog.type_of(column) for column in columns])
    arrays = dumped(workspace, batch, columns)
    routed = ""
    if mapper.distribution is not None and len(columns) > 1:
        routed, values = routing.route(mapper, arrays, workspace.catalog.type_of, len(arrays) + 1)
        arrays = [*arrays, *values]
    text = sql.delete(mapper.qualified, named, routed=routed)
    statement = Statement(text, arrays, fresh=True, purpose="bulk")
    rows = yield from send(workspace, batch, statement)
    if workspace.identity.mappers():
        _follow(workspace, batch)
    return rows.count


def _follow(workspace: Workspace, batch: Batch) -> None:
    """Let loaded objects follow: those whose rows are gone, and those that ON DELETE took along with them."""
    mapper = batch.mapper
    objects = held(workspace, mapper, _keys(batch))
    known = set(mapper.stored_keys_of(objects))
    names = [column.key or "" for column in mapper.primary_key]
    rows = zip(_keys(batch), zip(*batch.columns.values(), strict=True), strict=True)
    others = [SimpleNamespace(**dict(zip(names, parts, strict=True))) for key, parts in rows if key not in known]
    if objects:
        deletion.now_deleted(workspace, mapper, objects)
    deletion.mark_cascaded(workspace, mapper, [*objects, *others])
