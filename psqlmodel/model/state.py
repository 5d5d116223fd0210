"""States: where an instance stands between its program and the database.

Every instance carries one object in its `_state` slot, and a write to an attribute goes through it:

- `TRANSIENT`, shared by all instances that no session knows;
- a `Pending`, shared by all new instances of one class that wait in one session for their rows;
- a `Clean`, shared by all unmodified persistent instances of one class in one session (so that loading a row costs
  one attribute, and closing the session detaches them all at once);
- a `Deleted`, shared by all unmodified instances of a `Clean` that are deleted;
- a `State` of its own for an instance that is modified, or deleted with modifications. It remembers the values from
  before.

Values that can be edited in place (JSON, arrays, hstore, relation lists) arrive *raw*, under the name that `raw_name`
gives; `__getattr__` hands out a copy at the first access and tells the unit of work to watch it. What nobody touches
costs nothing. Nothing here sends a request: what is missing is asked of the unit of work.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, Protocol

from psqlmodel.errors import NotLoadedError

if TYPE_CHECKING:
    from psqlmodel.model.base import PSQLModel
    from psqlmodel.model.mapper import Mapper

PENDING: Final = "pending"
PERSISTENT: Final = "persistent"
DELETED: Final = "deleted"
DETACHED: Final = "detached"


class Unset:
    """The value of what has none."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()


class Raw:
    """A raw value kept where an original value is expected: it is put back under its raw name."""

    __slots__ = ("wire",)

    def __init__(self, wire: Any) -> None:
        self.wire = wire


def raw_name(key: str) -> str:
    """Return the name under which the raw form of attribute `key` lies in the instance."""
    return "_raw_" + key


class Unit(Protocol):
    """What states ask of the unit of work that they belong to."""

    closed: bool
    identity: Any
    tracked: dict[int, Any]  # the instances that were given a state of their own, by id
    undo: Any  # remembers what its instances were, for a rollback
    orphaned: list[tuple[Any, Any]]  # new instances that were taken from a parent, with the relation to it

    def load_missing(self, obj: Any, key: str) -> Any:
        """Load an attribute that is read and not there, or raise."""
        ...

    def adopt(self, obj: Any) -> None:
        """Add an instance that was linked to one of its own."""
        ...

    def check_alive(self, obj: Any) -> None:
        """Refuse an instance whose row a flush has deleted."""
        ...

    def revive(self, obj: Any) -> None:
        """Take back that an instance is deleted: its row came."""
        ...


class _Rowless:
    """The states of instances that have no row: a write is no change, so nothing is remembered."""

    __slots__ = ()
    original: Final[dict[str, Any]] = {}
    batch: Final = None

    def write(self, obj: PSQLModel, key: str, value: Any) -> None:
        """Write an attribute."""
        mapper = type(obj).__mapper__
        if key in mapper.attributes:
            obj.__dict__[key] = value
            if key in mapper.links_of_column:
                mapper.unlink_changed_key(obj, key)
        elif key in mapper.relations:
            mapper.relations[key].assign(obj, value)
        else:
            mapper.write_other(obj, key, value)

    def before_change(self, obj: PSQLModel, key: str, old: Any) -> None:
        """Nothing to remember: no database row stands behind the instance."""


class _Transient(_Rowless):
    """The state of an instance that no session knows."""

    __slots__ = ()
    unit: Final[Unit | None] = None
    status: Final = "transient"


class Pending(_Rowless):
    """The state of all instances of one class that wait in one session for their rows.

    Shared, since nothing is remembered of them: `add` takes a sixth less time than with a state for each.
    """

    __slots__ = ("mapper", "unit")
    status: Final = PENDING

    def __init__(self, unit: Unit, mapper: Mapper) -> None:
        self.unit = unit
        self.mapper = mapper


TRANSIENT: Final = _Transient()


class State:
    """The state of one instance that is modified, deleted, or detached with modifications."""

    __slots__ = ("batch", "mapper", "original", "status", "unit")

    def __init__(
        self,
        unit: Unit | None,
        mapper: Mapper,
        status: str,
        batch: Batch | None = None,
        original: dict[str, Any] | None = None,
    ) -> None:
        self.unit = unit
        self.mapper = mapper
        self.status = status
        self.batch = batch
        self.original: dict[str, Any] = {} if original is None else original

    def write(self, obj: PSQLModel, key: str, value: Any) -> None:
        """Write an attribute, and remember what it was."""
        mapper = self.mapper
        if key in mapper.attributes:
            values = obj.__dict__
            if key not in self.original:
                self.original[key] = values[key] if key in values else _raw_or_unset(values, key)
            values[key] = value
            if key in mapper.mutable:
                values.pop(raw_name(key), None)
            if key in mapper.links_of_column:
                mapper.unlink_changed_key(obj, key)
        elif key in mapper.relations:
            mapper.relations[key].assign(obj, value)
        else:
            mapper.write_other(obj, key, value)

    def before_change(self, obj: PSQLModel, key: str, old: Any) -> None:
        """Remember the value of `key` from before its first change."""
        if key not in self.original:
            self.original[key] = old


class Presumed(State):
    """The state of one instance whose row ON DELETE took along, as far as the session can know.

    Its key led to a deleted row when it was read. Someone else may have given the row another key since, so that it
    lives: then whatever brings the row makes the instance persistent again.
    """

    __slots__ = ()


class _Unmodified:
    """The states that unmodified instances share: one that is written to is given a state of its own first."""

    __slots__ = ("mapper", "unit")
    original: Final[dict[str, Any]] = {}
    mapper: Mapper
    unit: Unit | None

    def own(self, obj: PSQLModel) -> State:
        """Give `obj` a state of its own, and return it."""
        raise NotImplementedError

    def write(self, obj: PSQLModel, key: str, value: Any) -> None:
        """Write an attribute, and remember what it was."""
        mapper = self.mapper
        if key in mapper.attributes or key in mapper.relations:
            self.own(obj).write(obj, key, value)
        else:
            mapper.write_other(obj, key, value)

    def before_change(self, obj: PSQLModel, key: str, old: Any) -> None:
        """Remember the value of `key` from before its first change."""
        self.own(obj).before_change(obj, key, old)


class Clean(_Unmodified):
    """The state of all unmodified persistent instances of one class in one session."""

    __slots__ = ("__weakref__",)

    def __init__(self, unit: Unit | None, mapper: Mapper) -> None:
        self.unit = unit
        self.mapper = mapper

    @property
    def status(self) -> str:
        """Persistent, or detached once the session is closed."""
        return DETACHED if self.unit is None or self.unit.closed else PERSISTENT

    @property
    def batch(self) -> Batch | None:
        """The result that its instances came from together, where there is one."""
        return None

    def own(self, obj: PSQLModel) -> State:
        """Give `obj` a state of its own, known to the unit of work, and return it."""
        unit = self.unit
        if unit is None or unit.closed:
            state = State(None, self.mapper, DETACHED, self.batch)
        else:
            state = State(unit, self.mapper, PERSISTENT, self.batch)
            unit.tracked[id(obj)] = obj
        set_state(obj, state)
        return state


class Batch(Clean):
    """The state of the unmodified instances of one class that one result brought.

    What one of them lacks is loaded for all: `members` are weak references to them (an object has just one, which the
    identity map has, too).
    """

    __slots__ = ("members",)

    def __init__(self, unit: Unit | None, mapper: Mapper) -> None:
        super().__init__(unit, mapper)
        self.members: list[weakref.ref[Any]] = []

    @property
    def batch(self) -> Batch | None:
        """The result itself."""
        return self

    def bring(self, objects: Sequence[Any]) -> None:
        """Note the instances that came together; None among them is no instance."""
        try:
            self.members += list(map(weakref.ref, objects))
        except TypeError:  # of None there is no reference
            self.members += [weakref.ref(obj) for obj in objects if obj is not None]


class Deleted(_Unmodified):
    """The state of the unmodified instances of one `Clean`, `before`, that wait for their deletion or have no row left.

    Shared, so that a deletion of many is not a state for each: with what follows from that (no entry in the undo log
    for each, no look at each after the commit) a third of the time.
    """

    __slots__ = ("before",)
    status: Final = DELETED

    def __init__(self, before: Clean) -> None:
        self.unit = before.unit
        self.mapper = before.mapper
        self.before = before

    @property
    def batch(self) -> Batch | None:
        """The result that its instances came from together, where there is one."""
        return self.before.batch

    def own(self, obj: PSQLModel) -> State:
        """Give `obj` a state of its own, deleted as before, and return it."""
        state = State(self.unit, self.mapper, DELETED, self.batch)
        set_state(obj, state)
        return state


def _raw_or_unset(values: dict[str, Any], key: str) -> Any:
    name = raw_name(key)
    return Raw(values[name]) if name in values else UNSET


class Instance:
    """The memory layout of every model instance, so that a loader's plain twin can become the model class."""

    __slots__ = ("__dict__", "__weakref__", "_state")
    __dict__: dict[str, Any]
    _state: Any


set_state = Instance.__dict__["_state"].__set__


def set_states(objects: Iterable[Any], state: Any) -> None:
    """Give many instances one state: nothing in Python is called for each."""
    deque(map(set_state, objects, repeat(state)), maxlen=0)


def missing(obj: PSQLModel, key: str) -> Any:
    """Answer for attribute `key` that is not in the instance: hand out its raw value, or load it, or raise.

    Raises `NotLoadedError` where loading is not possible, `AttributeError` where there is no such attribute.
    """
    mapper = type(obj).__mapper__
    values = obj.__dict__
    raw = raw_name(key)
    if raw in values:
        return mapper.hand_out(obj, key, values.pop(raw))
    state = obj._state
    if key in mapper.relations:
        relation = mapper.relations[key]
        if state is TRANSIENT or state.status == PENDING:
            return relation.empty(obj)
        found = relation.from_identity(obj)
        if found is not UNSET:
            return found
    elif key not in mapper.attributes:
        raise AttributeError(mapper.no_attribute(key))
    elif state is TRANSIENT or state.status == PENDING:
        return None
    if state.unit is None:
        raise NotLoadedError(
            f"{mapper.name}.{key} is not loaded and the object is {state.status}: no session can load it; "
            f"load it before the session ends (.Include({mapper.name}.{key})) or add the object to a session"
        )
    return state.unit.load_missing(obj, key)
