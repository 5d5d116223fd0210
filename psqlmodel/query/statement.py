"""Query: what all statements of the builder have in common. Immutable: each clause returns a new query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from psqlmodel.errors import QueryError
from psqlmodel.query import execution
from psqlmodel.query.expression import NULL, Expression, beside
from psqlmodel.query.nodes import (
    AGGREGATE,
    DEFERRED,
    INHERITED,
    NO_SOURCES,
    WINDOW,
    Deferred,
    Node,
    Params,
    Shape,
    Source,
)
from psqlmodel.query.outputs import EntityOutput, Output, columns_of, width
from psqlmodel.query.sources import CommonTable, CteReference, Subquery, names, source_of, unknown_column

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from psqlmodel.core.async_session import AsyncSession
    from psqlmodel.core.session import Session
    from psqlmodel.observe.plan import QueryPlan
    from psqlmodel.query.compiler import Compiled

T = TypeVar("T", covariant=True)
_new = object.__new__


def _compile(query: Query[Any]) -> Compiled:
    """Import the compiler, which imports this module, and take its place."""
    global _compile
    from psqlmodel.query.compiler import compile

    _compile = compile
    return compile(query)


class Assembly:
    """A statement being put together: its shape, parameters, flags, and the sources that it still needs."""

    __slots__ = ("flags", "known", "params", "shape", "sources")

    def __init__(self, known: frozenset[Source] = NO_SOURCES) -> None:
        self.shape: Any = []
        self.params: list[Any] = []
        self.flags = 0
        self.known = known  # what FROM offers
        self.sources: frozenset[Source] = NO_SOURCES

    def add(self, node: Any) -> None:
        """Add a node: anything with shape, params, sources and flags."""
        self.join("", (node,), "")

    def join(self, lead: str, nodes: Any, separator: str) -> None:
        """Add nodes with text before them and between them. The hot path of assembling, hence in one loop."""
        shape, params, known = self.shape, self.params, self.known
        for node in nodes:
            shape.append(lead)
            shape.append(node.shape)
            if node.params:
                params += node.params
            self.flags |= node.flags
            sources = node.sources
            if sources is not known and not sources <= known:
                self.sources = self.sources | missing(sources, known)
            lead = separator

    def value(self, text: str, bound: Any) -> None:
        """Add text and the parameter behind it."""
        self.shape += (text, None)
        self.params.append(bound)
        if isinstance(bound, Deferred):
            self.flags |= DEFERRED

    def text(self, text: Shape) -> None:
        """Add text."""
        self.shape.append(text)

    def finish(self) -> Assembly:
        """Return this assembly as it will stay."""
        self.shape = tuple(self.shape)
        return self


class Query(Node, Generic[T]):
    """A statement whose rows are of Python type `T`.

    A query that is built from shapes alone has a `key`: what was called on it, in that order, without the values.
    Queries of one key have one text, which the compiler finds by it without assembling anything; `()` says that
    the query has none. Beside it: `pending`, the sources that were not in FROM when a clause named them, and
    `needs`, the flags of what the clauses hold.
    """

    if TYPE_CHECKING:
        outputs: tuple[Output, ...]
        known: frozenset[Source]

    def __init__(self) -> None:
        self.outputs = ()
        self.known = NO_SOURCES
        self.extra_tables: tuple[CommonTable, ...] = ()
        self.key: tuple[Any, ...] = ()
        self.pending: frozenset[Source] = NO_SOURCES
        self.needs = 0
        self._assembly: Assembly | None = None

    if not TYPE_CHECKING:  # for type checkers, what is not there is an error anyway

        def __getattr__(self, name: str) -> Any:
            from psqlmodel.query import elsewhere  # for those who make an error

            raise elsewhere.no_attribute(self, name, elsewhere.QUERY)

    # --- what the statement is ------------------------------------------------------------------------------

    def assemble(self) -> Assembly:
        """Return the statement's shape, parameters and needs."""
        raise NotImplementedError

    @property
    def assembly(self) -> Assembly:
        """The assembled statement; assembled once, since a query never changes."""
        found = self._assembly
        if found is None:
            found = self.assemble()
            for table in self.extra_tables:
                found.params.append(CteReference(table))
                found.flags |= table.flags
            self._assembly = found.finish()
        return found

    def arguments(self) -> list[Any]:
        """Return the parameters of a query with a key, in the order of the text."""
        return self.assembly.params

    @property
    def shape(self) -> Shape:
        """The text, with parameters left out."""
        return self.assembly.shape

    @property
    def params(self) -> Params:  # type: ignore[override]
        """The parameters in the order of the text: wire values."""
        return tuple(self.assembly.params)

    @property
    def sources(self) -> frozenset[Source]:  # type: ignore[override]
        """The tables that the query refers to and does not have: those of a query around it."""
        return self.assembly.sources

    @property
    def flags(self) -> int:  # type: ignore[override]
        """What a query around this one must know."""
        return self.assembly.flags & INHERITED

    @property
    def width(self) -> int:
        """The number of columns that it returns."""
        return width(self.outputs)

    @property
    def tables(self) -> frozenset[str]:
        """The quoted names of all tables in the query."""
        return self._compiled().tables

    @property
    def entities(self) -> tuple[Any, ...]:
        """The model classes whose objects it returns."""
        return tuple(output.entity for output in self.outputs if isinstance(output, EntityOutput))

    def columns_of(self) -> list[tuple[str, str, Any, Any]]:
        """Return name, attribute, type and origin of each column that it returns."""
        found = list(columns_of(self.outputs))
        if not found:
            raise QueryError("the query returns nothing that another could read: add .Returning(…)")
        return found

    # --- using it -------------------------------------------------------------------------------------------

    def With(self, *tables: CommonTable) -> Self:
        """Add common tables that the query does not read: an `Insert`, `Update` or `Delete` beside it."""
        for table in tables:
            if not isinstance(table, CommonTable):
                raise QueryError(f'.With takes common tables made by With("name", query), not {type(table).__name__}')
        return self._with(extra_tables=(*self.extra_tables, *tables))

    def Subquery(self, name: str) -> Subquery:
        """Return the query as a table for FROM, called `name`; its columns are attributes."""
        return Subquery(self, name)

    def As(self, name: str) -> Expression[Any]:
        """Return the query as a value: a subquery of one column in a select list, called `name`."""
        return self.Scalar().As(name)

    def Scalar(self) -> Expression[Any]:
        """Return the query as a value: it has one column and gives one row at most."""
        if self.width != 1:
            raise QueryError(f"a subquery that stands for a value selects one column, not {self.width}")
        type_ = getattr(self.outputs[0], "type", None)
        return Expression(("(", self.shape, ")"), self.params, self.sources, self.flags, type=type_)

    def to_sql_params(self) -> tuple[str, list[Any]]:
        """Return the text, with `$1 … $n`, and its parameters in that order."""
        compiled = self._compiled()
        return compiled.text, compiled.args

    @overload
    def explain(self, session: Session, *, analyze: bool = False) -> QueryPlan: ...
    @overload
    def explain(self, session: AsyncSession, *, analyze: bool = False) -> Awaitable[QueryPlan]: ...
    @overload
    def explain(self, session: None = None, *, analyze: bool = False) -> Any: ...
    def explain(self, session: Any = None, *, analyze: bool = False) -> Any:
        """Return how the server would execute the query, or executes it: see `Session.explain`.

        `session` is by default the current one (under an `AsyncSession` it gives an awaitable).

            print(Select(User).explain(session, analyze=True))
        """
        return (execution.session() if session is None else session).explain(self, analyze=analyze)

    def all(self) -> Any:
        """Execute in the current session and return all rows (an awaitable under an `AsyncSession`)."""
        return execution.current(self, "all")

    def first(self) -> Any:
        """Execute in the current session and return the first row, or None."""
        return execution.current(self, "first")

    def one(self) -> Any:
        """Execute in the current session and return the one row."""
        return execution.current(self, "one")

    def one_or_none(self) -> Any:
        """Execute in the current session and return the one row, or None where there is none."""
        return execution.current(self, "one_or_none")

    def scalar(self) -> Any:
        """Execute in the current session and return the first column of the first row."""
        return execution.current(self, "scalar")

    def __str__(self) -> str:
        return self._compiled().text

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {' '.join(self._compiled().text.split())}>"

    def _compiled(self) -> Compiled:
        return _compile(self)

    def _with(self, **changes: Any) -> Self:
        """Return this query with changes; it has a key only if one is among them."""
        made = self._copied()
        made.__dict__.update(changes)
        return made

    def _copied(self) -> Self:
        """Return a copy without key, for a clause to change before it hands it out."""
        made = _new(type(self))
        made.__dict__ = values = self.__dict__.copy()  # 0.06 µs where `{**…}` takes 0.5
        values["_assembly"] = None
        values["key"] = ()
        return made


# --- what several statements check and do -------------------------------------------------------------------


def checked(condition: Any, known: frozenset[Source], verb: str) -> Node:
    """Return a condition for WHERE or ON; raise `QueryError` for what can't stand there."""
    if not isinstance(condition, Expression):
        from psqlmodel.query.expression import condition as refused

        return refused(condition)
    if condition.flags & (AGGREGATE | WINDOW):
        raise QueryError(
            f"{verb} sees rows before they are grouped: put the aggregate {condition!r} into .Having(…)"
            if condition.flags & AGGREGATE
            else f"{verb} can't use a window function: select {condition!r} in a .Subquery(…) and filter that"
        )
    sources = condition.sources
    if sources and not sources <= known and len(missing(sources, known)) == len(sources):
        raise QueryError(
            f"{verb}: {condition!r} is about {names(sources)}, which is not in the query"
            f"{f' (it has {names(known)})' if known else ''}: join it first"
        )
    return condition


def missing(sources: frozenset[Source], known: frozenset[Source]) -> frozenset[Source]:
    """Return the sources that are not known; two aliases made alike are one."""
    spelled = {(source.qualifier, source.shape) for source in known}
    return frozenset(s for s in sources - known if (s.qualifier, s.shape) not in spelled)


def added(known: frozenset[Source], entity: Any, verb: str) -> tuple[Source, frozenset[Source]]:
    """Return the source of `entity` and the known ones with it; refuse a name that is there already."""
    source = source_of(entity, verb)
    qualifier = source.qualifier
    for other in known:
        if other.qualifier == qualifier:
            raise QueryError(f'{verb}: {source!r} is in the query already; use another name for it: Alias(…, "other")')
    return source, known | source.itself


def column_of(entity: Any, key: Any, verb: str) -> Any:
    """Return the column of `entity` that an assignment names, by attribute name or by the attribute."""
    if isinstance(key, str):
        for column in entity.__columns__:
            if column.key == key:
                return column
        raise unknown_column(f"{verb}: {entity_name(entity)}", key, entity.__columns__)
    origin = getattr(key, "origin", None)
    for column in entity.__columns__:
        if column is key or column.origin is origin:
            return column
    if isinstance(key, Expression):
        raise QueryError(f"{verb}: {key!r} is not a column of {entity_name(entity)}")
    raise QueryError(f"{verb}: a column is named by its attribute, not by {type(key).__name__} {key!r}")


def assigned(column: Any, value: Any, verb: str) -> Node:
    """Return what is written into a column: an expression, or a value as a parameter of the column's type."""
    if isinstance(value, Expression):
        if value.flags & (AGGREGATE | WINDOW):
            raise QueryError(f"{verb}: an aggregate can't be assigned to {column!r}; use a subquery")
        return value
    if isinstance(value, Query):
        return value.Scalar()
    if value is None:
        return Expression(None, (None,), type=NULL.type)
    return beside(column, value)


def entity_name(entity: Any) -> str:
    """Return the name of a model or alias for a message."""
    return getattr(entity, "__name__", None) or repr(entity)


def entity_of(entity: Any, verb: str) -> Any:
    """Return `entity` if it is a model or an alias of one."""
    if not hasattr(entity, "__columns__") or not hasattr(entity, "__source__") or isinstance(entity, Source):
        raise QueryError(f"{verb} takes a model class, not {entity!r}")
    return entity
