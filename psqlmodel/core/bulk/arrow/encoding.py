"""Encoding: from arrays of Arrow to texts that PostgreSQL reads. Pure.

`encoder` says for two types how, or that one does not go into the other, before anything is sent. Arrow's own casts do
the work where they can. Where a conversion fails, `Encoded` names the row and the column, never the value.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Final
from uuid import UUID

from psqlmodel.core.bulk.arrow.needed import arrow
from psqlmodel.errors import DataError, InvalidValueError, PSQLModelError
from psqlmodel.types import PgType, array_literal
from psqlmodel.types.arrays import SemicolonList

Encode = Callable[[Any], Any]  # array → array of texts

_UNFIT: Final = (ValueError, ArithmeticError, TypeError, NotImplementedError, PSQLModelError)


class Encoded:
    """One column on its way into the table: `texts` gives the texts of an array, escaped for COPY."""

    __slots__ = ("_encode", "_name", "_plain")

    def __init__(self, name: str, kind: Any, target: PgType[Any]) -> None:
        self._name = name
        try:
            self._encode = encoder(kind, target)
        except InvalidValueError as error:
            raise InvalidValueError(f'copy_from: column "{name}": {error}') from None
        self._plain = _never_special(kind)

    def texts(self, array: Any, before: int) -> Any:
        """Return the texts; `before` is how many rows came before them. Raises `DataError` with row and column."""
        try:
            texts = self._encode(array)
        except _UNFIT as error:
            raise self._explained(array, before, error) from None
        return texts if self._plain else _escaped(texts)

    def _explained(self, array: Any, before: int, error: Exception) -> DataError:
        where = f'column "{self._name}"'
        for n in range(len(array)):
            try:
                _ = self._encode(array.slice(n, 1))
            except _UNFIT as first:
                error, where = first, f"row {before + n + 1}, {where}"
                break
        why = str(error) if isinstance(error, PSQLModelError) else "the value does not fit, or would lose digits"
        return DataError(f"{where}: {why}", sqlstate="22000")


def encoder(kind: Any, target: PgType[Any]) -> Encode:
    """Return what makes texts of arrays of an Arrow type, for a column of `target`.

    Raises `InvalidValueError` where the one does not go into the other.
    """
    is_ = arrow().types
    if is_.is_null(kind):
        return _cast_to_text
    if is_.is_dictionary(kind):
        inner = encoder(kind.value_type, target)
        return lambda array: inner(array.dictionary_decode())
    if isinstance(kind, arrow().BaseExtensionType):
        stored = _uuids if kind.extension_name == "arrow.uuid" else encoder(kind.storage_type, target)
        return lambda array: stored(array.storage)
    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind):
        return _lists(kind, target)
    if is_.is_struct(kind) or is_.is_map(kind):
        return _by_value(kind, target)
    return _scalars(kind, target)


def _scalars(kind: Any, target: PgType[Any]) -> Encode:
    is_ = arrow().types
    if is_.is_timestamp(kind):
        return _timestamps(kind, target)
    if is_.is_date(kind):
        _refuse(target, kind, {"timestamptz"}, "give it a time and a zone")
        return _days
    if is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_fixed_size_binary(kind) or _is_view(kind, "binary"):
        return _binaries(kind, target)
    if is_.is_string(kind) or is_.is_large_string(kind) or _is_view(kind, "string"):
        _refuse(target, kind, {"bytea"}, "cast it to binary")
        return _cast_to_text
    if is_.is_duration(kind):
        return _durations
    if kind == arrow().month_day_nano_interval():
        return _intervals
    if is_.is_time(kind):
        return lambda array: array.cast(arrow().time64("us")).cast(arrow().string())
    if is_.is_float16(kind):
        return lambda array: array.cast(arrow().float32()).cast(arrow().string())
    if is_.is_boolean(kind) or is_.is_integer(kind) or is_.is_floating(kind) or is_.is_decimal(kind):
        return _cast_to_text
    raise InvalidValueError(f"there is no way from Arrow's {kind} to {target.name}: cast it before")


def _is_view(kind: Any, of: str) -> bool:
    return str(kind) == f"{of}_view"


def _refuse(target: PgType[Any], kind: Any, names: set[str], advice: str) -> None:
    if target.transport in names:
        raise InvalidValueError(f"Arrow's {kind} does not go into {target.name}: {advice}")


def _never_special(kind: Any) -> bool:
    """Tell whether no text of this type has anything to be escaped."""
    is_ = arrow().types
    return bool(is_.is_primitive(kind) or is_.is_decimal(kind) or is_.is_boolean(kind) or is_.is_null(kind))


def _cast_to_text(array: Any) -> Any:
    return array.cast(arrow().string())


# COPY's text format has a row on each line, so that the server's errors name the row.
_ESCAPES: Final = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


def _escaped(texts: Any) -> Any:
    compute = arrow().compute
    for sign, escape in _ESCAPES:
        if compute.any(compute.match_substring(texts, sign)).as_py():
            texts = compute.replace_substring(texts, sign, escape)
    return texts


# --- moments ------------------------------------------------------------------------------------------------

_DAY: Final = 86_400_000_000
_FIRST_DAY: Final = (
    -719_162
)  # 0001-01-01 and 9999-12-31, as days since 1970: as in Python, they stand for the infinities
_LAST_DAY: Final = 2_932_896
_FIRST: Final = _FIRST_DAY * _DAY
_LAST: Final = (_LAST_DAY + 1) * _DAY - 1


def _timestamps(kind: Any, target: PgType[Any]) -> Encode:
    pa = arrow()
    if kind.tz is None:
        _refuse(target, kind, {"timestamptz", "timetz"}, "say in which zone it is")
    else:
        _refuse(target, kind, {"timestamp", "date", "time"}, "take its zone away")

    def encode(array: Any) -> Any:
        # As numbers they lose their zone: texts of moments in a zone take pyarrow thirty times as long, and 40 MB.
        numbers = array.cast(pa.timestamp("us", tz=kind.tz)).cast(pa.int64())
        texts = numbers.cast(pa.timestamp("us")).cast(pa.string())
        if kind.tz is not None:
            texts = pa.compute.binary_join_element_wise(texts, "+00", "")
        return _bounded(texts, numbers, _FIRST, _LAST)

    return encode


def _days(array: Any) -> Any:
    pa = arrow()
    days = array.cast(pa.date32())
    return _bounded(days.cast(pa.string()), days.cast(pa.int32()), _FIRST_DAY, _LAST_DAY)


def _bounded(texts: Any, numbers: Any, first: int, last: int) -> Any:
    """Return the texts of moments; the first and the last one are infinite, and beyond there is none."""
    compute = arrow().compute
    ends = compute.min_max(numbers).as_py()
    if ends["min"] is None or (first < ends["min"] and ends["max"] < last):
        return texts
    if ends["min"] < first or ends["max"] > last:
        raise InvalidValueError("it is not between the years 1 and 9999")
    texts = compute.if_else(compute.equal(numbers, first), "-infinity", texts)
    return compute.if_else(compute.equal(numbers, last), "infinity", texts)


def _durations(array: Any) -> Any:
    pa = arrow()
    return _texts(array.cast(pa.duration("us")).cast(pa.int64()).to_pylist(), _clock)


def _intervals(array: Any) -> Any:
    return _texts(array.to_pylist(), _interval)


def _interval(value: Any) -> str:
    micros, rest = divmod(value.nanoseconds, 1000)
    if rest:
        raise InvalidValueError("interval has microseconds, and the value nanoseconds")
    return f"{value.months} mons {value.days} days {_clock(micros)}"


def _clock(micros: int) -> str:
    """Return microseconds as hours, minutes and seconds: a greater number than these some servers do not read."""
    seconds, fraction = divmod(abs(micros), 1_000_000)
    sign = "-" if micros < 0 else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}"


# --- what goes value by value -------------------------------------------------------------------------------


def _binaries(kind: Any, target: PgType[Any]) -> Encode:
    if target.transport == "uuid" and getattr(kind, "byte_width", 0) == 16:
        return _uuids
    if target.transport != "bytea":
        raise InvalidValueError(f"Arrow's {kind} does not go into {target.name}: cast it to string")
    return lambda array: _texts(array.to_pylist(), lambda value: f"\\x{value.hex()}")


def _uuids(array: Any) -> Any:
    return _texts(array.to_pylist(), lambda value: str(UUID(bytes=value)))


def _texts(values: list[Any], write: Callable[[Any], str]) -> Any:
    return arrow().array([None if value is None else write(value) for value in values], arrow().string())


def _by_value(kind: Any, target: PgType[Any]) -> Encode:
    """Return what lets the type of the column write Python values: JSON from structs and lists, vectors from lists."""
    if target.transport != "text":
        raise InvalidValueError(f"Arrow's {kind} does not go into {target.name}")
    return lambda array: _texts(array.to_pylist(), target.dump_text)


def _lists(kind: Any, target: PgType[Any]) -> Encode:
    element = target.element
    if element is None:
        return _by_value(kind, target)
    nested = _nested(kind, element)
    return lambda array: _texts(nested(array), array_literal)


def _nested(kind: Any, element: PgType[Any]) -> Callable[[Any], list[Any]]:
    """Return what makes lists of texts of an array of lists; further dimensions are lists in it."""
    is_ = arrow().types
    inner = kind.value_type
    deeper = is_.is_list(inner) or is_.is_large_list(inner) or is_.is_fixed_size_list(inner)
    read = _nested(inner, element) if deeper and not element.mutable else _flat(encoder(inner, element))
    make = SemicolonList if element.delimiter == ";" else list

    def lists(array: Any) -> list[Any]:
        values = iter(read(array.flatten()))
        lengths = arrow().compute.list_value_length(array).to_pylist()
        return [None if length is None else make(islice(values, length)) for length in lengths]

    return lists


def _flat(encode: Encode) -> Callable[[Any], list[Any]]:
    return lambda array: encode(array).to_pylist()
