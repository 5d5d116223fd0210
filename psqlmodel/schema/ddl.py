"""Descriptions → statements: tables and all that belongs to them, in an order in which they can be made.

`create_all` and `drop_all` are steps that do their work in one transaction of their own; `create_statements`
and `drop_statements` are the texts, pure. Every statement may run again without harm; nothing here changes a
table that exists already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from psqlmodel.errors import ConnectionLost, DatabaseError, UndefinedTable
from psqlmodel.model.mapper import Mapper
from psqlmodel.query.quoting import qualified, quote, quote_literal
from psqlmodel.schema.description import (
    ColumnInfo,
    EnumInfo,
    ForeignKeyInfo,
    IndexInfo,
    KeyInfo,
    SchemaInfo,
    TableInfo,
)
from psqlmodel.schema.order import LateKey, in_dependency_order, key_of
from psqlmodel.schema.spreading import distribute, ready_to_distribute
from psqlmodel.schema.wanted import describe
from psqlmodel.steps import Release, Statement, Steps

# Two processes that make the same tables at once wait for each other: `IF NOT EXISTS` alone still fails then,
# on a unique index of pg_catalog. The number is "psqlmode" in ASCII.
_LOCK = f"SELECT pg_catalog.pg_advisory_xact_lock({int.from_bytes(b'psqlmode')})"
# Under a stricter default, a statement that waited for the lock would not see what it waited for.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_OTHERS_DEPEND = "2BP01"


def create_all(mappers: Iterable[Mapper]) -> Steps[None]:
    """Make all tables of `mappers` that are missing, with types, schemas, extensions, keys and indexes.

    Raises `MappingError` before anything is sent where models contradict each other; an error of the server
    undoes everything.

        run(create_all([User.__mapper__, Order.__mapper__]), channel)
    """
    needed = describe(mappers)
    yield from _in_transaction(list(statements_for(needed)), needed.tables)


def drop_all(mappers: Iterable[Mapper]) -> Steps[None]:
    """Drop all tables of `mappers` that exist, and the enum types that nothing else uses.

    Schemas and extensions stay. A table that another one refers to is not dropped: the error names what does, and
    everything stays as it was.

        run(drop_all([User.__mapper__, Order.__mapper__]), channel)
    """
    yield from _in_transaction(drop_statements(mappers))


def create_statements(mappers: Iterable[Mapper]) -> list[str]:
    """Return the statements that make the tables of `mappers`, in dependency order."""
    return list(statements_for(describe(mappers)))


def drop_statements(mappers: Iterable[Mapper]) -> list[str]:
    """Return the statements that drop the tables of `mappers`."""
    needed = describe(mappers)
    # One statement for all tables: the server then needs no order, and cycles are none.
    tables = ", ".join(_table(table) for table in needed.tables)
    return [*([f"DROP TABLE IF EXISTS {tables}"] if tables else []), *map(_drop_enum, needed.enums)]


def _in_transaction(statements: Sequence[str], tables: Sequence[TableInfo] = ()) -> Steps[None]:
    if not statements:
        return
    try:
        yield from _begin()
        yield _statement(_LOCK)
        for text in statements:
            yield _statement(text)
        yield _statement("COMMIT")
    except DatabaseError as error:
        yield from _roll_back()
        _explain(error, tables)
        raise
    except GeneratorExit:
        raise
    except BaseException:  # cancelled or interrupted: nobody knows where the connection stands
        yield Release(discard=True)
        raise


def _explain(error: DatabaseError, tables: Sequence[TableInfo]) -> None:
    """Say in the message what the server leaves to its detail, or does not know: names of tables, never values."""
    if error.sqlstate == _OTHERS_DEPEND and error.detail:
        error.args = (f"{error}: {'; '.join(error.detail.splitlines())}",)
    elif isinstance(error, UndefinedTable):
        keys = [(table, key) for table in tables for key in table.foreign_keys]
        for table, key in keys:
            if f'"{key.table}"' in str(error) or f'"{key.schema}.{key.table}"' in str(error):
                error.args = (
                    f"{table.name} ({', '.join(key.columns)}) refers to the table {key.table}, which is neither in the "
                    "database nor among the models to be made: name its model too, or import its module before",
                )
                return


def _begin() -> Steps[None]:
    """Send BEGIN; again, where the connection was dead already: nothing is lost by that."""
    begin = _statement(_BEGIN)
    begin.once = True  # a connection that was looked at
    try:
        yield begin
    except ConnectionLost:
        yield Release(discard=True)
        yield begin


def _roll_back() -> Steps[None]:
    try:
        yield _statement("ROLLBACK")
    except DatabaseError:  # the connection is gone, and the transaction with it: the first error says why
        yield Release(discard=True)


def _statement(text: str) -> Statement:
    return Statement(text, prepare=False, purpose="schema")


# --- the texts ----------------------------------------------------------------------------------------------


def statements_for(needed: SchemaInfo) -> Iterator[str]:
    """Give the statements that make what is described, in dependency order."""
    tables, late = in_dependency_order(needed.tables)
    spread = [table for table in tables if table.distribution is not None]
    if spread:
        late += [(table, key) for table, key in _keys_of_spread(tables, spread) if (table, key) not in late]
    if spread:
        yield ready_to_distribute(spread[0])
    yield from map(_create_schema, needed.schemas)
    yield from map(_create_extension, needed.extensions)
    yield from map(create_enum, needed.enums)
    late_keys = {(id(table), key.name) for table, key in late}
    for table in tables:
        keys = [key for key in table.foreign_keys if (id(table), key.name) not in late_keys]
        yield _create_table(table, keys)
        for index in table.indexes:
            yield create_index(table, index)
    if spread:
        yield from distribute(spread)
    for table, key in late:
        yield _add_foreign_key(table, key)
    for table in tables:
        yield from _comments(table)


def _keys_of_spread(tables: Sequence[TableInfo], spread: Sequence[TableInfo]) -> Iterator[LateKey]:
    """Give the foreign keys from and to spread tables: Citus takes them where both tables are spread already."""
    names = {key_of(table) for table in spread}
    for table in tables:
        for key in table.foreign_keys:
            if table in spread or (key.schema, key.table) in names:
                yield table, key


def _table(table: TableInfo) -> str:
    return qualified(table.name, table.schema)


def _create_schema(schema: str) -> str:
    # CREATE SCHEMA IF NOT EXISTS asks for the right to create one even where it exists.
    exists = f"SELECT FROM pg_catalog.pg_namespace WHERE nspname = {quote_literal(schema)}"
    return _unless(exists, f"CREATE SCHEMA {quote(schema)}")


def _create_extension(extension: str) -> str:
    return f"CREATE EXTENSION IF NOT EXISTS {quote(extension)}"


def create_enum(enum: EnumInfo) -> str:
    """Return the statement that makes an enum type where there is none of that name."""
    name = qualified(enum.name, enum.schema)
    labels = ", ".join(quote_literal(label).strip() for label in enum.labels)
    return _unless(_finds_enum(name), f"CREATE TYPE {name} AS ENUM ({labels})")


def _drop_enum(enum: EnumInfo) -> str:
    name = qualified(enum.name, enum.schema)
    used = (
        "SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_type t ON d.refobjid IN (t.oid, t.typarray) "
        "WHERE d.refclassid = 'pg_catalog.pg_type'::regclass AND d.deptype = 'n' "
        f"AND t.oid = pg_catalog.to_regtype({quote_literal(name)})"
    )
    return _unless(used, f"DROP TYPE IF EXISTS {name}")


def _finds_enum(name: str) -> str:
    return f"SELECT FROM pg_catalog.pg_type WHERE typtype = 'e' AND oid = pg_catalog.to_regtype({quote_literal(name)})"


def _create_table(table: TableInfo, foreign_keys: Sequence[ForeignKeyInfo]) -> str:
    parts = [column_definition(column) for column in table.columns]
    if table.primary_key is not None:
        parts.append(f"CONSTRAINT {quote(table.primary_key.name)} PRIMARY KEY {_list(table.primary_key.columns)}")
    parts.extend(unique_definition(key) for key in table.uniques)
    parts.extend(f"CONSTRAINT {quote(check.name)} CHECK ({check.condition})" for check in table.checks)
    parts.extend(f"CONSTRAINT {quote(exclude.name)} EXCLUDE {exclude.definition}" for exclude in table.excludes)
    parts.extend(key_definition(key) for key in foreign_keys)
    lines = ",\n".join(f"    {part}" for part in parts)
    return f"CREATE TABLE IF NOT EXISTS {_table(table)} (\n{lines}\n)"


def column_definition(column: ColumnInfo) -> str:
    """Return a column as CREATE TABLE and ADD COLUMN take it."""
    words = [quote(column.name), column.type]
    if not column.nullable:
        words.append("NOT NULL")
    if column.generated is not None:
        words.append(f"GENERATED ALWAYS AS ({column.generated}) STORED")
    elif column.identity:
        words.append(f"GENERATED {column.identity} AS IDENTITY")
    elif column.default is not None:
        words.append(f"DEFAULT {column.default}")
    return " ".join(words)


def unique_definition(key: KeyInfo) -> str:
    """Return a unique constraint as CREATE TABLE and ADD take it."""
    nulls = "" if key.nulls_distinct else " NULLS NOT DISTINCT"
    return f"CONSTRAINT {quote(key.name)} UNIQUE{nulls} {_list(key.columns)}{_deferral(key)}"


def key_definition(key: ForeignKeyInfo) -> str:
    """Return a foreign key as CREATE TABLE and ADD take it."""
    remote = f" {_list(key.remote)}" if key.remote else ""
    actions = "".join(
        f" {event} {action}"
        for event, action in (("ON DELETE", key.on_delete), ("ON UPDATE", key.on_update))
        if action != "NO ACTION"
    )
    return (
        f"CONSTRAINT {quote(key.name)} FOREIGN KEY {_list(key.columns)} "
        f"REFERENCES {qualified(key.table, key.schema)}{remote}{actions}{_deferral(key)}"
    )


def _deferral(key: KeyInfo | ForeignKeyInfo) -> str:
    if key.initially_deferred:
        return " DEFERRABLE INITIALLY DEFERRED"
    return " DEFERRABLE" if key.deferrable else ""


def _add_foreign_key(table: TableInfo, key: ForeignKeyInfo) -> str:
    name = _table(table)
    exists = (
        f"SELECT FROM pg_catalog.pg_constraint WHERE conrelid = {quote_literal(name)}::regclass "
        f"AND conname = {quote_literal(key.name)}"
    )
    return _unless(exists, f"ALTER TABLE {name} ADD {key_definition(key)}")


def create_index(table: TableInfo, index: IndexInfo) -> str:
    """Return the statement that makes an index where there is none of that name."""
    unique = "UNIQUE " if index.unique else ""
    include = f" INCLUDE {_list(index.include)}" if index.include else ""
    where = "" if index.where is None else f" WHERE {index.where}"
    return (
        f"CREATE {unique}INDEX IF NOT EXISTS {quote(index.name)} ON {_table(table)} "
        f"USING {index.method} ({', '.join(index.elements)}){include}{where}"
    )


def _comments(table: TableInfo) -> Iterator[str]:
    name = _table(table)
    if table.comment is not None:
        yield f"COMMENT ON TABLE {name} IS {quote_literal(table.comment).strip()}"
    for column in table.columns:
        if column.comment is not None:
            text = quote_literal(column.comment).strip()
            yield f"COMMENT ON COLUMN {name}.{quote(column.name)} IS {text}"


def _list(columns: Iterable[str]) -> str:
    return f"({', '.join(map(quote, columns))})"


def _unless(exists: str, statement: str) -> str:
    """Return a statement that runs `statement` where the query `exists` finds nothing."""
    tag = "$do$"
    while tag in exists or tag in statement:
        tag = f"{tag[:-1]}_$"
    return f"DO {tag} BEGIN\n    IF NOT EXISTS ({exists}) THEN\n        {statement};\n    END IF;\nEND {tag}"
