"""A session that only reads has no transaction on the server; it begins with what is more than a read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from psqlmodel import AsyncEngine, Func, Select, create_async_engine, create_engine
from psqlmodel.errors import DatabaseError

from .both import Both, Statements
from .models import Order, Tag, User

Read = Callable[[Any], Awaitable[Any]]

IN_TRANSACTION = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start IS NOT NULL"""


def open_transactions(both: Both) -> int:
    count: int = both.value(IN_TRANSACTION) - 1  # the question itself
    return count


async def get(session: Any) -> None:
    assert (await session.get(User, 1)).name == "Ada"


async def include(session: Any) -> None:
    users = await session.exec(Select(User).Where(User.id.In([1, 2])).Include(User.orders.Limit(2))).all()
    assert [len(user.orders) for user in users] == [1]


async def lock(session: Any) -> None:
    _ = await session.get(User, 1, lock="share")


async def call(session: Any) -> None:
    _ = await session.exec(Select(Func.pg_backend_pid())).all()


async def raw(session: Any) -> None:
    _ = await session.exec("SELECT 1")


async def write(session: Any) -> None:
    session.add(Tag(name="t"))
    await session.flush()


@pytest.fixture(autouse=True)
def ada(both: Both) -> None:
    both.sql("INSERT INTO users (id, name, age) VALUES (1, 'Ada', 5)")
    both.sql("INSERT INTO orders (user_id) VALUES (1)")


@pytest.mark.parametrize("read", [get, include])
async def test_reads_leave_no_transaction(both: Both, read: Read) -> None:
    async with both.session() as session:
        await read(session)  # with its first connection the engine learns the default isolation
    async with both.session() as session:
        await read(session)
        assert open_transactions(both) == 0
        await session.commit()
        await read(session)
        await session.rollback()


@pytest.mark.parametrize("more", [lock, call, raw, write])
async def test_a_transaction_begins_with_what_is_more_than_a_read(both: Both, more: Read) -> None:
    async with both.session() as session:
        await get(session)
        await more(session)
        assert open_transactions(both) == 1
        await get(session)
        await session.rollback()
        assert open_transactions(both) == 0


@pytest.mark.parametrize("options", [{"isolation": "READ COMMITTED"}, {"read_only": True}, {"lock_timeout": 1}])
async def test_a_transaction_that_is_asked_for_begins_at_once(both: Both, options: dict[str, Any]) -> None:
    async with both.session(**options) as session:
        await get(session)
        assert open_transactions(both) == 1


async def test_another_default_of_the_database_is_respected(both: Both, shop_dsn: str) -> None:
    make: Any = create_engine if both.is_sync else create_async_engine
    strict = Both(both.kind, make(shop_dsn, settings={"default_transaction_isolation": "repeatable read"}), both._sql)
    async with strict.session() as session:
        await get(session)  # the first statement of the engine: it does not know yet
    async with strict.session() as session:
        await get(session)
        both.sql("UPDATE users SET name = 'Eve'")
        assert await session.exec_scalar(Select(User.name).Where(User.id == 1)) == "Ada"
    closing: Any = strict.engine.dispose()
    if isinstance(strict.engine, AsyncEngine):
        await closing


async def test_an_error_of_a_read_loses_nothing(both: Both) -> None:
    async with both.session() as session:
        tag = Tag(name="pending")
        session.add(tag)
        user = await session.get(User, 1)
        user.name = "Eve"
        with pytest.raises(DatabaseError), session.no_autoflush():
            await session.exec(Select(User.age / 0)).all()
        assert tag in session
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["pending"]
    assert both.column("SELECT name FROM users") == ["Eve"]


async def test_a_read_that_meets_a_dead_connection_is_sent_on_another(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        pid = await session.exec_scalar("SELECT pg_backend_pid()")
        await session.commit()
        await get(session)
        statements.clear()
        both.sql("SELECT pg_terminate_backend(%s, 5000)", pid)
        assert [user.name for user in await session.exec(Select(User)).all()] == ["Ada"]
        assert 1 <= len(statements) <= 2  # asyncpg may have heard of it before
        assert len(await session.exec(Select(Order)).all()) == 1


async def test_events_come_as_if_there_was_a_transaction(both: Both, statements: Statements) -> None:
    heard: list[str] = []
    async with both.session() as session:
        _ = session.on("after_commit", lambda _: heard.append("commit"))
        _ = session.on("after_rollback", lambda _: heard.append("rollback"))
        await session.commit()
        await session.rollback()
        assert heard == []
        await get(session)
        await session.commit()
        await session.exec(Select(User)).all()
        await session.rollback()
        assert heard == ["commit", "rollback"]
    assert statements.of("transaction") == []
