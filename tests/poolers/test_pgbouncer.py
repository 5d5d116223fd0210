"""Sessions behind a real PgBouncer in transaction mode: all that they do works, nothing is left on its connections."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from psqlmodel import (
    AsyncSession,
    ConfigurationError,
    ConnectionLost,
    DatabaseError,
    Engine,
    QueryCanceled,
    QueryError,
    Select,
    UniqueViolation,
    create_engine,
)
from tests.database.both import Both

from .bouncer import Bouncer
from .conftest import TURNS, assert_quiet, open_both, pool_of
from .models import Customer, Line, Order

TASKS = 50


async def serve(both: Both, number: int) -> None:
    """One customer's day: each step is one that a program takes, and each sees what the last one left."""
    moment = datetime(2024, 5, 1, 12, tzinfo=UTC)
    async with both.session() as session:
        customer = Customer(email=f"{number}@shop", notes={"n": [number]}, patience=timedelta(days=1, seconds=number))
        customer.since = moment
        customer.orders = [Order(lines=[Line(amount=number), Line(amount=1)]), Order()]
        await session.add(customer)
        await session.commit()
        key = customer.id
    async with both.session() as session:
        again = await session.get(Customer, key)
        assert (again.notes, again.since) == ({"n": [number]}, moment)
        assert again.patience == timedelta(days=1, seconds=number)
        again.notes["seen"] = True
        await session.commit()  # one statement
    async with both.session() as session:
        query = Select(Customer).Where(Customer.id == key).Include(Customer.orders.Include(Order.lines))
        [found] = await session.exec(query).all()
        assert found.notes == {"n": [number], "seen": True}
        assert [len(order.lines) for order in found.orders] == [2, 0]
        await session.delete(found.orders[1])
        found.orders[0].state = "paid"
        await session.flush()
        assert await session.exec_scalar("SELECT count(*) FROM pooler_orders WHERE customer_id = %s", [key]) == 1
        await session.commit()
    async with both.session() as session:
        await session.add(Customer(email=f"{number}@shop"))
        with pytest.raises(UniqueViolation):
            await session.commit()
        async with session.begin_nested():
            await session.add(Line(order_id=found.orders[0].id, amount=5))
        await session.rollback()
    async with both.session() as session:
        lines = [Line(order_id=found.orders[0].id, amount=each) for each in range(20)]
        assert await session.bulk_insert(lines) == 20
        for line in lines:
            line.amount += 1
        assert await session.bulk_update(lines) == 20
        rows = [(line.id, line.order_id, line.amount) for line in lines]
        changed = await session.bulk_upsert(rows, model=Line, columns=["id", "order_id", "amount"])
        assert (changed.inserted, changed.updated) == (0, 20)
        again = [{"id": line.id, "order_id": line.order_id, "amount": 0} for line in lines]
        assert await session.bulk_insert(again, model=Line, on_conflict="ignore") == 0
        for line, format in zip(lines, ("csv", "binary", "arrow"), strict=False):
            file = io.BytesIO()
            assert await session.copy_to(Select(Line).Where(Line.id == line.id), file, format=format) == 1
            assert await session.bulk_delete([line]) == 1
            _ = file.seek(0)
            assert await session.copy_from(Line, file, format=format) == 1
        await session.commit()
        total = await session.exec_scalar(
            "SELECT sum(amount)::int FROM pooler_lines WHERE order_id = %s", [found.orders[0].id]
        )
        assert total == number + 1 + sum(range(1, 21))


async def together(both: Both, work: Callable[[Both, int], Any]) -> None:
    """Run the work of 50 customers at once: in tasks, or in threads."""
    if not both.is_sync:
        await asyncio.gather(*(work(both, number) for number in range(TASKS)))
        return
    with ThreadPoolExecutor(TASKS) as threads:
        list(threads.map(lambda number: at_once(work(both, number)), range(TASKS)))


def at_once(work: Any) -> None:
    """Run a coroutine that waits for nothing."""
    with pytest.raises(StopIteration):
        work.send(None)


async def test_fifty_at_once_on_two_connections(make, bouncer, sql):
    both = make(pooler="pgbouncer", max_pool_size=TASKS)
    await together(both, serve)
    assert sql.execute("SELECT count(*), sum(jsonb_array_length(notes->'n')) FROM pooler_customers")[0] == (50, 50)
    assert sql.execute("SELECT count(*) FROM pooler_orders WHERE state = 'paid'").scalar() == TASKS
    assert sql.execute("SELECT count(*) FROM pooler_lines").scalar() == TASKS * 22
    assert_quiet(bouncer)
    assert left_behind(bouncer) == [[], []]


def left_behind(bouncer: Bouncer) -> list[list[Any]]:
    """Return what stays on each of the two connections to the server: prepared statements, locks, settings, tables."""
    query = """
        SELECT 'statement ' || name FROM pg_prepared_statements
        UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable
        UNION ALL SELECT 'lock ' || locktype FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'
        UNION ALL SELECT 'temporary ' || relname FROM pg_class WHERE relpersistence = 't'
                         AND relnamespace = pg_my_temp_schema()
        UNION ALL SELECT 'channel ' || pg_listening_channels()
        UNION ALL SELECT 'setting ' || name || ' ' || setting FROM pg_settings WHERE source = 'session'
                         AND name NOT IN ('TimeZone', 'DateStyle', 'client_encoding', 'application_name',
                                          'standard_conforming_strings', 'transaction_isolation',
                                          'transaction_read_only', 'transaction_deferrable')"""
    with create_engine(bouncer.dsn, pooler="pgbouncer") as engine:
        with engine.transaction() as one, engine.transaction() as two:
            pids = {each.execute("SELECT pg_backend_pid()").scalar() for each in (one, two)}
            assert len(pids) == 2
            return [[row[0] for row in each.execute(query)] for each in (one, two)]


async def test_the_texts_of_a_flush_come_again_and_none_is_prepared(both, bouncer):
    for number in range(6):  # a text that comes again is prepared, elsewhere
        await serve(both, number)
    assert left_behind(bouncer) == [[], []]


async def test_streams_cursors_locks_and_claims(both, bouncer):
    async with both.session() as session:
        await session.bulk_insert([Customer(email=f"{n}@stream") for n in range(25)])
        await session.commit()
        assert await session.try_lock("the till")
        query = Select(Customer).OrderBy(Customer.id)
        if both.is_sync:
            emails = [each.email for each in session.raw.stream(query, batch=10)]
        else:
            emails = [each.email async for each in session.stream(query, batch=10)]
        assert emails == [f"{n}@stream" for n in range(25)]
        assert len(await session.claim(Customer, 3)) == 3
        locked = await session.get(Customer, (await session.exec_one(query)).id, lock="update")
        locked.email = "other@stream"
        await session.commit()
    assert left_behind(bouncer) == [[], []]


async def test_the_verbs_and_parallel_reads(both):
    async with both.session() as session:
        one, made = await session.get_or_create(Customer, email="a@verbs")
        assert made
        await session.upsert(Customer(email="a@verbs", notes={"v": 1}), on=[Customer.email])
        await session.commit()
        await session.refresh(one)
        assert one.notes == {"v": 1}
        [people, count] = await session.parallel_exec([Select(Customer), ("SELECT %s::int AS n", [5])])
        assert [each.email for each in people] == ["a@verbs"]
        assert count[0].n == 5


async def test_options_of_a_session_end_with_its_transaction(both, bouncer):
    options = {"settings": {"app.tenant": 7}, "statement_timeout": 5, "isolation": "SERIALIZABLE", "lock_timeout": 1}
    for _ in range(4):
        async with both.session(**options) as session:
            query = (
                "SELECT current_setting('app.tenant'), current_setting('statement_timeout'), "
                "current_setting('transaction_isolation')"
            )
            assert tuple(await session.exec_one(query)) == ("7", "5s", "serializable")
            await session.commit()
    assert left_behind(bouncer) == [[], []]


async def test_two_phases(both):
    async with both.session() as session:
        await session.add(Customer(email="two@phases"))
        await session.prepare(f"pooler-{both.kind}")
    await both.on_engine("commit_prepared", f"pooler-{both.kind}")
    assert both.value("SELECT count(*) FROM pooler_customers") == 1


async def test_a_transaction_that_runs_again(both):
    both.sql("INSERT INTO pooler_customers (id, email) VALUES (-1, 'a@again')")
    tries: list[int] = []

    async def work(session: Any) -> str:
        customer = await session.get(Customer, -1)
        tries.append(1)
        if len(tries) == 1:
            both.sql("UPDATE pooler_customers SET email = 'b@again' WHERE id = -1")
        customer.notes = {"tries": len(tries)}
        return customer.email

    assert await both.run(work, isolation="REPEATABLE READ") == "b@again"
    assert both.value("SELECT notes->'tries' FROM pooler_customers") == 2


async def test_the_outcome_of_a_commit_is_found_out(both):
    async with both.session(resolve_commit=True) as session:
        await session.add(Customer(email="resolve@shop"))
        await session.commit()
    assert both.value("SELECT count(*) FROM pooler_customers") == 1


# --- errors -----------------------------------------------------------------------------------------------------------


async def test_a_refused_argument_holds_no_connection(both, bouncer):
    """asyncpg refuses it after the statement was described, for which PgBouncer has taken a connection."""
    for _ in range(6):  # thrice as many as there are connections
        async with both.session() as session:
            with pytest.raises(DatabaseError):
                await session.exec("SELECT id FROM pooler_customers WHERE id = %s::int4", [2**40])
        with pytest.raises(DatabaseError):
            await both.on_engine("execute", "SELECT id FROM pooler_customers WHERE id = %s::int4", [2**40])
        assert pool_of(bouncer)["sv_active"] == 0


async def test_an_error_of_the_server_ends_the_transaction(both):
    async with both.session() as session:
        await session.add(Customer(email="x@errors"))
        await session.flush()
        with pytest.raises(DatabaseError, match="division by zero"):
            await session.exec("SELECT 1 / 0")
        await session.rollback()
        await session.add(Customer(email="y@errors"))
        await session.commit()
    assert both.column("SELECT email FROM pooler_customers") == ["y@errors"]


async def test_a_timeout_cancels_the_statement(both, bouncer):
    async with both.session(statement_timeout=0.1) as session:
        with pytest.raises(QueryCanceled):
            await session.exec("SELECT pg_sleep(30)")
    assert_quiet(bouncer)


@pytest.mark.parametrize("kind", ["async"])
async def test_a_cancelled_task_leaves_no_query_and_no_connection(both, bouncer, sql):
    for within in (False, True):
        for _ in range(3):  # more than there are connections
            asleep = asyncio.create_task(sleep_in(both, within=within))
            await until(sql, "SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%(60)%'")
            asleep.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asleep
            await until(sql, "SELECT count(*) = 0 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%(60)%'")
    async with AsyncSession(both.engine) as session:
        assert await session.exec_scalar("SELECT 1") == 1


async def sleep_in(both: Both, *, within: bool) -> None:
    async with both.session() as session:
        if within:
            await session.add(Customer(email="asleep@shop"))
            await session.flush()
        await session.exec("SELECT pg_sleep(60)")


async def until(sql: Engine, question: str) -> None:
    """Wait until the server says yes; the server waits, 5 ms at a time."""
    for _ in range(2000):
        if sql.execute(
            question.replace("pg_stat_activity WHERE", "pg_stat_activity WHERE pid <> pg_backend_pid() AND")
        ).scalar():
            return
        await asyncio.to_thread(sql.execute, "SELECT pg_sleep(0.005)")
    raise AssertionError(f"never became true: {question}")


async def test_a_server_that_ends_the_connections(both, bouncer, sql):
    async with both.session() as session:
        await session.add(Customer(email="lost@shop"))
        await session.flush()
        sql.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with pytest.raises(ConnectionLost):
            await session.exec("SELECT 1")
        await session.rollback()
        await session.add(Customer(email="found@shop"))
        await session.commit()
    assert both.column("SELECT email FROM pooler_customers") == ["found@shop"]
    open_both(bouncer)


async def test_a_pooler_that_is_started_again_is_not_noticed(server, pooled_dsn, make):
    with Bouncer(server, pooled_dsn) as other:
        both = make(other.dsn)
        for number in range(3):
            async with both.session() as session:  # a read, then a statement that is the whole transaction
                assert await session.exec_scalar("SELECT count(*) FROM pooler_customers") == 2 * number
                await session.add(Customer(email=f"{number}@restart"))
                await session.commit()
            other.stop()
            other.start()
            async with both.session() as session:
                await session.add(Customer(email=f"{number}@alone"))
                await session.commit()
        if not both.is_sync:
            await both.engine.dispose()


# --- what can't work there --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("LISTEN news", "a connection of its own"),
        ("unlisten *", "a connection of its own"),
        ("SELECT 1; LISTEN news", "a connection of its own"),
        ("PREPARE p AS SELECT 1", "send the statement itself"),
        ("EXECUTE p", "send the statement itself"),
        ("DEALLOCATE ALL", "there is none"),
        ("DISCARD ALL", "other clients"),
        ("LOAD 'plpgsql'", "session_preload_libraries"),
        ("SET search_path = public", "SET LOCAL"),
        ("/* hm */ SET SESSION lock_timeout = 5", "SET LOCAL"),
        ("SELECT pg_advisory_lock(1)", "session.lock"),
        ('SELECT pg_catalog."pg_try_advisory_lock"(1)', "session.lock"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "session.stream"),
        ("CREATE TEMP TABLE pooler_t (a int)", "ON COMMIT DROP"),
        ("CREATE LOCAL TEMPORARY TABLE pooler_t ON COMMIT DELETE ROWS AS SELECT 1", "ON COMMIT DROP"),
        ("CREATE OR REPLACE TEMP VIEW pooler_v AS SELECT 1", "ON COMMIT DROP"),
        ("SELECT 1 AS a INTO TEMP pooler_t", "ON COMMIT DROP"),
    ],
)
async def test_what_needs_one_connection_is_refused(both, bouncer, text, instead):
    async with both.session() as session:
        with pytest.raises(QueryError, match=instead):
            await session.exec(text)
        assert await session.exec_scalar("SELECT 1") == 1
    with pytest.raises(QueryError, match=instead):
        await both.on_engine("execute", text)
    assert left_behind(bouncer) == [[], []]


@pytest.mark.parametrize(
    "text",
    [
        "SET LOCAL lock_timeout = '1s'",
        "SET TRANSACTION READ ONLY",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT 'SET x; LISTEN y' AS temp, 'pg_advisory_lock' AS \"set\" -- LISTEN",
        "CREATE TEMP TABLE pooler_t (a int) ON COMMIT DROP",
        "CREATE TEMP TABLE pooler_t ON COMMIT DROP AS SELECT 1 AS a",
        "DECLARE pooler_c CURSOR FOR SELECT 1",
        "SELECT 1 AS temporary, 2 AS temp",
        "NOTIFY news",
    ],
)
async def test_what_ends_with_the_transaction_is_not(both, bouncer, text):
    async with both.session() as session:
        await session.exec(text)
        await session.commit()
    assert left_behind(bouncer) == [[], []]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": {"lock_timeout": "2s"}}, "settings of an engine"),
        ({"statement_timeout": 5}, "statement_timeout of an engine"),
        ({"pooler": "odyssey"}, "pooler must be"),
    ],
)
async def test_options_that_cannot_count_are_refused(make, options, message):
    with pytest.raises(ConfigurationError, match=message):
        make(**({"pooler": "pgbouncer"} | options))


async def test_options_in_the_dsn_are_refused(make, bouncer):
    with pytest.raises(ConfigurationError, match="options"):
        make(f"{bouncer.dsn}&options=-cwork_mem%3D1MB", pooler="pgbouncer")


# --- how it is found out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["", "ignore_startup_parameters = options, intervalstyle"])
async def test_a_pooler_is_found_out(server, pooled_dsn, make, more):
    """By the startup parameters that it refuses, or by the number of a process that is none."""
    with Bouncer(server, pooled_dsn, more=f"{TURNS}\n{more}") as other:
        open_both(other)
        both = make(other.dsn, timezone="Asia/Tokyo")
        assert both.engine.pooler is None
        await serve(both, 1)
        assert both.engine.pooler == "pgbouncer"
        assert (await both.on_engine("execute", "SHOW TimeZone")).scalar() == "Asia/Tokyo"
        assert left_behind(other) == [[], []]
        refused = make(other.dsn, settings={"lock_timeout": "2s"})
        with pytest.raises(ConfigurationError, match="settings of an engine"):
            await both_execute(refused, "SELECT 1")
        if not both.is_sync:
            await both.engine.dispose()


async def both_execute(both: Both, text: str) -> Any:
    return await both.on_engine("execute", text)


async def test_without_one_nothing_changes(make, pooled_dsn):
    both = make(pooled_dsn)
    assert (await both_execute(both, "SELECT 1")).scalar() == 1
    assert both.engine.pooler is None
    await both_execute(both, "SET lock_timeout = '1s'")


async def test_many_at_once_find_it_out(make, bouncer):
    both = make(max_pool_size=TASKS)
    await together(both, serve)
    assert both.engine.pooler == "pgbouncer"
    assert left_behind(bouncer) == [[], []]


async def test_a_pooler_that_works_by_sessions(server, pooled_dsn, make):
    with Bouncer(server, pooled_dsn, mode="session", size=3) as other:
        both = make(other.dsn, pooler="none", prepared_statements=False, settings={"lock_timeout": "2s"})
        async with both.session() as session:
            assert await session.exec_scalar("SHOW lock_timeout") == "2s"
        if both.is_sync:
            both.engine.dispose()
        else:
            await both.engine.dispose()


async def test_each_client_has_its_own_time_zone(make):
    one, two = make(timezone="Asia/Tokyo"), make()
    for _ in range(4):
        assert (await both_execute(one, "SHOW TimeZone")).scalar() == "Asia/Tokyo"
        assert (await both_execute(two, "SHOW TimeZone")).scalar() == "UTC"


async def test_the_default_isolation_is_known(server, make):
    dsn = server.create_database(f"strict_behind_pooler_{id(make)}")
    with create_engine(dsn) as engine:
        name = engine.execute("SELECT current_database()").scalar()
        engine.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    with Bouncer(server, dsn) as other:
        both = make(other.dsn)
        async with both.session() as session:
            first = await session.exec_scalar("SELECT count(*) FROM pg_class")
            with create_engine(dsn) as engine:
                engine.execute("CREATE TABLE pooler_strict (a int)")
            assert await session.exec_scalar("SELECT count(*) FROM pg_class") == first  # one snapshot
        if both.is_sync:
            both.engine.dispose()
        else:
            await both.engine.dispose()


async def test_a_style_of_intervals_that_is_not_read(server, make):
    dsn = server.create_database(f"styled_behind_pooler_{id(make)}")
    with create_engine(dsn) as engine:
        name = engine.execute("SELECT current_database()").scalar()
        engine.execute(f"ALTER DATABASE {name} SET intervalstyle = 'iso_8601'")
    with Bouncer(server, dsn) as other:
        both = make(other.dsn)
        with pytest.raises(ConfigurationError, match="intervalstyle"):
            await both_execute(both, "SELECT 1")
