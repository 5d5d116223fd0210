"""Spreading: the calls that spread tables over the nodes of a Citus cluster, in an order that they can have. Pure.

A table that is spread already is left as it is, so that the statements may run again. A database whose setting
`psqlmodel.distribution` is `plain` keeps its tables plain: for development and tests without a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from psqlmodel.query.quoting import qualified, quote_literal
from psqlmodel.schema.description import DistributionInfo, TableInfo

_PLAIN: Final = "pg_catalog.current_setting('psqlmodel.distribution', true) = 'plain'"


def ready_to_distribute(first: TableInfo) -> str:
    """Return the statement that fails, and says what to do, where there is no Citus; `first` is named in its message.

    It has the tables spread one shard after the other: keys to reference tables can't be made in the transaction that
    worked on several shards at once.
    """
    message = (
        f"{first.name} is a table of a Citus cluster, and this database has no Citus: CREATE EXTENSION citus; or, "
        "where the tables are to stay plain (development, tests), "
    )
    return _do(
        "    IF NOT EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proname = 'create_distributed_table') THEN\n"
        "        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = "
        f"{_constant(message)} || pg_catalog.format('ALTER DATABASE %I SET psqlmodel.distribution = ''plain''', "
        "pg_catalog.current_database());\n"
        "    END IF;\n"
        "    PERFORM pg_catalog.set_config('citus.multi_shard_modify_mode', 'sequential', true);"
    )


def distribute(tables: Sequence[TableInfo]) -> Iterator[str]:
    """Give the statements that spread these tables: reference tables first, and each after that which it goes with."""
    yield from (_spread(table, "create_reference_table") for table in tables if _info(table).column is None)
    for table in _in_order([table for table in tables if _info(table).column is not None]):
        info = _info(table)
        group = info.colocate_with
        column = f", {_constant(info.column or '')}"
        with_ = "" if group is None else f", colocate_with => {_constant(group)}"
        yield _spread(table, "create_distributed_table", column + with_)


def _in_order(tables: Iterable[TableInfo]) -> Iterator[TableInfo]:
    left = {qualified(table.name, table.schema): table for table in tables}
    while left:
        ready = (name for name, table in left.items() if _info(table).colocate_with not in left)
        yield left.pop(next(ready, next(iter(left))))  # of a circle the first: the server says what is wrong with it


def _spread(table: TableInfo, function: str, arguments: str = "") -> str:
    name = _constant(qualified(table.name, table.schema))
    return _do(
        f"    IF NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = {name}::regclass) THEN\n"
        f"        PERFORM {function}({name}{arguments});\n"
        "    END IF;"
    )


def _do(body: str) -> str:
    tag = "$do$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return f"DO {tag} BEGIN\n    IF {_PLAIN} THEN\n        RETURN;\n    END IF;\n{body}\nEND {tag}"


def _info(table: TableInfo) -> DistributionInfo:
    assert table.distribution is not None
    return table.distribution


def _constant(text: str) -> str:
    return quote_literal(text).strip()
