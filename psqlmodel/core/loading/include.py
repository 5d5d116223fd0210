"""Include: relations loaded for many objects at once, one query for each, whatever the number of objects.
Steps.

The keys of all parents travel in one array (`= ANY($1)`), or in one array per column of a composite key. Rows are
matched with their parents by key. A to-one target that the session has needs no row; if nothing is missing
there is no query. A relation that the program changed keeps what the program made of it. A path that is
filtered or limited shows a part of the relation: it is attached as it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from psqlmodel.core.loading.keys import KeyOf, Match, distinct_keys, reader
from psqlmodel.core.loading.reading import autoflush, fetch, load_distinct, load_output, prepared, statement_of
from psqlmodel.core.transaction import execute
from psqlmodel.errors import QueryError
from psqlmodel.gcpause import pause_for
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.path import RelationPath
from psqlmodel.model.relations import RelationInfo
from psqlmodel.query.expression import Expression, Ordering
from psqlmodel.query.nodes import (
    INHERITED,
    WINDOW,
    join_shapes,
)
from psqlmodel.query.outputs import Output
from psqlmodel.query.select import Select, SelectQuery
from psqlmodel.steps import Rows, Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

_Selected: TypeAlias = tuple[Sequence[Output], Rows]


def include(workspace: Workspace, mapper: Mapper, objects: Iterable[Any], paths: Sequence[Any]) -> Steps[None]:
    """Load the relations that `paths` name for all objects of one class, and those below them.

    Raises `QueryError` for a path that does not start at the class, or names a class that no relation, or
    more than one, leads to.
    """
    merged = merged_paths(mapper, paths)
    parents = [obj for obj in objects if obj is not None]
    if len(set(map(id, parents))) < len(parents):
        parents = list({id(obj): obj for obj in parents}.values())
    if not parents:
        return
    for path in merged:
        found = yield from _load(workspace, path, parents)
        if path.includes:
            yield from include(workspace, path.relation.target, found, path.includes)


# --- paths --------------------------------------------------------------------------------------------------


def merged_paths(mapper: Mapper, paths: Sequence[Any]) -> list[RelationPath]:
    """Return one path for each relation of `mapper` that `paths` name.

    Raises `QueryError` where one relation is included with different filters.
    """
    merged: dict[str, RelationPath] = {}
    for each in paths:
        path = path_from(mapper, each)
        key = path.relation.key
        known = merged.get(key)
        if known is None:
            merged[key] = path
        elif _plain(known) and _plain(path):
            merged[key] = known.Include(*path.includes)
        else:
            raise QueryError(
                f"{path.relation!r} is included twice, and filtered, ordered or limited in between: a relation has one "
                "content; combine the conditions in one Include"
            )
    return list(merged.values())


def included_relations(mapper: Mapper, paths: Sequence[Any]) -> Iterator[RelationInfo]:
    """Give the relations that `paths` lead to, and those below them; they were loaded, so that they are right."""
    for each in paths:
        start = each.relation.mapper if isinstance(each, RelationPath) else mapper
        path = path_from(start, each)
        yield path.relation
        yield from included_relations(path.relation.target, path.includes)


def path_from(mapper: Mapper, named: Any) -> RelationPath:
    """Return the path of a relation, a path, or a model class that just one relation leads to."""
    if isinstance(named, RelationPath):
        relation = named.relation
        if relation.mapper is not mapper and not issubclass(mapper.cls, relation.mapper.cls):
            raise QueryError(
                f"{relation!r} can't be included here: the objects are {mapper.name}; "
                "a deeper relation goes inside the path, .Include(path.Include(…)), or into .ThenInclude(…)"
            )
        return named
    target = getattr(named, "target", named)
    found = _leading_to(mapper, target)
    includes: tuple[Any, ...] = getattr(named, "includes", ()) if target is not named else ()
    return found.Include(*includes) if includes else found


def _leading_to(mapper: Mapper, target: Any) -> RelationInfo:
    if not isinstance(target, type):
        raise QueryError(f"Include takes relations such as {mapper.name}.orders, or model classes, not {target!r}")
    found = [relation for relation in mapper.relations.values() if relation.target.cls is target]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(map(repr, found))
        raise QueryError(
            f"several relations lead from {mapper.name} to {target.__name__}: {names}; include one of them"
        )
    known = ", ".join(map(repr, mapper.relations.values()))
    raise QueryError(
        f"no relation leads from {mapper.name} to {target.__name__}"
        f"{f'; its relations are {known}' if known else f': {mapper.name} has no relations'}"
    )


def _plain(path: RelationPath) -> bool:
    return not path.partial and not path.ordering


# --- one relation -------------------------------------------------------------------------------------------


def _load(workspace: Workspace, path: RelationPath, parents: list[Any]) -> Steps[list[Any]]:
    """Load one relation, attach it to all parents, and return the related objects."""
    relation = path.relation
    if relation.secondary is None and relation.outgoing:
        return (yield from _load_targets(workspace, path, parents))
    select, columns = (_children, relation.remote) if relation.secondary is None else (_through, relation.secondary[1])
    match = Match(relation.local, columns)
    keys = distinct_keys(parents, relation.local)
    if not keys:
        return _attach(relation, parents, match.left, {})
    outputs, rows = yield from select(workspace, path, match, keys)
    with pause_for(len(rows.data)):  # one for all that follows: after each the collector looks at all that was made
        if len(outputs) == 1:
            found, links = load_distinct(workspace, relation.target, rows), []
        else:  # with the keys of the links: an object is in as many rows as it has parents
            found, *links = [load_output(workspace, output, rows, optional=False) for output in outputs]
        groups = _grouped(match, found, links)
        if links and _may_repeat(relation):
            _each_once(groups)
        return _attach(relation, parents, match.left, groups)


def _load_targets(workspace: Workspace, path: RelationPath, parents: list[Any]) -> Steps[list[Any]]:
    """To-one: only what the session does not have is asked for; a key without a row (no constraint) gives
    None.
    """
    relation = path.relation
    match = Match(relation.local, relation.remote)
    keys = list(map(reader(relation.local), parents))
    targets = _known_targets(workspace, path, match, keys)
    wanted = [key for key in dict.fromkeys(keys) if key not in targets]
    if wanted:
        query = _filtered(Select(relation.target.cls), path).Where(match.condition(wanted))
        _, rows = yield from fetch(workspace, query, purpose="load")
        found = load_distinct(workspace, relation.target, rows)
        by_key = dict(zip(map(match.right, found), found, strict=True))
        targets.update([(key, by_key.get(match.comparable(key))) for key in wanted])
    relation.attach(parents, [targets[key] for key in keys])
    return [target for target in targets.values() if target is not None]


def _known_targets(workspace: Workspace, path: RelationPath, match: Match, keys: list[Any]) -> dict[Any, Any]:
    """Return the targets that need no row, by key; a key that is NULL, or has a part that is, leads to None."""
    relation = path.relation
    single = len(relation.local) == 1
    lookup = relation.to_primary_key and not path.partial and not match.respelled
    known: dict[Any, Any] = {}
    for key in dict.fromkeys(keys):
        if key is None or not (single or None not in key):
            known[key] = None
        elif lookup:
            target = workspace.identity.get(relation.target, key)
            if target is not None:
                known[key] = target
    return known


def _children(workspace: Workspace, path: RelationPath, match: Match, keys: list[Any]) -> Steps[_Selected]:
    """Objects of the target that hold our key: one query."""
    return _sorted(
        workspace,
        path,
        [path.relation.target.cls],
        lambda query: _filtered(query, path).Where(match.condition(keys)),
        path.relation.remote,
    )


def _through(workspace: Workspace, path: RelationPath, match: Match, keys: list[Any]) -> Steps[_Selected]:
    """Many-to-many: the link's key comes along with each object."""
    link, ours, theirs = path.relation.secondary
    joined = _all_equal(theirs, path.relation.remote)
    return _sorted(
        workspace,
        path,
        [path.relation.target.cls, *ours],
        lambda query: _filtered(query.Join(link, joined), path).Where(match.condition(keys)),
        ours,
    )


def _grouped(match: Match, objects: list[Any], links: list[list[Any]]) -> dict[Any, list[Any]]:
    """Return the objects by the key of their parents: their own, or that of the links they came with."""
    if not links:
        return _by_key(map(match.right, objects), objects)
    keys: Iterable[Any] = links[0] if len(links) == 1 else zip(*links, strict=True)
    return _by_key(map(match.comparable, keys) if match.respelled else keys, objects)


def _may_repeat(relation: RelationInfo) -> bool:
    """Tell whether the link table may say a link twice: its key does not rule it out."""
    link, ours, theirs = relation.secondary
    key = link.__mapper__.primary_key if hasattr(link, "__mapper__") else ()
    return not key or not {column.name for column in key} <= {column.name for column in (*ours, *theirs)}


def _each_once(groups: dict[Any, list[Any]]) -> None:
    """Leave each object in a group once; to look is a twentieth of the time of loading a relation of five objects."""
    for key, group in groups.items():
        if len(set(map(id, group))) < len(group):
            groups[key] = list({id(target): target for target in group}.values())


def _by_key(keys: Iterable[Any], objects: list[Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    get = groups.get
    for key, obj in zip(keys, objects, strict=True):
        group = get(key)
        if group is None:  # not `setdefault`, which makes a list for each object
            groups[key] = [obj]
        else:
            group.append(obj)
    return groups


def _attach(relation: RelationInfo, parents: list[Any], key_of: KeyOf, groups: dict[Any, list[Any]]) -> list[Any]:
    found = list(map(groups.get, map(key_of, parents)))
    if relation.many:
        relation.attach(parents, [[] if group is None else group for group in found])
    else:
        relation.attach(parents, [None if group is None else group[0] for group in found])
    return list(chain.from_iterable(filter(None, found)))


# --- the query of a relation --------------------------------------------------------------------------------


def _filtered(query: SelectQuery[Any], path: RelationPath) -> SelectQuery[Any]:
    return query.Where(*path.conditions) if path.conditions else query


def ordering_of(path: RelationPath) -> list[Any]:
    """Return how the objects of a to-many relation are ordered: as the path or the relation says, then by
    key.
    """
    target, declared = path.relation.target, path.relation.declared.order_by
    ordering = list(path.ordering)
    if not ordering:
        columns = [(target.column(name.removeprefix("-")), name.startswith("-")) for name in declared]
        ordering = [column.Desc() if descending else column for column, descending in columns]
    given = [getattr(item, "expression", item) for item in ordering]
    return ordering + [column for column in target.primary_key if not any(column is item for item in given)]


def _sorted(
    workspace: Workspace,
    path: RelationPath,
    items: list[Any],
    clauses: Callable[[SelectQuery[Any]], SelectQuery[Any]],
    partition: Sequence[Any],
) -> Steps[_Selected]:
    """Select `items` in order, cut for each value of `partition`; return the outputs that they are, and the rows."""
    ordering = ordering_of(path)
    if path.limit is None and path.offset is None:
        query = clauses(Select(*items)).OrderBy(*ordering)
        compiled, rows = yield from fetch(workspace, query, purpose="load")
    else:
        query = clauses(Select(*items, _rank(partition, ordering).As("_rank")))
        compiled = yield from prepared(workspace, query)
        yield from autoflush(workspace, compiled.tables)
        rows = yield from execute(workspace, _cut(compiled.text, compiled.args, path))
    return compiled.outputs[: len(items)], rows


def _cut(text: str, args: list[Any], path: RelationPath) -> Statement:
    """Keep the wanted ranks of each parent. `SELECT *` is of our own subquery, whose columns are listed."""
    first = path.offset or 0
    args = [*args, first]
    wanted = f'"_rank" > ${len(args)}::int8'
    if path.limit is not None:
        args.append(first + path.limit)
        wanted += f' AND "_rank" <= ${len(args)}::int8'
    text = f'SELECT * FROM (\n{text}\n) AS "_ranked" WHERE {wanted} ORDER BY "_rank"'  # noqa: S608 (compiled text)
    return statement_of(text, args, "load")


def _rank(partition: Sequence[Any], ordering: Sequence[Any]) -> Expression[int]:
    """Return `row_number() OVER (PARTITION BY … ORDER BY …)`."""
    ordered = [item if isinstance(item, Ordering) else Ordering(item, "") for item in ordering]
    nodes = [*partition, *ordered]
    shape = (
        "row_number() OVER (PARTITION BY ",
        join_shapes([column.shape for column in partition], ", "),
        " ORDER BY ",
        join_shapes([item.shape for item in ordered], ", "),
        ")",
    )
    sources: frozenset[Any] = frozenset().union(*(node.sources for node in nodes))
    flags = WINDOW
    for node in nodes:
        flags |= node.flags & INHERITED
    return Expression(shape, tuple(param for node in nodes for param in node.params), sources, flags)


def _all_equal(left: Sequence[Any], right: Sequence[Any]) -> Any:
    condition = left[0] == right[0]
    for one, other in zip(left[1:], right[1:], strict=True):
        condition = condition & (one == other)
    return condition
