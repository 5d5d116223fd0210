"""Wire values are the same on both drivers, for every built-in type, both ways."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from psqlmodel.drivers.wire import NATIVE, TEXTUAL
from psqlmodel.steps import Statement

UUID_1 = UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
DATETIME_MAX, DATETIME_MIN = datetime.max, datetime.min

NATIVE_VALUES: list[tuple[str, Any]] = [
    ("bool", True),
    ("bool", False),
    ("int2", -32768),
    ("int4", 2**31 - 1),
    ("int8", -(2**63)),
    ("oid", 2**32 - 1),
    ("float4", 1.1),
    ("float4", float("-inf")),
    ("float8", 0.1 + 0.2),
    ("float8", float("inf")),
    ("float8", -5e-324),
    ("numeric", Decimal("1.50")),
    ("numeric", Decimal("-12345678901234567890.123456789")),
    ("numeric", Decimal("0.0000000000")),
    ("numeric", Decimal("Infinity")),
    ("numeric", Decimal("-Infinity")),
    ("text", ""),
    ("text", 'O\'Reilly \\ "quoted" 100% %s $1 ☃ 😀\n\t'),
    ("varchar", "a"),
    ("bpchar", "a"),
    ("name", "a"),
    ("bytea", b""),
    ("bytea", bytes(range(256))),
    ("date", date(2024, 2, 29)),
    ("date", date(1, 1, 2)),
    ("date", date.max),
    ("date", date.min),
    ("time", time(23, 59, 59, 999999)),
    ("timetz", time(1, 2, 3, 4, tzinfo=timezone(timedelta(hours=5, minutes=45)))),
    ("timestamp", datetime(2024, 2, 29, 12, 0, 0, 1)),
    ("timestamp", DATETIME_MAX),
    ("timestamp", DATETIME_MIN),
    ("timestamptz", datetime(1900, 1, 1, 12, tzinfo=UTC)),
    ("timestamptz", datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=-9)))),
    ("timestamptz", DATETIME_MAX.replace(tzinfo=UTC)),
    ("timestamptz", DATETIME_MIN.replace(tzinfo=UTC)),
    ("interval", timedelta(0)),
    ("interval", timedelta(days=-400, seconds=5, microseconds=7)),
    ("interval", timedelta(microseconds=-1)),
    ("uuid", UUID_1),
]

TEXT_VALUES = [
    ("json", '{"a": [1, "x\\n"]}'),
    ("jsonb", '{"a": [1, "x\\n"]}'),
    ("point", "(1,2)"),
    ("lseg", "[(1,2),(3,4)]"),
    ("path", "((1,2),(3,4))"),
    ("box", "(3,4),(1,2)"),
    ("polygon", "((1,2),(3,4))"),
    ("line", "{1,2,3}"),
    ("circle", "<(1,2),3>"),
    ("cidr", "10.0.0.0/8"),
    ("inet", "10.1.2.3/8"),
    ("macaddr", "08:00:2b:01:02:03"),
    ("macaddr8", "08:00:2b:01:02:03:04:05"),
    ("money", "$1,234.50"),
    ("varbit", "10101"),
    ("tsvector", "'a' 'b':1"),
    ("tsquery", "'a' & 'b'"),
    ("pg_lsn", "16/B374D848"),
    ("tid", "(0,1)"),
    ("xid", "5"),
    ("xid8", "5"),
    ("cid", "5"),
    ("regclass", "pg_class"),
    ("regtype", "integer"),
    ("jsonpath", '$."a"'),
    ("int4range", "[1,5)"),
    ("int8range", "empty"),
    ("numrange", "(1.5,)"),
    ("daterange", "[2024-01-01,2024-02-01)"),
    ("tsrange", '["2024-01-01 00:00:00",)'),
    ("tstzrange", '["2024-01-01 00:00:00+00",infinity)'),
    ("int4multirange", "{[1,2),[4,5)}"),
    ("datemultirange", "{}"),
]


def label(case: Any) -> str:
    return str(case)[:30]


@pytest.mark.parametrize(("name", "value"), NATIVE_VALUES + TEXT_VALUES, ids=label)
def test_a_value_survives_the_round_trip_alike_on_both_drivers(connections, name, value):
    for prepare in (True, True, True, False):
        statement = f"SELECT $1::{name} AS v"
        got = [each.execute(Statement(statement, [value], prepare=prepare)).data[0][0] for each in connections]
        for result in got:
            assert result == value
            assert isinstance(result, type(value))
        if isinstance(value, Decimal):
            assert str(got[0]) == str(got[1]) == str(value)
        if isinstance(value, datetime):
            assert got[0].tzinfo == got[1].tzinfo == (None if value.tzinfo is None else UTC)


@pytest.mark.parametrize("name", ["float4", "float8", "numeric"])
def test_nan(connections, name):
    nan: Any = Decimal("NaN") if name == "numeric" else float("nan")
    for each in connections:
        for _ in range(3):
            (got,) = each.execute(Statement(f"SELECT $1::{name}", [nan])).data[0]
            assert type(got) is type(nan)
            assert got != got


@pytest.mark.parametrize(("name", "value"), NATIVE_VALUES + TEXT_VALUES, ids=label)
def test_arrays_of_it_are_lists(connections, name, value):
    values = [[value, None], [value, value]]
    element = "text" if name == "box" else name  # an array of boxes is delimited by semicolons: see below
    for each in connections:
        for _ in range(3):
            (got,) = each.execute(Statement(f"SELECT $1::{element}[]", [values])).data[0]
            assert got == values
        assert each.execute(Statement(f"SELECT $1::{element}[]", [[]])).data[0][0] == []


def test_arrays_of_box(connections):
    for each in connections:
        (got,) = each.execute(Statement("SELECT ARRAY[box '((1,2),(3,4))', NULL, box '((5,6),(7,8))']")).data[0]
        assert got == ["(3,4),(1,2)", None, "(7,8),(5,6)"]


def test_null_is_none(connections):
    for each in connections:
        for name, _ in (NATIVE | {k: v for k, v in TEXTUAL.items() if v[0] in dict(TEXT_VALUES)}).values():
            assert each.execute(Statement(f'SELECT $1::"{name}"', [None])).data[0][0] is None


def test_types_that_someone_made_travel_as_text(connections):
    sync, _ = connections
    for name in ("enum_t", "composite_t", "range_t", "domain_t", "table_t"):
        sync.execute(Statement(f"DROP {'TABLE' if name == 'table_t' else 'TYPE'} IF EXISTS {name} CASCADE"))
    sync.execute(Statement("CREATE TYPE enum_t AS ENUM ('a', 'b c')"))
    sync.execute(Statement("CREATE TYPE composite_t AS (n int, t text)"))
    sync.execute(Statement("CREATE TYPE range_t AS RANGE (subtype = time)"))
    sync.execute(Statement("CREATE DOMAIN domain_t AS int CHECK (value > 0)"))
    sync.execute(
        Statement("CREATE TABLE table_t (e enum_t, c composite_t, r range_t, d domain_t, es enum_t[], ds domain_t[])")
    )
    row = ["b c", "(1,x)", "[10:00:00,11:00:00)", 5, ["a", "b c"], [1, 2]]
    insert = Statement("INSERT INTO table_t VALUES ($1, $2, $3, $4, $5, $6)", row)
    for each in connections:
        for _ in range(3):
            assert each.execute(insert).count == 1
    rows = {
        tuple(map(str, row)) for each in connections for row in each.execute(Statement("SELECT * FROM table_t")).data
    }
    assert rows == {("b c", "(1,x)", "[10:00:00,11:00:00)", "5", '{a,"b c"}', "{1,2}")}
    for each in connections:
        assert each.execute(Statement("SELECT d, row(1, 'x'), array[1, 2] FROM table_t LIMIT 1")).data[0][:] == (
            5,
            "(1,x)",
            [1, 2],
        )


def test_the_shape_names_columns_and_types(connections):
    for each in connections:
        for _ in range(3):
            shape = each.execute(Statement("SELECT 1::int8 AS a, $1::text AS b WHERE false", ["x"])).shape
            assert shape.names == ("a", "b")
            assert shape.oids == (20, 25)


def test_a_prepared_statement_keeps_its_shape(connection):
    statement = Statement("SELECT $1::int AS a", [1])
    connection.execute(statement)
    assert connection.execute(statement).shape is connection.execute(statement).shape


def test_counts(connection):
    connection.execute(Statement("CREATE TEMP TABLE counted (id int)"))
    assert connection.execute(Statement("INSERT INTO counted SELECT generate_series(1, 7)")).count == 7
    assert connection.execute(Statement("UPDATE counted SET id = id + 10 WHERE id > $1", [3])).count == 4
    rows = connection.execute(Statement("DELETE FROM counted WHERE id > $1 RETURNING id", [10]))
    assert rows.count == 4
    assert sorted(row[0] for row in rows.data) == [14, 15, 16, 17]
    assert connection.execute(Statement("UPDATE counted SET id = 0 WHERE false")).count == 0


def test_void_is_none(connections):
    for each in connections:
        assert each.execute(Statement("SELECT pg_sleep(0)")).data[0][0] in (None, "")
