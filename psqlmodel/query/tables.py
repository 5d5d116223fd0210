"""Tables that are no tables: lists of values, functions, JSON as rows, a part of a table, a row before its change.

Each stands in FROM and in joins like a model or a subquery; columns are attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import ColumnExpression, Expression, cast_name, literal, typed
from psqlmodel.query.nodes import NO_SOURCES, Node, Shape, Source
from psqlmodel.query.quoting import quote, quote_literal
from psqlmodel.query.sources import ComputedTable, Table
from psqlmodel.query.values import type_of_value
from psqlmodel.types import PgType
from psqlmodel.types.jsons import jsonb

E = TypeVar("E")
METHODS: Final = ("BERNOULLI", "SYSTEM")


class FunctionTable(ComputedTable):
    """A function that gives rows, as a table; made by `Func.generate_series(1, 9).AsTable("g", "n")`."""

    __slots__ = ()

    def __init__(
        self, call: Node, name: str, columns: Sequence[str], typed: Mapping[str, Any], ordinality: str
    ) -> None:
        if columns and typed:
            raise QueryError("AsTable takes names of columns, or names with types for a function that gives records")
        if not columns and not typed:
            raise QueryError(f'AsTable({name!r}) needs the names of its columns: .AsTable({name!r}, "value")')
        qualifier = quote(name)
        defined = ", ".join(f"{quote(column)} {cast_name(type_)}" for column, type_ in typed.items())
        listed = defined or ", ".join(map(quote, (*columns, *filter(None, (ordinality,)))))
        shape = (call.shape, " WITH ORDINALITY" if ordinality else "", f" AS {qualifier} ({listed})")
        named = [(column, column, typed.get(column), None) for column in (columns or typed)]
        if ordinality:
            named.append((ordinality, ordinality, None, None))
        super().__init__(qualifier, shape, named, call.params, call.sources, call.flags)


def Values(name: str, columns: Sequence[str] | Mapping[str, PgType[Any]], rows: Iterable[Sequence[Any]]) -> Table:
    """Return rows of values as a table: VALUES with one text for any number of rows.

    `columns` are names, or names with types where a column's values don't say theirs. Sent as one array for each column
    (`unnest`), so that a thousand rows are as few parameters as two. Raises `QueryError` for rows of another width.

        prices = Values("prices", ["sku", "price"], [("a", 1), ("b", 2)])
        Update(Item).Set(price=prices.price).From(prices).Where(Item.sku == prices.sku)
    """
    names = list(columns)
    given = [tuple(row) for row in rows]
    if not names or not given:
        raise QueryError(f"Values({name!r}, …) needs columns and at least one row")
    for number, row in enumerate(given):
        if len(row) != len(names):
            raise QueryError(f"Values({name!r}, …): row {number} has {len(row)} values for {len(names)} columns")
    arrays = [_array(key, [row[at] for row in given], _type(columns, key)) for at, key in enumerate(names)]
    qualifier = quote(name)
    parts: list[Shape] = []
    for node, _ in arrays:
        parts += (", ", node.shape)
    shape = ("unnest(", *parts[1:], f") AS {qualifier} ({', '.join(map(quote, names))})")
    params = tuple(param for node, _ in arrays for param in node.params)
    named = [(key, key, type_, None) for key, (_, type_) in zip(names, arrays, strict=True)]
    return Table(qualifier, shape, named, params)


def Only(entity: type[E]) -> type[E]:
    """Return a model's table without the tables that inherit from it: `Select(Only(Event))`."""
    return _Around(entity, lambda shape: ("ONLY ", shape), ())  # type: ignore[return-value]


def TableSample(entity: type[E], percent: float, *, method: str = "SYSTEM", repeatable: float | None = None) -> type[E]:
    """Return a part of a model's rows, chosen by chance.

    `percent` is from 0 to 100; `method` is "SYSTEM" (whole pages, fast), "BERNOULLI" (single rows) or one of an
    extension; `repeatable` is a seed that gives the same rows again.

        Select(TableSample(Order, 1))
    """
    spelled = method.upper() if method.upper() in METHODS else quote(method)
    nodes = [literal(float(percent)), *([] if repeatable is None else [literal(float(repeatable))])]
    seed = () if repeatable is None else (" REPEATABLE (", nodes[1].shape, ")")
    params = tuple(param for node in nodes for param in node.params)
    tail = (f" TABLESAMPLE {spelled} (", nodes[0].shape, ")", *seed)
    return _Around(entity, lambda shape: (shape, *tail), params)  # type: ignore[return-value]


class _Around:
    """A model whose table is read in another way, under its own name."""

    def __init__(self, entity: Any, write: Any, params: tuple[Any, ...]) -> None:
        if not hasattr(entity, "__columns__") or isinstance(entity, Table):
            raise QueryError(f"expected a model class or an alias, not {entity!r}")
        original: Source = entity.__source__
        self.__entity__ = getattr(entity, "__entity__", entity)
        self.__source__ = Source(original.qualifier, write(original.shape), (*original.params, *params))
        self.__source__.itself = frozenset((self.__source__, original))  # the model's own columns are known there
        self.__columns__ = tuple(column.through(self.__source__) for column in entity.__columns__)
        self.__dict__.update({column.key: column for column in self.__columns__})

    def __repr__(self) -> str:
        return repr(self.__source__)


# --- RETURNING old and new ----------------------------------------------------------------------------------


class _Version:
    """The columns of a row before or after it was changed, in RETURNING: `Old(User).name` (PostgreSQL 18)."""

    def __init__(self, entity: Any, which: str) -> None:
        if not hasattr(entity, "__columns__"):
            raise QueryError(f"{which.capitalize()} takes a model class, not {entity!r}")
        self._columns = {column.key: column for column in entity.__columns__}
        self._which = which

    def __getattr__(self, name: str) -> Expression[Any]:
        column = self._columns.get(name)
        if column is None:
            raise AttributeError(f"{self._which} has no column {name!r}; it has {', '.join(self._columns)}")
        return VersionColumn(self._which, column)


class VersionColumn(Expression[Any]):
    """A column of the row as it was, or as it is now."""

    __slots__ = ("_label",)

    def __init__(self, which: str, column: ColumnExpression[Any]) -> None:
        super().__init__(f"{which}.{quote(column.name)}", type=column.type)
        self._label = f"{which}_{column.key}"

    @property
    def label(self) -> str:
        """`old_name`, `new_name`."""
        return self._label


def Old(entity: Any) -> Any:
    """Return the columns of a row as it was before an Update, Delete or Merge, for Returning (PostgreSQL 18).

    Update(User).Set(age=User.age + 1).Where(User.id == 1).Returning(Old(User).age, New(User).age)
    """
    return _Version(entity, "old")


def New(entity: Any) -> Any:
    """Return the columns of a row as an Insert, Update or Merge left it, for Returning (PostgreSQL 18)."""
    return _Version(entity, "new")


# --- JSON ---------------------------------------------------------------------------------------------------


class Ordinality:
    """A column of `JsonTable` that numbers the rows: `JsonTable(…, number=Ordinality())`."""


class Nested:
    """Columns of `JsonTable` for each row of a path inside: `JsonTable(…, parts=Nested("$.parts[*]", name=text))`."""

    def __init__(self, path: str, **columns: Any) -> None:
        self.path = path
        self.columns = columns


class JsonTable(ComputedTable):
    """JSON as rows and columns (PostgreSQL 17): `JSON_TABLE`.

    Params: `name` of the table; `document`, an expression of type jsonb, or what becomes JSON; `path` to the rows; the
    columns: a type (at `$.name`), a pair of type and path, `Ordinality()` or `Nested(path, …)`.

        lines = JsonTable("lines", Cart.data, "$.lines[*]", sku=types.text, price=(types.numeric, "$.cost.net"))
        Select(Cart.id, lines.sku, lines.price).CrossJoin(lines)
    """

    __slots__ = ()

    def __init__(self, name: str, document: Any, path: str, **columns: Any) -> None:
        if not columns:
            raise QueryError(f"JsonTable({name!r}, …) needs columns: sku=types.text")
        node = typed(document, jsonb)
        named: list[tuple[str, str, Any, Any]] = []
        text = _json_columns(columns, named)
        qualifier = quote(name)
        shape = ("JSON_TABLE(", node.shape, f", {_path(path)} COLUMNS ({text})) AS {qualifier}")
        super().__init__(qualifier, shape, named, node.params, node.sources, node.flags)


def _json_columns(columns: Mapping[str, Any], named: list[tuple[str, str, Any, Any]]) -> str:
    parts: list[str] = []
    for key, what in columns.items():
        if isinstance(what, Nested):
            parts.append(f"NESTED PATH {_path(what.path)} COLUMNS ({_json_columns(what.columns, named)})")
            continue
        if isinstance(what, Ordinality):
            parts.append(f"{quote(key)} FOR ORDINALITY")
            named.append((key, key, None, None))
            continue
        type_, path = what if isinstance(what, tuple) else (what, None)
        at = "" if path is None else f" PATH {_path(path)}"
        parts.append(f"{quote(key)} {cast_name(type_)}{at}")
        named.append((key, key, type_, None))
    return ", ".join(parts)


def _path(path: Any) -> str:
    if not isinstance(path, str):
        raise QueryError(f"a JSON path is a str such as '$.items[*]', not {path!r}")
    return quote_literal(path).strip()  # the grammar takes a constant only


# --- values -------------------------------------------------------------------------------------------------


def _type(columns: Any, key: str) -> PgType[Any] | None:
    return columns[key] if isinstance(columns, Mapping) else None


def _array(key: str, values: list[Any], type_: PgType[Any] | None) -> tuple[Expression[Any], PgType[Any]]:
    """Return the values of a column as one array parameter, and their type."""
    if any(isinstance(value, Node) for value in values):
        raise QueryError(f"Values takes values, not expressions, for {key!r}; say them with Select(…).UnionAll(…)")
    if type_ is None:
        present = [value for value in values if value is not None]
        if not present:
            raise QueryError(f"the type of {key!r} is not known: say it with columns={{{key!r}: types.text}}")
        if any(isinstance(value, list | tuple) for value in present):
            raise QueryError(f"{key!r} holds arrays, which unnest would flatten; join a table or several Select")
        found = {type_of_value(value): None for value in present}
        type_ = next(iter(found)) if len(found) == 1 else _common(key, found)
    cast = f"::{type_.transport}[]"
    node: Expression[Any] = Expression((None, cast), (type_.dump_column(values),), NO_SOURCES)
    if type_.cast:
        raise QueryError(f"{key!r}: values of {type_.name} can't be listed; cast them where they are used")
    return node, type_


def _common(key: str, found: Mapping[PgType[Any], None]) -> PgType[Any]:
    names = ", ".join(sorted(type_.name for type_ in found))
    raise QueryError(f"{key!r} mixes values of {names}: say its type with columns={{{key!r}: types.numeric}}")
