"""Numbers, texts, booleans, bytes and UUIDs: the types whose wire values are Python's own.

The exact Python type is looked at first, because that is the common case and costs least; everything else
goes through a slower function that converts or refuses.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import cache
from types import NoneType
from typing import Any
from uuid import UUID

from psqlmodel.errors import InvalidValueError
from psqlmodel.types.arrays import text_of
from psqlmodel.types.pgtype import PgType, pgtype, refuse, variant

# --- integers -----------------------------------------------------------------------------------------------


def _integer(
    name: str, transport: str, bits: int, oid: int, array_oid: int, *, larger: str, **options: Any
) -> PgType[int]:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    if name == "oid":
        low, high = 0, (1 << 32) - 1

    def dump(value: Any) -> Any:
        if type(value) is int and low <= value <= high:
            return value
        if value is None:
            return None
        number = _as_int(name, value)
        if low <= number <= high:
            return number
        raise InvalidValueError(f"{name} holds {low} to {high} and the int is outside{larger}")

    def fits(values: list[int]) -> bool:
        return low <= min(values) and max(values) <= high

    return pgtype(
        name,
        int,
        dump,
        dump_text=lambda value: None if value is None else text_of(dump(value)),
        load_text=int,
        natives=frozenset({int, NoneType}),
        fits=fits,
        transport=transport,
        oid=oid,
        array_oid=array_oid,
        **options,
    )


def _as_int(name: str, value: Any) -> int:
    # bool is an int to Python, but hardly ever meant as one; floats and texts are never turned into ints.
    if not isinstance(value, bool):
        try:
            return int(operator.index(value))
        except TypeError:
            pass
    raise refuse(name, value, "an int")


smallint = _integer("smallint", "int2", 16, 21, 1005, larger="; use integer or bigint")
integer = _integer("integer", "int4", 32, 23, 1007, larger="; use bigint")
bigint = _integer("bigint", "int8", 64, 20, 1016, larger="; use numeric")
oid = _integer("oid", "int8", 64, 26, 1028, larger="", cast="::oid")
# In DDL they make a sequence; as values they are plain integers. Their OIDs are those of the plain types.
smallserial = variant(smallint, name="smallserial", serial=True)
serial = variant(integer, name="serial", serial=True)
bigserial = variant(bigint, name="bigserial", serial=True)

# --- floating point and numeric -----------------------------------------------------------------------------

_GREATEST_REAL: float = struct.unpack("f", b"\xff\xff\x7f\x7f")[0] * (1 + 2**-26)


def _float(name: str, transport: str, oid: int, array_oid: int, check: Callable[[float], bool]) -> PgType[float]:
    def dump(value: Any) -> Any:
        if type(value) is not float:
            if value is None:
                return None
            value = _as_float(name, value)
        if not check(value):
            raise InvalidValueError(f"{name} can't hold a float this large; use double precision")
        return value

    def fits(values: list[float]) -> bool:
        return all(map(check, values))

    return pgtype(
        name,
        float,
        dump,
        dump_text=lambda value: None if value is None else text_of(dump(value)),
        load_text=float,
        natives=frozenset({float, NoneType}),
        fits=None if check is _any_float else fits,
        transport=transport,
        oid=oid,
        array_oid=array_oid,
    )


def _any_float(value: float) -> bool:
    return True


def _real_holds(value: float) -> bool:
    return -_GREATEST_REAL <= value <= _GREATEST_REAL or not math.isfinite(value)


def _as_float(name: str, value: Any) -> float:
    if isinstance(value, bool) or not hasattr(type(value), "__float__"):
        raise refuse(name, value, "a float")
    try:
        return float(value)
    except (OverflowError, ValueError):
        raise InvalidValueError(f"{name} can't hold a number this large; use numeric") from None


real = _float("real", "float4", 700, 1021, _real_holds)
double = _float("double precision", "float8", 701, 1022, _any_float)


def _dump_numeric(value: Any) -> Any:
    if type(value) is Decimal:
        if value.is_snan():
            raise InvalidValueError("numeric has no signalling NaN; use Decimal('NaN')")
        return value
    return None if value is None else _as_decimal("numeric", value)


def _as_decimal(name: str, value: Any) -> Decimal:
    if isinstance(value, bool):
        raise refuse(name, value, "a Decimal, int or float")
    if isinstance(value, float):
        return Decimal(float.__repr__(value))  # the shortest decimal that is this float: 0.1, not 0.1000…55
    if isinstance(value, Decimal):
        return Decimal(value)
    try:
        return Decimal(operator.index(value))
    except TypeError:
        raise refuse(name, value, "a Decimal, int or float") from None


def _no_snan(values: list[Decimal]) -> bool:
    return not any(map(Decimal.is_snan, values))


@cache
def _numeric_of(precision: int, scale: int | None = None) -> PgType[Decimal]:
    if type(precision) is not int or not 1 <= precision <= 1000:
        raise InvalidValueError("numeric(precision, scale) takes a precision of 1 to 1000 digits")
    if scale is not None and (type(scale) is not int or not -1000 <= scale <= 1000):
        raise InvalidValueError("numeric(precision, scale) takes a scale of -1000 to 1000 digits")
    name = f"numeric({precision})" if scale is None else f"numeric({precision},{scale})"
    return variant(numeric, name=name, modify=None)


numeric = pgtype(
    "numeric",
    Decimal,
    _dump_numeric,
    dump_text=lambda value: None if value is None else text_of(_dump_numeric(value)),
    load_text=Decimal,
    natives=frozenset({Decimal, NoneType}),
    fits=_no_snan,
    transport="numeric",
    oid=1700,
    array_oid=1231,
    modify=_numeric_of,
)


def _dump_money(value: Any) -> Any:
    amount = _finite_money(value)
    return None if amount is None else f"{amount:f}"


def _finite_money(value: Any) -> Any:
    if value is None:
        return None
    amount = _as_decimal("money", value)
    if not amount.is_finite():
        raise InvalidValueError("money holds neither NaN nor infinities")
    return amount


def _load_money(text: str) -> Decimal:
    # How money looks depends on lc_monetary: $1,234.50, 1.234,50 €, -¥1,235. The last sign that is followed
    # by one or two digits at the end is the decimal sign; all others group.
    negative = "-" in text or "(" in text
    digits = "".join(sign for sign in text if sign.isdecimal() or sign in ".,").strip(".,")
    split = max(digits.rfind("."), digits.rfind(","))
    if split >= 0 and len(digits) - split - 1 <= 2:
        whole, fraction = digits[:split], "." + digits[split + 1 :]
    else:
        whole, fraction = digits, ""
    try:
        amount = Decimal(whole.replace(".", "").replace(",", "") + fraction)
    except InvalidOperation:
        raise InvalidValueError("the text is no amount of money") from None
    return -amount if negative else amount


# One value travels as text, many as numeric. A single parameter is read by the server's lc_monetary: where
# its decimal sign is a comma, set lc_monetary to C for the session.
money = pgtype(
    "money",
    Decimal,
    _dump_money,
    load=_load_money,
    dump_text=_dump_money,
    load_text=_load_money,
    carry=_finite_money,
    transport="numeric",
    cast="::money",
    oid=790,
    array_oid=791,
)

# --- texts --------------------------------------------------------------------------------------------------


def dump_str(name: str, length: int | None = None) -> Callable[[Any], Any]:
    """Return the dump function of a text type: no NUL, no lone surrogates, at most `length` characters."""

    def dump(value: Any) -> Any:
        if type(value) is not str:
            if value is None:
                return None
            if not isinstance(value, str):
                raise refuse(name, value, "a str")
            value = str.__str__(value)
        if "\0" in value:
            raise InvalidValueError(f"{name}: the text contains a NUL character, which PostgreSQL can't store")
        if not value.isascii():
            _check_encodable(name, value)
        # Spaces beyond the limit are dropped by PostgreSQL itself, as the SQL standard says.
        if length is not None and len(value) > length and value[length:].strip(" "):
            raise InvalidValueError(f"{name}: the text has {len(value)} characters, at most {length} are allowed")
        return value

    return dump


def _check_encodable(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(f"{name}: the text contains a lone surrogate, which UTF-8 has no form for") from None


def texts_fit(length: int | None) -> Callable[[list[str]], bool]:
    """Return the check of many texts at once; where it says no, `dump` tells what is wrong with which."""

    def fits(values: list[str]) -> bool:
        joined = "".join(values)
        if "\0" in joined:
            return False
        if not joined.isascii() and any("\ud800" <= sign <= "\udfff" for sign in set(joined)):
            return False
        return length is None or max(map(len, values)) <= length

    return fits


def _text(name: str, oid: int, array_oid: int, length: int | None = None, **options: Any) -> PgType[str]:
    options.setdefault("cast", "")
    return pgtype(
        name,
        str,
        dump_str(name, length),
        natives=frozenset({str, NoneType}),
        fits=texts_fit(length),
        oid=oid,
        array_oid=array_oid,
        length=length,
        **options,
    )


@cache
def _varchar_of(length: int) -> PgType[str]:
    return _text(f"varchar({_length(length)})", 1043, 1015, length, base="varchar")


@cache
def _char_of(length: int) -> PgType[str]:
    return _text(f"char({_length(length)})", 1042, 1014, length, base="bpchar")


def _length(length: int) -> int:
    if type(length) is not int or not 1 <= length <= 10_485_760:
        raise InvalidValueError("the length of a text type is an int from 1 to 10485760")
    return length


text = _text("text", 25, 1009)
varchar = _text("varchar", 1043, 1015, modify=_varchar_of)
char = _text("char", 1042, 1014, 1, base="bpchar", modify=_char_of)
bpchar = _text("bpchar", 1042, 1014)
name = _text("name", 19, 1003, cast="::name")
internal_char = _text('"char"', 18, 1002, cast='::"char"')
citext = _text("citext", 0, 0, extension="citext", cast="::citext")

# --- boolean, bytea, uuid -----------------------------------------------------------------------------------


def _dump_bool(value: Any) -> Any:
    if value is True or value is False or value is None:
        return value
    raise refuse("boolean", value, "a bool")


def _load_bool(text: str) -> bool:
    return text in ("t", "true")


boolean = pgtype(
    "boolean",
    bool,
    _dump_bool,
    dump_text=lambda value: None if value is None else text_of(_dump_bool(value)),
    load_text=_load_bool,
    natives=frozenset({bool, NoneType}),
    transport="bool",
    oid=16,
    array_oid=1000,
)


def _dump_bytes(value: Any) -> Any:
    if type(value) is bytes or value is None:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise refuse("bytea", value, "bytes")


def _load_bytes(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise InvalidValueError("the text is no bytea in hex form: set bytea_output to hex")
    return bytes.fromhex(text[2:])


bytea = pgtype(
    "bytea",
    bytes,
    _dump_bytes,
    dump_text=lambda value: None if value is None else text_of(_dump_bytes(value)),
    load_text=_load_bytes,
    natives=frozenset({bytes, NoneType}),
    transport="bytea",
    oid=17,
    array_oid=1001,
)


def _dump_uuid(value: Any) -> Any:
    if type(value) is UUID or value is None or isinstance(value, UUID):
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            raise InvalidValueError("uuid: the text is no UUID") from None
    raise refuse("uuid", value, "a UUID")


uuid = pgtype(
    "uuid",
    UUID,
    _dump_uuid,
    dump_text=lambda value: None if value is None else str(_dump_uuid(value)),
    load_text=UUID,
    natives=frozenset({UUID, NoneType}),
    transport="uuid",
    oid=2950,
    array_oid=2951,
)
