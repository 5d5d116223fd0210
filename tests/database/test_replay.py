"""A commit that is the whole transaction replays by itself after a deadlock, under the default isolation too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from psqlmodel import Column, Engine, PSQLModel, Select, table

from .both import Both

GATE = 4402  # an advisory lock
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
MAKE_GATE = f"""
CREATE OR REPLACE FUNCTION pass_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NEW; END $$;
CREATE TRIGGER gate BEFORE UPDATE OF name ON crossings FOR EACH ROW EXECUTE FUNCTION pass_the_gate()
"""


@table("crossings")
class Crossing(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    note: Column[str | None] = Column()


@pytest.fixture(scope="module", autouse=True)
def _tables(plain_sql: Engine) -> Iterator[None]:
    plain_sql.create_all([Crossing])
    plain_sql.execute(MAKE_GATE)
    yield
    plain_sql.drop_all([Crossing])


@pytest.fixture
def gate(shop_dsn: str) -> Iterator[Any]:
    """A connection that holds up whoever changes a name: with the first row locked, before the second."""
    with closing(psycopg2.connect(shop_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [GATE])
        connection.commit()
        yield cursor


async def test_a_deadlock_is_survived(both: Both, shop_dsn: str, gate: Any) -> None:
    both.sql("INSERT INTO crossings (id, name) VALUES (1, 'a'), (2, 'b')")
    holds = threading.Event()

    def rival() -> None:
        """Lock the rows in the opposite order: the second, and once the session has the first, that."""
        with closing(psycopg2.connect(shop_dsn)) as connection, connection.cursor() as cursor:
            cursor.execute("SET deadlock_timeout = '1h'")
            cursor.execute("UPDATE crossings SET note = 'x' WHERE id = 2")
            holds.set()
            until_waiting(1)
            cursor.execute("UPDATE crossings SET note = 'x' WHERE id = 1")
            connection.commit()

    def opener() -> None:
        """Let the session go on to the second row when the rival waits for the first."""
        until_waiting(2)
        gate.execute("SELECT pg_advisory_unlock(%s)", [GATE])

    def until_waiting(count: int) -> None:
        while both.value(WAITING) < count:
            pass

    def rival_goes_first(event: Any) -> None:
        """Wait for the rival before the replay: it could take the row once more from one who only wakes up."""
        if event.error:
            threads[0].join()

    # The rival waits already when the session does, which looks for deadlocks: it is the one that is rolled back.
    async with both.session(settings={"deadlock_timeout": "10ms"}) as session:
        rows = await session.exec(Select(Crossing).OrderBy(Crossing.id)).all()
        await session.commit()
        for each in rows:
            each.name = f"{each.name}!"
        threads = [threading.Thread(target=work) for work in (rival, opener)]
        stop = both.engine.on_statement(rival_goes_first)
        threads[0].start()
        assert holds.wait(60)
        threads[1].start()
        both.statements.clear()
        await session.commit()
        stop()
        for thread in threads:
            thread.join()
        assert [event.error.__class__.__name__ for event in both.statements if event.error] == ["DeadlockDetected"]
    assert both.column("SELECT name FROM crossings ORDER BY id") == ["a!", "b!"]
