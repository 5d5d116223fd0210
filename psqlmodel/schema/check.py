"""Models and statements held against a database: where they differ, what PostgreSQL says of each statement. Steps.

Nothing stays behind: tables that are made on trial are rolled back, prepared statements are dropped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from psqlmodel.errors import DatabaseError
from psqlmodel.model.mapper import Mapper
from psqlmodel.schema.description import TableInfo
from psqlmodel.schema.difference import Difference, differences, enum_differences
from psqlmodel.schema.inspect import inspect_enums, inspect_tables
from psqlmodel.schema.trial import make_on_trial
from psqlmodel.schema.wanted import describe
from psqlmodel.steps import Statement, Steps

_NAME = "psqlmodel_check"


def check_models(mappers: Iterable[Mapper]) -> Steps[list[Difference]]:
    """Return where the database differs from the models: each with what to do.

    Raises `InsufficientPrivilege` without the right to CREATE in the database: the tables of the models are made there
    in schemas of their own, and rolled back.

        for difference in engine.run_steps(check_models([User.__mapper__])):
            print(difference.what, difference.remedy)
    """
    known = list(mappers)
    needed = describe(known)
    found = yield from _find(needed.tables)
    enums = yield from inspect_enums()
    wanted = yield from make_on_trial(needed)
    guesses = {
        (mapper.schema, mapper.table, column.name or ""): column.pg_type
        for mapper in known
        for column in mapper.columns
        if column.pg_type.guess
    }
    return [*enum_differences(needed.enums, enums), *differences(wanted, found, guesses)]


def check_statements(texts: Mapping[str, str]) -> Steps[dict[str, DatabaseError]]:
    """Return what PostgreSQL says of the statements that it refuses, by their names; none is executed.

    Each is prepared: parsed, its names and types looked up.
    """
    refused: dict[str, DatabaseError] = {}
    for name, text in texts.items():
        try:
            yield _statement(f"PREPARE {_NAME} AS {text}")
        except DatabaseError as error:
            refused[name] = error
        else:
            yield _statement(f"DEALLOCATE {_NAME}")
    return refused


def _find(tables: Iterable[TableInfo]) -> Steps[list[TableInfo]]:
    names: dict[str | None, list[str]] = defaultdict(list)
    for table in tables:
        names[table.schema].append(table.name)
    found: list[TableInfo] = []
    for schema, listed in names.items():
        found += yield from inspect_tables(listed, schema)
    return found


def _statement(text: str) -> Statement:
    return Statement(text, prepare=False, purpose="schema")
