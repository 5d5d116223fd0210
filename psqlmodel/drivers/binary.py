"""Arrays of numbers in PostgreSQL's binary format, written and read by the column, for asyncpg's codecs.

asyncpg looks at each element several times (is it a list? a tuple? a mapping?) before it encodes it: 130 ns, where this
takes 15. The keys of a flush, and of the objects that related ones are loaded for, travel so. `codec(oid)` gives what
writes and what reads the arrays of one element type. A value that is no array of such numbers is refused with
`TypeError`, `ValueError`, `OverflowError` or `struct.error`, of which asyncpg makes an error of the argument.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, Final

NUMBERS: Final = {21: "h", 23: "i", 20: "q", 701: "d"}  # int2, int4, int8, float8: what `array` calls them

_HEAD: Final = struct.Struct(">iiI")  # dimensions, whether there are NULLs, the OID of the elements
_DIMENSION: Final = struct.Struct(">ii")  # elements, the first index
_LENGTH: Final = struct.Struct(">i")  # of an element in bytes; -1: NULL
_SWAPPED: Final = sys.byteorder == "little"
_FLAT: Final = _HEAD.size + _DIMENSION.size  # bytes before the elements, where there is one dimension

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], list[Any]]


def codec(oid: int) -> tuple[Encode, Decode]:
    """Return what writes and what reads arrays of the numbers with this OID.

    Each number comes after its length, so that both are looked at as words of as many bytes as the shorter one has:
    then all words of a column are moved at once, in C.
    """
    code = NUMBERS[oid]
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
