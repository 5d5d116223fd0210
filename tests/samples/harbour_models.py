"""The harbour of `harbour.sql`, as somebody would write it who has read the README and looked at the tables.

It covers what Chinook and Pagila have that a library finds hard, and more, and is there wherever the tests are.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from ipaddress import IPv4Network
from typing import Any
from uuid import UUID

from psqlmodel import Column, ForeignKey, Multirange, Point, PSQLModel, Range, Relation, Unique, table, types


class Kind(Enum):
    bulk = "bulk"
    container = "container"
    liquid = "liquid"
    wheels = "ro-ro"


class Crane(StrEnum):
    idle = "idle"
    busy = 'it\'s "busy"'
    broken = "broken"


@table("port", schema="harbour", constraints=[Unique("master_id")])
class Port(PSQLModel):
    code: Column[str] = Column(primary_key=True)
    name: Column[str]
    master_id: Column[int | None] = Column(foreign_key="harbour.officer.id")
    facilities: Column[list[str]] = Column(server_default="'{}'")
    depths: Column[list[float | None] | None]
    remarks: Column[list[str | None] | None]
    place: Column[Point | None]
    rule: Column[str | None]
    opened: Column[date | None]
    network: Column[IPv4Network | None]
    master: Relation[Officer] = Relation(foreign_keys="master_id")
    officers: Relation[list[Officer]] = Relation(foreign_keys="port_code", back="port")
    berths: Relation[list[Berth]] = Relation(order_by="-number")
    ships: Relation[list[Ship]] = Relation()
    notices: Relation[list[Notice]] = Relation()
    readings: Relation[list[TideReading]] = Relation()


@table("officer", schema="harbour")
class Officer(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    port_code: Column[str] = Column(foreign_key="harbour.port.code")
    superior_id: Column[int | None] = Column(foreign_key="harbour.officer.id")
    badge: Column[UUID]
    rights: Column[dict[str, Any]]
    salary: Column[Decimal | None] = Column(type=types.money)
    shift: Column[timedelta | None]
    starts: Column[time | None]
    ends: Column[time | None] = Column(name="from")
    photo: Column[bytes | None]
    port: Relation[Port] = Relation(foreign_keys="port_code")
    commands: Relation[Port] = Relation(foreign_keys="master_id")
    superior: Relation[Officer] = Relation(foreign_keys="superior_id")
    inferiors: Relation[list[Officer]] = Relation()
    piloted: Relation[list[Call]] = Relation(foreign_keys="pilot_id")
    inspected: Relation[list[Call]] = Relation(foreign_keys="inspector_id")
    may_pilot: Relation[list[Ship]] = Relation(secondary="Licence")


@table("ship", schema="harbour")
class Ship(PSQLModel):
    home_code: str | None = Column(foreign_key="harbour.port.code", on_delete="SET NULL")
    imo: int = Column(primary_key=True)
    name: str
    flag: str
    built: int | None
    length: float | None
    tonnage: Decimal | None
    holds: list[int] | None
    kinds: list[Kind] = Column(server_default="'{}'")
    transponder: str | None
    signals: str | None
    log: dict[str, Any] | None
    search: str = Column(type=types.tsvector)
    home: Relation[Port] = Relation()
    calls: Relation[list[Call]] = Relation(order_by=["-announced", "id"])
    pilots: Relation[list[Officer]] = Relation(secondary="Licence")


@table("berth", schema="harbour")
class Berth(PSQLModel):
    number: int = Column(primary_key=True)
    port_code: str = Column(primary_key=True, foreign_key="harbour.port.code", on_delete="CASCADE")
    crane: Crane
    reach: Range[Decimal] | None
    closed: Multirange[date]
    port: Relation[Port] = Relation()
    calls: Relation[list[Call]] = Relation()


@table(
    "call",
    schema="harbour",
    constraints=[ForeignKey(["port_code", "berth_number"], "harbour.berth", ["port_code", "number"])],
)
class Call(PSQLModel):
    id: int = Column(primary_key=True)
    imo: int = Column(foreign_key="harbour.ship.imo")
    port_code: str
    berth_number: int
    pilot_id: int = Column(foreign_key=Officer.id)
    inspector_id: int | None = Column(foreign_key=Officer.id)
    stay: Range[datetime]
    announced: datetime
    changed: datetime | None
    ship: Relation[Ship] = Relation()
    berth: Relation[Berth] = Relation()
    pilot: Relation[Officer] = Relation(foreign_keys="pilot_id")
    inspector: Relation[Officer] = Relation(foreign_keys="inspector_id")
    cargo: Relation[list[Cargo]] = Relation()


@table("cargo", schema="harbour")
class Cargo(PSQLModel):
    call_id: int = Column(primary_key=True, foreign_key="harbour.call.id", on_delete="CASCADE")
    line: int = Column(primary_key=True)
    kind: Kind
    weight: Decimal
    call: Relation[Call] = Relation()


@table("licence", schema="harbour")
class Licence(PSQLModel):
    officer_id: int = Column(primary_key=True, foreign_key="harbour.officer.id")
    imo: int = Column(primary_key=True, foreign_key="harbour.ship.imo")
    since: date
    officer: Relation[Officer] = Relation()
    ship: Relation[Ship] = Relation()


@table("notice", schema="harbour")
class Notice(PSQLModel):
    id: str = Column(primary_key=True)
    port_code: str = Column(foreign_key="harbour.port.code")
    body: str
    port: Relation[Port] = Relation()


class _TideReading(PSQLModel):
    taken_at: datetime = Column(primary_key=True, name="Taken At")
    port_code: str = Column(primary_key=True, foreign_key="harbour.port.code")
    level: float = Column(name="level (m)")
    full: bool = Column(name="100%", server_default="false")


@table("Tide Reading", schema="harbour")
class TideReading(_TideReading):
    port: Relation[Port] = Relation()


@table("tide_2024", schema="harbour")
class Tide2024(_TideReading):
    pass


@table("tide_other", schema="harbour")
class TideOther(_TideReading):
    pass


# --- views ------------------------------------------------------------


@table("busy_port", schema="harbour")
class BusyPort(PSQLModel):
    code: str = Column(primary_key=True, foreign_key="harbour.port.code")
    name: str = Column(name="Port's name")
    calls: int
    last_announced: datetime | None
    port: Relation[Port] = Relation()


@table("weight_by_kind", schema="harbour")
class WeightByKind(PSQLModel):
    kind: Kind
    weight: Decimal
    lines: list[int]


@table("fleet", schema="harbour")
class Fleet(PSQLModel):
    flag: str
    ships: int
    mean_length: float
    lengths: Multirange[Decimal]


TABLES: list[type[PSQLModel]] = [
    Port,
    Officer,
    Ship,
    Berth,
    Call,
    Cargo,
    Licence,
    Notice,
    TideReading,
    Tide2024,
    TideOther,
]
VIEWS: list[type[PSQLModel]] = [BusyPort, WeightByKind, Fleet]

# For each relation, the SQL that says which object belongs to which: the key of the one, the key of the other.
# Keys are in the order of the models' columns, not of the tables'.
PAIRS = {
    "Port.master": "SELECT code, master_id FROM harbour.port WHERE master_id IS NOT NULL",
    "Port.officers": "SELECT port_code, id FROM harbour.officer",
    "Port.berths": "SELECT port_code, number, port_code FROM harbour.berth",
    "Port.ships": "SELECT home_code, imo FROM harbour.ship WHERE home_code IS NOT NULL",
    "Port.notices": "SELECT port_code, id FROM harbour.notice",
    "Port.readings": 'SELECT port_code, "Taken At", port_code FROM harbour."Tide Reading"',
    "Officer.port": "SELECT id, port_code FROM harbour.officer",
    "Officer.commands": "SELECT master_id, code FROM harbour.port WHERE master_id IS NOT NULL",
    "Officer.superior": "SELECT id, superior_id FROM harbour.officer WHERE superior_id IS NOT NULL",
    "Officer.inferiors": "SELECT superior_id, id FROM harbour.officer WHERE superior_id IS NOT NULL",
    "Officer.piloted": "SELECT pilot_id, id FROM harbour.call",
    "Officer.inspected": "SELECT inspector_id, id FROM harbour.call WHERE inspector_id IS NOT NULL",
    "Officer.may_pilot": "SELECT officer_id, imo FROM harbour.licence",
    "Ship.home": "SELECT imo, home_code FROM harbour.ship WHERE home_code IS NOT NULL",
    "Ship.calls": "SELECT imo, id FROM harbour.call",
    "Ship.pilots": "SELECT imo, officer_id FROM harbour.licence",
    "Berth.port": "SELECT number, port_code, port_code FROM harbour.berth",
    "Berth.calls": "SELECT berth_number, port_code, id FROM harbour.call",
    "Call.ship": "SELECT id, imo FROM harbour.call",
    "Call.berth": "SELECT id, berth_number, port_code FROM harbour.call",
    "Call.pilot": "SELECT id, pilot_id FROM harbour.call",
    "Call.inspector": "SELECT id, inspector_id FROM harbour.call WHERE inspector_id IS NOT NULL",
    "Call.cargo": "SELECT call_id, call_id, line FROM harbour.cargo",
    "Cargo.call": "SELECT call_id, line, call_id FROM harbour.cargo",
    "Licence.officer": "SELECT officer_id, imo, officer_id FROM harbour.licence",
    "Licence.ship": "SELECT officer_id, imo, imo FROM harbour.licence",
    "Notice.port": "SELECT id, port_code FROM harbour.notice",
    "TideReading.port": 'SELECT "Taken At", port_code, port_code FROM harbour."Tide Reading"',
    "BusyPort.port": "SELECT code, code FROM harbour.busy_port",
}


def new_objects() -> list[PSQLModel]:
    """Two new objects for each table, linked as a user would."""
    made: list[PSQLModel] = []
    for number in (1, 2):
        port = Port(
            code="NEW" + "XY"[number - 1] * 2,
            name="Größe",
            facilities=["{", "NULL", " "],
            depths=[1.5, None, float("-inf")],
            remarks=["dömain, over", None],
            place=Point(1e-9, -2.5),
            opened=date.max,
            network=IPv4Network("10.1.2.0/24"),
        )
        officer = Officer(
            name=f"O'Neill {number}",
            port=port,
            rights={"päth": ["a", 1, None, 1.5], "nested": {"100%": True}},
            salary=Decimal("-1234567.89"),
            shift=timedelta(days=1, microseconds=-1),
            starts=time(23, 59, 59, 999999),
            ends=time(6, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
            photo=b"\x00\\'",
        )
        port.master = officer  # the circle: its nullable side is written afterwards
        ship = Ship(
            imo=9000000 + number,
            name="Ünsinkbar 🚢",
            flag="SE",
            length=1e300,
            tonnage=Decimal("NaN"),
            holds=[[1, 2], [3, 4]],
            kinds=[Kind.wheels, Kind.bulk],
            transponder="08:00:2b:01:02:04",
            signals="0101",
            log={"a": [1.25]},
            home=port,
            pilots=[officer],
        )
        berth = Berth(
            port=port,
            number=32766 + number - 1,
            crane=Crane.busy,
            reach=Range(Decimal("0.5"), None),
            closed=Multirange([Range(date(2024, 1, 1), date(2024, 1, 2))]),
        )
        arrival = datetime(2024, 5, 1, number, tzinfo=UTC)
        call = Call(
            ship=ship,
            berth=berth,
            pilot=officer,
            stay=Range(arrival, None),
            announced=datetime(2024, 4, 30, 12),
            cargo=[Cargo(line=number, kind=Kind.liquid, weight=Decimal("12345678901234567890.0123456789"))],
        )
        notice = Notice(port=port, body="x" * 100)
        readings: list[PSQLModel] = [
            TideReading(taken_at=datetime(1999, 1, number, tzinfo=UTC), port=port, level=-0.1, full=True),
            Tide2024(taken_at=datetime(2024, 6, number, tzinfo=UTC), port_code="PORTA", level=1.5),
            TideOther(taken_at=datetime(2054, 6, number, tzinfo=UTC), port_code="PORTA", level=2.5),
        ]
        made += [port, officer, ship, berth, call, *call.cargo, notice, *readings]
    return made


# How many rows the tables have more with the new objects, where it is not two: the partitions' are the whole's too.
GROWTH: dict[type[PSQLModel], int] = {TideReading: 6, TideOther: 4}

# For each class, an edit of its rows.
EDITS: dict[type[PSQLModel], tuple[str, object]] = {
    Port: ("depths", [None, 2.5]),
    Officer: ("rights", {}),
    Ship: ("kinds", [Kind.liquid]),
    Berth: ("crane", Crane.broken),
    Call: ("announced", datetime(1, 1, 1)),
    Cargo: ("kind", Kind.wheels),
    Licence: ("since", date.min),
    Notice: ("body", ""),
    TideReading: ("level", 0.5),
    Tide2024: ("full", True),
    TideOther: ("level", float("inf")),
}
