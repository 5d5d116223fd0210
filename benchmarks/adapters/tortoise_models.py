"""The data set as Tortoise's models."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class User(Model):
    id = fields.IntField(primary_key=True)
    name = fields.TextField()
    email = fields.TextField()  # unique in the table; Tortoise wants no unique TextField
    city = fields.TextField()
    age = fields.IntField()
    balance = fields.DecimalField(max_digits=12, decimal_places=2)
    active = fields.BooleanField()
    created = fields.DatetimeField()
    info = fields.JSONField(null=True)
    score = fields.FloatField()
    orders: fields.ReverseRelation[Order]
    tags = fields.ManyToManyField(
        "bench.Tag", through="user_tags", forward_key="tag_id", backward_key="user_id", related_name="users"
    )

    class Meta:
        table = "users"


class Order(Model):
    id = fields.IntField(primary_key=True)
    user = fields.ForeignKeyField("bench.User", related_name="orders")
    number = fields.TextField()
    total = fields.DecimalField(max_digits=12, decimal_places=2)
    paid = fields.BooleanField()
    created = fields.DatetimeField()
    items: fields.ReverseRelation[Item]

    class Meta:
        table = "orders"


class Item(Model):
    id = fields.IntField(primary_key=True)
    order = fields.ForeignKeyField("bench.Order", related_name="items")
    name = fields.TextField()
    price = fields.DecimalField(max_digits=12, decimal_places=2)
    quantity = fields.IntField()

    class Meta:
        table = "items"


class Tag(Model):
    id = fields.IntField(primary_key=True)
    name = fields.TextField()

    class Meta:
        table = "tags"


class Reading(Model):
    id = fields.IntField(primary_key=True)
    sensor = fields.TextField()
    place = fields.TextField()
    value = fields.FloatField()
    amount = fields.DecimalField(max_digits=12, decimal_places=2)
    taken = fields.DatetimeField()

    class Meta:
        table = "readings"
