"""Call sites: where in the program a statement was asked for, and that line of its source without its constants.

`site_of` is called for each statement while somebody observes: it only walks frames. Files are read when a report is
made. Nothing here keeps a frame: they hold the variables of the program.
"""

from __future__ import annotations

import io
import linecache
import os
import sys
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from types import CodeType, FrameType
from typing import Final

_OWN: Final = __name__.partition(".")[0] + "."
# What stands between a program and the library without being either.
_BETWEEN: Final = ("asyncio", "concurrent", "contextlib", "threading", "functools", "contextvars")
# Where a task or a thread begins: who stands above it runs it, and asked for nothing.
_RUNNERS: Final = ("asyncio.events", "asyncio.base_events", "asyncio.runners", "threading", "concurrent.futures.thread")
_CONSTANTS: Final = {
    tokenize.STRING,
    tokenize.NUMBER,
    *[getattr(tokenize, name) for name in ("FSTRING_MIDDLE", "TSTRING_MIDDLE") if hasattr(tokenize, name)],
}


class Site:
    """A place in a program: its file, line and function."""

    __slots__ = ("code", "line")

    def __init__(self, code: CodeType, line: int) -> None:
        self.code = code
        self.line = line

    @property
    def file(self) -> str:
        """The whole name of the file."""
        return self.code.co_filename

    @property
    def function(self) -> str:
        """The qualified name of the function."""
        return self.code.co_qualname

    @property
    def source(self) -> str:
        """The line of the program, with `…` for each constant in it; empty where it can't be read."""
        return _masked(self.file).get(self.line, "")

    def __str__(self) -> str:
        return f"{_short(self.file)}:{self.line}"

    def __repr__(self) -> str:
        return f"<Site {self} in {self.function}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Site) and self.code is other.code and self.line == other.line

    def __hash__(self) -> int:
        return hash((id(self.code), self.line))


def site_of(frame: FrameType | None) -> Site | None:
    """Return the first place outside the library among `frame` and its callers, within the task or thread at hand.

    None where there is none.
    """
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if name in _RUNNERS:
            return None
        if not name.startswith(_OWN) and name.partition(".")[0] not in _BETWEEN:
            return Site(frame.f_code, frame.f_lineno)
        frame = frame.f_back
    return None


# Where the program asked for what runs in tasks or threads of the library's own.
_begun_at: ContextVar[Site | None] = ContextVar("psqlmodel_begun_at", default=None)


def caller() -> Site | None:
    """Return the place in the program that leads to the call at hand, or to the task in which it is."""
    return site_of(sys._getframe(1)) or _begun_at.get()


@contextmanager
def begun_here() -> Iterator[None]:
    """While this lasts, tasks and contexts are made for which the place of the call at hand is the one that asked."""
    token = _begun_at.set(caller())
    try:
        yield
    finally:
        _begun_at.reset(token)


@lru_cache(maxsize=256)
def _short(file: str) -> str:
    """Return a file's name as seen from the working directory, or its last two parts where it is elsewhere."""
    here = os.getcwd() + os.sep
    if file.startswith(here):
        return file.removeprefix(here)
    return os.sep.join(file.split(os.sep)[-2:])


@lru_cache(maxsize=64)
def _masked(file: str) -> dict[int, str]:
    """Return the lines of a file by number, with `…` for the constants.

    The whole file is read as Python: one line alone does not tell what is within a text that began above it. A file
    that is not Python to its end has no lines to show.
    """
    lines = linecache.getlines(file)
    shown = dict(enumerate(lines, 1))
    try:
        found = list(tokenize.generate_tokens(io.StringIO("".join(lines)).readline))
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return {}
    for token in reversed(found):
        if token.type in _CONSTANTS or token.type == tokenize.COMMENT:
            _mask(shown, token)
    return {number: line.strip() for number, line in shown.items()}


def _mask(lines: dict[int, str], token: tokenize.TokenInfo) -> None:
    (first, start), (last, end) = token.start, token.end
    mark = "" if token.type == tokenize.COMMENT else "…"
    if first == last:
        lines[first] = lines[first][:start] + mark + lines[first][end:]
        return
    lines[last] = mark + lines[last][end:]
    for between in range(first + 1, last):
        lines[between] = mark
    lines[first] = lines[first][:start] + mark
