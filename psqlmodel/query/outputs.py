"""Outputs: what a query returns, in the order of its select list; entities become lists of columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import ColumnExpression, Expression, Labeled, paren
from psqlmodel.query.nodes import NO_SOURCES, Node, Params, Shape, Source
from psqlmodel.query.quoting import quote
from psqlmodel.query.sources import Table
from psqlmodel.types import PgType


class EntityOutput:
    """An object of the model `entity`: its `columns`, from position `start` of the row on."""

    __slots__ = ("columns", "entity", "flags", "params", "shape", "source", "sources", "start")

    def __init__(self, entity: Any, start: int) -> None:
        source: Source = entity.__source__
        self.source = source
        self.entity = getattr(entity, "__entity__", entity)
        self.columns: tuple[ColumnExpression[Any], ...] = tuple(entity.__columns__)
        self.start = start
        self.shape: Shape = ", ".join([column.shape for column in self.columns])
        self.sources = source.itself
        self.params: Params = ()
        self.flags = 0

    def __repr__(self) -> str:
        return f"EntityOutput({self.entity!r}, start={self.start})"


class ScalarOutput:
    """One value: its `name` in the row, its `type` where it is known, its position `index`."""

    __slots__ = ("expression", "flags", "index", "name", "params", "shape", "sources", "type")

    def __init__(self, expression: Node, index: int, name: str | None) -> None:
        self.expression = expression
        self.index = index
        self.name = name or f"column{index + 1}"
        self.type: PgType[Any] | None = getattr(expression, "type", None)
        self.params = expression.params
        self.sources = expression.sources
        self.flags = expression.flags
        plain = isinstance(expression, ColumnExpression) and expression.name == self.name
        self.shape: Shape = expression.shape if plain else (expression.shape, f" AS {quote(self.name)}")

    def __repr__(self) -> str:
        return f"ScalarOutput({self.name!r}, index={self.index})"


Output: TypeAlias = EntityOutput | ScalarOutput


def outputs_of(items: tuple[Any, ...], verb: str) -> tuple[Output, ...]:
    """Return the outputs of what `Select(…)` or `.Returning(…)` was given.

    Raises `QueryError` for what can't be selected.
    """
    if len(items) == 1 and not isinstance(items[0], Node):
        # By far the most frequent: one model. Its output is made once and kept at its source.
        source = getattr(items[0], "__source__", None)
        if isinstance(source, Source) and not isinstance(source, Table):
            if source.selected is None:
                source.selected = (EntityOutput(items[0], 0),)
            return source.selected  # type: ignore[no-any-return]
    outputs: list[Output] = []
    start = 0
    for item in _expanded(items, verb):
        if isinstance(item, Node):
            outputs.append(ScalarOutput(_selectable(item, verb), start, _label(item)))
            start += 1
        else:
            entity = EntityOutput(item, start)
            outputs.append(entity)
            start += len(entity.columns)
    return tuple(outputs)


def _expanded(items: Iterable[Any], verb: str) -> Iterator[Any]:
    for item in items:
        if isinstance(item, Table):
            yield from item.__columns__
        elif isinstance(item, Node) or hasattr(item, "__columns__"):
            yield item
        else:
            what = f"{type(item).__name__} {item!r}"
            if isinstance(item, type):
                what = f"the class {item.__name__}, which is no model: a model has @table above it"
            raise QueryError(f"{verb} takes models, columns and expressions, not {what}")


def _selectable(item: Node, verb: str) -> Node:
    if isinstance(item, Expression):
        return item
    if hasattr(item, "columns_of"):
        return paren(item, 1)
    raise QueryError(f"{verb} takes models, columns and expressions, not {item!r}")


def _label(item: Node) -> str | None:
    return getattr(item, "label", None)


def width(outputs: Iterable[Output]) -> int:
    """Return the number of columns that the outputs take."""
    return sum(len(output.columns) if isinstance(output, EntityOutput) else 1 for output in outputs)


def columns_of(outputs: Iterable[Output]) -> Iterator[tuple[str, str, Any, Any]]:
    """Give name, attribute, type and origin of each column, as a query around this one sees them.

    Raises `QueryError` where two have one name.
    """
    seen: set[str] = set()
    for name, key, type_, origin in _columns(outputs):
        if name in seen:
            raise QueryError(f"the subquery has two columns called {name!r}: give one another name with .As(…)")
        seen.add(name)
        yield name, key, type_, origin


def _columns(outputs: Iterable[Output]) -> Iterator[tuple[str, str, Any, Any]]:
    for output in outputs:
        if isinstance(output, EntityOutput):
            for column in output.columns:
                yield column.name, column.key, column.type, column.origin
        else:
            inner = output.expression
            while isinstance(inner, Labeled):
                inner = inner.inner
            yield output.name, output.name, output.type, getattr(inner, "origin", None)


def position(outputs: Iterable[Output], node: Node) -> int | None:
    """Return the position (from 1) of the output that is `node`, or None."""
    index = 0
    for output in outputs:
        if isinstance(output, EntityOutput):
            for column in output.columns:
                index += 1
                if column.shape == node.shape:
                    return index
        else:
            index += 1
            if output.expression.shape == node.shape and output.params == node.params:
                return index
    return None


__all__ = [
    "NO_SOURCES",
    "EntityOutput",
    "Output",
    "ScalarOutput",
    "columns_of",
    "outputs_of",
    "position",
    "width",
]
