"""Relations: how one class leads to another, found from the foreign keys, and what a change on one side means.

A `RelationInfo` is what `User.orders` gives on the class. Its kind and keys are resolved at first use. The link itself
is always the foreign key's: a to-many relation writes through the to-one relation on the other side (a hidden one
where the model declares none), so that there is one place where a link changes. Many-to-many lists remember their
content from before the first change; the flush writes the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from psqlmodel.errors import ObjectStateError
from psqlmodel.model.collections import RelationList
from psqlmodel.model.path import RelationPath
from psqlmodel.model.resolution import Resolution, find_back, resolve
from psqlmodel.model.state import DELETED, PENDING, TRANSIENT, UNSET, Raw, missing, raw_name

if TYPE_CHECKING:
    from psqlmodel.model.base import PSQLModel
    from psqlmodel.model.fields import Column, Relation
    from psqlmodel.model.mapper import Mapper

_RESOLVED = frozenset(Resolution.__slots__)


class RelationInfo(RelationPath):
    """One relation of one class; `User.orders` in queries.

    `.Where(…) .OrderBy(…) .Limit(n) .Offset(n) .Include(…)` give the path that `Include` loads, filtered per parent.
    After resolution it has the attributes of `Resolution`.
    """

    def __init__(self, mapper: Mapper, key: str, declared: Relation[Any]) -> None:
        super().__init__(self)
        self.mapper = mapper
        self.key = key
        self.slot = raw_name(key)
        self.declared = declared

    def __repr__(self) -> str:
        return f"{self.mapper.name}.{self.key}"

    def __getattr__(self, name: str) -> Any:
        # Only what resolution sets is missing, and only until the first use.
        if name not in _RESOLVED:
            raise AttributeError(self._no_attribute(name), name=name, obj=self)
        resolved = resolve(self)
        for slot in Resolution.__slots__:
            self.__dict__[slot] = getattr(resolved, slot)
        return self.__dict__[name]

    def _no_attribute(self, name: str) -> str:
        if name.startswith("_"):
            return f"{self!r} has no attribute {name!r}"
        return (
            f"{self!r} is a relation, and has no {name!r}: a condition on its objects names their columns, with "
            f".Join({self!r}) in the query or inside Exists(Select(…).Where(…))"
        )

    @property
    def back(self) -> RelationInfo | None:
        """The relation in the opposite direction; for a to-many one over a foreign key there always is one."""
        if "_back" not in self.__dict__:
            self.__dict__["_back"] = find_back(self)
        found: RelationInfo | None = self.__dict__["_back"]
        return found

    @property
    def local_keys(self) -> tuple[str, ...]:
        """The attributes of the class that take part in the key."""
        return tuple(column.key for column in self.local)

    @property
    def link_table(self) -> str | None:
        """The link table of a many-to-many relation, as queries spell it; None for other relations."""
        if self.declared.secondary is None:
            return None
        link = self.secondary[0]
        return str(getattr(link, "__source__", link).shape)

    # --- values --------------------------------------------------------------------------------------------------

    def empty(self, obj: PSQLModel) -> Any:
        """Give an object that has no row yet its empty relation."""
        if not self.many:
            return None
        value = obj.__dict__[self.key] = RelationList(self, obj, ())
        return value

    def wrap(self, obj: PSQLModel, loaded: Any) -> Any:
        """Turn what a loader attached into what the program gets; its objects lead back to `obj`."""
        if not self.many:
            return loaded
        back = self.back
        if back is not None and back.outgoing and back.key in back.mapper.relations:
            name, columns = back.key, [column.key for column in self.remote]
            key = [obj.__dict__.get(column.key) for column in self.local]
            for item in loaded:
                values = item.__dict__
                if name not in values and list(map(values.get, columns)) == key:
                    values[name] = obj
        return RelationList(self, obj, loaded)

    def from_identity(self, obj: PSQLModel) -> Any:
        """Answer a to-one relation without a query: no key, or the object is in the session; else UNSET."""
        if self.many or not self.outgoing:
            return UNSET
        key = self.key_from(obj)
        if key is None:
            return None
        unit = obj._state.unit
        if unit is None or key is UNSET or not self.to_primary_key:
            return UNSET
        found = unit.identity.get(self.target, key)
        if found is None:
            return UNSET
        obj.__dict__[self.key] = found
        return found

    def key_from(self, obj: PSQLModel) -> Any:
        """Return the key that `obj` holds for this relation: None if a part is NULL, UNSET if one is not loaded."""
        values = obj.__dict__
        if len(self.local) == 1:
            return values.get(self.local[0].key, UNSET)
        parts = [values.get(column.key, UNSET) for column in self.local]
        if any(part is None for part in parts):
            return None
        if any(part is UNSET for part in parts):
            return UNSET
        return tuple(parts)

    def attach(self, objects: list[Any], loaded: list[Any]) -> None:
        """Put what a query loaded into each object, where the program has not changed the relation meanwhile."""
        key, many = self.key, self.many
        slot = raw_name(key) if many else key
        for obj, value in zip(objects, loaded, strict=True):
            if key in obj._state.original:
                continue
            own = obj.__dict__
            if many and key in own:
                own[key].replace_loaded(value)
            else:
                own[slot] = value

    def loaded(self, obj: PSQLModel) -> Any:
        """Return the value if it is loaded, else UNSET; sends nothing."""
        values = obj.__dict__
        if self.key in values:
            return values[self.key]
        return values.get(raw_name(self.key), UNSET)

    # --- changes -------------------------------------------------------------------------------------------------

    def assign(self, obj: PSQLModel, value: Any) -> None:
        """Set the relation of `obj`: an object or None, or for to-many the whole list."""
        if self.many:
            self._check_list(value)
            current = obj.__dict__.get(self.key)
            if current is None and self._show_new(obj, value):
                return
            if current is None:
                current = missing(obj, self.key)
            current[:] = value
        elif self.outgoing:
            self.check(value)
            if value is not None:
                _check_alive(obj)
            self.link(obj, value)
        else:
            self.check(value)
            self._assign_inverse(obj, value)

    def _show_new(self, obj: PSQLModel, items: Any) -> bool:
        """Give a new object its first list, if all on it are new and point nowhere: in two fifths of the time.

        Returns whether they are; nothing is done if not.
        """
        back, target = self.back, self.target.cls
        if back is None or self.secondary is not None or obj._state is not TRANSIENT or self.slot in obj.__dict__:
            return False
        key = back.key
        for item in items:
            if not isinstance(item, target) or item._state is not TRANSIENT or key in item.__dict__:
                return False
        if len(set(map(id, items))) < len(items):
            return False
        made = obj.__dict__[self.key] = RelationList(self, obj, items)
        made.whole = True
        back.link_all(made, obj, self)
        return True

    def check(self, value: Any) -> None:
        """Refuse what is not an object of the target class (or None for a to-one relation)."""
        if value is None and not self.many:
            return
        if not isinstance(value, self.target.cls):
            raise ObjectStateError(
                f"{self!r} takes {self.target.name} objects{'' if self.many else ' or None'}, "
                f"not {type(value).__name__}"
            )
        if not self.outgoing:  # a key that leads to no row the server refuses
            _check_alive(value)

    def _check_list(self, value: Any) -> None:
        if type(value) is list:  # what nearly all are
            return
        if isinstance(value, str | bytes) or not isinstance(value, Sequence | set | frozenset):
            raise ObjectStateError(f"{self!r} takes a list of {self.target.name} objects, not {type(value).__name__}")

    def link(self, child: PSQLModel, parent: PSQLModel | None) -> None:
        """Point the foreign key of `child` at `parent`, and keep the lists on the other side in step."""
        values = child.__dict__
        old: Any = values.get(self.key, UNSET)
        if old is UNSET and child._state is not TRANSIENT:
            known = self.from_identity(child)
            old = UNSET if known is UNSET else known
        if old is parent and parent is not None:
            return
        child._state.before_change(child, self.key, old)
        values[self.key] = parent
        self.copy_key(child, parent)
        back = self.back
        if back is not None:
            if old is not UNSET and old is not None:
                back.drop_loaded(old, child)
            if parent is not None:
                back.add_loaded(parent, child)
        unit = child._state.unit
        if unit is not None and parent is not None:
            unit.adopt(parent)
        elif unit is not None and old is not UNSET and old is not None and child._state.status == PENDING:
            unit.orphaned.append((child, self))  # nothing else remembers that a new object had a parent

    def link_all(self, children: Iterable[PSQLModel], parent: PSQLModel, shown: RelationInfo) -> None:
        """Point the foreign keys of `children`, which the relation `shown` of `parent` shows already, at `parent`.

        A new child that points nowhere yet takes a fifth of the time of `link`.
        """
        key, pairs = self.key, zip(self.local, self.remote, strict=True)
        keys = [(ours.key, parent.__dict__.get(theirs.key)) for ours, theirs in pairs]
        known = [pair for pair in keys if pair[1] is not None]
        is_back = shown is self.back  # else there is another list to be kept in step
        for child in children:
            values = child.__dict__
            if child._state is TRANSIENT and key not in values and is_back:
                values[key] = parent
                if known:
                    values.update(known)
            else:
                self.link(child, parent)

    def copy_key(self, child: PSQLModel, parent: PSQLModel | None) -> None:
        """Write the key of `parent` into the foreign key columns of `child`, as far as it is known yet."""
        for ours, theirs in zip(self.local, self.remote, strict=True):
            value = None if parent is None else parent.__dict__.get(theirs.key)
            if value is None and (parent is not None or ours.primary_key):
                continue
            write_column(child, ours.key, value)

    def is_named_by(self, obj: PSQLModel) -> bool:
        """Tell whether the key columns of `obj` name the loaded target."""
        target = obj.__dict__[self.key]
        if target is None:
            return self.key_from(obj) is None
        held = [target.__dict__.get(column.key) for column in self.remote]
        return held == [obj.__dict__.get(column.key) for column in self.local]

    def forget_if_changed(self, obj: PSQLModel) -> None:
        """Forget the loaded target if the key columns no longer name it."""
        if self.is_named_by(obj):
            return
        target = obj.__dict__[self.key]
        obj._state.before_change(obj, self.key, target)
        del obj.__dict__[self.key]
        if target is not None and self.back is not None:
            self.back.drop_loaded(target, obj)

    def _assign_inverse(self, obj: PSQLModel, value: PSQLModel | None) -> None:
        """Set the side of a one-to-one relation that does not hold the key."""
        back = self.back
        assert back is not None
        old: Any = obj.__dict__.get(self.key, UNSET)
        if old is UNSET and obj._state is not TRANSIENT and obj._state.status != PENDING:
            old = missing(obj, self.key)
        if old is value:
            return
        if old is not UNSET and old is not None:
            back.link(old, None)
        if value is None:
            obj._state.before_change(obj, self.key, old)
            obj.__dict__[self.key] = None
            return
        back.link(value, obj)
        if obj._state.unit is not None:
            obj._state.unit.adopt(value)

    def add_loaded(self, parent: PSQLModel, child: PSQLModel) -> None:
        """Show `child` on this side of `parent`, if this side is loaded or the parent is new."""
        if not self.many:
            former = parent.__dict__.get(self.key, UNSET)
            if former is not UNSET and former is not None and former is not child and self.back is not None:
                self.back.link(former, None)  # one-to-one: who was there before is there no longer
            parent._state.before_change(parent, self.key, former)
            parent.__dict__[self.key] = child
            return
        value = self._list_if_loaded(parent)
        if value is not None:
            value.add_silently(child)

    def drop_loaded(self, parent: PSQLModel, *children: PSQLModel) -> None:
        """Take objects off this side of `parent`, if this side is loaded."""
        if self.many:
            value = self._list_if_loaded(parent)
            if value is not None:
                value.drop_silently(*children)
            return
        shown = parent.__dict__.get(self.key)
        if shown is not None and any(shown is child for child in children):
            parent._state.before_change(parent, self.key, shown)
            parent.__dict__[self.key] = None

    def show(self, parent: PSQLModel, *children: PSQLModel) -> None:
        """Show objects on this side, if it is loaded, without a trace: that is how it is in the database."""
        value = self.loaded(parent)
        if not self.many:
            if value is None:
                parent.__dict__[self.key] = children[-1]
            return
        there = () if value is UNSET else {id(item) for item in value}
        come = [] if value is UNSET else [child for child in children if id(child) not in there]
        if come:
            items = [*value, *come]
            if not self.declared.order_by:
                with suppress(TypeError):
                    items.sort(key=self.target.stored_key_of)
            _fill(value, items)

    def hide(self, parent: PSQLModel, *children: PSQLModel) -> None:
        """Take objects off this side, if it is loaded, without a trace: that is how it is in the database."""
        value = self.loaded(parent)
        gone = {id(child) for child in children}
        if not self.many:
            if id(value) in gone:
                parent.__dict__[self.key] = None
        elif value is not UNSET:
            _fill(value, [item for item in value if id(item) not in gone])

    def unload(self, parent: PSQLModel) -> None:
        """Forget what this side shows: it is loaded anew when it is asked for."""
        parent.__dict__.pop(self.key, None)
        parent.__dict__.pop(raw_name(self.key), None)

    def _list_if_loaded(self, parent: PSQLModel) -> RelationList | None:
        values = parent.__dict__
        is_new = parent._state is TRANSIENT or parent._state.status == PENDING
        if self.key in values or raw_name(self.key) in values or is_new:
            value: RelationList | None = values.get(self.key)
            return missing(parent, self.key) if value is None else value
        return None

    def rows_of(self, obj: PSQLModel) -> Any:
        """Return the query of the related rows of one object.

        Raises `ObjectStateError` for an object that has no row yet.
        """
        from psqlmodel.query.select import Select  # few ask for it

        key = self.key_from(obj)
        if key is None or key is UNSET:
            raise ObjectStateError(f"{self!r}.filter asks the database, where this {self.mapper.name} has no row yet")
        target, query = self.target.cls, Select(self.target.cls)
        columns: Sequence[Any] = [getattr(target, column.key) for column in self.remote]
        if self.secondary is not None:
            link, columns, theirs = self.secondary
            query = query.Join(link, self._columns_equal(zip(self.remote, theirs, strict=True), target, None))
        for column, value in zip(columns, key if isinstance(key, tuple) else (key,), strict=True):
            query = query.Where(column == value)
        return query

    # --- queries -------------------------------------------------------------------------------------------------

    @cached_property
    def joins(self) -> list[tuple[Any, Any]]:
        """The joins that lead from the class itself to the target: pairs of entity and condition."""
        return self.join_path(self.mapper.cls)

    def join_path(self, left: Any, right: Any = None) -> list[tuple[Any, Any]]:
        """Return the joins that lead from the entity `left` to the target: pairs of entity and condition.

        `right` is an alias of the target, where its table is in the query already.
        """
        target = self.target.cls if right is None else right
        if self.secondary is None:
            return [(target, self._equal(left, self.local, target, self.remote))]
        link, ours, theirs = self.secondary
        to_link = self._columns_equal(zip(self.local, ours, strict=True), left, None)
        to_target = self._columns_equal(zip(self.remote, theirs, strict=True), target, None)
        return [(link, to_link), (target, to_target)]

    def _equal(self, left: Any, ours: tuple[Column[Any], ...], right: Any, theirs: tuple[Column[Any], ...]) -> Any:
        condition: Any = None
        for a, b in zip(ours, theirs, strict=True):
            term = getattr(left, a.key) == getattr(right, b.key)
            condition = term if condition is None else condition & term
        return condition

    def _columns_equal(self, pairs: Any, entity: Any, condition: Any) -> Any:
        for column, link_column in pairs:
            term = link_column == getattr(entity, column.key)
            condition = term if condition is None else condition & term
        return condition


def write_column(obj: PSQLModel, key: str, value: Any) -> None:
    """Write a column from within a relation: remembered like any change, without touching the relation again."""
    values = obj.__dict__
    if values.get(key, UNSET) is value or (key in values and values[key] == value):
        return
    raw = raw_name(key)
    obj._state.before_change(obj, key, Raw(values[raw]) if raw in values else values.get(key, UNSET))
    values[key] = value


def _fill(value: list[Any], items: list[Any]) -> None:
    """Give a loaded list, handed out or not, another content."""
    if isinstance(value, RelationList):
        value.replace_loaded(items)  # which knows its objects by their ids, too
    else:
        value[:] = items


def _check_alive(obj: Any) -> None:
    """Refuse to link an object whose row is gone: nothing of it would be written."""
    if obj._state.status == DELETED:
        obj._state.unit.check_alive(obj)
