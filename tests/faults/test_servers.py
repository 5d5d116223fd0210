"""The server itself fails: it crashes and comes back, it hangs, it takes no more connections, its disk is full."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from psqlmodel import ConnectionLost, InsufficientResources, PoolTimeout, Select, create_engine
from psqlmodel.embedded import Server

from .engines import all_is_well, both_kinds, fill, opened
from .place import BEGINNING, Author, Book, Genre
from .server import Observer

POOL = 3
NAMES = "SELECT string_agg(name, ',' ORDER BY name) FROM fault_authors"


def make_tables(dsn: str) -> None:
    with create_engine(dsn) as engine:
        engine.create_all([Author, Book, Genre])
        engine.execute(BEGINNING)


@contextmanager
def observed(dsn: str) -> Iterator[Observer]:
    observer = Observer(dsn)
    try:
        yield observer
    finally:
        observer.close()


# --- it crashes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["postmaster", "backend"])
@both_kinds
async def test_a_crash_between_two_requests_is_not_noticed(tmp_path: Path, kind: str, how: str) -> None:
    """What rests in the pool is dead, and so is what a session holds that has only read."""
    with Server(tmp_path / "data") as server:
        make_tables(server.dsn)
        async with opened(kind, server.dsn, pool_size=POOL) as both:
            await fill(both, POOL)
            async with both.session() as session, both.session() as other:
                ann = await session.get(Author, -1)
                await session.exec(Select(Book)).all()
                bob = await other.get(Author, -2)
                with crashed(server, how):
                    ann.name = "Anna"
                    await session.commit()
                    books = await other.exec(Select(Book).OrderBy(Book.title)).all()
                    assert [book.title for book in books] == ["A", "B", "C"]
                    bob.name = "Bobby"
                    await other.commit()
                    with observed(server.dsn) as observer:
                        assert observer.query(NAMES) == [("Anna,Bobby,Cy",)]
                        await all_is_well(both, observer)


@pytest.mark.parametrize("how", ["postmaster", "backend"])
@both_kinds
async def test_a_crash_under_a_transaction(tmp_path: Path, kind: str, how: str) -> None:
    with Server(tmp_path / "data") as server:
        make_tables(server.dsn)
        async with opened(kind, server.dsn) as both, both.session() as session:
            ann = await session.get(Author, -1)
            ann.name = "flushed"
            session.add(Author(name="Dan"))
            await session.flush()
            with crashed(server, how):
                with pytest.raises(ConnectionLost) as caught:
                    await session.commit()
                assert "COMMIT" in str(caught.value)
                assert (ann.name, ann._state.status) == ("Ann", "persistent")
                ann.name = "again"
                await session.commit()
                with observed(server.dsn) as observer:
                    assert observer.query(NAMES) == [("Bob,Cy,again",)]
                    await all_is_well(both, observer)


@both_kinds
async def test_while_there_is_no_server_an_error_says_so(tmp_path: Path, kind: str) -> None:
    with Server(tmp_path / "data") as server:
        make_tables(server.dsn)
        dsn = server.dsn
        async with opened(kind, dsn, pool_size=POOL) as both:
            await fill(both, POOL)
            async with both.session() as session:
                ann = await session.get(Author, -1)
                os.kill(server.pid, signal.SIGKILL)
                await asyncio.to_thread(wait_for_silence, dsn)
                ann.name = "Anna"
                with pytest.raises(ConnectionLost, match="can't connect") as caught:
                    await session.commit()
                assert type(caught.value) is ConnectionLost  # nothing was sent: no doubt about it
                await session.rollback()
                assert ann.name == "Ann"
                with pytest.raises(ConnectionLost, match="can't connect"):
                    await session.exec(Select(Book)).all()
                assert both.engine.pool.status().size == 0


@contextmanager
def crashed(server: Server, how: str) -> Iterator[None]:
    """Crash the server, and have it up again for the block."""
    if how == "backend":  # the postmaster ends all others, recovers, and goes on
        with observed(server.dsn) as observer, observed(server.dsn) as witness:
            before = observer.query("SELECT pg_postmaster_start_time()")
            os.kill(observer.query("SELECT pg_backend_pid()")[0][0], signal.SIGKILL)
            with contextlib.suppress(psycopg2.Error):  # the postmaster ends it, and lets nobody in until it is back
                while True:
                    witness.query("SELECT 1")
        wait_until_back(server.dsn)
        with observed(server.dsn) as observer:
            assert observer.query("SELECT pg_postmaster_start_time()") == before
        yield
        return
    os.kill(server.pid, signal.SIGKILL)
    wait_for_silence(server.dsn)
    with Server(server.data):
        yield


def wait_for_silence(dsn: str) -> None:
    """Return when nobody answers any more."""
    while True:
        try:
            Observer(dsn).close()
        except psycopg2.OperationalError:
            return


def wait_until_back(dsn: str) -> None:
    """Return when the server has recovered from a crash."""
    while True:
        try:
            return Observer(dsn).close()
        except psycopg2.OperationalError as error:
            assert "system is" in str(error) or "closed the connection" in str(error)


# --- it hangs ---------------------------------------------------------------------------------------------------------


@contextmanager
def hanging(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


@both_kinds
async def test_a_server_that_hangs_while_one_connects(tmp_path: Path, kind: str) -> None:
    with Server(tmp_path / "data") as server:
        make_tables(server.dsn)
        async with opened(kind, server.dsn, connect_timeout=2) as both:
            with hanging(server.pid):
                async with both.session() as session:
                    with pytest.raises(ConnectionLost, match="can't connect"):
                        await session.get(Author, -1)
            with observed(server.dsn) as observer:
                await all_is_well(both, observer)


async def test_a_server_that_hangs_at_work(tmp_path: Path) -> None:
    """A time limit of asyncio holds whatever the server does; who waits for the pool is told in time."""
    with Server(tmp_path / "data") as server:
        make_tables(server.dsn)
        async with opened("async", server.dsn, pool_size=1, max_pool_size=1, pool_timeout=0.05) as both:
            async with both.session() as session:
                ann = await session.get(Author, -1)
                ann.name = "Anna"
                await session.flush()
                [backend] = [row[0] for row in await session.exec("SELECT pg_backend_pid()").all()]
                with hanging(backend):
                    with pytest.raises(PoolTimeout):
                        await both.engine.execute("SELECT 1")
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.1):
                            await session.commit()
                    assert both.engine.pool.status().in_use == 0
                await session.rollback()
                assert ann.name in ("Ann", "Anna")  # nobody knows what became of the COMMIT
            with observed(server.dsn) as observer:
                await asyncio.to_thread(observer.wait_for_others, 0)
                await all_is_well(both, observer)


# --- it is full -------------------------------------------------------------------------------------------------------


@pytest.mark.since(16)  # which has reserved_connections
@both_kinds
async def test_too_many_connections(tmp_path: Path, kind: str) -> None:
    options = {"max_connections": "4", "superuser_reserved_connections": "0", "reserved_connections": "0"}
    with Server(options=options) as server:
        make_tables(server.dsn)
        async with opened(kind, server.dsn, pool_size=10) as both:
            others = [Observer(server.dsn) for _ in range(4)]
            async with both.session() as session:
                with pytest.raises(InsufficientResources) as caught:
                    await session.get(Author, -1)
                assert caught.value.sqlstate == "53300"
                dan = Author(name="Dan")
                session.add(dan)
                with pytest.raises(InsufficientResources):
                    await session.commit()
                assert dan not in session
                assert both.engine.pool.status().size == 0
                for other in others[1:]:
                    other.close()
                others[0].wait_for_others(0)
                session.add(dan)
                await session.commit()
            assert others[0].query(NAMES) == [("Ann,Bob,Cy,Dan",)]
            await all_is_well(both, others[0])
            others[0].close()


@both_kinds
async def test_a_full_disk(tmp_path: Path, kind: str) -> None:
    """The file of a table is /dev/full for a while: the kernel itself says that there is no space."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with Server(tmp_path / "data") as server:
        make_tables(server.dsn)
        with observed(server.dsn) as observer:
            file = server.data / observer.query("SELECT pg_relation_filepath('fault_genres')")[0][0]
            observer.query("TRUNCATE fault_genres CASCADE")
            file = server.data / observer.query("SELECT pg_relation_filepath('fault_genres')")[0][0]
        async with opened(kind, server.dsn) as both, both.session() as session:
            ann = await session.get(Author, -1)
            with full(file):
                ann.name = "Anna"
                await session.flush()
                genre = Genre(name="drama")
                session.add(genre)
                with pytest.raises(InsufficientResources, match="No space left on device") as caught:
                    await session.commit()
                assert caught.value.sqlstate == "53100"
                assert (ann.name, genre in session) == ("Ann", False)
                assert both.engine.pool.status().in_use == 0
                await drop_connections(both, server.dsn)
            ann.name, genre.id = "Anna", None
            session.add(genre)
            await session.commit()
            with observed(server.dsn) as observer:
                assert observer.query("SELECT name FROM fault_genres") == [("drama",)]
                assert observer.query(NAMES) == [("Anna,Bob,Cy",)]
                await all_is_well(both, observer)


@contextmanager
def full(file: Path) -> Iterator[None]:
    aside = file.with_suffix(".aside")
    file.rename(aside)
    file.symlink_to("/dev/full")
    try:
        yield
    finally:
        file.unlink()
        aside.rename(file)


async def drop_connections(both: Any, dsn: str) -> None:
    """End the backends that hold the file open."""
    with observed(dsn) as observer:
        await asyncio.to_thread(observer.terminate_others)
