"""The hook through which `Select(User).all()` reaches the current session; `psqlmodel.core` sets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psqlmodel.errors import NoActiveSessionError

if TYPE_CHECKING:
    from psqlmodel.query.statement import Query

Runner = Callable[["Query[Any]", str], Any]

Finder = Callable[[], Any]

_runner: Runner | None = None
_finder: Finder | None = None


def set_runner(runner: Runner, finder: Finder) -> None:
    """Say who executes queries: a function of the query and the verb (`"all"`, …); and who finds the session."""
    global _runner, _finder
    _runner, _finder = runner, finder


def session() -> Any:
    """Return the current session; raise `NoActiveSessionError` where there is none."""
    if _finder is None:
        raise NoActiveSessionError("no session is active; pass the query to session.explain(…)")
    return _finder()


def current(query: Query[Any], verb: str) -> Any:
    """Execute a query in the current session; raise `NoActiveSessionError` where nothing can."""
    if _runner is None:
        raise NoActiveSessionError("no session is active; pass the query to session.exec(…)")
    return _runner(query, verb)
