"""Transactions that run again: after serialization failures, deadlocks, and a COMMIT whose answer was lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from psqlmodel import (
    AsyncEngine,
    CommitOutcomeUnknown,
    ConfigurationError,
    ConnectionLost,
    DatabaseError,
    DeadlockDetected,
    Engine,
    Select,
    SerializationFailure,
    SessionError,
    TransactionAbortedError,
    TransactionRollbackError,
    UniqueViolation,
    Update,
)
from psqlmodel.core.retry import Attempts
from psqlmodel.drivers import asyncpg as async_driver
from psqlmodel.drivers import psycopg2 as sync_driver
from psqlmodel.steps import Statement

from .both import Both, Statements, at_once, only_async, only_sync
from .models import Account, Order, Tag, User

SERIALIZABLE = {"isolation": "SERIALIZABLE"}


@pytest.fixture(autouse=True)
def _an_account(both: Both) -> None:
    both.sql("INSERT INTO accounts (bank, number, balance) VALUES ('A', 1, 100)")


def balance(both: Both) -> int:
    return int(both.value("SELECT balance FROM accounts"))


def withdraw(both: Both, conflicts: int) -> tuple[Callable[[Any], Any], list[Any]]:
    """Return work that takes 10 from the account, and finds that somebody else takes 1 as often as `conflicts` says."""
    attempts: list[Any] = []

    async def work(session: Any) -> str:
        account = await session.get(Account, ("A", 1))
        attempts.append(account.balance)
        if len(attempts) <= conflicts:
            both.sql("UPDATE accounts SET balance = balance - 1")
        account.balance -= 10
        return f"attempt {len(attempts)}"

    return work, attempts


# --- a session for each attempt --------------------------------------------------------------------------------------


async def test_run_returns_and_commits(both: Both) -> None:
    work, attempts = withdraw(both, 0)
    assert await both.run(work) == "attempt 1"
    assert balance(both) == 90
    assert attempts == [100]


async def test_run_again_after_a_serialization_failure(both: Both) -> None:
    work, attempts = withdraw(both, 2)
    assert await both.run(work, **SERIALIZABLE) == "attempt 3"
    assert attempts == [100, 99, 98]
    assert balance(both) == 88


async def test_retries_come_to_an_end(both: Both) -> None:
    work, attempts = withdraw(both, 10)
    with pytest.raises(SerializationFailure):
        await both.run(work, retries=2, **SERIALIZABLE)
    assert len(attempts) == 3
    assert balance(both) == 97
    work, attempts = withdraw(both, 1)
    with pytest.raises(SerializationFailure):
        await both.run(work, retries=0, **SERIALIZABLE)
    assert len(attempts) == 1


async def test_other_errors_are_not_run_again(both: Both) -> None:
    attempts = []

    async def work(session: Any) -> None:
        attempts.append(1)
        session.add_all([Tag(name="a"), Tag(name="a")])

    with pytest.raises(UniqueViolation):
        await both.run(work)
    assert attempts == [1]
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_an_error_that_the_function_caught_is_seen(both: Both) -> None:
    """The transaction is over after it: only running again can do the work."""
    attempts = []

    async def work(session: Any) -> None:
        attempts.append(1)
        session.add(Tag(name=f"attempt {len(attempts)}"))
        account = await session.get(Account, ("A", 1))
        await session.flush()
        if len(attempts) == 1:
            both.sql("UPDATE accounts SET balance = balance - 1")
        account.balance -= 10
        try:
            await session.flush()
        except SerializationFailure:
            return

    await both.run(work, **SERIALIZABLE)
    assert both.column("SELECT name FROM tags") == ["attempt 2"]
    assert balance(both) == 89


async def test_a_function_that_commits_is_not_run_again(both: Both) -> None:
    work, attempts = withdraw(both, 1)

    async def commits(session: Any) -> None:
        session.add(Tag(name="once"))
        await session.commit()
        await work(session)

    with pytest.raises(SerializationFailure) as caught:
        await both.run(commits, **SERIALIZABLE)
    assert "committed by the function itself" in caught.value.__notes__[0]
    assert both.column("SELECT name FROM tags") == ["once"]
    assert len(attempts) == 1


@pytest.mark.parametrize("retries", [-1, 1.5, True, None])
async def test_what_run_refuses(both: Both, retries: Any) -> None:
    async def work(session: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="retries"):
        await both.run(work, retries=retries)


def test_pauses_grow_and_differ() -> None:
    def pauses() -> list[float]:
        attempts = Attempts(12)
        error = SerializationFailure("", sqlstate="40001")
        found = [attempts.pause_after(error, committed=False) for _ in range(12)]
        assert attempts.pause_after(error, committed=False) is None
        return [pause or 0.0 for pause in found]

    first, second = pauses(), pauses()
    assert first != second
    assert 0.005 <= first[0] <= 0.01
    assert 0.5 <= first[-1] <= 1.0


@only_sync
def test_two_threads_deadlock_and_both_come_through(both: Both) -> None:
    both.sql("INSERT INTO users (id, name, visits) VALUES (1, 'a', 0), (2, 'b', 0)")
    meet = threading.Barrier(2)
    first_time = {1: True, 2: True}
    errors: list[BaseException] = []

    def crossing(first: int, second: int) -> Callable[[Any], None]:
        def work(session: Any) -> None:
            session.exec(Update(User).Set({User.visits: User.visits + 1}).Where(User.id == first))
            if first_time.pop(first, False):
                meet.wait(20)
            session.exec(Update(User).Set({User.visits: User.visits + 1}).Where(User.id == second))

        return work

    def run(first: int, second: int) -> None:
        try:
            both.engine.run(crossing(first, second))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert both.column("SELECT visits FROM users") == [2, 2]
    assert any(isinstance(event.error, DeadlockDetected) for event in both.statements)


@only_async
async def test_many_tasks_count_without_losing_one(both: Both) -> None:
    async def work(session: Any) -> None:
        account = await session.get(Account, ("A", 1))
        account.balance += 1

    await asyncio.gather(*(both.engine.run(work, retries=50, **SERIALIZABLE) for _ in range(6)))
    assert balance(both) == 106


# --- in a session that is there --------------------------------------------------------------------------------------


async def run_in(both: Both, session: Any, work: Callable[[Any], Any], **options: Any) -> Any:
    return await session.run(at_once(work) if both.is_sync else work, **options)


async def test_the_session_loads_anew_what_it_holds(both: Both) -> None:
    """An object that it got earlier must not bring an old value into the next attempt."""
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    work, attempts = withdraw(both, 1)
    async with both.session(isolation="REPEATABLE READ") as session:
        account = await session.get(Account, ("A", 1))
        ada = await session.exec(Select(User).Include(User.orders)).one()
        await session.commit()

        async def adds(own: Any) -> Any:
            if attempts:
                both.sql("INSERT INTO orders (id, user_id) SELECT 1, 1 WHERE NOT EXISTS (SELECT FROM orders)")
            return await work(own)

        both.sql("INSERT INTO orders (id, user_id) VALUES (2, 1)")
        assert await run_in(both, session, adds) == "attempt 2"
        assert attempts == [100, 99]
        assert account.balance == 89
        assert [order.id for order in ada.orders] == [2]
        assert isinstance(ada.orders[0], Order)
    assert balance(both) == 89


async def test_a_session_in_the_middle_of_something(both: Both) -> None:
    async def work(session: Any) -> None: ...

    async with both.session() as session:
        session.add(Tag(name="a"))
        with pytest.raises(SessionError, match="whole transaction"):
            await run_in(both, session, work)
        await session.flush()
        with pytest.raises(SessionError, match="whole transaction"):
            await run_in(both, session, work)
        await session.commit()
        assert await run_in(both, session, work) is None


async def test_an_error_rolls_the_session_back(both: Both) -> None:
    async def work(session: Any) -> None:
        session.add(Tag(name="a"))
        await session.flush()
        raise KeyError("mine")

    async with both.session() as session:
        with pytest.raises(KeyError):
            await run_in(both, session, work)
        assert both.engine.pool.status().in_use == 0
        session.add(Tag(name="b"))
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["b"]


# --- a COMMIT whose answer is lost -----------------------------------------------------------------------------------


class Saboteur:
    """Cuts the connection at COMMIT, before or after it reaches the server, as often as `cuts` says."""

    def __init__(self) -> None:
        self.cuts: list[str] = []
        self.forbidden = False

    def takes(self, request: Any) -> str | None:
        is_commit = isinstance(request, Statement) and request.text == "COMMIT"
        return self.cuts.pop(0) if is_commit and self.cuts else None


@pytest.fixture
def saboteur(both: Both, monkeypatch: pytest.MonkeyPatch) -> Iterator[Saboteur]:
    made = Saboteur()
    send_sync, send_async = sync_driver.Connection.execute, async_driver.Connection.execute

    def execute(self: Any, request: Any) -> Any:
        cut = made.takes(request)
        if cut is None:
            return send_sync(self, request)
        if cut == "after":
            send_sync(self, request)
        self.close()
        raise ConnectionLost("cut", statement=request.text)

    async def execute_async(self: Any, request: Any) -> Any:
        cut = made.takes(request)
        if cut is None:
            return await send_async(self, request)
        if cut == "after":
            await send_async(self, request)
        self.terminate()
        raise ConnectionLost("cut", statement=request.text)

    monkeypatch.setattr(sync_driver.Connection, "execute", execute)
    monkeypatch.setattr(async_driver.Connection, "execute", execute_async)
    yield made
    assert made.cuts == []


async def adds_a_tag(session: Any) -> Tag:
    tag = Tag(name="a")
    session.add(tag)
    return tag


async def test_a_commit_that_happened_is_not_run_again(both: Both, saboteur: Saboteur) -> None:
    saboteur.cuts = ["after"]
    tag = await both.run(adds_a_tag)
    assert both.column("SELECT id FROM tags") == [tag.id]


async def test_a_commit_that_did_not_happen_is_run_again(both: Both, saboteur: Saboteur) -> None:
    saboteur.cuts = ["before", "after"]
    tag = await both.run(adds_a_tag)
    assert both.column("SELECT id FROM tags") == [tag.id]


async def test_a_session_that_resolves_its_commits(both: Both, saboteur: Saboteur) -> None:
    async with both.session(resolve_commit=True) as session:
        heard: list[str] = []
        session.on("after_commit", lambda _: heard.append("commit"))
        session.on("after_rollback", lambda _: heard.append("rollback"))
        await session.exec("SELECT 1")  # the transaction is more than the flush
        tag = Tag(name="a")
        session.add(tag)
        saboteur.cuts = ["before"]
        with pytest.raises(TransactionRollbackError, match="rolled the transaction back") as caught:
            await session.commit()
        assert isinstance(caught.value.__cause__, ConnectionLost)
        assert tag.id is None
        session.add(tag)
        saboteur.cuts = ["after"]
        await session.commit()
        assert both.column("SELECT id FROM tags") == [tag.id]
        assert heard == ["rollback", "commit"]
        await session.exec("SELECT 1")
        saboteur.cuts = ["before"]
        await session.commit()  # nothing was written: whatever became of it, nothing is lost


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_whole_transaction_survives_a_lost_commit_that_is_resolved(
    both: Both, saboteur: Saboteur, cut: str
) -> None:
    async with both.session(resolve_commit=True) as session:
        tag = Tag(name="a")
        session.add(tag)
        saboteur.cuts = [cut]
        await session.commit()
    assert both.column("SELECT id FROM tags") == [tag.id]


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_what_can_not_be_known(both: Both, saboteur: Saboteur, cut: str) -> None:
    """A session that does not resolve its commits sends no statement for it, and says so."""
    async with both.session() as session:
        session.add(Tag(name="a"))
        await session.flush()
        saboteur.cuts = [cut]
        with pytest.raises(CommitOutcomeUnknown, match="may have been committed or not") as caught:
            await session.commit()
        assert isinstance(caught.value, ConnectionLost)
        assert await session.exec_scalar("SELECT count(*) FROM tags") == (1 if cut == "after" else 0)
        await session.rollback()


async def test_an_outcome_that_the_server_does_not_know(
    both: Both, saboteur: Saboteur, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number is too old, or it never had one."""

    async def notifies(session: Any) -> None:
        await session.exec("NOTIFY somebody")  # written with the commit, without a number before it

    saboteur.cuts = ["after"]
    with pytest.raises(CommitOutcomeUnknown):
        await both.run(notifies)


async def test_only_who_resolves_pays_for_it(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        session.add(Tag(name="a"))
        await session.commit()
    assert not any("xact" in text for text in statements.of("transaction"))
    statements.clear()
    async with both.session(resolve_commit=True) as session:
        session.add(Tag(name="b"))
        await session.commit()
    sent = statements.of("transaction")
    assert sent == ["SELECT pg_current_xact_id_if_assigned()::text", "COMMIT"]


async def test_run_is_typed_by_its_engine(both: Both) -> None:
    assert isinstance(both.engine, Engine | AsyncEngine)
    with pytest.raises(TypeError):
        await both.run(adds_a_tag, no_such_option=True)


async def test_an_aborted_transaction_of_another_error_is_not_run_again(both: Both) -> None:
    attempts = []

    async def work(session: Any) -> None:
        attempts.append(1)
        await adds_a_tag(session)
        await session.flush()
        with pytest.raises(DatabaseError):
            await session.exec("SELECT 1 / 0")

    with pytest.raises(TransactionAbortedError):
        await both.run(work)
    assert attempts == [1]
