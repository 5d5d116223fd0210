"""Piccolo: objects, insert of many, save of the changed columns, as its docs recommend."""

from __future__ import annotations

from typing import Any

from piccolo.engine.postgres import PostgresEngine

from benchmarks.adapters.base import CHUNK, CONNECTIONS, AsyncAdapter, peak
from benchmarks.adapters.piccolo_models import ALL, Item, Order, Reading, User
from benchmarks.clock import Clock
from benchmarks.rows import CHILDREN, TOTAL, criteria, new_orders, new_readings, new_users, orders_of_users

PAGE = 1_000  # rows of one INSERT: a statement has at most 32,767 parameters


class Piccolo(AsyncAdapter):
    name = "piccolo"
    packages = ("piccolo",)
    imports = "import piccolo.table"
    missing = {
        "get_again": "there is no identity map",
        "include": "to-many relations can't be loaded into objects",
        "include_deep": "to-many relations can't be loaded into objects",
        "include_many": "to-many relations can't be loaded into objects for all rows of a query",
        "bulk_update": "many rows can't be given different values in one statement",
    }

    async def open(self) -> None:
        parts = self.parts
        self.engine = PostgresEngine(
            {
                "host": parts["host"],
                "port": int(parts["port"]),
                "user": parts["user"],
                "database": parts["dbname"],
            },
            extensions=(),
        )
        for table in ALL:
            table._meta.db = self.engine
        await self.engine.start_connection_pool(min_size=1, max_size=CONNECTIONS)

    async def close(self) -> None:
        await self.engine.close_connection_pool()

    # --- reading --------------------------------------------------------------------------------------------

    async def get(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.engine.transaction():
                return [await _user(key) for key in range(1, count + 1)]

    async def load_users(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.engine.transaction():
                return await _users(count)

    async def load_orders(self, clock: Clock, count: int) -> list[Order]:
        with clock:
            async with self.engine.transaction():
                return await Order.objects().where(Order.id <= count)

    async def stream(self, clock: Clock, count: int) -> tuple[int, int]:
        seen = total = 0
        with clock, peak(clock):
            async with await Reading.objects().batch(batch_size=CHUNK) as batches:
                async for batch in batches:
                    seen += len(batch)
                    total += sum(reading.id for reading in batch)
        return seen, total

    # --- writing --------------------------------------------------------------------------------------------

    async def add(self, clock: Clock, count: int) -> list[User]:
        rows = new_users(count)
        with clock:
            async with self.engine.transaction():
                users = [User(**row) for row in rows]
                await _insert(User, users)
                return users

    async def add_graph(self, clock: Clock, count: int) -> tuple[list[User], list[Order]]:
        rows, children = new_users(count), new_orders(count * CHILDREN)
        with clock:
            async with self.engine.transaction():
                users = [User(**row) for row in rows]
                await _insert(User, users)
                orders = [
                    Order(user_id=user.id, **child)
                    for number, user in enumerate(users)
                    for child in children[number * CHILDREN : (number + 1) * CHILDREN]
                ]
                await _insert(Order, orders)
                return users, orders

    async def change_all(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.engine.transaction():
                users = await _users(count)
                for user in users:
                    user.age += 1
                    await user.save(columns=[User.age])
                return users

    async def change_few(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.engine.transaction():
                users = await _users(count)
                for user in users[:: max(1, count // 10)][:10]:
                    user.age += 1
                    await user.save(columns=[User.age])
                return users

    async def bulk_insert(self, clock: Clock, count: int) -> None:
        orders = [Order(**row) for row in orders_of_users(count, self.users)]
        with clock:
            async with self.engine.transaction():
                await _insert(Order, orders)

    async def bulk_insert_plain(self, clock: Clock, count: int) -> None:
        readings = [Reading(**row) for row in new_readings(count)]
        with clock:
            async with self.engine.transaction():
                await _insert(Reading, readings)

    async def delete(self, clock: Clock, count: int) -> None:
        items = await Item.objects().where(Item.id <= count)
        with clock:
            async with self.engine.transaction():
                await Item.delete().where(Item.id.is_in([item.id for item in items]))

    # --- one web transaction, one small graph ---------------------------------------------------------------

    async def web_one(self, number: int) -> tuple[User, list[Order], Order]:
        async with self.engine.transaction():
            user = await _user(self.key(number))
            last = await Order.objects().where(Order.user_id == user.id).order_by(Order.id, ascending=False).limit(10)
            order = Order(user_id=user.id, number=f"order {number}", total=TOTAL, paid=False, created=user.created)
            await order.save()
            user.balance -= order.total
            await user.save(columns=[User.balance])
            return user, last, order

    async def add_one(self, row: dict[str, Any], children: list[dict[str, Any]]) -> tuple[User, list[Order]]:
        async with self.engine.transaction():
            user = User(**row)
            await user.save()
            orders = [Order(user_id=user.id, **child) for child in children]
            await _insert(Order, orders)
            return user, orders

    # --- the query builder ----------------------------------------------------------------------------------

    async def build(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        values = criteria(count)
        made: Any = None
        with clock:
            for value in values:
                made = _busy_orders(value).querystrings[0].compile_string()
        return made

    async def render(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        queries = [_busy_orders(value) for value in criteria(count)]
        made: Any = None
        with clock:
            for query in queries:
                made = query.querystrings[0].compile_string()
        return made


async def _users(count: int) -> list[User]:
    return await User.objects().where(User.id <= count).output(load_json=True)


async def _user(key: int) -> User:
    return await User.objects().where(User.id == key).first().output(load_json=True)


async def _insert(table: Any, objects: list[Any]) -> None:
    for first in range(0, len(objects), PAGE):
        await table.insert(*objects[first : first + PAGE])


def _busy_orders(value: tuple[Any, ...]) -> Any:
    """Build the join from its other end: Piccolo joins along foreign keys only."""
    age, city, active, total, until = value
    return Order.select(Order.user_id.all_columns()).where(
        Order.user_id.age > age,
        Order.user_id.city == city,
        Order.user_id.active == active,
        Order.total >= total,
        Order.created < until,
    )
