"""Sessions that only read take a replica, and see what their context wrote."""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import Any

import pytest

from psqlmodel import ConfigurationError, InvalidValueError, ReadOnlyTransaction, Select, SessionError, create_engine

from .models import Book, Note, Page


@pytest.fixture
def side(make, primary, replica):
    return make(primary.dsn(), replicas=[replica.dsn()], replica_wait=0.02)


async def test_who_only_reads_reads_from_a_replica(side, primary, replica):
    primary.sql("INSERT INTO replica_books (name) VALUES ('a')")
    primary.sql("INSERT INTO replica_notes (text, book_id) VALUES ('one', 1), ('two', 1)")
    replica.catch_up(primary)
    async with side.session(read_only=True) as session:
        [book] = await session.exec(Select(Book).Include(Book.notes)).all()
        assert [note.text for note in book.notes] == ["one", "two"]
        assert await session.exec_scalar("SELECT pg_is_in_recovery()")
        assert (await session.get(Note, 2)).text == "two"
        assert side.engine.pool.status().size == 0
    assert side.engine.replicas.all[0].pool.status().size == 1
    assert any("replica_books" in text for text in side.texts)  # listeners hear of replicas, too
    async with side.session() as session:
        assert not await session.exec_scalar("SELECT pg_is_in_recovery()")


async def test_parallel_reads_take_the_replica(side):
    async with side.session() as session:
        here = await session.exec_scalar("SELECT pg_is_in_recovery()")
        results = await session.parallel_exec(["SELECT pg_is_in_recovery()"] * 3)
    assert here is False
    assert [rows[0][0] for rows in results] == [True] * 3


async def test_parallel_reads_of_one_snapshot_take_the_replica(side):
    ask = ["SELECT pg_is_in_recovery(), pg_backend_pid()"] * 6
    async with side.session() as session:
        here = await session.exec_scalar("SELECT pg_is_in_recovery()")
        results = await session.parallel_exec(ask, consistent=True)
        assert await session.parallel_scan(Select(Note)) == []
    assert here is False
    assert {rows[0][0] for rows in results} == {True}
    assert side.engine.replicas.all[0].pool.status().in_use == 0


async def test_parallel_reads_see_what_their_context_wrote(side, replica):
    replica.pause()
    await side.write("one")
    async with side.session() as session:
        [rows, others] = await session.parallel_exec(["SELECT text FROM replica_notes", Select(Note)])
    assert [row.text for row in rows] == ["one"]
    assert [note.text for note in others] == ["one"]


async def test_a_context_sees_what_it_wrote(side, primary, replica):
    replica.pause()
    await side.write("one")
    assert await side.read() == (False, ["one"])  # the replica has not come so far: the primary serves
    replica.resume()
    replica.catch_up(primary)
    assert await side.read() == (True, ["one"])


async def test_each_way_to_commit_counts(side, replica):
    replica.pause()
    async with side.session() as session:
        assert session.token is None
        await session.add(Note(text="one"))
        await session.commit()  # one statement
        first = session.token
        await session.add(Note(text="two"))
        await session.flush()
        await session.commit()
        assert session.token > first
    assert await side.read() == (False, ["one", "two"])
    async with side.session(auto_commit=True) as session:
        await session.bulk_insert([Note(text="three")])
    assert await side.read() == (False, ["one", "two", "three"])


async def test_who_wrote_nothing_asks_nothing(side):
    await side.execute("SELECT 1")  # the default isolation of the database is known from the first connection on
    async with side.session() as session:
        await session.get(Note, 1)
        await session.commit()
        assert session.token is None
    assert [text for text in side.texts if "lsn" in text] == []


async def test_a_token_carries_it_to_another_context(side, replica):
    replica.pause()
    token = await side.write("one")
    assert isinstance(token, str)
    assert await elsewhere(side.read) == (True, [])  # who did not write it need not see it
    assert await elsewhere(side.read, after=token) == (False, ["one"])


async def elsewhere(work: Any, **options: Any) -> Any:
    """Await a coroutine function in a context of its own, as another request would be in."""
    return await asyncio.get_running_loop().create_task(work(**options), context=Context())


async def test_writes_past_the_sessions_have_a_token_too(side, replica):
    replica.pause()
    await side.execute("INSERT INTO replica_notes (text) VALUES ('by hand')")
    assert await side.read() == (True, [])
    token = await side.token()
    assert await side.read() == (False, ["by hand"])
    assert await elsewhere(side.read, after=token) == (False, ["by hand"])


async def test_a_replica_is_waited_for(make, primary, replica):
    side = make(primary.dsn(), replicas=[replica.dsn()], replica_wait=60, application_name="reader")
    replica.pause()
    await side.write("one")
    done = in_the_background(side)
    replica.until("""(SELECT count(*) > 0 FROM pg_stat_activity
        WHERE application_name = 'reader' AND wait_event = 'PgSleep')""")
    replica.resume()
    assert await done == (True, ["one"])


def in_the_background(side: Any) -> asyncio.Future[Any]:
    """Read in another thread, or on another loop, in a copy of this context."""

    def read() -> Any:
        return asyncio.run(side.read())

    return asyncio.get_running_loop().run_in_executor(None, copy_context().run, read)


async def test_what_is_known_to_be_there_is_not_asked_again(side, primary, replica):
    await side.write("one")
    replica.catch_up(primary)
    assert await side.read() == (True, ["one"])
    known = side.engine.replicas.all[0]._replayed
    assert known >= side.engine.replicas.written
    primary.sql("INSERT INTO replica_notes (text) VALUES ('two')")
    replica.catch_up(primary)
    assert (await side.read())[0]
    assert side.engine.replicas.all[0]._replayed == known


# --- what the primary does --------------------------------------------------------------------------------------------


async def test_a_standby_knows_no_serializable(side):
    assert (await side.read(isolation="SERIALIZABLE"))[0] is False
    assert (await side.read(isolation="REPEATABLE READ"))[0] is True


async def test_who_writes_in_a_session_that_reads(side):
    async with side.session(read_only=True) as session:
        await session.add(Note(text="no"))
        with pytest.raises(ReadOnlyTransaction):
            await session.commit()


async def test_tables_that_a_context_made(make, primary, replica):
    side = make(primary.dsn(), replicas=[replica.dsn()], replica_wait=0.02)
    primary.sql("DROP TABLE IF EXISTS replica_pages")
    replica.catch_up(primary)
    replica.pause()
    making = side.engine.create_all([Page])
    if making is not None:
        await making
    async with side.session(read_only=True) as session:
        assert await session.exec(Select(Page)).all() == []


async def test_a_stream_of_the_replica(side, primary, replica):
    primary.sql("INSERT INTO replica_notes (text) SELECT n::text FROM generate_series(1, 25) n")
    replica.catch_up(primary)
    async with side.session(read_only=True) as session:
        query = Select(Note).OrderBy(Note.id)
        if side.kind == "sync":
            texts = [note.text for note in session.raw.stream(query, batch=10)]
        else:
            texts = [note.text async for note in session.stream(query, batch=10)]
        assert texts == [str(n) for n in range(1, 26)]
        assert side.engine.pool.status().size == 0


async def test_a_lock_of_a_name_is_the_primarys(side):
    async with side.session(read_only=True) as session:
        with pytest.raises(SessionError, match="replica"):
            await session.lock("report")
    async with side.session() as session:
        assert await session.try_lock("report")


async def test_one_snapshot_of_the_replica(side, primary, replica):
    """The tasks read where the session reads: a snapshot is no other server's."""
    primary.sql("INSERT INTO replica_notes (text) VALUES ('one')")
    replica.catch_up(primary)
    async with side.session(read_only=True, isolation="REPEATABLE READ") as session:
        assert await session.exec_scalar("SELECT count(*) FROM replica_notes") == 1
        primary.sql("INSERT INTO replica_notes (text) VALUES ('two')")
        replica.catch_up(primary)
        tasks = ["SELECT count(*), pg_is_in_recovery() FROM replica_notes"] * 3
        results = await session.parallel_exec(tasks, consistent=True)
        assert [tuple(rows[0]) for rows in results] == [(1, True)] * 3
    assert await side.read() == (True, ["one", "two"])


async def test_a_session_keeps_to_its_replica(make, primary, replica):
    side = make(primary.dsn(), replicas=[replica.dsn(), replica.dsn()])
    first, second = side.engine.replicas.all
    async with side.session(read_only=True) as session:
        for _ in range(4):
            await session.exec("SELECT 1")
            await session.commit()
    assert sorted(each.pool.status().size for each in (first, second)) == [0, 1]
    for _ in range(4):
        await side.read()
    assert sorted(each.pool.status().size for each in (first, second)) == [1, 1]  # sessions take turns


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicas": "postgresql://h/x"}, "list of DSNs"),
        ({"replicas": ["embedded"]}, "embedded"),
        ({"replicas": ["mysql://h/x"]}, "mysql"),
        ({"replicas": [""]}, "empty"),
        ({"replica_wait": -1}, "replica_wait"),
        ({"replica_retry": True}, "replica_retry"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigurationError, match=message):
        create_engine("postgresql://h/x", **options)


@pytest.mark.parametrize("token", ["", "yesterday", "1/2/3", "0/0'; DROP TABLE x", 5, "123456789/0"])
async def test_what_is_no_token(side, token):
    with pytest.raises(InvalidValueError, match="token"):
        side.session(read_only=True, after=token)


async def test_without_replicas_nothing_changes(make, primary):
    side = make(primary.dsn())
    async with side.session() as session:
        await session.add(Note(text="one"))
        await session.commit()
        assert session.token is None
    assert await side.read() == (False, ["one"])
    assert [text for text in side.texts if "lsn" in text] == []
    token = await side.token()
    assert await side.read(after=token) == (False, ["one"])
