"""Insertion: the new rows of one class. One statement for each set of columns; what the server makes comes back.

Rows of one class, or of classes whose tables refer to each other, are written level by level; where rows refer to each
other in a circle, the key that closes it is written afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.transaction import execute
from psqlmodel.core.unitofwork import sql, versioning
from psqlmodel.core.unitofwork.collect import (
    Changes,
    arrays_of,
    by_mapper,
    by_row_keys,
    dumped,
    outgoing,
    row_keys,
    take_all_keys,
    value_of,
    waits_for,
)
from psqlmodel.core.unitofwork.ordering import Group
from psqlmodel.core.unitofwork.sending import send
from psqlmodel.errors import DatabaseError, RelationError
from psqlmodel.model.codegen import Field
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.relations import RelationInfo
from psqlmodel.model.state import UNSET, Raw
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Rows, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def insert(workspace: Workspace, group: Group, changes: Changes) -> Steps[None]:
    """Write the new rows of one class, or of classes that refer to each other."""
    objects = [obj for mapper in group for obj in changes.new.get(mapper, ())]
    if not objects:
        return
    relations = {mapper: outgoing(mapper) for mapper in group}
    if must_be_deferred(objects, relations, changes):
        yield from _open_circle(workspace, objects, changes)
    for level in levels(objects, relations, changes):
        batches: list[tuple[Mapper, tuple[str, ...], list[Any]]] = []
        for mapper, same in by_mapper(level).items():
            take_all_keys(same, relations[mapper])
            _withhold_late(mapper, same, changes)
            batches += [(mapper, keys, batch) for keys, batch in by_row_keys(mapper, same).items()]
        for mapper, keys, batch in batches:
            yield from _insert_group(workspace, mapper, keys, batch, changes)
        changes.waiting.difference_update(map(id, level))


def levels(objects: list[Any], relations: dict[Mapper, list[RelationInfo]], changes: Changes) -> Iterator[list[Any]]:
    """Give the objects in levels, each after those that it refers to; note the keys that must wait."""
    if _refer_to_nothing_new(relations, changes):
        yield objects
        return
    left = objects
    while left:
        waits = {id(obj): waits_for(obj, relations[type(obj).__mapper__], changes.waiting) for obj in left}
        ready = [obj for obj in left if not waits[id(obj)]]
        if not ready:  # a circle: it is opened where it can be
            ready = [obj for obj in left if all(_required(r) is None for r in waits[id(obj)])] or left
            for obj in ready:
                _note_late(obj, waits[id(obj)], changes)
        _note_own_keys(ready, relations, changes)
        yield ready
        chosen = set(map(id, ready))
        left = [obj for obj in left if id(obj) not in chosen]


def _refer_to_nothing_new(relations: dict[Mapper, list[RelationInfo]], changes: Changes) -> bool:
    """Tell, by their classes, whether no object can refer to one that has no row yet: then no object is looked at."""
    new = [mapper for mapper, objects in changes.new.items() if id(objects[-1]) in changes.waiting]
    classes = {mapper.cls for mapper in (*relations, *new)}
    targets = {relation.target.cls for found in relations.values() for relation in found}
    return not any(issubclass(cls, target) for cls in classes for target in targets)


def must_be_deferred(objects: list[Any], relations: dict[Mapper, list[RelationInfo]], changes: Changes) -> bool:
    """Tell whether rows refer to each other in a circle without a gap, by a key whose check can be put off."""
    if not any(relation.foreign_key.deferrable for found in relations.values() for relation in found):
        return False
    left = {id(obj): obj for obj in objects}
    while left:
        waits = {
            key: waits_for(obj, relations[type(obj).__mapper__], changes.waiting & left.keys())
            for key, obj in left.items()
        }
        ready = [key for key, needed in waits.items() if all(_required(r) is None for r in needed)]
        if not ready:
            return any(r.foreign_key.deferrable for needed in waits.values() for r in needed)
        for key in ready:
            del left[key]
    return False


def _open_circle(workspace: Workspace, objects: list[Any], changes: Changes) -> Steps[None]:
    """Put foreign key checks off to the commit, and fetch the keys of the rows before they are written."""
    statement = Statement("SET CONSTRAINTS ALL DEFERRED", prepare=False, purpose="flush")
    _ = yield from execute(workspace, statement)
    by_mapper: dict[Mapper, list[Any]] = {}
    for obj in objects:
        if type(obj).__mapper__.key_of(obj) is None:
            by_mapper.setdefault(type(obj).__mapper__, []).append(obj)
    for mapper, group in by_mapper.items():
        made = made_by_server(workspace, mapper, row_keys(group[0], mapper))
        if made:
            rows = yield from execute(workspace, Statement(sql.make_keys(made), [len(group)], purpose="flush"))
            columns = [column for column in mapper.primary_key if column.key not in row_keys(group[0], mapper)]
            receive(group, columns, rows, numbered=True)
    changes.waiting.difference_update(map(id, objects))


def _required(relation: RelationInfo) -> Column[Any] | None:
    """Return a key column that keeps the relation from being written later."""
    return next((column for column in relation.local if not column.nullable), None)


def _note_own_keys(objects: list[Any], relations: dict[Mapper, list[RelationInfo]], changes: Changes) -> None:
    """Note the objects that refer to themselves and learn their key only by being written."""
    to_self = {mapper: [r for r in found if r.target is mapper] for mapper, found in relations.items()}
    for obj in objects if any(to_self.values()) else ():
        mapper = type(obj).__mapper__
        own = [relation for relation in to_self[mapper] if obj.__dict__.get(relation.key) is obj]
        if own and mapper.key_of(obj) is None:
            _note_late(obj, own, changes)


def _note_late(obj: Any, waits: list[RelationInfo], changes: Changes) -> None:
    mapper = type(obj).__mapper__
    for relation in waits:
        required = _required(relation)
        if required is not None:
            raise RelationError(
                f"{relation!r} is part of a circle of new objects and {mapper.name}.{required.key} can't be NULL: "
                "make one of the columns in the circle nullable, or flush one of the objects first"
            )
        changes.late.setdefault((mapper, relation.local_keys), []).append(obj)


def _withhold_late(mapper: Mapper, objects: list[Any], changes: Changes) -> None:
    """Leave out keys of rows that are written later, which are known where the program made them."""
    for (late, keys), waiting in changes.late.items():
        ids = {id(obj) for obj in waiting} if late is mapper else ()
        for obj in objects if ids else ():
            if id(obj) in ids:
                for key in keys:
                    _ = obj.__dict__.pop(key, None)


def _insert_group(
    workspace: Workspace, mapper: Mapper, keys: tuple[str, ...], group: list[Any], changes: Changes
) -> Steps[None]:
    """Write the rows that set the same columns; note the texts of their JSON."""
    made = made_by_server(workspace, mapper, keys)
    if made is None and len(group) > 1:
        # The key is made where no expression can be seen (a trigger): only the row itself can tell it.
        for obj in group:
            yield from _insert_group(workspace, mapper, keys, [obj], changes)
        return
    if len(group) == 1:
        yield from _insert_one(workspace, mapper, keys, group[0])
    else:
        yield from _insert_many(workspace, mapper, keys, group, made or [], changes)
    if mapper.primary_key:
        workspace.identity.enter(mapper, group)


def made_by_server(workspace: Workspace, mapper: Mapper, keys: tuple[str, ...]) -> list[tuple[str, str]] | None:
    """Return the key columns that the server makes and how; None where that can't be told."""
    makers = workspace.catalog.makers(mapper)
    open_keys = [column for column in mapper.primary_key if column.key not in keys]
    if any(column.name not in makers for column in open_keys):
        return None
    return [(quote(column.name), makers[column.name]) for column in open_keys]


def _insert_one(workspace: Workspace, mapper: Mapper, keys: tuple[str, ...], obj: Any) -> Steps[None]:
    type_of = workspace.catalog.type_of
    columns = [mapper.attributes[key] for key in keys]
    withheld = versioning.withheld(mapper, workspace.catalog)
    back = [c for c in mapper.columns if c.key not in keys and c is not withheld] if mapper.primary_key else []
    text = sql.insert_one(
        mapper.qualified, sql.named(columns, [type_of(c) for c in columns]), [quote(c.name) for c in back]
    )
    values = [dumped(mapper, c, type_of(c), value_of(obj, c.key)) for c in columns]
    rows = yield from send(workspace, mapper, [obj], Statement(text, values, purpose="flush"))
    if back:
        receive([obj], back, rows, numbered=False)


def _insert_many(
    workspace: Workspace,
    mapper: Mapper,
    keys: tuple[str, ...],
    group: list[Any],
    made: list[tuple[str, str]],
    changes: Changes,
) -> Steps[None]:
    type_of = workspace.catalog.type_of
    columns = [mapper.attributes[key] for key in keys]
    open_keys = [column for column in mapper.primary_key if column.key not in keys]
    withheld = versioning.withheld(mapper, workspace.catalog)
    unset = [c for c in mapper.columns if c.key not in keys and not c.primary_key and c is not withheld]
    others = unset if mapper.primary_key else []
    matched = mapper.primary_key if others or not workspace.catalog.is_plain(mapper) else ()
    folded = bool(open_keys) and not matched and all(type_of(c).transport in _INTEGERS for c in open_keys)
    types = [type_of(column) for column in columns]
    text = sql.insert_many(
        mapper.qualified,
        sql.named(columns, types),
        made,
        [quote(column.name) for column in others],
        [quote(column.name) for column in matched],
        sql.as_array if matched else sql.as_text,
        sql.in_arrays if folded else sql.in_rows,
    )
    arrays: list[Any] = arrays_of(changes, mapper, columns, types, group)
    for column, array in zip(columns, arrays, strict=True):
        if column.pg_type.lazy:
            changes.texts.setdefault((mapper, str(column.key)), []).append((group, array))
    if not matched:
        arrays = list(map(sql.argument_as_text, types, arrays))
    args = arrays or [len(group)]
    rows = yield from send(workspace, mapper, group, Statement(text, args, purpose="flush"))
    back = [*open_keys, *others]
    if folded:
        _receive_keys(group, open_keys, rows)
    elif back:
        if len(rows.data) != len(group):
            raise DatabaseError(
                f"INSERT into {mapper.qualified} gave back {len(rows.data)} rows for {len(group)} objects: a trigger "
                "or rule changes the keys; insert such rows one by one",
                statement=text,
            )
        receive(group, back, rows, numbered=True)


_INTEGERS: Final = ("int2", "int4", "int8")


def _receive_keys(objects: list[Any], columns: Sequence[Column[Any]], rows: Rows) -> None:
    """Put integer keys that came as arrays, after one of ordinals (from 1), into the objects.

    For the driver that is two values instead of a row for each object: with the server a thirtieth of their time.
    """
    ordinals, *keys = rows.data[0]
    if ordinals != list(range(1, len(objects) + 1)):
        objects = [objects[ordinal - 1] for ordinal in ordinals]
    for column, made in zip(columns, keys, strict=True):
        key = str(column.key)
        for obj, value in zip(objects, made, strict=True):
            obj.__dict__[key] = value


def receive(objects: Sequence[Any], columns: Sequence[Column[Any]], rows: Rows, numbered: bool) -> None:
    """Put what the server made, the first columns of the rows, into the objects.

    With `numbered` a row says before them which object (from 1) it is for.
    """
    first = 1 if numbered else 0
    oids = rows.shape.oids[first : first + len(columns)]
    fields = [Field(c, oid, n + first) for n, (c, oid) in enumerate(zip(columns, oids, strict=True))]
    targets = [objects[row[0] - 1].__dict__ for row in rows.data] if numbered else [objects[0].__dict__]
    for field in fields:
        _receive_column(targets, field, [row[field.position] for row in rows.data])


def alike(objects: Sequence[Any], columns: Sequence[Column[Any]], rows: Rows) -> list[int]:
    """Return the ordinals of the rows that say what their objects say, as far as these know it.

    A row begins with its ordinal (from 1) and one value that is not compared.
    """
    oids = rows.shape.oids[2:]
    fields = [Field(c, oid, n) for n, (c, oid) in enumerate(zip(columns, oids, strict=True), 2)]
    return [row[0] for row in rows.data if all(_says(objects[row[0] - 1], field, row) for field in fields)]


def _says(obj: Any, field: Field, row: Sequence[Any]) -> bool:
    """Tell whether the database has what an object had before the program changed it."""
    values, wire = obj.__dict__, row[field.position]
    known = obj._state.original.get(field.key, values.get(field.key, values.get(field.slot, UNSET)))
    if isinstance(known, Raw):
        known = known.wire
    value = wire if wire is None or field.convert is None else field.convert(wire)
    if known is UNSET or known == value:
        return True
    load = type(obj).__mapper__.attributes[field.key].pg_type.load
    return field.raw and load is not None and None not in (known, value) and bool(load(known) == load(value))


def _receive_column(targets: list[dict[str, Any]], field: Field, wires: list[Any]) -> None:
    key, slot, convert = field.key, field.slot, field.convert
    if convert is None and not field.raw:
        for values, wire in zip(targets, wires, strict=True):
            values[key] = wire
        return
    for values, wire in zip(targets, wires, strict=True):
        if wire is None:
            values[key] = None
            continue
        values.pop(key, None)
        values[slot] = wire if convert is None else convert(wire)
