"""asyncpg by hand: what an expert writes on an ordinary good day. This is 1.0 for the asynchronous adapters."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from benchmarks.adapters.base import CHUNK, CONNECTIONS, AsyncAdapter, peak
from benchmarks.adapters.plain import (
    ITEM,
    NEW_ORDER,
    NEW_READING,
    NEW_USER,
    ORDER,
    READING,
    USER,
    Item,
    Order,
    Reading,
    Tag,
    User,
)
from benchmarks.clock import Clock
from benchmarks.rows import CHILDREN, TOTAL, changed_orders, new_orders, new_readings, new_users, orders_of_users


async def _prepare(connection: Any) -> None:
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


class Asyncpg(AsyncAdapter):
    name = "asyncpg"
    packages = ("asyncpg",)
    imports = "import asyncpg"
    missing = {
        "get_again": "there is no identity map",
        "build": "the SQL is a constant",
        "render": "the SQL is a constant",
    }

    async def open(self) -> None:
        self.pool = await asyncpg.create_pool(self.dsn, min_size=1, max_size=CONNECTIONS, init=_prepare)

    async def close(self) -> None:
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection

    # --- reading --------------------------------------------------------------------------------------------

    async def get(self, clock: Clock, count: int) -> list[User]:
        sql = f"SELECT {USER} FROM users WHERE id = $1"
        with clock:
            async with self.transaction() as connection:
                return [User(*await connection.fetchrow(sql, key)) for key in range(1, count + 1)]

    async def load_users(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.transaction() as connection:
                return await _users(connection, count)

    async def load_orders(self, clock: Clock, count: int) -> list[Order]:
        with clock:
            async with self.transaction() as connection:
                rows = await connection.fetch(f"SELECT {ORDER} FROM orders WHERE id <= $1", count)
                return [Order(*row) for row in rows]

    async def include(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.transaction() as connection:
                users = await _users(connection, count)
                await _attach_orders(connection, users)
                return users

    async def include_deep(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.transaction() as connection:
                users = await _users(connection, count)
                orders = await _attach_orders(connection, users)
                items: dict[int, list[Item]] = defaultdict(list)
                rows = await connection.fetch(
                    f"SELECT {ITEM} FROM items WHERE order_id = ANY($1) ORDER BY id", [order.id for order in orders]
                )
                for row in rows:
                    items[row[1]].append(Item(*row))
                for order in orders:
                    order.items = items.get(order.id, [])
                return users

    async def include_many(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.transaction() as connection:
                users = await _users(connection, count)
                of_user: dict[int, list[Tag]] = defaultdict(list)
                known: dict[int, Tag] = {}
                rows = await connection.fetch(
                    "SELECT user_id, id, name FROM tags JOIN user_tags ON tag_id = id "
                    "WHERE user_id = ANY($1) ORDER BY id",
                    [user.id for user in users],
                )
                for user_id, key, name in rows:
                    if (tag := known.get(key)) is None:
                        tag = known[key] = Tag(key, name)
                    of_user[user_id].append(tag)
                for user in users:
                    user.tags = of_user.get(user.id, [])
                return users

    async def stream(self, clock: Clock, count: int) -> tuple[int, int]:
        seen = total = 0
        with clock, peak(clock):
            async with self.transaction() as connection:
                async for row in connection.cursor(f"SELECT {READING} FROM readings", prefetch=CHUNK):
                    reading = Reading(*row)
                    seen += 1
                    total += reading.id
        return seen, total

    # --- writing --------------------------------------------------------------------------------------------

    async def add(self, clock: Clock, count: int) -> list[User]:
        rows = new_users(count)
        with clock:
            async with self.transaction() as connection:
                users = [User(None, **row) for row in rows]
                await _insert_users(connection, users)
                return users

    async def add_graph(self, clock: Clock, count: int) -> tuple[list[User], list[Order]]:
        rows, children = new_users(count), new_orders(count * CHILDREN)
        with clock:
            async with self.transaction() as connection:
                users, orders = [], []
                for number, row in enumerate(rows):
                    user = User(None, **row)
                    user.orders = [
                        Order(None, None, **child) for child in children[number * CHILDREN : (number + 1) * CHILDREN]
                    ]
                    users.append(user)
                    orders += user.orders
                await _insert_users(connection, users)
                for user in users:
                    for order in user.orders:
                        order.user_id = user.id
                await _insert_orders(connection, orders)
                return users, orders

    async def change_all(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.transaction() as connection:
                users = await _users(connection, count)
                for user in users:
                    user.age += 1
                await _update_ages(connection, users)
                return users

    async def change_few(self, clock: Clock, count: int) -> list[User]:
        with clock:
            async with self.transaction() as connection:
                users = await _users(connection, count)
                changed = users[:: max(1, count // 10)][:10]
                for user in changed:
                    user.age += 1
                await _update_ages(connection, changed)
                return users

    async def bulk_insert(self, clock: Clock, count: int) -> None:
        orders = [Order(None, **row) for row in orders_of_users(count, self.users)]
        with clock:
            async with self.transaction() as connection:
                await connection.copy_records_to_table(
                    "orders",
                    columns=NEW_ORDER.split(", "),
                    records=[(o.user_id, o.number, o.total, o.paid, o.created) for o in orders],
                )

    async def bulk_insert_plain(self, clock: Clock, count: int) -> None:
        readings = [Reading(None, **row) for row in new_readings(count)]
        with clock:
            async with self.transaction() as connection:
                await connection.copy_records_to_table(
                    "readings",
                    columns=NEW_READING.split(", "),
                    records=[(r.sensor, r.place, r.value, r.amount, r.taken) for r in readings],
                )

    async def bulk_update(self, clock: Clock, count: int) -> None:
        changes = changed_orders(count)
        with clock:
            async with self.transaction() as connection:
                await connection.execute(
                    "CREATE TEMPORARY TABLE changes (id int, total numeric, paid bool) ON COMMIT DROP"
                )
                await connection.copy_records_to_table(
                    "changes", records=[(change["id"], change["total"], change["paid"]) for change in changes]
                )
                await connection.execute(
                    "UPDATE orders o SET total = c.total, paid = c.paid FROM changes c WHERE o.id = c.id"
                )

    async def delete(self, clock: Clock, count: int) -> None:
        async with self.transaction() as connection:
            items = [Item(*row) for row in await connection.fetch(f"SELECT {ITEM} FROM items WHERE id <= $1", count)]
        with clock:
            async with self.transaction() as connection:
                await connection.execute("DELETE FROM items WHERE id = ANY($1)", [item.id for item in items])

    # --- one web transaction, one small graph ---------------------------------------------------------------

    async def web_one(self, number: int) -> tuple[User, list[Order], Order]:
        async with self.transaction() as connection:
            user = User(*await connection.fetchrow(f"SELECT {USER} FROM users WHERE id = $1", self.key(number)))
            rows = await connection.fetch(
                f"SELECT {ORDER} FROM orders WHERE user_id = $1 ORDER BY id DESC LIMIT 10", user.id
            )
            last = [Order(*row) for row in rows]
            order = Order(None, user.id, f"order {number}", TOTAL, False, user.created)
            order.id = await connection.fetchval(
                f"INSERT INTO orders ({NEW_ORDER}) VALUES ($1, $2, $3, $4, $5) RETURNING id",
                order.user_id,
                order.number,
                order.total,
                order.paid,
                order.created,
            )
            user.balance -= order.total
            await connection.execute("UPDATE users SET balance = $1 WHERE id = $2", user.balance, user.id)
            return user, last, order

    async def add_one(self, row: dict[str, Any], children: list[dict[str, Any]]) -> tuple[User, list[Order]]:
        user = User(None, **row)
        async with self.transaction() as connection:
            await _insert_users(connection, [user])
            orders = [Order(None, user.id, **child) for child in children]
            await _insert_orders(connection, orders)
        return user, orders


async def _users(connection: Any, count: int) -> list[User]:
    return [User(*row) for row in await connection.fetch(f"SELECT {USER} FROM users WHERE id <= $1", count)]


async def _attach_orders(connection: Any, users: list[User]) -> list[Order]:
    of_user: dict[int, list[Order]] = defaultdict(list)
    rows = await connection.fetch(
        f"SELECT {ORDER} FROM orders WHERE user_id = ANY($1) ORDER BY id", [user.id for user in users]
    )
    orders = [Order(*row) for row in rows]
    for order in orders:
        of_user[order.user_id].append(order)
    for user in users:
        user.orders = of_user.get(user.id, [])
    return orders


async def _insert_users(connection: Any, users: list[User]) -> None:
    keys = await connection.fetch(
        f"INSERT INTO users ({NEW_USER}) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], "
        "$5::numeric[], $6::bool[], $7::timestamptz[], $8::jsonb[], $9::float8[]) RETURNING id",
        [user.name for user in users],
        [user.email for user in users],
        [user.city for user in users],
        [user.age for user in users],
        [user.balance for user in users],
        [user.active for user in users],
        [user.created for user in users],
        [user.info for user in users],
        [user.score for user in users],
    )
    for user, (key,) in zip(users, keys, strict=True):
        user.id = key


async def _insert_orders(connection: Any, orders: list[Order]) -> None:
    keys = await connection.fetch(
        f"INSERT INTO orders ({NEW_ORDER}) SELECT * FROM unnest($1::int[], $2::text[], $3::numeric[], $4::bool[], "
        "$5::timestamptz[]) RETURNING id",
        [order.user_id for order in orders],
        [order.number for order in orders],
        [order.total for order in orders],
        [order.paid for order in orders],
        [order.created for order in orders],
    )
    for order, (key,) in zip(orders, keys, strict=True):
        order.id = key


async def _update_ages(connection: Any, users: list[User]) -> None:
    done = await connection.execute(
        "UPDATE users SET age = d.age FROM unnest($1::int[], $2::int[]) AS d (id, age) WHERE users.id = d.id",
        [user.id for user in users],
        [user.age for user in users],
    )
    if done != f"UPDATE {len(users)}":
        raise LookupError("users are missing")
