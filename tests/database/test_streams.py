"""Streams on both sessions: batches, includes, what is kept, ends of all kinds, and memory that does not grow."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import Column, DataError, PSQLModel, QueryError, Select, SessionError, table

from .both import Both, Statements
from .models import Order, User


@table("stream_readings")
class StreamReading(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    note: Column[str]
    value: Column[Decimal]


async def each(stream: Any) -> AsyncIterator[Any]:
    """Iterate over a stream of either session."""
    if hasattr(stream, "__aiter__"):
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


async def first(stream: Any) -> Any:
    """Return the next item of a stream of either session."""
    return await anext(stream) if hasattr(stream, "__anext__") else next(stream)


async def open_cursors(session: Any) -> int:
    """Return how many cursors of streams the server has open."""
    count: int = await session.exec_scalar("SELECT count(*) FROM pg_cursors WHERE name LIKE 'psqlmodel%'")
    return count


async def close(stream: Any) -> None:
    found = stream.close()
    if found is not None:
        await found


def stream(session: Any, query: Any, **options: Any) -> Any:
    return getattr(session, "raw", session).stream(query, **options)


def fill(both: Both, users: int = 7, orders: int = 2) -> None:
    both.sql("INSERT INTO users (id, name) SELECT n, 'user ' || n FROM generate_series(1, %s) n", users)
    both.sql(
        "INSERT INTO orders (id, user_id, total) SELECT n, (n - 1) %% %s + 1, n FROM generate_series(1, %s) n",
        users,
        users * orders,
    )


def sent(statements: Statements, verb: str) -> int:
    return len([text for text in statements.sent if text.startswith(verb)])


async def test_all_rows_come_in_their_order_in_batches(both: Both, statements: Statements) -> None:
    fill(both, users=7)
    async with both.session() as session:
        query = Select(User).Where(User.id > 1).OrderBy(User.id.Desc())
        found = [user.id async for user in each(stream(session, query, batch=3))]
        assert found == [7, 6, 5, 4, 3, 2]
    assert [sent(statements, verb) for verb in ("DECLARE", "FETCH", "CLOSE")] == [1, 3, 1]


async def test_what_is_included_is_loaded_for_each_batch(both: Both, statements: Statements) -> None:
    fill(both, users=6, orders=3)
    async with both.session() as session:
        query = Select(User).OrderBy(User.id).Include(User.orders)
        async for user in each(stream(session, query, batch=2)):
            assert [order.total for order in user.orders] == [user.id, user.id + 6, user.id + 12]
    assert len([text for text in statements.sent if "ANY(" in text]) == 3


async def test_rows_of_values_and_unions(both: Both) -> None:
    fill(both, users=3)
    async with both.session() as session:
        rows = [row async for row in each(stream(session, Select(User.id, User.name).OrderBy(User.id), batch=2))]
        assert [(row.id, row.name) for row in rows] == [(1, "user 1"), (2, "user 2"), (3, "user 3")]
        both_ends = Select(User.id).Where(User.id == 1).Union(Select(User.id).Where(User.id == 3))
        assert {row.id async for row in each(stream(session, both_ends, batch=1))} == {1, 3}


async def test_objects_are_kept_only_if_they_are_changed_or_held(both: Both) -> None:
    fill(both, users=50)
    async with both.session() as session:
        held = user = None
        async for user in each(stream(session, Select(User).OrderBy(User.id), batch=10)):
            if user.id == 3:
                held = user
            if user.id % 25 == 0:
                user.status = "changed"
        del user
        gc.collect()
        alive = getattr(session, "raw", session)._workspace.identity.objects(User.__mapper__)
        assert {user.id for user in alive} == {3, 25, 50}
        assert await session.get(User, 3) is held
        await session.commit()
    assert both.column("SELECT id FROM users WHERE status = 'changed' ORDER BY id") == [25, 50]


async def test_it_sees_what_is_pending_and_not_what_comes_later(both: Both) -> None:
    fill(both, users=2)
    async with both.session() as session:
        await session.add(User(id=10, name="pending"))
        found: list[int] = []
        async for user in each(stream(session, Select(User).OrderBy(User.id), batch=1)):
            found.append(user.id)
            await session.add(User(id=user.id + 100, name="later"))
            await session.flush()
        assert found == [1, 2, 10]
        await session.rollback()


async def test_closed_early_the_cursor_is_gone(both: Both, statements: Statements) -> None:
    fill(both)
    async with both.session() as session:
        rows = stream(session, Select(User), batch=2)
        async for _ in each(rows):
            await close(rows)
        assert await open_cursors(session) == 0
        assert [user async for user in each(rows)] == []
        await close(rows)
    assert [sent(statements, verb) for verb in ("FETCH", "CLOSE")] == [1, 1]


async def test_a_block_closes_it_after_an_error_too(both: Both) -> None:
    fill(both)
    async with both.session() as session:
        rows = stream(session, Select(User), batch=2)
        with pytest.raises(KeyError):
            if both.is_sync:
                with rows:
                    raise KeyError((await first(rows)).id)
            async with rows:
                raise KeyError((await first(rows)).id)
        assert await open_cursors(session) == 0


async def test_one_that_was_dropped_is_closed_with_the_next(both: Both) -> None:
    fill(both)
    async with both.session() as session:
        rows = stream(session, Select(User), batch=2)
        assert (await first(rows)).id
        assert await open_cursors(session) == 1
        del rows
        gc.collect()
        rows = stream(session, Select(Order), batch=2)
        assert (await first(rows)).id
        assert await open_cursors(session) == 1


async def test_two_at_once(both: Both) -> None:
    fill(both, users=3, orders=1)
    async with both.session() as session:
        pairs = [
            (user.id, order.id)
            async for user in each(stream(session, Select(User).OrderBy(User.id), batch=1))
            async for order in each(stream(session, Select(Order).Where(Order.user_id == user.id), batch=1))
        ]
        assert pairs == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_it_ends_with_its_transaction(both: Both, end: str) -> None:
    fill(both)
    async with both.session() as session:
        rows = stream(session, Select(User), batch=2)
        with pytest.raises(SessionError, match="ended with its transaction"):
            async for _ in each(rows):
                await getattr(session, end)()
        assert await session.get(User, 1) is not None
        assert [user async for user in each(rows)] == []


async def test_a_savepoint_that_is_rolled_back_takes_it_along(both: Both) -> None:
    fill(both)
    async with both.session() as session:
        outer = stream(session, Select(User).OrderBy(User.id), batch=2)
        assert (await first(outer)).id == 1
        inner = stream(session, Select(Order), batch=2)
        with pytest.raises(KeyError):
            async with session.begin_nested():
                raise KeyError((await first(inner)).id)
        with pytest.raises(SessionError):
            assert [order async for order in each(inner)] == [None]
        assert [user.id async for user in each(outer)] == [2, 3, 4, 5, 6, 7]


async def test_an_error_while_rows_are_made(both: Both) -> None:
    fill(both)
    async with both.session() as session:
        await session.add(User(id=100, name="lost"))
        await session.flush()
        rows = stream(session, Select(1 / (User.id - 5)).OrderBy(User.id), batch=2)
        with pytest.raises(DataError):
            assert len([row async for row in each(rows)]) > 0
        await close(rows)
        await session.rollback()
        assert await session.get(User, 100) is None


async def test_what_can_be_no_stream_is_refused(both: Both) -> None:
    async with both.session() as session:
        for query in (User, "SELECT 1", Select(User).all):
            with pytest.raises(QueryError, match="stream takes a Select"):
                stream(session, query)
        for batch in (0, -1, 2.5, True):
            with pytest.raises(QueryError, match="batch of a stream"):
                stream(session, Select(User), batch=batch)


async def test_memory_does_not_grow_with_the_rows(both: Both) -> None:
    await both.on_engine("create_all", [StreamReading])
    try:
        both.sql(
            "INSERT INTO stream_readings SELECT n, 'note ' || n, n / 4.0 FROM generate_series(1, %s) AS n",
            200_000,
        )
        assert await peak_of(both, 20_000) * 1.3 + 500_000 > await peak_of(both, 200_000)
    finally:
        await both.on_engine("drop_all", [StreamReading])


async def peak_of(both: Both, rows: int) -> int:
    """Return the peak of memory in bytes while so many rows are streamed."""
    async with both.session() as session:
        count = 0
        tracemalloc.start()
        try:
            async for reading in each(stream(session, Select(StreamReading).Where(StreamReading.id <= rows))):
                count += reading.value > 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert count == rows
