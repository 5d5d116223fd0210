"""The models of the typing examples: both spellings, all kinds of fields."""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from typing import Any

from psqlmodel import Column, PSQLModel, Range, Relation, table
from psqlmodel.types import array, jsonb, serial, smallint, varchar
from psqlmodel.types import enum as enum_type


class Mood(enum.Enum):
    """A text enum."""

    GOOD = "good"


@table("users")
class User(PSQLModel):
    """The typed spelling."""

    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    nick: Column[str | None] = Column(max_len=40)
    mood: Column[Mood] = Column(default=Mood.GOOD)
    tags: Column[list[str]] = Column(default_factory=list)
    data: Column[dict[str, Any]] = Column(type=jsonb, default_factory=dict)
    marks: Column[list[int]] = Column(type=array(smallint), default_factory=list)
    feeling: Column[Mood | None] = Column(type=enum_type(Mood))
    span: Column[Range[int] | None] = Column()
    seen: Column[datetime | None] = Column(server_default="now()")
    orders: Relation[list[Order]] = Relation()
    friends: Relation[list[User]] = Relation(secondary="friends", secondary_keys=("one_id", "other_id"))


@table("orders")
class Order(PSQLModel):
    """The plain spelling."""

    id: int = Column(primary_key=True)
    user_id: int = Column(foreign_key="users.id", on_delete="CASCADE")
    total: Decimal = Column()
    note: str | None = None
    user: Relation[User] = Relation("User")


@table("items")
class Item(PSQLModel):
    """PostgreSQL's names as annotations, and the plain spelling of relations."""

    id: serial = Column(primary_key=True)
    name: varchar = Column(max_len=20)
    order_id: Column[int | None] = Column(foreign_key=User.id)
    order: Order = Relation("Order")
    others: list[Order] = Relation("Order", foreign_keys="order_id")
