"""Keys: how parents and what hangs on them find each other, by the values of their columns. Pure.

A key of one column is its value, one of several columns a tuple. Where two models spell a key differently (a UUID here,
its text there), keys are compared by their text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from psqlmodel.query.expression import ColumnExpression, Expression
from psqlmodel.query.nodes import COMPARISON, DEFERRED, CastSlot, DeferredList, TransportSlot, join_shapes

if TYPE_CHECKING:
    from psqlmodel.model.fields import Column

KeyOf: TypeAlias = Callable[[Any], Any]


class Match:
    """Two sides of a relation: `left` and `right` read the comparable key from an object of either.

    `respelled`: the models declare the columns with different Python types, so that keys are compared by their text;
    `comparable` makes such a key of the plain one.
    """

    def __init__(self, ours: Sequence[Column[Any]], theirs: Sequence[ColumnExpression[Any]]) -> None:
        self.ours = tuple(ours)
        self.theirs = tuple(theirs)
        self.respelled = any(python_of(a) is not python_of(b) for a, b in zip(ours, theirs, strict=True))
        self.comparable: KeyOf = _same if not self.respelled else _text if len(self.ours) == 1 else _texts
        self.left = self._reader(ours)
        self.right = self._reader(theirs)

    def _reader(self, columns: Sequence[Any]) -> KeyOf:
        read = reader(columns)
        if not self.respelled:
            return read
        comparable = self.comparable
        return lambda obj: comparable(read(obj))

    def condition(self, keys: list[Any]) -> Expression[bool]:
        """Return the condition that their columns are one of our keys: one array for each column."""
        if len(self.theirs) == 1:
            column = self.theirs[0]
            return column.In([_spelled(key, column) for key in keys] if self.respelled else keys)
        return tuple_in(self.theirs, self.ours, keys)


def reader(columns: Sequence[Any]) -> KeyOf:
    """Return the function from an object to its key in these columns; what is not loaded is loaded, or raises."""
    return attrgetter(*[column.key for column in columns])


def distinct_keys(objects: list[Any], columns: Sequence[Column[Any]]) -> list[Any]:
    """Return the keys that objects hold in these columns, each once, without those that are NULL or have one."""
    found = dict.fromkeys(map(reader(columns), objects))
    if len(columns) == 1:
        return [key for key in found if key is not None]
    return [key for key in found if None not in key]


def tuple_in(
    columns: Sequence[ColumnExpression[Any]], typed_as: Sequence[ColumnExpression[Any]], keys: list[Any]
) -> Expression[bool]:
    """Return `(a, b) IN (SELECT … FROM unnest($1::int4[], $2::text[]))`; the values are of the columns `typed_as`."""
    numbers = range(1, len(columns) + 1)
    shape: list[Any] = ["(", join_shapes([column.shape for column in columns], ", "), ") IN (SELECT "]
    for n, column in zip(numbers, typed_as, strict=True):
        shape += (", " if n > 1 else "", f"k.c{n}", CastSlot(column))
    shape.append(" FROM unnest(")
    for n, column in zip(numbers, typed_as, strict=True):
        shape += (", " if n > 1 else "", None, "::", TransportSlot(column))
    shape.append(f") AS k({', '.join(f'c{n}' for n in numbers)}))")
    arrays = zip(*keys, strict=True)
    params = tuple(DeferredList(column, list(array)) for column, array in zip(typed_as, arrays, strict=True))
    sources: frozenset[Any] = frozenset().union(*(column.sources for column in columns))
    condition: Expression[bool] = Expression(tuple(shape), params, sources, DEFERRED, COMPARISON)
    for n, column in enumerate(columns):
        if getattr(column.source, "distribution", None) == column.name and python_of(column) is python_of(typed_as[n]):
            # A cluster does not look into arrays that are joined: it is told the shards besides.
            condition &= column.In(list(dict.fromkeys([key[n] for key in keys])))
    return condition


def python_of(column: Any) -> type:
    """Return the Python type that the model gives a column."""
    python: type = column.type.python
    return python


def _same(key: Any) -> Any:
    return key


def _text(part: Any) -> Any:
    return None if part is None else str(part.value if isinstance(part, Enum) else part)


def _texts(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(map(_text, key))


def _spelled(key: Any, column: Any) -> Any:
    """Return a key as the model of `column` spells it."""
    if isinstance(key, python_of(column)):
        return key
    if isinstance(key, str):
        return column.type.load_text(key)
    return _text(key) if python_of(column) is str else key
