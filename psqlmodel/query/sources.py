"""Sources: what can stand in FROM beside tables; aliases, subqueries and common table expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from psqlmodel.errors import QueryError, nearest
from psqlmodel.query.expression import ColumnExpression
from psqlmodel.query.nodes import CTES, NO_SOURCES, Node, Params, Shape, Source
from psqlmodel.query.quoting import quote

if TYPE_CHECKING:
    from psqlmodel.query.statement import Query

E = TypeVar("E")


class UnknownColumnError(QueryError, AttributeError):
    """A query names a column that the table, alias or subquery does not have."""


def Alias(entity: type[E], name: str) -> type[E]:
    """Return `entity` under another name, for a query that needs its table twice.

    `name` is an SQL alias. The result is used like the class in queries, and its rows load as objects of it.

        manager = Alias(User, "manager")
        Select(User.name, manager.name).Join(manager, User.manager_id == manager.id)
    """
    if not hasattr(entity, "__columns__"):
        raise QueryError(f"Alias takes a model class, not {entity!r}")
    table: Any = entity
    return table.renamed(name) if isinstance(table, Table) else AliasedEntity(table, name)  # type: ignore[return-value]


class AliasedEntity:
    """A model under another name; its columns are attributes."""

    def __init__(self, entity: Any, name: str) -> None:
        original: Source = entity.__source__
        qualifier = quote(name)
        base = getattr(entity, "__table_shape__", original.shape)
        shape = (base, f" AS {qualifier}")
        self.__entity__ = getattr(entity, "__entity__", entity)
        self.__table_shape__ = base
        self.__source__ = Source(qualifier, shape, original.params, original.sources, original.flags)
        columns = [column.through(self.__source__) for column in entity.__columns__]
        self.__columns__: tuple[ColumnExpression[Any], ...] = tuple(columns)
        self.__dict__.update({column.key: column for column in self.__columns__})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self.__entity__, name, None)
        if hasattr(found, "join_path"):
            return AliasedRelation(found, self)
        raise unknown_column(repr(self), name, self.__columns__)

    def __repr__(self) -> str:
        return repr(self.__source__)


class AliasedRelation:
    """A relation that starts at an alias: what `JoinRelated(alias.orders)` gets."""

    def __init__(self, relation: Any, left: AliasedEntity) -> None:
        self.relation = relation
        self.left = left

    @property
    def joins(self) -> Any:
        """The joins from the alias to the target."""
        return self.join_path(self.left)

    def join_path(self, left: Any, right: Any = None) -> Any:
        """Return the joins from the alias to the target."""
        return self.relation.join_path(self.left, right)

    @property
    def target(self) -> Any:
        """What the relation leads to."""
        return self.relation.target


class Table(Source):
    """A source whose columns are known by the outputs of a query; each is an attribute."""

    __slots__ = ("__columns__", "by_key")

    def __init__(
        self,
        qualifier: str,
        shape: Shape,
        columns: Iterable[Any],
        params: Params = (),
        sources: frozenset[Source] = NO_SOURCES,
        flags: int = 0,
    ) -> None:
        super().__init__(qualifier, shape, params, sources, flags)
        self.__columns__: tuple[ColumnExpression[Any], ...] = tuple(
            ColumnExpression(self, name, key, type_, origin) for name, key, type_, origin in columns
        )
        self.by_key = {column.key: column for column in self.__columns__}

    @property
    def __source__(self) -> Source:
        return self

    def renamed(self, name: str) -> Table:
        """Return this table under another name; a subquery has its name from the start."""
        raise QueryError(f"{self!r} is a subquery: give it the other name with .Subquery({name!r})")

    def _named_columns(self) -> list[tuple[str, str, Any, Any]]:
        return [(column.name, column.key, column.type, column.origin) for column in self.__columns__]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> ColumnExpression[Any]:
        """Return a column by name, where it can't be an attribute: `sub["count"]`."""
        found = self.by_key.get(name)
        if found is None:
            raise unknown_column(repr(self), name, self.__columns__)
        return found


class ComputedTable(Table):
    """A table that is computed, for each row of the tables before it where it names them: LATERAL needs no word."""

    __slots__ = ()


class Subquery(Table):
    """A query in a FROM clause; its columns are attributes: `recent.total`."""

    __slots__ = ()

    def __init__(self, query: Query[Any], name: str) -> None:
        qualifier = quote(name)
        shape = ("(", query.shape, f") AS {qualifier}")
        super().__init__(qualifier, shape, query.columns_of(), query.params, query.sources, query.flags)


class CommonTable(Table):
    """A query that a WITH clause names, for use in FROM; see `With`."""

    # With an underscore, because the public names are those of the columns: `tree.name`.
    __slots__ = ("_added", "_kind", "_name", "_query", "_recursion", "_tail")

    def __init__(
        self,
        name: str,
        query: Query[Any],
        kind: str = " AS (",
        recursion: tuple[str, Node] | None = None,
        tail: str = "",
        added: tuple[str, ...] = (),
    ) -> None:
        qualifier = quote(name)
        columns = [*query.columns_of(), *((column, column, None, None) for column in added)]
        super().__init__(qualifier, qualifier, columns, (CteReference(self),), NO_SOURCES, CTES)
        if query.sources:
            raise QueryError(f"the query of With({name!r}, …) refers to tables outside of it: {names(query.sources)}")
        self._name = name
        self._query = query
        self._kind = kind
        self._recursion = recursion
        self._tail = tail
        self._added = added

    def renamed(self, name: str) -> Table:
        """Return the common table under another name, to join it twice."""
        qualifier = quote(name)
        shape = (self.shape, f" AS {qualifier}")
        return Table(qualifier, shape, self._named_columns(), self.params, NO_SOURCES, CTES)

    def Materialized(self) -> CommonTable:
        """Compute the query once, apart from the rest."""
        return self._changed(kind=" AS MATERIALIZED (")

    def NotMaterialized(self) -> CommonTable:
        """Let the planner merge the query into the rest, though it is used twice."""
        return self._changed(kind=" AS NOT MATERIALIZED (")

    def Recursive(self, step: Callable[[Any], Query[Any]]) -> CommonTable:
        """Add the rows that `step`, a function of the table so far, finds, until there are no new ones.

        Equal rows are kept (UNION ALL); `RecursiveDistinct` drops them, which ends cycles.

            tree = With("tree", Select(Part).Where(Part.id == 1)).Recursive(
                lambda tree: Select(Part).Join(tree, Part.parent_id == tree.id)
            )
        """
        return self._recursive("\nUNION ALL\n", step)

    def RecursiveDistinct(self, step: Callable[[Any], Query[Any]]) -> CommonTable:
        """Add the rows that `step` finds, without rows that are there already (UNION)."""
        return self._recursive("\nUNION\n", step)

    def SearchDepthFirst(self, *by: str, set: str = "ordering") -> CommonTable:
        """Add a column that orders the rows of a recursive query parents before children, siblings by the columns `by`.

        Select(tree).OrderBy(tree.ordering)
        """
        return self._searched("DEPTH", by, set)

    def SearchBreadthFirst(self, *by: str, set: str = "ordering") -> CommonTable:
        """Add a column that orders the rows of a recursive query level by level."""
        return self._searched("BREADTH", by, set)

    def Cycle(self, *columns: str, mark: str = "is_cycle", path: str = "path") -> CommonTable:
        """Stop where a row comes again on its own path: told by `columns`, marked by the column `mark`."""
        clause = f" CYCLE {self._listed(columns)} SET {quote(mark)} USING {quote(path)}"
        return self._changed(tail=self._tail + clause, added=(*self._added, mark, path))

    def _searched(self, order: str, by: tuple[str, ...], column: str) -> CommonTable:
        if self._tail:
            raise QueryError(f"With({self._name!r}): say the search once, and before the cycle")
        clause = f" SEARCH {order} FIRST BY {self._listed(by)} SET {quote(column)}"
        return self._changed(tail=clause, added=(column,))

    def _listed(self, columns: tuple[str, ...]) -> str:
        if self._recursion is None or not columns:
            raise QueryError(f"With({self._name!r}): search and cycle need names of columns, and .Recursive(…) before")
        return ", ".join(quote(self[column].name) for column in columns)

    def _changed(self, **changes: Any) -> CommonTable:
        given = {"kind": self._kind, "recursion": self._recursion, "tail": self._tail, "added": self._added}
        return CommonTable(self._name, self._query, **(given | changes))

    def _recursive(self, union: str, step: Callable[[Any], Query[Any]]) -> CommonTable:
        if self._recursion is not None:
            raise QueryError(f"With({self._name!r}) is recursive already")
        inside = Table(self.qualifier, self.shape, self._named_columns())
        term = step(inside)
        if not isinstance(term, Node) or not hasattr(term, "columns_of"):
            raise QueryError(f"the step of With({self._name!r}).Recursive must return a query, not {term!r}")
        if term.width != self._query.width:
            raise QueryError(
                f"the step of With({self._name!r}).Recursive selects {term.width} columns, "
                f"its start {self._query.width}"
            )
        return CommonTable(self._name, self._query, self._kind, (union, term))

    @property
    def is_recursive(self) -> bool:
        """Whether the query refers to itself."""
        return self._recursion is not None

    def write(self) -> tuple[Shape, Params, int]:
        """Return shape, parameters and flags of `name AS (query)`."""
        head = self.qualifier + self._kind
        if self._recursion is None:
            return (head, self._query.shape, ")"), self._query.params, self._query.flags
        union, term = self._recursion
        own = self.__columns__[: len(self.__columns__) - len(self._added)]
        columns = ", ".join(quote(column.name) for column in own)
        head = f"{self.qualifier} ({columns}){self._kind}"
        shape = (head, "(", self._query.shape, ")", union, "(", term.shape, "))", self._tail)
        return shape, self._query.params + term.params, self._query.flags | term.flags


class CteReference:
    """Stands in `params` for a common table that the compiler puts into the WITH clause."""

    __slots__ = ("table",)

    def __init__(self, table: CommonTable) -> None:
        self.table = table


def With(name: str, query: Query[Any]) -> CommonTable:
    """Name a query, to be used like a table: a common table expression.

    Its columns are attributes. The WITH clause is written where the result is used in a query; a table that
    is not used in FROM (an `Insert`, `Update` or `Delete`) is added by `.With(table)`.

        big = With("big", Select(Order.user_id).Where(Order.total > 100))
        Select(User).Where(User.id.In(Select(big.user_id)))
    """
    if not hasattr(query, "columns_of"):
        raise QueryError(f"With takes a name and a query, not {type(query).__name__}")
    return CommonTable(name, query)


def source_of(entity: Any, verb: str) -> Source:
    """Return the source of what a clause was given; raise `QueryError` for what is none."""
    source = getattr(entity, "__source__", entity)
    if isinstance(source, Source):
        return source
    if hasattr(entity, "columns_of"):
        raise QueryError(f'{verb} takes a subquery by name: query.Subquery("name")')
    raise QueryError(f"{verb} takes a model class, an alias or a subquery, not {_spelled(entity)}")


def unknown_column(owner: str, name: str, columns: Iterable[Any]) -> UnknownColumnError:
    """Return the error for a column that is not there, with the nearest name that is."""
    keys = [column.key for column in columns]
    near = nearest(name, keys)
    hint = f"; did you mean {near!r}?" if near else f"; it has {', '.join(keys)}"
    return UnknownColumnError(f"{owner} has no column {name!r}{hint}")


def names(sources: Iterable[Source]) -> str:
    """Return the names of sources for a message, in a stable order."""
    return ", ".join(sorted(map(repr, sources)))


def _spelled(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{type(value).__name__} {value!r}"
