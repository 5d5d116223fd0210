"""mypy --strict and pyright accept the service, see the types that it promises, and reject what is wrong."""

from __future__ import annotations

import subprocess
import sys

from .service import ROOT

PROGRAMS = ["examples/fastapi_app", "tests/examples/typed.py"]


def test_mypy() -> None:
    assert _errors("mypy", "--strict", "--config-file", "pyproject.toml", *PROGRAMS) == []


def test_pyright() -> None:
    project = str(ROOT / "tests" / "examples" / "pyrightconfig.json")  # mypy's marks mean nothing to it there
    assert _errors("pyright", "--project", project, "--pythonpath", sys.executable) == []


def _errors(*command: str) -> list[str]:
    """Run a type checker and return its errors about these programs; the package has a check of its own."""
    found = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in found.stdout.splitlines()]
    assert lines, found.stderr
    assert lines[-1].startswith(("Success", "Found")) or " informations" in lines[-1], found.stdout
    return [line for line in lines if "error:" in line and ("fastapi_app" in line or "typed.py" in line)]
