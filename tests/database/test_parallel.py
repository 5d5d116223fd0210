"""Parallel execution on both sessions: what a task may be, errors, connections, and what the objects are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from psqlmodel import (
    AsyncEngine,
    AsyncSession,
    NotLoadedError,
    ParallelError,
    QueryError,
    ReadOnlyTransaction,
    Select,
    Session,
    SessionClosedError,
    SessionError,
    SessionManager,
    create_async_engine,
    create_engine,
)

from .both import Both
from .models import Order, Tag, User


@pytest.fixture(autouse=True)
def _rows(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 10), (2, 1, 20)")


async def test_no_tasks(both: Both) -> None:
    async with both.session() as session:
        assert await session.parallel_exec([]) == []


async def test_objects_are_detached_and_readable(both: Both) -> None:
    async with both.session() as session:
        mine = await session.get(User, 1)
        (theirs,) = (await session.parallel_exec([Select(User).Where(User.id == 1).Include(User.orders)]))[0]
        assert theirs is not mine
        assert theirs not in session
        assert [order.total for order in theirs.orders] == [10, 20]
        with pytest.raises(NotLoadedError):
            _ = theirs.profile
        theirs.name = "changed"
        other = await session.exec(Select(User.name).Where(User.id == 1)).scalar()
        assert other == "Ada"


async def test_the_first_error_names_its_task_and_the_session_goes_on(both: Both) -> None:
    async with both.session() as session:
        tag = Tag(name="t")
        session.add(tag)
        await session.flush()
        with pytest.raises(
            ParallelError, match="task 1 of parallel_exec failed: DataError: division by zero"
        ) as caught:
            await session.parallel_exec([Select(User), "SELECT 1 / 0", Select(Order)])
        assert caught.value.task == 1
        assert type(caught.value.__cause__).__name__ == "DataError"
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["t"]


async def test_queries_run_read_only(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(ParallelError) as caught:
            await session.parallel_exec(["INSERT INTO tags (name) VALUES ('x')"])
        assert isinstance(caught.value.__cause__, ReadOnlyTransaction)
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_more_tasks_than_connections(both: Both) -> None:
    async with both.session() as session:
        await session.exec("SELECT 1")
        found = await session.parallel_exec([f"SELECT {n}" for n in range(40)])
    assert [rows[0][0] for rows in found] == list(range(40))


async def test_max_workers(both: Both) -> None:
    async with both.session() as session:
        pids = await session.parallel_exec(["SELECT pg_backend_pid()"] * 5, max_workers=1)
        assert len({rows[0][0] for rows in pids}) == 1
        with pytest.raises(SessionError, match="max_workers must be at least 1"):
            await session.parallel_exec(["SELECT 1"], max_workers=0)


@pytest.mark.parametrize("tasks", ["SELECT 1", Select(User), 5, [5], [[1]], [("SELECT 1",)], [None]])
async def test_what_is_no_task_is_refused(both: Both, tasks: Any) -> None:
    async with both.session() as session:
        with pytest.raises(QueryError, match="parallel_exec"):
            await session.parallel_exec(tasks)


async def test_a_closed_session_is_refused(both: Both) -> None:
    session = both.session()
    await session.close()
    with pytest.raises(SessionClosedError):
        await session.parallel_exec([Select(User)])


async def test_a_pool_of_one_connection_says_so(both: Both, shop_dsn: str) -> None:
    if both.is_sync:
        with create_engine(shop_dsn, pool_size=1, max_pool_size=1) as engine, Session(engine) as session:
            session.exec("SELECT 1")
            with pytest.raises(SessionError, match="max_pool_size"):
                session.parallel_exec([Select(User)])
            session.rollback()
            assert len(session.parallel_exec([Select(User), Select(Order)])) == 2
        return
    async with create_async_engine(shop_dsn, pool_size=1, max_pool_size=1) as engine:
        async with AsyncSession(engine) as session:
            await session.exec("SELECT 1")
            with pytest.raises(SessionError, match="max_pool_size"):
                await session.parallel_exec([Select(User)])
            await session.rollback()
            assert len(await session.parallel_exec([Select(User), Select(Order)])) == 2


async def test_functions_have_a_session_of_their_own(both: Both) -> None:
    async with both.session() as session:
        if both.is_sync:

            def write(name: str) -> Callable[[], Any]:
                def task() -> Any:
                    own = SessionManager.require_current()
                    assert own is not session.raw
                    own.add(Tag(name=name))
                    own.commit()
                    return own

                return task

        else:

            def write(name: str) -> Callable[[], Any]:
                async def task() -> Any:
                    own = SessionManager.require_current_async()
                    assert own is not session
                    own.add(Tag(name=name))
                    await own.commit()
                    return own

                return task

        one, two = await session.parallel_exec([write("a"), write("b")])
        assert one is not two
        assert one.closed
        assert two.closed
    assert both.column("SELECT name FROM tags ORDER BY name") == ["a", "b"]


async def test_threads_of_a_failed_call_have_ended(both: Both) -> None:
    if not both.is_sync:
        return
    begun, ended = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        SessionManager.require_current().exec("SELECT pg_sleep(0.2)")
        ended.set()

    def failing() -> None:
        begun.wait(60)
        raise LookupError("mine")

    with Session(both.engine) as session:  # type: ignore[arg-type]
        with pytest.raises(ParallelError, match=r"task 1 .*LookupError: mine"):
            session.parallel_exec([slow, failing])
    assert ended.is_set()


async def test_tasks_of_a_failed_call_are_cancelled(both: Both) -> None:
    if both.is_sync:
        return
    cancelled = asyncio.Event()

    async def slow() -> None:
        try:
            await SessionManager.require_current_async().exec("SELECT pg_sleep(60)")
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with AsyncSession(both.engine) as session:  # type: ignore[arg-type]
        with pytest.raises(ParallelError, match="task 1 "):
            await session.parallel_exec([slow, "SELECT 1 / 0"])
    assert cancelled.is_set()


async def test_cancelling_the_caller_ends_the_tasks(both: Both) -> None:
    if both.is_sync:
        return
    async with AsyncSession(both.engine) as session:  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await session.parallel_exec(["SELECT pg_sleep(60)", "SELECT pg_sleep(60)"])
        assert await session.exec_scalar("SELECT 1") == 1
    assert both.engine.pool.status().in_use == 0


async def test_awaitables_of_queries_run_elsewhere(both: Both) -> None:
    if not isinstance(both.engine, AsyncEngine):
        return
    async with AsyncSession(both.engine) as session:
        own = await session.exec_scalar("SELECT pg_backend_pid()")
        users, first, pid, count, result = await session.parallel_exec(
            [
                Select(User).OrderBy(User.id).all(),
                Select(User).OrderBy(User.id).first(),
                session.exec_scalar("SELECT pg_backend_pid()"),
                session.exec_one("SELECT count(*) AS n FROM users WHERE id = %s", [1]),
                session.exec(Select(Order)),
            ]
        )
        assert [user.name for user in users] == ["Ada", "Bob"]
        assert first.name == "Ada"
        assert pid != own
        assert count.n == 1
        assert len(result) == 2


async def test_a_list_among_the_tasks_says_what_happened(both: Both) -> None:
    if not both.is_sync:
        return
    with Session(both.engine) as session:  # type: ignore[arg-type]
        with pytest.raises(QueryError, match="it has been executed already: pass the query itself"):
            session.parallel_exec([Select(User).all()])
