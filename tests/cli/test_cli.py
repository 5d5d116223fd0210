"""The command: help, version, demo, and what it says when something is missing."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from psqlmodel import cli
from psqlmodel.commands import demo


def psqlmodel(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "psqlmodel", *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help(arguments: list[str]) -> None:
    done = psqlmodel(*arguments)
    assert done.returncode == 0
    assert "usage: psqlmodel" in done.stdout
    assert "demo" in done.stdout
    assert done.stderr == ""


def test_version() -> None:
    done = psqlmodel("--version")
    assert done.stdout == f"psqlmodel {importlib.metadata.version('psqlmodel')}\n"


@pytest.mark.parametrize("arguments", [["demos"], ["--no-such-option"]])
def test_nonsense_is_refused(arguments: list[str]) -> None:
    done = psqlmodel(*arguments)
    assert done.returncode == 2
    assert "usage: psqlmodel" in done.stderr


def test_the_demo_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(demo, "NEEDS", ("rich", "there_is_no_such_package"))
    assert cli.main(["demo"]) == 1
    assert "there_is_no_such_package. Install them with: pip install 'psqlmodel[demo]'" in capsys.readouterr().err


def test_the_demo_names_its_missing_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "PLACES", (tmp_path / "flights.py",))
    assert cli.main(["demo"]) == 1
    assert "install psqlmodel again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "code", "error"),
    [
        ("import sys; print(__name__, sys.argv[1:])", 0, ""),
        ("import sys; print(__name__, sys.argv[1:]); sys.exit(7)", 7, ""),
        ("import sys; print(__name__, sys.argv[1:]); sys.exit('no flights')", 1, "no flights\n"),
    ],
)
def test_the_demo_runs_its_program(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    program: str,
    code: int,
    error: str,
) -> None:
    (tmp_path / "flights.py").write_text(program)
    monkeypatch.setattr(demo, "PLACES", (tmp_path / "missing.py", tmp_path / "flights.py"))
    before = sys.argv
    assert cli.main(["demo", "--rows", "10"]) == code
    assert sys.argv is before
    captured = capsys.readouterr()
    assert captured.out == "__main__ ['--rows', '10']\n"
    assert captured.err == error


def test_the_demo_is_found_in_the_repository() -> None:
    assert demo.PLACES[1].is_file()
