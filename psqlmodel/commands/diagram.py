"""`psqlmodel diagram`: draw the tables of a database, or of models."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from psqlmodel.commands.terminal import add_dsn, connect, guarded, import_module, make_parser, mappers_of, write
from psqlmodel.errors import ConfigurationError
from psqlmodel.schema import describe, inspect_tables
from psqlmodel.schema.description import TableInfo
from psqlmodel.schema.diagram import mermaid, svg

EXAMPLES = """\
  psqlmodel diagram postgresql://user@host/shop -o shop.svg
  psqlmodel diagram --models app.models           # Mermaid, for a README
  psqlmodel diagram --format mermaid --schema app"""


def main(arguments: Sequence[str], prog: str) -> int:
    """Draw.

    Returns: 0; 2 where there is nothing to draw.
    """
    parser = make_parser(prog, "Draw the tables of a database, or of models.", EXAMPLES)
    parser.add_argument("--models", action="append", metavar="MODULE", help="draw the models of a module instead")
    parser.add_argument("--schema", default="public", help="whose tables (default: public)")
    parser.add_argument("--format", choices=("mermaid", "svg"), help="by default what the file's name says, or mermaid")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write (default: standard output)")
    add_dsn(parser)
    options = parser.parse_args(arguments)
    return guarded(prog, lambda: _draw(options))


def _draw(options: argparse.Namespace) -> int:
    tables = _described(options.models) if options.models else _inspected(options)
    if not tables:
        raise ConfigurationError("there are no tables to draw")
    named_svg = bool(options.output) and options.output.endswith(".svg")
    draw = svg if options.format == "svg" or (options.format is None and named_svg) else mermaid
    write(draw(tables), options.output)
    return 0


def _described(names: Sequence[str]) -> list[TableInfo]:
    return list(describe(mappers_of(map(import_module, names))).tables)


def _inspected(options: argparse.Namespace) -> list[TableInfo]:
    with connect(options.dsn) as engine:
        tables = engine.run_steps(inspect_tables(schema=options.schema))
    return [table for table in tables if "table" in table.kind and table.partition_of is None]
