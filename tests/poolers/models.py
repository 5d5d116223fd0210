"""A small shop."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from psqlmodel import Column, PSQLModel, Relation, table


@table("pooler_customers")
class Customer(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    email: Column[str] = Column(unique=True)
    notes: Column[dict[str, Any] | None] = Column()
    patience: Column[timedelta | None] = Column()
    since: Column[datetime | None] = Column()
    orders: Relation[list[Order]] = Relation()


@table("pooler_orders")
class Order(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    customer_id: Column[int] = Column(foreign_key="pooler_customers.id", on_delete="CASCADE")
    state: Column[str] = Column(default="new")
    customer: Relation[Customer] = Relation()
    lines: Relation[list[Line]] = Relation()


@table("pooler_lines")
class Line(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    order_id: Column[int] = Column(foreign_key="pooler_orders.id", on_delete="CASCADE")
    amount: Column[int]
    order: Relation[Order] = Relation()


MODELS = [Customer, Order, Line]
