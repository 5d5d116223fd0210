"""What bulk work takes, on both sessions: tuples, iterators of both kinds, keys to delete; progress; all or nothing;
and what loaded objects show afterwards.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    InvalidValueError,
    MissingPrimaryKeyError,
    NotMappedError,
    ObjectStateError,
    Select,
    TransactionAbortedError,
    UniqueViolation,
)
from psqlmodel.core.bulk import changing, inserting

from .both import Both, Statements, only_async, only_sync
from .models import Account, Item, Order, Tag, User


async def several(items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


# --- tuples -----------------------------------------------------------------------------------------------------------


async def test_tuples_with_columns_by_attribute_or_name(both: Both, statements: Statements) -> None:
    rows = [("a", None, ["x"]), ("b", 3, None), ["c", 4, []]]
    async with both.session() as session:
        count = await session.bulk_insert(rows, model=User, columns=[User.name, "age", User.labels])
        assert (count, count.inserted) == (3, 3)
        await session.commit()
    assert [text.split()[0] for text in statements.of("bulk")] == ["COPY"]
    found = [tuple(row) for row in both.sql("SELECT name, age, labels, visits FROM users ORDER BY name")]
    assert found == [("a", None, ["x"], 0), ("b", 3, None, 0), ("c", 4, [], 0)]


async def test_tuples_get_the_defaults_of_the_model_and_the_servers_keys(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'u')")
    async with both.session() as session:
        await session.bulk_insert(((1,) for _ in range(3)), model=Order, columns=Order.user_id)
        await session.bulk_insert([(None, 1), (7, 1)], model=Order, columns=["id", "user_id"])
        await session.commit()
    keys = both.column("SELECT id FROM orders ORDER BY id")
    assert (keys[0], len(set(keys))) == (7, 5)


async def test_tuples_update(both: Both) -> None:
    both.sql("INSERT INTO users (id, name, age) SELECT n, 'u', n FROM generate_series(1, 3) n")
    async with both.session() as session:
        assert await session.bulk_update([(3, 30), (1, None)], model=User, columns=[User.id, User.age]) == 2
        await session.commit()
    assert both.column("SELECT age FROM users ORDER BY id") == [None, 2, 30]


@pytest.mark.parametrize(
    ("rows", "options", "error", "words"),
    [
        ([("a",)], {}, NotMappedError, r"models\[0\] is a tuple: say its class and columns="),
        ([("a",)], {"columns": ["name"]}, InvalidValueError, "say which one with model="),
        (
            [("a", 1), ("b",)],
            {"model": User, "columns": ["name", "age"]},
            InvalidValueError,
            r"models\[1\] has 1 values",
        ),
        (["ab", ("a", 1)], {"model": User, "columns": ["name", "age"]}, InvalidValueError, r"models\[0\] is a str"),
        ([("a", 1)], {"model": User, "columns": ["name", "name"]}, InvalidValueError, "User.name twice"),
        ([("a", 1)], {"model": User, "columns": []}, InvalidValueError, "names nothing"),
        ([("a", "x")], {"model": User, "columns": ["name", "age"]}, InvalidValueError, r"models\[0\]: User.age"),
    ],
)
async def test_what_can_be_no_tuple_is_refused(
    both: Both, statements: Statements, rows: list[Any], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    async with both.session() as session:
        with pytest.raises(error, match=words):
            await session.bulk_insert(rows, **options)
    assert statements.of("bulk") == []


async def test_an_error_of_the_server_names_the_tuple(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(UniqueViolation, match=r"^models\[2\]: ") as caught:
            await session.bulk_insert([("a",), ("b",), ("a",)], model=Tag, columns=["name"])
        assert caught.value.object == ("a",)


# --- iterators --------------------------------------------------------------------------------------------------------


@only_async
async def test_an_asynchronous_iterator_is_awaited_in_chunks(
    both: Both, statements: Statements, monkeypatch: Any
) -> None:
    monkeypatch.setattr(inserting, "CHUNK", 10)
    made = 0

    async def tags() -> AsyncIterator[Tag]:
        nonlocal made
        for number in range(35):
            made += 1
            assert made <= 10 * (1 + len([t for t in statements.of("bulk") if t.startswith("COPY")]))
            yield Tag(name=f"t{number}")

    async with both.session() as session:
        assert await session.bulk_insert(tags()) == 35
        assert await session.bulk_upsert(several([(1, "x")]), model=Tag, columns=["id", "name"]) == 1
        assert await session.bulk_update(several([{"id": 1, "name": "y"}]), model=Tag) == 1
        assert await session.bulk_delete(several([1]), model=Tag) == 1
        await session.commit()
    assert both.value("SELECT count(*) FROM tags") == 35


@only_sync
async def test_a_session_that_can_not_wait_says_so(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(NotMappedError, match="use AsyncSession"):
            await session.bulk_insert(several([Tag(name="a")]))


@only_async
async def test_memory_does_not_grow_with_an_asynchronous_iterator(both: Both, monkeypatch: Any) -> None:
    monkeypatch.setattr(inserting, "CHUNK", 1000)
    both.sql("INSERT INTO users (id, name) VALUES (1, 'u')")
    rows = [(1, "x" * 20)]

    async def given(count: int) -> AsyncIterator[Any]:
        for _ in range(count):
            yield rows[0]

    async with both.session() as session:
        await session.bulk_insert(given(1000), model=Order, columns=["user_id", "note"])
        tracemalloc.start()
        try:
            await session.bulk_insert(given(3_000), model=Order, columns=["user_id", "note"])
            small = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            await session.bulk_insert(given(12_000), model=Order, columns=["user_id", "note"])
            large = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await session.rollback()
    assert large < 1.3 * small


async def test_an_iterator_may_read_from_the_same_session(both: Both, monkeypatch: Any) -> None:
    monkeypatch.setattr(inserting, "CHUNK", 4)
    both.sql("INSERT INTO users (id, name) SELECT n, 'u' || n FROM generate_series(1, 10) n")
    async with both.session() as session:
        query = Select(User.name).OrderBy(User.id)
        stream = session.raw.stream(query, batch=3) if both.is_sync else session.stream(query, batch=3)
        rows = stream if both.is_sync else _one_by_one(stream)
        assert await session.bulk_insert(rows, model=Tag, columns=["name"]) == 10
        await session.commit()
    assert both.value("SELECT count(*) FROM tags WHERE name LIKE 'u%'") == 10


async def _one_by_one(stream: Any) -> AsyncIterator[Any]:
    async for row in stream:
        yield row


# --- progress ---------------------------------------------------------------------------------------------------------


async def test_progress_is_told_after_each_chunk(both: Both, monkeypatch: Any) -> None:
    monkeypatch.setattr(inserting, "CHUNK", 10)
    monkeypatch.setattr(changing, "CHUNK", 20)
    told: list[int] = []
    async with both.session() as session:
        await session.bulk_insert([Tag(id=n, name=f"t{n}") for n in range(1, 26)], progress=told.append)
        assert told == [10, 20, 25]
        await session.bulk_update([{"id": n, "name": f"u{n}"} for n in range(1, 26)], model=Tag, progress=told.append)
        await session.bulk_delete(range(1, 26), model=Tag, progress=told.append)
        assert told == [10, 20, 25, 20, 25, 20, 25]
        await session.rollback()


@only_async
async def test_progress_may_be_awaited(both: Both) -> None:
    told: list[int] = []

    async def progress(rows: int) -> None:
        told.append(rows)

    async with both.session() as session:
        await session.bulk_insert([Tag(name="a")], progress=progress)
        await session.rollback()
    assert told == [1]


# --- all or nothing ---------------------------------------------------------------------------------------------------


async def test_nothing_of_a_call_stays_that_fails_in_a_later_chunk(both: Both, monkeypatch: Any) -> None:
    monkeypatch.setattr(inserting, "CHUNK", 2)
    async with both.session() as session:
        with pytest.raises(InvalidValueError, match=r"models\[3\]"):
            await session.bulk_insert([Tag(name=name) for name in ("a", "b", "c", 5)])
        with pytest.raises(TransactionAbortedError):
            await session.commit()
        await session.rollback()
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_nothing_stays_where_the_iterator_fails(both: Both, monkeypatch: Any) -> None:
    monkeypatch.setattr(inserting, "CHUNK", 2)

    def tags() -> Iterator[Tag]:
        yield from [Tag(name="a"), Tag(name="b"), Tag(name="c")]
        raise LookupError("the source is gone")

    async with both.session() as session:
        with pytest.raises(LookupError, match="the source is gone"):
            await session.bulk_insert(tags())
        with pytest.raises(TransactionAbortedError, match="bulk_insert stopped in the middle: LookupError"):
            await session.commit()
        await session.rollback()
        await session.bulk_insert([Tag(name="z")])
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["z"]


async def test_a_savepoint_keeps_what_was_before(both: Both, monkeypatch: Any) -> None:
    monkeypatch.setattr(inserting, "CHUNK", 2)
    async with both.session() as session:
        await session.bulk_insert([Tag(name="before")])
        with pytest.raises(InvalidValueError):
            async with session.begin_nested():
                await session.bulk_insert([Tag(name=name) for name in ("a", "b", 5)])
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["before"]


# --- deletion ---------------------------------------------------------------------------------------------------------


async def test_deletion_takes_keys_and_objects(both: Both, statements: Statements) -> None:
    both.sql("INSERT INTO users (id, name) SELECT n, 'u' FROM generate_series(1, 9) n")
    async with both.session() as session:
        assert await session.bulk_delete([3, 1, 3, 77], model=User) == 2
        assert await session.bulk_delete([User(id=4), {"id": 5}, 6], model=User) == 3
        assert len(statements.of("bulk")) == 4
        loaded = await session.get(User, 9)
        assert await session.bulk_delete([loaded]) == 1
        assert await session.get(User, 9) is None
        await session.commit()
    assert both.column("SELECT id FROM users ORDER BY id") == [2, 7, 8]


async def test_deletion_by_composite_keys(both: Both) -> None:
    both.sql("INSERT INTO accounts (bank, number) SELECT 'b', n FROM generate_series(1, 4) n")
    async with both.session() as session:
        keys = [("b", 1), {"bank": "b", "number": 2}, Account(bank="b", number=3)]
        assert await session.bulk_delete(keys, model=Account) == 3
        await session.commit()
    assert both.column("SELECT number FROM accounts") == [4]


async def test_loaded_objects_follow_a_deletion_and_its_rollback(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'a'), (2, 'b')")
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1), (2, 2)")
    both.sql("INSERT INTO items (id, order_id, name, price, quantity) VALUES (1, 1, 'i', 1, 1), (2, 2, 'j', 1, 1)")
    async with both.session() as session:
        items = await session.exec(Select(Item).OrderBy(Item.id)).all()
        order = await session.get(Order, 2)
        await session.bulk_delete([1, 2], model=Order)  # one loaded, one not
        assert await session.get(Order, 2) is None
        assert both.value("SELECT count(*) FROM items") == 2  # for others
        assert [await session.get(Item, n) for n in (1, 2)] == [None, None]
        await session.rollback()
        assert await session.get(Order, 2) is order
        assert await session.get(Item, 1) is items[0]
        await session.bulk_delete([order])
        await session.commit()
    assert both.column("SELECT id FROM items") == [1]


@pytest.mark.parametrize(
    ("models", "options", "error", "words"),
    [
        ([1], {}, NotMappedError, r"models\[0\] is no object: say which class"),
        ([User(name="a")], {}, MissingPrimaryKeyError, r"models\[0\] has no primary key value of User"),
        ([1, None], {"model": User}, MissingPrimaryKeyError, r"models\[1\]: User.id .* can't be None"),
        ([(1, 2)], {"model": User}, MissingPrimaryKeyError, r"models\[0\]: the primary key of User"),
        (["x"], {"model": User}, InvalidValueError, r"models\[0\]: User.id: "),
    ],
)
async def test_what_can_not_be_deleted_is_refused(
    both: Both, models: list[Any], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    async with both.session() as session:
        with pytest.raises(error, match=words):
            await session.bulk_delete(models, **options)


async def test_an_object_that_waits_for_its_flush_is_not_deleted(both: Both) -> None:
    async with both.session() as session:
        user = User(id=5, name="a")
        session.add(user)
        with session.no_autoflush(), pytest.raises(ObjectStateError, match=r"models\[0\] has no row yet"):
            await session.bulk_delete([user])
        await session.rollback()


# --- loaded objects ---------------------------------------------------------------------------------------------------


async def test_loaded_objects_show_what_an_update_wrote(both: Both, statements: Statements) -> None:
    both.sql("INSERT INTO users (id, name, data) SELECT n, 'u', '{\"a\": 1}' FROM generate_series(1, 3) n")
    async with both.session() as session:
        users = await session.exec(Select(User).Where(User.id <= 2).OrderBy(User.id)).all()
        users[0].data["b"] = 2
        users[1].name = "mine"
        statements.clear()
        with session.no_autoflush():
            changes = [{"id": n, "name": f"v{n}", "data": {"n": n}} for n in (1, 2, 3)]
            await session.bulk_update(changes, model=User)
        assert len(statements.of("bulk", "load")) == 2
        assert (users[0].name, users[1].data) == ("v1", {"n": 2})
        assert (users[0].data, users[1].name) == ({"a": 1, "b": 2}, "mine")  # changed by the program
        await session.rollback()
        assert (users[0].name, users[1].data) == ("u", {"a": 1})


async def test_a_rollback_takes_what_was_read_again_back(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'old')")
    async with both.session() as session:
        user = await session.get(User, 1)
        async with session.begin_nested():
            await session.bulk_update([(1, "new")], model=User, columns=["id", "name"])
            assert user.name == "new"
        assert user.name == "new"
        await session.rollback()
        assert user.name == "old"
        assert session.dirty == ()


async def test_computed_columns_of_loaded_objects_are_read_again(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'u')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 0)")
    both.sql("INSERT INTO items (id, order_id, name, price, quantity) VALUES (1, 1, 'i', 2, 3)")
    async with both.session() as session:
        item = await session.get(Item, 1)
        await session.bulk_update([{"id": 1, "price": Decimal(5)}], model=Item)
        assert (item.price, item.cost) == (5, 15)
        await session.rollback()
        assert (item.price, item.cost) == (2, 6)


async def test_objects_that_were_given_know_what_was_written(both: Both, statements: Statements) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'u'), (2, 'v')")
    async with both.session() as session:
        users = await session.exec(Select(User)).all()
        statements.clear()
        await session.bulk_update(users)
        assert statements.of("load") == []
        await session.rollback()


async def test_a_key_that_moves_moves_the_object_on_the_lists(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'a'), (2, 'b')")
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    async with both.session() as session:
        order = (await session.exec(Select(Order).Include(Order.user)).all())[0]
        assert order.user.id == 1
        await session.bulk_update([(1, 2)], model=Order, columns=["id", "user_id"])
        await session.load(order, Order.user)
        assert (order.user_id, order.user.id) == (2, 2)
        await session.rollback()
