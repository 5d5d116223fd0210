"""SQL that users write: placeholders `%s` and `%(name)s` → `$1 … $n`, Python values → wire values.

Pure. The same text means the same on both drivers. Without parameters the text is sent as it is, so that a
literal `%` needs no doubling; with parameters `%%` is one `%`, and a single `%` that is no placeholder stays.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from types import NoneType
from typing import Any, Final
from uuid import UUID

from psqlmodel.errors import InvalidValueError, MappingError, QueryError
from psqlmodel.query.lexing import tokens
from psqlmodel.types import Multirange, Range, from_annotation
from psqlmodel.types.jsons import check_storable
from psqlmodel.types.quoting import check_statement
from psqlmodel.types.scalars import dump_str

_NATIVE: Final = frozenset({NoneType, int, bool, float, Decimal, bytes, date, time, datetime, timedelta, UUID})
_checked_text: Final = dump_str("text")


def translate_params(sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> tuple[str, list[Any]]:
    """Return SQL with `$1 … $n` and the wire values for them.

    `params` is a list or tuple for `%s` (or `$1 … $n`), a mapping for `%(name)s`, None or empty for none.
    Raises `QueryError` where text and parameters do not fit or the text holds a NUL, `InvalidValueError` for a value
    that no PostgreSQL type holds.

        translate_params("SELECT * FROM users WHERE id = %s", [1])  # ("… id = $1", [1])
    """
    if not isinstance(sql, str):
        raise QueryError(f"SQL must be a str, not {type(sql).__name__}")
    _ = check_statement(sql)
    if params is None:
        return sql, []
    if isinstance(params, Mapping):
        return _by_name(sql, params) if params else (sql, [])
    if isinstance(params, str | bytes) or not isinstance(params, Sequence):
        raise QueryError(
            f"params must be a list, a tuple or a mapping, not {type(params).__name__}; for one value write [value]"
        )
    return _by_position(sql, params) if params else (sql, [])


def dump(value: Any) -> Any:
    """Return the wire value for a Python value, by its Python type alone.

    A dict becomes JSON text, a list or tuple an array, an Enum its value. Raises `InvalidValueError`, which
    names the type and not the value.
    """
    kind = type(value)
    if kind in _NATIVE:
        return value
    if kind is str:
        return _checked_text(value)
    if isinstance(value, enum.Enum):
        return dump(value.value)
    if kind is list or kind is tuple:
        return [dump(item) for item in value]
    if kind is bytearray or kind is memoryview:
        return bytes(value)
    if kind is dict:
        return check_storable("json", json.dumps(value, ensure_ascii=False, default=_json_default))
    try:
        return from_annotation(_annotation(value)).dump(value)
    except MappingError as error:
        raise InvalidValueError(
            f"a parameter of type {kind.__qualname__} has no PostgreSQL type; convert it first, or give its text"
        ) from error


def _annotation(value: Any) -> Any:
    """Return the annotation that says the type of a value; for a range it depends on its ends."""
    kind: Any = type(value)
    ranges: tuple[Any, ...] = (value,) if _is(value, Range) else tuple(value) if _is(value, Multirange) else ()
    for each in ranges:
        for end in (each.lower, each.upper):
            if end is not None:
                return kind[type(end)]
    return kind[int] if _is(value, Range) or _is(value, Multirange) else kind


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind)


# --- texts --------------------------------------------------------------------------------------------------


def _by_position(sql: str, params: Sequence[Any]) -> tuple[str, list[Any]]:
    text, names, count, highest = _translate(sql)
    if names:
        raise QueryError(f"the SQL has named placeholders (%({names[0]})s); pass params as a mapping")
    expected = count or highest
    if count and highest:
        raise QueryError("the SQL mixes %s with $1; use one of them")
    if len(params) != expected:
        advice = "" if expected else "; write %s where a value belongs"
        raise QueryError(f"the SQL has {expected} placeholders and params has {len(params)} values{advice}")
    return text, [dump(value) for value in params]


def _by_name(sql: str, params: Mapping[str, Any]) -> tuple[str, list[Any]]:
    text, names, count, highest = _translate(sql)
    if count or highest:
        raise QueryError("the SQL has positional placeholders; pass params as a list or a tuple")
    if not names:
        raise QueryError("the SQL has no placeholder for what params names; write %(name)s where a value belongs")
    missing = [name for name in names if name not in params]
    if missing:
        raise QueryError(f"the SQL has placeholders that params does not name: {', '.join(missing)}")
    return text, [dump(params[name]) for name in names]


@lru_cache(maxsize=512)
def _translate(sql: str) -> tuple[str, tuple[str, ...], int, int]:
    """Return the text with `$n`, the names in the order of their numbers, the number of `%s`, the highest
    `$n`.
    """
    pieces: list[str] = []
    names: dict[str, int] = {}
    count = highest = 0
    for kind, piece in tokens(sql):
        if kind == "percent" and piece == "%s":
            count += 1
            pieces.append(f"${count}")
        elif kind == "percent" and piece.startswith("%("):
            number = names.setdefault(piece[2:-2], len(names) + 1)
            pieces.append(f"${number}")
        elif kind == "dollar":
            highest = max(highest, int(piece[1:]))
            pieces.append(piece)
        else:
            pieces.append(piece.replace("%%", "%"))
    return "".join(pieces), tuple(names), count, highest


def _json_default(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, date | time | UUID | Decimal):
        return str(value)
    raise InvalidValueError(f"a dict parameter holds a {type(value).__qualname__}, which JSON can't say")
