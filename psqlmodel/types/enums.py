"""Enumerations: Python `Enum` classes stored by value: in a native enum type, a text or an integer."""

from __future__ import annotations

import re
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from psqlmodel.errors import InvalidValueError, MappingError
from psqlmodel.types.pgtype import PgType, kind_of, variant
from psqlmodel.types.quoting import quote
from psqlmodel.types.scalars import integer, text
from psqlmodel.types.textual import named

E = TypeVar("E", bound=Enum)
_SURROGATE = re.compile("[\ud800-\udfff]")


def enum(cls: type[E], name: str | None = None, schema: str | None = None, native: Any = True) -> PgType[E]:
    """Return the type of a column that holds members of `cls`, by value.

    Parameters:
        name: the name of the PostgreSQL enum type; by default the class's in snake case.
        schema: its schema; by default the first of the search path.
        native: False for a text column (or integer, where the values are ints) instead of an enum type.

    Raises `MappingError` where the values do not fit.

        mood: Column[Mood] = Column(type=enum(Mood, name="mood"))
    """
    if not (isinstance(cls, type) and issubclass(cls, Enum) and len(cls)):
        raise MappingError(f"enum() takes an Enum class with members, not {cls!r}")
    if not native:
        return over(_plain(cls), cls)
    return over(_native(cls, name or snake_case(cls.__name__), schema), cls)


@cache
def over(base: PgType[Any], cls: type[E]) -> PgType[E]:
    """Return `base` with the members of `cls` as its values."""
    members: dict[Any, Any] = {member: base.dump(member.value) for member in cls}
    by_wire: dict[Any, Any] = {wire: member for member, wire in members.items()}
    by_text: dict[str, Any] = {base.dump_text(member.value): member for member in cls}

    def dump(value: Any) -> Any:
        if type(value) is cls:
            wire = members.get(value)
            return base.dump(value.value) if wire is None else wire  # a Flag's combinations are not listed
        return None if value is None else base.dump(member_of(cls, value).value)

    def dump_text(value: Any) -> Any:
        return None if value is None else base.dump_text(member_of(cls, value).value)

    def load(wire: Any) -> Any:
        member = by_wire.get(wire)
        return _member_by_value(cls, base.load(wire) if base.load else wire) if member is None else member

    def load_text(text: str) -> Any:
        member = by_text.get(text)
        return _member_by_value(cls, base.load_text(text)) if member is None else member

    return variant(
        base,
        python=cls,
        dump=dump,
        load=load,
        dump_text=dump_text,
        load_text=load_text,
        carry=dump_text if base.transport == "text" else dump,
        natives=frozenset(),
        fits=None,
        modify=None,
        guess=False,
    )


def member_of(cls: type[E], value: Any) -> E:
    """Return the member that `value` is, or that has this value; raise `InvalidValueError` for any other."""
    if isinstance(value, cls):
        return value
    if isinstance(value, Enum):
        raise InvalidValueError(f"the column takes members of {cls.__qualname__}, not of {kind_of(value)}")
    try:
        return cls(value)
    except ValueError:
        raise InvalidValueError(f"the {kind_of(value)} is no value of {cls.__qualname__}") from None


def snake_case(name: str) -> str:
    """Return a class's name as a database name: `OrderState` → `order_state`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _member_by_value(cls: type[E], value: Any) -> E:
    try:
        return cls(value)
    except ValueError:
        raise InvalidValueError(
            f"the database holds a value that {cls.__qualname__} does not name: add it to the class"
        ) from None


def _plain(cls: type[Enum]) -> PgType[Any]:
    values = [member.value for member in cls]
    if all(isinstance(value, str) for value in values):
        return text
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return integer
    raise MappingError(
        f"the values of {cls.__qualname__} are neither all texts nor all ints: "
        "say how they are stored with Column(type=...)"
    )


@cache
def _native(cls: type[Enum], name: str, schema: str | None) -> PgType[Any]:
    labels = tuple(member.value for member in cls)
    for label in labels:
        if not isinstance(label, str) or not _is_label(label):
            raise MappingError(
                f"the values of {cls.__qualname__} can't be labels of a PostgreSQL enum: they must be texts of 1 to 63 "
                "bytes without NUL and lone surrogates; use enum(..., native=False)"
            )
    qualified = f"{quote(schema)}.{quote(name)}" if schema else quote(name)
    labels = tuple(str.__str__(label) for label in labels)
    return variant(named(qualified), type_name=name, schema=schema, labels=labels)


def _is_label(text: str) -> bool:
    return "\0" not in text and 1 <= len(text.encode(errors="surrogatepass")) <= 63 and not _SURROGATE.search(text)
