"""Mapper: one record per model class that says how it is mapped; and the registry that finds classes by name.

A mapper is made once, by `@table`, and does not change afterwards. Relations are resolved when they are first used,
because the classes that they name may not exist before.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from psqlmodel.errors import MappingError, NotMappedError
from psqlmodel.model.constraints import Constraint, ForeignKey, Index, PrimaryKey
from psqlmodel.model.fields import Column, held_by
from psqlmodel.model.naming import did_you_mean
from psqlmodel.model.state import UNSET, Clean, Instance, Raw, raw_name
from psqlmodel.query.nodes import TableSource

if TYPE_CHECKING:
    from psqlmodel.model.base import PSQLModel
    from psqlmodel.model.distribution import Distribution
    from psqlmodel.model.relations import RelationInfo


class Mapper:
    """How one class is mapped to one table."""

    def __init__(
        self,
        cls: type[PSQLModel],
        source: TableSource,
        attributes: dict[str, Column[Any]],
        declared: dict[str, Column[Any]],
        constraints: tuple[Constraint, ...] = (),
        indexes: tuple[Index, ...] = (),
        comment: str | None = None,
    ) -> None:
        self.cls = cls
        self.name = cls.__name__
        self.source = source
        self.table = source.name
        self.qualified = str(source.shape)
        self.schema = source.schema
        self.attributes = attributes
        self.declared = declared
        self.columns = tuple(attributes.values())
        self.keys = tuple(attributes)
        self.by_name = {column.name: column for column in self.columns}
        self._mark_keys(constraints)
        self.primary_key = tuple(column for column in self.columns if column.primary_key)
        self.constraints = constraints
        self.indexes = indexes
        self.comment = comment
        self.foreign_keys = tuple(self._foreign_keys())
        self.links_of_column = frozenset(
            self.by_name[name].key for key in self.foreign_keys for name in key.columns if name in self.by_name
        )
        self.mutable = frozenset(key for key, column in attributes.items() if column.pg_type.mutable)
        # Objects have the parts of their key as they are, so that it can be read from them.
        self.finds_by_key = bool(self.primary_key) and all(c.key not in self.mutable for c in self.primary_key)
        self.defaults = tuple(c for c in self.columns if c.has_default())
        self.version = next((c for c in self.columns if c.version), None)  # see versions.py
        self.distribution: Distribution | None = None  # see distribution.py
        self.relations: dict[str, RelationInfo] = {}
        self.hidden: dict[str, RelationInfo] = {}
        self._all_relations: tuple[RelationInfo, ...] = ()
        self._link_tables: frozenset[str] | None = None
        self.related_keys: set[str] = set()  # under these, raw ones included, instances hold related objects
        self.related_names: tuple[str, ...] = ()  # the same, in the order in which relations were declared
        self.loaders: dict[Any, Any] = {}  # generated functions by what they load; see codegen
        self.constructed = False  # whether the class has had its chance of a generated constructor
        self.forms: dict[Any, Any] = {}  # what outside data looks like; see outside.py and psqlmodel.pydantic
        # What a loader makes before it becomes an instance: the same memory layout without `__setattr__`.
        self.twin = type(cls.__name__, (Instance,), {"__module__": cls.__module__, "__qualname__": cls.__qualname__})
        self.detached = Clean(None, self)

    def __repr__(self) -> str:
        return f"<Mapper {self.name} → {self.source}>"

    def key_of(self, obj: PSQLModel) -> Any:
        """Return the primary key of `obj` as the identity map has it (a value, or a tuple), or None if incomplete."""
        values = obj.__dict__
        if len(self.primary_key) == 1:
            return values.get(self.primary_key[0].key)
        key = tuple(values.get(column.key) for column in self.primary_key)
        return None if None in key else key

    def stored_key_of(self, obj: PSQLModel) -> Any:
        """Return the primary key under which the database knows `obj`: before unflushed changes."""
        original = getattr(obj._state, "original", None)
        if not original:
            return self.key_of(obj)
        values = obj.__dict__
        key = tuple(original.get(c.key, values.get(c.key)) for c in self.primary_key)
        return key[0] if len(key) == 1 else key

    def keys_of(self, objects: Iterable[PSQLModel]) -> list[Any]:
        """Return the `key_of` of each object: of many, in a third of the time."""
        if len(self.primary_key) != 1:
            return [self.key_of(obj) for obj in objects]
        key = self.primary_key[0].key
        return [obj.__dict__.get(key) for obj in objects]

    def stored_keys_of(self, objects: Iterable[PSQLModel]) -> list[Any]:
        """Return the `stored_key_of` of each object: of many, in half of the time."""
        if len(self.primary_key) != 1:
            return [self.stored_key_of(obj) for obj in objects]
        key = self.primary_key[0].key
        return [o._state.original[key] if key in o._state.original else o.__dict__.get(key) for o in objects]

    def column(self, named: Any) -> Column[Any]:
        """Return the column that an attribute name, a database name or an attribute (`User.email`) names.

        Raises `MappingError` where there is none.
        """
        name = named if isinstance(named, str) else getattr(named, "key", None)
        found = None if name is None else self.attributes.get(name, self.by_name.get(name))
        if found is None:
            raise MappingError(f"{self.name} has no column {named!r}{did_you_mean(str(name), self.attributes)}")
        return found

    def _mark_keys(self, constraints: Iterable[Constraint]) -> None:
        """Make the columns that a `PrimaryKey` names what `Column(primary_key=True)` would make them."""
        named = [name for each in constraints if isinstance(each, PrimaryKey) for name in each.columns]
        for column in map(self.column, named):
            column.primary_key, column.nullable = True, False

    def has_column(self, named: Any) -> bool:
        """Tell whether `column` finds what is named."""
        name = named if isinstance(named, str) else getattr(named, "key", None)
        return name in self.attributes or name in self.by_name

    def _foreign_keys(self) -> Iterator[ForeignKey]:
        """Give all foreign keys, with the database names of their own columns."""
        for column in self.columns:
            if column.foreign_key is not None:
                yield column.foreign_key
        for constraint in self.constraints:
            if isinstance(constraint, ForeignKey):
                yield held_by(constraint, [self.column(named).name or "" for named in constraint.columns])

    def add_relation(self, relation: RelationInfo, among: dict[str, RelationInfo]) -> None:
        """Enter a relation among the declared ones, or among the hidden ones."""
        among[relation.key] = relation
        self.related_keys.update((relation.key, raw_name(relation.key)))
        self._all_relations = (*self.relations.values(), *self.hidden.values())
        self.related_names += (relation.key, raw_name(relation.key))

    def all_relations(self) -> tuple[RelationInfo, ...]:
        """Return the declared relations and the hidden ones that opposite sides need."""
        return self._all_relations

    def no_attribute(self, name: str) -> str:
        """Return the message for an attribute that the class does not have."""
        known = [*self.attributes, *self.relations]
        return f"{self.name} has no column or relation {name!r}{did_you_mean(name, known)}"

    def write_other(self, obj: PSQLModel, key: str, value: Any) -> None:
        """Write an attribute that is not mapped: allowed if it is private or known to the class, else an error."""
        if key.startswith("_") or _is_known(type(obj), key):
            object.__setattr__(obj, key, value)
        else:
            raise AttributeError(self.no_attribute(key))

    def hand_out(self, obj: PSQLModel, key: str, wire: Any) -> Any:
        """Turn the raw value of `key` into the one that the program gets, and remember it for the flush."""
        if key in self.relations:
            value: Any = self.relations[key].wrap(obj, wire)
        else:
            load = self.attributes[key].pg_type.load
            value = load(wire) if load is not None else wire
            if value is wire and isinstance(value, list):
                value = _copied(value)
            obj._state.before_change(obj, key, Raw(wire))
        obj.__dict__[key] = value
        return value

    def seen(self, values: dict[str, Any], key: str) -> Any:
        """Return the value of a column without handing it out: for looking only. UNSET where it is not loaded."""
        if key in values or raw_name(key) not in values:
            return values.get(key, UNSET)
        load, wire = self.attributes[key].pg_type.load, values[raw_name(key)]
        return wire if load is None else load(wire)

    def put_raw(self, obj: PSQLModel, key: str, wire: Any) -> None:
        """Give `key` its raw value; it is handed out at the next access."""
        obj.__dict__[raw_name(key)] = wire

    def drop_raw(self, obj: PSQLModel, key: str) -> None:
        """Forget the raw value of `key`."""
        obj.__dict__.pop(raw_name(key), None)

    @property
    def link_tables(self) -> frozenset[str]:
        """The link tables of its many-to-many relations, as queries spell them."""
        if self._link_tables is None:
            links = [relation.link_table for relation in self.relations.values()]
            self._link_tables = frozenset(name for name in links if name is not None)
        return self._link_tables

    def unlink_changed_key(self, obj: PSQLModel, key: str) -> None:
        """Forget loaded to-one relations whose key column `key` no longer names the loaded object."""
        for relation in self.all_relations():
            if relation.key in obj.__dict__ and relation.outgoing and key in relation.local_keys:
                relation.forget_if_changed(obj)


def _copied(value: Any) -> Any:
    return [_copied(item) for item in value] if isinstance(value, list) else value


def mapper_of(entity: Any) -> Mapper:
    """Return the mapper of a model class or instance.

    Raises `NotMappedError` for anything else.
    """
    cls = entity if isinstance(entity, type) else type(entity)
    mapper = cls.__dict__.get("__mapper__")
    if isinstance(mapper, Mapper):
        return mapper
    raise NotMappedError(
        f'{cls.__name__} is not a mapped model: it needs PSQLModel as its base and @table("name") above the class'
    )


class Registry:
    """All mapped classes, found by class name or table; held weakly."""

    def __init__(self) -> None:
        self._mappers: dict[tuple[str, str], weakref.ref[Mapper]] = {}
        self.version = 0  # grows with every class: what was derived from all of them is out of date then
        self.distributed = False  # whether any class is: programs without such classes look here, and no further

    def add(self, mapper: Mapper) -> None:
        """Register a mapper; a class of the same module and qualified name is replaced."""
        self.version += 1
        self._mappers[mapper.cls.__module__, mapper.cls.__qualname__] = weakref.ref(mapper)

    def mappers(self) -> list[Mapper]:
        """Return all mappers that are alive, in the order of their definition."""
        found = [reference() for reference in list(self._mappers.values())]
        return [mapper for mapper in found if mapper is not None]

    def by_class(self, name: str, near: Mapper) -> Mapper:
        """Return the mapper of the class called `name`, as seen from the class of `near`.

        Raises `MappingError` where there is none or several.
        """
        found = [m for m in self.mappers() if m.name == name or f"{m.cls.__module__}.{m.name}" == name]
        return _nearest(found, near, f"a model called {name!r}", [m.name for m in self.mappers()], name)

    def by_table(self, table: str, near: Mapper) -> Mapper | None:
        """Return the mapper of a table (`users` or `schema.users`), as seen from `near`; None where there is none."""
        found = [m for m in self.mappers() if table in (m.table, f"{m.schema}.{m.table}")]
        if not found:
            return None
        return _nearest(found, near, f"a model of the table {table!r}", [], table)


def _nearest(found: list[Mapper], near: Mapper, what: str, known: list[str], name: str) -> Mapper:
    """Prefer the scope of the same function, then the module, then the package; the last defined wins in a scope."""
    module, scope = near.cls.__module__, near.cls.__qualname__.rpartition(".")[0]
    if near in found:
        return near
    for narrowed in (
        [m for m in found if m.cls.__module__ == module and m.cls.__qualname__.rpartition(".")[0] == scope],
        [m for m in found if m.cls.__module__ == module],
        [m for m in found if m.cls.__module__.rpartition(".")[0] == module.rpartition(".")[0]],
        found,
    ):
        if len(narrowed) == 1:
            return narrowed[0]
        if narrowed:
            names = ", ".join(sorted(f"{m.cls.__module__}.{m.cls.__qualname__}" for m in narrowed))
            raise MappingError(f"{near.name} names {what}, and there are several: {names}; pass the class itself")
    raise MappingError(f"{near.name} names {what}, and there is none{did_you_mean(name, known)}")


registry = Registry()


def _is_known(cls: type, key: str) -> bool:
    """Tell whether a class or one of its bases has an attribute that is not mapped, or announces one."""
    from psqlmodel.model.declaration import annotations_in  # which is above the mapper

    return any(key in vars(base) or key in annotations_in(vars(base)) for base in cls.__mro__)
