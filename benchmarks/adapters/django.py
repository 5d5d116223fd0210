"""Django's ORM: prefetch_related, bulk_create, bulk_update in batches, as its database optimization page recommends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.db import connection, transaction

from benchmarks.adapters.base import CHUNK, SyncAdapter, peak
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

if TYPE_CHECKING:  # models can be imported when the settings are there
    from benchmarks.adapters.djangoapp.models import Order, User

BATCH = 300  # of bulk_update, whose statement costs more than its rows do


class Django(SyncAdapter):
    name = "django"
    packages = ("Django",)
    imports = "import django.db.models"
    missing = {"get_again": "there is no identity map"}

    def open(self) -> None:
        parts = self.parts
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts["dbname"],
            "USER": parts["user"],
            "HOST": parts["host"],
            "PORT": parts["port"],
            "CONN_MAX_AGE": None,
        }
        if not settings.configured:
            settings.configure(
                DATABASES={"default": database}, USE_TZ=True, INSTALLED_APPS=["benchmarks.adapters.djangoapp"]
            )
            django.setup()
        from benchmarks.adapters.djangoapp import models

        self.models = models

    def close(self) -> None:
        connection.close()

    def many(self, obj: Any, name: str) -> list[Any]:
        return list(getattr(obj, name).all())

    # --- reading --------------------------------------------------------------------------------------------

    def get(self, clock: Clock, count: int) -> list[User]:
        users = self.models.User.objects
        with clock, transaction.atomic():
            return [users.get(pk=key) for key in range(1, count + 1)]

    def load_users(self, clock: Clock, count: int) -> list[User]:
        with clock, transaction.atomic():
            return list(self.models.User.objects.filter(id__lte=count))

    def load_orders(self, clock: Clock, count: int) -> list[Order]:
        with clock, transaction.atomic():
            return list(self.models.Order.objects.filter(id__lte=count).order_by())

    def _prefetch(self, clock: Clock, count: int, name: str) -> list[User]:
        with clock, transaction.atomic():
            return list(self.models.User.objects.filter(id__lte=count).prefetch_related(name))

    def include(self, clock: Clock, count: int) -> list[User]:
        return self._prefetch(clock, count, "orders")

    def include_deep(self, clock: Clock, count: int) -> list[User]:
        return self._prefetch(clock, count, "orders__items")

    def include_many(self, clock: Clock, count: int) -> list[User]:
        return self._prefetch(clock, count, "tags")

    def stream(self, clock: Clock, count: int) -> tuple[int, int]:
        seen = total = 0
        with clock, peak(clock), transaction.atomic():
            for reading in self.models.Reading.objects.iterator(chunk_size=CHUNK):
                seen += 1
                total += reading.id
        return seen, total

    # --- writing --------------------------------------------------------------------------------------------

    def add(self, clock: Clock, count: int) -> list[User]:
        rows = new_users(count)
        with clock, transaction.atomic():
            return self.models.User.objects.bulk_create([self.models.User(**row) for row in rows])

    def add_graph(self, clock: Clock, count: int) -> tuple[list[User], list[Order]]:
        rows, children = new_users(count), new_orders(count * CHILDREN)
        with clock, transaction.atomic():
            users = self.models.User.objects.bulk_create([self.models.User(**row) for row in rows])
            orders = [
                self.models.Order(user=user, **child)
                for number, user in enumerate(users)
                for child in children[number * CHILDREN : (number + 1) * CHILDREN]
            ]
            return users, self.models.Order.objects.bulk_create(orders)

    def change_all(self, clock: Clock, count: int) -> list[User]:
        with clock, transaction.atomic():
            users = list(self.models.User.objects.filter(id__lte=count))
            for user in users:
                user.age += 1
            self.models.User.objects.bulk_update(users, ["age"], batch_size=BATCH)
            return users

    def change_few(self, clock: Clock, count: int) -> list[User]:
        with clock, transaction.atomic():
            users = list(self.models.User.objects.filter(id__lte=count))
            changed = users[:: max(1, count // 10)][:10]
            for user in changed:
                user.age += 1
            self.models.User.objects.bulk_update(changed, ["age"])
            return users

    def bulk_insert(self, clock: Clock, count: int) -> None:
        orders = [self.models.Order(**row) for row in orders_of_users(count, self.users)]
        with clock, transaction.atomic():
            self.models.Order.objects.bulk_create(orders)

    def bulk_insert_plain(self, clock: Clock, count: int) -> None:
        readings = [self.models.Reading(**row) for row in new_readings(count)]
        with clock, transaction.atomic():
            self.models.Reading.objects.bulk_create(readings)

    def bulk_update(self, clock: Clock, count: int) -> None:
        orders = [self.models.Order(**row) for row in changed_orders(count)]
        with clock, transaction.atomic():
            self.models.Order.objects.bulk_update(orders, ["total", "paid"], batch_size=BATCH)

    def delete(self, clock: Clock, count: int) -> None:
        items = list(self.models.Item.objects.filter(id__lte=count))
        with clock, transaction.atomic():
            self.models.Item.objects.filter(pk__in=[item.pk for item in items]).delete()

    # --- one web transaction, one small graph ---------------------------------------------------------------

    def web_one(self, number: int) -> tuple[User, list[Order], Order]:
        with transaction.atomic():
            user = self.models.User.objects.get(pk=self.key(number))
            last = list(user.orders.order_by("-id")[:10])
            order = self.models.Order.objects.create(
                user=user, number=f"order {number}", total=TOTAL, paid=False, created=user.created
            )
            user.balance -= order.total
            user.save(update_fields=["balance"])
            return user, last, order

    def add_one(self, row: dict[str, Any], children: list[dict[str, Any]]) -> tuple[User, list[Order]]:
        with transaction.atomic():
            user = self.models.User.objects.create(**row)
            orders = [self.models.Order(user=user, **child) for child in children]
            return user, self.models.Order.objects.bulk_create(orders)

    # --- the query builder ----------------------------------------------------------------------------------

    def _query(self, value: tuple[Any, ...]) -> Any:
        age, city, active, total, until = value
        return self.models.User.objects.filter(
            age__gt=age, city=city, active=active, orders__total__gte=total, orders__created__lt=until
        ).query

    def build(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        values = criteria(count)
        made: Any = None
        with clock:
            for value in values:
                made = self._query(value).sql_with_params()
        return made

    def render(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        queries = [self._query(value) for value in criteria(count)]
        made: Any = None
        with clock:
            for query in queries:
                made = query.sql_with_params()
        return made
