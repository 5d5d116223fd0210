"""Every query of the golden tests runs on a real PostgreSQL, on both drivers, with the same rows."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg2 import extensions

from psqlmodel.drivers import asyncpg, psycopg2
from psqlmodel.query import (
    Coalesce,
    Count,
    Delete,
    Excluded,
    Func,
    Insert,
    Lower,
    Merge,
    Row,
    Select,
    Sum,
    Text,
    Update,
    Value,
    With,
    compile,
)
from psqlmodel.steps import Statement
from psqlmodel.types import bigint, enum, jsonb, timestamp
from tests.drivers.texts import read

from . import test_changes, test_conditions, test_select
from .shop import DDL, Item, Mood, Order, User

_ACTUAL = {
    User.id: bigint,
    User.boss_id: bigint,
    Order.user_id: bigint,
    User.born: timestamp,
    User.mood: enum(Mood, name="mood"),
}

# What the server refuses for reasons that are not the builder's (functions and constraints that do not exist), and
# what gives new keys each time.
_NOT_THERE = {
    "any function",
    "a conflict over an expression",
    "a conflict over a constraint, attributes with other names",
    "do update",
    "defaults of the database",
    "identity always",
    "a query and columns",
    "a query",
    "locks",
    "many unlike rows",
    "database names",
    "do nothing",
    "merge",
}


def actual(column: Any) -> Any:
    return _ACTUAL.get(column, column.type)


def statement(query: Any) -> Statement:
    compiled = compile(query, actual)
    return Statement(compiled.text, compiled.args)


@pytest.fixture(scope="module")
def shop(server: Any) -> Iterator[dict[str, str]]:
    dsn = psycopg2_parameters(server.create_database("query_shop"))
    connection = psycopg2.connect(dsn, settings={"TimeZone": "UTC"})
    for part in DDL.split(";\n"):
        if part.strip():
            connection.execute(Statement(part, prepare=False))
    for query in (
        Insert(User).Values(
            [
                {"name": "Ann", "age": 30, "mood": Mood.SAD, "tags": ["a", 'b"'], "scores": [1, 2], "data": {"a": 1}},
                {"name": "Bob", "age": 15, "mood": Mood.HAPPY, "tags": [], "scores": [], "data": {"a": {"b": "x"}}},
            ]
        ),
        Insert(Order).Values([{"user_id": 1, "total": 5, "day": datetime.date(2024, 1, d)} for d in (1, 2)]),
        Insert(Item).Values(order_id=1, kind="k"),
        Insert(User).Values(name="Cid", boss_id=1, born=datetime.datetime(2024, 1, 1)),
    ):
        connection.execute(statement(query))
    yield dsn
    connection.close()


def psycopg2_parameters(dsn: str) -> dict[str, str]:
    return dict(extensions.parse_dsn(dsn))


async def on_both(dsn: dict[str, str], *queries: Any) -> list[list[tuple[Any, ...]]]:
    """Run the queries in a transaction on each driver, twice on one connection; return what the last gave."""
    results = []
    # Without foreign keys, so that a test may delete what it likes; it is rolled back anyway.
    settings = {"TimeZone": "UTC", "session_replication_role": "replica"}
    sync = psycopg2.connect(dsn, settings=settings)
    other = await asyncpg.connect(dsn, settings=settings)
    try:
        for _ in range(2):
            sync.execute(Statement("BEGIN", prepare=False))
            rows = [sync.execute(statement(query)) for query in queries][-1]
            results.append([tuple(row) for row in read(rows).data])
            sync.execute(Statement("ROLLBACK", prepare=False))
            await other.execute(Statement("BEGIN", prepare=False))
            for query in queries:
                rows = await other.execute(statement(query))
            results.append([tuple(row) for row in read(rows).data])
            await other.execute(Statement("ROLLBACK", prepare=False))
    finally:
        sync.close()
        await other.close()
    return results


GOLDEN = {**test_select.GOLDEN, **test_changes.GOLDEN}


@pytest.mark.parametrize("name", sorted(GOLDEN.keys() - _NOT_THERE))
async def test_golden_queries_run(name: str, shop: dict[str, str]) -> None:
    results = await on_both(shop, GOLDEN[name][0]())
    assert all(sorted(map(repr, result)) == sorted(map(repr, results[0])) for result in results)


CONDITIONS = [
    case.values[0] if hasattr(case, "values") else case[0]
    for mark in (test_conditions.test_text_of_operators, test_conditions.test_values_travel_as_wire_values)
    for case in mark.pytestmark[0].args[1]
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=repr)
async def test_conditions_run(condition: Any, shop: dict[str, str]) -> None:
    results = await on_both(shop, Select(User.id).Where(condition).OrderBy(User.id))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        (User.name.StartsWith("A"), ["Ann"]),
        (User.name.Contains("%"), []),
        (User.age.In([15, 30]), ["Ann", "Bob"]),
        (User.age.In([]), []),
        (User.age.NotIn([]), ["Ann", "Bob", "Cid"]),
        (User.mood.In([Mood.SAD]), ["Ann"]),
        (User.mood == Mood.SAD, ["Ann"]),
        (User.nick.IsNotDistinctFrom(None), ["Ann", "Bob", "Cid"]),
        (User.tags.Has('b"'), ["Ann"]),
        (User.tags.Contains(["a"]), ["Ann"]),
        (User.scores[2] == 2, ["Ann"]),
        (User.data["a"]["b"].text() == "x", ["Bob"]),
        (User.data["a"] == 1, ["Ann"]),
        (User.data.Contains({"a": 1}), ["Ann"]),
        (Row(User.age, User.id).In([(30, 1), (15, 9)]), ["Ann"]),
        (Row(User.age, User.id).In([]), []),
        (User.born == datetime.datetime(2024, 1, 1), ["Cid"]),
        (User.born + datetime.timedelta(days=1) > datetime.datetime(2024, 1, 1), ["Cid"]),
        (Coalesce(User.nick, "-") + "x" == "-x", ["Ann", "Bob", "Cid"]),
        (Coalesce(User.mood, Mood.SAD) == Mood.HAPPY, ["Bob", "Cid"]),
        (Text("length(%s) = %s", User.name, 3) & (User.age > 20), ["Ann"]),
        (User.id == 2**40, []),
        (User.id.In([1, 2**40]), ["Ann"]),
    ],
    ids=repr,
)
async def test_conditions_mean_what_they_say(condition: Any, names: list[str], shop: dict[str, str]) -> None:
    results = await on_both(shop, Select(User.name).Where(condition).OrderBy(User.id))
    assert results == [[(name,) for name in names]] * 4


async def test_an_upsert(shop: dict[str, str]) -> None:
    upsert = (
        Insert(User)
        .Values([{"name": "Ann", "age": 1}, {"name": "New", "age": 2}])
        .OnConflict(User.name)
        .DoUpdate(age=User.age + Excluded.age)
    )
    for result in await on_both(shop, upsert, Select(User.name, User.age).Where(User.name.In(["Ann", "New"]))):
        assert sorted(result) == [("Ann", 31), ("New", 2)]


async def test_changes_in_common_tables(shop: dict[str, str]) -> None:
    gone = With("gone", Delete(Item).AllRows().Returning(Item.order_id))
    query = Select(Order.id, Value("x").As("x")).Join(gone, gone.order_id == Order.id)
    assert await on_both(shop, query) == [[(1, "x")]] * 4


async def test_update_from_a_subquery(shop: dict[str, str]) -> None:
    sums = Select(Order.user_id, Sum(Order.total).As("n"), Count().As("c")).GroupBy(Order.user_id).Subquery("s")
    update = Update(User).Set(age=sums.c, nick=Lower("ABC")).From(sums).Where(sums.user_id == User.id)
    assert await on_both(shop, update.Returning(User.name, User.age, User.nick)) == [[("Ann", 2, "abc")]] * 4


@pytest.mark.since(15)
async def test_a_merge(shop: dict[str, str]) -> None:
    new = Select(Value("Bob").As("name"), Value(1).As("age")).UnionAll(Select(Value("Dan"), Value(2))).Subquery("new")
    merge = (
        Merge(User)
        .Using(new, new.name == User.name)
        .WhenMatched()
        .Update(age=User.age + new.age)
        .WhenNotMatched()
        .Insert(name=new.name, age=new.age)
    )
    for result in await on_both(shop, merge, Select(User.name, User.age).Where(User.name.In(["Bob", "Dan"]))):
        assert sorted(result) == [("Bob", 16), ("Dan", 2)]


async def test_a_tree(shop: dict[str, str]) -> None:
    tree = With("tree", Select(User.id, Value(0).As("depth")).Where(User.id == 1)).Recursive(
        lambda tree: Select(User.id, tree.depth + 1).Join(tree, User.boss_id == tree.id)
    )
    assert await on_both(shop, Select(tree.id, tree.depth).OrderBy(tree.id)) == [[(1, 0), (3, 1)]] * 4


async def test_values_of_functions_that_take_more_than_a_text(shop: dict[str, str]) -> None:
    document = Func.to_tsvector("simple", User.name)
    found = Func.websearch_to_tsquery("simple", "ann or bob")
    weights = [0.1, 0.2, 0.4, 1.0]
    query = (
        Select(
            User.name,
            Func.ts_rank(weights, Func.setweight(document, "A"), found) > Func.ts_rank(weights, document, found),
            Func.ts_headline("simple", User.name, found),
            Func.ts_headline(User.name, Func.plainto_tsquery("simple", "ann"), "StartSel=<, StopSel=>"),
            Func.jsonb_path_exists(User.data, "$.a.b"),
            Func.jsonb_set(User.data, ["c"], "text").Cast(jsonb)["c"].text(),
        )
        .Where(document.Op("@@", found), document.Op("@@", Func.to_tsquery("ann | bob")))
        .OrderBy(User.id)
    )
    for rows in await on_both(shop, query):
        assert rows == [
            ("Ann", True, "<b>Ann</b>", "<Ann>", False, "text"),
            ("Bob", True, "<b>Bob</b>", "Bob", True, "text"),
        ]


async def test_func_count_without_an_argument_counts_rows(shop: dict[str, str]) -> None:
    for rows in await on_both(shop, Select(Func.count(), Count(), Func.count().Filter(User.id == 1)).From(User)):
        assert rows[0][0] == rows[0][1] > rows[0][2] == 1


def test_a_configuration_is_a_parameter_that_an_index_understands(shop: dict[str, str]) -> None:
    connection = psycopg2.connect(shop)
    document = Func.to_tsvector("english", User.name)
    explained = statement(Select(User.id).Where(document.Op("@@", Func.to_tsquery("english", "cats"))))
    for text in ("BEGIN", "CREATE INDEX text_of_name ON users USING gin (to_tsvector('english', name))"):
        connection.execute(Statement(text, prepare=False))
    connection.execute(Statement("SET LOCAL enable_seqscan = off", prepare=False))
    plan = connection.execute(Statement(f"EXPLAIN {explained.text}", explained.args, prepare=False))
    connection.execute(Statement("ROLLBACK", prepare=False))
    connection.close()
    assert "text_of_name" in str([tuple(row) for row in plan.data])
