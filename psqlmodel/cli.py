"""The command: finds the subcommand by its name and hands the rest over to it.

It gives an exit code and prints. It imports nothing of the package but the chosen command, so that help works wherever
Python does.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence

COMMANDS = {
    "demo": "a tour on 336,776 real flights, on a PostgreSQL of its own",
    "shell": "Python with engine, session and models at hand",
    "models": "write the typed models of a database",
    "diagram": "draw a database, or models: Mermaid or SVG",
    "check": "hold models and queries against a database",
    "server": "start, stop and enter a PostgreSQL of your own",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Params: arguments – the words after the command's name; None for those of this process.
    Returns: the exit code: 0 where it went well, 1 where something is missing or was found, 2 where the words make no
    sense or the database can't be reached.
    Raises: SystemExit, with 2 where the words make no sense, with 0 for ``--help`` and ``--version``.

        main(["models", "postgresql:///shop"])
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in COMMANDS:
        command = importlib.import_module(f"psqlmodel.commands.{given[0]}")
        code: int = command.main(given[1:], f"psqlmodel {given[0]}")
        return code
    parser = _parser()
    chosen = parser.parse_args(given)
    if chosen.command is not None:
        parser.error(f"there is no command {chosen.command!r}; there are {', '.join(COMMANDS)}")
    parser.print_help()
    return 0


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<9} {about}" for name, about in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="psqlmodel",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"psqlmodel: a PostgreSQL-only ORM whose centre is the session.\n\ncommands:\n{listed}",
        epilog="psqlmodel COMMAND --help says more, with examples. A first program is in the README.",
    )
    parser.add_argument("--version", action="version", version=f"psqlmodel {_version()}")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="one of the above")
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("psqlmodel")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
