"""PgType: a PostgreSQL type as the rest of the library sees it.

A `PgType` says how the type is spelled, how a Python value becomes the wire value that both drivers take
(`dump`), how a wire value becomes the Python value (`load`), and how many values at once travel in one array
parameter (`transport`, `cast`, `dump_column`). It decides nothing about columns and sends nothing.

NULL is None everywhere: `dump` gives None back, `load` is never called with it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any, Generic, TypeVar

from psqlmodel.errors import InvalidValueError
from psqlmodel.record import Record, replace

T = TypeVar("T")

Convert = Callable[[Any], Any]


class PgType(Record, Generic[T]):
    """A PostgreSQL type: immutable, one object for each distinct type, compared by identity.

    Attributes:
        name: the SQL spelling in DDL: `varchar(40)`, `integer[]`, `"app"."mood"`.
        python: the Python type of its values.
        dump: Python value → wire value; raises `InvalidValueError`, which never tells the value.
        load: wire value → Python value, or None where the wire value is the value.
        dump_text: Python value → its text form.
        load_text: text form → Python value.
        oid, array_oid: the OIDs of the type and of its array; 0 unless it is built in.
        base: the spelling without length or precision, as casts use it (`varchar(3)` would cut silently).
        transport: the element type that carries many values: `unnest($1::int4[])`.
        cast: what must follow after transport: `::jsonb`, or nothing.
        guess: inferred from a plain annotation; the catalog knows better.
        mutable: values can be edited in place (dict, list).
        lazy: values are decoded at first access (json, jsonb).
        serial: the database makes the values (serial types).
        element: the element type of an array.
        labels: the labels of a native enum type, in order; its `schema` and `type_name` are plain names.
        extension: the extension that the type comes from.
        length: the greatest length of a text in characters.
    """

    name: str
    python: type[Any]
    dump: Convert
    dump_text: Convert
    load_text: Convert
    carry: Convert  # Python value → transport value
    load: Convert | None = None
    natives: frozenset[type] = frozenset()  # Python types that travel unchanged when `fits` agrees
    fits: Callable[[list[Any]], bool] | None = None  # a check of many values without None, at C speed
    oid: int = 0
    array_oid: int = 0
    base: str = ""
    transport: str = "text"
    cast: str = ""
    guess: bool = False
    mutable: bool = False
    lazy: bool = False
    serial: bool = False
    element: PgType[Any] | None = None
    labels: tuple[str, ...] = ()
    type_name: str = ""
    schema: str | None = None
    extension: str = ""
    length: int | None = None
    delimiter: str = ","  # between the elements of an array literal
    modify: Callable[..., PgType[Any]] | None = None  # varchar → varchar(40)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def dump_column(self, values: list[Any]) -> list[Any]:
        """Return many values as transport values, for `unnest($1::transport[])` and COPY.

        Parameters: `values`, Python values or None. They are given back as they are where all may travel
        unchanged. Raises `InvalidValueError` for the first value that does not fit.
        """
        kinds = set(map(type, values))
        if kinds <= self.natives:
            if self.fits is None:
                return values
            present = [v for v in values if v is not None] if NoneType in kinds else values
            if not present or self.fits(present):
                return values
        carry = self.carry
        return [None if value is None else carry(value) for value in values]

    def array(self) -> PgType[list[Any]]:
        """Return the type of arrays of this type, of any dimension: `integer.array()` is `integer[]`."""
        from psqlmodel.types.arrays import array

        return array(self)

    def as_guess(self) -> PgType[T]:
        """Return this type marked as inferred from an annotation only."""
        return self if self.guess else _guess(self)

    def __call__(self, *modifiers: Any) -> PgType[T]:
        """Return the type with a length or precision: `varchar(40)`, `numeric(12, 2)`."""
        if self.modify is None:
            raise InvalidValueError(f"{self.name} takes no length or precision: write it without parentheses")
        return self.modify(*modifiers)

    def __or__(self, other: Any) -> Any:
        return _union(self, other)

    def __ror__(self, other: Any) -> Any:
        return _union(other, self)

    def __repr__(self) -> str:
        return self.name

    def __copy__(self) -> PgType[T]:
        return self

    def __deepcopy__(self, memo: Any) -> PgType[T]:
        return self


def identity(value: Any) -> Any:
    """Return the value itself: the conversion of types whose wire value is the value."""
    return value


def pgtype(name: str, python: type[Any], dump: Convert, **options: Any) -> PgType[Any]:
    """Make a type; what is not given follows from the rest.

    A type of text transport is carried by its text form and cast to its own name, one of a native transport
    is carried as it is.
    """
    base = options.setdefault("base", name)
    load: Convert | None = options.get("load")
    if options.get("transport", "text") == "text":
        options.setdefault("cast", f"::{base}")
        dump_text = options.setdefault("dump_text", dump)
        options.setdefault("carry", dump_text)
        options.setdefault("load_text", load or identity)
    else:
        options.setdefault("carry", dump)
    return PgType(name=name, python=python, dump=dump, **options)


def variant(of: PgType[Any], **changes: Any) -> PgType[Any]:
    """Return another type that differs in `changes` only; who asks keeps it, so that there is one of each."""
    return replace(of, **changes)


def refuse(type_name: str, value: Any, takes: str) -> InvalidValueError:
    """Return the error for a value of a wrong Python type; it names the types, never the value."""
    return InvalidValueError(f"{type_name} takes {takes}, not {kind_of(value)}")


def kind_of(value: Any) -> str:
    """Return the name of the value's class as an error message tells it."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


_guesses: dict[PgType[Any], PgType[Any]] = {}


def _guess(of: PgType[Any]) -> PgType[Any]:
    return _guesses.setdefault(of, replace(of, guess=True))


def _union(left: Any, right: Any) -> Any:
    # `varchar | None` as an annotation: a union that holds the type itself.
    from typing import Union

    return Union[left, right]  # noqa: UP007
