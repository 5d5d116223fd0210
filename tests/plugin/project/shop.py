"""The program under test: a small shop whose functions open sessions of their own and commit."""

from __future__ import annotations

import enum
from decimal import Decimal

from psqlmodel import (
    AsyncEngine,
    AsyncSession,
    Check,
    Column,
    Engine,
    PSQLModel,
    Relation,
    Select,
    Session,
    Unique,
    numeric,
    table,
)


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@table("customers")
class Customer(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    email: Column[str] = Column(max_len=40, unique=True)
    orders: Relation[list[Order]] = Relation()


@table("orders", constraints=[Check("total >= 10 AND total < 12")])
class Order(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    customer_id: Column[int] = Column(foreign_key="customers.id", index=True)
    size: Column[Size]
    total: Column[Decimal] = Column(type=numeric(6, 2))
    customer: Relation[Customer] = Relation()


@table("places", constraints=[Unique("position", initially_deferred=True)])
class Place(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    position: Column[int]


def register(engine: Engine, email: str) -> int:
    with Session(engine) as session:
        customer = Customer(name="Ada", email=email)
        session.add(customer)
        session.commit()
        return customer.id


async def register_async(engine: AsyncEngine, email: str) -> int:
    async with AsyncSession(engine) as session:
        customer = Customer(name="Ada", email=email)
        await session.add(customer)
        await session.commit()
        return customer.id


def emails(session: Session) -> list[str]:
    return [row.email for row in session.exec(Select(Customer.email).OrderBy(Customer.email))]


async def emails_async(session: AsyncSession) -> list[str]:
    return [row.email for row in await session.exec(Select(Customer.email).OrderBy(Customer.email))]
