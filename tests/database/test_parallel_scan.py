"""One table read in parts, on both sessions: each row once, whatever others do meanwhile; and what can't be split."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from psqlmodel import (
    Alias,
    Column,
    Count,
    DataError,
    Engine,
    LockNotAvailable,
    ParallelError,
    PSQLModel,
    QueryError,
    Relation,
    RowNumber,
    Select,
    SessionClosedError,
    SessionError,
    Text,
    UndefinedTable,
    With,
    create_engine,
    table,
)
from psqlmodel.core.parallel.splitting import split
from psqlmodel.steps import Statement

from .both import Both, Statements

ROWS = 20_000
SPLITTING = "pg_relation_size"  # what only the statement says by which a table is split
TOTAL = ROWS * 100


@table("events", schema="scans")
class Event(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    kind: Column[str]
    value: Column[int]
    note: Column[str]
    marks: Relation[list["Mark"]] = Relation()


@table("marks", schema="scans")
class Mark(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    event_id: Column[int] = Column(foreign_key="scans.events.id", on_delete="CASCADE")
    event: Relation[Event] = Relation()


@table("words", schema="scans")
class Word(PSQLModel):
    text: Column[str] = Column(primary_key=True)
    note: Column[str]


@table("view", schema="scans")
class Seen(PSQLModel):
    """A view: its keys may be NULL, and are nobody's promise."""

    id: Column[int | None] = Column(primary_key=True)
    value: Column[int]


@table("text_view", schema="scans")
class SeenText(PSQLModel):
    id: Column[str] = Column(primary_key=True)


@table("measures", schema="scans")
class Measure(PSQLModel):
    """Partitioned by month; its key has two columns."""

    id: Column[int] = Column(primary_key=True)
    month: Column[int] = Column(primary_key=True)
    note: Column[str]


@table("nowhere", schema="scans")
class Nowhere(PSQLModel):
    id: Column[int] = Column(primary_key=True)


OTHERS = """
CREATE VIEW scans.view AS
    SELECT CASE WHEN id % 100 = 0 THEN NULL ELSE id - 10000 END AS id, value FROM scans.events;
CREATE VIEW scans.text_view AS SELECT id::text AS id FROM scans.events;
CREATE TABLE scans.measures (id int, month int, note text, PRIMARY KEY (id, month)) PARTITION BY LIST (month);
CREATE TABLE scans.measures_1 PARTITION OF scans.measures FOR VALUES IN (1);
CREATE TABLE scans.measures_2 PARTITION OF scans.measures DEFAULT
"""
FILL = f"""
TRUNCATE scans.events, scans.marks;
INSERT INTO scans.events SELECT n, 'kind ' || n % 7, 100, repeat('x', 200) FROM generate_series(1, {ROWS}) n;
INSERT INTO scans.marks (id, event_id) SELECT n, n FROM generate_series(1, {ROWS}, 10) n
"""
FILL_OTHERS = f"""
INSERT INTO scans.words SELECT 'w' || n, repeat('x', 200) FROM generate_series(1, {ROWS}) n;
INSERT INTO scans.measures SELECT n, n % 3, repeat('x', 200) FROM generate_series(1, {ROWS}) n
"""


def each_of(engine: Engine, script: str) -> None:
    for statement in script.split(";"):
        engine.execute(statement)


@pytest.fixture(scope="module", autouse=True)
def _tables(shop_dsn: str) -> Iterator[None]:
    """In a schema of their own, so that they are filled once: other tests empty what is in `public`."""
    with create_engine(shop_dsn) as engine:
        engine.execute("CREATE SCHEMA scans")
        engine.create_all([Event, Mark, Word])
        for script in (OTHERS, FILL, FILL_OTHERS):
            each_of(engine, script)
        yield
        engine.execute("DROP SCHEMA scans CASCADE")


@pytest.fixture
def filled_again(both: Both) -> Iterator[None]:
    """For tests that change the rows."""
    yield
    each_of(both._sql, FILL)


def at_first_part(both: Both, act: Callable[[], Any], of: str = 'FROM "scans"') -> Callable[[], None]:
    """Call `act` when the first part was read, or the table was split; returns a function to end this."""
    acted: list[Any] = []

    def listen(event: Any) -> None:
        if of in event.text and event.purpose != "raw" and not acted:
            acted.append(event)
            act()

    stop = both.engine.on_statement(listen)

    def end() -> None:
        stop()
        assert acted, "no part was read"

    return end


def moved(both: Both) -> None:
    """Change all rows, which moves them in the table, and put others in."""
    both.sql("UPDATE scans.events SET value = value + 1, note = repeat('y', 300)")
    both.sql(f"INSERT INTO scans.events SELECT n, 'new', 1, '' FROM generate_series({ROWS + 1}, {30_000}) n")
    both.sql("DELETE FROM scans.events WHERE id % 2 = 0")


async def test_all_rows_in_the_order_of_the_table(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        events = await session.parallel_scan(Select(Event), workers=2)
        assert [event.id for event in events] == list(range(1, ROWS + 1))
        assert sum(event.value for event in events) == TOTAL
        assert len(statements.of("query")) > 2
        assert events[0] not in session
        events[0].value = 1
        assert await session.exec(Select(Event.value).Where(Event.id == 1)).scalar() == 100


@pytest.mark.usefixtures("filled_again")
@pytest.mark.parametrize("workers", [1, 3])
async def test_each_row_once_while_others_write(both: Both, workers: int) -> None:
    """Between the first part and the others each row moves, half of them go, others come."""
    end = at_first_part(both, lambda: moved(both))
    async with both.session() as session:
        events = await session.parallel_scan(Select(Event), workers=workers)
        end()
        assert [event.id for event in events] == list(range(1, ROWS + 1))
        assert {event.value for event in events} == {100}
        now = await session.parallel_scan(Select(Event.id, Event.value))
    assert sorted(row.id for row in now) == [*range(1, ROWS, 2), *range(ROWS + 1, 30_000, 2)]


@pytest.mark.usefixtures("filled_again")
async def test_the_parts_without_a_snapshot_disagree(both: Both) -> None:
    """What the test before would find if the parts were sent as they are."""
    parts = await both.on_engine("run_steps", split(Select(Event), 2))
    end = at_first_part(both, lambda: moved(both))
    async with both.session() as session:
        found = await session.parallel_exec(parts, max_workers=1)
    end()
    assert sorted(event.id for part in found for event in part) != list(range(1, ROWS + 1))


@pytest.mark.usefixtures("filled_again")
async def test_each_row_once_under_concurrent_transfers(both: Both) -> None:
    """A thread moves values from row to row all the time: in one snapshot the sum is constant."""
    done = threading.Event()
    transfers: list[int] = []

    def transfer() -> None:
        number = 0
        while not done.is_set():
            number += 1
            both.sql(
                "UPDATE scans.events SET value = value + CASE WHEN id %% 2 = 0 THEN 1 ELSE -1 END "
                "WHERE id BETWEEN 1 + 500 * (%s %% 40) AND 500 + 500 * (%s %% 40)",
                number,
                number,
            )
            transfers.append(number)

    writer = threading.Thread(target=transfer)
    writer.start()
    try:
        async with both.session() as session:
            before = len(transfers)
            for _ in range(5):
                events = await session.parallel_scan(Select(Event), workers=4)
                assert len(events) == ROWS
                assert {event.id for event in events} == set(range(1, ROWS + 1))
                assert sum(event.value for event in events) == TOTAL
        assert len(transfers) > before
    finally:
        done.set()
        writer.join()


@pytest.mark.parametrize("of", [SPLITTING, 'FROM "scans"'])
async def test_the_table_is_not_rewritten_meanwhile(both: Both, of: str) -> None:
    refused: list[Exception] = []

    def rewrite() -> None:
        with pytest.raises(LockNotAvailable) as caught:
            both.sql("DO $$ BEGIN LOCK TABLE scans.events IN ACCESS EXCLUSIVE MODE NOWAIT; END $$")
        refused.append(caught.value)

    end = at_first_part(both, rewrite, of)
    async with both.session() as session:
        assert len(await session.parallel_scan(Select(Event), workers=1)) == ROWS
    end()
    assert refused


async def test_what_a_query_may_have(both: Both) -> None:
    query = Select(Event).Where(Event.kind == "kind 1", Event.id > 500)
    expected = [n for n in range(501, ROWS + 1) if n % 7 == 1]
    async with both.session() as session:
        events = await session.parallel_scan(query.Include(Event.marks))
        assert [event.id for event in events] == expected
        assert [len(event.marks) for event in events] == [int(n % 10 == 1) for n in expected]
        rows = await session.parallel_scan(Select(Event.id, (Event.value * 2).As("twice")).Where(Event.id <= 3))
        assert [(row.id, row.twice) for row in rows] == [(1, 200), (2, 200), (3, 200)]
        either = await session.parallel_scan(Select(Event).Where((Event.id == 1) | (Event.id == ROWS)))
        assert [event.id for event in either] == [1, ROWS]
        joined = await session.parallel_scan(Select(Event, Mark).LeftJoin(Mark, Mark.event_id == Event.id))
        assert len(joined) == ROWS
        assert len([row for row in joined if row.Mark is not None]) == ROWS // 10


@pytest.mark.parametrize("workers", [1, 4])
async def test_tables_with_other_keys(both: Both, statements: Statements, workers: int) -> None:
    async with both.session() as session:
        words = await session.parallel_scan(Select(Word), workers=workers)
        assert [word.text for word in words] == [f"w{n}" for n in range(1, ROWS + 1)]
        statements.clear()
        measures = await session.parallel_scan(Select(Measure), workers=workers)
        assert sorted(measure.id for measure in measures) == list(range(1, ROWS + 1))
        assert len(statements.of("query")) > 1


@pytest.mark.usefixtures("filled_again")
@pytest.mark.parametrize("workers", [1, 4])
async def test_a_view_is_split_by_its_key(both: Both, statements: Statements, workers: int) -> None:
    async with both.session() as session:
        seen = await session.parallel_scan(Select(Seen), workers=workers)
        assert len(statements.of("query")) == 4 * workers
        keys = sorted(row.id for row in seen if row.id is not None)
        assert keys == [n - 10_000 for n in range(1, ROWS + 1) if n % 100]
        assert len([row for row in seen if row.id is None]) == ROWS // 100
        both.sql("DELETE FROM scans.events WHERE id <> 7 AND id <> 8")
        assert sorted(row.id for row in await session.parallel_scan(Select(Seen))) == [-9993, -9992]
        both.sql("DELETE FROM scans.events")
        assert await session.parallel_scan(Select(Seen)) == []
        assert await session.parallel_scan(Select(Event)) == []


async def test_parts_are_read_by_their_blocks(both: Both) -> None:
    """The server reads the blocks of a part, not the whole table for each."""
    both.sql("ANALYZE scans.events")
    parts = await both.on_engine("run_steps", split(Select(Event).Where(Event.value == 5), 4))
    assert len(parts) > 2
    for part in parts:
        text, args = part.to_sql_params()

        def explained(text: str = text, args: Any = args) -> Any:
            rows = yield Statement(f"EXPLAIN {text}", args, prepare=False)
            return "\n".join(row[0] for row in rows.data)

        assert "Tid Range Scan" in await both.on_engine("run_steps", explained())


REFUSED: dict[str, tuple[Any, str]] = {
    "order": (Select(Event).OrderBy(Event.id), "OrderBy"),
    "limit": (Select(Event).Limit(0), "Limit"),
    "offset": (Select(Event).Offset(0), "Offset"),
    "group": (Select(Event.kind, Count(Event.id)).GroupBy(Event.kind), "GroupBy"),
    "aggregate": (Select(Count(Event.id)), "an aggregate or window function"),
    "window": (Select(Event.id, RowNumber().Over(order_by=Event.id).As("n")), "an aggregate or window function"),
    "distinct": (Select(Event.kind).Distinct(), "Distinct"),
    "distinct on": (Select(Event).DistinctOn(Event.kind), "Distinct"),
    "lock": (Select(Event).ForUpdate(), "a row lock"),
    "right join": (Select(Event).RightJoin(Mark, Mark.event_id == Event.id), "RightJoin or FullJoin"),
    "full join": (Select(Event).FullJoin(Mark, Mark.event_id == Event.id), "RightJoin or FullJoin"),
    "with": (Select(Event).With(With("w", Select(Mark))), "With"),
    "union": (Select(Event.id).Union(Select(Mark.id)), "CombinedQuery"),
    "alias": (Select(Alias(Event, "e")), "one model's table"),
    "subquery": (Select(Select(Event).Subquery("s")), "one model's table"),
    "two tables": (Select(Event).From(Event, Mark), "one model's table"),
    "class": (Event, r"write Select\("),
    "text": ("SELECT 1", "not str"),
    "nothing": (None, "not NoneType"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_queries_about_all_rows_are_refused(both: Both, statements: Statements, case: str) -> None:
    query, said = REFUSED[case]
    async with both.session() as session:
        with pytest.raises(QueryError, match=f"parallel_scan .*{said}"):
            await session.parallel_scan(query)
    assert statements == []


async def test_what_can_t_be_split_says_so(both: Both) -> None:
    async with both.session() as session:
        for query in (Select(SeenText), Select(Seen.value)):
            with pytest.raises(QueryError, match="without a primary key of one integer column"):
                await session.parallel_scan(query)
        with pytest.raises(UndefinedTable):
            await session.parallel_scan(Select(Nowhere))
        for workers in (0, -1, True, 1.5, None, "4"):
            with pytest.raises(SessionError, match="workers must be"):
                await session.parallel_scan(Select(Event), workers=workers)
    with pytest.raises(SessionClosedError):
        await session.parallel_scan(Select(Event))
    assert both.engine.pool.status().in_use == 0


async def test_an_error_names_the_part(both: Both) -> None:
    broken = Select(Event).Where(Text("1 / (%s - 1) = 0", Event.id))
    async with both.session() as session:
        with pytest.raises(ParallelError, match="part 0 of parallel_scan failed: DataError") as caught:
            await session.parallel_scan(broken, workers=1)
        assert caught.value.task == 0
        assert isinstance(caught.value.__cause__, DataError)
        assert both.engine.pool.status().in_use == 0
        assert len(await session.parallel_scan(Select(Mark))) == ROWS // 10


async def test_connections_of_a_scan(both: Both) -> None:
    seen: list[Any] = []
    stop = both.engine.on_statement(lambda event: seen.append(both.engine.pool.status().in_use))
    try:
        async with both.session() as session:
            await session.parallel_scan(Select(Event), workers=2)
            assert both.engine.pool.status().in_use == 0
            await session.parallel_scan(Select(Event), workers=100)
    finally:
        stop()
    assert 1 <= max(seen) <= 8
