"""Row: what a query that names no model gives; a tuple whose values have names too.

`rows_of` turns the answer of a statement into rows, with each value as its PostgreSQL type says. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, ClassVar, cast

from psqlmodel import types
from psqlmodel.errors import DataError
from psqlmodel.steps import Rows, Shape
from psqlmodel.types.temporal import in_column

_item: Callable[[Any, Any], Any] = cast(Any, tuple).__getitem__


class Row(tuple[Any, ...]):
    """A row: read it by position (`row[0]`), by name (`row["name"]`), by attribute (`row.name`), or unpack
    it.
    """

    __slots__ = ()
    _names: ClassVar[tuple[str, ...]] = ()
    _positions: ClassVar[dict[str, int]] = {}

    def __getitem__(self, key: Any) -> Any:  # a position, a slice or a name
        if type(key) is str:
            try:
                return _item(self, self._positions[key])
            except KeyError:
                raise KeyError(f"the row has no column {key!r}; it has {', '.join(self._names)}") from None
        return _item(self, key)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the row has no column {name!r}; it has {', '.join(self._names)}")

    def __repr__(self) -> str:
        pairs = zip(self._names, self, strict=False)
        return f"Row({', '.join(f'{name}={value!r}' for name, value in pairs)})"

    def __reduce__(self) -> tuple[Callable[..., Row], tuple[Any, ...]]:
        return _rebuild, (self._names, tuple(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a dict; of columns with one name the first counts."""
        return {name: _item(self, position) for name, position in self._positions.items()}


ResultRow = Row  # its public name: the query builder has a Row, too


class RowList(list[Row]):
    """The rows of a statement, in order; `affected` is how many rows it returned or changed."""

    def __init__(self, rows: Sequence[Row], count: int) -> None:
        super().__init__(rows)
        self.affected = count

    def first(self) -> Row | None:
        """Return the first row, or None where there is none."""
        return self[0] if self else None

    def scalar(self) -> Any:
        """Return the first value of the first row, or None where there is no row."""
        return self[0][0] if self else None


def row_class(names: tuple[str, ...]) -> type[Row]:
    """Return a class of rows with these column names; the first of equal names has the name."""
    positions: dict[str, int] = {}
    for position, name in enumerate(names):
        _ = positions.setdefault(name, position)
    body: dict[str, Any] = {
        # A column may be called like a method of tuple: `row.count` is the column then.
        name: property(itemgetter(position))
        for name, position in positions.items()
        if not (name.startswith("__") or name in ("_names", "_positions", "to_dict"))
    }
    return type("Row", (Row,), {"__slots__": (), "_names": names, "_positions": positions, **body})


def rows_of(rows: Rows) -> list[Row]:
    """Return the rows of an answer, with Python values by the types that the server reported."""
    make, loaders = _reading(rows.shape)
    if not loaders:
        return [make(values) for values in rows.data]
    names = rows.shape.names
    return [make(_load(values, loaders, names)) for values in rows.data]


def _load(
    values: Sequence[Any], loaders: Sequence[tuple[int, Callable[[Any], Any]]], names: Sequence[str]
) -> list[Any]:
    loaded, position = list(values), 0
    try:
        for position, load in loaders:
            if loaded[position] is not None:
                loaded[position] = load(loaded[position])
    except DataError as error:
        raise in_column(error, names[position]) from None
    return loaded


def _reading(shape: Shape) -> tuple[type[Row], tuple[tuple[int, Callable[[Any], Any]], ...]]:
    reading = shape.derived.get(Row)
    if reading is None:
        found = ((position, types.loader(None, oid)) for position, oid in enumerate(shape.oids))
        loaders = tuple([(position, load) for position, load in found if load is not None])
        reading = shape.derived[Row] = (row_class(shape.names), loaders)
    return reading


def _rebuild(names: tuple[str, ...], values: tuple[Any, ...]) -> Row:
    return row_class(names)(values)
