"""Reads: whether anybody reads the relations that a trace watches. Nothing here sends a request.

A loaded to-one relation is a plain value of its object, which nobody sees being read. So a class whose relation is
watched has, as long as that lasts, a property in its place: it reads and writes what was read and written before, and
notes it. Where nothing is watched there is none.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from psqlmodel.model.relations import RelationInfo
from psqlmodel.model.state import missing

if TYPE_CHECKING:
    from psqlmodel.model.base import PSQLModel

# Who asks there whether a relation is loaded keeps books; elsewhere (`to_dict`) it is read.
_BOOKKEEPING = ("psqlmodel.core.", "psqlmodel.model.relations")
_lock = threading.Lock()


class Reads:
    """When relations were last read, as far as they are watched."""

    def __init__(self) -> None:
        self._last: dict[RelationInfo, float] = {}
        self._watched: set[RelationInfo] = set()

    def watch(self, relation: RelationInfo) -> None:
        """Watch a relation from now on."""
        with _lock:
            if relation not in self._watched:
                self._watched.add(relation)
                _property_of(relation).readers.append(self)

    def note(self, relation: RelationInfo) -> None:
        """Note that a relation is read now."""
        self._last[relation] = time.perf_counter()

    def since(self, relation: RelationInfo, moment: float) -> bool:
        """Tell whether a relation was read after `moment`, of `time.perf_counter`."""
        return self._last.get(relation, -1.0) >= moment

    def close(self) -> None:
        """Watch no more."""
        with _lock:
            for relation in self._watched:
                _property_of(relation).leave(self)
            self._watched = set()


class _Watched:
    """The property in the place of a watched relation."""

    def __init__(self, relation: RelationInfo) -> None:
        self.relation = relation
        self.readers: list[Reads] = []

    def __get__(self, obj: PSQLModel | None, owner: type[PSQLModel]) -> Any:
        key = self.relation.key
        if obj is None:
            return owner.__mapper__.relations[key]
        self.note()
        values = obj.__dict__
        return values[key] if key in values else missing(obj, key)

    def __set__(self, obj: PSQLModel, value: Any) -> None:
        raise AssertionError("a model writes its relations itself")  # that there is one makes `__get__` be asked

    def note(self) -> None:
        for reader in self.readers:
            reader.note(self.relation)

    def loaded(self, obj: Any) -> Any:
        """Stand in for `RelationInfo.loaded`."""
        if not str(sys._getframe(1).f_globals.get("__name__", "")).startswith(_BOOKKEEPING):
            self.note()
        return RelationInfo.loaded(self.relation, obj)

    def leave(self, reads: Reads) -> None:
        self.readers.remove(reads)
        if not self.readers:
            type.__delattr__(self.relation.mapper.cls, self.relation.key)
            del self.relation.__dict__["loaded"]


def _property_of(relation: RelationInfo) -> _Watched:
    """Return the property of a relation; make it where there is none."""
    cls = relation.mapper.cls
    found = cls.__dict__.get(relation.key)
    if not isinstance(found, _Watched):
        found = _Watched(relation)
        type.__setattr__(cls, relation.key, found)
        relation.__dict__["loaded"] = found.loaded
    return found
