"""Faults under the synchronous engine: nothing hangs, nothing leaks, nothing in doubt is handed out again."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from typing import Any

import pytest

from psqlmodel.core.engine.channel import SessionChannel
from psqlmodel.embedded import Server
from psqlmodel.errors import (
    ConnectionLost,
    DatabaseError,
    PoolClosedError,
    PoolTimeout,
    QueryCanceled,
    SessionClosedError,
)
from psqlmodel.steps import Release, Statement


def test_a_terminated_idle_connection_is_replaced_unseen(make_engine, observer, monkeypatch):
    monkeypatch.setattr("psqlmodel.drivers.pool.LOOK_AFTER", 0.0)
    engine = make_engine()
    first = engine.execute("SELECT pg_backend_pid() AS pid")[0].pid
    observer.terminate_others()
    second = engine.execute("SELECT pg_backend_pid() AS pid")[0].pid
    assert second != first
    assert engine.pool.status().size == 1


def test_a_connection_that_rests_long_is_probed(make_engine, observer, monkeypatch):
    monkeypatch.setattr("psqlmodel.drivers.pool.LOOK_AFTER", -1.0)
    monkeypatch.setattr("psqlmodel.drivers.pool.PROBE_AFTER", -1.0)
    monkeypatch.setattr("psqlmodel.drivers.pool._has_news", lambda connection: False)
    engine = make_engine()
    first = engine.execute("SELECT pg_backend_pid() AS pid")[0].pid
    assert engine.execute("SELECT pg_backend_pid() AS pid")[0].pid == first
    observer.terminate_others()
    assert engine.execute("SELECT pg_backend_pid() AS pid")[0].pid != first


def test_a_notice_on_the_socket_is_no_death(make_engine, observer, monkeypatch):
    monkeypatch.setattr("psqlmodel.drivers.pool.LOOK_AFTER", -1.0)
    engine = make_engine()
    first = engine.execute("LISTEN channel; SELECT pg_backend_pid() AS pid")[0].pid
    observer.query("NOTIFY channel")
    assert engine.execute("SELECT pg_backend_pid() AS pid")[0].pid == first


def test_terminated_at_work(make_engine, observer):
    engine = make_engine()

    def work() -> None:
        with engine.transaction() as connection:
            connection.execute("CREATE TABLE lost (id int)")
            observer.terminate_others()
            connection.execute("INSERT INTO lost VALUES (1)")

    with pytest.raises(ConnectionLost) as caught:
        work()
    assert caught.value.sqlstate in ("57P01", None)
    assert engine.pool.status().size == 0
    assert engine.execute("SELECT to_regclass('lost') AS t")[0].t is None


def test_the_server_restarts(tmp_path):
    from psqlmodel.core.engine import create_engine

    with Server(tmp_path / "data") as server:
        engine = create_engine(server.dsn)
        engine.execute("CREATE TABLE kept (id int)")
    with pytest.raises(ConnectionLost):
        with engine.transaction() as connection:
            connection.execute("SELECT 1")
    with Server(tmp_path / "data"):
        assert engine.execute("SELECT count(*) AS n FROM kept")[0].n == 0
        engine.dispose()


def test_an_exhausted_pool_says_so_and_recovers(make_engine):
    engine = make_engine(pool_size=2, max_pool_size=2, pool_timeout=0.05)
    held = [engine.acquire(), engine.acquire()]
    with pytest.raises(PoolTimeout, match="all 2 are in use") as caught:
        engine.acquire()
    assert "max_pool_size" in str(caught.value)
    assert isinstance(caught.value, TimeoutError)
    status = engine.pool.status()
    assert (status.size, status.in_use, status.idle, status.waiting) == (2, 2, 0, 0)
    for connection in held:
        engine.pool.release(connection)
    assert engine.pool.status().idle == 2
    assert engine.execute("SELECT 1 AS one")[0].one == 1


def test_waiters_are_served_in_order(make_engine):
    engine = make_engine(pool_size=1, max_pool_size=1)
    held = engine.acquire()
    order: list[int] = []

    def work(number: int) -> None:
        connection = engine.acquire(20)
        order.append(number)
        engine.pool.release(connection)

    threads = []
    for number in range(5):
        thread = threading.Thread(target=work, args=(number,))
        thread.start()
        threads.append(thread)
        while engine.pool.status().waiting != number + 1:  # the pool counts it before it waits
            pass
    engine.pool.release(held)
    for thread in threads:
        thread.join()
    assert order == list(range(5))
    assert engine.pool.status().idle == 1


def test_a_discarded_connection_lets_a_waiter_connect(make_engine, observer):
    engine = make_engine(pool_size=1, max_pool_size=1)
    held = engine.acquire()
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(engine.acquire(20)))
    thread.start()
    while engine.pool.status().waiting != 1:
        pass
    engine.pool.release(held, discard=True)
    thread.join()
    assert got[0] is not held
    engine.pool.release(got[0])
    assert observer.others() == 1


def test_many_threads(make_engine, observer):
    engine = make_engine(pool_size=3, max_pool_size=3)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(30):
                assert engine.execute("SELECT %s::int AS n", [number])[0].n == number
                if number % 10 == 0:
                    with pytest.raises(DatabaseError):
                        engine.execute("SELECT 1/0")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    status = engine.pool.status()
    assert (status.in_use, status.waiting) == (0, 0)
    assert 1 <= status.idle <= 3
    assert observer.others() == status.idle


def test_a_connection_comes_back_without_its_transaction(make_engine, observer):
    engine = make_engine()
    connection = engine.acquire()
    connection.execute(Statement("CREATE TABLE open (id int)", prelude="BEGIN"))
    engine.pool.release(connection)
    assert observer.others("state = 'idle in transaction'") == 0
    assert observer.query("SELECT to_regclass('open')") == [(None,)]
    aborted = engine.acquire()
    with pytest.raises(DatabaseError):
        aborted.execute(Statement("SELECT 1/0", prelude="BEGIN"))
    engine.pool.release(aborted)
    assert engine.execute("SELECT 1 AS one")[0].one == 1
    engine.pool.release(aborted)  # twice is ignored
    assert engine.pool.status().size == 1


@pytest.fixture
def interruptible():
    """Ctrl-C interrupts, also where the run is a background job of a shell, which has its jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_throws_the_connection_away(make_engine, observer):
    engine = make_engine()
    channel = SessionChannel(engine)
    channel.send(Statement("SELECT 1", prelude="BEGIN"))
    thread = threading.Thread(
        target=lambda: (
            observer.wait_for_others(1, "state = 'active' AND query LIKE '%pg_sleep%'"),
            os.kill(os.getpid(), signal.SIGINT),
        )
    )
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        channel.send(Statement("SELECT pg_sleep(0.3)", prepare=False))
    thread.join()
    assert not channel.connected
    assert engine.pool.status().size == 0
    observer.wait_for_others(0)
    channel.send(Release(discard=True))  # what a session's steps say next; it has happened
    assert engine.execute("SELECT 1 AS one")[0].one == 1


def test_a_statement_timeout_leaves_the_connection_usable(make_engine):
    engine = make_engine(statement_timeout=0.5)
    with engine.connect() as connection:
        with pytest.raises(QueryCanceled):
            connection.execute("SELECT pg_sleep(20)")
        assert connection.execute("SELECT 1 AS one")[0].one == 1


def test_a_defect_in_a_listener_does_not_leak(make_engine):
    engine = make_engine()

    def broken(event):
        raise ZeroDivisionError("in the listener")

    stop = engine.on_statement(broken)
    with pytest.raises(ZeroDivisionError):
        engine.execute("SELECT 1")
    stop()
    assert engine.pool.status().in_use == 0
    assert engine.execute("SELECT 1 AS one")[0].one == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_child_has_connections_of_its_own(make_engine):
    engine = make_engine(pool_size=2, max_pool_size=2)
    mine = engine.execute("SELECT pg_backend_pid() AS pid")[0].pid
    held = engine.acquire()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            engine.pool.release(held)  # not the child's: it must not touch it
            theirs = engine.execute("SELECT pg_backend_pid() AS pid")[0].pid
            status = engine.pool.status()
            os.write(writing, f"{theirs} {status.size}".encode())
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 10_000).decode()
    os.close(reading)
    os.close(writing)
    assert theirs.split()[1:] == ["1"], theirs
    assert int(theirs.split()[0]) != mine
    assert held.execute(Statement("SELECT pg_backend_pid()")).data[0][0] == mine
    engine.pool.release(held)


def test_dispose(make_engine, observer):
    engine = make_engine()
    held = engine.acquire()
    engine.execute("SELECT 1")
    engine.dispose()
    with pytest.raises(PoolClosedError):
        engine.execute("SELECT 1")
    observer.wait_for_others(1)  # the one in use lives on
    assert held.execute(Statement("SELECT 1")).data == [(1,)]
    engine.pool.release(held)
    observer.wait_for_others(0)
    assert engine.pool.status().size == 0


def test_dispose_wakes_those_who_wait(make_engine):
    engine = make_engine(pool_size=1, max_pool_size=1)
    held = engine.acquire()
    caught: list[BaseException] = []

    def work() -> None:
        try:
            engine.acquire(20)
        except PoolClosedError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while engine.pool.status().waiting != 1:
        pass
    engine.dispose(timeout=0.01)  # and closes the one in use when the time is over
    thread.join()
    assert len(caught) == 1
    assert held.closed


def test_the_age_and_the_surplus_of_connections(make_engine, observer, monkeypatch):
    engine = make_engine(pool_size=1, max_pool_size=5)
    held = [engine.acquire() for _ in range(4)]
    monkeypatch.setattr(engine.pool._slots, "max_idle", -1.0)
    for connection in held:
        engine.pool.release(connection)
    observer.wait_for_others(1)
    monkeypatch.setattr(engine.pool._slots, "max_lifetime", -1.0)
    first = engine.execute("SELECT pg_backend_pid() AS pid")[0].pid
    assert engine.execute("SELECT pg_backend_pid() AS pid")[0].pid != first


def test_a_server_that_is_full(server):
    from psqlmodel.core.engine import create_engine

    with Server(options={"max_connections": "4", "superuser_reserved_connections": "0"}) as small:
        engine = create_engine(small.dsn, pool_size=10)
        held: list[Any] = []
        with pytest.raises(DatabaseError) as caught:
            held.extend(engine.acquire() for _ in range(10))
        assert caught.value.sqlstate == "53300"
        assert engine.pool.status().in_use == len(held)
        for connection in held:
            engine.pool.release(connection)
        assert engine.execute("SELECT 1 AS one")[0].one == 1
        engine.dispose()


def test_a_closed_connection_of_an_engine_is_refused(make_engine):
    with make_engine().connect() as connection:
        connection.execute("SELECT 1")
    with pytest.raises(SessionClosedError):
        connection.execute("SELECT 1")
