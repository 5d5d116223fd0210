"""What programs of psqlmodel 0.9 say, on both sessions: names, save and delete, filter, to_dicts, OrderBy(…).Desc()."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import psqlmodel
from psqlmodel import (
    AsyncTransaction,
    BulkDelete,
    BulkInsert,
    BulkUpdate,
    CheckConstraint,
    CheckViolation,
    Column,
    Engine,
    ForeignKeyConstraint,
    ForeignKeyViolation,
    InvalidValueError,
    MappingError,
    NoActiveSessionError,
    NotExists,
    ObjectStateError,
    PrimaryKeyConstraint,
    PSQLModel,
    QueryError,
    Scalar,
    Select,
    Transaction,
    UniqueConstraint,
    UniqueViolation,
    table,
)

from .both import Both
from .models import Item, Order, Tag, User


@table("former_orders")
class Former(PSQLModel):
    id: Column[int] = Column(primary_key=True)


@table(
    "former_lines",
    constraints=[
        PrimaryKeyConstraint("order_id", "number", name="former_key"),
        ForeignKeyConstraint(["order_id"], "former_orders.id", on_delete="CASCADE"),
        UniqueConstraint("code"),
        CheckConstraint("number > 0", name="former_positive"),
    ],
)
class Line(PSQLModel):
    order_id: Column[int]
    number: Column[int]
    code: Column[str | None]


@pytest.fixture(autouse=True, scope="module")
def tables(plain_sql: Engine) -> None:
    plain_sql.create_all([Former, Line])


NAMES = """
Select Insert Update Delete With BulkInsert BulkUpdate BulkDelete Count Sum Avg Case Coalesce Now Lower Upper
Func Exists NotExists Scalar Excluded Transaction AsyncTransaction UniqueConstraint PrimaryKeyConstraint
ForeignKeyConstraint CheckConstraint Index Session AsyncSession SessionManager create_engine
create_async_engine PSQLModel Column Relation table integer bigint smallint serial bigserial varchar char text
bytea boolean real double numeric money date time timestamp interval jsonb json uuid bit varbit point line
circle polygon
""".split()  # noqa: SIM905 - a list would be sixty lines


@pytest.mark.parametrize("name", NAMES)
def test_the_names_are_there(name: str) -> None:
    assert getattr(psqlmodel, name) is not None
    assert name in psqlmodel.__all__


async def done(value: Any) -> Any:
    """What `save` and `.all()` give is awaited in an asynchronous session, and there already in the other."""
    return await value if inspect.isawaitable(value) else value


async def test_save_and_delete_in_the_current_session(both: Both) -> None:
    async with both.session() as session:
        user = User(name="Ada")
        await done(user.save())
        assert user.id is not None
        user.name = "Ada L."
        await done(user.save())
        await session.commit()
        assert both.column("SELECT name FROM users") == ["Ada L."]
        await done(user.delete())
        assert both.statements.verbs[-1] == "DELETE"
        await session.commit()
    assert both.column("SELECT name FROM users") == []
    with pytest.raises(NoActiveSessionError):
        user.save()


def test_the_names_of_the_methods_are_no_columns() -> None:
    with pytest.raises(MappingError, match="save: the name is reserved"):

        class Saved(PSQLModel):
            save: Column[int]


async def test_filter_asks_the_database_for_related_rows(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 5), (2, 1, 20), (3, 1, 30), (4, 2, 50)")
    async with both.session() as session:
        user = await (await session.exec(Select(User).Where(User.id == 1).Include(User.orders))).one()
        large = user.orders.filter(Order.total > 10).OrderBy(Order.total).Desc()
        assert [order.id for order in await done(large.all())] == [3, 2]
        assert (await done(user.orders.filter(Order.note == "x").first())) is None
        with pytest.raises(ObjectStateError, match="has no row yet"):
            User(name="new").orders.filter()


async def test_filter_of_many_to_many(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    both.sql("INSERT INTO items (id, order_id, name) VALUES (1, 1, 'a'), (2, 1, 'b')")
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'red'), (2, 'rare'), (3, 'red too')")
    async with both.session() as session:
        items = [await session.get(Item, key) for key in (1, 2)]
        await session.load(items, Item.tags)
        tags = [await session.get(Tag, key) for key in (1, 2, 3)]
        items[0].tags.extend(tags[:2])
        items[1].tags.append(tags[2])
        await session.commit()
        found = await done(items[0].tags.filter(Tag.name.Like("red%")).all())
        assert found == [tags[0]]


async def test_to_dicts(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 5)")
    async with both.session() as session:
        users = await (await session.exec(Select(User))).to_dicts()
        assert [(user["id"], user["name"], user["status"]) for user in users] == [(1, "Ada", None)]
        rows = await (await session.exec(Select(User.id, User.name))).to_dicts()
        assert rows == [{"id": 1, "name": "Ada"}]
        pairs = await (await session.exec(Select(User, Order).Join(Order, Order.user_id == User.id))).to_dicts()
        assert [sorted(type(value).__name__ for value in pair.values()) for pair in pairs] == [["dict", "dict"]]
        assert await (await session.exec("SELECT 1 AS one")).to_dicts() == [{"one": 1}]


async def test_the_direction_of_the_last_order(both: Both) -> None:
    both.sql(
        "INSERT INTO users (name, age, status) VALUES ('a', 1, 'x'), ('b', 2, 'x'), ('c', 2, 'y'), ('d', NULL, 'y')"
    )
    orders = {
        "dcba": Select(User).OrderBy(User.name).Desc(),
        "abcd": Select(User).OrderBy(User.name).Desc().Asc(),
        "badc": Select(User).OrderBy(User.status).OrderBy(User.name).Desc(),
        "cbad": Select(User).OrderBy(User.age.NullsLast(), User.name).Desc(),
    }
    async with both.session() as session:
        for _ in range(2):  # the texts are kept by what was called
            for expected, query in orders.items():
                found = await (await session.exec(query)).all()
                assert "".join(user.name for user in found) == expected
    with pytest.raises(QueryError, match="Desc\\(\\) comes after OrderBy"):
        Select(User).Desc()


async def test_transactions_commit_by_themselves(both: Both) -> None:
    if isinstance(both.engine, Engine):
        with Transaction(both.engine) as tx:
            tx.add(User(name="Ada"))
    else:
        async with AsyncTransaction(both.engine) as atx:
            await atx.add(User(name="Ada"))
    assert both.column("SELECT name FROM users") == ["Ada"]


async def test_bulk_statements(both: Both) -> None:
    async with both.session() as session:
        rows = [{"id": n, "name": f"n{n}", "age": n} for n in range(1, 5)]
        await session.exec(BulkInsert(User, rows))
        changed = await session.exec(BulkUpdate(User, User.id, [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}]))
        assert changed.rowcount == 2
        await session.exec(BulkDelete(User, "id", [3, 4]))
        await session.commit()
    assert both.column("SELECT name FROM users ORDER BY id") == ["x", "y"]
    with pytest.raises(InvalidValueError, match="rows that all have 'id'"):
        BulkUpdate(User, User.id, [{"id": 1, "name": "x"}, {"name": "y"}])
    with pytest.raises(MappingError, match="no column 'nothing'"):
        BulkDelete(User, "nothing", [1])


async def test_subqueries(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 5)")
    ordered = Select(Order).Where(Order.user_id == User.id)
    newest = Select(User.name).OrderBy(User.id).Desc().Limit(1)
    async with both.session() as session:
        without = await (await session.exec(Select(User).Where(NotExists(ordered)))).all()
        assert [user.name for user in without] == ["Bob"]
        assert await session.exec_scalar(Select(Scalar(newest))) == "Bob"


async def test_constraints(both: Both) -> None:
    both.sql("INSERT INTO former_orders (id) VALUES (1)")
    assert [column.key for column in Line.__mapper__.primary_key] == ["order_id", "number"]
    async with both.session() as session:
        await session.add(Line(order_id=1, number=1, code="a"))
        await session.commit()
        assert (await session.get(Line, (1, 1))).code == "a"
        for line, error, name in (
            (Line(order_id=1, number=1), UniqueViolation, "former_key"),
            (Line(order_id=1, number=2, code="a"), UniqueViolation, "former_lines_code"),
            (Line(order_id=1, number=0), CheckViolation, "former_positive"),
            (Line(order_id=9, number=1), ForeignKeyViolation, "former_lines_order_id"),
        ):
            await session.add(line)
            with pytest.raises(error) as refused:
                await session.flush()
            assert name in str(refused.value.constraint)
            await session.rollback()
    with pytest.raises(MappingError, match="columns of one table"):
        ForeignKeyConstraint(["a", "b"], "x.a, y.b")
