"""The values of new and changed rows: plain dictionaries, the same for every adapter, made outside of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

START = datetime(2025, 1, 1, tzinfo=UTC)
CHILDREN = 10  # orders of a new user in a graph
TOTAL = Decimal("12.50")  # of the order that a web transaction makes
Row = dict[str, Any]


def new_users(count: int, first: int = 0) -> list[Row]:
    """Return `count` users without keys."""
    return [_user(number) for number in range(first, first + count)]


def _user(n: int) -> Row:
    return {
        "name": f"new {n}",
        "email": f"new{n}@example.org",
        "city": f"city {n % 100}",
        "age": n % 80,
        "balance": Decimal(n % 1000) + Decimal("0.25"),
        "active": n % 3 == 0,
        "created": START + timedelta(minutes=n),
        "info": {"level": n % 10, "tags": ["a", "b"]} if n % 2 == 0 else None,
        "score": n / 8.0,
    }


def new_orders(count: int, first: int = 0) -> list[Row]:
    """Return `count` orders without keys and users."""
    return [
        {
            "number": f"order {n}",
            "total": Decimal(n % 500) + Decimal("0.5"),
            "paid": n % 2 == 0,
            "created": START + timedelta(seconds=n),
        }
        for n in range(first, first + count)
    ]


def orders_of_users(count: int, users: int) -> list[Row]:
    """Return `count` orders without keys, of the users that are there."""
    return [{"user_id": n % users + 1, **row} for n, row in enumerate(new_orders(count))]


def new_readings(count: int) -> list[Row]:
    """Return `count` readings without keys."""
    return [
        {
            "sensor": f"sensor {n % 50}",
            "place": f"place {n % 7}",
            "value": n / 4.0,
            "amount": Decimal(n % 1000) / 4,
            "taken": START + timedelta(seconds=n),
        }
        for n in range(count)
    ]


def changed_orders(count: int) -> list[Row]:
    """Return a new total and a new state for the first `count` orders, by key."""
    return [{"id": n, "total": Decimal(n % 700) + Decimal("0.75"), "paid": n % 3 == 0} for n in range(1, count + 1)]


def criteria(count: int) -> list[tuple[int, str, bool, Decimal, datetime]]:
    """Return the values of the five conditions of W10, other ones each time."""
    return [
        (n % 80, f"city {n % 100}", n % 2 == 0, Decimal(n % 500) + Decimal("0.5"), START + timedelta(minutes=n))
        for n in range(count)
    ]
