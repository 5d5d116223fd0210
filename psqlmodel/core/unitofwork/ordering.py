"""The order of classes in a flush: each after those that its foreign keys refer to. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from psqlmodel.model.mapper import Mapper
from psqlmodel.model.resolution import refers_to

_known: dict[frozenset[Mapper], tuple[Mapper, ...]] = {}


def parents_first(mappers: Iterable[Mapper]) -> tuple[Mapper, ...]:
    """Return the mappers in dependency order; in a cycle the one with the smaller table name comes first.

    Raises nothing: what a cycle needs is decided where rows are written.
    """
    wanted = frozenset(mappers)
    found = _known.get(wanted)
    if found is None:
        if len(_known) > 1000:
            _known.clear()
        found = _known[wanted] = tuple(_sorted(wanted))
    return found


def _sorted(mappers: frozenset[Mapper]) -> list[Mapper]:
    remaining = sorted(mappers, key=lambda m: (m.qualified, m.name))
    ordered: list[Mapper] = []
    while remaining:
        ready = [m for m in remaining if not any(o is not m and depends_on(m, o) for o in remaining)]
        for mapper in ready or remaining[:1]:
            remaining.remove(mapper)
            ordered.append(mapper)
    return ordered


def depends_on(holder: Mapper, target: Mapper) -> bool:
    """Tell whether a foreign key of `holder` leads to `target`."""
    return any(refers_to(holder, key, target) for key in holder.foreign_keys)
