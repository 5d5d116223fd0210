"""The command `python -m benchmarks`; `--help` says what it takes."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from benchmarks import adapters, report
from benchmarks.run import run

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- written by python -m benchmarks --write -->", "<!-- end -->"


def main() -> int:
    """Run, print, and write the page if that is asked for. Returns the exit code."""
    wanted = _arguments()
    names = adapters.named(wanted.adapters)
    keys = _keys(wanted.only)
    rounds, seconds = (1, 0.0) if wanted.quick else (wanted.rounds, 0.3)
    results = run(names, keys, rounds, seconds)
    command = " ".join(["python -m benchmarks", *(word for word in sys.argv[1:] if word != "--write")])
    text = report.markdown(results, names, keys, rounds, command)
    print(report.pairs(results, names, keys) if wanted.pairs else text)
    for line in results.troubles:
        print(line, file=sys.stderr)
    if wanted.write and not results.troubles:
        _write(text)
    return 1 if results.troubles else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help="workloads, comma-separated: W1,W4 (W4 alone means W4, not W4b)")
    parser.add_argument(
        "--adapters", default="", help=f"comma-separated: floor, {', '.join(adapters.NAMES)}, or the part before -"
    )
    parser.add_argument("--rounds", type=int, default=3, help="processes of each adapter (3)")
    parser.add_argument("--quick", action="store_true", help="one round, one sample")
    parser.add_argument("--pairs", action="store_true", help="print ratios to the first adapter, round by round")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    return parser.parse_args()


def _keys(text: str) -> list[str]:
    wanted = [word.strip() for word in text.split(",") if word.strip()]
    if unknown := [word for word in wanted if word not in report.KEYS]:
        raise SystemExit(f"there is no workload {unknown[0]!r}; there are {', '.join(report.KEYS)}")
    return [key for key in report.KEYS if not wanted or key in wanted]


def _write(text: str) -> None:
    page = PAGE.read_text()
    PAGE.write_text(re.sub(f"({BEGIN}\n).*({END})", lambda found: f"{found[1]}\n{text}\n{found[2]}", page, flags=re.S))


if __name__ == "__main__":
    raise SystemExit(main())
