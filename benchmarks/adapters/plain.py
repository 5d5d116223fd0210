"""The objects of the hand-written adapters: what the rows become. Lists of children are there once they are loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(slots=True, eq=False)
class User:
    id: int | None
    name: str
    email: str
    city: str
    age: int
    balance: Decimal
    active: bool
    created: datetime
    info: dict[str, Any] | None
    score: float
    orders: list[Order] = field(init=False)
    tags: list[Tag] = field(init=False)


@dataclass(slots=True, eq=False)
class Order:
    id: int | None
    user_id: int | None
    number: str
    total: Decimal
    paid: bool
    created: datetime
    items: list[Item] = field(init=False)


@dataclass(slots=True, eq=False)
class Item:
    id: int | None
    order_id: int
    name: str
    price: Decimal
    quantity: int


@dataclass(slots=True, eq=False)
class Tag:
    id: int | None
    name: str


@dataclass(slots=True, eq=False)
class Reading:
    id: int | None
    sensor: str
    place: str
    value: float
    amount: Decimal
    taken: datetime


USER = "id, name, email, city, age, balance, active, created, info, score"
NEW_USER = "name, email, city, age, balance, active, created, info, score"
ORDER = "id, user_id, number, total, paid, created"
NEW_ORDER = "user_id, number, total, paid, created"
ITEM = "id, order_id, name, price, quantity"
READING = "id, sensor, place, value, amount, taken"
NEW_READING = "sensor, place, value, amount, taken"
