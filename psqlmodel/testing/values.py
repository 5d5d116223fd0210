"""Values: something valid for a column, from its type and what CHECK constraints ask. Pure, and deterministic.

A `Values` draws from one `random.Random`: the same seed and the same calls give the same values. Texts are words, so
that a failing test is readable. What no rule covers raises `FactoryError` and says what to pass.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import Enum
from typing import Any, Final

from psqlmodel.errors import PSQLModelError
from psqlmodel.model.fields import Column
from psqlmodel.testing.checks import Limits, example_of
from psqlmodel.types import PgType
from psqlmodel.types.ranges import Multirange, Range

_EPOCH: Final = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
_YEAR: Final = 365 * 24 * 3600  # seconds
_WORDS: Final = tuple(
    """
    amber birch cedar delta ember fjord grove hazel iris juniper kelp lotus maple nectar olive pearl quartz raven sage
    tulip umber violet willow yarrow zephyr
    """.split()  # noqa: SIM905 - a list would be 24 lines
)
_INTEGERS: Final = {"int2": 2**15 - 1, "int4": 2**31 - 1, "int8": 2**53}
_USUAL: Final = 1000  # numbers stay below it where nothing asks for more
_ATTEMPTS: Final = 200


class FactoryError(PSQLModelError):
    """A factory does not know a valid value for a column; it says what to pass."""


class Values:
    """Makes values; remembers those of unique columns, so that none comes twice."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)  # noqa: S311 - nothing secret is made of it
        self._used: dict[Any, set[str]] = {}
        self._count = 0

    def value(self, column: Column[Any], limits: Limits, *, unique: bool) -> Any:
        """Return a value of a column; one that this object has not given before for a unique one.

        Raises `FactoryError` where none is found.
        """
        if not unique:
            return self._valid(column, limits, wide=False)
        used = self._used.setdefault(column, set())
        for _ in range(_ATTEMPTS):
            value = self._valid(column, limits, wide=True)
            if repr(value) not in used:
                used.add(repr(value))
                return value
        raise FactoryError(f"{_spelled(column)} is unique, and no further value was found for it: pass one")

    def _valid(self, column: Column[Any], limits: Limits, *, wide: bool) -> Any:
        for _ in range(_ATTEMPTS):
            value = self._one(column, limits, wide=wide)
            if _text_of(value) not in limits.refused:
                return value
        raise FactoryError(f"{_spelled(column)}: its check leaves no value that is known here: pass one")

    def _one(self, column: Column[Any], limits: Limits, *, wide: bool) -> Any:
        kind = column.pg_type
        if limits.choices:
            return _read(kind, self.random.choice(limits.choices))
        if issubclass(kind.python, Enum):
            return self.random.choice(list(kind.python))
        if kind.labels:
            return self.random.choice(kind.labels)
        if kind.python is str and kind.transport == "text" and _takes_any_text(kind):
            return self._text(column, limits, wide=wide)
        return self._of_type(column, kind, limits, wide=wide)

    def _of_type(self, column: Column[Any], kind: PgType[Any], limits: Limits, *, wide: bool) -> Any:
        if kind.element is not None:
            return [self._of_type(column, kind.element, limits, wide=wide) for _ in range(2)]
        if kind.transport in _INTEGERS and kind.python is int:
            return self._integer(limits, _INTEGERS[kind.transport] if wide else _USUAL, _INTEGERS[kind.transport])
        if kind.python is str and _takes_any_text(kind):
            return self._text(column, limits, wide=wide)
        if kind.python is Decimal:
            return self._decimal(kind, limits)
        if kind.python is float:
            return float(self._number(limits, Decimal(_USUAL), _step(limits)))
        return self._named(column, kind)

    def _named(self, column: Column[Any], kind: PgType[Any]) -> Any:
        name = _base(kind)
        if name in _AS_TEXT:
            return kind.load_text(_AS_TEXT[name](self))
        if name in ("bit", "varbit", "bit varying"):
            return "".join(self.random.choices("01", k=_size(kind, 1)))
        if name == "vector":
            return [self.random.random() for _ in range(_size(kind, 3))]
        if name.endswith("multirange") and name.replace("multirange", "range") in _RANGES:
            return Multirange([_RANGES[name.replace("multirange", "range")](self)])
        made = _MAKERS.get(name) or _MAKERS.get(kind.python)
        if made is None:
            raise FactoryError(
                f"no value is known here for {_spelled(column)} of the type {kind.name}: pass {column.key}=…, or give "
                "the column a default"
            )
        return made(self)

    # --- texts ------------------------------------------------------------------------------------------------------

    def _text(self, column: Column[Any], limits: Limits, *, wide: bool) -> str:
        longest = min([n for n in (column.max_len, column.pg_type.length, limits.longest) if n is not None], default=40)
        if limits.pattern is not None:
            made = example_of(limits.pattern, self.random)
            if made is None:
                raise FactoryError(f"{_spelled(column)}: the pattern of its check is not understood: pass a value")
            return made
        text = self._words(column.key or "", wide=wide)
        if limits.case:
            text = text.lower() if limits.case == "lower" else text.upper()
        if len(text) > longest:
            text = self._signs(longest, limits.case)
        return text if len(text) >= limits.shortest else text + self._signs(limits.shortest - len(text), limits.case)

    def _words(self, name: str, *, wide: bool) -> str:
        word = self.random.choice(_WORDS)
        tail = f"{self.random.randrange(16**6):06x}" if wide else ""
        lowered = name.lower()
        if "email" in lowered or lowered == "mail":
            return f"{word}{tail}@example.com"
        if lowered.endswith(("url", "uri", "link", "website")):
            return f"https://example.com/{word}{tail}"
        if lowered in ("slug", "username", "login", "handle", "code", "sku"):
            return f"{word}-{tail}" if tail else word
        return f"{word} {tail}" if tail else word.capitalize()

    def _signs(self, count: int, case: str) -> str:
        letters = "abcdefghijklmnopqrstuvwxyz"
        made = "".join(self.random.choices(letters, k=max(count, 0)))
        return made.upper() if case == "upper" else made

    # --- numbers ----------------------------------------------------------------------------------------------------

    def _integer(self, limits: Limits, usual: int, greatest: int) -> int:
        low, high = _bounds(limits, Decimal(1), Decimal(usual), Decimal(1), Decimal(greatest))
        return self.random.randint(int(low.to_integral_value(ROUND_CEILING)), int(high.to_integral_value(ROUND_FLOOR)))

    def _decimal(self, kind: PgType[Any], limits: Limits) -> Decimal:
        precision, scale = _precision(kind)
        step = Decimal(1).scaleb(-scale)
        greatest = Decimal(10) ** (precision - scale) - step
        return self._number(limits, min(Decimal(_USUAL), greatest), step)

    def _number(self, limits: Limits, usual: Decimal, step: Decimal) -> Decimal:
        low, high = _bounds(limits, step, usual, step, usual if usual < _USUAL else Decimal(10**9))
        steps = int((high - low) / step)
        return (low + step * self.random.randint(0, max(steps, 0))).quantize(step)

    # --- the rest ---------------------------------------------------------------------------------------------------

    def moment(self) -> dt.datetime:
        """Return some moment of the year 2024."""
        return _EPOCH + dt.timedelta(seconds=self.random.randrange(_YEAR))

    def later(self) -> dt.datetime:
        """Return a moment that is 60 days after the last one: of what begins there nothing overlaps."""
        return _EPOCH + dt.timedelta(days=60 * self.next_number())

    def next_number(self) -> int:
        """Count."""
        self._count += 1
        return self._count


def _bounds(limits: Limits, low: Decimal, usual: Decimal, step: Decimal, greatest: Decimal) -> tuple[Decimal, Decimal]:
    """Return the closed interval from which a number is drawn."""
    least = [n for n in (limits.least, None if limits.above is None else limits.above + step) if n is not None]
    most = [n for n in (limits.most, None if limits.below is None else limits.below - step) if n is not None]
    high = min(most) if most else None
    begin = max(least) if least else (min(low, high) if high is not None else low)
    if high is None:
        high = max(usual, begin + 100 * step) if begin < greatest else begin
    if begin > high:
        raise FactoryError(f"the checks leave no number between {begin} and {high}: pass a value")
    return begin, high


def _step(limits: Limits) -> Decimal:
    """Return how far apart numbers of a float column are: a quarter, or what fits between narrow limits."""
    step = Decimal("0.25")
    lows = [n for n in (limits.least, limits.above) if n is not None]
    highs = [n for n in (limits.most, limits.below) if n is not None]
    space = min(highs) - max(lows) if lows and highs else Decimal(1)
    while 0 < space < 4 * step:
        step /= 2
    return step


def _precision(kind: PgType[Any]) -> tuple[int, int]:
    """Return precision and scale of a numeric type; (12, 2) where it has none."""
    inner = kind.name.partition("(")[2].rstrip(")")
    numbers = [int(part) for part in inner.split(",") if part.strip().lstrip("-").isdigit()]
    if not numbers:
        return 12, 2
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (numbers[0], 0)


def _size(kind: PgType[Any], usual: int) -> int:
    inner = kind.name.partition("(")[2].rstrip(")")
    return int(inner) if inner.isdigit() else usual


def _read(kind: PgType[Any], text: str) -> Any:
    return text if kind.python is str else kind.load_text(text)


def _text_of(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def _base(kind: PgType[Any]) -> str:
    return kind.name.partition("(")[0].strip('"').lower()


def _takes_any_text(kind: PgType[Any]) -> bool:
    return _base(kind) in _TEXTS


def _spelled(column: Column[Any]) -> str:
    return str(column.key)


_TEXTS: Final = frozenset({"text", "varchar", "character varying", "char", "character", "bpchar", "citext", "name"})


def _days(values: Values) -> Range[Any]:
    begin = values.later().date()
    return Range(begin, begin + dt.timedelta(days=values.random.randint(1, 30)))


def _moments(values: Values) -> Range[Any]:
    begin = values.later()
    return Range(begin, begin + dt.timedelta(hours=values.random.randint(1, 48)))


def _naive(values: Values) -> Range[Any]:
    begin = values.later().replace(tzinfo=None)
    return Range(begin, begin + dt.timedelta(hours=values.random.randint(1, 48)))


def _numbers(values: Values) -> Range[Any]:
    begin = values.next_number() * 100
    return Range(begin, begin + values.random.randint(1, 99))


_RANGES: Final[dict[str, Callable[[Values], Range[Any]]]] = {
    "int4range": _numbers,
    "int8range": _numbers,
    "numrange": lambda values: Range(Decimal(values.next_number()), Decimal(values.next_number())),
    "daterange": _days,
    "tstzrange": _moments,
    "tsrange": _naive,
}

_MAKERS: Final[dict[Any, Callable[[Values], Any]]] = {
    bool: lambda values: values.random.random() < 0.5,
    bytes: lambda values: values.random.randbytes(8),
    uuid.UUID: lambda values: uuid.UUID(int=values.random.getrandbits(128), version=4),
    dt.date: lambda values: values.moment().date(),
    dt.time: lambda values: values.moment().time(),
    dt.timedelta: lambda values: dt.timedelta(minutes=values.random.randint(1, 600)),
    dt.datetime: lambda values: values.moment(),
    "timestamp": lambda values: values.moment().replace(tzinfo=None),
    "json": lambda values: {},
    "jsonb": lambda values: {},
    "hstore": lambda values: {},
    **_RANGES,
}

# By their text form, from which the type makes what its values are in Python.
_AS_TEXT: Final[dict[str, Callable[[Values], str]]] = {
    "inet": lambda values: f"192.0.2.{values.random.randint(1, 254)}",
    "cidr": lambda values: f"198.51.{values.random.randint(0, 255)}.0/24",
    "macaddr": lambda values: values.random.randbytes(6).hex(":"),
    "macaddr8": lambda values: values.random.randbytes(8).hex(":"),
    "timetz": lambda values: f"{values.moment():%H:%M:%S}+00",
    "money": lambda values: f"{values.random.randint(1, _USUAL)}.50",
    "xml": lambda values: "<value/>",
    "tsvector": lambda values: f"'{values.random.choice(_WORDS)}'",
    "tsquery": lambda values: f"'{values.random.choice(_WORDS)}'",
    "ltree": lambda values: f"{values.random.choice(_WORDS)}.{values.random.choice(_WORDS)}",
    "point": lambda values: f"({values.random.randint(0, 99)},{values.random.randint(0, 99)})",
    "line": lambda values: "{1,-1,0}",
    "lseg": lambda values: f"[(0,0),(1,{values.random.randint(1, 99)})]",
    "box": lambda values: f"({values.random.randint(1, 99)},1),(0,0)",
    "path": lambda values: f"((0,0),(1,{values.random.randint(1, 99)}))",
    "polygon": lambda values: f"((0,0),(0,1),(1,{values.random.randint(1, 99)}))",
    "circle": lambda values: f"<(0,0),{values.random.randint(1, 99)}>",
}
