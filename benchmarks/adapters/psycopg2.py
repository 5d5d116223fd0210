"""psycopg2 by hand: what an expert writes on an ordinary good day. This is 1.0 for the synchronous adapters."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg2.extras import Json, execute_values
from psycopg2.pool import ThreadedConnectionPool

from benchmarks.adapters.base import CHUNK, SyncAdapter, peak
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


class Psycopg2(SyncAdapter):
    name = "psycopg2"
    packages = ("psycopg2-binary",)
    imports = "import psycopg2"
    missing = {
        "get_again": "there is no identity map",
        "build": "the SQL is a constant",
        "render": "the SQL is a constant",
    }

    def open(self) -> None:
        self.pool = ThreadedConnectionPool(1, 10, self.dsn)

    def close(self) -> None:
        self.pool.closeall()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        connection = self.pool.getconn()
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        finally:
            self.pool.putconn(connection)

    # --- reading --------------------------------------------------------------------------------------------

    def get(self, clock: Clock, count: int) -> list[User]:
        sql = f"SELECT {USER} FROM users WHERE id = %s"
        users = []
        with clock, self.transaction() as cursor:
            for key in range(1, count + 1):
                cursor.execute(sql, (key,))
                users.append(User(*cursor.fetchone()))
        return users

    def load_users(self, clock: Clock, count: int) -> list[User]:
        with clock, self.transaction() as cursor:
            return _users(cursor, count)

    def load_orders(self, clock: Clock, count: int) -> list[Order]:
        with clock, self.transaction() as cursor:
            cursor.execute(f"SELECT {ORDER} FROM orders WHERE id <= %s", (count,))
            return [Order(*row) for row in cursor.fetchall()]

    def include(self, clock: Clock, count: int) -> list[User]:
        with clock, self.transaction() as cursor:
            users = _users(cursor, count)
            _attach_orders(cursor, users)
            return users

    def include_deep(self, clock: Clock, count: int) -> list[User]:
        with clock, self.transaction() as cursor:
            users = _users(cursor, count)
            orders = _attach_orders(cursor, users)
            items: dict[int, list[Item]] = defaultdict(list)
            cursor.execute(
                f"SELECT {ITEM} FROM items WHERE order_id = ANY(%s) ORDER BY id", ([order.id for order in orders],)
            )
            for row in cursor.fetchall():
                items[row[1]].append(Item(*row))
            for order in orders:
                order.items = items.get(order.id, [])
            return users

    def include_many(self, clock: Clock, count: int) -> list[User]:
        with clock, self.transaction() as cursor:
            users = _users(cursor, count)
            of_user: dict[int, list[Tag]] = defaultdict(list)
            known: dict[int, Tag] = {}
            cursor.execute(
                "SELECT user_id, id, name FROM tags JOIN user_tags ON tag_id = id WHERE user_id = ANY(%s) ORDER BY id",
                ([user.id for user in users],),
            )
            for user_id, key, name in cursor.fetchall():
                if (tag := known.get(key)) is None:
                    tag = known[key] = Tag(key, name)
                of_user[user_id].append(tag)
            for user in users:
                user.tags = of_user.get(user.id, [])
            return users

    def stream(self, clock: Clock, count: int) -> tuple[int, int]:
        seen = total = 0
        connection = self.pool.getconn()
        try:
            with clock, peak(clock), connection, connection.cursor("readings") as cursor:
                cursor.itersize = CHUNK
                cursor.execute(f"SELECT {READING} FROM readings")
                for row in cursor:
                    reading = Reading(*row)
                    seen += 1
                    total += reading.id
        finally:
            self.pool.putconn(connection)
        return seen, total

    # --- writing --------------------------------------------------------------------------------------------

    def add(self, clock: Clock, count: int) -> list[User]:
        rows = new_users(count)
        with clock, self.transaction() as cursor:
            users = [User(None, **row) for row in rows]
            _insert_users(cursor, users)
            return users

    def add_graph(self, clock: Clock, count: int) -> tuple[list[User], list[Order]]:
        rows, children = new_users(count), new_orders(count * CHILDREN)
        with clock, self.transaction() as cursor:
            users, orders = [], []
            for number, row in enumerate(rows):
                user = User(None, **row)
                user.orders = [
                    Order(None, None, **child) for child in children[number * CHILDREN : (number + 1) * CHILDREN]
                ]
                users.append(user)
                orders += user.orders
            _insert_users(cursor, users)
            for user in users:
                for order in user.orders:
                    order.user_id = user.id
            _insert_orders(cursor, orders)
            return users, orders

    def change_all(self, clock: Clock, count: int) -> list[User]:
        with clock, self.transaction() as cursor:
            users = _users(cursor, count)
            for user in users:
                user.age += 1
            _update_ages(cursor, users)
            return users

    def change_few(self, clock: Clock, count: int) -> list[User]:
        with clock, self.transaction() as cursor:
            users = _users(cursor, count)
            changed = users[:: max(1, count // 10)][:10]
            for user in changed:
                user.age += 1
            _update_ages(cursor, changed)
            return users

    def bulk_insert(self, clock: Clock, count: int) -> None:
        orders = [Order(None, **row) for row in orders_of_users(count, self.users)]
        with clock, self.transaction() as cursor:
            rows = ((o.user_id, o.number, o.total, o.paid, o.created) for o in orders)
            cursor.copy_expert(f"COPY orders ({NEW_ORDER}) FROM STDIN (FORMAT csv)", _csv(rows))

    def bulk_insert_plain(self, clock: Clock, count: int) -> None:
        readings = [Reading(None, **row) for row in new_readings(count)]
        with clock, self.transaction() as cursor:
            rows = ((r.sensor, r.place, r.value, r.amount, r.taken) for r in readings)
            cursor.copy_expert(f"COPY readings ({NEW_READING}) FROM STDIN (FORMAT csv)", _csv(rows))

    def bulk_update(self, clock: Clock, count: int) -> None:
        changes = changed_orders(count)
        with clock, self.transaction() as cursor:
            cursor.execute(
                "CREATE TEMPORARY TABLE changes (id int, total numeric, paid bool) ON COMMIT DROP",
            )
            cursor.copy_expert(
                "COPY changes FROM STDIN (FORMAT csv)", _csv((c["id"], c["total"], c["paid"]) for c in changes)
            )
            cursor.execute("UPDATE orders o SET total = c.total, paid = c.paid FROM changes c WHERE o.id = c.id")

    def delete(self, clock: Clock, count: int) -> None:
        with self.transaction() as cursor:
            cursor.execute(f"SELECT {ITEM} FROM items WHERE id <= %s", (count,))
            items = [Item(*row) for row in cursor.fetchall()]
        with clock, self.transaction() as cursor:
            cursor.execute("DELETE FROM items WHERE id = ANY(%s)", ([item.id for item in items],))

    # --- one web transaction, one small graph ---------------------------------------------------------------

    def web_one(self, number: int) -> tuple[User, list[Order], Order]:
        with self.transaction() as cursor:
            cursor.execute(f"SELECT {USER} FROM users WHERE id = %s", (self.key(number),))
            user = User(*cursor.fetchone())
            cursor.execute(f"SELECT {ORDER} FROM orders WHERE user_id = %s ORDER BY id DESC LIMIT 10", (user.id,))
            last = [Order(*row) for row in cursor.fetchall()]
            order = Order(None, user.id, f"order {number}", TOTAL, False, user.created)
            _insert_order(cursor, order)
            user.balance -= order.total
            cursor.execute("UPDATE users SET balance = %s WHERE id = %s", (user.balance, user.id))
            return user, last, order

    def add_one(self, row: dict[str, Any], children: list[dict[str, Any]]) -> tuple[User, list[Order]]:
        user = User(None, **row)
        with self.transaction() as cursor:
            _insert_users(cursor, [user])
            orders = [Order(None, user.id, **child) for child in children]
            _insert_orders(cursor, orders)
        return user, orders


def _users(cursor: Any, count: int) -> list[User]:
    cursor.execute(f"SELECT {USER} FROM users WHERE id <= %s", (count,))
    return [User(*row) for row in cursor.fetchall()]


def _attach_orders(cursor: Any, users: list[User]) -> list[Order]:
    of_user: dict[int, list[Order]] = defaultdict(list)
    cursor.execute(f"SELECT {ORDER} FROM orders WHERE user_id = ANY(%s) ORDER BY id", ([user.id for user in users],))
    orders = [Order(*row) for row in cursor.fetchall()]
    for order in orders:
        of_user[order.user_id].append(order)
    for user in users:
        user.orders = of_user.get(user.id, [])
    return orders


def _insert_users(cursor: Any, users: list[User]) -> None:
    rows = [
        (
            u.name,
            u.email,
            u.city,
            u.age,
            u.balance,
            u.active,
            u.created,
            None if u.info is None else Json(u.info),
            u.score,
        )
        for u in users
    ]
    keys = execute_values(cursor, f"INSERT INTO users ({NEW_USER}) VALUES %s RETURNING id", rows, fetch=True)
    for user, (key,) in zip(users, keys, strict=True):
        user.id = key


def _insert_orders(cursor: Any, orders: list[Order]) -> None:
    rows = [(o.user_id, o.number, o.total, o.paid, o.created) for o in orders]
    keys = execute_values(cursor, f"INSERT INTO orders ({NEW_ORDER}) VALUES %s RETURNING id", rows, fetch=True)
    for order, (key,) in zip(orders, keys, strict=True):
        order.id = key


def _insert_order(cursor: Any, order: Order) -> None:
    cursor.execute(
        f"INSERT INTO orders ({NEW_ORDER}) VALUES (%s, %s, %s, %s, %s) RETURNING id",
        (order.user_id, order.number, order.total, order.paid, order.created),
    )
    order.id = cursor.fetchone()[0]


def _update_ages(cursor: Any, users: list[User]) -> None:
    cursor.execute(
        "UPDATE users SET age = d.age FROM unnest(%s, %s) AS d (id, age) WHERE users.id = d.id",
        ([user.id for user in users], [user.age for user in users]),
    )
    if cursor.rowcount != len(users):
        raise LookupError("users are missing")


def _csv(rows: Iterator[tuple[Any, ...]]) -> io.StringIO:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    text.seek(0)
    return text
