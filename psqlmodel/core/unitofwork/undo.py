"""The undo log: what flushed objects were before, so that they can follow a rollback.

There is one frame for the transaction and one more for each open savepoint. In each frame the first thing remembered
of an object stands: that is its value from before the frame began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from psqlmodel.model.state import TRANSIENT, UNSET, Raw, set_state

if TYPE_CHECKING:
    from psqlmodel.core.unitofwork.collect import Link
    from psqlmodel.core.unitofwork.unit import UnitOfWork
    from psqlmodel.model.relations import RelationInfo


class Entry:
    """What is remembered of one object: its values, and whether its row was made or deleted in this frame."""

    __slots__ = ("deleted", "inserted", "obj", "values")

    def __init__(self, obj: Any, values: dict[str, Any]) -> None:
        self.obj = obj
        self.inserted = False
        self.deleted = False
        self.values = values


class Frame:
    """What is remembered since one moment: the beginning of the transaction, or a savepoint.

    `entries` by the ids of the objects; `pairs`: whether a link row was there before; `revived`: what was presumed to
    be deleted before, by id.
    """

    __slots__ = ("entries", "pairs", "revived")

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.pairs: dict[Link, bool] = {}
        self.revived: dict[int, Any] = {}


Fold: TypeAlias = "Callable[[dict[int, Entry], Any, dict[str, Any]], None]"


class AsTheyWere(list[Any]):
    """Objects of one class that are deleted without modifications: `collect` has looked at the states of all.

    What knows that looks at none of them again: each look is a twentieth of the time of a deletion.
    """

    __slots__ = ()


class UndoLog:
    """The frames of one session's transaction.

    What a flush writes is remembered by the batch: new and changed objects as `_notes`, unmodified deleted ones as
    `gone`. An entry for each is only made when something is asked about them, which a transaction that flushes and
    commits never does: of a changed object it would be a tenth of the time. Nor does it make a frame.
    """

    __slots__ = ("_frames", "_notes", "gone", "statements_wrote")

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._notes: list[tuple[Fold, Sequence[Any], list[dict[str, Any]]]] = []  # of the newest frame
        self.gone: list[AsTheyWere] = []  # of the newest frame
        self.statements_wrote = False  # what a row says may be what a rollback takes back, though no flush wrote it

    def inserted(self, objects: list[Any]) -> None:
        """Remember the values of objects whose rows are about to be made."""
        self._notes.append((_fold_new, objects, [obj.__dict__.copy() for obj in objects]))

    def _frame(self) -> Frame:
        """Return the newest frame, with an entry for all that it remembers."""
        frame = self._newest()
        for fold, objects, values in self._notes:
            for obj, before in zip(objects, values, strict=True):
                fold(frame.entries, obj, before)
        self._notes.clear()
        for obj in (obj for objects in self.gone for obj in objects):
            frame.entries.setdefault(id(obj), Entry(obj, {})).deleted = True
        self.gone.clear()
        return frame

    def _newest(self) -> Frame:
        """Return the newest frame, where what a flush just remembers is not entered yet: its notes still grow."""
        if not self._frames:
            self._frames.append(Frame())
        return self._frames[-1]

    def forget_inserted(self, new: Mapping[Any, Iterable[Any]]) -> None:
        """Forget new objects, by class, whose rows were not made after all."""
        entries = self._frame().entries
        for obj in (obj for objects in new.values() for obj in objects):
            if not entries[id(obj)].deleted:
                del entries[id(obj)]

    def updated(self, obj: Any, original: dict[str, Any]) -> None:
        """Remember the original values of an object whose changes are about to be written."""
        _fold_changed(self._frame().entries, obj, original)

    def all_updated(self, objects: Sequence[Any]) -> None:
        """Do what `updated` does for the changes of each object, before or after they were written.

        What the flush itself changes until they are settled (versions, keys) is remembered by their states, too.
        """
        self._notes.append((_fold_changed, objects, [obj._state.original for obj in objects]))

    def deleted(self, objects: Sequence[Any]) -> None:
        """Remember objects whose rows are about to be deleted."""
        if any(objects is known for known in self.gone):
            return
        if type(objects) is AsTheyWere:
            self.gone.append(objects)
            return
        self.all_updated(objects)
        entries = self._frame().entries
        for obj in objects:
            entries[id(obj)].deleted = True

    def linked(self, pairs: Iterable[Link]) -> None:
        """Remember link rows that are about to be made."""
        for pair in pairs:
            _ = self._newest().pairs.setdefault(pair, False)

    def unlinked(self, pairs: Iterable[Link]) -> None:
        """Remember link rows that are about to be deleted."""
        for pair in pairs:
            _ = self._newest().pairs.setdefault(pair, True)

    def deleted_objects(self) -> list[Any]:
        """Return the objects whose rows the transaction deleted, those that are not in `gone`."""
        return [entry.obj for frame in self._frames for entry in frame.entries.values() if entry.deleted]

    def revived(self, obj: Any) -> None:
        """Remember an object that is found alive, if it was presumed to be deleted before the newest frame began."""
        frame = self._frame()
        entry = frame.entries.get(id(obj))
        if entry is None or not entry.deleted:
            frame.revived[id(obj)] = obj

    def forget(self, obj: Any) -> None:
        """Forget an object that leaves the session: a rollback does not concern it."""
        _ = self._frame()
        for frame in self._frames:
            _, _ = frame.entries.pop(id(obj), None), frame.revived.pop(id(obj), None)

    def clear(self) -> None:
        """Forget everything: the transaction has ended."""
        self._frames.clear()
        self._notes.clear()
        self.gone.clear()
        self.statements_wrote = False

    def push(self) -> None:
        """Begin a frame: a savepoint was set."""
        _ = self._frame()
        self._frames.append(Frame())

    def merge(self) -> None:
        """End the newest frame without a way back: what it remembers belongs to the frame around it now."""
        newest = self._frame()
        _ = self._frames.pop()
        frame = self._frames[-1]
        frame.pairs = {**newest.pairs, **frame.pairs}
        around = frame.entries
        revived = newest.revived.items()
        frame.revived.update({key: obj for key, obj in revived if key not in around or not around[key].deleted})
        for key, entry in newest.entries.items():
            known = around.get(key)
            if known is None:
                around[key] = entry
                continue
            known.deleted = known.deleted or entry.deleted
            if not known.inserted:
                known.values = {**entry.values, **known.values}

    def restore_newest(self, unit: UnitOfWork) -> None:
        """Bring the objects of the newest frame back to what they were before it, and end it."""
        frame = self._frame()
        entries = [*reversed(frame.entries.values())]
        _ = self._frames.pop()
        owners = [_owners(unit, entry.obj) for entry in entries]
        for entry in entries:
            _bring_back(unit, entry)
        # Lists that were loaded in the meantime, and so remember nothing, follow too.
        for entry in entries:
            _weed(unit, entry)
        for entry, former in zip(entries, owners, strict=True):
            _regroup(unit, entry, former)
            if entry.deleted and not entry.inserted:
                _relink(unit, entry)
        for pair, there in frame.pairs.items():
            _pair_up(pair, there)
        for obj in frame.revived.values():
            unit.presume_deleted(obj)

    def restore(self, unit: UnitOfWork) -> None:
        """Bring the objects of all frames back to what they were before, newest frame first."""
        if self._notes or self.gone:
            _ = self._frame()
        while self._frames:
            self.restore_newest(unit)
        self.clear()


def _fold_new(frame: dict[int, Entry], obj: Any, values: dict[str, Any]) -> None:
    """Make the entry of an object whose row was made; `values` are those from before."""
    keys = type(obj).__mapper__.attributes.keys()
    entry = frame.setdefault(id(obj), Entry(obj, {}))
    entry.inserted, entry.values = True, {key: value for key, value in values.items() if key in keys}


def _fold_changed(frame: dict[int, Entry], obj: Any, original: dict[str, Any]) -> None:
    """Make the entry of a changed object, or add to it what it does not know."""
    entry = frame.get(id(obj))
    if entry is None:
        frame[id(obj)] = Entry(obj, original.copy())
    elif not entry.inserted and original.keys() - entry.values.keys():
        entry.values = {**original, **entry.values}


def _owners(unit: UnitOfWork, obj: Any) -> list[tuple[RelationInfo, Any]]:
    """Return the objects that the foreign keys of `obj` lead to, as far as the session has them, by relation."""
    relations = [r for r in type(obj).__mapper__.all_relations() if r.outgoing and r.back is not None]
    found = [(relation, _owner(unit, obj, relation)) for relation in relations]
    return [(relation, owner) for relation, owner in found if owner is not None]


def _owner(unit: UnitOfWork, obj: Any, relation: RelationInfo) -> Any:
    owner = relation.loaded(obj)
    if owner is not UNSET:
        return owner
    key = relation.key_from(obj)
    return None if key is None or not relation.to_primary_key else unit.identity.get(relation.target, key)


def _regroup(unit: UnitOfWork, entry: Entry, former: list[tuple[RelationInfo, Any]]) -> None:
    """Show a restored object on the lists of its owners again, and no longer on those where it was meanwhile."""
    obj = entry.obj
    is_there = obj._state is not TRANSIENT
    owners = _owners(unit, obj) if is_there else []
    kept = {(id(relation), id(owner)) for relation, owner in owners}
    for relation, owner in former:
        assert relation.back is not None  # _owners gives no others
        if (id(relation), id(owner)) not in kept and (is_there or owner._state is not TRANSIENT):
            relation.back.hide(owner, obj)
    for relation, owner in owners:
        assert relation.back is not None
        relation.back.show(owner, obj)


def _weed(unit: UnitOfWork, entry: Entry) -> None:
    """Take off restored lists what does not belong there: they may have been loaded within the transaction."""
    obj = entry.obj
    for key, relation in type(obj).__mapper__.relations.items():
        if key not in entry.values or relation.outgoing or relation.secondary is not None or relation.back is None:
            continue
        value = relation.loaded(obj)
        if value is UNSET or value is None:
            continue
        for item in list(value) if isinstance(value, list) else [value]:
            if item._state is TRANSIENT or _owner(unit, item, relation.back) is not obj:
                relation.hide(obj, item)


def _relink(unit: UnitOfWork, entry: Entry) -> None:
    """Bring a deleted object back to the many-to-many lists of others: as its own say, else they are loaded anew."""
    obj = entry.obj
    for relation in type(obj).__mapper__.relations.values():
        back = relation.back if relation.secondary is not None else None
        if back is None:
            continue
        linked = relation.loaded(obj)
        for other in unit.identity.objects(relation.target) if linked is UNSET else linked:
            if linked is UNSET:
                back.unload(other)
            else:
                back.show(other, obj)


def _pair_up(pair: Link, together: bool) -> None:
    """Show the two objects of a link row on each other's lists, or no longer."""
    sides = [(pair.relation, pair.ours, pair.theirs), (pair.relation.back, pair.theirs, pair.ours)]
    for relation, obj, other in sides:
        if relation is not None and obj._state is not TRANSIENT:
            (relation.show if together else relation.hide)(obj, other)


def _bring_back(unit: UnitOfWork, entry: Entry) -> None:
    obj = entry.obj
    mapper = type(obj).__mapper__
    batch = getattr(obj._state, "batch", None)
    unit.identity.discard(mapper, mapper.stored_key_of(obj), obj)
    unit.tracked.pop(id(obj), None)
    if entry.inserted:
        for key in mapper.keys:
            obj.__dict__.pop(key, None)
            mapper.drop_raw(obj, key)
        obj.__dict__.update(entry.values)
        unit.returned.add(id(obj))
        set_state(obj, TRANSIENT)
        return
    since = obj._state.original if entry.deleted else {}  # what was changed after the deletion, which wrote nothing
    set_state(obj, TRANSIENT)  # nothing is remembered while the old values are put back
    for key, old in (*since.items(), *entry.values.items()):
        put_back(obj, key, old)
    forget_misnamed(obj)
    set_state(obj, batch or unit.clean(mapper))
    key = mapper.key_of(obj)
    if key is not None:
        unit.identity.put(mapper, key, obj)


def put_back(obj: Any, key: str, old: Any) -> None:
    """Give an attribute the value that was remembered for it."""
    mapper = type(obj).__mapper__
    values = obj.__dict__
    relation = mapper.relations.get(key)
    if relation is not None and relation.many and isinstance(old, Raw):
        current = values.get(key)
        if current is not None:
            current.replace_loaded(old.wire)
        return
    values.pop(key, None)
    if isinstance(old, Raw):
        mapper.put_raw(obj, key, old.wire)
    elif old is not UNSET:
        values[key] = old


def forget_misnamed(obj: Any) -> None:
    """Forget to-one relations that were loaded by a key that the object has no longer."""
    for relation in type(obj).__mapper__.all_relations():
        if relation.outgoing and relation.key in obj.__dict__ and not relation.is_named_by(obj):
            relation.unload(obj)
