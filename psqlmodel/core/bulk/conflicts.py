"""Conflicts: what becomes of new rows that are there already, and how many were written. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psqlmodel.core.bulk.rows import Batch, refuse_twice
from psqlmodel.core.unitofwork import routing, versioning
from psqlmodel.core.unitofwork.takeover import unique_keys
from psqlmodel.errors import InvalidValueError, MissingPrimaryKeyError, QueryError
from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper
from psqlmodel.query.quoting import quote

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

_ACTIONS = ("ignore", "update")


class Counted(int):
    """The number of rows that bulk work wrote; `inserted` and `updated` of them.

    Both are None where the server can't tell: an upsert into a partitioned table or a view.
    """

    inserted: int | None

    def __new__(cls, rows: int, inserted: int | None) -> Counted:
        """Count rows, and those among them that are new."""
        made = super().__new__(cls, rows)
        made.inserted = inserted
        return made

    @property
    def updated(self) -> int | None:
        """How many were there already and were written."""
        return None if self.inserted is None else int(self) - self.inserted

    def plus(self, other: Counted) -> Counted:
        """Return both together."""
        known = self.inserted is not None and other.inserted is not None
        return Counted(int(self) + int(other), (self.inserted or 0) + (other.inserted or 0) if known else None)


class OnConflict:
    """What becomes of rows that agree with one in the table in the columns `on`: `update` says what is written.

    `update` is None for all columns that are set, or some columns; none of them leaves the row as it is.
    """

    __slots__ = ("_on", "_update", "_verb")

    def __init__(self, verb: str, on: Any, update: Any) -> None:
        self._verb = verb
        self._on = on
        self._update = update

    @classmethod
    def of(cls, verb: str, action: str | None, on: Any) -> OnConflict | None:
        """Return what `on_conflict=` says; raises `QueryError` for what it can't be."""
        if action is None:
            if on is not None:
                raise QueryError(f'{verb}: on= tells when rows conflict: say on_conflict="ignore" or "update" with it')
            return None
        if action not in _ACTIONS:
            raise QueryError(f'{verb}: on_conflict is "ignore" or "update", not {action!r}')
        return cls(verb, on, () if action == "ignore" else None)

    def check(self, workspace: Workspace, batch: Batch) -> None:
        """Refuse rows by which nothing could be found, and two that would write one row.

        Raises `InvalidValueError` with their positions, `QueryError` where `on` must be said.
        """
        target = self.target(batch)
        if not self.sets(workspace, batch):
            return
        parts = []
        for column in target:
            values = batch.columns.get(column.key or "", [None])
            at = next((n for n, value in enumerate(values) if value is None), None)
            if at is not None:
                raise InvalidValueError(
                    f"{self._verb}: models[{batch.positions[at]}] has no {batch.mapper.name}.{column.key}, by which "
                    "rows are found"
                )
            parts.append(values)
        keys = parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))
        try:
            refuse = len(set(keys)) != len(keys)
        except TypeError:  # the server tells, if not which
            return
        if refuse:
            refuse_twice(keys, batch.positions, self._verb)

    def target(self, batch: Batch) -> tuple[Column[Any], ...]:
        """Return the columns by which rows are found: those of `on`, else the primary key, else the one unique key."""
        mapper = batch.mapper
        if self._on is not None:
            several = self._on if isinstance(self._on, list | tuple | set | frozenset) else [self._on]
            return tuple([mapper.column(each) for each in several])
        if mapper.primary_key and not batch.open:
            return mapper.primary_key
        return self._only_unique(mapper, batch)

    def _only_unique(self, mapper: Mapper, batch: Batch) -> tuple[Column[Any], ...]:
        own = tuple(str(column.key) for column in mapper.primary_key)
        keys = [keys for keys in unique_keys(mapper) if keys != own]
        if len(keys) == 1 and all(key in batch.columns for key in keys[0]):
            return tuple([mapper.attributes[key] for key in keys[0]])
        where = f"models[{batch.positions[0]}] has no primary key value"
        known = " and ".join(f"({', '.join(each)})" for each in keys)
        why = f"{mapper.name} has these unique keys: {known}" if keys else f"{mapper.name} has no other unique key"
        error = QueryError if keys else MissingPrimaryKeyError
        raise error(f"{self._verb}: {where}, and {why}; say on= which columns tell that a row is there already")

    def sets(self, workspace: Workspace, batch: Batch) -> list[str]:
        """Return the assignments for rows that are there; none where they stay as they are."""
        names = [quote(column.name or "") for column in self.written(workspace, batch)]
        made = versioning.bump(batch.mapper)
        return [*(f"{name} = EXCLUDED.{name}" for name in names), *made] if names else []

    def written(self, workspace: Workspace, batch: Batch) -> list[Column[Any]]:
        """Return the columns that are written where the row is there."""
        mapper = batch.mapper
        given = [mapper.attributes[key] for key in batch.keys]
        if self._update is None:
            computed = workspace.catalog.generated(mapper)
            left_out = {id(column) for column in (*self.target(batch), *mapper.primary_key, mapper.version)}
            return [column for column in given if id(column) not in left_out and column.name not in computed]
        several = self._update if isinstance(self._update, list | tuple | set | frozenset) else [self._update]
        chosen = [mapper.column(each) for each in several]
        if mapper.distribution is not None:
            routing.check_written(mapper, chosen, f"{self._verb}: update=")
        for column in chosen:
            if column.key not in batch.keys:
                raise InvalidValueError(
                    f"{self._verb}: update= names {mapper.name}.{column.key}, and models[{batch.positions[0]}] does "
                    "not set it"
                )
        return [column for column in chosen if column is not mapper.version]
