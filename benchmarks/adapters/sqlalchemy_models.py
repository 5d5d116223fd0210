"""The data set as SQLAlchemy's mapped classes, in the style of its ORM quick start."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, DateTime, ForeignKey, Numeric, Select, Table, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    type_annotation_map = {
        datetime: DateTime(timezone=True),
        Decimal: Numeric(12, 2),
        dict[str, Any]: JSONB(none_as_null=True),
    }


user_tags = Table(
    "user_tags",
    Base.metadata,
    Column("user_id", ForeignKey("users.id"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id"), primary_key=True),
)


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str] = mapped_column(unique=True)
    city: Mapped[str]
    age: Mapped[int]
    balance: Mapped[Decimal]
    active: Mapped[bool]
    created: Mapped[datetime]
    info: Mapped[dict[str, Any] | None]
    score: Mapped[float]
    orders: Mapped[list[Order]] = relationship(back_populates="user", order_by="Order.id")
    tags: Mapped[list[Tag]] = relationship(secondary=user_tags)


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    number: Mapped[str]
    total: Mapped[Decimal]
    paid: Mapped[bool]
    created: Mapped[datetime]
    user: Mapped[User] = relationship(back_populates="orders")
    items: Mapped[list[Item]] = relationship(back_populates="order", order_by="Item.id")


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    name: Mapped[str]
    price: Mapped[Decimal]
    quantity: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="items")


class Tag(Base):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Reading(Base):
    __tablename__ = "readings"
    id: Mapped[int] = mapped_column(primary_key=True)
    sensor: Mapped[str]
    place: Mapped[str]
    value: Mapped[float]
    amount: Mapped[Decimal]
    taken: Mapped[datetime]


def busy_users(age: int, city: str, active: bool, total: Decimal, until: datetime) -> Select[tuple[User]]:
    """Build the query of W10: a join and five conditions."""
    return (
        select(User)
        .join(User.orders)
        .where(
            User.age > age,
            User.city == city,
            User.active == active,
            Order.total >= total,
            Order.created < until,
        )
    )
