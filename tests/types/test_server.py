"""The same types on a real PostgreSQL: OIDs, spellings, casts and text forms are what the server says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_interface, ip_network
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from psqlmodel import types
from psqlmodel.types import Box, Circle, Line, LineSegment, Multirange, Path, PgType, Point, Polygon, Range
from psqlmodel.types.catalog import _BY_OID, _ELEMENTS

HARD = "é😀 'quoted' \"double\" \\back\\ {brace} (paren) 100% NULL, \n\t end"
AWARE = datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=UTC)

# xml is left out: a server may be built without it, and the embedded one is.
VALUES: list[tuple[PgType[Any], Any]] = [
    (types.smallint, -32768),
    (types.integer, 2**31 - 1),
    (types.bigint, -(2**63)),
    (types.oid, 2**32 - 1),
    (types.numeric(12, 2), Decimal("1234.50")),
    (types.numeric, Decimal("NaN")),
    (types.numeric, Decimal("-Infinity")),
    (types.money, Decimal("-1234.50")),
    (types.real, 1.5),
    (types.double, 0.1),
    (types.double, -math.inf),
    (types.text, HARD),
    (types.text, ""),
    (types.varchar(80), HARD),
    (types.char(2), "éx"),
    (types.name, "Users"),
    (types.bytea, b"\0\\'\xff"),
    (types.boolean, True),
    (types.uuid, UUID(int=5)),
    (types.date, date(2026, 1, 2)),
    (types.date, date.max),
    (types.date, date.min),
    (types.time, time(23, 59, 59, 999999)),
    (types.time(3), time(23, 59, 59, 999000)),
    (types.timetz, time(1, 2, 3, tzinfo=timezone(timedelta(hours=-5, minutes=-30)))),
    (types.timestamp, datetime(2026, 1, 2, 3, 4, 5, 6)),
    (types.timestamp, datetime.max),
    (types.timestamptz, AWARE),
    (types.timestamptz, datetime.min.replace(tzinfo=UTC)),
    (types.interval, timedelta(-1, 5, 7)),
    (types.interval, timedelta(400, 86399, 999999)),
    (types.json, {"a": [1, 2.5, None, HARD]}),
    (types.jsonb, {"a": [1, 2.5, None, HARD]}),
    (types.inet, ip_interface("10.0.0.1/24")),
    (types.cidr, ip_network("2001:db8::/32")),
    (types.macaddr, "08:00:2b:01:02:03"),
    (types.macaddr8, "08:00:2b:01:02:03:04:05"),
    (types.int4range, Range(1, 10)),
    (types.int8range, Range(empty=True)),
    (types.numrange, Range(Decimal("1.5"), None, "()")),
    (types.tsrange, Range(datetime(2026, 1, 1), datetime(2026, 1, 2, 0, 0, 0, 500000), "[]")),
    (types.tstzrange, Range(None, AWARE, "(]")),
    (types.daterange, Range(date(2026, 1, 1), date(2027, 1, 1))),
    (types.int4multirange, Multirange([Range(1, 3), Range(5, 9)])),
    (types.int8multirange, Multirange()),
    (types.nummultirange, Multirange([Range(Decimal(1), Decimal(2), "[]")])),
    (types.tsmultirange, Multirange([Range(datetime(2026, 1, 1), None)])),
    (types.tstzmultirange, Multirange([Range(AWARE, None)])),
    (types.datemultirange, Multirange([Range(date(2026, 1, 1), date(2026, 1, 3))])),
    (types.bit(3), "101"),
    (types.varbit, "10101"),
    (types.point, Point(1.5, -1e300)),
    (types.line, Line(1, 2, 3)),
    (types.lseg, LineSegment((0, 0), (1, 1))),
    (types.box, Box((0, 0), (1, 1))),
    (types.path, Path([(0, 0), (1, 1)], closed=False)),
    (types.path, Path([(0, 0), (1, 1)])),
    (types.polygon, Polygon([(0, 0), (1, 0), (1, 1)])),
    (types.circle, Circle((0.5, 0), 2)),
    (types.tsvector, "'cat':2 'fat':1"),
    (types.tsquery, "'cat' & 'fat'"),
    (types.pg_lsn, "16/B374D848"),
    (types.hstore, {"a": None, HARD: HARD}),
    (types.vector(2), [1.5, -2.0]),
    (types.citext, HARD),
]
CASES = VALUES + [
    (types.array(pg_type), values)
    for pg_type, value in VALUES
    if value == value
    for values in ([value, None, value], [], [[value], [value]])
    if not (pg_type.mutable and values and isinstance(values[0], list))
]


@pytest.fixture(scope="module")
def cursor(database_dsn: str) -> Iterator[Any]:
    connection = psycopg2.connect(database_dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET TimeZone = 'UTC'; SET lc_monetary = 'C'; SET client_min_messages = warning")
        cursor.execute("SELECT name FROM pg_available_extensions WHERE name IN ('hstore', 'citext', 'vector')")
        for (extension,) in cursor.fetchall():
            cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
        yield cursor
    connection.close()


@pytest.fixture
def known(cursor: Any, pg_type: types.PgType[Any]) -> None:
    """The server has the extension of the type."""
    extension = (pg_type.element or pg_type).extension
    cursor.execute("SELECT FROM pg_extension WHERE extname = %s", [extension])
    if extension and cursor.fetchone() is None:
        pytest.skip(f"this server has no {extension}")


def same(one: Any, other: Any) -> bool:
    return one == other or repr(one) == repr(other)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(("pg_type", "value"), CASES, ids=lambda item: getattr(item, "name", ""))
def test_text_forms(cursor, pg_type, value):
    """What `dump_text` writes the server reads, and what it answers `load_text` reads as the same value."""
    cursor.execute(f"SELECT (%s::text::{pg_type.base})::text", (pg_type.dump_text(value),))
    assert same(pg_type.load_text(cursor.fetchone()[0]), value)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(("pg_type", "value"), CASES, ids=lambda item: getattr(item, "name", ""))
def test_transport(cursor, pg_type, value):
    """Many values, carried by `unnest` and cast, are assigned to a column of the type's own spelling."""
    cursor.execute(f"CREATE TEMP TABLE t (a {pg_type.name})")
    try:
        values = pg_type.dump_column([value, None])
        literal = types.array_literal(values)
        cursor.execute(
            f"INSERT INTO t SELECT v{pg_type.cast} FROM unnest(%s::{pg_type.transport}[]) AS u(v)", (literal,)
        )
        cursor.execute("SELECT a::text FROM t")
        (first,), (second,) = cursor.fetchall()
        assert same(pg_type.load_text(first), value)
        assert second is None
    finally:
        cursor.execute("DROP TABLE t")


def test_oids(cursor):
    for oid in [*_BY_OID, *_ELEMENTS]:
        pg_type = types.by_oid(oid)
        assert pg_type is not None
        assert (pg_type.element is not None) is (oid in _ELEMENTS)
        cursor.execute("SELECT %s::text::regtype::oid::int8, typdelim FROM pg_type WHERE oid = %s", (pg_type.name, oid))
        found, delimiter = cursor.fetchone()
        # bit without a length is bit(1) in DDL; its OID is the same.
        assert found == oid, pg_type.name
        if pg_type.element is None:
            assert delimiter == pg_type.delimiter, pg_type.name


def test_all_that_columns_commonly_have_is_known(cursor):
    cursor.execute(
        "SELECT oid::int8, typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace"
        " AND typtype IN ('b', 'r', 'm') AND typcategory NOT IN ('A', 'Z', 'P')"
        " AND typname NOT LIKE 'reg%' AND typname NOT LIKE 'pg\\_%' AND typrelid = 0"
    )
    unknown = {name for oid, name in cursor.fetchall() if types.by_oid(oid) is None}
    assert unknown <= {
        "tid",
        "xid",
        "cid",
        "xid8",
        "aclitem",
        "refcursor",
        "txid_snapshot",
        "gtsvector",
        "jsonpath",
    }


@pytest.mark.parametrize(
    ("pg_type", "value"),
    [(types.varchar(3), "abcd"), (types.char(3), "abcd"), (types.bit(3), "1011"), (types.bit(3), "1")],
)
def test_casts_do_not_cut_silently(cursor, pg_type, value):
    """Where the length is not checked here (a column wider in the model), the server still refuses."""
    cursor.execute(f"CREATE TEMP TABLE t (a {pg_type.name})")
    try:
        with pytest.raises(psycopg2.DataError):
            cursor.execute(f"INSERT INTO t SELECT v{pg_type.cast} FROM unnest(%s::text[]) AS u(v)", ([value],))
    finally:
        cursor.execute("DROP TABLE t")


def test_a_domain_over_varchar_refuses_what_is_too_long(cursor):
    cursor.execute("DROP DOMAIN IF EXISTS short; CREATE DOMAIN short AS varchar(3)")
    domain = types.from_catalog("short", "public", 77777, kind="d", base=types.varchar)
    cursor.execute("CREATE TEMP TABLE t (a short, b short[])")
    try:
        insert = f"INSERT INTO t SELECT v{domain.cast} FROM unnest(%s::text[]) AS u(v)"
        cursor.execute(insert, (["abc"],))
        with pytest.raises(psycopg2.DataError):
            cursor.execute(insert, (["abcd"],))
        insert = f"INSERT INTO t (b) SELECT v{domain.array().cast} FROM unnest(%s::text[]) AS u(v)"
        cursor.execute(insert, (["{abc}"],))
        with pytest.raises(psycopg2.DataError):
            cursor.execute(insert, (["{abcd}"],))
    finally:
        cursor.execute("DROP TABLE t; DROP DOMAIN short")
