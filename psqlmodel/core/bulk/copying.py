"""Copying: the result of a query into a file, and a file into a table, by COPY. Steps.

Rows go between server and file as they are: no object is made of them, and memory does not grow with them. The file is
opened here, before anything is sent, and read and written by the driver.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.bulk.sending import copy_column, copy_line
from psqlmodel.core.loading.reading import autoflush, prepared
from psqlmodel.core.transaction import execute, within
from psqlmodel.core.unitofwork.blame import blame
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.drivers.files import Source, reading, writing
from psqlmodel.errors import DatabaseError, InvalidValueError, MappingError, QueryError
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.query.outputs import Output
from psqlmodel.query.quoting import quote
from psqlmodel.query.rowset import Rowset
from psqlmodel.query.select import Select, SelectQuery
from psqlmodel.query.sql import by_hand
from psqlmodel.steps import CopyIn, CopyOut, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

FORMATS: Final = ("csv", "binary", "arrow")


def copy_to(workspace: Workspace, query: Any, file: Any, *, format: str = "csv") -> Steps[int]:
    """Write what a query returns to a file, and return the number of rows.

    `query` is a query of the builder that only reads, SQL text, or a model class; `file` a path or an open file. CSV
    begins with the names of the columns. Raises `QueryError` for another query or format, `DataError` for a value that
    an Arrow file can't hold.
    """
    _check_format("copy_to", format)
    text, args, outputs = yield from _compiled(workspace, query)
    if format == "arrow":
        return (yield from _to_arrow(workspace, text, args, outputs, file))
    with writing(file, binary=format == "binary") as sink:
        rows = yield from execute(workspace, CopyOut(text, args, sink, format))
    return rows.count


def copy_from(workspace: Workspace, model: type, file: Any, *, format: str = "csv", columns: Any = None) -> Steps[int]:
    """Insert the rows of a file into the table of a model, and return their number.

    The first line of a CSV file names its columns, unless `columns` does; so does the schema of an Arrow file. A binary
    file has `columns`, by default all that the database does not compute, in the order of the model. The database makes
    what is not in the file. Raises the server's errors with the line or row, `MappingError` where `columns` names what
    is no column, `QueryError` for another format, `InvalidValueError` for a file that is not of the format, or names
    what is no column.
    """
    _check_format("copy_from", format)
    mapper = mapper_of(model)
    if workspace.autoflush:
        yield from flush(workspace)
    if workspace.catalog.missing([mapper]):
        yield from within(workspace, workspace.catalog.ensure([mapper]))
    with reading(file, binary=format != "csv") as source:
        request, explain = _REQUESTS[format](workspace, mapper, source, columns)
        rows = yield from execute(workspace, request, explain)
    workspace.transaction.worked = True
    return rows.count


def _check_format(verb: str, format: str) -> None:
    if format not in FORMATS:
        raise QueryError(f'{verb}: the format is "csv", "binary" or "arrow", not {format!r}')


def _to_arrow(workspace: Workspace, text: str, args: Sequence[Any], outputs: Sequence[Output], file: Any) -> Steps[int]:
    from psqlmodel.core.bulk.arrow.describing import described
    from psqlmodel.core.bulk.arrow.needed import arrow
    from psqlmodel.core.bulk.arrow.writing import ArrowSink

    _ = arrow()  # that it is not there is told before anything is sent
    with writing(file, binary=True) as sink:
        columns = yield from described(workspace, text, args, outputs)
        made = ArrowSink(sink, columns)
        rows = yield from execute(workspace, CopyOut(text, args, made, "csv"))
        made.close()
    return rows.count


def _compiled(workspace: Workspace, query: Any) -> Steps[tuple[str, list[Any], Sequence[Output]]]:
    """Return the text, the arguments and the outputs of a query; what it would not see is flushed before."""
    if isinstance(query, str):
        if not query.strip(" \n\t;"):
            raise QueryError("copy_to: the SQL text is empty")
        if workspace.autoflush:
            yield from flush(workspace)
        return query.rstrip(" \n\t;"), [], ()
    written = by_hand(query)
    if written is not None:
        if workspace.autoflush:
            yield from flush(workspace)
        return *written.statement(), ()
    if isinstance(query, type):
        query = Select(mapper_of(query).cls)
    if not isinstance(query, Rowset) or query.extra_tables:
        raise QueryError(
            f"copy_to takes a Select of the builder that only reads, SQL text or a model, not {type(query).__name__}"
        )
    if query.includes:
        raise QueryError("copy_to: a file has rows, not objects: Include can't be copied; join the table instead")
    compiled = yield from prepared(workspace, query)
    yield from autoflush(workspace, compiled.tables)
    # Of a union, the first query does not speak for the others.
    return compiled.text, compiled.args, compiled.outputs if isinstance(query, SelectQuery) else ()


Explain = Callable[[DatabaseError], None]


def _from_csv(workspace: Workspace, mapper: Mapper, source: Source, columns: Any) -> tuple[CopyIn, Explain]:
    if columns is not None:
        return _into(mapper, _named(mapper, columns), source, "csv"), partial(_explain, mapper=mapper, unit="line")
    named = _header(mapper, source)
    return _into(mapper, named, source, "csv"), partial(_explain, mapper=mapper, unit="line", before=1)


def _from_binary(workspace: Workspace, mapper: Mapper, source: Source, columns: Any) -> tuple[CopyIn, Explain]:
    named = _all(workspace, mapper) if columns is None else _named(mapper, columns)
    return _into(mapper, named, source, "binary"), partial(_explain, mapper=mapper, unit="row")


def _from_arrow(workspace: Workspace, mapper: Mapper, source: Source, columns: Any) -> tuple[CopyIn, Explain]:
    from psqlmodel.core.bulk.arrow.reading import ArrowSource

    file = ArrowSource(source)
    named = _found(mapper, file.names, "the file") if columns is None else _named(mapper, columns)
    if len(named) != len(file.names):
        raise InvalidValueError(f"copy_from: the file has {len(file.names)} columns, and columns= names {len(named)}")
    file.into([workspace.catalog.type_of(column) for column in named])

    def explain(error: DatabaseError) -> None:
        if error is not file.error:  # which names its row
            _explain(error, mapper, "row")

    return _into(mapper, named, file, "text"), explain


_REQUESTS: Final = {"csv": _from_csv, "binary": _from_binary, "arrow": _from_arrow}


def _into(mapper: Mapper, columns: Sequence[Column[Any]], file: Any, format: str) -> CopyIn:
    return CopyIn(mapper.qualified, [quote(column.name or "") for column in columns], file, format)


def _named(mapper: Mapper, columns: Any) -> list[Column[Any]]:
    several = columns if isinstance(columns, list | tuple) else [columns]
    return [mapper.column(each) for each in several]


def _header(mapper: Mapper, source: Source) -> list[Column[Any]]:
    return _found(mapper, next(csv.reader([source.readline()]), []), "the first line")


def _found(mapper: Mapper, names: Sequence[str], where: str) -> list[Column[Any]]:
    if not names:
        raise InvalidValueError(f"copy_from: {where} names the columns of {mapper.name}, and it is empty")
    try:
        found = [mapper.by_name[name] if name in mapper.by_name else mapper.column(name) for name in names]
    except MappingError as error:  # the file is outside data, and no mistake of the program
        raise InvalidValueError(f"copy_from: {where}: {error}") from None
    twice = [column.key for n, column in enumerate(found) if any(column is other for other in found[:n])]
    if twice:
        raise InvalidValueError(f"copy_from: {where} names {mapper.name}.{twice[0]} twice")
    return found


def _all(workspace: Workspace, mapper: Mapper) -> list[Column[Any]]:
    computed = workspace.catalog.generated(mapper)
    system = [column for column in mapper.columns if column.name not in workspace.catalog.actual(mapper)]
    return [c for c in mapper.columns if c.name not in computed and not any(c is other for other in system)]


def _explain(error: DatabaseError, mapper: Mapper, unit: str, before: int = 0) -> None:
    blame(error, mapper, ())
    line, column = copy_line(error), copy_column(error)
    if line is not None:
        where = f"{unit} {line + before}" + (f', column "{column}"' if column else "")
        error.args = (f"{where}: {error.args[0]}", *error.args[1:])
