"""The order of classes in a flush: each after those that its foreign keys refer to; a cycle is one group. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias
from weakref import WeakKeyDictionary

from psqlmodel.model.constraints import ForeignKey
from psqlmodel.model.mapper import Mapper, registry
from psqlmodel.model.resolution import refers_to

Group: TypeAlias = tuple[Mapper, ...]

_deletions: WeakKeyDictionary[Mapper, tuple[int, frozenset[str]]] = WeakKeyDictionary()
_known: dict[frozenset[Mapper], tuple[Group, ...]] = {}


def parents_first(mappers: Iterable[Mapper]) -> tuple[Group, ...]:
    """Return the mappers in groups in dependency order: a group is one mapper, or those that refer to each other.

    In a group, those come first whose keys to the others can be NULL. What a cycle needs is decided where rows are
    written.
    """
    wanted = frozenset(mappers)
    found = _known.get(wanted)
    if found is None:
        if len(_known) > 1000:
            _known.clear()
        found = _known[wanted] = tuple(_sorted(wanted))
    return found


def _sorted(mappers: frozenset[Mapper]) -> list[Group]:
    remaining = sorted(mappers, key=lambda m: (m.qualified, m.name))
    ordered: list[Group] = []
    while remaining:
        ready = [m for m in remaining if not any(o is not m and depends_on(m, o) for o in remaining)]
        groups: list[Group] = [(mapper,) for mapper in ready]
        groups = groups or [_circle(remaining)]
        ordered += groups
        done = {mapper for group in groups for mapper in group}
        remaining = [mapper for mapper in remaining if mapper not in done]
    return ordered


def _circle(remaining: list[Mapper]) -> Group:
    """Return mappers that refer to each other and to none of the others; those whose keys may be NULL first."""
    reached = {mapper: _reached(mapper, remaining) for mapper in remaining}
    first = next(m for m in remaining if all(m in reached[other] for other in reached[m]))
    left = [mapper for mapper in remaining if mapper in reached[first]]
    ordered: list[Mapper] = []
    while left:
        free = [m for m in left if not any(_requires(m, other) for other in left if other is not m)]
        ordered.append((free or left)[0])
        left.remove(ordered[-1])
    return tuple(ordered)


def _reached(start: Mapper, among: list[Mapper]) -> set[Mapper]:
    found: set[Mapper] = set()
    waiting = [start]
    while waiting:
        mapper = waiting.pop()
        for other in among:
            if other is not mapper and other not in found and depends_on(mapper, other):
                found.add(other)
                waiting.append(other)
    return found


def depends_on(holder: Mapper, target: Mapper) -> bool:
    """Tell whether a foreign key of `holder` leads to `target`."""
    return any(refers_to(holder, key, target) for key in holder.foreign_keys)


def tables_of_deletion(mapper: Mapper) -> frozenset[str]:
    """Return the tables that a deletion of its rows changes: its own, and those that ON DELETE leads to."""
    known = _deletions.get(mapper)
    if known is None or known[0] != registry.version:
        known = _deletions[mapper] = (registry.version, frozenset(m.qualified for m in _changed_with(mapper)))
    return known[1]


def _changed_with(mapper: Mapper) -> set[Mapper]:
    found, waiting, others = {mapper}, [mapper], registry.mappers()
    while waiting:
        parent = waiting.pop()
        for child in others:
            if child not in found and _follows(child, parent):
                found.add(child)
                waiting.append(child)
    return found


def _follows(child: Mapper, parent: Mapper) -> bool:
    actions = ("CASCADE", "SET NULL", "SET DEFAULT")
    return any(key.on_delete in actions and refers_to(child, key, parent) for key in child.foreign_keys)


def _requires(holder: Mapper, target: Mapper) -> bool:
    return any(refers_to(holder, key, target) and not _nullable(holder, key) for key in holder.foreign_keys)


def _nullable(holder: Mapper, key: ForeignKey) -> bool:
    return any(holder.column(name).nullable for name in key.columns)
