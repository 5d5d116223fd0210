"""A table for these tests, behind an engine of either kind; the tests of tables are each session's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from psqlmodel import AsyncSession, Column, PSQLModel, Session, create_engine, table


@table("observed_things")
class ObservedThing(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    secret: Column[str | None] = Column()


@pytest.fixture(scope="session")
def observed_dsn(server: Any) -> str:
    dsn: str = server.create_database("observed")
    with create_engine(dsn) as engine:
        engine.create_all([ObservedThing])
    return dsn


class Kind:
    """Engines of one kind, and sessions whose methods are awaited whatever the kind."""

    def __init__(self, name: str, dsn: str) -> None:
        self.name = name
        self._dsn = dsn
        self.engines: list[Any] = []

    def engine(self, **options: Any) -> Any:
        made = create_engine(self._dsn, async_=self.name == "async", max_pool_size=2, **options)
        self.engines.append(made)
        return made

    @asynccontextmanager
    async def session(self, engine: Any) -> AsyncIterator[Callable[..., Any]]:
        """Give a function that calls a method of a session of the engine: `await call("exec", query)`.

        An asynchronous engine is disposed afterwards, on the loop that it was used on.
        """
        if self.name == "async":
            async with AsyncSession(engine) as session:

                async def call(method: str, *args: Any, **options: Any) -> Any:
                    return await getattr(session, method)(*args, **options)

                yield call
            await engine.dispose()
        else:
            with Session(engine) as plain:

                async def call_now(method: str, *args: Any, **options: Any) -> Any:
                    return getattr(plain, method)(*args, **options)

                yield call_now


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest, observed_dsn: str) -> Iterator[Kind]:
    made = Kind(request.param, observed_dsn)
    yield made
    if made.name == "sync":
        for engine in made.engines:
            engine.dispose()
