"""Sending: a statement of the flush. An error of the server is told which model and object it is about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.transaction import execute
from psqlmodel.core.unitofwork.blame import blame
from psqlmodel.model.mapper import Mapper
from psqlmodel.steps import Rows, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


# From so many rows or keys on, a statement is planned for its arrays. The server takes an array that it does not see
# for ten elements, and a plan that was made for ten, or for a small table, may compare every row with every element:
# an UPDATE of 10,000 rows then took 1 s instead of 0.08, to get as many by composite keys 2 s instead of 0.07.
MANY: Final = 500


def send(workspace: Workspace, mapper: Mapper, objects: Sequence[Any], statement: Statement) -> Steps[Rows]:
    """Send a statement that writes `objects`."""
    statement.fresh = statement.fresh or len(objects) >= MANY
    return (yield from execute(workspace, statement, partial(blame, mapper=mapper, objects=objects)))
