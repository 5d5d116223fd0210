"""Events of sessions and engines: when handlers are called, and what they may do."""

from __future__ import annotations

import gc
import weakref
from contextlib import suppress
from typing import Any

import pytest

from psqlmodel import (
    ConfigurationError,
    DatabaseError,
    Select,
    Session,
    SessionError,
    TransactionAbortedError,
    UniqueViolation,
)
from psqlmodel.core.events import EVENTS

from .both import Both, Statements, only_async, only_sync
from .models import Tag, User


def listen(session: Any) -> list[str]:
    """Return the list that the names of all events of the session go to."""
    heard: list[str] = []
    for event in EVENTS:
        session.on(event, lambda _, event=event: heard.append(event))
    return heard


async def add_nested(both: Both, session: Any, tag: Tag) -> None:
    if both.is_sync:
        with session.raw.begin_nested():
            session.add(tag)
    else:
        async with session.begin_nested():
            session.add(tag)


async def test_the_order_of_events(both: Both) -> None:
    async with both.session() as session:
        heard = listen(session)
        session.add(Tag(name="a"))
        await session.flush()
        assert heard == ["before_flush", "after_flush"]
        await session.commit()
        assert heard == ["before_flush", "after_flush", "after_commit"]
        await session.commit()
        await session.flush()
        await session.rollback()
        assert len(heard) == 3  # nothing happened: no changes, no transaction
        await session.exec("SELECT 1")
        await session.rollback()
        assert heard[3:] == ["after_rollback"]


async def test_a_handler_gets_the_session_and_can_be_removed(both: Both) -> None:
    async with both.session() as session:
        seen: list[Any] = []
        stop = session.on("after_commit", seen.append)
        again = session.on("after_commit", seen.append)
        await session.exec("SELECT 1")
        await session.commit()
        assert seen == [getattr(session, "raw", session)] * 2
        stop()
        await session.exec("SELECT 1")
        await session.commit()
        assert len(seen) == 3
        again()
        stop()
        await session.exec("SELECT 1")
        await session.commit()
        assert len(seen) == 3


async def test_handlers_of_the_engine_come_first(both: Both) -> None:
    heard: list[str] = []
    stop = both.engine.on("before_flush", lambda _: heard.append("engine"))
    try:
        async with both.session() as session:
            session.on("before_flush", lambda _: heard.append("session"))
            session.add(Tag(name="a"))
            await session.commit()
        assert heard == ["engine", "session"]
    finally:
        stop()
    async with both.session() as session:
        session.add(Tag(name="b"))
        await session.commit()
    assert len(heard) == 2


async def test_before_flush_may_add_change_and_delete(both: Both, statements: Statements) -> None:
    both.sql("INSERT INTO users (id, name, status) VALUES (1, 'Ada', 'old'), (2, 'Bob', 'old')")
    async with both.session() as session:
        ada, bob = await session.get(User, 1), await session.get(User, 2)

        def work(own: Any) -> None:
            ada.status = "changed"
            own.add(Tag(name="audit"))
            own.delete(bob)

        session.on("before_flush", work)
        session.add(Tag(name="mine"))
        await session.commit()
    assert sorted(both.column("SELECT name FROM tags")) == ["audit", "mine"]
    assert [*both.sql("SELECT id, status FROM users")] == [(1, "changed")]
    assert statements.verbs == ["INSERT", "UPDATE", "DELETE"]


async def test_after_flush_may_add_what_the_commit_then_writes(both: Both) -> None:
    async with both.session() as session:
        left = [Tag(name="second"), Tag(name="third")]
        session.on("after_flush", lambda own: own.add(left.pop(0)) if left else None)
        session.add(Tag(name="first"))
        await session.commit()
    assert sorted(both.column("SELECT name FROM tags")) == ["first", "second", "third"]


async def test_handlers_that_never_end(both: Both) -> None:
    async with both.session() as session:
        numbers = iter(range(1000))
        session.on("after_flush", lambda own: own.add(Tag(name=f"number {next(numbers)}")))
        session.add(Tag(name="first"))
        with pytest.raises(SessionError, match="never end"):
            await session.commit()
        await session.rollback()
    assert both.value("SELECT count(*) FROM tags") == 0


@only_sync
async def test_queries_in_handlers_do_not_flush(both: Both) -> None:
    with Session(both.engine) as session:
        counts: list[Any] = []
        count = "SELECT count(*) FROM tags"
        for event in ("before_flush", "after_flush", "after_commit"):
            session.on(event, lambda own: counts.append(own.exec_scalar(count)))
        session.on("before_flush", lambda own: counts.append(len(own.exec(Select(Tag)).all())))
        session.add(Tag(name="a"))
        session.commit()
        assert counts == [0, 0, 1, 1]
        session.rollback()


@only_async
async def test_coroutine_functions_are_awaited(both: Both) -> None:
    async with both.session() as session:
        counts: list[Any] = []

        async def count(own: Any) -> None:
            counts.append(await own.exec_scalar("SELECT count(*) FROM tags"))

        for event in ("before_flush", "after_flush", "after_commit"):
            session.on(event, count)
        session.add(Tag(name="a"))
        await session.commit()
        assert counts == [0, 1, 1]
        await session.rollback()


@only_sync
async def test_a_synchronous_session_takes_no_coroutine_function(both: Both) -> None:
    async def handler(session: Any) -> None: ...

    with both.session().raw as session:
        with pytest.raises(ConfigurationError, match="coroutine"):
            session.on("after_commit", handler)
    with pytest.raises(ConfigurationError, match="coroutine"):
        both.engine.on("after_commit", handler)


@pytest.mark.parametrize("event", ["before_flush", "after_flush"])
@pytest.mark.parametrize("verb", ["flush", "commit", "rollback", "close"])
async def test_a_handler_of_a_flush_can_not_end_it(both: Both, event: str, verb: str) -> None:
    async with both.session() as session:
        if both.is_sync:
            stop = session.on(event, lambda own: getattr(own, verb)())
        else:

            async def end(own: Any) -> None:
                await getattr(own, verb)()

            stop = session.on(event, end)
        session.add(Tag(name="a"))
        with pytest.raises(SessionError, match="can't flush, commit, roll back or close"):
            await session.commit()
        stop()
        await session.rollback()
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_an_error_of_before_flush_stops_the_flush(both: Both, statements: Statements) -> None:
    def refuse(own: Any) -> None:
        raise PermissionError("not today")

    async with both.session() as session:
        stop = session.on("before_flush", refuse)
        tag = Tag(name="a")
        session.add(tag)
        with pytest.raises(PermissionError):
            await session.commit()
        assert statements == []
        assert tag in session
        stop()
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["a"]


@pytest.mark.parametrize("event", ["before_flush", "after_flush"])
async def test_an_error_that_a_handler_swallows_is_not_forgotten(both: Both, event: str) -> None:
    """It ended the transaction, and took the changes with it: the commit must not look like a success."""
    if both.is_sync:

        def swallow(own: Any) -> None:
            with suppress(DatabaseError):
                own.exec("SELECT 1 / 0")

        handler: Any = swallow
    else:

        async def swallow_later(own: Any) -> None:
            with suppress(DatabaseError):
                await own.exec("SELECT 1 / 0")

        handler = swallow_later
    async with both.session() as session:
        stop = session.on(event, handler)
        tag = Tag(name="a")
        session.add(tag)
        with pytest.raises(TransactionAbortedError):
            await session.commit()
        stop()
        assert (tag.id, tag in session) == (None, False)
        session.add(tag)
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["a"]


async def test_an_error_of_after_commit_does_not_undo_it(both: Both) -> None:
    def fail(own: Any) -> None:
        raise PermissionError("too late")

    async with both.session() as session:
        session.on("after_commit", fail)
        session.add(Tag(name="a"))
        with pytest.raises(PermissionError):
            await session.commit()
    assert both.column("SELECT name FROM tags") == ["a"]


async def test_after_rollback_of_a_failed_transaction(both: Both) -> None:
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'taken')")
    async with both.session() as session:
        heard = listen(session)
        kept = Tag(name="new")
        session.add(kept)
        session.on("after_rollback", lambda own: heard.append(f"id is {kept.id}"))
        await session.flush()
        session.add(Tag(name="taken"))
        with pytest.raises(UniqueViolation):
            await session.commit()
        assert heard[-2:] == ["after_rollback", "id is None"]
        assert "after_commit" not in heard
        await session.rollback()
        assert heard.count("after_rollback") == 1


async def test_an_error_of_after_rollback_masks_nothing(both: Both) -> None:
    def fail(own: Any) -> None:
        raise PermissionError("no")

    async with both.session() as session:
        session.on("after_rollback", fail)
        with pytest.raises(DatabaseError) as caught:
            await session.exec("SELECT 1 / 0")
    assert "after_rollback failed too" in caught.value.__notes__[0]


async def test_a_savepoint_is_no_transaction(both: Both) -> None:
    async with both.session() as session:
        heard = listen(session)
        session.add(Tag(name="a"))
        with pytest.raises(UniqueViolation):
            await add_nested(both, session, Tag(name="a"))
        assert "after_rollback" not in heard
        await session.commit()
        assert heard.count("after_commit") == 1


async def test_leaving_the_block_is_a_rollback(both: Both) -> None:
    async with both.session() as session:
        heard = listen(session)
        await session.exec("SELECT 1")
    assert heard == ["after_rollback"]


async def test_words_for_what_can_not_be_listened_to(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(ConfigurationError, match="did you mean 'after_commit'"):
            session.on("after_comit", print)
        with pytest.raises(ConfigurationError, match="before_flush, after_flush"):
            session.on("zzz", print)
        with pytest.raises(ConfigurationError, match="takes a function"):
            session.on("after_commit", "print")


@only_sync
def test_handlers_keep_no_session_alive(both: Both) -> None:
    session = Session(both.engine)
    session.on("after_commit", print)
    reference = weakref.ref(session)
    gc.disable()
    try:
        del session
        assert reference() is None
    finally:
        gc.enable()
