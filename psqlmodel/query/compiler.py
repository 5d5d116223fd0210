"""The compiler: a query becomes SQL text and arguments. Text is made once for each shape and kept.

The cache maps a shape to its text; arguments are taken from the query at hand. A column's real type (`types`)
decides how deferred parameters are dumped and what the few texts that name types say. Sends nothing.

A SELECT whose calls came before is not even assembled: its key (see `Query`) leads to the text, and its values are
the arguments. Both ways give the same; the key is only remembered where they did.
"""

from __future__ import annotations

import operator
from typing import Any, Final

from psqlmodel.errors import InvalidValueError, QueryError
from psqlmodel.query.expression import ColumnExpression
from psqlmodel.query.nodes import CTES, DEFERRED, Deferred, DeferredList, Shape, TableName, TransportSlot, TypeOf
from psqlmodel.query.outputs import Output
from psqlmodel.query.sources import CommonTable, CteReference, names
from psqlmodel.query.statement import Assembly, Query

_MOST_TEXTS = 4096  # a program has hundreds of shapes; more mean that something generates them
_texts: dict[Any, Template] = {}  # by shape, and by shape and types
_WAITING: Final = frozenset({Deferred, DeferredList})
_called: dict[tuple[Any, ...], Template] = {}  # by key


class Compiled:
    """A query as it is sent: `text`, `args` (wire values), and what the rows are (`outputs`).

    `columns_used` are columns whose type matters here and is only guessed, by `types` too where it was given: where
    it is not empty, `args` and `text` hold for the guesses. `tables` are quoted names.
    """

    __slots__ = ("args", "columns_used", "outputs", "tables", "text")

    def __init__(
        self,
        template: Template,
        args: list[Any],
        outputs: tuple[Output, ...],
        columns_used: tuple[ColumnExpression[Any], ...],
    ) -> None:
        self.text = template.text
        self.args = args
        self.outputs = outputs
        self.tables = template.tables
        self.columns_used = columns_used


class Template:
    """The text of a shape, the tables in it, and the columns whose types it names."""

    __slots__ = ("columns", "tables", "text")

    def __init__(self, text: str, tables: frozenset[str], columns: tuple[ColumnExpression[Any], ...]) -> None:
        self.text = text
        self.tables = tables
        self.columns = columns


def compile(query: Query[Any], types: TypeOf | None = None) -> Compiled:
    """Return `query` as text and arguments.

    `types` tells a column's type in the database, where it is known better than the model says. Raises
    `QueryError` for a query that refers to tables it does not have.
    """
    if not isinstance(query, Query):
        raise QueryError(f"expected a query, not {type(query).__name__}")
    template = None if query.needs & CTES else _called.get(query.key)
    if template is None or not query.pending <= query.known:
        return _assembled(query, types)
    args = query.arguments()
    return _waited(query, template, args, types) if query.needs else Compiled(template, args, query.outputs, ())


def _assembled(query: Query[Any], types: TypeOf | None) -> Compiled:
    """Compile a query by its shape; remember its key, if it has one that leads to the same."""
    assembly = query.assembly
    if assembly.sources:
        raise QueryError(
            f"the query uses {names(assembly.sources)} without having it"
            f"{f' (it has {names(query.known)})' if query.known else ''}: add .Join(…), .From(…) or .Using(…)"
        )
    shape, params = assembly.shape, assembly.params
    if assembly.flags & CTES:
        shape, params = _hoisted(assembly)
    template = _texts.get(shape) or _keep(_texts, shape, _template(shape, _modelled))
    if template.columns or shape is not assembly.shape:
        return _waited(query, _retyped(template, shape, types), params, types)
    if query.key and _same(query.arguments(), params):
        _keep(_called, query.key, template)
    if assembly.flags & DEFERRED:
        return _waited(query, template, params, types)
    return Compiled(template, params.copy(), query.outputs, ())


def _same(quick: list[Any], assembled: list[Any]) -> bool:
    return len(quick) == len(assembled) and all(map(operator.is_, quick, assembled))


def _retyped(template: Template, shape: Shape, types: TypeOf | None) -> Template:
    """Return the text of a shape that names types, with the types as they are known."""
    if types is None or not template.columns:
        return template
    key = (shape, tuple([types(column) for column in template.columns]))
    return _texts.get(key) or _keep(_texts, key, _template(shape, types))


def _waited(query: Query[Any], template: Template, params: list[Any], types: TypeOf | None) -> Compiled:
    """Return what is sent where parameters may wait for the type of their column."""
    type_of = _modelled if types is None else types
    guessed = {column: None for column in template.columns if type_of(column).guess}
    args = params.copy()
    for index, param in enumerate(params):
        if type(param) in _WAITING:
            type_ = type_of(param.column)
            if type_.guess:
                guessed[param.column] = None
            args[index] = _argument(param, type_, types)
    return Compiled(template, args, query.outputs, tuple(guessed))


def _argument(param: Deferred, type_: Any, types: TypeOf | None) -> Any:
    try:
        return param.dump(type_)
    except InvalidValueError as error:
        if types is None:
            return param.value  # does not fit the guess; the catalog will tell whether it fits the column
        raise InvalidValueError(f"{param.column!r}: {error}") from None


def render(shape: Shape) -> str:
    """Return the text of a shape alone."""
    return _template(shape, _modelled).text


def _modelled(column: ColumnExpression[Any]) -> Any:
    return column.type


def _keep(kept: dict[Any, Template], key: Any, template: Template) -> Template:
    if len(kept) >= _MOST_TEXTS:
        kept.clear()
    kept[key] = template
    return template


def _template(shape: Shape, types: TypeOf) -> Template:
    pieces: list[str] = []
    tables: set[str] = set()
    columns: list[ColumnExpression[Any]] = []
    count = 0

    def walk(parts: tuple[Shape, ...]) -> None:
        nonlocal count
        for part in parts:
            kind = type(part)
            if kind is str:
                pieces.append(part)
            elif part is None:
                count += 1
                pieces.append(f"${count}")
            elif kind is tuple:
                walk(part)
            elif isinstance(part, str):
                if kind is TableName:
                    tables.add(str(part))
                pieces.append(part)
            else:
                slot: TransportSlot = part
                columns.append(slot.column)
                pieces.append(slot.text(types(slot.column)))

    walk((shape,))
    return Template("".join(pieces), frozenset(tables), tuple(columns))


def _hoisted(assembly: Assembly) -> tuple[Shape, list[Any]]:
    """Put the common tables that the query refers to before it, each after those it needs itself."""
    tables: dict[str, CommonTable] = {}
    _gather(assembly.params, tables, ())
    head: list[Shape] = []
    params: list[Any] = []
    recursive = any(table.is_recursive for table in tables.values())
    lead = "WITH RECURSIVE " if recursive else "WITH "
    for table in tables.values():
        shape, own, _ = table.write()
        head += (lead, shape)
        params += own
        lead = ",\n"
    params += assembly.params
    kept = [param for param in params if not isinstance(param, CteReference)]
    return (*head, "\n", assembly.shape), kept


def _gather(params: Any, tables: dict[str, CommonTable], path: tuple[str, ...]) -> None:
    for param in params:
        if not isinstance(param, CteReference):
            continue
        table = param.table
        known = tables.get(table._name)
        if known is None:
            _gather(table.write()[1], tables, (*path, table._name))
            tables[table._name] = table
        elif known is not table and known.write()[0] != table.write()[0]:
            raise QueryError(f"two common tables of the query are called {table._name!r}")
