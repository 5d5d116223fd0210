"""Foreign keys that the program writes itself, beside the relations on them: cases that random programs found."""

from __future__ import annotations

import pytest

from psqlmodel import Select

from .both import Both
from .models import Order, User


@pytest.fixture(autouse=True)
def _orders(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 5)")


async def test_a_relation_that_was_loaded_by_a_new_key_follows_the_rollback(both: Both) -> None:
    async with both.session() as session:
        ada, bob, order = await session.get(User, 1), await session.get(User, 2), await session.get(Order, 1)
        order.user_id = 2
        assert order.user is bob
        await session.rollback()
        assert (order.user_id, order.user) == (1, ada)
        order.user = bob
        assert order.user_id == 2
        await session.rollback()


async def test_a_link_that_refresh_kept_follows_the_rollback(both: Both) -> None:
    async with both.session() as session:
        ada, bob, order = await session.get(User, 1), await session.get(User, 2), await session.get(Order, 1)
        order.user = bob
        await session.refresh(order, keep_changes=True)
        assert (order.user_id, order.user) == (2, bob)
        await session.rollback()
        assert (order.user_id, order.user) == (1, ada)


async def test_what_is_set_to_what_it_was_takes_the_fresh_value(both: Both) -> None:
    """Nothing would be written: so the object must not say it either."""
    async with both.session() as session:
        order = await session.get(Order, 1)
        order.total, order.user_id = order.total, order.user_id
        both.sql("UPDATE orders SET total = 6, user_id = 2")
        with session.no_autoflush():
            _ = await session.exec(Select(Order)).all()
        assert (order.total, order.user_id) == (6, 2)
        await session.commit()
    assert [tuple(row) for row in both.sql("SELECT total, user_id FROM orders")] == [(6, 2)]


async def test_loaded_lists_follow_a_key_at_the_flush(both: Both) -> None:
    async with both.session() as session:
        ada, bob, order = await session.get(User, 1), await session.get(User, 2), await session.get(Order, 1)
        await session.load([ada, bob], User.orders)
        assert (ada.orders, bob.orders) == ([order], [])
        order.user_id = 2
        more = [Order(id=3, user_id=2), Order(id=2, user_id=2)]
        session.add_all(more)
        await session.flush()
        assert (ada.orders, bob.orders) == ([], [order, more[1], more[0]])
        assert order.user is bob
        await session.rollback()
        assert (ada.orders, bob.orders) == ([order], [])
        assert order.user is ada


async def test_loaded_lists_follow_a_key_within_a_savepoint(both: Both) -> None:
    async with both.session() as session:
        ada, bob, order = await session.get(User, 1), await session.get(User, 2), await session.get(Order, 1)
        await session.load([ada, bob], User.orders)
        with pytest.raises(ZeroDivisionError):
            async with session.begin_nested():
                order.user_id = 2
                await session.flush()
                assert (ada.orders, bob.orders) == ([], [order])
                raise ZeroDivisionError
        assert (ada.orders, bob.orders) == ([order], [])
        await session.commit()
    assert both.column("SELECT user_id FROM orders") == [1]
