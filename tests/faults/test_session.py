"""Faults under a session at work: exactly once or a clear error, the objects as they were, nothing leaks.

The unit of work below reads, updates, inserts, links and deletes. The connection is cut before, in and after each of
its requests, COMMIT included; what the database has then is all of it or nothing, and the error says which.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import psycopg2
import pytest

from psqlmodel import (
    AsyncSession,
    CommitOutcomeUnknown,
    ConnectionLost,
    LockNotAvailable,
    PoolTimeout,
    Select,
    Session,
    TransactionRollbackError,
    create_async_engine,
    create_engine,
)
from psqlmodel.embedded import Server

from .place import Author, Book, Genre, Place
from .proxy import HOWS

BEFOREHAND = ('Ann{"a": [1]},Bob,Cy', "A by Ann,B by Bob,C by Cy", None)
AFTERWARDS = ('Anna{"a": [1, 2]},Bob,Dan', "A by Anna,B by Anna,D by Dan,E by Dan", "Anna:drama")


def change(ann: Author, bob: Author, cy: Author, drama: Genre) -> tuple[list[Any], list[Any]]:
    """Edit what is loaded; returns what is to be added and what is to be deleted."""
    ann.name = "Anna"
    ann.notes["a"].append(2)
    bob.books[0].author = ann
    ann.genres.append(drama)
    return [Author(name="Dan", books=[Book(title="D"), Book(title="E")])], [cy]


def query() -> Any:
    return Select(Author).OrderBy(Author.name).Include(Author.books, Author.genres)


def untouched(ann: Author, bob: Author, cy: Author) -> None:
    """After an error the objects say what the database says."""
    assert (ann.name, ann.notes, ann.genres) == ("Ann", {"a": [1]}, [])
    assert [[book.title for book in author.books] for author in (ann, bob, cy)] == [["A"], ["B"], ["C"]]
    assert cy._state.status == "persistent"


def judge(place: Place, error: Exception | None) -> None:
    """All of it without an error, nothing of it with one; either where the error says that it is not known."""
    place.nothing_is_left_open()
    if isinstance(error, CommitOutcomeUnknown):
        assert place.content in (BEFOREHAND, AFTERWARDS)
    else:
        assert place.content == (BEFOREHAND if error else AFTERWARDS)


# --- the connection is cut ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolve", [False, True])
@pytest.mark.parametrize("how", HOWS)
def test_cut_at_each_request_of_a_session(place: Place, how: str, resolve: bool) -> None:
    outcomes = set()
    with create_engine(place.proxy.dsn, max_pool_size=2) as engine:
        for number in itertools.count(1):
            place.restart()
            with Session(engine, resolve_commit=resolve) as session:
                drama = session.get(Genre, -1)
                ann, bob, cy = session.exec(query()).all()
                session.rollback()
                error = None
                place.proxy.cut(number, how)
                new, old = change(ann, bob, cy, drama)
                session.add_all(new)
                session.delete(old[0])
                try:
                    session.flush()
                    session.exec("SELECT 1")
                    session.commit()
                except (ConnectionLost, TransactionRollbackError) as caught:
                    error = caught
                was_cut = not place.proxy.armed
                place.proxy.cut(0, how)
                judge(place, error)
                outcomes.add(type(error))
                if error is not None and place.content == BEFOREHAND:
                    session.rollback()
                    untouched(ann, bob, cy)
                    new, old = change(ann, bob, cy, drama)
                    session.add_all(new)
                    session.delete(old[0])
                    session.commit()
                    assert place.content == AFTERWARDS
                session.rollback()
            assert engine.pool.status().in_use == 0
            if not was_cut:
                break
    assert number > 6
    assert (CommitOutcomeUnknown in outcomes) is (not resolve)
    place.observer.wait_for_others(0)


@pytest.mark.parametrize("resolve", [False, True])
@pytest.mark.parametrize("how", HOWS)
async def test_cut_at_each_request_of_an_async_session(place: Place, how: str, resolve: bool) -> None:
    outcomes = set()
    async with create_async_engine(place.proxy.dsn, max_pool_size=2) as engine:
        for number in itertools.count(1):
            await asyncio.to_thread(place.restart)
            async with AsyncSession(engine, resolve_commit=resolve) as session:
                drama = await session.get(Genre, -1)
                ann, bob, cy = await session.exec(query()).all()
                await session.rollback()
                error = None
                place.proxy.cut(number, how)
                new, old = change(ann, bob, cy, drama)
                session.add_all(new)
                session.delete(old[0])
                try:
                    await session.flush()
                    await session.exec("SELECT 1")
                    await session.commit()
                except (ConnectionLost, TransactionRollbackError) as caught:
                    error = caught
                was_cut = not place.proxy.armed
                place.proxy.cut(0, how)
                await asyncio.to_thread(judge, place, error)
                outcomes.add(type(error))
                if error is not None and place.content == BEFOREHAND:
                    await session.rollback()
                    untouched(ann, bob, cy)
                    new, old = change(ann, bob, cy, drama)
                    session.add_all(new)
                    session.delete(old[0])
                    await session.commit()
                    assert place.content == AFTERWARDS
                await session.rollback()
            assert engine.pool.status().in_use == 0
            if not was_cut:
                break
    assert number > 6
    assert (CommitOutcomeUnknown in outcomes) is (not resolve)
    await asyncio.to_thread(place.observer.wait_for_others, 0)


def test_cut_in_a_savepoint_ends_all_of_it(place: Place) -> None:
    place.restart()
    with create_engine(place.proxy.dsn) as engine, Session(engine) as session:
        ann = session.get(Author, -1)
        ann.name = "outer"

        def inner() -> None:
            with session.begin_nested():
                ann.name = "inner"
                place.proxy.cut(1, "after")
                session.flush()

        with pytest.raises(ConnectionLost):
            inner()
        session.rollback()
        assert ann.name == "Ann"
        ann.name = "again"
        session.commit()
        assert engine.pool.status().in_use == 0
    assert place.observer.query("SELECT name FROM fault_authors WHERE id = -1") == [("again",)]


# --- cancellation ---------------------------------------------------------------------------------------------------


async def test_cancelled_at_each_await_of_a_session(place: Place) -> None:
    finished = 0
    async with create_async_engine(place.proxy.dsn, max_pool_size=2) as engine:
        turns = 0
        while finished < 2:
            await asyncio.to_thread(place.restart)
            async with AsyncSession(engine) as session:
                drama = await session.get(Genre, -1)
                ann, bob, cy = await session.exec(query()).all()
                await session.rollback()

                async def work(session: Any = session, people: Any = (ann, bob, cy), genre: Any = drama) -> None:
                    new, old = change(*people, genre)
                    session.add_all(new)
                    session.delete(old[0])
                    await session.flush()
                    await session.exec("SELECT 1")
                    await session.commit()

                task = asyncio.create_task(work())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                await asyncio.to_thread(place.nothing_is_left_open)
                content = await asyncio.to_thread(lambda: place.content)
                assert content in (BEFOREHAND, AFTERWARDS)
                if not task.cancelled():
                    assert task.exception() is None
                    assert content == AFTERWARDS
                    finished += 1
                elif content == BEFOREHAND:
                    await session.rollback()
                    untouched(ann, bob, cy)
                    await asyncio.create_task(work())
                    assert place.content == AFTERWARDS
                await session.rollback()
            assert engine.pool.status().in_use == 0
            turns += 1 + turns // 10  # an await of the network takes many turns
    assert turns > 10
    await asyncio.to_thread(place.observer.wait_for_others, 0)


# --- the server, the pool -------------------------------------------------------------------------------------------


def test_the_server_restarts_under_a_session(tmp_path: Any) -> None:
    with Server(tmp_path / "data") as server:
        engine = create_engine(server.dsn)
        engine.create_all([Author, Book, Genre])
        session = Session(engine)
        ann = Author(name="Ann")
        session.add(ann)
        session.commit()
        ann.name = "flushed"
        session.flush()
    with Server(tmp_path / "data"):
        with pytest.raises(ConnectionLost):
            session.commit()
        session.rollback()
        assert ann.name == "Ann"
        ann.name = "again"
        session.commit()
        session.close()
        assert engine.execute("SELECT name FROM fault_authors").scalar() == "again"
        assert engine.pool.status().in_use == 0
        engine.dispose()


def test_a_full_pool_leaves_the_changes_pending(place: Place) -> None:
    place.restart()
    with create_engine(place.proxy.dsn, pool_size=1, max_pool_size=1, pool_timeout=0.05) as engine:
        with Session(engine) as session:
            ann = session.get(Author, -1)
            session.rollback()
            held = engine.acquire()
            ann.name = "Anna"
            with pytest.raises(PoolTimeout):
                session.commit()
            engine.pool.release(held)
            session.rollback()
            assert ann.name == "Ann"
            ann.name = "again"
            session.commit()
        assert engine.pool.status().in_use == 0


def test_a_lock_that_is_not_to_be_had(place: Place) -> None:
    """The second flush of the transaction fails: the first is lost with it, and the objects follow."""
    place.restart()
    with create_engine(place.proxy.dsn) as engine, Session(engine, lock_timeout=0.02) as session:
        ann, bob = session.get(Author, -1), session.get(Author, -2)
        ann.name = "Anna"
        session.flush()
        with contextlib.closing(psycopg2.connect(place.proxy.dsn)) as other, other.cursor() as cursor:
            cursor.execute("UPDATE fault_authors SET name = 'x' WHERE id = -2")
            bob.name = "Bobby"
            with pytest.raises(LockNotAvailable):
                session.flush()
            other.rollback()  # closing alone does not wait until the lock is gone
        session.rollback()
        assert (ann.name, bob.name) == ("Ann", "Bob")
        ann.name, bob.name = "Anna", "Bobby"
        session.commit()
    assert place.content[0] == 'Anna{"a": [1]},Bobby,Cy'
