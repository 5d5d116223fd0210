"""The identity map: one object for each row in a session, found by primary key, held weakly.

For each mapper it is a plain dictionary from key to `weakref.ref`. References have no callback (that would cost more
than the look-up); dead ones are swept when a map has grown to twice what was alive at the last sweep.

The objects of the first result of a class, and new ones, wait for their map until somebody looks for one of them, which
many programs never do: to look up and enter each of 100,000 is a fifth of the cost of loading them.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, TypeAlias

from psqlmodel.model.mapper import Mapper
from psqlmodel.model.state import DELETED, PENDING, Presumed

Map: TypeAlias = dict[Any, "weakref.ref[Any]"]

_FIRST_SWEEP = 1024
_FEW = 64  # objects: to copy their references costs a thirtieth of the map of them


class IdentityMap:
    """The objects of one session by class and primary key (a value, or a tuple for a composite key)."""

    __slots__ = ("_due", "_left", "_waiting", "by_class")

    def __init__(self) -> None:
        self.by_class: dict[type, Map] = {}
        self._due: dict[Mapper, int] = {}
        self._waiting: dict[Mapper, list[weakref.ref[Any]]] = {}  # of classes that have no map
        self._left: set[Mapper] = set()  # of these, objects were removed that wait yet

    def of(self, mapper: Mapper) -> Map:
        """Return the map of one class, for loaders that look up and enter many rows."""
        found = self.by_class.get(mapper.cls)
        if found is None:
            found = self._entries_that_wait(mapper) if mapper in self._waiting else {}
            self.by_class[mapper.cls] = found
            self._due[mapper] = max(_FIRST_SWEEP, 2 * len(found))
        return found

    def enter_later(self, mapper: Mapper, references: list[weakref.ref[Any]]) -> None:
        """Take in the objects of a class that has none yet, no two of one row; its map is made when it is needed.

        `references` may be shared; who else has them must not change them.
        """
        assert mapper not in self._waiting
        entries = self.by_class.pop(mapper.cls, None)
        assert not entries
        self._waiting[mapper] = references

    def knows(self, mapper: Mapper) -> bool:
        """Tell whether there are objects of a class."""
        return bool(self.of(mapper) if mapper in self._waiting else self.by_class.get(mapper.cls))

    def may_know(self, mapper: Mapper) -> bool:
        """Tell the same without making a map: there were some, at least."""
        return mapper in self._waiting or bool(self.by_class.get(mapper.cls))

    def enter(self, mapper: Mapper, objects: Sequence[Any]) -> None:
        """Enter new objects, whose keys are known now; where no others or a few wait for their map they wait, too."""
        references = list(map(weakref.ref, objects))
        waiting = self._waiting.get(mapper, [])
        if len(waiting) < _FEW and mapper not in self._left and not self.by_class.get(mapper.cls):
            _ = self.by_class.pop(mapper.cls, None)
            self._waiting[mapper] = waiting + references
            return
        self.of(mapper).update(zip(mapper.keys_of(objects), references, strict=True))
        self.sweep_if_due(mapper)

    def _entries_that_wait(self, mapper: Mapper) -> Map:
        living = [obj for reference in self._waiting.pop(mapper) if (obj := reference()) is not None]
        if mapper in self._left:
            self._left.discard(mapper)
            living = list(filter(self._is_here, living))
        return dict(zip(mapper.stored_keys_of(living), map(weakref.ref, living), strict=True))

    def _is_here(self, obj: Any) -> bool:
        """Tell by its state whether an object was not removed while it waited."""
        state = obj._state
        unit = state.unit
        if unit is None or unit.identity is not self or state.status == PENDING:
            return False
        return state.status != DELETED or state.__class__ is Presumed or id(obj) in unit.deleted

    def get(self, mapper: Mapper, key: Any) -> Any:
        """Return the object with this key, or None; one that is presumed to be deleted is left to who loads rows."""
        found = self.by_class.get(mapper.cls)
        if found is None:
            if mapper not in self._waiting:
                return None
            found = self.of(mapper)
        reference = found.get(key)
        obj = None if reference is None else reference()
        return None if obj is None or obj._state.__class__ is Presumed else obj

    def put(self, mapper: Mapper, key: Any, obj: Any) -> None:
        """Enter an object."""
        self.of(mapper)[key] = weakref.ref(obj)
        self.sweep_if_due(mapper)

    def discard(self, mapper: Mapper, key: Any, obj: Any) -> None:
        """Remove `obj`, if it is what stands under this key."""
        reference = self.of(mapper).get(key)
        if reference is not None and reference() is obj:
            del self.by_class[mapper.cls][key]

    def remove(self, mapper: Mapper, objects: Sequence[Any]) -> None:
        """Remove objects of one class whose rows are gone, those that are what stands under their keys.

        Where many of those that wait for their map go, their states tell it when the map is made, which is mostly
        never: to take each out at once is a tenth of the time of a deletion.
        """
        if 0 < len(self._waiting.get(mapper, ())) <= 2 * len(objects):
            self._left.add(mapper)
            return
        entries = self.of(mapper)
        for obj, key in zip(objects, mapper.stored_keys_of(objects), strict=True):
            reference = entries.get(key)
            if reference is not None and reference() is obj:
                del entries[key]

    def sweep_if_due(self, mapper: Mapper, coming: int = 0) -> None:
        """Drop the dead references of one class if enough entries came since the last time.

        `coming`: how many a loader is about to enter; they live, so it is the older ones that are looked at.
        """
        entries = self.of(mapper)
        if len(entries) + coming < self._due[mapper]:
            return
        for key in [key for key, reference in entries.items() if reference() is None]:
            del entries[key]
        self._due[mapper] = max(_FIRST_SWEEP, 2 * (len(entries) + coming))

    def objects(self, mapper: Mapper) -> list[Any]:
        """Return the living objects of one class, without those that are presumed to be deleted."""
        found = [reference() for reference in list(self.of(mapper).values())]
        return [obj for obj in found if obj is not None and obj._state.__class__ is not Presumed]

    def mappers(self) -> list[Mapper]:
        """Return the classes of which objects were entered."""
        known: list[Any] = list(self.by_class)
        return [*(cls.__mapper__ for cls in known), *self._waiting]

    def clear(self) -> None:
        """Forget all objects."""
        self.by_class.clear()
        self._due.clear()
        self._waiting.clear()
        self._left.clear()
