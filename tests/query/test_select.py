"""Select: golden texts of each clause, and the wrong queries that are refused."""

from __future__ import annotations

import pytest

from psqlmodel.errors import NoActiveSessionError, QueryError
from psqlmodel.query import (
    Alias,
    ArrayAgg,
    Case,
    Coalesce,
    Col,
    Count,
    DateTrunc,
    Delete,
    Exists,
    Func,
    Lag,
    Lower,
    Max,
    NotNullable,
    Nullable,
    RowNumber,
    Select,
    StringAgg,
    Sum,
    Value,
    With,
)

from .shop import Item, Order, User, sql

ALL_ORDER = '"orders"."id", "orders"."user_id", "orders"."total", "orders"."day", "orders"."paid"'

GOLDEN = {
    "an entity is a list of columns": (lambda: Select(Order), f'SELECT {ALL_ORDER}\nFROM "orders"'),
    "database names and schemas are quoted": (
        lambda: Select(Item).Where(Item.kind == "x"),
        'SELECT "Order Item"."Id", "Order Item"."order", "Order Item"."select"\nFROM "Ware"."Order Item"\n'
        'WHERE "Order Item"."select" = $1',
    ),
    "what is for type checkers": (
        lambda: Select(Nullable(User), NotNullable(Order.total), Nullable(Order.id)).Join(
            Order, Order.user_id == User.id
        ),
        str(Select(User, Order.total, Order.id).Join(Order, Order.user_id == User.id)),
    ),
    "Col": (
        lambda: Select(Col(User.id)).OrderBy(Col(User.name).Desc()),
        'SELECT "users"."id"\nFROM "users"\nORDER BY "users"."name" DESC',
    ),
    "columns": (lambda: Select(User.id, User.name), 'SELECT "users"."id", "users"."name"\nFROM "users"'),
    "labels": (
        lambda: Select(User.id.As("n"), Item.kind).LeftJoin(Item, Item.id == User.id),
        'SELECT "users"."id" AS "n", "Order Item"."select" AS "kind"\nFROM "users"\n'
        'LEFT JOIN "Ware"."Order Item" ON "Order Item"."Id" = "users"."id"',
    ),
    "everything": (
        lambda: (
            Select(User.name)
            .Join(Order, Order.user_id == User.id)
            .Where(User.age > 1, (User.id == 1) | (User.id == 2))
            .GroupBy(User.name)
            .Having(Count() > 2)
            .OrderBy(User.name.Desc().NullsLast(), Count())
            .Limit(3)
            .Offset(4)
        ),
        'SELECT "users"."name"\nFROM "users"\nJOIN "orders" ON "orders"."user_id" = "users"."id"\n'
        'WHERE "users"."age" > $1\n  AND ("users"."id" = $2 OR "users"."id" = $3)\nGROUP BY "users"."name"\n'
        'HAVING count(*) > $4\nORDER BY "users"."name" DESC NULLS LAST, count(*)\nLIMIT $5\nOFFSET $6',
    ),
    "joins of all kinds": (
        lambda: (
            Select(User.id)
            .RightJoin(Order, Order.user_id == User.id)
            .FullJoin(Item, Item.order_id == Order.id)
            .CrossJoin(Alias(User, "u2"))
        ),
        'SELECT "users"."id"\nFROM "users"\nRIGHT JOIN "orders" ON "orders"."user_id" = "users"."id"\n'
        'FULL JOIN "Ware"."Order Item" ON "Order Item"."order" = "orders"."id"\nCROSS JOIN "users" AS "u2"',
    ),
    "a relation": (
        lambda: Select(User.id).JoinRelated(User.orders).LeftJoinRelated(Order.items),
        'SELECT "users"."id"\nFROM "users"\nJOIN "orders" ON "users"."id" = "orders"."user_id"\n'
        'LEFT JOIN "Ware"."Order Item" ON "orders"."id" = "Order Item"."order"',
    ),
    "a relation, without more": (
        lambda: Select(User.id).Join(User.orders).LeftJoin(Order.items),
        'SELECT "users"."id"\nFROM "users"\nJOIN "orders" ON "users"."id" = "orders"."user_id"\n'
        'LEFT JOIN "Ware"."Order Item" ON "orders"."id" = "Order Item"."order"',
    ),
    "a relation to the same table": (
        lambda: Select(User.name).JoinRelated(User.boss, Alias(User, "boss")),
        'SELECT "users"."name"\nFROM "users"\nJOIN "users" AS "boss" ON "users"."boss_id" = "boss"."id"',
    ),
    "a relation of an alias": (
        lambda: (lambda u: Select(u.name).JoinRelated(u.orders))(Alias(User, "u")),
        'SELECT "u"."name"\nFROM "users" AS "u"\nJOIN "orders" ON "orders"."user_id" = "u"."id"',
    ),
    "distinct": (lambda: Select(User.age).Distinct(), 'SELECT DISTINCT "users"."age"\nFROM "users"'),
    "distinct on": (
        lambda: Select(User.age).DistinctOn(User.age).OrderBy(User.age, User.id),
        'SELECT DISTINCT ON ("users"."age") "users"."age"\nFROM "users"\nORDER BY "users"."age", "users"."id"',
    ),
    "no table": (lambda: Select(Value(1)), 'SELECT $1::integer AS "column1"'),
    "from": (lambda: Select(Count()).From(User), 'SELECT count(*) AS "count"\nFROM "users"'),
    "from several": (
        lambda: Select(Count()).From(User, Order).Where(User.id == Order.user_id),
        'SELECT count(*) AS "count"\nFROM "users", "orders"\nWHERE "users"."id" = "orders"."user_id"',
    ),
    "locks": (
        lambda: Select(User.id).ForUpdate(of=User, skip_locked=True).ForShare(nowait=True),
        'SELECT "users"."id"\nFROM "users"\nFOR UPDATE OF "users" SKIP LOCKED\nFOR SHARE NOWAIT',
    ),
    "aggregates": (
        lambda: Select(
            Count(User.id).Distinct(),
            Sum(User.age).Filter(User.age > 1).As("s"),
            StringAgg(User.name, ",").OrderBy(User.name.Desc()),
            ArrayAgg(User.id).Distinct().OrderBy(User.id),
            Func.percentile_cont(0.5).WithinGroup(User.age),
        ),
        'SELECT count(DISTINCT "users"."id") AS "count", sum("users"."age") FILTER (WHERE "users"."age" > $1) AS "s", '
        'string_agg("users"."name", $2::text ORDER BY "users"."name" DESC) AS "string_agg", '
        'array_agg(DISTINCT "users"."id" ORDER BY "users"."id") AS "array_agg", '
        'percentile_cont($3::double precision) WITHIN GROUP (ORDER BY "users"."age") AS "percentile_cont"\n'
        'FROM "users"',
    ),
    "windows": (
        lambda: Select(
            RowNumber().Over(),
            Sum(User.age).Over(partition_by=[User.age, User.mood], order_by=User.id.Desc(), rows=(-2, 1)),
            Lag(User.age, 1, 0).Over(order_by=User.id, groups=(None, 0)),
        ),
        'SELECT row_number() OVER () AS "row_number", sum("users"."age") OVER '
        '(PARTITION BY "users"."age", "users"."mood" ORDER BY "users"."id" DESC '
        'ROWS BETWEEN $1::bigint PRECEDING AND $2::bigint FOLLOWING) AS "sum", '
        'lag("users"."age", $3::integer, $4) OVER (ORDER BY "users"."id" '
        'GROUPS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS "lag"\nFROM "users"',
    ),
    "any function": (
        lambda: Select(Func.app.do_it(User.id, "x", None), Func.Mixed(1)),
        'SELECT app.do_it("users"."id", $1::text, NULL) AS "do_it", "Mixed"($2::integer) AS "Mixed"\nFROM "users"',
    ),
    "an expression with parameters is grouped by position": (
        lambda: (
            Select(User.id, DateTrunc("month", Order.day).As("m"), Count())
            .Join(Order, Order.user_id == User.id)
            .GroupBy(User.id, DateTrunc("month", Order.day))
            .OrderBy(DateTrunc("month", Order.day).Desc())
        ),
        'SELECT "users"."id", date_trunc($1::text, "orders"."day") AS "m", count(*) AS "count"\nFROM "users"\n'
        'JOIN "orders" ON "orders"."user_id" = "users"."id"\nGROUP BY "users"."id", 2\nORDER BY 2 DESC',
    ),
    "a subquery in FROM": (
        lambda: (lambda t: Select(User.name, t.n).Join(t, t.user_id == User.id))(
            Select(Order.user_id, Count().As("n")).GroupBy(Order.user_id).Subquery("t")
        ),
        'SELECT "users"."name", "t"."n"\nFROM "users"\nJOIN (SELECT "orders"."user_id", count(*) AS "n"\n'
        'FROM "orders"\nGROUP BY "orders"."user_id") AS "t" ON "users"."id" = "t"."user_id"',
    ),
    "a subquery as a value": (
        lambda: Select(User.id, Select(Max(Order.total)).Where(Order.user_id == User.id).As("most")).Where(
            User.age > Select(Count()).From(Order)
        ),
        'SELECT "users"."id", (SELECT max("orders"."total") AS "max"\nFROM "orders"\n'
        'WHERE "orders"."user_id" = "users"."id") AS "most"\nFROM "users"\n'
        'WHERE "users"."age" > (SELECT count(*) AS "count"\nFROM "orders")',
    ),
    "lateral": (
        lambda: (lambda t: Select(User.id, t.total).LeftLateralJoin(t))(
            Select(Order.total).Where(Order.user_id == User.id).Limit(1).Subquery("t")
        ),
        'SELECT "users"."id", "t"."total"\nFROM "users"\nLEFT JOIN LATERAL (SELECT "orders"."total"\nFROM "orders"\n'
        'WHERE "orders"."user_id" = "users"."id"\nLIMIT $1) AS "t" ON TRUE',
    ),
    "exists": (
        lambda: Select(User.id).Where(~Exists(Select(Order.id).Where(Order.user_id == User.id))),
        'SELECT "users"."id"\nFROM "users"\nWHERE NOT EXISTS (SELECT "orders"."id"\nFROM "orders"\n'
        'WHERE "orders"."user_id" = "users"."id")',
    ),
    "union": (
        lambda: (
            Select(User.id)
            .Where(User.age == 1)
            .UnionAll(Select(Order.id).Where(Order.id == 2))
            .Except(Select(User.id))
            .OrderBy(User.id.Desc())
            .Limit(5)
        ),
        '((SELECT "users"."id"\nFROM "users"\nWHERE "users"."age" = $1)\nUNION ALL\n(SELECT "orders"."id"\n'
        'FROM "orders"\nWHERE "orders"."id" = $2))\nEXCEPT\n(SELECT "users"."id"\nFROM "users")\n'
        "ORDER BY 1 DESC\nLIMIT $3",
    ),
    "common tables come first, each once, after those they need": (
        lambda: (
            lambda a: (lambda b: Select(b.user_id).Where(b.user_id.In(Select(a.user_id)), b.user_id > 3))(
                With("b", Select(a.user_id).Where(a.user_id > 2))
            )
        )(With("a", Select(Order.user_id).Where(Order.total > 1))),
        'WITH "a" AS (SELECT "orders"."user_id"\nFROM "orders"\nWHERE "orders"."total" > $1),\n'
        '"b" AS (SELECT "a"."user_id"\nFROM "a"\nWHERE "a"."user_id" > $2)\n'
        'SELECT "b"."user_id"\nFROM "b"\nWHERE "b"."user_id" IN (SELECT "a"."user_id"\nFROM "a")\n'
        '  AND "b"."user_id" > $3',
    ),
    "a recursive common table": (
        lambda: (lambda t: Select(t.id).From(t).CrossJoin(Alias(t, "t2")))(
            With("tree", Select(User.id).Where(User.id == 1)).RecursiveDistinct(
                lambda tree: Select(User.id).Join(tree, User.boss_id == tree.id)
            )
        ),
        'WITH RECURSIVE "tree" ("id") AS ((SELECT "users"."id"\nFROM "users"\nWHERE "users"."id" = $1)\nUNION\n'
        '(SELECT "users"."id"\nFROM "users"\nJOIN "tree" ON "users"."boss_id" = "tree"."id"))\n'
        'SELECT "tree"."id"\nFROM "tree"\nCROSS JOIN "tree" AS "t2"',
    ),
    "a change beside a query": (
        lambda: Select(User.id).With(With("gone", Delete(Order).Where(Order.id == 1).Returning(Order.id))),
        'WITH "gone" AS (DELETE FROM "orders"\nWHERE "orders"."id" = $1\nRETURNING "orders"."id")\n'
        'SELECT "users"."id"\nFROM "users"',
    ),
    "materialized": (
        lambda: (lambda t: Select(t.id))(With("t", Select(User.id)).Materialized()),
        'WITH "t" AS MATERIALIZED (SELECT "users"."id"\nFROM "users")\nSELECT "t"."id"\nFROM "t"',
    ),
    "case and coalesce": (
        lambda: Select(Case().When(User.age < 18, None).Else(User.name).As("c"), Coalesce(User.nick, "-")),
        'SELECT CASE WHEN "users"."age" < $1 THEN NULL ELSE "users"."name" END AS "c", '
        'coalesce("users"."nick", $2) AS "coalesce"\nFROM "users"',
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    build, expected = GOLDEN[name]
    assert sql(build()) == expected


A = Alias(User, "a")

REFUSED = {
    "nothing": (lambda: Select(), "needs something"),
    "no entity": (lambda: Select("users"), "takes models, columns"),
    "an object": (lambda: Select(5), "takes models, columns"),
    "Col of a value": (lambda: Select(Col("name")), "Col takes a column such as User.name, not str"),
    "a table that is not in the query": (lambda: Select(User).Where(Order.total > 1), "orders, which is not in"),
    "a condition before its join": (
        lambda: Select(User).Where(Order.total > 1).Join(Order, Order.user_id == User.id),
        "join it first",
    ),
    "a python comparison": (lambda: Select(User).Where(1 == 2), "constant False"),
    "a string": (lambda: Select(User).Where("id = 1"), "not a condition"),
    "an aggregate in WHERE": (lambda: Select(User).Where(Count() > 1), "Having"),
    "a window in WHERE": (lambda: Select(User).Where(RowNumber().Over() == 1), "Subquery"),
    "a window in HAVING": (lambda: Select(User.id).Having(RowNumber().Over() == 1), "window"),
    "an aggregate in GROUP BY": (lambda: Select(User.id).GroupBy(Count()), "GroupBy"),
    "an aggregate of an aggregate": (lambda: Sum(Count()), "can't contain"),
    "a string in ORDER BY": (lambda: Select(User).OrderBy("name"), "OrderBy takes"),
    "a negative limit": (lambda: Select(User).Limit(-1), "from 0 on"),
    "a text limit": (lambda: Select(User).Limit("1"), "from 0 on"),
    "a boolean offset": (lambda: Select(User).Offset(True), "from 0 on"),
    "a join of a table that is there": (lambda: Select(User).Join(User, User.id == User.id), "in the query already"),
    "a join of a query": (lambda: Select(User).Join(Select(Order), User.id == 1), "Subquery"),
    "a join without condition": (lambda: Select(User).Join(Order, None), "and a condition"),
    "a join of a number": (lambda: Select(User).Join(5, User.id == 1), "takes a model"),
    "a join about other tables": (lambda: Select(User).Join(Order, Item.id == 1), "not in the query"),
    "a join without a table before": (lambda: Select(Value(1)).Join(Order, Order.id == 1), "From"),
    "a join of a correlated subquery": (
        lambda: Select(User).Join(Select(Order.id).Where(Order.user_id == User.id).Subquery("o"), User.id == 1),
        "LateralJoin",
    ),
    "from after joins": (lambda: Select(User).Join(Order, Order.user_id == User.id).From(Item), "before the joins"),
    "no relation": (lambda: Select(User).JoinRelated(User.id), "takes a relation"),
    "a lock of two minds": (lambda: Select(User).ForUpdate(nowait=True, skip_locked=True), "either"),
    "a lock of another table": (lambda: Select(User).ForUpdate(of=Order), "does not have"),
    "a lock of groups": (lambda: Select(User.id).GroupBy(User.id).ForUpdate(), "grouped"),
    "a union of other widths": (lambda: Select(User.id).Union(Select(User)), "one width"),
    "a union with a table": (lambda: Select(User.id).Union(User), "takes another query"),
    "a subquery of equal names": (lambda: Select(User.id, Order.id).Subquery("t"), "two columns called 'id'"),
    "a value of two columns": (lambda: Select(User.id, User.age).Scalar(), "selects one column"),
    "an unknown column of a subquery": (lambda: Select(User.id, User.name).Subquery("t").nam, "did you mean 'name'"),
    "an unknown column of an alias": (lambda: A.nam, "did you mean 'name'"),
    "an alias of nothing": (lambda: Alias(5, "x"), "takes a model"),
    "an empty alias": (lambda: Alias(User, ""), "must not be empty"),
    "an include of nothing": (lambda: Select(User.id).Include(User.orders), "selects a model"),
    "an include of a column": (lambda: Select(User).Include(User.id), "takes relations"),
    "then without include": (lambda: Select(User).ThenInclude(Order.items), "comes after Include"),
    "a common table of a table": (lambda: With("x", User), "a name and a query"),
    "a common table of a change without rows": (
        lambda: With("x", Delete(User).Where(User.id == 1)),
        "add .Returning",
    ),
    "a correlated common table": (
        lambda: With("x", Select(Order.id).Where(Order.user_id == User.id)),
        "outside of it: users",
    ),
    "a recursion of another width": (
        lambda: With("x", Select(User.id)).Recursive(lambda x: Select(User.id, User.age)),
        "selects 2 columns",
    ),
    "a recursion of nothing": (lambda: With("x", Select(User.id)).Recursive(lambda x: None), "must return a query"),
    "with of a query": (lambda: Select(User).With(Select(Order)), "common tables"),
    "a filter of an aggregate": (lambda: Sum(User.age).Filter(Count() > 1), "without aggregates"),
    "distinct rows of nothing": (lambda: RowNumber().Distinct(), "needs an argument"),
    "over twice": (lambda: RowNumber().Over().Over(), "comes last"),
    "two frames": (lambda: Count().Over(rows=(0, 1), range=(0, 1)), "one frame"),
    "a frame backwards": (lambda: Count().Over(rows=(1, 0)), "ends before"),
    "a function without name": (lambda: Func(1), "needs the name"),
    "a count of a model": (lambda: Count(User), "Count"),
    "coalesce of nothing": (lambda: Coalesce(), "needs values"),
    # What only the whole query can tell:
    "a selected table without a join": (lambda: str(Select(User, Order)), "orders without having it"),
    "a half foreign condition": (lambda: str(Select(User).Where(User.id == Order.user_id)), "orders without"),
    "an order of a union by something else": (
        lambda: str(Select(User.id).Union(Select(User.id)).OrderBy(User.name)),
        "ordered by what it selects",
    ),
    "two common tables of one name": (
        lambda: str(Select(With("x", Select(User.id)).id).Where(Exists(Select(With("x", Select(Order.id)).id)))),
        "two common tables",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_query_is_refused(name: str) -> None:
    build, words = REFUSED[name]
    with pytest.raises(QueryError, match=words):
        build()


def test_queries_are_immutable() -> None:
    base = Select(User)
    text = str(base)
    base.Where(User.id == 1).OrderBy(User.id).Limit(1).Include(User.orders)
    assert str(base) == text
    assert base.includes == ()


def test_an_include_is_kept_and_deepened() -> None:
    query = Select(User).Include(User.orders).ThenInclude(Order.items)
    (path,) = query.includes
    assert path.relation is User.orders.relation
    assert path.includes == (Order.items,)
    by_model = Select(User).Include(Order).ThenInclude(Item).ThenInclude(User)
    assert by_model.includes[0].target is Order
    assert by_model.includes[0].includes[0].target is Item
    assert by_model.includes[0].includes[0].includes[0].target is User


def test_a_label_is_not_a_truth() -> None:
    assert Lower(User.name).As("x").label == "x"


def test_the_tables_of_a_query_are_told_wherever_they_stand() -> None:
    t = With("t", Select(Item.order_id))
    query = Select(User).Where(Exists(Select(Order).Where(Order.user_id == User.id, Order.id.In(Select(t.order_id)))))
    assert query.tables == {'"users"', '"orders"', '"Ware"."Order Item"'}


def test_two_aliases_made_alike_are_one() -> None:
    assert "FROM" in sql(Select(Alias(User, "u")).Where(Alias(User, "u").id == 1))


def test_verbs_need_a_session() -> None:
    for verb in ("all", "first", "one", "one_or_none", "scalar"):
        with pytest.raises(NoActiveSessionError):
            getattr(Select(User), verb)()


@pytest.mark.parametrize("verb", ["Join", "LeftJoin"])
def test_a_table_without_a_condition_is_refused_with_the_ways_out(verb: str) -> None:
    with pytest.raises(QueryError, match=rf"{verb} takes a relation such as User\.orders, or Order and a condition"):
        getattr(Select(User), verb)(Order)
