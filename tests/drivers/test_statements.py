"""Statements: placeholders, prepared plans, preludes, COPY."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel.drivers import psycopg2 as driver_module
from psqlmodel.drivers.psycopg2 import placeholders
from psqlmodel.errors import DatabaseError, DataError, ProgrammingError, UndefinedColumn
from psqlmodel.steps import Copy, Statement


def prepared_names(connection) -> list[str]:
    rows = connection.execute(
        Statement("SELECT name FROM pg_prepared_statements WHERE statement LIKE '%marked%'", prepare=False)
    )
    return [row[0] for row in rows.data]


@pytest.mark.parametrize(
    "text",
    [
        """SELECT $1::text, '$1', E'\\'$1', "$1" FROM (SELECT 1 AS "$1") t""",
        "SELECT $1::text, $$ $1 $$, $tag$ $1 $$ $tag$, 5 % 3, '%s'",
        "SELECT $1::text -- $1 %s '\n, 'x' /* $1 /* ' */ %(x)s */",
        "SELECT $1::text || $2::text || $10::text || $1::text, $3::int, $4::int, $5::int, $6::int, $7::int, "
        "$8::int, $9::int",
        "SELECT a$1 || $1::text FROM (SELECT 'x' AS a$1) t",
        "SELECT 'it''s $1' || $1::text, U&'\\0061$1'",
    ],
)
def test_placeholders_are_found_where_the_server_finds_them(connections, text):
    sync, asynchronous = connections
    args = ["%s ' \\ $1", "b", 3, 4, 5, 6, 7, 8, 9, "j"] if "$10" in text else ["%s ' \\ $1"]
    expected = tuple(asynchronous.execute(Statement(text, args)).data[0])
    for prepare in (False, True, True, True):  # literals, untyped literals, PREPARE, EXECUTE
        assert sync.execute(Statement(text, args, prepare=prepare)).data[0] == expected


def test_no_arguments_no_translation():
    assert placeholders("SELECT '%', 5 % 3, $2, $1") == ("SELECT '%%', 5 %% 3, %s, %s", (1, 0))


def test_a_text_is_prepared_when_it_comes_again(connections):
    connection, _ = connections
    statement = Statement("SELECT $1::int AS marked", [-1])
    connection.execute(statement)
    assert prepared_names(connection) == []
    assert connection.execute(statement).data == [(-1,)]
    assert len(prepared_names(connection)) == 1
    connection.execute(statement)
    assert len(prepared_names(connection)) == 1


@pytest.mark.parametrize("args", [[5, 7], [-5, -7], [-(2**63), 2**63 - 1], [0, None], [3, True], ["4", 5]])
def test_arguments_arrive_as_they_are_however_the_text_is_sent(driver, database_dsn, args):
    """Numbers, which are written into the EXECUTE as they are, among them."""
    connection = driver(database_dsn)
    kinds = ["text" if type(arg) is str else "bool" if type(arg) is bool else "int8" for arg in args]
    statement = Statement(
        f"SELECT $1::{kinds[0]} AS one, 2 - 1 - 1, $2::{kinds[1]} AS two, -$1::{kinds[0]}::numeric", args
    )
    for _ in range(4):  # literals, PREPARE, EXECUTE twice
        one, zero, two, negated = connection.execute(statement).data[0]
        assert [one, two] == args
        assert [type(one), type(two)] == [type(arg) for arg in args]
        assert (zero, negated) == (0, -int(args[0]))
    connection.close()


@pytest.mark.parametrize("option", ["engine", "statement"])
def test_nothing_is_prepared_where_it_is_not_wanted(driver, database_dsn, option):
    connection = driver(database_dsn, prepared_statements=option != "engine")
    for _ in range(3):
        statement = Statement("SELECT $1::int AS marked", [1], prepare=option != "statement")
        assert connection.execute(statement).data[0][0] == 1
    assert prepared_names(connection) == []
    assert connection.execute(Statement("SHOW TimeZone")).data[0][0] == "UTC"
    connection.close()


def test_prepared_statements_are_bounded(connection, monkeypatch):
    monkeypatch.setattr(driver_module, "PREPARED_STATEMENTS", 5)
    if hasattr(connection.connection, "_capacity"):
        connection.connection._capacity = 5
    for number in range(20):
        for _ in range(2):
            connection.execute(Statement(f"SELECT $1::int AS marked_{number}", [1]))
    connection.execute(Statement("SELECT 1 AS another"))
    assert 0 < len(prepared_names(connection)) <= 6  # asyncpg closes one late


def test_bounded_while_a_transaction_is_aborted(connection, monkeypatch):
    monkeypatch.setattr(driver_module, "PREPARED_STATEMENTS", 2)
    for number in (1, 1, 2, 2):
        connection.execute(Statement(f"SELECT $1::int AS marked_{number}", [1]))
    connection.execute(Statement("BEGIN"))
    for number in range(10, 15):
        with pytest.raises(DatabaseError):
            connection.execute(Statement(f"SELECT $1::int AS marked_{number} FROM nowhere", [1]))
    connection.execute(Statement("ROLLBACK"))
    assert connection.execute(Statement("SELECT 1")).data[0][0] == 1


@pytest.mark.parametrize("prelude", ["", "BEGIN"])
def test_a_changed_table_is_noticed_outside_a_transaction(connection, prelude):
    connection.execute(Statement("DROP TABLE IF EXISTS changing"))
    connection.execute(Statement("CREATE TABLE changing (a int)"))
    for _ in range(3):
        connection.execute(Statement("SELECT * FROM changing"))
    connection.execute(Statement("ALTER TABLE changing ADD COLUMN b text DEFAULT 'x'"))
    connection.execute(Statement("INSERT INTO changing VALUES (1)"))
    rows = connection.execute(Statement("SELECT * FROM changing", prelude=prelude))
    assert tuple(rows.data[0]) == (1, "x")
    assert rows.shape.names == ("a", "b")
    assert connection.connection.in_transaction == bool(prelude)


def test_a_changed_table_inside_a_transaction_is_an_error_once(connection):
    connection.execute(Statement("DROP TABLE IF EXISTS changing_inside"))
    connection.execute(Statement("CREATE TABLE changing_inside (a int)"))
    for _ in range(3):
        connection.execute(Statement("SELECT * FROM changing_inside"))
    connection.execute(Statement("BEGIN"))
    connection.execute(Statement("ALTER TABLE changing_inside ADD COLUMN b text"))
    with pytest.raises(DatabaseError) as caught:
        connection.execute(Statement("SELECT * FROM changing_inside"))
    assert caught.value.sqlstate == "0A000"
    connection.execute(Statement("ROLLBACK"))
    assert connection.execute(Statement("SELECT * FROM changing_inside")).shape.names == ("a",)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_prelude_begins_the_transaction(connection, times):
    for _ in range(times):
        rows = connection.execute(Statement("SELECT $1::int AS begun", [5], prelude="BEGIN"))
        assert rows.data[0][0] == 5
        assert connection.connection.in_transaction
        connection.execute(Statement("ROLLBACK"))
        assert not connection.connection.in_transaction


def test_a_statement_that_fails_after_its_prelude_leaves_an_aborted_transaction(connection):
    with pytest.raises(DataError):
        connection.execute(Statement("SELECT 1 / $1::int", [0], prelude="BEGIN"))
    assert connection.connection.in_transaction
    connection.execute(Statement("ROLLBACK"))
    assert not connection.connection.in_transaction


def test_literals_of_raw_sql_mean_the_same_on_both_drivers(connections):
    from datetime import UTC, date, datetime, timedelta
    from decimal import Decimal
    from uuid import UUID

    values = [
        5,
        -5,
        2**40,
        -(2**31),
        -(2**40),
        2**70,
        -(2**70),
        -1.5,
        True,
        1.5,
        Decimal("1.50"),
        "x",
        None,
        date(2024, 1, 1),
        timedelta(days=1, seconds=1),
    ]
    values += [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1), UUID(int=5), b"\x00\xff", [1, None]]
    for value in values:
        results = [each.execute(Statement("SELECT $1", [value], prepare=False)).data[0][0] for each in connections]
        assert results[0] == results[1]
        assert type(results[0]) is type(results[1]) or isinstance(results[0], type(results[1]) | UUID)
    for condition, value in [
        ("date '2024-01-01' = $1", "2024-01-01"),
        ("5 = $1", "5"),
        ("uuid '00000000-0000-0000-0000-000000000005' = $1", "00000000-0000-0000-0000-000000000005"),
        ("timestamp '2024-01-01' = $1", datetime(2024, 1, 1, tzinfo=UTC)),
        ("timestamptz '2024-01-01 00:00+00' = $1", datetime(2024, 1, 1)),
        ("numeric '0.1' = $1", 0.1),
        ("5 = ANY($1)", [5, 6]),
        ("'a'::text = ANY($1)", ["a"]),
    ]:
        for each in connections:
            assert each.execute(Statement(f"SELECT {condition}", [value], prepare=False)).data[0][0] is True


def test_several_statements_in_one_raw_text(connection):
    connection.execute(
        Statement("CREATE TEMP TABLE script (a text); INSERT INTO script VALUES ('x;y'), ('z')", prepare=False)
    )
    assert connection.execute(Statement("SELECT count(*) FROM script")).data[0][0] == 2


def test_rowless_commands_and_commands_with_rows(connection):
    for text in ("SAVEPOINT a", "SET LOCAL work_mem = '1MB'"):
        assert len(connection.execute(Statement(text, prelude="BEGIN")).data) == 0
        connection.execute(Statement("ROLLBACK"))
    assert len(connection.execute(Statement("EXPLAIN SELECT 1")).data) == 1
    assert connection.execute(Statement("SHOW TimeZone")).data[0][0] == "UTC"
    connection.execute(Statement("DECLARE c CURSOR FOR SELECT generate_series(1, 5)", prelude="BEGIN"))
    assert [row[0] for row in connection.execute(Statement("FETCH 2 FROM c")).data] == [1, 2]
    connection.execute(Statement("ROLLBACK"))


# --- COPY ---


def test_copy_writes_what_it_is_given(connection):
    connection.execute(Statement('DROP TABLE IF EXISTS "Copied ""t"""'))
    connection.execute(
        Statement(
            'CREATE TABLE "Copied ""t""" (id int, "Te xt" text, data jsonb, tags text[], f float8, b bytea, d date)'
        )
    )
    from datetime import date

    records = [
        (1, "tab\tnew\nline\\back\r", '{"a": "\\n"}', '{"x,y",NULL}', 1.5, b"\x00\\", date(2024, 1, 1)),
        (2, "\\N", None, ["a", None, 'q"'], float("nan"), b"", date.max),
        (3, "", "null", "{}", None, None, None),
        (4, "\\.", '"☃"', None, float("-inf"), b"x", date.min),
    ]
    columns = ('"id"', '"Te xt"', '"data"', '"tags"', '"f"', '"b"', '"d"')
    types = ("int4", "text", "text", "text", "float8", "bytea", "date")
    rows = connection.execute(Copy('"public"."Copied ""t"""', columns, types, iter(records)))
    assert rows.count == 4
    got = connection.execute(Statement('SELECT * FROM "Copied ""t""" ORDER BY id')).data
    assert tuple(got[0]) == (1, records[0][1], '{"a": "\\n"}', ["x,y", None], 1.5, b"\x00\\", date(2024, 1, 1))
    assert tuple(got[1])[:4] == (2, "\\N", None, ["a", None, 'q"'])
    assert tuple(got[1])[5:] == (b"", date.max)
    assert tuple(got[2]) == (3, "", "null", [], None, None, None)
    assert tuple(got[3])[1:3] == ("\\.", '"☃"')


def test_copy_of_many_rows_and_none(connection):
    connection.execute(Statement("CREATE TEMP TABLE many (id int, t text)"))
    copy = Copy('"many"', ['"id"', '"t"'], ["int4", "text"], ((n, f"text {n} " * 5) for n in range(20_000)))
    assert connection.execute(copy).count == 20_000
    assert connection.execute(Statement("SELECT sum(id) FROM many")).data[0][0] == sum(range(20_000))
    assert connection.execute(Copy('"many"', ['"id"'], ["int4"], [])).count == 0


def test_copy_with_a_prelude_is_in_the_transaction(connection):
    connection.execute(Statement("CREATE TEMP TABLE undone (id int)"))
    connection.execute(Copy('"undone"', ['"id"'], ["int4"], [(1,)], prelude="BEGIN"))
    assert connection.connection.in_transaction
    connection.execute(Statement("ROLLBACK"))
    assert connection.execute(Statement("SELECT count(*) FROM undone")).data[0][0] == 0


def test_an_error_of_the_records_goes_through_and_the_connection_lives(connection):
    connection.execute(Statement("CREATE TEMP TABLE broken (id int)"))

    def records():
        yield (1,)
        raise ZeroDivisionError("in the records")

    with pytest.raises(ZeroDivisionError, match="in the records"):
        connection.execute(Copy('"broken"', ['"id"'], ["int4"], records()))
    assert connection.execute(Statement("SELECT count(*) FROM broken")).data[0][0] == 0


def test_an_error_of_the_server_in_copy(connection):
    connection.execute(Statement("CREATE TEMP TABLE strict (id int)"))
    with pytest.raises(DataError) as caught:
        connection.execute(Copy('"strict"', ['"id"'], ["text"], [("secret",)]))
    assert "secret" not in str(caught.value)
    assert caught.value.statement == 'COPY "strict" FROM STDIN'
    with pytest.raises(UndefinedColumn):
        connection.execute(Copy('"strict"', ['"nope"'], ["text"], [("x",)]))
    assert connection.execute(Statement("SELECT 1")).data[0][0] == 1


def test_a_wrong_number_of_arguments(connection):
    with pytest.raises((ProgrammingError, IndexError)):
        connection.execute(Statement("SELECT $1::int, $2::int", [1]))


def test_copy_after_a_column_has_changed(connection):
    connection.execute(Statement("CREATE TEMP TABLE retyped (v text)"))
    copy = ('"retyped"', ['"v"'], ["text"])
    assert connection.execute(Copy(*copy, [("1",)])).count == 1
    connection.execute(Statement("ALTER TABLE retyped ALTER v TYPE jsonb USING v::jsonb"))
    assert connection.execute(Copy(*copy, iter([("2",)]))).count == 1
    rows = connection.execute(Statement("SELECT v FROM retyped ORDER BY v")).data
    assert [row[0] for row in rows] == ["1", "2"]


class Receiving:
    """A socket that notes how many bytes it is asked for."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.asked: list[int] = []

    def recv(self, count: int) -> bytes:
        self.asked.append(count)
        return bytes(self._sock.recv(count))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def test_answers_are_read_in_pieces_that_malloc_keeps(connections):
    _, asynchronous = connections
    transport = asynchronous.connection._raw._transport
    receiving = transport._sock = Receiving(transport._sock)
    rows = asynchronous.execute(Statement("SELECT repeat(n::text, 100) FROM generate_series(10000, 19999) AS n"))
    assert [len(row[0]) for row in rows.data] == [500] * 10_000
    assert max(receiving.asked) < 128 * 1024  # from where on glibc maps memory and gives it back, each time
