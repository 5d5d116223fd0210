"""Counting the calls of the library's Python functions: the cost that no clock of a shared machine can blur.

A call is what `sys.setprofile` calls one, so that each time a generator or a coroutine goes on counts too. Functions of
others (drivers, asyncio) are not counted: their versions come and go.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import psqlmodel

_OURS = (str(Path(psqlmodel.__file__).parent), "<psqlmodel ")  # the second is what generated code calls itself


class _Calls:
    """A profile function that counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(_OURS):
            self.count += 1


def calls_of(function: Callable[[], object]) -> int:
    """Return how many calls of the library's functions a call of `function` makes."""
    calls = _Calls()
    with profiled(calls):
        _ = function()
    return calls.count


async def awaited_calls_of(function: Callable[[], Awaitable[object]]) -> int:
    """Return how many calls of the library's functions awaiting `function()` makes."""
    calls = _Calls()
    with profiled(calls):
        _ = await function()
    return calls.count


@contextmanager
def profiled(profile: Callable[[FrameType, str, Any], object]) -> Iterator[None]:
    """Show a profile function what the block calls, and not what the garbage collector happens to call meanwhile."""
    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()
