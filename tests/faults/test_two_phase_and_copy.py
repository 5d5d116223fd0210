"""The connection is cut before, in and after each request of a two-phase commit, and of a COPY.

Everything is done exactly once, or an error says what is known and leaves what can be done again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from psqlmodel import CommitOutcomeUnknown, ConnectionLost, Engine, create_async_engine, create_engine
from tests.database.both import Both

from .place import Author, Book, Place
from .proxy import AFTER, HOWS

MANY = 1000  # rows of a COPY
WAITING = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
DAN = "SELECT a.name, b.title FROM fault_authors a JOIN fault_books b ON b.author_id = a.id WHERE a.name = 'Dan'"
both_kinds = pytest.mark.parametrize("kind", ["sync", "async"])
each_way = pytest.mark.parametrize("how", HOWS)


@pytest.fixture(autouse=True)
def _nothing_stays_prepared(place: Place) -> Iterator[None]:
    yield
    for (identifier,) in place.observer.query(WAITING):
        place.observer.query(f"ROLLBACK PREPARED '{identifier}'")


@asynccontextmanager
async def behind(place: Place, kind: str) -> AsyncIterator[Both]:
    """An engine of either kind behind the proxy; in the end nothing is out of its pool."""
    make: Any = create_engine if kind == "sync" else create_async_engine
    engine: Any = make(place.proxy.dsn, max_pool_size=2)
    yield Both(kind, engine, engine)
    assert engine.pool.status().in_use == 0
    _ = engine.dispose() if isinstance(engine, Engine) else await engine.dispose()
    await asyncio.to_thread(place.observer.wait_for_others, 0)


async def uncut(place: Place) -> bool:
    """Disarm the proxy, wait until the server knows of the cut, and tell whether there was none."""
    armed = place.proxy.armed
    place.proxy.cut(0, AFTER)
    await asyncio.to_thread(place.nothing_is_left_open)
    return armed


@each_way
@both_kinds
async def test_cut_at_each_request_of_a_prepare(place: Place, kind: str, how: str) -> None:
    """`prepare` is the flush and PREPARE TRANSACTION: where it is not known, the server's list tells."""
    outcomes = set()
    async with behind(place, kind) as both:
        for number in itertools.count(1):
            place.restart()
            async with both.session() as session:
                await session.exec("SELECT 1")
                await session.rollback()
                dan = Author(name="Dan", books=[Book(title="D")])
                place.proxy.cut(number, how)
                session.add(dan)
                error = None
                try:
                    await session.prepare("fault")
                except ConnectionLost as caught:
                    error = caught
                done = await uncut(place)
                known = [waiting.identifier for waiting in await both.on_engine("prepared")]
                assert [(identifier,) for identifier in known] == place.observer.query(WAITING)
                outcomes.add((type(error), len(known)))
                if not known:
                    assert error is not None
                    await session.rollback()
                    assert (dan.id, dan in session) == (None, False)
                    session.add(dan)
                    await session.prepare("fault")
                assert place.observer.query(DAN) == []
                await both.on_engine("commit_prepared", "fault")
                assert place.observer.query(DAN) == [("Dan", "D")]
            if done:
                break
    unknown = (CommitOutcomeUnknown, 1 if how == AFTER else 0)
    assert outcomes == {unknown, (type(None), 1)}  # the flush is the first statement: it is sent again
    assert number >= 3  # the flush, PREPARE, and the run without a cut


@each_way
@pytest.mark.parametrize("verb", ["commit", "rollback"])
@both_kinds
async def test_cut_at_the_second_phase(place: Place, kind: str, verb: str, how: str) -> None:
    """It is done, or the transaction still waits; sent again until it is done, it is done once."""
    place.restart()
    place.observer.query(
        "BEGIN; WITH a AS (INSERT INTO fault_authors (id, name) VALUES (9, 'Dan') RETURNING id) "
        "INSERT INTO fault_books (title, author_id) SELECT 'D', 9; PREPARE TRANSACTION 'fault'"
    )
    async with behind(place, kind) as both:
        async with both.session() as session:
            await session.exec("SELECT 1")
        place.proxy.cut(1, how)
        with pytest.raises(CommitOutcomeUnknown, match=r"PREPARED.*engine\.prepared\(\)") as caught:
            await both.on_engine(f"{verb}_prepared", "fault")
        assert isinstance(caught.value.__cause__, ConnectionLost)
        assert not await uncut(place)
        known = await both.on_engine("prepared")
        assert len(known) == len(place.observer.query(WAITING)) == (0 if how == AFTER else 1)
        if known:
            await both.on_engine(f"{verb}_prepared", "fault")
        assert place.observer.query(WAITING) == []
        assert place.observer.query(DAN) == ([("Dan", "D")] if verb == "commit" else [])


@both_kinds
async def test_a_second_phase_that_could_not_be_sent_is_no_riddle(kind: str) -> None:
    make: Any = create_engine if kind == "sync" else create_async_engine
    engine = make("postgresql://someone@/somewhere?host=%2Fno%2Fserver&port=1")
    with pytest.raises(ConnectionLost) as caught:
        await Both(kind, engine, engine).on_engine("commit_prepared", "fault")
    assert type(caught.value) is ConnectionLost


@each_way
@both_kinds
async def test_cut_at_each_request_of_a_copy(place: Place, kind: str, how: str) -> None:
    """`bulk_insert` asks for keys, opens a COPY, sends rows and ends it; then comes COMMIT."""
    outcomes = set()
    async with behind(place, kind) as both:
        for number in itertools.count(1):
            place.restart()
            authors = [Author(name=f"many {n}", notes={"n": n}) for n in range(MANY)]
            async with both.session() as session:
                await session.exec("SELECT 1")
                await session.rollback()
                place.proxy.cut(number, how)
                error = None
                try:
                    assert await session.bulk_insert(authors) == MANY
                    await session.commit()
                except ConnectionLost as caught:
                    error = caught
                done = await uncut(place)
                stored = count(place)
                outcomes.add((type(error), stored))
                if stored == 0:
                    assert error is not None
                    await session.rollback()
                    await session.bulk_insert(authors)  # the same objects, again
                    await session.commit()
                assert count(place) == MANY
                ids = {author.id for author in authors}
                assert {id for (id,) in place.observer.query("SELECT id FROM fault_authors WHERE id > 0")} == ids
            if done:
                break
    unknown = (CommitOutcomeUnknown, MANY if how == AFTER else 0)
    assert outcomes == {(ConnectionLost, 0), unknown, (type(None), MANY)}
    assert number >= 5  # keys, COPY, its rows, COMMIT, and the run without a cut


def count(place: Place) -> int:
    found: int = place.observer.query("SELECT count(*) FROM fault_authors WHERE name LIKE 'many %'")[0][0]
    return found
