"""Sync: a slice of a table is made equal to the objects that are given. Steps: one statement.

It is one statement of common tables, the deletion first, then the updates, then the new rows, so that these may take
over unique values. MERGE … WHEN NOT MATCHED BY SOURCE (PostgreSQL 17) would read the whole table, where this reads the
slice through its index; and it promises no order.
"""
# ruff: noqa: S608 - every name here is quoted, and values are parameters

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.loading.reading import prepared
from psqlmodel.core.unitofwork import deletion, versioning
from psqlmodel.core.unitofwork.collect import dumped_column, row_keys, value_of
from psqlmodel.core.unitofwork.sending import send
from psqlmodel.core.unitofwork.updating import read_new_versions
from psqlmodel.core.verbs.texts import KIND, ORDINAL, equal, given_back, listed
from psqlmodel.core.verbs.upserting import Columns, ended_by_errors, prepare
from psqlmodel.core.verbs.written import Taking, Written, check_unique, named_columns, withdraw
from psqlmodel.core.verbs.written import listed as listed_objects
from psqlmodel.errors import InvalidValueError, MissingPrimaryKeyError, NotMappedError, QueryError
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.query.expression import Expression
from psqlmodel.query.nodes import CTES
from psqlmodel.query.quoting import quote
from psqlmodel.query.select import Select
from psqlmodel.query.statement import Assembly, Query, checked
from psqlmodel.steps import Rows, Statement, Steps
from psqlmodel.types import PgType

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

# Types without `=`, or where it compares areas or lengths: they are compared by their text.
_BY_TEXT = frozenset({"json", "xml", "point", "line", "lseg", "path", "polygon", "box", "circle"})
_KEPT, _INSERTED, _UPDATED, _DELETED = range(4)


def sync_set(workspace: Workspace, model: Any, objects: Any, scope: Any, on: Any = None) -> Steps[Written[Any]]:
    """Make the rows of `model` for which the condition `scope` is true equal to the objects.

    Rows are found by the columns `on`, by default the primary key; an object without one is a new row. Columns that no
    object sets are not compared. Rows that are equal already are not written. Returns the session's objects. Raises
    `InvalidValueError` for two objects with one key, objects that set different columns, and objects outside the scope;
    `ObjectStateError` for one that a session has already.
    """
    mapper = mapper_of(model)
    condition = _condition(mapper, scope)
    given = listed_objects(objects, "sync_set")
    for position, obj in enumerate(given):
        if type(obj) is not mapper.cls:
            raise NotMappedError(f"sync_set: objects[{position}] is a {type(obj).__name__}, not a {mapper.name}")
    target = named_columns(mapper, mapper.primary_key if on is None else on)
    if not target or not mapper.primary_key:
        raise MissingPrimaryKeyError(f"sync_set: {mapper.name} has no primary key")
    withdraw(workspace.unit, given, "sync_set")
    yield from prepare(workspace, mapper, given)
    check_unique(mapper, given, target, "sync_set", open_keys=on is None)
    columns = _columns(mapper, given, target)
    query = _Synchronisation(workspace, mapper, given, columns, target, condition)
    compiled = yield from prepared(workspace, query)
    statement = Statement(compiled.text, compiled.args, fresh=True, purpose="flush")
    return (yield from ended_by_errors(workspace, _write(workspace, mapper, given, statement)))


def _condition(mapper: Mapper, scope: Any) -> Expression[Any]:
    if not isinstance(scope, Expression):
        raise QueryError(
            f"sync_set: scope= is the condition that tells which rows of {mapper.name} the objects stand for, such as "
            f"{mapper.name}.{mapper.keys[0]} == value; not {type(scope).__name__}"
        )
    condition = checked(scope, mapper.source.itself, "sync_set")
    if scope.flags & CTES:
        raise QueryError("sync_set: scope= can't use a common table; write it as a subquery")
    assert isinstance(condition, Expression)
    return condition


def _columns(mapper: Mapper, objects: Sequence[Any], target: Columns) -> list[Column[Any]]:
    """Return the columns that all objects set, the primary key with them where it finds the rows."""
    keys = {str(column.key) for column in mapper.primary_key}
    found = {str(column.key) for column in target}
    first: set[str] = set()
    for position, obj in enumerate(objects):
        own = set(row_keys(obj, mapper)) - keys
        if position == 0:
            first = own
        elif own != first:
            name = sorted(own ^ first)[0]
            raise InvalidValueError(
                f"sync_set: {mapper.name}.{name} is set on some objects and not on others (objects[{position}]): set "
                "it on all, so that it is plain what the rows shall have"
            )
    given_keys = {key for key in keys if any(obj.__dict__.get(key) is not None for obj in objects)}
    wanted = found | first | given_keys
    return [column for key, column in mapper.attributes.items() if key in wanted]


def _write(workspace: Workspace, mapper: Mapper, given: list[Any], statement: Statement) -> Steps[Written[Any]]:
    rows = yield from send(workspace, mapper, given, statement)
    workspace.transaction.worked = True
    for row in rows.data:
        if row[-1] is not True:
            raise InvalidValueError(
                f"sync_set: objects[{row[-3] - 1}] is outside of the scope: its row would not be part of the slice "
                "that the objects stand for"
            )
    written = _taken(workspace, mapper, given, rows)
    yield from read_new_versions(workspace, mapper, written.inserted)
    return written


def _taken(workspace: Workspace, mapper: Mapper, given: list[Any], rows: Rows) -> Written[Any]:
    written: Written[Any] = Written()
    lists = {_KEPT: written.unchanged, _INSERTED: written.inserted, _UPDATED: written.updated}
    taking = Taking(workspace, mapper, rows)
    gone: list[Any] = []
    found: dict[int, tuple[Any, int]] = {}
    for row in rows.data:
        ordinal, kind = row[-3], row[-2]
        if kind != _DELETED:
            found[ordinal] = (taking.take(given[ordinal - 1], row), kind)
            continue
        key = taking.key_of(row)
        written.deleted.append(key)
        gone.append(workspace.identity.get(mapper, key) or taking.shadow(row))
    taking.settle()
    for _, (obj, kind) in sorted(found.items()):
        written.append(obj)
        lists[kind].append(obj)
    deletion.now_deleted(workspace, mapper, [obj for obj in gone if workspace.unit.contains(obj)])
    deletion.mark_cascaded(workspace, mapper, gone)
    return written


# --- the statement ----------------------------------------------------------------------------------------------------


class _Synchronisation(Query[Any]):
    """The statement: its rows have the columns of the mapper, the ordinal, what was done, whether it is in scope."""

    def __init__(
        self,
        workspace: Workspace,
        mapper: Mapper,
        given: list[Any],
        columns: list[Column[Any]],
        target: Columns,
        condition: Expression[Any],
    ) -> None:
        super().__init__()
        self._workspace = workspace
        self._mapper = mapper
        self._given = given
        self._types: list[PgType[Any]] = [workspace.catalog.type_of(column) for column in columns]
        self._columns = columns
        self._on = [quote(str(column.name)) for column in target]
        self._keys = [quote(str(column.name)) for column in mapper.primary_key]
        self._target = target
        self._condition = condition
        self._all = [quote(str(column.name)) for column in mapper.columns]
        self._table = quote(mapper.table)  # as conditions call it
        withheld = versioning.withheld(mapper, workspace.catalog)
        self._withheld = None if withheld is None else quote(str(withheld.name))

    def assemble(self) -> Assembly:
        """Return the statement's shape, parameters and needs."""
        assembly = Assembly(self._mapper.source.itself)
        self._add_given(assembly)
        self._add_slice(assembly)
        self._add_deletion(assembly)
        self._add_update(assembly)
        self._add_insertion(assembly)
        self._add_result(assembly)
        return assembly

    def _add_given(self, assembly: Assembly) -> None:
        lead = "unnest("
        fields = ", ".join(f"c{n}" for n in range(1, len(self._columns) + 1))
        values = ", ".join(self._value(n) for n in range(len(self._columns)))
        assembly.text(f"WITH r AS MATERIALIZED (SELECT {values}, d.{ORDINAL} FROM ")
        for column, type_ in zip(self._columns, self._types, strict=True):
            values_of = [value_of(obj, str(column.key)) for obj in self._given]
            assembly.value(lead, dumped_column(self._mapper, column, type_, values_of))
            lead = f"::{type_.transport}[], "
        assembly.text(f"{lead[:-2]}) WITH ORDINALITY AS d({fields}, {ORDINAL}))")

    def _value(self, n: int) -> str:
        """Return the value of a column; a key that the server makes is made where it is missing."""
        column, type_ = self._columns[n], self._types[n]
        name, value = quote(str(column.name)), f"d.c{n + 1}{type_.cast}"
        maker = self._workspace.catalog.makers(self._mapper).get(str(column.name))
        if column.primary_key and maker is not None:
            value = f"coalesce({value}, {maker})"
        return f"{value} AS {name}"

    def _add_slice(self, assembly: Assembly) -> None:
        """Add `m`, the given rows beside those of the slice; a full join is never done by nested loops."""
        names = [*(_key(n) for n in range(len(self._on))), *(_row(n) for n in range(len(self._keys)))]
        assembly.text(f",\nslice({', '.join(names)}) AS MATERIALIZED (")
        assembly.add(Select(*self._target, *self._mapper.primary_key).Where(self._condition))
        same = " AND ".join(f"r.{name} = slice.{_key(n)}" for n, name in enumerate(self._on))
        assembly.text(f"),\nm AS MATERIALIZED (SELECT r.*, slice.* FROM r FULL JOIN slice ON {same})")

    def _add_deletion(self, assembly: Assembly) -> None:
        # No ordinal, spelled so that the planner takes it for a third of the rows. With IS NULL, a two-hundredth,
        # a nested loop over a table that it believes to hold one row seems to cost what a hash join does.
        missing = f"coalesce(m.{ORDINAL}, 0) < 1"
        assembly.text(f",\ndel AS (DELETE FROM {self._mapper.qualified} USING m WHERE {self._is_row()} AND {missing}")
        self._add_shard(assembly)
        assembly.text(f" RETURNING {listed(self._table, self._all)})")

    def _add_update(self, assembly: Assembly) -> None:
        names = {quote(str(c.name)): t for c, t in zip(self._columns, self._types, strict=True) if self._is_data(c)}
        if not names:  # nothing to compare
            assembly.text(
                f",\nupd AS (SELECT {listed(self._table, self._all)}, 0::int8 AS {ORDINAL}, true AS {KIND} "
                f"FROM {self._mapper.qualified} WHERE false)"
            )
            return
        sets = [*(f"{name} = m.{name}" for name in names), *versioning.bump(self._mapper, self._table)]
        ours = ", ".join(f"{self._table}.{name}{_comparable(type_)}" for name, type_ in names.items())
        theirs = ", ".join(f"m.{name}{_comparable(type_)}" for name, type_ in names.items())
        assembly.text(
            f",\nupd AS (UPDATE {self._mapper.qualified} SET {', '.join(sets)} FROM m WHERE {self._is_row()} "
            f"AND m.{ORDINAL} IS NOT NULL AND (SELECT count(*) FROM del) >= 0 "
            f"AND ROW({ours}) IS DISTINCT FROM ROW({theirs})"
        )
        self._add_shard(assembly)
        assembly.text(f" RETURNING {listed(self._table, self._all)}, m.{ORDINAL}, (")
        assembly.add(self._condition)
        assembly.text(f") IS TRUE AS {KIND})")

    def _is_data(self, column: Column[Any]) -> bool:
        return not (column.primary_key or column.version or any(column is other for other in self._target))

    def _add_insertion(self, assembly: Assembly) -> None:
        names = ", ".join(quote(str(column.name)) for column in self._columns)
        assembly.text(
            f",\nins AS (INSERT INTO {self._mapper.qualified} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM m "
            f"WHERE m.{_row(0)} IS NULL AND (SELECT count(*) FROM upd) >= 0 "
            f"ORDER BY {ORDINAL} RETURNING {given_back(self._table, self._all, self._withheld)}, ("
        )
        assembly.add(self._condition)
        assembly.text(f") IS TRUE AS {KIND})")

    def _add_result(self, assembly: Assembly) -> None:
        assembly.text(
            f"\nSELECT {listed('ins', self._all)}, r.{ORDINAL}, {_INSERTED}, ins.{KIND} "
            # A condition that NULL does not fail keeps the join a full one.
            f"FROM ins FULL JOIN r ON {equal('ins', 'r', self._on)} WHERE coalesce(ins.{KIND}::int4, 2) < 2"
            f"\nUNION ALL SELECT {listed('upd', self._all)}, upd.{ORDINAL}, {_UPDATED}, upd.{KIND} FROM upd"
            f"\nUNION ALL SELECT {listed(self._table, self._all)}, m.{ORDINAL}, {_KEPT}, true FROM m "
            f"JOIN {self._mapper.qualified} ON {self._is_row()} "
            f"WHERE m.{ORDINAL} IS NOT NULL AND m.{ORDINAL} NOT IN (SELECT upd.{ORDINAL} FROM upd)"
        )
        self._add_shard(assembly)
        assembly.text(f"\nUNION ALL SELECT {listed('del', self._all)}, NULL, {_DELETED}, true FROM del")

    def _add_shard(self, assembly: Assembly) -> None:
        """Say again which rows the slice has: a cluster learns from it on which shard those of `m` are."""
        if self._mapper.distribution is not None:
            assembly.text(" AND (")
            assembly.add(self._condition)
            assembly.text(")")

    def _is_row(self) -> str:
        return " AND ".join(f"{self._table}.{name} = m.{_row(n)}" for n, name in enumerate(self._keys))


def _key(n: int) -> str:
    """Return the name of a column by which rows are found; no column of a model has it."""
    return f'"key#{n}"'


def _row(n: int) -> str:
    """Return the name of a column of the primary key of a row in the slice."""
    return f'"row#{n}"'


def _comparable(type_: PgType[Any]) -> str:
    element = type_
    while element.element is not None:
        element = element.element
    return "::text" if element.base in _BY_TEXT else ""
