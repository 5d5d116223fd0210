"""Explaining: how the server would execute a query, or does execute it. Steps.

What is analyzed is executed, within a savepoint that is rolled back: only sequences keep what they gave out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core import savepoint
from psqlmodel.core.loading.reading import prepared
from psqlmodel.core.transaction import execute, rollback_savepoint
from psqlmodel.errors import PSQLModelError, QueryError
from psqlmodel.observe.plan import QueryPlan
from psqlmodel.query.raw import translate_params
from psqlmodel.query.sql import by_hand
from psqlmodel.query.statement import Query
from psqlmodel.steps import Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

_ESTIMATED: Final = "EXPLAIN (FORMAT JSON) "
_ANALYZED: Final = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "


def plan_of(workspace: Workspace, query: Any, params: Any, *, analyze: bool) -> Steps[QueryPlan]:
    """Return the plan of a query of the builder, or of SQL text with its parameters.

    Raises `QueryError` for anything else, and what the server says of the query.
    """
    text, args = yield from _statement(workspace, query, params)
    return (yield from (_analyzed if analyze else _estimated)(workspace, text, args))


def _estimated(workspace: Workspace, text: str, args: Any) -> Steps[QueryPlan]:
    rows = yield from execute(workspace, Statement(_ESTIMATED + text, args, purpose="explain"))
    return QueryPlan(rows.data[0][0], text)


def _analyzed(workspace: Workspace, text: str, args: Any) -> Steps[QueryPlan]:
    inner = yield from savepoint.enter(workspace, None)
    try:
        rows = yield from execute(workspace, Statement(_ANALYZED + text, args, purpose="explain"))
    except PSQLModelError as error:
        yield from savepoint.leave(workspace, inner, error)
        raise
    yield from rollback_savepoint(workspace, inner)
    return QueryPlan(rows.data[0][0], text)


def _statement(workspace: Workspace, query: Any, params: Any) -> Steps[tuple[str, Any]]:
    if isinstance(query, str):
        return translate_params(query, params)
    written = None if isinstance(query, Query) else by_hand(query)
    if written is None and not isinstance(query, Query):
        raise QueryError(f"explain takes a query or SQL text, not {type(query).__name__}")
    if params is not None:
        raise QueryError(
            "params belong to SQL text; a query of the builder, SQL(…) and t-strings have their values inside"
        )
    if written is not None:
        return written.statement()
    compiled = yield from prepared(workspace, query)
    return compiled.text, compiled.args
