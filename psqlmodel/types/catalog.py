"""What the database says of its columns: from OIDs and names of pg_type to types, and from a model's guess
to what the column really is. Pure: nothing here reads the catalog.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from types import NoneType
from typing import Any

from psqlmodel.types import (
    arrays,
    extensions,
    geometry,
    jsons,
    network,
    ranges,
    scalars,
    temporal,
    textual,
)
from psqlmodel.types.enums import over
from psqlmodel.types.pgtype import PgType, variant
from psqlmodel.types.quoting import quote
from psqlmodel.types.scalars import dump_str, texts_fit

# Many columns of many databases; the types are small, and a process seldom sees more.
_remember = lru_cache(maxsize=4096)


def by_oid(oid: int) -> PgType[Any] | None:
    """Return the built-in type with this OID, or None where the type is the database's own."""
    found = _BY_OID.get(oid)
    if found is None and oid in _ELEMENTS:
        found = _BY_OID[oid] = arrays.array(_ELEMENTS[oid])
    return found


@_remember
def from_catalog(
    typname: str,
    schema: str = "pg_catalog",
    oid: int = 0,
    *,
    kind: str = "b",
    base: PgType[Any] | None = None,
    element: PgType[Any] | None = None,
    labels: tuple[str, ...] = (),
) -> PgType[Any]:
    """Return the type that a row of pg_type describes.

    Parameters: `typname`, its name; `schema`, the name of its schema; `oid`; `kind`, its typtype (`b` base,
    `d` domain, `e` enum, `r` range, `m` multirange, `c` composite); `base`, what a domain is made of;
    `element`, the element of an array or the subtype of a range; `labels` of an enum.
    """
    built_in = by_oid(oid)
    if built_in is not None:
        return built_in
    qualified = f"{quote(schema)}.{quote(typname)}"
    names = {"type_name": typname, "schema": schema}
    if kind == "d" and base is not None:
        # Casts go to the base type: a cast to the domain would cut a long text, an assignment refuses it.
        return variant(base, name=qualified, oid=0, array_oid=0, base=qualified, **names)
    if kind == "r" and element is not None:
        return variant(ranges.range_of(element, qualified), **names)
    if kind == "m" and element is not None:
        return variant(ranges.multirange_of(element, qualified), **names)
    if kind == "b" and element is not None:
        return arrays.array(element)
    known = _EXTENSIONS.get(typname) if kind == "b" else None
    if known is not None:
        return variant(known, name=qualified, base=qualified, cast=f"::{qualified}", modify=None, **names)
    return variant(textual.named(qualified), labels=labels, **names)


@_remember
def resolve(declared: PgType[Any], actual: PgType[Any]) -> PgType[Any]:
    """Return what a column is: the database's type, with the model's Python side where that only spells it
    otherwise.

    An `Enum` class stays what it is over an enum, a text, a domain or a number; a `str` stays the text of
    every type that travels as text (enum, inet, json, …). In everything else the database wins.
    """
    if declared is actual:
        return actual
    if issubclass(declared.python, Enum) and actual.element is None:
        return over(actual, declared.python)
    if declared.python is str and actual.python is not str and actual.transport == "text" and not actual.element:
        return as_text(actual)
    if declared.element is not None and actual.element is not None:
        return arrays.array(resolve(declared.element, actual.element))
    if declared.oid == actual.oid != 0 and not declared.guess and not declared.serial:
        return declared  # the same type; the model may know its length
    return actual


def loader(declared: PgType[Any] | None, oid: int) -> Callable[[Any], Any] | None:
    """Return how the wire value of a result column becomes the Python value; None: it is the value.

    Parameters: `declared`, the type of the model's field, None for a column of no field; `oid`, what the
    result's shape says. It is never called with None (NULL).
    """
    if oid < 0:
        return _text_loader(declared, -oid)
    actual = by_oid(oid)
    if actual is not None:
        return actual.load if declared is None else resolve(declared, actual).load
    if declared is not None and declared.element is not None:
        return _array_loader(declared)
    if declared is None or declared.transport != "text":
        return None  # a type of the database's own, whose text is all there is to say
    if declared.guess and declared.lazy:
        return _load_object
    return declared.load


def quick(convert: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    """Return what does the same as a conversion of `loader` in C, or raises ValueError; None where there is none."""
    return temporal.QUICK.get(convert) if convert is not None else None


def _text_loader(declared: PgType[Any] | None, oid: int) -> Callable[[Any], Any]:
    read, load = temporal.READERS[oid], loader(declared, oid)
    return read if load is None else lambda text: load(read(text))


@_remember
def as_text(actual: PgType[Any]) -> PgType[str]:
    """Return `actual` with its text form as its Python value."""
    dump = dump_str(actual.name)
    return variant(
        actual,
        python=str,
        dump=dump,
        load=None,
        dump_text=dump,
        load_text=str,
        carry=dump,
        natives=frozenset({str, NoneType}),
        fits=texts_fit(None),
        modify=None,
        mutable=False,
        lazy=False,
    )


@_remember
def _array_loader(declared: PgType[Any]) -> Callable[[Any], Any]:
    # An array of the database's own type: a driver may give its literal or a list.
    def load(wire: Any) -> Any:
        if isinstance(wire, str):
            return declared.load_text(wire)
        return wire if declared.load is None else declared.load(wire)

    return load


def _load_object(text: str) -> Any:
    # A dict was declared and the database's type is none of the built-in ones: hstore, or a domain over json.
    return jsons.json.load_text(text) if text[:1] in ("{", "[") else extensions.hstore.load_text(text)


def _built_in() -> dict[int, PgType[Any]]:
    found: dict[int, PgType[Any]] = {}
    for module in (scalars, temporal, jsons, textual, network, geometry, ranges):
        for made in vars(module).values():
            if isinstance(made, PgType) and made.oid and not made.serial:
                found[made.oid] = made
    # In the catalog char and bit without a length are the bare types, not those of length 1.
    found[scalars.bpchar.oid] = scalars.bpchar
    return found


_BY_OID = _built_in()
_ELEMENTS = {made.array_oid: made for made in _BY_OID.values()}  # their arrays are made when one is asked for
_EXTENSIONS = {"citext": scalars.citext, "hstore": extensions.hstore, "vector": extensions.vector}
