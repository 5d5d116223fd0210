"""Sending: a statement of the flush, and what an error of the server says about which model and object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.transaction import execute
from psqlmodel.errors import DatabaseError, NotNullViolation, UniqueViolation
from psqlmodel.model.mapper import Mapper
from psqlmodel.steps import Rows, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def send(workspace: Workspace, mapper: Mapper, objects: Sequence[Any], statement: Statement) -> Steps[Rows]:
    """Send a statement that writes `objects`; an error of the server is told what it is about."""
    try:
        return (yield from execute(workspace, statement))
    except DatabaseError as error:
        blame(error, mapper, objects)
        raise


def blame(error: DatabaseError, mapper: Mapper, objects: Sequence[Any]) -> None:
    """Set model, object and value of an error, as far as it says which row of several it was."""
    error.model = mapper.cls
    keys = [mapper.by_name[name].key for name in error.columns if name in mapper.by_name]
    if len(objects) == 1:
        error.object = objects[0]
    elif isinstance(error, NotNullViolation) and keys:
        error.object = next((o for o in objects if o.__dict__.get(keys[0]) is None), None)
    elif isinstance(error, UniqueViolation) and keys:
        error.object = _with_values(objects, keys, error.detail or "")
    if error.object is not None and keys:
        error.value = error.object.__dict__.get(keys[0])


def _with_values(objects: Sequence[Any], keys: list[str], detail: str) -> Any:
    """Return the last object whose values PostgreSQL's detail names: `Key (a, b)=(x, y) already exists.`"""
    _, found, rest = detail.partition(")=(")
    values = rest.rpartition(")")[0] if found else None
    if values is None:
        return None
    for obj in reversed(objects):
        if ", ".join(str(obj.__dict__.get(key)) for key in keys) == values:
            return obj
    return None
