"""The network fails: connections are reset, fall silent, or trickle; and servers that hang, with a limit set."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from psqlmodel import CommitOutcomeUnknown, ConnectionLost, Select

from .engines import all_is_well, both_kinds, fill, opened
from .network import Network
from .place import Author, Book, Genre, Place

POOL = 3
LIMIT = 1.5  # seconds: a busy machine answers in less
BACKEND_AFTER_A_WHILE = f"SELECT pg_backend_pid() FROM pg_sleep({LIMIT / 3})"


@pytest.fixture
def network(place: Place) -> Iterator[Network]:
    place.restart()
    made = Network(place.dsn)
    yield made
    made.close()


@both_kinds
async def test_connections_that_were_reset_are_not_noticed(place: Place, network: Network, kind: str) -> None:
    async with opened(kind, network.dsn, pool_size=POOL) as both:
        await fill(both, POOL)
        async with both.session() as session:
            ann = await session.get(Author, -1)
            await asyncio.to_thread(network.reset)
            books = await session.exec(Select(Book).OrderBy(Book.title)).all()
            assert [book.title for book in books] == ["A", "B", "C"]
            await asyncio.to_thread(network.reset)
            ann.name = "Anna"
            await session.commit()
        await asyncio.to_thread(network.reset)
        async with both.session() as session:
            session.add(Author(name="Dan"))
            await session.commit()
        assert place.content[0] == 'Anna{"a": [1]},Bob,Cy,Dan'
        await all_is_well(both, place.observer)


@both_kinds
async def test_reset_in_a_transaction(place: Place, network: Network, kind: str) -> None:
    async with opened(kind, network.dsn) as both, both.session() as session:
        ann = await session.get(Author, -1)
        ann.name = "flushed"
        await session.flush()
        await asyncio.to_thread(network.reset)
        with pytest.raises(ConnectionLost):
            await session.commit()
        assert ann.name == "Ann"
        ann.name = "Anna"
        await session.commit()
        assert place.content[0] == 'Anna{"a": [1]},Bob,Cy'
        await all_is_well(both, place.observer)


@both_kinds
async def test_a_network_that_trickles(place: Place, network: Network, kind: str) -> None:
    """Three bytes at once: nothing is taken for whole that is not."""
    network.piece = 3
    async with opened(kind, network.dsn) as both:
        async with both.session() as session:
            drama = await session.get(Genre, -1)
            authors = await session.exec(Select(Author).OrderBy(Author.name).Include(Author.books, Author.genres)).all()
            assert [[book.title for book in author.books] for author in authors] == [["A"], ["B"], ["C"]]
            authors[0].notes["a"].append("ä" * 100)
            authors[0].genres.append(drama)
            await session.bulk_insert([Author(name=f"x{number}") for number in range(50)])
            await session.commit()
        assert place.observer.query("SELECT count(*) FROM fault_authors WHERE name LIKE 'x%'") == [(50,)]
        assert place.content[2] == "Ann:drama"
        await all_is_well(both, place.observer)


@both_kinds
async def test_a_network_that_falls_silent(place: Place, network: Network, kind: str) -> None:
    """Nothing tells that the other side is gone: `answer_timeout` is the limit."""
    async with opened(kind, network.dsn, answer_timeout=LIMIT) as both:
        async with both.session() as session:
            ann = await session.get(Author, -1)
            ann.name = "Anna"
            await session.flush()
            network.silent = True
            begun = time.monotonic()
            with pytest.raises(ConnectionLost) as caught:
                await session.exec(Select(Book)).all()
            assert time.monotonic() - begun < 20
            assert f"answer_timeout={LIMIT:g} s" in notes(caught.value)
            network.silent = False
            await asyncio.to_thread(network.reset)  # the server hears of it: until then it holds the lock
            await asyncio.to_thread(place.nothing_is_left_open)
            await session.rollback()
            assert ann.name == "Ann"
            ann.name = "again"
            await session.commit()
            assert both.engine.pool.status().in_use == 0
        assert place.content[0] == 'Bob,Cy,again{"a": [1]}'
        await all_is_well(both, place.observer)


@both_kinds
async def test_a_server_that_hangs_during_commit(place: Place, kind: str) -> None:
    place.restart()
    async with opened(kind, place.dsn, answer_timeout=LIMIT) as both:
        async with both.session() as session:
            dan = Author(name="Dan")
            session.add(dan)
            await session.flush()
            backend = (await session.exec("SELECT pg_backend_pid()").all())[0][0]
            os.kill(backend, signal.SIGSTOP)
            try:
                with pytest.raises(CommitOutcomeUnknown) as caught:
                    await session.commit()
                assert "answer_timeout" in notes(caught.value.__cause__)
                assert both.engine.pool.status().in_use == 0
            finally:
                os.kill(backend, signal.SIGCONT)
            await session.rollback()
        await asyncio.to_thread(place.nothing_is_left_open)
        assert place.content[0] in ('Ann{"a": [1]},Bob,Cy', 'Ann{"a": [1]},Bob,Cy,Dan')
        await all_is_well(both, place.observer)


@both_kinds
async def test_the_limit_is_for_each_statement(place: Place, kind: str) -> None:
    """A connection that answers in time is not cut, however long it is used."""
    async with opened(kind, place.dsn, answer_timeout=LIMIT, max_pool_size=1) as both:
        async with both.session() as session:
            pids = [await session.exec_scalar(BACKEND_AFTER_A_WHILE) for _ in range(4)]
            await session.commit()
            assert len(set(pids)) == 1
        await all_is_well(both, place.observer)


def notes(error: Any) -> str:
    return " ".join(getattr(error, "__notes__", ()))
