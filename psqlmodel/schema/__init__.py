"""Schema: tables from models, and descriptions of the tables that are there. Steps only."""

from typing import TYPE_CHECKING

from psqlmodel.schema.inspect import inspect_enums, inspect_tables

if TYPE_CHECKING:
    from psqlmodel.schema.ddl import create_all, create_statements, drop_all, drop_statements
    from psqlmodel.schema.wanted import describe
else:
    from psqlmodel.later import later

    __getattr__, __dir__ = later(  # every engine reads catalogs; few programs make tables
        __name__,
        {
            "psqlmodel.schema.ddl": ["create_all", "create_statements", "drop_all", "drop_statements"],
            "psqlmodel.schema.wanted": ["describe"],
        },
    )

__all__ = [
    "create_all",
    "create_statements",
    "describe",
    "drop_all",
    "drop_statements",
    "inspect_enums",
    "inspect_tables",
]
