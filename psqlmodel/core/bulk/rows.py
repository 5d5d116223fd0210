"""Rows: models by the column. Pure.

Models are looked at by the column, not one by one: nothing in Python is called for each row. That takes a quarter of
the time of a walk over the rows, and columns are what dumping, COPY's text and `unnest` want. Models of a chunk are
grouped by class and by the columns that they set; each group is a `Batch`. Nothing here sends anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from operator import attrgetter, itemgetter
from types import NoneType
from typing import TYPE_CHECKING, Any

from psqlmodel.core.loading.access import identity_key
from psqlmodel.core.unitofwork.collect import outgoing, take_all_keys
from psqlmodel.errors import InvalidValueError, MissingPrimaryKeyError, NotMappedError, ObjectStateError
from psqlmodel.gcpause import pause_for
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.model.naming import did_you_mean
from psqlmodel.model.state import DETACHED, PENDING, TRANSIENT, Instance, raw_name

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

Row = dict[str, Any]

_state_of = attrgetter("_state")


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

    @property
    def keeps_keys(self) -> bool:
        """Whether keys that the server makes can be put on what the rows came from: not on tuples."""
        return isinstance(self.items[0], Instance | Mapping)

    @property
    def of_objects(self) -> bool:
        """Whether the rows came from objects."""
        return isinstance(self.items[0], Instance)


class Form:
    """How the rows of a bulk call are given: the class of those that do not say it, and the columns of tuples.

    `verb` is what the call is named in messages. Raises `NotMappedError` for a class that is not mapped, `MappingError`
    for a column that is none, `InvalidValueError` for columns without a class, or one that is named twice.
    """

    __slots__ = ("columns", "mapper", "verb")

    def __init__(self, verb: str, model: type | None = None, columns: Any = None) -> None:
        self.verb = verb
        self.mapper = None if model is None else mapper_of(model)
        self.columns: tuple[str, ...] | None = None
        if columns is None:
            return
        if self.mapper is None:
            raise InvalidValueError(f"{verb}: columns= are of a class: say which one with model=")
        several = columns if isinstance(columns, list | tuple) else [columns]
        self.columns = tuple([str(self.mapper.column(each).key) for each in several])
        twice = [key for n, key in enumerate(self.columns) if key in self.columns[:n]]
        if twice or not self.columns:
            what = f"{self.mapper.name}.{twice[0]} twice" if twice else "nothing"
            raise InvalidValueError(f"{verb}: columns= names {what}")


class Group:
    """Models of one class, or mappings or tuples for it, of one chunk: where they stood, and their values; by attribute
    (`columns`) where all set the same.
    """

    __slots__ = ("_rows", "columns", "items", "mapper", "positions")

    def __init__(
        self,
        mapper: Mapper,
        items: Sequence[Any],
        positions: Sequence[int],
        rows: Sequence[Row] | None = None,
        columns: dict[str, list[Any]] | None = None,
    ) -> None:
        self.mapper = mapper
        self.items = items
        self.positions = positions
        self._rows = rows
        self.columns = columns if rows is None else _columns(rows)

    @property
    def rows(self) -> Sequence[Row]:
        """The values by row."""
        if self._rows is None:
            columns = self.columns or {}
            self._rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return self._rows

    @property
    def names(self) -> Set[str]:
        """The attributes that any of them sets."""
        return set().union(*self.rows) if self.columns is None else self.columns.keys()


Read = Callable[[Sequence[Any], Sequence[int], Form], list[Batch]]


def batches_of(chunk: list[Any], start: int, form: Form, read: Read) -> list[Batch]:
    """Return the batches of a chunk whose first model is the one at position `start`.

    Raises `NotMappedError`, `InvalidValueError`, `MissingPrimaryKeyError`, `ObjectStateError` with the position of what
    can be no row.
    """
    with pause_for(len(chunk)):
        return _grouped(chunk, start, form, read)


def _grouped(chunk: list[Any], start: int, form: Form, read: Read) -> list[Batch]:
    kinds = list(dict.fromkeys(map(type, chunk)))
    if len(kinds) == 1 or form.columns is not None:
        return read(chunk, range(start, start + len(chunk)), form)
    batches: list[Batch] = []
    for kind in kinds:
        found = [(item, position) for position, item in enumerate(chunk, start) if type(item) is kind]
        items, positions = zip(*found, strict=True)
        batches += read(items, positions, form)
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


def new_rows(items: Sequence[Any], positions: Sequence[int], form: Form) -> list[Batch]:
    """Read new rows: defaults are filled in, and objects that a session has are refused."""
    if form.columns is not None or isinstance(items[0], Mapping):
        return _same_columns(_with_defaults(_from_data(items, positions, form)))
    mapper = _mapper_of(items[0], positions[0])
    if set(map(_state_of, items)) != {TRANSIENT}:
        _refuse_known(items, positions, form.verb)
    return _same_columns(_from_objects(mapper, items, positions, mapper.mutable))


def changed_rows(items: Sequence[Any], positions: Sequence[int], form: Form) -> list[Batch]:
    """Read rows that are there: all have their keys."""
    if form.columns is not None or isinstance(items[0], Mapping):
        group = _from_data(items, positions, form)
    else:
        group = _from_objects(_mapper_of(items[0], positions[0]), items, positions, ())
    mapper = group.mapper
    if not mapper.primary_key:
        raise MissingPrimaryKeyError(f"{form.verb}: {mapper.name} has no primary key")
    batches = _same_columns(group)
    for batch in batches:
        if batch.open:
            where = f"models[{batch.positions[0]}]"
            raise MissingPrimaryKeyError(f"{form.verb}: {where} has no {mapper.name}.{batch.open[0]}")
    return batches


def refuse_twice(keys: Sequence[Any], positions: Sequence[int], verb: str) -> None:
    """Raise `InvalidValueError` where two rows have one key."""
    found: dict[Any, int] = {}
    for key, position in zip(keys, positions, strict=True):
        if found.setdefault(key, position) != position:
            raise InvalidValueError(f"{verb}: models[{found[key]}] and models[{position}] have the same key")


def dumped(workspace: Workspace, batch: Batch, columns: Sequence[Column[Any]]) -> list[list[Any]]:
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


def _some_none(values: Sequence[Any]) -> bool:
    return NoneType in set(map(type, values))


def _refuse_known(items: Sequence[Any], positions: Sequence[int], verb: str) -> None:
    """Refuse objects that a session has or is about to insert; detached ones are welcome."""
    for position, item in zip(positions, items, strict=True):
        state = item._state
        if state is not TRANSIENT and state.status != DETACHED:
            reason = "is waiting for a flush" if state.status == PENDING else "has a row already"
            raise ObjectStateError(f"{verb}: models[{position}] belongs to a session and {reason}")


def _from_data(items: Sequence[Any], positions: Sequence[int], form: Form) -> Group:
    """Take the values of tuples or dictionaries."""
    model = form.mapper
    if model is None:
        raise NotMappedError(f"models[{positions[0]}] is a dictionary: say which class it is of with model=")
    if form.columns is not None:
        return Group(model, items, positions, columns=_from_tuples(items, positions, form.columns))
    rows = items if type(items[0]) is dict else [dict(item) for item in items]
    group = Group(model, items, positions, rows)
    if not group.names <= model.attributes.keys():
        _refuse_unknown(group)
    return group


def _from_tuples(items: Sequence[Any], positions: Sequence[int], keys: tuple[str, ...]) -> dict[str, list[Any]]:
    kinds = set(map(type, items))
    if not all(issubclass(kind, Sequence) and not issubclass(kind, str | bytes) for kind in kinds):
        position, item = next((p, i) for p, i in zip(positions, items, strict=True) if not _is_tuple(i))
        raise InvalidValueError(f"models[{position}] is a {type(item).__name__}: with columns= each row is a tuple")
    if set(map(len, items)) != {len(keys)}:
        position, item = next((p, i) for p, i in zip(positions, items, strict=True) if len(i) != len(keys))
        raise InvalidValueError(
            f"models[{position}] has {len(item)} values, and columns= names {len(keys)} ({', '.join(keys)})"
        )
    return dict(zip(keys, map(list, zip(*items, strict=True)), strict=True))


def _is_tuple(item: Any) -> bool:
    return isinstance(item, Sequence) and not isinstance(item, str | bytes)


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
    if group.columns is None:
        rows = [row | {c.key or "": _default(c) for c in defaults if c.key not in row} for row in group.rows]
        return Group(group.mapper, group.items, group.positions, rows) if defaults else group
    lacking = [column for column in defaults if column.key not in group.columns]
    if not lacking:
        return group
    made = {column.key or "": [_default(column) for _ in group.items] for column in lacking}
    return Group(group.mapper, group.items, group.positions, columns=group.columns | made)


def _default(column: Column[Any]) -> Any:
    return column.default_factory() if column.default_factory else column.default


def _mapper_of(item: Any, position: int) -> Mapper:
    if isinstance(item, type):
        raise NotMappedError(f"models[{position}] is the class {item.__name__}, not an object of it")
    if isinstance(item, tuple | list):
        raise NotMappedError(f"models[{position}] is a {type(item).__name__}: say its class and columns= with it")
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


# --- keys -------------------------------------------------------------------------------------------------------------


def keys_to_delete(items: Sequence[Any], positions: Sequence[int], form: Form) -> list[Batch]:
    """Read objects with their keys, or primary keys of the class that the form names; each key once, sorted.

    Raises `MissingPrimaryKeyError` for what has no key, `ObjectStateError` for objects that wait for a flush.
    """
    if isinstance(items[0], Instance):
        mapper = _mapper_of(items[0], positions[0])
        keys = mapper.stored_keys_of(items) if mapper.primary_key else []
        _check_stored(mapper, items, keys, positions, form.verb)
    elif form.mapper is None:
        raise NotMappedError(f"models[{positions[0]}] is no object: say which class its key is of with model=")
    else:
        mapper = form.mapper
        keys = [_key(mapper, item, position) for item, position in zip(items, positions, strict=True)]
    return [_batch_of_keys(mapper, items, positions, keys)]


def _check_stored(
    mapper: Mapper, items: Sequence[Any], keys: Sequence[Any], positions: Sequence[int], verb: str
) -> None:
    if not mapper.primary_key:
        raise MissingPrimaryKeyError(f"{verb}: {mapper.name} has no primary key")
    for item, key, position in zip(items, keys, positions, strict=True):
        if item._state is not TRANSIENT and item._state.status == PENDING:
            raise ObjectStateError(f"{verb}: models[{position}] has no row yet: it is waiting for a flush")
        if key is None or (isinstance(key, tuple) and None in key):
            raise MissingPrimaryKeyError(f"{verb}: models[{position}] has no primary key value of {mapper.name}")


def _key(mapper: Mapper, item: Any, position: int) -> Any:
    try:
        return identity_key(mapper, item)
    except (MissingPrimaryKeyError, InvalidValueError) as error:
        raise type(error)(f"models[{position}]: {error}") from None


def _batch_of_keys(mapper: Mapper, items: Sequence[Any], positions: Sequence[int], keys: Sequence[Any]) -> Batch:
    first = {key: n for n, key in reversed([*enumerate(keys)])}
    try:
        picked = [first[key] for key in sorted(first)]
    except TypeError:
        picked = sorted(first.values())
    names = [column.key or "" for column in mapper.primary_key]
    parts = [keys[n] if len(names) > 1 else (keys[n],) for n in picked]
    columns = dict(zip(names, map(list, zip(*parts, strict=True)), strict=True))
    return Batch(mapper, [items[n] for n in picked], [positions[n] for n in picked], columns, ())
