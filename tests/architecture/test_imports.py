"""Importing psqlmodel is cheap: what a program does not use does not come with it. Counted, not timed."""

import subprocess
import sys

import pytest

import psqlmodel

# The drivers and what else is optional; then what of the standard library and of the package is dear: 2 to 30 ms each.
OPTIONAL = {"psycopg2", "asyncpg", "pydantic", "rich", "typer"}
DEAR = {"asyncio", "concurrent", "dataclasses", "difflib", "hashlib", "inspect", "logging", "pathlib", "random", "ssl"}
SELDOM = {
    "psqlmodel.core.async_session",
    "psqlmodel.core.engine.async_engine",
    "psqlmodel.core.engine.discovery",
    "psqlmodel.core.parallel",
    "psqlmodel.drivers.async_pool",
    "psqlmodel.embedded",
    "psqlmodel.schema.ddl",
    "psqlmodel.schema.wanted",
}

EVERYDAY = "from psqlmodel import Column, PSQLModel, Relation, Select, Session, create_engine, table"
MODEL = f"""
{EVERYDAY}
@table("users")
class User(PSQLModel):
    id: int = Column(primary_key=True)
    name: str
query = Select(User).Where(User.name == "Ada")
engine = create_engine("postgresql://nobody@127.0.0.1:1/none", connect_timeout=1)
with Session(engine) as session:
    session.add(User(name="Ada"))
    session.rollback()
"""


def loaded_by(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def brought_by(statement: str) -> set[str]:
    return loaded_by(statement) - loaded_by("pass")


def test_importing_the_package_imports_nothing_of_it() -> None:
    came = brought_by("import psqlmodel")
    assert {name for name in came if name.startswith("psqlmodel")} == {"psqlmodel", "psqlmodel.later"}
    assert came & (OPTIONAL | DEAR) == set()
    assert len(came) <= 35, sorted(came)  # `typing`, and what it brings


@pytest.mark.parametrize("program", [EVERYDAY, MODEL], ids=["names", "program"])
def test_a_synchronous_program_without_a_statement_imports_no_driver_and_nothing_dear(program: str) -> None:
    came = brought_by(program)
    assert came & (OPTIONAL | DEAR | SELDOM) == set()
    # Each module of ours costs 0.15 to 0.4 ms. More of them: look whether all programs need it.
    assert len([name for name in came if name.startswith("psqlmodel")]) <= 130
    assert len(came) <= 129 + 62, sorted(came)


def test_models_and_queries_need_no_session() -> None:
    came = brought_by("from psqlmodel import Column, PSQLModel, Select, table, varchar, UniqueViolation")
    assert {
        name for name in came if name.startswith(("psqlmodel.core", "psqlmodel.drivers", "psqlmodel.schema"))
    } == set()


def test_a_synchronous_engine_imports_only_its_driver() -> None:
    came = brought_by(
        "import psqlmodel, contextlib\n"
        "engine = psqlmodel.create_engine('postgresql://nobody@127.0.0.1:1/none', connect_timeout=1)\n"
        "with contextlib.suppress(psqlmodel.ConnectionLost): engine.execute('SELECT 1')"
    )
    assert "psycopg2" in came
    assert came & {"asyncpg", "asyncio"} == set()


def test_an_engine_alone_runs_functions_in_sessions() -> None:
    """`create_engine` brings what `engine.run` needs, though an engine knows no sessions."""
    came = brought_by(
        "import psqlmodel, contextlib\n"
        "engine = psqlmodel.create_engine('postgresql://nobody@127.0.0.1:1/none', connect_timeout=1)\n"
        "with contextlib.suppress(psqlmodel.ConnectionLost): engine.run(lambda session: session.exec('SELECT 1'))"
    )
    assert "psycopg2" in came


def test_an_asynchronous_engine_alone_runs_functions_in_sessions() -> None:
    came = brought_by(
        "import psqlmodel, contextlib, asyncio\n"
        "engine = psqlmodel.create_async_engine('postgresql://nobody@127.0.0.1:1/none', connect_timeout=1)\n"
        "with contextlib.suppress(psqlmodel.ConnectionLost):\n"
        "    asyncio.run(engine.run(lambda session: session.exec('SELECT 1')))"
    )
    assert "asyncpg" in came
    assert "psycopg2" not in came


def test_every_public_name_is_there() -> None:
    names = psqlmodel.__all__
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(psqlmodel, name)] == []
    assert set(names) <= set(dir(psqlmodel))
    for module in (psqlmodel.errors, psqlmodel.query, psqlmodel.types):
        assert [name for name in module.__all__ if getattr(psqlmodel, name) is not getattr(module, name)] == []


def test_a_star_brings_every_public_name() -> None:
    program = "import sys\nfrom psqlmodel import *\nmissing = set(sys.modules['psqlmodel'].__all__) - set(globals())"
    loaded_by(f"{program}\nassert missing == set(), missing")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'psqlmodel' has no attribute 'Sesion'"):
        _ = psqlmodel.Sesion  # type: ignore[attr-defined]
    assert not hasattr(psqlmodel, "__wrapped__")
