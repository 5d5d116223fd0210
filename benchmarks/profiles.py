"""Where the time goes: the hand-written program and psqlmodel side by side, by the part of the code, under cProfile.

    python -m benchmarks.profiles               the tables for W2o, W4 and W8
    python -m benchmarks.profiles W5 --async    another workload, on asyncpg
    python -m benchmarks.profiles W8 --calls    the functions that take longest, too

The profiler makes a call of a Python function cost two to three times as much, so that the parts are to be compared
with each other, and not with the tables of a run.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psqlmodel
from benchmarks import adapters
from benchmarks.child import Bench
from benchmarks.clock import Clock
from benchmarks.data import FULL, Control, fill
from benchmarks.run import SETTINGS
from benchmarks.workloads import WORKLOADS, Workload
from psqlmodel.embedded import Server

SHOWN = ("W2o", "W4", "W8")
RUNS = 5
PAIRS = {False: ("psycopg2", "psqlmodel-sync"), True: ("asyncpg", "psqlmodel-async")}
_DRIVER = frozenset({"psycopg2", "asyncpg", "asyncio", "encodings", "selectors.py"})
_LIBRARY = Path(psqlmodel.__file__).parent
_PARTS = {
    "core/loading": "loading",
    "core/unitofwork": "unit of work",
    "core/engine": "engine, channel",
    "core": "session, transaction, steps",
    "drivers": "our side of the driver",
    "model": "model: constructor, states, lists",
    "query": "query building",
    "types": "types: values to and from the wire",
}

Function = tuple[str, int, str]


class Profiled(Clock):
    """A clock that profiles what it measures."""

    def __init__(self) -> None:
        super().__init__()
        self.profile = cProfile.Profile()

    def __enter__(self) -> Profiled:
        self.profile.enable()
        return self

    def __exit__(self, *error: object) -> None:
        self.profile.disable()


def parts(profile: cProfile.Profile) -> dict[str, float]:
    """Return the seconds that each part of the code took itself; what is written in C counts for its callers."""
    found: dict[str, float] = defaultdict(float)
    stats: Any = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for function, (_, _, own, _, callers) in stats.items():
        for part, seconds in _shares(function, own, callers):
            found[part] += seconds
    return dict(found)


def _shares(function: Function, own: float, callers: dict[Function, Any]) -> Iterator[tuple[str, float]]:
    if function[0] != "~" or "psycopg2" in function[2] or "asyncpg" in function[2]:
        yield part_of(function), own
        return
    left = own
    for caller, (_, _, seconds, _) in callers.items():
        left -= seconds
        yield part_of(caller), seconds
    yield "other", max(left, 0.0)


def part_of(function: Function) -> str:
    """Return the part of the code that a function belongs to."""
    file, _, name = function
    if file.startswith("<psqlmodel loader"):
        return "generated loader"
    path = Path(file)
    if file == "~":
        return "driver and server" if "psycopg2" in name or "asyncpg" in name or "epoll" in name else "other"
    if not _DRIVER.isdisjoint(path.parts):
        return "driver and server"
    if path.is_relative_to(_LIBRARY):
        inside = path.relative_to(_LIBRARY).as_posix()
        return next((title for start, title in _PARTS.items() if inside.startswith(start)), _PARTS["core"])
    return "the program: its functions and objects"


def profiled(dsn: str, name: str, workload: Workload) -> tuple[dict[str, float], cProfile.Profile]:
    """Run one workload on one adapter under the profiler, and return the quickest of its runs.

    Returns: microseconds by part for each object or operation, and the profile itself.
    """
    control = Control(dsn)
    bench = Bench(adapters.load(name)(dsn, FULL.users), control)
    try:
        bench.once(workload, workload.count)  # statements are prepared, code is warm
        runs = [_run(bench, control, workload) for _ in range(RUNS)]
    finally:
        bench.close()
        control.close()
    best = min(runs, key=lambda profile: sum(parts(profile).values()))
    return {part: seconds / workload.count * 1e6 for part, seconds in parts(best).items()}, best


def _run(bench: Bench, control: Control, workload: Workload) -> cProfile.Profile:
    clock = Profiled()
    bench.done(getattr(bench.adapter, workload.method)(clock, workload.count))
    for sql in workload.undo:
        control.rows(sql)
    return clock.profile


def table(names_of_columns: tuple[str, str], columns: list[dict[str, float]]) -> str:
    """Return parts and columns as a markdown table, the dearest part first."""
    names = sorted(
        {part for column in columns for part in column}, key=lambda part: -max(c.get(part, 0) for c in columns)
    )
    lines = [f"| where | {' | '.join(names_of_columns)} |", "| --- | ---: | ---: |"]
    for name in names:
        values = [column.get(name, 0.0) for column in columns]
        if max(values) >= 0.005 * sum(columns[-1].values()):
            lines.append(f"| {name} | {' | '.join(f'{value:.2f}' if value else '–' for value in values)} |")
    lines.append(f"| all | {' | '.join(f'{sum(column.values()):.2f}' for column in columns)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=SHOWN)
    parser.add_argument("--calls", action="store_true", help="show the functions that take longest")
    parser.add_argument("--async", action="store_true", dest="asynchronous", help="asyncpg instead of psycopg2")
    arguments = parser.parse_args()
    pair = PAIRS[arguments.asynchronous]
    with Server(options=SETTINGS) as server:
        dsn = server.create_database("profiles")
        fill(dsn)
        for workload in (workload for workload in WORKLOADS if workload.key in arguments.workloads):
            found = [profiled(dsn, name, workload) for name in pair]
            print(f"\n{workload.key}, {workload.title}: µs for each\n\n{table(pair, [column for column, _ in found])}")
            if arguments.calls:
                pstats.Stats(found[-1][1]).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
