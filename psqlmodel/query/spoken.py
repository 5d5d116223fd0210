"""Arguments that are more than their Python type says: `Func.to_tsvector("english", …)` takes a configuration.

A text is a parameter of the type text, for which such functions do not exist. `spoken` returns the arguments with those
cast that the function takes as another type: configurations and weights of text search, JSON and its paths. What
`Func.count()` counts are rows. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from psqlmodel.query.expression import Expression, typed
from psqlmodel.types import PgType
from psqlmodel.types.arrays import array
from psqlmodel.types.jsons import jsonb
from psqlmodel.types.scalars import real
from psqlmodel.types.textual import custom

_ROWS: Final = Expression[Any]("*")
_CONFIGURATION: Final = custom("regconfig")
_WEIGHT: Final = custom("char", "pg_catalog")
_PATH: Final = custom("jsonpath")

_CONFIGURED_OF_TWO: Final = (
    "to_tsvector",
    "to_tsquery",
    "plainto_tsquery",
    "phraseto_tsquery",
    "websearch_to_tsquery",
    "ts_debug",
)
_CONFIGURED_OF_THREE: Final = ("json_to_tsvector", "jsonb_to_tsvector")
_PATHS: Final = [
    f"jsonb_path_{what}{zoned}"
    for what in ("exists", "match", "query", "query_array", "query_first")
    for zoned in ("", "_tz")
]


def spoken(name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments of the function `name`, with values cast where it takes another type."""
    found = _KNOWN.get(name)
    if found is None:
        return (_ROWS,) if name == "count" and not arguments else arguments
    place, python, type, applies = found
    if len(arguments) <= place or not isinstance(arguments[place], python) or not applies(arguments):
        return arguments
    return (*arguments[:place], typed(arguments[place], type), *arguments[place + 1 :])


def _always(arguments: tuple[Any, ...]) -> bool:
    return True


def _headline(arguments: tuple[Any, ...]) -> bool:
    """Tell `(configuration, document, query[, options])` from `(document, query[, options])`."""
    return len(arguments) == 4 or (len(arguments) == 3 and not isinstance(arguments[2], str))


_Known = tuple[int, type, PgType[Any], Callable[[tuple[Any, ...]], bool]]

_KNOWN: Final[dict[str, _Known]] = {
    **{name: (0, str, _CONFIGURATION, lambda given: len(given) == 2) for name in _CONFIGURED_OF_TWO},
    **{name: (0, str, _CONFIGURATION, lambda given: len(given) == 3) for name in _CONFIGURED_OF_THREE},
    "ts_headline": (0, str, _CONFIGURATION, _headline),
    "setweight": (1, str, _WEIGHT, _always),
    **{name: (0, list, array(real), _always) for name in ("ts_rank", "ts_rank_cd")},
    **dict.fromkeys(_PATHS, (1, str, _PATH, _always)),
    **dict.fromkeys(("jsonb_set", "jsonb_set_lax", "jsonb_insert"), (2, object, jsonb, _always)),
}
