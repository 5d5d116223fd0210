"""The data set as Django's models, on tables that are there."""

from __future__ import annotations

from django.db import models


class User(models.Model):
    name = models.TextField()
    email = models.TextField(unique=True)
    city = models.TextField()
    age = models.IntegerField()
    balance = models.DecimalField(max_digits=12, decimal_places=2)
    active = models.BooleanField()
    created = models.DateTimeField()
    info = models.JSONField(null=True)
    score = models.FloatField()
    tags = models.ManyToManyField("Tag", through="UserTag")

    class Meta:
        db_table, managed = "users", False


class Order(models.Model):
    user = models.ForeignKey(User, models.CASCADE, related_name="orders")
    number = models.TextField()
    total = models.DecimalField(max_digits=12, decimal_places=2)
    paid = models.BooleanField()
    created = models.DateTimeField()

    class Meta:
        db_table, managed, ordering = "orders", False, ["id"]


class Item(models.Model):
    order = models.ForeignKey(Order, models.CASCADE, related_name="items")
    name = models.TextField()
    price = models.DecimalField(max_digits=12, decimal_places=2)
    quantity = models.IntegerField()

    class Meta:
        db_table, managed, ordering = "items", False, ["id"]


class Tag(models.Model):
    name = models.TextField(unique=True)

    class Meta:
        db_table, managed = "tags", False


class UserTag(models.Model):
    pk = models.CompositePrimaryKey("user_id", "tag_id")
    user = models.ForeignKey(User, models.CASCADE)
    tag = models.ForeignKey(Tag, models.CASCADE)

    class Meta:
        db_table, managed = "user_tags", False


class Reading(models.Model):
    sensor = models.TextField()
    place = models.TextField()
    value = models.FloatField()
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    taken = models.DateTimeField()

    class Meta:
        db_table, managed = "readings", False
