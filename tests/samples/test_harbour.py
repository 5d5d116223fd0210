"""The harbour: what Chinook and Pagila do not have, on both sessions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import DatabaseError, Excluded, Insert, Multirange, Range, Select

from ..database.both import Both
from .conftest import HARBOUR
from .harbour_models import (
    Berth,
    BusyPort,
    Call,
    Cargo,
    Crane,
    Fleet,
    Kind,
    Licence,
    Notice,
    Officer,
    Port,
    Ship,
    Tide2024,
    TideOther,
    TideReading,
    WeightByKind,
)


@pytest.fixture
def harbour(open_sample: Callable[[Any], Both]) -> Both:
    return open_sample(HARBOUR)


CONDITIONS = [
    (Ship.imo, Ship.imo == 1000007, "imo = 1000007"),
    (Ship.imo, Ship.imo.In([1000007, 1000014, 5000000000]), "imo IN (1000007, 1000014)"),
    (Ship.imo, Ship.kinds == [Kind.bulk, Kind.wheels], "kinds = '{bulk,ro-ro}'"),
    (Ship.imo, Ship.kinds.Contains([Kind.wheels]), "kinds @> '{ro-ro}'"),
    (Ship.imo, Ship.signals == "0101", "signals = '0101'"),
    (Ship.imo, Ship.transponder == "08:00:2b:01:02:03", "transponder = '08:00:2b:01:02:03'"),
    (Ship.imo, Ship.holds == [], "holds = '{}'"),
    (Ship.imo, Ship.flag == "S", "flag = 'S'"),
    (Ship.imo, Ship.home_code.In(["PORTA", "PORTB"]), "home_code IN ('PORTA', 'PORTB')"),
    (Ship.imo, Ship.tonnage == Decimal("NaN"), "tonnage = 'NaN'"),
    (Port.code, Port.opened == date.max, "opened = 'infinity'"),
    (Port.code, Port.opened < date(1900, 1, 1), "opened < '1900-01-01'"),
    (Port.code, Port.remarks.IsNotNull(), "remarks IS NOT NULL"),
    (Port.code, Port.facilities.Contains(["a,b", 'c"d']), """facilities @> ARRAY['a,b', 'c"d']"""),
    (Officer.id, Officer.rights["level"] == 7, "rights->'level' = '7'"),
    (Officer.id, Officer.salary > Decimal("100000"), "salary > 100000::money"),
    (Officer.id, Officer.id.In([1, 2, 3]), "id IN (1, 2, 3)"),
    (Officer.id, Officer.ends.IsNotNull(), '"from" IS NOT NULL'),
    (Call.id, Call.stay.Contains(datetime(2024, 2, 1, tzinfo=UTC)), "stay @> '2024-02-01 00:00+00'::timestamptz"),
    (Call.id, Call.announced >= datetime(2024, 3, 1), "announced >= '2024-03-01'"),
    (
        Call.id,
        Call.announced.Between(datetime(2024, 3, 1), datetime(2024, 4, 1)),
        "announced BETWEEN '2024-03-01' AND '2024-04-01'",
    ),
    (Cargo.weight, Cargo.kind == Kind.wheels, "kind = 'ro-ro'"),
    (Cargo.weight, Cargo.kind.In([Kind.wheels, Kind.liquid]), "kind IN ('ro-ro', 'liquid')"),
    (Berth.number, Berth.crane == Crane.busy, """crane = 'it''s "busy"'"""),
    (Berth.number, Berth.reach.IsNull(), "reach IS NULL"),
    (TideReading.level, TideReading.full, '"100%"'),
]


@pytest.mark.parametrize(("column", "condition", "sql"), CONDITIONS, ids=[sql for *_, sql in CONDITIONS])
async def test_conditions(harbour: Both, column: Any, condition: Any, sql: str):
    async with harbour.session() as session:
        found = await session.exec(Select(column).Where(condition)).scalars()
    name = column.name.replace('"', '""')
    wanted = harbour.column(f'SELECT "{name}" FROM {column.source.shape} WHERE {sql}')
    assert wanted
    assert sorted(found) == sorted(wanted)


async def test_views_without_a_key(harbour: Both):
    async with harbour.session() as session:
        kinds = {row.kind: row for row in await session.exec(Select(WeightByKind))}
        assert set(kinds) == set(Kind)
        assert all(row.lines == [1, 2, 3] for row in kinds.values())
        fleet = {row.flag: row for row in await session.exec(Select(Fleet))}
        assert {flag: row.ships for flag, row in fleet.items()} == {"NO": 100, "DK": 100, "S ": 100}
        assert all(len(row.lengths) == 100 for row in fleet.values())
        busiest = await session.exec(
            Select(BusyPort).OrderBy(BusyPort.calls.Desc(), BusyPort.code).Limit(1).Include(BusyPort.port)
        ).one()
        assert busiest.name == busiest.port.name
        assert busiest.last_announced.tzinfo is None


async def test_a_circle_of_tables_in_one_unit_of_work(harbour: Both):
    async with harbour.session() as session:
        ports = [Port(code=f"CIRC{letter}", name=letter) for letter in "AB"]
        officers = [Officer(name=port.name, port=port, rights={}) for port in ports]
        for port, officer in zip(ports, reversed(officers), strict=True):
            port.master = officer
        session.add_all(officers)
        harbour.statements.clear()
        await session.flush()
        assert harbour.statements.verbs == ["INSERT", "INSERT", "UPDATE"]
        rows = await session.exec(
            "SELECT code, m.name FROM harbour.port JOIN harbour.officer m ON m.id = master_id WHERE code LIKE 'CIRC%'"
        )
        assert sorted(map(tuple, rows)) == [("CIRCA", "B"), ("CIRCB", "A")]
        for obj in (*ports, *officers):
            session.delete(obj)
        harbour.statements.clear()
        await session.flush()
        assert [verb for verb in harbour.statements.of("flush") if '"officer"' in verb and '"port"' in verb]
        rows = await session.exec("SELECT code FROM harbour.port WHERE code LIKE 'CIRC%'")
        assert list(rows) == []
        await session.rollback()


async def test_who_is_behind_a_circle_of_tables_comes_after_it(harbour: Both):
    """The ship needs its port; neither is in the circle of port and officer as far as the objects go."""
    async with harbour.session() as session:
        port = Port(code="LATER", name="Later")
        ship = Ship(imo=9999999, name="Later", flag="SE", home=port)
        officer = Officer(name="Later", port=port, rights={}, may_pilot=[ship])
        session.add(officer)
        await session.flush()
        found = await session.exec(Select(Licence).Where(Licence.imo == 9999999)).one()
        assert (found.officer_id, found.since) == (officer.id, date.today())
        await session.rollback()


async def test_keys_that_a_trigger_makes(harbour: Both):
    async with harbour.session() as session:
        notices = [Notice(port_code="PORTA", body=f"{n}") for n in range(5)]
        session.add_all(notices)
        await session.flush()
        assert all(notice.id.startswith("N") for notice in notices)
        for notice in notices:
            rows = await session.exec("SELECT body FROM harbour.notice WHERE id = %s", [notice.id])
            assert [row.body for row in rows] == [notice.body]
            assert await session.get(Notice, notice.id) is notice
        await session.rollback()
        assert all(getattr(notice, "id", None) is None for notice in notices)


async def test_keys_given_where_the_identity_is_always(harbour: Both):
    async with harbour.session() as session:
        officer = Officer(id=32000, name="Me", port_code="PORTA", rights={})
        session.add(officer)
        with pytest.raises(DatabaseError, match="non-DEFAULT value into column"):
            await session.flush()
        await session.rollback()
        officers = [Officer(name=str(n), port_code="PORTA", rights={"n": n}) for n in range(3)]
        session.add_all(officers)
        await session.flush()
        rows = await session.exec("SELECT id, name FROM harbour.officer WHERE id = ANY(%s)", [[o.id for o in officers]])
        assert {row.id: row.name for row in rows} == {officer.id: officer.name for officer in officers}
        assert len({officer.badge for officer in officers}) == 3
        await session.rollback()


async def test_generated_columns_are_never_written(harbour: Both):
    async with harbour.session() as session:
        ships = [Ship(imo=9000100 + n, name=f"Generated {n}", flag="SE") for n in range(3)]
        session.add_all(ships)
        await session.flush()
        assert [ship.search for ship in ships] == [f"'{n}':2 'generated':1" for n in range(3)]
        for ship in ships:
            ship.name += " again"
        await session.flush()
        assert all("'again':3" in ship.search for ship in ships)
        await session.rollback()


async def test_edits_in_place(harbour: Both):
    async with harbour.session() as session:
        port = await session.exec(Select(Port).Where(Port.remarks.IsNotNull()).Limit(1)).one()
        officer = await session.get(Officer, 1)
        ship = await session.exec(Select(Ship).Where(Ship.kinds == [Kind.bulk, Kind.wheels]).Limit(1)).one()
        port.remarks.append("new")
        officer.rights["zones"].append({"deep": True})
        ship.kinds.remove(Kind.bulk)
        harbour.statements.clear()
        await session.flush()
        assert harbour.statements.verbs == ["UPDATE"] * 3
        rows = await session.exec("SELECT remarks FROM harbour.port WHERE code = %s", [port.code])
        assert "new" in str(next(iter(rows)).remarks)
        rows = await session.exec("SELECT rights->'zones'->-1->>'deep' AS deep FROM harbour.officer WHERE id = 1")
        assert next(iter(rows)).deep == "true"
        rows = await session.exec("SELECT kinds::text AS kinds FROM harbour.ship WHERE imo = %s", [ship.imo])
        assert next(iter(rows)).kinds == "{ro-ro}"
        await session.rollback()
        assert ship.kinds == [Kind.bulk, Kind.wheels]
        assert "new" not in port.remarks


async def test_what_is_only_read_is_not_written(harbour: Both):
    async with harbour.session() as session:
        for model in (Port, Officer, Ship, Berth, Call):
            for obj in await session.exec(Select(model)):
                for column in model.__columns__:
                    getattr(obj, column.key)
        harbour.statements.clear()
        await session.flush()
        assert harbour.statements.sent == []


async def test_deletion_follows_the_database(harbour: Both):
    async with harbour.session() as session:
        call = await session.exec(Select(Call).Limit(1).Include(Call.cargo)).one()
        cargo = list(call.cargo)
        assert cargo
        session.delete(call)
        await session.flush()
        for each in cargo:
            assert await session.get(Cargo, (each.call_id, each.line)) is None
        await session.rollback()
        assert call.cargo == cargo


async def test_a_key_of_two_columns_moves(harbour: Both):
    async with harbour.session() as session:
        call = await session.exec(Select(Call).Where(Call.port_code == "PORTB").Limit(1).Include(Call.berth)).one()
        other = await session.exec(Select(Berth).Where(Berth.port_code == "PORTZ", Berth.number == 4)).one()
        call.berth = other
        await session.flush()
        rows = await session.exec("SELECT port_code, berth_number FROM harbour.call WHERE id = %s", [call.id])
        assert tuple(next(iter(rows))) == ("PORTZ", 4)
        call.port_code, call.berth_number = "PORTA", 1
        await session.flush()
        await session.load(call, Call.berth)
        assert (call.berth.port_code, call.berth.number) == ("PORTA", 1)
        await session.rollback()


async def test_rows_find_their_partition(harbour: Both):
    async with harbour.session() as session:
        reading = TideReading(taken_at=datetime(2024, 12, 31, 23, tzinfo=UTC), port_code="PORTA", level=1)
        session.add(reading)
        await session.flush()
        key = {"taken_at": reading.taken_at, "port_code": "PORTA"}
        assert await session.get(Tide2024, key) is not None
        reading.taken_at = datetime(2025, 1, 1, tzinfo=UTC)
        await session.flush()
        key = {"taken_at": reading.taken_at, "port_code": "PORTA"}
        assert await session.get(TideOther, key) is not None
        assert reading.full is False
        await session.rollback()


async def test_insert_or_update(harbour: Both):
    async with harbour.session() as session:
        closed = Multirange([Range(date(2030, 1, 1), date(2030, 2, 1))])
        query = (
            Insert(Berth)
            .Values(
                [
                    {"port_code": "PORTA", "number": n, "crane": Crane.broken, "closed": closed, "reach": None}
                    for n in (4, 5)
                ]
            )
            .OnConflict(Berth.port_code, Berth.number)
            .DoUpdate(crane=Excluded.crane, closed=Excluded.closed)
            .Returning(Berth)
        )
        berths = sorted(await session.exec(query), key=lambda berth: berth.number)
        assert [(berth.number, berth.crane, berth.closed) for berth in berths] == [
            (4, Crane.broken, closed),
            (5, Crane.broken, closed),
        ]
        await session.rollback()
