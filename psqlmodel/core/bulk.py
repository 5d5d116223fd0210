"""Bulk work: many rows past the identity map and the tracking of changes, in the session's transaction.
Steps.

Rows are taken in chunks, so that an iterator of any length needs little memory, and grouped by the columns
that they set. New rows go by COPY; keys that the server makes are reserved before, one statement for a chunk,
so that a row knows its key without any order being promised. Changed rows go by one `UPDATE … FROM unnest`
for each set of columns. Nothing is read back but keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from psqlmodel.core.transaction import execute, within
from psqlmodel.core.unitofwork import sql, versioning
from psqlmodel.core.unitofwork.blame import blame
from psqlmodel.core.unitofwork.collect import outgoing, take_keys
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.errors import (
    DatabaseError,
    InvalidValueError,
    MissingPrimaryKeyError,
    NotMappedError,
    ObjectStateError,
    StaleObjectError,
)
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.model.naming import did_you_mean
from psqlmodel.model.state import DETACHED, PENDING, TRANSIENT, raw_name, set_state
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Copy, Statement, Steps
from psqlmodel.types import loader

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

CHUNK = 10_000  # rows: a few MB at a time, and little to gain from more


def bulk_insert(
    workspace: Workspace, models: Iterable[Any], *, model: type | None = None, returning: bool = True
) -> Steps[int]:
    """Insert objects, or dictionaries by attribute name for the class `model`; return their number.

    Keys that the server makes are on the objects (and in the dictionaries) afterwards, unless `returning` is
    False; then the objects are detached: adding one to a session does not insert it again. Pending changes of
    the session are flushed first. Raises `InvalidValueError` and the server's errors with the position of the
    row, `ObjectStateError` for an object that a session is about to insert or has.
    """
    if workspace.autoflush:
        yield from flush(workspace)
    total = 0
    for batch in _batches(models, model, _new_row):
        total += yield from _insert(workspace, batch, returning)
    return total


def bulk_update(workspace: Workspace, models: Iterable[Any], *, model: type | None = None) -> Steps[int]:
    """Write all set columns of objects, or dictionaries of `model`, to the rows of their keys; return their
    number.

    None is written as NULL. Pending changes of the session are flushed first. Raises `MissingPrimaryKeyError`
    for a row without key, `StaleObjectError` for keys that match no row, `InvalidValueError` for values that
    do not fit.
    """
    if workspace.autoflush:
        yield from flush(workspace)
    total = 0
    for batch in _batches(models, model, _changed_row):
        total += yield from _update(workspace, batch)
    return total


# --- from models to rows ------------------------------------------------------------------------------------


class Batch:
    """Rows of one class that set the same columns: the models they came from, their values, their
    positions.
    """

    __slots__ = ("items", "keys", "mapper", "open", "positions", "rows")

    def __init__(self, mapper: Mapper, keys: tuple[str, ...], open: tuple[str, ...]) -> None:
        self.mapper = mapper
        self.keys = keys
        self.open = open  # key columns without a value
        self.items: list[Any] = []
        self.rows: list[dict[str, Any]] = []
        self.positions: list[int] = []


def _batches(models: Any, model: type | None, row_of: Any) -> Iterator[Batch]:
    mapper = None if model is None else mapper_of(model)
    if isinstance(models, Mapping) or not isinstance(models, Iterable):
        raise NotMappedError(f"bulk work takes a list or an iterator of models, not {type(models).__name__}")
    rest = iter(models)
    start = 0
    while chunk := list(islice(rest, CHUNK)):
        yield from _grouped(chunk, start, mapper, row_of)
        start += len(chunk)


def _grouped(chunk: list[Any], start: int, model: Mapper | None, row_of: Any) -> Iterator[Batch]:
    groups: dict[Any, Batch] = {}
    for position, item in enumerate(chunk, start):
        mapper, row = row_of(item, model, position)
        open_ = tuple([c.key for c in mapper.primary_key if row.get(c.key) is None])
        shape = (mapper, tuple(row), open_)
        batch = groups.get(shape)
        if batch is None:
            batch = groups[shape] = Batch(mapper, _columns_set(mapper, row, open_), open_)
        batch.items.append(item)
        batch.rows.append(row)
        batch.positions.append(position)
    yield from groups.values()


def _columns_set(mapper: Mapper, row: dict[str, Any], open_: tuple[str, ...]) -> tuple[str, ...]:
    attributes = mapper.attributes.items()
    return tuple([k for k, c in attributes if k in row and k not in open_ and c.generated is None])


def _new_row(item: Any, model: Mapper | None, position: int) -> tuple[Mapper, dict[str, Any]]:
    if isinstance(item, Mapping):
        mapper, row = _from_mapping(item, model, position)
        for column in mapper.defaults:
            if column.key not in row:
                row[column.key or ""] = column.default_factory() if column.default_factory else column.default
        return mapper, row
    mapper = _mapper_of(item, position)
    state = item._state
    if state is not TRANSIENT and state.status != DETACHED:
        reason = "is waiting for a flush" if state.status == PENDING else "has a row already"
        raise ObjectStateError(f"bulk_insert: models[{position}] belongs to a session and {reason}")
    return mapper, _set_values(mapper, item, keep_raw=True)


def _changed_row(item: Any, model: Mapper | None, position: int) -> tuple[Mapper, dict[str, Any]]:
    if isinstance(item, Mapping):
        mapper, row = _from_mapping(item, model, position)
    else:
        mapper = _mapper_of(item, position)
        row = _set_values(mapper, item, keep_raw=False)
    for column in mapper.primary_key:
        if row.get(column.key or "") is None:
            raise MissingPrimaryKeyError(f"bulk_update: models[{position}] has no {mapper.name}.{column.key}")
    if not mapper.primary_key:
        raise MissingPrimaryKeyError(f"bulk_update: {mapper.name} has no primary key")
    return mapper, row


def _from_mapping(item: Mapping[str, Any], model: Mapper | None, position: int) -> tuple[Mapper, dict[str, Any]]:
    if model is None:
        raise NotMappedError(f"models[{position}] is a dictionary: say which class it is of with model=")
    if not item.keys() <= model.attributes.keys():
        name = next(key for key in item if key not in model.attributes)
        hint = did_you_mean(str(name), model.attributes)
        raise InvalidValueError(f"models[{position}]: {model.name} has no column {name!r}{hint}")
    return model, dict(item)


def _mapper_of(item: Any, position: int) -> Mapper:
    if isinstance(item, type):
        raise NotMappedError(f"models[{position}] is the class {item.__name__}, not an object of it")
    try:
        return mapper_of(item)
    except NotMappedError as error:
        raise NotMappedError(f"models[{position}]: {error}") from None


def _set_values(mapper: Mapper, item: Any, *, keep_raw: bool) -> dict[str, Any]:
    """Return the values of an object by attribute; one that was never read (raw) is unchanged, so no update
    needs it.
    """
    own: dict[str, Any] = item.__dict__
    if own.keys() <= mapper.attributes.keys():
        return own
    if any(key in own for key in mapper.relations):
        take_keys(item, outgoing(mapper))
    if keep_raw:
        for key in mapper.mutable:
            if raw_name(key) in own:
                _ = getattr(item, key)
    return {key: own[key] for key in mapper.keys if key in own}


# --- new rows -----------------------------------------------------------------------------------------------


def _insert(workspace: Workspace, batch: Batch, returning: bool) -> Steps[int]:
    mapper = batch.mapper
    if workspace.catalog.missing([mapper]):
        yield from within(workspace, workspace.catalog.ensure([mapper]))
    given = [mapper.attributes[key] for key in batch.keys]
    values = _dumped(workspace, batch, given)
    columns = given
    if batch.open and (returning or not given):
        made, keys = yield from _reserve_keys(workspace, batch)
        columns, values = [*made, *given], [*keys, *values]
    types = [workspace.catalog.type_of(column).transport for column in columns]
    names = [quote(column.name or "") for column in columns]
    request = Copy(mapper.qualified, names, types, zip(*values, strict=True))
    yield from _send(workspace, batch, request)
    _now_detached(batch, [column.key or "" for column in columns])
    return len(batch.rows)


def _reserve_keys(workspace: Workspace, batch: Batch) -> Steps[tuple[list[Column[Any]], list[list[Any]]]]:
    """Ask the server for the keys that it makes, and put them on the models; return them as they are sent
    back.
    """
    mapper = batch.mapper
    columns = [mapper.attributes[key] for key in batch.open]
    makers = workspace.catalog.makers(mapper)
    for column in columns:
        if column.name not in makers:
            raise MissingPrimaryKeyError(
                f"bulk_insert: models[{batch.positions[0]}] has no {mapper.name}.{column.key}, and the database has no "
                "default for it: set it, or pass returning=False if a trigger makes it"
            )
    made = ", ".join(makers[column.name or ""] for column in columns)
    text = f"SELECT {made} FROM generate_series(1, $1::int8)"  # noqa: S608 (the database's own defaults)
    rows = yield from execute(workspace, Statement(text, [len(batch.rows)], purpose="bulk"))
    arrays: list[list[Any]] = []
    for n, column in enumerate(columns):
        load = loader(column.type, rows.shape.oids[n])
        values = [row[n] if load is None else load(row[n]) for row in rows.data]
        for item, value in zip(batch.items, values, strict=True):
            if isinstance(item, Mapping):
                if isinstance(item, dict):
                    item[column.key] = value
            else:
                item.__dict__[column.key or ""] = value
        arrays.append(workspace.catalog.type_of(column).dump_column(values))
    return columns, arrays


def _now_detached(batch: Batch, written: list[str]) -> None:
    if not batch.mapper.primary_key or not all(c.key in written for c in batch.mapper.primary_key):
        return
    detached = batch.mapper.detached
    for item in batch.items:
        if not isinstance(item, Mapping) and item._state is TRANSIENT:
            set_state(item, detached)


def _dumped(workspace: Workspace, batch: Batch, columns: list[Column[Any]]) -> list[list[Any]]:
    """Return the values of each column as transport values.

    Raises `InvalidValueError` that names the position of the row and the column.
    """
    arrays: list[list[Any]] = []
    for column in columns:
        type_ = workspace.catalog.type_of(column)
        key = column.key or ""
        values = [row[key] for row in batch.rows]
        try:
            arrays.append(type_.dump_column(values))
        except InvalidValueError as error:
            position = _first_unfit(type_, values, batch.positions)
            raise InvalidValueError(f"models[{position}]: {batch.mapper.name}.{key}: {error}") from None
    return arrays


def _first_unfit(type_: Any, values: list[Any], positions: list[int]) -> int | str:
    for position, value in zip(positions, values, strict=True):
        try:
            type_.dump_column([value])
        except InvalidValueError:
            return position
    return "?"


# --- changed rows -------------------------------------------------------------------------------------------


def _update(workspace: Workspace, batch: Batch) -> Steps[int]:
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
    text = sql.update_many(mapper.qualified, sets, wanted, [], versioning.bump(mapper))
    args = _dumped(workspace, batch, [*changed, *keys])
    count = yield from _send(workspace, batch, Statement(text, args, purpose="bulk"))
    if count != len(batch.rows):
        yield from _report_lost(workspace, batch, sql.missing_rows(mapper.qualified, wanted), args[len(changed) :])
    return len(batch.rows)


def _sort(batch: Batch) -> None:
    """Sort by key, so that two sessions lock the same rows in the same order; refuse a key that is there
    twice.
    """
    names = [column.key or "" for column in batch.mapper.primary_key]
    found: dict[Any, int] = {}
    keys = [tuple([row[name] for name in names]) for row in batch.rows]
    for key, position in zip(keys, batch.positions, strict=True):
        if found.setdefault(key, position) != position:
            raise InvalidValueError(f"bulk_update: models[{found[key]}] and models[{position}] have the same key")
    try:
        order = sorted(range(len(keys)), key=keys.__getitem__)
    except TypeError:
        return
    batch.items = [batch.items[n] for n in order]
    batch.rows = [batch.rows[n] for n in order]
    batch.positions = [batch.positions[n] for n in order]


def _report_lost(workspace: Workspace, batch: Batch, text: str, keys: list[list[Any]]) -> Steps[None]:
    rows = yield from execute(workspace, Statement(text, keys, purpose="bulk"))
    lost = sorted([row[0] - 1 for row in rows.data], key=batch.positions.__getitem__)
    named = ", ".join(f"models[{batch.positions[n]}]" for n in lost[:5])
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    raise StaleObjectError(
        f"bulk_update: {len(lost)} of {len(batch.rows)} keys match no row of {batch.mapper.qualified} ({named}{more}); "
        "roll back, or insert them",
        tuple(batch.items[n] for n in lost),
    )


# --- sending ------------------------------------------------------------------------------------------------


def _send(workspace: Workspace, batch: Batch, request: Statement | Copy) -> Steps[int]:
    """Send a request that writes; an error of the server is told which model it is about, and its
    position.
    """
    try:
        rows = yield from execute(workspace, request)
    except DatabaseError as error:
        _locate(error, batch)
        raise
    workspace.transaction.worked = True
    return rows.count


def _locate(error: DatabaseError, batch: Batch) -> None:
    blame(error, batch.mapper, [item for item in batch.items if not isinstance(item, Mapping)])
    position: int | None = None
    line = _copy_line(error)
    if line is not None and line <= len(batch.items):
        position = batch.positions[line - 1]
        error.object = batch.items[line - 1]
    else:
        pairs = zip(batch.positions, batch.items, strict=True)
        position = next((position for position, item in pairs if item is error.object), None)
    if position is not None:
        error.args = (f"models[{position}]: {error.args[0]}", *error.args[1:])


def _copy_line(error: DatabaseError) -> int | None:
    """Return the row of a COPY that the server stopped at: it says so in the error's context, on both
    drivers.
    """
    cause = error.__cause__
    context = getattr(getattr(cause, "diag", cause), "context", None)
    found = re.search(r"^COPY .*, line (\d+)", context or "", re.MULTILINE)
    return int(found.group(1)) if found else None
