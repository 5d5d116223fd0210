"""The data set as SQLModel's table models."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import DateTime, Field, Relationship, SQLModel, select


class UserTag(SQLModel, table=True):
    __tablename__ = "user_tags"
    user_id: int = Field(foreign_key="users.id", primary_key=True)
    tag_id: int = Field(foreign_key="tags.id", primary_key=True)


class User(SQLModel, table=True):
    __tablename__ = "users"
    id: int | None = Field(default=None, primary_key=True)
    name: str
    email: str = Field(unique=True)
    city: str
    age: int
    balance: Decimal = Field(max_digits=12, decimal_places=2)
    active: bool
    created: datetime = Field(sa_type=DateTime(timezone=True))
    info: dict[str, Any] | None = Field(sa_type=JSONB(none_as_null=True))
    score: float
    orders: list["Order"] = Relationship(back_populates="user", sa_relationship_kwargs={"order_by": "Order.id"})
    tags: list["Tag"] = Relationship(link_model=UserTag)


class Order(SQLModel, table=True):
    __tablename__ = "orders"
    id: int | None = Field(default=None, primary_key=True)
    user_id: int | None = Field(default=None, foreign_key="users.id")
    number: str
    total: Decimal = Field(max_digits=12, decimal_places=2)
    paid: bool
    created: datetime = Field(sa_type=DateTime(timezone=True))
    user: User | None = Relationship(back_populates="orders")
    items: list["Item"] = Relationship(back_populates="order", sa_relationship_kwargs={"order_by": "Item.id"})


class Item(SQLModel, table=True):
    __tablename__ = "items"
    id: int | None = Field(default=None, primary_key=True)
    order_id: int = Field(foreign_key="orders.id")
    name: str
    price: Decimal = Field(max_digits=12, decimal_places=2)
    quantity: int
    order: Order | None = Relationship(back_populates="items")


class Tag(SQLModel, table=True):
    __tablename__ = "tags"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)


class Reading(SQLModel, table=True):
    __tablename__ = "readings"
    id: int | None = Field(default=None, primary_key=True)
    sensor: str
    place: str
    value: float
    amount: Decimal = Field(max_digits=12, decimal_places=2)
    taken: datetime = Field(sa_type=DateTime(timezone=True))


def busy_users(age: int, city: str, active: bool, total: Decimal, until: datetime) -> Any:
    """Build the query of W10: a join and five conditions."""
    return (
        select(User)
        .join(Order)
        .where(
            User.age > age,
            User.city == city,
            User.active == active,
            Order.total >= total,
            Order.created < until,
        )
    )
