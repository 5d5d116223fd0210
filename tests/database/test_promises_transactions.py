"""Promises about transactions: when they begin, how a block ends, what commit and rollback mean for objects."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
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
    Insert,
    NotNullViolation,
    ObjectStateError,
    QueryCanceled,
    Select,
    Session,
    SessionClosedError,
    StaleObjectError,
    TransactionAbortedError,
    UncommittedChangesWarning,
    UniqueViolation,
    Update,
)

from .both import Both, Statements, only_async, only_sync
from .models import Item, Node, Order, Pet, Tag, User


def in_use(both: Both) -> int:
    return both.engine.pool.status().in_use


def ada(both: Both) -> None:
    both.sql("INSERT INTO users (id, name, status, data, labels) VALUES (1, 'Ada', 'new', '{\"a\": 1}', '{x,y}')")


# --- when a transaction begins ---------------------------------------------------------------------------------------


async def test_a_session_that_has_done_nothing_holds_no_connection(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        session.add(Tag(name="registered only"))
        assert in_use(both) == 0
        await session.rollback()
    assert statements == []


async def test_the_transaction_begins_with_the_first_statement(both: Both) -> None:
    async with both.session() as session:
        await asyncio.sleep(0)
        await session.exec("SELECT 1")
        assert in_use(both) == 1
        begun = await session.exec_scalar("SELECT transaction_timestamp() = statement_timestamp()")
        assert begun is False  # the second statement is in the transaction of the first


async def test_after_commit_the_connection_is_free_until_the_next_statement(both: Both) -> None:
    async with both.session() as session:
        session.add(Tag(name="x"))
        await session.commit()
        assert in_use(both) == 0
        await session.exec("SELECT 1")
        assert in_use(both) == 1


async def test_commit_without_work_sends_nothing(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        await session.commit()
        await session.rollback()
        await session.flush()
    assert statements == []


async def test_options_of_the_transaction(both: Both) -> None:
    async with both.session(isolation="SERIALIZABLE", read_only=True, deferrable=True) as session:
        for setting, value in [("isolation", "serializable"), ("read_only", "on"), ("deferrable", "on")]:
            assert await session.exec_scalar(f"SHOW transaction_{setting}") == value
        await session.rollback()
        assert await session.exec_scalar("SHOW transaction_isolation") == "serializable"


# --- leaving without commit ------------------------------------------------------------------------------------------


async def test_leaving_without_commit_rolls_back_and_names_what_was_pending(both: Both) -> None:
    ada(both)
    with pytest.warns(UncommittedChangesWarning) as caught:
        async with both.session() as session:
            user = await session.get(User, 1)
            user.name = "Changed"
            session.add(Tag(name="t"))
            session.add(Tag(name="u"))
    message = str(caught[0].message)
    assert "2 new Tag" in message
    assert "1 changed User" in message
    assert "commit" in message
    assert both.value("SELECT name FROM users") == "Ada"
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_leaving_without_commit_names_what_was_flushed(both: Both) -> None:
    with pytest.warns(UncommittedChangesWarning, match="flushed or executed"):
        async with both.session() as session:
            session.add(Tag(name="t"))
            await session.flush()
    with pytest.warns(UncommittedChangesWarning, match="flushed or executed"):
        async with both.session() as session:
            await session.exec("INSERT INTO tags (name) VALUES ('raw')")
    with pytest.warns(UncommittedChangesWarning, match="flushed or executed"):
        async with both.session() as session:
            await session.exec(Insert(Tag).Values(name="built"))
    with pytest.warns(UncommittedChangesWarning, match="flushed or executed"):
        async with both.session() as session:
            await session.bulk_insert([Tag(name="bulk")])
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_the_warning_points_at_the_program(both: Both) -> None:
    with pytest.warns(UncommittedChangesWarning) as caught:
        async with both.session() as session:
            session.add(Tag(name="t"))
    # A with block of the program itself; under `Awaited` its own is in between.
    assert caught[0].filename.endswith(("test_promises_transactions.py", "both.py"))


async def test_leaving_after_reading_or_commit_or_rollback_does_not_warn(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        assert user.data == {"a": 1}  # handed out, not changed
        await session.exec("SELECT 1")
        await session.exec("WITH a AS (SELECT 1) SELECT * FROM a")
    async with both.session() as session:
        session.add(Tag(name="t"))
        await session.commit()
    async with both.session() as session:
        session.add(Tag(name="u"))
        await session.flush()
        await session.rollback()


async def test_a_warning_made_an_error_leaves_no_connection_behind(both: Both) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UncommittedChangesWarning):
            async with both.session() as session:
                session.add(Tag(name="t"))
                await session.flush()
    assert session.closed
    assert in_use(both) == 0
    assert both.value("SELECT count(*) FROM tags") == 0


# --- an exception inside the block -----------------------------------------------------------------------------------


async def test_an_exception_is_not_masked_by_a_lost_connection(both: Both) -> None:
    with pytest.raises(ZeroDivisionError):
        async with both.session() as session:
            pid = await session.exec_scalar("SELECT pg_backend_pid()")
            both.sql("SELECT pg_terminate_backend(%s, 5000)", pid)
            raise ZeroDivisionError
    assert session.closed
    async with both.session() as session:
        assert await session.exec_scalar("SELECT pg_backend_pid()") != pid


async def test_a_server_error_that_leaves_the_block_is_the_original(both: Both) -> None:
    with pytest.raises(DatabaseError, match="no_such_table"):
        async with both.session() as session:
            session.add(Tag(name="t"))
            await session.flush()
            await session.exec("SELECT * FROM no_such_table")
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_a_connection_comes_back_clean(both: Both) -> None:
    with pytest.raises(ZeroDivisionError):
        async with both.session() as session:
            await session.exec("SET LOCAL statement_timeout = '9s'")
            await session.exec("CREATE TEMP TABLE leftover (id int) ON COMMIT DROP")
            raise ZeroDivisionError
    async with both.session() as session:
        assert await session.exec_scalar("SHOW statement_timeout") == "0"
        assert await session.exec_scalar("SELECT to_regclass('leftover')") is None


# --- auto_rollback=False ---------------------------------------------------------------------------------------------


async def leave_by_error(both: Both) -> Any:
    with pytest.raises(ZeroDivisionError):
        async with both.session(auto_rollback=False) as session:
            session.add(Tag(name="kept"))
            await session.flush()
            raise ZeroDivisionError
    return session


async def test_without_auto_rollback_the_caller_commits(both: Both) -> None:
    session = await leave_by_error(both)
    assert not session.closed
    await session.commit()
    await session.close()
    assert both.column("SELECT name FROM tags") == ["kept"]


async def test_without_auto_rollback_the_caller_rolls_back_or_closes(both: Both) -> None:
    session = await leave_by_error(both)
    await session.rollback()
    await session.close()
    session = await leave_by_error(both)
    await session.close()
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_without_auto_rollback_a_dropped_session_warns_and_rolls_back(both: Both) -> None:
    session = await leave_by_error(both)
    with pytest.warns(ResourceWarning, match="dropped with its transaction"):
        del session
        gc.collect()
    assert in_use(both) == 0
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_without_auto_rollback_a_block_without_error_ends_as_usual(both: Both) -> None:
    async with both.session(auto_rollback=False, auto_commit=True) as session:
        session.add(Tag(name="t"))
    assert session.closed
    assert both.column("SELECT name FROM tags") == ["t"]


# --- after commit ----------------------------------------------------------------------------------------------------


async def test_objects_stay_readable_after_commit_and_close(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        user = User(name="Ada", data={"a": [1]}, labels=["x"])
        user.orders.append(Order(total=Decimal("1.5")))
        session.add(user)
        await session.commit()
        statements.clear()
        assert (user.name, user.data, user.labels, user.visits) == ("Ada", {"a": [1]}, ["x"], 0)
    assert (user.name, user.data, user.labels, user.visits) == ("Ada", {"a": [1]}, ["x"], 0)
    assert [order.total for order in user.orders] == [Decimal("1.5")]
    assert user.orders[0].user is user
    assert statements == []


async def test_nothing_expires_at_commit(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        await session.commit()
        both.sql("UPDATE users SET name = 'Elsewhere'")
        statements.clear()
        assert user.name == "Ada"
        assert await session.get(User, 1) is user
        assert statements == []


async def test_loaded_objects_are_readable_after_close(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
    assert (user.id, user.name, user.data, user.labels) == (1, "Ada", {"a": 1}, ["x", "y"])


# --- after rollback --------------------------------------------------------------------------------------------------


async def test_after_rollback_attributes_have_their_old_values(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        user.name = "first"
        user.data["a"] = 2
        user.labels.append("z")
        await session.flush()
        user.name = "second"
        user.data["b"] = 3
        user.status = None
        await session.rollback()
        assert (user.name, user.status) == ("Ada", "new")
        assert (user.data, user.labels) == ({"a": 1}, ["x", "y"])
        user.data["c"] = 1  # and is watched as before
        await session.commit()
    assert both.value("SELECT data FROM users") == {"a": 1, "c": 1}
    assert both.value("SELECT labels FROM users") == ["x", "y"]


async def test_after_rollback_new_objects_are_transient_with_keys_cleared(both: Both) -> None:
    async with both.session() as session:
        user = User(name="Ada", data={"a": 1})
        order = Order(user=user, total=3)
        session.add(user)
        await session.flush()
        user.data["b"] = 2
        assert None not in (user.id, order.user_id, user.created_at)
        await session.rollback()
        assert user not in session
        assert user.id is None
        assert user.created_at is None
        assert order.id is None
        assert order.user_id is None
        assert order.user is user
        assert user.name == "Ada"
        session.add(user)  # the same objects may be added again
        await session.commit()
        assert order.user_id == user.id
    assert both.sql("SELECT user_id, total FROM orders") == [(user.id, 3)]


async def test_after_rollback_a_key_that_the_program_set_is_kept(both: Both) -> None:
    async with both.session() as session:
        user = User(id=7, name="Ada")
        session.add(user)
        await session.flush()
        await session.rollback()
        assert (user.id, user.name) == (7, "Ada")
        assert await session.get(User, 7) is None


async def test_after_rollback_deleted_objects_are_back(both: Both) -> None:
    ada(both)
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1), (2, 1)")
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.orders)).one()
        first, second = user.orders
        session.delete(first)
        await session.flush()
        assert user.orders == [second]
        await session.rollback()
        assert user.orders == [first, second]
        assert first in session
        assert await session.get(Order, 1) is first
        first.note = "still tracked"
        await session.commit()
    assert both.column("SELECT note FROM orders ORDER BY id") == ["still tracked", None]


async def test_after_rollback_cascaded_deletions_are_back(both: Both) -> None:
    ada(both)
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.orders)).one()
        (order,) = user.orders
        session.delete(user)
        await session.flush()
        await session.rollback()
        assert await session.get(Order, 1) is order
        order.note = "tracked"
        await session.commit()
    assert both.column("SELECT note FROM orders") == ["tracked"]


async def test_after_rollback_relations_are_as_before(both: Both) -> None:
    ada(both)
    both.sql("INSERT INTO users (id, name) VALUES (2, 'Bob')")
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1), (2, 1), (3, 2)")
    async with both.session() as session:
        one, two = await session.exec(Select(User).Include(User.orders).OrderBy(User.id)).all()
        moved = one.orders[0]
        moved.user = two
        two.orders.append(Order(total=9))
        assert [len(one.orders), len(two.orders)] == [1, 3]
        await session.flush()
        await session.rollback()
        assert [order.id for order in one.orders] == [1, 2]
        assert [order.id for order in two.orders] == [3]
        assert moved.user is one
        assert moved.user_id == 1


async def test_rollback_without_flush_restores_too(both: Both, statements: Statements) -> None:
    ada(both)
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.orders)).one()
        (order,) = user.orders
        user.name = "changed"
        user.orders.clear()
        session.delete(order)
        await session.rollback()
        assert user.name == "Ada"
        assert user.orders == [order]
        assert order.user is user
        statements.clear()
        await session.commit()
        assert statements.of("flush") == []


async def test_a_failed_flush_rolls_back_and_restores(both: Both) -> None:
    ada(both)
    both.sql("INSERT INTO tags (name) VALUES ('taken')")
    async with both.session() as session:
        user = await session.get(User, 1)
        user.name = "changed"
        new, twice = User(name="new"), Tag(name="taken")
        session.add_all([new, twice])
        with pytest.raises(UniqueViolation):
            await session.commit()
        assert user.name == "Ada"
        assert new.id is None
        assert twice not in session
        session.add(new)  # the session goes on
        await session.commit()
    assert both.column("SELECT name FROM users ORDER BY id") == ["Ada", "new"]


async def test_an_error_that_loses_earlier_work_must_be_acknowledged(both: Both) -> None:
    async with both.session() as session:
        session.add(User(name="earlier"))
        await session.flush()
        with pytest.raises(DatabaseError):
            await session.exec("SELECT 1/0")
        with pytest.raises(TransactionAbortedError, match="rollback"):
            await session.exec("SELECT 1")
        with pytest.raises(TransactionAbortedError, match="rollback"):
            await session.commit()
        await session.rollback()
        assert await session.exec_scalar("SELECT 1") == 1


async def test_an_error_that_loses_nothing_needs_no_rollback(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(DatabaseError):
            await session.exec("SELECT 1/0")
        assert await session.exec_scalar("SELECT 1") == 1


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
    ada(both)
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
    ada(both)
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
    ada(both)
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
        while both.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0:
            pass
        with pytest.raises(ConcurrentUseError) as caught:
            session.get(User, 1)
        with pytest.raises(ConcurrentUseError):
            session.add(User(name="x"))
        holder.close()
        thread.join(10)
        assert not thread.is_alive()
    message = str(caught.value)
    assert message.count("test_promises_transactions.py") == 2, "both call sites are named"


@only_async
async def test_two_tasks_in_one_session_are_refused(both: Both) -> None:
    async with AsyncSession(both.engine) as session, AsyncSession(both.engine) as holder:
        await holder.exec("SELECT pg_advisory_xact_lock(78)")
        waiting = asyncio.create_task(_lock(session))
        while both.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0:
            await asyncio.sleep(0)
        with pytest.raises(ConcurrentUseError) as caught:
            await session.get(User, 1)
        await holder.rollback()
        await waiting
    assert str(caught.value).count("test_promises_transactions.py") == 2


async def _lock(session: AsyncSession) -> None:
    await session.exec("SELECT pg_advisory_xact_lock(78)")


async def test_an_object_belongs_to_one_session(both: Both) -> None:
    ada(both)
    async with both.session() as one, both.session() as other:
        user = await one.get(User, 1)
        with pytest.raises(ObjectStateError, match="another session"):
            other.add(user)
        with pytest.raises(ObjectStateError, match="another session"):
            other.delete(user)


# --- cancellation ----------------------------------------------------------------------------------------------------


@only_async
async def test_a_cancelled_statement_throws_the_connection_away(both: Both) -> None:
    ada(both)
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
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        await session.exec(Update(User).Set(name="set").Where(User.id == 1))
        assert user.name == "Ada"
        await session.exec(Select(User)).all()
        assert user.name == "set"
        await session.rollback()
