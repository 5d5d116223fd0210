"""Sending: a statement of the flush. An error of the server is told which model and object it is about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from psqlmodel.core.transaction import execute
from psqlmodel.core.unitofwork.blame import blame
from psqlmodel.model.mapper import Mapper
from psqlmodel.steps import Rows, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def send(workspace: Workspace, mapper: Mapper, objects: Sequence[Any], statement: Statement) -> Steps[Rows]:
    """Send a statement that writes `objects`."""
    return (yield from execute(workspace, statement, partial(blame, mapper=mapper, objects=objects)))
