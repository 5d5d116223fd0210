"""Constraints and indexes as a model declares them: frozen records without any SQL.

    @table("orders", constraints=[Unique("a", "b"), Check("total >= 0")], indexes=[Index("a", where="b > 0")])

A column is named by its attribute, by its database name or by the attribute itself (`User.email`). This
module must not know mappers: names are resolved where the statements are made (`psqlmodel.schema.ddl`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from psqlmodel.errors import MappingError
from psqlmodel.record import Record, fill

ColumnName: TypeAlias = Any  # str, or an attribute of a model (`User.email`)

ACTIONS = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
METHODS = ("btree", "hash", "gist", "spgist", "gin", "brin", "hnsw", "ivfflat")


class Unique(Record):
    """Declare that the values of some columns, taken together, occur once.

    `columns` are names or attributes. With `nulls_distinct=False` two NULLs are equal (PostgreSQL 15 or
    newer). Raises `MappingError` when no column is given.

        @table("users", constraints=[Unique("country", "email")])
    """

    columns: tuple[ColumnName, ...]
    name: str | None
    nulls_distinct: bool
    deferrable: bool
    initially_deferred: bool

    def __init__(
        self,
        *columns: ColumnName,
        name: str | None = None,
        nulls_distinct: bool = True,
        deferrable: bool = False,
        initially_deferred: bool = False,
    ) -> None:
        fill(
            self,
            columns=_some_columns("Unique", columns),
            name=name,
            nulls_distinct=nulls_distinct,
            deferrable=deferrable or initially_deferred,
            initially_deferred=initially_deferred,
        )


class PrimaryKey(Record):
    """Declare which columns, taken together, are the primary key: what `Column(primary_key=True)` says of each.

    Raises `MappingError` when no column is given.

        @table("lines", constraints=[PrimaryKey("order_id", "number")])
    """

    columns: tuple[ColumnName, ...]
    name: str | None

    def __init__(self, *columns: ColumnName, name: str | None = None) -> None:
        fill(self, columns=_some_columns("PrimaryKey", columns), name=name)


class Check(Record):
    """Declare a condition that every row meets.

    `condition` is SQL text over the columns of the table, or a query expression.

        @table("orders", constraints=[Check("total >= 0", name="total_not_negative")])
    """

    condition: Any
    name: str | None = None


class Exclude(Record):
    """Declare that no two rows compare as true under all of some operators.

    `elements` are pairs of a column (or SQL expression) and an operator; `where` limits the rows.

        @table("bookings", constraints=[Exclude(("room", "="), ("during", "&&"))])
    """

    elements: tuple[tuple[ColumnName, str], ...]
    method: str
    where: Any
    name: str | None

    def __init__(
        self,
        *elements: tuple[ColumnName, str],
        method: str = "gist",
        where: Any = None,
        name: str | None = None,
    ) -> None:
        _some_columns("Exclude", elements)
        for element in elements:
            if not isinstance(element, tuple) or len(element) != 2 or not _is_operator(element[1]):
                raise MappingError(
                    f"Exclude takes pairs of a column and an operator such as ('room', '='), not {element!r}"
                )
        fill(self, elements=elements, method=_method(method), where=where, name=name)


class Index(Record):
    """Declare an index over columns or expressions.

    `columns` are names, attributes, or SQL expressions (`"lower(email)"`), each optionally followed by `ASC`,
    `DESC`, `NULLS FIRST` or `NULLS LAST`. `where` (SQL text or expression) makes it partial, `method` is an
    access method such as `"gin"`, `include` names columns carried along, `opclass` the operator class.

        @table("users", indexes=[Index("lower(email)", unique=True), Index("tags", method="gin")])
    """

    columns: tuple[ColumnName, ...]
    unique: bool
    where: Any
    method: str
    name: str | None
    include: tuple[ColumnName, ...]
    opclass: str | None

    def __init__(
        self,
        *columns: ColumnName,
        unique: bool = False,
        where: Any = None,
        method: str = "btree",
        name: str | None = None,
        include: Sequence[ColumnName] = (),
        opclass: str | None = None,
    ) -> None:
        fill(
            self,
            columns=_some_columns("Index", columns),
            unique=unique,
            where=where,
            method=_method(method),
            name=name,
            include=tuple(include),
            opclass=opclass,
        )


class ForeignKey(Record):
    """Declare that some columns hold the key of a row of another table.

    `columns` are the columns here; `table` is the other table as `"table"`, `"schema.table"` or a model;
    `remote` are its columns (its primary key where none are given). `on_delete` and `on_update` are
    `"NO ACTION"`, `"RESTRICT"`, `"CASCADE"`, `"SET NULL"` or `"SET DEFAULT"`; others raise `MappingError`.
    With `enforced=False` it leads relations and the database has no constraint: the row may be missing.

        @table("lines", constraints=[ForeignKey(["order_id", "part"], "parts", ["order_id", "number"])])
    """

    columns: tuple[str, ...]
    table: str
    remote: tuple[str, ...]
    on_delete: str | None
    on_update: str | None
    deferrable: bool
    initially_deferred: bool
    name: str | None
    enforced: bool

    def __init__(
        self,
        columns: Sequence[ColumnName],
        table: Any,
        remote: Sequence[ColumnName] = (),
        *,
        on_delete: str | None = None,
        on_update: str | None = None,
        deferrable: bool = False,
        initially_deferred: bool = False,
        name: str | None = None,
        enforced: bool = True,
    ) -> None:
        fill(
            self,
            columns=_names(columns),
            table=_table(table),
            remote=_names(remote),
            on_delete=_action("on_delete", on_delete),
            on_update=_action("on_update", on_update),
            deferrable=deferrable or initially_deferred,
            initially_deferred=initially_deferred,
            name=name,
            enforced=enforced,
        )
        if not enforced and (on_delete or on_update):
            raise MappingError(
                f"ForeignKey to {table!r}: on_delete and on_update are the work of a constraint, and enforced=False "
                "makes none"
            )
        if self.columns and self.remote and len(self.columns) != len(self.remote):
            raise MappingError(f"ForeignKey to {table!r} pairs {len(self.columns)} columns with {len(self.remote)}")


Constraint: TypeAlias = PrimaryKey | Unique | Check | Exclude | ForeignKey


def _some_columns(kind: str, columns: tuple[Any, ...]) -> tuple[Any, ...]:
    if not columns:
        raise MappingError(f"{kind}() needs at least one column")
    return columns


def _names(columns: Sequence[ColumnName]) -> tuple[str, ...]:
    if isinstance(columns, str):
        return (columns,)
    return tuple(column if isinstance(column, str) else column.name for column in columns)


def _table(table: Any) -> str:
    source = getattr(table, "__source__", None)
    if source is None:
        return str(table)
    return f"{source.schema}.{source.name}" if source.schema else str(source.name)


def _action(option: str, action: str | None) -> str | None:
    if action is None:
        return None
    spelled = action.upper().replace("_", " ").strip()
    if spelled not in ACTIONS:
        raise MappingError(f"{option}={action!r} is none of {', '.join(ACTIONS)}")
    return spelled


def _method(method: str) -> str:
    if not method.isidentifier():
        raise MappingError(f"method={method!r} is no index method such as {', '.join(METHODS[:5])}")
    return method.lower()


def _is_operator(text: Any) -> bool:
    return isinstance(text, str) and text != "" and set(text) <= set("+-*/<>=~!@#%^&|`?")
