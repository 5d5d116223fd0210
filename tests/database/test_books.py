"""The books of both sessions: new, dirty, deleted, changes, expunge; and the plan of a flush."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from psqlmodel import (
    Engine,
    ObjectStateError,
)

from .both import Both, Statements, later
from .models import Course, Item, Node, Order, Student, Tag, User
from .rows import made, plain
from .versioned import Member, Sheet, Team, make_tables


@pytest.fixture(autouse=True, scope="module")
def tables(plain_sql: Engine) -> None:
    make_tables(plain_sql)


@pytest.fixture
def rival(shop_dsn: str) -> Iterator[Any]:
    """A connection of someone else, in a transaction."""
    connection = psycopg2.connect(shop_dsn)
    yield connection
    connection.close()


# --- the books --------------------------------------------------------------------------------------------------------


async def test_new_dirty_and_deleted(both: Both) -> None:
    await made(both, *(User(id=n, name=f"u{n}") for n in (1, 2, 3)))
    async with both.session() as session:
        one, two, three = await session.get_many(User, [1, 2, 3])
        new = User(name="n")
        session.add(new)
        one.name = "x"
        two.name = "y"
        two.name = "u2"  # as it was
        session.delete(three)
        books = plain(session)
        assert (books.new, books.dirty, books.deleted) == ((new,), (one,), (three,))
        await session.flush()
        assert (books.new, books.dirty, books.deleted) == ((), (), ())
        await session.rollback()


async def test_changes_are_old_and_new_values(both: Both) -> None:
    await made(both, User(id=1, name="a", data={"n": 1}), User(id=2, name="b"), Order(id=1, user_id=1))
    await made(both, Student(id=1, name="s"), Course(id=1, title="c"))
    async with both.session() as session:
        user, other = await session.get_many(User, [1, 2])
        order = await session.get(Order, 1)
        student, course = await session.get(Student, 1), await session.get(Course, 1)
        await session.load(student, Student.courses)
        changes = plain(session).changes
        assert changes(user) == {}
        user.name = "x"
        user.data["n"] = 2
        assert changes(user) == {"name": ("a", "x"), "data": ({"n": 1}, {"n": 2})}
        order.user = other
        assert changes(order) == {"user": (user, other), "user_id": (1, 2)}
        student.courses.append(course)
        assert changes(student) == {"courses": ([], [course])}
        assert changes(Tag(name="t")) == {"name": (None, "t")}
        user.name = "a"
        user.data["n"] = 1
        assert changes(user) == {}
        await session.rollback()


async def test_expunge_lets_an_object_go(both: Both, statements: Statements) -> None:
    await made(both, User(id=1, name="a"), User(id=2, name="b"), User(id=3, name="c"))
    async with both.session() as session:
        one, two, three = await session.get_many(User, [1, 2, 3])
        new = User(name="n")
        session.add(new)
        one.name = "x"
        session.delete(three)
        for obj in (one, two, three, new):
            await later(session.expunge(obj))
            assert obj not in session
        statements.clear()
        await session.commit()
        assert statements.sent == []
        assert await session.get(User, 1) is not one
        with pytest.raises(ObjectStateError, match="does not belong"):
            await later(session.expunge(two))
    async with both.session() as session:
        session.add(one)
        await session.commit()
    assert both.column("SELECT name FROM users ORDER BY id") == ["x", "b", "c"]


async def test_a_rollback_does_not_concern_what_was_expunged(both: Both) -> None:
    await made(both, User(id=1, name="a"))
    async with both.session() as session:
        user = await session.get(User, 1)
        user.name = "b"
        await session.flush()
        await later(session.expunge(user))
        await session.rollback()
        assert (user.name, user in session) == ("b", False)


async def test_expunge_all_keeps_the_transaction(both: Both) -> None:
    await made(both, User(id=1, name="a"))
    async with both.session() as session:
        user = await session.get(User, 1)
        flushed = User(name="flushed")
        session.add(flushed)
        await session.flush()
        session.add(User(name="n"))
        user.name = "x"
        await later(session.expunge_all())
        assert user not in session
        assert (plain(session).new, plain(session).dirty) == ((), ())
        await session.commit()
        assert (await session.get(User, 1)).name == "a"
    assert both.column("SELECT name FROM users ORDER BY name") == ["a", "flushed"]


# --- plan -------------------------------------------------------------------------------------------------------------


async def check_plan(both: Both, session: Any, statements: Statements) -> list[str]:
    """The plan sends nothing, and the flush sends just what it says."""
    statements.clear()
    plan = plain(session).plan()
    again = plain(session).plan()
    assert statements == []
    assert str(plan) == str(again)
    await session.flush()
    sent = statements.of("flush")
    assert len(sent) == len(plan), f"{plan}\n{sent}"
    for planned, text in zip(plan, sent, strict=True):
        assert planned.verb in text
        assert all(table in text for table in planned.table.split(", "))
    return str(plan).splitlines()


async def test_the_plan_is_what_the_flush_sends(both: Both, statements: Statements) -> None:
    await made(both, *(User(id=n, name=f"u{n}") for n in (1, 2, 3)), Tag(id=1, name="t"))
    async with both.session() as session:
        one, two, three = await session.get_many(User, [1, 2, 3])
        tag = await session.get(Tag, 1)
        assert str(plain(session).plan()) == "nothing to send"
        user = User(name="new", orders=[Order(items=[Item(name="a", tags=[tag]), Item(name="b")]), Order(note="n")])
        session.add(user)
        one.name = "x"
        two.age = 5
        session.delete(three)
        lines = await check_plan(both, session, statements)
        assert lines == [
            'INSERT "users" (name): 1 row',
            'INSERT "orders" (user_id): 1 row',
            'INSERT "orders" (user_id, note): 1 row',
            'INSERT "items" (order_id, name): 2 rows',
            'UPDATE "users" (name): 1 row',
            'UPDATE "users" (age): 1 row',
            'INSERT "items_tags": 1 row',
            'DELETE "users": 1 row',
        ]
        await session.rollback()


async def test_the_plan_of_trees_takeovers_and_versions(both: Both, statements: Statements) -> None:
    await made(
        both, Sheet(id=1, title="a", code="x"), Sheet(id=2, title="b", code="y"), Sheet(id=3, title="c", code="z")
    )
    async with both.session() as session:
        one, two, three = await session.get_many(Sheet, [1, 2, 3])
        one.code, two.code = two.code, one.code
        session.delete(three)
        session.add(Sheet(title="n", code="z"))
        root = Node(name="root", children=[Node(name="leaf"), Node(name="other")])
        session.add(root)
        plan = await check_plan(both, session, statements)
        assert plan[0] == 'DELETE "sheets": 1 row'
        assert 'INSERT "nodes" (name, parent_id): 2 rows' in plan
        await session.rollback()


async def test_the_plan_of_rows_that_refer_to_each_other(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        team = Team(name="a")
        team.lead = Member(name="m", team=team)
        session.add(team)
        plan = await check_plan(both, session, statements)
        assert plan == [
            'INSERT "teams" (name): 1 row',
            'INSERT "members" (name, team_id, version): 1 row',
            'UPDATE "teams" (lead_id): 1 row',
        ]
        session.delete(team.lead)
        session.delete(team)
        plan = await check_plan(both, session, statements)
        assert plan[-1] == 'DELETE "teams", "members": 2 rows'
        await session.rollback()


async def test_the_plan_tells_its_objects(both: Both) -> None:
    async with both.session() as session:
        users = [User(name="a"), User(name="b")]
        session.add_all(users)
        (statement,) = plain(session).plan()
        assert (statement.verb, statement.columns, statement.rows) == ("INSERT", ("name",), 2)
        assert statement.objects == tuple(users)
        assert repr(statement) == '<INSERT "users" (name): 2 rows>'
        await session.rollback()
