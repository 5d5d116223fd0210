"""What observes works behind a pooler too, where nothing can be prepared."""

from __future__ import annotations

from collections.abc import Callable

from psqlmodel import Select
from tests.database.both import Both

from .models import Customer


async def test_traces_plans_and_tags_behind_a_pooler(make: Callable[..., Both]) -> None:
    both = make(tags={"application": "shop"}, pooler="pgbouncer")
    async with both.session() as session:
        raw = getattr(session, "raw", session)
        block = raw.trace(plans=True)
        trace = await block.__aenter__() if hasattr(block, "__aenter__") else block.__enter__()
        for _ in range(3):
            await session.exec(Select(Customer)).all()
            seen = await session.exec_scalar("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            assert seen.endswith("/*application='shop'*/")
            await session.rollback()
        plan = await session.explain(Select(Customer), analyze=True)
        await session.rollback()
        if hasattr(block, "__aexit__"):
            await block.__aexit__(None, None, None)
        else:
            block.__exit__(None, None, None)
    assert plan.analyzed
    queries = [each for each in trace if each.purpose == "query"]
    if both.is_sync:
        assert {each.round_trips for each in queries} == {1}
    else:  # described, then executed; BEGIN goes by itself
        assert {each.round_trips - each.begins for each in queries} == {2}
    assert trace.plans
    assert all("pooler" in str(each) for each in trace.plans.values())
