"""The order of tables: each after those that its foreign keys refer to, as far as cycles allow. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from psqlmodel.schema.description import ForeignKeyInfo, TableInfo

Key: TypeAlias = tuple[str | None, str]
LateKey: TypeAlias = tuple[TableInfo, ForeignKeyInfo]


def in_dependency_order(tables: Sequence[TableInfo]) -> tuple[list[TableInfo], list[LateKey]]:
    """Return the tables in an order in which they can be made, and the foreign keys to add afterwards.

    The late ones are those that close a cycle. The order is the given one wherever the keys allow it.
    """
    remaining = {key_of(table): table for table in tables}
    ordered: list[TableInfo] = []
    late: list[LateKey] = []
    while remaining:
        ready = [key for key, table in remaining.items() if not _unmet(table, remaining)]
        for key in ready or [_first_in_cycle(remaining)]:
            table = remaining.pop(key)
            late.extend((table, foreign_key) for foreign_key in _unmet(table, remaining))
            ordered.append(table)
    return ordered, late


def key_of(table: TableInfo) -> Key:
    """Return what identifies a table: its schema and its name."""
    return table.schema, table.name


def _unmet(table: TableInfo, remaining: Iterable[Key]) -> list[ForeignKeyInfo]:
    own = key_of(table)
    waiting = set(remaining) - {own}
    return [key for key in table.foreign_keys if (key.schema, key.table) in waiting]


def _first_in_cycle(remaining: dict[Key, TableInfo]) -> Key:
    """Return the first table of a cycle that no way leads out of: then only keys of cycles come late."""
    reached = {start: _reached_from(start, remaining) for start in remaining}
    return next(key for key in remaining if all(key in reached[other] for other in reached[key]))


def _reached_from(start: Key, remaining: dict[Key, TableInfo]) -> set[Key]:
    reached: set[Key] = set()
    frontier = [start]
    while frontier:
        for foreign_key in _unmet(remaining[frontier.pop()], remaining):
            target = (foreign_key.schema, foreign_key.table)
            if target not in reached:
                reached.add(target)
                frontier.append(target)
    return reached
