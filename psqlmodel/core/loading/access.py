"""Loading: get by key, execute queries, refresh, and load what objects lack. Steps; objects come from the
identity map.

Objects that a builder `Update` or `Delete`, or raw SQL, changes in the database are not told: they take the
new values when a query brings their rows, or by `refresh`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psqlmodel.core.loading.include import include, included_relations
from psqlmodel.core.loading.keys import Match, distinct_keys
from psqlmodel.core.loading.reading import (
    Loaded,
    autoflush,
    fetch,
    known_types,
    load_columns,
    load_rows,
    prepared,
    statement_of,
)
from psqlmodel.core.row import rows_of
from psqlmodel.core.transaction import execute, within
from psqlmodel.core.unitofwork import versioning
from psqlmodel.core.unitofwork.collect import changed_columns
from psqlmodel.core.unitofwork.flush import flush
from psqlmodel.core.unitofwork.undo import put_back
from psqlmodel.errors import (
    InvalidValueError,
    MissingPrimaryKeyError,
    NotMappedError,
    ObjectStateError,
    QueryError,
    StaleObjectError,
)
from psqlmodel.model.codegen import Load, entity_loader
from psqlmodel.model.mapper import Mapper, mapper_of, registry
from psqlmodel.model.naming import did_you_mean
from psqlmodel.model.path import RelationPath
from psqlmodel.model.state import DELETED, PENDING, PERSISTENT, TRANSIENT, UNSET, Presumed, State, missing, raw_name
from psqlmodel.model.versions import is_system
from psqlmodel.query.expression import ColumnExpression
from psqlmodel.query.insert import InsertQuery
from psqlmodel.query.lexing import first_word, tokens
from psqlmodel.query.nodes import Deferred
from psqlmodel.query.outputs import EntityOutput
from psqlmodel.query.quoting import quote
from psqlmodel.query.raw import translate_params
from psqlmodel.query.rowset import Rowset
from psqlmodel.query.select import Select, SelectQuery
from psqlmodel.query.statement import Query
from psqlmodel.query.values import bind
from psqlmodel.steps import Rows, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace
    from psqlmodel.model.fields import Column
    from psqlmodel.model.relations import RelationInfo
    from psqlmodel.observe.trace import Included


_PLAIN = frozenset({int, str, UUID})  # keys of nearly all tables; nothing about them needs a check
_LOOKED_UP = _PLAIN | {tuple}  # in the identity map each means the object that `identity_key` would lead to
_READING = frozenset({"SELECT", "VALUES", "TABLE", "SHOW", "EXPLAIN", "FETCH", "SET"})
_WRITING = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})


# --- by key -------------------------------------------------------------------------------------------------


def known(workspace: Workspace, model: Any, key: Any, lock: str | None, nowait: bool, skip_locked: bool) -> Any:
    """Return the object that `get` would give without a statement, or None where the steps of `get` must say.

    Sessions ask this before they begin a use: a key that they have costs a look into two dictionaries, a tenth of the
    time of guard and steps. It needs no guard, because it changes nothing: the program gets what it could have held
    anyway, and a closed session holds nothing. Other types of keys, and objects that are deleted, are left to `get`.
    """
    if lock is not None or nowait or skip_locked or type(key) not in _LOOKED_UP:
        return None
    try:
        reference = workspace.identity.by_class[model].get(key)
    except (KeyError, TypeError):  # nothing of this class was loaded; or it is no class, or the key none
        return None
    if reference is None:
        return None
    found = reference()
    return None if found is None or found._state.status == DELETED else found


def get(workspace: Workspace, model: Any, key: Any) -> Steps[Any]:
    """Return the object of class `model` with this primary key, or None; one that the session has needs no
    statement.

    `key` is a value; for a composite key a tuple in the order of the columns, or a dictionary by attribute.
    Raises `NotMappedError`, `MissingPrimaryKeyError` for a key with None or of another length,
    `InvalidValueError`.
    """
    if not isinstance(model, type):
        raise NotMappedError(f"get takes a model class and a key, not {type(model).__name__} as its class")
    mapper = mapper_of(model)
    identity = identity_key(mapper, key)
    found = workspace.identity.get(mapper, identity)
    if found is None and workspace.unit.has_changes:
        yield from autoflush(workspace, frozenset((mapper.qualified,)))
        found = workspace.identity.get(mapper, identity)
    if found is not None:
        return None if found._state.status == DELETED else found
    by_key = mapper.loaders.get(_ByKey) or _ByKey(mapper)
    rows = yield from _row_by_key(workspace, mapper, by_key.text, identity)
    return by_key.load(workspace, rows) if rows.data else None


class _ByKey:
    """What `get` needs of a class: its statement, and where its loader is kept. Made once for each class."""

    __slots__ = ("mapper", "text")

    def __init__(self, mapper: Mapper) -> None:
        self.mapper = mapper
        self.text = _by_key_text(mapper, mapper.columns)
        mapper.loaders[_ByKey] = self

    def load(self, workspace: Workspace, rows: Rows) -> Any:
        """Return the object of the one row."""
        mapper = self.mapper
        load: Load | None = rows.shape.derived.get(self)
        if load is None:
            load = rows.shape.derived[self] = entity_loader(mapper, mapper.columns, rows.shape.oids)
        found = load(rows.data, workspace.unit.clean(mapper), workspace.identity.of(mapper))
        workspace.identity.sweep_if_due(mapper)
        return found[0]


def identity_key(mapper: Mapper, key: Any) -> Any:
    """Return `key` as the identity map has it: a value, or a tuple for a composite key.

    Raises `MissingPrimaryKeyError` for a key that does not fit, `InvalidValueError` for one that can't be a
    key.
    """
    if type(key) in _PLAIN and len(mapper.primary_key) == 1:
        return key
    names = [column.key for column in mapper.primary_key]
    if not names:
        raise MissingPrimaryKeyError(f"{mapper.name} has no primary key: select its rows with a query")
    parts = _parts(mapper, names, key)
    if len(parts) != len(names):
        raise MissingPrimaryKeyError(
            f"the primary key of {mapper.name} is ({', '.join(map(str, names))}): "
            f"it takes {_spelled(len(names))}, not {len(parts)}"
        )
    for name, part in zip(names, parts, strict=True):
        if part is None:
            raise MissingPrimaryKeyError(f"{mapper.name}.{name} is part of the primary key and can't be None")
        try:
            _ = hash(part)
        except TypeError:
            raise InvalidValueError(f"{mapper.name}.{name}: a {type(part).__name__} can't be a key") from None
    return parts[0] if len(parts) == 1 else tuple(parts)


def _parts(mapper: Mapper, names: Sequence[str | None], key: Any) -> Sequence[Any]:
    if isinstance(key, Mapping):
        for given in key:
            if given not in names:
                raise MissingPrimaryKeyError(
                    f"{given!r} is no part of the primary key of {mapper.name} ({', '.join(map(str, names))})"
                    f"{did_you_mean(str(given), [str(name) for name in names])}"
                )
        return [key.get(name) for name in names]
    if isinstance(key, tuple) or (isinstance(key, list) and len(names) > 1):
        return key
    return (key,)


def _spelled(count: int) -> str:
    return "one value" if count == 1 else f"a tuple of {count} values"


def _row_by_key(workspace: Workspace, mapper: Mapper, text: str, identity: Any) -> Steps[Rows]:
    """Select one row by its primary key."""
    columns = mapper.primary_key
    if len(columns) == 1:
        args = [bind(columns[0], identity)]
    else:
        args = [bind(column, part) for column, part in zip(columns, identity, strict=True)]
    if Deferred in map(type, args):
        return _row_by_guessed_key(workspace, columns, text, args)
    return execute(workspace, Statement(text, args, purpose="load"))


def _row_by_guessed_key(
    workspace: Workspace, columns: Sequence[Column[Any]], text: str, args: list[Any]
) -> Steps[Rows]:
    """Do it where the type of a column is guessed, and the guess matters."""
    yield from known_types(workspace, columns)
    args = [each.dump(workspace.catalog.type_of(each.column)) if type(each) is Deferred else each for each in args]
    return (yield from execute(workspace, Statement(text, args, purpose="load")))


def _by_key_text(mapper: Mapper, columns: Sequence[Column[Any]]) -> str:
    kept = ("by key", *(column.key for column in columns))
    text: str | None = mapper.loaders.get(kept)
    if text is None:
        selected = ", ".join(quote(str(column.name)) for column in columns)
        wanted = [f"{quote(str(column.name))} = ${n}" for n, column in enumerate(mapper.primary_key, 1)]
        text = f"SELECT {selected} FROM {mapper.qualified} WHERE {' AND '.join(wanted)}"  # noqa: S608 (quoted names)
        mapper.loaders[kept] = text
    return text


# --- queries ------------------------------------------------------------------------------------------------


def select(workspace: Workspace, query: Any, params: Any = None) -> Steps[Loaded[Any]]:
    """Send a query of the builder, or SQL text with its parameters, and return its objects or rows.

    Raises `QueryError` for anything else, for parameters beside a query of the builder, and for an INSERT that can't
    give back what it should.
    """
    if isinstance(query, str):
        return (yield from _execute_sql(workspace, *translate_params(query, params)))
    if not isinstance(query, Query):
        from psqlmodel.query.sql import by_hand  # most programs need none of it

        written = by_hand(query)
        if written is not None:
            if params is not None:
                raise QueryError("params belong to SQL text; SQL(…) and t-strings have their values inside")
            return (yield from _execute_sql(workspace, *written.statement()))
        raise QueryError(f"expected a query or SQL text, not {_what(query)}")
    if params is not None:
        raise QueryError("params belong to SQL text; a query of the builder has its values inside")
    if registry.distributed and (not isinstance(query, SelectQuery) or query.locks):
        from psqlmodel.core.loading.shards import check_query  # most programs need none of it

        check_query(query)
    if isinstance(query, InsertQuery) and query.outputs:
        yield from _check_returning(workspace, query)
    compiled, rows = yield from fetch(workspace, query)
    if _writes(query):
        workspace.transaction.worked = workspace.unit.undo.statements_wrote = True
    if isinstance(query, SelectQuery) and query.locks:
        workspace.transaction.locked = True
    loaded = load_rows(workspace, query, compiled, rows)
    if isinstance(query, Rowset) and query.includes:
        yield from load_included(workspace, query, loaded)
        _ = tell_included(workspace, query, loaded)
    return loaded


def tell_included(workspace: Workspace, query: Rowset[Any], loaded: Loaded[Any]) -> list[Included]:
    """Tell the traces, where there are any, what a query included; return what they keep of it."""
    if not workspace.included and not getattr(workspace.engine, "included", None):
        return []
    relations = list(included_relations(mapper_of(query.entities[0]), query.includes))
    traces = (*workspace.included, *workspace.engine.included)
    return [each for trace in traces for each in trace.included(relations, len(loaded.items))]


def _check_returning(workspace: Workspace, query: InsertQuery[Any]) -> Steps[None]:
    """Refuse an INSERT that should return a version which the table does not give back."""
    mapper = mapper_of(query.entity)
    if mapper.version is None or not is_system(mapper.version) or not _returns(query, str(mapper.version.name)):
        return
    if workspace.catalog.missing([mapper]):
        yield from within(workspace, workspace.catalog.ensure([mapper]))
    if versioning.withheld(mapper, workspace.catalog) is not None:
        name = mapper.version.name
        raise QueryError(
            f"Insert({mapper.name}) can't return {name}, the version of {mapper.name}: {mapper.qualified} is "
            "partitioned (or a view), and what it hands on comes back without it. Return single columns, or write "
            "objects with session.add_all or session.upsert: these read it"
        )


def _returns(query: InsertQuery[Any], column: str) -> bool:
    """Tell whether a query returns a column of its table, by itself or in an object."""
    given = (o.columns if isinstance(o, EntityOutput) else (o.expression,) for o in query.outputs)
    return any(isinstance(part, ColumnExpression) and part.name == column for parts in given for part in parts)


def _execute_sql(workspace: Workspace, sql: str, args: Sequence[Any]) -> Steps[Loaded[Any]]:
    if not sql.strip():
        raise QueryError("the SQL text is empty")
    if workspace.autoflush:
        yield from flush(workspace)
    rows = yield from execute(workspace, Statement(sql, args, purpose="raw"))
    if text_writes(sql):
        workspace.transaction.worked = workspace.unit.undo.statements_wrote = True
    return Loaded(list(rows_of(rows)), rows.count)


# SQL text that begins so writes nothing that an error would lose (functions with side effects aside).
_READS = frozenset({"SELECT", "SHOW", "TABLE", "VALUES", "EXPLAIN"})


def _writes(query: Query[Any]) -> bool:
    """Tell whether the query does what would be lost with the transaction."""
    return not isinstance(query, Rowset) or bool(query.extra_tables)


def text_writes(text: str) -> bool:
    """Tell whether SQL text may write: whatever does not begin as a query does, and a WITH that names a
    writing verb.
    """
    word = first_word(text)
    if word == "WITH":
        return any(kind == "word" and piece.upper() in _WRITING for kind, piece in tokens(text))
    return word not in _READING


def load_included(workspace: Workspace, query: Rowset[Any], loaded: Loaded[Any]) -> Steps[None]:
    """Load the relations that the query includes: of its objects, or of those of the class where a path
    starts.
    """
    entities = query.entities
    if len(query.outputs) == 1:
        yield from include(workspace, mapper_of(entities[0]), loaded.items, query.includes)
        return
    by_class: dict[Any, list[Any]] = {}
    for path in query.includes:
        start = path.relation.mapper.cls if isinstance(path, RelationPath) else entities[0]
        by_class.setdefault(start if start in entities else entities[0], []).append(path)
    for cls, paths in by_class.items():
        positions = [n for n, output in enumerate(query.outputs) if getattr(output, "entity", None) is cls]
        objects = [row[n] for row in loaded.items for n in positions]
        yield from include(workspace, mapper_of(cls), objects, paths)


def _what(query: Any) -> str:
    return (
        f"the class {query.__name__}; write Select({query.__name__})"
        if isinstance(query, type)
        else type(query).__name__
    )


# --- refresh ------------------------------------------------------------------------------------------------


def refresh(
    workspace: Workspace, obj: Any, attributes: Iterable[str] | None = None, *, keep_changes: bool = False
) -> Steps[None]:
    """Load the attributes of an object anew, and drop what the program changed in them, or set it again on top.

    `attributes` names columns and relations (default: all columns, and the relations that are loaded). Raises
    `ObjectStateError` for an object that is not persistent in this session, `AttributeError` for an unknown
    name, `MissingPrimaryKeyError` for a class without a key, `StaleObjectError` where the row is gone.
    """
    mapper = _check_persistent(workspace, obj, "refresh")
    columns, relations = _named(mapper, obj, attributes)
    kept = _changed(mapper, obj) if keep_changes else {}
    if keep_changes:
        relations = [relation for relation in relations if relation.key not in obj._state.original]
    if columns and not mapper.primary_key:
        raise MissingPrimaryKeyError(f"refresh: {mapper.name} has no primary key: select its rows with a query")
    if columns:
        yield from _refresh_columns(workspace, mapper, obj, columns)
    if relations:
        yield from _refresh_relations(workspace, mapper, obj, relations)
    for changed, value in kept.items():
        setattr(obj, changed, value)
    if isinstance(obj._state, State) and not obj._state.original:
        workspace.unit.settle(obj, {})


def _changed(mapper: Mapper, obj: Any) -> dict[str, Any]:
    """Return what the program changed: columns without the version, then the links to other objects."""
    values, original = obj.__dict__, obj._state.original
    version = None if mapper.version is None else mapper.version.key
    found = {key: values[key] for key in changed_columns(obj) if key != version and key in values}
    links = [r.key for r in mapper.relations.values() if not r.many and r.key in original and r.key in values]
    return found | {key: values[key] for key in links}


def _refresh_columns(workspace: Workspace, mapper: Mapper, obj: Any, columns: list[Column[Any]]) -> Steps[None]:
    """Load the columns into `obj`; its key is selected too, so that the loader finds it."""
    key = mapper.stored_key_of(obj)
    wanted = [*mapper.primary_key, *(column for column in columns if not column.primary_key)]
    rows = yield from _row_by_key(workspace, mapper, _by_key_text(mapper, wanted), key)
    if not rows.data:
        raise StaleObjectError(
            f"refresh: {mapper.name} {key!r} has no row any more: it was deleted, or its key was changed", (obj,)
        )
    _give_up(mapper, obj, {column.key or "" for column in columns})
    _ = load_columns(workspace, mapper, wanted, rows)


def _give_up(mapper: Mapper, obj: Any, keys: set[str]) -> None:
    """Take the changes of these columns off the books, so that fresh values may enter.

    A link that was changed goes back first: both sides show it.
    """
    original = obj._state.original
    for relation in mapper.all_relations():
        if relation.key in original and relation.outgoing and keys & set(relation.local_keys):
            old, current = original[relation.key], obj.__dict__.get(relation.key)
            if old is not UNSET:
                relation.link(obj, old)
            elif current is not None and relation.back is not None:
                relation.back.drop_loaded(current, obj)
            original.pop(relation.key)
            obj.__dict__.pop(relation.key, None)
    for key in keys:
        original.pop(key, None)


def _refresh_relations(workspace: Workspace, mapper: Mapper, obj: Any, relations: list[RelationInfo]) -> Steps[None]:
    original = obj._state.original
    dropped = {relation.key: original.pop(relation.key) for relation in relations if relation.key in original}
    for relation in relations:
        if not relation.many:
            obj.__dict__.pop(relation.key, None)
    try:
        yield from include(workspace, mapper, [obj], relations)
    except BaseException:
        # The transaction is over and the objects are restored; what is off the books, only we know.
        for key, old in dropped.items():
            put_back(obj, key, old)
        raise


def _named(mapper: Mapper, obj: Any, attributes: Iterable[str] | None) -> tuple[list[Column[Any]], list[RelationInfo]]:
    if attributes is None:
        loaded = [relation for relation in mapper.relations.values() if relation.loaded(obj) is not UNSET]
        return list(mapper.columns), loaded
    if isinstance(attributes, str):
        attributes = (attributes,)
    columns: list[Column[Any]] = []
    relations: list[RelationInfo] = []
    for name in attributes:
        key = getattr(name, "key", name)  # `User.name` will do as well
        if key in mapper.attributes:
            columns.append(mapper.attributes[key])
        elif key in mapper.relations:
            relations.append(mapper.relations[key])
        else:
            raise AttributeError(mapper.no_attribute(key))
    return columns, relations


def _check_persistent(workspace: Workspace, obj: Any, verb: str) -> Mapper:
    """Return the mapper of a persistent object of this session; raise for anything else."""
    mapper = mapper_of(obj)
    if isinstance(obj, type):
        raise NotMappedError(f"{verb} takes an object, not the class {obj.__name__}")
    state = obj._state
    if state is TRANSIENT or state.status == PENDING:
        raise ObjectStateError(f"{verb}: this {mapper.name} has no row yet: add it to the session and flush first")
    if state.unit is not workspace.unit:
        where = "no session" if state.unit is None else "another session"
        raise ObjectStateError(f"{verb}: this {mapper.name} belongs to {where}: add it to this one first")
    if state.status == DELETED and state.__class__ is not Presumed:  # else the row says whether it is
        raise ObjectStateError(f"{verb}: this {mapper.name} is deleted")
    return mapper


# --- what objects lack --------------------------------------------------------------------------------------


def load(workspace: Workspace, objects: Any, *paths: Any) -> Steps[None]:
    """Load relations or columns of objects that are there already; one query for each path.

    `objects` is one object or several of one class; `paths` are as in `Include`, or columns. Raises
    `ObjectStateError` for an object that is not persistent in this session, `QueryError` for an unknown path.
    """
    several = list(objects) if isinstance(objects, Iterable) else [objects]
    if not paths:
        raise QueryError("load takes objects and what to load: load(users, User.orders)")
    by_class: dict[Mapper, list[Any]] = {}
    for obj in several:
        mapper = _check_persistent(workspace, obj, "load")
        by_class.setdefault(mapper, []).append(obj)
    for mapper, group in by_class.items():
        columns = [path for path in paths if isinstance(path, ColumnExpression)]
        if columns:
            yield from reload_columns(workspace, mapper, group, [mapper.column(column) for column in columns])
        yield from include(workspace, mapper, group, [path for path in paths if not isinstance(path, ColumnExpression)])


def load_missing(workspace: Workspace, obj: Any, key: str) -> Steps[Any]:
    """Load an attribute that is read and not there, for all objects that came with `obj`, and return its
    value.
    """
    mapper = mapper_of(obj)
    relation = mapper.relations.get(key)
    objects = [other for other in _together(obj) if _lacks(other, key)]
    if relation is not None:
        yield from include(workspace, mapper, objects, [relation])
    else:
        yield from reload_columns(workspace, mapper, objects, [mapper.attributes[key]])
    if _lacks(obj, key):
        raise StaleObjectError(f"{mapper.name}.{key} can't be loaded: the row of the object is gone", (obj,))
    return obj.__dict__[key] if key in obj.__dict__ else missing(obj, key)


def _together(obj: Any) -> list[Any]:
    """Return `obj` and the objects that came with it in one result, as far as they live and belong to its
    session.
    """
    batch = obj._state.batch
    if batch is None:
        return [obj]
    unit = obj._state.unit
    living = [reference() for reference in batch.members]
    others = [other for other in living if other is not None and other is not obj and other._state.unit is unit]
    return [obj, *(other for other in others if other._state.status == PERSISTENT)]


def _lacks(obj: Any, key: str) -> bool:
    return key not in obj.__dict__ and raw_name(key) not in obj.__dict__


def reload_columns(
    workspace: Workspace, mapper: Mapper, objects: list[Any], columns: Sequence[Column[Any]]
) -> Steps[None]:
    """Load columns of objects that the session has, in one query; what the program changed in them stays."""
    wanted = [*mapper.primary_key, *(column for column in columns if not column.primary_key)]
    match = Match(mapper.primary_key, mapper.primary_key)
    query = Select(*wanted).Where(match.condition(distinct_keys(objects, mapper.primary_key)))
    compiled = yield from prepared(workspace, query)
    rows = yield from execute(workspace, statement_of(compiled.text, compiled.args, "load"))
    _ = load_columns(workspace, mapper, wanted, rows)
