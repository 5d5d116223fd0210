"""Promises about failures: errors, rows that are gone, use by two threads or tasks, cancellation, closing."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    AsyncSession,
    CheckViolation,
    ConcurrentUseError,
    ConnectionLost,
    DatabaseError,
    ForeignKeyViolation,
    NotNullViolation,
    ObjectStateError,
    QueryCanceled,
    Select,
    Session,
    SessionClosedError,
    StaleObjectError,
    TransactionAbortedError,
    UniqueViolation,
    Update,
)

from .both import Both, only_async, only_sync
from .models import Item, Node, Pet, Tag, User
from .rows import ada, in_use

# --- errors ----------------------------------------------------------------------------------------------------------


async def fails(both: Both, obj: Any, kind: type[DatabaseError]) -> DatabaseError:
    async with both.session() as session:
        session.add(obj)
        with pytest.raises(kind) as caught:
            await session.commit()
    error = caught.value
    assert type(error) is kind
    assert error.object is obj
    assert error.model is type(obj)
    assert error.__cause__ is not None
    assert error.statement is not None
    assert error.statement.startswith("INSERT")
    return error


async def test_errors_say_what_and_on_which_object(both: Both) -> None:
    both.sql("INSERT INTO tags (name) VALUES ('secret name')")
    error = await fails(both, Tag(name="secret name"), UniqueViolation)
    assert (error.sqlstate, error.constraint, error.columns) == ("23505", "uq_tags_name", ("name",))
    assert error.value == "secret name"
    assert "secret name" not in str(error)
    error = await fails(both, Pet(name="Rex", owner_id=99), ForeignKeyViolation)
    assert (error.sqlstate, error.columns, error.value) == ("23503", ("owner_id",), 99)
    error = await fails(both, User(name=None), NotNullViolation)
    assert (error.sqlstate, error.columns, error.table) == ("23502", ("name",), "users")


async def test_a_check_violation_names_its_constraint(both: Both) -> None:
    ada(both, '{"a": 1}')
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    error = await fails(both, Item(order_id=1, name="x", price=Decimal(-5)), CheckViolation)
    assert error.sqlstate == "23514"
    assert error.constraint is not None
    assert "price" in error.constraint


@pytest.mark.parametrize("bad", [0, 3, 6])
async def test_the_object_at_fault_among_many(both: Both, bad: int) -> None:
    both.sql("INSERT INTO tags (name) VALUES ('t-taken')")
    tags = [Tag(name=f"t{n}") for n in range(7)]
    tags[bad].name = "t-taken"
    async with both.session() as session:
        session.add_all(tags)
        with pytest.raises(UniqueViolation) as caught:
            await session.flush()
    assert caught.value.object is tags[bad]


async def test_no_value_and_no_password_in_the_text_of_an_error(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(DatabaseError) as caught:
            await session.exec("SELECT %s::int", ["hunter2"])
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in (caught.value.statement or "")


async def test_a_cancelled_query(both: Both) -> None:
    async with both.session() as session:
        await session.exec("SET LOCAL statement_timeout = '20ms'")
        with pytest.raises(QueryCanceled):
            await session.exec("SELECT pg_sleep(10)")
        await session.rollback()
        assert await session.exec_scalar("SELECT 1") == 1


async def test_a_lost_connection(both: Both) -> None:
    ada(both, '{"a": 1}')
    async with both.session() as session:
        user = await session.get(User, 1)
        user.name = "changed"
        await session.flush()
        pid = await session.exec_scalar("SELECT pg_backend_pid()")
        both.sql("SELECT pg_terminate_backend(%s, 5000)", pid)
        with pytest.raises(ConnectionLost):
            await session.exec("SELECT 1")
        assert user.name == "Ada"
        await session.rollback()
        assert await session.exec_scalar("SELECT 1") == 1
    assert both.value("SELECT name FROM users") == "Ada"


# --- rows that are not there -----------------------------------------------------------------------------------------


async def test_an_update_that_hits_no_row_is_an_error(both: Both) -> None:
    ada(both, '{"a": 1}')
    async with both.session() as session:
        user = await session.get(User, 1)
        both.sql("DELETE FROM users")
        user.name = "changed"
        with pytest.raises(StaleObjectError, match=r"User 1") as caught:
            await session.commit()
        assert caught.value.objects == (user,)


async def test_a_batch_update_names_the_rows_that_are_gone(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) SELECT n, 'u' FROM generate_series(1, 20) n")
    async with both.session() as session:
        users = await session.exec(Select(User).OrderBy(User.id)).all()
        both.sql("DELETE FROM users WHERE id IN (3, 17)")
        for user in users:
            user.name = "changed"
        with pytest.raises(StaleObjectError, match="2 of 20") as caught:
            await session.commit()
        assert {user.id for user in caught.value.objects} == {3, 17}
        assert users[0].name == "u"  # rolled back: the objects follow
    assert both.column("SELECT DISTINCT name FROM users") == ["u"]


@pytest.mark.parametrize("count", [1, 5])
async def test_a_delete_that_hits_no_row_is_an_error(both: Both, count: int) -> None:
    both.sql("INSERT INTO users (id, name) SELECT n, 'u' FROM generate_series(1, %s) n", count)
    async with both.session() as session:
        users = await session.exec(Select(User)).all()
        both.sql("DELETE FROM users WHERE id = 1")
        for user in users:
            session.delete(user)
        with pytest.raises(StaleObjectError, match="DELETE"):
            await session.commit()
        assert all(user in session for user in users)
    assert both.value("SELECT count(*) FROM users") == count - 1


# --- one session, two threads or tasks -------------------------------------------------------------------------------


@only_sync
async def test_two_threads_in_one_session_are_refused(both: Both) -> None:
    with Session(both.engine) as session, both.engine.transaction() as holder:
        holder.execute("SELECT pg_advisory_xact_lock(77)")
        thread = threading.Thread(target=lambda: session.exec("SELECT pg_advisory_xact_lock(77)"))
        thread.start()
        while both.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 0:
            pass
        with pytest.raises(ConcurrentUseError) as caught:
            session.get(User, 1)
        with pytest.raises(ConcurrentUseError):
            session.add(User(name="x"))
        holder.close()
        thread.join(60)
        assert not thread.is_alive()
    message = str(caught.value)
    assert message.count("test_promises_failures.py") == 2, "both call sites are named"


@only_async
async def test_two_tasks_in_one_session_are_refused(both: Both) -> None:
    async with AsyncSession(both.engine) as session, AsyncSession(both.engine) as holder:
        await holder.exec("SELECT pg_advisory_xact_lock(78)")
        waiting = asyncio.create_task(_lock(session))
        while both.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 0:
            await asyncio.sleep(0)
        with pytest.raises(ConcurrentUseError) as caught:
            await session.get(User, 1)
        await holder.rollback()
        await waiting
    assert str(caught.value).count("test_promises_failures.py") == 2


@only_async
async def test_methods_that_are_tasks_are_named_themselves(both: Both) -> None:
    """Nothing in the program calls them: only the event loop does."""
    async with AsyncSession(both.engine) as session:
        first, second = await asyncio.gather(session.get(User, 1), session.get(User, 2), return_exceptions=True)
    assert not isinstance(first, BaseException)
    assert str(second).count("AsyncSession.get(…) as a task of its own") == 2


@only_sync
async def test_methods_that_are_jobs_of_threads_are_named_themselves(both: Both) -> None:
    with Session(both.engine) as session, both.engine.transaction() as holder, ThreadPoolExecutor(1) as threads:
        holder.execute("SELECT pg_advisory_xact_lock(79)")
        waiting = threads.submit(session.exec, "SELECT pg_advisory_xact_lock(79)")
        while both.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 0:
            pass
        with pytest.raises(ConcurrentUseError, match=r"while Session\.exec\(…\) as a task of its own goes on"):
            session.get(User, 1)
        holder.close()
        waiting.result(30)


async def _lock(session: AsyncSession) -> None:
    await session.exec("SELECT pg_advisory_xact_lock(78)")


async def test_an_object_belongs_to_one_session(both: Both) -> None:
    ada(both, '{"a": 1}')
    async with both.session() as one, both.session() as other:
        user = await one.get(User, 1)
        with pytest.raises(ObjectStateError, match="another session"):
            other.add(user)
        with pytest.raises(ObjectStateError, match="another session"):
            other.delete(user)


# --- cancellation ----------------------------------------------------------------------------------------------------


@only_async
async def test_a_cancelled_statement_throws_the_connection_away(both: Both) -> None:
    ada(both, '{"a": 1}')
    async with AsyncSession(both.engine) as session:
        user = await session.get(User, 1)
        user.name = "changed"
        await session.flush()
        pid = await session.exec_scalar("SELECT pg_backend_pid()")
        task = asyncio.create_task(_sleep(session))
        while both.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'") == 0:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert in_use(both) == 0
        assert user.name == "Ada"
        with pytest.raises(TransactionAbortedError, match=r"an earlier error \(CancelledError\), and its"):
            await session.get(User, 2)
        await session.rollback()
        assert await session.exec_scalar("SELECT pg_backend_pid()") != pid
    assert both.value("SELECT name FROM users") == "Ada"


async def _sleep(session: AsyncSession) -> None:
    await session.exec("SELECT pg_sleep(60)")


@only_async
async def test_cancellation_at_any_await_leaves_nothing_in_doubt(both: Both) -> None:
    """A unit of work is cancelled after n turns of the loop, for each n until it ends before the cancellation."""

    async def work(name: str) -> None:
        async with AsyncSession(both.engine) as session:
            node = Node(name=name)
            node.children.append(Node(name=name))
            session.add(node)
            await session.commit()

    completed = 0
    for turns in range(200):
        task = asyncio.create_task(work(f"n{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        assert outcome is None or isinstance(outcome, asyncio.CancelledError)
        assert in_use(both) == 0
        completed += outcome is None
        if completed > 3:
            break
    rows = both.sql("SELECT name, count(*) FROM nodes GROUP BY name")
    assert all(row[1] == 2 for row in rows)  # all of a unit of work, or nothing


# --- closing ---------------------------------------------------------------------------------------------------------


async def test_close_without_a_block(both: Both) -> None:
    session = both.session()
    session.add(Tag(name="t"))
    await session.flush()
    await session.close()
    await session.close()  # twice does no harm
    assert session.closed
    with pytest.raises(SessionClosedError):
        await session.commit()
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_a_builder_update_does_not_touch_objects_until_their_rows_come(both: Both) -> None:
    ada(both, '{"a": 1}')
    async with both.session() as session:
        user = await session.get(User, 1)
        await session.exec(Update(User).Set(name="set").Where(User.id == 1))
        assert user.name == "Ada"
        await session.exec(Select(User)).all()
        assert user.name == "set"
        await session.rollback()
