"""A shop of tenants on plain PostgreSQL; functions stand in for those of Citus, and note how they are called."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from psqlmodel import create_async_engine, create_engine
from psqlmodel.embedded import Server
from tests.database.both import Both, Statements

from .models import MODELS

# What Citus has under these names, as far as making tables needs it. They refuse what the real ones refuse.
STANDINS = """
CREATE TABLE pg_dist_partition (
    logicalrelid regclass PRIMARY KEY, partkey text, colocated text, ord int GENERATED ALWAYS AS IDENTITY
);
CREATE FUNCTION create_distributed_table(
    table_name regclass, distribution_column text, distribution_type text DEFAULT 'hash',
    colocate_with text DEFAULT 'default', shard_count int DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE far regclass;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = table_name AND attname = distribution_column) THEN
        RAISE EXCEPTION 'column "%" does not exist', distribution_column;
    END IF;
    FOR far IN SELECT confrelid FROM pg_constraint WHERE conrelid = table_name AND contype = 'f' LOOP
        IF NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = far) THEN
            RAISE EXCEPTION 'referenced table "%" must be a distributed table or a reference table', far;
        END IF;
    END LOOP;
    IF colocate_with NOT IN ('default', 'none')
        AND NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = colocate_with::regclass) THEN
        RAISE EXCEPTION 'relation % is not distributed', colocate_with;
    END IF;
    INSERT INTO pg_dist_partition (logicalrelid, partkey, colocated)
    VALUES (table_name, distribution_column, colocate_with);
END $$;
CREATE FUNCTION create_reference_table(table_name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pg_dist_partition (logicalrelid) VALUES (table_name);
END $$;
"""


@pytest.fixture(scope="session")
def cluster_dsn(server: Server) -> str:
    """The DSN of a database with the stand-ins and the tables of the models."""
    dsn = server.create_database("spread")
    with create_engine(dsn) as engine:
        engine.execute(STANDINS)
        engine.create_all(MODELS)
    return dsn


def on_either(kind: str, dsn: str) -> Iterator[Both]:
    """Give an empty shop behind an engine of this kind; two countries are there."""
    with create_engine(dsn) as sql:
        sql.execute("TRUNCATE spread_tenants, spread_countries, spread_notes, spread_tags, spread_posts CASCADE")
        sql.execute("INSERT INTO spread_countries VALUES ('fr', 'France'), ('no', 'Norway')")
        engine = (create_engine if kind == "sync" else create_async_engine)(dsn, max_pool_size=4)
        made = Both(kind, engine, sql)
        stop = engine.on_statement(made.statements.take)
        yield made
        stop()
        assert engine.pool.status().in_use == 0
        closing = engine.dispose()
        if closing is not None:
            asyncio.run(closing)


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest, cluster_dsn: str) -> Iterator[Both]:
    """An empty shop behind an engine of either kind."""
    yield from on_either(request.param, cluster_dsn)


@pytest.fixture
def statements(both: Both) -> Statements:
    """What was sent through the engine under test."""
    return both.statements
