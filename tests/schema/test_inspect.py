"""What inspection finds: the round trip of what DDL made, and the things that models never make."""

from __future__ import annotations

from typing import Any

from psqlmodel.record import replace
from psqlmodel.schema import create_all, describe, inspect_enums, inspect_tables
from psqlmodel.schema.description import ColumnInfo, IndexInfo, TableInfo

from .conftest import SyncDrive
from .test_create import MAPPERS


def normal(table: TableInfo, schema: str | None) -> dict[str, Any]:
    """What a model and the server must agree on; SQL text, which the server spells in its own way, apart."""
    return {
        "name": table.name,
        "schema": table.schema or "public",
        "comment": table.comment,
        "columns": [(c.name, c.nullable, c.identity, c.comment, c.generated is None) for c in table.columns],
        "primary_key": table.primary_key,
        "uniques": set(table.uniques),
        "checks": {check.name for check in table.checks},
        "foreign_keys": {replace(key, schema=key.schema or "public") for key in table.foreign_keys},
        "indexes": {(i.name, i.unique, i.method, i.where is None, len(i.elements)) for i in table.indexes},
    }


def test_round_trip(drive: SyncDrive):
    drive(create_all(MAPPERS))
    asked = sorted(describe(MAPPERS).tables, key=lambda t: (t.schema or "public", t.name))
    found = drive(inspect_tables())
    assert [normal(t, None) for t in found] == [normal(t, None) for t in asked]
    players = next(t for t in found if t.name == "players")
    assert [(c.name, c.type, c.default) for c in players.columns] == [
        ("id", "integer", None),
        ("team_id", "bigint", None),
        ("name", "character varying(40)", None),
        ("number", "integer", "1"),
        ("mood", "mood", "'happy'::mood"),
    ]
    assert [check.condition for check in players.checks] == ["number > 0"]
    assert players.indexes[1:] == (
        IndexInfo("ix_players_name", ('"name"',)),
        IndexInfo("uq_players_team_id", ('"team_id"',), unique=True, where="number < 12"),
    )


def test_names_and_schemas_select(sync_drive: SyncDrive):
    sync_drive(create_all(MAPPERS))
    sync_drive.sql('CREATE TABLE "Mixed Schema".teams (a int)')

    def found(*args: Any, **options: Any) -> list[tuple[str | None, str]]:
        return [(t.schema, t.name) for t in sync_drive(inspect_tables(*args, **options))]

    assert found(["teams", "nowhere"]) == [("public", "teams")]
    assert found(["teams"], "Mixed Schema") == [("Mixed Schema", "teams")]
    assert found(schema="Mixed Schema") == [("Mixed Schema", "Order"), ("Mixed Schema", "teams")]
    assert found(["nowhere"]) == []
    assert ("pg_catalog", "pg_class") in found(["pg_class"], "pg_catalog")
    assert not any(schema in ("pg_catalog", "information_schema") for schema, _ in found())


def test_views_partitions_domains_and_more(drive: SyncDrive):
    for statement in (
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        "CREATE DOMAIN tiny AS positive CHECK (VALUE < 9)",
        "CREATE TYPE mood AS ENUM ('b', 'a')",
        "COMMENT ON TYPE mood IS 'how it goes'",
        "CREATE TYPE span AS RANGE (subtype = tiny)",
        "CREATE TABLE logs (id int GENERATED ALWAYS AS IDENTITY, at date NOT NULL, t tiny[], p pair, m mood, "
        "s span, twice int GENERATED ALWAYS AS (id * 2) STORED, gone int) PARTITION BY RANGE (at)",
        "ALTER TABLE logs DROP COLUMN gone",
        "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        "CREATE VIEW seen AS SELECT id, at FROM logs",
        "CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one",
        "CREATE INDEX odd ON logs USING btree (at DESC, (id + 1) NULLS FIRST) INCLUDE (m)",
        "CREATE EXTENSION btree_gist",
        "CREATE EXTENSION hstore",
        'CREATE TABLE rooms (id int PRIMARY KEY, n text COLLATE "C" UNIQUE DEFERRABLE, h hstore, '
        "CONSTRAINT apart EXCLUDE USING gist (id WITH =) WHERE (id > 0))",
        "CREATE INDEX pattern ON rooms (n text_pattern_ops)",
    ):
        drive.sql(statement)
    found = {t.name: t for t in drive(inspect_tables(schema="public"))}
    assert {name: t.kind for name, t in found.items()} == {
        "logs": "partitioned table",
        "logs_1": "table",
        "seen": "view",
        "kept": "materialized view",
        "rooms": "table",
    }
    logs = found["logs"]
    assert logs.partition_key == "RANGE (at)"
    assert found["logs_1"].partition_of == ("public", "logs")
    assert "FROM logs" in (found["seen"].definition or "")
    assert [c.name for c in logs.columns] == ["id", "at", "t", "p", "m", "s", "twice"]
    assert logs.column("id").identity == "ALWAYS"
    assert logs.column("twice").generated == "(id * 2)"
    assert logs.column("twice").default is None
    tiny = info(logs.column("t")).element
    assert (tiny.name, tiny.kind, tiny.base.name, tiny.base.base.name) == ("tiny", "d", "positive", "int4")
    assert info(logs.column("p")).kind == "c"
    assert info(logs.column("m")).labels == ("b", "a")
    assert (info(logs.column("s")).kind, info(logs.column("s")).element.name) == ("r", "tiny")
    assert logs.indexes == (IndexInfo("odd", ('"at" DESC', "(id + 1) NULLS FIRST"), include=("m",)),)
    rooms = found["rooms"]
    assert info(rooms.column("h")).extension == "hstore"
    assert rooms.uniques[0].deferrable
    assert rooms.excludes[0].definition == "USING gist (id WITH =) WHERE ((id > 0))"
    assert rooms.indexes == (IndexInfo("pattern", ('"n" "text_pattern_ops"',)),)
    (mood,) = drive(inspect_enums())
    assert (mood.schema, mood.name, mood.labels, mood.comment) == (
        "public",
        "mood",
        ("b", "a"),
        "how it goes",
    )


def info(column: ColumnInfo) -> Any:
    assert column.type_info is not None
    return column.type_info
