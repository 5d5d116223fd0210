"""The catalog: what columns really are, read once, in one statement."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from ipaddress import IPv4Address
from typing import Any

import pytest

from psqlmodel import types
from psqlmodel.core.engine.catalog import Catalog
from psqlmodel.model import Column, PSQLModel, table
from psqlmodel.query.nodes import TableSource
from psqlmodel.steps import NO_COLUMNS, Rows

from .conftest import SyncDrive


class Color(Enum):
    RED = "red"


@table("things")
class Thing(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    color: Column[Color]
    color_text: Column[str] = Column(name="color2")
    at: Column[datetime]
    count: Column[int]
    name: Column[str] = Column(name="Na me")
    where: Column[str]
    numbers: Column[list[int]]
    not_there: Column[int]


@table("others", schema="s")
class Other(PSQLModel):
    id: Column[int] = Column(primary_key=True)


@table("missing")
class Missing(PSQLModel):
    id: Column[int] = Column(primary_key=True)


THINGS, OTHERS, MISSING = Thing.__mapper__, Other.__mapper__, Missing.__mapper__


@pytest.fixture
def things(drive: SyncDrive) -> SyncDrive:
    for statement in (
        "CREATE TYPE color AS ENUM ('red', 'blue')",
        "CREATE DOMAIN year AS int CHECK (VALUE > 0)",
        "CREATE DOMAIN late_year AS year CHECK (VALUE > 1900)",
        "CREATE SCHEMA s",
        'CREATE TABLE things ("where" inet, extra point, "Na me" varchar(9), id bigint, color color, '
        "color2 color, at timestamp, gone int, count late_year, numbers bigint[], years late_year[])",
        "ALTER TABLE things DROP COLUMN gone",
        "CREATE TABLE s.others (id uuid)",
    ):
        drive.sql(statement)
    drive.sent.clear()
    return drive


def test_one_statement_for_all_tables_and_none_afterwards(things: SyncDrive):
    catalog = Catalog()
    things(catalog.ensure([THINGS, OTHERS, THINGS]))
    assert len(things.sent) == 1
    things(catalog.ensure([OTHERS, THINGS]))
    assert len(things.sent) == 1
    assert catalog.type_of(Other.id).name == "uuid"


def test_the_database_wins(things: SyncDrive):
    catalog = Catalog()
    assert catalog.type_of(Thing.id) is Thing.id.type, "nothing is known yet"
    things(catalog.ensure([THINGS]))
    actual = catalog.actual(THINGS)
    assert {name: type_.name for name, type_ in actual.items() if type_.oid} == {
        "where": "inet",
        "extra": "point",
        "Na me": "varchar",
        "id": "bigint",
        "at": "timestamp",
        "numbers": "bigint[]",
    }
    assert catalog.type_of(Thing.id) is types.bigint
    assert catalog.type_of(Thing.at).dump(datetime(2020, 1, 1)) == datetime(2020, 1, 1)
    count = catalog.type_of(Thing.count)
    assert (count.name, count.transport) == ('"public"."late_year"', "int4")
    assert actual["years"].element is not None
    assert catalog.type_of(Thing.numbers).name == "bigint[]"


def test_the_models_python_side_is_kept(things: SyncDrive):
    catalog = Catalog()
    things(catalog.ensure([THINGS]))
    color = catalog.type_of(Thing.color)
    assert color.dump(Color.RED) == "red"
    assert color.load is not None
    assert color.load("red") is Color.RED
    assert color.cast == '::"public"."color"'
    text = catalog.type_of(Thing.color_text)
    assert (text.load("blue") if text.load else "blue") == "blue"
    where = catalog.type_of(Thing.where)
    assert (where.load("10.0.0.1") if where.load else "10.0.0.1") == "10.0.0.1"
    assert catalog.actual(THINGS)["where"].load("10.0.0.1") == IPv4Address("10.0.0.1")


def test_a_column_that_is_not_there_stays_the_models(things: SyncDrive):
    catalog = Catalog()
    things(catalog.ensure([THINGS]))
    assert catalog.type_of(Thing.not_there) is Thing.not_there.type


def test_a_missing_table_is_not_remembered(things: SyncDrive):
    catalog = Catalog()
    things(catalog.ensure([MISSING, THINGS]))
    assert catalog.missing([MISSING, THINGS]) == [(None, "missing")]
    assert catalog.type_of(Missing.id) is Missing.id.type
    assert dict(catalog.actual(MISSING)) == {}
    things.sql("CREATE TABLE missing (id bigint)")
    things(catalog.ensure([MISSING]))
    assert catalog.type_of(Missing.id) is types.bigint


def test_the_search_path_decides(things: SyncDrive):
    things.sql("CREATE TABLE s.things (id text)")
    things.sql("SET search_path = s, public")
    catalog = Catalog()
    things(catalog.ensure([THINGS]))
    assert catalog.actual(THINGS) == {"id": types.text}


def test_aliases_and_tables_without_a_model(things: SyncDrive):
    catalog = Catalog()
    source = TableSource("others", "s")
    things(catalog.ensure([THINGS, source]))
    assert catalog.actual(source) == {"id": types.uuid}
    seen_through = Thing.id.through(TableSource("t2"))
    assert catalog.type_of(seen_through) is types.bigint


def test_invalidate_forgets(things: SyncDrive):
    catalog = Catalog()
    things(catalog.ensure([OTHERS]))
    assert catalog.type_of(Other.id).name == "uuid"
    things.sql("ALTER TABLE s.others ALTER id TYPE text")
    catalog.invalidate()
    assert catalog.type_of(Other.id) is Other.id.type
    things(catalog.ensure([OTHERS]))
    assert catalog.actual(OTHERS) == {"id": types.text}


def test_what_was_read_before_an_invalidation_is_not_kept():
    catalog = Catalog()
    steps = catalog.ensure([OTHERS])
    next(steps)
    catalog.invalidate()
    row: tuple[Any, ...] = (0, 2950, "uuid", "pg_catalog", "b", 0, 0, [], None, None, False)
    with pytest.raises(StopIteration):
        steps.send(Rows([row, (1, 2950, "id", *[None] * 7, False)], NO_COLUMNS, 2))
    assert catalog.missing([OTHERS]) == [("s", "others")]


def test_what_makes_the_defaults(drive: SyncDrive):
    for statement in (
        "CREATE TABLE things (id int GENERATED ALWAYS AS IDENTITY, \"Na me\" text DEFAULT upper('x'), "
        "old serial, twice int GENERATED ALWAYS AS (id * 2) STORED, plain int)",
        "CREATE TABLE logs (id int GENERATED BY DEFAULT AS IDENTITY, at date) PARTITION BY RANGE (at)",
        "CREATE TABLE part PARTITION OF logs FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        "CREATE VIEW seen AS SELECT * FROM things",
    ):
        drive.sql(statement)
    catalog = Catalog()
    sources = {name: TableSource(name) for name in ("things", "part", "seen")}
    drive(catalog.ensure(sources.values()))
    makers = catalog.makers(sources["things"])
    assert set(makers) == {"id", "Na me", "old"}
    made = drive.sql(f"SELECT {makers['id']}::int, {makers['Na me']}, {makers['old']}::int")
    assert made == [(1, "X", 1)]
    assert catalog.generated(sources["things"]) == {"twice"}
    assert dict(catalog.makers(sources["part"])) == {}, "the sequence is the parent's"
    assert dict(catalog.makers(sources["seen"])) == {}
    assert dict(catalog.makers(TableSource("nowhere"))) == {}
    assert catalog.generated(TableSource("nowhere")) == frozenset()
