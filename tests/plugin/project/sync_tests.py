"""Tests that a user of psqlmodel writes, on the synchronous fixtures. Each begins by seeing that nothing was left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from shop import Customer, Order, Place, emails, register

from psqlmodel import (
    DataError,
    Engine,
    InFailedTransaction,
    ProgrammingError,
    ReadOnlyTransaction,
    Select,
    Session,
    SessionError,
    SessionManager,
    UndefinedTable,
    UniqueViolation,
)
from psqlmodel.testing.joining import IsolationWarning


@pytest.fixture(autouse=True)
def nothing_was_left(session: Session) -> None:
    assert emails(session) == ["seed"]


@pytest.mark.parametrize("time", range(3))
def test_what_the_session_commits_is_gone_for_the_next_test(session: Session, time: int) -> None:
    session.add(Customer(name="Bob", email="bob"))
    session.commit()
    assert emails(session) == ["bob", "seed"]


@pytest.mark.parametrize("time", range(2))
def test_what_the_program_commits_is_seen_and_gone(engine: Engine, session: Session, time: int) -> None:
    key = register(engine, "ada")
    found = session.get(Customer, key)
    assert found is not None
    assert found.email == "ada"


def test_all_ways_into_the_database_join(engine: Engine, session: Session) -> None:
    engine.execute("INSERT INTO customers (name, email) VALUES (%s, %s)", ["a", "execute"])
    with engine.transaction() as connection:
        connection.execute("INSERT INTO customers (name, email) VALUES ('a', 'transaction')")
    engine.run(lambda each: each.add(Customer(name="a", email="run")))
    session.bulk_insert([Customer(name="a", email="bulk")])
    session.commit()
    assert emails(session) == ["bulk", "execute", "run", "seed", "transaction"]
    found = session.parallel_exec([Select(Customer), Select(Customer.email)], consistent=True)
    assert [len(each) for each in found] == [5, 5]
    assert len(list(session.stream(Select(Customer), batch=2))) == 5
    assert len(session.parallel_scan(Select(Customer), workers=2)) == 5


def test_handlers_of_a_commit_run(session: Session) -> None:
    heard: list[Session] = []
    session.on("after_commit", heard.append)
    session.add(Customer(name="Bob", email="bob"))
    session.commit()
    assert heard == [session]


def test_an_error_takes_only_its_own_transaction_along(engine: Engine, session: Session) -> None:
    register(engine, "ada")
    with pytest.raises(UniqueViolation):
        register(engine, "ada")
    with pytest.raises(DataError):
        engine.execute("SELECT 1 / 0")
    session.add(Customer(name="Bob", email="bob"))
    session.commit()
    assert emails(session) == ["ada", "bob", "seed"]


def test_a_rollback_is_one(engine: Engine, session: Session) -> None:
    assert session.exec("SELECT count(*) FROM customers").scalar() == 1  # SQL by hand begins a transaction
    register(engine, "ada")
    session.rollback()
    session.add(Customer(name="Bob", email="bob"))
    session.flush()
    session.rollback()
    assert emails(session) == ["ada", "seed"]


def test_savepoints_of_the_program(session: Session) -> None:
    session.add(Customer(name="a", email="a"))
    with pytest.raises(UniqueViolation), session.begin_nested():
        session.add(Customer(name="b", email="a"))
    with session.begin_nested():
        session.add(Customer(name="c", email="c"))
    session.commit()
    assert emails(session) == ["a", "c", "seed"]


def test_sessions_within_each_other(engine: Engine, session: Session) -> None:
    session.add(Customer(name="a", email="outer"))
    session.flush()
    register(engine, "inner")
    with pytest.raises(SessionError, match="fresh_engine"):
        session.rollback()
    session.commit()
    assert emails(session) == ["inner", "outer", "seed"]


def test_transactions_that_overlap(engine: Engine, session: Session) -> None:
    with Session(engine) as first, Session(engine) as second:
        first.add(Customer(name="a", email="first"))
        first.flush()
        second.add(Customer(name="a", email="second"))
        second.flush()
        first.commit()
        second.rollback()
    assert emails(session) == ["first", "seed"]


def test_work_that_can_not_be_kept_is_told(engine: Engine, session: Session) -> None:
    session.add(Customer(name="a", email="outer"))
    session.flush()
    register(engine, "inner")
    session.add(Customer(name="b", email="outer"))
    with pytest.warns(IsolationWarning, match="has committed"), pytest.raises(UniqueViolation):
        session.flush()
    session.rollback()
    assert emails(session) == ["seed"]


def test_a_deferred_constraint_is_checked_by_commit(session: Session) -> None:
    for time in range(2):
        session.add_all([Place(position=1), Place(position=2)])
        session.flush()
        session.exec("UPDATE places SET position = 3 - position")  # both are 1 for a moment
        if time == 0:
            session.exec("DELETE FROM places")
            session.commit()
    session.exec("UPDATE places SET position = 1")
    with pytest.raises(UniqueViolation):
        session.commit()
    assert session.exec(Select(Place)).all() == []


def test_settings_and_roles_end_with_their_transaction(engine: Engine, session: Session) -> None:
    engine.execute("CREATE ROLE nobody_in_tests")
    ask = "SELECT current_setting('app.tenant', true), current_user::text"
    before = engine.execute(ask)[0]
    with Session(engine, settings={"app.tenant": 7}, role="nobody_in_tests") as other:
        assert tuple(other.exec(ask).one()) == ("7", "nobody_in_tests")
        other.commit()
    after = engine.execute(ask)[0]
    assert (after[0] or "", after[1]) == (before[0] or "", before[1])


def test_a_session_that_only_reads(engine: Engine, session: Session) -> None:
    with Session(engine, read_only=True) as reading:
        assert len(reading.exec(Select(Customer)).all()) == 1
        reading.add(Customer(name="a", email="a"))
        with pytest.raises(ReadOnlyTransaction):
            reading.flush()
    register(engine, "ada")
    with Session(engine, read_only=True, isolation="SERIALIZABLE") as reading:
        assert emails(reading) == ["ada", "seed"]
        reading.commit()
    register(engine, "bob")


def test_a_transaction_by_hand_that_failed(engine: Engine) -> None:
    with pytest.raises(InFailedTransaction), engine.transaction() as connection:
        with pytest.raises(DataError):
            connection.execute("SELECT 1 / 0")
        connection.execute("SELECT 1")
    with engine.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO customers (name, email) VALUES ('a', 'by hand')")
        connection.execute("SAVEPOINT here")
        connection.execute("DELETE FROM customers")
        connection.execute("ROLLBACK TO SAVEPOINT here")
        connection.execute("COMMIT")
    assert engine.execute("SELECT count(*) FROM customers").scalar() == 2


def test_threads_of_the_program(engine: Engine, session: Session) -> None:
    with ThreadPoolExecutor(4) as threads:
        keys = list(threads.map(lambda n: register(engine, f"thread {n}"), range(20)))
    assert len(set(keys)) == 20
    assert len(emails(session)) == 21


def test_a_table_that_the_test_makes(engine: Engine, session: Session) -> None:
    with pytest.raises(UndefinedTable):
        engine.execute("SELECT FROM made_by_a_test")
    engine.execute("CREATE TABLE made_by_a_test (n int)")
    engine.execute("ALTER TABLE customers ADD COLUMN extra int")
    assert session.exec(Select(Customer)).all()  # the plan of a prepared statement has changed


def test_a_table_that_another_test_made_is_gone(engine: Engine, session: Session) -> None:
    test_a_table_that_the_test_makes(engine, session)


def test_what_no_transaction_can_hold(engine: Engine, session: Session) -> None:
    with pytest.raises(ProgrammingError) as refused:
        engine.execute("VACUUM")
    assert "fresh_engine" in "".join(refused.value.__notes__)
    session.add(Customer(name="a", email="a"))
    with pytest.raises(SessionError, match="fresh_engine"):
        session.prepare("two phases")
    session.rollback()
    with pytest.raises(SessionError, match="fresh_engine"):
        engine.execute("BEGIN; DELETE FROM customers; COMMIT")


def test_the_session_is_the_current_one(session: Session) -> None:
    assert SessionManager.require_current() is session
    assert len(Select(Customer).all()) == 1


kept: list[Any] = []


def test_leaves_a_session_open(engine: Engine) -> None:
    left = Session(engine)
    left.add(Customer(name="a", email="left"))
    left.flush()
    kept.append(left)


def test_one_database_of_its_own(fresh_engine: Engine, session: Session) -> None:
    register(fresh_engine, "fresh")
    with Session(fresh_engine) as one, Session(fresh_engine) as two:
        one.add(Customer(name="a", email="of one"))
        one.flush()
        assert emails(two) == ["fresh", "seed"]
        one.commit()
        assert emails(two) == ["fresh", "of one", "seed"]
    assert emails(session) == ["seed"]


def test_many_orders(session: Session, make: Any) -> None:
    orders = make.many(Order, 3)
    assert {10 <= order.total < 12 for order in orders} == {True}
    assert len({order.customer.email for order in orders}) == 3
    session.commit()
