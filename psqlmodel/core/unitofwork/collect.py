"""Collect: from the books of the unit of work to the rows of a flush. Pure: it decides, and sends nothing.

Values are dumped here, so that what does not fit its column is refused before anything is sent.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from psqlmodel.core.unitofwork.undo import AsTheyWere
from psqlmodel.errors import InvalidValueError, MissingPrimaryKeyError, ObjectStateError
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.relations import RelationInfo
from psqlmodel.model.state import PENDING, TRANSIENT, UNSET, Deleted, Pending, Raw, raw_name
from psqlmodel.types import PgType
from psqlmodel.types.jsons import still_say

if TYPE_CHECKING:
    from psqlmodel.core.unitofwork.unit import UnitOfWork


Arrays: TypeAlias = dict[str, list[Any]]  # of columns: their transport values
Texts: TypeAlias = dict[tuple[Mapper, str], list[tuple[list[Any], list[Any]]]]  # by column: objects, their texts


class Changes:
    """What one flush writes.

    `new` and `deleted` objects by mapper; `changed` by mapper and the columns that changed; `linked` and `unlinked`
    pairs of objects by many-to-many relation (each pair once, whichever side it was made on).
    """

    def __init__(self) -> None:
        self.new: dict[Mapper, list[Any]] = {}
        self.changed: dict[Mapper, dict[tuple[str, ...], list[Any]]] = {}
        self.deleted: dict[Mapper, list[Any]] = {}
        self.linked: dict[Link, None] = {}
        self.unlinked: dict[Link, None] = {}
        self.waiting: set[int] = set()  # ids of new objects whose row is not made yet
        self.texts: Texts = {}  # of values that were written and can be edited in place
        self.arrays: dict[Mapper, tuple[list[Any], Arrays]] = {}  # of new objects: them, and their columns
        self.late: dict[tuple[Mapper, tuple[str, ...]], list[Any]] = {}  # keys that a circle of rows leaves open

    @property
    def written(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.new or self.changed or self.deleted or self.linked or self.unlinked)

    @property
    def mappers(self) -> frozenset[Mapper]:
        """All mappers with something to write."""
        return frozenset((*self.new, *self.changed, *self.deleted))


class Link:
    """A row of a link table: two objects and the relation seen from the first; equal from either side."""

    __slots__ = ("identity", "ours", "relation", "theirs")

    def __init__(self, relation: RelationInfo, ours: Any, theirs: Any) -> None:
        self.relation = relation
        self.ours = ours
        self.theirs = theirs
        _, near, far = relation.secondary
        one = (tuple(c.name for c in near), id(ours))
        other = (tuple(c.name for c in far), id(theirs))
        self.identity = (relation.link_table, *sorted((one, other)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Link) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)


def collect(unit: UnitOfWork) -> Changes:
    """Return what a flush has to write.

    Raises `MissingPrimaryKeyError` for a key that was set to None, and for a change to a row without a key.
    """
    changes = Changes()
    if unit.new:
        changes.new = by_mapper(unit.new.values())
        changes.waiting = set(unit.new)
    _collect_changed(changes, unit.tracked.values())
    for mapper, objects in (*changes.new.items(), *by_mapper(unit.tracked.values()).items()):
        if mapper.link_tables:
            _collect_links(changes, mapper, objects)
    if unit.deleted:
        changes.deleted = _deleted(unit.deleted.values())
    return changes


def _deleted(objects: Iterable[Any]) -> dict[Mapper, list[Any]]:
    """Group deleted objects by their mapper: `AsTheyWere` where no object has modifications."""
    objects = list(objects)
    states: set[Any] = {obj._state for obj in objects}
    if set(map(type, states)) != {Deleted}:
        return by_mapper(objects)
    mappers = {state.mapper for state in states}
    if len(mappers) == 1:
        return {mapper: AsTheyWere(objects) for mapper in mappers}
    return {mapper: AsTheyWere(held) for mapper, held in by_mapper(objects).items()}


def _collect_changed(changes: Changes, objects: Iterable[Any]) -> None:
    """Group changed objects by what changed.

    Objects of which one column changed whose values are compared as they are, which is almost all where there are many,
    are looked at here: a quarter of the time of `changed_columns`.
    """
    plain: dict[type, dict[str, list[Any] | None]] = {}
    edited: Edited = {}
    for obj in objects:
        original, cls = obj._state.original, type(obj)
        groups: dict[str, list[Any] | None] | None = plain.get(cls)
        if groups is None:
            plain[cls] = groups = dict.fromkeys(plain_keys(cls.__mapper__))
        key = next(iter(original)) if len(original) == 1 else ""
        if key not in groups or key not in obj.__dict__:
            if key in cls.__mapper__.mutable:
                edited.setdefault((cls.__mapper__, key), []).append(obj)
                continue
            changed = changed_columns(obj)
            if changed:
                _group(changes, obj, changed).append(obj)
            continue
        old, new = original[key], obj.__dict__[key]
        if old is not new and (type(old) is not type(new) or old != new):
            group = groups[key]
            if group is None:
                group = groups[key] = _group(changes, obj, (key,))
            group.append(obj)
    for obj, changed in _changed_in_place(edited):
        _group(changes, obj, changed).append(obj)


Edited: TypeAlias = dict[tuple[Mapper, str], list[Any]]  # objects that have only handed out a value of one column


def changed_objects(objects: Iterable[Any]) -> list[Any]:
    """Return the persistent objects of which a column differs from the database."""
    edited: Edited = {}
    found: list[Any] = []
    for obj in objects:
        original, mapper = obj._state.original, type(obj).__mapper__
        key = next(iter(original)) if len(original) == 1 else ""
        if key in mapper.mutable:
            edited.setdefault((mapper, key), []).append(obj)
        elif changed_columns(obj):
            found.append(obj)
    return found + [obj for obj, _ in _changed_in_place(edited)]


def _changed_in_place(edited: Edited) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Give the objects whose handed out value was edited; those of JSON that nobody has edited are told together."""
    for (mapper, key), objects in edited.items():
        if mapper.attributes[key].pg_type.lazy and len(objects) > 1:
            values = [obj.__dict__.get(key) for obj in objects]
            # Where NULL was, or what nobody has loaded, there is no text: then they do not say the same.
            texts: list[Any] = [getattr(obj._state.original[key], "wire", None) for obj in objects]
            if still_say(values, texts):
                continue
        for obj in objects:
            changed = changed_columns(obj)
            if changed:
                yield obj, changed


def _group(changes: Changes, obj: Any, changed: tuple[str, ...]) -> list[Any]:
    mapper = with_key(type(obj).__mapper__)
    return changes.changed.setdefault(mapper, {}).setdefault(changed, [])


def plain_keys(mapper: Mapper) -> list[str]:
    """Return the columns of which a change says nothing about others, and whose values are equal where they look so."""
    found: list[str] | None = mapper.loaders.get(plain_keys)
    if found is None:
        columns = () if mapper.version is not None else mapper.columns
        found = [str(c.key) for c in columns if not c.primary_key and c.key not in mapper.mutable]
        mapper.loaders[plain_keys] = found
    return found


def by_mapper(objects: Iterable[Any]) -> dict[Mapper, list[Any]]:
    """Group objects by their mapper, in the order in which they come."""
    objects = list(objects)
    classes: set[Any] = set(map(type, objects))
    if len(classes) == 1:  # nothing is looked at one by one
        return {cls.__mapper__: objects for cls in classes}
    found: dict[type[Any], list[Any]] = {}
    for obj in objects:
        cls = type(obj)
        if cls in found:
            found[cls].append(obj)
        else:
            found[cls] = [obj]
    return {cls.__mapper__: held for cls, held in found.items()}


def with_key(mapper: Mapper) -> Mapper:
    """Return a mapper with a primary key; raises `MissingPrimaryKeyError` for one without."""
    if not mapper.primary_key:
        raise MissingPrimaryKeyError(
            f"{mapper.name} has no primary key, so nothing says which row to change or delete: declare one with "
            f"Column(primary_key=True), or use Update({mapper.name}) and Delete({mapper.name})"
        )
    return mapper


def changed_columns(obj: Any) -> tuple[str, ...]:
    """Return the keys of the columns of a persistent object that differ from the database, in model order."""
    mapper = type(obj).__mapper__
    values, attributes = obj.__dict__, mapper.attributes
    changed: set[str] = set()
    for key, old in obj._state.original.items():
        column = attributes.get(key)
        if column is None:
            changed.update(_keys_to_come(obj, mapper, key))
        elif key in values and old is not values[key] and not _same(old, values[key], column.type):
            changed.add(key)
    if not changed:
        return ()
    for column in mapper.primary_key:
        if column.key in changed and values[column.key] is None:
            raise MissingPrimaryKeyError(f"{mapper.name}.{column.key} is part of the primary key and can't be None")
    if mapper.version is not None:
        changed.add(mapper.version.key)
    return tuple(changed) if len(changed) == 1 else tuple([key for key in mapper.keys if key in changed])


def _keys_to_come(obj: Any, mapper: Mapper, key: str) -> Iterable[str]:
    """Return the columns of a to-one relation if it points at an object whose key is not known yet."""
    relation = _to_one(mapper, key)
    return relation.local_keys if relation is not None and is_pending(obj.__dict__.get(key)) else ()


def _to_one(mapper: Mapper, key: str) -> RelationInfo | None:
    relation = mapper.relations.get(key) or mapper.hidden.get(key)
    return relation if relation is not None and not relation.many and relation.outgoing else None


def _same(old: Any, new: Any, type_: PgType[Any]) -> bool:
    """Tell whether the database has this value already."""
    if isinstance(old, Raw):
        if type_.mutable and _has_dump(new, type_, old.wire):
            return True
        loaded = old.wire if type_.load is None else type_.load(old.wire)
        return bool(loaded == new) and (not type_.mutable or new is None or _dumps_alike(type_, loaded, new))
    if old is UNSET:
        return False
    return old is new or (type(old) is type(new) and bool(old == new))


def _has_dump(value: Any, type_: PgType[Any], wire: Any) -> bool:
    """Tell whether a value still is what was written or read, without decoding that: half of the cost of asking."""
    try:
        return value is not None and bool(type_.dump(value) == wire)
    except InvalidValueError:
        return False


def _dumps_alike(type_: PgType[Any], old: Any, new: Any) -> bool:
    """Tell whether equal values are the same to the database, too: `1` and `True` are not."""
    try:
        return bool(type_.dump(old) == type_.dump(new))
    except InvalidValueError:  # the column holds more than the model's annotation says
        return repr(old) == repr(new)


def remembered(type_: PgType[Any], value: Any) -> Raw:
    """Return what a value that can be edited in place is compared with later."""
    try:
        return Raw(type_.dump(value))
    except InvalidValueError:  # the column holds more than the model's annotation says: such elements are as they are
        return Raw(copy.deepcopy(value))


def is_pending(value: Any) -> bool:
    """Tell whether a related object waits for its row, and so for its key."""
    return value is not None and value is not UNSET and value._state.status == PENDING


def _collect_links(changes: Changes, mapper: Mapper, objects: list[Any]) -> None:
    """Find the many-to-many lists of `objects` that changed."""
    for relation in mapper.relations.values():
        if relation.declared.secondary is not None:
            for obj in objects:
                if relation.key in obj.__dict__:
                    _collect_link(changes, relation, obj)


def _collect_link(changes: Changes, relation: RelationInfo, obj: Any) -> None:
    state = obj._state
    if state.status == PENDING:
        before: list[Any] = []
    elif isinstance(state.original.get(relation.key), Raw):
        before = state.original[relation.key].wire
    else:
        return
    after = obj.__dict__[relation.key]
    known, wanted = {id(item) for item in before}, {id(item) for item in after}
    for item in after:
        if id(item) not in known:
            changes.linked[Link(relation, obj, item)] = None
    for item in before:
        if id(item) not in wanted:
            changes.unlinked[Link(relation, obj, item)] = None


# --- the links of new and changed objects ---------------------------------------------------------------------------


def outgoing(mapper: Mapper) -> list[RelationInfo]:
    """Return the relations whose foreign key the class holds: those that need the key of another row."""
    relations = mapper.all_relations()
    known = mapper.loaders.get(outgoing)
    if known is None or known[0] is not relations:  # another class has given this one a relation
        found = [r for r in relations if r.declared.secondary is None and r.outgoing]
        known = mapper.loaders[outgoing] = (relations, found)
    kept: list[RelationInfo] = known[1]
    return kept


def take_keys(obj: Any, relations: Iterable[RelationInfo]) -> None:
    """Copy the keys of related objects, as far as they have got them, into the foreign keys of `obj`.

    Raises `ObjectStateError` for a related object that no session knows.
    """
    take_all_keys((obj,), relations)


def take_all_keys(objects: Iterable[Any], relations: Iterable[RelationInfo]) -> None:
    """Do what `take_keys` does for each of several objects of one class."""
    for relation in relations:
        name = relation.key
        pairs = [(ours.key, theirs.key) for ours, theirs in zip(relation.local, relation.remote, strict=True)]
        former, keys = None, []  # children come parent by parent, mostly
        for obj in objects:
            values = obj.__dict__
            parent = values.get(name)
            if parent is None:
                continue
            if parent is not former:
                if parent._state is TRANSIENT:
                    raise ObjectStateError(
                        f"{relation!r} points at a {relation.target.name} that is in no session: add it, or set the "
                        "relation to None"
                    )
                former, keys = parent, [(ours, parent.__dict__.get(theirs)) for ours, theirs in pairs]
            for ours, key in keys:
                if key is not None and values.get(ours) != key:
                    if type(obj._state) is not Pending:  # of which nothing is remembered
                        _ = obj._state.before_change(obj, ours, values.get(ours, UNSET))
                    values[ours] = key


def waits_for(obj: Any, relations: Iterable[RelationInfo], waiting: set[int]) -> list[RelationInfo]:
    """Return the relations of `obj` that point at a new object whose row is not made yet."""
    values = obj.__dict__
    return [r for r in relations if id(values.get(r.key)) in waiting and values[r.key] is not obj]


def validate(changes: Changes, type_of: Callable[[Any], PgType[Any]]) -> None:
    """Refuse values that do not fit their columns before the first of several statements is sent.

    One statement alone refuses them by itself: its values are dumped before it is sent. Raises `InvalidValueError`.
    """
    groups = [(mapper, mapper.keys, objects) for mapper, objects in changes.new.items()]
    groups += [(m, keys, objects) for m, by_keys in changes.changed.items() for keys, objects in by_keys.items()]
    if len(groups) < 2:
        return
    for mapper, keys, objects in groups:
        held = [obj.__dict__ for obj in objects]
        new = changes.new.get(mapper) is objects
        arrays: Arrays = {}
        if new:
            changes.arrays[mapper] = objects, arrays
        for key in keys:
            column = mapper.attributes[key]
            try:
                values, complete = list(map(itemgetter(key), held)), new
            except KeyError:
                values, complete = [each.get(key) for each in held], False
            array = dumped_column(mapper, column, type_of(column), values)
            if complete and not column.primary_key and key not in mapper.links_of_column:  # keys may come meanwhile
                arrays[key] = array


def arrays_of(
    changes: Changes, mapper: Mapper, columns: Sequence[Column[Any]], types: Sequence[PgType[Any]], objects: list[Any]
) -> list[list[Any]]:
    """Return columns of new objects as transport values.

    They are those of `validate`, where it has seen the same objects: to dump the columns of a graph only once is a
    tenth of its time.
    """
    seen, arrays = changes.arrays.get(mapper, ((), {}))
    if len(seen) != len(objects) or not all(map(is_, seen, objects)):
        arrays = {}
    left = [(column, type_) for column, type_ in zip(columns, types, strict=True) if column.key not in arrays]
    values = values_of(objects, [column for column, _ in left])
    dumped = [dumped_column(mapper, *typed, held) for typed, held in zip(left, values, strict=True)]
    arrays = arrays | dict(zip([str(column.key) for column, _ in left], dumped, strict=True))
    return [arrays[str(column.key)] for column in columns]


# --- from objects to columns of wire values -------------------------------------------------------------------------


def row_keys(obj: Any, mapper: Mapper) -> tuple[str, ...]:
    """Return the columns that an INSERT of `obj` writes: those that were set."""
    values = obj.__dict__
    set_by_now = [
        key
        for key, column in mapper.attributes.items()
        if (key in values or raw_name(key) in values)
        and column.generated is None
        and not (column.primary_key and values.get(key) is None)
    ]
    return tuple(set_by_now)


def by_row_keys(mapper: Mapper, objects: list[Any]) -> dict[tuple[str, ...], list[Any]]:
    """Group new objects of one class by the columns that their INSERT writes.

    Objects that hold the same names in the same order write the same columns, unless a key is None: `row_keys` is
    asked once for each such shape.
    """
    primary = [str(column.key) for column in mapper.primary_key]
    shapes = set(map(tuple, held := [obj.__dict__ for obj in objects]))
    if len(shapes) == 1 and held[0].keys().isdisjoint(primary):
        return {row_keys(objects[0], mapper): objects}
    known: dict[Any, list[Any]] = {}
    found: dict[tuple[str, ...], list[Any]] = {}
    for obj in objects:
        values = obj.__dict__
        shape: Any = tuple(values)
        for key in primary:
            if key in values and values[key] is None:
                shape = (shape, key)
        group = known.get(shape)
        if group is None:
            group = known[shape] = found.setdefault(row_keys(obj, mapper), [])
        group.append(obj)
    return found


def value_of(obj: Any, key: str) -> Any:
    """Return the value of a column, a raw one handed out."""
    values = obj.__dict__
    return values[key] if key in values else getattr(obj, key, None)


def values_of(objects: Sequence[Any], columns: Iterable[Column[Any]]) -> list[list[Any]]:
    """Return for each column its values in all objects, raw ones handed out."""
    held = [obj.__dict__ for obj in objects]
    found: list[list[Any]] = []
    for column in columns:
        try:
            found.append(list(map(itemgetter(column.key), held)))
        except KeyError:
            found.append([value_of(obj, str(column.key)) for obj in objects])
    return found


def dumped_column(mapper: Mapper, column: Column[Any], type_: PgType[Any], values: list[Any]) -> list[Any]:
    """Return the values of one column as transport values.

    Raises `InvalidValueError` that names the column.
    """
    try:
        return type_.dump_column(values)
    except InvalidValueError as error:
        raise InvalidValueError(f"{mapper.name}.{column.key}: {error}") from None


Dumps: TypeAlias = list[tuple[str, Callable[[Any], Any]]]  # of columns: the attribute, and what dumps its values


def dumps_of(columns: Iterable[Column[Any]], type_of: Callable[[Any], PgType[Any]]) -> Dumps:
    """Return what `dumped_values` needs to know of columns."""
    return [(str(column.key), type_of(column).dump) for column in columns]


def dumped_values(mapper: Mapper, dumps: Dumps, obj: Any) -> list[Any]:
    """Return the values of one object as wire values; raises `InvalidValueError` that names the column."""
    values, found = obj.__dict__, []
    for key, dump in dumps:
        value = values[key] if key in values else getattr(obj, key, None)
        try:
            found.append(None if value is None else dump(value))
        except InvalidValueError as error:
            raise InvalidValueError(f"{mapper.name}.{key}: {error}") from None
    return found


def dumped(mapper: Mapper, column: Column[Any], type_: PgType[Any], value: Any) -> Any:
    """Return one value as a wire value; raises `InvalidValueError` that names the column."""
    if value is None:
        return None
    try:
        return type_.dump(value)
    except InvalidValueError as error:
        raise InvalidValueError(f"{mapper.name}.{column.key}: {error}") from None
