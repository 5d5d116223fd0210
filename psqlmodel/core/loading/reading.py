"""Reading: a query is compiled and sent, and its rows become objects and rows. Steps; the ground of loading
and Include.

A row whose object the session has already does not make another one: the object takes the fresh values of the
attributes that were not changed. Objects of a class without primary key (a view) are in no identity map: each
row makes one, for reading only.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from psqlmodel.core.row import row_class
from psqlmodel.core.transaction import execute, within
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.core.unitofwork.sending import MANY
from psqlmodel.errors import DataError, InvalidValueError
from psqlmodel.gcpause import pause_for
from psqlmodel.model.codegen import Load, LoadFresh, entity_loader, fresh_loader
from psqlmodel.model.mapper import Mapper
from psqlmodel.query.compiler import Compiled, compile
from psqlmodel.query.expression import ColumnExpression
from psqlmodel.query.nodes import TableSource
from psqlmodel.query.outputs import EntityOutput, Output, ScalarOutput
from psqlmodel.query.select import SelectQuery
from psqlmodel.query.statement import Query
from psqlmodel.steps import Rows, Shape, Statement, Steps
from psqlmodel.types import loader
from psqlmodel.types.temporal import in_column

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace
    from psqlmodel.model.fields import Column

T = TypeVar("T")

_WHOLE: Final = itemgetter(slice(None))


class Loaded(Generic[T]):
    """What a query gave: its objects or rows, and the number of rows that the server reported."""

    __slots__ = ("items", "rowcount")

    def __init__(self, items: list[T], rowcount: int) -> None:
        self.items = items
        self.rowcount = rowcount


def prepared(workspace: Workspace, query: Query[Any]) -> Steps[Compiled]:
    """Compile a query; the catalog is read first where a guessed type matters to it."""
    try:
        compiled = compile(query, workspace.catalog.type_of)
    except InvalidValueError:  # of a guess, perhaps: a table that is not known yet may take the value
        compiled = compile(query)
    if not compiled.columns_used:
        return compiled
    yield from known_types(workspace, compiled.columns_used)
    return compile(query, workspace.catalog.type_of)


def known_types(workspace: Workspace, columns: Iterable[ColumnExpression[Any]]) -> Steps[None]:
    """Read the catalog for the tables of these columns, where it is not known yet."""
    origins = [column.origin.source for column in columns]
    tables = [source for source in origins if isinstance(source, TableSource)]
    if workspace.catalog.missing(tables):
        yield from within(workspace, workspace.catalog.ensure(tables))


def fetch(workspace: Workspace, query: Query[Any], *, purpose: str = "query") -> Steps[tuple[Compiled, Rows]]:
    """Send a query and return how it was compiled and what came; pending changes to its tables are flushed
    first.
    """
    compiled = yield from prepared(workspace, query)
    if workspace.unit.has_changes:
        yield from autoflush(workspace, compiled.tables)
    rows = yield from execute(workspace, statement_of(compiled.text, compiled.args, purpose))
    return compiled, rows


def statement_of(text: str, args: list[Any], purpose: str) -> Statement:
    """Return the statement of a query; with several arrays of many values it is planned for them (see `MANY`).

    That is how many composite keys come, and many rows. One array alone is compared with the column that it is for: a
    plan for it would look at each key, which is a seventh of the time of loading 1,000 users with their orders, and
    what it can save is little, since comparing keys is quick.
    """
    arrays = 0
    for arg in args:
        if type(arg) is list and len(arg) >= MANY:
            arrays += 1
    return Statement(text, args, fresh=arrays > 1, purpose=purpose)


def autoflush(workspace: Workspace, tables: frozenset[str]) -> Steps[None]:
    """Flush if there are changes to one of these tables, so that the query sees them."""
    unit = workspace.unit
    if workspace.autoflush and unit.has_changes and unit.overlaps(tables):
        yield from flush(workspace)


# --- rows become objects ------------------------------------------------------------------------------------


def load_rows(workspace: Workspace, query: Query[Any], compiled: Compiled, rows: Rows) -> Loaded[Any]:
    """Return the objects of a query of one model, else its rows."""
    outputs = compiled.outputs
    if len(outputs) == 1 and isinstance(outputs[0], EntityOutput):
        if isinstance(query, SelectQuery) and query.reads_one_table:
            return Loaded(load_distinct(workspace, outputs[0].entity.__mapper__, rows), rows.count)
        optional = "JOIN " in compiled.text  # an outer join may leave the entity out
        return Loaded(load_entity(workspace, outputs[0], rows, optional=optional), rows.count)
    if not outputs:
        return Loaded([], rows.count)
    make = _row_maker(outputs, rows.shape)
    if all(isinstance(output, ScalarOutput) for output in outputs):
        return Loaded(_scalar_rows(make, outputs, rows), rows.count)
    values = [load_output(workspace, output, rows) for output in outputs]
    return Loaded(list(map(make, zip(*values, strict=True))), rows.count)


def load_output(workspace: Workspace, output: Output, rows: Rows, *, optional: bool = True) -> list[Any]:
    """Return what one output of the query is in each row; an object that an outer join left out is None.

    `optional`: there may be an outer join.
    """
    if isinstance(output, EntityOutput):
        return load_entity(workspace, output, rows, optional=optional)
    index, convert = output.index, _conversion(output, rows.shape)
    if convert is None:
        return [row[index] for row in rows.data]
    return [None if row[index] is None else convert(row[index]) for row in rows.data]


def load_entity(workspace: Workspace, output: EntityOutput, rows: Rows, *, optional: bool = False) -> list[Any]:
    """Return the object of each row."""
    return _load_whole(workspace, output.entity.__mapper__, output.start, rows, optional)


def load_distinct(workspace: Workspace, mapper: Mapper, rows: Rows) -> list[Any]:
    """Return the object of each row of a query of one table, which gives no row twice. The class comes first in it.

    The rows are used up.

    Nothing is looked up where the session has no object of the class. (A model whose primary key is none in the
    database has rows with one key: then each becomes an object.)
    """
    if len(rows.data) < 2 or not mapper.finds_by_key or workspace.identity.knows(mapper):
        return _load_whole(workspace, mapper, 0, rows, optional=False)
    key = ("fresh", mapper)  # not to be taken for a column of that name
    load: LoadFresh | None = rows.shape.derived.get(key)
    if load is None:
        load = rows.shape.derived[key] = fresh_loader(mapper, rows.shape.oids)
    batch = workspace.unit.batch(mapper) if mapper.relations else None
    with pause_for(len(rows.data)):
        objects = load(_tuples(rows.data), batch or workspace.unit.clean(mapper))
        references = list(map(weakref.ref, objects))
        rows.data = ()  # within the pause, so that the collector does not look at what nobody needs any more
    if batch is not None:
        batch.members = references
    workspace.identity.enter_later(mapper, references)
    return objects


def load_columns(workspace: Workspace, mapper: Mapper, columns: Sequence[Column[Any]], rows: Rows) -> list[Any]:
    """Return the objects of rows that have just these columns of one class."""
    key = (mapper, *(column.key for column in columns))
    load: Load | None = rows.shape.derived.get(key)
    if load is None:
        load = rows.shape.derived[key] = _loader(mapper, columns, rows.shape, 0, optional=False)
    return _objects(workspace, mapper, load, rows.data)


def _load_whole(workspace: Workspace, mapper: Mapper, start: int, rows: Rows, optional: bool) -> list[Any]:
    key = (mapper, start, optional)  # the columns are those of the class
    load: Load | None = rows.shape.derived.get(key)
    if load is None:
        load = rows.shape.derived[key] = _loader(mapper, mapper.columns, rows.shape, start, optional)
    return _objects(workspace, mapper, load, rows.data)


def _loader(mapper: Mapper, columns: Sequence[Any], shape: Shape, start: int, optional: bool) -> Load:
    oids = shape.oids[start : start + len(columns)]
    return entity_loader(mapper, columns, oids, start, width=len(shape.oids), optional=optional)


def _objects(workspace: Workspace, mapper: Mapper, load: Load, data: Sequence[Any]) -> list[Any]:
    if not mapper.primary_key:
        return _load(load, data, workspace.unit.clean(mapper), {})
    known = workspace.identity.of(mapper)
    workspace.identity.sweep_if_due(mapper, len(data))
    if len(data) < 2 or not mapper.relations:
        return _load(load, data, workspace.unit.clean(mapper), known)
    batch = workspace.unit.batch(mapper)
    objects = _load(load, data, batch, known)
    batch.bring(objects)
    return objects


def _load(load: Load, data: Sequence[Any], state: Any, known: dict[Any, Any]) -> list[Any]:
    with pause_for(len(data)):
        return load(_tuples(data), state, known)


def _tuples(data: Sequence[Any]) -> Iterable[Any]:
    # asyncpg's records are slow to read: with a tuple of each, gone at once, loading takes 0.7 of the time. A slice of
    # a record is one, made in 0.6 of the time of `tuple(record)`.
    return data if not data or type(data[0]) is tuple else map(_WHOLE, data)


# --- rows of values -----------------------------------------------------------------------------------------


def _scalar_rows(make: Callable[[Any], Any], outputs: Sequence[Output], rows: Rows) -> list[Any]:
    scalars = [output for output in outputs if isinstance(output, ScalarOutput)]
    loads = [(output.index, _conversion(output, rows.shape)) for output in scalars]
    converted = [(index, convert) for index, convert in loads if convert is not None]
    if not converted:
        return list(map(make, rows.data))
    found: list[Any] = []
    for row in rows.data:
        values = list(row)
        for index, convert in converted:
            if values[index] is not None:
                try:
                    values[index] = convert(values[index])
                except DataError as error:
                    raise in_column(error, rows.shape.names[index]) from None
        found.append(make(values))
    return found


def _conversion(output: ScalarOutput, shape: Shape) -> Callable[[Any], Any] | None:
    return loader(output.type, shape.oids[output.index])


def _row_maker(outputs: Sequence[Output], shape: Shape) -> Callable[[Any], Any]:
    """Return the class of the rows; an object in a row has the name of its class."""
    names = tuple(o.entity.__name__ if isinstance(o, EntityOutput) else o.name for o in outputs)
    found: Callable[[Any], Any] | None = shape.derived.get(names)
    if found is None:
        found = shape.derived[names] = row_class(names)
    return found
