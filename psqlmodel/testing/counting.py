"""Counting: which statements a piece of code sends, where from, and whether one of them is sent again and again.

`Watched` is a `with` block that gives a `Sent`; `expect` and `refuse_repetition` judge it and raise `AssertionError`
with what was sent. Values of parameters are not in it.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from psqlmodel.core.engine.channel import StatementEvent

_NOT_COUNTED: Final = frozenset({"transaction", "catalog", "pool"})
_READING: Final = frozenset({"query", "load"})
_WIDTH: Final = 160
_HERE: Final = "psqlmodel"


class SentStatement:
    """One statement: its text, the rows, the seconds, and the place in the program that caused it."""

    __slots__ = ("place", "purpose", "rows", "seconds", "text")

    def __init__(self, event: StatementEvent, place: str) -> None:
        self.text = event.text
        self.rows = event.rows
        self.seconds = event.seconds
        self.purpose = event.purpose
        self.place = place

    def __str__(self) -> str:
        text = " ".join(self.text.split())
        shown = text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
        rows = "1 row" if self.rows == 1 else f"{self.rows} rows"
        return f"{shown}  [{rows}, {self.seconds * 1000:.1f} ms] {self.place}"


class Sent(list[SentStatement]):
    """What was sent, in order: all but BEGIN, COMMIT and the like, and what the library asks of the catalog."""

    def take(self, event: StatementEvent) -> None:
        """Note a statement; a listener of an engine."""
        if event.purpose not in _NOT_COUNTED:
            self.append(SentStatement(event, place_of_call()))

    @property
    def texts(self) -> list[str]:
        """The texts of the statements."""
        return [statement.text for statement in self]

    def __str__(self) -> str:
        return "\n".join([f"  {number}. {each}" for number, each in enumerate(self, 1)]) or "  (nothing was sent)"


class Watched:
    """A `with` block that notes what is sent through engines of either kind, or those of sessions; it gives the `Sent`.

    At its end `judge` looks at that and may raise; not where the block ends with an error.
    """

    def __init__(self, engines: Iterable[Any], judge: Callable[[Sent], None]) -> None:
        self._engines = [getattr(each, "engine", each) for each in engines]
        self._judge = judge
        self._sent = Sent()
        self._stops: list[Callable[[], None]] = []

    def __enter__(self) -> Sent:
        self._stops = [engine.on_statement(self._sent.take) for engine in self._engines]
        return self._sent

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        for stop in self._stops:
            stop()
        if error is None:
            self._judge(self._sent)


def expect(sent: Sent, count: int | None, at_most: int | None) -> None:
    """Raise `AssertionError` unless just so many statements were sent, or not more than that."""
    __tracebackhide__ = True
    found = len(sent)
    if count is not None and found != count:
        wanted = f"{count} statement{'' if count == 1 else 's'}"
    elif at_most is not None and found > at_most:
        wanted = f"{at_most} statement{'' if at_most == 1 else 's'} at most"
    else:
        return
    raise AssertionError(f"expected {wanted}, but {found} {'was' if found == 1 else 'were'} sent:\n{sent}")


def refuse_repetition(sent: Sent, times: int) -> None:
    """Raise `AssertionError` where one place of the program sent the same query more often than `times`."""
    __tracebackhide__ = True
    counts = Counter((each.text, each.place) for each in sent if each.purpose in _READING)
    repeated = [(count, text, place) for (text, place), count in counts.items() if count > times]
    if not repeated:
        return
    listed = "\n".join([f"  {count} times, {place}:\n    {_short(text)}" for count, text, place in repeated])
    raise AssertionError(
        f"a query is sent again for each object (N+1):\n{listed}\n"
        "Load what is needed with the first query (.Include(…)), or for all at once (session.load, session.get_many, "
        ".In([…]))."
    )


def place_of_call() -> str:
    """Return `file:line` of the innermost frame that is neither this library's nor the standard library's."""
    frame: Any = sys._getframe(1)
    while frame is not None and _is_foreign(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    if frame is None:
        return "(unknown place)"
    return f"{_relative(frame.f_code.co_filename)}:{frame.f_lineno}"


def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] in _FOREIGN


_FOREIGN: Final = frozenset({_HERE, "asyncio", "concurrent", "contextlib", "contextvars", "threading", "uvloop"})


def _relative(path: str) -> str:
    try:
        relative = os.path.relpath(path)
    except ValueError:  # on another drive
        return path
    return path if relative.startswith("..") else relative


def _short(text: str) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= _WIDTH else f"{joined[: _WIDTH - 1]}…"
