"""The unit of work: which objects are new, modified or deleted, and what they were before.

It keeps the books; `flush.py` turns them into statements. Objects without changes are not held here. What a flush
wrote is remembered in the undo log until the transaction ends, so that objects follow a rollback.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.unitofwork.collect import changed_objects, with_key
from psqlmodel.core.unitofwork.identity import IdentityMap
from psqlmodel.core.unitofwork.links import leave_lists
from psqlmodel.core.unitofwork.ordering import tables_of_deletion
from psqlmodel.core.unitofwork.undo import UndoLog, forget_misnamed, put_back
from psqlmodel.errors import NotLoadedError, NotMappedError, ObjectStateError
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.model.state import (
    DELETED,
    DETACHED,
    PENDING,
    PERSISTENT,
    TRANSIENT,
    Batch,
    Clean,
    Deleted,
    Pending,
    Presumed,
    Raw,
    State,
    set_state,
    set_states,
)
from psqlmodel.query.nodes import ANY_TABLE

if TYPE_CHECKING:
    from psqlmodel.model.relations import RelationInfo

Objects = dict[int, Any]  # by id: a model may define its own equality


_FIRST_SWEEP = 64  # batches of which a few may be gone


class UnitOfWork:
    """The changes of one session."""

    def __init__(self, identity: IdentityMap) -> None:
        self.identity = identity
        self.closed = False
        self.new: Objects = {}
        self.tracked: Objects = {}  # persistent objects with a state of their own: modified, or handed out for it
        self.deleted: Objects = {}
        self.orphaned: list[tuple[Any, RelationInfo]] = []  # new objects that were taken from a parent, by relation
        self.undo = UndoLog()
        self.returned: set[int] = set()  # ids of what a rollback made transient; one that is used again does no harm
        # Set by a session that can load an attribute at the moment it is read.
        self.load_now: Callable[[Any, str], Any] | None = None
        self.strict = False
        self._clean: dict[Mapper, Clean] = {}
        self._pending: dict[type, Pending] = {}
        self._deleted: dict[Clean, Deleted] = {}  # by what the objects are without their deletion
        self._batches: list[weakref.ref[Batch]] = []
        self._due = _FIRST_SWEEP

    # --- what states ask --------------------------------------------------------------------------------------------

    def clean(self, mapper: Mapper) -> Clean:
        """Return the state that all unmodified objects of one class share."""
        found = self._clean.get(mapper)
        if found is None:
            found = self._clean[mapper] = Clean(self, mapper)
        return found

    def batch(self, mapper: Mapper) -> Batch:
        """Return a new state for the objects of one class that one result brings."""
        made = Batch(self, mapper)
        if len(self._batches) >= self._due:
            self._batches = [reference for reference in self._batches if reference() is not None]
            self._due = max(_FIRST_SWEEP, 2 * len(self._batches))
        self._batches.append(weakref.ref(made))
        return made

    def adopt(self, obj: Any) -> None:
        """Add an object that was linked to one of this session's, if no session knows it."""
        if obj._state is TRANSIENT and not self.closed:
            self.add(obj)

    def load_missing(self, obj: Any, key: str) -> Any:
        """Load an attribute that is read but not there, or raise `NotLoadedError` with the ways out."""
        name = type(obj).__mapper__.name
        if self.closed:
            raise NotLoadedError(
                f"{name}.{key} is not loaded and the session is closed; load it before: .Include({name}.{key})"
            )
        if self.load_now is None or self.strict:
            awaited = "session" if self.load_now is not None else "await session"
            raise NotLoadedError(
                f"{name}.{key} is not loaded; add .Include({name}.{key}) to the query or "
                f"{awaited}.load(objects, {name}.{key})"
            )
        return self.load_now(obj, key)

    # --- what the session asks --------------------------------------------------------------------------------------

    @property
    def mappers(self) -> frozenset[Mapper]:
        """The classes of what a flush may write."""
        classes: set[Any] = {*map(type, self.new.values()), *map(type, self.tracked.values())}
        if self.deleted:
            classes.update(map(type, self.deleted.values()))
        return frozenset([cls.__mapper__ for cls in classes])

    @property
    def has_changes(self) -> bool:
        """Whether a flush could have something to do."""
        return bool(self.new or self.tracked or self.deleted)

    def overlaps(self, tables: frozenset[str]) -> bool:
        """Tell whether unflushed changes concern one of the tables (as `TableSource` spells them), or any at all."""
        if ANY_TABLE in tables:
            return True
        for objects in (self.new, self.tracked, self.deleted):
            for mapper in _mappers(objects):
                if mapper.qualified in tables or mapper.link_tables & tables:
                    return True
        return any(tables_of_deletion(mapper) & tables for mapper in _mappers(self.deleted))

    def add(self, obj: Any) -> None:
        """Register an object, and the new objects that hang on it, for the next flush.

        Raises `NotMappedError` for what is no model object, `ObjectStateError` for one of another session, or where
        the session has another object for the same row. Nothing is registered then.
        """
        cls: Any = type(obj)
        pending = self._pending.get(cls)
        if pending is None and "__mapper__" in cls.__dict__:
            pending = self._pending_state(cls.__mapper__)
        if pending is not None and obj._state is TRANSIENT and pending.mapper.related_keys.isdisjoint(obj.__dict__):
            set_state(obj, pending)  # nothing hangs on it: a fifth of the cost of what follows
            self.new[id(obj)] = obj
            if self.returned and id(obj) in self.returned:
                _rejoin(obj)
        else:
            self.add_all((obj,))

    def add_all(self, objects: Iterable[Any]) -> None:
        """Register several objects as `add` does; all or none."""
        if isinstance(objects, str | Mapping) or not isinstance(objects, Iterable):
            raise NotMappedError(f"add_all takes a list of objects, not {type(objects).__name__}; add takes one object")
        start = list(objects)
        if not all("__mapper__" in cls.__dict__ for cls in set(map(type, start))):
            start = [_checked(obj) for obj in start]  # says what it is
        reached, are_new = _reachable(start)
        if are_new and not self.returned:
            self._add_all_new(reached)
            return
        given = set(map(id, start))
        others = [
            each
            for each in reached
            if each._state is not TRANSIENT and (id(each) in given or not self._is_stood_for(each))
        ]
        added = set(map(id, others)) - self._second_of_a_row(others, given)
        for each in reached:
            if each._state is TRANSIENT:
                self._add_new(each, type(each).__mapper__)
            elif id(each) in added:
                self._add(each)

    def contains(self, obj: object) -> bool:
        """Tell whether the object belongs to this session."""
        return getattr(getattr(obj, "_state", None), "unit", None) is self and not self.closed

    def delete(self, obj: Any) -> None:
        """Register an object for deletion; a pending one is only forgotten.

        Raises `ObjectStateError` for an object that has no row or belongs to another session, `MissingPrimaryKeyError`
        for one whose class has no primary key.
        """
        state: Any = getattr(obj, "_state", None)
        if self._is_plain(state):
            set_state(obj, self._deleted_state(state))
            self.deleted[id(obj)] = obj
        else:
            self._check_deletable(obj)
            self._delete(obj)

    def delete_all(self, objects: Iterable[Any]) -> None:
        """Register several objects for deletion as `delete` does; all or none."""
        if isinstance(objects, str | Mapping) or not isinstance(objects, Iterable):
            kind = type(objects).__name__
            raise NotMappedError(f"delete_all takes a list of objects, not {kind}; delete takes one object")
        given = list(objects)
        try:
            states: set[Any] = {obj._state for obj in given}
        except (AttributeError, TypeError):  # no model objects: told one by one
            states = {None}
        if not all(map(self._is_plain, states)):
            self._delete_each(given)
            return
        deleted = {state: self._deleted_state(state) for state in states}
        if len(deleted) == 1:
            set_states(given, *deleted.values())
        else:
            for obj in given:
                set_state(obj, deleted.get(obj._state, obj._state))  # one may be given twice
        named = dict(zip(map(id, given), given, strict=True))  # two thirds of the time of an update
        self.deleted = {**self.deleted, **named} if self.deleted else named

    def pending(self) -> list[str]:
        """Return what is not flushed, in words: `3 new User`, `1 changed Order`."""
        if not self.has_changes:
            return []
        held: dict[str, list[Any]] = {
            "new": [*self.new.values()],
            "changed": changed_objects(self.tracked.values()),
            "deleted": [*self.deleted.values()],
        }
        counted = Counter((kind, type(obj).__name__) for kind, objects in held.items() for obj in objects)
        return [f"{count} {kind} {name}" for (kind, name), count in counted.items()]

    def committed(self) -> None:
        """Forget what the transaction changed: there is no way back behind a commit."""
        for objects in self.undo.gone:
            set_states(objects, TRANSIENT)
        for obj in self.undo.deleted_objects():
            state = obj._state
            if state.status != DELETED:  # its row was found alive meanwhile
                continue
            if isinstance(state, Presumed):  # it still is in the identity map
                self.identity.discard(state.mapper, state.mapper.stored_key_of(obj), obj)
            set_state(obj, TRANSIENT)
        self.undo.clear()

    def restore(self) -> None:
        """Bring all objects back to what they were when the transaction began."""
        if self.has_changes:
            self._revert_all()
        self.undo.restore(self)

    def restore_savepoint(self) -> None:
        """Bring all objects back to what they were when the innermost savepoint was set, and forget it."""
        self._revert_all()
        self.undo.restore_newest(self)

    def let_go_of_unmodified(self) -> None:
        """Detach the objects that have only handed out values; `pending` has told that none of these changed.

        They keep what they handed out, to be compared when they come back: to take it away, as a rollback does, is a
        twentieth of the time of a new object with JSON.
        """
        for obj in list(self.tracked.values()):
            state = obj._state
            if state.original.keys() <= state.mapper.mutable:
                state.unit, state.status = None, DETACHED
                del self.tracked[id(obj)]

    def _revert_all(self) -> None:
        """Undo what was not flushed."""
        self.orphaned.clear()
        for obj in list(self.new.values()):
            self.returned.add(id(obj))
            self.forget_new(obj)
        for obj in [*self.deleted.values(), *self.tracked.values()]:
            self._revert(obj)
        self.deleted.clear()
        self._deleted.clear()

    def close(self) -> None:
        """Let all objects go for good."""
        self.closed = True
        self.let_go()
        self.load_now = None

    def let_go(self) -> None:
        """Let all objects go: they stay readable, and remember changes that were not flushed."""
        for obj in [*self.tracked.values(), *self.deleted.values()]:
            state = obj._state
            if isinstance(state, Deleted):
                set_state(obj, state.before)
            else:
                state.unit, state.status = None, DETACHED
        for obj in list(self.new.values()):
            set_state(obj, TRANSIENT)
        self.new.clear()
        self.orphaned.clear()
        self.tracked.clear()
        self.deleted.clear()
        self.undo.clear()
        self.identity.clear()
        for clean in self._clean.values():
            clean.unit = None
        for reference in self._batches:
            batch = reference()
            if batch is not None:
                batch.unit = None
                batch.members = []  # nothing is loaded for them any more: a seventh of the memory of an order
        self._clean.clear()
        self._pending.clear()
        self._deleted.clear()
        self._batches.clear()

    # --- bookkeeping ------------------------------------------------------------------------------------------------

    def forget_new(self, obj: Any) -> None:
        """Make a pending object transient again."""
        self.new.pop(id(obj), None)
        set_state(obj, TRANSIENT)

    def settle(self, obj: Any, baseline: dict[str, Any]) -> None:
        """Make an object clean after its row was written; `baseline` is what handed out values are compared with."""
        state = obj._state
        if baseline:
            set_state(obj, State(self, state.mapper, PERSISTENT, state.batch, baseline))
            self.tracked[id(obj)] = obj
        else:
            _ = self.tracked.pop(id(obj), None)
            set_state(obj, state.batch or self.clean(state.mapper))

    def check_alive(self, obj: Any) -> None:
        """Refuse an object whose row a flush of this transaction deleted: nothing that is done to it is written."""
        if obj._state.status == DELETED and id(obj) not in self.deleted:
            raise ObjectStateError(
                f"this {type(obj).__mapper__.name} is deleted, its row is gone already: use a copy of it (copy.copy), "
                "or the object itself after the commit"
            )

    def revive(self, obj: Any) -> None:
        """Make an object that was presumed to be deleted persistent again: its row came."""
        if id(obj) not in self.deleted:  # else the program wants it to go anyway
            self.undo.revived(obj)
            self.settle(obj, obj._state.original)

    def presume_deleted(self, obj: Any) -> None:
        """Take an object off the books; it stays in the identity map, where a row that lives yet finds it."""
        _ = self.tracked.pop(id(obj), None)
        set_state(obj, Presumed(self, type(obj).__mapper__, DELETED, obj._state.batch))
        leave_lists(type(obj).__mapper__, [obj])

    def settle_new(self, mapper: Mapper, objects: list[Any]) -> None:
        """Make new objects of one class clean after their rows were written."""
        # What one of them lacks later is loaded for all that were written together.
        batch = self.batch(mapper) if mapper.relations and len(objects) > 1 else None
        if batch is not None:
            batch.bring(objects)
        state = batch or self.clean(mapper)
        for obj in objects:
            del self.new[id(obj)]
            set_state(obj, state)

    def watch(self, obj: Any, baseline: dict[str, Any]) -> None:
        """Compare the values that an object has handed out with `baseline` from now on."""
        state = obj._state
        if isinstance(state, State | Deleted):
            self._own_state(obj).original.update(baseline)
        else:
            set_state(obj, State(self, state.mapper, PERSISTENT, state.batch, baseline))
            self.tracked[id(obj)] = obj

    def watch_all(self, mapper: Mapper, key: str, objects: Sequence[Any], texts: Sequence[Any]) -> None:
        """Do what `watch` does for a value of each new object, by what was written of it: of many, in half of the time.

        Where the text is None there is no value.
        """
        for obj, text in zip(objects, texts, strict=True):
            if text is None:
                continue
            state = obj._state
            if isinstance(state, State | Deleted):
                self._own_state(obj).original[key] = Raw(text)
            else:
                set_state(obj, State(self, mapper, PERSISTENT, state.batch, {key: Raw(text)}))
                self.tracked[id(obj)] = obj

    def no_longer_deleted(self, objects: Sequence[Any]) -> None:
        """Take objects off the books of what waits for its deletion: their rows are gone."""
        if len(objects) == len(self.deleted):
            self.deleted.clear()
        else:
            for obj in objects:
                _ = self.deleted.pop(id(obj), None)
        if not self.deleted:
            self._deleted.clear()

    def _is_plain(self, state: Any) -> bool:
        """Tell whether an object with this state is persistent here and unmodified, and its row is known by a key."""
        return isinstance(state, Clean) and state.unit is self and bool(state.mapper.primary_key)

    def _deleted_state(self, before: Clean) -> Deleted:
        found = self._deleted.get(before)
        if found is None:
            found = self._deleted[before] = Deleted(before)
        return found

    def _delete_each(self, objects: Iterable[Any]) -> None:
        """Register objects of which some are new, modified, detached, or can't be deleted."""
        distinct = list({id(obj): obj for obj in objects}.values())
        taken_in: set[tuple[Mapper, Any]] = set()
        for obj in distinct:
            self._check_deletable(obj)
            if obj._state.unit is self:
                continue
            mapper = type(obj).__mapper__
            key = mapper.stored_key_of(obj)
            if (mapper, key) in taken_in:
                raise ObjectStateError(f"delete_all got two objects for {mapper.name} {key!r}: give one of them")
            taken_in.add((mapper, key))
        for obj in distinct:
            self._delete(obj)

    def _check_deletable(self, obj: Any) -> None:
        mapper = mapper_of(_checked(obj))
        state = obj._state
        if state is TRANSIENT:
            raise ObjectStateError(f"this {mapper.name} is in no database yet: there is nothing to delete")
        self._check_addable(obj)
        if state.status != PENDING:
            _ = with_key(mapper)

    def _delete(self, obj: Any) -> None:
        state, mapper = obj._state, type(obj).__mapper__
        if state.status == PENDING:
            leave_lists(mapper, [obj])
            self.forget_new(obj)
            return
        if state.status == DETACHED or state.unit is None or state.unit.closed:
            self._attach(obj)
        own = self._own_state(obj)
        own.status = DELETED
        self.tracked.pop(id(obj), None)
        self.deleted[id(obj)] = obj

    def _check_addable(self, obj: Any) -> None:
        state, mapper = obj._state, mapper_of(obj)
        if state is TRANSIENT or state.unit is self:
            return
        if state.unit is not None and not state.unit.closed:
            raise ObjectStateError(f"this {mapper.name} belongs to another session: commit and close that one first")
        key = mapper.stored_key_of(obj)
        known = self.identity.get(mapper, key)
        if known is not None and known is not obj:
            raise ObjectStateError(
                f"the session already has another object for {mapper.name} {key!r}: change that one instead"
            )

    def _second_of_a_row(self, objects: list[Any], given: set[int]) -> set[int]:
        """Check objects that have rows; return the ids of those that another one of them stands for.

        These were not `given`, only reached, and have no changes to lose: any other second object is refused.
        """
        coming: dict[tuple[Mapper, Any], Any] = {}
        left_out: set[int] = set()
        for obj in objects:
            self._check_addable(obj)
            mapper = type(obj).__mapper__
            if obj._state.unit is self or not mapper.primary_key:
                continue
            key = mapper.stored_key_of(obj)
            if coming.setdefault((mapper, key), obj) is obj:
                continue
            if id(obj) in given or obj._state.original:
                raise ObjectStateError(f"two of the objects to be added are {mapper.name} {key!r}: add one of them")
            left_out.add(id(obj))
        return left_out

    def _is_stood_for(self, obj: Any) -> bool:
        """Tell whether the session has another object for the row of this one, which has no changes to lose."""
        state = obj._state
        if state is TRANSIENT or state.unit is self or state.original:
            return False
        known = self.identity.get(state.mapper, state.mapper.stored_key_of(obj))
        return known is not None and known is not obj

    def _add(self, obj: Any) -> None:
        state = obj._state
        if state.unit is self:
            if state.status == DELETED and id(obj) in self.deleted:
                del self.deleted[id(obj)]
                if isinstance(state, Deleted):
                    set_state(obj, state.before)
                else:
                    state.status = PERSISTENT
                    self.tracked[id(obj)] = obj
            self.check_alive(obj)
        else:
            self._attach(obj)

    def _add_new(self, obj: Any, mapper: Mapper) -> None:
        set_state(obj, self._pending_state(mapper))
        self.new[id(obj)] = obj
        if id(obj) in self.returned:
            _rejoin(obj)

    def _add_all_new(self, objects: list[Any]) -> None:
        """Register new objects that no rollback has taken from the session: of a graph, in a third of the time."""
        new, pending = self.new, self._pending
        for obj in objects:
            cls: Any = type(obj)
            if cls not in pending:
                _ = self._pending_state(cls.__mapper__)
            set_state(obj, pending[cls])
            new[id(obj)] = obj

    def _pending_state(self, mapper: Mapper) -> Pending:
        found = self._pending.get(mapper.cls)
        if found is None:
            found = self._pending[mapper.cls] = Pending(self, mapper)
        return found

    def _attach(self, obj: Any) -> None:
        """Take in a detached object, with the changes that it remembers."""
        mapper = type(obj).__mapper__
        if mapper.primary_key:
            self.identity.put(mapper, mapper.stored_key_of(obj), obj)
        original = obj._state.original
        if original:
            state = State(self, mapper, PERSISTENT)
            state.original.update(original)
            set_state(obj, state)
            self.tracked[id(obj)] = obj
        else:
            set_state(obj, self.clean(mapper))

    def _own_state(self, obj: Any) -> State:
        state = obj._state
        return state if isinstance(state, State) else state.own(obj)

    def _revert(self, obj: Any) -> None:
        """Undo the changes of a persistent object that were not flushed."""
        mapper = type(obj).__mapper__
        for key, old in obj._state.original.items():
            put_back(obj, key, old)
        forget_misnamed(obj)
        self.tracked.pop(id(obj), None)
        set_state(obj, obj._state.batch or self.clean(mapper))


def _mappers(objects: Objects) -> set[Mapper]:
    classes: set[Any] = set(map(type, objects.values()))  # a third of the time of asking each object
    return {cls.__mapper__ for cls in classes}


def _checked(obj: Any) -> Any:
    if isinstance(obj, type):
        raise NotMappedError(f"add and delete take an object, not the class {obj.__name__}")
    if isinstance(obj, list | tuple | set | frozenset):
        raise NotMappedError(f"add and delete take one object, not a {type(obj).__name__}: add_all takes several")
    _ = mapper_of(obj)
    return obj


def _rejoin(obj: Any) -> None:
    """Show an object that a rollback took off the lists of others on them again."""
    for relation in type(obj).__mapper__.all_relations():
        value, back = obj.__dict__.get(relation.key), relation.back
        if value is None or back is None or not (relation.outgoing or relation.secondary is not None):
            continue
        for other in value if isinstance(value, list) else (value,):
            back.add_loaded(other, obj)


def _reachable(start: list[Any]) -> tuple[list[Any], bool]:
    """Return the objects of `start`, and new and detached ones that hang on them through loaded relations.

    In the order in which they were given, which their keys will follow; and whether none of them was ever in a session.
    """
    found, seen = list(start), set(map(id, start))
    are_new = not [obj for obj in start if obj._state is not TRANSIENT]
    for obj in found:  # which grows meanwhile
        values = obj.__dict__
        for name in type(obj).__mapper__.related_names:
            if name not in values:
                continue
            value = values[name]
            if value is None or id(value) in seen:  # most lead back to where it was found
                continue
            for item in value if isinstance(value, list) else (value,):
                if id(item) in seen:
                    continue
                state = item._state
                if state is TRANSIENT:
                    seen.add(id(item))
                    found.append(item)
                elif state.unit is None or state.unit.closed:
                    are_new = False
                    seen.add(id(item))
                    found.append(item)
    return found, are_new
