"""Types of columns → the Python that declares them: an annotation, and `type=…` where the annotation does not say it.

Pure. `Spelled.names` are what the source must import, by module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from psqlmodel import types
from psqlmodel.errors import PSQLModelError
from psqlmodel.record import Record
from psqlmodel.schema.description import ColumnInfo, TypeInfo
from psqlmodel.schema.inspect import type_of
from psqlmodel.types import PgType, from_annotation

_MODIFIERS = re.compile(r"\(([\d, -]+)\)")
_PLAIN = (bool, int, float, str, bytes, Decimal, datetime, date, time, timedelta, UUID)
# The names that pg_type has for what this library names otherwise, and that take a length or a precision.
_BY_TYPNAME = {
    "bpchar": "char",
    "varchar": "varchar",
    "numeric": "numeric",
    "bit": "bit",
    "varbit": "varbit",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "time": "time",
    "timetz": "timetz",
    "vector": "vector",
}


class Spelled(Record):
    """How a column's type is declared: `annotation` without `| None`, `type` or "", `max_len`, what to import."""

    annotation: str
    type: str = ""
    max_len: int | None = None
    names: tuple[tuple[str, str], ...] = ()  # (module, name)


def spell(column: ColumnInfo, enums: Mapping[tuple[str, str], str]) -> Spelled:
    """Return how the type of a column is declared; `enums` has the classes of enum types by (schema, name)."""
    info = column.type_info
    assert info is not None
    return _spell(info, _modifiers(column.type), enums)


def _modifiers(spelled: str) -> tuple[int, ...]:
    found = _MODIFIERS.search(spelled)
    return tuple(int(part) for part in found[1].split(",")) if found else ()


def _spell(info: TypeInfo, modifiers: tuple[int, ...], enums: Mapping[tuple[str, str], str]) -> Spelled:
    if info.kind == "e":
        cls = enums[info.schema, info.name]
        return Spelled(cls, f'enum({cls}, name="{info.name}")', names=(("psqlmodel.types", "enum"),))
    if info.element is not None and info.kind == "b":
        return _array(_spell(info.element, modifiers, enums))
    if info.name == "varchar" and len(modifiers) == 1:
        return Spelled("str", max_len=modifiers[0])
    actual = type_of(info)
    annotation, names = _annotation(actual.python)
    if info.kind in ("r", "m") and info.element is not None:
        inner = _spell(info.element, (), enums)
        annotation, names = f"{annotation}[{inner.annotation}]", (*names, *inner.names)
    if not modifiers and _follows(actual):
        return Spelled(annotation, names=names)
    type_, more = _type(info, modifiers)
    return Spelled(annotation, type_, names=(*names, *more))


def _array(element: Spelled) -> Spelled:
    if element.max_len is not None:
        element = Spelled("str", f"varchar({element.max_len})", names=(("psqlmodel.types", "varchar"),))
    if not element.type:
        return Spelled(f"list[{element.annotation}]", names=element.names)
    names = (*element.names, ("psqlmodel.types", "array"))
    return Spelled(f"list[{element.annotation}]", f"array({element.type})", names=names)


def _annotation(python: type[Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the Python type's name, and where it comes from; a JSON value may be anything."""
    if python in (dict, list, object) or python.__module__ == "typing":
        return "Any", (("typing", "Any"),)
    if python.__module__ == "builtins":
        return python.__name__, ()
    module = "psqlmodel.types" if python.__module__.startswith("psqlmodel.") else python.__module__
    return python.__name__, ((module, python.__name__),)


@cache
def _follows(actual: PgType[Any]) -> bool:
    """Tell whether the annotation alone gives this type."""
    if actual.python not in _PLAIN:
        return False
    try:
        return from_annotation(actual.python).oid == actual.oid != 0
    except PSQLModelError:
        return False


def _type(info: TypeInfo, modifiers: tuple[int, ...]) -> tuple[str, tuple[tuple[str, str], ...]]:
    name = _BY_TYPNAME.get(info.name) or _NAMES.get(info.oid) or _extension(info)
    if name is None:
        schema = f', schema="{info.schema}"' if info.schema not in ("pg_catalog", "public") else ""
        return f'custom("{info.name}"{schema})', (("psqlmodel.types", "custom"),)
    takes_some = getattr(types, name).modify is not None
    listed = f"({', '.join(map(str, modifiers))})" if modifiers and takes_some else ""
    return name + listed, (("psqlmodel.types", name),)


def _extension(info: TypeInfo) -> str | None:
    return info.name if info.extension and isinstance(getattr(types, info.name, None), PgType) else None


_NAMES: dict[int, str] = {
    found.oid: name
    for name in dir(types)
    if isinstance(found := getattr(types, name), PgType) and found.oid and not found.serial
}
