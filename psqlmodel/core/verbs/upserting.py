"""Upsert, and get or create: rows are inserted where they are missing, updated or only read where they are not. Steps.

One statement for each set of columns, whatever the number of rows and whatever others do at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from psqlmodel.core.loading.access import identity_key
from psqlmodel.core.transaction import fail, within
from psqlmodel.core.unitofwork import routing, sql, versioning
from psqlmodel.core.unitofwork.collect import dumped_column, outgoing, row_keys, take_all_keys, value_of
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.core.unitofwork.sending import send
from psqlmodel.core.unitofwork.takeover import unique_keys
from psqlmodel.core.unitofwork.updating import read_new_versions
from psqlmodel.core.verbs import texts
from psqlmodel.core.verbs.written import Taking, Written, check_unique, listed, named_columns, withdraw
from psqlmodel.errors import DatabaseError, InvalidValueError, MissingPrimaryKeyError, QueryError
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.model.state import DELETED
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

_TRIES = 5  # how often a row may come and go between two statements of ours
T = TypeVar("T")
Columns: TypeAlias = tuple[Column[Any], ...]


def upsert(workspace: Workspace, objects: Any, on: Any = None, update: Any = None) -> Steps[Written[Any]]:
    """Insert objects, or update the rows that have the same values in the columns `on`.

    Parameters:
        objects: new or detached objects of one class, or one such object.
        on: columns with a unique constraint; by default the primary key.
        update: the columns to write where the row is there; by default all that are set, without `on`, the primary
            key and the version. Nothing (`()`) leaves such rows as they are.

    Returns the session's objects; they have what the database has. Raises `InvalidValueError` for two objects with the
    same key, `ObjectStateError` for one that a session has already.
    """
    given = listed(objects, "upsert")
    written: Written[Any] = Written()
    if not given:
        return written
    mapper = the_mapper(given, "upsert")
    target = named_columns(mapper, mapper.primary_key if on is None else on)
    if not target:
        raise MissingPrimaryKeyError(f"upsert: {mapper.name} has no primary key: say on= which columns are unique")
    chosen = None if update is None else named_columns(mapper, update)
    withdraw(workspace.unit, given, "upsert")
    yield from prepare(workspace, mapper, given)
    check_unique(mapper, given, target, "upsert")
    batches = _batches(workspace, mapper, given, target, chosen)
    done = yield from ended_by_errors(workspace, _write(workspace, batches))
    untouched = chosen == ()
    for obj in given:
        found, inserted = done[id(obj)]
        written.append(found)
        (written.inserted if inserted else written.unchanged if untouched else written.updated).append(found)
    return written


def get_or_create(
    workspace: Workspace, model: Any, defaults: Mapping[str, Any] | None, by: Mapping[str, Any]
) -> Steps[tuple[Any, bool]]:
    """Return the object with the unique values `by`, made with `defaults` if it is not there, and whether it was made.

    Raises `QueryError` where `by` is no unique key of the model, `InvalidValueError` for None in it.
    """
    mapper = mapper_of(model)
    wanted = _by_columns(mapper, by)
    keys = next((keys for keys in unique_keys(mapper) if set(keys) == set(wanted)), None)
    if keys is None:
        known = " or ".join(f"({', '.join(keys)})" for keys in unique_keys(mapper))
        raise QueryError(
            f"get_or_create({mapper.name}) by ({', '.join(wanted)}): only a unique key can say whether the row is "
            f"there{f'; {mapper.name} has {known}' if known else ''}; the other values belong into defaults="
        )
    if workspace.autoflush:
        yield from flush(workspace)
        wanted = _by_columns(mapper, by)  # a related object may have got its key now
    without = [key for key in keys if wanted[key] is None]
    if without:
        raise InvalidValueError(
            f"get_or_create: {mapper.name}.{without[0]} is None, and no row is found by that; a related object needs "
            "its key: add it and flush before"
        )
    target = tuple(mapper.attributes[key] for key in keys)
    if keys == tuple(column.key for column in mapper.primary_key):
        known_object = workspace.identity.get(mapper, identity_key(mapper, wanted))
        if known_object is not None and known_object._state.status != DELETED:
            return known_object, False
    made = mapper.cls(**_by_columns(mapper, defaults or {}) | wanted)
    yield from prepare(workspace, mapper, [made])
    batches = _batches(workspace, mapper, [made], target, ())
    done = yield from ended_by_errors(workspace, _write(workspace, batches))
    return done[id(made)]


def the_mapper(objects: Sequence[Any], verb: str) -> Mapper:
    """Return the mapper of objects of one class; raises `InvalidValueError` where there are several."""
    classes = {type(obj) for obj in objects}
    if len(classes) > 1:
        names = ", ".join(sorted(cls.__name__ for cls in classes))
        raise InvalidValueError(f"{verb} takes objects of one class at a time, not of {names}")
    return mapper_of(objects[0])


def prepare(workspace: Workspace, mapper: Mapper, objects: Sequence[Any]) -> Steps[None]:
    """Flush what is pending, and copy the keys of related objects; the catalog knows the table then."""
    if workspace.autoflush:
        yield from flush(workspace)
    if workspace.catalog.missing([mapper]):
        yield from within(workspace, workspace.catalog.ensure([mapper]))
    take_all_keys(objects, outgoing(mapper))


def ended_by_errors(workspace: Workspace, steps: Steps[T]) -> Steps[T]:
    """Run steps that write; an error ends the transaction and restores the objects."""
    try:
        return (yield from steps)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield from fail(workspace, error)
        raise


def _by_columns(mapper: Mapper, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by column, with the keys of related objects in place of these."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        relation = mapper.relations.get(name)
        if relation is None:
            found[str(mapper.column(name).key)] = value
            continue
        relation.check(value)
        if relation.many or not relation.outgoing:
            raise QueryError(f"get_or_create: {relation!r} is no column of {mapper.name}: set it on the object")
        for ours, theirs in zip(relation.local, relation.remote, strict=True):
            found[str(ours.key)] = None if value is None else value.__dict__.get(theirs.key)
    return found


def _grouped(mapper: Mapper, objects: Sequence[Any], target: Columns) -> dict[tuple[str, ...], list[Any]]:
    """Return the objects by the columns that they set, in the order of their keys (so are locks taken)."""
    names = [str(column.key) for column in target]
    try:
        ordered: Iterable[Any] = sorted(objects, key=lambda obj: tuple(obj.__dict__[name] for name in names))
    except TypeError:
        ordered = objects
    groups: dict[tuple[str, ...], list[Any]] = {}
    for obj in ordered:
        groups.setdefault(row_keys(obj, mapper), []).append(obj)
    return groups


class _Batch:
    """Rows that set the same columns: one statement, checked before any is sent."""

    def __init__(
        self,
        workspace: Workspace,
        mapper: Mapper,
        keys: tuple[str, ...],
        group: list[Any],
        target: Columns,
        chosen: Any,
    ) -> None:
        on = [quote(str(column.name)) for column in target]
        ordinary = workspace.catalog.is_ordinary(mapper)
        sets = _sets(mapper, keys, target, chosen, "EXCLUDED" if ordinary else "r")
        self.mapper = mapper
        self.columns = [mapper.attributes[key] for key in keys]
        self.types = [workspace.catalog.type_of(column) for column in self.columns]
        typed = sql.named(self.columns, self.types)
        returning = [quote(str(column.name)) for column in mapper.columns]
        version = versioning.withheld(mapper, workspace.catalog)
        withheld = None if version is None else quote(str(version.name))
        self.tries = 1 if sets and ordinary else _TRIES
        self.find: str | None = None
        if chosen is not None and mapper.distribution is not None:
            routing.check_written(mapper, chosen, "upsert: update=")
        if not sets and mapper.distribution is not None:
            self.text = texts.insert_absent(mapper.qualified, typed, on, returning)
            self.find = texts.find(mapper.qualified, typed, on, returning, self._routed([])[0])
        elif not sets:
            self.text = texts.insert_missing(mapper.qualified, typed, on, returning, withheld)
        elif ordinary:
            self.text = texts.upsert(mapper.qualified, typed, on, sets, returning)
        else:
            self.text = texts.update_or_insert(mapper.qualified, typed, on, sets, returning, withheld)
        self.left = group
        self.args = self.dumped(group)

    def statements(self) -> Iterator[Statement]:
        """Give the statements to be sent until all rows came back."""
        for _ in range(self.tries):
            yield Statement(self.text, self.args, purpose="flush")
            if self.find is not None:
                yield Statement(self.find, [*self.args, *self._routed(self.args)[1]], purpose="flush")

    def _routed(self, arrays: list[list[Any]]) -> tuple[str, list[Any]]:
        """Return the condition that says on which shards the rows are, and its argument."""
        places = {column.key: n for n, column in enumerate(self.columns)}
        column = routing.by(self.mapper)
        if column is None or column.key not in places:
            return "", []
        at = places[column.key]
        return routing.condition(column, self.types[at], arrays[at] if arrays else [], len(self.columns) + 1)

    def dumped(self, group: list[Any]) -> list[list[Any]]:
        """Return an array per column; raises `InvalidValueError` for a value that does not fit."""
        return [
            dumped_column(self.mapper, column, type_, [value_of(obj, str(column.key)) for obj in group])
            for column, type_ in zip(self.columns, self.types, strict=True)
        ]


def _batches(
    workspace: Workspace, mapper: Mapper, objects: Sequence[Any], target: Columns, chosen: Columns | None
) -> list[_Batch]:
    groups = _grouped(mapper, objects, target)
    return [_Batch(workspace, mapper, keys, group, target, chosen) for keys, group in groups.items()]


def _write(workspace: Workspace, batches: list[_Batch]) -> Steps[dict[int, tuple[Any, bool]]]:
    """Send the statements, and again for rows that came and went meanwhile; return object and whether it is new."""
    done: dict[int, tuple[Any, bool]] = {}
    for batch in batches:
        for statement in batch.statements():
            rows = yield from send(workspace, batch.mapper, batch.left, statement)
            workspace.transaction.worked = True
            taking = Taking(workspace, batch.mapper, rows)
            for row in rows.data:
                given = batch.left[row[-2] - 1]
                done[id(given)] = (taking.take(given, row), bool(row[-1]))
            taking.settle()
            made = [obj for obj, inserted in (done[id(g)] for g in batch.left if id(g) in done) if inserted]
            yield from read_new_versions(workspace, batch.mapper, made)
            batch.left = [obj for obj in batch.left if id(obj) not in done]
            if not batch.left:
                break
            batch.args = batch.dumped(batch.left)
        else:
            raise DatabaseError(
                f"{len(batch.left)} rows of {batch.mapper.qualified} did not come back: a trigger changes the columns "
                "by which they are found, or others delete and insert them all the time",
                statement=batch.text,
            )
    return done


def _sets(mapper: Mapper, keys: tuple[str, ...], target: Columns, chosen: Columns | None, source: str) -> list[str]:
    """Return the assignments for rows that are there already; the values are those of the table `source`."""
    if chosen is None:
        left_out = {*target, *mapper.primary_key, mapper.version}
        columns = [mapper.attributes[key] for key in keys if not any(mapper.attributes[key] is c for c in left_out)]
    else:
        columns = [column for column in chosen if column is not mapper.version]
        unset = [column for column in columns if column.key not in keys]
        if unset:
            raise InvalidValueError(
                f"upsert: update= names {mapper.name}.{unset[0].key}, and one of the objects does not set it"
            )
    if not columns:
        return []
    names = [quote(str(column.name)) for column in columns]
    return [*(f"{name} = {source}.{name}" for name in names), *versioning.bump(mapper)]
