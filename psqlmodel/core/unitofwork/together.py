"""Together: a small flush of several operations as one statement of common tables: one round trip. Steps.

New rows are made with their keys by `nextval` inside the statement, children are joined to their parents by ordinal,
changed rows are written beside them; foreign keys are checked when the statement ends. It is atomic by itself: where it
is all that the transaction does, it needs neither BEGIN nor COMMIT (`Transaction.alone`). Then nobody can look at its
counts before it is committed, so that it fails of itself where an UPDATE misses a row.

Parts of one statement do not see each other's rows and have no order. What needs an order goes in several statements:
values that are taken over, rows that go, circles, link tables, changed keys, tables with triggers or row security.
"""
# ruff: noqa: S608 - every name here is quoted, and values are parameters

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.transaction import execute
from psqlmodel.core.unitofwork import insertion, sql, updating, versioning
from psqlmodel.core.unitofwork.blame import blame
from psqlmodel.core.unitofwork.collect import Changes, dumped, dumped_column, outgoing, row_keys, take_keys, value_of
from psqlmodel.core.unitofwork.takeover import Takeovers
from psqlmodel.errors import DatabaseError
from psqlmodel.model.codegen import Field
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.versions import is_system
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Rows, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

MOST_ROWS: Final = 200  # beyond, trips are nothing beside the work, and the server's joins of the parts cost more
_MOST_TEXTS: Final = 1000
# How the statement fails of itself: by a function that hardly anyone calls, with a SQLSTATE that nothing else has.
_FAIL: Final = "width_bucket(0::float8, 0::float8, 0::float8, {found}::int4)"
_FAILED: Final = "2201G"


class Unfit(Exception):
    """The flush can't be one statement."""


class Insertion:
    """The new rows of one class that set the same columns; `parents` leads from columns to where their keys come from.

    `made` are key columns with the expression that makes them, `back` the columns that the server's values are wanted
    of: `made` first.
    """

    def __init__(self, mapper: Mapper, keys: tuple[str, ...], parents: Parents) -> None:
        self.mapper = mapper
        self.keys = keys
        self.parents = parents
        self.objects: list[Any] = []
        self.before: Insertion | None = None  # of the same class: its rows get their keys first
        self.made: list[tuple[str, str]] = []
        self.back: list[Column[Any]] = []

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the text depends on."""
        parents = tuple((key, part.number, remote) for key, (part, remote) in self.parents.items())
        return self.mapper, self.keys, parents, self.is_plain

    @property
    def is_plain(self) -> bool:
        """Whether it is one row that waits for nothing: INSERT … VALUES."""
        return len(self.objects) == 1 and not self.parents and self.before is None

    number = 0


class Update:
    """The changed rows of one class with the same columns changed; `back` are those that the server makes anew."""

    def __init__(self, mapper: Mapper, keys: tuple[str, ...], objects: list[Any], back: list[Column[Any]]) -> None:
        version = mapper.version
        self.mapper = mapper
        self.keys = keys
        self.columns = [mapper.attributes[key] for key in keys if version is None or key != version.key]
        self.objects = objects
        self.back = back

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the text depends on."""
        return self.mapper, self.keys, len(self.objects) == 1

    number = 0


Parents = dict[str, tuple[Insertion, str]]  # column → the part with the parents, and the column of theirs


class Parts:
    """What one statement writes: insertions, parents first, and updates."""

    def __init__(self) -> None:
        self.insertions: list[Insertion] = []
        self.updates: list[Update] = []
        self._of: dict[int, tuple[Insertion, int]] = {}  # id of a new object → its part and ordinal (from 1)

    @property
    def all(self) -> list[Insertion | Update]:
        """All parts, in the order of their numbers."""
        return [*self.insertions, *self.updates]

    def add(self, obj: Any, relations: Iterable[Any], waiting: set[int]) -> None:
        """Put a new object into its part. Raises `Unfit` where its parents are in several."""
        mapper = type(obj).__mapper__
        take_keys(obj, relations)
        parents: Parents = {}
        for relation in relations:
            parent = obj.__dict__.get(relation.key)
            if id(parent) not in waiting:
                continue
            if parent is obj or id(parent) not in self._of:
                raise Unfit
            for ours, theirs in zip(relation.local, relation.remote, strict=True):
                if parent.__dict__.get(theirs.key) is None:
                    parents[ours.key] = self._of[id(parent)][0], theirs.key
        keys = tuple(key for key in row_keys(obj, mapper) if key not in parents)
        part = self._part(mapper, keys, parents)
        part.objects.append(obj)
        self._of[id(obj)] = part, len(part.objects)

    def ordinals(self, part: Insertion, key: str) -> list[int]:
        """Return, for each object of a part, the ordinal of the parent that gives it the value of a column."""
        found = []
        for obj in part.objects:
            relation = next(r for r in outgoing(part.mapper) if key in r.local_keys and self._is_in(obj, r, part, key))
            found.append(self._of[id(obj.__dict__[relation.key])][1])
        return found

    def _is_in(self, obj: Any, relation: Any, part: Insertion, key: str) -> bool:
        found = self._of.get(id(obj.__dict__.get(relation.key)))
        return found is not None and found[0] is part.parents[key][0]

    def _part(self, mapper: Mapper, keys: tuple[str, ...], parents: Parents) -> Insertion:
        for part in self.insertions:
            if part.mapper is mapper and part.keys == keys and part.parents == parents:
                return part
        part = Insertion(mapper, keys, parents)
        part.before = next((each for each in reversed(self.insertions) if each.mapper is mapper), None)
        part.number = len(self.insertions) + 1
        self.insertions.append(part)
        return part


def parts_of(workspace: Workspace, changes: Changes, order: Sequence[Any], takeovers: Takeovers) -> Parts | None:
    """Return the parts of the one statement that a flush can be; None where it takes several, or one alone does it."""
    if changes.deleted or changes.linked or changes.unlinked or takeovers.vacated or takeovers.waves:
        return None
    count = sum(map(len, changes.new.values()))
    count += sum(len(objects) for by_keys in changes.changed.values() for objects in by_keys.values())
    several = len(changes.new) + sum(map(len, changes.changed.values())) > 1
    if (
        not 0 < count <= MOST_ROWS
        or any(len(group) > 1 for group in order)
        or not (several or _may_be_alone(workspace))
    ):
        return None
    if several and not all(workspace.catalog.is_plain(mapper) for mapper in changes.mappers):
        return None
    try:
        return _parts(workspace, changes, [group[0] for group in order])
    except Unfit:
        return None


def write(workspace: Workspace, parts: Parts, changes: Changes) -> Steps[None]:
    """Write the parts in one statement; the whole transaction, where nothing else belongs to it."""
    transaction = workspace.transaction
    transaction.alone = _may_be_alone(workspace)
    try:
        if len(parts.insertions) == 1 and not parts.updates:
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


def _may_be_alone(workspace: Workspace) -> bool:
    transaction = workspace.transaction
    if transaction.begun or not transaction.closing:
        return False
    return transaction.beginning.plain and workspace.catalog.read_committed


def _parts(workspace: Workspace, changes: Changes, order: list[Mapper]) -> Parts:
    parts = Parts()
    for mapper in order:
        relations = outgoing(mapper)
        for obj in changes.new.get(mapper, ()):
            parts.add(obj, relations, changes.waiting)
    for part in parts.insertions:
        _complete(workspace, part)
    for mapper in order:
        for keys, objects in changes.changed.get(mapper, {}).items():
            parts.updates.append(_update(workspace, mapper, keys, objects, changes))
            parts.updates[-1].number = len(parts.insertions) + len(parts.updates)
    return parts


def _complete(workspace: Workspace, part: Insertion) -> None:
    """Find what the server makes for the rows of a part."""
    mapper = part.mapper
    given = {*part.keys, *part.parents}
    made = insertion.made_by_server(workspace, mapper, tuple(given))
    if made is None or not mapper.primary_key or (mapper.version is not None and is_system(mapper.version)):
        raise Unfit
    open_keys = [column for column in mapper.primary_key if column.key not in given]
    others = [column for column in mapper.columns if column.key not in given and not column.primary_key]
    part.made, part.back = made, [*open_keys, *others]


def _update(
    workspace: Workspace, mapper: Mapper, keys: tuple[str, ...], objects: list[Any], changes: Changes
) -> Update:
    relations = outgoing(mapper)
    if any(id(obj.__dict__.get(relation.key)) in changes.waiting for obj in objects for relation in relations):
        raise Unfit
    if any(column.key in keys for column in mapper.primary_key):
        raise Unfit
    if mapper.version is not None and is_system(mapper.version):
        raise Unfit
    for obj in objects:
        take_keys(obj, relations)
    computed = workspace.catalog.generated(mapper)
    made = [c for c in mapper.columns if c.generated or c.version or c.name in computed]
    return Update(mapper, keys, updating.in_key_order(mapper, objects), made)


# --- the statement ----------------------------------------------------------------------------------------------------


def _statement(workspace: Workspace, parts: Parts, *, alone: bool) -> tuple[Statement, dict[int, int]]:
    """Return the statement, and where the columns of each part begin in its rows."""
    args = _Arguments()
    shape = (alone, *(part.shape for part in parts.all))
    texts = [_insertion(workspace, parts, part, args) for part in parts.insertions]
    texts += [_updating(workspace, part, args, parts.updates[:n]) for n, part in enumerate(parts.updates)]
    longest = args.add(max(len(part.objects) for part in parts.all))
    counts = [(part, args.add(len(part.objects))) for part in parts.updates] if alone else []
    known = workspace.catalog.derived.get(shape)
    if known is None:
        if len(workspace.catalog.derived) > _MOST_TEXTS:
            workspace.catalog.derived.clear()
        known = workspace.catalog.derived[shape] = _text(parts, [t() for t in texts], longest, counts)
    text, start = known
    return Statement(text, args.values, purpose="flush"), start


def _text(
    parts: Parts, tables: list[str], longest: str, counts: list[tuple[Update, str]]
) -> tuple[str, dict[int, int]]:
    wanted, joins, start = ["g.ord"], [], {}
    for part in parts.all:
        start[part.number] = len(wanted)
        name = f"o{part.number}"
        inserted = isinstance(part, Insertion)
        names = [*([] if inserted else ["ord"]), *(quote(str(column.name)) for column in part.back)]
        if not names:
            continue
        wanted += [f"{name}.{column}" for column in names]
        joins.append(f"LEFT JOIN {name} ON {name}.ord = g.ord")
    for part, count in counts:
        found = f"(SELECT count(*) FROM o{part.number})"
        wanted.append(f"CASE WHEN {found} <> {count}::int8 THEN {_FAIL.format(found=found)} END")
    source = f"generate_series(1, {longest}::int8) AS g(ord)"
    return f"WITH {', '.join(tables)} SELECT {', '.join(wanted)} FROM {' '.join([source, *joins])}", start


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


def _updating(workspace: Workspace, part: Update, args: _Arguments, before: list[Update]) -> Callable[[], str]:
    """Take the values of changed rows, and return what makes their text: `o2` has the ordinals of those found.

    An UPDATE waits for those `before` it, so that all sessions lock rows in one order.
    """
    mapper, objects, type_of = part.mapper, part.objects, workspace.catalog.type_of
    types = [type_of(column) for column in part.columns]
    sets = sql.named(part.columns, types)
    keys = [*updating.named_keys(mapper, type_of), *versioning.guards(mapper, type_of)]
    guarding = versioning.versions(mapper, objects, type_of)
    bump = versioning.bump(mapper)
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
    part: Update,
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
    part: Update,
    sets: list[sql.TypedColumn],
    keys: list[sql.TypedColumn],
    bump: list[str],
    first: int,
    after: list[str],
) -> str:
    new = [f"{name} = d.c{n}{type_.cast}" for n, (name, type_) in enumerate(sets, 1)]
    where = sql.keys_equal(keys, len(sets) + 1)
    source = f" FROM {sql.unnest([*sets, *keys], first)}"
    return _changed(part, new or _same(keys, bump), bump, source, [where, *after], "d.ord")


def _same(keys: list[sql.TypedColumn], bump: list[str]) -> list[str]:
    """Return an assignment that changes nothing, where only the version is to be checked."""
    return [] if bump else [f"{keys[0][0]} = t.{keys[0][0]}"]


def _changed(part: Update, new: list[str], bump: list[str], source: str, where: list[str], ordinal: str) -> str:
    back = ", ".join([ordinal, *(f"t.{quote(str(column.name))}" for column in part.back)])
    return (
        f"o{part.number} AS (UPDATE {part.mapper.qualified} AS t SET {', '.join([*new, *bump])}{source} "
        f"WHERE {' AND '.join(where)} RETURNING {back})"
    )


# --- what comes back --------------------------------------------------------------------------------------------------


def _receive(workspace: Workspace, parts: Parts, rows: Rows, start: dict[int, int]) -> None:
    for part in parts.updates:
        found = {row[0] for row in rows.data if row[start[part.number]] is not None}
        lost = versioning.lost_of(part.objects, found)
        if lost:
            raise versioning.stale_error(part.mapper, "UPDATE", lost, len(part.objects))
        for column in part.back:
            for obj in part.objects:
                versioning.remember(obj, str(column.key))
        _take(part.objects, part.back, rows, start[part.number] + 1)
    for new in parts.insertions:
        relations = outgoing(new.mapper)
        _take(new.objects, new.back, rows, start[new.number])
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
        self._asked: list[tuple[Update, Statement, list[dict[str, Any]]]] = []

    def explain(self, error: DatabaseError) -> None:
        """Name model and object of a server's error; take note of what could have been stale."""
        if error.sqlstate == _FAILED:
            self.stale = True
            self._asked = [
                (p, self._question(p), [versioning.changes_of(o) for o in p.objects]) for p in self._parts.updates
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
                    "UPDATE",
                    [part.objects[n] for n in lost],
                    len(part.objects),
                    changes=[changed[n] for n in lost],
                ) from error
        # Whoever was in the way has gone again: then any of them may have lost.
        part, _, changed = self._asked[0]
        raise versioning.stale_error(part.mapper, "UPDATE", part.objects, len(part.objects), changes=changed) from error

    def _question(self, part: Update) -> Statement:
        type_of = self._workspace.catalog.type_of
        keys = [*updating.named_keys(part.mapper, type_of), *versioning.guards(part.mapper, type_of)]
        guarding = versioning.versions(part.mapper, part.objects, type_of)
        args = [*updating.key_arrays(part.mapper, part.objects, type_of), *guarding]
        return Statement(sql.missing_rows(part.mapper.qualified, keys), args, purpose="load")
