"""Traces on both sessions: what they record, what they find, and what they leave as it was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from psqlmodel import (
    AsyncEngine,
    AsyncSession,
    Column,
    Count,
    DatabaseError,
    Engine,
    NotLoadedError,
    PSQLModel,
    QueryPlan,
    Relation,
    Select,
    Session,
    SessionManager,
    Trace,
    table,
)
from psqlmodel.observe import Finding
from psqlmodel.observe.reads import _Watched

from .both import Both, only_async, only_sync


@table("traced_owners")
class TracedOwner(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    secret: Column[str | None] = Column()
    pets: Relation[list["TracedPet"]] = Relation()
    clubs: Relation[list["TracedClub"]] = Relation(secondary="traced_members")


@table("traced_pets")
class TracedPet(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    owner_id: Column[int | None] = Column(foreign_key="traced_owners.id")
    name: Column[str]
    age: Column[int] = Column(server_default="1")
    owner: Relation["TracedOwner | None"] = Relation()


@table("traced_clubs")
class TracedClub(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]


@table("traced_members")
class TracedMember(PSQLModel):
    traced_owner_id: Column[int] = Column(foreign_key="traced_owners.id", primary_key=True)
    traced_club_id: Column[int] = Column(foreign_key="traced_clubs.id", primary_key=True)


MODELS = [TracedOwner, TracedPet, TracedClub, TracedMember]


@pytest.fixture(scope="module", autouse=True)
def tables(plain_sql: Engine) -> Iterator[None]:
    plain_sql.create_all(MODELS)
    for name in ("owners", "pets", "clubs"):
        plain_sql.execute(f"ALTER SEQUENCE traced_{name}_id_seq RESTART WITH 1000")
    yield
    plain_sql.drop_all(MODELS)


@pytest.fixture(autouse=True)
def rows(both: Both) -> None:
    """Five owners with two pets each, and a club."""
    both.sql("INSERT INTO traced_owners (id, name, secret) SELECT n, 'o' || n, 'hunter2' FROM generate_series(1, 5) n")
    both.sql(
        "INSERT INTO traced_pets (id, owner_id, name, age) SELECT n, (n + 1) / 2, 'p', n FROM generate_series(1, 10) n"
    )
    both.sql("INSERT INTO traced_clubs (id, name) VALUES (1, 'c')")
    both.sql("INSERT INTO traced_members SELECT id, 1 FROM traced_owners")


@asynccontextmanager
async def traced(session: Any, **options: Any) -> Any:
    """Trace a session of either kind, or an engine."""
    block = getattr(session, "raw", session).trace(**options)
    if hasattr(block, "__aenter__"):
        async with block as trace:
            yield trace
    else:
        with block as trace:
            yield trace


def kinds(trace: Trace) -> list[str]:
    """Return the kinds of findings, but for what depends on how fast the machine is."""
    return sorted(each.kind for each in trace.findings if each.kind != "idle in transaction")


def found(trace: Trace, kind: str) -> Finding:
    (one,) = [each for each in trace.findings if each.kind == kind]
    return one


def sent(trace: Trace) -> list[Any]:
    return [each for each in trace.statements if each.purpose != "catalog"]


# --- what is recorded ------------------------------------------------------------------------------------------------


async def test_statements_with_what_came_of_them(both: Both) -> None:
    async with both.session() as session:
        async with traced(session) as trace:
            owners = await session.exec(Select(TracedOwner).Where(TracedOwner.secret == "hunter2")).all()
            owners[0].name = "Ada"
            with pytest.raises(DatabaseError):
                await session.exec("SELECT nothing, 'hunter2'").all()
        await session.rollback()
    query, failed = trace.statements[0], trace.statements[-1]
    assert [each.number for each in trace] == list(range(1, len(trace) + 1))
    assert (query.verb, query.purpose, query.rows, query.arguments, query.tables) == (
        "SELECT",
        "query",
        5,
        1,
        ("traced_owners",),
    )
    assert (failed.error, failed.rows, failed.text) == ("UndefinedColumn", 0, "SELECT nothing, ?")
    assert all(each.seconds > 0 and each.begun >= 0 for each in trace)
    assert trace.elapsed >= trace.statements[-1].ended >= trace.seconds > 0
    assert "hunter2" not in str(trace)
    assert "hunter2" not in "".join(each.text for each in trace)
    assert all(each.values is None for each in trace)


async def test_values_are_kept_where_they_are_asked_for(both: Both) -> None:
    async with both.session() as session, traced(session, values=True) as trace:
        await session.exec(Select(TracedOwner).Where(TracedOwner.secret == "hunter2")).all()
        await session.exec("SELECT 'hunter2'").all()
    first, second = sent(trace)
    assert first.values == ("'hunter2'",)
    assert second.text == "SELECT 'hunter2'"


async def test_what_nobody_traces_is_not_observed(both: Both, statements: Any) -> None:
    async with both.session() as session, both.session() as other:
        raw = getattr(session, "raw", session)
        engine = raw._channel._engine
        async with traced(session) as trace:
            await other.exec(Select(TracedOwner)).all()
        assert len(trace) == 0
        await session.exec(Select(TracedOwner)).all()
        assert len(trace) == 0
        assert raw._channel._engine is engine
        assert raw._workspace.included == ()


async def test_traces_nest_and_end_in_any_order(both: Both) -> None:
    async with both.session() as session:
        raw = getattr(session, "raw", session)
        outer, inner = raw.trace(), raw.trace()
        if both.is_sync:
            first, second = outer.__enter__(), inner.__enter__()
        else:
            first, second = await outer.__aenter__(), await inner.__aenter__()
        await session.exec("SELECT 1").all()
        if both.is_sync:
            outer.__exit__(None, None, None)
        else:
            await outer.__aexit__(None, None, None)
        await session.exec("SELECT 2").all()
        if both.is_sync:
            inner.__exit__(None, None, None)
        else:
            await inner.__aexit__(None, None, None)
    assert (len(first), len(second)) == (1, 2)


async def test_an_engine_is_traced_with_all_its_sessions(both: Both) -> None:
    async with traced(both.engine) as trace:
        for _ in range(2):
            async with both.session() as session:
                await session.exec(Select(TracedOwner).Include(TracedOwner.pets)).all()
    assert {each.session for each in sent(trace)} == {1, 2}
    assert kinds(trace) == ["unread include"]  # the same of two sessions is no repetition


async def test_what_many_sessions_do_alike_is_one_finding(both: Both) -> None:
    async with traced(both.engine) as trace:
        for _ in range(4):
            async with both.session() as session:
                for key in range(1, 4):
                    await session.exec(Select(TracedPet).Where(TracedPet.owner_id == key)).all()
    finding = found(trace, "N+1")
    assert finding.title.startswith("3 statements for TracedOwner.pets, one at a time, at ")
    assert finding.title.endswith("; the like 3 times more")
    assert len(finding.statements) == 12
    assert finding.seconds == pytest.approx(sum(trace.statements[n - 1].seconds for n in finding.statements))


AWAITED = "_later.<locals>.call"  # what calls a method of a Session where it is awaited


async def test_parallel_tasks_are_traced_with_their_session(both: Both) -> None:
    queries = [Select(TracedOwner), Select(Count(TracedPet.id))]
    async with both.session() as session:
        async with traced(session) as apart:
            await session.parallel_exec(queries)
        async with traced(session) as together:
            await session.parallel_exec(queries, consistent=True)
    for trace in (apart, together):
        assert {"traced_owners", "traced_pets"} <= {name for each in trace for name in each.tables}
        places = {each.site.function for each in trace if each.tables and each.site is not None}
        assert places == {AWAITED if both.is_sync else "test_parallel_tasks_are_traced_with_their_session"}
        assert [each for each in trace if each.tables and each.site is None] == []


async def test_a_parallel_task_of_the_program_is_the_place_itself(both: Both) -> None:
    async with both.session() as session, traced(session) as trace:
        await session.parallel_exec([count_at_once if both.is_sync else count_awaited, Select(TracedOwner)])
        await session.parallel_scan(Select(TracedPet), workers=2)
    places = [(sorted(each.tables), each.site.function) for each in trace if each.tables and each.site is not None]
    here = AWAITED if both.is_sync else "test_a_parallel_task_of_the_program_is_the_place_itself"
    assert (["traced_clubs"], "count_at_once" if both.is_sync else "count_awaited") in places
    assert (["traced_owners"], here) in places
    assert (["traced_pets"], here) in places
    assert {place for _, place in places} <= {here, "count_at_once", "count_awaited"}


def count_at_once() -> Any:
    return SessionManager.require_current().exec_scalar(Select(Count(TracedClub.id)))


async def count_awaited() -> Any:
    return await SessionManager.require_current_async().exec_scalar(Select(Count(TracedClub.id)))


async def test_the_time_with_an_open_transaction_and_nothing_asked(both: Both) -> None:
    async with both.session() as session:
        async with traced(session) as trace:
            await session.exec("SELECT 1").all()
            wait(0.12)
            await session.exec("SELECT 2").all()
            await session.commit()
            wait(0.05)
            await session.exec("SELECT 3").all()
            wait(0.03)
        await session.rollback()
    middle, *_, end = trace.gaps
    assert middle.seconds >= 0.12
    assert (end.before, end.seconds >= 0.03) == (None, True)
    assert trace.idle_in_transaction == pytest.approx(sum(gap.seconds for gap in trace.gaps))
    assert trace.idle_in_transaction < trace.elapsed - 0.05  # the time between two transactions does not count
    idle = found(trace, "idle in transaction")
    assert idle.seconds == pytest.approx(trace.idle_in_transaction)


def wait(seconds: float) -> None:
    """Let time pass, which is what is measured."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


# --- loops -----------------------------------------------------------------------------------------------------------


async def test_one_query_for_each_object_names_the_relation(both: Both) -> None:
    async with both.session() as session, traced(session) as trace:
        for owner in await session.exec(Select(TracedOwner)).all():
            await session.exec(Select(TracedPet).Where(TracedPet.owner_id == owner.id)).all()
    finding = found(trace, "N+1")
    assert finding.title.startswith("5 statements for TracedOwner.pets, one at a time, at ")
    assert finding.code == "Select(TracedOwner).Include(TracedOwner.pets)"
    assert len(finding.statements) == 5
    assert trace.statements[0].number not in finding.statements
    assert str(trace.statements[0].site) in finding.advice


async def test_a_part_of_a_relation_is_included_as_a_part(both: Both) -> None:
    async with both.session() as session, traced(session) as trace:
        for owner in await session.exec(Select(TracedOwner)).all():
            old = Select(TracedPet).Where(TracedPet.owner_id == owner.id, TracedPet.age > 1)
            await session.exec(old.OrderBy(TracedPet.age).Limit(1)).all()
    code = found(trace, "N+1").code
    assert code == "Select(TracedOwner).Include(TracedOwner.pets.Where(…).OrderBy(…).Limit(…))"


async def test_get_in_a_loop_names_the_relation_to_one(both: Both) -> None:
    async with both.session() as session, traced(session) as trace:
        for pet in await session.exec(Select(TracedPet)).all():
            await session.get(TracedOwner, pet.owner_id)
    finding = found(trace, "N+1")
    assert "TracedPet.owner" in finding.title
    assert finding.code == "Select(TracedPet).Include(TracedPet.owner)"


async def test_relations_through_a_link_table(both: Both) -> None:
    async with both.session() as session, traced(session) as trace:
        for owner in await session.exec(Select(TracedOwner)).all():
            await session.load(owner, TracedOwner.clubs)
    assert found(trace, "N+1").code == "Select(TracedOwner).Include(TracedOwner.clubs)"


async def test_aggregates_in_a_loop_are_no_include(both: Both) -> None:
    async with both.session() as session, traced(session) as trace:
        for owner in await session.exec(Select(TracedOwner)).all():
            await session.exec(Select(Count(TracedPet.id)).Where(TracedPet.owner_id == owner.id)).scalar()
    finding = found(trace, "N+1")
    assert "TracedOwner.pets" in finding.title
    assert (finding.code, "group" in finding.advice) == ("", True)


async def test_sql_by_hand_in_a_loop_is_understood_too(both: Both) -> None:
    async with both.session() as session, traced(session) as trace:
        for owner in await session.exec(Select(TracedOwner)).all():
            await session.exec("SELECT * FROM traced_pets WHERE owner_id = %s", [owner.id]).all()
    assert found(trace, "N+1").code == "Select(TracedOwner).Include(TracedOwner.pets)"


async def test_a_loop_over_keys_of_nothing_that_was_read(both: Both) -> None:
    async with both.session() as session, traced(session) as trace:
        for key in range(1, 6):
            await session.exec(Select(TracedClub).Where(TracedClub.name == f"c{key}")).all()
    finding = found(trace, "N+1")
    assert finding.code == "Select(TracedClub).Where(TracedClub.name.In(keys))"


async def test_two_of_a_kind_are_no_loop_and_one_include_is_none(both: Both) -> None:
    async with both.session() as session, traced(session) as trace:
        for key in (1, 2):
            await session.get(TracedOwner, key)
        for owner in await session.exec(Select(TracedOwner).Include(TracedOwner.pets)).all():
            assert len(owner.pets) == 2
    assert kinds(trace) == []
    assert "N+1" not in str(trace)


async def test_several_at_a_time_are_no_loop(both: Both) -> None:
    """Batches of a stream, each with its includes, and flushes of many rows."""
    async with both.session() as session:
        async with traced(session) as trace:
            query = Select(TracedOwner).Include(TracedOwner.pets).OrderBy(TracedOwner.id)
            stream = getattr(session, "raw", session).stream(query, batch=2)
            if both.is_sync:
                assert sum(len(owner.pets) for owner in stream) == 10
            else:
                assert sum([len(owner.pets) async for owner in stream]) == 10
            for n in range(4):
                await session.add_all([TracedClub(name=f"{n} {m}") for m in range(5)])
                await session.flush()
        await session.rollback()
    assert kinds(trace) == []
    assert len([each for each in trace if each.several]) >= 2


@pytest.mark.parametrize("read", [True, False])
async def test_what_a_stream_includes_and_nobody_reads(both: Both, read: bool) -> None:
    async with both.session() as session, traced(session) as trace:
        query = Select(TracedOwner).Include(TracedOwner.pets, TracedOwner.clubs).OrderBy(TracedOwner.id)
        stream = getattr(session, "raw", session).stream(query, batch=2)
        owners = list(stream) if both.is_sync else [owner async for owner in stream]
        assert len(owners[0].pets) == 2
        if read:
            assert owners[-1].clubs is not None
    if read:
        assert "unread include" not in kinds(trace)
        return
    finding = found(trace, "unread include")
    assert finding.title.startswith("TracedOwner.clubs was included in a query for 5 objects and not read, at ")
    assert finding.site is not None
    assert finding.site.function.startswith("test_what_a_stream_includes_and_nobody_reads")


async def test_writing_one_by_one(both: Both) -> None:
    async with both.session() as session:
        async with traced(session) as trace:
            for n in range(4):
                session.add(TracedClub(name=f"new {n}"))
                await session.flush()
        await session.rollback()
    finding = found(trace, "one by one")
    assert finding.title.startswith("4 × INSERT into traced_clubs, one at a time")
    assert "add_all" in finding.code


@only_sync
def test_objects_that_came_one_by_one_are_loaded_one_by_one(both: Both) -> None:
    with Session(both.engine) as session, session.trace() as trace:  # type: ignore[type-var]
        owners = [session.get(TracedOwner, key) for key in range(1, 5)]
        assert [len(owner.pets) for owner in owners if owner is not None] == [2] * 4
    names = {each.title.split(",")[0] for each in trace.findings if each.kind == "N+1"}
    assert names == {"4 statements for TracedPet.owner", "4 statements for TracedOwner.pets"}


# --- the other findings ----------------------------------------------------------------------------------------------


async def test_the_same_question_again(both: Both) -> None:
    async with both.session() as session:
        async with traced(session) as trace:
            for key in (1, 1, 2):
                await session.exec(Select(TracedOwner).Where(TracedOwner.id == key)).all()
            session.add(TracedClub(name="x"))
            await session.flush()
            await session.exec(Select(TracedOwner).Where(TracedOwner.id == 2)).all()  # something was written meanwhile
        await session.rollback()
    finding = found(trace, "repeated")
    assert len(finding.statements) == 2
    assert finding.title.startswith("asked 2 times for the same: SELECT")


async def test_an_include_that_nobody_reads(both: Both) -> None:
    async with both.session() as session:
        async with traced(session) as trace:
            both_ways = Select(TracedPet).Include(TracedPet.owner.Include(TracedOwner.clubs)).OrderBy(TracedPet.id)
            pets = await session.exec(both_ways).all()
            owners = await session.exec(Select(TracedOwner).Include(TracedOwner.pets)).all()
            assert pets[0].owner.name == "o1"
            assert [len(owner.pets) for owner in owners] == [2] * 5
        assert pets[0].owner.clubs[0].name == "c"  # as ever, after the trace
    assert kinds(trace) == ["unread include"]
    assert found(trace, "unread include").title.startswith("TracedOwner.clubs was included")


async def test_what_is_made_a_dictionary_is_read(both: Both) -> None:
    async with both.session() as session, traced(session) as trace:
        for pet in await session.exec(Select(TracedPet).Include(TracedPet.owner)).all():
            assert pet.to_dict(relations=True)["owner"]["name"]
        owners = await session.exec(Select(TracedOwner).Include(TracedOwner.pets)).all()
        assert len(owners[0].to_dict(relations=True)["pets"]) == 2
    assert kinds(trace) == []


async def test_relations_work_as_ever_while_they_are_watched(both: Both) -> None:
    async with both.session() as session:
        async with traced(session):
            pet = (await session.exec(Select(TracedPet).Include(TracedPet.owner).OrderBy(TracedPet.id)).all())[0]
            assert isinstance(vars(TracedPet)["owner"], _Watched)
            other = await session.get(TracedOwner, 3)
            pet.owner = other
            assert (pet.owner, pet.owner_id, TracedPet.owner.target.cls) == (other, 3, TracedOwner)
            assert repr(TracedPet.owner) == "TracedPet.owner"
            new = TracedPet(name="new")
            assert new.owner is None
            new.owner = other
            session.add(new)
            await session.commit()
            assert new.owner_id == 3
        assert "owner" not in vars(TracedPet)
        assert pet.owner is other
    assert both.value("SELECT count(*) FROM traced_pets WHERE owner_id = 3") == 4


@only_async
async def test_a_watched_relation_that_is_not_loaded_is_an_error_as_ever(both: Both) -> None:
    assert isinstance(both.engine, AsyncEngine)
    async with AsyncSession(both.engine) as session, session.trace():
        await session.exec(Select(TracedOwner).Where(TracedOwner.id == 1).Include(TracedOwner.pets)).all()
        other = await session.get(TracedOwner, 2)
        assert other is not None
        with pytest.raises(NotLoadedError, match=r"TracedOwner\.pets is not loaded"):
            _ = other.pets


# --- plans -----------------------------------------------------------------------------------------------------------


async def test_plans_of_all_texts_without_a_value(both: Both) -> None:
    both.sql("INSERT INTO traced_pets (owner_id, name) SELECT 1, 'x' || n FROM generate_series(1, 60000) n")
    both.sql("ANALYZE traced_pets")
    async with both.session() as session:
        async with traced(session, plans=True) as trace:
            await session.exec(Select(TracedPet).Where(TracedPet.name == "hunter2")).all()
            await session.exec("SELECT * FROM traced_owners WHERE secret = 'hunter2' AND id = %s", [1]).all()
            await session.exec(Select(TracedPet).Where(TracedPet.id.In([1, 2]))).all()
            session.add(TracedClub(name="hunter2"))
            await session.commit()
    plans = [trace.plans[each.raw] for each in sent(trace) if each.verb != "COMMIT"]
    assert all(isinstance(plan, QueryPlan) for plan in plans), plans
    assert "hunter2" not in "".join(map(str, plans)) + str(trace)
    assert "secret = ?" in str(plans[1])
    assert found(trace, "no index").code == "CREATE INDEX ON traced_pets (name)"
    assert both.value("SELECT count(*) FROM traced_clubs") == 2  # a plan executes nothing


async def test_a_plan_that_can_not_be_had_says_why(both: Both) -> None:
    async with both.session() as session:
        async with traced(session, plans=True) as trace:
            await session.exec("CREATE TEMP TABLE only_here (a int)")
            await session.exec("SELECT * FROM only_here").all()
        await session.rollback()
    assert trace.plans == {"SELECT * FROM only_here": "the server gave no plan: UndefinedTable (42P01)"}


async def test_plans_leave_nothing_behind(both: Both) -> None:
    used = both.engine.pool.status().in_use
    async with both.session() as session:
        async with traced(session, plans=True):
            for n in range(3):
                await session.exec("SELECT %s::int", [n]).all()
        await session.exec("SELECT 1").all()
        names = await session.exec("SELECT name FROM pg_prepared_statements WHERE name = 'psqlmodel_explained'").all()
    assert names == []
    assert both.engine.pool.status().in_use == used


# --- as a page -------------------------------------------------------------------------------------------------------


async def test_the_page_is_written(both: Both, tmp_path: Path) -> None:
    async with both.session() as session, traced(session, plans=True) as trace:
        await session.exec(Select(TracedOwner).Where(TracedOwner.secret == "hunter2")).all()
    path = trace.html(tmp_path / "report.html")
    page = path.read_text(encoding="utf-8")
    assert path == tmp_path / "report.html"
    assert "traced_owners" in page
    assert "Seq Scan" in page
    assert "hunter2" not in page
