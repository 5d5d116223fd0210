"""Plans of queries on both sessions: what is said, and that nothing which was analyzed stays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from psqlmodel import (
    DatabaseError,
    Delete,
    Insert,
    NoActiveSessionError,
    QueryError,
    QueryPlan,
    Select,
    Session,
    Update,
    With,
)

from .both import Both, only_async, only_sync
from .models import Order, User


async def explained(both: Both, query: Any, *args: Any, **options: Any) -> QueryPlan:
    async with both.session() as session:
        plan: QueryPlan = await session.explain(query, *args, **options)
        await session.rollback()
    return plan


async def test_a_query_is_explained_and_not_executed(both: Both) -> None:
    plan = await explained(both, Select(User).Where(User.name == "Ada").OrderBy(User.id).Limit(3))
    assert not plan.analyzed
    assert {"Limit"} <= {node.kind for node in plan}
    assert any(node.relation == "users" for node in plan)
    assert "◀" in str(plan)
    assert plan.text.startswith('SELECT "users"."id"')


async def test_a_query_is_executed_where_it_is_analyzed(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) SELECT n, 'u' || n FROM generate_series(1, 30) n")
    plan = await explained(both, Select(User).Where(User.name != "u1"), analyze=True)
    assert (plan.analyzed, plan.root.rows, plan.root.removed) == (True, 29, 1)
    assert plan.execution is not None
    assert plan.execution > 0


WRITES = [
    Update(User).Set(name="changed").AllRows(),
    Delete(User).AllRows(),
    Insert(User).Values(id=7, name="new"),
    With("gone", Delete(User).AllRows().Returning(User.id)),
    "UPDATE users SET name = 'changed'",
]


@pytest.mark.parametrize("write", WRITES, ids=["update", "delete", "insert", "with", "text"])
async def test_what_was_analyzed_is_rolled_back(both: Both, write: Any) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    query = Select(User).With(write) if type(write).__name__ == "CommonTable" else write
    async with both.session() as session:
        plan = await session.explain(query, analyze=True)
        assert plan.analyzed
        assert [user.name for user in await session.exec(Select(User)).all()] == ["Ada"]
        await session.commit()
    assert both.column("SELECT name FROM users") == ["Ada"]


async def test_what_the_session_did_before_stays(both: Both) -> None:
    async with both.session() as session:
        user = User(name="Ada")
        session.add(user)
        await session.flush()
        user.name = "Grace"  # pending: it is flushed, and outlives the savepoint
        await session.explain(Update(User).Set(name="changed").AllRows(), analyze=True)
        assert user.name == "Grace"
        await session.commit()
    assert both.column("SELECT name FROM users") == ["Grace"]


async def test_an_error_in_what_is_analyzed_ends_nothing_else(both: Both) -> None:
    async with both.session() as session:
        session.add(User(id=1, name="Ada"))
        await session.flush()
        with pytest.raises(DatabaseError):
            await session.explain("INSERT INTO users (id, name) VALUES (1, 'again')", analyze=True)
        await session.commit()
    assert both.column("SELECT name FROM users") == ["Ada"]


async def test_sql_text_with_parameters(both: Both) -> None:
    assert (await explained(both, "SELECT * FROM users WHERE id = %s", [3])).root.relation == "users"
    assert (await explained(both, "SELECT %(n)s::int", {"n": 3}, analyze=True)).root.rows == 1


async def test_values_of_all_kinds_are_explained_as_they_are_queried(both: Both) -> None:
    query = Select(Order).Where(Order.total > 3, Order.note.In(["a'b", 'c"%s']), Order.user_id.In([1, 2]))
    assert any(node.relation == "orders" for node in await explained(both, query))
    assert (await explained(both, query, analyze=True)).root.rows == 0


async def test_what_is_no_query_is_refused(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(QueryError, match="explain takes a query or SQL text, not int"):
            await session.explain(3)
        with pytest.raises(QueryError, match="params belong to SQL text"):
            await session.explain(Select(User), [1])


@only_sync
def test_a_query_is_explained_by_itself(both: Both) -> None:
    with Session(both.engine) as session:  # type: ignore[type-var]
        assert isinstance(Select(User).explain(), QueryPlan)
        assert Select(User).explain(session, analyze=True).analyzed
    with pytest.raises(NoActiveSessionError, match="can't be explained"):
        Select(User).explain()


@only_async
async def test_a_query_is_explained_by_itself_when_awaited(both: Both) -> None:
    async with both.session() as session:
        assert isinstance(await Select(User).explain(), QueryPlan)
        assert (await Select(User).explain(session, analyze=True)).analyzed


@only_async
async def test_a_cancelled_analysis_leaves_nothing(both: Both) -> None:
    async with both.session() as session:
        work = asyncio.ensure_future(session.explain("SELECT pg_sleep(60)", analyze=True))
        while not both.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'EXPLAIN (ANALYZE%%pg_sleep(60)'"):
            await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert await session.exec_scalar("SELECT 1") == 1
        await session.rollback()
    assert both.engine.pool.status().in_use == 0
