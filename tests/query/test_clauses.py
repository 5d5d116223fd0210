"""Each clause of docs/clauses.md: its example is built, parsed by PostgreSQL's grammar, and run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pglast
import psycopg2
import pytest

from psqlmodel import SQL, QueryError, Select, Session, create_engine, types
from psqlmodel.embedded import Server
from psqlmodel.query import (
    Func,
    JsonTable,
    Old,
    Only,
    RawSQL,
    Rollup,
    TableSample,
    Text,
    Values,
    With,
    compile,
)

from .clauses import PAGE, SECTIONS, Clause, page, text_of
from .shop import DDL, Item, Order, User
from .test_server import actual

CLAUSES = {f"{section}: {each.clause}": each for section, clauses in SECTIONS.items() for each in clauses}


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[Any]:
    """A connection to a database with the shop's tables."""
    dsn = server.create_database("clauses", template="template0")
    connection = psycopg2.connect(dsn)
    with connection.cursor() as cursor:
        cursor.execute(DDL)
        cursor.execute("INSERT INTO users (name, age) SELECT 'user' || n, n FROM generate_series(1, 5) AS n")
        cursor.execute("INSERT INTO orders (user_id, total) SELECT n, n FROM generate_series(1, 5) AS n")
    connection.commit()
    yield connection
    connection.close()
    server.drop_database("clauses")


@pytest.mark.parametrize("name", CLAUSES)
def test_each_clause(shop: Any, name: str) -> None:
    clause = CLAUSES[name]
    made = clause.build()
    text, args = text_of(made)
    assert clause.sql in text
    assert len(pglast.parse_sql(text)) == 1
    if shop.server_version // 10_000 < clause.since:
        pytest.skip(f"this server is older than PostgreSQL {clause.since}")
    if not isinstance(made, RawSQL):
        compiled = compile(made, actual)
        text, args = compiled.text, compiled.args
    try:
        with shop.cursor() as cursor:
            cursor.execute(f"PREPARE clause AS {text}")
            places = ", ".join(["%s"] * len(args))
            cursor.execute(f"EXECUTE clause({places})" if args else "EXECUTE clause", args or None)
    finally:
        shop.rollback()
        with shop.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        shop.commit()


def test_the_page_says_what_the_tests_run() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.query.clauses writes it"


def test_there_is_each_clause_once() -> None:
    codes = [each.code for clauses in SECTIONS.values() for each in clauses]
    assert len(set(codes)) == len(codes)
    assert all(isinstance(each, Clause) for each in CLAUSES.values())


REFUSED: dict[str, Any] = {
    "needs the names": lambda: Func.f().AsTable("t"),
    "names with types": lambda: Func.f().AsTable("t", "a", b=types.text),
    "row 1 has 1 values for 2": lambda: Values("v", ["a", "b"], [(1, 2), (3,)]),
    "at least one row": lambda: Values("v", ["a"], []),
    "mixes values of": lambda: Values("v", ["a"], [(1,), ("x",)]),
    "type of 'a' is not known": lambda: Values("v", ["a"], [(None,)]),
    "takes values, not expressions": lambda: Values("v", ["a"], [(User.id,)]),
    "holds arrays": lambda: Values("v", ["a"], [([1],)]),
    "a model class or an alias": lambda: Only(5),
    "model class or an alias, not": lambda: TableSample(Values("v", ["a"], [(1,)]), 1),
    "JSON path": lambda: JsonTable("j", User.data, 5, a=types.text),
    "needs columns": lambda: JsonTable("j", User.data, "$"),
    "ROLLUP needs": lambda: Rollup(),
    "without aggregates": lambda: Rollup(Func.count(User.id).Over()),
    "needs an order": lambda: Select(User).LimitWithTies(3),
    "Recursive.* before": lambda: With("w", Select(User.id)).Cycle("id"),
    "no value for {age}": lambda: SQL("SELECT {age}"),
    "no place for age": lambda: SQL("SELECT 1", age=1),
    "brace in SQL is doubled": lambda: SQL("SELECT '{}'"),
    "a brace in SQL": lambda: SQL("SELECT '}'"),
    "Into takes what reads": lambda: SQL("DELETE FROM users").Into(User),
    "Into takes a model class": lambda: SQL("SELECT 1").Into(5),
    "a str or a t-string, not int": lambda: SQL(5),
    "has no column 'nope'": lambda: Old(User).nope,
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_refused(said: str) -> None:
    with pytest.raises((QueryError, AttributeError), match=said):
        REFUSED[said]()


def test_a_sample_is_seen_under_the_names_of_its_model() -> None:
    query = Select(TableSample(User, 50)).Where(User.age > 1).OrderBy(User.id)
    assert 'FROM "users" TABLESAMPLE SYSTEM ($1::double precision)\nWHERE "users"."age" > $2' in str(query)


class Template:
    """What a t-string is from Python 3.14 on, as far as it matters here."""

    def __init__(self, *parts: Any) -> None:
        self.strings = tuple(part for part in parts if isinstance(part, str))
        self.interpolations = tuple(part for part in parts if not isinstance(part, str))


class Interpolation:
    def __init__(self, value: Any, conversion: Any = None, format_spec: str = "") -> None:
        self.value, self.expression, self.conversion, self.format_spec = value, "value", conversion, format_spec


def test_sql_by_hand(server: Server) -> None:
    dsn = server.create_database("by_hand", template="template0")
    with create_engine(dsn) as engine, Session(engine) as session:
        for statement in filter(str.strip, DDL.split(";")):
            session.exec(statement)
        session.exec("INSERT INTO users (name, age) VALUES ('ann', 30), ('bob''; DROP', 40)")
        session.exec("INSERT INTO orders (user_id, total) SELECT id, 5 FROM users")
        hostile = "bob'; DROP"
        assert session.exec(
            SQL("SELECT name FROM users WHERE name = {n} AND '{{}}' = '{{}}'", n=hostile)
        ).scalars() == [hostile]
        assert session.exec_scalar(SQL("SELECT '100%' || {x}::text || '%s'", x="!")) == "100%!%s"
        count = SQL("SELECT count(*) FROM {table} WHERE {column} > {age}", table=User, column=User.age, age=30)
        assert session.exec_scalar(count) == 1
        within = SQL(
            "SELECT name FROM users WHERE id IN {ids} ORDER BY id", ids=Select(Order.user_id).Where(Order.total > 1)
        )
        assert session.exec(within).scalars() == ["ann", hostile]

        users = SQL("SELECT * FROM users WHERE age > {age}", age=10).Into(User)
        found = session.exec(users.Where(User.name == "ann").Include(User.orders).OrderBy(User.id)).all()
        assert [(user.name, len(user.orders)) for user in found] == [("ann", 1)]
        found[0].age = 31
        assert session.exec(users.Where(User.age == 31)).one() is found[0]  # what was pending was flushed before
        found[0].age = 32
        assert session.exec(Select(User).Where(Text("id IN (SELECT id FROM users WHERE age = 32)"))).one() is found[0]

        template = Template("SELECT name FROM users WHERE age > ", Interpolation(35), "")
        assert session.exec(template).scalars() == [hostile]
        assert [user.age for user in session.exec(SQL(Template("SELECT * FROM ", Interpolation(User), "")).Into(User))]
        with pytest.raises(QueryError, match="no conversion"):
            session.exec(Template("SELECT ", Interpolation(1, conversion="r"), ""))
        with pytest.raises(QueryError, match="have their values inside"):
            session.exec(count, [1])
        session.commit()
    server.drop_database("by_hand")


def test_values_are_rows_to_join_with() -> None:
    prices = Values("prices", {"id": types.integer, "price": types.numeric}, [(1, 2), (2, None)])
    query = Select(Order.id, prices.price).Join(prices, prices.id == Order.id)
    assert 'JOIN unnest($1::int4[], $2::numeric[]) AS "prices" ("id", "price")' in str(query)
    assert query.to_sql_params()[1][0] == [1, 2]


def test_items_of_another_schema_by_hand() -> None:
    assert 'FROM "Ware"."Order Item"' in SQL("SELECT 1 FROM {t}", t=Item).statement()[0]
