"""The verbs of the sessions, as type checkers must see them. Checked; never run."""

from __future__ import annotations

from typing import Any, assert_type

from models import Order, User

from psqlmodel import AsyncSession, Plan, Session, Written


def synchronous(session: Session, user: User) -> None:
    """A `Session` gives the objects themselves."""
    assert_type(session.get_many(User, [1, 2]), list[User | None])
    assert_type(session.get_or_create(User, {"nick": None}, name="Ada"), tuple[User, bool])
    assert_type(session.merge(user), User)
    assert_type(session.merge([user]), list[User])
    assert_type(session.upsert([user], on=User.name, update=[User.nick]), Written[User])
    assert_type(session.upsert([user]).inserted, list[User])
    assert_type(session.sync_set(Order, list[Order](), scope=Order.id > 3), Written[Order])
    assert_type(session.plan(), Plan)
    assert_type(session.changes(user), dict[str, tuple[Any, Any]])
    session.sync_set(Order, [])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def asynchronous(session: AsyncSession, user: User) -> None:
    """An `AsyncSession` gives them awaited."""
    assert_type(await session.get_many(User, [1, 2]), list[User | None])
    assert_type(await session.get_or_create(User, name="Ada"), tuple[User, bool])
    assert_type(await session.merge(user), User)
    assert_type(await session.merge([user]), list[User])
    assert_type(await session.upsert([user]), Written[User])
    assert_type(await session.sync_set(Order, list[Order](), scope=Order.id > 3), Written[Order])
