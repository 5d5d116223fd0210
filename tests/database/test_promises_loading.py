"""Promises about what is not loaded, and about includes: never N+1, never an empty list for "not loaded"."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel import Alias, Count, NotLoadedError, QueryError, Select, Session

from .both import Both, Statements, only_async, only_sync
from .models import Item, Node, Order, Pet, Profile, Tag, User


@pytest.fixture
def shop(both: Both) -> Both:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob'), (3, 'Cid')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 10), (2, 1, 20), (3, 1, 5), (4, 2, 7)")
    both.sql("INSERT INTO items (id, order_id, name) SELECT n, 1 + n % 4, 'i' || n FROM generate_series(1, 12) n")
    both.sql("INSERT INTO profiles (id, user_id, bio) VALUES (1, 1, 'first')")
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'red'), (2, 'blue')")
    both.sql("INSERT INTO items_tags (item_id, tag_id) VALUES (1, 1), (1, 2), (2, 1)")
    return both


# --- unloaded, sync --------------------------------------------------------------------------------------------------


@only_sync
async def test_an_unloaded_relation_is_loaded_for_all_objects_of_the_result(shop: Both, statements: Statements) -> None:
    with Session(shop.engine) as session:
        users = session.exec(Select(User).OrderBy(User.id)).all()
        statements.clear()
        assert [len(user.orders) for user in users] == [3, 1, 0]
        assert len(statements.of("load")) == 1
        statements.clear()
        assert [[len(order.items) for order in user.orders] for user in users] == [[3, 3, 3], [3], []]
        assert len(statements.of("load")) == 1
        statements.clear()
        assert [user.profile and user.profile.bio for user in users] == ["first", None, None]
        assert len(statements.of("load")) == 1


@only_sync
async def test_an_unloaded_to_one_relation_is_loaded_for_all(shop: Both, statements: Statements) -> None:
    with Session(shop.engine) as session:
        orders = session.exec(Select(Order).OrderBy(Order.id)).all()
        statements.clear()
        assert [order.user.name for order in orders] == ["Ada", "Ada", "Ada", "Bob"]
        assert len(statements.of("load")) == 1
        assert orders[0].user is orders[1].user


@only_sync
async def test_what_the_session_has_needs_no_query(shop: Both, statements: Statements) -> None:
    with Session(shop.engine) as session:
        users = session.exec(Select(User)).all()
        orders = session.exec(Select(Order)).all()
        statements.clear()
        assert {order.user.name for order in orders} == {"Ada", "Bob"}
        assert statements == []
        assert len(users) == 3


@only_sync
async def test_a_refreshed_relation_is_read_again(shop: Both) -> None:
    with Session(shop.engine) as session:
        user = session.get(User, 2)
        assert len(user.orders) == 1
        shop.sql("INSERT INTO orders (user_id) VALUES (2)")
        assert len(user.orders) == 1
        session.refresh(user)
        assert len(user.orders) == 2
        shop.sql("INSERT INTO orders (user_id) VALUES (2)")
        session.refresh(user, ["orders"])
        assert len(user.orders) == 3


@only_sync
async def test_strict_raises_instead(shop: Both, statements: Statements) -> None:
    with Session(shop.engine, strict=True) as session:
        user = session.get(User, 1)
        statements.clear()
        with pytest.raises(NotLoadedError, match=r"User\.orders is not loaded.*Include\(User\.orders\)"):
            user.orders
        assert statements == []
        session.load(user, User.orders)
        assert len(user.orders) == 3
        session.strict = False
        assert user.profile.bio == "first"


# --- unloaded, async -------------------------------------------------------------------------------------------------


@only_async
async def test_async_an_unloaded_relation_raises_and_names_the_ways_out(shop: Both, statements: Statements) -> None:
    async with shop.session() as session:
        user = await session.get(User, 1)
        statements.clear()
        for key in ("orders", "profile", "pets"):
            with pytest.raises(NotLoadedError) as caught:
                getattr(user, key)
            assert f"User.{key} is not loaded" in str(caught.value)
            assert f".Include(User.{key})" in str(caught.value)
            assert "await session.load(" in str(caught.value)
        assert statements == []


async def test_not_loaded_is_never_a_default(shop: Both) -> None:
    async with shop.session(strict=True) as session:
        user = await session.get(User, 1)
        with pytest.raises(NotLoadedError):
            getattr(user, "orders", [])
        with pytest.raises(NotLoadedError):
            hasattr(user, "orders")


async def test_after_the_session_a_relation_that_was_not_loaded_raises(shop: Both) -> None:
    async with shop.session() as session:
        user = await session.get(User, 1)
    with pytest.raises(NotLoadedError, match="Include"):
        user.orders


async def test_load_loads_for_one_or_many(shop: Both, statements: Statements) -> None:
    async with shop.session() as session:
        users = await session.exec(Select(User).OrderBy(User.id)).all()
        statements.clear()
        await session.load(users, User.orders, User.profile)
        assert len(statements.of("load")) == 2
        assert [len(user.orders) for user in users] == [3, 1, 0]
        await session.load(users[0].orders[0], Order.items.Include(Item.tags))
        assert len(statements.of("load")) == 4
        assert [[tag.name for tag in item.tags] for item in users[0].orders[0].items] == [[], [], []]


async def test_to_one_of_a_known_object_needs_no_query_on_either(shop: Both, statements: Statements) -> None:
    async with shop.session(strict=True) as session:
        user = await session.get(User, 1)
        order = await session.get(Order, 1)
        statements.clear()
        assert order.user is user
        assert statements == []


# --- order -----------------------------------------------------------------------------------------------------------


async def test_to_many_is_in_the_order_of_the_childs_key(shop: Both) -> None:
    shop.sql("UPDATE orders SET note = 'moved in the heap' WHERE id = 1")
    async with shop.session() as session:
        user = await session.exec(Select(User).Where(User.id == 1).Include(User.orders)).one()
        assert [order.id for order in user.orders] == [1, 2, 3]


async def test_order_by_of_the_relation_and_of_the_path(both: Both) -> None:
    both.sql("INSERT INTO nodes (id, name, parent_id) VALUES (1, 'r', NULL), (2, 'z', 1), (3, 'a', 1), (4, 'm', 1)")
    async with both.session() as session:
        root = await session.exec(Select(Node).Where(Node.id == 1).Include(Node.children)).one()
        assert [node.name for node in root.children] == ["a", "m", "z"]
    async with both.session() as session:
        path = Node.children.OrderBy(Node.name.Desc())
        root = await session.exec(Select(Node).Where(Node.id == 1).Include(path)).one()
        assert [node.name for node in root.children] == ["z", "m", "a"]


# --- include ---------------------------------------------------------------------------------------------------------


async def test_three_levels_deep(shop: Both, statements: Statements) -> None:
    async with shop.session(strict=True) as session:
        query = Select(User).OrderBy(User.id).Include(User.orders.Include(Order.items.Include(Item.tags)))
        users = await session.exec(query).all()
        assert len(statements.sent) == 4
        found = [[[[t.name for t in i.tags] for i in o.items] for o in u.orders] for u in users]
        assert found == [
            [[[], [], []], [["red", "blue"], [], []], [["red"], [], []]],
            [[[], [], []]],
            [],
        ]


async def test_then_include_is_the_same_as_nesting(shop: Both, statements: Statements) -> None:
    async with shop.session(strict=True) as session:
        query = Select(User).Include(User.orders).ThenInclude(Order.items).ThenInclude(Item.tags)
        users = await session.exec(query).all()
        assert len(statements.sent) == 4
        assert sum(len(i.tags) for u in users for o in u.orders for i in o.items) == 3


async def test_include_by_model_class(shop: Both, statements: Statements) -> None:
    async with shop.session(strict=True) as session:
        users = await session.exec(Select(User).Include(Order, Profile)).all()
        assert len(statements.sent) == 3
        assert sum(len(user.orders) for user in users) == 4
        assert [user.profile.bio for user in users if user.profile] == ["first"]


async def test_include_filtered_ordered_and_limited_per_parent(shop: Both, statements: Statements) -> None:
    async with shop.session(strict=True) as session:
        path = User.orders.Where(Order.total >= 7).OrderBy(Order.total.Desc()).Limit(1)
        users = await session.exec(Select(User).OrderBy(User.id).Include(path)).all()
        assert [[order.total for order in user.orders] for user in users] == [[20], [7], []]
        assert len(statements.sent) == 2
    async with shop.session(strict=True) as session:
        path = User.orders.OrderBy(Order.total).Offset(1).Limit(5).Include(Order.items)
        users = await session.exec(Select(User).OrderBy(User.id).Include(path)).all()
        assert [[order.total for order in user.orders] for user in users] == [[10, 20], [], []]
        assert all(len(order.items) == 3 for order in users[0].orders)


async def test_parents_without_children_have_empty_lists(shop: Both) -> None:
    async with shop.session(strict=True) as session:
        user = await session.exec(Select(User).Where(User.id == 3).Include(User.orders, User.profile)).one()
        assert user.orders == []
        assert user.profile is None


async def test_an_include_of_no_rows_sends_one_query(shop: Both, statements: Statements) -> None:
    async with shop.session() as session:
        assert await session.exec(Select(User).Where(User.id == 99).Include(User.orders)).all() == []
        assert len(statements.sent) == 1


async def test_an_include_of_targets_that_the_session_has_sends_nothing_more(
    shop: Both, statements: Statements
) -> None:
    async with shop.session() as session:
        users = await session.exec(Select(User)).all()
        statements.clear()
        orders = await session.exec(Select(Order).Include(Order.user)).all()
        assert len(statements.sent) == 1
        assert all(order.user in users for order in orders)


async def test_a_relation_that_the_program_changed_is_not_overwritten(shop: Both) -> None:
    async with shop.session() as session:
        user = await session.exec(Select(User).Where(User.id == 1).Include(User.orders)).one()
        removed = user.orders.pop()
        with session.no_autoflush():
            await session.exec(Select(User).Where(User.id == 1).Include(User.orders)).one()
        assert removed not in user.orders
        await session.rollback()
        assert removed in user.orders


async def test_included_twice_in_one_session_shows_what_is_new(shop: Both) -> None:
    async with shop.session() as session:
        query = Select(User).Where(User.id == 2).Include(User.orders)
        user = await session.exec(query).one()
        orders = user.orders
        shop.sql("INSERT INTO orders (id, user_id) VALUES (50, 2)")
        shop.sql("DELETE FROM orders WHERE id = 4")
        await session.exec(query).one()
        assert [order.id for order in user.orders] == [50]
        assert user.orders is orders


async def test_a_join_with_an_include(shop: Both, statements: Statements) -> None:
    async with shop.session(strict=True) as session:
        query = Select(User).JoinRelated(User.orders).Where(Order.total > 6).Distinct().Include(User.orders)
        users = await session.exec(query.OrderBy(User.id)).all()
        assert [len(user.orders) for user in users] == [3, 1]
        assert len(statements.sent) == 2


async def test_several_models_with_an_include(shop: Both) -> None:
    async with shop.session(strict=True) as session:
        query = Select(User, Profile).LeftJoin(Profile, Profile.user_id == User.id).Include(User.orders)
        rows = await session.exec(query.OrderBy(User.id)).all()
        assert [(row[0].name, row[1] and row[1].bio, len(row.User.orders)) for row in rows] == [
            ("Ada", "first", 3),
            ("Bob", None, 1),
            ("Cid", None, 0),
        ]


async def test_columns_alone_make_rows(shop: Both) -> None:
    async with shop.session() as session:
        query = Select(User.id, User.name, Count(Order.id).As("orders")).LeftJoinRelated(User.orders)
        rows = await session.exec(query.GroupBy(User.id, User.name).OrderBy(User.id)).all()
        assert rows == [(1, "Ada", 3), (2, "Bob", 1), (3, "Cid", 0)]
        assert [(row.name, row["orders"], row[0]) for row in rows][0] == ("Ada", 3, 1)
        assert (await session.exec(Select(User.name).OrderBy(User.id)).scalars()) == ["Ada", "Bob", "Cid"]


async def test_one_and_one_or_none(shop: Both) -> None:
    async with shop.session() as session:
        assert (await session.exec(Select(User).Where(User.id == 1)).one()).name == "Ada"
        assert await session.exec(Select(User).Where(User.id == 99)).one_or_none() is None
        with pytest.raises(Exception, match="no row"):
            await session.exec(Select(User).Where(User.id == 99)).one()
        with pytest.raises(Exception, match="3 rows"):
            await session.exec(Select(User)).one_or_none()


async def test_an_alias_of_a_model_gives_objects(shop: Both) -> None:
    async with shop.session() as session:
        other = Alias(User, "other")
        rows = await session.exec(Select(User, other).Join(other, other.id == User.id + 1).OrderBy(User.id)).all()
        assert [(a.name, b.name) for a, b in rows] == [("Ada", "Bob"), ("Bob", "Cid")]
        assert rows[0][1] is rows[1][0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Select(User).Include("orders"), "User.orders"),
        (lambda: Select(User).Include(User.name), "relations"),
        (lambda: Select(User.id).Include(User.orders), "selects a model"),
        (lambda: Select(User).ThenInclude(Order.items), "after Include"),
        (lambda: User.orders.Limit(-1), "from 0 on"),
        (lambda: User.orders.Where("total > 3"), "conditions"),
    ],
)
def test_wrong_includes_are_refused_when_they_are_built(wrong: Any, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        wrong()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (lambda: Order.items, "can't be included here"),
        (lambda: Tag, "no relation leads from User to Tag"),
        (lambda: Pet, None),
    ],
)
async def test_an_include_that_leads_nowhere_is_refused(
    shop: Both, statements: Statements, path: Any, said: str | None
) -> None:
    async with shop.session() as session:
        if said is None:
            assert await session.exec(Select(User).Include(path())).all()
            return
        with pytest.raises(QueryError, match=said):
            await session.exec(Select(User).Include(path())).all()
        assert len(await session.exec(Select(User)).all()) == 3
