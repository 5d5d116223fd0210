"""Connections that died while nobody used them, and those that die under their users: on both sessions.

A connection that is dead already is replaced, and the program does not notice: nothing is lost, nothing is done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from psqlmodel import (
    Column,
    CommitOutcomeUnknown,
    ConnectionLost,
    Func,
    PSQLModel,
    Select,
    TransactionRollbackError,
    table,
)
from tests.database.both import Both

from .engines import all_is_well, both_kinds, fill, opened
from .place import Author, Book, Genre, Place

POOL = 3
Work = Callable[[Both, Place], Awaitable[None]]


@table("fault_leftovers")
class Leftover(PSQLModel):
    id: Column[int] = Column(primary_key=True)


@pytest.fixture(autouse=True)
def _beginning(place: Place) -> None:
    place.restart()


# --- dead while they rested -------------------------------------------------------------------------------------------


async def read(both: Both, place: Place) -> None:
    async with both.session() as session:
        assert (await session.get(Author, -1)).name == "Ann"


async def write_one(both: Both, place: Place) -> None:
    async with both.session() as session:
        session.add(Author(name="Dan"))
        await session.commit()


async def write_several(both: Both, place: Place) -> None:
    async with both.session() as session:
        session.add(Author(name="Dan"))
        await session.flush()
        session.add(Author(name="Eve"))
        await session.commit()


async def write_with_settings(both: Both, place: Place) -> None:
    async with both.session(isolation="SERIALIZABLE", settings={"app.name": "x"}) as session:
        session.add(Author(name="Dan"))
        await session.commit()


async def write_by_copy(both: Both, place: Place) -> None:
    async with both.session() as session:
        await session.bulk_insert(iter([Author(name="Dan"), Author(name="Eve")]))
        await session.commit()


async def read_in_parallel(both: Both, place: Place) -> None:
    async with both.session() as session:
        authors, books, names = await session.parallel_exec(
            [Select(Author), Select(Book), "SELECT name FROM fault_genres"]
        )
        assert [len(rows) for rows in (authors, books, names)] == [3, 3, 2]


async def run_by_the_engine(both: Both, place: Place) -> None:
    async def work(session: Any) -> None:
        ann = await session.get(Author, -1, lock="update")
        ann.name = "Anna"

    await both.run(work)


async def prepare(both: Both, place: Place) -> None:
    async with both.session() as session:
        session.add(Author(name="Dan"))
        await session.prepare("dead")
    place.observer.terminate_others()
    assert [waiting.identifier for waiting in await both.on_engine("prepared")] == ["dead"]
    place.observer.terminate_others()
    await both.on_engine("commit_prepared", "dead")


async def sql_in_a_session(both: Both, place: Place) -> None:
    async with both.session() as session:
        await session.exec("INSERT INTO fault_authors (name) VALUES ('Dan')")
        await session.commit()


async def sql_without_a_session(both: Both, place: Place) -> None:
    await both.on_engine("execute", "INSERT INTO fault_authors (name) VALUES ('Dan')")


async def write_after_reading(both: Both, place: Place) -> None:
    """The session holds the connection that dies."""
    async with both.session() as session:
        ann = await session.get(Author, -1)
        await asyncio.to_thread(place.observer.terminate_others)
        ann.name = "Anna"
        await session.commit()


async def sql_after_reading(both: Both, place: Place) -> None:
    async with both.session() as session:
        await session.get(Author, -1)
        await asyncio.to_thread(place.observer.terminate_others)
        await session.exec("UPDATE fault_authors SET name = name || 'x' WHERE id = -1")
        await session.commit()


async def make_tables(both: Both, place: Place) -> None:
    await both.on_engine("create_all", [Author, Book, Genre])


async def drop_tables(both: Both, place: Place) -> None:
    place.observer.query("CREATE TABLE IF NOT EXISTS fault_leftovers (id int PRIMARY KEY)")
    place.observer.terminate_others()
    await both.on_engine("drop_all", [Leftover])
    assert place.observer.query("SELECT to_regclass('fault_leftovers')")[0][0] is None


WORKS = {
    make_tables: "Ann,Bob,Cy",
    drop_tables: "Ann,Bob,Cy",
    read: "Ann,Bob,Cy",
    write_one: "Ann,Bob,Cy,Dan",
    write_several: "Ann,Bob,Cy,Dan,Eve",
    write_with_settings: "Ann,Bob,Cy,Dan",
    write_by_copy: "Ann,Bob,Cy,Dan,Eve",
    read_in_parallel: "Ann,Bob,Cy",
    run_by_the_engine: "Anna,Bob,Cy",
    prepare: "Ann,Bob,Cy,Dan",
    sql_in_a_session: "Ann,Bob,Cy,Dan",
    sql_without_a_session: "Ann,Bob,Cy,Dan",
    write_after_reading: "Anna,Bob,Cy",
    sql_after_reading: "Annx,Bob,Cy",
}


@pytest.mark.parametrize("work", WORKS)
@both_kinds
async def test_dead_connections_of_the_pool_are_not_noticed(place: Place, kind: str, work: Work) -> None:
    async with opened(kind, place.dsn, pool_size=POOL) as both:
        await write_one(both, place)  # what the engine asks once, it has asked: nothing goes before the work
        await asyncio.to_thread(place.restart)
        await fill(both, POOL)
        place.observer.terminate_others()  # the event loop has no turn to hear of it
        await work(both, place)
        names = place.observer.query("SELECT string_agg(name, ',' ORDER BY name) FROM fault_authors")[0][0]
        assert names == WORKS[work]
        await all_is_well(both, place.observer)


@both_kinds
async def test_only_after_a_loss_resting_connections_are_asked(place: Place, kind: str) -> None:
    """No ping for each checkout; where one was lost, the others are asked once."""
    async with opened(kind, place.dsn, pool_size=POOL) as both:
        await fill(both, POOL)
        pids = {pid for (pid,) in place.observer.query(PIDS)}
        victim = await both.on_engine("execute", "SELECT pg_backend_pid()")
        place.observer.query(f"SELECT pg_terminate_backend({victim.scalar()}, 20000)")
        await read(both, place)
        await fill(both, POOL)
        others = {pid for (pid,) in place.observer.query(PIDS)}
        assert len(others) == POOL
        assert len(pids & others) == POOL - 1  # the living ones stayed
        before = probes(place)
        await read(both, place)
        assert probes(place) == before


PIDS = """SELECT pid FROM pg_stat_activity WHERE datname = current_database()
    AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""


def probes(place: Place) -> int:
    count: int = place.observer.query(f"SELECT count(*) FROM ({PIDS} AND query = 'SELECT 1') AS asked")[0][0]
    return count


# --- dead under their users -------------------------------------------------------------------------------------------


@both_kinds
async def test_terminated_in_a_transaction(place: Place, kind: str) -> None:
    async with opened(kind, place.dsn) as both, both.session() as session:
        ann = await session.get(Author, -1)
        ann.name = "flushed"
        await session.flush()
        await asyncio.to_thread(place.observer.terminate_others)
        with pytest.raises(ConnectionLost):
            await session.exec(Select(Book)).all()
        await session.rollback()
        assert ann.name == "Ann"
        ann.name = "again"
        await session.commit()
        assert place.content[0] == 'Bob,Cy,again{"a": [1]}'
        await session.rollback()
        await all_is_well(both, place.observer)


@pytest.mark.parametrize("prompt", [True, False])
@both_kinds
async def test_terminated_in_the_middle_of_the_first_query(
    place: Place, kind: str, prompt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has run for long is not begun anew: somebody may have ended it on purpose."""
    monkeypatch.setattr("psqlmodel.core.transaction._PROMPT", 1000.0 if prompt else 0.0)
    async with opened(kind, place.dsn) as both, both.session() as session:
        ending = asyncio.create_task(asyncio.to_thread(terminate_who_sleeps, place))
        await asyncio.sleep(0)
        query = Select(Author.id, Func.pg_sleep(0.5)).Where(Author.id == -1)
        if prompt:
            assert [row[0] for row in await session.exec(query).all()] == [-1]
        else:
            with pytest.raises(ConnectionLost) as caught:
                await session.exec(query).all()
            assert caught.value.seconds is not None
            assert caught.value.statement is not None
        await ending
        await session.rollback()
        await all_is_well(both, place.observer)


def terminate_who_sleeps(place: Place) -> None:
    place.observer.wait_for_others(1, "state = 'active' AND wait_event = 'PgSleep'")
    place.observer.terminate_others()


@pytest.mark.parametrize("resolve", [False, True])
@both_kinds
async def test_terminated_during_commit(place: Place, kind: str, resolve: bool) -> None:
    """A deferred trigger keeps COMMIT busy meanwhile."""
    place.observer.query(SLOW_COMMIT)
    async with opened(kind, place.dsn) as both, both.session(resolve_commit=resolve) as session:
        dan = Author(name="Dan")
        session.add(dan)
        await session.flush()
        ending = asyncio.create_task(asyncio.to_thread(terminate_who_sleeps, place))
        await asyncio.sleep(0)
        with pytest.raises(TransactionRollbackError if resolve else CommitOutcomeUnknown):
            await session.commit()
        await ending
        place.observer.query("DROP TRIGGER slow ON fault_authors")
        assert place.content[0] == 'Ann{"a": [1]},Bob,Cy'
        assert (dan.id, dan in session) == (None, False)
        session.add(dan)
        await session.commit()
        assert place.content[0] == 'Ann{"a": [1]},Bob,Cy,Dan'
        await all_is_well(both, place.observer)


SLOW_COMMIT = """
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON fault_authors DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow()
"""
