"""`psqlmodel check`: hold models against a database, each difference with its remedy; prepare every query there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from psqlmodel.commands.terminal import coloured, connect, guarded, import_module, make_parser, mappers_of
from psqlmodel.core.session import Engine
from psqlmodel.errors import ConfigurationError, PSQLModelError
from psqlmodel.query.sql import RawSQL
from psqlmodel.query.statement import Query
from psqlmodel.schema.check import check_models, check_statements
from psqlmodel.schema.difference import Difference

EXAMPLES = """\
  psqlmodel check app.models
  psqlmodel check app.models app.queries --dsn postgresql://user@host/shop
  psqlmodel check app/models.py --strict       # also what only the database has

exit codes: 0 all is well, 1 there are differences, 2 the check could not be made"""


def main(arguments: Sequence[str], prog: str) -> int:
    """Check the models and queries of modules.

    Returns: 0 where nothing was found, 1 where something was, 2 where nothing could be checked.
    """
    about = (
        "Hold the models of modules against a database, each difference with its remedy, and have the database prepare "
        "every query that the modules keep: in variables, lists, dictionaries and classes. Nothing is changed."
    )
    parser = make_parser(prog, about, EXAMPLES)
    parser.add_argument("modules", nargs="+", metavar="MODULE", help="package.module, or a path to a file")
    parser.add_argument("--dsn", metavar="DSN", help="postgresql://… or embedded:///path; by default $DATABASE_URL")
    parser.add_argument("--strict", action="store_true", help="count harmless differences, too")
    options = parser.parse_args(arguments)
    return guarded(prog, lambda: _check(options))


def _check(options: argparse.Namespace) -> int:
    modules = [import_module(name) for name in options.modules]
    mappers = mappers_of(modules)
    texts = {name: text for module in modules for name, text in _queries(module)}
    if not mappers and not texts:
        raise ConfigurationError(f"{', '.join(options.modules)}: there are no models and no queries")
    with connect(options.dsn) as engine:
        found = engine.run_steps(check_models(mappers)) if mappers else []
        refused = _prepared(engine, texts)
    for difference in found:
        print(_shown(difference))
    for name, error in refused.items():
        print(f"{coloured('✗', 'red')} {name}: {error}")
    counted = [each for each in found if options.strict or not each.harmless]
    number, harmless = len(counted) + len(refused), len(found) - len(counted)
    checked = f"{len(mappers)} models and {len(texts)} queries checked"
    print(f"{checked}: {number or 'no'} differences" + (f", {harmless} harmless ones" if harmless else ""))
    return 1 if number else 0


def _shown(difference: Difference) -> str:
    mark = coloured("·", "dim") if difference.harmless else coloured("✗", "red")
    return f"{mark} {difference.where}: {difference.what}\n    {coloured(difference.remedy, 'dim')}"


def _prepared(engine: Engine, texts: dict[str, str]) -> dict[str, Any]:
    return dict(engine.run_steps(check_statements(texts)))


def _queries(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Give the queries of a module by name: those in its variables, in lists and dictionaries, in its classes."""
    for name, value in vars(module).items():
        if not name.startswith("__"):
            yield from _inside(f"{module.__name__}.{name}", value, module.__name__)


def _inside(name: str, value: Any, module: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Query):
        try:
            yield name, str(value)
        except PSQLModelError as error:
            raise ConfigurationError(f"{name} is no complete query: {error}") from error
    elif isinstance(value, RawSQL):
        yield name, value.statement()[0]
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _inside(f"{name}[{number}]", item, module)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _inside(f"{name}[{key!r}]", item, module)
    elif isinstance(value, type) and value.__module__ == module and "__mapper__" not in value.__dict__:
        for key, item in vars(value).items():
            yield from _inside(f"{name}.{key}", item, module)
