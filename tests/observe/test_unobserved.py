"""What nobody observes costs no call more than before somebody did."""

from __future__ import annotations

from psqlmodel import Select, Session, create_engine
from tests.counts.calls import calls_of

from .conftest import ObservedThing


def test_a_session_that_was_traced_makes_no_call_more(observed_dsn: str) -> None:
    query = Select(ObservedThing).Where(ObservedThing.id == 1)
    with create_engine(observed_dsn) as engine, Session(engine) as session:
        for _ in range(3):
            session.exec(query).all()
        before = calls_of(lambda: session.exec(query).all())
        with session.trace() as trace:
            traced = calls_of(lambda: session.exec(query).all())
        after = calls_of(lambda: session.exec(query).all())
        assert len(trace) == 1
        assert before == after < traced
        session.rollback()


def test_a_session_beside_one_that_is_traced_makes_no_call_more(observed_dsn: str) -> None:
    query = Select(ObservedThing).Where(ObservedThing.id == 1)
    with create_engine(observed_dsn) as engine, Session(engine) as session, Session(engine) as other:
        for _ in range(3):
            session.exec(query).all()
        before = calls_of(lambda: session.exec(query).all())
        with other.trace():
            assert calls_of(lambda: session.exec(query).all()) == before
        stop = engine.log_statements()
        stop()
        assert calls_of(lambda: session.exec(query).all()) == before
