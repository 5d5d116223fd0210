"""Shards: queries of the builder that no cluster answers are refused before they are sent, with what to write instead.

Asked only where a class is distributed. What the server refuses by itself in plain words is left to it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psqlmodel.core.unitofwork.routing import check_written
from psqlmodel.errors import QueryError
from psqlmodel.model.mapper import Mapper, registry
from psqlmodel.query.insert import InsertQuery
from psqlmodel.query.merge import MergeQuery
from psqlmodel.query.nodes import AND, Node, TableSource
from psqlmodel.query.quoting import quote
from psqlmodel.query.select import SelectQuery
from psqlmodel.query.update import UpdateQuery


def check_query(query: Any) -> None:
    """Refuse a change of the distribution column, a lock of rows on several shards, and a MERGE from elsewhere.

    Raises `QueryError`.
    """
    if isinstance(query, SelectQuery):
        if query.locks:
            _check_lock(query)
        return
    mapper = _mapper(getattr(query, "entity", None))
    if mapper is None or mapper.distribution is None:
        return
    if isinstance(query, UpdateQuery):
        check_written(mapper, [column.origin for column, _ in query.assignments], f"Update({mapper.name})")
    elif isinstance(query, InsertQuery) and query.action:
        written = [column.origin for column, _ in query.action]
        check_written(mapper, written, f"Insert({mapper.name}).OnConflict(…).DoUpdate(…)")
    elif isinstance(query, MergeQuery):
        _check_merge(mapper, query)


def _mapper(entity: Any) -> Mapper | None:
    found: Mapper | None = getattr(getattr(entity, "__entity__", entity), "__mapper__", None)
    return found


def _check_lock(query: SelectQuery[Any]) -> None:
    held = [source for source in query.sources_in_from if isinstance(source, TableSource)]
    spread = [(source, source.distribution) for source in held if source.distribution is not None]
    pinned = set(_pinned(query.conditions))
    if spread and not any(f"{source.qualifier}.{quote(name)}" in pinned for source, name in spread):
        source, name = spread[0]
        raise QueryError(
            f"rows of {source!r} are locked on one shard only: add .Where({name} == …), the distribution column, to "
            "the query, or lock the rows of each in a query of its own"
        )


def _pinned(conditions: tuple[Node, ...]) -> Iterator[Any]:
    """Give the columns, as SQL text, that are equal to one value in conditions that all hold."""
    for condition in conditions:
        terms = condition.shape[::2] if condition.level == AND else (condition.shape,)
        for term in terms:
            if isinstance(term, tuple) and len(term) == 3 and term[1:] == (" = ", None):
                yield term[0]


def _check_merge(mapper: Mapper, query: MergeQuery[Any]) -> None:
    others = query.tables - {mapper.qualified}
    plain = [m.name for m in registry.mappers() if m.qualified in others and m.distribution is None]
    if mapper.distribution is not None and mapper.distribution.column is None:
        why = f"{mapper.name} is a reference table, and Citus merges into distributed ones only"
    elif not others:
        why = "its rows are in no table of the cluster"
    elif plain:
        why = f"{plain[0]} is no table of the cluster"
    else:
        return
    raise QueryError(
        f"Merge({mapper.name}): {why}. Write rows with session.upsert or session.bulk_upsert, or merge from a table "
        "that is distributed by the same column"
    )
