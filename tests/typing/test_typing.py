"""mypy and pyright see what `accepted.py` and docs/typing.md assert, and reject each line of `rejected.py`."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ..docs.snippets import snippets

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXAMPLES = [str(HERE / name) for name in ("models.py", "accepted.py", "rejected.py", "verbs.py", "own_tests.py")]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The program of docs/typing.md."""
    program = tmp_path / "page.py"
    codes = [snippet.code.text for snippet in snippets((ROOT / "docs" / "typing.md").read_text(encoding="utf-8"))]
    program.write_text("\n".join(map(_in_coroutine, codes)), encoding="utf-8")
    return program


def _in_coroutine(code: str) -> str:
    """Put a snippet that awaits into a coroutine, as in a program."""
    return f"async def main() -> None:\n{textwrap.indent(code, '    ')}" if "await " in code else code


def test_mypy(page: Path) -> None:
    assert _errors("mypy", "--strict", "--config-file", "pyproject.toml", *EXAMPLES, str(page)) == []


def test_pyright(page: Path) -> None:
    # A configuration of its own: the marks of mypy mean nothing to it there.
    config = json.loads((HERE / "pyrightconfig.json").read_text(encoding="utf-8"))
    config |= {"include": [str(HERE), str(page)], "extraPaths": [str(ROOT), str(HERE)]}
    project = page.with_name("pyrightconfig.json")
    project.write_text(json.dumps(config), encoding="utf-8")
    assert _errors("pyright", "--project", str(project), "--pythonpath", sys.executable) == []


T_STRINGS = """
from typing import Any, assert_type
from psqlmodel import SQL, AsyncSession, Expression, QueryResult, RawSQL, ResultRow, Session, Text
from psqlmodel.query import SelectQuery
from models import User

def at_once(session: Session, name: str) -> None:
    assert_type(session.exec(t"SELECT {name}"), QueryResult[ResultRow])
    assert_type(session.exec_one(t"SELECT {name}"), ResultRow | None)
    assert_type(SQL(t"SELECT {name}"), RawSQL)
    assert_type(SQL(t"SELECT * FROM users WHERE name = {name}").Into(User), SelectQuery[User])
    assert_type(Text(t"{User.name} = {name}"), Expression[Any])

async def awaited(session: AsyncSession, name: str) -> None:
    assert_type(await session.exec_one(t"SELECT {name}"), ResultRow | None)
    session.exec(5)  # wrong
"""


def test_t_strings_under_pyright(tmp_path: Path) -> None:
    # mypy reads the grammar of the Python that runs it; pyright that of the version it is told.
    (tmp_path / "t_strings.py").write_text(T_STRINGS, encoding="utf-8")
    config = json.loads((HERE / "pyrightconfig.json").read_text(encoding="utf-8"))
    config |= {"include": [str(tmp_path)], "extraPaths": [str(ROOT), str(HERE)], "pythonVersion": "3.14"}
    config["reportUnusedCoroutine"] = config["reportUnusedCallResult"] = False
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    found = _errors("pyright", "--project", str(tmp_path), "--pythonpath", sys.executable)
    wrong = T_STRINGS.splitlines().index("    session.exec(5)  # wrong") + 1
    assert found
    assert {line.partition("t_strings.py:")[2].partition(":")[0] for line in found} == {str(wrong)}


def _errors(*command: str) -> list[str]:
    """Run a type checker and return its errors about the examples; the package has a check of its own."""
    found = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in found.stdout.splitlines()]
    assert lines, found.stderr
    assert lines[-1].startswith(("Success", "Found")) or " errors, " in lines[-1], found.stdout
    names = ["page.py", "t_strings.py", *(Path(example).name for example in EXAMPLES)]
    return [line for line in lines if "error:" in line and any(name in line for name in names)]
