"""What is measured of one piece of work: wall time, processor time of this process, and figures that it adds itself.

with clock:
    work()
clock.wall, clock.cpu       seconds between entering and leaving
clock.note("p99", 0.002)    beside them
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self


class Clock:
    """A stopwatch for the part of an adapter's method that counts."""

    def __init__(self, trips: Callable[[], int] = int) -> None:
        self.wall = self.cpu = 0.0
        self.notes: dict[str, float] = {}
        self._read_trips = trips

    def __enter__(self) -> Self:
        self._trips = self._read_trips()
        self._cpu = time.process_time()
        self._wall = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.wall += time.perf_counter() - self._wall
        self.cpu += time.process_time() - self._cpu
        if trips := self._read_trips() - self._trips:
            self.note("trips", trips)

    def note(self, name: str, value: float) -> None:
        """Keep a figure of this piece of work: trips, p99 in seconds, bytes."""
        self.notes[name] = value
