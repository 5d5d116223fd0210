"""Record: frozen values with names, equal where their values are. For type checkers a frozen dataclass.

Not `dataclasses`: it brings `inspect`, `ast` and `tokenize` (10 ms) and compiles six functions for each class (0.5 ms),
which every start of every program would pay. A record has no inheritance of fields and no default factories.
"""

from __future__ import annotations

from typing import Any, TypeVar, dataclass_transform

R = TypeVar("R", bound="Record")


@dataclass_transform(frozen_default=True)
class _Recording(type):
    """Makes the annotated names of a class body its slots, and the values given there their defaults."""

    __match_args__: tuple[str, ...]
    defaults: dict[str, Any]

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> _Recording:
        fields = tuple(body.get("__annotations__", ()))
        defaults = {field: body.pop(field) for field in fields if field in body}
        body["__slots__"] = body["__match_args__"] = fields
        made = super().__new__(cls, name, bases, body)
        made.defaults = defaults
        return made


class Record(metaclass=_Recording):
    """The base of frozen values; the annotated names of a subclass are its fields.

    A subclass whose values are checked or converted has an `__init__` of its own, which calls `fill`. Raises
    `TypeError` for values that are missing, unknown or too many, and `AttributeError` for an assignment.

        class Seat(Record):
            row: int
            reserved: bool = False
    """

    def __init__(self, *values: Any, **named: Any) -> None:
        kind = type(self)
        fields = kind.__match_args__
        given = dict(zip(fields, values, strict=False))
        complete = kind.defaults | given | named
        if len(values) > len(fields) or not given.keys().isdisjoint(named) or complete.keys() != set(fields):
            raise TypeError(f"{kind.__name__}() takes {', '.join(fields)}; some were missing, unknown or given twice")
        fill(self, **complete)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen: its {name} can't be changed, make another one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen: its {name} can't be deleted")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record) or type(self) is not type(other):
            return NotImplemented
        return _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash(_values(self))

    def __repr__(self) -> str:
        fields = zip(type(self).__match_args__, _values(self), strict=True)
        return f"{type(self).__name__}({', '.join([f'{name}={value!r}' for name, value in fields])})"

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:  # for copies and pickles
        fill(self, **state[1])


def fill(record: Record, **values: Any) -> None:
    """Write the values of a record that is being made."""
    for name, value in values.items():
        object.__setattr__(record, name, value)


def replace(record: R, **changes: Any) -> R:
    """Return another record that differs in `changes` only; raises `TypeError` for a name that is no field.

    replace(Seat(1), reserved=True)
    """
    values = dict(zip(type(record).__match_args__, _values(record), strict=True))
    return type(record)(**values | changes)


def _values(record: Record) -> tuple[Any, ...]:
    return tuple([getattr(record, name) for name in type(record).__match_args__])
