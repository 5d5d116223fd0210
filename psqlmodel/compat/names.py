"""Names: constraints, subqueries and bulk statements as psqlmodel 0.9 spelled them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from psqlmodel.errors import InvalidValueError, MappingError
from psqlmodel.model.constraints import Check, ForeignKey, PrimaryKey, Unique
from psqlmodel.model.mapper import mapper_of
from psqlmodel.query.constructs import Case, Exists
from psqlmodel.query.insert import Insert, InsertQuery
from psqlmodel.query.update import Delete, DeleteQuery, Update, UpdateQuery

if TYPE_CHECKING:
    from psqlmodel.query.expression import Condition, Expression
    from psqlmodel.query.statement import Query

__all__ = [
    "BulkDelete",
    "BulkInsert",
    "BulkUpdate",
    "CheckConstraint",
    "ForeignKeyConstraint",
    "NotExists",
    "PrimaryKeyConstraint",
    "Scalar",
    "UniqueConstraint",
]

CheckConstraint = Check
PrimaryKeyConstraint = PrimaryKey
UniqueConstraint = Unique


def ForeignKeyConstraint(
    columns: Sequence[Any],
    references: Any,
    *,
    on_delete: str | None = None,
    on_update: str | None = None,
    name: str | None = None,
) -> ForeignKey:
    """Return a `ForeignKey`; `references` is `"table.column"`, several of them with commas, or columns.

    Raises `MappingError` where they are not of one table.

        ForeignKeyConstraint(["role_id"], "roles.id", on_delete="CASCADE")
    """
    targets = [part.strip() for part in references.split(",")] if isinstance(references, str) else list(references)
    places = [_place(target) for target in targets]
    if len({table for table, _ in places}) != 1:
        raise MappingError(f'references={references!r} must name columns of one table: "roles.id"')
    remote = [column for _, column in places]
    return ForeignKey(columns, places[0][0], remote, on_delete=on_delete, on_update=on_update, name=name)


def _place(target: Any) -> tuple[str, str]:
    if isinstance(target, str):
        table, _, column = target.rpartition(".")
        return table, column
    source = target.source
    return (f"{source.schema}.{source.name}" if source.schema else str(source.name)), str(target.name)


def NotExists(query: Query[Any]) -> Condition:
    """Test whether a subquery gives no row: `~Exists(query)`."""
    return ~Exists(query)


def Scalar(query: Query[Any]) -> Expression[Any]:
    """Return a query as a value: `query.Scalar()`."""
    return query.Scalar()


def BulkInsert(model: type, rows: Iterable[Mapping[str, Any]]) -> InsertQuery[Any]:
    """Return an INSERT of many rows: `Insert(model).Values(rows)`. For many thousands take `session.bulk_insert`.

    session.exec(BulkInsert(User, [{"name": "Ada"}, {"name": "Bob"}]))
    """
    return Insert(model).Values(list(rows))


def BulkUpdate(model: type, key: Any, rows: Iterable[Mapping[str, Any]]) -> UpdateQuery[Any]:
    """Return an UPDATE of many rows, found by the column `key`. For many thousands take `session.bulk_update`.

    Each row has the key, and the same columns as the others. Raises `InvalidValueError` where it does not.

        session.exec(BulkUpdate(User, User.id, [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bob"}]))
    """
    listed = list(rows)
    column = getattr(model, mapper_of(model).column(key).key or "")
    names = set(listed[0]) if listed else set()
    if column.key not in names or len(names) < 2 or any(set(row) != names for row in listed):
        raise InvalidValueError(
            f"BulkUpdate({model.__name__}) takes rows that all have {column.key!r} and one more column"
        )
    query = Update(model)
    for name in sorted(names - {column.key}):
        cases: Any = Case(column)
        for row in listed:
            cases = cases.When(row[column.key], row[name])
        query = query.Set(getattr(model, name), cases)
    return query.Where(column.In([row[column.key] for row in listed]))


def BulkDelete(model: type, key: Any, values: Iterable[Any]) -> DeleteQuery[Any]:
    """Return a DELETE of the rows whose column `key` has one of the values. See `session.bulk_delete`, too.

    session.exec(BulkDelete(User, User.id, [1, 2, 3]))
    """
    column = getattr(model, mapper_of(model).column(key).key or "")
    return Delete(model).Where(column.In(list(values)))
