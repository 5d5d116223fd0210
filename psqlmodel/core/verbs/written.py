"""Written: what a verb did to many objects; and how rows that it wrote become the session's objects. Sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from psqlmodel.core.unitofwork.grouping import regroup_written
from psqlmodel.errors import InvalidValueError, NotMappedError, ObjectStateError
from psqlmodel.model.codegen import Field, Refresher
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper, mapper_of
from psqlmodel.model.state import DETACHED, PENDING, TRANSIENT, UNSET, Raw, raw_name, set_state
from psqlmodel.steps import Rows

if TYPE_CHECKING:
    from psqlmodel.core.unitofwork.unit import UnitOfWork
    from psqlmodel.core.workspace import Workspace

T = TypeVar("T")


class Written(list[T]):
    """The session's objects, in the order in which they were given, and what was done for each.

    `inserted`, `updated` and `unchanged` are the objects by what happened to their rows; `deleted` the primary keys of
    the rows that `sync_set` deleted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inserted: list[T] = []
        self.updated: list[T] = []
        self.unchanged: list[T] = []
        self.deleted: list[Any] = []

    def __repr__(self) -> str:
        counts = {kind: len(getattr(self, kind)) for kind in ("inserted", "updated", "unchanged", "deleted")}
        return f"<Written {', '.join(f'{count} {kind}' for kind, count in counts.items() if count) or 'nothing'}>"


class Taking:
    """Takes rows into the session: the columns of the mapper are the first of `rows`."""

    def __init__(self, workspace: Workspace, mapper: Mapper, rows: Rows) -> None:
        self._unit: UnitOfWork = workspace.unit
        self._mapper = mapper
        pairs = zip(mapper.columns, rows.shape.oids, strict=False)
        fields = [Field(column, oid, n) for n, (column, oid) in enumerate(pairs)]
        by_key = {field.key: field for field in fields}
        self._key = [by_key[str(column.key)] for column in mapper.primary_key]
        self._refresh = Refresher(mapper, fields)
        self._come: list[Any] = []
        self._moved: list[tuple[Any, dict[str, Any]]] = []

    def key_of(self, row: Sequence[Any]) -> Any:
        """Return the primary key of a row as the identity map has it."""
        parts = [row[f.position] if f.convert is None else f.convert(row[f.position]) for f in self._key]
        return parts[0] if len(parts) == 1 else tuple(parts)

    def take(self, given: Any, row: Sequence[Any]) -> Any:
        """Return the session's object for a row, with its values: the one that it has already, else `given`."""
        unit, mapper = self._unit, self._mapper
        key = self.key_of(row)
        known = unit.identity.get(mapper, key)
        if known is None:
            unit.undo.inserted([given])
            unit.identity.put(mapper, key, given)
            set_state(given, unit.clean(mapper))
            known = given
            self._come.append(given)
        else:
            before = _before(mapper, known)
            unit.undo.updated(known, before)
            self._moved.append((known, before))
        self._refresh(known, row)
        return known

    def settle(self) -> None:
        """Show what was taken on the loaded lists of its parents, as a flush does."""
        regroup_written(self._unit, self._mapper, self._come, self._moved)

    def shadow(self, row: Sequence[Any]) -> Any:
        """Return an object with the values of a row, which no session knows."""
        made = self._mapper.cls.__new__(self._mapper.cls)
        set_state(made, self._mapper.detached)
        self._refresh(made, row)
        return made


def _before(mapper: Mapper, obj: Any) -> dict[str, Any]:
    """Return what the columns of an object are in the database, as the undo log remembers it."""
    values, original = obj.__dict__, obj._state.original
    found: dict[str, Any] = {}
    for key in mapper.keys:
        raw = raw_name(key)
        found[key] = original.get(key, Raw(values[raw]) if raw in values else values.get(key, UNSET))
    return found


# --- what verbs are given ------------------------------------------------------------------------------------


def listed(objects: Any, verb: str) -> list[Any]:
    """Return the objects that a verb is given: one, or several.

    Raises `NotMappedError` for what is no object of a model.
    """
    several = list(objects) if isinstance(objects, Iterable) and not isinstance(objects, str | bytes) else [objects]
    for position, obj in enumerate(several):
        if isinstance(obj, type):
            raise NotMappedError(f"{verb}: objects[{position}] is the class {obj.__name__}, not an object of it")
        try:
            _ = mapper_of(obj)
        except NotMappedError as error:
            raise NotMappedError(f"{verb}: objects[{position}]: {error}") from None
    return several


def withdraw(unit: UnitOfWork, objects: Sequence[Any], verb: str) -> None:
    """Take objects that wait for a flush out of it, because `verb` writes them itself.

    Raises `ObjectStateError` for one that the session, or another one, has already.
    """
    for position, obj in enumerate(objects):
        state, name = obj._state, type(obj).__name__
        if state is TRANSIENT or state.status == DETACHED or (state.status == PENDING and state.unit is unit):
            continue
        where = "this" if state.unit is unit else "another"
        raise ObjectStateError(
            f"{verb}: objects[{position}], a {name}, belongs to {where} session already: change it there and flush, "
            f"or give {verb} a new {name}"
        )
    for obj in objects:
        if obj._state is not TRANSIENT and obj._state.status == PENDING:
            unit.forget_new(obj)


def named_columns(mapper: Mapper, on: Any) -> tuple[Column[Any], ...]:
    """Return the columns that attribute names, attributes (`User.email`), or one of them, name.

    Raises `MappingError` for what is no column.
    """
    several = on if isinstance(on, list | tuple | set | frozenset) else [on]
    return tuple(mapper.column(each) for each in several)


def check_unique(
    mapper: Mapper, objects: Sequence[Any], columns: Sequence[Column[Any]], verb: str, open_keys: bool = False
) -> None:
    """Refuse objects that have no value in one of the columns, or the same values as another one.

    With `open_keys`, an object may have no value yet. Raises `InvalidValueError` with the positions of the objects.
    """
    names = [str(column.key) for column in columns]
    seen: dict[Any, int] = {}
    for position, obj in enumerate(objects):
        key = tuple(obj.__dict__.get(name) for name in names)
        if None in key:
            if open_keys:
                continue
            name = names[key.index(None)]
            raise InvalidValueError(f"{verb}: objects[{position}] has no {mapper.name}.{name}, by which rows are found")
        first = seen.setdefault(key, position)
        if first != position:
            raise InvalidValueError(
                f"{verb}: objects[{first}] and objects[{position}] have the same {mapper.name}.{', '.join(names)}: "
                "one of them is too many"
            )
