"""Resolution: from a declared relation and the foreign keys around it to its kind, its keys and its opposite."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ForwardRef

from psqlmodel.errors import MappingError, RelationError
from psqlmodel.model.constraints import ForeignKey, Unique
from psqlmodel.model.mapper import Mapper, mapper_of, registry
from psqlmodel.model.naming import singular
from psqlmodel.query.expression import ColumnExpression
from psqlmodel.query.nodes import TableSource

if TYPE_CHECKING:
    from psqlmodel.model.fields import Column
    from psqlmodel.model.relations import RelationInfo


class Resolution:
    """What a relation is.

    `outgoing`: the foreign key is ours. `many`: the value is a list. `local` and `remote` are the columns that are
    equal (for many-to-many: the key columns of both ends, and `secondary` is the link table with its two key sides).
    """

    __slots__ = ("foreign_key", "local", "many", "outgoing", "remote", "secondary", "target", "to_primary_key")

    def __init__(
        self,
        target: Mapper,
        local: Sequence[Column[Any]],
        remote: Sequence[Column[Any]],
        *,
        many: bool,
        outgoing: bool,
        foreign_key: ForeignKey | None = None,
        secondary: tuple[Any, tuple[Any, ...], tuple[Any, ...]] | None = None,
    ) -> None:
        self.target = target
        self.local = tuple(local)
        self.remote = tuple(remote)
        self.many = many
        self.outgoing = outgoing
        self.foreign_key = foreign_key
        self.secondary = secondary
        self.to_primary_key = [c.key for c in remote] == [c.key for c in target.primary_key]


def resolve(relation: RelationInfo) -> Resolution:
    """Find out what `relation` is.

    Raises `RelationError` where no foreign key, or more than one, leads to the target.
    """
    target = target_of(relation)
    if relation.declared.secondary is not None:
        return _through(relation, target)
    return _direct(relation, target)


def target_of(relation: RelationInfo) -> Mapper:
    """Return the mapper of the class that `relation` names."""
    named = relation.declared.target
    if named is None:
        raise RelationError(f'{relation!r} names no class: write Relation["Order"] or Relation("Order")')
    if isinstance(named, ForwardRef):
        named = named.__forward_arg__
    try:
        if isinstance(named, str):
            return registry.by_class(named.strip("'\""), relation.mapper)
        return mapper_of(named)
    except MappingError as error:
        raise RelationError(f"{relation!r}: {error}") from None


def read_annotation(relation: Any, annotation: Any) -> None:
    """Take target and kind from the annotation `Relation[…]`, `list["Order"]`, `"User" | None`."""
    if typing.get_origin(annotation) is not None and getattr(annotation, "__origin__", None) is type(relation):
        annotation = typing.get_args(annotation)[0]
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        many, name = _read_text(annotation)
    else:
        many, name = _read_type(annotation)
    if relation.target is None:
        relation.target = name
    if relation.many is None:
        relation.many = many


def _read_text(text: str) -> tuple[bool, str]:
    inner = text.strip().strip("'\"")
    for prefix in ("list[", "List[", "typing.List["):
        if inner.startswith(prefix) and inner.endswith("]"):
            return True, inner[len(prefix) : -1].strip().strip("'\"")
    for prefix in ("Optional[", "typing.Optional["):
        if inner.startswith(prefix) and inner.endswith("]"):
            inner = inner[len(prefix) : -1]
    parts = [part.strip().strip("'\"") for part in inner.split("|")]
    return False, next((part for part in parts if part != "None"), inner)


def _read_type(annotation: Any) -> tuple[bool, Any]:
    origin = typing.get_origin(annotation)
    if origin is list:
        (item,) = typing.get_args(annotation)
        return True, item
    if origin in (typing.Union, types.UnionType):
        item = next(part for part in typing.get_args(annotation) if part is not type(None))
        return False, item
    return False, annotation


# --- over a foreign key -----------------------------------------------------------------------------------------


def _direct(relation: RelationInfo, target: Mapper) -> Resolution:
    owner, declared = relation.mapper, relation.declared
    ours = [] if declared.many else _keys_between(owner, target, declared.foreign_keys)
    theirs = _keys_between(target, owner, declared.foreign_keys)
    if declared.many is False and not ours:
        theirs = [key for key in theirs if _is_unique(target, key)]
    chosen = ours or theirs
    if len(chosen) != 1:
        raise RelationError(_complaint(relation, target, chosen))
    key = chosen[0]
    if ours:
        local, remote = _columns(owner, key.columns), remote_columns(target, key)
        return Resolution(target, local, remote, many=False, outgoing=True, foreign_key=key)
    many = declared.many if declared.many is not None else not _is_unique(target, key)
    local, remote = remote_columns(owner, key), _columns(target, key.columns)
    return Resolution(target, local, remote, many=many, outgoing=False, foreign_key=key)


def _keys_between(holder: Mapper, target: Mapper, wanted: tuple[str, ...]) -> list[ForeignKey]:
    found = [key for key in holder.foreign_keys if refers_to(holder, key, target)]
    if wanted:
        names = {holder.attributes[w].name if w in holder.attributes else w for w in wanted}
        found = [key for key in found if set(key.columns) == names]
    return found


def refers_to(holder: Mapper, key: ForeignKey, target: Mapper) -> bool:
    """Tell whether a foreign key of `holder` leads to the table of `target`."""
    schema, _, table = key.table.rpartition(".")
    return table == target.table and (not schema or schema == (target.schema or "public"))


def remote_columns(target: Mapper, key: ForeignKey) -> tuple[Column[Any], ...]:
    """Return the columns of `target` that a foreign key refers to."""
    return _columns(target, key.remote) if key.remote else target.primary_key


def _columns(mapper: Mapper, names: Sequence[Any]) -> tuple[Column[Any], ...]:
    return tuple(mapper.column(name) for name in names)


def _is_unique(mapper: Mapper, key: ForeignKey) -> bool:
    names = set(key.columns)
    columns = _columns(mapper, key.columns)
    if len(columns) == 1 and columns[0].unique:
        return True
    if names == {column.name for column in mapper.primary_key}:
        return True
    uniques = [c.columns for c in mapper.constraints if isinstance(c, Unique)]
    uniques += [index.columns for index in mapper.indexes if index.unique and index.where is None]
    return any({mapper.column(c).name for c in unique if _is_column(mapper, c)} == names for unique in uniques)


def _is_column(mapper: Mapper, name: Any) -> bool:
    return not isinstance(name, str) or name in mapper.attributes or name in mapper.by_name


def _complaint(relation: RelationInfo, target: Mapper, chosen: list[ForeignKey]) -> str:
    if chosen:
        names = ", ".join(f'foreign_keys="{"+".join(map(str, key.columns))}"' for key in chosen)
        return f"{relation!r} is ambiguous: several foreign keys lead to {target.name}; choose with {names}"
    owner = relation.mapper
    wanted = relation.declared.foreign_keys
    if wanted:
        return f"{relation!r}: no foreign key on {', '.join(wanted)} leads between {owner.name} and {target.name}"
    known = [f"{key.table}({', '.join(map(str, key.columns))})" for key in (*owner.foreign_keys, *target.foreign_keys)]
    seen = f"; the foreign keys there are: {', '.join(known)}" if known else ""
    return (
        f"{relation!r}: no foreign key leads between {owner.name} ({owner.table}) and {target.name} ({target.table})"
        f"{seen}. Give a column foreign_key=, or the relation secondary= for many-to-many"
    )


# --- many-to-many -----------------------------------------------------------------------------------------------


def _through(relation: RelationInfo, target: Mapper) -> Resolution:
    owner = relation.mapper
    link = _link_mapper(relation, target)
    secondary = _modelled_link(relation, target, link) if link is not None else _named_link(relation, target)
    many = relation.declared.many is not False
    return Resolution(target, owner.primary_key, target.primary_key, many=many, outgoing=False, secondary=secondary)


def _link_mapper(relation: RelationInfo, target: Mapper) -> Mapper | None:
    secondary = relation.declared.secondary
    if not isinstance(secondary, str):
        return mapper_of(secondary)
    name = link_table(relation, target)
    found = registry.by_table(name, relation.mapper)
    if found is None and secondary.isidentifier() and secondary[:1].isupper():
        return registry.by_class(secondary, relation.mapper)
    return found


def link_table(relation: RelationInfo, target: Mapper) -> str:
    """Return the name of the table between, `"auto"` spelled out."""
    if relation.declared.secondary == "auto":
        return "_".join(sorted((relation.mapper.table, target.table)))
    return str(relation.declared.secondary)


def _modelled_link(relation: RelationInfo, target: Mapper, link: Mapper) -> tuple[Any, Any, Any]:
    names = relation.declared.secondary_keys
    if names is not None:
        ours, theirs = (_columns(link, (n,) if isinstance(n, str) else n) for n in names)
        return link.cls, ours, theirs
    to_owner = _keys_between(link, relation.mapper, ())
    to_target = _keys_between(link, target, ())
    if relation.mapper is target and len(to_owner) == 2:
        raise RelationError(
            f"{relation!r}: both keys of {link.name} lead to {target.name}; say which is ours with "
            f"secondary_keys=({to_owner[0].columns[0]!r}, {to_owner[1].columns[0]!r})"
        )
    if len(to_owner) != 1 or len(to_target) != 1:
        raise RelationError(
            f"{relation!r}: {link.name} needs one foreign key to {relation.mapper.name} and one to {target.name}, "
            f"and has {len(to_owner)} and {len(to_target)}; name the columns with secondary_keys="
        )
    return (
        link.cls,
        _in_key_order(link, relation.mapper, to_owner[0]),
        _in_key_order(link, target, to_target[0]),
    )


def _in_key_order(link: Mapper, end: Mapper, key: ForeignKey) -> tuple[Column[Any], ...]:
    """Return the link's columns in the order of the primary key of the end that they lead to."""
    by_remote = dict(zip(remote_columns(end, key), _columns(link, key.columns), strict=True))
    return tuple(by_remote[column] for column in end.primary_key)


def _named_link(relation: RelationInfo, target: Mapper) -> tuple[Any, Any, Any]:
    owner = relation.mapper
    schema, _, table = link_table(relation, target).rpartition(".")
    source = TableSource(table, schema or owner.schema)
    names = relation.declared.secondary_keys
    if names is None:
        if owner is target:
            raise RelationError(
                f"{relation!r} leads to its own class: name both keys with secondary_keys=(ours, theirs)"
            )
        names = (_key_names(owner), _key_names(target))
    sides: list[tuple[Any, ...]] = []
    for end, side in zip((owner, target), names, strict=True):
        columns = (side,) if isinstance(side, str) else tuple(side)
        if len(columns) != len(end.primary_key):
            raise RelationError(
                f"{relation!r}: the key of {end.name} has {len(end.primary_key)} columns; name them all"
            )
        sides.append(
            tuple(
                ColumnExpression(source, name, name, key.type)
                for name, key in zip(columns, end.primary_key, strict=True)
            )
        )
    return source, sides[0], sides[1]


def _key_names(mapper: Mapper) -> tuple[str, ...]:
    if len(mapper.primary_key) == 1:
        return (f"{singular(mapper.table)}_id",)
    return tuple(f"{singular(mapper.table)}_{column.name}" for column in mapper.primary_key)


# --- the opposite relation ----------------------------------------------------------------------------------------


def find_back(relation: RelationInfo) -> RelationInfo | None:
    """Return the relation in the opposite direction, declared or (for a to-many over a foreign key) hidden."""
    target, named = relation.target, relation.declared.back
    if named is not None:
        if named not in target.relations:
            raise RelationError(f"{relation!r}: back={named!r} is no relation of {target.name}")
        declared: RelationInfo = target.relations[named]
        return declared
    others: list[RelationInfo] = list(target.relations.values())
    for other in others:
        if other is not relation and _opposite(relation, other):
            return other
    if relation.secondary is None and not relation.outgoing:
        return _hidden_link(relation)
    return None


def _opposite(relation: RelationInfo, other: RelationInfo) -> bool:
    """Compare cheaply first: resolving an unrelated relation could raise an error that belongs elsewhere."""
    if other.declared.back is not None and other.declared.back != relation.key:
        return False
    if (other.declared.secondary is None) is not (relation.secondary is None):
        return False
    if target_of(other) is not relation.mapper:
        return False
    if relation.secondary is not None:
        if other.secondary is None:
            return False
        _, ours, theirs = relation.secondary
        _, their_ours, their_theirs = other.secondary
        return _names(ours) == _names(their_theirs) and _names(theirs) == _names(their_ours)
    return other.foreign_key is relation.foreign_key and other.outgoing is not relation.outgoing


def _names(columns: Sequence[Any]) -> tuple[str, ...]:
    source = columns[0].source
    return (source.schema or "", source.name, *(column.name for column in columns))


def _hidden_link(relation: RelationInfo) -> RelationInfo:
    """Make the to-one relation that a to-many one writes through, where the model declares none."""
    from psqlmodel.model.fields import Relation
    from psqlmodel.model.relations import RelationInfo

    key = "_link_" + "_".join(column.key for column in relation.remote)
    hidden: RelationInfo | None = relation.target.hidden.get(key)
    if hidden is None:
        declared: Any = Relation(relation.mapper.cls, foreign_keys=[column.key for column in relation.remote])
        declared.many = False
        hidden = RelationInfo(relation.target, key, declared)
        relation.target.add_relation(hidden, relation.target.hidden)
    hidden.__dict__["_back"] = relation
    return hidden
