"""mypy and pyright see what `accepted.py` asserts, and reject each line of `rejected.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXAMPLES = [str(HERE / name) for name in ("models.py", "accepted.py", "rejected.py", "verbs.py")]


def test_mypy() -> None:
    assert _errors("mypy", "--strict", "--config-file", "pyproject.toml", *EXAMPLES) == []


def test_pyright() -> None:
    project = str(HERE / "pyrightconfig.json")  # the marks of mypy mean nothing to it there
    assert _errors("pyright", "--project", project, "--pythonpath", sys.executable) == []


def _errors(*command: str) -> list[str]:
    """Run a type checker and return its errors about the examples; the package has a check of its own."""
    found = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in found.stdout.splitlines()]
    assert lines, found.stderr
    assert lines[-1].startswith(("Success", "Found")) or " errors, " in lines[-1], found.stdout
    return [line for line in lines if "error:" in line and any(Path(name).name in line for name in EXAMPLES)]
