"""A primary with a replica, shared by the tests that break neither; and engines of both kinds on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from psqlmodel import AsyncEngine, Engine, create_async_engine, create_engine

from .cluster import Node
from .models import MODELS


@pytest.fixture(scope="session")
def template() -> Iterator[Node]:
    """A server with the tables, which does not run: what others begin with."""
    node = Node("template")
    try:
        node.initialise().start()
        with create_engine(node.dsn()) as engine:
            engine.create_all(MODELS)
        node.stop()
        yield node
    finally:
        node.remove()


@pytest.fixture(scope="session")
def pair(template: Node) -> Iterator[tuple[Node, Node]]:
    """A primary and a replica that nobody stops, made by pg_basebackup."""
    primary, replica = Node("primary"), Node("replica")
    try:
        primary.filled_from(template).start()
        replica.copy_of(primary).start().catch_up(primary)
        yield primary, replica
    finally:
        primary.remove()
        replica.remove()


@pytest.fixture
def own_pair(template: Node) -> Iterator[tuple[Node, Node]]:
    """A primary and a replica for one test that stops or promotes them."""
    primary, replica = Node("primary"), Node("replica")
    try:
        primary.filled_from(template).start()
        replica.filled_from(template).follow(primary).start().catch_up(primary)
        yield primary, replica
    finally:
        primary.remove()
        replica.remove()


@pytest.fixture
def primary(pair: tuple[Node, Node], replica: Node) -> Node:
    primary = pair[0]
    primary.sql("TRUNCATE replica_books, replica_notes RESTART IDENTITY")
    replica.catch_up(primary)
    return primary


@pytest.fixture
def replica(pair: tuple[Node, Node]) -> Iterator[Node]:
    replica = pair[1]
    yield replica
    replica.resume()
    replica.catch_up(pair[0])


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def make(kind: str) -> Iterator[Callable[..., Any]]:
    """Make engines of either kind; none of their connections may be in use at the end."""
    made: list[Any] = []

    def make(dsn: str, **options: Any) -> Side:
        create = create_engine if kind == "sync" else create_async_engine
        made.append(Side(kind, create(dsn, **options)))
        return made[-1]

    yield make
    for side in made:
        assert side.in_use() == 0
        if side.kind == "sync":
            side.engine.dispose()


class Side:
    """An engine of one kind on a primary and its replicas, and where its statements went."""

    def __init__(self, kind: str, engine: Engine | AsyncEngine) -> None:
        self.kind = kind
        self.engine = engine
        self.texts: list[str] = []
        engine.on_statement(lambda event: self.texts.append(event.text))

    def session(self, **options: Any) -> Any:
        """Return a session whose methods are awaited."""
        from tests.database.both import Both

        return Both(self.kind, self.engine, self.engine).session(**options)  # type: ignore[arg-type]

    async def token(self) -> str:
        token = self.engine.token()
        return await token if asyncio.iscoroutine(token) else token

    async def execute(self, text: str) -> Any:
        rows = self.engine.execute(text)
        return await rows if asyncio.iscoroutine(rows) else rows

    async def write(self, text: str) -> str:
        """Commit a note; return the token."""
        from .models import Note

        async with self.session() as session:
            await session.add(Note(text=text))
            await session.commit()
            return session.token

    async def read(self, **options: Any) -> tuple[bool, list[str]]:
        """Return whether a replica served, and the notes that it has."""
        async with self.session(read_only=True, **options) as session:
            row = await session.exec_one(
                "SELECT pg_is_in_recovery(), (SELECT array_agg(text ORDER BY id) FROM replica_notes)"
            )
            return row[0], row[1] or []

    def in_use(self) -> int:
        replicas = self.engine.replicas.all if self.engine.replicas is not None else []
        return sum(each.pool.status().in_use for each in (self.engine, *replicas))
