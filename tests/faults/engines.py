"""Engines of both kinds under fault, and what must hold after each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from psqlmodel import Engine, Select, create_async_engine, create_engine
from tests.database.both import Both

from .place import Author
from .server import Observer

both_kinds = pytest.mark.parametrize("kind", ["sync", "async"])


@asynccontextmanager
async def opened(kind: str, dsn: str, **options: Any) -> AsyncIterator[Both]:
    """An engine of either kind, disposed at the end."""
    make: Any = create_engine if kind == "sync" else create_async_engine
    engine: Any = make(dsn, **options)
    try:
        yield Both(kind, engine, engine)
    finally:
        _ = engine.dispose() if isinstance(engine, Engine) else await engine.dispose()


async def fill(both: Both, count: int) -> None:
    """Let so many connections rest in the pool, each used before."""
    engine: Any = both.engine
    held = [await now(engine.acquire()) for _ in range(count)]
    for connection in held:
        await now(engine.pool.release(connection))


async def now(result: Any) -> Any:
    """Await what is to be awaited."""
    return await result if hasattr(result, "__await__") else result


async def all_is_well(both: Both, observer: Observer) -> None:
    """No connection leaked, no transaction left open, and the next session works."""
    engine: Any = both.engine
    status = engine.pool.status()
    assert (status.in_use, status.waiting) == (0, 0)
    await asyncio.to_thread(observer.wait_for_others, 0, "state LIKE 'idle in transaction%'")
    async with both.session() as session:
        session.add(Author(name="afterwards"))
        await session.flush()
        assert len(await session.exec(Select(Author).Where(Author.name == "afterwards")).all()) == 1
        await session.rollback()
    status = engine.pool.status()
    assert status.in_use == 0
    await asyncio.to_thread(observer.wait_for_others, status.size)
