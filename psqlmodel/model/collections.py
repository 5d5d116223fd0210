"""RelationList: the list that a to-many relation gives, which tells its relation what the program adds and removes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

from psqlmodel.model.state import DELETED, PENDING, TRANSIENT, Raw

if TYPE_CHECKING:
    from psqlmodel.model.base import PSQLModel
    from psqlmodel.model.relations import RelationInfo


class RelationList(list[Any]):
    """A list of related objects whose changes reach the other side at once and the database at the next flush."""

    __slots__ = ("_ids", "owner", "relation", "whole")

    def __init__(self, relation: RelationInfo, owner: PSQLModel, items: Iterable[Any]) -> None:
        super().__init__(items)
        self.relation = relation
        self.owner = owner
        self._ids: set[int] | None = None  # of its objects; made at the first change
        self.whole = False  # the program said what all of it is

    def __reduce__(self) -> tuple[Any, ...]:
        return (list, (list(self),))

    # --- what loading and the other side do: no event -------------------------------------------------------------

    def remember(self) -> None:
        """Keep the content from before the first change, for the flush and for rollback."""
        state, key = self.owner._state, self.relation.key
        if state is not TRANSIENT and state.status != PENDING and key not in state.original:
            state.before_change(self.owner, key, Raw(list(self)))

    def add_silently(self, item: Any) -> None:
        """Add an item whose link is already made."""
        if id(item) not in self._known():
            self.remember()
            list.append(self, item)
            self._known().add(id(item))

    def drop_silently(self, *items: Any) -> None:
        """Remove items whose links are already undone: all in one pass."""
        gone = self._known().intersection(map(id, items))
        if gone:
            self.remember()
            list.__setitem__(self, slice(None), [item for item in self if id(item) not in gone])
            self._known().difference_update(gone)

    def replace_loaded(self, items: Iterable[Any]) -> None:
        """Take over what a query loaded."""
        list.__setitem__(self, slice(None), list(items))
        self._ids = None

    def _known(self) -> set[int]:
        if self._ids is None:
            self._ids = set(map(id, self))
        return self._ids

    def filter(self, *conditions: Any) -> Any:
        """Return the query of those related rows that meet all conditions: it asks the database, not this list.

        Its `.all()`, `.first()` and so on run it in the current session; they are awaited in an `AsyncSession`.

            user.orders.filter(Order.total > 10).OrderBy(Order.total).all()
        """
        return self.relation.rows_of(self.owner).Where(*conditions)

    # --- what the program does ------------------------------------------------------------------------------------

    def append(self, item: Any) -> None:
        """Add an object at the end; one that is in the list already stays where it is."""
        self.relation.check(item)
        if id(item) not in self._known():
            self.add_silently(item)
            self._link((item,))

    def extend(self, items: Iterable[Any]) -> None:
        """Add objects at the end, all or none."""
        coming = list(items)
        for item in coming:
            self.relation.check(item)
        for item in coming:
            self.append(item)

    def insert(self, index: SupportsIndex, item: Any) -> None:
        """Add an object before position `index`."""
        position = index.__index__()
        self[position:position] = (item,)

    def __iadd__(self, items: Iterable[Any]) -> RelationList:  # type: ignore[misc]
        self.extend(items)
        return self

    def __imul__(self, count: SupportsIndex) -> RelationList:
        raise TypeError(f"{self.relation!r} can't hold an object twice")

    def remove(self, item: Any) -> None:
        """Remove an object; raises `ValueError` if it is not in the list."""
        del self[self.index(item)]

    def pop(self, index: SupportsIndex = -1) -> Any:
        """Remove and return the object at position `index`."""
        item = self[index]
        del self[index]
        return item

    def clear(self) -> None:
        """Remove all objects."""
        self[:] = ()

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        if not isinstance(index, slice):
            item = self[index]
            self.drop_silently(item)
            self._unlink(item)
            return
        kept = list(self)
        del kept[index]
        self._become(kept)

    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        self.whole = self.whole or index == slice(None)
        wanted = list(self)
        if isinstance(index, slice):
            wanted[index] = list(value)
        else:
            wanted[index] = value
        self._become(wanted)

    def _become(self, wanted: list[Any]) -> None:
        """Change to the wanted content: an object is there once, and each that comes or goes is linked or unlinked."""
        before = {id(item): item for item in self}
        after = dict(zip(map(id, wanted), wanted, strict=True))
        coming = [item for key, item in after.items() if key not in before] if before else list(after.values())
        going = [item for key, item in before.items() if key not in after]
        target = self.relation.target.cls
        for item in coming:
            if not isinstance(item, target) or item._state.status == DELETED:
                self.relation.check(item)  # says what it is
        self.remember()
        list.__setitem__(self, slice(None), list(after.values()))
        self._ids = set(after)
        for item in going:
            self._unlink(item)
        self._link(coming)

    def _link(self, items: Sequence[PSQLModel]) -> None:
        back = self.relation.back
        if back is not None and self.relation.secondary is None:
            back.link_all(items, self.owner, self.relation)
        elif back is not None:
            for item in items:
                back.add_loaded(item, self.owner)
        unit = self.owner._state.unit
        if unit is not None:
            for item in items:
                unit.adopt(item)

    def _unlink(self, item: PSQLModel) -> None:
        back = self.relation.back
        if back is None:
            return
        if self.relation.secondary is not None:
            back.drop_loaded(item, self.owner)
        else:
            back.link(item, None)


def distinct(items: Iterable[Any]) -> Iterator[Any]:
    """Give each object once, by identity."""
    seen: set[int] = set()
    for item in items:
        if id(item) not in seen:
            seen.add(id(item))
            yield item
