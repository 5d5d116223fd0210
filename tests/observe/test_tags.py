"""Tags: comments by the specification of sqlcommenter, seen by the server, and what they do to prepared statements."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psqlmodel import ConfigurationError, DatabaseError, Insert, Select, create_engine, tagged
from psqlmodel.observe.tags import comment_of
from psqlmodel.query.lexing import tokens

from .conftest import Kind, ObservedThing


def test_the_example_of_the_specification() -> None:
    tags = {"tracestate": "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "route": "/polls 1000", "db_driver": "psycopg2"}
    assert comment_of(tags) == (
        " /*db_driver='psycopg2',route='%2Fpolls%201000',tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067aa0ba902b7'*/"
    )
    assert comment_of({"name''": "DROP TABLE FOO'"}) == " /*name%27%27='DROP%20TABLE%20FOO%27'*/"
    assert comment_of({}) == comment_of({"x": lambda: None}) == ""


def test_half_a_character_is_a_question_mark() -> None:
    assert comment_of({"x": "a\ud800"}) == " /*x='a%3F'*/"


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text()))
def test_no_tag_ends_the_comment(tags: dict[str, str]) -> None:
    tags = {name: value.encode(errors="replace").decode() for name, value in tags.items()}
    comment = comment_of(tags)
    assert [kind for kind, _ in tokens(f"SELECT{comment}")] == (["word", "other", "opaque"] if tags else ["word"])
    pairs = [pair.partition("=") for pair in comment.strip()[2:-2].split(",") if pair]
    assert {unquote(name): unquote(value[1:-1]) for name, _, value in pairs} == tags


SEEN = "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()"


async def text_seen(call: Any, *args: Any) -> str:
    await call("rollback")  # within a transaction the server shows the same again
    result = await call("exec", *args)
    rows = result._items
    return str(rows[0][0])


async def test_the_server_sees_the_tags(kind: Kind) -> None:
    engine = kind.engine(tags={"application": "shop's", "n": lambda: "7"})
    async with kind.session(engine) as call:
        for _ in range(3):  # as text, then prepared
            seen = await text_seen(call, SEEN)
            assert seen.endswith("/*application='shop%27s',n='7'*/")
        with tagged(action="list", n="8"):
            seen = await text_seen(call, f"{SEEN} AND %s <> %s", ["100%", "%s"])
            assert seen.endswith("/*action='list',application='shop%27s',n='8'*/")
        assert (await text_seen(call, f"{SEEN};")).rstrip(";").endswith("n='7'*/")
        assert (await text_seen(call, f"{SEEN} /* mine */")).endswith("/* mine */")
        assert (await text_seen(call, f"{SEEN} -- mine")).endswith("-- mine")
        await call("rollback")


async def test_all_kinds_of_statements_work_with_tags(kind: Kind) -> None:
    engine = kind.engine(tags={"100%": "100% %s $1 */ ; DROP"})
    async with kind.session(engine) as call:
        for n in range(3):
            await call("add_all", [ObservedThing(name=f"{n}{m}") for m in range(3)])
            await call("exec", Insert(ObservedThing).Values(name="x%s"))
            await call("exec", Select(ObservedThing).Where(ObservedThing.name == "x%s", ObservedThing.id > n))
            await call("exec", "SELECT %(a)s, %(b)s::int", {"a": "%", "b": n})
            await call("get", ObservedThing, n)
            await call("flush")
        with pytest.raises(DatabaseError) as caught:
            await call("exec", "SELECT nothing")
        assert "DROP" not in str(caught.value)
        await call("rollback")


async def test_watched_connections_have_tags_and_traces_too(kind: Kind) -> None:
    """`answer_timeout` puts something in front of the driver's connection."""
    engine = kind.engine(tags={"application": "shop"}, answer_timeout=30)
    block = engine.trace()
    async with kind.session(engine) as call:
        trace = block.__enter__() if kind.name == "sync" else await block.__aenter__()
        for _ in range(3):
            assert (await text_seen(call, SEEN)).endswith("/*application='shop'*/")
        await call("rollback")
        block.__exit__(None, None, None) if kind.name == "sync" else await block.__aexit__(None, None, None)
    trips = [each.round_trips for each in trace if each.purpose == "raw"]
    assert trips == ([1, 2, 1] if kind.name == "sync" else [3, 2, 2])


async def test_tags_are_off_where_an_engine_has_none(kind: Kind) -> None:
    engine = kind.engine()
    async with kind.session(engine) as call:
        with tagged(action="list"):
            assert "/*" not in await text_seen(call, SEEN)
        await call("rollback")


async def prepared(call: Any) -> int:
    result = await call("exec", "SELECT statement FROM pg_prepared_statements")
    return len([row for row in result._items if '"observed_things"' in row.statement])


async def test_what_tags_cost_prepared_statements(kind: Kind) -> None:
    """psycopg2 sends them beside the prepared statement; asyncpg prepares each text with each comment."""
    engine = kind.engine(tags={"application": "shop"})
    numbers = itertools.count()
    async with kind.session(engine) as call:
        for route in ("/a", "/b", "/a", "/b"):
            with tagged(route=route):
                await call("exec", Select(ObservedThing).Where(ObservedThing.id == 1))
        routes = await prepared(call)
        for _ in range(4):
            with tagged(traceparent=lambda: f"00-{next(numbers):032x}-01"):
                await call("exec", Select(ObservedThing).Where(ObservedThing.id == 1))
        assert await prepared(call) == routes  # what never comes again is prepared under no name
        await call("rollback")
    assert routes == (1 if kind.name == "sync" else 2)


async def test_tags_belong_to_their_task() -> None:
    from psqlmodel.observe.tags import _tags

    seen: dict[str, Any] = {}

    async def one(name: str, mine: asyncio.Event, other: asyncio.Event) -> None:
        with tagged(task=name):
            mine.set()
            await other.wait()
            seen[name] = dict(_tags.get())

    first, second = asyncio.Event(), asyncio.Event()
    await asyncio.gather(one("a", first, second), one("b", second, first))
    assert seen == {"a": {"task": "a"}, "b": {"task": "b"}}
    assert _tags.get() == {}


@pytest.mark.parametrize("tags", [{"a": 1}, {"": "x"}, {1: "x"}, "text", ["a"]])
def test_what_can_be_no_tag_is_refused(tags: Any) -> None:
    with pytest.raises(ConfigurationError):
        create_engine("postgresql://nobody@127.0.0.1:1/none", tags=tags)


def test_tags_are_not_shown_with_the_options() -> None:
    engine = create_engine("postgresql://nobody@127.0.0.1:1/none", tags={"application": "hunter2"})
    assert "hunter2" not in repr(engine.options)
    assert "application" in repr(engine.options)
