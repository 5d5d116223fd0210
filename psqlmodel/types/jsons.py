"""json and jsonb: Python values as JSON text, decoded at first access.

Refused are what JSON or PostgreSQL has no form for: NaN, infinities, NUL characters, objects that are not
JSON.
"""

from __future__ import annotations

import json as _json
import re
from typing import Any

from psqlmodel.errors import InvalidValueError
from psqlmodel.types.pgtype import PgType, kind_of, pgtype

# Made once: json.dumps with options builds a new encoder at every call.
_encode = _json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=True).encode


def _quick_encoder() -> Any:
    """Return the encoder in C that `_encode` makes anew for each value: a small dictionary takes 0.4 of the time.

    It looks for no circles, so it needs no memory between two values: a circle ends as a RecursionError.
    """
    make = getattr(_json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value, depth: (_encode(value),)
    default, texts = _json.JSONEncoder().default, _json.encoder.encode_basestring
    return make(None, default, texts, None, ":", ",", False, False, False)


_quick = _quick_encoder()
_load = _json.JSONDecoder().decode
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _json_type(name: str, oid: int, array_oid: int) -> PgType[Any]:
    def dump(value: Any) -> Any:
        if value is None:
            return None
        try:
            text = "".join(_quick(value, 0))
        except Exception:
            text = _encoded(name, value)
        if "\\u0000" in text or not text.isascii():
            return check_storable(name, text)
        return text

    return pgtype(name, object, dump, load=_load, oid=oid, array_oid=array_oid, mutable=True, lazy=True)


def _encoded(name: str, value: Any) -> str:
    """Return the text of a value that the quick encoder has refused, or say why there is none."""
    try:
        return _encode(value)
    except TypeError as error:
        raise InvalidValueError(_unserializable(name, value, error)) from None
    except ValueError as error:
        reason = "contains itself" if "ircular" in str(error) else "contains NaN or an infinity, which JSON lacks"
        raise InvalidValueError(f"{name}: the value {reason}") from None
    except RecursionError:
        raise InvalidValueError(f"{name}: the value is nested too deeply") from None


def still_say(values: list[Any], texts: list[str]) -> bool:
    """Tell whether values are dumped as these texts: of many, in half of the time of dumping each.

    A no may be wrong: where the server wrote the texts, or a value can't be dumped.
    """
    try:
        return "".join(_quick(values, 0)) == f"[{','.join(texts)}]"  # where texts end is clear: they are JSON
    except Exception:
        return False


def check_storable(name: str, text: str) -> str:
    """Return JSON text if the server can store what it says; raises `InvalidValueError` where it can't."""
    if "\\u0000" in text and _NUL.search(text):
        raise InvalidValueError(f"{name}: a text contains a NUL character, which PostgreSQL can't store")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(f"{name}: a text contains a lone surrogate, which UTF-8 has no form for") from None
    return text


def _unserializable(name: str, value: Any, error: TypeError) -> str:
    culprit = _find(value)
    if culprit is None:
        return f"{name}: {error}"
    return f"{name} can't hold a {kind_of(culprit)}: JSON has objects, lists, texts, numbers, booleans and null"


def _find(value: Any) -> Any:
    # The first object inside that JSON has no form for; only looked for when the encoder has failed.
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int | float | bool | None):
                return key
            if (culprit := _find(item)) is not None:
                return culprit
        return None
    if isinstance(value, list | tuple):
        return next((culprit for item in value if (culprit := _find(item)) is not None), None)
    return None if isinstance(value, str | int | float | bool | None) else value


json = _json_type("json", 114, 199)
jsonb = _json_type("jsonb", 3802, 3807)
