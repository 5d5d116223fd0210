"""Update and Delete: the queries that change rows where a condition holds, and say so when none is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeAlias, TypeVar

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import Predicate
from psqlmodel.query.nodes import Node, Source
from psqlmodel.query.outputs import outputs_of
from psqlmodel.query.quoting import quote
from psqlmodel.query.select import add_where
from psqlmodel.query.statement import (
    Assembly,
    Query,
    added,
    assigned,
    checked,
    column_of,
    entity_name,
    entity_of,
)

T = TypeVar("T")

Assignment: TypeAlias = tuple[Any, Node]


class _ChangingQuery(Query[T]):
    """What UPDATE and DELETE share: a table, others beside it, a condition that must not be forgotten."""

    verb = ""

    def __init__(self, entity: Any) -> None:
        super().__init__()
        self.entity = entity_of(entity, self.verb)
        self.known = entity.__source__.itself
        self.others: tuple[Source, ...] = ()
        self.conditions: tuple[Node, ...] = ()
        self.every = False

    def Where(self, *conditions: Predicate) -> Self:
        """Change the rows for which all conditions hold, beside those that are there already."""
        made = tuple(checked(condition, self.known, "Where") for condition in conditions)
        return self._with(conditions=self.conditions + made)

    def AllRows(self) -> Self:
        """Change every row of the table: what a query without `.Where(…)` must say."""
        return self._with(every=True)

    def Returning(self, *items: Any) -> Any:
        """Return columns or whole objects of the rows that were changed."""
        return self._with(outputs=outputs_of(items or (self.entity,), "Returning"))

    def _beside(self, entities: tuple[Any, ...], verb: str) -> Self:
        known, others = self.known, self.others
        for entity in entities:
            source, known = added(known, entity, verb)
            others = (*others, source)
        return self._with(known=known, others=others)

    def _add_condition(self, assembly: Assembly) -> None:
        if self.conditions:
            add_where(assembly, self.conditions)
        elif not self.every:
            raise QueryError(
                f"{self.verb}({entity_name(self.entity)}) has no condition: add .Where(…), or .AllRows() to "
                "change every row of the table"
            )
        if self.outputs:
            assembly.join("\nRETURNING ", self.outputs, ", ")


class UpdateQuery(_ChangingQuery[T]):
    """An UPDATE; made by `Update(Model)`."""

    verb = "Update"

    def __init__(self, entity: Any) -> None:
        super().__init__(entity)
        self.assignments: tuple[Assignment, ...] = ()

    def Set(self, *pairs: Any, **values: Any) -> Self:
        """Write values: keywords, a mapping, or a column and its value.

            Update(User).Set(name="Ann").Set(User.age, User.age + 1).Where(User.id == 1)

        Raises `QueryError` for unknown or repeated columns, `InvalidValueError` for values that don't fit.
        """
        given: dict[Any, Any] = {}
        if len(pairs) == 1 and isinstance(pairs[0], Mapping):
            given.update(pairs[0])
        elif len(pairs) == 2:
            given[column_of(self.entity, pairs[0], "Set")] = pairs[1]
        elif pairs:
            raise QueryError("Set takes keywords, one mapping, or a column and its value")
        given.update(values)
        made = assignments_of(self.entity, given, "Set")
        written = {column.name for column, _ in self.assignments}
        for column, _ in made:
            if column.name in written:
                raise QueryError(f"Set writes {column!r} twice")
        return self._with(assignments=(*self.assignments, *made))

    def From(self, *entities: Any) -> Self:
        """Read other tables too, for values and conditions."""
        return self._beside(entities, "From")

    def assemble(self) -> Assembly:
        """Return the statement's shape, parameters and needs."""
        if not self.assignments:
            raise QueryError(f"Update({entity_name(self.entity)}) changes nothing: add .Set(…)")
        assembly = Assembly(self.known)
        assembly.text("UPDATE ")
        assembly.add(self.entity.__source__)
        add_assignments(assembly, "\nSET ", self.assignments)
        if self.others:
            assembly.join("\nFROM ", self.others, ", ")
        self._add_condition(assembly)
        return assembly


class DeleteQuery(_ChangingQuery[T]):
    """A DELETE; made by `Delete(Model)`."""

    verb = "Delete"

    def Using(self, *entities: Any) -> Self:
        """Read other tables too, for conditions."""
        return self._beside(entities, "Using")

    def assemble(self) -> Assembly:
        """Return the statement's shape, parameters and needs."""
        assembly = Assembly(self.known)
        assembly.text("DELETE FROM ")
        assembly.add(self.entity.__source__)
        if self.others:
            assembly.join("\nUSING ", self.others, ", ")
        self._add_condition(assembly)
        return assembly


def assignments_of(entity: Any, values: Mapping[Any, Any], verb: str) -> list[Assignment]:
    """Return what is written into which column of `entity`."""
    made: list[Assignment] = []
    for key, value in values.items():
        column = column_of(entity, key, verb)
        made.append((column, assigned(column, value, verb)))
    return made


def add_assignments(assembly: Assembly, lead: str, assignments: tuple[Assignment, ...]) -> None:
    """Add `"name" = value, …`."""
    for column, node in assignments:
        assembly.text(f"{lead}{quote(column.name)} = ")
        assembly.add(node)
        lead = ", "


def Update(entity: Any) -> UpdateQuery[None]:
    """Update rows of a model's table, without loading them.

        Update(User).Set(active=False).Where(User.seen < limit)

    Raises `QueryError` for what is no model; a query without `.Where(…)` is refused unless it says
    `.AllRows()`.
    """
    return UpdateQuery(entity)


def Delete(entity: Any) -> DeleteQuery[None]:
    """Delete rows of a model's table, without loading them.

        Delete(Order).Where(Order.total == 0).Returning(Order.id)

    Raises `QueryError` for what is no model; a query without `.Where(…)` is refused unless it says
    `.AllRows()`.
    """
    return DeleteQuery(entity)
