"""Locks: on rows by get and Select, on the next rows of a queue, on names."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel import (
    ConfigurationError,
    LockNotAvailable,
    MissingPrimaryKeyError,
    NotMappedError,
    QueryError,
    Select,
    UniqueViolation,
)

from .both import Both, Statements
from .models import Account, Order, RichUser, Tag, User


@pytest.fixture(autouse=True)
def _rows(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) SELECT n, 'user ' || n FROM generate_series(1, 5) n")
    both.sql("INSERT INTO orders (id, user_id) VALUES (1, 1)")
    both.sql("INSERT INTO accounts (bank, number, balance) VALUES ('A', 1, 10)")


def rows(both: Both, table: str = "users") -> list[int]:
    """Return the keys of the rows that nobody has locked against changes."""
    found = both.sql(f"SELECT id FROM {table} ORDER BY id FOR UPDATE SKIP LOCKED")
    return [row[0] for row in found]


async def test_get_with_a_lock_always_asks_and_refreshes(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        ada = await session.get(User, 1)
        both.sql("UPDATE users SET name = 'Ada' WHERE id = 1")
        statements.clear()
        assert await session.get(User, 1, lock="update") is ada
        assert ada.name == "Ada"
        assert statements.sent[0].endswith("FOR UPDATE")
        assert rows(both) == [2, 3, 4, 5]
        await session.commit()
        assert rows(both) == [1, 2, 3, 4, 5]


async def test_get_with_a_lock_flushes_and_keeps_changes(both: Both) -> None:
    async with both.session() as session:
        ada = await session.get(User, 1)
        ada.age = 7
        await session.get(User, 1, lock="update")
        assert ada.age == 7
        fresh = User(id=77, name="new")
        session.add(fresh)
        assert await session.get(User, 77, lock="update") is fresh
        session.delete(ada)
        assert await session.get(User, 1, lock="update") is None
        await session.rollback()


@pytest.mark.parametrize("lock", ["update", "no key update", "share", "key share"])
async def test_the_strengths(both: Both, statements: Statements, lock: str) -> None:
    async with both.session() as session:
        await session.get(User, 1, lock=lock)
        assert statements.sent[-1].endswith(f"FOR {lock.upper()}")
        shared = both.sql("SELECT id FROM users WHERE id = 1 FOR KEY SHARE SKIP LOCKED")
        assert len(shared) == (0 if lock == "update" else 1)
        await session.rollback()


async def test_nowait_and_skip_locked(both: Both) -> None:
    async with both.session() as holder, both.session() as other:
        await holder.get(User, 1, lock="update")
        assert await other.get(User, 1, lock="update", skip_locked=True) is None
        with pytest.raises(LockNotAvailable):
            await other.get(User, 1, lock="share", nowait=True)
        await other.rollback()
        await holder.rollback()


async def test_get_with_a_composite_key(both: Both) -> None:
    async with both.session() as session:
        for key in (("A", 1), {"number": 1, "bank": "A"}):
            assert (await session.get(Account, key, lock="update")).balance == 10
        assert await session.get(Account, ("B", 1), lock="update") is None
        await session.rollback()


async def test_what_get_refuses(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        with pytest.raises(QueryError, match="none of 'update'"):
            await session.get(User, 1, lock="exclusive")
        with pytest.raises(QueryError, match="belong to a lock"):
            await session.get(User, 1, nowait=True)
        with pytest.raises(QueryError, match="either nowait or skip_locked"):
            await session.get(User, 1, lock="update", nowait=True, skip_locked=True)
        with pytest.raises(MissingPrimaryKeyError):
            await session.get(User, None, lock="update")
        with pytest.raises(MissingPrimaryKeyError, match="ForUpdate"):
            await session.get(RichUser, 1, lock="update")
        with pytest.raises(NotMappedError):
            await session.get(User(name="x"), 1, lock="update")
    assert statements == []


async def test_select_locks_the_rows_of_one_model(both: Both) -> None:
    query = Select(User, Order).JoinRelated(User.orders)
    async with both.session() as session:
        await session.exec(query.ForUpdate(of=Order))
        assert rows(both, "orders") == []
        assert 1 in rows(both)
        await session.rollback()
        await session.exec(query.ForShare(of=[User, Order], nowait=True))
        assert rows(both) == [2, 3, 4, 5]
        await session.rollback()


# --- queues ----------------------------------------------------------------------------------------------------------


async def test_workers_claim_different_rows(both: Both) -> None:
    async with both.session() as first, both.session() as second, both.session() as third:
        assert [user.id for user in await first.claim(User, 2)] == [1, 2]
        assert [user.id for user in await second.claim(User, 2, where=User.id != 3)] == [4, 5]
        assert [user.id for user in await third.claim(User, 5)] == [3]
        assert [user.id for user in await third.claim(User)] == [3]  # its own lock is no obstacle
        await first.rollback()
        assert [user.id for user in await third.claim(User, 5, order_by=User.id.Desc())] == [3, 2, 1]
        await second.rollback()
        await third.rollback()


async def test_a_claimed_job_is_worked_and_committed(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        while jobs := await session.claim(User, 2, where=User.status.IsNull(), order_by=[User.status, User.id]):
            for job in jobs:
                job.status = "done"
            await session.commit()
    assert set(both.column("SELECT status FROM users")) == {"done"}
    assert len([text for text in statements.sent if "SKIP LOCKED" in text]) == 4


async def test_what_claim_refuses(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        with pytest.raises(QueryError, match="whole number"):
            await session.claim(User, -1)
        with pytest.raises(QueryError):
            await session.claim(User, 1, where=Tag.name == "x")
        with pytest.raises(MissingPrimaryKeyError):
            await session.claim(RichUser)
        with pytest.raises(NotMappedError):
            await session.claim(int)
    assert statements == []


# --- names -----------------------------------------------------------------------------------------------------------


async def test_the_lock_of_a_name(both: Both) -> None:
    async with both.session() as first, both.session() as second:
        assert await first.lock("report") is None
        await first.lock("report")  # one has it as often as one likes
        assert await first.try_lock("report") is True
        assert await second.try_lock("report") is False
        assert await second.try_lock("another") is True
        assert both.value("SELECT pg_try_advisory_xact_lock(hashtextextended('report', 0))") is False
        await first.commit()
        assert await second.try_lock("report") is True
        await second.rollback()


@pytest.mark.parametrize("name", ["", None, 5])
async def test_names_that_are_none(both: Both, name: Any) -> None:
    async with both.session() as session:
        with pytest.raises(ConfigurationError, match="a text"):
            await session.lock(name)
        with pytest.raises(ConfigurationError, match="a text"):
            await session.try_lock(name)


async def test_a_failed_transaction_releases_the_name(both: Both) -> None:
    async with both.session() as session:
        await session.lock("name")
        session.add_all([Tag(id=1, name="a"), Tag(id=2, name="a")])
        with pytest.raises(UniqueViolation):
            await session.commit()
    assert both.value("SELECT pg_try_advisory_xact_lock(hashtextextended('name', 0))") is True
