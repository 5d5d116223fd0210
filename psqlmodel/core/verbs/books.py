"""The books of a session, to be looked at: what is new, changed, deleted, and what was before. Sends nothing.

Only `expunge` and `expunge_all` change them: objects leave the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psqlmodel.core.unitofwork.collect import changed_columns
from psqlmodel.core.verbs.written import listed
from psqlmodel.errors import ObjectStateError
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.state import DELETED, DETACHED, PENDING, TRANSIENT, UNSET, Raw, State, set_state

if TYPE_CHECKING:
    from psqlmodel.core.unitofwork.unit import UnitOfWork


def new(unit: UnitOfWork) -> tuple[Any, ...]:
    """Return the objects that wait for their first flush."""
    return tuple(unit.new.values())


def dirty(unit: UnitOfWork) -> tuple[Any, ...]:
    """Return the objects with changes that were not flushed."""
    return tuple(obj for obj in unit.tracked.values() if changes(obj))


def deleted(unit: UnitOfWork) -> tuple[Any, ...]:
    """Return the objects that the next flush deletes."""
    return tuple(unit.deleted.values())


def changes(obj: Any) -> dict[str, tuple[Any, Any]]:
    """Return what the program changed in an object since its last flush: old and new value by attribute.

    A value that was not known is None; a to-many relation gives two lists.
    """
    _ = listed(obj, "changes")
    mapper = type(obj).__mapper__
    if obj._state is TRANSIENT or obj._state.status == PENDING:
        return {key: (None, value) for key, value in obj._values().items()}
    columns = changed_columns(obj)
    found: dict[str, tuple[Any, Any]] = {}
    for key, old in obj._state.original.items():
        if key in columns:
            found[key] = (_old(mapper, key, old), obj.__dict__.get(key))
        elif key in mapper.relations and key in obj.__dict__:
            before, after = _related(mapper, key, old), obj.__dict__[key]
            if isinstance(after, list):
                after = list(after)
                if {id(item) for item in before or ()} == {id(item) for item in after}:
                    continue
            if before is not after:
                found[key] = (before, after)
    return found


def _old(mapper: Mapper, key: str, old: Any) -> Any:
    if old is UNSET:
        return None
    if not isinstance(old, Raw):
        return old
    load = mapper.attributes[key].pg_type.load
    return old.wire if load is None else load(old.wire)


def _related(mapper: Mapper, key: str, old: Any) -> Any:
    if isinstance(old, Raw):
        return list(old.wire)
    return None if old is UNSET else old


def expunge(unit: UnitOfWork, obj: Any) -> None:
    """Let an object go: a new one is transient again, another one detached, with the changes that it has.

    Raises `ObjectStateError` for an object that is not the session's.
    """
    _ = listed(obj, "expunge")
    state, mapper = obj._state, type(obj).__mapper__
    if not unit.contains(obj):
        raise ObjectStateError(f"expunge: this {mapper.name} does not belong to this session")
    unit.undo.forget(obj)
    if state.status == PENDING:
        unit.forget_new(obj)
        return
    unit.identity.discard(mapper, mapper.stored_key_of(obj), obj)
    unit.tracked.pop(id(obj), None)
    waiting = unit.deleted.pop(id(obj), None)
    if state.status == DELETED and waiting is None:
        set_state(obj, TRANSIENT)  # its row is gone
        return
    if not state.original:
        set_state(obj, mapper.detached)
        return
    own = State(None, mapper, DETACHED)
    own.original.update(state.original)
    set_state(obj, own)
