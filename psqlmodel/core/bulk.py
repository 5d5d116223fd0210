"""Bulk work: many rows past the identity map and the tracking of changes, in the session's transaction.
Steps.

Rows are taken in chunks, so that an iterator of any length needs little memory, and grouped by the columns
that they set. New rows go by COPY; keys that the server makes are reserved before, one statement for a chunk,
so that a row knows its key without any order being promised. Changed rows go by one `UPDATE … FROM unnest`
for each set of columns. Nothing is read back but keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from operator import attrgetter, itemgetter, lt
from types import NoneType
from typing import TYPE_CHECKING, Any

from psqlmodel.core.transaction import execute, within
from psqlmodel.core.unitofwork import sql, versioning
from psqlmodel.core.unitofwork.blame import blame
from psqlmodel.core.unitofwork.collect import outgoing, take_all_keys
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.errors import (
    DatabaseError,
    InvalidValueError,
    MissingPrimaryKeyError,
    NotMappedError,
    ObjectStateError,
    StaleObjectError,
)
from psqlmodel.gcpause import pause_for
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.model.naming import did_you_mean
from psqlmodel.model.state import DETACHED, PENDING, TRANSIENT, raw_name, set_state
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Columns, Copy, Statement, Steps
from psqlmodel.types import loader

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

CHUNK = 10_000  # rows: a few MB at a time, and little to gain from more
UPDATE_CHUNK = (
    100_000  # rows, some ten MB: a statement may read the whole table; 0.75 of the time of 10,000 rows at once
)

_state_of = attrgetter("_state")


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
    for batch in _batches(models, model, _new_rows, CHUNK):
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
    for batch in _batches(models, model, _changed_rows, UPDATE_CHUNK):
        total += yield from _update(workspace, batch)
    return total


# --- from models to columns ---------------------------------------------------------------------------------
#
# Models are looked at by the column, not one by one: nothing in Python is called for each row. That takes a quarter
# of the time of a walk over the rows, and columns are what dumping, COPY's text and `unnest` want.

Row = dict[str, Any]


class Batch:
    """Rows of one class that set the same columns: the models they came from, their positions, their values by
    attribute.
    """

    __slots__ = ("columns", "items", "keys", "mapper", "open", "positions")

    def __init__(
        self,
        mapper: Mapper,
        items: Sequence[Any],
        positions: Sequence[int],
        columns: dict[str, list[Any]],
        open: tuple[str, ...],
    ) -> None:
        self.mapper = mapper
        self.items = items
        self.positions = positions
        self.columns = columns
        self.open = open  # key columns without a value
        attributes = mapper.attributes.items()
        self.keys = tuple([k for k, c in attributes if k in columns and k not in open and c.generated is None])


class Group:
    """Models of one class, or mappings, of one chunk: where they stood, and their values; by attribute (`columns`)
    where all set the same.
    """

    __slots__ = ("columns", "items", "mapper", "positions", "rows")

    def __init__(self, mapper: Mapper, items: Sequence[Any], positions: Sequence[int], rows: Sequence[Row]) -> None:
        self.mapper = mapper
        self.items = items
        self.positions = positions
        self.rows = rows
        self.columns = _columns(rows)

    @property
    def names(self) -> Set[str]:
        """The attributes that any of them sets."""
        return set().union(*self.rows) if self.columns is None else self.columns.keys()


Read = Callable[[Sequence[Any], Sequence[int], "Mapper | None"], list[Batch]]


def _batches(models: Any, model: type | None, read: Read, size: int) -> Iterator[Batch]:
    mapper = None if model is None else mapper_of(model)
    if isinstance(models, Mapping) or not isinstance(models, Iterable):
        raise NotMappedError(f"bulk work takes a list or an iterator of models, not {type(models).__name__}")
    rest = iter(models)
    start = 0
    while chunk := list(islice(rest, size)):
        with pause_for(len(chunk)):
            batches = _grouped(chunk, start, mapper, read)
        yield from batches
        start += len(chunk)


def _grouped(chunk: list[Any], start: int, model: Mapper | None, read: Read) -> list[Batch]:
    kinds = list(dict.fromkeys(map(type, chunk)))
    if len(kinds) == 1:
        return read(chunk, range(start, start + len(chunk)), model)
    batches: list[Batch] = []
    for kind in kinds:
        found = [(item, position) for position, item in enumerate(chunk, start) if type(item) is kind]
        items, positions = zip(*found, strict=True)
        batches += read(items, positions, model)
    return batches


def _same_columns(group: Group) -> list[Batch]:
    """Return the batches of a group: one, unless its rows set different columns."""
    columns = group.columns
    open_ = None if columns is None else _open(group.mapper, columns)
    if columns is not None and open_ is not None:
        return [Batch(group.mapper, group.items, group.positions, columns, open_)]
    key_names = [column.key or "" for column in group.mapper.primary_key]
    shapes: dict[Any, list[int]] = {}
    for n, row in enumerate(group.rows):
        shape = (frozenset(row), tuple([name for name in key_names if row.get(name) is None]))
        shapes.setdefault(shape, []).append(n)
    return [_batch_of(group, picked, open_) for (_, open_), picked in shapes.items()]


def _batch_of(group: Group, picked: list[int], open_: tuple[str, ...]) -> Batch:
    rows = [group.rows[n] for n in picked]
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    items, positions = [group.items[n] for n in picked], [group.positions[n] for n in picked]
    return Batch(group.mapper, items, positions, columns, open_)


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]] | None:
    """Return the values by attribute; None where rows differ in their attributes."""
    first = rows[0]
    if set(map(len, rows)) != {len(first)}:
        return None
    try:
        return {key: list(map(itemgetter(key), rows)) for key in first}
    except KeyError:
        return None


def _open(mapper: Mapper, columns: dict[str, list[Any]]) -> tuple[str, ...] | None:
    """Return the key columns that have no value in any row; None where only some rows lack one."""
    missing: list[str] = []
    for column in mapper.primary_key:
        key = column.key or ""
        values = columns.get(key)
        if values is None or set(map(type, values)) == {NoneType}:
            missing.append(key)
        elif _some_none(values):
            return None
    return tuple(missing)


def _new_rows(items: Sequence[Any], positions: Sequence[int], model: Mapper | None) -> list[Batch]:
    if isinstance(items[0], Mapping):
        return _same_columns(_with_defaults(_from_mappings(items, positions, model)))
    mapper = _mapper_of(items[0], positions[0])
    if set(map(_state_of, items)) != {TRANSIENT}:
        _refuse_known(items, positions)
    return _same_columns(_from_objects(mapper, items, positions, mapper.mutable))


def _changed_rows(items: Sequence[Any], positions: Sequence[int], model: Mapper | None) -> list[Batch]:
    if isinstance(items[0], Mapping):
        group = _from_mappings(items, positions, model)
    else:
        group = _from_objects(_mapper_of(items[0], positions[0]), items, positions, ())
    mapper = group.mapper
    if not mapper.primary_key:
        raise MissingPrimaryKeyError(f"bulk_update: {mapper.name} has no primary key")
    batches = _same_columns(group)
    for batch in batches:
        if batch.open:
            where = f"models[{batch.positions[0]}]"
            raise MissingPrimaryKeyError(f"bulk_update: {where} has no {mapper.name}.{batch.open[0]}")
    return batches


def _some_none(values: Sequence[Any]) -> bool:
    return NoneType in set(map(type, values))


def _refuse_known(items: Sequence[Any], positions: Sequence[int]) -> None:
    """Refuse objects that a session has or is about to insert; detached ones are welcome."""
    for position, item in zip(positions, items, strict=True):
        state = item._state
        if state is not TRANSIENT and state.status != DETACHED:
            reason = "is waiting for a flush" if state.status == PENDING else "has a row already"
            raise ObjectStateError(f"bulk_insert: models[{position}] belongs to a session and {reason}")


def _from_mappings(items: Sequence[Any], positions: Sequence[int], model: Mapper | None) -> Group:
    if model is None:
        raise NotMappedError(f"models[{positions[0]}] is a dictionary: say which class it is of with model=")
    rows = items if type(items[0]) is dict else [dict(item) for item in items]
    group = Group(model, items, positions, rows)
    if not group.names <= model.attributes.keys():
        _refuse_unknown(group)
    return group


def _refuse_unknown(group: Group) -> None:
    model = group.mapper
    for position, row in zip(group.positions, group.rows, strict=True):
        name = next((key for key in row if key not in model.attributes), None)
        if name is not None:
            hint = did_you_mean(str(name), model.attributes)
            raise InvalidValueError(f"models[{position}]: {model.name} has no column {name!r}{hint}")


def _with_defaults(group: Group) -> Group:
    """Give the rows the defaults that they lack: in new dictionaries, for these are the caller's."""
    defaults = group.mapper.defaults
    if group.columns is not None:
        defaults = tuple([column for column in defaults if column.key not in group.columns])
    if not defaults:
        return group
    rows = [row | {c.key or "": _default(c) for c in defaults if c.key not in row} for row in group.rows]
    return Group(group.mapper, group.items, group.positions, rows)


def _default(column: Column[Any]) -> Any:
    return column.default_factory() if column.default_factory else column.default


def _mapper_of(item: Any, position: int) -> Mapper:
    if isinstance(item, type):
        raise NotMappedError(f"models[{position}] is the class {item.__name__}, not an object of it")
    try:
        return mapper_of(item)
    except NotMappedError as error:
        raise NotMappedError(f"models[{position}]: {error}") from None


def _from_objects(mapper: Mapper, items: Sequence[Any], positions: Sequence[int], read: Iterable[str]) -> Group:
    """Take the values of objects. What was never read is raw: of that only `read` is decoded, for in an update it is
    unchanged.
    """
    group = Group(mapper, items, positions, [item.__dict__ for item in items])
    names = group.names
    if names <= mapper.attributes.keys():
        return group
    if not names.isdisjoint(mapper.relations):
        take_all_keys(items, outgoing(mapper))
    for key in read:
        if raw_name(key) in names:
            _ = [getattr(item, key) for item in items if raw_name(key) in item.__dict__]
    rows = [{key: own[key] for key in mapper.keys if key in own} for own in group.rows]
    return Group(mapper, items, positions, rows)


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
    request = Copy(mapper.qualified, names, types, Columns(values))
    yield from _send(workspace, batch, request)
    _now_detached(batch, [column.key or "" for column in columns])
    return len(batch.items)


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
    rows = yield from execute(workspace, Statement(text, [len(batch.items)], purpose="bulk"))
    arrays: list[list[Any]] = []
    for n, column in enumerate(columns):
        load = loader(column.type, rows.shape.oids[n])
        values = [row[n] if load is None else load(row[n]) for row in rows.data]
        _put(batch.items, column.key or "", values)
        arrays.append(workspace.catalog.type_of(column).dump_column(values))
    return columns, arrays


def _put(items: Sequence[Any], key: str, values: list[Any]) -> None:
    """Put a value on each object or dictionary; other mappings may be read only."""
    if isinstance(items[0], Mapping):
        for item, value in zip(items, values, strict=True):
            if isinstance(item, dict):
                item[key] = value
    else:
        for item, value in zip(items, values, strict=True):
            item.__dict__[key] = value


def _now_detached(batch: Batch, written: list[str]) -> None:
    keys = batch.mapper.primary_key
    if isinstance(batch.items[0], Mapping) or not keys or not all(column.key in written for column in keys):
        return
    detached = batch.mapper.detached
    for item in batch.items:
        if item._state is TRANSIENT:
            set_state(item, detached)


def _dumped(workspace: Workspace, batch: Batch, columns: list[Column[Any]]) -> list[list[Any]]:
    """Return the values of each column as transport values.

    Raises `InvalidValueError` that names the position of the row and the column.
    """
    arrays: list[list[Any]] = []
    for column in columns:
        type_ = workspace.catalog.type_of(column)
        key = column.key or ""
        values = batch.columns[key]
        try:
            arrays.append(type_.dump_column(values))
        except InvalidValueError as error:
            position = _first_unfit(type_, values, batch.positions)
            raise InvalidValueError(f"models[{position}]: {batch.mapper.name}.{key}: {error}") from None
    return arrays


def _first_unfit(type_: Any, values: list[Any], positions: Sequence[int]) -> int | str:
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
    if count != len(batch.items):
        yield from _report_lost(workspace, batch, sql.missing_rows(mapper.qualified, wanted), args[len(changed) :])
    return len(batch.items)


def _sort(batch: Batch) -> None:
    """Sort by key, so that two sessions lock the same rows in the same order; refuse a key that is there
    twice.
    """
    parts = [batch.columns[column.key or ""] for column in batch.mapper.primary_key]
    keys: list[Any] = parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))
    if _ascending(keys):
        return
    if len(set(keys)) != len(keys):
        _refuse_twice(keys, batch.positions)
    try:
        order = sorted(range(len(keys)), key=keys.__getitem__)
    except TypeError:
        return
    batch.items = [batch.items[n] for n in order]
    batch.positions = [batch.positions[n] for n in order]
    batch.columns = {key: [values[n] for n in order] for key, values in batch.columns.items()}


def _ascending(keys: list[Any]) -> bool:
    """Tell whether keys are sorted, and each there once: most are, and it is told in a fifth of the time."""
    try:
        return all(map(lt, keys, islice(keys, 1, None)))
    except TypeError:
        return False


def _refuse_twice(keys: list[Any], positions: Sequence[int]) -> None:
    found: dict[Any, int] = {}
    for key, position in zip(keys, positions, strict=True):
        if found.setdefault(key, position) != position:
            raise InvalidValueError(f"bulk_update: models[{found[key]}] and models[{position}] have the same key")


def _report_lost(workspace: Workspace, batch: Batch, text: str, keys: list[list[Any]]) -> Steps[None]:
    rows = yield from execute(workspace, Statement(text, keys, purpose="bulk"))
    lost = sorted([row[0] - 1 for row in rows.data], key=batch.positions.__getitem__)
    named = ", ".join(f"models[{batch.positions[n]}]" for n in lost[:5])
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    raise StaleObjectError(
        f"bulk_update: {len(lost)} of {len(batch.items)} keys match no row of {batch.mapper.qualified} "
        f"({named}{more}); roll back, or insert them",
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
