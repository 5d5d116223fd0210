"""The cyclic garbage collector while many objects are made: it would be half of the cost of making them.

Nothing that a driver or a loader makes is a cycle, so nothing is missed. `paused` is for work that nobody else gets a
turn in; `relaxed` spans an `await`, where other tasks make what they like: there the collector still runs, but once for
`RELAXED` new objects instead of 700. Both are counted, so that several threads and tasks share them, and what was
found (a program may have its own ideas) is restored, also after an error.

Measured on 100,000 rows of six columns: with it loading takes a quarter of the time, asyncpg's fetch four fifths;
psycopg2's fetch gains nothing.
"""

from __future__ import annotations

import gc
from _thread import allocate_lock  # the lock alone: the layers of steps do not import threading
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

WORTH_A_PAUSE: Final = 500  # rows; below the collector has hardly a reason to run, and a pause costs what it saves
RELAXED: Final = 100_000  # new objects between two runs: some ten MB, which other tasks may leave as garbage meanwhile

_lock = allocate_lock()
_paused = 0
_was_enabled = False
_relaxed = 0
_found = gc.get_threshold()
_NO_PAUSE: Final = nullcontext()


@contextmanager
def paused() -> Generator[None, None, None]:
    """Keep the collector from running inside the block."""
    _pause()
    try:
        yield
    finally:
        _resume()


def pause_for(count: int) -> AbstractContextManager[None]:
    """Return the pause that is worth it while `count` objects are made: none for a few."""
    return _NO_PAUSE if count < WORTH_A_PAUSE else paused()


def relax_for(count: int) -> AbstractContextManager[None]:
    """Return the `relaxed` that is worth it while `count` objects are made: nothing for a few."""
    return _NO_PAUSE if count < WORTH_A_PAUSE else relaxed()


@contextmanager
def relaxed() -> Generator[None, None, None]:
    """Let the collector run less often inside the block, which may await."""
    relax()
    try:
        yield
    finally:
        tighten()


def _pause() -> None:
    global _paused, _was_enabled
    with _lock:
        if _paused == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _paused += 1


def _resume() -> None:
    global _paused
    with _lock:
        _paused -= 1
        if _paused == 0 and _was_enabled:
            gc.enable()


def relax() -> None:
    """Let the collector run less often until `tighten`: what `relaxed` does where no block can be."""
    global _relaxed, _found
    with _lock:
        if _relaxed == 0:
            _found = gc.get_threshold()
            if 0 < _found[0] < RELAXED:  # 0 is another way to disable it
                gc.set_threshold(RELAXED, *_found[1:])
        _relaxed += 1


def tighten() -> None:
    """End what `relax` began."""
    global _relaxed
    with _lock:
        _relaxed -= 1
        if _relaxed == 0 and gc.get_threshold()[0] == RELAXED:  # else the program has set another one meanwhile
            gc.set_threshold(*_found)
