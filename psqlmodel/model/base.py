"""PSQLModel: the base of all models; its metaclass, which answers `User.name`; and `@table`, which maps a class.

The columns are no attributes of the class: a value is then a plain attribute of its instance, read without any
descriptor, and `User.name` is found on the metaclass.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast, dataclass_transform

from psqlmodel.errors import MappingError
from psqlmodel.model.constraints import Constraint, Index
from psqlmodel.model.declaration import declared_fields, make_attributes
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper, registry
from psqlmodel.model.naming import did_you_mean
from psqlmodel.model.outside import AsDataclass, DataclassOptions, Outside, signature_of
from psqlmodel.model.relations import RelationInfo
from psqlmodel.model.state import TRANSIENT, UNSET, Clean, Instance, State, missing, raw_name, set_state
from psqlmodel.model.versions import guard
from psqlmodel.query import execution
from psqlmodel.query.nodes import TableSource

M = TypeVar("M", bound="PSQLModel")


class ModelMeta(type):
    """The metaclass of models: `User.name` is the column, `User.orders` the relation."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> ModelMeta:
        """Take the declared fields out of the class body: they are no attributes of the class."""
        fields, remaining = declared_fields(name, namespace, sys._getframe(1))
        cls = super().__new__(mcs, name, bases, remaining, **options)
        if "__answers__" in vars(mcs):  # the metaclass of a mapped base: its columns are not those of this class
            plain: Any = mcs.__base__
            cls.__class__ = plain
        cls.__fields__ = fields
        return cls

    __fields__: dict[str, Any]
    if TYPE_CHECKING:
        # Of an instance, that is: pyright takes the metaclass's for it.
        __dict__: dict[str, Any]  # type: ignore[assignment,misc]

    if not TYPE_CHECKING:  # type checkers refuse what a model does not declare

        def __getattr__(cls, key: str) -> Any:
            mapper = cls.__dict__.get("__mapper__")
            if mapper is None:
                raise AttributeError(
                    f'{cls.__name__} has no attribute {key!r}: it is not mapped; put @table("name") above the class'
                    if key in cls.__fields__ or key == "__mapper__"
                    else f"{cls.__name__} has no attribute {key!r}"
                )
            if key in mapper.attributes:
                return mapper.attributes[key]
            if key in mapper.relations:
                return mapper.relations[key]
            raise AttributeError(mapper.no_attribute(key))

        @property
        def __signature__(cls) -> Any:
            """What `inspect.signature`, and so editors and documentation, show of the constructor."""
            mapper = cls.__dict__.get("__mapper__")
            if mapper is None or not _has_our_constructor(cls):
                raise AttributeError("__signature__")
            return signature_of(mapper)

    def __dir__(cls) -> list[str]:
        mapper = cls.__dict__.get("__mapper__")
        own = [] if mapper is None else [*mapper.attributes, *mapper.relations]
        return [*super().__dir__(), *own]


@dataclass_transform(kw_only_default=True, eq_default=False)
class PSQLModel(Instance, Outside, metaclass=ModelMeta):
    """The base class of models.

    An instance is made with keywords, one for each column or relation; what is not given is left to the defaults.
    Unknown names raise `TypeError` with the nearest name that exists.

        @table("users")
        class User(PSQLModel):
            id: Column[int] = Column(primary_key=True)
            name: Column[str]

        user = User(name="Ada")
    """

    __slots__ = ()
    __mapper__: ClassVar[Mapper]
    __source__: ClassVar[TableSource]
    __columns__: ClassVar[tuple[Column[Any], ...]]

    def __init__(self, /, **values: Any) -> None:
        mapper = type(self).__dict__.get("__mapper__") or _mapped(type(self))
        if not mapper.constructed:
            _give_constructor(mapper)
            # Who calls by the signature may give what it says: the constructor that comes now understands it.
            values = {key: value for key, value in values.items() if value is not UNSET}
        set_state(self, TRANSIENT)
        own = self.__dict__
        if values.keys() <= mapper.attributes.keys():
            own.update(values)
        else:
            self._take(mapper, values)
        for column in mapper.defaults:
            if column.key not in own:
                factory = column.default_factory
                own[column.key] = column.default if factory is None else factory()

    def _take(self, mapper: Mapper, values: dict[str, Any]) -> None:
        for key in values:
            if key not in mapper.attributes and key not in mapper.relations:
                known = [*mapper.attributes, *mapper.relations]
                raise TypeError(f"{mapper.name}() got an unknown keyword {key!r}{did_you_mean(key, known)}")
        for key in sorted(values, key=lambda key: key in mapper.relations):
            setattr(self, key, values[key])

    def __setattr__(self, key: str, value: Any) -> None:
        self._state.write(self, key, value)

    def __delattr__(self, key: str) -> None:
        mapper = type(self).__mapper__
        if key in mapper.attributes or key in mapper.relations:
            raise AttributeError(f"{mapper.name}.{key} can't be deleted: set it to None, or delete the object")
        object.__delattr__(self, key)

    if not TYPE_CHECKING:  # as above
        __dataclass_fields__ = AsDataclass()
        __dataclass_params__ = DataclassOptions

        def __getattr__(self, key: str) -> Any:
            if key == "_state":  # one that `__init__` has not reached yet: a `__new__` that sets it costs each 0.6 µs
                set_state(self, TRANSIENT)
                return TRANSIENT
            if key.startswith("__"):
                raise AttributeError(f"{type(self).__name__} has no attribute {key!r}")
            return missing(self, key)

    def __repr__(self) -> str:
        mapper = type(self).__mapper__
        values = self.__dict__
        seen = [(key, mapper.seen(values, key)) for key in mapper.keys]
        shown = [f"{key}={_short(value)}" for key, value in seen if value is not UNSET]
        return f"{mapper.name}({', '.join(shown)})"

    # --- copies ----------------------------------------------------------------------------------------------------

    def __copy__(self) -> Self:
        """Return a transient object with the same column values; relations are not copied."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self._values(copy_mutable=True))
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made = memo[id(self)] = self.__copy__()
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        # What is in it comes after the object itself: related objects lead back to it.
        return _blank, (type(self),), (self._pickled(), self._state is not TRANSIENT, self._pickled_original())

    def __setstate__(self, pickled: tuple[dict[str, Any], bool, dict[str, Any]]) -> None:
        values, stored, original = pickled
        self.__dict__.update(values)
        if not stored:
            return
        mapper = type(self).__mapper__
        if not original:
            set_state(self, Clean(None, mapper) if mapper.detached is None else mapper.detached)
            return
        state = State(None, mapper, "detached")
        state.original.update(original)
        set_state(self, state)

    def _pickled(self) -> dict[str, Any]:
        mapper = type(self).__mapper__
        values = dict(self.__dict__)
        for key, relation in mapper.relations.items():
            if key in values and relation.many:
                values[raw_name(key)] = list(values.pop(key))
        return {key: value for key, value in values.items() if key not in mapper.hidden}

    def _pickled_original(self) -> dict[str, Any]:
        original = getattr(self._state, "original", {})
        mapper = type(self).__mapper__
        return {key: value for key, value in original.items() if key in mapper.attributes or key in mapper.relations}

    def _values(self, *, copy_mutable: bool = False) -> dict[str, Any]:
        """Return the loaded column values, raw ones decoded, without a query."""
        mapper = type(self).__mapper__
        own = self.__dict__
        values: dict[str, Any] = {}
        for key in mapper.keys:
            if key in own:
                values[key] = own[key]
            elif raw_name(key) in own:
                values[key] = getattr(self, key)
            if copy_mutable and key in mapper.mutable and isinstance(values.get(key), list | dict):
                values[key] = _deep(values[key])
        return values

    # --- the current session ---------------------------------------------------------------------------------------

    def save(self) -> Any:
        """Add the object to the current session and flush: what the database makes is on the object afterwards.

        To be awaited where that is an `AsyncSession`. The transaction stays open: `session.commit()`. Raises
        `NoActiveSessionError` outside of a session's block.

            user.save()  # in an `async with AsyncSession(…)` block: await user.save()
        """
        session = execution.session()
        _ = session.add(self)
        return session.flush()

    def delete(self) -> Any:
        """Delete the object's row through the current session, and flush; see `save`."""
        session = execution.session()
        _ = session.delete(self)
        return session.flush()

    # --- dictionaries ----------------------------------------------------------------------------------------------

    def to_dict(self, *, relations: bool = False, exclude: Iterable[str] = ()) -> dict[str, Any]:
        """Return the loaded column values by attribute name; sends no query.

        With `relations`, loaded relations are there too, as dictionaries. The way back is not taken (in `orders` an
        order has no `user`), and an object that is met inside of itself is left out.

            user.to_dict(exclude=["password"])
        """
        return self._as_dict(relations, set(exclude), None, frozenset())

    def _as_dict(
        self, relations: bool, left_out: set[str], came_by: RelationInfo | None, above: frozenset[int]
    ) -> dict[str, Any]:
        found = {key: value for key, value in self._values(copy_mutable=True).items() if key not in left_out}
        if not relations:
            return found
        above |= {id(self)}
        way_back = None if came_by is None else came_by.back
        for key, relation in type(self).__mapper__.relations.items():
            value = relation.loaded(self)
            if value is UNSET or key in left_out or relation is way_back:
                continue
            if value is None:
                found[key] = None
                continue
            items = [item for item in (value if relation.many else [value]) if id(item) not in above]
            dictionaries = [item._as_dict(relations, left_out, relation, above) for item in items]
            if relation.many:
                found[key] = dictionaries
            elif dictionaries:
                found[key] = dictionaries[0]
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return a new object from values by attribute name; dictionaries stand for related objects.

        Raises `TypeError` for a name that is neither a column nor a relation.

            User.from_dict({"name": "Ada", "orders": [{"total": 3}]})
        """
        mapper = _mapped(cls)
        return cls(**{key: _from_nested(mapper, key, value) for key, value in data.items()})

    def update_from_dict(self, patch: Mapping[str, Any]) -> Self:
        """Set the attributes that `patch` names, after checking that all of them exist; returns the object.

        Raises `AttributeError` for a name that does not exist; nothing is set then.

            user.update_from_dict({"name": "Ada"})
        """
        mapper = type(self).__mapper__
        for key in patch:
            if key not in mapper.attributes and key not in mapper.relations:
                raise AttributeError(mapper.no_attribute(key))
        for key, value in patch.items():
            setattr(self, key, _from_nested(mapper, key, value))
        return self


def table(
    name: str,
    *,
    schema: str | None = None,
    constraints: Iterable[Constraint] = (),
    indexes: Iterable[Index] = (),
    comment: str | None = None,
    optimistic: str | None = None,
    distributed_by: str | None = None,
    reference: bool = False,
    colocate_with: Any = None,
) -> Callable[[type[M]], type[M]]:
    """Map a class to the table `name`.

    Parameters: `schema` is the table's schema (by default what the connection's search path finds); `constraints` are
    `Unique`, `Check`, `ForeignKey`, `Exclude`; `indexes` are `Index`; `comment` is the table's comment;
    `optimistic="xmin"` refuses to write over a row that someone else changed, without a column for it: PostgreSQL's own
    `xmin` is the version, and a read-only attribute. On a Citus cluster `distributed_by` is the column by whose values
    the rows are spread over the nodes, `colocate_with` the model or table with which their shards stay together
    (`"none"`: with none; by default with all whose column has the same type), `reference=True` asks for a copy of the
    table on every node.
    Raises `MappingError` where the class can't be mapped as it is written.

        @table("users", indexes=[Index("name")])
        class User(PSQLModel): ...
    """
    if not isinstance(name, str) or not name:
        raise MappingError('@table needs the name of the table: @table("users")')

    def decorate(cls: type[M]) -> type[M]:
        if not isinstance(cls, ModelMeta):
            raise MappingError(f"@table({name!r}): {cls.__name__} must have PSQLModel as its base")
        source = TableSource(name, schema)
        attributes, declared, relations = make_attributes(cls, source)
        guard(cls.__name__, source, attributes, optimistic)
        mapper = Mapper(cls, source, attributes, declared, tuple(constraints), tuple(indexes), comment)
        for key, relation in relations.items():
            mapper.add_relation(RelationInfo(mapper, key, relation), mapper.relations)
        if distributed_by is not None or reference or colocate_with is not None:
            _distribute(mapper, distributed_by, reference, colocate_with)
        if registry.distributed:
            _check_neighbours(mapper)
        cls.__mapper__ = mapper
        cls.__source__ = source
        cls.__columns__ = mapper.columns
        registry.add(mapper)
        _answer(cls, mapper)
        return cls

    return decorate


def _distribute(mapper: Mapper, by: str | None, reference: bool, colocate_with: Any) -> None:
    from psqlmodel.model.distribution import distribution_of  # most programs need none of it

    mapper.distribution = distribution_of(mapper, by, reference, colocate_with)
    column = mapper.distribution.column
    mapper.source.distribution = None if column is None else column.name
    registry.distributed = True


def _check_neighbours(mapper: Mapper) -> None:
    from psqlmodel.model.distribution import check_neighbours

    check_neighbours(mapper, registry.mappers())


def _answer(cls: Any, mapper: Mapper) -> None:
    """Let `User.name` be found without a Python call: a metaclass of the class's own has columns and relations.

    Attributes of a metaclass are seen on the class and not on its instances. `__getattr__` takes 0.39 µs, this 0.06:
    a quarter of building a query. A static method, though nothing is called: it hands out the column from C,
    where the column's own `__get__` would be asked.
    """
    meta: Any = type(cls)
    holding = cast("Callable[[Any], Any]", staticmethod)
    found = {key: holding(column) for key, column in mapper.attributes.items()} | mapper.relations
    answers = {key: value for key, value in found.items() if not hasattr(meta, key)}
    cls.__class__ = type(meta)(meta.__name__, (meta,), {"__answers__": True, **answers})


def _give_constructor(mapper: Mapper) -> None:
    """Give a class, when its first object is made, a constructor of its own, unless the program wrote one."""
    from psqlmodel.model.codegen import constructor  # here, a program that makes no objects does without

    mapper.constructed = True
    cls: Any = mapper.cls
    _share_names(mapper)
    if _has_our_constructor(cls):
        made: Any = constructor(mapper, _construct)
        if made is not None:
            made.__general__ = _construct  # so that classes below this one know that no program wrote it
            cls.__init__ = made


def _share_names(mapper: Mapper) -> None:
    """Let the objects of a class share the names of all that they will hold.

    CPython keeps room for few names beyond those of the first objects: the key of a new row, and the object that it
    refers to, would give each object a dictionary of its own, of 350 bytes more and a tenth of the time of a graph.
    """
    values = object.__new__(mapper.cls).__dict__
    for name in (*mapper.attributes, *mapper.relations, *mapper.hidden):
        values[name] = None


def _has_our_constructor(cls: Any) -> bool:
    inherited = cls.__init__
    return inherited is PSQLModel.__init__ or getattr(inherited, "__general__", None) is _construct


def _construct(obj: Any, others: dict[str, Any], **values: Any) -> None:
    PSQLModel.__init__(obj, **{key: value for key, value in values.items() if value is not UNSET}, **others)


def _mapped(cls: type[PSQLModel]) -> Mapper:
    mapper = cls.__dict__.get("__mapper__")
    if mapper is None:
        raise MappingError(f'{cls.__name__} is not mapped to a table: put @table("name") above the class')
    found: Mapper = mapper
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _deep(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _deep(item) for key, item in value.items()}
    return [_deep(item) for item in value] if isinstance(value, list) else value


def _from_nested(mapper: Mapper, key: str, value: Any) -> Any:
    """Make related objects of the dictionaries that stand for them."""
    relation = mapper.relations.get(key)
    if relation is None or value is None:
        return value
    make = relation.target.cls.from_dict
    if relation.many:
        return [make(item) if isinstance(item, Mapping) else item for item in value]
    return make(value) if isinstance(value, Mapping) else value


def _blank(cls: type[M]) -> M:
    """Make an object without values, which unpickling fills."""
    return cls.__new__(cls)
