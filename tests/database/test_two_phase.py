"""Two-phase commit: a transaction leaves its session, and is committed or rolled back from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from psqlmodel import (
    CommitOutcomeUnknown,
    ConfigurationError,
    ConnectionLost,
    DatabaseError,
    Session,
    SessionError,
    UniqueViolation,
    create_engine,
)
from psqlmodel.embedded import Server

from .both import Both, Statements
from .models import Tag, User


@pytest.fixture(autouse=True)
def _nothing_stays_prepared(both: Both) -> Iterator[None]:
    yield
    for identifier in both.column("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
        both.sql(f"ROLLBACK PREPARED '{identifier}'")


async def test_commit_of_a_prepared_transaction(both: Both) -> None:
    async with both.session() as session:
        heard: list[str] = []
        session.on("after_commit", lambda _: heard.append("commit"))
        tag = Tag(name="a")
        session.add(tag)
        await session.prepare("order 1: 'part' \\ 2")
        assert heard == []
        assert both.engine.pool.status().in_use == 0
        assert both.value("SELECT count(*) FROM tags") == 0
        (waiting,) = await both.on_engine("prepared")
        assert waiting.identifier == "order 1: 'part' \\ 2"
        assert timedelta() <= datetime.now(UTC) - waiting.prepared_at < timedelta(minutes=1)
        await both.on_engine("commit_prepared", waiting.identifier)
        assert both.column("SELECT name FROM tags") == ["a"]
        tag.name = "b"
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["b"]


async def test_rollback_of_a_prepared_transaction(both: Both) -> None:
    async with both.session() as session:
        session.add(Tag(name="a"))
        await session.prepare("x")
    await both.on_engine("rollback_prepared", "x")
    assert await both.on_engine("prepared") == []
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_the_identifier_is_taken(both: Both) -> None:
    async with both.session() as first, both.session() as second:
        first.add(Tag(name="a"))
        await first.prepare("x")
        other = Tag(name="b")
        second.add(other)
        with pytest.raises(DatabaseError) as caught:
            await second.prepare("x")
        assert caught.value.sqlstate == "42710"
        assert other.id is None
        await second.rollback()


async def test_the_flush_before_it_fails(both: Both) -> None:
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'taken')")
    async with both.session() as session:
        session.add(Tag(name="taken"))
        with pytest.raises(UniqueViolation):
            await session.prepare("x")
    assert await both.on_engine("prepared") == []


async def test_what_prepare_refuses(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        for identifier in ("", None, 1, "a\0b"):
            with pytest.raises(ConfigurationError, match="identifier"):
                await session.prepare(identifier)
        with pytest.raises(SessionError, match="nothing to prepare"):
            await session.prepare("x")
    for verb in ("commit_prepared", "rollback_prepared"):
        with pytest.raises(ConfigurationError, match="identifier"):
            await both.on_engine(verb, "")
    assert statements == []
    with pytest.raises(DatabaseError) as caught:
        await both.on_engine("commit_prepared", "unknown")
    assert caught.value.sqlstate == "42704"


async def test_an_atomic_session_ends(both: Both) -> None:
    async with both.session(atomic=True) as session:
        session.add(User(name="Ada"))
        await session.prepare("x")
        assert session.closed


async def test_the_connection_is_lost_during_prepare(both: Both) -> None:
    async with both.session() as session:
        session.add(Tag(name="a"))
        await session.flush()
        pid = await session.exec_scalar("SELECT pg_backend_pid()")
        both.sql("SELECT pg_terminate_backend(%s, 20000)", pid)
        with pytest.raises(CommitOutcomeUnknown, match=r"engine\.prepared\(\)") as caught:
            await session.prepare("x")
        assert isinstance(caught.value.__cause__, ConnectionLost)
    assert await both.on_engine("prepared") == []


def test_a_server_that_takes_none() -> None:
    with Server() as server, create_engine(server.dsn) as engine, Session(engine) as session:
        session.exec("SELECT 1")
        with pytest.raises(ConfigurationError, match="max_prepared_transactions"):
            session.prepare("x")
        assert session.exec_scalar("SELECT 1") == 1
        session.rollback()
