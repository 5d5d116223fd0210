"""Rounds of processes: each round gives every adapter a fresh process, one after the other; the figures are gathered.

It yields nothing and prints only progress, to stderr. What the figures mean is `report.py`'s.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import adapters
from benchmarks.data import FULL, fill
from benchmarks.importing import import_seconds
from benchmarks.workloads import WORKLOADS, Workload
from psqlmodel.embedded import Server

SETTINGS = {"max_connections": "60", "autovacuum": "off", "shared_buffers": "256MB"}
IMPORT = "W11i"
EACH = {workload.key: workload.count for workload in WORKLOADS if workload.each}
SLOW = 5.0  # seconds of a sample; what takes longer is measured in the first round only


@dataclass
class Cell:
    """All samples of one workload on one adapter, a list for each round; or why there are none."""

    rounds: list[list[dict[str, float]]] = field(default_factory=list)
    missing: str = ""
    trouble: str = ""

    def median(self, figure: str) -> float | None:
        """Return the median of a figure over all samples: wall, cpu (seconds), trips, p99, bytes, mib."""
        values = [sample[figure] for samples in self.rounds for sample in samples if figure in sample]
        return statistics.median(values) if values else None

    def medians(self, figure: str) -> list[float]:
        """Return the median of each round."""
        return [statistics.median(sample[figure] for sample in samples) for samples in self.rounds if samples]


@dataclass
class Results:
    """What a run found: cells by workload and adapter, the versions of adapters, those that are not installed."""

    cells: dict[tuple[str, str], Cell] = field(default_factory=lambda: defaultdict(Cell))
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    server: str = ""

    def slow(self, key: str, name: str) -> bool:
        """Say whether a workload takes an adapter so long that one round must do."""
        cell = self.cells.get((key, name))
        return cell is not None and any(
            sample["wall"] * EACH.get(key, 1) > SLOW for samples in cell.rounds for sample in samples
        )

    @property
    def troubles(self) -> list[str]:
        """What went wrong, one line each."""
        return [f"{key} {name}: {cell.trouble}" for (key, name), cell in self.cells.items() if cell.trouble]


def run(names: Sequence[str], keys: Sequence[str], rounds: int, seconds: float) -> Results:
    """Measure adapters on workloads.

    Params: names – of adapters; keys – of workloads; rounds – processes of each; seconds – that a workload is
    repeated in one process. Returns: the results; a failure is in them, not raised.
    """
    results = Results()
    with Server(options=SETTINGS) as server:
        dsn = _database(server)
        results.server = server.version
        for number in range(rounds):
            for name in names:
                print(f"round {number + 1} of {rounds}: {name}", end="", file=sys.stderr, flush=True)
                if name not in results.absent:
                    _adapter(results, name, [key for key in keys if not results.slow(key, name)], dsn, seconds)
                print(file=sys.stderr)
    return results


def _database(server: Server) -> str:
    dsn = server.create_database("bench")
    fill(dsn)
    return dsn


def _adapter(results: Results, name: str, keys: Sequence[str], dsn: str, seconds: float) -> None:
    for group in _groups(keys):
        job = {
            "adapter": name,
            "dsn": dsn,
            "users": FULL.users,
            "workloads": [workload.key for workload in group],
            "seconds": seconds,
        }
        for line in _child(job):
            _take(results, name, line)
            print("", line.get("key", ""), end="", file=sys.stderr, flush=True)
        if name in results.absent:
            return
    if IMPORT in keys:
        _import(results, name)


def _import(results: Results, name: str) -> None:
    try:
        kind = adapters.load(name)
    except ModuleNotFoundError as error:
        results.absent[name] = str(error)
        return
    results.versions[name] = kind.versions()
    results.cells[IMPORT, name].rounds.append(import_seconds(kind.imports))


def _groups(keys: Sequence[str]) -> Iterable[list[Workload]]:
    """Yield the workloads of one process each: all that may share one, the remote ones, and each that is apart."""
    chosen = [workload for workload in WORKLOADS if workload.key in keys]
    for where in ("here", "remote"):
        if group := [workload for workload in chosen if workload.where == where]:
            yield group
    yield from ([workload] for workload in chosen if workload.where == "apart")


def _child(job: dict[str, Any]) -> Iterable[dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.child", json.dumps(job)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        for key in job["workloads"]:
            yield {"key": key, "failed": f"the process ended with {process.returncode}"}


def _take(results: Results, name: str, line: dict[str, Any]) -> None:
    if "absent" in line:
        results.absent[name] = line["absent"]
    elif "versions" in line:
        results.versions[name] = line["versions"]
    else:
        cell = results.cells[line["key"], name]
        cell.missing = line.get("missing", "")
        cell.trouble = cell.trouble or line.get("wrong", "") or line.get("failed", "")
        if "samples" in line:
            cell.rounds.append(line["samples"])
