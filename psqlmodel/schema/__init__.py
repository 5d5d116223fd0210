"""Schema: tables from models, and descriptions of the tables that are there. Steps only."""

from psqlmodel.schema.ddl import create_all, create_statements, drop_all, drop_statements
from psqlmodel.schema.describe import describe
from psqlmodel.schema.inspect import inspect_enums, inspect_tables

__all__ = [
    "create_all",
    "create_statements",
    "describe",
    "drop_all",
    "drop_statements",
    "inspect_enums",
    "inspect_tables",
]
