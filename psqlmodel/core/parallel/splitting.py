"""Splitting: one query of a large table as several, each of a part of the table; together they give each row once.

A table is split by its blocks, `ctid`: each part is read in the order of the disk, whatever the keys are. (By ranges
of the key, which are looked up in an index, a table of a million rows in the order of its keys took as long; one in
another order 2.4 to 4.8 times as long.) What has no blocks, a view or a foreign table, is split by an integer key. In
one snapshot a row stands in one place, so that the parts neither overlap nor leave a gap. Steps.
"""

from __future__ import annotations

from typing import Any, Final

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import ColumnExpression, Expression, compose, literal
from psqlmodel.query.nodes import COMPARISON, GROUPED, TableSource
from psqlmodel.query.quoting import qualified
from psqlmodel.query.select import SelectQuery
from psqlmodel.steps import Statement, Steps

_PARTS_EACH: Final = 4  # for each worker: one whose parts are quickly read takes more of them
_BLOCKS: Final = 128  # at least in a part (1 MB); less is not worth a query
_KEEPS_ALL: Final = ("\nRIGHT JOIN ", "\nFULL JOIN ")  # these give rows that are in no part of the table

# The subquery of the table locks it against what would move its rows (CLUSTER, VACUUM FULL, TRUNCATE).
_ABOUT: Final = """
WITH RECURSIVE tables AS (
    SELECT c.oid, c.relkind FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1::text)
    UNION ALL
    SELECT c.oid, c.relkind FROM tables t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
)
SELECT bool_and(t.relkind IN ('r', 'm', 'p')),
       max(pg_catalog.pg_relation_size(t.oid)) / pg_catalog.current_setting('block_size')::int8,
       EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = pg_catalog.to_regclass($1::text)
               AND a.attname = $2::text AND a.atttypid IN (20, 21, 23)),
       (SELECT 1 FROM {table} LIMIT 0)
FROM tables t
"""


def check_scan(query: Any) -> None:
    """Raise `QueryError` for a query whose parts would not give together what it gives."""
    if not isinstance(query, SelectQuery):
        what = f"the class {query.__name__}: write Select(…)" if isinstance(query, type) else type(query).__name__
        raise QueryError(f"parallel_scan takes a Select of a table, not {what}")
    if len(query.base) != 1 or type(query.base[0]) is not TableSource:
        raise QueryError("parallel_scan takes a Select of one model's table: Select(Event)")
    if query.base[0].distribution is not None:
        raise QueryError(
            f"parallel_scan can't split {query.base[0]!r}: its rows are on several servers, which have no snapshot "
            "together: read them with session.stream"
        )
    for clause, used in _clauses(query).items():
        if used:
            raise QueryError(
                f"parallel_scan splits the table, and {clause} is about all rows together: leave it out, or send the "
                "query with exec"
            )


def _clauses(query: SelectQuery[Any]) -> dict[str, Any]:
    return {
        "OrderBy": query.ordering,
        "Limit": query.most is not None,
        "Offset": query.skipped is not None,
        "GroupBy": query.grouping or query.group_conditions,
        "Distinct": query.distinct_on is not None,
        "an aggregate or window function": any(output.flags & GROUPED for output in query.outputs),
        "RightJoin or FullJoin": any(kind in _KEEPS_ALL for kind, _, _ in query.joins),
        "a row lock": query.locks,
        ".With(…)": query.extra_tables,
    }


def split(query: SelectQuery[Any], workers: int) -> Steps[list[SelectQuery[Any]]]:
    """Return the query as several, in the order of the table; the table is locked against being rewritten.

    Raises `QueryError` for a view or foreign table without an integer key.
    """
    source: Any = query.base[0]
    key = _key(query, source)
    table = qualified(source.name, source.schema)
    name = None if key is None else key.name
    rows = yield Statement(_ABOUT.format(table=table), (table, name), prepare=False, purpose="catalog")
    stored, blocks, has_key, _ = rows.data[0]
    if stored:
        return _by_blocks(query, source, min(workers * _PARTS_EACH, int(blocks) // _BLOCKS), int(blocks))
    if key is None or not has_key:
        raise QueryError(
            f"parallel_scan can't split {table}, which is no table, without a primary key of one integer column: send "
            "the query with exec or stream"
        )
    return (yield from _by_key(query, key, table, workers * _PARTS_EACH))


def _key(query: SelectQuery[Any], source: TableSource) -> ColumnExpression[Any] | None:
    """Return the only column of the primary key, as far as the query says of which model it is."""
    for entity in query.entities:
        if entity.__mapper__.source is source and len(entity.__mapper__.primary_key) == 1:
            found: ColumnExpression[Any] = entity.__mapper__.primary_key[0]
            return found
    return None


def _by_blocks(query: SelectQuery[Any], source: TableSource, parts: int, blocks: int) -> list[SelectQuery[Any]]:
    """Cut at the first row of a block. The last part is open: the table may have grown."""
    cuts: list[Expression[Any]] = [literal(f"({blocks * n // parts},0)") for n in range(1, parts)]
    place = f"{source.qualifier}.ctid"
    below = [compose(COMPARISON, None, f"{place} < ", cut, "::tid") for cut in cuts]
    above = [compose(COMPARISON, None, f"{place} >= ", cut, "::tid") for cut in cuts]
    return _between(query, below, above)


def _by_key(
    query: SelectQuery[Any], key: ColumnExpression[Any], table: str, parts: int
) -> Steps[list[SelectQuery[Any]]]:
    """Cut the range of the keys into equal parts. The first and the last are open; NULL is in the first."""
    column = key.shape
    text = f"SELECT min({column})::int8, max({column})::int8 FROM {table}"  # noqa: S608 (quoted names)
    rows = yield Statement(text, prepare=False, purpose="catalog")
    low, high = rows.data[0]
    if low is None:
        return [query]
    parts = min(parts, high - low + 1)
    cuts = [low + (high - low + 1) * n // parts for n in range(1, parts)]
    below: list[Any] = [key < cut for cut in cuts]
    if below:
        below[0] = below[0] | key.IsNull()
    return _between(query, below, [key >= cut for cut in cuts])


def _between(query: SelectQuery[Any], below: list[Any], above: list[Any]) -> list[SelectQuery[Any]]:
    lower: list[list[Any]] = [[], *([each] for each in above)]
    upper: list[list[Any]] = [*([each] for each in below), []]
    limits = [[*low, *high] for low, high in zip(lower, upper, strict=True)]
    return [query.Where(*each) if each else query for each in limits]
