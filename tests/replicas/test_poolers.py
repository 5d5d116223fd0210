"""Replicas behind poolers: a PgBouncer before the primary, one before the replica, each in transaction mode."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any

import pytest

from psqlmodel import ConnectionLost, Select
from tests.poolers.bouncer import Bouncer, find

from .cluster import Node
from .conftest import Side
from .models import Book, Note

TURNS = "server_round_robin = 1\nserver_login_retry = 1\nquery_wait_timeout = 3"


def behind(node: Node) -> Bouncer:
    if find() is None:
        pytest.skip("there is no pgbouncer here: apt-get install pgbouncer")
    return Bouncer(node, node.dsn(), more=TURNS)  # type: ignore[arg-type]


@pytest.fixture
def bouncers(primary: Node, replica: Node) -> Iterator[tuple[Bouncer, Bouncer]]:
    with behind(primary) as first, behind(replica) as second:
        yield first, second


def elsewhere(work: Callable[[], Any]) -> Any:
    """Return a task of a context that has written nothing."""
    return asyncio.get_running_loop().create_task(work(), context=Context())


@pytest.mark.parametrize("pooler", ["pgbouncer", None])
async def test_a_pooler_before_each(make, bouncers, primary, replica, pooler: str | None) -> None:
    first, second = bouncers
    side: Side = make(first.dsn, replicas=[second.dsn], pooler=pooler, pool_size=3)
    for n in range(5):
        await side.write(f"note {n}")
        assert await side.read() == (True, [f"note {k}" for k in range(n + 1)])
    async with side.session() as session:
        book = Book(name="b", notes=[Note(text="in it")])
        await session.add(book)
        await session.commit()
        token = session.token

    async def read_by_token() -> list[str]:
        async with side.session(read_only=True, after=token) as session:
            [found] = await session.exec(Select(Book).Include(Book.notes)).all()
            assert await session.exec_scalar("SELECT pg_is_in_recovery()")
            return [note.text for note in found.notes]

    assert await elsewhere(read_by_token) == ["in it"]
    assert side.engine.pooler == "pgbouncer"


async def test_what_the_replica_lacks_the_primary_serves(make, bouncers, replica: Node) -> None:
    first, second = bouncers
    side: Side = make(first.dsn, replicas=[second.dsn], pooler="pgbouncer", replica_wait=0.02)
    replica.pause()
    await side.write("one")
    assert await side.read() == (False, ["one"])

    async def read() -> Any:
        return await side.read()

    assert await elsewhere(read) == (True, [])
    replica.resume()


async def test_one_snapshot_on_the_replica(make, bouncers) -> None:
    first, second = bouncers
    side: Side = make(first.dsn, replicas=[second.dsn], pooler="pgbouncer")
    async with side.session() as session:
        for n in range(20):
            session.add(Note(text=str(n)))
        await session.commit()
        ask = "SELECT pg_is_in_recovery(), count(*) FROM replica_notes"
        # The exporter and one worker: PgBouncer has two connections to this server.
        results = await session.parallel_exec([ask] * 4, consistent=True, max_workers=2)
    assert [tuple(rows[0]) for rows in results] == [(True, 20)] * 4


@pytest.mark.parametrize("which", ["primary", "replica"])
async def test_a_pooler_before_one_of_them(make, primary: Node, replica: Node, which: str) -> None:
    node = primary if which == "primary" else replica
    with behind(node) as bouncer:
        dsns = [bouncer.dsn if each is node else each.dsn() for each in (primary, replica)]
        side: Side = make(dsns[0], replicas=dsns[1:])
        for n in range(3):
            await side.write(str(n))
            assert await side.read() == (True, [str(k) for k in range(n + 1)])
        assert side.engine.pooler == "pgbouncer"  # one is enough: what works behind it works without


async def test_a_replica_that_is_gone_behind_its_pooler(make, own_pair: tuple[Node, Node]) -> None:
    primary, replica = own_pair
    with behind(primary) as first, behind(replica) as second:
        side: Side = make(first.dsn, replicas=[second.dsn], pooler="pgbouncer", replica_retry=60)
        await side.write("one")
        assert await side.read() == (True, ["one"])
        replica.stop()
        with pytest.raises(ConnectionLost):  # the pooler is still there: it tells when something is sent
            await side.read()
        assert await side.read() == (False, ["one"])
        assert not side.engine.replicas.all[0].available
        assert await side.read() == (False, ["one"])
