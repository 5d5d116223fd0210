"""A small flush is one statement; where it is the whole transaction, it needs neither BEGIN nor COMMIT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from psqlmodel import AsyncEngine, Column, Engine, PSQLModel, Select
from psqlmodel import table as mapped
from psqlmodel.core.unitofwork.parts import MOST_ROWS
from psqlmodel.errors import (
    CheckViolation,
    CommitOutcomeUnknown,
    ConnectionLost,
    InvalidValueError,
    NotNullViolation,
    StaleObjectError,
    UniqueViolation,
)
from psqlmodel.steps import Statement

from .both import Both, Statements
from .models import Item, Node, Order, Profile, Tag, User
from .versioned import Sheet, make_tables


@mapped("together_left")
class Left(PSQLModel):
    id: Column[int] = Column(primary_key=True)


@mapped("together_right")
class Right(PSQLModel):
    number: Column[int] = Column(name="id", primary_key=True)


@pytest.fixture(autouse=True, scope="module")
def tables(plain_sql: Engine, sync_engine: Engine, async_engine: AsyncEngine) -> None:
    make_tables(plain_sql)
    plain_sql.create_all([Left, Right])
    for engine in (sync_engine, async_engine):
        engine.catalog.read_committed = True  # which an engine learns with its first connection


def sent(statements: Statements) -> list[str]:
    return [event.text.split()[0] for event in statements]


async def test_a_parent_with_children_is_one_statement(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        ada = User(name="Ada", orders=[Order(note="a"), Order(note="b", total=3)])
        session.add(ada)
        await session.commit()
        assert sent(statements) == ["WITH"]
        assert [order.user_id for order in ada.orders] == [ada.id, ada.id]
        assert [order.id for order in ada.orders] == sorted(order.id for order in ada.orders)
        assert ada.visits == 0
        assert await session.get(User, ada.id) is ada
        found = both.sql("SELECT note, total, user_id FROM orders ORDER BY id")
        assert [tuple(row) for row in found] == [("a", 0, ada.id), ("b", 3, ada.id)]
        ada.orders[0].note = "c"
        await session.commit()
    assert both.column("SELECT note FROM orders ORDER BY id") == ["c", "b"]


async def test_parents_that_are_there_and_parents_that_come(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        old = User(name="old")
        session.add(old)
        await session.commit()
        statements.clear()
        new = User(name="new", profile=Profile(bio="b"))
        orders = [Order(user=new), Order(user=old), Order(user_id=old.id), Order(user=new, note="n")]
        session.add_all(orders)
        await session.commit()
        assert sent(statements) == ["WITH"]
        assert both.column("SELECT user_id FROM orders ORDER BY id") == [o.user_id for o in sorted(orders, key=by_id)]
        assert [order.user_id for order in orders] == [new.id, old.id, old.id, new.id]


async def test_results_that_look_alike_belong_to_different_classes(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        tag = Tag(name="a")
        session.add(tag)
        await session.commit()
        for name, new in (("b", Left()), ("c", Right()), ("d", Left()), ("e", Right())):
            tag.name = name
            session.add(new)
            statements.clear()
            await session.commit()
            assert sent(statements) == ["WITH"]
            column = "id" if isinstance(new, Left) else "number"
            assert new.__dict__ == {column: getattr(new, column)}
            assert await session.get(type(new), getattr(new, column)) is new


def by_id(obj: Any) -> int:
    key: int = obj.id
    return key


async def test_three_levels_and_a_tree(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        user = User(name="u", orders=[Order(items=[Item(name=f"i{n}") for n in range(3)]) for _ in range(2)])
        root = Node(name="root", children=[Node(name="a", children=[Node(name="b")]), Node(name="c")])
        session.add_all([user, root])
        await session.commit()
        assert sent(statements) == ["WITH"]
        assert [item.order_id for order in user.orders for item in order.items] == [
            order.id for order in user.orders for _ in range(3)
        ]
        assert root.children[0].children[0].parent_id == root.children[0].id
    assert both.value("SELECT count(*) FROM items JOIN orders o ON o.id = order_id JOIN users u ON u.id = user_id") == 6
    assert both.column("SELECT p.name FROM nodes n JOIN nodes p ON p.id = n.parent_id ORDER BY n.name") == [
        "root",
        "a",
        "root",
    ]


async def test_new_and_changed_rows_go_together_within_a_transaction_too(both: Both, statements: Statements) -> None:
    both.sql("INSERT INTO users (id, name, age) VALUES (1, 'Ada', 5), (2, 'Bob', 6)")
    async with both.session() as session:
        users = await session.exec(Select(User).OrderBy(User.id).ForUpdate()).all()
        statements.clear()
        for user in users:
            user.age += 1
        session.add_all([Order(user=users[0]), Tag(name="t")])
        await session.commit()
        assert sent(statements) == ["WITH", "COMMIT"]
    assert both.column("SELECT age FROM users ORDER BY id") == [6, 7]
    assert both.value("SELECT user_id FROM orders") == 1


async def test_a_change_alone_is_one_statement(both: Both, statements: Statements) -> None:
    both.sql("INSERT INTO users (id, name, age) VALUES (1, 'Ada', 5)")
    async with both.session() as session:
        user = await session.get(User, 1)
        user.name = "Eve"
        statements.clear()
        await session.commit()
        assert sent(statements) == ["WITH"]
        assert not session.dirty
    assert both.value("SELECT name FROM users") == "Eve"


@pytest.mark.parametrize("count", [1, 3])
async def test_a_deletion_alone_is_one_statement(both: Both, statements: Statements, count: int) -> None:
    both.sql("INSERT INTO users (name) SELECT 'u' || n FROM generate_series(1, 3) AS n")
    async with both.session() as session:
        users = await session.exec(Select(User).OrderBy(User.id)).all()
        for user in users[:count]:
            session.delete(user)
        statements.clear()
        await session.commit()
        assert sent(statements) == ["WITH"]
        assert users[0] not in session
    assert both.value("SELECT count(*) FROM users") == 3 - count


async def test_a_deletion_of_what_is_gone_is_named(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'a'), (2, 'b')")
    async with both.session() as session:
        users = await session.exec(Select(User).OrderBy(User.id)).all()
        both.sql("DELETE FROM users WHERE id = 1")
        for user in users:
            session.delete(user)
        with pytest.raises(StaleObjectError, match=r"DELETE.*did not find 1 of 2 rows \(User 1\)"):
            await session.commit()
        assert users[1] in session
        session.delete(users[1])
        await session.commit()
    assert both.value("SELECT count(*) FROM users") == 0


async def test_a_row_that_is_gone_is_named_and_nothing_is_written(both: Both) -> None:
    both.sql("INSERT INTO users (id, name, age) VALUES (1, 'Ada', 5), (2, 'Bob', 6)")
    async with both.session() as session:
        users = await session.exec(Select(User).OrderBy(User.id)).all()
        both.sql("DELETE FROM users WHERE id = 2")
        for user in users:
            user.age = 0
        session.add(Tag(name="t"))
        with pytest.raises(StaleObjectError, match=r"did not find 1 of 2 rows \(User 2\)") as caught:
            await session.commit()
        assert caught.value.objects == (users[1],)
        assert caught.value.changes == ({"age": 0},)
        assert [user.age for user in users] == [5, 6]
        users[0].age = 7
        await session.commit()
    assert both.column("SELECT age FROM users") == [7]
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_a_version_that_moved_on_is_refused(both: Both) -> None:
    both.sql("INSERT INTO sheets (id, title, version) VALUES (1, 'a', 1), (2, 'b', 1)")
    async with both.session() as session:
        one, two = await session.exec(Select(Sheet).OrderBy(Sheet.id)).all()
        both.sql("UPDATE sheets SET version = 2 WHERE id = 1")
        one.title, two.title = "x", "y"
        with pytest.raises(StaleObjectError, match="Sheet 1"):
            await session.commit()
        await session.refresh(one)
        one.title, two.title = "x", "y"
        await session.commit()
        assert (one.version, two.version) == (3, 2)
    assert both.column("SELECT title FROM sheets ORDER BY id") == ["x", "y"]


@pytest.mark.parametrize(
    ("item", "error", "column"),
    [
        (Item(name="i", price=-1), CheckViolation, "price"),
        (Item(name=None), NotNullViolation, "name"),
    ],
)
async def test_an_error_names_the_object_of_its_table(
    both: Both, item: Item, error: type[Exception], column: str
) -> None:
    wrong = Item(**{key: getattr(item, key) for key in ("name", "price") if key in item.__dict__})
    async with both.session() as session:
        order = Order(user=User(name="u"), items=[Item(name="a"), wrong])
        session.add(order)
        with pytest.raises(error) as caught:
            await session.commit()
        found: Any = caught.value
        assert (found.model, found.object, found.columns) == (Item, wrong, (column,))
        assert order.id is None
        assert order not in session
    assert both.value("SELECT count(*) FROM users") == 0


async def test_after_a_refusal_the_next_statement_begins_a_transaction(both: Both) -> None:
    async with both.session() as session:
        session.add_all([Tag(name="t"), User(name=7)])
        with pytest.raises(InvalidValueError):
            await session.commit()
        await session.rollback()
        session.add(Tag(name="lost"))
        await session.flush()
        await session.rollback()
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_who_listens_after_the_flush_is_within_the_transaction(both: Both, statements: Statements) -> None:
    def refuse(_: Any) -> None:
        raise RuntimeError("no")

    async with both.session() as session:
        _ = session.on("after_flush", refuse)
        session.add(Tag(name="t"))
        with pytest.raises(RuntimeError):
            await session.commit()
        await session.rollback()
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_a_large_flush_is_a_statement_for_each_table(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        session.add(User(name="u", orders=[Order() for _ in range(MOST_ROWS)]))
        await session.commit()
    assert statements.verbs == ["INSERT", "INSERT"]
    assert sent(statements)[-1] == "COMMIT"


@pytest.fixture
def watched(both: Both) -> Iterator[None]:
    """A trigger that wants to see the user of an order."""
    both.sql(
        "CREATE FUNCTION sees_user() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "NEW.note := (SELECT name FROM users WHERE id = NEW.user_id); RETURN NEW; END $$"
    )
    both.sql("CREATE TRIGGER seen BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION sees_user()")
    both.engine.catalog.invalidate()
    yield
    both.sql("DROP TRIGGER seen ON orders")
    both.sql("DROP FUNCTION sees_user()")
    both.engine.catalog.invalidate()


@pytest.mark.usefixtures("watched")
async def test_tables_with_triggers_are_written_one_after_the_other(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        user = User(name="Ada", orders=[Order()])
        session.add(user)
        await session.commit()
        assert sent(statements)[-3:] == ["INSERT", "INSERT", "COMMIT"]
        assert user.orders[0].note == "Ada"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_lost_answer_is_an_unknown_outcome(both: Both, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    async with both.session() as session:
        tag = Tag(name="t")
        session.add(tag)
        cut(both, monkeypatch, when)
        with pytest.raises(CommitOutcomeUnknown, match="whole transaction") as caught:
            await session.commit()
        assert isinstance(caught.value, ConnectionLost)
        monkeypatch.undo()
        assert tag not in session
        assert tag.id is None
        assert await session.exec_scalar("SELECT count(*) FROM tags") == (when == "after")


def cut(both: Both, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Lose the connection at the next INSERT."""
    from psqlmodel.drivers import asyncpg, psycopg2

    driver: Any = psycopg2 if both.is_sync else asyncpg
    send = driver.Connection.execute

    def execute(self: Any, request: Any) -> Any:
        if not (isinstance(request, Statement) and request.text.startswith("INSERT")):
            return send(self, request)
        if when == "after":
            send(self, request)
        self.close()
        raise ConnectionLost("cut", statement=request.text)

    async def execute_async(self: Any, request: Any) -> Any:
        if not (isinstance(request, Statement) and request.text.startswith("INSERT")):
            return await send(self, request)
        if when == "after":
            await send(self, request)
        self.terminate()
        raise ConnectionLost("cut", statement=request.text)

    monkeypatch.setattr(driver.Connection, "execute", execute if both.is_sync else execute_async)


async def test_a_duplicate_is_named_and_the_session_goes_on(both: Both) -> None:
    both.sql("INSERT INTO tags (name) VALUES ('a')")
    async with both.session() as session:
        tag = Tag(name="a")
        session.add(tag)
        with pytest.raises(UniqueViolation) as caught:
            await session.commit()
        assert caught.value.object is tag
        tag.name = "b"
        session.add(tag)
        await session.commit()
    assert both.column("SELECT name FROM tags ORDER BY id") == ["a", "b"]


@pytest.mark.parametrize("count", [1, 2])
async def test_rows_that_come_and_rows_that_change_in_the_same_columns_are_told_apart(both: Both, count: int) -> None:
    """What a shape decided is kept: an UPDATE must not find what an INSERT of the same columns left there."""
    async with both.session() as session:
        users = [User(name=f"u{n}") for n in range(count)]
        session.add_all([Tag(name="a"), *users])
        await session.commit()
        for user in users:
            user.name += "!"
        session.add(Tag(name="b"))
        await session.commit()
        session.add_all([Tag(name="c"), *[User(name=f"v{n}") for n in range(count)]])
        await session.commit()
    names = [f"u{n}!" for n in range(count)] + [f"v{n}" for n in range(count)]
    assert both.column("SELECT name FROM users ORDER BY id") == names
    assert both.column("SELECT name FROM tags ORDER BY id") == ["a", "b", "c"]
