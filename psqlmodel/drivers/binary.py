"""Arrays of numbers and moments in PostgreSQL's binary format, written and read by the column, for asyncpg's codecs.

asyncpg looks at each element several times (is it a list? a tuple? a mapping?) before it encodes it: 130 ns for an
integer, where this takes 15; 800 for a moment, where this takes 150 and its text 700. The columns of a flush, and the
keys of objects that related ones are loaded for, travel so. `codec(oid)` gives what writes and what reads the arrays of
one element type. A value that is no array of such elements is refused with `TypeError`, `ValueError`, `OverflowError`
or `struct.error`, of which asyncpg makes an error of the argument.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psqlmodel.errors import DataError

# OID of the elements → what `array` calls the number that each is: int2, int4, int8, float8, timestamp, timestamptz.
ELEMENTS: Final = {21: "h", 23: "i", 20: "q", 701: "d", 1114: "q", 1184: "q"}

_HEAD: Final = struct.Struct(">iiI")  # dimensions, whether there are NULLs, the OID of the elements
_DIMENSION: Final = struct.Struct(">ii")  # elements, the first index
_LENGTH: Final = struct.Struct(">i")  # of an element in bytes; -1: NULL
_SWAPPED: Final = sys.byteorder == "little"
_FLAT: Final = _HEAD.size + _DIMENSION.size  # bytes before the elements, where there is one dimension

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], list[Any]]


def codec(oid: int) -> tuple[Encode, Decode]:
    """Return what writes and what reads arrays of the elements with this OID."""
    encode, decode = _codec(oid, ELEMENTS[oid])
    epoch = _EPOCHS.get(oid)
    if epoch is None:
        return encode, decode
    return (
        lambda values: encode(_numbers_of(values if type(values) is list else _listed(values), epoch)),
        lambda data: _moments_of(decode(data), epoch),
    )


def _codec(oid: int, code: str) -> tuple[Encode, Decode]:
    """Return what writes and what reads arrays of numbers.

    Each number comes after its length, so that both are looked at as words of as many bytes as the shorter one has:
    then all words of a column are moved at once, in C.
    """
    size = array(code).itemsize
    word = "h" if size == 2 else "i"
    bare = array(word).itemsize
    before, width = 4 // bare, size // bare  # words of the length, and of the number
    step = before + width
    frame = array(word, size.to_bytes(4, sys.byteorder if before == 1 else "big") + bytes(size))
    if _SWAPPED and before == 1:
        frame.byteswap()

    def encode(values: Any) -> bytes:
        try:
            numbers = array(code, values if type(values) is list else _listed(values))
        except TypeError:  # a NULL, a further dimension, or what is no number
            return _encoded_each(_listed(values), oid, code)
        if not numbers:
            return _HEAD.pack(0, 0, oid)
        if _SWAPPED:
            numbers.byteswap()
        words = numbers if code == word else array(word, numbers.tobytes())
        found = frame * len(numbers)
        for n in range(width):
            found[before + n :: step] = words[n::width]
        return _HEAD.pack(1, 0, oid) + _DIMENSION.pack(len(numbers), 1) + found.tobytes()

    def decode(data: bytes) -> list[Any]:
        dimensions, nulls, _ = _HEAD.unpack_from(data)
        if dimensions != 1 or nulls:
            return _decoded_each(data, dimensions, code)
        words = array(word, data[_FLAT:])
        if code == word:
            numbers = words[before::step]
        else:
            joined = array(word, bytes(len(words) // step * size))
            for n in range(width):
                joined[n::width] = words[before + n :: step]
            numbers = array(code, joined.tobytes())
        if _SWAPPED:
            numbers.byteswap()
        return numbers.tolist()

    return encode, decode


def _listed(values: Any) -> list[Any]:
    """Return the elements of an array that is no list: a tuple, a set, a range."""
    if isinstance(values, str | bytes | bytearray | memoryview | Mapping):
        raise TypeError("an array is a list")
    if not isinstance(values, Iterable) or not isinstance(values, Sized):
        raise TypeError("an array is a list")
    return list(values)


# --- moments: microseconds since the beginning of 2000 ----------------------------------------------------------------

_EPOCHS: Final = {1114: datetime(2000, 1, 1), 1184: datetime(2000, 1, 1, tzinfo=UTC)}  # noqa: DTZ001 (timestamp)
_DAY: Final = 86_400_000_000
_LATEST: Final = 7_999 * 365 * _DAY  # from here on, and in the first years, a moment may be an infinity
_EARLIEST: Final = -1_999 * 365 * _DAY
_INFINITY: Final = 2**63 - 1


def _numbers_of(values: list[Any], epoch: datetime) -> list[Any]:
    """Return moments, None, and lists of them as numbers."""
    try:
        found = [
            ((past := value - epoch).days * 86_400 + past.seconds) * 1_000_000 + past.microseconds for value in values
        ]
    except (TypeError, AttributeError):
        return [_number_of(value, epoch) for value in values]
    if found and (max(found) >= _LATEST or min(found) <= _EARLIEST):
        return [_number_of(value, epoch) for value in values]
    return found


def _number_of(value: Any, epoch: datetime) -> Any:
    """Return a moment as a number; one without a zone is of UTC where one is asked for, as a single argument is."""
    if value is None or isinstance(value, list):
        return value if value is None else _numbers_of(value, epoch)
    if not isinstance(value, datetime):
        raise TypeError("a moment is a datetime")
    bare = value.replace(tzinfo=None)
    if bare == datetime.max:  # noqa: DTZ901  # the infinities have no zone
        return _INFINITY
    if bare == datetime.min:  # noqa: DTZ901
        return -_INFINITY - 1
    if value.tzinfo is not None and epoch.tzinfo is None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    elif value.tzinfo is None and epoch.tzinfo is not None:
        value = value.replace(tzinfo=UTC)
    return (value - epoch) // timedelta(microseconds=1)


def _moments_of(values: list[Any], epoch: datetime) -> list[Any]:
    return [_moment_of(value, epoch) for value in values]


def _moment_of(value: Any, epoch: datetime) -> Any:
    if value is None or isinstance(value, list):
        return value if value is None else _moments_of(value, epoch)
    if value in (_INFINITY, -_INFINITY - 1):
        return (datetime.max if value > 0 else datetime.min).replace(tzinfo=epoch.tzinfo)  # noqa: DTZ901
    try:
        return epoch + timedelta(microseconds=value)
    except OverflowError:
        raise DataError(
            "a moment is before the year 1 or after 9999, which Python can't hold: select its text, with a cast",
            sqlstate="22008",
        ) from None


# --- NULLs and further dimensions: element by element -----------------------------------------------------------------


def _encoded_each(values: list[Any], oid: int, code: str) -> bytes:
    lengths = _shape(values)
    if 0 in lengths:
        return _HEAD.pack(0, 0, oid)
    one = struct.Struct(f">{code}")
    elements = [
        _LENGTH.pack(-1) if value is None else _LENGTH.pack(one.size) + one.pack(value)
        for value in _elements(values, lengths)
    ]
    head = _HEAD.pack(len(lengths), 1, oid)
    return b"".join([head, *(_DIMENSION.pack(length, 1) for length in lengths), *elements])


def _shape(values: Any) -> list[int]:
    found: list[int] = []
    while isinstance(values, list):
        found.append(len(values))
        values = values[0] if values else None
    return found


def _elements(values: Any, lengths: list[int]) -> Iterator[Any]:
    """Give the elements in the order in which they are stored; raises `ValueError` where the lengths differ."""
    if not lengths:
        yield values
        return
    if not isinstance(values, list) or len(values) != lengths[0]:
        raise ValueError("the lists in an array have different lengths")
    for value in values:
        yield from _elements(value, lengths[1:])


def _decoded_each(data: bytes, dimensions: int, code: str) -> list[Any]:
    if not dimensions:
        return []
    start = _HEAD.size
    lengths = [_DIMENSION.unpack_from(data, start + n * _DIMENSION.size)[0] for n in range(dimensions)]
    found: list[Any] = list(_read(data, start + dimensions * _DIMENSION.size, struct.Struct(f">{code}")))
    for length in reversed(lengths[1:]):
        found = [found[n : n + length] for n in range(0, len(found), length)]
    return found


def _read(data: bytes, at: int, one: struct.Struct) -> Iterator[Any]:
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        yield None if length < 0 else one.unpack_from(data, at)[0]
        at += max(length, 0)
