"""Nodes: what expressions and queries have in common, so that either can stand inside the other.

A node is its `shape`: SQL text in nested tuples, with None for each parameter, beside the `params` in the
same order. The shape is a dictionary key that says everything about the text and nothing about the values:
two queries of one shape share one text (`compiler.py`). A `Source` is what a node reads from. Nothing here looks at a
value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from psqlmodel.query.quoting import qualified, quote

if TYPE_CHECKING:
    from psqlmodel.query.expression import ColumnExpression
    from psqlmodel.types import PgType

# A str is SQL text, None a parameter, a Slot the type of a column, a tuple a sequence of these.
Shape: TypeAlias = Any
# Wire values, and what becomes one later: Deferred (needs the catalog), CteReference (hoisted when compiled).
Params: TypeAlias = tuple[Any, ...]
TypeOf: TypeAlias = Callable[["ColumnExpression[Any]"], "PgType[Any]"]

AGGREGATE: Final = 1  # contains an aggregate of its own query
WINDOW: Final = 2  # contains a window function of its own query
DEFERRED: Final = 4  # has parameters whose type is only guessed
CTES: Final = 8  # refers to common table expressions
INHERITED: Final = DEFERRED | CTES  # what a subquery passes on to the query around it
GROUPED: Final = AGGREGATE | WINDOW  # what is not known yet when WHERE and ON look at a row

# How tightly an expression holds together (PostgreSQL's manual, 4.1.6); looser parts get parentheses.
OR: Final = 1
AND: Final = 2
NOT: Final = 3
COMPARISON: Final = 4
OTHER: Final = 5
ADD: Final = 6
MULTIPLY: Final = 7
POWER: Final = 8
SIGN: Final = 9
CAST: Final = 10
ATOM: Final = 11

NO_SOURCES: Final[frozenset[Any]] = frozenset()


class Node:
    """Something with SQL text: `shape`, `params`, `sources` (those it needs around it), `flags`."""

    __slots__ = ()
    level = 0  # a query; each expression has its own

    if TYPE_CHECKING:
        shape: Shape
        params: Params
        sources: frozenset[Source]
        flags: int


class TableName(str):
    """The text of a table in a FROM clause; the compiler collects these as the query's tables."""

    __slots__ = ()


class Source:
    """What can stand in a FROM clause: `shape` and `params` there, `qualifier` before its columns.

    `sources` are those that it needs to its left: only a LATERAL subquery has them. `itself` is the set of
    the source alone, which is what each of its columns needs.
    """

    __slots__ = ("begun", "flags", "itself", "params", "qualifier", "selected", "shape", "sources")

    def __init__(
        self,
        qualifier: str,
        shape: Shape,
        params: Params = (),
        sources: frozenset[Source] = NO_SOURCES,
        flags: int = 0,
    ) -> None:
        self.qualifier = qualifier
        self.itself = frozenset((self,))
        self.shape = shape
        self.params = params
        self.sources = sources
        self.flags = flags
        self.selected: Any = None  # the select list of its entity, kept by `outputs.py`
        self.begun: dict[Any, Any] = {}  # what queries that read from it begin with, kept by `select.py`

    def __repr__(self) -> str:
        return self.qualifier.replace('"', "")


class TableSource(Source):
    """A table or view, by name and schema; `distribution` is the column that spreads its rows over several servers."""

    __slots__ = ("distribution", "name", "schema")

    def __init__(self, name: str, schema: str | None = None) -> None:
        super().__init__(quote(name), TableName(qualified(name, schema)))
        self.name = name
        self.schema = schema
        self.distribution: str | None = None

    def __repr__(self) -> str:
        return self.name if self.schema is None else f"{self.schema}.{self.name}"


# Says in the text of hand-written SQL that it may read any table: what is pending is flushed before it.
ANY_TABLE: Final = TableName("")


class Slot(Protocol):
    """A leaf of a shape whose text depends on what type a column really has."""

    column: ColumnExpression[Any]

    def text(self, type_: PgType[Any]) -> str:
        """Return the SQL of this leaf for a column of `type_`."""
        ...


class TransportSlot:
    """`int4[]`: the array type that carries values of a column through `unnest`."""

    __slots__ = ("column",)

    def __init__(self, column: ColumnExpression[Any]) -> None:
        self.column = column

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.column is self.column

    def __hash__(self) -> int:
        return hash((type(self), id(self.column)))

    def text(self, type_: PgType[Any]) -> str:
        """Return the SQL of this leaf for a column of `type_`."""
        return f"{type_.transport}[]"


class CastSlot(TransportSlot):
    """`::jsonb`: what brings a transported value back to the type of its column."""

    __slots__ = ()

    def text(self, type_: PgType[Any]) -> str:
        """Return the SQL of this leaf for a column of `type_`."""
        return type_.cast


class Deferred:
    """A parameter that is dumped when the query is compiled, because its column's type is only guessed.

    `wire` is what `dumped_by`, the function of the guess, made of it: mostly the guess is right.
    """

    __slots__ = ("column", "dumped_by", "value", "wire")

    def __init__(self, column: ColumnExpression[Any], value: Any, dumped_by: Any = None, wire: Any = None) -> None:
        self.column = column
        self.value = value
        self.dumped_by = dumped_by
        self.wire = wire

    def dump(self, type_: PgType[Any]) -> Any:
        """Return the wire value for a column of `type_`."""
        return self.wire if type_.dump is self.dumped_by else type_.dump(self.value)


class DeferredList(Deferred):
    """Many values of one column in one array parameter, dumped when the query is compiled."""

    __slots__ = ()

    def dump(self, type_: PgType[Any]) -> Any:
        """Return the list of transport values for a column of `type_`."""
        return type_.dump_column(self.value)


class ExcludedName(str):
    """An attribute name behind EXCLUDED; `Insert` replaces it by the name of the column."""

    __slots__ = ()


def join_shapes(shapes: Sequence[Shape], separator: str) -> Shape:
    """Return the shapes as one, with `separator` between them."""
    if len(shapes) == 1:
        return shapes[0]
    parts: list[Shape] = []
    for shape in shapes:
        parts.append(separator)
        parts.append(shape)
    return tuple(parts[1:])
