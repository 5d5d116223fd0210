"""The data set as Piccolo's tables; the adapter gives them their engine."""

from __future__ import annotations

from piccolo.columns import (
    JSONB,
    Boolean,
    DoublePrecision,
    ForeignKey,
    Integer,
    Numeric,
    Serial,
    Text,
    Timestamptz,
)
from piccolo.table import Table


class User(Table, tablename="users"):
    id = Serial(primary_key=True)
    name = Text()
    email = Text(unique=True)
    city = Text()
    age = Integer()
    balance = Numeric(digits=(12, 2))
    active = Boolean()
    created = Timestamptz()
    info = JSONB(null=True)
    score = DoublePrecision()


class Order(Table, tablename="orders"):
    id = Serial(primary_key=True)
    user_id = ForeignKey(User)
    number = Text()
    total = Numeric(digits=(12, 2))
    paid = Boolean()
    created = Timestamptz()


class Item(Table, tablename="items"):
    id = Serial(primary_key=True)
    order_id = ForeignKey(Order)
    name = Text()
    price = Numeric(digits=(12, 2))
    quantity = Integer()


class Reading(Table, tablename="readings"):
    id = Serial(primary_key=True)
    sensor = Text()
    place = Text()
    value = DoublePrecision()
    amount = Numeric(digits=(12, 2))
    taken = Timestamptz()


ALL = (User, Order, Item, Reading)
