"""Links: the rows of many-to-many tables, and what the deletion of objects means for those that refer to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.transaction import within
from psqlmodel.core.unitofwork import routing, sql
from psqlmodel.core.unitofwork.collect import Link, dumped_column, outgoing
from psqlmodel.core.unitofwork.sending import send
from psqlmodel.core.unitofwork.undo import AsTheyWere
from psqlmodel.errors import RelationError
from psqlmodel.model.constraints import ForeignKey
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.relations import RelationInfo
from psqlmodel.model.resolution import refers_to, remote_columns
from psqlmodel.model.state import UNSET
from psqlmodel.model.versions import is_system
from psqlmodel.query.quoting import quote
from psqlmodel.steps import Statement, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace


def link(workspace: Workspace, pairs: Iterable[Link]) -> Steps[None]:
    """Write the rows of pairs that were linked: one statement for each link table."""
    for relation, members in _by_relation(pairs).items():
        columns, args = yield from _columns(workspace, relation, members)
        text = sql.insert_many(_table(relation), columns, [], [], [])
        yield from send(
            workspace, relation.mapper, [pair.ours for pair in members], Statement(text, args, purpose="flush")
        )


def unlink(workspace: Workspace, pairs: Iterable[Link]) -> Steps[None]:
    """Delete the rows of pairs that were unlinked; one that is gone already is what was wanted."""
    for relation, members in _by_relation(pairs).items():
        columns, args = yield from _columns(workspace, relation, members)
        routed = _routed(relation, columns, args)
        statement = Statement(sql.delete(_table(relation), columns, routed=routed), args, purpose="flush")
        yield from send(workspace, relation.mapper, [pair.ours for pair in members], statement)


def unlink_deleted(workspace: Workspace, mapper: Mapper, objects: Sequence[Any]) -> Steps[None]:
    """Delete the link rows of objects that are about to be deleted, whether the lists are loaded or not."""
    for relation in mapper.relations.values():
        if relation.declared.secondary is None:
            continue
        _, ours, _ = relation.secondary
        yield from _know(workspace, relation)
        types = [workspace.catalog.type_of(column) for column in ours]
        args = [
            dumped_column(mapper, key, type_, [obj.__dict__[key.key] for obj in objects])
            for key, type_ in zip(relation.local, types, strict=True)
        ]
        columns = sql.named(ours, types)
        routed = _routed(relation, columns, args)
        statement = Statement(sql.delete(_table(relation), columns, routed=routed), args, purpose="flush")
        yield from send(workspace, mapper, objects, statement)


def _by_relation(pairs: Iterable[Link]) -> dict[RelationInfo, list[Link]]:
    """Group pairs by link table: those that were seen from the other side are turned round."""
    found: dict[RelationInfo, list[Link]] = {}
    for pair in pairs:
        back = pair.relation.back
        seen = Link(back, pair.theirs, pair.ours) if back is not None and back in found else pair
        found.setdefault(seen.relation, []).append(seen)
    return found


def _table(relation: RelationInfo) -> str:
    return relation.link_table or ""


def _know(workspace: Workspace, relation: RelationInfo) -> Steps[None]:
    """Make sure that the catalog knows the link table."""
    source = getattr(relation.secondary[0], "__source__", relation.secondary[0])
    if workspace.catalog.missing([source]):
        yield from within(workspace, workspace.catalog.ensure([source]))


def _routed(relation: RelationInfo, columns: list[sql.TypedColumn], args: list[Any]) -> str:
    """Return the condition that says on which shards the link rows are, if they are on several; add its argument."""
    model: Any = relation.secondary[0]
    mapper: Mapper | None = getattr(model, "__mapper__", None)
    column = None if mapper is None else routing.by(mapper)
    if column is not None and len(columns) > 1:
        for n, (name, type_) in enumerate(columns):
            if name == quote(str(column.name)):
                routed, values = routing.condition(column, type_, args[n], len(args) + 1)
                args += values
                return routed
    return ""


def _columns(
    workspace: Workspace, relation: RelationInfo, pairs: Sequence[Link]
) -> Steps[tuple[list[sql.TypedColumn], list[Any]]]:
    """Return the key columns of the link table and an array of values for each."""
    yield from _know(workspace, relation)
    _, ours, theirs = relation.secondary
    near, far = [pair.ours for pair in pairs], [pair.theirs for pair in pairs]
    names: list[str] = []
    typed: list[sql.TypedColumn] = []
    args: list[Any] = []
    sides = ((relation.mapper, ours, relation.local, near), (relation.target, theirs, relation.remote, far))
    for mapper, columns, keys, objects in sides:
        for column, key in zip(columns, keys, strict=True):
            type_ = workspace.catalog.type_of(column)
            named = sql.named([column], [type_])
            values = dumped_column(mapper, key, type_, [obj.__dict__[key.key] for obj in objects])
            if named[0][0] in names:  # both keys have it, as that of the tenant
                _check_same(relation, column, args[names.index(named[0][0])], values)
                continue
            names.append(named[0][0])
            typed += named
            args.append(values)
    return typed, args


def _check_same(relation: RelationInfo, column: Any, near: list[Any], far: list[Any]) -> None:
    if near != far:
        raise RelationError(
            f"{relation!r} links objects with the same {column.name} only, for the link row has one {column.name} for "
            "both"
        )


# --- what a deletion means for others -------------------------------------------------------------------------------


class KeyTo:
    """A foreign key from one class to another: its columns, what they hold, what deletion does, the relation on it."""

    __slots__ = ("local", "on_delete", "relations", "remote")

    def __init__(self, child: Mapper, key: ForeignKey, parent: Mapper) -> None:
        self.local = tuple(child.column(name).key for name in key.columns)
        self.remote = tuple(column.key for column in remote_columns(parent, key))
        self.on_delete = key.on_delete
        self.relations = [r.key for r in outgoing(child) if r.local_keys == self.local]


def keys_to(child: Mapper, parent: Mapper) -> list[KeyTo]:
    """Return the foreign keys of `child` that lead to `parent` and that deletion follows."""
    keys = [KeyTo(child, key, parent) for key in child.foreign_keys if refers_to(child, key, parent)]
    return [key for key in keys if key.on_delete in ("CASCADE", "SET NULL")]


def nullify(workspace: Workspace, obj: Any, key: KeyTo) -> None:
    """Show in a loaded object that the database set its foreign key to NULL."""
    values = obj.__dict__
    version = type(obj).__mapper__.version
    changed = key.local if version is None or not is_system(version) else (*key.local, str(version.key))
    loaded = {name: values[name] for name in key.relations if name in values}
    workspace.unit.undo.updated(obj, {name: values.get(name) for name in changed} | loaded)
    for name in changed:
        values[name] = None  # a version that is None is read again before the row is written
    for name in key.relations:
        values.pop(name, None)


def leave_lists(mapper: Mapper, objects: Sequence[Any]) -> None:
    """Take deleted objects of one class off the loaded lists of the objects that they belonged to."""
    for relation in mapper.all_relations() if objects else ():
        back = relation.back
        if back is None or not (relation.outgoing or relation.declared.secondary is not None):
            continue
        concerned = _that_may_be_listed(relation, objects)
        members: dict[int, tuple[Any, list[Any]]] = {}  # by the owner's id
        for obj in concerned:
            for owner in _owners(relation, obj):
                members.setdefault(id(owner), (owner, []))[1].append(obj)
        for owner, gone in members.values():
            back.drop_loaded(owner, *gone)
    if objects:
        _leave_unknown_lists(mapper, objects)


def _leave_unknown_lists(mapper: Mapper, objects: Sequence[Any]) -> None:
    """Do it for many-to-many relations of which the objects do not know on whose lists they are.

    Only their owners declare these, or the objects' own lists are not loaded.
    """
    identity = objects[0]._state.unit.identity
    for owning in identity.mappers():
        for relation in owning.relations.values():
            if relation.declared.secondary is None:
                continue
            owners = [owner for owner in identity.objects(owning) if relation.loaded(owner) is not UNSET]
            if owners and relation.target is mapper:
                back = relation.back
                unknown = [obj for obj in objects if back is None or back.loaded(obj) is UNSET]
                for owner in owners if unknown else ():
                    relation.drop_loaded(owner, *unknown)


def _that_may_be_listed(relation: RelationInfo, objects: Sequence[Any]) -> Sequence[Any]:
    """Return the objects that others may show on their lists: told by the column, without a call for each."""
    owners = objects[0]._state.unit.identity.of(relation.target)
    if not owners and type(objects) is AsTheyWere:
        return ()  # a loaded owner would be among them
    local = relation.local_keys
    if not relation.outgoing or (owners and (len(local) > 1 or not relation.to_primary_key)):
        return objects
    key, slot, own = relation.key, relation.slot, next(iter(local))
    held = [(obj, obj.__dict__) for obj in objects]
    return [obj for obj, values in held if values.get(own) in owners or key in values or slot in values]


def _owners(relation: RelationInfo, obj: Any) -> Sequence[Any]:
    """Return the objects in the session that may show `obj`."""
    value = obj.__dict__.get(relation.key)
    if relation.declared.secondary is not None:
        value = relation.loaded(obj)
        return value if isinstance(value, list) else ()
    if value.__class__ is not relation.target.cls:
        value = relation.from_identity(obj)
    return (value,) if value.__class__ is relation.target.cls else ()
