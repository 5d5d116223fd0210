"""Ranges and multiranges: the Python values and their types.

A `Range` says what PostgreSQL would say after storing it as far as that needs no knowledge of the element
type: an unbounded end is never inclusive, and a range from a value to the same value is empty unless both
ends are inclusive. Ranges of whole things come back in the form `[lower, upper)`, which is PostgreSQL's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Generic, TypeVar, overload

from psqlmodel.errors import InvalidValueError
from psqlmodel.later import pattern
from psqlmodel.types.pgtype import PgType, pgtype, refuse, variant
from psqlmodel.types.scalars import bigint, integer, numeric
from psqlmodel.types.temporal import date, timestamp, timestamptz

T = TypeVar("T")

_BOUNDS = ("[)", "[]", "(]", "()")


class Range(Generic[T]):
    """A range of values between two ends; None as an end is unbounded.

    Parameters: `lower`, `upper`; `bounds`, one of `[)` (the default), `[]`, `(]`, `()`, where a square
    bracket includes the end; `empty`, the range without any value. Frozen and hashable.
    Raises `InvalidValueError` for other bounds and for a lower end above the upper.

        5 in Range(1, 10)      # True
        Range(date(2026, 1, 1), None)
    """

    __slots__ = ("bounds", "empty", "lower", "upper")

    lower: T | None
    upper: T | None
    bounds: str
    empty: bool

    def __init__(self, lower: T | None = None, upper: T | None = None, bounds: str = "[)", empty: bool = False) -> None:
        if bounds not in _BOUNDS:
            raise InvalidValueError(f"bounds= is one of {', '.join(_BOUNDS)}")
        if not empty and lower is not None and upper is not None:
            empty = _is_empty(lower, upper, bounds)
        if empty:
            lower, upper, bounds = None, None, "()"
        if lower is None:
            bounds = "(" + bounds[1]
        if upper is None:
            bounds = bounds[0] + ")"
        write = object.__setattr__
        write(self, "lower", lower)
        write(self, "upper", upper)
        write(self, "bounds", bounds)
        write(self, "empty", empty)

    @property
    def lower_inclusive(self) -> bool:
        """Whether the lower end belongs to the range."""
        return self.bounds[0] == "["

    @property
    def upper_inclusive(self) -> bool:
        """Whether the upper end belongs to the range."""
        return self.bounds[1] == "]"

    def __contains__(self, value: Any) -> bool:
        if self.empty or value is None:
            return False
        if self.lower is not None and not (value >= self.lower if self.bounds[0] == "[" else value > self.lower):
            return False
        if self.upper is None:
            return True
        return bool(value <= self.upper if self.bounds[1] == "]" else value < self.upper)

    def __bool__(self) -> bool:
        return not self.empty

    def _key(self) -> tuple[Any, ...]:
        return self.lower, self.upper, self.bounds, self.empty

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Range) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a Range can't be changed: make another one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Range can't be changed: make another one")

    def __reduce__(self) -> tuple[Any, ...]:
        return Range, self._key()

    def __repr__(self) -> str:
        if self.empty:
            return "Range(empty=True)"
        bounds = "" if self.bounds == "[)" else f", {self.bounds!r}"
        return f"Range({self.lower!r}, {self.upper!r}{bounds})"


def _is_empty(lower: Any, upper: Any, bounds: str) -> bool:
    try:
        if lower > upper:
            raise InvalidValueError("the lower end of a Range is above its upper end")
        return bool(lower == upper) and bounds != "[]"
    except TypeError:
        raise InvalidValueError("the two ends of a Range can't be compared with each other") from None


class Multirange(Sequence[Range[T]]):
    """Several ranges as one value, in order; frozen and hashable.

    Empty ranges are left out; PostgreSQL gives the others back sorted and joined where they touch.

        7 in Multirange([Range(1, 3), Range(5, 9)])  # True
    """

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Iterable[Range[T]] = ()) -> None:
        kept = tuple(ranges)
        for item in kept:
            if not isinstance(item, Range):
                raise refuse("Multirange", item, "an iterable of Range")
        self._ranges = tuple(filter(None, kept))

    @overload
    def __getitem__(self, index: int) -> Range[T]: ...
    @overload
    def __getitem__(self, index: slice) -> Multirange[T]: ...
    def __getitem__(self, index: int | slice) -> Range[T] | Multirange[T]:
        found = self._ranges[index]
        return found if isinstance(found, Range) else Multirange(found)

    def __len__(self) -> int:
        return len(self._ranges)

    def __iter__(self) -> Iterator[Range[T]]:
        return iter(self._ranges)

    def __contains__(self, value: object) -> bool:
        """Tell whether a value lies in one of the ranges, or a Range is one of them."""
        if isinstance(value, Range):
            return value in self._ranges
        return any(value in item for item in self._ranges)

    def __eq__(self, other: object) -> bool:
        return self._ranges == other._ranges if isinstance(other, Multirange) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._ranges)

    def __repr__(self) -> str:
        return f"Multirange({list(self._ranges)!r})"


# --- types --------------------------------------------------------------------------------------------------

_RANGE = pattern(
    r"\s*([\[(])\s*"
    r'(?:"((?:[^"\\]|\\.|"")*)"|([^",()\[\]]*))'
    r","
    r'(?:"((?:[^"\\]|\\.|"")*)"|([^",()\[\]]*))'
    r"([\])])\s*",
    re.DOTALL,
)
_SPECIAL = re.compile(r'[\s"\\,()\[\]]')
_ESCAPE = re.compile(r'\\(.)|""', re.DOTALL)


def range_of(element: PgType[T], name: str, oid: int = 0, array_oid: int = 0) -> PgType[Range[T]]:
    """Return the range type `name` over `element`; ranges that are not built in have no OID here."""

    def dump(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, Range):
            raise refuse(name, value, "a Range")
        return _write_range(value, element)

    def load(text: str) -> Range[Any]:
        return _read_range(text, element, name)

    return pgtype(name, Range, dump, load=load, oid=oid, array_oid=array_oid)


def multirange_of(element: PgType[T], name: str, oid: int = 0, array_oid: int = 0) -> PgType[Multirange[T]]:
    """Return the multirange type `name` over `element`."""

    def dump(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, Multirange):
            raise refuse(name, value, "a Multirange")
        return "{" + ",".join(_write_range(item, element) for item in value) + "}"

    def load(text: str) -> Multirange[Any]:
        return Multirange(_read_ranges(text, element, name))

    return pgtype(name, Multirange, dump, load=load, oid=oid, array_oid=array_oid)


def _write_range(value: Range[Any], element: PgType[Any]) -> str:
    if value.empty:
        return "empty"
    lower, upper = _write_end(value.lower, element), _write_end(value.upper, element)
    return f"{value.bounds[0]}{lower},{upper}{value.bounds[1]}"


def _write_end(value: Any, element: PgType[Any]) -> str:
    if value is None:
        return ""
    text: str = element.dump_text(value)
    if text and not _SPECIAL.search(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _read_range(text: str, element: PgType[T], name: str) -> Range[T]:
    if text == "empty":
        return Range(empty=True)
    match = _RANGE.fullmatch(text)
    if match is None:
        raise InvalidValueError(f"the text is no {name} literal: it must look like [1,10)")
    return _made(match, element.load_text)


def _read_ranges(text: str, element: PgType[T], name: str) -> list[Range[T]]:
    ranges = []
    position, end = 1, len(text) - 1
    if text[:1] != "{" or text[-1:] != "}":
        raise InvalidValueError(f"the text is no {name} literal: it must look like {{[1,3),[5,9)}}")
    while position < end:
        match = _RANGE.match(text, position, end)
        if match is None:
            raise InvalidValueError(f"the text is no {name} literal: it must look like {{[1,3),[5,9)}}")
        ranges.append(_made(match, element.load_text))
        position = match.end() + 1  # the comma between two ranges
    return ranges


def _made(match: re.Match[str], load: Callable[[str], Any]) -> Range[Any]:
    opening, quoted_lower, lower, quoted_upper, upper, closing = match.groups()
    return Range(_read_end(quoted_lower, lower, load), _read_end(quoted_upper, upper, load), opening + closing)


def _read_end(quoted: str | None, bare: str | None, load: Callable[[str], Any]) -> Any:
    if quoted is not None:
        return load(_ESCAPE.sub(lambda found: found[1] or '"', quoted))
    return load(bare) if bare else None


@cache
def custom_range(element: PgType[T], name: str, schema: str | None = None) -> PgType[Range[T]]:
    """Return a range type made with CREATE TYPE … AS RANGE, by its name and element type.

    speed: Column[Range[float]] = Column(type=custom_range(double, "floatrange"))
    """
    from psqlmodel.types.textual import custom

    spelled = custom(name, schema).name
    return variant(range_of(element, spelled), type_name=name, schema=schema)


int4range = range_of(integer, "int4range", 3904, 3905)
int8range = range_of(bigint, "int8range", 3926, 3927)
numrange = range_of(numeric, "numrange", 3906, 3907)
tsrange = range_of(timestamp, "tsrange", 3908, 3909)
tstzrange = range_of(timestamptz, "tstzrange", 3910, 3911)
daterange = range_of(date, "daterange", 3912, 3913)

int4multirange = multirange_of(integer, "int4multirange", 4451, 6150)
int8multirange = multirange_of(bigint, "int8multirange", 4536, 6157)
nummultirange = multirange_of(numeric, "nummultirange", 4532, 6151)
tsmultirange = multirange_of(timestamp, "tsmultirange", 4533, 6152)
tstzmultirange = multirange_of(timestamptz, "tstzmultirange", 4534, 6153)
datemultirange = multirange_of(date, "datemultirange", 4535, 6155)
