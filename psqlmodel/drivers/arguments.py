"""Arguments of SQL that users write: what the server would read in a literal, asyncpg must be told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from psqlmodel.drivers import wire
from psqlmodel.query.lexing import tokens

CHARACTERS = frozenset({19, 25, 1042, 1043})


def adapt(text: str, args: Sequence[Any], oids: Sequence[int]) -> tuple[str, Sequence[Any]]:
    """Return text and arguments so that they mean what the same literals mean.

    The server calls a parameter of no known type `text`, and asyncpg refuses a number for it: `$1` becomes
    `$1::int4`. A text for a parameter of another type becomes `$1::text::date`, as a literal would be read.
    """
    casts: dict[int, str] = {}
    values = list(args)
    for position, (value, oid) in enumerate(zip(args, oids, strict=False)):
        kind = type(value)
        if kind is str and oid in _NOT_TEXT:
            casts[position] = f"::text::{_NOT_TEXT[oid]}"
        elif oid == _TEXT and kind is not str and value is not None:
            casts[position], values[position] = _literal(value)
        elif isinstance(value, datetime):
            values[position] = _moment(value, oid)
        elif kind is float and oid == _NUMERIC:
            values[position] = Decimal(repr(value))
    return (_with_casts(text, casts) if casts else text), values


_TEXT, _NUMERIC, _TIMESTAMP, _TIMESTAMPTZ = 25, 1700, 1114, 1184
_NOT_TEXT: dict[int, str] = {oid: name for oid, (name, _) in wire.NATIVE.items() if oid not in CHARACTERS} | {
    array: f"{name}[]" for name, array in (wire.NATIVE | wire.TEXTUAL).values() if array
}


def _literal(value: Any) -> tuple[str, Any]:
    """Return the cast for a value whose parameter has no type, and the value to send."""
    kind = type(value)
    if kind is int:
        return (
            "::int4" if -(2**31) <= value < 2**31 else "::int8" if -(2**63) <= value < 2**63 else "::numeric"
        ), value
    if kind is float:
        return "::numeric", Decimal(repr(value))
    if kind is datetime:
        return ("::timestamp" if value.tzinfo is None else "::timestamptz"), value
    if kind is time:
        return ("::time" if value.tzinfo is None else "::timetz"), value
    name = _LITERALS.get(kind)
    return ("", wire.to_text(value)) if name is None else (name, value)


_LITERALS: dict[type, str] = {
    bool: "::bool",
    Decimal: "::numeric",
    date: "::date",
    timedelta: "::interval",
    UUID: "::uuid",
    bytes: "::bytea",
}


def _moment(value: datetime, oid: int) -> datetime:
    """Return the datetime as the server at UTC would read the literal of it."""
    if oid == _TIMESTAMPTZ and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    if oid == _TIMESTAMP and value.tzinfo is not None:
        return wire.utc_naive(value)
    return value


def _with_casts(text: str, casts: dict[int, str]) -> str:
    pieces: list[str] = []
    for kind, piece in tokens(text):
        pieces.append(piece + casts.get(int(piece[1:]) - 1, "") if kind == "dollar" else piece)
    return "".join(pieces)
