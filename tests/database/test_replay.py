"""A flush that is the whole transaction replays by itself: conflicts leave no trace on objects, and all is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from psqlmodel import Select, SerializationFailure
from psqlmodel.drivers import asyncpg as async_driver
from psqlmodel.drivers import psycopg2 as sync_driver
from psqlmodel.steps import Statement

from .both import Both, Statements
from .models import Course, Item, Order, Profile, Student, Tag, User

REPEATABLE = {"isolation": "REPEATABLE READ"}


class Intruder:
    """Changes a row from elsewhere just before a flush's statement on it, when the snapshot is taken already."""

    def __init__(self, both: Both) -> None:
        self.both = both
        self.left = 0
        self.before = 'UPDATE "users"'
        self.change = "UPDATE users SET age = coalesce(age, 0) + 1"

    def look_at(self, request: Any) -> None:
        if self.left and isinstance(request, Statement) and request.text.startswith(self.before):
            self.left -= 1
            self.both.sql(self.change)


@pytest.fixture
def intruder(both: Both, monkeypatch: pytest.MonkeyPatch) -> Iterator[Intruder]:
    made = Intruder(both)
    send_sync, send_async = sync_driver.Connection.execute, async_driver.Connection.execute

    def execute(self: Any, request: Any) -> Any:
        if self.in_transaction:
            made.look_at(request)
        return send_sync(self, request)

    async def execute_async(self: Any, request: Any) -> Any:
        if self.in_transaction:
            made.look_at(request)
        return await send_async(self, request)

    monkeypatch.setattr(sync_driver.Connection, "execute", execute)
    monkeypatch.setattr(async_driver.Connection, "execute", execute_async)
    yield made
    assert made.left == 0, "nobody was disturbed"


@pytest.fixture(autouse=True)
def _rows(both: Both) -> None:
    both.sql(
        "INSERT INTO users (id, name, data, labels) VALUES (1, 'Ada', '{\"a\": [1]}', '{x}'), (2, 'Bob', NULL, NULL)"
    )
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1), (2, 1), (3, 2)")
    both.sql("INSERT INTO profiles (id, user_id, bio) VALUES (1, 1, 'old')")
    both.sql("INSERT INTO students (id, name) VALUES (1, 'Cem')")
    both.sql("INSERT INTO courses (id, title) VALUES (1, 'a'), (2, 'b')")
    both.sql("INSERT INTO enrolments (student_id, course_id) VALUES (1, 1)")


@pytest.mark.parametrize("disturbances", [1, 3])
async def test_all_kinds_of_changes(both: Both, intruder: Intruder, statements: Statements, disturbances: int) -> None:
    async with both.session(**REPEATABLE) as session:
        query = Select(User).OrderBy(User.id).Include(User.orders, User.profile)
        ada, bob = await session.exec(query).all()
        cem = await session.exec(Select(Student).Include(Student.courses)).one()
        second = await session.get(Course, 2)
        await session.commit()

        first_order, last_order = ada.orders
        fresh = Order(items=[Item(name="i", tags=[Tag(name="t")])])
        session.add(Tag(name="new"))
        ada.name = "Ada L."
        ada.data["a"].append(2)
        ada.orders.append(fresh)
        first_order.user = bob
        session.delete(last_order)
        ada.profile = Profile(bio="new")
        cem.courses = [second]

        heard: list[str] = []
        session.on("after_rollback", lambda _: heard.append("rollback"))
        intruder.left = disturbances
        await session.commit()
        assert heard == ["rollback"] * disturbances

        assert ada.orders == [fresh]
        assert bob.orders[-1] is first_order
        assert last_order not in session
        assert fresh.items[0].tags[0].name == "t"
        assert (fresh.user_id, fresh.items[0].order_id) == (1, fresh.id)
        assert await session.get(Order, fresh.id) is fresh
        statements.clear()
        await session.commit()
        assert statements.verbs == []  # nothing is left to write
    row = both.sql("SELECT name, age, data FROM users WHERE id = 1")[0]
    assert tuple(row) == ("Ada L.", disturbances, {"a": [1, 2]})
    assert sorted(map(tuple, both.sql("SELECT id, user_id FROM orders"))) == [(1, 2), (3, 2), (fresh.id, 1)]
    assert both.column("SELECT bio FROM profiles WHERE user_id = 1") == ["new"]
    assert [*map(tuple, both.sql("SELECT student_id, course_id FROM enrolments"))] == [(1, 2)]
    assert sorted(both.column("SELECT name FROM tags")) == ["new", "t"]


async def test_a_conflict_at_commit(both: Both) -> None:
    """Two transactions that read what the other writes: the second one to commit is refused, and runs again."""
    async with both.session(isolation="SERIALIZABLE") as first, both.session(isolation="SERIALIZABLE") as second:
        tag = Tag(name="second")
        second.add(tag)

        def read_all(own: Any) -> Any:
            return own.exec("SELECT count(*) FROM tags")

        async def read_all_later(own: Any) -> None:
            await own.exec("SELECT count(*) FROM tags")

        met: list[int] = []

        def meet(own: Any) -> None:
            met.append(1)

        second.on("before_flush", meet)
        second.on("before_flush", read_all if both.is_sync else read_all_later)
        await first.exec("SELECT count(*) FROM tags")
        first.add(Tag(name="first"))
        await first.flush()

        async def commit_first(own: Any) -> None:
            await first.commit()

        def commit_first_now(own: Any) -> None:
            first.raw.commit()

        stop = second.on("after_flush", commit_first_now if both.is_sync else commit_first)
        second.on("after_flush", lambda own: stop())
        await second.commit()
        assert len(met) == 2
        assert tag.id is not None
    assert sorted(both.column("SELECT name FROM tags")) == ["first", "second"]


async def test_it_comes_to_an_end(both: Both, intruder: Intruder) -> None:
    async with both.session(**REPEATABLE) as session:
        ada = await session.get(User, 1)
        await session.commit()
        ada.name = "Ada L."
        tag = Tag(name="new")
        session.add(tag)  # the snapshot is taken when it is inserted
        intruder.left = 6
        with pytest.raises(SerializationFailure):
            await session.commit()
        assert (ada.name, tag.id, tag in session) == ("Ada", None, False)
        await session.commit()
    assert both.value("SELECT name FROM users WHERE id = 1") == "Ada"


async def test_a_transaction_that_has_read_does_not_replay(both: Both, intruder: Intruder) -> None:
    """What it read would be old; only the program can run it again."""
    async with both.session(**REPEATABLE) as session:
        ada = await session.get(User, 1)
        ada.name = "Ada L."
        intruder.left = 1
        with pytest.raises(SerializationFailure):
            await session.commit()
        await session.rollback()
