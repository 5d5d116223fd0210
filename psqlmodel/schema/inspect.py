"""pg_catalog → descriptions: what tables, columns, keys, indexes and enums a database has.

Everything is steps that yield statements of the purpose "schema" and return descriptions; nothing here
changes the database, and nothing knows models. The queries read PostgreSQL 14 to 18.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from psqlmodel.query.quoting import quote
from psqlmodel.schema.description import (
    CheckInfo,
    ColumnInfo,
    EnumInfo,
    ExcludeInfo,
    ForeignKeyInfo,
    IndexInfo,
    KeyInfo,
    TableInfo,
    TypeInfo,
)
from psqlmodel.steps import Statement, Steps
from psqlmodel.types import PgType, from_catalog

T = TypeVar("T")


def inspect_tables(names: Iterable[str] | None = None, schema: str | None = None) -> Steps[list[TableInfo]]:
    """Return the tables, views and the like of a database, ordered by schema and name.

    Parameters: `names` are plain table names (all tables where none are given), `schema` the schema they are
    in; a name without a schema is looked for on the search path. What does not exist is left out. Without
    `schema` the system's own schemas are left out too.

        tables = run(inspect_tables(schema="public"), channel)
    """
    rows = yield _read(_TABLES, [schema, None if names is None else list(names)])
    if not rows.data:
        return []
    found = rows.data
    oids = [row[0] for row in found]
    columns = yield _read(_COLUMNS, [oids])
    types = yield from _read_types({row[3] for row in columns.data})
    constraints = yield _read(_CONSTRAINTS, [oids])
    indexes = yield _read(_INDEXES, [oids])
    by_table = _Parts(columns.data, constraints.data, indexes.data, types)
    return [_table(row, by_table) for row in found]


def inspect_enums(schema: str | None = None) -> Steps[list[EnumInfo]]:
    """Return the enum types of a schema, or of all schemas, with their labels in order.

    moods = run(inspect_enums("public"), channel)
    """
    rows = yield _read(_ENUMS, [schema])
    return [EnumInfo(name, tuple(labels), where, comment) for where, name, labels, comment in rows.data]


_TYPE = """t.oid, t.typname, t.typnamespace, t.typtype, t.typbasetype,
        CASE WHEN t.typcategory = 'A' THEN t.typelem
             WHEN t.typtype IN ('r', 'm') THEN (SELECT g.rngsubtype FROM pg_catalog.pg_range g
                                                WHERE t.oid IN (g.rngtypid, g.rngmultitypid))
             ELSE 0::oid END AS typelem"""

# The types in a CTE `wanted(oid)`, with the types under domains and inside arrays and ranges, to any depth.
TYPES_UNDER_WANTED = f"""
    SELECT {_TYPE} FROM pg_catalog.pg_type t WHERE t.oid IN (SELECT w.oid FROM wanted w)
  UNION
    SELECT {_TYPE} FROM types u JOIN pg_catalog.pg_type t ON t.oid IN (u.typbasetype, u.typelem)
"""  # noqa: S608 (constants)

# What a type is described by, from `types t`.
TYPE_FIELDS = """
    t.oid, t.typname::text,
    (SELECT n.nspname::text FROM pg_catalog.pg_namespace n WHERE n.oid = t.typnamespace),
    t.typtype::text, t.typbasetype, t.typelem,
    ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e
          WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
    (SELECT x.extname::text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
     WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
       AND d.refclassid = 'pg_catalog.pg_extension'::regclass LIMIT 1)
"""


def types_from(rows: Iterable[Sequence[Any]]) -> dict[int, TypeInfo]:
    """Return types by OID from rows of `TYPE_FIELDS`, each with the types under it."""
    raw = {row[0]: row for row in rows}
    made: dict[int, TypeInfo] = {}

    def make(oid: int) -> TypeInfo | None:
        if oid not in raw:
            return None
        if oid not in made:
            _, name, schema, kind, base, element, labels, extension = raw[oid]
            made[oid] = TypeInfo(oid, name, schema, kind, make(base), make(element), tuple(labels or ()), extension)
        return made[oid]

    for oid in raw:
        make(oid)
    return made


def type_of(info: TypeInfo) -> PgType[Any]:
    """Return the type that a description of pg_type stands for."""
    return from_catalog(
        info.name,
        info.schema,
        info.oid,
        kind=info.kind,
        base=None if info.base is None else type_of(info.base),
        element=None if info.element is None else type_of(info.element),
        labels=info.labels,
    )


def _read(text: str, args: Sequence[Any]) -> Statement:
    return Statement(text, args, prepare=False, purpose="schema")


def _read_types(oids: set[int]) -> Steps[dict[int, TypeInfo]]:
    rows = yield _read(_TYPES, [sorted(oids)])
    return types_from(rows.data)


# --- rows become descriptions -------------------------------------------------------------------------------


class _Parts:
    """The rows of columns, constraints and indexes by the OID of their table."""

    def __init__(
        self,
        columns: Sequence[Sequence[Any]],
        constraints: Sequence[Sequence[Any]],
        indexes: Sequence[Sequence[Any]],
        types: dict[int, TypeInfo],
    ) -> None:
        self.columns = _grouped(columns)
        self.indexes = _grouped(indexes)
        self.types = types
        self._constraints: dict[tuple[int, str], list[Sequence[Any]]] = defaultdict(list)
        for row in constraints:
            self._constraints[row[0], row[1]].append(row)

    def constraints(self, table: int, kind: str, make: Callable[[Sequence[Any]], T]) -> tuple[T, ...]:
        """Return the constraints of one kind (pg_constraint.contype) of a table."""
        return tuple(make(row) for row in self._constraints.get((table, kind), ()))


def _grouped(rows: Sequence[Sequence[Any]]) -> dict[int, list[Sequence[Any]]]:
    groups: dict[int, list[Sequence[Any]]] = defaultdict(list)
    for row in rows:
        groups[row[0]].append(row)
    return groups


_KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}
_IDENTITIES = {"": "", "a": "ALWAYS", "d": "BY DEFAULT"}
_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def _table(row: Sequence[Any], parts: _Parts) -> TableInfo:
    oid, schema, name, kind, comment, parent_schema, parent, partition_key, definition = row
    primary_keys = parts.constraints(oid, "p", _key)
    return TableInfo(
        name=name,
        schema=schema,
        kind=_KINDS[kind],
        columns=tuple(_column(column, parts.types) for column in parts.columns.get(oid, ())),
        primary_key=primary_keys[0] if primary_keys else None,
        uniques=parts.constraints(oid, "u", _key),
        foreign_keys=parts.constraints(oid, "f", _foreign_key),
        checks=parts.constraints(oid, "c", lambda check: CheckInfo(check[2], check[12])),
        excludes=parts.constraints(oid, "x", _exclude),
        indexes=tuple(_index(index) for index in parts.indexes.get(oid, ())),
        comment=comment,
        partition_of=None if parent is None else (parent_schema, parent),
        partition_key=partition_key,
        definition=definition,
    )


def _column(row: Sequence[Any], types: dict[int, TypeInfo]) -> ColumnInfo:
    _, name, spelled, type_oid, nullable, default, identity, generated, comment = row
    return ColumnInfo(
        name=name,
        type=spelled,
        nullable=nullable,
        default=None if generated else default,
        identity=_IDENTITIES[identity],
        generated=default if generated else None,
        comment=comment,
        type_info=types[type_oid],
    )


def _key(row: Sequence[Any]) -> KeyInfo:
    return KeyInfo(row[2], tuple(row[3]), not row[13], deferrable=row[9], initially_deferred=row[10])


def _foreign_key(row: Sequence[Any]) -> ForeignKeyInfo:
    return ForeignKeyInfo(
        name=row[2],
        columns=tuple(row[3]),
        schema=row[4],
        table=row[5],
        remote=tuple(row[6]),
        on_delete=_ACTIONS[row[7]],
        on_update=_ACTIONS[row[8]],
        deferrable=row[9],
        initially_deferred=row[10],
    )


def _exclude(row: Sequence[Any]) -> ExcludeInfo:
    return ExcludeInfo(row[2], row[11].removeprefix("EXCLUDE "))


def _index(row: Sequence[Any]) -> IndexInfo:
    _, name, unique, method, columns, expressions, orders, where, include = row
    elements = [
        (expression if column is None else quote(column)) + order
        for column, expression, order in zip(columns, expressions, orders, strict=True)
    ]
    return IndexInfo(name, tuple(elements), unique, method, where, tuple(include))


# --- the queries --------------------------------------------------------------------------------------------

_TABLES = """
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
       pg_catalog.obj_description(c.oid, 'pg_class'), pn.nspname::text, p.relname::text,
       CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid AND c.relispartition
LEFT JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND ($1::text IS NULL OR n.nspname = $1::text)
  AND ($2::text[] IS NULL OR c.relname = ANY ($2::text[]))
  AND ($1::text IS NOT NULL OR $2::text[] IS NULL OR pg_catalog.pg_table_is_visible(c.oid))
  AND ($1::text IS NOT NULL OR (n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'))
ORDER BY n.nspname, c.relname
"""

_COLUMNS = """
SELECT a.attrelid, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid,
       NOT a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid),
       a.attidentity::text, a.attgenerated::text,
       pg_catalog.col_description(a.attrelid, a.attnum)
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

_TYPES = f"""
WITH RECURSIVE wanted AS (SELECT unnest($1::oid[]) AS oid), types AS ({TYPES_UNDER_WANTED})
SELECT {TYPE_FIELDS} FROM types t
"""  # noqa: S608 (constants)

# `indnullsnotdistinct` exists since PostgreSQL 15: asked for through JSON, its absence is no error.
_CONSTRAINTS = """
SELECT c.conrelid, c.contype::text, c.conname::text,
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number
             ORDER BY k.place),
       fn.nspname::text, f.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number
             ORDER BY k.place),
       c.confdeltype::text, c.confupdtype::text, c.condeferrable, c.condeferred,
       pg_catalog.pg_get_constraintdef(c.oid), pg_catalog.pg_get_expr(c.conbin, c.conrelid, true),
       coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)
FROM pg_catalog.pg_constraint c
LEFT JOIN pg_catalog.pg_class f ON f.oid = c.confrelid
LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.conindid AND c.contype = 'u'
WHERE c.conrelid = ANY ($1::oid[]) AND c.contype IN ('p', 'u', 'f', 'c', 'x')
ORDER BY c.conrelid, c.oid
"""

# indoption: 1 is DESC, 2 is NULLS FIRST; only what differs from the default order is spelled.
_INDEXES = """
SELECT i.indrelid, c.relname::text, i.indisunique, m.amname::text,
       ARRAY(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) AS k
             LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
                  AND i.indkey[k] <> 0 ORDER BY k),
       ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k + 1, true)
             FROM generate_series(0, i.indnkeyatts - 1) AS k ORDER BY k),
       ARRAY(SELECT CASE WHEN o.opcdefault THEN '' ELSE ' "' || o.opcname || '"' END
                    || CASE i.indoption[k] WHEN 1 THEN ' DESC NULLS LAST' WHEN 2 THEN ' NULLS FIRST'
                                           WHEN 3 THEN ' DESC' ELSE '' END
             FROM generate_series(0, i.indnkeyatts - 1) AS k
             JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[k] ORDER BY k),
       pg_catalog.pg_get_expr(i.indpred, i.indrelid, true),
       ARRAY(SELECT a.attname::text FROM generate_series(i.indnkeyatts::int, i.indnatts - 1) AS k
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] ORDER BY k)
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = c.relam
WHERE i.indrelid = ANY ($1::oid[]) AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY i.indrelid, c.relname
"""

_ENUMS = """
SELECT n.nspname::text, t.typname::text,
       ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e
             WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       pg_catalog.obj_description(t.oid, 'pg_type')
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype = 'e' AND ($1::text IS NULL OR n.nspname = $1::text)
ORDER BY n.nspname, t.typname
"""
