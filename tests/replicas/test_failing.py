"""Replicas that fail, come back or are promoted; primaries that others replace. Each test has servers of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from psqlmodel import ConnectionLost, DatabaseError
from psqlmodel.core.engine.replicas import Replica, Replicas, position_of, token_of
from psqlmodel.steps import NO_COLUMNS, Rows

from .cluster import PORT, Node
from .models import Note


def several(*nodes: Node, attributes: str = "primary") -> str:
    """Return a DSN of several hosts, of which one that can write is wanted."""
    hosts = ",".join(str(node.folder) for node in nodes)
    ports = ",".join([str(PORT)] * len(nodes))
    words = urlencode({"host": hosts, "port": ports, "target_session_attrs": attributes})
    return f"postgresql://postgres@/postgres?{words}"


@pytest.fixture
def nodes(own_pair: tuple[Node, Node]) -> tuple[Node, Node]:
    return own_pair


async def test_a_replica_that_is_down_is_skipped_and_comes_back(nodes, make):
    primary, replica = nodes
    side = make(primary.dsn(), replicas=[replica.dsn()], replica_retry=0)
    patient = make(primary.dsn(), replicas=[replica.dsn()], replica_retry=3600)
    assert (await side.read())[0] is True
    assert (await patient.read())[0] is True
    replica.stop()
    assert (await side.read())[0] is False
    assert (await patient.read())[0] is False
    assert not patient.engine.replicas.all[0].available
    assert "down" in repr(patient.engine.replicas.all[0])
    replica.start()
    assert (await side.read())[0] is True
    assert (await patient.read())[0] is False  # it is left alone for an hour


async def test_a_replica_that_is_down_from_the_beginning(nodes, make):
    primary, replica = nodes
    replica.stop()
    side = make(primary.dsn(), replicas=[replica.dsn(), primary.dsn()])
    assert (await side.read())[0] is False
    assert [each.available for each in side.engine.replicas.all] == [False, True]
    assert side.engine.pool.status().size == 0  # the other one serves


async def test_a_replica_that_dies_within_a_transaction(nodes, make):
    primary, replica = nodes
    side = make(primary.dsn(), replicas=[replica.dsn()])
    async with side.session(read_only=True) as session:
        assert await session.exec_scalar("SELECT pg_is_in_recovery()")
        replica.stop()
        with pytest.raises(ConnectionLost):
            await session.exec("SELECT 1")
        await session.rollback()
        assert not await session.exec_scalar("SELECT pg_is_in_recovery()")
    assert not side.engine.replicas.all[0].available


async def test_a_promoted_replica_goes_on_to_serve(nodes, make):
    primary, replica = nodes
    side = make(primary.dsn(), replicas=[replica.dsn()], replica_wait=0.02)
    token = await side.write("one")
    replica.catch_up(primary)
    replica.promote()
    assert not replica.sql("SELECT pg_is_in_recovery()")
    async with side.session(read_only=True, after=token) as session:
        assert await session.exec_scalar("SELECT array_agg(text) FROM replica_notes") == ["one"]
        assert side.engine.replicas.all[0].pool.status().in_use == 1


@pytest.mark.parametrize("primary_first", [True, False], ids=["primary first", "standby first"])
async def test_a_failover_needs_no_restart_of_the_program(nodes, make, primary_first):
    old, new = nodes
    side = make(several(old, new) if primary_first else several(new, old), connect_timeout=5)
    await side.write("before")
    new.catch_up(old)
    old.stop()
    with pytest.raises(ConnectionLost):  # there is none that could write
        await side.write("between")
    new.promote()
    await side.write("after")
    async with side.session() as session:
        assert await session.exec("SELECT text FROM replica_notes ORDER BY id").all() == [("before",), ("after",)]
    assert new.sql("SELECT count(*) FROM replica_notes") == 2


async def test_the_token_of_a_lost_primary_is_no_obstacle(nodes, make):
    """What it stands for may be lost: then no replica ever comes so far, and the new primary serves."""
    old, new = nodes
    new.pause()
    side = make(several(old, new), replicas=[several(new, old, attributes="any")], replica_wait=0.02, connect_timeout=5)
    lost = await side.write("lost")
    old.stop()
    new.promote()
    served = await side.read(after=lost)
    assert served[0] is False


@pytest.mark.parametrize("kind", ["async"])
async def test_who_is_cancelled_while_it_waits_holds_nothing(nodes, make):
    primary, replica = nodes
    side = make(primary.dsn(), replicas=[replica.dsn()], replica_wait=60)
    replica.pause()
    await side.write("one")
    reading = asyncio.create_task(side.read())
    await asyncio.to_thread(
        replica.until,
        """(SELECT count(*) > 0 FROM pg_stat_activity
            WHERE query LIKE '%pg_last_wal_replay%' AND pid <> pg_backend_pid())""",
    )
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert side.in_use() == 0
    replica.resume()
    replica.catch_up(primary)
    assert await side.read() == (True, ["one"])


async def test_the_pools_of_replicas_are_closed_with_the_engine(nodes, make):
    primary, replica = nodes
    side = make(primary.dsn(), replicas=[replica.dsn()])
    await side.read()
    closing = side.engine.dispose()
    if closing is not None:
        await closing
    replica.until("(SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = '' AND pid <> pg_backend_pid() "
                  "AND backend_type = 'client backend')")  # fmt: skip
    assert side.engine.replicas.all[0].pool.status().size == 0


# --- without a server -------------------------------------------------------------------------------------------------


class Pool:
    """A pool that has nothing to do."""

    def __init__(self, target: Any) -> None:
        self.target = target


def rows(*positions: str) -> Iterator[Rows]:
    for position in positions:
        yield Rows([(position,)], NO_COLUMNS, 1)


def test_a_lost_answer_means_that_the_primary_serves():
    """The commit stands, but not where: no replica may serve this context any more."""
    replicas = Replicas(["a"], Pool, wait=1, retry=1)  # type: ignore[list-item]
    steps = replicas.take_token()
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.throw(ConnectionLost("gone"))
    assert end.value.value == "FFFFFFFF/FFFFFFFF"
    assert replicas.in_turn(replicas.written, None) == []


def test_an_interrupted_question_does_the_same():
    replicas = Replicas(["a"], Pool, wait=1, retry=1)  # type: ignore[list-item]
    steps = replicas.take_token()
    next(steps)
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt())
    assert replicas.in_turn(replicas.written, None) == []


def test_a_position_never_goes_back():
    replicas = Replicas([], Pool, wait=1, retry=1)
    for position in (5, 9, 7):
        replicas.note(position)
    assert replicas.written == 9


def test_how_long_a_replica_is_waited_for():
    replica = Replica("a", Pool, 5)  # type: ignore[arg-type]
    steps = replica.reaches(position_of("0/20"), until=float("inf"))
    pauses = []
    request = next(steps)
    for answer in rows("0/10", "0/11", "0/11", "0/1F"):
        pauses.append(request.args[0])
        request = steps.send(answer)
    assert pauses == [0.0, 0.002, 0.004, 0.008]
    with pytest.raises(StopIteration) as end:
        steps.send(next(rows("0/2A")))
    assert end.value.value is True
    with pytest.raises(StopIteration):
        next(replica.reaches(position_of("0/29"), until=0.0))  # known: nothing is asked
    steps = replica.reaches(position_of("1/0"), until=0.0)
    assert next(steps).args == (0.0,)  # asked once, whatever the time
    with pytest.raises(StopIteration) as end:
        steps.send(next(rows("0/FFFFFFFF")))
    assert end.value.value is False
    replica.failed()
    assert next(replica.reaches(position_of("0/1"), until=0.0))  # it may come back as another one


def test_tokens():
    for token in ("0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"):
        assert token_of(position_of(token)) == token
    assert position_of("1/0") == 1 << 32


async def test_the_token_of_a_commit_is_asked_on_its_connection(nodes, make):
    """One trip more for a commit, and none for another connection."""
    primary, replica = nodes
    side = make(primary.dsn(), replicas=[replica.dsn()], max_pool_size=1)
    async with side.session() as session:
        await session.add(Note(text="one"))
        await session.commit()
    assert [text for text in side.texts if "lsn" in text] == ["SELECT pg_current_wal_insert_lsn()::text"]
    with pytest.raises(DatabaseError):
        async with side.session(read_only=True) as session:
            await session.add(Note(text="two"))
            await session.commit()
