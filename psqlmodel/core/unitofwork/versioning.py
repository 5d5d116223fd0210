"""Versions in a flush: what an UPDATE or DELETE compares, what an UPDATE writes, and the error of those that lost.

A version is compared with what the object says: a program may set it (from a form that it sent out earlier) to have it
checked. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.core.unitofwork import sql
from psqlmodel.core.unitofwork.collect import changed_columns, dumped_column
from psqlmodel.errors import ObjectStateError, StaleObjectError
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.model.state import UNSET, Raw, raw_name
from psqlmodel.model.versions import is_system
from psqlmodel.query.quoting import quote

if TYPE_CHECKING:
    from psqlmodel.core.engine.catalog import Catalog


def bump(mapper: Mapper, table: str = "t") -> list[str]:
    """Return the assignments that make the next version in an UPDATE of `table`."""
    version = mapper.version
    if version is None or is_system(version):
        return []
    name = quote(str(version.name))
    if version.pg_type.python is int:
        return [f"{name} = {table}.{name} + 1"]
    return [f"{name} = clock_timestamp()"]


def withheld(mapper: Mapper, catalog: Catalog) -> Column[Any] | None:
    """Return the version that an INSERT does not give back, so that it must be read after it; None where it does.

    Rows that a partitioned table hands on to its partitions come back without their system columns.
    """
    version = mapper.version
    return version if version is not None and is_system(version) and not catalog.is_ordinary(mapper) else None


def guards(mapper: Mapper, type_of: Any) -> list[sql.TypedColumn]:
    """Return the version as one more key column of the rows to be written: none where there is no version."""
    version = mapper.version
    return [] if version is None else sql.named([version], [type_of(version)])


def versions(mapper: Mapper, objects: Sequence[Any], type_of: Any) -> list[list[Any]]:
    """Return the array of the versions that the objects have: none where there is no version.

    Raises `ObjectStateError` for an object whose version is not known.
    """
    version = mapper.version
    if version is None:
        return []
    values = [obj.__dict__.get(version.key) for obj in objects]
    for obj, value in zip(objects, values, strict=True):
        if value is None:
            raise ObjectStateError(
                f"{mapper.name} {mapper.stored_key_of(obj)!r} does not know its version ({version.key}), so nothing "
                "can tell whether someone else changed the row: refresh it before it is changed"
            )
    return [dumped_column(mapper, version, type_of(version), values)]


def remember(obj: Any, key: str) -> None:
    """Keep the value of a column that the server is about to make anew, so that it follows a rollback."""
    values, raw = obj.__dict__, raw_name(key)
    obj._state.before_change(obj, key, Raw(values[raw]) if raw in values else values.get(key, UNSET))


def lost_of(objects: Sequence[Any], ordinals: Iterable[int]) -> list[Any]:
    """Return the objects that are not among those found, which are told by their ordinals (from 1)."""
    found = set(ordinals)
    return [obj for n, obj in enumerate(objects, 1) if n not in found]


def stale_error(
    mapper: Mapper,
    operation: str,
    lost: Sequence[Any],
    total: int,
    missing: int | None = None,
    changes: Sequence[dict[str, Any]] | None = None,
) -> StaleObjectError:
    """Return the error that names the objects that lost, with what the program had changed in them.

    `missing` is the number of rows that were not found, where `lost` are only those that it may be. `changes` are what
    was changed, where the objects were restored already.
    """
    named = ", ".join(f"{mapper.name} {mapper.stored_key_of(obj)!r}" for obj in lost[:5])
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    plain = mapper.version is None
    found = "" if plain else " in the version that was read"
    why = "deleted them or changed their keys" if plain else "changed or deleted them"
    return StaleObjectError(
        f"{operation} of {mapper.qualified} did not find {missing or len(lost)} of {total} rows "
        f"({named}{more}){found}: someone else {why}; refresh or reload the objects and try again",
        tuple(lost),
        tuple([changes_of(obj) for obj in lost] if changes is None else changes),
    )


def changes_of(obj: Any) -> dict[str, Any]:
    """Return what the program changed in an object, by attribute; without its version."""
    version = type(obj).__mapper__.version
    keys = [key for key in changed_columns(obj) if version is None or key != version.key]
    return {key: obj.__dict__.get(key) for key in keys}
