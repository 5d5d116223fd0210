"""Sending: a request of bulk work. An error of the server is told which model it is about. Steps.

A bulk call is whole: where it fails after some of its rows were sent, the transaction (or the innermost savepoint) ends
as it does with an error of the server, so that no part of the call can be committed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from psqlmodel.core.bulk.rows import Batch
from psqlmodel.core.transaction import execute, fail
from psqlmodel.core.unitofwork.blame import blame
from psqlmodel.errors import DatabaseError, PSQLModelError, SessionError, StaleObjectError
from psqlmodel.steps import Copy, Rows, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

T = TypeVar("T")


def send(workspace: Workspace, batch: Batch, request: Statement | Copy) -> Steps[Rows]:
    """Send a request that writes a batch; its errors name the model, and its position."""
    rows = yield from execute(workspace, request, partial(_locate, batch=batch))
    workspace.transaction.worked = True
    return rows


def whole(workspace: Workspace, verb: str, steps: Steps[T]) -> Steps[T]:
    """Run the steps of a bulk call; where they fail after something was sent, nothing of it stays.

    Keys that match no row are told before anything is lost by them: then the program decides.
    """
    before = workspace.transaction.sent
    try:
        return (yield from steps)
    except (GeneratorExit, StaleObjectError):
        raise
    except Exception as error:
        if workspace.transaction.sent != before:
            ours = isinstance(error, PSQLModelError)
            ended = error if ours else SessionError(f"{verb} stopped in the middle: {type(error).__name__}")
            yield from fail(workspace, ended)
        raise


def copy_line(error: DatabaseError) -> int | None:
    """Return the row of a COPY that the server stopped at: it says so in the error's context, on both drivers."""
    found = _where(error)
    return int(found.group(1)) if found else None


def copy_column(error: DatabaseError) -> str | None:
    """Return the column of a COPY that the server stopped at, where it was a value that it could not read."""
    found = _where(error)
    return found.group(2) if found else None


def _where(error: DatabaseError) -> re.Match[str] | None:
    cause = error.__cause__
    context = getattr(getattr(cause, "diag", cause), "context", None)
    return re.search(r"^COPY .*?, line (\d+)(?:, column ([^:\n]+?)(?:: |$))?", context or "", re.MULTILINE)


def _locate(error: DatabaseError, batch: Batch) -> None:
    rows = batch.items if batch.of_objects else _shown(batch)
    blame(error, batch.mapper, rows)
    line = copy_line(error)
    at = line - 1 if line is not None and line <= len(rows) else _index(rows, error.object)
    if at is None:
        return
    error.object = batch.items[at]
    error.args = (f"models[{batch.positions[at]}]: {error.args[0]}", *error.args[1:])


def _shown(batch: Batch) -> Sequence[Any]:
    """Return dictionaries and tuples as objects, for those who look at objects."""
    names = list(batch.columns)
    if not names:
        return [SimpleNamespace() for _ in batch.items]
    rows = zip(*batch.columns.values(), strict=True)
    return [SimpleNamespace(**dict(zip(names, values, strict=True))) for values in rows]


def _index(rows: Sequence[Any], wanted: Any) -> int | None:
    return next((n for n, row in enumerate(rows) if row is wanted), None)
