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


class _Link:
    """A foreign key of a model: its columns by attribute, and the declared relation that leads along it."""

    def __init__(self, mapper: Mapper, key: ForeignKey) -> None:
        self.foreign_key = key
        self.keys = [mapper.by_name[name].key or "" for name in key.columns if name in mapper.by_name]
        self.relation = _relation(mapper, self.keys)
        shared = [name for each in mapper.foreign_keys for name in each.columns]
        # Whether the parent must have its row first: where its key is needed in columns of other keys, too.
        self.by_key = self.relation is None or len(self.keys) > 1 or shared.count(key.columns[0]) > 1

    def target(self, mapper: Mapper) -> Mapper | None:
        """Return the mapper of the table that the key names; None where a value of no row will do."""
        target = registry.by_table(self.foreign_key.table, mapper)
        if target is None and self.foreign_key.enforced:
            raise FactoryError(
                f"{mapper.name}.{', '.join(self.keys)} refers to the table {self.foreign_key.table}, of which there is "
                "no model: pass the key of a row"
            )
        return target

    def pairs(self, target: Mapper) -> list[tuple[str, str]]:
        """Return the columns here and there that are equal."""
        remote = [column.key or "" for column in remote_columns(target, self.foreign_key)]
        return list(zip(self.keys, remote, strict=True))


class _Needs:
    """What one model's rows must have that nobody else gives."""

    def __init__(self, mapper: Mapper) -> None:
        described = describe([mapper]).tables[0]
        given = {c.name for c in described.columns if c.nullable or c.default or c.identity or c.generated}
        self.required = [column for column in mapper.columns if column.name not in given and _is_ours(column)]
        self.links = [_Link(mapper, key) for key in sorted(mapper.foreign_keys, key=lambda key: len(key.columns))]
        self.limits, self.pairs = limits_of(check.condition for check in described.checks)
        self.defaulted = {c.name: c for c in mapper.columns if _has_plain_default(c)}
        listed = [name for key in described.uniques for name in key.columns]
        listed += described.primary_key.columns if described.primary_key is not None else ()
        texts = [element for index in described.indexes if index.unique for element in index.elements]
        texts += re.findall(r'([\w"]+) WITH =', " ".join(each.definition for each in described.excludes))
        words = {word for text in texts for word in re.findall(r"\w+", text)}
        self.unique = {*listed, *words}

    def compared_with(self, columns: list[Column[Any]]) -> list[Column[Any]]:
        """Return the columns whose default a check compares with one of these: `now()` is not less than any value."""
        names = {column.name for column in columns}
        both_ways = [*self.pairs, *((high, low) for low, high in self.pairs)]
        return [self.defaulted[other] for name, other in both_ways if name in names and other in self.defaulted]


class _Row:
    """An object in the making: what it is made with, which columns its parents fill, what is known of their keys."""

    def __init__(self, mapper: Mapper, needs: _Needs, given: Mapping[str, Any]) -> None:
        self.mapper = mapper
        self.needs = needs
        self.values = dict(given)
        self.linked: set[str] = set()
        self.known: dict[str, Any] = {}

    def lacks(self, link: _Link) -> bool:
        """Tell whether a foreign key must have a value that nobody gave."""
        required = {column.key for column in self.needs.required}
        return bool(required.intersection(link.keys)) and not all(key in self.values for key in link.keys)

    def take(self, link: _Link, parent: Any) -> None:
        """Take a parent: along the relation, or its key."""
        self.linked.update(link.keys)
        if link.relation is None:
            self.values |= {key: self.known[key] for key in link.keys}
        else:
            self.values[link.relation.key] = parent


class _Factory:
    """What both factories are."""

    def __init__(self, seed: object) -> None:
        self._values = Values(str(seed))
        self._needs: dict[Mapper, _Needs] = {}

    def build(self, model: type[M], /, **values: Any) -> M:
        """Return an object with valid values and its parents, which no session knows.

        Raises `FactoryError` where a value must come from the database, and what `make` raises.
        """
        making = self._making(model, values)
        first = next(iter(making))
        if first is not making.made:
            raise FactoryError(
                f"{model.__name__} holds the key of a {type(first).__name__} that only the database makes: make it in "
                "a session, or declare a relation"
            )
        made: M = making.made
        return made

    def _making(self, model: type, given: Mapping[str, Any]) -> _Making:
        return _Making(_Construction(self._values, self._needs).construct(mapper_of(model), given, ()))


class _Construction:
    """One object and its parents, of which there is one of a kind. Yields those whose rows must be there before."""

    def __init__(self, values: Values, needs: dict[Mapper, _Needs]) -> None:
        self._values = values
        self._needs = needs
        self._parents: dict[Mapper, Any] = {}

    def construct(
        self, mapper: Mapper, given: Mapping[str, Any], around: tuple[Mapper, ...]
    ) -> Generator[Any, None, Any]:
        """Return an object that is not added yet; it is made for those `around`."""
        if any(key not in mapper.attributes and key not in mapper.relations for key in given):
            mapper.cls(**given)  # says which
        self._parents.update({mapper_of(given[key]): given[key] for key in _given_parents(mapper, given)})
        row = _Row(mapper, self._needs_of(mapper), given)
        for link in row.needs.links:
            if link.relation is not None and link.relation.key in given:
                row.linked.update(link.keys)
            elif row.lacks(link):
                yield from self._give_parent(row, link, (*around, mapper))
        self._fill(row)
        _order(row, given)
        return mapper.cls(**row.values)

    def _fill(self, row: _Row) -> None:
        required = [c for c in row.needs.required if c.key not in row.values and c.key not in row.linked]
        for column in (*required, *row.needs.compared_with(required)):
            if column.key not in row.values:
                limits = row.needs.limits.get(column.name or "", Limits())
                unique = column.name in row.needs.unique
                row.values[column.key or ""] = self._values.value(column, limits, unique=unique)

    def _give_parent(self, row: _Row, link: _Link, around: tuple[Mapper, ...]) -> Generator[Any, None, None]:
        target = link.target(row.mapper)
        if target is None:
            return
        pairs, known = link.pairs(target), row.values | row.known
        borrowed = self._borrowed(target)
        if target not in self._parents and borrowed:
            row.values |= {here: borrowed[there] for here, there in pairs}
            return
        parent = yield from self._parent(row, link, target, {r: known[k] for k, r in pairs if k in known}, around)
        if link.by_key:
            yield parent
            row.known |= {here: getattr(parent, there) for here, there in pairs}
        row.take(link, parent)

    def _borrowed(self, target: Mapper) -> dict[str, Any]:
        """Return the key that another parent holds for this target: an order and its customer have one tenant."""
        for mapper, parent in self._parents.items():
            for link in self._needs_of(mapper).links:
                if registry.by_table(link.foreign_key.table, mapper) is target:
                    found = {there: parent.__dict__.get(here) for here, there in link.pairs(target)}
                    if None not in found.values():
                        return found
        return {}

    def _needs_of(self, mapper: Mapper) -> _Needs:
        return self._needs.get(mapper) or self._needs.setdefault(mapper, _Needs(mapper))

    def _parent(
        self, row: _Row, link: _Link, target: Mapper, pinned: Mapping[str, Any], around: tuple[Mapper, ...]
    ) -> Generator[Any, None, Any]:
        """Return the parent that is there already, where it fits what is pinned, or a new one."""
        known = self._parents.get(target)
        if known is not None and all(known.__dict__.get(name) == value for name, value in pinned.items()):
            return known
        if target in around:
            _refuse_circle(row.mapper, target, link.keys, around)
        parent = self._parents[target] = yield from self.construct(target, pinned, around)
        return parent


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
        making = self._making(model, values)
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
        making = self._making(model, values)
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


def _has_plain_default(column: Column[Any]) -> bool:
    return not column.version and (column.has_default() or column.server_default is not None)


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


def _order(row: _Row, given: Mapping[str, Any]) -> None:
    """Have values made here agree with checks such as `starts < ends`."""
    values, by_name = row.values, row.mapper.by_name
    for names in row.needs.pairs:
        low, high = (by_name[name].key or "" if name in by_name else "" for name in names)
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
