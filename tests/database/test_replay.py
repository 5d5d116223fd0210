"""A commit that is the whole transaction replays by itself after a deadlock, under the default isolation too."""

from __future__ import annotations

import threading
from contextlib import closing

import psycopg2

from psqlmodel import Select

from .both import Both
from .models import Pet

BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


async def test_a_deadlock_is_survived(both: Both, shop_dsn: str) -> None:
    both.sql("INSERT INTO pets (id, name) VALUES (1, 'a'), (2, 'b')")
    holds = threading.Event()

    def rival() -> None:
        """Lock the rows in the opposite order: the second as soon as the session waits for the first."""
        with closing(psycopg2.connect(shop_dsn)) as connection, connection.cursor() as cursor:
            cursor.execute("UPDATE pets SET owner_id = NULL WHERE id = 2")
            holds.set()
            while both.value(BLOCKED) == 0:
                pass
            cursor.execute("UPDATE pets SET owner_id = NULL WHERE id = 1")
            connection.commit()

    # The session looks for deadlocks first, and so is the one that is rolled back.
    async with both.session(settings={"deadlock_timeout": "10ms"}) as session:
        pets = await session.exec(Select(Pet).OrderBy(Pet.id)).all()
        await session.commit()
        for pet in pets:
            pet.name = f"{pet.name}!"
        thread = threading.Thread(target=rival)
        thread.start()
        assert holds.wait(10)
        both.statements.clear()
        await session.commit()
        thread.join()
        assert [event.error.__class__.__name__ for event in both.statements if event.error] == ["DeadlockDetected"]
    assert both.column("SELECT name FROM pets ORDER BY id") == ["a!", "b!"]
