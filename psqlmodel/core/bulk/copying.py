"""Copying: the result of a query into a file, and a file into a table, by COPY. Steps.

Rows go between server and file as they are: no object is made of them, and memory does not grow with them. The file is
opened here, before anything is sent, and read and written by the driver.
"""

from __future__ import annotations

import csv
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.bulk.sending import copy_line
from psqlmodel.core.loading.reading import autoflush, prepared
from psqlmodel.core.transaction import execute, within
from psqlmodel.core.unitofwork.blame import blame
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.drivers.files import Source, reading, writing
from psqlmodel.errors import DatabaseError, InvalidValueError, QueryError
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.query.quoting import quote
from psqlmodel.query.rowset import Rowset
from psqlmodel.query.select import Select
from psqlmodel.steps import CopyIn, CopyOut, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

FORMATS: Final = ("csv", "binary")


def copy_to(workspace: Workspace, query: Any, file: Any, *, format: str = "csv") -> Steps[int]:
    """Write what a query returns to a file, and return the number of rows.

    `query` is a query of the builder that only reads, SQL text, or a model class; `file` a path or an open file. CSV
    begins with the names of the columns. Raises `QueryError` for another query or format.
    """
    _check_format("copy_to", format)
    text, args = yield from _compiled(workspace, query)
    with writing(file, binary=format == "binary") as sink:
        rows = yield from execute(workspace, CopyOut(text, args, sink, format))
    return rows.count


def copy_from(workspace: Workspace, model: type, file: Any, *, format: str = "csv", columns: Any = None) -> Steps[int]:
    """Insert the rows of a file into the table of a model, and return their number.

    The first line of a CSV file names its columns, unless `columns` does. A binary file has `columns`, by default all
    that the database does not compute, in the order of the model. The database makes what is not in the file. Raises
    the server's errors with the line or row, `MappingError` for a name that is no column, `QueryError` for another
    format.
    """
    _check_format("copy_from", format)
    mapper = mapper_of(model)
    if workspace.autoflush:
        yield from flush(workspace)
    if workspace.catalog.missing([mapper]):
        yield from within(workspace, workspace.catalog.ensure([mapper]))
    with reading(file, binary=format == "binary") as source:
        named = _named(mapper, columns) if columns is not None else None
        has_header = named is None and format == "csv"
        if named is None:
            named = _header(mapper, source) if has_header else _all(workspace, mapper)
        request = CopyIn(mapper.qualified, [quote(column.name or "") for column in named], source, format)
        unit, before = ("line" if format == "csv" else "row"), int(has_header)
        explain = partial(_explain, mapper=mapper, unit=unit, before=before)
        rows = yield from execute(workspace, request, explain)
    workspace.transaction.worked = True
    return rows.count


def _check_format(verb: str, format: str) -> None:
    if format == "arrow":
        raise QueryError(f'{verb}: format="arrow" is not there: write "csv" or "binary", and convert the file')
    if format not in FORMATS:
        raise QueryError(f'{verb}: the format is "csv" or "binary", not {format!r}')


def _compiled(workspace: Workspace, query: Any) -> Steps[tuple[str, list[Any]]]:
    """Return the text and the arguments of a query; what it would not see is flushed before."""
    if isinstance(query, str):
        if not query.strip(" \n\t;"):
            raise QueryError("copy_to: the SQL text is empty")
        if workspace.autoflush:
            yield from flush(workspace)
        return query.rstrip(" \n\t;"), []
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
    return compiled.text, compiled.args


def _named(mapper: Mapper, columns: Any) -> list[Column[Any]]:
    several = columns if isinstance(columns, list | tuple) else [columns]
    return [mapper.column(each) for each in several]


def _header(mapper: Mapper, source: Source) -> list[Column[Any]]:
    line = source.readline()
    names = next(csv.reader([line]), [])
    if not names:
        raise InvalidValueError(f"copy_from: the first line names the columns of {mapper.name}, and it is empty")
    found = [mapper.by_name[name] if name in mapper.by_name else mapper.column(name) for name in names]
    twice = [column.key for n, column in enumerate(found) if any(column is other for other in found[:n])]
    if twice:
        raise InvalidValueError(f"copy_from: the first line names {mapper.name}.{twice[0]} twice")
    return found


def _all(workspace: Workspace, mapper: Mapper) -> list[Column[Any]]:
    computed = workspace.catalog.generated(mapper)
    system = [column for column in mapper.columns if column.name not in workspace.catalog.actual(mapper)]
    return [c for c in mapper.columns if c.name not in computed and not any(c is other for other in system)]


def _explain(error: DatabaseError, mapper: Mapper, unit: str, before: int) -> None:
    blame(error, mapper, ())
    line = copy_line(error)
    if line is not None:
        error.args = (f"{unit} {line + before}: {error.args[0]}", *error.args[1:])
