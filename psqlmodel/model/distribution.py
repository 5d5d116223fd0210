"""Distribution: how the rows of a table are spread over the nodes of a Citus cluster, and what Citus refuses of that.

`@table(…, distributed_by="tenant_id")` puts all rows of one tenant on one shard, `reference=True` a copy of the table
on every node. What Citus would refuse is refused where the class is defined, and what needs the other class where both
are known: at the definition of the second one in a module, and at the latest when tables are made. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.errors import MappingError
from psqlmodel.model.constraints import Exclude, ForeignKey, Index, Unique
from psqlmodel.model.versions import is_system
from psqlmodel.query.quoting import qualified
from psqlmodel.record import Record

if TYPE_CHECKING:
    from psqlmodel.model.fields import Column
    from psqlmodel.model.mapper import Mapper

_KEYWORDS: Final = ("default", "none")  # of colocate_with; all else is the name of a table
_EMPTYING: Final = ("SET NULL", "SET DEFAULT")
_COUNTS: Final = frozenset({"int2", "int4", "int8"})


class Distribution(Record):
    """How one table is spread: by the values of a column, or (None) as a copy on every node.

    `colocate_with` is the table (as SQL text), or the keyword, that says which shards stay together.
    """

    column: Column[Any] | None
    colocate_with: str | None = None


def distribution_of(mapper: Mapper, by: Any, reference: bool, colocate_with: Any) -> Distribution:
    """Return what the options of `@table` say.

    Raises `MappingError` for options that contradict each other, and for what Citus refuses of such a table.
    """
    if by is not None and reference:
        raise MappingError(f"{mapper.name}: a table is distributed_by a column, or a reference table; not both")
    if reference and colocate_with is not None:
        raise MappingError(f"{mapper.name}: a reference table is on every node: colocate_with says nothing about it")
    if by is None and not reference:
        raise MappingError(f"{mapper.name}: colocate_with belongs to distributed_by: say which column spreads the rows")
    _check_version(mapper)
    if reference:
        return Distribution(None)
    column = mapper.column(by)
    _check_column(mapper, column)
    _check_unique(mapper, column)
    return Distribution(column, None if colocate_with is None else _colocated(mapper, colocate_with))


def check_keys(mapper: Mapper, target_of: Callable[[ForeignKey], Mapper | None]) -> None:
    """Refuse foreign keys that Citus refuses; those whose target is not known yet are let pass.

    Raises `MappingError`.
    """
    for key in mapper.foreign_keys:
        target = target_of(key) if key.enforced else None
        if target is not None:
            _check_key(mapper, key, target)


def check_neighbours(mapper: Mapper, others: Iterable[Mapper]) -> None:
    """Refuse foreign keys from and to a new class, as far as `others` are defined in its scope.

    Raises `MappingError`.
    """
    near = [mapper, *(other for other in others if _scope(other) == _scope(mapper) and other.name != mapper.name)]

    def target_of(key: ForeignKey) -> Mapper | None:
        found = [other for other in near if key.table in (other.table, f"{other.schema}.{other.table}")]
        return found[0] if len(found) == 1 else None

    check_keys(mapper, target_of)
    for other in near[1:]:
        check_keys(other, lambda key: mapper if target_of(key) is mapper else None)


def check_types(mapper: Mapper, target: Mapper, ours: str, theirs: str) -> None:
    """Refuse two tables with a key between them whose distribution columns have different types.

    Raises `MappingError`.
    """
    if ours != theirs:
        raise MappingError(
            f"{mapper.name}.{_key(mapper)} is {ours} and {target.name}.{_key(target)} is {theirs}: rows of tables with "
            "a foreign key between them must be on one shard, so their distribution columns must have one type"
        )


def _scope(mapper: Mapper) -> tuple[str, str]:
    return mapper.cls.__module__, mapper.cls.__qualname__.rpartition(".")[0]


# --- the table itself -------------------------------------------------------------------------------------------------


def _check_column(mapper: Mapper, column: Column[Any]) -> None:
    where = f"{mapper.name}: distributed_by={column.key!r}"
    if column.generated is not None or column.version or is_system(column):
        raise MappingError(f"{where}: rows are spread by a plain column, not by one that the server computes")
    if column.key in mapper.mutable:
        raise MappingError(f"{where}: rows are spread by one value, a number, a text or a UUID, not by one with parts")
    if mapper.primary_key and not column.primary_key:
        keys = ", ".join(str(each.key) for each in mapper.primary_key)
        raise MappingError(
            f"{where} is not in the primary key ({keys}), and no node could tell whether another has the same key: "
            f"declare {column.key} with Column(primary_key=True), so that the key is ({column.key}, {keys})"
        )


def _check_unique(mapper: Mapper, by: Column[Any]) -> None:
    for column in mapper.columns:
        if column.unique and column is not by:
            raise MappingError(
                f"{mapper.name}.{column.key}: unique=True holds on one shard only: "
                f'write constraints=[Unique("{by.key}", "{column.key}")]'
            )
    for constraint in (*mapper.constraints, *mapper.indexes):
        if isinstance(constraint, Unique) or (isinstance(constraint, Index) and constraint.unique):
            named = [each for each in constraint.columns if mapper.has_column(each)]
            if not any(mapper.column(each) is by for each in named):
                raise MappingError(
                    f"{mapper.name}: {_spelled(constraint.columns)} can be unique on one shard only: "
                    f"add {by.key}, the distribution column, to its columns"
                )
        elif isinstance(constraint, Exclude):
            equal = [each for each, operator in constraint.elements if operator == "=" and mapper.has_column(each)]
            if not any(mapper.column(each) is by for each in equal):
                raise MappingError(
                    f'{mapper.name}: Exclude compares the rows of one shard only: add ("{by.key}", "=") to its elements'
                )


def _check_version(mapper: Mapper) -> None:
    version = mapper.version
    if version is None:
        return
    if is_system(version) or version.pg_type.transport not in _COUNTS:
        other = "xmin differs from node to node" if is_system(version) else "Citus refuses clock_timestamp() in UPDATE"
        raise MappingError(
            f"{mapper.name}.{version.key}: {other}: declare the version as an integer, "
            "version: Column[int] = Column(version=True)"
        )


def _colocated(mapper: Mapper, given: Any) -> str:
    source = getattr(given, "__source__", None)
    if source is not None:
        other: Mapper = given.__mapper__
        if other.distribution is None or other.distribution.column is None:
            raise MappingError(
                f"{mapper.name}: colocate_with={other.name}, and {other.name} is not distributed_by a column itself"
            )
        return str(source.shape)
    if not isinstance(given, str) or not given:
        raise MappingError(f'{mapper.name}: colocate_with takes a model, the name of a table or "none", not {given!r}')
    if given in _KEYWORDS:
        return given
    schema, _, name = given.rpartition(".")
    return qualified(name, schema or None)


# --- keys between tables ----------------------------------------------------------------------------------------------


def _check_key(mapper: Mapper, key: ForeignKey, target: Mapper) -> None:
    ours, theirs = mapper.distribution, target.distribution
    if ours is None and theirs is None:
        return
    named = f"{mapper.name}: the foreign key {_spelled(key.columns)} → {target.table}"
    if theirs is None:
        if ours is not None and ours.column is not None:
            raise MappingError(
                f"{named}: {target.name} is on one node only, {mapper.name} on all: give {target.name} reference=True "
                "(a copy on every node) or distributed_by=…, or the key enforced=False"
            )
        return
    by = None if ours is None else ours.column
    if theirs.column is not None:
        if by is None:
            what = "is a reference table" if ours is not None else "is on one node only"
            raise MappingError(
                f"{named}: {mapper.name} {what}, {target.name} is distributed: give {mapper.name} distributed_by=…, "
                "or the key enforced=False"
            )
        if (by, theirs.column) not in _pairs(mapper, key, target):
            raise MappingError(
                f"{named} leaves out {by.key}, by which the rows are spread, so the other row may be on another node: "
                f'declare ForeignKey(["{by.key}", …], "{target.table}", ["{theirs.column.key}", …]) in constraints=, '
                f"or give {target.name} reference=True"
            )
    if by is not None and any(ours_ is by for ours_, _ in _pairs(mapper, key, target)):
        _check_actions(named, key, by)


def _check_actions(named: str, key: ForeignKey, by: Column[Any]) -> None:
    if key.on_delete in _EMPTYING:
        raise MappingError(
            f'{named}: on_delete="{key.on_delete}" would empty {by.key} too, which keeps the row on its shard: use '
            '"CASCADE", "RESTRICT" or "NO ACTION"'
        )
    if key.on_update in (*_EMPTYING, "CASCADE"):
        raise MappingError(
            f'{named}: on_update="{key.on_update}" would change {by.key}, and a row does not move to another shard: '
            'use "RESTRICT" or "NO ACTION"'
        )


class _Pairs(list[tuple[Any, Any]]):
    """Pairs of columns, found by identity: `==` of columns builds a condition."""

    def __contains__(self, pair: object) -> bool:
        return isinstance(pair, tuple) and any(a is pair[0] and b is pair[1] for a, b in self)


def _pairs(mapper: Mapper, key: ForeignKey, target: Mapper) -> _Pairs:
    remote = [target.column(name) for name in key.remote] if key.remote else list(target.primary_key)
    return _Pairs(zip([mapper.column(name) for name in key.columns], remote, strict=False))


def _key(mapper: Mapper) -> str:
    column = None if mapper.distribution is None else mapper.distribution.column
    return "" if column is None else str(column.key)


def _spelled(columns: Sequence[Any]) -> str:
    return f"({', '.join(each if isinstance(each, str) else str(getattr(each, 'key', each)) for each in columns)})"
