"""Rows and small helpers that several test files share."""

from __future__ import annotations

from typing import Any

from .both import Both


def ada(both: Both, data: str = '{"a": 1, "list": [1, {"x": 1}]}') -> None:
    """One user with everything that can be edited in place."""
    both.sql(
        "INSERT INTO users (id, name, status, data, labels) VALUES (1, 'Ada', 'new', %s::jsonb, '{x,y}')",
        data,
    )


def two_users(both: Both) -> None:
    """Two users with three orders."""
    both.sql("INSERT INTO users (id, name, status) VALUES (1, 'Ada', 'new'), (2, 'Bob', NULL)")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 10), (2, 1, 20), (3, 2, 30)")


async def made(both: Both, *objects: Any) -> None:
    """Store objects by a session of their own."""
    async with both.session(auto_commit=True) as session:
        session.add_all(objects)


def plain(session: Any) -> Any:
    """The session itself: its books need no awaiting."""
    return getattr(session, "raw", session)


def rows(both: Both, text: str) -> list[tuple[Any, ...]]:
    """What SQL gives, as tuples."""
    return [tuple(row) for row in both.sql(text)]


def in_use(both: Both) -> int:
    """The number of connections that are out of the pool."""
    return both.engine.pool.status().in_use
