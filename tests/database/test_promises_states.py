"""Promises about states: objects that come back, are deleted, get other keys, or live within savepoints."""

from __future__ import annotations

import pytest

from psqlmodel import ObjectStateError, Select

from .both import Both, Statements
from .models import Account, Item, Node, Order, Pet, Tag, User
from .rows import ada

# --- add of detached and keyed objects -------------------------------------------------------------------------------


async def test_a_transient_object_with_a_key_is_inserted(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        session.add(User(id=9, name="Nine"))
        await session.commit()
    assert statements.verbs == ["INSERT"]
    assert both.column("SELECT id FROM users") == [9]


async def test_a_detached_object_is_updated_by_what_changed_since(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        user.data
    user.name = "Later"
    user.data["later"] = True
    both.sql("UPDATE users SET status = 'elsewhere'")
    async with both.session() as session:
        session.add(user)
        statements.clear()
        await session.commit()
    assert statements.verbs == ["UPDATE"]
    assert tuple(both.sql("SELECT name, status, data->>'later' FROM users")[0]) == ("Later", "elsewhere", "true")


async def test_a_detached_object_without_changes_sends_nothing(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
    async with both.session() as session:
        session.add(user)
        statements.clear()
        assert await session.get(User, 1) is user
        await session.commit()
    assert statements == []


async def test_two_detached_objects_of_one_row_are_refused(both: Both) -> None:
    """Which of them would be the session's object, and whose changes would be written?"""
    ada(both)
    found = []
    for name in ("Ann", "Zoe"):
        async with both.session() as session:
            found.append(await session.get(User, 1))
        found[-1].name = name
    async with both.session() as session:
        with pytest.raises(ObjectStateError, match="two of the objects to be added are User 1: add one of them"):
            session.add_all(found)
        assert [user in session for user in found] == [False, False]
        session.add_all(found[:1] * 2)
        await session.commit()
    assert both.column("SELECT name FROM users") == ["Ann"]


async def test_an_unchanged_second_object_that_hangs_on_another_gives_way(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        one = await session.get(User, 1)
    async with both.session() as session:
        two = await session.get(User, 1)
        order = Order(total=1)
        order.user = two
        await session.flush()
        await session.commit()
    async with both.session() as session:
        one.name = "Ann"
        session.add_all([one, order])
        assert one in session
        assert two not in session
        await session.commit()
    assert both.column("SELECT name FROM users") == ["Ann"]


async def test_changes_that_a_session_did_not_write_are_written_by_the_next(both: Both) -> None:
    ada(both)
    with pytest.warns(UserWarning, match="1 changed User"):
        async with both.session() as session:
            user = await session.get(User, 1)
            user.name = "Unwritten"
    assert user.name == "Ada"  # the block ended by a rollback


async def test_a_detached_object_may_be_deleted(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
    async with both.session() as session:
        session.delete(user)
        await session.commit()
    assert both.value("SELECT count(*) FROM users") == 0


# --- delete ----------------------------------------------------------------------------------------------------------


async def test_delete_sends_no_select(both: Both, statements: Statements) -> None:
    ada(both)
    both.sql("INSERT INTO orders (id, user_id) SELECT n, 1 FROM generate_series(1, 5) n")
    async with both.session() as session:
        user = await session.get(User, 1)
        statements.clear()
        session.delete(user)
        await session.commit()
    assert statements.verbs == ["DELETE"]
    assert len(statements.sent) == 1
    assert both.value("SELECT count(*) FROM orders") == 0


async def test_loaded_children_that_the_database_deletes_are_marked_deleted(both: Both) -> None:
    ada(both)
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    both.sql("INSERT INTO items (id, order_id, name) VALUES (1, 1, 'i')")
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.orders.Include(Order.items))).one()
        order = user.orders[0]
        item = order.items[0]
        session.delete(user)
        await session.flush()
        for cls in (User, Order, Item):
            assert await session.get(cls, 1) is None
        order.note = item.name = "written to what is gone"  # no UPDATE is tried
        await session.commit()
        assert order not in session
        assert item not in session


async def test_on_delete_set_null_shows_in_loaded_objects(both: Both) -> None:
    both.sql("INSERT INTO nodes (id, name, parent_id) VALUES (1, 'root', NULL), (2, 'leaf', 1)")
    async with both.session() as session:
        root, leaf = await session.exec(Select(Node).Include(Node.parent).OrderBy(Node.id)).all()
        assert leaf.parent is root
        session.delete(root)
        await session.commit()
        assert leaf.parent_id is None
        assert leaf.parent is None


async def test_on_delete_no_action_is_the_databases_decision(both: Both) -> None:
    ada(both)
    both.sql("INSERT INTO pets (id, owner_id, name) VALUES (1, 1, 'Rex')")
    async with both.session() as session:
        user = await session.get(User, 1)
        session.delete(user)
        with pytest.raises(Exception, match="pets") as caught:
            await session.commit()
        assert caught.value.sqlstate == "23503"
        assert user in session
        pet = await session.get(Pet, 1)
        session.delete(user)
        session.delete(pet)  # together they go, children first
        await session.commit()
    assert both.value("SELECT count(*) FROM users") == 0


async def test_a_deleted_object_may_be_kept_by_adding_it_again(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        session.delete(user)
        session.add(user)
        user.name = "Kept"
        await session.commit()
    assert statements.verbs == ["UPDATE"]


async def test_a_new_object_that_is_deleted_is_forgotten(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        user = User(name="x")
        session.add(user)
        session.delete(user)
        assert user not in session
        await session.commit()
    assert statements == []


async def test_after_commit_a_deleted_object_is_transient(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        session.delete(user)
        await session.commit()
        assert (user.id, user.name) == (1, "Ada")
        session.add(user)
        await session.commit()
    assert both.column("SELECT name FROM users") == ["Ada"]


async def test_a_deleted_key_may_be_used_again_in_one_flush(both: Both) -> None:
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'old')")
    async with both.session() as session:
        session.delete(await session.get(Tag, 1))
        await session.flush()
        new = Tag(id=1, name="new")
        session.add(new)
        await session.commit()
        assert await session.get(Tag, 1) is new
    assert both.column("SELECT name FROM tags") == ["new"]


# --- keys that change ------------------------------------------------------------------------------------------------


async def test_a_primary_key_may_change(both: Both) -> None:
    both.sql("INSERT INTO accounts (bank, number) VALUES ('a', 1), ('a', 2)")
    async with both.session() as session:
        account = await session.get(Account, ("a", 1))
        account.number = 7
        await session.flush()
        assert await session.get(Account, ("a", 7)) is account
        assert await session.get(Account, ("a", 1)) is None
        await session.rollback()
        assert account.number == 1
        assert await session.get(Account, ("a", 1)) is account
        account.bank = "b"
        await session.commit()
    assert both.sql("SELECT bank, number FROM accounts ORDER BY bank") == [("a", 2), ("b", 1)]


# --- savepoints ------------------------------------------------------------------------------------------------------


async def test_a_savepoint_rolls_back_its_part_and_its_objects(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        user.name = "before"
        with pytest.raises(ZeroDivisionError):
            async with session.begin_nested():
                user.name = "inside"
                inner = Tag(name="inside")
                session.add(inner)
                await session.flush()
                assert inner.id is not None
                raise ZeroDivisionError
        assert user.name == "before"
        assert inner.id is None
        assert inner not in session
        async with session.begin_nested():
            session.add(Tag(name="kept"))
        await session.commit()
    assert both.value("SELECT name FROM users") == "before"
    assert both.column("SELECT name FROM tags") == ["kept"]


async def test_a_failure_inside_a_savepoint_leaves_the_transaction(both: Both) -> None:
    both.sql("INSERT INTO tags (name) VALUES ('taken')")
    async with both.session() as session:
        session.add(Tag(name="outer"))
        with pytest.raises(Exception, match="duplicate") as caught:
            async with session.begin_nested():
                session.add(Tag(name="taken"))
        assert caught.value.sqlstate == "23505"
        await session.commit()
    assert both.column("SELECT name FROM tags ORDER BY name") == ["outer", "taken"]


async def test_a_savepoint_has_the_name_that_it_is_given(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        async with session.savepoint("half way"):
            session.add(Tag(name="in it"))
        await session.commit()
    assert [text for text in statements.of("transaction") if "half way" in text] == [
        'SAVEPOINT "half way"',
        'RELEASE SAVEPOINT "half way"',
    ]
