"""Promises about transactions: when they begin, how a block ends, what commit and rollback mean for objects."""

from __future__ import annotations

import asyncio
import gc
import warnings
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    DatabaseError,
    Insert,
    Select,
    TransactionAbortedError,
    UncommittedChangesWarning,
    UniqueViolation,
)

from .both import Both, Statements
from .models import Order, Tag, User
from .rows import ada, in_use

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
    ada(both, '{"a": 1}')
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
    ada(both, '{"a": 1}')
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
    ada(both, '{"a": 1}')
    async with both.session() as session:
        user = await session.get(User, 1)
        await session.commit()
        both.sql("UPDATE users SET name = 'Elsewhere'")
        statements.clear()
        assert user.name == "Ada"
        assert await session.get(User, 1) is user
        assert statements == []


async def test_loaded_objects_are_readable_after_close(both: Both) -> None:
    ada(both, '{"a": 1}')
    async with both.session() as session:
        user = await session.get(User, 1)
    assert (user.id, user.name, user.data, user.labels) == (1, "Ada", {"a": 1}, ["x", "y"])


# --- after rollback --------------------------------------------------------------------------------------------------


async def test_after_rollback_attributes_have_their_old_values(both: Both) -> None:
    ada(both, '{"a": 1}')
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
    ada(both, '{"a": 1}')
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
    ada(both, '{"a": 1}')
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
    ada(both, '{"a": 1}')
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
    ada(both, '{"a": 1}')
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
    ada(both, '{"a": 1}')
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
