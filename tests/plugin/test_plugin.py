"""The pytest plugin in runs of its own: a project like a user's, by a real pytest in another process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from psqlmodel import create_engine
from psqlmodel.embedded import Server

pytest_plugins = ["pytester"]

PROJECT = Path(__file__).parent / "project"
ROOT = Path(__file__).parents[2]
NOBODY = 65534
STRICT = "[tool.pytest.ini_options]\nfilterwarnings = ['error']\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Run pytest in the project, with some of its test files under the names that they get."""
    shutil.copy(PROJECT / "shop.py", pytester.path)
    shutil.copy(PROJECT / "conftest_of_project.py", pytester.path / "conftest.py")
    pytester.makepyprojecttoml(STRICT)

    def run(files: dict[str, str], *options: str, **replaced: str) -> pytest.RunResult:
        for name, source in files.items():
            text = (PROJECT / source).read_text()
            for old, new in replaced.items():
                text = text.replace(old, new)
            (pytester.path / f"{name}.py").write_text(text)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)

    return run


ASYNCIO = ["-p", "no:anyio", "-o", "asyncio_default_fixture_loop_scope=function"]


def test_the_synchronous_fixtures(project: Callable[..., pytest.RunResult]) -> None:
    files = {"test_sync": "sync_tests.py", "test_loops": "loop_tests.py"}
    result = project(files, "-p", "no:asyncio", "-p", "no:anyio")
    result.assert_outcomes(passed=25 + 17)


@pytest.mark.parametrize(
    ("runner", "options"),
    [
        ("asyncio", ASYNCIO),
        ("asyncio(loop_scope='session')", ASYNCIO),
        ("anyio", ["-p", "no:asyncio", "-k", "not trio"]),
    ],
    ids=["a loop for each test", "one loop", "anyio"],
)
def test_the_asynchronous_fixtures(project: Callable[..., pytest.RunResult], runner: str, options: list[str]) -> None:
    result = project({"test_async": "async_tests.py"}, *options, RUNNER=runner)
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] == 16


def test_a_web_application_joins(project: Callable[..., pytest.RunResult]) -> None:
    project({"test_web": "web_tests.py"}, *ASYNCIO).assert_outcomes(passed=4)


def test_the_page_is_true(pytester: pytest.Pytester) -> None:
    """The tests in the documentation are run as a reader would: all but the setup, which would add a row to each."""
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    tests = [each for each in blocks if "psqlmodel_setup" not in each and "Server()" not in each]
    (pytester.path / "test_page.py").write_text("\n".join(tests))
    pytester.runpytest_subprocess(*ASYNCIO, "-o", "asyncio_mode=auto").assert_outcomes(passed=10)
    setup = next(each for each in blocks if "psqlmodel_setup" in each)
    check = "def test_root(session):\n    assert session.exec(Select(User.name)).scalars() == ['root']\n"
    (pytester.path / "test_page.py").write_text("\n".join([blocks[0], setup, check]))
    pytester.runpytest_subprocess(*ASYNCIO).assert_outcomes(passed=1)


# At the first test of each worker: of the tests of one file, one worker may get all.
WHERE = """

@pytest.fixture(scope="session", autouse=True)
def where(psqlmodel_dsn, worker_id):
    with open(f"where_{worker_id}", "a") as file:
        print(psqlmodel_dsn, file=file)
"""


def test_workers_share_a_server_and_have_databases_of_their_own(
    pytester: pytest.Pytester, project: Callable[..., pytest.RunResult]
) -> None:
    conftest = pytester.path / "conftest.py"
    _ = conftest.write_text(conftest.read_text() + WHERE)
    files = {"test_sync": "sync_tests.py", "test_async": "async_tests.py"}
    result = project(files, "-n", "2", "--dist", "load", *ASYNCIO, RUNNER="asyncio")
    result.assert_outcomes(passed=25 + 16)
    lines = {path.name: path.read_text().splitlines() for path in pytester.path.glob("where_gw*")}
    assert sorted(lines) == ["where_gw0", "where_gw1"]
    (first,), (second,) = lines["where_gw0"], lines["where_gw1"]
    place, other = urlsplit(first), urlsplit(second)
    assert place.query == other.query  # the socket of one server
    assert place.path != other.path
    socket = Path(parse_qs(place.query)["host"][0])
    assert not socket.exists()  # the last worker took the server along


def test_a_run_that_asks_for_nothing_starts_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_what_is_there(request):
            assert request.config.pluginmanager.has_plugin("psqlmodel")
            brought = {name for name in sys.modules if name.partition(".")[0] in ("psqlmodel", "psycopg2", "asyncpg")}
            assert brought == {"psqlmodel", "psqlmodel.later", "psqlmodel.pytest"}
        """
    )
    pytester.makepyprojecttoml(STRICT)
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=1)


def test_fixtures_of_the_project_take_precedence(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def engine():
            return "theirs"
        """
    )
    pytester.makepyfile("def test_theirs(engine): assert engine == 'theirs'")
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=1)


def test_the_tables_of_all_models_and_a_server_that_is_there(server: Server, pytester: pytest.Pytester) -> None:
    shutil.copy(PROJECT / "shop.py", pytester.path)
    pytester.makepyprojecttoml(STRICT + "psqlmodel_models = ['shop']\n")
    pytester.makepyfile(
        """
        def test_tables(session, fresh_engine, psqlmodel_dsn):
            assert session.exec("SELECT count(*) FROM orders").scalar() == 0
            assert fresh_engine.execute("SELECT count(*) FROM places").scalar() == 0
            assert "psqlmodel_test_" in psqlmodel_dsn
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:asyncio", "--psqlmodel-dsn", server.dsn)
    result.assert_outcomes(passed=1)
    with create_engine(server.dsn) as engine:
        left = engine.execute("SELECT datname FROM pg_database WHERE datname LIKE 'psqlmodel_test_%'")
    assert left == []


def test_what_is_said_of_statements(project: Callable[..., pytest.RunResult]) -> None:
    result = project({"test_statements": "failing_tests.py"}, "-p", "no:asyncio", "-p", "no:randomly")
    result.assert_outcomes(passed=2, failed=5)
    said = result.stdout.str()
    assert "expected 1 statement, but 2 were sent:" in said
    assert re.search(r'1\. INSERT INTO "?customers"? .*  \[1 row, \d+\.\d ms\] test_statements\.py:\d+', said)
    assert "expected 1 statement at most, but 2 were sent:" in said
    shown = [line for line in said.splitlines() if line.startswith("E ")]  # the summary has them, too
    assert sum("objects are loaded one by one:" in line for line in shown) == 2
    loops = re.findall(r"N\+1: 3 statements for .*, one at a time, at test_statements\.py:(\d+): load them", said)
    assert len(set(loops)) == 2
    assert "no engine to watch" in said
    assert not [line for line in said.splitlines() if line.startswith("E") and "secret" in line]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_runs_tests(project_for_all: Path) -> None:
    python = _python_for_all()
    if python is None:
        pytest.skip("Python or the packages lie where only root can read them")
    packages = [str(ROOT), *(path for path in sys.path if "site-packages" in path)]
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ASYNCIO, "-n", "2"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(project_for_all),
            "TMPDIR": str(project_for_all),
            "PYTHONPATH": os.pathsep.join(packages),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd=project_for_all,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert "41 passed" in done.stdout, done.stdout + done.stderr
    assert not [path for path in project_for_all.iterdir() if path.name.startswith("psqlmodel-")]


@pytest.fixture
def project_for_all() -> Iterator[Path]:
    """The project in a folder of nobody's own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = Path(folder)
        shutil.copy(PROJECT / "shop.py", home)
        shutil.copy(PROJECT / "conftest_of_project.py", home / "conftest.py")
        shutil.copy(PROJECT / "sync_tests.py", home / "test_sync.py")
        (home / "test_async.py").write_text((PROJECT / "async_tests.py").read_text().replace("RUNNER", "asyncio"))
        for path in (home, *home.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        yield home


def _python_for_all() -> str | None:
    """Return a Python that every user can run, and for which our packages are made."""
    for candidate in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        if candidate is None or not all(_readable_by_all(path) for path in (Path(candidate), Path(sys.prefix), ROOT)):
            continue
        asked = [candidate, "-c", "import sys; print(*sys.version_info[:2])"]
        if subprocess.check_output(asked, text=True).split() == [str(part) for part in sys.version_info[:2]]:
            return candidate
    return None


def _readable_by_all(path: Path) -> bool:
    return all(each.stat().st_mode & 0o005 == 0o005 for each in (path.resolve(), *path.resolve().parents))
