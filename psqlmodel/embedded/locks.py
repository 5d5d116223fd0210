"""Locks between processes: files that the kernel unlocks when their holder is gone, killed or not.

A lock belongs to an open file, not to a process: it is shared by the children of a fork and free when the
last of them has closed it. That is why nothing here unlocks; a lock is given up by closing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from psqlmodel.embedded.guardian import POLL

SHARED = fcntl.LOCK_SH
EXCLUSIVE = fcntl.LOCK_EX


def attempt(path: Path, how: int) -> int | None:
    """Take a lock at once: an open file that holds it, or None where somebody else has it."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        # The folder may have been removed, and made again, while the file was being opened.
        current = os.stat(path)
        if os.path.samestat(current, os.fstat(descriptor)):
            return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def is_free(path: Path, how: int = SHARED) -> bool:
    """Tell whether a lock could be taken now; True where its file is gone."""
    try:
        descriptor = attempt(path, how)
    except FileNotFoundError:
        return True
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def take(path: Path, how: int, deadline: float) -> int:
    """Take a lock, waiting for it until the deadline (a time of the monotonic clock).

    Raises: TimeoutError.
    """
    while True:
        descriptor = attempt(path, how)
        if descriptor is not None:
            return descriptor
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process holds {path}")
        time.sleep(POLL)


@contextlib.contextmanager
def held(path: Path, how: int, deadline: float) -> Iterator[None]:
    """Hold a lock for a block."""
    descriptor = take(path, how, deadline)
    try:
        yield
    finally:
        os.close(descriptor)
