"""Each adapter does the work that the benchmarks say it does: every workload on a tiny data set, checked as in a run.

Libraries that are not installed are skipped; the hand-written adapters and psqlmodel are always there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import adapters
from benchmarks.data import TINY, fill
from benchmarks.workloads import WORKLOADS
from psqlmodel.embedded import Server

COUNT = 20
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench_dsn(server: Server) -> str:
    dsn = server.create_database("benchmarks")
    fill(dsn, TINY)
    return dsn


@pytest.mark.parametrize("where", ["here", "remote", "apart"])
@pytest.mark.parametrize("name", adapters.NAMES)
def test_the_results_are_right(name: str, where: str, bench_dsn: str) -> None:
    keys = [workload.key for workload in WORKLOADS if workload.where == where]
    job = {"adapter": name, "dsn": bench_dsn, "users": TINY.users, "workloads": keys, "seconds": 0, "count": COUNT}
    command = [sys.executable, "-m", "benchmarks.child", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    about, *lines = [json.loads(line) for line in done.stdout.splitlines()]
    if "absent" in about:
        pytest.skip(about["absent"])
    assert [line["key"] for line in lines] == keys
    assert [line for line in lines if "samples" not in line and "missing" not in line] == [], done.stderr
