"""Types of extensions: hstore (a dict of texts) and pgvector's vector (a list of floats)."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from psqlmodel.errors import InvalidValueError
from psqlmodel.later import pattern
from psqlmodel.types.pgtype import PgType, pgtype, refuse, variant
from psqlmodel.types.scalars import dump_str

_PAIR = pattern(r'\s*"([^"\\]*(?:\\.[^"\\]*)*)"\s*=>\s*(?:NULL|"([^"\\]*(?:\\.[^"\\]*)*)")\s*(?:,|$)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_checked = dump_str("hstore")


def _dump_hstore(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise refuse("hstore", value, "a dict of str to str or None")
    return ",".join(f"{_quoted(key)}=>{'NULL' if item is None else _quoted(item)}" for key, item in value.items())


def _quoted(value: Any) -> str:
    if not isinstance(value, str):
        raise refuse("hstore", value, "texts as keys, texts or None as values")
    escaped = str(_checked(value)).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _load_hstore(text: str) -> dict[str, str | None]:
    pairs: dict[str, str | None] = {}
    position = 0
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            raise InvalidValueError('the text is no hstore literal: it must look like "key"=>"value"')
        key, item = match.groups()
        pairs[_ESCAPE.sub(r"\1", key)] = None if item is None else _ESCAPE.sub(r"\1", item)
        position = match.end()
    return pairs


hstore = pgtype("hstore", dict, _dump_hstore, load=_load_hstore, mutable=True, extension="hstore")

# --- vector -------------------------------------------------------------------------------------------------


def _dump_vector(value: Any) -> Any:
    if value is None:
        return None
    if hasattr(value, "tolist"):  # an array of numpy
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise refuse("vector", value, "a list of floats")
    return "[" + ",".join(map(_component, value)) + "]"


def _component(value: Any) -> str:
    if type(value) is not float:
        if isinstance(value, bool) or not hasattr(type(value), "__float__"):
            raise refuse("vector", value, "a list of floats")
        value = float(value)
    if not math.isfinite(value):
        raise InvalidValueError("vector holds neither NaN nor infinities")
    return repr(value)


def _load_vector(text: str) -> list[float]:
    return list(map(float, text[1:-1].split(",")))


@cache
def _vector_of(dimensions: int) -> PgType[list[float]]:
    if type(dimensions) is not int or not 1 <= dimensions <= 16_000:
        raise InvalidValueError("vector(dimensions) takes an int from 1 to 16000")

    def dump(value: Any) -> Any:
        text = _dump_vector(value)
        if text is not None and len(value) != dimensions:
            raise InvalidValueError(
                f"vector({dimensions}): the list has {len(value)} numbers, it must have {dimensions}"
            )
        return text

    return variant(vector, name=f"vector({dimensions})", dump=dump, dump_text=dump, carry=dump, modify=None)


vector = pgtype("vector", list, _dump_vector, load=_load_vector, mutable=True, extension="vector", modify=_vector_of)
