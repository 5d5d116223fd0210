"""Engines: DSNs, options, SQL without a session, databases and tables on demand."""

from __future__ import annotations

import sys
import textwrap

import pytest

from psqlmodel import PSQLModel, table
from psqlmodel.core.engine import Engine, create_async_engine, create_engine
from psqlmodel.core.engine.discovery import find_models
from psqlmodel.core.engine.dsn import find_target, parse_dsn
from psqlmodel.errors import (
    ConfigurationError,
    DatabaseError,
    NotMappedError,
    PoolClosedError,
    QueryError,
    UndefinedTable,
    UniqueViolation,
)
from tests.faults.server import Observer

# --- DSN ---


@pytest.mark.parametrize(
    ("dsn", "parameters"),
    [
        (
            "postgresql://me:p%40ss@host:5433/shop?sslmode=require",
            {"user": "me", "password": "p@ss", "host": "host", "port": "5433", "dbname": "shop", "sslmode": "require"},
        ),
        ("postgres:///shop", {"dbname": "shop"}),
        ("postgresql+asyncpg://host/shop", {"host": "host", "dbname": "shop"}),
        ("postgresql+psycopg2://host/shop", {"host": "host", "dbname": "shop"}),
        ("POSTGRESQL://host/shop", {"host": "host", "dbname": "shop"}),
        ("postgresql://[::1]:5433/shop", {"host": "::1", "port": "5433", "dbname": "shop"}),
        ("postgresql://a,b:5433/x", {"host": "a,b", "port": "5432,5433", "dbname": "x"}),
        ("postgresql://me@%2Frun%2Fpg/x", {"user": "me", "host": "/run/pg", "dbname": "x"}),
        ("postgresql:///x?host=/run/pg&database=y", {"host": "/run/pg", "dbname": "y"}),
        (
            "host=h dbname='my db' password='it\\'s' user=me",
            {"host": "h", "dbname": "my db", "password": "it's", "user": "me"},
        ),
        ("host = h  port=5", {"host": "h", "port": "5"}),
    ],
)
def test_spellings_of_a_dsn(dsn, parameters):
    assert parse_dsn(dsn).parameters == parameters


@pytest.mark.parametrize(
    "dsn",
    ["mysql://h/x", "postgresql://me:se/cret@h/x", "host=h nonsense", "shop", "", "postgresql://me:secret#@h/x", 5],
)
def test_dsns_that_are_not_readable(dsn):
    with pytest.raises(ConfigurationError) as caught:
        create_engine(dsn)
    assert "cret" not in str(caught.value)


def test_where_the_dsn_comes_from():
    assert find_target(None, {"DATABASE_URL": "postgresql://h/x"}).parameters["host"] == "h"
    assert find_target("postgresql://a/x", {"DATABASE_URL": "postgresql://h/x"}).parameters["host"] == "a"
    assert find_target(None, {"PGHOST": "h"}).parameters == {}
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        find_target(None, {})


@pytest.mark.parametrize("variable", ["DATABASE_URL", "PG*"])
def test_an_engine_from_the_environment(variable, database_dsn, monkeypatch):
    for name in ("DATABASE_URL", "PGHOST", "PGPORT", "PGDATABASE", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    if variable == "DATABASE_URL":
        monkeypatch.setenv("DATABASE_URL", database_dsn)
    else:
        target = parse_dsn(database_dsn).parameters
        for key, name in [("host", "PGHOST"), ("port", "PGPORT"), ("dbname", "PGDATABASE"), ("user", "PGUSER")]:
            if key in target:
                monkeypatch.setenv(name, target[key])
    with create_engine() as engine:
        assert engine.execute("SELECT current_database() AS name")[0].name == "shared_by_tests"


async def test_an_asynchronous_engine_from_pg_variables(database_dsn, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    target = parse_dsn(database_dsn).parameters
    for key, name in [("host", "PGHOST"), ("port", "PGPORT"), ("dbname", "PGDATABASE"), ("user", "PGUSER")]:
        if key in target:
            monkeypatch.setenv(name, target[key])
    async with create_async_engine() as engine:
        assert (await engine.execute("SELECT current_database() AS name"))[0].name == "shared_by_tests"


def test_no_password_is_shown():
    engine = create_engine("postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in repr(engine)
    assert "secret" not in repr(engine.options)
    assert "me" in repr(engine)


# --- options ---

SHOWN = ("application_name", "statement_timeout", "lock_timeout", "TimeZone")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pol_size": 5}, "did you mean pool_size"),
        ({"pool_size": 0}, "pool_size"),
        ({"pool_size": True}, "pool_size"),
        ({"pool_size": 5, "max_pool_size": 2}, "less than"),
        ({"pool_timeout": -1}, "pool_timeout"),
        ({"connect_timeout": "5"}, "connect_timeout"),
        ({"statement_timeout": 0}, "statement_timeout"),
        ({"ensure_tables": True}, "models"),
        ({"ensure_database": 1}, "True or False"),
        ({"models": 5}, "models"),
        ({"models_path": 5}, "models_path"),
        ({"settings": 5}, "settings"),
        ({"timezone": None}, "timezone"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigurationError, match=message):
        create_engine("postgresql://h/x", **options)
    with pytest.raises(ConfigurationError, match=message):
        create_async_engine("postgresql://h/x", **options)


def test_one_size_alone_moves_the_other():
    assert create_engine("postgresql://h/x", pool_size=50).pool.status().max_size == 50
    assert create_engine("postgresql://h/x", max_pool_size=2).options.pool_size == 2


def test_creating_an_engine_connects_to_nothing():
    assert isinstance(create_engine("postgresql://127.0.0.1:1/x"), Engine)


def test_settings_reach_the_server(database_dsn):
    options = {"application_name": "it's me", "statement_timeout": 5, "settings": {"lock_timeout": "2s"}}
    for prepared in (True, False):
        with create_engine(database_dsn, prepared_statements=prepared, **options) as engine:
            show = [engine.execute(f"SHOW {name}").scalar() for name in SHOWN]
            assert show == ["it's me", "5s", "2s", "UTC"]


async def test_settings_reach_the_server_async(database_dsn):
    options = {"application_name": "it's me", "statement_timeout": 5, "settings": {"lock_timeout": "2s"}}
    for prepared in (True, False):
        async with create_async_engine(database_dsn, prepared_statements=prepared, **options) as engine:
            show = [(await engine.execute(f"SHOW {name}")).scalar() for name in SHOWN]
            assert show == ["it's me", "5s", "2s", "UTC"]


# --- SQL without a session ---


def test_rows_by_position_name_and_attribute(database_dsn):
    with create_engine(database_dsn) as engine:
        rows = engine.execute("SELECT %(a)s::int AS a, 'x' AS count, %(a)s::int + 1 AS \"class\"", {"a": 1})
        row = rows.first()
        assert row == (1, "x", 2)
        assert (row[0], row["count"], row.count, row["class"]) == (1, "x", "x", 2)
        assert row.to_dict() == {"a": 1, "count": "x", "class": 2}
        assert rows.scalar() == 1
        with pytest.raises(AttributeError, match="it has a, count, class"):
            _ = row.nope
        assert engine.execute("SELECT 1 WHERE false").scalar() is None
        with pytest.raises(QueryError):
            engine.execute("SELECT %s", [1, 2])


def test_transactions(fresh_database):
    with create_engine(fresh_database) as engine:
        engine.execute("CREATE TABLE t (id int PRIMARY KEY)")
        with engine.transaction(isolation="SERIALIZABLE") as connection:
            assert connection.execute("SHOW transaction_isolation").scalar() == "serializable"
            assert connection.execute("INSERT INTO t VALUES (1), (2)").affected == 2

        def work(first: str, second: str) -> None:
            with engine.transaction() as connection:
                connection.execute(f"INSERT INTO t VALUES ({first})")
                connection.execute(f"INSERT INTO t VALUES ({second})")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            work("3", "30")
        with pytest.raises(UniqueViolation):
            work("4", "1")
        with engine.connect() as connection:
            connection.execute("INSERT INTO t VALUES (5)")
        assert [row.id for row in engine.execute("SELECT id FROM t ORDER BY id")] == [1, 2, 5]
        with engine.transaction():
            pass
        assert engine.pool.status().in_use == 0
    with pytest.raises(PoolClosedError):
        engine.execute("SELECT 1")


async def test_transactions_async(fresh_database):
    async with create_async_engine(fresh_database) as engine:
        await engine.execute("CREATE TABLE t (id int PRIMARY KEY)")
        async with engine.transaction(read_only=True) as connection:
            assert (await connection.execute("SHOW transaction_read_only")).scalar() == "on"

        async def work() -> None:
            async with engine.transaction() as connection:
                assert (await connection.execute("INSERT INTO t VALUES (1), (2)")).affected == 2
                await connection.execute("INSERT INTO t VALUES (1)")

        with pytest.raises(UniqueViolation):
            await work()
        async with engine.connect() as connection:
            await connection.execute("INSERT INTO t VALUES (5)")
        assert [row.id for row in await engine.execute("SELECT id FROM t ORDER BY id")] == [5]
        assert engine.pool.status().in_use == 0


def test_listeners(database_dsn):
    with create_engine(database_dsn) as engine:
        events = []
        stop = engine.on_statement(events.append)
        engine.execute("SELECT generate_series(1, %s)", [3])
        with pytest.raises(DatabaseError):
            engine.execute("SELECT 1/0")
        stop()
        engine.execute("SELECT 1")
        assert [(event.text, event.arguments, event.rows, event.purpose) for event in events] == [
            ("SELECT generate_series(1, $1)", 1, 3, "raw"),
            ("SELECT 1/0", 0, 0, "raw"),
        ]
        assert events[0].seconds > 0
        assert events[0].error is None
        assert isinstance(events[1].error, DatabaseError)


# --- databases and tables on demand ---


def test_a_missing_database_is_made(server):
    dsn = server.dsn_for('Made "here"')
    with pytest.raises(DatabaseError, match="does not exist"):
        create_engine(dsn).execute("SELECT 1")
    for _ in range(2):
        with create_engine(dsn, ensure_database=True) as engine:
            assert engine.execute("SELECT current_database()").scalar() == 'Made "here"'
    server.drop_database('Made "here"')


async def test_a_missing_database_is_made_async(server):
    async with create_async_engine(server.dsn_for("made_async"), ensure_database=True) as engine:
        assert (await engine.execute("SELECT current_database()")).scalar() == "made_async"
    server.drop_database("made_async")


@table("made_on_demand")
class Made(PSQLModel):
    id: int


def test_missing_tables_are_made(fresh_database):
    with create_engine(fresh_database, ensure_tables=True, models=[Made]) as engine:
        assert engine.execute("SELECT count(*) FROM made_on_demand").scalar() == 0
        engine.drop_all()
        with pytest.raises(UndefinedTable):
            engine.execute("SELECT count(*) FROM made_on_demand")
        engine.create_all([Made])
        engine.create_all([Made])
        assert engine.execute("SELECT count(*) FROM made_on_demand").scalar() == 0
        with pytest.raises(NotMappedError):
            engine.create_all([int])


async def test_missing_tables_are_made_async(fresh_database):
    async with create_async_engine(fresh_database, ensure_tables=True, models=[Made]) as engine:
        assert (await engine.execute("SELECT count(*) FROM made_on_demand")).scalar() == 0
        await engine.drop_all()


def test_nothing_is_left_when_the_start_fails(fresh_database):
    with pytest.raises(ConfigurationError):
        create_engine(fresh_database, ensure_tables=True, models_path="no_such_module_anywhere")
    observer = Observer(fresh_database)
    observer.wait_for_others(0)
    observer.close()


MODELS = """
from psqlmodel import PSQLModel, table

@table("{name}")
class {cls}(PSQLModel):
    id: int
"""


def test_models_of_files_folders_and_modules(tmp_path, monkeypatch):
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "one_model.py").write_text(MODELS.format(name="one", cls="One"))
    package = tmp_path / "found_app"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "two_models.py").write_text(
        textwrap.dedent("from .base_models import Three\n") + MODELS.format(name="two", cls="Two")
    )
    (package / "base_models.py").write_text(MODELS.format(name="three", cls="Three"))
    (package / "untouched").mkdir()
    (package / "untouched" / "explodes.py").write_text("raise RuntimeError('imported')")

    def names(*paths: str) -> set[str]:
        return {model.__name__ for model in find_models(paths)}

    before = set(sys.modules)
    try:
        assert names(str(tmp_path / "loose" / "one_model.py")) == {"One"}
        assert names(str(package)) == {"Two", "Three"}
        assert names("found_app.two_models") == {"Two", "Three"}  # the same modules, not a second time
        assert len(find_models([str(package), "found_app.two_models"])) == 2
        with pytest.raises(ConfigurationError, match="neither a module"):
            names("no_such_module_anywhere")
        with pytest.raises(ConfigurationError, match="does not exist"):
            names(str(tmp_path / "missing.py"))
        with pytest.raises(ConfigurationError, match="holds no model"):
            names("json")
    finally:
        for name in set(sys.modules) - before:
            if "found_app" in name or "one_model" in name:
                del sys.modules[name]


async def test_embedded(tmp_path):
    async with create_async_engine(f"embedded://{tmp_path}/data") as engine:
        await engine.execute("CREATE TABLE kept (id int)")
    with create_engine(f"embedded://{tmp_path}/data") as engine:
        assert engine.execute("SELECT count(*) FROM kept").scalar() == 0
        assert "embedded" in repr(engine)
