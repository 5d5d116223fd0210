"""The hook through which `Select(User).all()` reaches the current session; `psqlmodel.core` sets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psqlmodel.errors import NoActiveSessionError

if TYPE_CHECKING:
    from psqlmodel.query.statement import Query

Runner = Callable[["Query[Any]", str], Any]

_runner: Runner | None = None


def set_runner(runner: Runner) -> None:
    """Say who executes queries: a function of the query and the verb (`"all"`, `"first"`, …)."""
    global _runner
    _runner = runner


def current(query: Query[Any], verb: str) -> Any:
    """Execute a query in the current session; raise `NoActiveSessionError` where nothing can."""
    if _runner is None:
        raise NoActiveSessionError("no session is active; pass the query to session.exec(…)")
    return _runner(query, verb)
