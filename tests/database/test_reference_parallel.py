"""The session reference, sections 5 and 6: parallel execution and Include."""

from __future__ import annotations

import ast
import asyncio
import inspect
import textwrap
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    AsyncSession,
    Select,
    Session,
    UniqueViolation,
)

from .both import Both, Statements, only_async, only_sync
from .models import Order, Profile, Tag, User
from .rows import two_users


async def run_snippet(text: str, both: Both, **names: Any) -> dict[str, Any]:
    """Run the text of a snippet as it stands, with what its surroundings have, and return its names."""
    namespace = {"engine": both.engine, "User": User, "Order": Order, "Select": Select, **names}
    code = compile(textwrap.dedent(text), "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, namespace)
    if inspect.iscoroutine(running):
        await running
    return namespace


# --- 5. parallel execution -------------------------------------------------------------------------------------------


@only_async
async def test_5_snippet(both: Both) -> None:
    two_users(both)
    async with AsyncSession(both.engine) as session:
        names = await run_snippet(
            """
            # Async Example
            users, orders = await session.parallel_exec([
                Select(User).all(),
                Select(Order).all()
            ])
            """,
            both,
            session=session,
        )
    assert sorted(user.name for user in names["users"]) == ["Ada", "Bob"]
    assert sorted(order.total for order in names["orders"]) == [10, 20, 30]


async def test_5_results_in_order_and_outside_the_transaction(both: Both) -> None:
    two_users(both)
    async with both.session() as session:
        session.add(User(name="Not committed"))
        await session.flush()
        own = await session.exec_scalar("SELECT pg_backend_pid()")
        users, orders, raw, pids = await session.parallel_exec(
            [
                Select(User).OrderBy(User.id),
                Select(Order).OrderBy(Order.id).Include(Order.user),
                ("SELECT name FROM users WHERE id = %s", [2]),
                "SELECT pg_backend_pid()",
            ]
        )
        assert [user.name for user in users] == ["Ada", "Bob"]
        assert [order.user.name for order in orders] == ["Ada", "Ada", "Bob"]
        assert [row.name for row in raw] == ["Bob"]
        assert pids[0][0] != own
        await session.rollback()


@only_sync
async def test_5_sync_uses_threads(both: Both) -> None:
    import threading

    here = threading.get_ident()
    meet = threading.Barrier(3, timeout=60)  # none gets on unless all three run at the same time

    def task() -> int:
        meet.wait()
        return threading.get_ident()

    with Session(both.engine) as session:
        threads = session.parallel_exec([task] * 3)
    assert len(set(threads)) == 3
    assert here not in threads


@only_async
async def test_5_async_uses_tasks(both: Both) -> None:
    meet = asyncio.Barrier(3)

    async def task() -> int:
        async with asyncio.timeout(10):
            return await meet.wait()

    async with AsyncSession(both.engine) as session:
        assert sorted(await session.parallel_exec([task] * 3)) == [0, 1, 2]


# --- 6. Include ------------------------------------------------------------------------------------------------------


@only_sync
async def test_6_sync_snippet(both: Both) -> None:
    two_users(both)
    with Session(both.engine) as session:
        names = await run_snippet(
            """
            # Sync
            users = session.exec(
                Select(User).Include(User.orders)
            ).all()
            """,
            both,
            session=session,
        )
        assert sorted((u.name, len(u.orders)) for u in names["users"]) == [("Ada", 2), ("Bob", 1)]


@only_async
async def test_6_async_snippet(both: Both) -> None:
    two_users(both)
    async with AsyncSession(both.engine) as session:
        names = await run_snippet(
            """
            # Async
            users = await session.exec(
                Select(User).Include(User.orders)
            ).all()
            """,
            both,
            session=session,
        )
        assert sorted((u.name, len(u.orders)) for u in names["users"]) == [("Ada", 2), ("Bob", 1)]


@pytest.mark.parametrize("rows", [1, 600])
async def test_6_one_query_for_each_included_relation(both: Both, statements: Statements, rows: int) -> None:
    """Whatever the number of rows; those of several relations too."""
    both.sql("INSERT INTO users (id, name) SELECT n, 'u' || n FROM generate_series(1, %s) n", rows)
    both.sql("INSERT INTO orders (user_id, total) SELECT id, id FROM users, generate_series(1, 3)")
    both.sql("INSERT INTO profiles (user_id, bio) SELECT id, '' FROM users")
    both.sql("INSERT INTO items (order_id, name) SELECT id, 'i' FROM orders")
    async with both.session() as session:
        query = Select(User).Include(User.orders.Include(Order.items), User.profile)
        users = await session.exec(query).all()
        assert len(statements.of("query")) == 1
        assert len(statements.of("load")) == 3
        assert len(statements.sent) == 4
        assert {len(user.orders) for user in users} == {3}
        assert all(user.profile.user is user for user in users)
        assert all(order.total == Decimal(user.id) for user in users for order in user.orders)
        assert all(isinstance(user.profile, Profile) for user in users)
        assert all(len(order.items) == 1 for user in users for order in user.orders)
        assert len(statements.sent) == 4  # and reading them sends nothing


async def test_errors_of_the_server_have_our_classes(both: Both) -> None:
    async with both.session() as session:
        session.add(Tag(name="twice"))
        session.add(Tag(name="twice"))
        with pytest.raises(UniqueViolation) as caught:
            await session.commit()
    assert caught.value.model is Tag
    assert caught.value.__cause__ is not None
