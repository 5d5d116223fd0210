"""Lists agree with the rows after a rollback and a deletion: cases that random programs found, made small."""

from __future__ import annotations

import pytest

from psqlmodel import Select, Update

from .both import Both
from .models import Course, Item, Node, Order, Profile, Student, Tag, User


@pytest.fixture(autouse=True)
def _a_user(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 5)")
    both.sql("INSERT INTO students (id, name) VALUES (1, 'Kurt')")
    both.sql("INSERT INTO courses (id, title) VALUES (1, 'Logic')")


async def test_a_list_that_was_loaded_after_an_insert_follows_the_rollback(both: Both) -> None:
    async with both.session() as session:
        ada = await session.get(User, 1)
        session.add(Order(user=ada))
        await session.flush()
        await session.load(ada, User.orders)
        assert len(ada.orders) == 2
        await session.rollback()
        assert [order.id for order in ada.orders] == [1]


async def test_a_list_that_was_loaded_after_a_deletion_follows_the_rollback(both: Both) -> None:
    async with both.session() as session:
        ada, order = await session.get(User, 1), await session.get(Order, 1)
        await session.delete(order)
        await session.flush()
        await session.load(ada, User.orders)
        assert ada.orders == []
        await session.rollback()
        assert ada.orders == [order]


async def test_a_list_that_was_loaded_after_a_move_follows_the_rollback(both: Both) -> None:
    async with both.session() as session:
        ada, bob = await session.get(User, 1), await session.get(User, 2)
        order = await session.get(Order, 1)
        order.user = bob
        await session.flush()
        await session.load([ada, bob], User.orders)
        assert (ada.orders, bob.orders) == ([], [order])
        bob.orders.remove(order)
        ada.orders.append(order)
        await session.flush()
        await session.rollback()
        assert (ada.orders, bob.orders) == ([order], [])
        assert order.user is ada


async def test_the_other_side_of_a_link_follows_the_rollback(both: Both) -> None:
    async with both.session() as session:
        kurt, logic = await session.get(Student, 1), await session.get(Course, 1)
        await session.load(kurt, Student.courses)
        kurt.courses.append(logic)
        await session.flush()
        await session.load(logic, Course.students)
        logic.students.remove(kurt)
        await session.flush()
        await session.rollback()
        assert (kurt.courses, logic.students) == ([], [])


@pytest.mark.parametrize("flushed", [True, False])
async def test_what_a_rollback_made_transient_is_shown_again_when_it_is_added_again(both: Both, flushed: bool) -> None:
    async with both.session() as session:
        ada = await session.get(User, 1)
        await session.load(ada, User.orders)
        order = Order(user=ada, items=[Item(name="pen")])
        session.add(order)
        if flushed:
            await session.flush()
        await session.rollback()
        assert [known.id for known in ada.orders] == [1]
        session.add(order)
        assert ada.orders[1:] == [order]
        await session.commit()
        assert both.column("SELECT user_id FROM orders ORDER BY id") == [1, 1]
        assert both.value("SELECT order_id FROM items") == order.id


async def test_a_one_to_one_that_was_not_loaded_before_follows_the_rollback(both: Both) -> None:
    async with both.session() as session:
        ada = await session.get(User, 1)
        profile = Profile(user=ada)
        session.add(profile)
        await session.flush()
        assert ada.profile is profile
        await session.rollback()
        await session.load(ada, User.profile)
        assert ada.profile is None


async def test_a_pending_object_that_is_deleted_leaves_its_lists(both: Both) -> None:
    async with both.session() as session:
        ada = await session.get(User, 1)
        await session.load(ada, User.orders)
        order = Order(user=ada)
        session.add(order)
        await session.delete(order)
        assert order not in ada.orders
        await session.commit()
    assert both.value("SELECT count(*) FROM orders") == 1


async def test_what_the_database_deletes_too_leaves_all_lists(both: Both) -> None:
    both.sql("INSERT INTO items (id, order_id, name) VALUES (1, 1, 'pen')")
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'red')")
    both.sql("INSERT INTO items_tags (item_id, tag_id) VALUES (1, 1)")
    async with both.session() as session:
        tag, order, item = await session.get(Tag, 1), await session.get(Order, 1), await session.get(Item, 1)
        await session.load(tag, Tag.items)
        await session.load(item, Item.tags)
        await session.delete(order)
        await session.flush()
        assert tag.items == []
        await session.rollback()
        assert tag.items == [item]


async def test_detached_objects_come_with_the_one_that_is_added(both: Both) -> None:
    async with both.session() as session:
        ada = await session.get(User, 1)
        await session.load(ada, User.orders)
    ada.orders[0].note = "changed while detached"
    async with both.session() as session:
        session.add(ada)
        await session.commit()
    assert both.value("SELECT note FROM orders") == "changed while detached"


async def test_a_detached_object_that_another_stands_for_is_left_out(both: Both) -> None:
    async with both.session() as session:
        ada = await session.get(User, 1)
        await session.load(ada, User.orders)
    async with both.session() as session:
        other = await session.get(Order, 1)
        session.add(ada)
        assert other in session
        assert ada.orders[0] not in session
        other.note = "by the one that is in the session"
        await session.commit()
    assert both.value("SELECT note FROM orders") == "by the one that is in the session"


async def test_a_relation_that_was_loaded_after_a_deletion_follows_its_rollback(both: Both) -> None:
    async with both.session() as session:
        parent = Node(name="parent", children=[Node(name="child")])
        child = parent.children[0]
        session.add(parent)
        await session.commit()
        session.delete(parent)
        await session.flush()
        _ = await session.exec(Select(Node).Include(Node.parent)).all()
        assert child.parent is None
        await session.rollback()
        assert child.parent_id == parent.id
        await session.load(child, Node.parent)
        assert child.parent is parent


async def test_what_a_rollback_made_transient_rejoins_its_lists_also_after_a_commit(both: Both) -> None:
    async with both.session() as session:
        parent = Node(name="parent", children=[])
        session.add(parent)
        await session.commit()
        child = Node(name="child", parent=parent)
        session.add(child)
        await session.rollback()
        await session.commit()
        session.add(child)
        assert parent.children == [child]
        await session.commit()


@pytest.mark.parametrize("nested", [False, True])
async def test_what_is_changed_after_a_deletion_follows_the_rollback(both: Both, nested: bool) -> None:
    async with both.session() as session:
        ada, bob = await session.exec(Select(User).OrderBy(User.id).Include(User.orders)).all()
        (order,) = ada.orders
        savepoint = session.begin_nested() if nested else None
        if savepoint is not None:
            await savepoint.__aenter__()
        await session.delete(ada)  # and her order with her
        await session.flush()
        ada.name = "Eve"
        order.user_id, order.total = 2, 7
        if savepoint is not None:
            await savepoint.__aexit__(ZeroDivisionError, ZeroDivisionError(), None)
        else:
            await session.rollback()
        assert (ada.name, order.total, order.user_id, order.user) == ("Ada", 5, 1, ada)
        assert (ada.orders, bob.orders) == ([order], [])
        assert session.dirty == ()
        ada.name = "Ada L."
        await session.commit()
    assert both.column("SELECT name FROM users ORDER BY id") == ["Ada L.", "Bob"]


@pytest.mark.parametrize("how", ["query", "SQL", "returning"])
@pytest.mark.parametrize("nested", [False, True])
async def test_what_was_read_after_a_statement_wrote_it_follows_the_rollback(
    both: Both, how: str, nested: bool
) -> None:
    both.sql("UPDATE users SET data = '{\"a\": 1}', labels = '{x}'")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (2, 2, 6)")
    async with both.session() as session:
        ada, bob = await session.exec(Select(User).OrderBy(User.id).Include(User.orders)).all()
        order = ada.orders[0]
        data = ada.data  # handed out: edits in it are seen
        ada.age = 30  # not flushed by statements about other tables
        savepoint = session.begin_nested() if nested else None
        if savepoint is not None:
            await savepoint.__aenter__()
        if how == "SQL":
            await session.exec("UPDATE users SET name = 'X', data = '{\"b\": 2}', labels = '{y}', age = 9")
        else:
            update = Update(User).Set(name="X", data={"b": 2}, labels=["y"], age=9).AllRows()
            _ = await session.exec(update.Returning(User) if how == "returning" else update)
        _ = await session.exec(Update(Order).Set(user_id=2).Where(Order.id == 1))
        for obj in (ada, bob, order):
            await session.refresh(obj)
        assert (ada.name, ada.data, bob.labels, order.user_id) == ("X", {"b": 2}, ["y"], 2)
        if savepoint is not None:
            await savepoint.__aexit__(ZeroDivisionError, ZeroDivisionError(), None)
        else:
            await session.rollback()
        assert (ada.name, ada.data, ada.labels, bob.name, bob.data, bob.labels) == (
            "Ada",
            {"a": 1},
            ["x"],
            "Bob",
            {"a": 1},
            ["x"],
        )
        assert (order.user_id, order.user, ada.orders, len(bob.orders)) == (1, ada, [order], 1)
        data = ada.data
        data["c"] = 3
        await session.commit()
    assert both.sql("SELECT name, data, labels FROM users ORDER BY id") == [
        ("Ada", {"a": 1, "c": 3}, ["x"]),
        ("Bob", {"a": 1}, ["x"]),
    ]


async def test_a_parent_that_on_delete_took_away_is_loaded_again_after_the_rollback(both: Both) -> None:
    """So a session need not be open to see on which list the child is."""
    async with both.session() as session:
        root = Node(name="root", children=[Node(name="leaf")])
        session.add(root)
        await session.commit()
        (leaf,) = root.children
        await session.delete(root)
        await session.flush()
        assert leaf.parent_id is None
        await session.rollback()
    assert (leaf.parent, root.children) == (root, [leaf])
    leaf.parent = None
    assert root.children == []
