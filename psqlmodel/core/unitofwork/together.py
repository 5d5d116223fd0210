"""Together: a small flush of several operations as one statement of common tables: one round trip. Steps.

New rows are made with their keys by `nextval` inside the statement, children are joined to their parents by ordinal,
changed rows are written beside them; foreign keys are checked when the statement ends. It is atomic by itself: where it
is all that the transaction does, it needs neither BEGIN nor COMMIT (`Transaction.alone`). Then nobody can look at its
counts before it is committed, so that it fails of itself where an UPDATE or DELETE misses a row.
"""
# ruff: noqa: S608 - every name here is quoted, and values are parameters

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from psqlmodel.core.transaction import execute
from psqlmodel.core.unitofwork import insertion, sql, updating, versioning
from psqlmodel.core.unitofwork.blame import blame
from psqlmodel.core.unitofwork.collect import (
    Changes,
    Dumps,
    dumped_column,
    dumped_values,
    dumps_of,
    outgoing,
    take_all_keys,
    value_of,
)
from psqlmodel.core.unitofwork.parts import Insertion, Parts, Writing
from psqlmodel.errors import DatabaseError
from psqlmodel.model.codegen import Field
from psqlmodel.model.fields import Column
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Rows, Statement, Steps
from psqlmodel.types import PgType

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

# How the statement fails of itself: by a function of the count, with a SQLSTATE that nothing else in a flush has. (Who
# has checks or computed columns with logarithms, divisions or roots has their errors; nobody has no buckets at all.)
_FAIL: Final = "width_bucket(0, 0, 1, (0 * count(*))::int4)"
_FAILED: Final = "2201G"  # invalid_argument_for_width_bucket_function


def write(workspace: Workspace, parts: Parts, changes: Changes) -> Steps[None]:
    """Write the parts in one statement; the whole transaction, where nothing else belongs to it."""
    transaction = workspace.transaction
    transaction.alone = parts.alone
    try:
        if len(parts.insertions) == 1 and not parts.writings:
            yield from insertion.insert(workspace, (parts.insertions[0].mapper,), changes)
        else:
            yield from _write(workspace, parts)
    finally:
        transaction.alone = transaction.alone and transaction.begun
    changes.waiting.clear()


def _write(workspace: Workspace, parts: Parts) -> Steps[None]:
    recipe = recipe_of(workspace, parts)
    statement = Statement(recipe.text, recipe.arguments(parts), purpose="flush")
    losses = _Losses(workspace, parts)
    try:
        rows = yield from execute(workspace, statement, losses.explain)
    except DatabaseError as error:
        if losses.stale:
            yield from losses.tell(error)
        raise
    _receive(workspace, parts, rows, recipe)


# --- the statement ----------------------------------------------------------------------------------------------------


TypedColumn: TypeAlias = tuple[Column[Any], PgType[Any]]
Values: TypeAlias = Callable[[Parts, Any, list[Any]], None]  # adds the arguments of a part to those of the statement


class Recipe:
    """What all flushes of one shape have in common.

    `text` is the statement, `values` the makers of the arguments of each part, `start` the place where the columns of
    each part that gives something back begin in a row. A statement that is alone looks after its counts itself. Made
    once for each shape: half of the cost of a small flush.
    """

    __slots__ = ("start", "text", "values")

    def __init__(self, workspace: Workspace, parts: Parts) -> None:
        joined = [part for part in parts.all if part.back or (part in parts.writings and not parts.alone)]
        tables: list[str] = []
        self.values: list[Values] = []
        first = 1
        for part in parts.all:
            if isinstance(part, Insertion):
                table, values, count = _insertion(workspace, part, first)
            else:
                table, values, count = _writing(workspace, part, first, parts.writings)
            tables.append(table)
            self.values.append(values)
            first += count
        counted = [part.number for part in parts.writings] if parts.alone else []
        self.text, self.start = _text(tables, joined, counted, first)

    def arguments(self, parts: Parts) -> list[Any]:
        """Return the arguments of the statement: those of the parts, the longest of them, their lengths."""
        args: list[Any] = []
        for part, add in zip(parts.all, self.values, strict=True):
            add(parts, part, args)
        if self.start:
            args.append(max([len(part.objects) for part in parts.all if part.number in self.start]))
        if parts.alone:
            args += [len(part.objects) for part in parts.writings]
        return args


def recipe_of(workspace: Workspace, parts: Parts) -> Recipe:
    """Return the recipe of the statement that the parts are, made once until the catalog is read anew."""
    found: Recipe | None = parts.recipe
    if found is not None:
        return found
    shape = (parts.alone, *[part.shape for part in parts.all])
    found = workspace.catalog.derived.get(shape)
    if found is None:
        found = Recipe(workspace, parts)
        workspace.catalog.keep(shape, found)
    parts.recipe = found
    return found


def _text(
    tables: list[str], joined: list[Insertion | Writing], counted: list[int], first: int
) -> tuple[str, dict[int, int]]:
    """Return the text: the nth row has what concerns the nth object of each part, side by side."""
    wanted, joins, start = ["g.ord"], [f"generate_series(1, ${first}::int8) AS g(ord)"], {}
    for part in joined:
        name = f"o{part.number}"
        start[part.number] = len(wanted)
        ordinal = [] if isinstance(part, Insertion) else ["ord"]
        wanted += [f"{name}.{column}" for column in [*ordinal, *(quote(str(column.name)) for column in part.back)]]
        joins.append(f"LEFT JOIN {name} ON {name}.ord = g.ord")
    for n, number in enumerate(counted, first + bool(joined)):
        wanted.append(f"(SELECT CASE WHEN count(*) <> ${n}::int8 THEN {_FAIL} END FROM o{number})")
    if not joined:
        return f"WITH {', '.join(tables)} SELECT {', '.join(['1', *wanted[1:]])}", start
    return f"WITH {', '.join(tables)} SELECT {', '.join(wanted)} FROM {' '.join(joins)}", start


def _insertion(workspace: Workspace, part: Insertion, first: int) -> tuple[str, Values, int]:
    """Return the text of new rows, what adds their values, and how many these are, from parameter `first` on.

    `o1` has the ordinal and what is wanted back.
    """
    type_of = workspace.catalog.type_of
    columns = [part.mapper.attributes[key] for key in part.keys]
    typed = [(column, type_of(column)) for column in columns]
    if part.is_plain:
        names = [quote(str(column.name)) for column in columns]
        return _one_new(part, names, first), partial(_add_ones, dumps_of(columns, type_of)), len(typed)
    arrays = [f"${n}::{type_.transport}[]" for n, (_, type_) in enumerate(typed, first)]
    parents = [f"${n}::int8[]" for n, _ in enumerate(part.parents, first + len(arrays))]
    if not arrays and not parents:
        return _many_new(part, [], [], [f"${first}::int8[]"]), _add_nothing, 1
    text = _many_new(part, sql.named(columns, [type_ for _, type_ in typed]), arrays, parents)
    return text, partial(_add_arrays, typed), len(arrays) + len(parents)


def _add_ones(dumps: Dumps, parts: Parts, part: Insertion, args: list[Any]) -> None:
    """Add the values of one object."""
    args += dumped_values(part.mapper, dumps, part.objects[0])


def _add_arrays(typed: list[TypedColumn], parts: Parts, part: Insertion, args: list[Any]) -> None:
    """Add an array of values for each column, and one of ordinals for each key that comes from a parent."""
    for column, type_ in typed:
        values = [value_of(obj, str(column.key)) for obj in part.objects]
        args.append(dumped_column(part.mapper, column, type_, values))
    args += [parts.ordinals(part, key) for key in part.parents]


def _add_nothing(parts: Parts, part: Insertion, args: list[Any]) -> None:
    """Add an array that says nothing but how many rows there are."""
    args.append([1] * len(part.objects))


def _one_new(part: Insertion, names: list[str], first: int) -> str:
    values = [f"${n}" for n in range(first, first + len(names))]
    body = f"({', '.join(names)}) VALUES ({', '.join(values)})" if names else "DEFAULT VALUES"
    back = ["1::int8 AS ord", *_keys_and_back(part)]
    return f"o{part.number} AS (INSERT INTO {part.mapper.qualified} {body} RETURNING {', '.join(back)})"


def _many_new(part: Insertion, columns: list[sql.TypedColumn], arrays: list[str], ordinals: list[str]) -> str:
    n, mapper = part.number, part.mapper
    made = [f"{expression} AS {name}" for name, expression in part.made]
    given = [f"d.c{k}{type_.cast} AS {name}" for k, (name, type_) in enumerate(columns, 1)]
    joins, inherited = [], []
    for k, (key, (parent, remote)) in enumerate(part.parents.items(), len(columns) + 1):
        joins.append(f"JOIN o{parent.number} AS p{k} ON p{k}.ord = d.c{k}")
        theirs = quote(str(parent.mapper.attributes[remote].name))
        inherited.append(f"p{k}.{theirs} AS {quote(str(mapper.attributes[key].name))}")
    fields = ", ".join(f"c{k}" for k in range(1, len(arrays) + len(ordinals) + 1))
    source = f"unnest({', '.join([*arrays, *ordinals])}) WITH ORDINALITY AS d({fields}, ord)"
    wait = "" if part.before is None else f" WHERE (SELECT count(*) FROM o{part.before.number}) >= 0"
    names = [name for name, _ in part.made] + [name for name, _ in columns]
    names += [quote(str(mapper.attributes[key].name)) for key in part.parents]
    override = " OVERRIDING SYSTEM VALUE" if part.made else ""
    keys = [quote(str(column.name)) for column in mapper.primary_key]
    back = _keys_and_back(part)
    same = " AND ".join(f"i{n}.{key} = r{n}.{key}" for key in keys)
    return (
        f"r{n} AS MATERIALIZED (SELECT {', '.join([*made, *given, *inherited, 'd.ord'])} "
        f"FROM {' '.join([source, *joins])}{wait} ORDER BY d.ord), "
        f"i{n} AS (INSERT INTO {mapper.qualified} ({', '.join(names)}){override} SELECT {', '.join(names)} FROM r{n} "
        f"ORDER BY ord RETURNING {', '.join(back)}), "
        f"o{n} AS (SELECT r{n}.ord, {', '.join(f'i{n}.{name}' for name in back)} FROM r{n} JOIN i{n} ON {same})"
    )


def _keys_and_back(part: Insertion) -> list[str]:
    """Return the columns that an INSERT gives back: the key, for those that refer to it, and what the server makes."""
    keys = [quote(str(column.name)) for column in part.mapper.primary_key]
    return list(dict.fromkeys([*keys, *(quote(str(column.name)) for column in part.back)]))


def _writing(workspace: Workspace, part: Writing, first: int, writings: list[Writing]) -> tuple[str, Values, int]:
    """Return the text of rows that are changed or go, what adds their values, and how many these are.

    `o2` has the ordinals of those found. An UPDATE waits for the one before it among the `writings`, so that all
    sessions lock rows in one order.
    """
    mapper, type_of = part.mapper, workspace.catalog.type_of
    typed = [(column, type_of(column)) for column in part.columns]
    sets = sql.named(part.columns, [type_ for _, type_ in typed])
    keys = [*updating.named_keys(mapper, type_of), *versioning.guards(mapper, type_of)]
    after = [f"(SELECT count(*) FROM o{part.number - 1}) >= 0"] if part is not writings[0] else []
    one = len(part.objects) == 1
    text = (_one_changed if one else _many_changed)(part, sets, keys, first, after)
    if one:
        dumps = dumps_of([*part.columns, *(mapper.primary_key if part.keys_stay else ())], type_of)
        return text, partial(_add_one_changed, dumps, type_of), len(sets) + len(keys)
    return text, partial(_add_changed, typed, type_of), len(sets) + len(keys)


def _add_one_changed(dumps: Dumps, type_of: Any, parts: Parts, part: Writing, args: list[Any]) -> None:
    """Add the new values of one object with its key, or the key that its row has, and its version."""
    mapper, obj = part.mapper, part.objects[0]
    args += dumped_values(mapper, dumps, obj)
    if not part.keys_stay:
        args += updating.stored_key(mapper, obj, type_of)
    if mapper.version is not None:
        args += [array[0] for array in versioning.versions(mapper, part.objects, type_of)]


def _add_changed(typed: list[TypedColumn], type_of: Any, parts: Parts, part: Writing, args: list[Any]) -> None:
    """Add an array for each changed column, for each column of the key, and for the version."""
    for column, type_ in typed:
        values = [value_of(obj, str(column.key)) for obj in part.objects]
        args.append(dumped_column(part.mapper, column, type_, values))
    args += updating.key_arrays(part.mapper, part.objects, type_of)
    args += versioning.versions(part.mapper, part.objects, type_of)


def _one_changed(
    part: Writing,
    sets: list[sql.TypedColumn],
    keys: list[sql.TypedColumn],
    first: int,
    after: list[str],
) -> str:
    new = [f"{name} = ${n}" for n, (name, _) in enumerate(sets, first)]
    where = [f"t.{name} = ${n}" for n, (name, _) in enumerate(keys, first + len(sets))]
    return _changed(part, new, keys, "", [*where, *after], "1::int8 AS ord")


def _many_changed(
    part: Writing,
    sets: list[sql.TypedColumn],
    keys: list[sql.TypedColumn],
    first: int,
    after: list[str],
) -> str:
    new = [f"{name} = d.c{n}{type_.cast}" for n, (name, type_) in enumerate(sets, 1)]
    where = sql.keys_equal(keys, len(sets) + 1)
    source = sql.unnest([*sets, *keys], first)
    return _changed(part, new, keys, source, [where, *after], "d.ord")


def _changed(
    part: Writing, new: list[str], keys: list[sql.TypedColumn], source: str, where: list[str], ordinal: str
) -> str:
    table = f"{part.mapper.qualified} AS t"
    if part.verb == "DELETE":
        begin = f"DELETE FROM {table}{f' USING {source}' if source else ''}"
    else:
        # Where only the version is to be checked, an assignment that changes nothing.
        sets = [*new, *versioning.bump(part.mapper)] or [f"{keys[0][0]} = t.{keys[0][0]}"]
        begin = f"UPDATE {table} SET {', '.join(sets)}{f' FROM {source}' if source else ''}"
    back = ", ".join([ordinal, *(f"t.{quote(str(column.name))}" for column in part.back)])
    return f"o{part.number} AS ({begin} WHERE {' AND '.join(where)} RETURNING {back})"


# --- what comes back --------------------------------------------------------------------------------------------------


def _receive(workspace: Workspace, parts: Parts, rows: Rows, recipe: Recipe) -> None:
    start = recipe.start
    for part in parts.writings:
        if part.number not in start:
            continue
        found = {row[0] for row in rows.data if row[start[part.number]] is not None}
        lost = versioning.lost_of(part.objects, found)
        if lost:
            raise versioning.stale_error(part.mapper, part.verb, lost, len(part.objects))
        for column in part.back:
            for obj in part.objects:
                versioning.remember(obj, str(column.key))
        if part.back:
            _take(part.objects, part.back, rows, recipe, start[part.number] + 1)
    for new in parts.insertions:
        mapper, objects = new.mapper, new.objects
        _take(objects, new.back, rows, recipe, start.get(new.number, 0))
        if new.parents:
            take_all_keys(objects, outgoing(mapper))
        workspace.identity.enter(mapper, objects)


def _take(objects: list[Any], columns: list[Column[Any]], rows: Rows, recipe: Recipe, first: int) -> None:
    """Put what the server made into the objects; the first value of a row is the ordinal (from 1) of its object."""
    # Of the recipe, because the results of other ones may have the same columns, for attributes of other names.
    fields: list[Field] | None = rows.shape.derived.get((recipe, first))
    if fields is None:
        oids = rows.shape.oids
        fields = [Field(column, oids[n], n) for n, column in enumerate(columns, first)]
        rows.shape.derived[recipe, first] = fields
    for row in rows.data:
        if row[0] > len(objects):
            continue
        values = objects[row[0] - 1].__dict__
        for field in fields:
            wire = row[field.position]
            if wire is None:
                values[field.key] = None
                continue
            values.pop(field.key, None)
            values[field.slot] = wire if field.convert is None else field.convert(wire)


class _Losses:
    """What an error of the statement is about; it looks before the rollback restores the objects."""

    def __init__(self, workspace: Workspace, parts: Parts) -> None:
        self._workspace = workspace
        self._parts = parts
        self.stale = False
        self._asked: list[tuple[Writing, Statement, list[dict[str, Any]]]] = []

    def explain(self, error: DatabaseError) -> None:
        """Name model and object of a server's error; take note of what could have been stale."""
        if error.sqlstate == _FAILED:
            self.stale = True
            self._asked = [
                (p, self._question(p), [versioning.changes_of(o) for o in p.objects]) for p in self._parts.writings
            ]
            return
        tables = {part.mapper.table: part for part in self._parts.all}
        part = tables.get(error.table or "")
        for mapper in {each.mapper: None for each in self._parts.all} if part is None else [part.mapper]:
            blame(error, mapper, [obj for each in self._parts.all if each.mapper is mapper for obj in each.objects])
            if error.columns:  # of a value that is too long the server does not say in which table
                break

    def tell(self, error: DatabaseError) -> Steps[None]:
        """Find out which rows were not there, or not in the version that was read, and raise."""
        for part, question, changed in self._asked:
            rows = yield from execute(self._workspace, question)
            lost = [row[0] - 1 for row in rows.data]
            if lost:
                raise versioning.stale_error(
                    part.mapper,
                    part.verb,
                    [part.objects[n] for n in lost],
                    len(part.objects),
                    changes=[changed[n] for n in lost],
                ) from error
        # Whoever was in the way has gone again: then any of them may have lost.
        part, _, changed = self._asked[0]
        lost = part.objects
        raise versioning.stale_error(part.mapper, part.verb, lost, len(lost), changes=changed) from error

    def _question(self, part: Writing) -> Statement:
        type_of = self._workspace.catalog.type_of
        keys = [*updating.named_keys(part.mapper, type_of), *versioning.guards(part.mapper, type_of)]
        guarding = versioning.versions(part.mapper, part.objects, type_of)
        args = [*updating.key_arrays(part.mapper, part.objects, type_of), *guarding]
        return Statement(sql.missing_rows(part.mapper.qualified, keys), args, purpose="load")
