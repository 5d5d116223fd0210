"""`get` of a key that the session has: no statement, whoever asks; what is deleted, closed or no key is as ever."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from psqlmodel import (
    ConcurrentUseError,
    InvalidValueError,
    MissingPrimaryKeyError,
    NotMappedError,
    QueryError,
    Session,
    SessionClosedError,
)

from .both import Both, Statements, only_sync
from .models import Enrolment, User


async def _with_ada(both: Both, session: Any) -> Any:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    return await session.get(User, 1)


async def test_a_known_key_is_no_statement(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        ada = await _with_ada(both, session)
        statements.clear()
        assert await session.get(User, 1) is ada
        assert await session.get(User, (1,)) is ada
        assert await session.get(User, {"id": 1}) is ada
        assert statements == []


@pytest.mark.parametrize("key", [True, 1.0])
async def test_what_equals_a_known_key_is_that_key(both: Both, statements: Statements, key: Any) -> None:
    async with both.session() as session:
        ada = await _with_ada(both, session)
        statements.clear()
        assert await session.get(User, key) is ada
        assert statements == []


@pytest.mark.parametrize(
    ("key", "error"), [("1", InvalidValueError), ([1], InvalidValueError), (None, MissingPrimaryKeyError)]
)
async def test_what_is_no_key_is_refused_beside_known_ones(both: Both, key: Any, error: type[Exception]) -> None:
    async with both.session() as session:
        ada = await _with_ada(both, session)
        with pytest.raises(error):
            _ = await session.get(User, key)
        assert await session.get(User, 1) is ada


async def test_only_the_class_itself_is_known(both: Both) -> None:
    class Unmapped(User):
        pass

    async with both.session() as session:
        ada = await _with_ada(both, session)
        wrong: Any
        for wrong in (Unmapped, int, [], "User", ada):
            with pytest.raises(NotMappedError):
                _ = await session.get(wrong, 1)


async def test_a_known_composite_key(both: Both, statements: Statements) -> None:
    both.sql("INSERT INTO students (id, name) VALUES (1, 'Bob')")
    both.sql("INSERT INTO courses (id, title) VALUES (2, 'Greek')")
    both.sql("INSERT INTO enrolments (student_id, course_id) VALUES (1, 2)")
    async with both.session() as session:
        found = await session.get(Enrolment, (1, 2))
        statements.clear()
        assert await session.get(Enrolment, (1, 2)) is found
        assert statements == []
        for wrong in (1, (1,), (1, 2, 3), (1, None)):
            with pytest.raises(MissingPrimaryKeyError):
                _ = await session.get(Enrolment, wrong)
        with pytest.raises(InvalidValueError):
            _ = await session.get(Enrolment, (1, []))


async def test_options_of_a_lock_are_refused_for_a_known_key_too(both: Both) -> None:
    async with both.session() as session:
        _ = await _with_ada(both, session)
        with pytest.raises(QueryError, match="belong to a lock"):
            _ = await session.get(User, 1, nowait=True)
        with pytest.raises(QueryError, match="belong to a lock"):
            _ = await session.get(User, 1, skip_locked=True)


async def test_a_lock_asks_the_server_though_the_key_is_known(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        ada = await _with_ada(both, session)
        statements.clear()
        assert await session.get(User, 1, lock="update") is ada
        assert any("FOR UPDATE" in text for text in statements.sent)


async def test_a_deleted_object_is_not_given(both: Both) -> None:
    async with both.session() as session:
        ada = await _with_ada(both, session)
        session.delete(ada)
        assert await session.get(User, 1) is None
        await session.rollback()
        assert await session.get(User, 1) is ada


async def test_a_flushed_deletion_is_not_given(both: Both) -> None:
    async with both.session() as session:
        ada = await _with_ada(both, session)
        session.delete(ada)
        await session.flush()
        assert await session.get(User, 1) is None
        await session.rollback()
        assert (await session.get(User, 1)).name == "Ada"


async def test_a_closed_session_gives_nothing_that_it_had(both: Both) -> None:
    session = both.session()
    ada = await _with_ada(both, session)
    await session.close()
    with pytest.raises(SessionClosedError):
        _ = await session.get(User, 1)
    assert ada.name == "Ada"


async def test_what_a_session_let_go_is_asked_for_again(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        ada = await _with_ada(both, session)
        expunged = session.expunge(ada)  # an awaited Session awaits everything
        if both.is_sync:
            await expunged
        statements.clear()
        again = await session.get(User, 1)
        assert again is not ada
        assert len(statements.sent) == 1
        await session.rollback()


@only_sync
def test_a_known_key_is_given_while_another_thread_uses_the_session(both: Both) -> None:
    """It changes nothing in the session, and the program could have held the object as well."""
    engine: Any = both.engine
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    within, enough = threading.Event(), threading.Event()

    def linger(session: Any) -> None:
        within.set()
        assert enough.wait(60)

    with Session(engine) as session:
        ada = session.get(User, 1)
        _ = session.on("before_flush", linger)
        session.add(User(name="Eve"))
        thread = threading.Thread(target=session.flush)
        thread.start()
        assert within.wait(60)
        assert session.get(User, 1) is ada
        with pytest.raises(ConcurrentUseError):
            _ = session.get(User, 2)
        enough.set()
        thread.join()
        session.rollback()
