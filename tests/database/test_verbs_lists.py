"""Loaded lists follow keys that verbs write, as they follow those of a flush; a rollback takes it back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from psqlmodel import Select

from .both import Both
from .models import Order, User


async def upserted(session: Any) -> None:
    await session.upsert([Order(id=2, user_id=1), Order(id=3, user_id=1), Order(id=4, user_id=2)])


async def synchronised(session: Any) -> None:
    given = [Order(id=1, user_id=1), Order(id=2, user_id=1), Order(id=3, user_id=1), Order(id=4, user_id=2)]
    await session.sync_set(Order, given, scope=Order.id < 10)


async def got_or_created(session: Any) -> None:
    (await session.get(Order, 2)).user_id = 1
    await session.get_or_create(Order, defaults={"user_id": 1}, id=3)
    await session.get_or_create(Order, defaults={"user_id": 2}, id=4)
    await session.flush()


VERBS = pytest.mark.parametrize("verb", [upserted, synchronised, got_or_created])


@asynccontextmanager
async def undone(session: Any) -> AsyncIterator[None]:
    """Roll the transaction back at the end."""
    try:
        yield
    finally:
        await session.rollback()


@VERBS
@pytest.mark.parametrize("nested", [True, False])
async def test_rows_come_and_move(both: Both, verb: Callable[[Any], Awaitable[None]], nested: bool) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1), (2, 2)")
    async with both.session() as session:
        ada, bob = await session.exec(Select(User).Include(User.orders).OrderBy(User.id)).all()

        def keys() -> list[list[int]]:
            return [[order.id for order in user.orders] for user in (ada, bob)]

        assert keys() == [[1], [2]]
        with pytest.raises(ZeroDivisionError):
            async with session.begin_nested() if nested else undone(session):
                await verb(session)
                assert keys() == [[1, 2, 3], [4]]
                assert all(order.user is user for user in (ada, bob) for order in user.orders)
                _ = 1 / 0
        assert keys() == [[1], [2]]
        await verb(session)
        await session.commit()
        assert keys() == [[1, 2, 3], [4]]
    assert [tuple(row) for row in both.sql("SELECT id, user_id FROM orders ORDER BY id")] == [
        (1, 1),
        (2, 1),
        (3, 1),
        (4, 2),
    ]


@VERBS
async def test_lists_that_nobody_loaded_stay_so(both: Both, verb: Callable[[Any], Awaitable[None]]) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1), (2, 2)")
    async with both.session() as session:
        ada = await session.get(User, 1)
        await verb(session)
        await session.load(ada, User.orders)
        assert [order.id for order in ada.orders] == [1, 2, 3]
        await session.rollback()
