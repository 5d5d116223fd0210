"""Versions: the column by which a row tells that someone else changed it. Checks declarations; sends nothing.

It is a column of the model (`Column(version=True)`: an integer that counts, or a timestamp), or PostgreSQL's system
column `xmin`, which every row has (`@table(…, optimistic="xmin")`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psqlmodel.errors import MappingError
from psqlmodel.types import custom

if TYPE_CHECKING:
    from psqlmodel.model.fields import Column
    from psqlmodel.query.nodes import TableSource

XMIN: Final = "xmin"
_XID: Final = custom("xid")
_COUNTS: Final = frozenset({"int2", "int4", "int8"})
_TIMES: Final = frozenset({"timestamp", "timestamptz"})


def as_version(owner: str, column: Column[Any]) -> Column[Any]:
    """Give a column that is declared as version what it needs: its first value.

    Raises `MappingError` for a column that can't be one.
    """
    transport = column.pg_type.transport
    if column.primary_key or column.nullable or column.generated is not None or column.pg_type.serial:
        raise MappingError(f"{owner}.{column.key}: a version is a plain column that is not NULL and no key")
    if transport not in _COUNTS | _TIMES:
        raise MappingError(f"{owner}.{column.key}: a version is an integer or a timestamp, not {column.pg_type.name}")
    if not column.has_default() and column.server_default is None:
        if transport in _COUNTS:
            column.default = 1
        else:
            column.server_default = "clock_timestamp()"
    return column


def guard(owner: str, source: TableSource, attributes: dict[str, Column[Any]], optimistic: str | None) -> None:
    """Add the attribute `xmin` where it is the version of a table.

    Raises `MappingError` for two versions, another value of `optimistic`, and a column that has the name already.
    """
    from psqlmodel.model.fields import Column

    declared = [key for key, column in attributes.items() if column.version]
    if len(declared) > 1:
        raise MappingError(f"{owner} has several version columns: {', '.join(declared)}")
    if optimistic is None:
        return
    if optimistic != XMIN:
        raise MappingError(f'{owner}: optimistic={optimistic!r} is not known; write optimistic="xmin"')
    if declared:
        raise MappingError(f'{owner}: the version is {declared[0]} already; leave out optimistic="xmin"')
    if XMIN in attributes:
        raise MappingError(f'{owner}.xmin: optimistic="xmin" makes this attribute itself; do not declare it')
    unbound: Any = Column(type=_XID, generated=XMIN, version=True)
    attributes[XMIN] = unbound.bind(source, XMIN, _XID, nullable=False)


def is_system(column: Column[Any]) -> bool:
    """Tell whether every table has the column by itself, so that no DDL makes it."""
    return column.type is _XID and column.generated == XMIN
