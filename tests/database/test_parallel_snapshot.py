"""Parallel tasks in one snapshot, on both sessions: what they see, which connections they take, and how they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from psqlmodel import (
    Column,
    ConnectionLost,
    DataError,
    ParallelError,
    PSQLModel,
    QueryError,
    ReadOnlyTransaction,
    Select,
    SessionError,
    SessionManager,
    Sum,
    TransactionAbortedError,
    create_async_engine,
    create_engine,
    table,
)

from .both import Both, Statements, only_async
from .models import Tag, User


@table("parallel_left")
class Left(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    amount: Column[int]


@table("parallel_right")
class Right(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    amount: Column[int]


TOTAL = 1000
LEFT, RIGHT = Select(Sum(Left.amount)), Select(Sum(Right.amount))


@pytest.fixture(scope="module", autouse=True)
def _tables(shop_dsn: str) -> Iterator[None]:
    with create_engine(shop_dsn) as engine:
        engine.create_all([Left, Right])
        yield
        engine.drop_all([Left, Right])


@pytest.fixture(autouse=True)
def _rows(both: Both) -> None:
    both.sql("INSERT INTO parallel_left VALUES (1, %s)", TOTAL)
    both.sql("INSERT INTO parallel_right VALUES (1, 0)")
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada'), (2, 'Bob')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 10)")


def move(both: Both) -> None:
    """Move an amount from left to right, in one transaction of another connection."""
    both.sql("WITH l AS (UPDATE parallel_left SET amount = amount - 10) UPDATE parallel_right SET amount = amount + 10")


def current(both: Both) -> Any:
    """Return the session that a task finds as the current one; its methods are called as its kind asks."""
    return SessionManager.require_current() if both.is_sync else SessionManager.require_current_async()


def task(both: Both, body: Callable[..., Any]) -> Callable[[], Any]:
    """Return a function that calls `body(ask)` in its session; `ask` sends SQL text and gives the first value.

    The body is a generator: what it yields to is awaited.
    """

    def plain() -> Any:
        steps = body(current(both))
        result = next(steps)
        while True:
            try:
                result = steps.send(result)
            except StopIteration as stop:
                return stop.value

    async def awaiting() -> Any:
        steps = body(current(both))
        request = next(steps)
        while True:
            try:
                result = await request
            except BaseException as error:
                send = lambda error=error: steps.throw(error)  # noqa: E731
            else:
                send = lambda result=result: steps.send(result)  # noqa: E731
            try:
                request = send()
            except StopIteration as stop:
                return stop.value

    return plain if both.is_sync else awaiting


# --- what they see ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("consistent", [True, False])
async def test_tasks_agree_while_others_write(both: Both, consistent: bool) -> None:
    """A writer commits between two tasks: in one snapshot the sum of both tables is constant, without it is not."""
    async with both.session() as session:
        (left,), _, (right,) = await session.parallel_exec(
            [LEFT, lambda: move(both), RIGHT], consistent=consistent, max_workers=1
        )
    assert (left[0] + right[0] == TOTAL) is consistent
    assert both.value("SELECT amount FROM parallel_right") == 10


@pytest.mark.parametrize("consistent", [True, False])
async def test_tasks_of_several_connections_agree(both: Both, consistent: bool) -> None:
    """The same on three connections, which meet before and after each step."""
    meet: Any = threading.Barrier(3, timeout=60) if both.is_sync else asyncio.Barrier(3)
    read = "SELECT amount, pg_backend_pid() FROM parallel_{}"

    def reads_first(session: Any) -> Any:
        yield meet.wait()
        row = yield session.exec_one(read.format("left"))
        for _ in range(3):
            yield meet.wait()
        return row

    def moves(session: Any) -> Any:
        yield meet.wait()
        yield meet.wait()
        move(both)
        yield meet.wait()
        yield meet.wait()

    def reads_last(session: Any) -> Any:
        for _ in range(3):
            yield meet.wait()
        row = yield session.exec_one(read.format("right"))
        yield meet.wait()
        return row

    tasks = [task(both, body) for body in (reads_first, moves, reads_last)]
    async with both.session() as session:
        (left, one), _, (right, two) = await session.parallel_exec(tasks, consistent=consistent)
    assert one != two
    assert (left + right == TOTAL) is consistent


async def test_workers_that_join_later_see_what_the_first_sees(both: Both) -> None:
    """A writer commits between the snapshot and the transactions of the others, which meet to be on three
    connections.
    """
    meet: Any = threading.Barrier(3, timeout=60) if both.is_sync else asyncio.Barrier(3)

    def body(session: Any) -> Any:
        yield meet.wait()
        pid = yield session.exec_scalar("SELECT pg_backend_pid()")
        left = yield session.exec(LEFT).scalar()
        right = yield session.exec(RIGHT).scalar()
        yield meet.wait()
        return pid, left, right

    stop = both.engine.on_statement(lambda event: move(both) if "pg_export_snapshot" in event.text else None)
    try:
        async with both.session() as session:
            found = await session.parallel_exec([task(both, body)] * 3, consistent=True)
    finally:
        stop()
    assert len({pid for pid, _, _ in found}) == 3
    assert [(left, right) for _, left, right in found] == [(TOTAL, 0)] * 3
    assert both.value("SELECT amount FROM parallel_right") == 10


@pytest.mark.parametrize("consistent", [True, False])
async def test_what_a_task_includes_is_of_the_snapshot(both: Both, consistent: bool) -> None:
    """An order comes between the query and what it includes."""
    added: list[str] = []

    def add_order(event: Any) -> None:
        if event.purpose == "query" and not added:
            added.append(event.text)
            both.sql("INSERT INTO orders (id, user_id, total) VALUES (2, 1, 20)")

    stop = both.engine.on_statement(add_order)
    try:
        async with both.session() as session:
            query = Select(User).Where(User.id == 1).Include(User.orders)
            ((user,),) = await session.parallel_exec([query], consistent=consistent)
    finally:
        stop()
    assert added
    assert [order.total for order in user.orders] == ([10] if consistent else [10, 20])


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_the_tasks_of_an_isolated_session_see_what_it_sees(both: Both, isolation: str) -> None:
    async with both.session(isolation=isolation) as session:
        assert await session.exec(LEFT).scalar() == TOTAL
        move(both)
        (left,), (right,) = await session.parallel_exec([LEFT, RIGHT], consistent=True)
        assert (left[0], right[0]) == (TOTAL, 0)
        (left,), (right,) = await session.parallel_exec([LEFT, RIGHT])
        assert (left[0], right[0]) == (TOTAL - 10, 10)
        async with session.begin_nested():
            with pytest.raises(SessionError, match="begin_nested"):
                await session.parallel_exec([LEFT, RIGHT], consistent=True)
        assert await session.exec(RIGHT).scalar() == 0
        await session.commit()
        (left,), (right,) = await session.parallel_exec([LEFT, RIGHT], consistent=True)
        assert (left[0], right[0]) == (TOTAL - 10, 10)


async def test_a_session_that_is_not_isolated_gets_a_new_snapshot(both: Both) -> None:
    async with both.session() as session:
        await session.exec("SELECT 1")
        move(both)
        (left,), (right,) = await session.parallel_exec([LEFT, RIGHT], consistent=True)
        assert (left[0], right[0]) == (TOTAL - 10, 10)


@pytest.mark.parametrize("consistent", [True, False])
async def test_tasks_have_the_settings_and_the_role_of_the_session(both: Both, consistent: bool) -> None:
    ask = "SELECT current_setting('app.tenant', true), current_user, current_setting('statement_timeout')"
    async with both.session(settings={"app.tenant": 7}, role="pg_read_all_data", statement_timeout=55) as session:
        rows = await session.parallel_exec([ask] * 3, consistent=consistent, max_workers=2)
        assert {tuple(row) for (row,) in rows} == {("7", "pg_read_all_data", "55s")}
    async with both.session() as session:
        ((row,),) = await session.parallel_exec([ask])
    assert row[0] in (None, "")
    assert row[1] != "pg_read_all_data"


# --- what is refused --------------------------------------------------------------------------------------------------


WRITES: dict[str, Any] = {
    "1 new Tag": lambda session: session.add(Tag(name="new")),
    "1 changed User": lambda session: session.get(User, 1),
    "1 deleted User": lambda session: session.get(User, 1),
    "executed in the open transaction": lambda session: session.exec("UPDATE users SET age = 1"),
    "flushed": lambda session: session.add(Tag(name="flushed")),
}


@pytest.mark.parametrize("said", WRITES)
@pytest.mark.parametrize("call", ["exec", "scan"])
async def test_changes_of_the_session_are_named(both: Both, statements: Statements, said: str, call: str) -> None:
    async with both.session() as session:
        got = await WRITES[said](session)
        if "changed" in said:
            got.name = "Other"
        elif "deleted" in said:
            session.delete(got)
        elif said == "flushed":
            await session.flush()
        statements.clear()
        with pytest.raises(SessionError, match=f"{said}.*commit or roll back before"):
            await (
                session.parallel_exec([LEFT], consistent=True)
                if call == "exec"
                else session.parallel_scan(Select(Left))
            )
        assert statements == []
        await session.rollback()
        assert len(await session.parallel_exec([LEFT], consistent=True)) == 1


async def test_changes_before_a_savepoint_are_found(both: Both) -> None:
    async with both.session() as session:
        await session.exec("UPDATE users SET age = 1")
        async with session.begin_nested():
            with pytest.raises(SessionError, match="can't contain"):
                await session.parallel_exec([LEFT], consistent=True)
        await session.rollback()


async def test_locks_and_reads_are_no_changes(both: Both) -> None:
    async with both.session() as session:
        assert (await session.get(User, 1, lock="update")).name == "Ada"
        ((users,),) = (await session.parallel_exec([Select(User.name).Where(User.id == 1)], consistent=True),)
        assert [row.name for row in users] == ["Ada"]


async def test_an_aborted_transaction_is_refused(both: Both) -> None:
    async with both.session() as session:
        await session.exec("UPDATE users SET age = 1")
        with pytest.raises(DataError):
            await session.exec("SELECT 1 / 0")
        with pytest.raises(TransactionAbortedError):
            await session.parallel_exec([LEFT], consistent=True)
        await session.rollback()


# --- connections ------------------------------------------------------------------------------------------------------


async def of_pool(both: Both, dsn: str, size: int, body: Callable[[Both], Any]) -> None:
    """Run `body` on an engine whose pool has `size` connections at most."""
    engine: Any = (create_engine if both.is_sync else create_async_engine)(dsn, max_pool_size=size, pool_timeout=60)
    small = Both(both.kind, engine, both._sql)
    try:
        await body(small)
        assert engine.pool.status().in_use == 0
        assert engine.pool.status().size <= size
    finally:
        closing: Any = engine.dispose()
        if closing is not None:
            await closing


@pytest.mark.parametrize("consistent", [True, False])
async def test_a_pool_of_one_connection_is_enough(both: Both, shop_dsn: str, consistent: bool) -> None:
    """One task after the other, on the connection that the session has from a mere read."""

    async def body(small: Both) -> None:
        await small.on_engine("execute", "SELECT 1")  # the first connection tells that reads need no transaction
        async with small.session() as session:
            user = await session.get(User, 1)
            query = Select(User).Where(User.id == 1).Include(User.orders)
            users, pids = await session.parallel_exec([query, "SELECT pg_backend_pid()"], consistent=consistent)
            assert [order.total for order in users[0].orders] == [10]
            assert len(pids) == 1
            assert [row.amount for row in await session.parallel_scan(Select(Left))] == [TOTAL]
            assert (await session.get(User, 1)) is user
            user.name = "Eve"
            await session.commit()
        assert small.value("SELECT name FROM users WHERE id = 1") == "Eve"

    await of_pool(both, shop_dsn, 1, body)


async def test_an_open_transaction_on_the_last_connection_is_an_error_at_once(both: Both, shop_dsn: str) -> None:
    async def body(small: Both) -> None:
        async with small.session() as session:
            await session.exec("SELECT 1")
            for call in (
                session.parallel_exec([LEFT]),
                session.parallel_exec([LEFT], consistent=True),
                session.parallel_scan(Select(Left)),
            ):
                with pytest.raises(SessionError, match="max_pool_size, or commit before"):
                    await call

    await of_pool(both, shop_dsn, 1, body)


@pytest.mark.parametrize(("workers", "held"), [(None, 2), (1, 1), (2, 2)])
async def test_never_more_connections_than_there_are(both: Both, shop_dsn: str, workers: int | None, held: int) -> None:
    """The session holds one of three."""

    async def body(small: Both) -> None:
        async with small.session() as session:
            await session.exec("SELECT 1")
            tasks = [lambda: small.engine.pool.status()] * 20
            seen = await session.parallel_exec(tasks, consistent=True, max_workers=workers)
        assert {status.waiting for status in seen} == {0}
        assert max(status.in_use for status in seen) <= 1 + held
        pids = small.engine.pool.status().size
        assert pids <= 1 + held

    await of_pool(both, shop_dsn, 3, body)


async def test_workers_do_not_wait_for_connections_of_others(both: Both, shop_dsn: str) -> None:
    """Two callers that waited for each other's connections would wait until the timeout of the pool."""

    async def body(small: Both) -> None:
        other = small.engine.acquire()
        taken = other if small.is_sync else await other
        try:
            async with small.session() as session:
                pids = await session.parallel_exec(["SELECT pg_backend_pid()"] * 6, consistent=True)
        finally:
            given = small.engine.pool.release(taken)
            if given is not None:
                await given
        assert len({rows[0][0] for rows in pids}) == 1

    await of_pool(both, shop_dsn, 2, body)


async def test_many_callers_on_a_small_pool(both: Both, shop_dsn: str) -> None:
    """Ten calls at the same time, on three connections: none waits for one that another holds while it waits."""

    async def body(small: Both) -> None:
        tasks = [LEFT, RIGHT, "SELECT pg_sleep(0.01)", Select(User)]

        async def one_call() -> Any:
            async with small.session() as session:
                return await session.parallel_exec(tasks, consistent=True)

        if small.is_sync:
            with ThreadPoolExecutor(10) as executor:
                found = list(executor.map(lambda _: asyncio.run(one_call()), range(10)))
        else:
            found = await asyncio.gather(*[one_call() for _ in range(10)])
        assert [left[0][0] + right[0][0] for left, right, *_ in found] == [TOTAL] * 10

    await of_pool(both, shop_dsn, 3, body)


async def test_a_worker_reads_all_its_tasks_in_one_transaction(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        await session.parallel_exec([LEFT, RIGHT, Select(User)], consistent=True, max_workers=1)
    assert statements.of("transaction") == ["SELECT pg_export_snapshot()"]
    assert len(statements.of("query")) == 3


# --- how they end -----------------------------------------------------------------------------------------------------


async def test_the_first_error_of_a_snapshot_names_its_task(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(ParallelError, match="task 1 of parallel_exec failed: DataError") as caught:
            await session.parallel_exec([LEFT, "SELECT 1 / 0", RIGHT], consistent=True, max_workers=1)
        assert isinstance(caught.value.__cause__, DataError)
        assert both.engine.pool.status().in_use == 0
        assert await session.exec(LEFT).scalar() == TOTAL


async def test_a_lost_connection_is_an_error_of_its_task(both: Both) -> None:
    def body(session: Any) -> Any:
        pid = yield session.exec_scalar("SELECT pg_backend_pid()")
        both.sql("SELECT pg_terminate_backend(%s, 5000)", pid)
        return (yield session.exec_scalar("SELECT 1"))

    async with both.session() as session:
        for workers in (1, 3):
            with pytest.raises(ParallelError, match="task 1 of parallel_exec failed: ConnectionLost") as caught:
                await session.parallel_exec([LEFT, task(both, body), RIGHT], consistent=True, max_workers=workers)
            assert isinstance(caught.value.__cause__, ConnectionLost)
            assert both.engine.pool.status().in_use == 0
        assert len(await session.parallel_exec([LEFT, RIGHT], consistent=True)) == 2


def _commits(session: Any) -> Any:
    yield session.exec(LEFT).scalar()
    yield session.commit()


def _reads_on(session: Any) -> Any:
    yield from _commits(session)
    return (yield session.exec(RIGHT).scalar())


def _rolls_back(session: Any) -> Any:
    yield session.exec(LEFT).scalar()
    yield session.rollback()


def _reads_alone_afterwards(session: Any) -> Any:
    yield session.rollback()
    return (yield session.get(User, 1))


@pytest.mark.parametrize("body", [_commits, _reads_on, _rolls_back, _reads_alone_afterwards])
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_task_that_leaves_the_snapshot_is_an_error(both: Both, body: Any, workers: int) -> None:
    async with both.session() as session:
        with pytest.raises(ParallelError, match=r"task 0 .*ended its transaction") as caught:
            await session.parallel_exec([task(both, body), RIGHT], consistent=True, max_workers=workers)
        assert isinstance(caught.value.__cause__, SessionError)
    assert both.engine.pool.status().in_use == 0


async def test_tasks_in_a_snapshot_can_t_write(both: Both) -> None:
    def body(session: Any) -> Any:
        session.add(Tag(name="written"))
        yield session.flush()

    async with both.session() as session:
        with pytest.raises(ParallelError) as caught:
            await session.parallel_exec([task(both, body)], consistent=True)
        assert isinstance(caught.value.__cause__, ReadOnlyTransaction)
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_each_task_has_objects_of_its_own(both: Both) -> None:
    async with both.session() as session:
        (one,), (two,) = await session.parallel_exec(
            (Select(User).Where(User.id == 1), Select(User).Where(User.id == 1)), consistent=True, max_workers=1
        )
        assert one is not two
        assert one not in session
        one.name = "changed"
        assert two.name == "Ada"
        session.add(one)
        await session.commit()
    assert both.value("SELECT name FROM users WHERE id = 1") == "changed"


async def test_a_tuple_of_tasks_gives_a_tuple(both: Both) -> None:
    async with both.session() as session:
        assert type(await session.parallel_exec((LEFT, RIGHT))) is tuple
        assert type(await session.parallel_exec([LEFT, RIGHT])) is list
        assert await session.parallel_exec(()) == ()
        assert await session.parallel_exec([], consistent=True) == []


@only_async
async def test_cancelling_the_caller_ends_the_tasks_of_a_snapshot(both: Both) -> None:
    async with both.session() as session:
        begun = asyncio.Event()

        async def slow() -> None:
            own = SessionManager.require_current_async()
            await own.exec("SELECT 1")
            begun.set()
            await own.exec("SELECT pg_sleep(60)")

        running = asyncio.ensure_future(session.parallel_exec([slow, slow, LEFT], consistent=True))
        await asyncio.wait_for(begun.wait(), 60)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert both.engine.pool.status().in_use == 0
        assert await session.exec(LEFT).scalar() == TOTAL


@only_async
async def test_coroutines_that_are_never_begun_do_not_warn(both: Both) -> None:
    async def one() -> int:
        return 1

    async with both.session() as session:
        session.add(Tag(name="pending"))
        with pytest.raises(SessionError):
            await session.parallel_exec([one(), session.exec(LEFT)], consistent=True)
        with pytest.raises(QueryError):
            await session.parallel_exec([one(), 5])
        await session.rollback()
        assert await session.parallel_exec([one(), one()], consistent=True) == [1, 1]
