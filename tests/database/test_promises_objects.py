"""Promises about objects: how changes are noticed and written, what comes back, what rows that come again do."""

from __future__ import annotations

import gc
import json
import weakref
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import Count, Insert, InvalidValueError, ObjectStateError, Select

from .both import Both, Statements
from .models import Item, Node, Order, Profile, Tag, User
from .rows import ada

# --- modified without add --------------------------------------------------------------------------------------------


async def test_a_loaded_object_is_tracked(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.exec(Select(User)).one()
        user.name = "Changed"
        await session.commit()
    assert both.value("SELECT name FROM users") == "Changed"


async def test_a_change_that_only_the_session_holds_is_written(both: Both) -> None:
    """The program keeps no reference: the session does, from the change to the flush."""
    ada(both)
    async with both.session() as session:
        (await session.get(User, 1)).name = "Changed"
        (await session.get(User, 1)).data["new"] = 1
        gc.collect()
        await session.commit()
    assert tuple(both.sql("SELECT name, data->>'new' FROM users")[0]) == ("Changed", "1")


async def test_add_of_a_loaded_object_changes_nothing(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        statements.clear()
        session.add(user)
        session.add(user)
        await session.commit()
        assert statements.of("flush") == []


async def test_an_added_object_stays_tracked_after_commit(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        user = User(name="Ada")
        session.add(user)
        await session.commit()
        user.name = "Ann"
        await session.commit()
        statements.clear()
        await session.commit()
        assert statements == []
    assert both.column("SELECT name FROM users") == ["Ann"]


async def test_setting_an_equal_value_writes_nothing(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        user.name = "Ada"
        user.age = None
        user.status = "other"
        user.status = "new"
        user.data = {"a": 1, "list": [1, {"x": 1}]}
        await session.commit()
    assert statements.of("flush") == []


# --- what is written -------------------------------------------------------------------------------------------------


async def test_an_update_writes_the_changed_columns_only(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        both.sql("UPDATE users SET status = 'elsewhere'")
        user.name = "Ann"
        await session.commit()
    (update,) = statements.of("flush")
    assert 'UPDATE "users" AS t SET "name" = $1 WHERE' in update
    assert both.value("SELECT status FROM users") == "elsewhere"


async def test_an_insert_writes_the_columns_that_were_set(both: Both, statements: Statements) -> None:
    """The others are left to the database's defaults; None that was set is NULL."""
    async with both.session() as session:
        user = User(name="Ada", status=None)
        session.add(user)
        await session.commit()
    (insert,) = statements.of("flush")
    assert insert.startswith('INSERT INTO "users" ("name", "status") VALUES')
    assert user.visits == 0


# --- what the server makes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 4])
async def test_server_made_values_are_on_the_object_after_flush(both: Both, statements: Statements, count: int) -> None:
    ada(both)
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    async with both.session() as session:
        users = [User(name=f"u{n}") for n in range(count)]
        items = [Item(order_id=1, name=f"i{n}", quantity=n) for n in range(count)]
        session.add_all([*users, *items])
        await session.flush()
        statements.clear()
        for user in users:
            assert user.id >= 1000
            assert user.visits == 0
            assert user.created_at.tzinfo is not None
            assert abs(datetime.now(UTC) - user.created_at).total_seconds() < 3600
            assert (user.data, user.labels, user.age) == (None, None, None)
        assert [item.cost for item in items] == [Decimal(n) for n in range(count)]  # generated: 1 * quantity
        assert statements == []
        for item in items:
            item.price = Decimal(3)
        await session.flush()
        assert [item.cost for item in items] == [Decimal(3 * n) for n in range(count)]
        await session.rollback()


# --- autoflush -------------------------------------------------------------------------------------------------------


async def test_a_query_sees_pending_changes_to_its_tables(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        user.name = "Changed"
        session.add(User(name="New"))
        names = await session.exec(Select(User.name).OrderBy(User.name)).scalars()
        assert names == ["Changed", "New"]
        session.delete(user)
        assert await session.exec_scalar(Select(Count()).From(User)) == 1
        await session.rollback()


async def test_a_query_of_other_tables_flushes_nothing(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        session.add(User(name="New"))
        assert await session.exec(Select(Tag)).all() == []
        assert statements.of("flush") == []
        await session.rollback()


async def test_raw_sql_flushes_always(both: Both) -> None:
    async with both.session() as session:
        session.add(User(name="New"))
        assert await session.exec_scalar("SELECT count(*) FROM users") == 1
        await session.rollback()


async def test_subqueries_joins_and_links_count_as_tables(both: Both) -> None:
    ada(both)
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    async with both.session() as session:
        order = await session.get(Order, 1)
        order.note = "x"
        assert await session.exec(
            Select(User.name).Join(Order, Order.user_id == User.id).Where(Order.note == "x")
        ).all()
        order.note = "y"
        noted = Select(Order.user_id).Where(Order.note == "y")
        assert await session.exec(Select(User).Where(User.id.In(noted))).all()
        await session.rollback()


async def test_an_include_sees_pending_changes(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        session.add(Order(user_id=1, total=5))
        user = await session.exec(Select(User).Include(User.orders)).one()
        assert [order.total for order in user.orders] == [5]
        await session.rollback()


async def test_get_sees_pending_objects(both: Both) -> None:
    async with both.session() as session:
        user = User(id=5, name="Pending")
        session.add(user)
        assert await session.get(User, 5) is user
        await session.rollback()


async def test_autoflush_off(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session(autoflush=False) as session:
        session.add(User(name="New"))
        assert len(await session.exec(Select(User)).all()) == 1
        assert await session.exec_scalar("SELECT count(*) FROM users") == 1
        assert statements.of("flush") == []
        await session.commit()
    assert both.value("SELECT count(*) FROM users") == 2


async def test_no_autoflush_for_a_block(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        session.add(User(name="New"))
        with session.no_autoflush():
            assert len(await session.exec(Select(User)).all()) == 1
        assert len(await session.exec(Select(User)).all()) == 2
        await session.rollback()


async def test_a_query_sees_what_a_pending_deletion_takes_along(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 1)")
    both.sql("INSERT INTO items (order_id, name) VALUES (1, 'i')")
    async with both.session() as session:
        session.delete(await session.get(User, 1))
        assert await session.exec(Select(Item)).all() == []
        await session.rollback()


# --- a fresh row meets a loaded object -------------------------------------------------------------------------------


async def test_clean_attributes_take_the_new_value_modified_ones_are_kept(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        user.name = "Mine"
        both.sql("UPDATE users SET name = 'Theirs', status = 'theirs', data = '{\"b\": 2}'")
        with session.no_autoflush():
            assert await session.exec(Select(User)).one() is user
        assert (user.name, user.status, user.data) == ("Mine", "theirs", {"b": 2})
        statements.clear()
        await session.commit()
    (update,) = statements.of("flush")
    assert '"status"' not in update
    assert both.value("SELECT name FROM users") == "Mine"


async def test_handed_out_values_are_refreshed_and_watched(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        data = user.data
        both.sql("UPDATE users SET data = '{\"b\": 2}'")
        await session.exec(Select(User)).one()
        assert user.data == {"b": 2}
        user.data["c"] = 3
        data["d"] = 4  # what the program held before counts too, or is no longer of the object
        await session.commit()
        stored = both.value("SELECT data FROM users")
        assert stored == user.data
        assert {"b", "c"} <= stored.keys()


async def test_an_edited_value_is_kept_when_a_fresh_row_comes(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        user.data["mine"] = True
        both.sql("UPDATE users SET data = '{\"b\": 2}', status = 'theirs'")
        with session.no_autoflush():
            await session.exec(Select(User)).one()
        assert user.data["mine"] is True
        assert user.status == "theirs"
        await session.commit()
    assert both.value("SELECT data->>'mine' FROM users") == "true"


# --- identity map ----------------------------------------------------------------------------------------------------


async def test_the_identity_map_is_weak_for_clean_objects(both: Both) -> None:
    ada(both)
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.orders)).one()
        alone = await session.get(Order, 1)
        gone = [weakref.ref(user), weakref.ref(alone)]
        del user, alone
        gc.collect()  # the objects of a relation refer to each other
        assert [reference() for reference in gone] == [None, None]


async def test_a_clean_object_without_relations_is_freed_at_once(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        assert user.name == "Ada"
        gone = weakref.ref(user)
        gc.disable()
        try:
            del user
            assert gone() is None
        finally:
            gc.enable()


async def test_the_identity_map_is_strong_for_new_modified_and_deleted_objects(both: Both) -> None:
    ada(both)
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'gone')")
    async with both.session() as session:
        new, modified, deleted = Node(name="new"), await session.get(User, 1), await session.get(Tag, 1)
        session.add(new)
        modified.name = "modified"
        session.delete(deleted)
        kept = [weakref.ref(obj) for obj in (new, modified, deleted)]
        del new, modified, deleted
        gc.collect()
        assert None not in [reference() for reference in kept]
        await session.commit()
        gc.collect()
        assert [reference() for reference in kept] == [None, None, None]
    assert both.value("SELECT count(*) FROM nodes") == 1
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_two_objects_for_one_row_are_refused(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
    async with both.session() as session:
        other = await session.get(User, 1)
        with pytest.raises(ObjectStateError, match="already has another object"):
            session.add(user)
        assert other in session


# --- edits in place --------------------------------------------------------------------------------------------------


def edit_key(user: User) -> None:
    user.data["b"] = 2


def edit_deep(user: User) -> None:
    user.data["list"][1]["x"] = 2


def edit_list(user: User) -> None:
    user.labels.append("z")


def edit_order(user: User) -> None:
    user.labels.reverse()


def edit_remove(user: User) -> None:
    del user.data["a"]


def edit_replace(user: User) -> None:
    user.data = {"new": []}
    user.data["new"].append(1)


def edit_type(user: User) -> None:
    user.data["a"] = True  # equal to 1 for Python, not for JSON


EDITS = [edit_key, edit_deep, edit_list, edit_order, edit_remove, edit_replace, edit_type]


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("fresh", [True, False], ids=["loaded", "added"])
async def test_edits_in_place_are_seen_and_written(both: Both, edit: Any, fresh: bool) -> None:
    async with both.session() as session:
        user = User(id=1, name="Ada", data={"a": 1, "list": [1, {"x": 1}]}, labels=["x", "y"])
        session.add(user)
        await session.commit()
        if fresh:
            del user
            user = await session.get(User, 1)
        edit(user)
        await session.commit()
        stored = both.sql("SELECT data::text, labels FROM users")[0]
        await session.refresh(user)
        expected = User(name="", data={"a": 1, "list": [1, {"x": 1}]}, labels=["x", "y"])
        edit(expected)
        assert json.dumps(user.data, sort_keys=True) == json.dumps(expected.data, sort_keys=True)
        assert user.labels == expected.labels == stored[1]
        user.data["again"] = 1  # and again after a flush
        user.labels.append("again")
        await session.commit()
    assert both.value("SELECT data->>'again' FROM users") == "1"
    assert both.value("SELECT labels[cardinality(labels)] FROM users") == "again"


async def test_values_that_were_only_read_are_not_written(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        assert user.data["list"][1] == {"x": 1}
        assert list(user.labels) == ["x", "y"]
        await session.commit()
    assert statements.of("flush") == []


async def test_two_objects_do_not_share_a_value(both: Both) -> None:
    both.sql("INSERT INTO users (id, name, labels) VALUES (1, 'a', '{x}'), (2, 'b', '{x}')")
    async with both.session() as session:
        one, two = await session.exec(Select(User).OrderBy(User.id)).all()
        one.labels.append("y")
        assert two.labels == ["x"]
        await session.rollback()


# --- values ----------------------------------------------------------------------------------------------------------


async def test_a_value_that_does_not_fit_is_refused_before_anything_is_sent(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        statements.clear()
        user.created_at = datetime(2020, 1, 1)
        with pytest.raises(InvalidValueError, match=r"User\.created_at"):
            await session.flush()
        assert statements.of("flush") == []
        user.created_at = datetime(2020, 1, 1, tzinfo=UTC)
        await session.commit()
    assert both.value("SELECT created_at FROM users") == datetime(2020, 1, 1, tzinfo=UTC)


async def test_a_value_that_does_not_fit_loses_nothing(both: Both) -> None:
    """Nor what other tables have pending: all is as before the flush, and goes when the value is right."""
    async with both.session() as session:
        user = User(name="Ada")
        profile = Profile(user=user, bio=object())
        session.add(profile)
        with pytest.raises(InvalidValueError, match=r"Profile\.bio"):
            await session.commit()
        assert user in session
        assert profile in session
        profile.bio = "fits"
        await session.commit()
    assert both.value("SELECT user_id FROM profiles") == user.id


async def test_naive_datetimes_are_refused_in_queries(both: Both) -> None:
    async with both.session() as session:
        naive = datetime(2020, 1, 1)
        with pytest.raises(InvalidValueError, match="aware datetime"):
            await session.exec(Select(User).Where(User.created_at > naive))
        with pytest.raises(InvalidValueError, match="aware datetime"):
            await session.exec(Insert(User).Values(name="x", created_at=naive))


async def test_none_and_in(both: Both) -> None:
    both.sql("INSERT INTO users (id, name, status) VALUES (1, 'a', NULL), (2, 'b', 'x'), (3, 'c', 'y')")

    async with both.session() as session:

        async def ids(condition: Any) -> list[int]:
            return await session.exec(Select(User.id).Where(condition).OrderBy(User.id)).scalars()

        assert await ids(User.status == None) == [1]  # noqa: E711
        assert await ids(User.status != None) == [2, 3]  # noqa: E711
        assert await ids(User.id.In([])) == []
        assert await ids(User.id.NotIn([])) == [1, 2, 3]
        assert await ids(User.id.In([1, 3])) == [1, 3]
        assert await ids(User.status.In(["x"]) | User.status.IsNull()) == [1, 2]
        with pytest.raises(Exception, match="IsNull"):
            User.status.In(["x", None])
