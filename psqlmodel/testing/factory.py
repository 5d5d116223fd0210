"""Factories: objects of a model with valid values, and the parents that they can't be without.

`make(Order, total=3)` fills what the row must have and the caller, the model and the database do not give: by type,
length, enum and what CHECK constraints ask; unique where it must be. A required foreign key gets a parent, made the
same way. What may be NULL stays so. The same seed and the same calls give the same values.

The logic is generators that yield an object which must have its row now; `Factory` and `AsyncFactory` drive them.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Generator, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from psqlmodel.model.fields import Column
from psqlmodel.model.mapper import Mapper, mapper_of, registry
from psqlmodel.model.resolution import remote_columns
from psqlmodel.model.versions import is_system
from psqlmodel.schema.wanted import describe
from psqlmodel.testing.checks import Limits, limits_of
from psqlmodel.testing.values import FactoryError, Values

if TYPE_CHECKING:
    from psqlmodel.core.async_session import AsyncSession
    from psqlmodel.core.session import Session
    from psqlmodel.model.constraints import ForeignKey

__all__ = ["AsyncFactory", "Factory", "FactoryError"]

M = TypeVar("M")


class _Needs:
    """What one model's rows must have that nobody else gives."""

    def __init__(self, mapper: Mapper) -> None:
        described = describe([mapper]).tables[0]
        given = {c.name for c in described.columns if c.nullable or c.default or c.identity or c.generated}
        self.required = [column for column in mapper.columns if column.name not in given and _is_ours(column)]
        self.limits, self.pairs = limits_of(check.condition for check in described.checks)
        listed = [name for key in described.uniques for name in key.columns]
        listed += described.primary_key.columns if described.primary_key is not None else ()
        texts = [element for index in described.indexes if index.unique for element in index.elements]
        texts += re.findall(r'([\w"]+) WITH =', " ".join(each.definition for each in described.excludes))
        words = {word for text in texts for word in re.findall(r"\w+", text)}
        self.unique = {*listed, *words}


class _Factory:
    """What both factories are."""

    def __init__(self, seed: object) -> None:
        self._values = Values(str(seed))
        self._needs: dict[Mapper, _Needs] = {}

    def build(self, model: type[M], /, **values: Any) -> M:
        """Return an object with valid values and its parents, which no session knows.

        Raises `FactoryError` where a value must come from the database, and what `make` raises.
        """
        making = _Making(self._construct(mapper_of(model), values, {}, ()))
        first = next(iter(making))
        if first is not making.made:
            raise FactoryError(
                f"{model.__name__} holds the key of a {type(first).__name__} that only the database makes: make it in "
                "a session, or declare a relation"
            )
        made: M = making.made
        return made

    def _construct(
        self, mapper: Mapper, given: dict[str, Any], parents: dict[Mapper, Any], around: tuple[Mapper, ...]
    ) -> Generator[Any, None, Any]:
        """Return an object that is not added yet; yields parents whose rows must be there before."""
        if any(key not in mapper.attributes and key not in mapper.relations for key in given):
            mapper.cls(**given)  # says which
        parents.update({mapper_of(given[key]): given[key] for key in _given_parents(mapper, given)})
        values = dict(given)
        needs = self._needs.get(mapper) or self._needs.setdefault(mapper, _Needs(mapper))
        linked = yield from self._link(mapper, values, needs, parents, (*around, mapper))
        for column in needs.required:
            if column.key not in values and column.key not in linked:
                limits = needs.limits.get(column.name or "", Limits())
                values[column.key or ""] = self._values.value(column, limits, unique=column.name in needs.unique)
        _order(mapper, needs, values, given)
        return mapper.cls(**values)

    def _link(
        self,
        mapper: Mapper,
        values: dict[str, Any],
        needs: _Needs,
        parents: dict[Mapper, Any],
        around: tuple[Mapper, ...],
    ) -> Generator[Any, None, set[str]]:
        """Give the required foreign keys their parents; returns the columns that these fill."""
        linked: set[str] = set()
        known: dict[str, Any] = {}
        required = {column.key for column in needs.required}
        counts = [name for key in mapper.foreign_keys for name in key.columns]
        for key in sorted(mapper.foreign_keys, key=lambda key: len(key.columns)):
            columns = [mapper.by_name[name] for name in key.columns if name in mapper.by_name]
            keys = [column.key or "" for column in columns]
            relation = _relation(mapper, keys)
            if relation is not None and relation.key in values:
                linked.update(keys)
                continue
            if not required.intersection(keys) or all(each in values for each in keys):
                continue
            target = self._target(mapper, key)
            if target is None:
                continue
            remote = [column.key or "" for column in remote_columns(target, key)]
            pinned = {r: (values | known)[k] for k, r in zip(keys, remote, strict=True) if k in values or k in known}
            parent = yield from self._parent(mapper, target, keys, pinned, parents, around)
            if relation is None or len(keys) > 1 or counts.count(key.columns[0]) > 1:
                yield parent
                known |= {k: getattr(parent, r) for k, r in zip(keys, remote, strict=True)}
            if relation is None:
                values |= {k: known[k] for k in keys}
            else:
                values[relation.key] = parent
            linked.update(keys)
        return linked

    def _parent(
        self,
        mapper: Mapper,
        target: Mapper,
        keys: list[str],
        pinned: Mapping[str, Any],
        parents: dict[Mapper, Any],
        around: tuple[Mapper, ...],
    ) -> Generator[Any, None, Any]:
        """Return the parent of this call's objects: one that it has already, where it fits, or a new one."""
        known = parents.get(target)
        if known is not None and all(known.__dict__.get(name) == value for name, value in pinned.items()):
            return known
        if target in around:
            _refuse_circle(mapper, target, keys, around)
        parent = yield from self._construct(target, dict(pinned), parents, around)
        parents[target] = parent
        return parent

    def _target(self, mapper: Mapper, key: ForeignKey) -> Mapper | None:
        """Return the mapper of the table that a foreign key names; None where a value of no row will do."""
        target = registry.by_table(key.table, mapper)
        if target is None and key.enforced:
            raise FactoryError(
                f"{mapper.name}.{', '.join(key.columns)} refers to the table {key.table}, of which there is no model: "
                "pass the key of a row"
            )
        return target


class Factory(_Factory):
    """Makes objects in a session; called as `make(Model, name="x")`.

    `seed` decides the values. Raises `FactoryError` where no valid value is known, and says what to pass; else what the
    database says of the row.

        make = Factory(session)
        order = make(Order, total=3)  # and the user whose order it is
    """

    def __init__(self, session: Session, *, seed: object = 0) -> None:
        super().__init__(seed)
        self._session = session

    def __call__(self, model: type[M], /, **values: Any) -> M:
        """Make an object and what it needs, and flush it: its key is there."""
        making = _Making(self._construct(mapper_of(model), values, {}, ()))
        for obj in making:
            self._session.add(obj)
            self._session.flush()
        made: M = making.made
        return made

    def many(self, model: type[M], count: int, /, **values: Any) -> list[M]:
        """Make several objects; each has parents of its own unless they are given."""
        return [self(model, **values) for _ in range(count)]


class AsyncFactory(_Factory):
    """What `Factory` is, in an `AsyncSession`: `order = await make(Order)`."""

    def __init__(self, session: AsyncSession, *, seed: object = 0) -> None:
        super().__init__(seed)
        self._session = session

    async def __call__(self, model: type[M], /, **values: Any) -> M:
        """Make an object and what it needs, and flush it: its key is there."""
        making = _Making(self._construct(mapper_of(model), values, {}, ()))
        for obj in making:
            _ = self._session.add(obj)
            await self._session.flush()
        made: M = making.made
        return made

    async def many(self, model: type[M], count: int, /, **values: Any) -> list[M]:
        """Make several objects; each has parents of its own unless they are given."""
        return [await self(model, **values) for _ in range(count)]


class _Making:
    """The objects that must get their rows, in order; the last one is `made`, what was asked for."""

    def __init__(self, steps: Generator[Any, None, Any]) -> None:
        self._steps = steps
        self.made: Any = None

    def __iter__(self) -> Iterator[Any]:
        self.made = yield from self._steps
        yield self.made


def _is_ours(column: Column[Any]) -> bool:
    """Tell whether the program must give the column a value."""
    return not (column.has_default() or column.pg_type.serial or is_system(column))


def _given_parents(mapper: Mapper, given: Mapping[str, Any]) -> list[str]:
    return [
        key for key in given if key in mapper.relations and mapper.relations[key].outgoing and given[key] is not None
    ]


def _relation(mapper: Mapper, keys: list[str]) -> Any:
    """Return the declared relation that these columns lead to."""
    for relation in mapper.relations.values():
        if relation.outgoing and [column.key for column in relation.local] == keys:
            return relation
    return None


def _refuse_circle(mapper: Mapper, target: Mapper, keys: list[str], around: tuple[Mapper, ...]) -> NoReturn:
    circle = " → ".join([each.name for each in (*around[around.index(target) :], target)])
    raise FactoryError(f"each needs another first ({circle}): pass {mapper.name}({keys[0]}=…) or the relation it is of")


def _order(mapper: Mapper, needs: _Needs, values: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Have values made here agree with checks such as `starts < ends`."""
    for less, greater in needs.pairs:
        low, high = (mapper.by_name[name].key or "" if name in mapper.by_name else "" for name in (less, greater))
        if values.get(low) is None or values.get(high) is None or values[low] < values[high]:
            continue
        if high not in given:
            values[high] = values[low] + _step(values[low])
        elif low not in given:
            values[low] = values[high] - _step(values[high])


def _step(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return dt.timedelta(hours=1)
    if isinstance(value, dt.date):
        return dt.timedelta(days=1)
    return Decimal(1) if isinstance(value, Decimal) else 1
