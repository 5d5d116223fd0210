"""Takeovers: unique values that one row of a flush lets go and another one takes. Pure.

PostgreSQL checks uniqueness row by row, so the order matters: delete a@x and add another a@x, hand a value on along a
chain of rows, swap two. Rows are told to let go in waves, the last of a chain first; those in a circle take a
placeholder first. Where nothing is taken over, nothing here costs more than a look.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from psqlmodel.core.unitofwork.collect import Changes, is_pending, outgoing
from psqlmodel.errors import RelationError
from psqlmodel.model.constraints import Unique
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper

Keys: TypeAlias = tuple[str, ...]
Groups: TypeAlias = dict[tuple[Mapper, Keys], list[Any]]


class Takeovers:
    """What must happen before rows are made: `deletes_first`, then placeholders for `vacated` rows, then `waves`."""

    def __init__(self) -> None:
        self.deletes_first = False
        self.vacated: Groups = {}
        self.waves: list[Groups] = []
        self._spared: set[tuple[int, str]] = set()

    def vacate(self, mapper: Mapper, keys: Keys, obj: Any, written: Iterable[str]) -> None:
        """Have a row let its unique value go before it gets another: by one of the columns that are `written` then."""
        column = _spare_column(mapper, keys, written)
        if (id(obj), column) not in self._spared:
            self._spared.add((id(obj), column))
            self.vacated.setdefault((mapper, (column,)), []).append(obj)


def find_takeovers(changes: Changes) -> Takeovers:
    """Return what the unique values of a flush ask for."""
    found = Takeovers()
    for mapper in {*changes.changed, *changes.deleted}:  # rows that are there, and let values go
        changed = changes.changed.get(mapper, {}).keys()
        for keys in _immediate_keys(mapper):
            if mapper in changes.deleted or not all(map(set(keys).isdisjoint, changed)):
                _look_at(found, changes, mapper, keys)
        for keys in partial_keys(mapper):
            _make_room(found, changes, mapper, keys)
    if found.deletes_first and _deletion_is_too_early(changes):
        found.deletes_first = False
        for mapper, keys, obj in _held_by_deleted(changes):
            found.vacate(mapper, keys, obj, keys)
    return found


def unique_keys(mapper: Mapper) -> list[Keys]:
    """Return the sets of attributes that the model declares unique, the primary key first."""
    known: list[Keys] | None = mapper.loaders.get(unique_keys)
    if known is None:
        known = mapper.loaders[unique_keys] = _declared_keys(mapper)
    return known


def _immediate_keys(mapper: Mapper) -> list[Keys]:
    """Return the unique keys that are checked row by row: one that waits for COMMIT asks for nothing."""
    known: list[Keys] | None = mapper.loaders.get(_immediate_keys)
    if known is None:
        late = [c.columns for c in mapper.constraints if isinstance(c, Unique) and c.initially_deferred]
        waiting = _of_columns(mapper, late)
        known = mapper.loaders[_immediate_keys] = [keys for keys in unique_keys(mapper) if keys not in waiting]
    return known


def partial_keys(mapper: Mapper) -> list[Keys]:
    """Return the sets of attributes that the model declares unique among the rows of a condition."""
    known: list[Keys] | None = mapper.loaders.get(partial_keys)
    if known is None:
        partial = [index.columns for index in mapper.indexes if index.unique and index.where is not None]
        known = mapper.loaders[partial_keys] = _of_columns(mapper, partial)
    return known


def _declared_keys(mapper: Mapper) -> list[Keys]:
    found: list[Keys] = [tuple(str(column.key) for column in mapper.primary_key)]
    found += [(str(column.key),) for column in mapper.columns if column.unique]
    plain = [c.columns for c in mapper.constraints if isinstance(c, Unique)]
    plain += [index.columns for index in mapper.indexes if index.unique and index.where is None]
    return [keys for keys in [*found, *_of_columns(mapper, plain)] if keys]


def _of_columns(mapper: Mapper, declared: list[tuple[Any, ...]]) -> list[Keys]:
    """Return the attributes of constraints and indexes that are over columns: an index may be over expressions."""
    return [
        tuple(str(mapper.column(name).key) for name in columns)
        for columns in declared
        if all(mapper.has_column(name) for name in columns)
    ]


def _look_at(found: Takeovers, changes: Changes, mapper: Mapper, keys: Keys) -> None:
    """Find what one unique key asks for."""
    written = {
        id(obj): columns
        for columns, objects in changes.changed.get(mapper, {}).items()
        if set(columns) & set(keys)
        for obj in objects
    }
    changed = [obj for objects in changes.changed.get(mapper, {}).values() for obj in objects if id(obj) in written]
    deleted = changes.deleted.get(mapper, [])
    takers = [*changes.new.get(mapper, ()), *changed]
    if not takers or not (changed or deleted):
        return
    holders = {old: obj for obj in (*deleted, *changed) if (old := _before(obj, keys)) is not None}
    gone = {id(obj) for obj in deleted}
    waits: dict[int, Any] = {}  # id of a changed row → the row that must let go before it
    taken: dict[int, Any] = {}  # holders of which a value is taken over
    for taker in takers:
        value = _after(taker, mapper, keys)
        holder = None if value is None else holders.get(value)
        if holder is None or holder is taker:
            continue
        if id(holder) in gone:
            found.deletes_first = True
        else:
            taken[id(holder)] = holder
            waits[id(taker)] = holder
    _order(found, mapper, keys, taken, waits, written)


def _make_room(found: Takeovers, changes: Changes, mapper: Mapper, keys: Keys) -> None:
    """Find the rows that leave a partial index to new ones: by a change of whatever its condition is about.

    Nobody here reads the condition, so all that such a row changes is written first.
    """
    taken = {value for obj in changes.new.get(mapper, ()) if (value := _after(obj, mapper, keys)) is not None}
    if not taken:
        return
    if any(_before(obj, keys) in taken for obj in changes.deleted.get(mapper, ())):
        found.deletes_first = True
    for columns, objects in changes.changed.get(mapper, {}).items():
        for obj in objects:
            if _before(obj, keys) in taken and (ready := _without_pending(mapper, columns, obj)):
                if not found.waves:
                    found.waves.append({})
                found.waves[0].setdefault((mapper, ready), []).append(obj)


def _without_pending(mapper: Mapper, columns: Keys, obj: Any) -> Keys:
    """Return the columns of which the values are known: no keys of rows that are still to be made."""
    values = obj.__dict__
    pending = {key for r in outgoing(mapper) if is_pending(values.get(r.key)) for key in r.local_keys}
    return tuple(key for key in columns if key not in pending)


def _order(
    found: Takeovers,
    mapper: Mapper,
    keys: Keys,
    taken: dict[int, Any],
    waits: dict[int, Any],
    written: dict[int, Keys],
) -> None:
    """Sort the holders into waves: one that takes from another comes after it."""
    for holder in taken.values():
        depth, circle, seen = 0, False, {id(holder)}
        following = waits.get(id(holder))
        while following is not None:
            if id(following) in seen:
                circle = True
                break
            seen.add(id(following))
            depth += 1
            following = waits.get(id(following))
        if circle or _after(holder, mapper, keys) is None:
            found.vacate(mapper, keys, holder, written[id(holder)])
            continue
        while len(found.waves) <= depth:
            found.waves.append({})
        found.waves[depth].setdefault((mapper, keys), []).append(holder)


def _before(obj: Any, keys: Keys) -> tuple[Any, ...] | None:
    """Return the unique value that the row has in the database; None if a part is NULL or can't be compared."""
    original, values = obj._state.original, obj.__dict__
    return _comparable(tuple(original.get(key, values.get(key)) for key in keys))


def _after(obj: Any, mapper: Mapper, keys: Keys) -> tuple[Any, ...] | None:
    """Return the unique value that the row will have; None if it has none, or waits for the key of another row."""
    values = obj.__dict__
    for relation in outgoing(mapper):
        if is_pending(values.get(relation.key)) and set(relation.local_keys) & set(keys):
            return None
    return _comparable(tuple(values.get(key) for key in keys))


def _comparable(value: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if any(part is None for part in value):
        return None
    try:
        _ = hash(value)
    except TypeError:
        return None
    return value


# --- deleted rows ---------------------------------------------------------------------------------------------------


def _deletion_is_too_early(changes: Changes) -> bool:
    """Tell whether a changed row still refers to one that is to be deleted: its change must come first."""
    for mapper, groups in changes.changed.items():
        for relation in outgoing(mapper):
            gone = {
                _before(obj, tuple(str(c.key) for c in relation.remote))
                for obj in changes.deleted.get(relation.target, ())
            }
            for objects in groups.values():
                if any(_before(obj, relation.local_keys) in gone for obj in objects if gone):
                    return True
    return False


def _held_by_deleted(changes: Changes) -> Iterator[tuple[Mapper, Keys, Any]]:
    """Give the deleted rows that hold a value which another row takes, by unique key; primary keys can't be let go."""
    for mapper, deleted in changes.deleted.items():
        takers = [
            *changes.new.get(mapper, ()),
            *(o for group in changes.changed.get(mapper, {}).values() for o in group),
        ]
        for keys in _immediate_keys(mapper)[1 if mapper.primary_key else 0 :]:
            taken = {_after(taker, mapper, keys) for taker in takers}
            yield from ((mapper, keys, obj) for obj in deleted if (v := _before(obj, keys)) is not None and v in taken)


# --- placeholders ---------------------------------------------------------------------------------------------------


def placeholder(column: Column[Any]) -> Any:
    """Return a value that no other row has, for the moment between two statements: NULL where it is allowed."""
    if column.nullable:
        return None
    python = column.pg_type.python
    if python is str:
        return uuid.uuid4().hex[: column.max_len or column.pg_type.length or 32]
    if python is int:
        greatest = 2**15 - 1 if column.pg_type.transport == "int2" else 2**31 - 1
        return -1 - uuid.uuid4().int % greatest
    return uuid.uuid4()


def _spare_column(mapper: Mapper, keys: Keys, written: Iterable[str]) -> str:
    """Return the column of a unique key that may hold a placeholder; it is among those that get their value later.

    Raises `RelationError` where there is none.
    """
    changing = [mapper.attributes[key] for key in keys if key in set(written)]
    referring = {name for key in mapper.foreign_keys if key.enforced for name in key.columns}
    spare = [column for column in changing if column.nullable]
    spare += [c for c in changing if c.pg_type.python in (str, int, uuid.UUID) and c.name not in referring]
    found = next((column for column in spare if not column.primary_key), None)
    if found is not None:
        return str(found.key)
    listed = ", ".join(keys)
    if any(column.primary_key for column in changing):
        raise RelationError(
            f"{mapper.name} objects swap primary keys ({listed}): flush one of them with another key first"
        )
    raise RelationError(
        f"{mapper.name} objects of this flush take over ({listed}) from each other, which is unique, and nothing else "
        "can stand there meanwhile: delete one and add it anew, or declare Unique(…, initially_deferred=True)"
    )
