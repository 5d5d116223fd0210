"""Parts: what a small flush consists of, where it can be one statement. Pure: it decides, and sends nothing.

Parts of one statement do not see each other's rows and have no order. What needs an order goes in several statements:
values that are taken over, rows that go beside others that come, circles, link tables, changed keys, tables with
triggers or row security.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from psqlmodel.core.unitofwork import insertion, updating
from psqlmodel.core.unitofwork.collect import Changes, outgoing, row_keys, take_all_keys
from psqlmodel.core.unitofwork.takeover import Takeovers
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.versions import is_system

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace
    from psqlmodel.model.relations import RelationInfo

MOST_ROWS: Final = 200  # beyond, trips are nothing beside the work, and the server's joins of the parts cost more


class Unfit(Exception):
    """The flush can't be one statement."""


class Insertion:
    """The new rows of one class that set the same columns; `parents` leads from columns to where their keys come from.

    `made` are key columns with the expression that makes them, `back` the columns that the server's values are wanted
    of: `made` first.
    """

    def __init__(self, mapper: Mapper, keys: Keys, parents: Parents) -> None:
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
        if not self.parents:
            return "INSERT", self.mapper, self.keys, self.is_plain
        parents = tuple([(key, part.number, remote) for key, (part, remote) in self.parents.items()])
        return "INSERT", self.mapper, self.keys, parents

    @property
    def is_plain(self) -> bool:
        """Whether it is one row that waits for nothing: INSERT … VALUES."""
        return len(self.objects) == 1 and not self.parents and self.before is None

    number = 0


class Update:
    """The changed rows of one class with the same columns changed; `back` are those that the server makes anew."""

    verb = "UPDATE"
    keys_stay = True  # in one statement there is no change of keys

    def __init__(
        self, mapper: Mapper, keys: Keys, columns: list[Column[Any]], objects: list[Any], back: list[Column[Any]]
    ) -> None:
        self.mapper = mapper
        self.keys = keys
        self.columns = columns
        self.objects = objects
        self.back = back

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the text depends on."""
        return self.verb, self.mapper, self.keys, len(self.objects) == 1

    number = 0


class Deletion:
    """The rows of one class that go."""

    verb = "DELETE"
    keys_stay = False

    def __init__(self, mapper: Mapper, objects: list[Any]) -> None:
        self.mapper = mapper
        self.objects = objects
        self.columns: list[Column[Any]] = []
        self.back: list[Column[Any]] = []

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the text depends on."""
        return self.verb, self.mapper, len(self.objects) == 1

    number = 0


Keys: TypeAlias = tuple[str, ...]  # of columns: attributes
Parents: TypeAlias = dict[str, tuple[Insertion, str]]  # column → the part with the parents, and the column of theirs
Writing: TypeAlias = Update | Deletion  # of rows that are there


class Parts:
    """What one statement writes: insertions, parents first, and then rows that are there (`writings`).

    `all` are both, in the order of their numbers. `alone`: it is the whole transaction.
    """

    def __init__(self, *, alone: bool) -> None:
        self.alone = alone
        self.insertions: list[Insertion] = []
        self.writings: list[Writing] = []
        self.all: list[Insertion | Writing] = []
        self.recipe: Any = None  # of `together`, once it is known
        self._of: dict[int, tuple[Insertion, int]] = {}  # id of a new object → its part and ordinal (from 1)

    def write(self, part: Writing) -> None:
        """Add rows that are there."""
        self.writings.append(part)
        self.all.append(part)
        part.number = len(self.all)

    def add(self, mapper: Mapper, objects: list[Any], waiting: set[int]) -> None:
        """Put new objects of one class into their parts. Raises `Unfit` where the parents of one are in several."""
        linked = _linked(mapper, objects)
        relations = outgoing(mapper) if linked else []
        take_all_keys(linked, relations)
        for obj in objects:
            parents = self._parents_of(obj, relations, waiting) if linked else {}
            keys = row_keys(obj, mapper)
            if parents:
                keys = tuple([key for key in keys if key not in parents])
            part = self._part(mapper, keys, parents)
            part.objects.append(obj)
            self._of[id(obj)] = part, len(part.objects)

    def _parents_of(self, obj: Any, relations: list[RelationInfo], waiting: set[int]) -> Parents:
        """Return the parts with the parents of a new object, by the columns that their keys go to."""
        parents: Parents = {}
        for relation in relations:
            parent = obj.__dict__.get(relation.key)
            if id(parent) not in waiting:
                continue
            if parent is obj or id(parent) not in self._of:
                raise Unfit
            for ours, theirs in zip(relation.local, relation.remote, strict=True):
                if parent.__dict__.get(theirs.key) is None:
                    part = self._of[id(parent)][0]
                    if theirs.key in part.keys:  # NULL that was set is no key that is to come
                        raise Unfit
                    parents[str(ours.key)] = part, str(theirs.key)
        return parents

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

    def _part(self, mapper: Mapper, keys: Keys, parents: Parents) -> Insertion:
        for part in self.insertions:
            if part.mapper is mapper and part.keys == keys and part.parents == parents:
                return part
        part = Insertion(mapper, keys, parents)
        for each in self.insertions:
            if each.mapper is mapper:
                part.before = each
        self.insertions.append(part)
        self.all.append(part)
        part.number = len(self.all)
        return part


def parts_of(workspace: Workspace, changes: Changes, order: Sequence[Any], takeovers: Takeovers) -> Parts | None:
    """Return the parts of the one statement that a flush can be; None where it takes several, or one alone does it."""
    if changes.linked or changes.unlinked or takeovers.vacated or takeovers.waves:
        return None
    for group in order:
        for mapper in group:
            if mapper.distribution is not None:
                return None  # a cluster does the parts of a statement one after the other, and not all of ours
    if changes.deleted:
        return _deletion(workspace, changes)
    sizes = [len(objects) for objects in changes.new.values()]
    for by_keys in changes.changed.values():
        sizes += map(len, by_keys.values())
    if not 0 < sum(sizes) <= MOST_ROWS or max(map(len, order)) > 1:
        return None
    if len(sizes) > 1:
        if not workspace.catalog.are_plain(changes.mappers):
            return None
    elif not may_be_alone(workspace):
        return None
    try:
        return _parts(workspace, changes, [group[0] for group in order])
    except Unfit:
        return None


def _deletion(workspace: Workspace, changes: Changes) -> Parts | None:
    """Return the one part of a flush that only deletes rows of one class, and is the whole transaction."""
    if changes.new or changes.changed or len(changes.deleted) > 1 or not may_be_alone(workspace):
        return None
    [(mapper, objects)] = changes.deleted.items()
    linked = any(relation.declared.secondary is not None for relation in mapper.relations.values())
    if linked or len(objects) > MOST_ROWS or (mapper.version is not None and is_system(mapper.version)):
        return None
    parts = Parts(alone=True)
    parts.write(Deletion(mapper, updating.in_key_order(mapper, objects)))
    return parts


def _linked(mapper: Mapper, objects: list[Any]) -> list[Any]:
    """Return the objects that hold related ones: only these may need keys of others."""
    related = mapper.related_keys
    return [obj for obj in objects if not related.isdisjoint(obj.__dict__)] if related else []


def may_be_alone(workspace: Workspace) -> bool:
    """Tell whether one statement would be the whole transaction, so that it needs neither BEGIN nor COMMIT."""
    transaction = workspace.transaction
    if transaction.begun or not transaction.closing:
        return False
    return transaction.beginning.plain and workspace.catalog.read_committed


def _parts(workspace: Workspace, changes: Changes, order: list[Mapper]) -> Parts:
    parts = Parts(alone=may_be_alone(workspace))
    for mapper in order:
        new = changes.new.get(mapper, ())
        if new:
            parts.add(mapper, new, changes.waiting)
    for part in parts.insertions:
        part.made, part.back = _kept(workspace, _made, part.mapper, (*part.keys, *part.parents))
    for mapper in order:
        for keys, objects in changes.changed.get(mapper, {}).items():
            parts.write(_update(workspace, mapper, keys, objects, changes))
    return parts


def _update(workspace: Workspace, mapper: Mapper, keys: Keys, objects: list[Any], changes: Changes) -> Update:
    linked = _linked(mapper, objects)
    if linked:
        relations = outgoing(mapper)
        if any(id(obj.__dict__.get(relation.key)) in changes.waiting for obj in linked for relation in relations):
            raise Unfit
        take_all_keys(linked, relations)
    columns, back = _kept(workspace, _changed, mapper, keys)
    return Update(mapper, keys, columns, updating.in_key_order(mapper, objects), back)


Decide: TypeAlias = Callable[["Workspace", Mapper, Keys], tuple[list[Any], list[Column[Any]]]]


def _kept(workspace: Workspace, decide: Decide, mapper: Mapper, keys: Keys) -> tuple[list[Any], list[Column[Any]]]:
    """Return what `decide` says of some columns of a class, asked once until the catalog is read anew."""
    catalog, key = workspace.catalog, (decide, mapper, keys)
    found: tuple[list[Any], list[Column[Any]]] | None = catalog.derived.get(key)
    if found is None:
        found = decide(workspace, mapper, keys)
        catalog.keep(key, found)
    return found


def _made(workspace: Workspace, mapper: Mapper, given: Keys) -> tuple[list[Any], list[Column[Any]]]:
    """Return the key columns that the server makes for rows with these columns `given`, and those that come back."""
    made = insertion.made_by_server(workspace, mapper, given)
    if made is None or not mapper.primary_key or (mapper.version is not None and is_system(mapper.version)):
        raise Unfit
    open_keys = [column for column in mapper.primary_key if column.key not in given]
    others = [column for column in mapper.columns if column.key not in given and not column.primary_key]
    return made, [*open_keys, *others]


def _changed(workspace: Workspace, mapper: Mapper, keys: Keys) -> tuple[list[Any], list[Column[Any]]]:
    """Return the columns that an UPDATE of these keys writes, and those that come back."""
    version = mapper.version
    if any(column.key in keys for column in mapper.primary_key) or (version is not None and is_system(version)):
        raise Unfit
    columns = [mapper.attributes[key] for key in keys if version is None or key != version.key]
    computed = workspace.catalog.generated(mapper)
    return columns, [c for c in mapper.columns if c.generated or c.version or c.name in computed]
