"""The data set as Peewee's models; the adapter binds them to its database."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from peewee import (
    AutoField,
    BooleanField,
    CompositeKey,
    DecimalField,
    DoubleField,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)
from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField


class User(Model):
    id = AutoField()
    name = TextField()
    email = TextField(unique=True)
    city = TextField()
    age = IntegerField()
    balance = DecimalField(max_digits=12, decimal_places=2)
    active = BooleanField()
    created = DateTimeTZField()
    info = BinaryJSONField(null=True)
    score = DoubleField()

    class Meta:
        table_name = "users"


class Order(Model):
    id = AutoField()
    user = ForeignKeyField(User, backref="orders", on_delete="CASCADE")
    number = TextField()
    total = DecimalField(max_digits=12, decimal_places=2)
    paid = BooleanField()
    created = DateTimeTZField()

    class Meta:
        table_name = "orders"


class Item(Model):
    id = AutoField()
    order = ForeignKeyField(Order, backref="items", on_delete="CASCADE")
    name = TextField()
    price = DecimalField(max_digits=12, decimal_places=2)
    quantity = IntegerField()

    class Meta:
        table_name = "items"


class Tag(Model):
    id = AutoField()
    name = TextField(unique=True)

    class Meta:
        table_name = "tags"


class UserTag(Model):
    user = ForeignKeyField(User, backref="user_tags", on_delete="CASCADE")
    tag = ForeignKeyField(Tag, on_delete="CASCADE")

    class Meta:
        table_name = "user_tags"
        primary_key = CompositeKey("user", "tag")


class Reading(Model):
    id = AutoField()
    sensor = TextField()
    place = TextField()
    value = DoubleField()
    amount = DecimalField(max_digits=12, decimal_places=2)
    taken = DateTimeTZField()

    class Meta:
        table_name = "readings"


ALL = (User, Order, Item, Tag, UserTag, Reading)


def busy_users(age: int, city: str, active: bool, total: Decimal, until: datetime) -> Any:
    """Build the query of W10: a join and five conditions."""
    return (
        User.select()
        .join(Order)
        .where(
            User.age > age,
            User.city == city,
            User.active == active,
            Order.total >= total,
            Order.created < until,
        )
    )
