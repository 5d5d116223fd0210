"""Describing: which columns a query has, before its rows are asked for. Steps.

Drivers tell names and OIDs. The labels of enums, and the precision of numerics that are columns of tables, are asked
for where there are any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.bulk.arrow.columns import NUMERIC, NUMERIC_ARRAY, Column, column_of
from psqlmodel.core.transaction import execute
from psqlmodel.errors import QueryError
from psqlmodel.query.expression import ColumnExpression, Labeled
from psqlmodel.query.lexing import first_word
from psqlmodel.query.nodes import TableSource
from psqlmodel.query.outputs import EntityOutput, Output
from psqlmodel.query.quoting import qualified
from psqlmodel.schema.description import TypeInfo
from psqlmodel.schema.inspect import TYPE_FIELDS, TYPES_UNDER_WANTED, types_from
from psqlmodel.steps import Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

FIRST_OF_USERS: Final = 16384  # OIDs below are PostgreSQL's own

_TYPES = f"""
WITH RECURSIVE wanted AS (SELECT unnest($1::oid[]) AS oid), types AS ({TYPES_UNDER_WANTED})
SELECT {TYPE_FIELDS} FROM types t
"""  # noqa: S608 (constants)

_MODIFIED = """
SELECT w.number, pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM unnest($1::int8[], $2::text[], $3::text[]) AS w (number, relation, name)
JOIN pg_catalog.pg_attribute a ON a.attrelid = pg_catalog.to_regclass(w.relation) AND a.attname = w.name
"""

_READING: Final = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})


def described(workspace: Workspace, text: str, args: Sequence[Any], outputs: Sequence[Output]) -> Steps[list[Column]]:
    """Return the columns of a query; its text is run for no row. `outputs` are those of the builder, where it made it.

    Raises `QueryError` for a text that is no query, or one without columns.
    """
    if first_word(text) not in _READING:
        raise QueryError('copy_to: format="arrow" takes a query that only reads: SELECT, WITH, VALUES or TABLE')
    about = f"SELECT * FROM (\n{text}\n) AS q LIMIT 0"  # noqa: S608 (a query of the program)
    rows = yield from execute(workspace, Statement(about, args, prepare=bool(args)))
    if not rows.shape.names:
        raise QueryError("copy_to: the query has no columns")
    oids = [abs(oid) for oid in rows.shape.oids]
    modified = yield from _modified(workspace, oids, outputs)
    types = yield from _types(workspace, oids)
    named = zip(rows.shape.names, oids, modified, strict=True)
    return [column_of(name, oid, spelled, types) for name, oid, spelled in named]


def _types(workspace: Workspace, oids: Sequence[int]) -> Steps[dict[int, TypeInfo]]:
    wanted = sorted({oid for oid in oids if oid >= FIRST_OF_USERS})
    if not wanted:
        return {}
    rows = yield from execute(workspace, Statement(_TYPES, [wanted], purpose="catalog"))
    return types_from(rows.data)


def _modified(workspace: Workspace, oids: Sequence[int], outputs: Sequence[Output]) -> Steps[list[str]]:
    """Return the spelling of each type with its precision, as far as it is known and needed."""
    spelled = [""] * len(oids)
    asked: list[tuple[int, str, str]] = []
    for n, expression in enumerate(_expressions(outputs)):
        if oids[n] not in (NUMERIC, NUMERIC_ARRAY):
            continue
        spelled[n] = getattr(getattr(expression, "type", None), "name", "")
        if isinstance(expression, ColumnExpression) and isinstance(expression.origin.source, TableSource):
            source = expression.origin.source
            asked.append((n, qualified(source.name, source.schema), expression.origin.name or ""))
    if asked:
        numbers, relations, names = map(list, zip(*asked, strict=True))
        statement = Statement(_MODIFIED, [numbers, relations, names], purpose="catalog")
        rows = yield from execute(workspace, statement)
        for number, found in rows.data:
            spelled[number] = found
    return spelled


def _expressions(outputs: Sequence[Output]) -> Iterator[Any]:
    """Give what each column is of."""
    for output in outputs:
        if isinstance(output, EntityOutput):
            yield from output.columns
        else:
            inner = output.expression
            while isinstance(inner, Labeled):
                inner = inner.inner
            yield inner
