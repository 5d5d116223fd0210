"""W11i: how long an import takes in a fresh interpreter, beyond the interpreter's own start."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

TIMES = 5


def import_seconds(statement: str) -> list[dict[str, float]]:
    """Return the wall and processor seconds that a statement takes at the start of a program, a few samples."""
    _start(statement)  # writes the compiled modules
    bare = [_start("pass") for _ in range(TIMES)]
    base = {figure: statistics.median(sample[figure] for sample in bare) for figure in bare[0]}
    return [_beyond(_start(statement), base) for _ in range(TIMES)]


def _beyond(sample: dict[str, float], base: dict[str, float]) -> dict[str, float]:
    return {figure: max(0.0, value - base[figure]) for figure, value in sample.items()}


def _start(statement: str) -> dict[str, float]:
    cpu, began = _children(), time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return {"wall": time.perf_counter() - began, "cpu": _children() - cpu}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
