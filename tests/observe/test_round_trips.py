"""The round trips that a trace counts are those that the line to the server saw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from psqlmodel import AsyncSession, Column, PSQLModel, Select, Session, create_async_engine, create_engine, table

from .turns import Line


@table("trip_things")
class TripThing(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]


@pytest.fixture
def line(fresh_database: str, request: pytest.FixtureRequest) -> Iterator[Line]:
    with create_engine(fresh_database) as engine:
        engine.create_all([TripThing])
    made = Line(fresh_database, eager=request.param)
    yield made
    made.close()


TIMES = 3


@pytest.mark.parametrize("line", [False], indirect=True)
def test_round_trips_of_a_session(line: Line) -> None:
    with create_engine(line.dsn) as engine, Session(engine) as session:
        session.exec("SELECT 1").all()
        session.rollback()
        wrong = []
        for round in range(TIMES):
            for name, do in pieces(session):
                session.add(TripThing(name=f"{name} {round}"))
                before = line.turns
                with session.trace() as trace:
                    do()
                if trace.round_trips != line.turns - before:
                    wrong.append((name, round, trace.round_trips, line.turns - before))
    assert wrong == []
    assert line.turns > 3 * TIMES  # it did count


@pytest.mark.parametrize("line", [True], indirect=True)
async def test_round_trips_of_an_asynchronous_session(line: Line) -> None:
    engine = create_async_engine(line.dsn)
    async with engine, AsyncSession(engine) as session:
        await session.exec("SELECT 1").all()
        await session.rollback()
        wrong = []
        for round in range(TIMES):
            for name, do in pieces(session):
                session.add(TripThing(name=f"{name} {round}"))
                before = line.turns
                async with session.trace() as trace:
                    await do()
                if trace.round_trips != line.turns - before:
                    wrong.append((name, round, trace.round_trips, line.turns - before))
    assert wrong == []


def pieces(session: Any) -> list[tuple[str, Any]]:
    things = [TripThing(name="n") for _ in range(50)]
    return [
        ("query", lambda: session.exec(Select(TripThing).Where(TripThing.id > 1))),
        ("by hand", lambda: session.exec("SELECT %s::int", [1])),
        ("command", lambda: session.exec("SET LOCAL work_mem = '8MB'")),
        ("flush", session.flush),
        ("bulk", lambda: session.bulk_insert(things, returning=False)),
        ("explain", lambda: session.explain(Select(TripThing), analyze=True)),
        ("commit", session.commit),
    ]
