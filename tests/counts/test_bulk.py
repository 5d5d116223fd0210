"""W6, W7 and W11: bulk work and streams call nothing in Python for a row; what they call is for a block of rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    AsyncEngine,
    AsyncSession,
    Column,
    Engine,
    PSQLModel,
    Select,
    Session,
    create_async_engine,
    create_engine,
)
from psqlmodel import table as mapped
from psqlmodel.embedded import Server

from .calls import awaited_calls_of, calls_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@mapped("counted_sales")
class Sale(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    place: Column[str]
    amount: Column[Decimal | None]
    paid: Column[bool]
    at: Column[datetime]


@pytest.fixture(scope="module")
def dsn(server: Server) -> str:
    made = server.create_database("counts_of_bulk")
    with create_engine(made) as engine:
        engine.create_all([Sale])
        engine.execute(
            "INSERT INTO counted_sales SELECT -n, 'place', n, true, now() FROM generate_series(1, 6000) n",
        )
    return made


@pytest.fixture(scope="module")
def engine(dsn: str) -> Iterator[Engine]:
    with create_engine(dsn) as made:
        yield made


@pytest.fixture
def async_engine(dsn: str) -> AsyncEngine:
    return create_async_engine(dsn)


def sales(count: int) -> list[Sale]:
    return [
        Sale(
            place=f"place {n}",
            amount=None if n % 3 else Decimal(n) / 4,
            paid=n % 2 == 0,
            at=NOON + timedelta(minutes=n),
        )
        for n in range(count)
    ]


def changes(count: int) -> list[dict[str, Any]]:
    return [{"id": -n, "amount": Decimal(n), "paid": False} for n in range(count, 0, -1)]


def test_inserted_rows(engine: Engine) -> None:
    with Session(engine) as session:
        session.bulk_insert(sales(1000))
        few, many = sales(1000), sales(6000)
        more = calls_of(lambda: session.bulk_insert(many)) - calls_of(lambda: session.bulk_insert(few))
        session.rollback()
    # Of each 1,000 rows: the driver's read, the generators of the blocks and of their columns, and for each of the six
    # columns what picks its writer and writes it, with a list's frame of its own before Python 3.12.
    assert more <= 5 * 30


async def test_inserted_rows_async(async_engine: AsyncEngine) -> None:
    async with async_engine, AsyncSession(async_engine) as session:
        await session.bulk_insert(sales(1000))
        few, many = sales(1000), sales(6000)
        more = await awaited_calls_of(lambda: session.bulk_insert(many))
        more -= await awaited_calls_of(lambda: session.bulk_insert(few))
        await session.rollback()
    assert more <= 5 * 30  # the same, for text goes to asyncpg too where there is a numeric


def test_updated_rows(engine: Engine) -> None:
    with Session(engine) as session:
        session.bulk_update(changes(1000), model=Sale)
        few, many = changes(1000), changes(6000)
        more = calls_of(lambda: session.bulk_update(many, model=Sale))
        more -= calls_of(lambda: session.bulk_update(few, model=Sale))
        session.rollback()
    assert more <= 5  # nothing grows with the rows


async def test_updated_rows_async(async_engine: AsyncEngine) -> None:
    async with async_engine, AsyncSession(async_engine) as session:
        await session.bulk_update(changes(1000), model=Sale)
        few, many = changes(1000), changes(6000)
        more = await awaited_calls_of(lambda: session.bulk_update(many, model=Sale))
        more -= await awaited_calls_of(lambda: session.bulk_update(few, model=Sale))
        await session.rollback()
    assert more <= 5


def test_streamed_rows(engine: Engine) -> None:
    def read(rows: int) -> int:
        return sum(1 for _ in session.stream(Select(Sale).Where(Sale.id >= -rows), batch=1000))

    with Session(engine) as session:
        assert read(6000) == 6000
        more = calls_of(lambda: read(6000)) - calls_of(lambda: read(1000))
    # One call of `__next__` for each row; about forty for each batch: the shell and its steps, the driver, the loader.
    assert more <= 5000 + 5 * 45


async def test_streamed_rows_async(async_engine: AsyncEngine) -> None:
    async def read(rows: int) -> int:
        return len([None async for _ in session.stream(Select(Sale).Where(Sale.id >= -rows), batch=1000)])

    async with async_engine, AsyncSession(async_engine) as session:
        assert await read(6000) == 6000
        more = await awaited_calls_of(lambda: read(6000)) - await awaited_calls_of(lambda: read(1000))
    assert more <= 5000 + 5 * 55  # `__anext__`; a batch awaits through more frames
