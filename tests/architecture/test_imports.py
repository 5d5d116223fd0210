"""Importing psqlmodel is cheap: no driver and no optional package comes with it."""

import subprocess
import sys

HEAVY = ["psycopg2", "asyncpg", "pydantic", "rich", "typer"]


def loaded_by(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_package_imports_no_driver() -> None:
    before = loaded_by("pass")
    came = loaded_by("import psqlmodel") - before
    assert [name for name in HEAVY if name in came] == []


def test_a_synchronous_engine_imports_only_its_driver() -> None:
    came = loaded_by(
        "import psqlmodel, contextlib\n"
        "engine = psqlmodel.create_engine('postgresql://nobody@127.0.0.1:1/none', connect_timeout=1)\n"
        "with contextlib.suppress(psqlmodel.ConnectionLost): engine.execute('SELECT 1')"
    )
    assert "psycopg2" in came
    assert "asyncpg" not in came
