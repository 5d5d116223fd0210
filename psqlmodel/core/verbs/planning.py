"""Plan: what a flush would send, without sending it. Decides nothing: it follows `flush` step by step.

The numbers and the order are those of the flush. What depends on keys that the server has yet to make is planned with
the columns that it will have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from psqlmodel.core.unitofwork import insertion
from psqlmodel.core.unitofwork.collect import Changes, Link, collect, outgoing, row_keys
from psqlmodel.core.unitofwork.ordering import Group, parents_first
from psqlmodel.core.unitofwork.orphans import dropped, lost_its_parent
from psqlmodel.core.unitofwork.takeover import find_takeovers
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.relations import RelationInfo

if TYPE_CHECKING:
    from psqlmodel.core.engine.catalog import Catalog
    from psqlmodel.core.workspace import Workspace


class PlannedStatement:
    """One statement: the verb (`INSERT`, `UPDATE`, `DELETE`), the table, the columns that it sets, its objects.

    `rows` is the number of rows; a statement on a link table has pairs of objects.
    """

    __slots__ = ("columns", "objects", "table", "verb")

    def __init__(self, verb: str, table: str, columns: Iterable[str], objects: Iterable[Any]) -> None:
        self.verb = verb
        self.table = table
        self.columns = tuple(columns)
        self.objects = tuple(objects)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.objects)

    def __str__(self) -> str:
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        return f"{self.verb} {self.table}{columns}: {self.rows} {'row' if self.rows == 1 else 'rows'}"

    def __repr__(self) -> str:
        return f"<{self}>"


class Plan(tuple[PlannedStatement, ...]):
    """The statements of a flush, in their order; printed, one line for each."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "nothing to send"


def plan(workspace: Workspace) -> Plan:
    """Return what a flush would send now; handlers of events are not asked, and nothing is sent.

    Raises `MissingPrimaryKeyError` and `RelationError` as the flush would.
    """
    changes = collect(workspace.unit)
    _orphans_are_deleted(changes)
    _orphans_are_dropped(changes, dropped(workspace.unit))
    return Plan(_planned(changes, workspace.catalog))


def _planned(changes: Changes, catalog: Catalog) -> Iterator[PlannedStatement]:
    order = parents_first(changes.mappers)
    takeovers = find_takeovers(changes)
    yield from _links("DELETE", changes.unlinked)
    if takeovers.deletes_first:
        yield from _deletes(changes)
    for groups in ([takeovers.vacated] if takeovers.vacated else []) + takeovers.waves:
        for (mapper, keys), objects in groups.items():
            yield PlannedStatement("UPDATE", mapper.qualified, _names(mapper, keys), objects)
    for group in order:
        yield from _inserts(group, changes, catalog)
    for (mapper, keys), objects in changes.late.items():
        yield PlannedStatement("UPDATE", mapper.qualified, _names(mapper, keys), objects)
    for mapper in (mapper for group in order for mapper in group):
        for keys, objects in changes.changed.get(mapper, {}).items():
            yield PlannedStatement("UPDATE", mapper.qualified, _names(mapper, keys), objects)
    yield from _links("INSERT", changes.linked)
    if not takeovers.deletes_first:
        yield from _deletes(changes)


def _names(mapper: Mapper, keys: Iterable[str]) -> list[str]:
    """Return the attributes that a statement sets; the version is its own affair."""
    version = None if mapper.version is None else mapper.version.key
    return [key for key in keys if key != version]


def _inserts(group: Group, changes: Changes, catalog: Catalog) -> Iterator[PlannedStatement]:
    objects = [obj for mapper in group for obj in changes.new.get(mapper, ())]
    relations = {mapper: outgoing(mapper) for mapper in group}
    if insertion.must_be_deferred(objects, relations, changes):
        yield PlannedStatement("SET CONSTRAINTS ALL DEFERRED", "", (), ())
        for mapper in group:
            without = [obj for obj in changes.new.get(mapper, ()) if mapper.key_of(obj) is None]
            if without:
                yield PlannedStatement("SELECT", mapper.qualified, _keys(mapper), without)
        changes.waiting.difference_update(map(id, objects))
    for level in insertion.levels(objects, relations, changes):
        batches: dict[tuple[Mapper, tuple[str, ...]], list[Any]] = {}
        for obj in level:
            mapper = type(obj).__mapper__
            batches.setdefault((mapper, _set_columns(obj, relations[mapper], changes.waiting)), []).append(obj)
        for (mapper, keys), batch in batches.items():
            for part in [[obj] for obj in batch] if _one_by_one(mapper, keys, catalog) else [batch]:
                yield PlannedStatement("INSERT", mapper.qualified, keys, part)
        changes.waiting.difference_update(map(id, level))


def _set_columns(obj: Any, relations: list[RelationInfo], waiting: set[int]) -> tuple[str, ...]:
    """Return the columns that the INSERT of an object sets, with the keys that come from others."""
    mapper = type(obj).__mapper__
    keys = set(row_keys(obj, mapper))
    for relation in relations:
        parent = obj.__dict__.get(relation.key)
        if parent is not None and id(parent) not in waiting:
            keys.update(relation.local_keys)
    return tuple(key for key in mapper.keys if key in keys)


def _one_by_one(mapper: Mapper, keys: tuple[str, ...], catalog: Catalog) -> bool:
    """Tell whether the server makes the key where nobody can see how, so that each row is a statement."""
    if catalog.missing([mapper]):
        return False
    makers = catalog.makers(mapper)
    return any(column.key not in keys and column.name not in makers for column in mapper.primary_key)


def _keys(mapper: Mapper) -> list[str]:
    return [str(column.key) for column in mapper.primary_key]


def _links(verb: str, links: Iterable[Link]) -> Iterator[PlannedStatement]:
    by_table: dict[str, list[Any]] = {}
    for link in links:
        by_table.setdefault(str(link.relation.link_table), []).append((link.ours, link.theirs))
    for table, pairs in by_table.items():
        yield PlannedStatement(verb, table, (), pairs)


def _deletes(changes: Changes) -> Iterator[PlannedStatement]:
    for group in reversed(parents_first(changes.deleted)):
        objects = [obj for mapper in group for obj in changes.deleted[mapper]]
        for mapper in group:
            for relation in mapper.relations.values():
                if relation.declared.secondary is not None:
                    yield PlannedStatement("DELETE", str(relation.link_table), (), changes.deleted[mapper])
            if len(group) > 1 and mapper.version is not None:
                yield PlannedStatement("SELECT", mapper.qualified, _keys(mapper), changes.deleted[mapper])
        yield PlannedStatement("DELETE", ", ".join(mapper.qualified for mapper in group), (), objects)


def _orphans_are_deleted(changes: Changes) -> None:
    """Count those among the deleted that the flush will delete because their parent gave them up."""
    for mapper, groups in list(changes.changed.items()):
        for objects in groups.values():
            orphans = [obj for obj in objects if _is_deleted_orphan(obj)]
            if orphans:
                changes.deleted.setdefault(mapper, []).extend(orphans)
                objects[:] = [obj for obj in objects if not any(obj is orphan for orphan in orphans)]
        changes.changed[mapper] = {keys: objects for keys, objects in groups.items() if objects}
        if not changes.changed[mapper]:
            del changes.changed[mapper]


def _orphans_are_dropped(changes: Changes, orphans: list[Any]) -> None:
    """Leave out the new ones that the flush will forget for the same reason."""
    gone = set(map(id, orphans))
    for mapper in {type(obj).__mapper__ for obj in orphans}:
        changes.new[mapper] = [obj for obj in changes.new[mapper] if id(obj) not in gone]
        if not changes.new[mapper]:
            del changes.new[mapper]
    changes.waiting -= gone


def _is_deleted_orphan(obj: Any) -> bool:
    mapper = type(obj).__mapper__
    for key in obj._state.original:
        relation = mapper.relations.get(key) or mapper.hidden.get(key)
        if relation is None or relation.declared.secondary is not None or not relation.outgoing:
            continue
        if relation.back is not None and relation.back.declared.orphans == "delete" and lost_its_parent(obj, relation):
            return True
    return False
