"""One adapter in a process of its own: it does the workloads it is told and prints a line of JSON for each.

    python -m benchmarks.child '{"adapter": "psycopg2", "dsn": …, "users": …, "workloads": ["W1"], "seconds": 0.3}'

With `count`, all workloads are that small. A line has the samples (wall and processor seconds, notes), or why there
are none: `missing`, `wrong`, `failed`.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from benchmarks import adapters
from benchmarks.adapters.base import Adapter
from benchmarks.clock import Clock
from benchmarks.data import Control
from benchmarks.remote import Remote
from benchmarks.workloads import WORKLOADS, Workload, Wrong

MOST = 5  # samples of one workload in one process


class Bench:
    """An adapter, the connection beside it, and where its coroutines run."""

    def __init__(self, adapter: Adapter, control: Control, trips: Callable[[], int] = int) -> None:
        self.adapter = adapter
        self.control = control
        self._trips = trips
        self._runner = asyncio.Runner()
        self.done(adapter.open())  # type: ignore[attr-defined]

    def done(self, result: Any) -> Any:
        """Return a result; that of a coroutine when it has run."""

        async def wait() -> Any:
            return await result

        return self._runner.run(wait()) if inspect.isawaitable(result) else result

    def close(self) -> None:
        """Close the adapter's connections."""
        self.done(self.adapter.close())  # type: ignore[attr-defined]
        self._runner.close()

    def once(self, workload: Workload, count: int) -> Clock:
        """Do a workload with `count` objects, check it, and make the rows as they were."""
        if workload.before:
            self.control.rows(workload.before.format(count=count))
        gc.collect()
        clock = Clock(self._trips)
        try:
            result = self.done(getattr(self.adapter, workload.method)(clock, count))
            workload.check(self.control, self.adapter, result, count)
        finally:
            for sql in workload.undo:
                self.control.rows(sql)
        return clock

    def samples(self, workload: Workload, count: int, seconds: float) -> list[dict[str, Any]]:
        """Warm up, then measure until `seconds` are over."""
        if workload.warm:
            self.once(workload, min(workload.warm, count))
        clocks = [self.once(workload, count)]
        while len(clocks) < MOST and sum(clock.wall for clock in clocks) < seconds:
            clocks.append(self.once(workload, count))
        per = count if workload.each else 1
        return [{"wall": clock.wall / per, "cpu": clock.cpu / per, **_notes(clock, count)} for clock in clocks]


def _notes(clock: Clock, count: int) -> dict[str, float]:
    return {name: value / count if name == "trips" else value for name, value in clock.notes.items()}


def measure(bench: Bench, workload: Workload, job: dict[str, Any]) -> dict[str, Any]:
    """Return the samples of one workload, or why there are none."""
    if not hasattr(bench.adapter, workload.method):
        return {"missing": bench.adapter.missing.get(workload.method, "not done in this library")}
    try:
        return {"samples": bench.samples(workload, job.get("count", workload.count), job["seconds"])}
    except Wrong as error:
        return {"wrong": str(error)}
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}


def main() -> None:
    job = json.loads(sys.argv[1])
    try:
        kind = adapters.load(job["adapter"])
    except ModuleNotFoundError as error:
        print(json.dumps({"absent": str(error)}))
        return
    print(json.dumps({"versions": kind.versions()}), flush=True)
    chosen = [workload for workload in WORKLOADS if workload.key in job["workloads"]]
    remote = Remote(job["dsn"]) if chosen and chosen[0].where == "remote" else None
    control = Control(job["dsn"])
    bench = Bench(kind(remote.dsn if remote else job["dsn"], job["users"]), control, remote.trips if remote else int)
    for workload in chosen:
        print(json.dumps({"key": workload.key, **measure(bench, workload, job)}), flush=True)
    bench.close()
    control.close()
    if remote:
        remote.close()


if __name__ == "__main__":
    main()
