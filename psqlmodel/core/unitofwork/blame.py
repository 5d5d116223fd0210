"""Blame: which object, column and value an error of the server is about. Pure; it looks while the objects still are as
they were sent, before the rollback restores them.

PostgreSQL names the column of a NOT NULL violation and the key of a unique one; of a failed check it shows the row, of
a value that is too long or too great only the limit. The rest is found by comparing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from psqlmodel.errors import CheckViolation, DatabaseError, DataError, NotNullViolation, UniqueViolation
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.state import UNSET
from psqlmodel.schema.names import stable_name

_TOO_LONG = re.compile(r"value too long for type \w+(?: varying)?\((\d+)\)")
_OVERFLOW = re.compile(r"absolute value less than (?:10\^(\d+)|1)\b")
_NUMERIC = re.compile(r"numeric\((\d+)(?:,\s*(-?\d+))?\)")


def blame(error: DatabaseError, mapper: Mapper, objects: Sequence[Any]) -> None:
    """Set model, columns, object and value of an error, as far as they can be told."""
    error.model = mapper.cls
    if not error.columns:
        error.columns = tuple(str(column.name) for column in _columns_at_fault(error, mapper, objects))
        if isinstance(error, DataError) and error.columns:  # of a constraint the server names at least that
            where = " or ".join(f"{mapper.name}.{mapper.by_name[name].key}" for name in error.columns)
            error.args = (f"{where}: {error}",)
    keys = [str(mapper.by_name[name].key) for name in error.columns if name in mapper.by_name]
    error.object = objects[0] if len(objects) == 1 else _object_at_fault(error, mapper, objects, keys)
    if error.object is not None and keys:
        value = mapper.seen(error.object.__dict__, keys[0])
        error.value = None if value is UNSET else value


def _columns_at_fault(error: DatabaseError, mapper: Mapper, objects: Sequence[Any]) -> Iterator[Column[Any]]:
    """Give the columns that an error is about where the server does not name them."""
    if isinstance(error, CheckViolation):
        for column in mapper.columns:
            if column.check and error.constraint == stable_name("ck", mapper.table, str(column.name)):
                yield column
    elif isinstance(error, DataError):
        too_much = _limit(error)
        if too_much is not None:
            found = [c for c in mapper.columns if any(too_much(obj.__dict__.get(c.key)) for obj in objects)]
            yield from [column for column in found if _has_limit(column, error)] or found


def _object_at_fault(error: DatabaseError, mapper: Mapper, objects: Sequence[Any], keys: list[str]) -> Any:
    if isinstance(error, NotNullViolation) and keys:
        return next((obj for obj in objects if obj.__dict__.get(keys[0]) is None), None)
    if isinstance(error, UniqueViolation) and keys:
        return _with_key(objects, keys, error.detail or "")
    if isinstance(error, CheckViolation):
        return _with_row(mapper, objects, error.detail or "")
    if isinstance(error, DataError) and keys:
        too_much = _limit(error)
        return next((o for o in objects if too_much is not None and too_much(o.__dict__.get(keys[0]))), None)
    return None


def _limit(error: DataError) -> Callable[[Any], bool] | None:
    """Return what tells whether a value exceeds the limit that the error names."""
    text = f"{error} {error.detail or ''}"
    length = _TOO_LONG.search(text)
    if length is not None:
        longest = int(length[1])
        return lambda value: isinstance(value, str) and len(value) > longest
    power = _OVERFLOW.search(text)
    if power is not None:
        least: Any = Decimal(10) ** int(power[1] or 0)
        return lambda value: isinstance(value, Decimal | int | float) and bool(abs(value) >= least)
    return None


def _has_limit(column: Column[Any], error: DataError) -> bool:
    """Tell whether the model gives a number the precision that the error names; a table may have another."""
    power, declared = _OVERFLOW.search(error.detail or ""), _NUMERIC.fullmatch(str(column.pg_type.name))
    return bool(power and declared and int(power[1] or 0) == int(declared[1]) - int(declared[2] or 0))


def _with_key(objects: Sequence[Any], keys: list[str], detail: str) -> Any:
    """Return the last object whose values the detail names: `Key (a, b)=(x, y) already exists.`"""
    _, found, rest = detail.partition(")=(")
    values = rest.rpartition(")")[0] if found else None
    for obj in reversed(objects):
        if values is not None and ", ".join(str(obj.__dict__.get(key)) for key in keys) == values:
            return obj
    return None


def _with_row(mapper: Mapper, objects: Sequence[Any], detail: str) -> Any:
    """Return the object that is most like the row of the detail: `Failing row contains (1, x, -5).`"""
    _, found, rest = detail.partition("(")
    if not found:
        return None
    shown = set(rest.rpartition(")")[0].split(", "))
    best = max(objects, key=lambda obj: sum(text in shown for text in _texts(mapper, obj)), default=None)
    return best if best is not None and any(text in shown for text in _texts(mapper, best)) else None


def _texts(mapper: Mapper, obj: Any) -> Iterator[str]:
    """Give the values of an object as the server writes them, where that is simple."""
    for key in mapper.keys:
        value = obj.__dict__.get(key)
        if isinstance(value, bool):
            yield "t" if value else "f"
        elif isinstance(value, str | int | float | Decimal):
            yield str(value)
