"""Readers of the server's texts: what a value must be, worked out without the library and without a driver.

`read_as` gives the reader for values like a given one; the library is right where it has read the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Network
from typing import Any
from uuid import UUID

from psqlmodel import Multirange, Point, Range

Reader = Callable[[str], Any]


def read_as(value: Any) -> Reader:
    """Return the reader whose values are of the type of `value`."""
    kind = type(value)
    if isinstance(value, Enum):
        return kind
    if kind is list:
        return _array_of(_first(value))
    if kind is Range:
        return _range_of(_end(value))
    if kind is Multirange:
        return _multirange_of(next((_end(each) for each in value if _end(each) is not None), None))
    return next(_READERS[each] for each in kind.__mro__ if each in _READERS)  # asyncpg's UUID is a subclass


def _bool(text: str) -> bool:
    return {"t": True, "f": False}[text]


def _date(text: str) -> date:
    return {"infinity": date.max, "-infinity": date.min}.get(text) or date.fromisoformat(text)


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace("$", "").replace(",", ""))


def _interval(text: str) -> timedelta:
    match = re.fullmatch(r"(?:(-?\d+) days?)? ?(?:(\d\d):(\d\d):(\d\d(?:\.\d+)?))?", text)
    assert match, text
    days, hours, minutes, seconds = match.groups(default="0")
    micros = int(Decimal(seconds) * 1000000)
    return timedelta(days=int(days), hours=int(hours), minutes=int(minutes), microseconds=micros)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("\\x"))


def _point(text: str) -> Point:
    x, y = text.strip("()").split(",")
    return Point(float(x), float(y))


_READERS: dict[type, Reader] = {
    int: int,
    str: str,
    float: float,
    bool: _bool,
    Decimal: _decimal,
    datetime: datetime.fromisoformat,
    date: _date,
    time: time.fromisoformat,
    timedelta: _interval,
    UUID: UUID,
    bytes: _bytes,
    dict: json.loads,
    IPv4Network: IPv4Network,
    Point: _point,
}

# --- arrays -----------------------------------------------------------------------------------------------------------


def _first(value: Any) -> Any:
    """Return an element of a nested list that is not None."""
    if not isinstance(value, list):
        return value
    return next((found for found in map(_first, value) if found is not None), None)


def _array_of(element: Any) -> Reader:
    read = str if element is None else read_as(element)
    return lambda text: _array(iter(re.findall(r'[{},]|"(?:[^"\\]|\\.)*"|[^{},"]+', text)), read)


def _array(tokens: Iterator[str], read: Reader) -> Any:
    assert next(tokens) == "{"
    return _items(tokens, read)


def _items(tokens: Iterator[str], read: Reader) -> list[Any]:
    found: list[Any] = []
    for token in tokens:
        if token == "}":
            break
        if token == "{":
            found.append(_items(tokens, read))
        elif token == "NULL":
            found.append(None)
        elif token != ",":
            found.append(read(re.sub(r"\\(.)", r"\1", token[1:-1]) if token[0] == '"' else token))
    return found


# --- ranges -----------------------------------------------------------------------------------------------------------

_RANGE = re.compile(r'(empty)|([\[(])("[^"]*"|[^,"]*),("[^"]*"|[^,\])"]*)([\])])')


def _end(value: Range[Any]) -> Any:
    return value.lower if value.lower is not None else value.upper


def _range_of(end: Any) -> Reader:
    return lambda text: _ranges(text, end)[0]


def _multirange_of(end: Any) -> Reader:
    return lambda text: Multirange(_ranges(text, end))


def _ranges(text: str, end: Any) -> list[Range[Any]]:
    read = str if end is None else read_as(end)
    found: list[Range[Any]] = []
    for empty, opening, lower, upper, closing in _RANGE.findall(text):
        if empty:
            found.append(Range(empty=True))
        else:
            ends = [read(each.strip('"')) if each else None for each in (lower, upper)]
            found.append(Range(*ends, opening + closing))
    return found
