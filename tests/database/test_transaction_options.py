"""Options of a session's transactions: settings, role, timeouts; and that none of them survives on the connection."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from psqlmodel import (
    ConfigurationError,
    ConnectionLost,
    DatabaseError,
    LockNotAvailable,
    QueryCanceled,
    Select,
    SerializationFailure,
    SessionError,
    TransactionAbortedError,
)

from .both import Both, Statements
from .models import Tag, User

SHOW = (
    "SELECT current_setting('app.tenant', true) AS tenant, current_user AS me, current_setting('lock_timeout') AS wait"
)


@pytest.fixture(autouse=True)
def _a_role(both: Both) -> Any:
    """A role that may read users and nothing else."""
    both.sql("DROP ROLE IF EXISTS reader")
    both.sql("CREATE ROLE reader")
    both.sql("GRANT SELECT ON users TO reader")
    yield
    both.sql("DROP OWNED BY reader")
    both.sql("DROP ROLE reader")


async def test_settings_and_role_count_in_each_transaction(both: Both, statements: Statements) -> None:
    async with both.session(settings={"app.tenant": 7}, role="reader", lock_timeout=1.5) as session:
        for _ in range(2):
            row = await session.exec(SHOW).one()
            assert (row.tenant, row.me, row.wait) == ("7", "reader", "1500ms")
            await session.rollback()
    assert len(statements.of("transaction")) == 4  # one statement with each BEGIN, one ROLLBACK


async def test_values_are_no_sql_text(both: Both, statements: Statements) -> None:
    value = "'); DROP TABLE users; --"
    async with both.session(settings={"app.tenant": value}) as session:
        assert await session.exec_scalar("SELECT current_setting('app.tenant')") == value
    assert all("DROP" not in event.text for event in statements)


async def test_nothing_survives_on_the_connection(both: Both) -> None:
    async with both.session(settings={"app.tenant": 7}, role="reader", lock_timeout=1, idle_timeout=5) as session:
        pid = await session.exec_scalar("SELECT pg_backend_pid()")
        await session.commit()
    async with both.session(settings={"app.tenant": 8}, role="reader") as session:
        with pytest.raises(DatabaseError):
            await session.exec("SELECT 1 / 0")
        await session.rollback()
    async with both.session() as session:
        assert await session.exec_scalar("SELECT pg_backend_pid()") == pid
        row = await session.exec(SHOW).one()
        assert row.tenant in (None, "")  # a setting that was once there is empty, not gone: PostgreSQL's way
        assert row.me != "reader"
        assert row.wait == "0"
        assert await session.exec_scalar("SHOW idle_in_transaction_session_timeout") == "0"


async def test_the_role_may_only_what_it_may(both: Both) -> None:
    async with both.session(role="reader") as session:
        session.add(Tag(name="new"))
        with pytest.raises(DatabaseError) as caught:
            await session.commit()
        assert caught.value.sqlstate == "42501"
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_settings_are_changed_between_transactions(both: Both) -> None:
    async with both.session(settings={"app.tenant": 1, "app.on": True}, lock_timeout=2) as session:
        assert dict(session.settings) == {"app.tenant": 1, "app.on": True}
        session.settings = {"app.tenant": UUID(int=5)}
        row = await session.exec(SHOW).one()
        assert (row.tenant, row.wait) == ("00000000-0000-0000-0000-000000000005", "2s")
        with pytest.raises(SessionError, match="beginning of a transaction"):
            session.settings = {"app.tenant": 2}
        with pytest.raises(TypeError):
            session.settings["app.tenant"] = 3
        await session.rollback()
        session.settings = {}
        assert (await session.exec(SHOW).one()).tenant in (None, "")


async def test_statement_timeout(both: Both) -> None:
    async with both.session(statement_timeout=0.05) as session:
        with pytest.raises(QueryCanceled):
            await session.exec("SELECT pg_sleep(10)")


async def test_lock_timeout(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    async with both.session() as holder, both.session(lock_timeout=0.05) as waiter:
        await holder.get(User, 1, lock="update")
        with pytest.raises(LockNotAvailable):
            await waiter.get(User, 1, lock="update")
        await holder.rollback()


async def test_idle_timeout(both: Both) -> None:
    async with both.session(idle_timeout=0.5) as session:
        pid = await session.exec_scalar("SELECT pg_backend_pid()")
        both.sql(
            f"""DO $$ BEGIN FOR i IN 1..2000 LOOP PERFORM pg_stat_clear_snapshot();
            IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid}) THEN RETURN; END IF;
            PERFORM pg_sleep(0.005); END LOOP; RAISE EXCEPTION 'it never ended'; END $$"""
        )
        with pytest.raises(ConnectionLost):
            await session.exec("SELECT 1")


async def test_a_role_that_does_not_exist(both: Both) -> None:
    async with both.session(role="nobody at all") as session:
        with pytest.raises(DatabaseError):
            await session.exec("SELECT 1")


async def test_isolation_with_settings(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    async with both.session(isolation="REPEATABLE READ", settings={"app.tenant": 1}) as session:
        user = await session.get(User, 1)
        assert await session.exec_scalar("SHOW transaction_isolation") == "repeatable read"
        both.sql("UPDATE users SET age = 3")
        user.age = 4
        with pytest.raises(SerializationFailure):
            await session.commit()


@pytest.mark.parametrize(
    "options",
    [
        {"settings": ["a"]},
        {"settings": {"": 1}},
        {"settings": {1: 1}},
        {"settings": {"a.b": None}},
        {"settings": {"a.b": [1]}},
        {"settings": {"role": "reader"}},
        {"role": ""},
        {"role": 1},
        {"lock_timeout": 0},
        {"lock_timeout": -1},
        {"statement_timeout": "5s"},
        {"idle_timeout": True},
        {"isolation": "CHAOS"},
    ],
)
async def test_options_that_are_not_usable(both: Both, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        both.session(**options)


async def test_a_lost_lock_is_not_forgotten(both: Both) -> None:
    """An error ends the transaction, and the lock with it: going on as if it were held would lose updates."""
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    async with both.session() as session:
        await session.get(User, 1, lock="update")
        with pytest.raises(DatabaseError):
            await session.exec("SELECT 1 / 0")
        with pytest.raises(TransactionAbortedError):
            await session.get(User, 1, lock="update")
        await session.rollback()
        assert await session.get(User, 1, lock="update") is not None


@pytest.mark.parametrize("autoflush", [True, False])
async def test_pending_changes_are_not_lost_silently(both: Both, autoflush: bool) -> None:
    """An error of a query that has nothing to do with them undoes them too: the session says so before it goes on."""
    async with both.session(autoflush=autoflush) as session:
        both.sql("INSERT INTO users (id, name, age) VALUES (1, 'Ada', 5)")
        tag = Tag(name="pending")
        session.add(tag)
        with pytest.raises(DatabaseError):
            failing = Select(User.age / 0).Where(User.id == 1).ForUpdate()
            await session.exec(failing if autoflush else "SELECT 1 / 0").all()
        assert tag not in session
        with pytest.raises(TransactionAbortedError):
            await session.commit()
        await session.rollback()
        session.add(tag)
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["pending"]
