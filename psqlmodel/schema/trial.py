"""What a database would make of models: their tables are made in schemas of their own, read back, and rolled back.

So both sides of a comparison are in the server's words (`varchar(20)` is `character varying(20)` on both). Steps.
"""

from __future__ import annotations

from psqlmodel.errors import DatabaseError
from psqlmodel.query.quoting import quote
from psqlmodel.record import replace
from psqlmodel.schema.ddl import create_enum, statements_for
from psqlmodel.schema.description import ForeignKeyInfo, SchemaInfo, TableInfo
from psqlmodel.schema.inspect import inspect_tables
from psqlmodel.steps import Release, Statement, Steps

PREFIX = "psqlmodel_trial_"


def make_on_trial(needed: SchemaInfo) -> Steps[list[TableInfo]]:
    """Return the tables that are described as the database would describe them; it stays as it was.

    No table that exists is touched; others may read and write all the while. Foreign keys to tables outside them come
    as they are. Raises `InsufficientPrivilege` without the right to CREATE in the database, and what PostgreSQL finds
    wrong with a table.
    """
    scratch = {schema: f"{PREFIX}{number}" for number, schema in enumerate(_schemas(needed))}
    yield _statement("BEGIN READ WRITE")
    try:
        found = yield from _make(needed, scratch)
    except DatabaseError:
        yield _statement("ROLLBACK")
        raise
    except GeneratorExit:
        raise
    except BaseException:
        yield Release(discard=True)
        raise
    yield _statement("ROLLBACK")
    return found


def _make(needed: SchemaInfo, scratch: dict[str | None, str]) -> Steps[list[TableInfo]]:
    for name in scratch.values():
        yield _statement(f"CREATE SCHEMA {quote(name)}")
    path = ", ".join(quote(name) for name in scratch.values())
    yield _statement(f"SELECT set_config('search_path', '{path}, ' || current_setting('search_path'), true)")
    here = {(table.schema, table.name) for table in needed.tables}
    kept = {(table.schema, table.name): _outside(table, here) for table in needed.tables}
    moved = replace(needed, tables=tuple(_moved(table, scratch, here) for table in needed.tables))
    for enum in needed.enums:
        if enum.schema is None:  # as the models have it, though one of that name may exist with other labels
            yield _statement(create_enum(replace(enum, schema=scratch[None])))
    for text in statements_for(moved):
        try:
            yield _statement(text)
        except DatabaseError as error:
            error.args = (f"{_made_by(text, scratch)} on trial: {error.args[0]}", *error.args[1:])
            raise
    tables: list[TableInfo] = []
    for schema, name in scratch.items():
        for table in (yield from inspect_tables(schema=name)):
            keys = tuple(_back(key, scratch) for key in table.foreign_keys)
            tables.append(replace(table, schema=schema, foreign_keys=(*keys, *kept[schema, table.name])))
    return tables


def _made_by(text: str, scratch: dict[str | None, str]) -> str:
    """Return what a statement makes, in the words of the models: `CREATE TABLE "film"`."""
    subject = text.splitlines()[0].partition(" (")[0]
    for schema, name in scratch.items():
        subject = subject.replace(f"{quote(name)}.", "" if schema is None else f"{quote(schema)}.")
    return subject


def _schemas(needed: SchemaInfo) -> list[str | None]:
    # The default schema first: what has no schema is made in the first of the search path.
    return [None, *sorted({table.schema for table in needed.tables if table.schema is not None})]


def _moved(table: TableInfo, scratch: dict[str | None, str], here: set[tuple[str | None, str]]) -> TableInfo:
    keys = tuple(
        replace(key, schema=scratch[key.schema]) for key in table.foreign_keys if (key.schema, key.table) in here
    )
    return replace(table, schema=scratch[table.schema], foreign_keys=keys, distribution=None)


def _outside(table: TableInfo, here: set[tuple[str | None, str]]) -> tuple[ForeignKeyInfo, ...]:
    return tuple(key for key in table.foreign_keys if (key.schema, key.table) not in here)


def _back(key: ForeignKeyInfo, scratch: dict[str | None, str]) -> ForeignKeyInfo:
    return replace(key, schema=next(schema for schema, name in scratch.items() if name == key.schema))


def _statement(text: str) -> Statement:
    return Statement(text, prepare=False, purpose="schema")
