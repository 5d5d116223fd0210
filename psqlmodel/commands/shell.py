"""`psqlmodel shell`: Python with an engine, a session and models at hand; IPython where it is installed."""

from __future__ import annotations

import argparse
import code
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from typing import Any

import psqlmodel
from psqlmodel.commands.terminal import add_dsn, connect, guarded, import_module, make_parser, mappers_of

EXAMPLES = """\
  psqlmodel shell postgresql://user@host/shop
  psqlmodel shell --models app.models
  psqlmodel shell embedded                     # a PostgreSQL that goes with the shell"""

# Who writes these means Python's; the types are `types.date`, `types.json`, ….
_PYTHONS = frozenset({"array", "date", "enum", "json", "time", "uuid"})


def main(arguments: Sequence[str], prog: str) -> int:
    """Open the shell.

    Returns: 0 at its end; 2 where the database can't be reached.
    """
    parser = make_parser(prog, "Python with engine, session, models and the query builder at hand.", EXAMPLES)
    parser.add_argument("--models", action="append", default=[], metavar="MODULE", help="whose models are at hand")
    parser.add_argument("--plain", action="store_true", help="Python's own prompt, though IPython is installed")
    add_dsn(parser)
    options = parser.parse_args(arguments)
    return guarded(prog, lambda: _open(options))


def _open(options: argparse.Namespace) -> int:
    modules = [import_module(name) for name in options.models]
    models = {mapper.name: mapper.cls for mapper in mappers_of(modules)}
    with connect(options.dsn) as engine:
        where = engine.execute("SELECT current_database(), current_setting('server_version')").first()
        assert where is not None
        with psqlmodel.Session(engine) as session:
            names = {name: getattr(psqlmodel, name) for name in dir(psqlmodel) if not name.startswith("_")}
            names = {name: value for name, value in names.items() if name not in _PYTHONS}
            names |= {"psqlmodel": psqlmodel, "engine": engine, "session": session, **models}
            banner = f"{where[0]} on PostgreSQL {where[1]}; engine and session are open"
            banner += f"; models: {', '.join(models)}" if models else ""
            _start(names, banner, plain=options.plain)
    return 0


def _start(names: dict[str, Any], banner: str, *, plain: bool) -> None:
    if not plain and sys.stdin.isatty() and importlib.util.find_spec("IPython") is not None:
        print(banner)
        importlib.import_module("IPython").start_ipython(argv=["--no-banner"], user_ns=names)
    else:
        code.interact(banner=banner, local=names, exitmsg="")
