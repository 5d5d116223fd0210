"""What the commands share: their parsers, how they reach a database and import a program's models, how they print."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from psqlmodel.core.session import Engine, create_engine
from psqlmodel.errors import ConfigurationError, PSQLModelError
from psqlmodel.model.mapper import Mapper

COLOURS = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


def make_parser(prog: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return the parser of a command: its description, and examples below the options."""
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_dsn(parser: argparse.ArgumentParser) -> None:
    """Take the database as the last word; without it, what DATABASE_URL or libpq's variables say."""
    parser.add_argument(
        "dsn", nargs="?", metavar="DSN", help="postgresql://… or embedded:///path; by default $DATABASE_URL"
    )


def connect(dsn: str | None) -> Engine:
    """Return an engine for the database; raises `PSQLModelError` where there is none."""
    return create_engine() if dsn is None else create_engine(dsn)


def guarded(prog: str, work: Callable[[], int]) -> int:
    """Run a command; what goes wrong with its input is one line on stderr, and exit code 2."""
    try:
        return work()
    except BrokenPipeError:  # `psqlmodel models … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (PSQLModelError, ImportError, OSError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2


def import_module(name: str) -> ModuleType:
    """Import a module of the user's program, given as `package.module` or as a path; the current folder counts.

    Raises `ConfigurationError` for one that can't be imported, whatever it does: an exit code of its own would be taken
    for that of the command.
    """
    if name.endswith(".py") and Path(name).is_file():
        path = Path(name).resolve()
        folder, name = path.parent, path.stem
    else:
        folder = Path.cwd()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise  # it is not there itself
        raise ConfigurationError(f"{name} can't be imported: {type(error).__name__}: {error}{_place(error)}") from error


def _place(error: BaseException) -> str:
    """Return where an error came up, as far as it was in a file."""
    if isinstance(error, SyntaxError):
        return ""  # which says it itself
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def mappers_of(modules: Iterable[ModuleType]) -> list[Mapper]:
    """Return the models that modules hold, also where they only import them; each once."""
    found: dict[int, Mapper] = {}
    for module in modules:
        for value in vars(module).values():
            mapper = value.__dict__.get("__mapper__") if isinstance(value, type) else None
            if isinstance(mapper, Mapper):
                found[id(mapper)] = mapper
    return list(found.values())


def coloured(text: str, colour: str) -> str:
    """Return the text in a colour, where standard output is a terminal that wants it."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def write(text: str, path: str | None) -> None:
    """Write a result to a file, or to standard output."""
    if path is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        Path(path).write_text(text, encoding="utf-8")
        print(f"wrote {path}", file=sys.stderr)
