"""Two sessions that update and delete the same rows in opposite order never deadlock: rows are locked by key."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from psqlmodel import AsyncSession, Select, Session

from .both import Both, only_async, only_sync
from .models import Pet

ROWS = 2000
ROUNDS = 5


def fill(both: Both) -> None:
    both.sql("INSERT INTO pets (name) SELECT 'pet ' || n FROM generate_series(1, %s) n", ROWS)


@only_sync
def test_threads_in_opposite_order(both: Both) -> None:
    fill(both)
    engine: Any = both.engine
    failures: list[BaseException] = []

    def change(backwards: bool) -> None:
        try:
            for n in range(ROUNDS):
                with Session(engine) as session:
                    pets = session.exec(Select(Pet)).all()
                    for pet in reversed(pets) if backwards else pets:
                        pet.name = f"{backwards} {n}"
                    session.commit()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=change, args=(backwards,)) for backwards in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@only_async
async def test_tasks_in_opposite_order(both: Both) -> None:
    fill(both)
    engine: Any = both.engine

    async def change(backwards: bool) -> None:
        for n in range(ROUNDS):
            async with AsyncSession(engine) as session:
                pets = await session.exec(Select(Pet)).all()
                for pet in reversed(pets) if backwards else pets:
                    pet.name = f"{backwards} {n}"
                await session.commit()

    _ = await asyncio.gather(change(False), change(True))
    assert both.value("SELECT count(DISTINCT name) FROM pets") == 1
