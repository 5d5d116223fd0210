"""Select: the query that reads.

    Select(User).Where(User.age > 18).OrderBy(User.name).Limit(10)

FROM is what the first selected item belongs to; everything else comes in by a join, so that no product of
tables happens by accident.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar, overload

from psqlmodel.errors import QueryError
from psqlmodel.query.calls import Frame, window_parts
from psqlmodel.query.expression import ColumnExpression, Expression, Predicate, compose, paren
from psqlmodel.query.nodes import AND, ATOM, GROUPED, INHERITED, NO_SOURCES, WINDOW, Node, Shape, Source, TableSource
from psqlmodel.query.outputs import EntityOutput, outputs_of
from psqlmodel.query.quoting import quote
from psqlmodel.query.rowset import Rowset
from psqlmodel.query.sources import ComputedTable, source_of
from psqlmodel.query.statement import Assembly, added, checked, missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, time, timedelta
    from decimal import Decimal
    from enum import Enum
    from uuid import UUID

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")
I = TypeVar("I")
J = TypeVar("J")

# What gives rows of unknown types: subqueries, and columns of the plain spelling, which are values for type checkers.
# Not `Any`: where several of these overloads fit a column of `dict[str, Any]`, mypy takes none.
Plain: TypeAlias = "int | float | Decimal | str | bytes | date | time | timedelta | UUID | Enum | None"
Untyped: TypeAlias = "Source | Plain | Sequence[Any] | dict[Any, Any]"

_ON_TRUE: Final = Expression[bool]("TRUE")
_MOST_BEGUN = 256  # kept for each table; a program has a few, unless its select lists are computed


class SelectQuery(Rowset[T]):
    """A SELECT whose rows are of type `T`; made by `Select(…)`."""

    def __init__(self, items: tuple[Any, ...]) -> None:
        super().__init__()
        self.outputs = outputs_of(items, "Select")
        self.base: tuple[Source, ...] = ()
        for output in self.outputs:
            source = output.source if isinstance(output, EntityOutput) else None
            if source is not None or len(output.sources) == 1:
                self.base = tuple(output.sources) if source is None else (source,)
                self.known = output.sources
                break
        # The values of the clauses that have some, apart because clauses may be called in any order.
        self.values: list[Any] = []  # of the select list and the tables
        self.where_values: list[Any] = []
        self.having_values: list[Any] = []
        self._begin()
        self.joins: tuple[tuple[str, Source, Node | None], ...] = ()
        self.conditions: tuple[Node, ...] = ()
        self.grouping: tuple[Node, ...] = ()
        self.group_conditions: tuple[Node, ...] = ()
        self.windows: tuple[Node, ...] = ()
        self.distinct_on: tuple[Node, ...] | None = None  # (): DISTINCT; more: DISTINCT ON
        self.locks: tuple[str, ...] = ()

    @property
    def reads_one_table(self) -> bool:
        """Whether the rows come from one table, none of them twice."""
        return not self.joins and len(self.base) == 1 and type(self.base[0]) is TableSource

    # --- tables ---------------------------------------------------------------------------------------------

    def From(self, *entities: Any) -> Self:
        """Read from these models, aliases or subqueries instead of that of the first selected item."""
        if self.joins:
            raise QueryError("From comes before the joins")
        known: frozenset[Source] = NO_SOURCES
        base: list[Source] = []
        for entity in entities:
            source, known = added(known, entity, "From")
            base.append(source)
        made = self._with(base=tuple(base), known=known)
        if len(self.key) == 2:  # nothing was called yet that what is known then has let pass
            made._begin()
        return made

    def Join(self, entity: Any, on: Predicate | None = None) -> Self:
        """Join a table where `on` holds, or along a relation, as `JoinRelated` does.

            Select(User).Join(Order, Order.user_id == User.id)
            Select(User).Join(User.orders)

        Raises `QueryError` for a table without a condition, and for one that is in the query already.
        """
        if on is None:
            return self._related("\nJOIN ", entity, None, "Join")
        return self._joined("\nJOIN ", entity, on, "Join")

    def LeftJoin(self, entity: Any, on: Predicate | None = None) -> Self:
        """Join a table where `on` holds, or along a relation, keeping rows without a partner."""
        if on is None:
            return self._related("\nLEFT JOIN ", entity, None, "LeftJoin")
        return self._joined("\nLEFT JOIN ", entity, on, "LeftJoin")

    def RightJoin(self, entity: Any, on: Predicate) -> Self:
        """Join a table, keeping its rows without a partner."""
        return self._joined("\nRIGHT JOIN ", entity, on, "RightJoin")

    def FullJoin(self, entity: Any, on: Predicate) -> Self:
        """Join a table, keeping rows of both sides without a partner."""
        return self._joined("\nFULL JOIN ", entity, on, "FullJoin")

    def CrossJoin(self, entity: Any) -> Self:
        """Join every row with every row of a table."""
        return self._joined("\nCROSS JOIN ", entity, None, "CrossJoin")

    def LateralJoin(self, subquery: Any, on: Predicate | None = None) -> Self:
        """Join a subquery that may refer to the tables before it."""
        return self._joined("\nJOIN LATERAL ", subquery, _ON_TRUE if on is None else on, "LateralJoin")

    def LeftLateralJoin(self, subquery: Any, on: Predicate | None = None) -> Self:
        """Join a subquery that may refer to the tables before it, keeping rows without a partner."""
        return self._joined("\nLEFT JOIN LATERAL ", subquery, _ON_TRUE if on is None else on, "LeftLateralJoin")

    def JoinRelated(self, relation: Any, alias: Any = None) -> Self:
        """Join along a relation: `Select(User).JoinRelated(User.orders)`.

        `alias` is an alias of the target, where its table is in the query already.
        """
        return self._related("\nJOIN ", relation, alias, "JoinRelated")

    def LeftJoinRelated(self, relation: Any, alias: Any = None) -> Self:
        """Join along a relation, keeping rows without a partner."""
        return self._related("\nLEFT JOIN ", relation, alias, "LeftJoinRelated")

    # --- rows -----------------------------------------------------------------------------------------------

    def Where(self, *conditions: Predicate) -> Self:
        """Keep the rows for which all conditions hold, beside those that are there already.

        Raises `QueryError` for what is no condition, for aggregates, and for tables that are not in the
        query.
        """
        query, known = self._copied(), self.known
        given: tuple[Any, ...] = conditions  # what is none is refused below
        called: list[Shape] = ["WHERE"]
        values = [*self.where_values]
        for condition in given:
            if type(condition) is not Expression or condition.flags or not condition.sources <= known:
                query._admit(checked(condition, known, "Where"))
            called.append(condition.shape)
            if condition.level < AND:
                called.append(condition.level)  # beside others it gets parentheses
            values += condition.params
        query.conditions = self.conditions + given
        query.where_values = values
        query.key = self.key and (*self.key, tuple(called))
        return query

    def GroupBy(self, *items: Any) -> Self:
        """Group the rows by columns or expressions; a model stands for all its columns."""
        made: list[Node] = []
        for item in items:
            made += _groupable(item)
        return self._with(grouping=(*self.grouping, *made), **self._naming("GROUP BY", made))

    def Having(self, *conditions: Predicate) -> Self:
        """Keep the groups for which all conditions hold."""
        for condition in conditions:
            if not isinstance(condition, Expression):
                raise QueryError(f"Having takes conditions, not {type(condition).__name__}")
            if condition.flags & WINDOW:
                raise QueryError(f"Having can't use a window function: {condition!r}")
        query = self._copied()
        given: tuple[Any, ...] = conditions
        called: list[Shape] = ["HAVING"]
        values = [*self.having_values]
        for condition in given:
            query._admit(condition)
            called += (condition.shape, condition.level)
            values += condition.params
        query.group_conditions = self.group_conditions + given
        query.having_values = values
        query.key = self.key and (*self.key, tuple(called))
        return query

    def Window(
        self,
        name: str,
        *,
        partition_by: Any = (),
        order_by: Any = (),
        rows: Frame | None = None,
        range: Frame | None = None,
        groups: Frame | None = None,
    ) -> Self:
        """Name a window for several functions: `Sum(Order.total).Over("w")`; its parts are those of `Over`."""
        parts = window_parts(None, partition_by, order_by, rows, range, groups)
        made = compose(ATOM, None, f"{quote(name)} AS (", *parts, ")")
        return self._with(windows=(*self.windows, made))

    def Distinct(self) -> Self:
        """Return equal rows once."""
        return self._with(distinct_on=(), key=self.key and (*self.key, "DISTINCT"))

    def DistinctOn(self, *items: Expression[Any]) -> Self:
        """Return the first row for each value of `items`; OrderBy, beginning with them, says which."""
        if not items or not all(isinstance(item, Expression) for item in items):
            raise QueryError("DistinctOn takes columns or expressions")
        return self._with(distinct_on=items, **self._naming("DISTINCT ON", items))

    # --- locks ----------------------------------------------------------------------------------------------

    def ForUpdate(self, *, of: Any = (), nowait: bool = False, skip_locked: bool = False) -> Self:
        """Lock the rows against all other writers, to change them.

        `of` names the models whose rows are locked (default: all), `nowait` raises `LockNotAvailable` instead
        of waiting, `skip_locked` leaves out rows that others hold.
        """
        return self._locked("UPDATE", of, nowait, skip_locked)

    def ForNoKeyUpdate(self, *, of: Any = (), nowait: bool = False, skip_locked: bool = False) -> Self:
        """Lock the rows to change anything but their keys."""
        return self._locked("NO KEY UPDATE", of, nowait, skip_locked)

    def ForShare(self, *, of: Any = (), nowait: bool = False, skip_locked: bool = False) -> Self:
        """Lock the rows against changes."""
        return self._locked("SHARE", of, nowait, skip_locked)

    def ForKeyShare(self, *, of: Any = (), nowait: bool = False, skip_locked: bool = False) -> Self:
        """Lock the keys of the rows against changes."""
        return self._locked("KEY SHARE", of, nowait, skip_locked)

    # --- assembling -----------------------------------------------------------------------------------------

    def assemble(self) -> Assembly:
        """Return the statement's shape, parameters and needs."""
        assembly = Assembly(self.known)
        if self.distinct_on is None:
            assembly.join("SELECT ", self.outputs, ", ")
        else:
            self._add_distinct(assembly, self.distinct_on)
        if self.base:
            assembly.join("\nFROM ", self.base, ", ")
        for kind, source, on in self.joins:
            assembly.join(kind, (source,), "")
            if on is not None:
                assembly.join(" ON ", (on,), "")
        if self.conditions:
            add_where(assembly, self.conditions)
        if self.grouping:
            assembly.join("\nGROUP BY ", [self.by_position(node) for node in self.grouping], ", ")
        if self.group_conditions:
            add_where(assembly, self.group_conditions, "\nHAVING ")
        if self.windows:
            assembly.join("\nWINDOW ", self.windows, ", ")
        self._add_tail(assembly)
        for lock in self.locks:
            assembly.text(lock)
        return assembly

    def arguments(self) -> list[Any]:
        """Return the parameters of a query with a key, in the order of the text."""
        values = [*self.values, *self.where_values, *self.having_values]
        if self.most is not None:
            values.append(self.most)
        if self.skipped is not None:
            values.append(self.skipped)
        return values

    @property
    def sources_in_from(self) -> tuple[Source, ...]:
        """The tables, aliases and subqueries of FROM, in their order."""
        return (*self.base, *(source for _, source, _ in self.joins))

    def _add_distinct(self, assembly: Assembly, items: tuple[Node, ...]) -> None:
        lead = "SELECT DISTINCT "
        if items:
            assembly.join("SELECT DISTINCT ON (", [self.by_position(node) for node in items], ", ")
            lead = ") "
        assembly.join(lead, self.outputs, ", ")

    def _joined(self, kind: str, entity: Any, on: Any, verb: str) -> Self:
        if not self.base:
            raise QueryError(f"{verb}: there is nothing to join with; say .From(…) first")
        source, known = added(self.known, entity, verb)
        query = self._copied()
        values = [*self.values, *source.params]
        if source.flags or source.sources:
            if source.sources & self.known and "LATERAL" not in kind and not isinstance(source, ComputedTable):
                raise QueryError(f"{verb}: the subquery {source!r} refers to tables beside it: use LateralJoin")
            query._admit(source)
        called: tuple[Shape, ...] = (kind, source.shape)
        if kind == "\nCROSS JOIN ":
            on = None
        else:
            if type(on) is not Expression or on.flags or not on.sources <= known:
                query._admit(checked(on, known, verb))
            called = (kind, source.shape, on.shape)
            values += on.params
        query.joins = (*self.joins, (kind, source, on))
        query.known = known
        query.values = values
        query.key = self.key and (*self.key, called)
        return query

    def _admit(self, part: Any) -> None:
        """Note what a part asks of the whole query, on the copy that a clause makes."""
        self.pending = self.pending | part.sources
        self.needs |= part.flags & INHERITED

    def _begin(self) -> None:
        """Set the key of a query with nothing but a select list and what it reads from."""
        parts = (*self.outputs, *self.base)
        self.values = [value for part in parts for value in part.params]
        self.pending, self.needs = NO_SOURCES, 0
        for part in parts:
            self._admit(part)
        self.key = (tuple([output.shape for output in self.outputs]), tuple([source.shape for source in self.base]))

    def _naming(self, called: str, nodes: Iterable[Node]) -> dict[str, Any]:
        """Return what changes with a clause of expressions that may stand in the select list too."""
        if any(node.params for node in nodes):
            return {"key": ()}  # its text depends on values: see `by_position`
        return {
            "key": self.key and (*self.key, (called, *[node.shape for node in nodes])),
            "pending": self.pending.union(*[node.sources for node in nodes]),
        }

    def _related(self, kind: str, relation: Any, alias: Any, verb: str) -> Self:
        if not hasattr(relation, "join_path"):
            name = getattr(relation, "__name__", repr(relation))
            advice = "" if "Related" in verb else f", or {name} and a condition: .{verb}({name}, {name}.… == …)"
            raise QueryError(f"{verb} takes a relation such as User.orders{advice}; not {name} alone")
        if alias is None:
            path = relation.joins
        else:
            path = relation.join_path(getattr(getattr(relation, "mapper", None), "cls", None), alias)
        query = self
        for entity, condition in path:
            query = query._joined(kind, entity, condition, verb)
        return query

    def _locked(self, strength: str, of: Any, nowait: bool, skip_locked: bool) -> Self:
        if nowait and skip_locked:
            raise QueryError("a lock has either nowait or skip_locked")
        if self.grouping or self.group_conditions or self.distinct_on is not None:
            raise QueryError("rows of a grouped or DISTINCT query can't be locked")
        entities = of if isinstance(of, Iterable) and not isinstance(of, type | Source) else (of,)
        sources = [source_of(entity, "of=") for entity in entities]
        absent = missing(frozenset(sources), self.known)
        if absent:
            raise QueryError(f"of= names {sorted(map(repr, absent))}, which the query does not have")
        tables = f" OF {', '.join(source.qualifier for source in sources)}" if sources else ""
        wait = " NOWAIT" if nowait else " SKIP LOCKED" if skip_locked else ""
        lock = f"\nFOR {strength}{tables}{wait}"
        return self._with(locks=(*self.locks, lock), key=self.key and (*self.key, lock))


def add_where(assembly: Assembly, conditions: tuple[Node, ...], lead: str = "\nWHERE ") -> None:
    """Add conditions that must all hold; an OR among several gets parentheses."""
    if len(conditions) > 1:
        conditions = tuple([paren(condition, AND) for condition in conditions])
    assembly.join(lead, conditions, "\n  AND ")


def _groupable(item: Any) -> list[Node]:
    if isinstance(item, Expression):
        if item.flags & GROUPED:
            raise QueryError(f"GroupBy can't group by the aggregate {item!r}")
        return [item]
    if hasattr(item, "__columns__"):
        return list(EntityOutput(item, 0).columns)
    raise QueryError(f"GroupBy takes columns, expressions and models, not {item!r}")


@overload
def Select(a: type[A], /) -> SelectQuery[A]: ...
@overload
def Select(a: Expression[A], /) -> SelectQuery[tuple[A]]: ...
@overload
def Select(a: type[A] | Expression[A], b: type[B] | Expression[B], /) -> SelectQuery[tuple[A, B]]: ...
@overload
def Select(
    a: type[A] | Expression[A], b: type[B] | Expression[B], c: type[C] | Expression[C], /
) -> SelectQuery[tuple[A, B, C]]: ...
@overload
def Select(
    a: type[A] | Expression[A],
    b: type[B] | Expression[B],
    c: type[C] | Expression[C],
    d: type[D] | Expression[D],
    /,
) -> SelectQuery[tuple[A, B, C, D]]: ...
@overload
def Select(
    a: type[A] | Expression[A],
    b: type[B] | Expression[B],
    c: type[C] | Expression[C],
    d: type[D] | Expression[D],
    e: type[E] | Expression[E],
    /,
) -> SelectQuery[tuple[A, B, C, D, E]]: ...
@overload
def Select(
    a: type[A] | Expression[A],
    b: type[B] | Expression[B],
    c: type[C] | Expression[C],
    d: type[D] | Expression[D],
    e: type[E] | Expression[E],
    f: type[F] | Expression[F],
    /,
) -> SelectQuery[tuple[A, B, C, D, E, F]]: ...
@overload
def Select(
    a: type[A] | Expression[A],
    b: type[B] | Expression[B],
    c: type[C] | Expression[C],
    d: type[D] | Expression[D],
    e: type[E] | Expression[E],
    f: type[F] | Expression[F],
    g: type[G] | Expression[G],
    /,
) -> SelectQuery[tuple[A, B, C, D, E, F, G]]: ...
@overload
def Select(
    a: type[A] | Expression[A],
    b: type[B] | Expression[B],
    c: type[C] | Expression[C],
    d: type[D] | Expression[D],
    e: type[E] | Expression[E],
    f: type[F] | Expression[F],
    g: type[G] | Expression[G],
    h: type[H] | Expression[H],
    /,
) -> SelectQuery[tuple[A, B, C, D, E, F, G, H]]: ...
@overload
def Select(
    a: type[A] | Expression[A],
    b: type[B] | Expression[B],
    c: type[C] | Expression[C],
    d: type[D] | Expression[D],
    e: type[E] | Expression[E],
    f: type[F] | Expression[F],
    g: type[G] | Expression[G],
    h: type[H] | Expression[H],
    i: type[I] | Expression[I],
    /,
) -> SelectQuery[tuple[A, B, C, D, E, F, G, H, I]]: ...
@overload
def Select(
    a: type[A] | Expression[A],
    b: type[B] | Expression[B],
    c: type[C] | Expression[C],
    d: type[D] | Expression[D],
    e: type[E] | Expression[E],
    f: type[F] | Expression[F],
    g: type[G] | Expression[G],
    h: type[H] | Expression[H],
    i: type[I] | Expression[I],
    j: type[J] | Expression[J],
    /,
) -> SelectQuery[tuple[A, B, C, D, E, F, G, H, I, J]]: ...
@overload
def Select(
    a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, i: Any, j: Any, k: Any, /, *more: Any
) -> SelectQuery[Any]: ...
@overload
def Select(a: Untyped, /, *more: Any) -> SelectQuery[Any]: ...
@overload
def Select(a: type[A] | Expression[A], b: Untyped, /, *more: Any) -> SelectQuery[Any]: ...
def Select(*items: Any) -> SelectQuery[Any]:
    """Read objects of a model, or rows of columns and expressions.

    `items` are model classes, aliases, subqueries, columns and expressions. One model gives its objects;
    anything else gives rows. Raises `QueryError` for what can't be selected.

        Select(User)
        Select(User.name, Count(Order.id).As("orders")).JoinRelated(User.orders).GroupBy(User.name)
    """
    if not items:
        raise QueryError("Select needs something to select: a model, columns or expressions")
    first = items[0]
    source = first.source if isinstance(first, ColumnExpression) else getattr(first, "__source__", None)
    if type(source) is not TableSource:
        return SelectQuery(items)
    # A query never changes, so that one beginning with the same models and columns is the same one. It holds
    # them, hence nothing else has their ids.
    ids = id(first) if len(items) == 1 else tuple(map(id, items))
    return source.begun.get(ids) or _begun(source.begun, ids, items)


def _begun(kept: dict[Any, SelectQuery[Any]], ids: Any, items: tuple[Any, ...]) -> SelectQuery[Any]:
    query: SelectQuery[Any] = SelectQuery(items)
    if all(map(_lasts, items)):
        if len(kept) >= _MOST_BEGUN:
            kept.clear()
        kept[ids] = query
    return query


def _lasts(item: Any) -> bool:
    """Tell whether an item of a select list is a model or a column of one: other expressions are made anew."""
    if isinstance(item, ColumnExpression):
        return item.origin is item
    return isinstance(item, type)
