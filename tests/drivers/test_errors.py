"""Errors: one tree for both drivers, with what PostgreSQL reports and without values in any message."""

from __future__ import annotations

import traceback

import psycopg2
import pytest

from psqlmodel import errors
from psqlmodel.drivers.failure import key_columns, make_error
from psqlmodel.drivers.psycopg2 import connect_error
from psqlmodel.steps import Statement

TABLES = """
DROP TABLE IF EXISTS child, parent CASCADE;
CREATE TABLE parent (
    id int PRIMARY KEY, "Mail Box" text UNIQUE, n int NOT NULL DEFAULT 1 CONSTRAINT positive CHECK (n > 0),
    t int, u int,
    CONSTRAINT pair UNIQUE (t, u)
);
CREATE TABLE child (parent_id int CONSTRAINT to_parent REFERENCES parent);
INSERT INTO parent (id, "Mail Box", t, u) VALUES (1, 'secret', 424242, 434343);
"""

CASES = [
    ("INSERT INTO parent (id) VALUES ($1)", [1], errors.UniqueViolation, ("id",), "parent_pkey"),
    (
        'INSERT INTO parent (id, "Mail Box") VALUES (2, $1)',
        ["secret"],
        errors.UniqueViolation,
        ("Mail Box",),
        "parent_Mail Box_key",
    ),
    (
        "INSERT INTO parent (id, t, u) VALUES (3, $1, $2)",
        [424242, 434343],
        errors.UniqueViolation,
        ("t", "u"),
        "pair",
    ),
    ("INSERT INTO child VALUES ($1)", [424242], errors.ForeignKeyViolation, ("parent_id",), "to_parent"),
    ("INSERT INTO parent (id, n) VALUES (4, $1)", [None], errors.NotNullViolation, ("n",), None),
    ("INSERT INTO parent (id, n) VALUES (4, $1)", [-424242], errors.CheckViolation, (), "positive"),
    ("SELECT 1 / ($1::int - $1::int)", [424242], errors.DataError, (), None),
    ("SELECT $1::text::int", ["secret"], errors.DataError, (), None),
    ("SELECT nope FROM parent WHERE id = $1", [1], errors.UndefinedColumn, (), None),
    ("SELECT * FROM nope WHERE id = $1", [1], errors.UndefinedTable, (), None),
    ("SELEC $1::int", [424242], errors.ProgrammingError, (), None),
    ("SELECT $1::text", ["secret\0"], errors.DataError, (), None),
    ("SELECT $1::text", ["secret\ud800"], errors.DataError, (), None),
]


@pytest.fixture
def tables(connection):
    connection.execute(Statement(TABLES, prepare=False))
    return connection


@pytest.mark.parametrize("prepare", [True, False])
@pytest.mark.parametrize(("text", "args", "kind", "columns", "constraint"), CASES)
def test_an_error_says_what_and_where_and_no_value(tables, text, args, kind, columns, constraint, prepare):
    for _ in range(3):
        with pytest.raises(errors.DatabaseError) as caught:
            tables.execute(Statement(text, args, prepare=prepare))
        error = caught.value
        assert type(error) is kind
        assert error.columns == columns
        assert error.constraint == constraint
        assert error.statement == text
        assert error.__cause__ is not None
        if constraint:
            assert error.table in ("parent", "child")
            assert error.schema == "public"
        printed = "".join(traceback.format_exception(error))
        code_lines = text  # a traceback shows the program's own lines, which hold none of these
        for value in ("secret", "424242", "434343"):
            assert value not in printed.replace(code_lines, "")
    assert tables.execute(Statement("SELECT 1")).data[0][0] == 1


def test_sqlstates_are_the_same(connections):
    for text in ("SELECT 1/0", "SELECT * FROM nope", "SELECT 'x'::int", "COMMIT AND"):
        states = set()
        for each in connections:
            with pytest.raises(errors.DatabaseError) as caught:
                each.execute(Statement(text))
            states.add(caught.value.sqlstate)
        assert len(states) == 1


def test_an_argument_that_does_not_fit_names_its_number(connections):
    _, asynchronous = connections
    with pytest.raises(errors.DataError, match=r"\$2"):
        asynchronous.execute(Statement("SELECT $1::int, $2::int", [1, "secret"]))


@pytest.mark.parametrize(
    ("detail", "columns"),
    [
        ("Key (a)=(1) already exists.", ("a",)),
        ("Key (a, b)=(1, (2)=(3)) already exists.", ("a", "b")),
        ('Key ("A ""x"", y", b)=(1, 2) already exists.', ('A "x", y', "b")),
        ("Key (lower(email), coalesce(a, b))=(x, y) already exists.", ("lower(email)", "coalesce(a, b)")),
        ('Key (user_id)=(5) is not present in table "users".', ("user_id",)),
        ("Failing row contains (1, 2).", ()),
        (None, ()),
    ],
)
def test_columns_of_a_detail(detail, columns):
    assert key_columns(detail) == columns


def test_a_message_without_its_values():
    error = make_error('invalid input value for enum mood: "se"cr\net"', sqlstate="22P02")
    assert str(error) == 'invalid input value for enum mood: "…"'
    assert isinstance(error, errors.DataError)
    assert isinstance(make_error("gone", sqlstate=None), errors.ConnectionLost)


def test_a_missing_table_comes_with_advice():
    missing = make_error('relation "wishes" does not exist', sqlstate="42P01")
    assert str(missing).startswith('relation "wishes" does not exist; is it made (engine.create_all')
    assert missing.hint is None  # what the server said
    clause = make_error('missing FROM-clause entry for table "w"', sqlstate="42P01")
    assert str(clause) == 'missing FROM-clause entry for table "w"'
    assert str(make_error("relation x does not exist", sqlstate="42P01", hint="look")).endswith("exist; look")


def test_the_lines_of_a_refusal_are_told_apart():
    error = connect_error(psycopg2.OperationalError("connection failed: Connection refused\n\tIs it running?\n"))
    assert str(error) == "can't connect: connection failed: Connection refused; Is it running?"
    assert error.sqlstate is None


def test_a_refused_connection(driver, server):
    for dsn, kind in [
        ("postgresql://nobody:secret@127.0.0.1:1/x", errors.ConnectionLost),
        (server.dsn_for("no_such_database"), errors.OperationalError),
    ]:
        with pytest.raises(kind, match="can't connect") as caught:
            driver(dsn)
        assert "secret" not in "".join(traceback.format_exception(caught.value))
