"""Which public names take text, and where hostile texts are thrown at each: a new name must say so here.

A place is a coroutine of `values` or `names`, or a test of this folder.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import psqlmodel
from psqlmodel import AsyncEngine, AsyncSession, Engine, Session
from psqlmodel.query import functions

_FUNCTIONS = "Cast Coalesce Concat Greatest JsonbBuildObject JsonbObjectAgg Lag Least Length Lower NullIf Replace "
_FUNCTIONS += "Substring Trim Upper Value Case"

TAKES_TEXT: dict[str, str] = {
    **dict.fromkeys(_FUNCTIONS.split(), "values.expressions"),
    **dict.fromkeys(["AnyOf", "Row", "Expression", "ColumnExpression", "Select", "SelectQuery"], "values.comparisons"),
    **dict.fromkeys(
        ["Insert", "InsertQuery", "Update", "UpdateQuery", "Delete", "DeleteQuery", "Query"], "values.statements"
    ),
    **dict.fromkeys(["Merge", "MergeQuery"], "values.merges"),
    **dict.fromkeys(
        ["Session", "AsyncSession", "PSQLModel", "enum", "text", "varchar", "citext", "bytea"], "values.columns"
    ),
    **dict.fromkeys(["json", "jsonb", "hstore"], "values.documents"),
    **dict.fromkeys(
        ["array", "array_literal", "parse_array", "text_of", "as_text", "plain_texts"],
        "test_values.test_formats_keep_their_texts",
    ),
    **dict.fromkeys(
        [
            "xml",
            "tsquery",
            "tsvector",
            "inet",
            "cidr",
            "macaddr",
            "macaddr8",
            "uuid",
            "bit",
            "varbit",
            "pg_lsn",
            "char",
            "name",
        ],
        "values.casts",
    ),
    **dict.fromkeys(["Column", "table", "Unique", "Index"], "test_names.test_tables_with_any_names"),
    **dict.fromkeys(["ForeignKey", "Relation"], "test_names.test_a_foreign_key_to_any_name"),
    **dict.fromkeys(
        ["Engine", "AsyncEngine", "PreparedTransaction"], "test_names.test_identifiers_of_prepared_transactions"
    ),
    **dict.fromkeys(["BulkInsert", "BulkUpdate", "BulkDelete"], "values.bulk"),
    **dict.fromkeys(["UniqueConstraint", "CheckConstraint", "PrimaryKey", "PrimaryKeyConstraint"], "names.constraints"),
    "ForeignKeyConstraint": "test_names.test_a_foreign_key_to_any_name",
    **dict.fromkeys(["NotExists", "Scalar"], "values.queries_in_queries"),
    "Values": "values.tables_of_values",
    **dict.fromkeys(["JsonTable", "Nested", "Ordinality"], "values.rows_of_json"),
    **dict.fromkeys(["SQL", "RawSQL"], "values.sql_by_hand"),
    **dict.fromkeys(["TableSample", "Only", "Old", "New"], "test_names.test_paths_and_methods_of_samples_are_quoted"),
    "Page": "values.pages",
    "ArrayAgg": "values.aggregates",
    "StringAgg": "values.aggregates",
    "DateTrunc": "values.units",
    "Extract": "values.fields",
    "Exists": "values.queries_in_queries",
    "tagged": "test_observing.test_tags_with_any_text",
    "Alias": "names.aliases",
    "Subquery": "names.subqueries",
    "With": "names.common_tables",
    "CommonTable": "names.common_tables",
    "Func": "test_names.test_a_function_is_a_name_too",
    "Text": "test_names.test_pieces_of_sql_hold_one_statement",
    "Excluded": "test_names.test_names_that_a_model_does_not_have",
    "TableSource": "test_names.test_tables_with_hostile_names",
    "quote": "test_names.test_tables_with_hostile_names",
    "custom": "names.names_of_types",
    "create_engine": "test_connections.test_any_text_as_dsn_is_a_place_or_a_clear_error",
    "create_async_engine": "test_connections.test_no_setting_and_no_password_becomes_another_parameter",
}

# SQL by intent: the text is a piece of SQL that the programmer writes. It must not be made of other people's texts.
IS_SQL = {"Check", "Exclude", "PgType", "custom_range"}

METHODS: dict[str, str] = {
    **dict.fromkeys(["add", "add_all", "flush", "refresh", "delete", "delete_all"], "values.columns"),
    **dict.fromkeys(["exec", "exec_one", "exec_scalar"], "values.raw_parameters"),
    **dict.fromkeys(["get", "get_many"], "values.keys"),
    **dict.fromkeys(["get_or_create", "upsert", "sync_set", "merge"], "values.verbs"),
    **dict.fromkeys(["bulk_insert", "bulk_update", "bulk_upsert", "bulk_delete"], "values.bulk"),
    **dict.fromkeys(["copy_to", "copy_from"], "values.files"),
    **dict.fromkeys(["lock", "try_lock"], "values.locks"),
    **dict.fromkeys(["begin_nested", "savepoint"], "names.savepoints"),
    **dict.fromkeys(
        ["prepare", "commit_prepared", "rollback_prepared", "prepared"],
        "test_names.test_identifiers_of_prepared_transactions",
    ),
    **dict.fromkeys(["create_all", "drop_all"], "test_names.test_tables_with_any_names"),
    **dict.fromkeys(["execute", "connect", "transaction"], "test_values.test_parameters_beside_a_session"),
    **dict.fromkeys(["parallel_exec", "parallel_scan"], "values.parallel"),
    "explain": "test_observing.test_plans_of_queries_with_any_value",
    "claim": "values.queues",
    "stream": "values.streams",
    "settings": "values.settings",
    "load": "values.two_at_once",
    "page": "values.pages",
    "token": "test_names.test_a_token_of_a_position_is_one",
}
TEXTLESS_METHODS = {
    *[
        "acquire",
        "changes",
        "close",
        "closed",
        "commit",
        "deleted",
        "dirty",
        "dispose",
        "embedded_dsn",
        "expunge",
        "expunge_all",
        "here",
        "new",
        "no_autoflush",
        "on",
    ],
    *[
        "on_statement",
        "observe",
        "included",
        "trace",
        "log_statements",
        "plan",
        "pooler",
        "reader",
        "rollback",
        "run",
        "run_steps",
        "runner",
        "start",
        "strict",
        "tell",
        "catalog",
        "options",
        "pool",
    ],
}


def _public() -> set[str]:
    modules = {name for _, name, _ in pkgutil.iter_modules(psqlmodel.__path__)}
    return {name for name in dir(psqlmodel) if not name.startswith("_")} - modules - {"TYPE_CHECKING"}


def _takes_nothing(name: str) -> bool:
    """Tell whether a public name takes no text: an error, a record that only is given back, a type without text."""
    thing = getattr(psqlmodel, name)
    if isinstance(thing, psqlmodel.PgType):
        return True  # what it is given is checked by its Python type
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return True
    return name in _NO_TEXT or (hasattr(functions, name) and name not in TAKES_TEXT)


_NO_TEXT = {
    *[
        "AsyncQueryResult",
        "Call",
        "CombinedQuery",
        "Compiled",
        "EntityOutput",
        "ModelPath",
        "Ordering",
        "Plan",
        "PlannedStatement",
    ],
    *[
        "PoolStatus",
        "QueryPlan",
        "Trace",
        "QueryResult",
        "ResultRow",
        "ScalarOutput",
        "SessionManager",
        "Source",
        "StatementEvent",
        "Written",
    ],
    *["Transaction", "AsyncTransaction", "Rollup", "Cube", "GroupingSets", "Grouping"],
    *["Box", "Circle", "Line", "LineSegment", "Path", "Point", "Polygon", "Range", "Multirange"],
    *["error_class", "by_oid", "from_annotation", "from_catalog", "loader", "resolve", "later", "quick"],
}


def test_each_public_name_is_known_to_take_text_or_not() -> None:
    unknown = {name for name in _public() if name not in TAKES_TEXT and name not in IS_SQL and not _takes_nothing(name)}
    assert unknown == set(), "say in test_surface.py where hostile texts are thrown at them"
    assert set(TAKES_TEXT) | IS_SQL <= _public()


@pytest.mark.parametrize("cls", [Session, AsyncSession, Engine, AsyncEngine])
def test_each_method_is_known_to_take_text_or_not(cls: type) -> None:
    methods = {name for name in dir(cls) if not name.startswith("_")}
    assert methods <= METHODS.keys() | TEXTLESS_METHODS, "say in test_surface.py where hostile texts are thrown at them"


@pytest.mark.parametrize("place", sorted({*TAKES_TEXT.values(), *METHODS.values()}))
def test_the_places_are_there(place: str) -> None:
    module, _, name = place.partition(".")
    assert callable(getattr(importlib.import_module(f".{module}", __package__), name))
