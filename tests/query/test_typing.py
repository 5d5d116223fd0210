"""mypy sees the types of queries that `typing_examples.py` asserts, and rejects the wrong programs in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_types_of_queries() -> None:
    command = [sys.executable, "-m", "mypy", str(HERE / "typing_examples.py")]
    found = subprocess.run(command, cwd=HERE.parent.parent, capture_output=True, text=True, check=False)
    ours = [line for line in found.stdout.splitlines() if "typing_examples.py" in line and "error:" in line]
    assert not ours, "\n".join(ours)
    assert "Found" in found.stdout or "Success" in found.stdout, found.stdout + found.stderr
