"""A pause of the cyclic garbage collector while many objects are made: it is half of the cost of making them.

Nothing that a loader makes is a cycle, so nothing is missed. The pause is counted, so that loads in several
threads share it, and what was found (a program may have disabled the collector itself) is restored, also
after an error.
"""

from __future__ import annotations

import gc
from _thread import allocate_lock  # the lock alone: the layers of steps do not import threading
from collections.abc import Generator
from contextlib import contextmanager

_lock = allocate_lock()
_depth = 0
_was_enabled = False


@contextmanager
def paused() -> Generator[None, None, None]:
    """Keep the collector from running inside the block."""
    _pause()
    try:
        yield
    finally:
        _resume()


def _pause() -> None:
    global _depth, _was_enabled
    with _lock:
        if _depth == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _depth += 1


def _resume() -> None:
    global _depth
    with _lock:
        _depth -= 1
        if _depth == 0 and _was_enabled:
            gc.enable()
