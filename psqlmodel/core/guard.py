"""The guard of a session: it is used by one thread or task at a time, and not after it is closed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

from psqlmodel.errors import ConcurrentUseError, SessionClosedError

if TYPE_CHECKING:
    import asyncio

_OWN = __name__.partition(".")[0] + "."
_RUNNERS = ("asyncio.", "concurrent.futures.", "threading")  # who calls what the program handed over


# The instruction, too, of which `_line` makes the line (to look for it each time would be a sixtieth of a web
# transaction); -1 where the code is a method of the library that a task is made of.
Site: TypeAlias = tuple[CodeType, int]
User: TypeAlias = tuple[int, "asyncio.Task[Any] | None"]


class Guard:
    """Refuses a second use while one is going on, naming both places in the program.

    While handlers of an event are called, the thread or task that calls them may use the session within its use.
    """

    __slots__ = ("_depth", "_lock", "_user", "closed", "held", "kind", "take")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.closed = False
        self._lock = threading.Lock()
        # What `enter` does first, for who does it without its call: takes the session where nobody has it.
        self.take = self._lock.acquire
        # Of the use. Its place is only looked for when it is told: that would be half of an `add`.
        self.held: FrameType | Site | None = None
        self._user: User | None = None
        self._depth = 0

    def enter(self) -> None:
        """Begin a use of the session.

        Raises `SessionClosedError` after it was closed, `ConcurrentUseError` while it is in use.
        """
        if self.closed:
            self.check_open()
        if self._lock.acquire(blocking=False):
            self.held = sys._getframe(1)
        else:
            self._enter_again()

    def enter_to_wait(self) -> None:
        """Begin a use that awaits, as `enter` does; its place is noted now: no frame that waits knows its callers."""
        if self.closed:
            self.check_open()
        if self._lock.acquire(blocking=False):
            self.held = _site(sys._getframe(1))
        else:
            self._enter_again()

    def check_open(self) -> None:
        """Raise `SessionClosedError` after the session was closed."""
        if self.closed:
            raise SessionClosedError(f"the {self.kind} is closed: open another one to go on")

    def enter_to_end(self) -> None:
        """Begin to end the session, which is allowed when it is closed already.

        Raises `ConcurrentUseError` while it is in use.
        """
        if self._lock.acquire(blocking=False):
            self.held = _site(sys._getframe(1))
        else:
            self._enter_again()

    def _enter_again(self) -> None:
        """Begin a use within one, which only its own thread or task may do while handlers are called."""
        if self._user is None or self._user != _user():
            raise ConcurrentUseError(
                f"two threads or tasks use one {self.kind} at the same time: at {_spelled(sys._getframe(2))} while "
                f"{_spelled(self.held)} goes on; give each its own, or use parallel_exec"
            )
        self._depth += 1

    def leave(self) -> None:
        """End the use."""
        if self._depth:
            self._depth -= 1
            return
        self.held = None
        self._lock.release()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let the thread or task that holds the session use it for a block, within its use."""
        outer, depth = self._user, self._depth
        self._user, self._depth = _user(), 0
        try:
            yield
        finally:
            self._user, self._depth = outer, depth


def _user() -> User:
    if "asyncio" not in sys.modules:  # then no event loop runs
        return threading.get_ident(), None
    import asyncio

    try:
        return threading.get_ident(), asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return threading.get_ident(), None


def _site(frame: FrameType) -> Site:
    """Return the place in the program that called the library, in whose code `frame` is.

    A method that the program handed to `asyncio.gather` or to a thread has no caller in the program: itself then.
    """
    caller: FrameType | None = frame
    module = ""
    while caller is not None and (module := caller.f_globals.get("__name__", "")).startswith(_OWN):
        frame, caller = caller, caller.f_back
    if caller is None or module.startswith(_RUNNERS):  # an event loop in C leaves no frame
        return frame.f_code, -1
    return caller.f_code, caller.f_lasti


def _spelled(held: FrameType | Site | None) -> str:
    if held is None:
        return "another place"
    code, instruction = _site(held) if isinstance(held, FrameType) else held
    if instruction < 0:
        return f"{code.co_qualname}(…) as a task of its own"
    return f"{code.co_filename}:{_line(code, instruction)} in {code.co_qualname}"


def _line(code: CodeType, instruction: int) -> int:
    lines = [line for start, end, line in code.co_lines() if start <= instruction < end and line is not None]
    return lines[0] if lines else code.co_firstlineno
