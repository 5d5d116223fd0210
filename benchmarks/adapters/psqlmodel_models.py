"""The data set as psqlmodel's models, as the docs write them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from psqlmodel import Column, PSQLModel, Relation, Select, table


@table("users")
class User(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    email: Column[str] = Column(unique=True)
    city: Column[str]
    age: Column[int]
    balance: Column[Decimal]
    active: Column[bool]
    created: Column[datetime]
    info: Column[dict[str, Any] | None]
    score: Column[float]
    orders: Relation[list[Order]] = Relation()
    tags: Relation[list[Tag]] = Relation(secondary="user_tags")


@table("orders")
class Order(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    user_id: Column[int] = Column(foreign_key="users.id", on_delete="CASCADE")
    number: Column[str]
    total: Column[Decimal]
    paid: Column[bool]
    created: Column[datetime]
    user: Relation[User] = Relation()
    items: Relation[list[Item]] = Relation()


@table("items")
class Item(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    order_id: Column[int] = Column(foreign_key="orders.id", on_delete="CASCADE")
    name: Column[str]
    price: Column[Decimal]
    quantity: Column[int]
    order: Relation[Order] = Relation()


@table("tags")
class Tag(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str] = Column(unique=True)


@table("user_tags")
class UserTag(PSQLModel):
    user_id: Column[int] = Column(primary_key=True, foreign_key="users.id", on_delete="CASCADE")
    tag_id: Column[int] = Column(primary_key=True, foreign_key="tags.id", on_delete="CASCADE")


@table("readings")
class Reading(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    sensor: Column[str]
    place: Column[str]
    value: Column[float]
    amount: Column[Decimal]
    taken: Column[datetime]


def busy_users(age: int, city: str, active: bool, total: Decimal, until: datetime) -> Any:
    """Build the query of W10: a join and five conditions."""
    return (
        Select(User)
        .JoinRelated(User.orders)
        .Where(
            User.age > age,
            User.city == city,
            User.active == active,
            Order.total >= total,
            Order.created < until,
        )
    )
