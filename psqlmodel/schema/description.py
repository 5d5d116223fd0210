"""Descriptions of tables: one vocabulary for what models ask for and for what a database has.

`psqlmodel.schema.wanted` makes them from models, `psqlmodel.schema.inspect` from pg_catalog, and
`psqlmodel.schema.ddl` turns them into statements. Names are plain here, never quoted; types, defaults and
conditions are SQL text.
"""

from __future__ import annotations

from psqlmodel.record import Record


class TypeInfo(Record):
    """A type as pg_type has it.

    `kind` is pg_type.typtype: `b`ase, `c`omposite, `d`omain, `e`num, `r`ange, `m`ultirange. `base` is the
    type under a domain, `element` that of an array, `labels` are an enum's, `extension` is what it came with.
    """

    oid: int
    name: str
    schema: str
    kind: str = "b"
    base: TypeInfo | None = None
    element: TypeInfo | None = None
    labels: tuple[str, ...] = ()
    extension: str | None = None


class ColumnInfo(Record):
    """A column. `type` is its SQL spelling; `identity` is `""`, `"BY DEFAULT"` or `"ALWAYS"`."""

    name: str
    type: str
    nullable: bool = True
    default: str | None = None
    identity: str = ""
    generated: str | None = None
    comment: str | None = None
    type_info: TypeInfo | None = None


class KeyInfo(Record):
    """A primary key or a unique constraint."""

    name: str
    columns: tuple[str, ...]
    nulls_distinct: bool = True
    deferrable: bool = False
    initially_deferred: bool = False


class ForeignKeyInfo(Record):
    """A foreign key. `schema` is None where the other table is found by the search path."""

    name: str
    columns: tuple[str, ...]
    table: str
    remote: tuple[str, ...]
    schema: str | None = None
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    deferrable: bool = False
    initially_deferred: bool = False


class CheckInfo(Record):
    """A CHECK constraint; `condition` without the parentheses around it."""

    name: str
    condition: str


class ExcludeInfo(Record):
    """An EXCLUDE constraint; `definition` is what follows its name."""

    name: str
    definition: str


class IndexInfo(Record):
    """An index that no constraint owns. `elements` and `where` are SQL text, `include` names of columns."""

    name: str
    elements: tuple[str, ...]
    unique: bool = False
    method: str = "btree"
    where: str | None = None
    include: tuple[str, ...] = ()


class DistributionInfo(Record):
    """How a table is spread over the nodes of a Citus cluster: by a column, or (None) as a copy on every node.

    `colocate_with` is SQL text: a table, `default` or `none`.
    """

    column: str | None
    colocate_with: str | None = None


class TableInfo(Record):
    """A table, view or the like with all that belongs to it.

    `kind` is "table", "partitioned table", "view", "materialized view" or "foreign table". `schema` is None
    where a model leaves it to the search path. `partition_of` is the parent (schema, table) of a partition,
    `partition_key` the key of a partitioned table, `definition` the query of a view.
    """

    name: str
    schema: str | None = None
    kind: str = "table"
    columns: tuple[ColumnInfo, ...] = ()
    primary_key: KeyInfo | None = None
    uniques: tuple[KeyInfo, ...] = ()
    foreign_keys: tuple[ForeignKeyInfo, ...] = ()
    checks: tuple[CheckInfo, ...] = ()
    excludes: tuple[ExcludeInfo, ...] = ()
    indexes: tuple[IndexInfo, ...] = ()
    comment: str | None = None
    partition_of: tuple[str, str] | None = None
    partition_key: str | None = None
    definition: str | None = None
    distribution: DistributionInfo | None = None

    def column(self, name: str) -> ColumnInfo:
        """Return the column called `name`; raises `KeyError` where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


class EnumInfo(Record):
    """An enum type and its labels in order."""

    name: str
    labels: tuple[str, ...]
    schema: str | None = None
    comment: str | None = None


class SchemaInfo(Record):
    """All that some models need in a database, each part in an order in which it can be made."""

    schemas: tuple[str, ...]
    extensions: tuple[str, ...]
    enums: tuple[EnumInfo, ...]
    tables: tuple[TableInfo, ...]
