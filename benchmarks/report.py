"""Figures as markdown tables: the ratio to the floor of the same driver, in wall and in processor time, and the times.

It must not measure and must not decide which number is good.
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence

from benchmarks import adapters
from benchmarks.run import EACH, IMPORT, Cell, Results
from benchmarks.workloads import WORKLOADS

_TITLES = {workload.key: workload.title for workload in WORKLOADS} | {IMPORT: "the import, in a fresh interpreter"}
KEYS = (*(workload.key for workload in WORKLOADS), IMPORT)
_FIGURES = {"W11m": "bytes", "W11s": "mib"}  # what the workload is about, where it is not time


def markdown(results: Results, names: Sequence[str], keys: Sequence[str], rounds: int, command: str) -> str:
    """Return the whole report."""
    names = [name for name in names if name not in results.absent]
    parts = [_about(results, names, rounds, command)]
    parts.append("### Wall time, ratio to the floor\n\n" + _ratios(results, names, keys, "wall"))
    parts.append("### Processor time of the program, ratio to the floor\n\n" + _ratios(results, names, keys, "cpu"))
    parts.append("### Wall time\n\n" + _values(results, names, keys))
    if trips := _notes(results, names, keys):
        parts.append("### Round trips and the slowest of a hundred\n\n" + trips)
    if missing := _missing(results, names, keys):
        parts.append("### What is not there\n\n" + missing)
    return "\n\n".join(parts) + "\n"


def _about(results: Results, names: Sequence[str], rounds: int, command: str) -> str:
    versions = sorted({part for name in names for part in results.versions.get(name, "").split(", ") if part})
    lines = [
        f"- Command: `{command}`; {rounds} rounds, medians.",
        f"- PostgreSQL {results.server}, {platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} on {platform.machine()}, server and program on the same machine.",
        f"- {'; '.join(versions)}.",
    ]
    lines += [f"- {name} could not be installed or imported: {why}." for name, why in results.absent.items()]
    return "\n".join(lines)


def _table(names: Sequence[str], rows: list[list[str]], first: str = "") -> str:
    head = ["", "workload", *names]
    lines = [" | ".join(head), " | ".join(["---"] * 2 + ["---:"] * len(names)), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _ratios(results: Results, names: Sequence[str], keys: Sequence[str], figure: str) -> str:
    rows = []
    for key in keys:
        cells = [_ratio(results, key, name, _FIGURES.get(key, figure)) for name in names]
        if any(cell not in ("", "–") for cell in cells):
            rows.append([key, _TITLES[key], *cells])
    return _table(names, rows)


def _ratio(results: Results, key: str, name: str, figure: str) -> str:
    cell = results.cells.get((key, name), Cell())
    if cell.trouble:
        return "failed"
    floor = results.cells.get((key, adapters.FLOORS[name]), Cell()).median(figure)
    own = cell.median(figure)
    return "–" if own is None or not floor else f"{own / floor:.2f}"


def _values(results: Results, names: Sequence[str], keys: Sequence[str]) -> str:
    rows = []
    for key in keys:
        figure = _FIGURES.get(key, "wall")
        cells = [results.cells.get((key, name), Cell()) for name in names]
        rows.append([key, _TITLES[key], *("failed" if c.trouble else _value(key, c.median(figure)) for c in cells)])
    return _table(names, rows)


def _value(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    if key in _FIGURES:
        return f"{value:.0f} B" if _FIGURES[key] == "bytes" else f"{value:.1f} MiB"
    if key in EACH and value < 0.0005:
        return f"{value * 1e6:.2f} µs"
    return f"{value * 1e3:.2f} ms" if value < 0.1 else f"{value * 1e3:.0f} ms"


def _notes(results: Results, names: Sequence[str], keys: Sequence[str]) -> str:
    rows = []
    for key in keys:
        for figure, title, scale in (("trips", "round trips", 1.0), ("p99", "p99, ms", 1e3)):
            values = [results.cells.get((key, name), Cell()).median(figure) for name in names]
            if any(value is not None for value in values):
                shown = ["–" if value is None else f"{value * scale:.2f}" for value in values]
                rows.append([key, f"{_TITLES[key]}: {title}", *shown])
    return _table(names, rows) if rows else ""


def _missing(results: Results, names: Sequence[str], keys: Sequence[str]) -> str:
    found = [
        f"- {key}, {name}: {results.cells[key, name].missing}"
        for key in keys
        for name in names
        if (key, name) in results.cells and results.cells[key, name].missing
    ]
    return "\n".join(found)


def pairs(results: Results, names: Sequence[str], keys: Sequence[str]) -> str:
    """Return for each workload the ratio of every adapter to the first one, round by round: median, least, most."""
    lines = []
    for key in keys:
        base = results.cells.get((key, names[0]), Cell())
        for name in names[1:]:
            cell = results.cells.get((key, name), Cell())
            for figure in (_FIGURES[key],) if key in _FIGURES else ("wall", "cpu"):
                ratios = [a / b for a, b in zip(cell.medians(figure), base.medians(figure), strict=False) if b]
                if ratios:
                    lines.append(
                        f"{key:5} {figure:5} {name} / {names[0]}: {statistics.median(ratios):.3f} "
                        f"({min(ratios):.3f} … {max(ratios):.3f}, {len(ratios)} rounds)"
                    )
    return "\n".join(lines)
