"""Fields: what a model class declares. `Column` is at once the declaration and, bound to its table, the expression
that `User.name` gives in queries; `Relation` declares a way to other objects and is resolved at first use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast, overload

from psqlmodel import types
from psqlmodel.errors import MappingError
from psqlmodel.model.constraints import ForeignKey
from psqlmodel.model.state import UNSET
from psqlmodel.query.expression import ColumnExpression
from psqlmodel.query.nodes import TableSource
from psqlmodel.types import PgType

if TYPE_CHECKING:
    from psqlmodel.model.path import RelationPath

T = TypeVar("T")
# For type checkers the names in psqlmodel.types are classes, so that they are annotations too.
TypeName: TypeAlias = "PgType[Any] | type[PgType[Any]]"

_IDENTITIES = {None: None, False: "", True: "BY DEFAULT", "by default": "BY DEFAULT", "always": "ALWAYS"}


class FieldAnnotation:
    """What `Column[int]` and `Relation["User"]` are at run time: the kind of field and what stands in the brackets.

    A class of our own, because typing's aliases refuse PostgreSQL types (`Column[serial]`).
    """

    __slots__ = ("field", "item")

    def __init__(self, field: type, item: Any) -> None:
        self.field = field
        self.item = item

    def __repr__(self) -> str:
        return f"{self.field.__name__}[{self.item!r}]"


class Column(ColumnExpression[T]):
    """Declare a column; on the class, `User.name` is this column as an expression in queries.

    Parameters:
        primary_key: part of the primary key; several make it composite.
        nullable: whether NULL is allowed; by default what the annotation says (`str | None`).
        default: the value of an instance that is made without one.
        default_factory: a function without arguments that makes that value.
        server_default: the database's default: SQL text (`"now()"`).
        foreign_key: the column it refers to: `"users.id"`, `"schema.users.id"` or `User.id`.
        enforced: False for a foreign key that leads relations without a constraint in the database, because the
            row that it names may be missing; such a relation is None then.
        on_delete, on_update: `"CASCADE"`, `"SET NULL"`, `"SET DEFAULT"`, `"RESTRICT"` or `"NO ACTION"`.
        unique, index: a unique constraint, an index on this column alone.
        max_len: the greatest length of a text, in characters.
        type: the PostgreSQL type, where the annotation does not say it: `varchar(40)`.
        name: the name in the database, where it is not the attribute's.
        check: SQL text of a CHECK constraint.
        comment: the comment in the database.
        identity: `"always"` or `"by default"` (`True`); False where the program gives an integer key its values.
        generated: SQL text of a stored generated column.
        version: the column counts (an integer) or dates (a timestamp) the changes of its row; an UPDATE or DELETE
            that meets another version than its object has raises `StaleObjectError`.

    Raises `MappingError` where the parameters contradict each other.

        name: Column[str] = Column(max_len=40, unique=True)
    """

    __slots__ = (
        "check",
        "comment",
        "default",
        "default_factory",
        "foreign_key",
        "generated",
        "identity",
        "index",
        "max_len",
        "nullable",
        "primary_key",
        "server_default",
        "unique",
        "version",
    )
    primary_key: bool
    nullable: bool | None
    default: Any
    default_factory: Callable[[], Any] | None
    server_default: str | None
    foreign_key: ForeignKey | None
    unique: bool
    index: bool
    max_len: int | None
    check: str | None
    comment: str | None
    identity: str | None
    generated: str | None
    version: bool

    if not TYPE_CHECKING:

        def __class_getitem__(cls, item: Any) -> FieldAnnotation:
            return FieldAnnotation(cls, item)

        def __init__(self, **options: Any) -> None:
            """Nothing is left to do after `__new__`; type checkers must not see that there is an `__init__`."""

    # `__new__` and not `__init__`, because only it may say that it returns anything: so that the plain spelling
    # `id: int = Column(primary_key=True)` is right for type checkers.
    def __new__(  # noqa: D102 - the class says it
        cls,
        *,
        primary_key: bool = False,
        nullable: bool | None = None,
        default: Any = UNSET,
        default_factory: Callable[[], Any] | None = None,
        server_default: str | None = None,
        foreign_key: str | ColumnExpression[Any] | None = None,
        on_delete: str | None = None,
        on_update: str | None = None,
        enforced: bool = True,
        unique: bool = False,
        index: bool = False,
        max_len: int | None = None,
        type: TypeName | None = None,
        name: str | None = None,
        check: str | None = None,
        comment: str | None = None,
        identity: bool | str | None = None,
        generated: str | None = None,
        version: bool = False,
    ) -> Any:
        _check_defaults(default, default_factory, server_default, generated)
        _check_type(type)
        if identity not in _IDENTITIES:
            raise MappingError(f'identity must be "always" or "by default", not {identity!r}')
        self = super().__new__(cls)
        ColumnExpression.__init__(self, None, name, None, cast("PgType[Any] | None", type))
        self.primary_key = primary_key
        self.nullable = nullable
        self.default = default
        self.default_factory = default_factory
        self.server_default = server_default
        self.unique = unique
        self.index = index
        self.max_len = max_len
        self.check = check
        self.comment = comment
        self.identity = _IDENTITIES[identity]
        self.generated = generated
        self.version = version
        self.foreign_key = None
        if foreign_key is not None:
            table, remote = _target(foreign_key)
            self.foreign_key = ForeignKey(
                (), table, remote, on_delete=on_delete, on_update=on_update, enforced=enforced
            )
        elif on_delete or on_update or not enforced:
            raise MappingError("on_delete, on_update and enforced belong to a column with a foreign_key")
        return self

    def bind(self, source: TableSource, key: str, type: PgType[Any], *, nullable: bool) -> Column[T]:
        """Return this declaration as the column `key` of the table `source`."""
        bound: Column[T] = object.__new__(type_of_column(self))
        for slot in Column.__slots__:
            setattr(bound, slot, getattr(self, slot))
        ColumnExpression.__init__(bound, source, self.name or key, key, type)
        bound.nullable = nullable
        if self.foreign_key is not None:
            bound.foreign_key = held_by(self.foreign_key, (self.name or key,))
        return bound

    @property
    def pg_type(self) -> PgType[Any]:
        """The type of a bound column, as the model knows it."""
        assert self.type is not None
        return self.type

    def has_default(self) -> bool:
        """Tell whether an instance made without a value gets one here, not in the database."""
        return self.default is not UNSET or self.default_factory is not None

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type) -> Column[T]: ...
        @overload
        def __get__(self, instance: object, owner: type) -> T: ...
        def __get__(self, instance: Any, owner: type) -> Any: ...

        def __set__(self, instance: object, value: T) -> None: ...

    else:

        def __get__(self, instance: Any, owner: type) -> Any:
            # Only a Column that a plain mixin declares is still an attribute of a class when it is read.
            if self.source is not None or not hasattr(owner, "__mapper__"):
                return self
            key = next((k for k, c in owner.__mapper__.declared.items() if c is self), None)
            if key is None:
                return self
            return owner.__mapper__.attributes[key] if instance is None else instance.__getattr__(key)


def type_of_column(column: Column[Any]) -> type[Column[Any]]:
    """Return the class of a column; a name apart because `Column` has a parameter called `type`."""
    return type(column)


def held_by(key: ForeignKey, columns: Sequence[str]) -> ForeignKey:
    """Return the same foreign key with these columns, by their database names."""
    return ForeignKey(
        columns,
        key.table,
        key.remote,
        on_delete=key.on_delete,
        on_update=key.on_update,
        deferrable=key.deferrable,
        initially_deferred=key.initially_deferred,
        name=key.name,
        enforced=key.enforced,
    )


class Relation(Generic[T]):
    """Declare a relation: to one object (`Relation["User"]`) or to many (`Relation[list["Order"]]`).

    Parameters:
        target: the related class or its name, where the annotation does not say it.
        secondary: for many-to-many, the table between: a model (or its name), a table name, or `"auto"`.
        secondary_keys: the two key columns of `secondary` (ours, theirs) where they have other names than
            `<singular of the table>_id`.
        foreign_keys: the key column, or columns, where several lead to the target: `"buyer_id"`.
        back: the name of the opposite relation, where it can't be found.
        order_by: the order of a to-many relation: an attribute name, `"-name"` for descending, or several.
        orphans: what becomes of an object that is taken out of a to-many or one-to-one relation and gets no other
            parent: `"null"` (its key), `"delete"` (its row) or `"error"`; by default `"null"` where the key may be
            NULL, else `"error"`.

    What it is follows from the foreign keys, when it is first used; an ambiguity or a missing key raises
    `RelationError` with the candidates.

        orders: Relation[list["Order"]] = Relation()
    """

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type) -> RelationPath: ...
        @overload
        def __get__(self, instance: object, owner: type) -> T: ...
        def __get__(self, instance: Any, owner: type) -> Any: ...

        def __set__(self, instance: object, value: T) -> None: ...

    else:

        def __class_getitem__(cls, item: Any) -> FieldAnnotation:
            return FieldAnnotation(cls, item)

        def __init__(self, *target: Any, **options: Any) -> None:
            """Nothing is left to do after `__new__`, as in `Column`."""

    target: Any
    many: bool | None
    secondary: type | str | None
    secondary_keys: Sequence[str | Sequence[str]] | None
    foreign_keys: tuple[str, ...]
    back: str | None
    order_by: tuple[str, ...]
    orphans: str | None

    def __new__(  # noqa: D102 - the class says it
        cls,
        target: type | str | None = None,
        *,
        secondary: type | str | None = None,
        secondary_keys: Sequence[str | Sequence[str]] | None = None,
        foreign_keys: str | ColumnExpression[Any] | Sequence[str | ColumnExpression[Any]] | None = None,
        back: str | None = None,
        order_by: str | Sequence[str] | None = None,
        orphans: str | None = None,
    ) -> Any:
        if orphans not in (None, "null", "delete", "error"):
            raise MappingError(f'orphans must be "null", "delete" or "error", not {orphans!r}')
        self = super().__new__(cls)
        self.orphans = orphans
        self.target = target
        self.many = None
        self.secondary = secondary
        self.secondary_keys = secondary_keys
        self.foreign_keys = _key_names(foreign_keys)
        self.back = back
        self.order_by = (order_by,) if isinstance(order_by, str) else tuple(order_by or ())
        return self


def _key_names(keys: Any) -> tuple[str, ...]:
    if keys is None:
        return ()
    if isinstance(keys, str | ColumnExpression):
        keys = (keys,)
    return tuple(key if isinstance(key, str) else key.key or key.name for key in keys)


def _check_defaults(default: Any, factory: Any, server: str | None, generated: str | None) -> None:
    if default is not UNSET and factory is not None:
        raise MappingError("a column has either a default or a default_factory, not both")
    if callable(default):
        raise MappingError(
            f"default={getattr(default, '__name__', default)!s} is a function: "
            "say default_factory= for a value that is made anew for each object"
        )
    if isinstance(default, list | dict | set):
        raise MappingError(
            f"default={default!r} would be shared by all objects: say default_factory={type(default).__name__}"
        )
    if generated is not None and (default is not UNSET or factory is not None or server is not None):
        raise MappingError("a generated column has no default: the database computes its value")


def _check_type(given: Any) -> None:
    if given is None or isinstance(given, PgType):
        return
    named = getattr(types, given, None) if isinstance(given, str) else None
    example = f"types.{given}" if isinstance(named, PgType) else "types.varchar(80)"
    raise MappingError(f"type= takes a type of psqlmodel.types such as {example}, not {given!r}")


def _target(foreign_key: str | ColumnExpression[Any]) -> tuple[str, tuple[str, ...]]:
    """Return table and columns of `"users.id"`, `"schema.users.id"`, `"users"` (its primary key) or `User.id`."""
    if isinstance(foreign_key, str):
        table, _, column = foreign_key.rpartition(".")
        if not all(foreign_key.split(".")):
            raise MappingError(f'foreign_key={foreign_key!r} must name table and column: "users.id"')
        return (table, (column,)) if table else (column, ())
    source = foreign_key.source
    if not isinstance(source, TableSource) or foreign_key.name is None:
        raise MappingError("foreign_key= must be a column of a table")
    return (f"{source.schema}.{source.name}" if source.schema else source.name), (foreign_key.name,)
