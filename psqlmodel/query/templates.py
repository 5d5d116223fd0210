"""t-strings (Python 3.14) as SQL: their texts and values in order, those of templates inside templates among them.

Nothing is imported for them: before Python 3.14 there are none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from psqlmodel.errors import QueryError
from psqlmodel.record import Record

if TYPE_CHECKING:
    if sys.version_info >= (3, 14):
        from string.templatelib import Template
    else:

        class Template:
            """What a t-string would be."""


class Value(Record):
    """What stands in a place of a t-string."""

    value: Any


def is_template(value: Any) -> bool:
    """Tell whether a value is a t-string."""
    return type(value).__name__ == "Template" and hasattr(value, "strings") and hasattr(value, "interpolations")


def parts_of(template: Any) -> Iterator[str | Value]:
    """Yield the texts and the values of a t-string; a t-string inside of it is a piece of the same SQL.

    Raises `QueryError` for a conversion or a format: a value goes to the server as it is.
    """
    for text, place in zip(template.strings, (*template.interpolations, None), strict=True):
        yield text
        if place is None:
            return
        if place.conversion or place.format_spec:
            raise QueryError(f"{{{place.expression}}}: a value in SQL takes no conversion and no format")
        if is_template(place.value):
            yield from parts_of(place.value)
        else:
            yield Value(place.value)


def as_text(template: Any) -> tuple[str, tuple[Any, ...]]:
    """Return a t-string as text with `%s` in the places of its values, and the values.

    Raises `QueryError` for what is no t-string.
    """
    if not is_template(template):
        raise QueryError(f"expected SQL as a str or a t-string, not {type(template).__name__}")
    parts = list(parts_of(template))
    values = tuple(part.value for part in parts if isinstance(part, Value))
    if not values:
        return "".join(part for part in parts if isinstance(part, str)), ()
    return "".join("%s" if isinstance(part, Value) else part.replace("%", "%%") for part in parts), values
