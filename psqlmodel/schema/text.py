"""Expressions → the text of DDL, which takes no parameters: constants are written out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from psqlmodel.errors import MappingError
from psqlmodel.query.expression import Expression
from psqlmodel.query.quoting import quote_literal


def sql_text(value: Any) -> str:
    """Return the SQL of a default or condition: text as it is, an expression with its constants written out.

    Raises `MappingError` for anything else, and for constants that are no number, text or boolean.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Expression):
        return "".join(_texts(value.shape, iter(value.params)))
    raise MappingError(
        f"a default or condition of the database is SQL text or an expression, not {type(value).__name__}: "
        'write SQL text such as "0" or "now()"'
    )


def _texts(shape: Any, params: Iterator[Any]) -> Iterator[str]:
    if shape is None:
        yield _constant(next(params))
    elif isinstance(shape, str):
        yield shape
    elif isinstance(shape, tuple):
        for part in shape:
            yield from _texts(part, params)
    else:
        raise MappingError("this expression can't stand in a constraint or default: write SQL text")


def _constant(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, str):
        return quote_literal(value)
    raise MappingError(f"a {type(value).__name__} can't be written into a constraint: write SQL text")
