"""Merge: MERGE of PostgreSQL 15 and newer; rows meet rows, and each case says what happens."""

from __future__ import annotations

from typing import Any, Generic, Self, TypeVar

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import Predicate
from psqlmodel.query.nodes import Node, Source
from psqlmodel.query.outputs import outputs_of
from psqlmodel.query.quoting import quote
from psqlmodel.query.statement import Assembly, Query, added, checked, entity_name, entity_of
from psqlmodel.query.update import Assignment, add_assignments, assignments_of

T = TypeVar("T")
Q = TypeVar("Q", bound="MergeQuery[Any]")


class MergeQuery(Query[T]):
    """A MERGE; made by `Merge(Model)`."""

    def __init__(self, entity: Any) -> None:
        super().__init__()
        self.entity = entity_of(entity, "Merge")
        self.known = entity.__source__.itself
        self.source: Source | None = None
        self.on: Node | None = None
        self.cases: tuple[tuple[str, Node | None, str, tuple[Assignment, ...]], ...] = ()

    def Using(self, entity: Any, on: Predicate) -> Self:
        """Take rows of a table or subquery, which meet ours where `on` holds."""
        if self.source is not None:
            raise QueryError("Merge has one Using")
        source, known = added(self.known, entity, "Using")
        return self._with(source=source, known=known, on=checked(on, known, "Using"))

    def WhenMatched(self, condition: Predicate | None = None) -> MergeCase[Self]:
        """Say what happens to a row of ours that meets one: `.Update(…)`, `.Delete()` or `.DoNothing()`."""
        return MergeCase(self, "WHEN MATCHED", self._checked(condition))

    def WhenNotMatched(self, condition: Predicate | None = None) -> MergeCase[Self]:
        """Say what happens to a row of the source that meets none: `.Insert(…)` or `.DoNothing()`."""
        return MergeCase(self, "WHEN NOT MATCHED", self._checked(condition))

    def WhenNotMatchedBySource(self, condition: Predicate | None = None) -> MergeCase[Self]:
        """Say what happens to a row of ours that meets none (PostgreSQL 17): `.Update(…)` or `.Delete()`."""
        return MergeCase(self, "WHEN NOT MATCHED BY SOURCE", self._checked(condition))

    def Returning(self, *items: Any) -> MergeQuery[Any]:
        """Return columns or whole objects of the rows that were changed (PostgreSQL 17)."""
        return self._with(outputs=outputs_of(items or (self.entity,), "Returning"))

    def assemble(self) -> Assembly:
        """Return the statement's shape, parameters and needs."""
        if self.source is None or self.on is None or not self.cases:
            raise QueryError(
                f"Merge({entity_name(self.entity)}) needs .Using(…) and a .WhenMatched() or .WhenNotMatched()"
            )
        assembly = Assembly(self.known)
        assembly.text("MERGE INTO ")
        assembly.add(self.entity.__source__)
        assembly.text("\nUSING ")
        assembly.add(self.source)
        assembly.text(" ON ")
        assembly.add(self.on)
        for case in self.cases:
            _add_case(assembly, *case)
        if self.outputs:
            assembly.join("\nRETURNING ", self.outputs, ", ")
        return assembly

    def _checked(self, condition: Any) -> Node | None:
        if self.source is None:
            raise QueryError("Merge: .Using(…) comes before its cases")
        return None if condition is None else checked(condition, self.known, "When")


class MergeCase(Generic[Q]):
    """A case of a MERGE that still needs its action."""

    def __init__(self, query: Q, when: str, condition: Node | None) -> None:
        self._query = query
        self._when = when
        self._condition = condition

    def Update(self, **values: Any) -> Q:
        """Write values into the row."""
        self._only("Update", "WHEN MATCHED", "WHEN NOT MATCHED BY SOURCE")
        return self._with("UPDATE", values)

    def Insert(self, **values: Any) -> Q:
        """Insert a row of these values."""
        self._only("Insert", "WHEN NOT MATCHED")
        return self._with("INSERT", values)

    def Delete(self) -> Q:
        """Delete the row."""
        self._only("Delete", "WHEN MATCHED", "WHEN NOT MATCHED BY SOURCE")
        return self._added("DELETE", ())

    def DoNothing(self) -> Q:
        """Leave it."""
        return self._added("DO NOTHING", ())

    def _with(self, action: str, values: dict[str, Any]) -> Q:
        if not values:
            raise QueryError(f"Merge: .{action.title()}(…) needs values")
        return self._added(action, tuple(assignments_of(self._query.entity, values, action.title())))

    def _added(self, action: str, assignments: tuple[Assignment, ...]) -> Q:
        case = (self._when, self._condition, action, assignments)
        return self._query._with(cases=(*self._query.cases, case))

    def _only(self, verb: str, *allowed: str) -> None:
        if self._when not in allowed:
            raise QueryError(f"Merge: {self._when} can't {verb}")


def _add_case(
    assembly: Assembly, when: str, condition: Node | None, action: str, assignments: tuple[Assignment, ...]
) -> None:
    assembly.text(f"\n{when}")
    if condition is not None:
        assembly.text(" AND ")
        assembly.add(condition)
    if action == "UPDATE":
        add_assignments(assembly, " THEN UPDATE SET ", assignments)
    elif action == "INSERT":
        columns = ", ".join([quote(column.name) for column, _ in assignments])
        assembly.text(f" THEN INSERT ({columns}) VALUES")
        assembly.join(" (", [node for _, node in assignments], ", ")
        assembly.text(")")
    else:
        assembly.text(f" THEN {action}")


def Merge(entity: Any) -> MergeQuery[None]:
    """Bring a table in step with other rows, in one statement (PostgreSQL 15).

    Merge(Stock).Using(Delivery, Delivery.item == Stock.item)
        .WhenMatched().Update(amount=Stock.amount + Delivery.amount)
        .WhenNotMatched().Insert(item=Delivery.item, amount=Delivery.amount)
    """
    return MergeQuery(entity)
