"""The identity map: one object for each row in a session, found by primary key, held weakly.

For each mapper it is a plain dictionary from key to `weakref.ref`. References have no callback (that would cost more
than the look-up); dead ones are swept when a map has grown to twice what was alive at the last sweep.
"""

from __future__ import annotations

import weakref
from typing import Any, TypeAlias

from psqlmodel.model.mapper import Mapper
from psqlmodel.model.state import Presumed

Map: TypeAlias = dict[Any, "weakref.ref[Any]"]

_FIRST_SWEEP = 1024


class IdentityMap:
    """The objects of one session by class and primary key (a value, or a tuple for a composite key)."""

    __slots__ = ("_due", "_maps", "by_class")

    def __init__(self) -> None:
        self._maps: dict[Mapper, Map] = {}
        self.by_class: dict[type, Map] = {}  # the same maps: who asks by class and key needs no mapper
        self._due: dict[Mapper, int] = {}

    def of(self, mapper: Mapper) -> Map:
        """Return the map of one class, for loaders that look up and enter many rows."""
        found = self._maps.get(mapper)
        if found is None:
            found = self._maps[mapper] = self.by_class[mapper.cls] = {}
            self._due[mapper] = _FIRST_SWEEP
        return found

    def get(self, mapper: Mapper, key: Any) -> Any:
        """Return the object with this key, or None; one that is presumed to be deleted is left to who loads rows."""
        found = self._maps.get(mapper)
        if found is None:
            return None
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
            del self._maps[mapper][key]

    def sweep_if_due(self, mapper: Mapper, coming: int = 0) -> None:
        """Drop the dead references of one class if enough entries came since the last time.

        `coming`: how many a loader is about to enter; they live, so it is the older ones that are looked at.
        """
        entries = self._maps[mapper]
        if len(entries) + coming < self._due[mapper]:
            return
        for key in [key for key, reference in entries.items() if reference() is None]:
            del entries[key]
        self._due[mapper] = max(_FIRST_SWEEP, 2 * (len(entries) + coming))

    def objects(self, mapper: Mapper) -> list[Any]:
        """Return the living objects of one class, without those that are presumed to be deleted."""
        found = [reference() for reference in list(self._maps.get(mapper, {}).values())]
        return [obj for obj in found if obj is not None and obj._state.__class__ is not Presumed]

    def mappers(self) -> list[Mapper]:
        """Return the classes of which objects were entered."""
        return list(self._maps)

    def clear(self) -> None:
        """Forget all objects."""
        self._maps.clear()
        self.by_class.clear()
        self._due.clear()
