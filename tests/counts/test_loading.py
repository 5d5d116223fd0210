"""W2 and W3: no call of a Python function for a row that is loaded, nor for an object that is attached to another."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    AsyncSession,
    Column,
    Engine,
    PSQLModel,
    Relation,
    Select,
    Session,
    create_async_engine,
    create_engine,
)
from psqlmodel import table as mapped
from psqlmodel.embedded import Server

from .calls import awaited_calls_of, calls_of

FEW, MANY = 20, 1200  # users; the loader pauses the collector for MANY
ORDERS = 3  # of each

# What a large result costs beside a small one: a pause of the collector for each class that is loaded and each relation
# that is attached (5), and the look through what the session had (2). None of it is for a row.
LARGE = 30

# The list of a to-many relation is made at its first access: the attribute is missing, its raw name, what is handed
# out, wrapped, the way back of the relation, the list. Nothing for its items, which are told their parent.
LIST = 9

# JSON is decoded at its first access; the object then has a state of its own, which remembers the text.
JSON = 11


@mapped("counted_cities")
class City(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]


@mapped("counted_users")
class User(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    balance: Column[Decimal]
    created: Column[datetime]
    info: Column[dict[str, Any] | None]
    city_id: Column[int] = Column(foreign_key="counted_cities.id")
    city: Relation[City] = Relation()
    orders: Relation[list[Order]] = Relation()
    tags: Relation[list[Tag]] = Relation(secondary="counted_user_tags")


@mapped("counted_orders")
class Order(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    user_id: Column[int] = Column(foreign_key="counted_users.id")
    user: Relation[User] = Relation()


@mapped("counted_tags")
class Tag(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]


@mapped("counted_user_tags")
class UserTag(PSQLModel):
    user_id: Column[int] = Column(primary_key=True, foreign_key="counted_users.id")
    tag_id: Column[int] = Column(primary_key=True, foreign_key="counted_tags.id")


ROWS = f"""
INSERT INTO counted_cities SELECT n, 'city ' || n FROM generate_series(1, 5) n;
INSERT INTO counted_users SELECT n, 'user ' || n, n / 4.0, now(), '{{"level": 1}}', n % 5 + 1
    FROM generate_series(1, {MANY}) n;
INSERT INTO counted_orders SELECT n, (n - 1) / {ORDERS} + 1 FROM generate_series(1, {MANY * ORDERS}) n;
INSERT INTO counted_tags SELECT n, 'tag ' || n FROM generate_series(1, 5) n;
INSERT INTO counted_user_tags SELECT u, t FROM generate_series(1, {MANY}) u, generate_series(1, 2) t;
"""


@pytest.fixture(scope="module")
def dsn(server: Server) -> str:
    made = server.create_database("counts_of_loading")
    with create_engine(made) as engine:
        engine.create_all([City, User, Order, Tag, UserTag])
        for statement in ROWS.strip().split(";\n"):
            engine.execute(statement.rstrip(";"))
    return made


@pytest.fixture(scope="module")
def engine(dsn: str) -> Iterator[Engine]:
    with create_engine(dsn) as made:
        yield made


def queries() -> dict[str, Any]:
    """Return what is loaded; relations are known only when all classes are."""
    return {
        "users": Select(User),
        "and their orders": Select(User).Include(User.orders),
        "and their tags": Select(User).Include(User.tags),
        "and their cities": Select(User).Include(User.city),
        "and everything": Select(User).Include(User.orders, User.tags, User.city),
    }


@pytest.mark.parametrize("name", queries())
def test_rows_cost_no_calls(engine: Engine, name: str) -> None:
    def load(count: int) -> int:
        with Session(engine) as session:
            return len(session.exec(queries()[name].Where(User.id <= count)).all())

    assert (load(FEW), load(MANY)) == (FEW, MANY)
    few, many = calls_of(lambda: load(FEW)), calls_of(lambda: load(MANY))
    assert many - few <= LARGE


@pytest.mark.parametrize("name", queries())
async def test_rows_cost_no_calls_awaited(dsn: str, name: str) -> None:
    async with create_async_engine(dsn) as engine:

        async def load(count: int) -> int:
            async with AsyncSession(engine) as session:
                return len(await session.exec(queries()[name].Where(User.id <= count)).all())

        assert (await load(FEW), await load(MANY)) == (FEW, MANY)
        few, many = await awaited_calls_of(lambda: load(FEW)), await awaited_calls_of(lambda: load(MANY))
        assert many - few <= LARGE


async def test_the_collector_looks_at_what_is_made_and_not_at_rows(dsn: str) -> None:
    """Two runs for three results, after the rows are gone: with a run for each fetch loading takes a tenth longer."""
    runs: list[int] = []
    others = 0  # rows that something else keeps

    def watch(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            runs.append(len(rows_alive()) - others)

    query = Select(User).Include(User.orders.Include(Order.user), User.tags)
    async with create_async_engine(dsn) as engine:
        for _ in range(2):  # after the first time it is known which results are large
            gc.collect()
            before, others = gc.get_threshold(), len(rows_alive())
            gc.callbacks.append(watch)
            try:
                async with AsyncSession(engine) as session:
                    loaded = await session.exec(query).all()
                    alive = len(rows_alive()) - others
            finally:
                gc.callbacks.remove(watch)
            assert (len(loaded), alive) == (MANY, 0)
            await asyncio.sleep(0)
            assert gc.get_threshold() == before
            made, runs = runs, []
    assert made == [0] * len(made)
    assert len(made) <= 2


def rows_alive() -> list[Any]:
    return [each for each in gc.get_objects() if type(each).__name__ == "Record"]


def test_what_the_objects_give(engine: Engine) -> None:
    with Session(engine) as session:
        users = session.exec(Select(User).Include(User.orders)).all()
        _ = users[0].orders  # the relation knows its way back now
        some = users[1:101]
        assert calls_of(lambda: [user.orders for user in some]) <= LIST * len(some)
        assert calls_of(lambda: [user.info for user in some]) <= JSON * len(some)
        assert calls_of(lambda: [(user.name, user.info, user.orders) for user in some]) == 0
        assert calls_of(lambda: [order.user.name for user in some for order in user.orders]) == 0
        assert all(order.user is user for user in some for order in user.orders)
