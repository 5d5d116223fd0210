"""SQLAlchemy's `AsyncSession`: selectinload, bulk INSERT and UPDATE by `session.execute`, as its ORM guide recommends.

`expire_on_commit=False` is in its favour: the objects need not be read again for their keys to be looked at.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import selectinload

from benchmarks.adapters.base import CHUNK, CONNECTIONS, AsyncAdapter, peak
from benchmarks.adapters.sqlalchemy_models import Item, Order, Reading, User, busy_users
from benchmarks.clock import Clock
from benchmarks.rows import (
    CHILDREN,
    TOTAL,
    changed_orders,
    criteria,
    new_orders,
    new_readings,
    new_users,
    orders_of_users,
)


class SqlalchemyAsync(AsyncAdapter):
    name = "sqlalchemy-async"
    packages = ("SQLAlchemy", "greenlet")
    imports = "import sqlalchemy.ext.asyncio"

    async def open(self) -> None:
        parts = self.parts
        url = URL.create("postgresql+asyncpg", parts["user"], database=parts["dbname"])
        about = {"host": parts["host"], "port": int(parts["port"])}
        self.engine = create_async_engine(url, pool_size=CONNECTIONS, connect_args=about)

    async def close(self) -> None:
        await self.engine.dispose()

    def session(self) -> AsyncSession:
        return AsyncSession(self.engine, expire_on_commit=False)

    # --- reading --------------------------------------------------------------------------------------------

    async def get(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.session() as session:
                return [await session.get(User, key) for key in range(1, count + 1)]

    async def get_again(self, clock: Clock, count: int) -> User:
        async with self.session() as session:
            user = await session.get(User, 1)
            with clock:
                for _ in range(count):
                    await session.get(User, 1)
            return user

    async def load_users(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.session() as session:
                return (await session.scalars(select(User).where(User.id <= count))).all()

    async def load_orders(self, clock: Clock, count: int) -> list[Order]:
        with clock:
            async with self.session() as session:
                return (await session.scalars(select(Order).where(Order.id <= count))).all()

    async def include(self, clock: Clock, count: int) -> list[User]:
        query = select(User).where(User.id <= count).options(selectinload(User.orders))
        with clock:
            async with self.session() as session:
                return (await session.scalars(query)).all()

    async def include_deep(self, clock: Clock, count: int) -> list[User]:
        query = select(User).where(User.id <= count).options(selectinload(User.orders).selectinload(Order.items))
        with clock:
            async with self.session() as session:
                return (await session.scalars(query)).all()

    async def include_many(self, clock: Clock, count: int) -> list[User]:
        query = select(User).where(User.id <= count).options(selectinload(User.tags))
        with clock:
            async with self.session() as session:
                return (await session.scalars(query)).all()

    async def stream(self, clock: Clock, count: int) -> tuple[int, int]:
        seen = total = 0
        query = select(Reading).execution_options(yield_per=CHUNK)
        with clock, peak(clock):
            async with self.session() as session:
                async for reading in await session.stream_scalars(query):
                    seen += 1
                    total += reading.id
        return seen, total

    # --- writing --------------------------------------------------------------------------------------------

    async def add(self, clock: Clock, count: int) -> list[User]:
        rows = new_users(count)
        users = []
        with clock:
            async with self.session() as session:
                for row in rows:
                    user = User(**row)
                    session.add(user)
                    users.append(user)
                await session.commit()
        return users

    async def add_graph(self, clock: Clock, count: int) -> tuple[list[User], list[Order]]:
        rows, children = new_users(count), new_orders(count * CHILDREN)
        users, orders = [], []
        with clock:
            async with self.session() as session:
                for number, row in enumerate(rows):
                    user = User(**row)
                    user.orders = [Order(**child) for child in children[number * CHILDREN : (number + 1) * CHILDREN]]
                    session.add(user)
                    users.append(user)
                    orders += user.orders
                await session.commit()
        return users, orders

    async def change_all(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.session() as session:
                users = (await session.scalars(select(User).where(User.id <= count))).all()
                for user in users:
                    user.age += 1
                await session.commit()
                return users

    async def change_few(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.session() as session:
                users = (await session.scalars(select(User).where(User.id <= count))).all()
                for user in users[:: max(1, count // 10)][:10]:
                    user.age += 1
                await session.commit()
                return users

    async def bulk_insert(self, clock: Clock, count: int) -> None:
        rows = orders_of_users(count, self.users)
        with clock:
            async with self.session() as session:
                await session.execute(insert(Order), rows)
                await session.commit()

    async def bulk_insert_plain(self, clock: Clock, count: int) -> None:
        rows = new_readings(count)
        with clock:
            async with self.session() as session:
                await session.execute(insert(Reading), rows)
                await session.commit()

    async def bulk_update(self, clock: Clock, count: int) -> None:
        changes = changed_orders(count)
        with clock:
            async with self.session() as session:
                await session.execute(update(Order), changes)
                await session.commit()

    async def delete(self, clock: Clock, count: int) -> None:
        async with self.session() as session:
            items = (await session.scalars(select(Item).where(Item.id <= count))).all()
            await session.commit()
            with clock:
                for item in items:
                    await session.delete(item)
                await session.commit()

    # --- one web transaction, one small graph ---------------------------------------------------------------

    async def web_one(self, number: int) -> tuple[User, list[Order], Order]:
        async with self.session() as session:
            user = await session.get(User, self.key(number))
            last = (
                await session.scalars(select(Order).where(Order.user_id == user.id).order_by(Order.id.desc()).limit(10))
            ).all()
            order = Order(user_id=user.id, number=f"order {number}", total=TOTAL, paid=False, created=user.created)
            session.add(order)
            user.balance -= order.total
            await session.commit()
            return user, last, order

    async def add_one(self, row: dict[str, Any], children: list[dict[str, Any]]) -> tuple[User, list[Order]]:
        async with self.session() as session:
            user = User(**row, orders=[Order(**child) for child in children])
            session.add(user)
            await session.commit()
            return user, user.orders

    # --- the query builder ----------------------------------------------------------------------------------

    async def build(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        values = criteria(count)
        sql, params = "", []
        with clock:
            for value in values:
                made = busy_users(*value).compile(dialect=self.engine.dialect)
                sql, params = str(made), list(made.params.values())
        return sql, params

    async def render(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        queries = [busy_users(*value) for value in criteria(count)]
        sql, params = "", []
        with clock:
            for query in queries:
                made = query.compile(dialect=self.engine.dialect)
                sql, params = str(made), list(made.params.values())
        return sql, params
