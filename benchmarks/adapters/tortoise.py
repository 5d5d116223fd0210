"""Tortoise ORM: prefetch_related, bulk_create, bulk_update in batches, as its docs recommend."""

from __future__ import annotations

from typing import Any

from tortoise import Tortoise as Library
from tortoise.transactions import in_transaction

from benchmarks.adapters.base import CONNECTIONS, AsyncAdapter
from benchmarks.adapters.tortoise_models import Item, Order, Reading, User
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

BATCH = 100  # of bulk_update, whose statement costs more than its rows do


class Tortoise(AsyncAdapter):
    name = "tortoise"
    packages = ("tortoise-orm",)
    imports = "import tortoise.models"
    missing = {
        "get_again": "there is no identity map",
        "stream": "rows come all at once",
    }

    async def open(self) -> None:
        parts = self.parts
        credentials = {
            "host": parts["host"],
            "port": int(parts["port"]),
            "user": parts["user"],
            "password": None,
            "database": parts["dbname"],
            "minsize": 1,
            "maxsize": CONNECTIONS,
        }
        await Library.init(
            config={
                "connections": {"default": {"engine": "tortoise.backends.asyncpg", "credentials": credentials}},
                "apps": {"bench": {"models": ["benchmarks.adapters.tortoise_models"]}},
                "use_tz": True,
            }
        )

    async def close(self) -> None:
        await Library.close_connections()

    # --- reading --------------------------------------------------------------------------------------------

    async def get(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with in_transaction():
                return [await User.get(id=key) for key in range(1, count + 1)]

    async def load_users(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with in_transaction():
                return await User.filter(id__lte=count)

    async def load_orders(self, clock: Clock, count: int) -> list[Order]:
        with clock:
            async with in_transaction():
                return await Order.filter(id__lte=count)

    async def _prefetch(self, clock: Clock, count: int, name: str) -> list[User]:
        with clock:
            async with in_transaction():
                return await User.filter(id__lte=count).prefetch_related(name)

    async def include(self, clock: Clock, count: int) -> list[User]:
        return await self._prefetch(clock, count, "orders")

    async def include_deep(self, clock: Clock, count: int) -> list[User]:
        return await self._prefetch(clock, count, "orders__items")

    async def include_many(self, clock: Clock, count: int) -> list[User]:
        return await self._prefetch(clock, count, "tags")

    # --- writing --------------------------------------------------------------------------------------------

    async def add(self, clock: Clock, count: int) -> list[User]:
        """Not bulk_create, which leaves the objects without keys."""
        rows = new_users(count)
        with clock:
            async with in_transaction():
                return [await User.create(**row) for row in rows]

    async def add_graph(self, clock: Clock, count: int) -> tuple[list[User], list[Order]]:
        rows, children = new_users(count), new_orders(count * CHILDREN)
        users, orders = [], []
        with clock:
            async with in_transaction():
                for number, row in enumerate(rows):
                    user = await User.create(**row)
                    users.append(user)
                    own = children[number * CHILDREN : (number + 1) * CHILDREN]
                    orders += [await Order.create(user=user, **child) for child in own]
        return users, orders

    async def change_all(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with in_transaction():
                users = await User.filter(id__lte=count)
                for user in users:
                    user.age += 1
                await User.bulk_update(users, fields=["age"], batch_size=BATCH)
                return users

    async def change_few(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with in_transaction():
                users = await User.filter(id__lte=count)
                changed = users[:: max(1, count // 10)][:10]
                for user in changed:
                    user.age += 1
                await User.bulk_update(changed, fields=["age"])
                return users

    async def bulk_insert(self, clock: Clock, count: int) -> None:
        orders = [Order(**row) for row in orders_of_users(count, self.users)]
        with clock:
            async with in_transaction():
                await Order.bulk_create(orders)

    async def bulk_insert_plain(self, clock: Clock, count: int) -> None:
        readings = [Reading(**row) for row in new_readings(count)]
        with clock:
            async with in_transaction():
                await Reading.bulk_create(readings)

    async def bulk_update(self, clock: Clock, count: int) -> None:
        orders = [_changed(row) for row in changed_orders(count)]
        with clock:
            async with in_transaction():
                await Order.bulk_update(orders, fields=["total", "paid"], batch_size=BATCH)

    async def delete(self, clock: Clock, count: int) -> None:
        items = await Item.filter(id__lte=count)
        with clock:
            async with in_transaction():
                await Item.filter(id__in=[item.id for item in items]).delete()

    # --- one web transaction, one small graph ---------------------------------------------------------------

    async def web_one(self, number: int) -> tuple[User, list[Order], Order]:
        async with in_transaction():
            user = await User.get(id=self.key(number))
            last = await user.orders.order_by("-id").limit(10)
            order = await Order.create(
                user=user, number=f"order {number}", total=TOTAL, paid=False, created=user.created
            )
            user.balance -= order.total
            await user.save(update_fields=["balance"])
            return user, last, order

    async def add_one(self, row: dict[str, Any], children: list[dict[str, Any]]) -> tuple[User, list[Order]]:
        async with in_transaction():
            user = await User.create(**row)
            return user, [await Order.create(user=user, **child) for child in children]

    # --- the query builder ----------------------------------------------------------------------------------

    async def build(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        values = criteria(count)
        sql, params = "", []
        with clock:
            for value in values:
                sql, params = _busy_users(value).sql(params_inline=False), list(value)
        return sql, params

    async def render(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        values = criteria(count)
        queries = [_busy_users(value) for value in values]
        sql = ""
        with clock:
            for query in queries:
                sql = query.sql(params_inline=False)
        return sql, list(values[-1])


def _changed(row: dict[str, Any]) -> Order:
    order = Order(total=row["total"], paid=row["paid"])
    order.id = row["id"]
    return order


def _busy_users(value: tuple[Any, ...]) -> Any:
    age, city, active, total, until = value
    return User.filter(age__gt=age, city=city, active=active, orders__total__gte=total, orders__created__lt=until)
