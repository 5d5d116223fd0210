"""Foreign keys that lead relations and make no constraint: the row that they name may be missing."""

from __future__ import annotations

import pytest

from psqlmodel import AsyncSession, Select, Session, create_async_engine, create_engine
from psqlmodel.errors import MappingError
from psqlmodel.model import Column, ForeignKey, PSQLModel, Relation, table
from psqlmodel.schema import create_statements


@table("planes")
class Plane(PSQLModel):
    tail: Column[str] = Column(primary_key=True)
    seats: Column[int]

    flights: Relation[list[Flight]] = Relation()


@table("hours")
class Hour(PSQLModel):
    place: Column[str] = Column(primary_key=True)
    hour: Column[int] = Column(primary_key=True)


@table("flights", constraints=[ForeignKey(["place", "hour"], "hours", enforced=False)])
class Flight(PSQLModel):
    number: Column[int] = Column(primary_key=True)
    place: Column[str]
    hour: Column[int]
    delay: Column[int | None]
    tail: Column[str | None] = Column(foreign_key="planes.tail", enforced=False)

    plane: Relation[Plane | None] = Relation()
    weather: Relation[Hour | None] = Relation()


MODELS = [Flight, Plane, Hour]


def rows() -> list[PSQLModel]:
    return [
        Plane(tail="N1", seats=9),
        Flight(number=1, place="JFK", hour=3, tail="N1"),
        Flight(number=2, place="JFK", hour=3, tail="N404"),
        Flight(number=3, place="JFK", hour=3),
    ]


def test_no_constraint_is_made():
    statements = create_statements([model.__mapper__ for model in MODELS])
    assert len(statements) == 3
    assert not any("FOREIGN KEY" in statement for statement in statements)


def test_what_only_a_constraint_can_do_is_refused():
    with pytest.raises(MappingError, match="enforced=False makes none"):
        Column(foreign_key="planes.tail", enforced=False, on_delete="CASCADE")
    with pytest.raises(MappingError, match="belong to a column with a foreign_key"):
        Column(enforced=False)


def test_relations_follow_it(fresh_database: str):
    with create_engine(fresh_database) as engine:
        engine.create_all(MODELS)
        with Session(engine) as session:
            session.add_all(rows())
            session.commit()
        with Session(engine) as session:
            query = Select(Flight).OrderBy(Flight.number).Include(Flight.plane.Include(Plane.flights), Flight.weather)
            known, unknown, none = session.exec(query).all()
            assert known.plane.seats == 9
            assert known.plane.flights == [known]
            assert unknown.plane is None
            assert none.plane is None
            assert known.weather is None
        with Session(engine) as session:
            known, unknown, none = session.exec(Select(Flight).OrderBy(Flight.number)).all()
            assert (known.plane.tail, unknown.plane, none.plane) == ("N1", None, None), "loaded when it is read"


def test_a_change_keeps_the_name_of_the_missing_row(fresh_database: str):
    with create_engine(fresh_database) as engine:
        engine.create_all(MODELS)
        with Session(engine) as session:
            session.add_all(rows())
            session.commit()
        with Session(engine) as session:
            flight = session.exec(Select(Flight).Where(Flight.number == 2).Include(Flight.plane)).one()
            flight.delay = 5
            session.commit()
            assert flight.tail == "N404"
            session.delete(session.get(Plane, "N1"))
            session.commit()
        written = engine.execute("SELECT number, tail, delay FROM flights ORDER BY number")
        assert [tuple(row) for row in written] == [(1, "N1", None), (2, "N404", 5), (3, None, None)]


def test_the_missing_row_may_come_later(fresh_database: str):
    with create_engine(fresh_database) as engine:
        engine.create_all(MODELS)
        with Session(engine) as session:
            session.add_all(rows())
            session.commit()
        with Session(engine) as session:
            flight = session.get(Flight, 2)
            assert flight is not None
            flight.plane = Plane(tail="N404", seats=2)
            session.commit()
            session.refresh(flight)
            assert (flight.tail, flight.plane.seats) == ("N404", 2)


async def test_relations_follow_it_async(fresh_database: str):
    async with create_async_engine(fresh_database) as engine:
        await engine.create_all(MODELS)
        async with AsyncSession(engine) as session:
            session.add_all(rows())
            await session.commit()
        async with AsyncSession(engine) as session:
            query = Select(Flight).OrderBy(Flight.number).Include(Flight.plane)
            known, unknown, none = await session.exec(query).all()
            assert (known.plane.tail, unknown.plane, none.plane) == ("N1", None, None)
