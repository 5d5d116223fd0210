"""`psqlmodel models`: write the typed models of a database, relations included."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from psqlmodel.commands.terminal import add_dsn, connect, guarded, make_parser, write
from psqlmodel.errors import ConfigurationError
from psqlmodel.schema import inspect_enums, inspect_tables
from psqlmodel.schema.source import models_of

EXAMPLES = """\
  psqlmodel models postgresql://user@host/shop > models.py
  psqlmodel models --schema app -o app/models.py
  psqlmodel models --table users --table orders"""


def main(arguments: Sequence[str], prog: str) -> int:
    """Write the models.

    Returns: 0; 2 where the database can't be reached or has no such tables.
    """
    parser = make_parser(prog, "Write the typed models of a database, relations included.", EXAMPLES)
    parser.add_argument("--schema", default="public", help="whose tables (default: public)")
    parser.add_argument("--table", action="append", metavar="NAME", help="only this table; may be given several times")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write (default: standard output)")
    add_dsn(parser)
    options = parser.parse_args(arguments)
    return guarded(prog, lambda: _write(options))


def _write(options: argparse.Namespace) -> int:
    with connect(options.dsn) as engine:
        tables = engine.run_steps(inspect_tables(options.table, options.schema))
        enums = engine.run_steps(inspect_enums())
    if not tables:
        raise ConfigurationError(f"there are no such tables in the schema {options.schema!r}")
    used = {
        (info.schema, info.name)
        for table in tables
        for column in table.columns
        for info in (column.type_info, column.type_info.element if column.type_info else None)
        if info is not None
    }
    write(models_of(tables, [enum for enum in enums if (enum.schema, enum.name) in used]), options.output)
    return 0
