"""Insert: rows from values, many values, or a query; with ON CONFLICT and RETURNING.

Many rows travel as one array parameter a column, so that their number is not in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, Self, TypeVar

from psqlmodel.errors import QueryError
from psqlmodel.query.constructs import EXCLUDED, Excluded, carried
from psqlmodel.query.expression import ColumnExpression, Expression, Predicate, compose
from psqlmodel.query.nodes import CastSlot, ExcludedName, Node, Shape
from psqlmodel.query.outputs import outputs_of
from psqlmodel.query.quoting import quote
from psqlmodel.query.select import add_where
from psqlmodel.query.statement import (
    Assembly,
    Query,
    assigned,
    checked,
    column_of,
    entity_name,
    entity_of,
)
from psqlmodel.query.update import Assignment, add_assignments, assignments_of

T = TypeVar("T")
Q = TypeVar("Q", bound="InsertQuery[Any]")

_DEFAULT: Expression[Any] = Expression("DEFAULT")


class InsertQuery(Query[T]):
    """An INSERT; made by `Insert(Model)`."""

    def __init__(self, entity: Any) -> None:
        super().__init__()
        self.entity = entity_of(entity, "Insert")
        self.known = entity.__source__.itself
        self.columns: tuple[ColumnExpression[Any], ...] = ()
        self.content: Node | None = None  # what stands after the columns
        self.conflict: Node | None = None  # the target of ON CONFLICT
        self.action: tuple[Assignment, ...] | None = None
        self.conditions: tuple[Node, ...] = ()
        self.overriding = ""

    def Values(self, *rows: Mapping[Any, Any] | Iterable[Mapping[Any, Any]], **values: Any) -> Self:
        """Insert these values: keywords for one row, mappings (or a list of them) for many.

        Names are attributes of the model. Defaults that the model makes are filled in. Raises `QueryError`
        for unknown names, `InvalidValueError` for values that don't fit.

            Insert(User).Values(name="Ann", age=30)
            Insert(User).Values([{"name": "Ann"}, {"name": "Bob"}])
        """
        if self.content is not None:
            raise QueryError("Insert has its rows already: give all of them in one .Values(…)")
        given = _rows(rows, values)
        filled = [self._filled(row) for row in given]
        columns = tuple(dict.fromkeys(column for row in filled for column in row))
        if not columns:
            if len(filled) > 1:
                raise QueryError("several rows of an Insert need values")
            return self._with(columns=(), content=Expression("DEFAULT VALUES"))
        return self._with(columns=columns, content=_content(columns, filled))

    def FromSelect(self, query: Query[Any], *columns: Any) -> Self:
        """Insert the rows of a query.

        `columns` (attributes or their names) say where its columns go; without them they go by their names.

            Insert(Archive).FromSelect(Select(Order.id, Order.total).Where(Order.closed))
        """
        if not isinstance(query, Query):
            raise QueryError(f"FromSelect takes a query, not {type(query).__name__}")
        if self.content is not None:
            raise QueryError("Insert has its rows already")
        keys = columns or tuple(key for _, key, _, _ in query.columns_of())
        if len(keys) != query.width:
            raise QueryError(f"FromSelect: the query has {query.width} columns for {len(keys)} of the table")
        targets = tuple(column_of(self.entity, key, "FromSelect") for key in keys)
        return self._with(columns=targets, content=query)

    def OverridingSystemValue(self) -> Self:
        """Write the given values even into columns that are GENERATED ALWAYS AS IDENTITY."""
        return self._with(overriding=" OVERRIDING SYSTEM VALUE")

    def OnConflict(self, *columns: Any, constraint: str | None = None, where: Any = None) -> ConflictClause[Self]:
        """Say what happens to a row that exists already: followed by `.DoNothing()` or `.DoUpdate(…)`.

        `columns` are those of a unique index (with `where` for a partial one); or name the `constraint`. With
        neither, any conflict counts, which only `.DoNothing()` allows.

            Insert(User).Values(email="a@b.c", name="Ann").OnConflict(User.email).DoUpdate(name=Excluded.name)
        """
        if self.action is not None:
            raise QueryError("Insert has one OnConflict")
        if columns and constraint is not None:
            raise QueryError("OnConflict takes columns or constraint=, not both")
        if where is not None and not columns:
            raise QueryError("OnConflict: where= describes a partial index: name its columns too")
        return ConflictClause(self, self._target(columns, constraint, where))

    def Where(self, *conditions: Predicate) -> Self:
        """Update only the existing rows for which all conditions hold: after `.DoUpdate(…)`."""
        if not self.action:
            raise QueryError("Insert: .Where(…) belongs to .OnConflict(…).DoUpdate(…)")
        known = self.known | EXCLUDED.itself
        made = tuple(checked(condition, known, "Where") for condition in conditions)
        return self._with(conditions=self.conditions + made)

    def Returning(self, *items: Any) -> InsertQuery[Any]:
        """Return columns or whole objects of the rows that were written."""
        return self._with(outputs=outputs_of(items or (self.entity,), "Returning"))

    def assemble(self) -> Assembly:
        """Return the statement's shape, parameters and needs."""
        if self.content is None:
            raise QueryError(f"Insert({entity_name(self.entity)}) has no rows: add .Values(…) or .FromSelect(…)")
        assembly = Assembly(self.known | EXCLUDED.itself)
        assembly.text("INSERT INTO ")
        assembly.add(self.entity.__source__)
        if self.columns:
            assembly.text(f" ({', '.join([quote(column.name) for column in self.columns])})")
        assembly.text(self.overriding + "\n")
        assembly.add(self.content)
        if self.conflict is not None:
            assembly.text("\nON CONFLICT")
            assembly.add(self.conflict)
            self._add_action(assembly)
        if self.outputs:
            assembly.join("\nRETURNING ", self.outputs, ", ")
        return assembly

    def _add_action(self, assembly: Assembly) -> None:
        if not self.action:
            assembly.text(" DO NOTHING")
            return
        start = len(assembly.shape)
        add_assignments(assembly, " DO UPDATE SET ", self.action)
        if self.conditions:
            add_where(assembly, self.conditions)
        assembly.shape[start:] = [self._named(part) for part in assembly.shape[start:]]

    def _named(self, shape: Shape) -> Shape:
        """Replace attributes behind EXCLUDED by the names of their columns."""
        if isinstance(shape, tuple):
            return tuple(self._named(part) for part in shape)
        if isinstance(shape, ExcludedName):
            return quote(column_of(self.entity, str(shape), "Excluded").name)
        return shape

    def _filled(self, row: Mapping[Any, Any]) -> dict[Any, Any]:
        filled = {column_of(self.entity, key, "Insert"): value for key, value in row.items()}
        for column in self.entity.__columns__:
            origin = column.origin
            if column not in filled and hasattr(origin, "has_default") and origin.has_default():
                filled[column] = origin.default_factory() if origin.default_factory else origin.default
        return filled

    def _target(self, columns: tuple[Any, ...], constraint: str | None, where: Any) -> Node:
        if constraint is not None:
            return Expression(f" ON CONSTRAINT {quote(constraint)}")
        if not columns:
            return Expression("")
        items: list[str | Node] = []
        for column in columns:
            if isinstance(column, Expression) and not isinstance(column, ColumnExpression):
                items += (", ", Expression(("(", _bare(column.shape, self.entity), ")"), column.params))
            else:
                items += (", ", quote(column_of(self.entity, column, "OnConflict").name))
        items[0] = " ("
        if where is None:
            return compose(0, None, *items, ")")
        return compose(0, None, *items, ") WHERE ", checked(where, self.known, "OnConflict"))


class ConflictClause(Generic[Q]):
    """An `OnConflict(…)` that still needs its action."""

    def __init__(self, query: Q, target: Node) -> None:
        self._query = query
        self._target = target

    def DoNothing(self) -> Q:
        """Leave the existing row as it is."""
        return self._query._with(conflict=self._target, action=())

    def DoUpdate(self, *columns: Any, **values: Any) -> Q:
        """Update the existing row: `columns` take the new row's values, keywords what they say.

        .DoUpdate(User.name, seen=User.seen + 1)
        """
        if self._target.shape == "":
            raise QueryError("DoUpdate needs to know the conflict: OnConflict(User.email) or constraint=")
        entity = self._query.entity
        made: list[Assignment] = []
        for item in columns:
            if isinstance(item, Mapping):
                values = {**item, **values}
                continue
            column = column_of(entity, item, "DoUpdate")
            made.append((column, Excluded[column.key]))
        made += assignments_of(entity, values, "DoUpdate")
        if not made:
            raise QueryError("DoUpdate needs columns or values; DoNothing leaves the row as it is")
        _check_excluded(entity, made)
        return self._query._with(conflict=self._target, action=tuple(made))


def _check_excluded(entity: Any, made: list[Assignment]) -> None:
    for _, node in made:
        for name in _excluded_names(node.shape):
            column_of(entity, str(name), "Excluded")


def _excluded_names(shape: Shape) -> Iterator[str]:
    if isinstance(shape, ExcludedName):
        yield shape
    elif isinstance(shape, tuple):
        for part in shape:
            yield from _excluded_names(part)


def _rows(rows: tuple[Any, ...], values: dict[str, Any]) -> list[Mapping[Any, Any]]:
    if values:
        if rows:
            raise QueryError("Values takes keywords for one row or mappings for several, not both")
        return [values]
    found: list[Any] = []
    for row in rows:
        if isinstance(row, Mapping):
            found.append(row)
        elif isinstance(row, Iterable) and not isinstance(row, str | bytes):
            found.extend(row)
        else:
            found.append(row)
    for row in found:
        if not isinstance(row, Mapping):
            raise QueryError(
                f"Values takes mappings of attributes to values, not {type(row).__name__}; objects are "
                "written by session.add(…) or session.bulk_insert(…)"
            )
    if rows and not found:
        raise QueryError("Values got an empty list: there is nothing to insert")
    return found or [{}]


def _content(columns: tuple[Any, ...], rows: list[dict[Any, Any]]) -> Node:
    if len(rows) == 1:
        parts = [assigned(column, rows[0][column], "Insert") for column in columns]
        return compose(0, None, "VALUES (", *_listed(parts), ")")
    plain = all(len(row) == len(columns) for row in rows) and not any(
        isinstance(value, Node) for row in rows for value in row.values()
    )
    return _unnested(columns, rows) if plain else _listed_rows(columns, rows)


def _unnested(columns: tuple[Any, ...], rows: list[dict[Any, Any]]) -> Node:
    arrays: list[Node] = []
    selected: list[Node] = []
    for index, column in enumerate(columns):
        arrays.append(carried(column.origin, [row[column] for row in rows]))
        selected.append(Expression((f'"r"."c{index + 1}"', CastSlot(column.origin))))
    names = ", ".join(f'"c{index + 1}"' for index in range(len(columns)))
    head = ("SELECT ", *_listed(selected), "\nFROM unnest(", *_listed(arrays), f') AS "r" ({names})')
    return compose(0, None, *head)


def _listed_rows(columns: tuple[Any, ...], rows: list[dict[Any, Any]]) -> Node:
    """Write rows one by one: some have expressions, or lack a column, which then takes its default."""
    parts: list[str | Node] = ["VALUES "]
    for index, row in enumerate(rows):
        cells = [assigned(c, row[c], "Insert") if c in row else _DEFAULT for c in columns]
        parts += (",\n  (" if index else "(", *_listed(cells), ")")
    return compose(0, None, *parts)


def _listed(nodes: Iterable[Node]) -> list[str | Node]:
    parts: list[str | Node] = []
    for node in nodes:
        parts += (", ", node)
    return parts[1:]


def _bare(shape: Shape, entity: Any) -> Shape:
    """Drop the table before the columns: an index expression in ON CONFLICT names them alone."""
    names = {column.shape: quote(column.name) for column in entity.__columns__}
    if isinstance(shape, tuple):
        return tuple(_bare(part, entity) for part in shape)
    return names.get(shape, shape) if isinstance(shape, str) else shape


def Insert(entity: Any) -> InsertQuery[None]:
    """Insert rows into the table of a model.

        Insert(User).Values(name="Ann").Returning(User.id)

    Raises `QueryError` for what is no model.
    """
    return InsertQuery(entity)
