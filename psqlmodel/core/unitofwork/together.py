"""Together: a small flush of several operations as one statement of common tables: one round trip. Steps.

New rows are made with their keys by `nextval` inside the statement, children are joined to their parents by ordinal,
changed rows are written beside them; foreign keys are checked when the statement ends. It is atomic by itself: where it
is all that the transaction does, it needs neither BEGIN nor COMMIT (`Transaction.alone`). Then nobody can look at its
counts before it is committed, so that it fails of itself where an UPDATE or DELETE misses a row.
"""
# ruff: noqa: S608 - every name here is quoted, and values are parameters

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.transaction import execute
from psqlmodel.core.unitofwork import insertion, sql, updating, versioning
from psqlmodel.core.unitofwork.blame import blame
from psqlmodel.core.unitofwork.collect import Changes, dumped, dumped_column, outgoing, take_keys, value_of
from psqlmodel.core.unitofwork.parts import Insertion, Parts, Writing, may_be_alone
from psqlmodel.errors import DatabaseError
from psqlmodel.model.codegen import Field
from psqlmodel.model.fields import Column
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Rows, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

_MOST_TEXTS: Final = 1000
# How the statement fails of itself: by a function of the count, with a SQLSTATE that nothing else in a flush has.
_FAIL: Final = "ln(0 * count(*))"
_FAILED: Final = "2201E"  # invalid_argument_for_logarithm


def write(workspace: Workspace, parts: Parts, changes: Changes) -> Steps[None]:
    """Write the parts in one statement; the whole transaction, where nothing else belongs to it."""
    transaction = workspace.transaction
    transaction.alone = may_be_alone(workspace)
    try:
        if len(parts.insertions) == 1 and not parts.writings:
            yield from insertion.insert(workspace, (parts.insertions[0].mapper,), changes)
        else:
            yield from _write(workspace, parts)
    finally:
        transaction.alone = transaction.alone and transaction.begun
    changes.waiting.clear()


def _write(workspace: Workspace, parts: Parts) -> Steps[None]:
    statement, start = _statement(workspace, parts, alone=workspace.transaction.alone)
    losses = _Losses(workspace, parts)
    try:
        rows = yield from execute(workspace, statement, losses.explain)
    except DatabaseError as error:
        if losses.stale:
            yield from losses.tell(error)
        raise
    _receive(workspace, parts, rows, start)


# --- the statement ----------------------------------------------------------------------------------------------------


def _statement(workspace: Workspace, parts: Parts, *, alone: bool) -> tuple[Statement, dict[int, int]]:
    """Return the statement, and where the columns of each part begin in its rows."""
    args = _Arguments()
    shape = (alone, *(part.shape for part in parts.all))
    texts = [_insertion(workspace, parts, part, args) for part in parts.insertions]
    texts += [_writing(workspace, part, args, parts.writings[:n]) for n, part in enumerate(parts.writings)]
    joined = [part for part in parts.all if part.back or (part in parts.writings and not alone)]
    longest = args.add(max(len(part.objects) for part in joined)) if joined else ""
    counts = [(part, args.add(len(part.objects))) for part in parts.writings] if alone else []
    known = workspace.catalog.derived.get(shape)
    if known is None:
        if len(workspace.catalog.derived) > _MOST_TEXTS:
            workspace.catalog.derived.clear()
        known = workspace.catalog.derived[shape] = _text(joined, [text() for text in texts], longest, counts)
    text, start = known
    return Statement(text, args.values, purpose="flush"), start


def _text(
    joined: list[Insertion | Writing], tables: list[str], longest: str, counts: list[tuple[Writing, str]]
) -> tuple[str, dict[int, int]]:
    """Return the text: the nth row has what concerns the nth object of each part, side by side."""
    wanted, joins, start = ["g.ord"], [f"generate_series(1, {longest}::int8) AS g(ord)"], {}
    for part in joined:
        name = f"o{part.number}"
        start[part.number] = len(wanted)
        ordinal = [] if isinstance(part, Insertion) else ["ord"]
        wanted += [f"{name}.{column}" for column in [*ordinal, *(quote(str(column.name)) for column in part.back)]]
        joins.append(f"LEFT JOIN {name} ON {name}.ord = g.ord")
    for part, count in counts:
        wanted.append(f"(SELECT CASE WHEN count(*) <> {count}::int8 THEN {_FAIL} END FROM o{part.number})")
    if not joined:
        return f"WITH {', '.join(tables)} SELECT {', '.join(['1', *wanted[1:]])}", start
    return f"WITH {', '.join(tables)} SELECT {', '.join(wanted)} FROM {' '.join(joins)}", start


class _Arguments:
    """The arguments of a statement; `add` gives the placeholder of one."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any) -> str:
        """Take a wire value, or an array of transport values."""
        self.values.append(value)
        return f"${len(self.values)}"


def _insertion(workspace: Workspace, parts: Parts, part: Insertion, args: _Arguments) -> Callable[[], str]:
    """Take the values of new rows, and return what makes their text: `o1` has the ordinal and what is wanted back."""
    type_of = workspace.catalog.type_of
    columns = [part.mapper.attributes[key] for key in part.keys]
    types = [type_of(column) for column in columns]
    if part.is_plain:
        pairs = zip(columns, types, strict=True)
        ones = [args.add(dumped(part.mapper, c, t, value_of(part.objects[0], str(c.key)))) for c, t in pairs]
        return lambda: _one_new(part, [quote(str(column.name)) for column in columns], ones)
    arrays = []
    for column, type_ in zip(columns, types, strict=True):
        values = [value_of(obj, str(column.key)) for obj in part.objects]
        arrays.append(f"{args.add(dumped_column(part.mapper, column, type_, values))}::{type_.transport}[]")
    ordinals = [f"{args.add(parts.ordinals(part, key))}::int8[]" for key in part.parents]
    if not arrays and not ordinals:
        ordinals.append(f"{args.add([1] * len(part.objects))}::int8[]")
    return lambda: _many_new(part, sql.named(columns, types), arrays, ordinals)


def _one_new(part: Insertion, names: list[str], values: list[str]) -> str:
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


def _writing(workspace: Workspace, part: Writing, args: _Arguments, before: list[Writing]) -> Callable[[], str]:
    """Take the values of changed rows, and return what makes their text: `o2` has the ordinals of those found.

    An UPDATE waits for those `before` it, so that all sessions lock rows in one order.
    """
    mapper, objects, type_of = part.mapper, part.objects, workspace.catalog.type_of
    types = [type_of(column) for column in part.columns]
    sets = sql.named(part.columns, types)
    keys = [*updating.named_keys(mapper, type_of), *versioning.guards(mapper, type_of)]
    guarding = versioning.versions(mapper, objects, type_of)
    bump = versioning.bump(mapper) if part.verb == "UPDATE" else []
    first = len(args.values) + 1
    if len(objects) == 1:
        for column, type_ in zip(part.columns, types, strict=True):
            args.add(dumped(mapper, column, type_, value_of(objects[0], str(column.key))))
        for value in (*updating.stored_key(mapper, objects[0], type_of), *(array[0] for array in guarding)):
            args.add(value)
    else:
        for column, type_ in zip(part.columns, types, strict=True):
            args.add(dumped_column(mapper, column, type_, [value_of(obj, str(column.key)) for obj in objects]))
        for array in (*updating.key_arrays(mapper, objects, type_of), *guarding):
            args.add(array)
    after = [f"(SELECT count(*) FROM o{other.number}) >= 0" for other in before[-1:]]
    if len(objects) == 1:
        return lambda: _one_changed(part, sets, keys, bump, first, after)
    return lambda: _many_changed(part, sets, keys, bump, first, after)


def _one_changed(
    part: Writing,
    sets: list[sql.TypedColumn],
    keys: list[sql.TypedColumn],
    bump: list[str],
    first: int,
    after: list[str],
) -> str:
    new = [f"{name} = ${n}" for n, (name, _) in enumerate(sets, first)]
    where = [f"t.{name} = ${n}" for n, (name, _) in enumerate(keys, first + len(sets))]
    return _changed(part, new or _same(keys, bump), bump, "", [*where, *after], "1::int8 AS ord")


def _many_changed(
    part: Writing,
    sets: list[sql.TypedColumn],
    keys: list[sql.TypedColumn],
    bump: list[str],
    first: int,
    after: list[str],
) -> str:
    new = [f"{name} = d.c{n}{type_.cast}" for n, (name, type_) in enumerate(sets, 1)]
    where = sql.keys_equal(keys, len(sets) + 1)
    source = sql.unnest([*sets, *keys], first)
    return _changed(part, new or _same(keys, bump), bump, source, [where, *after], "d.ord")


def _same(keys: list[sql.TypedColumn], bump: list[str]) -> list[str]:
    """Return an assignment that changes nothing, where only the version is to be checked."""
    return [] if bump else [f"{keys[0][0]} = t.{keys[0][0]}"]


def _changed(part: Writing, new: list[str], bump: list[str], source: str, where: list[str], ordinal: str) -> str:
    table = f"{part.mapper.qualified} AS t"
    if part.verb == "DELETE":
        begin = f"DELETE FROM {table}{f' USING {source}' if source else ''}"
    else:
        begin = f"UPDATE {table} SET {', '.join([*new, *bump])}{f' FROM {source}' if source else ''}"
    back = ", ".join([ordinal, *(f"t.{quote(str(column.name))}" for column in part.back)])
    return f"o{part.number} AS ({begin} WHERE {' AND '.join(where)} RETURNING {back})"


# --- what comes back --------------------------------------------------------------------------------------------------


def _receive(workspace: Workspace, parts: Parts, rows: Rows, start: dict[int, int]) -> None:
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
        _take(part.objects, part.back, rows, start[part.number] + 1)
    for new in parts.insertions:
        relations = outgoing(new.mapper)
        _take(new.objects, new.back, rows, start.get(new.number, 0))
        for obj in new.objects:
            take_keys(obj, relations)
            workspace.identity.put(new.mapper, new.mapper.key_of(obj), obj)


def _take(objects: list[Any], columns: list[Column[Any]], rows: Rows, first: int) -> None:
    """Put what the server made into the objects; the first value of a row is the ordinal (from 1) of its object."""
    oids = rows.shape.oids
    fields = [Field(column, oids[n], n) for n, column in enumerate(columns, first)]
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
        candidates = self._parts.all if part is None else [p for p in self._parts.all if p.mapper is part.mapper]
        objects = [obj for each in candidates for obj in each.objects if type(obj) is candidates[0].mapper.cls]
        blame(error, candidates[0].mapper, objects)

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
