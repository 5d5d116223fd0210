"""Peewee: prefetch, bulk_create and bulk_update in batches, insert_many, as its querying and bulk pages recommend."""

from __future__ import annotations

from typing import Any

from peewee import prefetch
from playhouse.postgres_ext import PostgresqlExtDatabase, ServerSide

from benchmarks.adapters import peewee_models as models
from benchmarks.adapters.base import CHUNK, SyncAdapter, peak
from benchmarks.adapters.peewee_models import ALL, Item, Order, Reading, Tag, User, UserTag
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

BATCH = 1_000


class Peewee(SyncAdapter):
    name = "peewee"
    packages = ("peewee",)
    imports = "import peewee"
    missing = {"get_again": "there is no identity map"}

    def open(self) -> None:
        parts = self.parts
        self.database = PostgresqlExtDatabase(
            parts["dbname"],
            user=parts["user"],
            host=parts["host"],
            port=int(parts["port"]),
        )
        self.database.bind(ALL)
        self.database.connect()

    def close(self) -> None:
        self.database.close()

    def many(self, obj: Any, name: str) -> list[Any]:
        return [link.tag for link in obj.user_tags] if name == "tags" else list(getattr(obj, name))

    # --- reading --------------------------------------------------------------------------------------------

    def get(self, clock: Clock, count: int) -> list[User]:
        with clock, self.database.atomic():
            return [User.get_by_id(key) for key in range(1, count + 1)]

    def load_users(self, clock: Clock, count: int) -> list[User]:
        with clock, self.database.atomic():
            return list(User.select().where(User.id <= count))

    def load_orders(self, clock: Clock, count: int) -> list[Order]:
        with clock, self.database.atomic():
            return list(Order.select().where(Order.id <= count))

    def include(self, clock: Clock, count: int) -> list[User]:
        with clock, self.database.atomic():
            return list(prefetch(User.select().where(User.id <= count), Order.select().order_by(Order.id)))

    def include_deep(self, clock: Clock, count: int) -> list[User]:
        users = User.select().where(User.id <= count)
        with clock, self.database.atomic():
            return list(prefetch(users, Order.select().order_by(Order.id), Item.select().order_by(Item.id)))

    def include_many(self, clock: Clock, count: int) -> list[User]:
        with clock, self.database.atomic():
            return list(prefetch(User.select().where(User.id <= count), UserTag.select(), Tag.select()))

    def stream(self, clock: Clock, count: int) -> tuple[int, int]:
        seen = total = 0
        with clock, peak(clock), self.database.atomic():
            for reading in ServerSide(Reading.select(), array_size=CHUNK):
                seen += 1
                total += reading.id
        return seen, total

    # --- writing --------------------------------------------------------------------------------------------

    def add(self, clock: Clock, count: int) -> list[User]:
        rows = new_users(count)
        with clock, self.database.atomic():
            users = [User(**row) for row in rows]
            User.bulk_create(users, batch_size=BATCH)
            return users

    def add_graph(self, clock: Clock, count: int) -> tuple[list[User], list[Order]]:
        rows, children = new_users(count), new_orders(count * CHILDREN)
        with clock, self.database.atomic():
            users = [User(**row) for row in rows]
            User.bulk_create(users, batch_size=BATCH)
            orders = [
                Order(user=user, **child)
                for number, user in enumerate(users)
                for child in children[number * CHILDREN : (number + 1) * CHILDREN]
            ]
            Order.bulk_create(orders, batch_size=BATCH)
            return users, orders

    def change_all(self, clock: Clock, count: int) -> list[User]:
        with clock, self.database.atomic():
            users = list(User.select().where(User.id <= count))
            for user in users:
                user.age += 1
            User.bulk_update(users, fields=[User.age], batch_size=100)
            return users

    def change_few(self, clock: Clock, count: int) -> list[User]:
        with clock, self.database.atomic():
            users = list(User.select().where(User.id <= count))
            changed = users[:: max(1, count // 10)][:10]
            for user in changed:
                user.age += 1
            User.bulk_update(changed, fields=[User.age])
            return users

    def bulk_insert(self, clock: Clock, count: int) -> None:
        rows = orders_of_users(count, self.users)
        with clock, self.database.atomic():
            for first in range(0, count, BATCH):
                Order.insert_many(rows[first : first + BATCH]).execute()

    def bulk_insert_plain(self, clock: Clock, count: int) -> None:
        rows = new_readings(count)
        with clock, self.database.atomic():
            for first in range(0, count, BATCH):
                Reading.insert_many(rows[first : first + BATCH]).execute()

    def bulk_update(self, clock: Clock, count: int) -> None:
        orders = [Order(**row) for row in changed_orders(count)]
        with clock, self.database.atomic():
            Order.bulk_update(orders, fields=[Order.total, Order.paid], batch_size=100)

    def delete(self, clock: Clock, count: int) -> None:
        items = list(Item.select().where(Item.id <= count))
        with clock, self.database.atomic():
            Item.delete().where(Item.id.in_([item.id for item in items])).execute()

    # --- one web transaction, one small graph ---------------------------------------------------------------

    def web_one(self, number: int) -> tuple[User, list[Order], Order]:
        with self.database.atomic():
            user = User.get_by_id(self.key(number))
            last = list(user.orders.order_by(Order.id.desc()).limit(10))
            order = Order.create(user=user, number=f"order {number}", total=TOTAL, paid=False, created=user.created)
            user.balance -= order.total
            user.save(only=[User.balance])
            return user, last, order

    def add_one(self, row: dict[str, Any], children: list[dict[str, Any]]) -> tuple[User, list[Order]]:
        with self.database.atomic():
            user = User.create(**row)
            orders = [Order(user=user, **child) for child in children]
            Order.bulk_create(orders)
            return user, orders

    # --- the query builder ----------------------------------------------------------------------------------

    def build(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        values = criteria(count)
        made: Any = None
        with clock:
            for value in values:
                made = models.busy_users(*value).sql()
        return made

    def render(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        queries = [models.busy_users(*value) for value in criteria(count)]
        made: Any = None
        with clock:
            for query in queries:
                made = query.sql()
        return made
