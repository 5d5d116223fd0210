"""Insert, Update, Delete, Merge: golden texts, values, and what is refused."""

from __future__ import annotations

import datetime

import pytest

from psqlmodel.errors import InvalidValueError, QueryError
from psqlmodel.query import Count, Delete, Excluded, Insert, Lower, Merge, Now, Select, Update, compile

from .shop import Item, Mood, Order, User, sql

GOLDEN = {
    "a row": (
        lambda: Insert(User).Values(name="a", nick=None),
        'INSERT INTO "users" ("name", "nick")\nVALUES ($1, $2)',
        ["a", None],
    ),
    "a row of mappings with expressions": (
        lambda: Insert(User).Values({"name": Lower("A"), User.age: Select(Count()).From(Order)}),
        'INSERT INTO "users" ("name", "age")\nVALUES (lower($1::text), (SELECT count(*) AS "count"\nFROM "orders"))',
        ["A"],
    ),
    "database names": (
        lambda: Insert(Item).Values(kind="k", order_id=1).Returning(Item),
        'INSERT INTO "Ware"."Order Item" ("select", "order")\nVALUES ($1, $2)\n'
        'RETURNING "Order Item"."Id", "Order Item"."order", "Order Item"."select"',
        ["k", 1],
    ),
    "defaults of the database": (lambda: Insert(User).Values(), 'INSERT INTO "users"\nDEFAULT VALUES', []),
    "defaults of the model": (
        lambda: Insert(Order).Values(user_id=1, total=2),
        'INSERT INTO "orders" ("user_id", "total", "paid")\nVALUES ($1, $2, $3)',
        [1, 2, False],
    ),
    "many rows in one array a column": (
        lambda: Insert(User).Values([{"name": "a", "tags": ["x"]}, {"name": "b", "tags": []}]),
        'INSERT INTO "users" ("name", "tags")\nSELECT "r"."c1", "r"."c2"::text[]\n'
        'FROM unnest($1::text[], $2::text[]) AS "r" ("c1", "c2")',
        [["a", "b"], ['{"x"}', "{}"]],
    ),
    "many unlike rows": (
        lambda: Insert(User).Values({"name": "a", "age": 1}, {"name": Lower("B")}),
        'INSERT INTO "users" ("name", "age")\nVALUES ($1, $2),\n  (lower($3::text), DEFAULT)',
        ["a", 1, "B"],
    ),
    "a query": (
        lambda: Insert(User).FromSelect(Select(Order.id, Lower("x").As("name"))),
        'INSERT INTO "users" ("id", "name")\nSELECT "orders"."id", lower($1::text) AS "name"\nFROM "orders"',
        ["x"],
    ),
    "a query and columns": (
        lambda: Insert(User).FromSelect(Select(Order.id), User.age),
        'INSERT INTO "users" ("age")\nSELECT "orders"."id"\nFROM "orders"',
        [],
    ),
    "do nothing": (
        lambda: Insert(User).Values(name="a").OnConflict().DoNothing().Returning(User.id),
        'INSERT INTO "users" ("name")\nVALUES ($1)\nON CONFLICT DO NOTHING\nRETURNING "users"."id"',
        ["a"],
    ),
    "do update": (
        lambda: (
            Insert(User)
            .Values(name="a")
            .OnConflict(User.name, where=User.age > 1)
            .DoUpdate(User.nick, age=User.age + Excluded.age)
            .Where(User.age < Excluded.age)
        ),
        'INSERT INTO "users" ("name")\nVALUES ($1)\nON CONFLICT ("name") WHERE "users"."age" > $2 DO UPDATE SET '
        '"nick" = EXCLUDED."nick", "age" = "users"."age" + EXCLUDED."age"\nWHERE "users"."age" < EXCLUDED."age"',
        ["a", 1],
    ),
    "a conflict over an expression": (
        lambda: Insert(User).Values(name="a").OnConflict(Lower(User.name)).DoNothing(),
        'INSERT INTO "users" ("name")\nVALUES ($1)\nON CONFLICT ((lower("name"))) DO NOTHING',
        ["a"],
    ),
    "a conflict over a constraint, attributes with other names": (
        lambda: Insert(Item).Values(kind="k").OnConflict(constraint="uq").DoUpdate(kind=Excluded.kind),
        'INSERT INTO "Ware"."Order Item" ("select")\nVALUES ($1)\nON CONFLICT ON CONSTRAINT "uq" DO UPDATE SET '
        '"select" = EXCLUDED."select"',
        ["k"],
    ),
    "identity always": (
        lambda: Insert(User).Values(id=1).OverridingSystemValue(),
        'INSERT INTO "users" ("id") OVERRIDING SYSTEM VALUE\nVALUES ($1)',
        [1],
    ),
    "update": (
        lambda: (
            Update(User)
            .Set(name="a", mood=Mood.SAD)
            .Set(User.age, User.age + 1)
            .Set({"nick": None})
            .Where(User.id == 1)
            .Returning(User.id, User.age)
        ),
        'UPDATE "users"\nSET "name" = $1, "mood" = $2, "age" = "users"."age" + $3::integer, "nick" = $4\n'
        'WHERE "users"."id" = $5\nRETURNING "users"."id", "users"."age"',
        ["a", "sad", 1, None, 1],
    ),
    "update from": (
        lambda: Update(User).Set(age=Order.id).From(Order).Where(Order.user_id == User.id),
        'UPDATE "users"\nSET "age" = "orders"."id"\nFROM "orders"\nWHERE "orders"."user_id" = "users"."id"',
        [],
    ),
    "update all": (lambda: Update(User).Set(age=1).AllRows(), 'UPDATE "users"\nSET "age" = $1', [1]),
    "delete": (
        lambda: Delete(User).Using(Order).Where(Order.user_id == User.id, Order.total > 1),
        'DELETE FROM "users"\nUSING "orders"\nWHERE "orders"."user_id" = "users"."id"\n  AND "orders"."total" > $1',
        [1],
    ),
    "delete all": (lambda: Delete(User).AllRows(), 'DELETE FROM "users"', []),
    "merge": (
        lambda: (
            Merge(User)
            .Using(Order, Order.user_id == User.id)
            .WhenMatched(Order.total < 0)
            .Delete()
            .WhenMatched()
            .Update(age=User.age + 1)
            .WhenNotMatched(Order.paid)
            .Insert(name="x", age=Order.id)
            .WhenNotMatched()
            .DoNothing()
        ),
        'MERGE INTO "users"\nUSING "orders" ON "orders"."user_id" = "users"."id"\n'
        'WHEN MATCHED AND "orders"."total" < $1 THEN DELETE\n'
        'WHEN MATCHED THEN UPDATE SET "age" = "users"."age" + $2::integer\n'
        'WHEN NOT MATCHED AND "orders"."paid" THEN INSERT ("name", "age") VALUES ($3, "orders"."id")\n'
        "WHEN NOT MATCHED THEN DO NOTHING",
        [0, 1, "x"],
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    build, text, args = GOLDEN[name]
    query = build()
    assert sql(query) == text
    assert query.to_sql_params()[1] == args


REFUSED = {
    "no model": (lambda: Insert("users"), QueryError, "takes a model"),
    "an object": (lambda: Insert(User).Values(User(name="a")), QueryError, r"session\.add"),
    "an unknown column": (lambda: Insert(User).Values(nam="a"), QueryError, "did you mean 'name'"),
    "a database name": (lambda: Insert(Item).Values(select="a"), QueryError, "no column 'select'"),
    "a column of another table": (lambda: Insert(User).Values({Order.id: 1}), QueryError, "not a column of User"),
    "a wrong value": (lambda: Insert(User).Values(age="a"), InvalidValueError, "users.age"),
    "a wrong value among many": (
        lambda: Insert(User).Values([{"age": 1}, {"age": "a"}]),
        InvalidValueError,
        "users.age",
    ),
    "keywords and mappings": (lambda: Insert(User).Values({"age": 1}, name="a"), QueryError, "not both"),
    "no rows": (lambda: Insert(User).Values([]), QueryError, "empty list"),
    "rows twice": (lambda: Insert(User).Values(age=1).Values(age=2), QueryError, "rows already"),
    "nothing at all": (lambda: str(Insert(User)), QueryError, "has no rows"),
    "a query of another width": (
        lambda: Insert(User).FromSelect(Select(Order.id), User.id, User.age),
        QueryError,
        "1 columns for 2",
    ),
    "a model for a query": (lambda: Insert(User).FromSelect(Order), QueryError, "takes a query"),
    "two conflicts": (
        lambda: Insert(User).Values(age=1).OnConflict().DoNothing().OnConflict(),
        QueryError,
        "one OnConflict",
    ),
    "columns and constraint": (lambda: Insert(User).OnConflict(User.id, constraint="x"), QueryError, "not both"),
    "where without columns": (lambda: Insert(User).OnConflict(where=User.id > 1), QueryError, "its columns"),
    "update of an unknown conflict": (
        lambda: Insert(User).OnConflict().DoUpdate(User.name),
        QueryError,
        "needs to know the conflict",
    ),
    "update of nothing": (lambda: Insert(User).OnConflict(User.id).DoUpdate(), QueryError, "needs columns"),
    "an unknown excluded column": (
        lambda: Insert(User).OnConflict(User.id).DoUpdate(name=Excluded.nam),
        QueryError,
        "did you mean 'name'",
    ),
    "where without update": (lambda: Insert(User).Values(age=1).Where(User.id == 1), QueryError, "DoUpdate"),
    "excluded elsewhere": (lambda: Select(User).Where(Excluded.id == 1), QueryError, "EXCLUDED"),
    "set of an unknown column": (lambda: Update(User).Set(nam="a"), QueryError, "did you mean 'name'"),
    "set twice": (lambda: Update(User).Set(age=1).Set(age=2), QueryError, "twice"),
    "set of three": (lambda: Update(User).Set(1, 2, 3), QueryError, "Set takes"),
    "set of a number": (lambda: Update(User).Set(5, 1), QueryError, "named by its attribute"),
    "set of an aggregate": (lambda: Update(User).Set(age=Count()), QueryError, "aggregate"),
    "a forgotten where": (lambda: str(Update(User).Set(age=1)), QueryError, "AllRows"),
    "nothing set": (lambda: str(Update(User).AllRows()), QueryError, "changes nothing"),
    "a forgotten where of delete": (lambda: str(Delete(User)), QueryError, "AllRows"),
    "a foreign where": (lambda: Delete(User).Where(Order.id == 1), QueryError, "not in the query"),
    "using itself": (lambda: Delete(User).Using(User), QueryError, "already"),
    "a merge without source": (lambda: Merge(User).WhenMatched(), QueryError, "Using"),
    "an unfinished merge": (lambda: str(Merge(User)), QueryError, "needs .Using"),
    "a merge that inserts a match": (
        lambda: Merge(User).Using(Order, Order.id == User.id).WhenMatched().Insert(age=1),
        QueryError,
        "can't Insert",
    ),
    "a merge that updates nothing": (
        lambda: Merge(User).Using(Order, Order.id == User.id).WhenMatched().Update(),
        QueryError,
        "needs values",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_change_is_refused(name: str) -> None:
    build, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        build()


def test_a_guessed_type_waits_for_the_catalog() -> None:
    from psqlmodel.types import bigint, timestamp

    naive = datetime.datetime(2024, 1, 1)
    query = Select(User.id).Where(User.born == naive, User.id == 2**40)
    compiled = compile(query)
    assert [column.key for column in compiled.columns_used] == ["born", "id"]
    actual = {"born": timestamp, "id": bigint}
    assert compile(query, lambda column: actual[column.key]).args == [naive, 2**40]
    with pytest.raises(InvalidValueError, match=r"users\.born"):
        compile(query, lambda column: column.type)


def test_array_statements_name_the_real_types() -> None:
    from psqlmodel.types import bigint, text

    query = Insert(User).Values([{"id": 2**40, "name": "a"}, {"id": 2, "name": "b"}])
    assert [column.key for column in compile(query).columns_used] == ["id"]
    actual = {"id": bigint, "name": text}
    for _ in range(2):
        compiled = compile(query, lambda column: actual[column.key])
        assert "unnest($1::int8[], $2::text[])" in compiled.text
        assert compiled.args == [[2**40, 2], ["a", "b"]]
    assert "unnest($1::int4[], $2::text[])" in compile(query).text


def test_now_is_no_parameter() -> None:
    assert sql(Update(User).Set(born=Now()).AllRows()) == 'UPDATE "users"\nSET "born" = now()'
