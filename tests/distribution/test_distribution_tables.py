"""Tables of a cluster are made: spread before the keys between them are, in an order that works, and only once."""

from __future__ import annotations

import re

import pytest

from psqlmodel import Column, DatabaseError, Engine, PSQLModel, create_engine, table
from psqlmodel.core.unitofwork import routing, sql
from psqlmodel.core.unitofwork.updating import named_keys
from psqlmodel.schema import create_statements
from psqlmodel.types import bigint

from .conftest import STANDINS
from .models import MODELS, Country, Line, Order, Tenant

SPREAD = "SELECT logicalrelid::text, partkey, colocated FROM pg_dist_partition ORDER BY ord"
KEYS = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"


@table("spread_late", distributed_by="tenant_id")
class Late(PSQLModel):
    tenant_id: bigint = Column(primary_key=True)
    id: bigint = Column(primary_key=True)


@table("spread_early", distributed_by="tenant_id", colocate_with="spread_late")
class Early(PSQLModel):
    tenant_id: bigint = Column(primary_key=True)
    id: bigint = Column(primary_key=True)


@table("Spread It", schema="Spread 'Schema'", distributed_by="key")
class Quoted(PSQLModel):
    key: bigint = Column(primary_key=True, name='The "key" it\'s')


def spread(engine: Engine) -> list[tuple[str | None, ...]]:
    return [tuple(row) for row in engine.execute(SPREAD)]


def test_each_table_is_spread_before_keys_lead_to_it(fresh_database: str) -> None:
    with create_engine(fresh_database) as engine:
        engine.execute(STANDINS)
        engine.create_all(MODELS)
        rows = spread(engine)
        assert rows[0] == ("spread_countries", None, None)
        assert rows.index(("spread_tenants", "id", "default")) < rows.index(
            ("spread_orders", "tenant_id", '"spread_tenants"')
        )
        assert len(rows) == len(MODELS) - 1  # one is plain
        assert engine.execute(KEYS).scalar() == 6


def test_tables_that_are_spread_stay_as_they_are(fresh_database: str) -> None:
    with create_engine(fresh_database) as engine:
        engine.execute(STANDINS)
        engine.create_all([Country, Tenant])
        engine.create_all(MODELS)
        before = spread(engine)
        engine.create_all(MODELS)
        assert spread(engine) == before
        engine.drop_all(MODELS)
        assert engine.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'spread%'").scalar() == 0


def test_a_table_comes_after_the_one_that_it_goes_with(fresh_database: str) -> None:
    with create_engine(fresh_database) as engine:
        engine.execute(STANDINS)
        engine.create_all([Early, Late])
        assert [name for name, *_ in spread(engine)] == ["spread_late", "spread_early"]


def test_names_are_quoted(fresh_database: str) -> None:
    with create_engine(fresh_database) as engine:
        engine.execute(STANDINS)
        engine.create_all([Quoted])
        [(name, column, _)] = spread(engine)
        assert (name, column) == ('"Spread \'Schema\'"."Spread It"', 'The "key" it\'s')


def test_a_database_without_citus_says_what_to_do(fresh_database: str) -> None:
    with create_engine(fresh_database) as engine:
        with pytest.raises(
            DatabaseError, match=r"spread_countries is a table of a Citus cluster.*CREATE EXTENSION citus"
        ) as e:
            engine.create_all(MODELS)
        assert e.value.sqlstate == "0A000"
        name = engine.execute("SELECT current_database()").scalar()
        assert f"ALTER DATABASE {name} SET psqlmodel.distribution = 'plain'" in str(e.value)
        assert engine.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'spread%'").scalar() == 0


def test_a_database_that_is_to_stay_plain(fresh_database: str) -> None:
    with create_engine(fresh_database) as engine:
        name = engine.execute("SELECT current_database()").scalar()
        engine.execute(f"ALTER DATABASE {name} SET psqlmodel.distribution = 'plain'")
    with create_engine(fresh_database) as engine:
        engine.create_all(MODELS)
        assert engine.execute(KEYS).scalar() == 6


def test_a_table_that_was_plain_is_spread_later(fresh_database: str) -> None:
    with create_engine(fresh_database, settings={"psqlmodel.distribution": "plain"}) as engine:
        engine.create_all([Late])
    with create_engine(fresh_database) as engine:
        engine.execute(STANDINS)
        engine.create_all([Late])
        assert spread(engine) == [("spread_late", "tenant_id", "default")]


def test_the_statements() -> None:
    texts = create_statements([model.__mapper__ for model in (Line, Order, Tenant, Country)])
    assert "set_config('citus.multi_shard_modify_mode', 'sequential', true)" in texts[0]
    tables = [text for text in texts if text.startswith("CREATE TABLE")]
    assert len(tables) == 4
    assert not any("FOREIGN KEY" in text for text in tables)
    calls = [n for n, text in enumerate(texts) if "PERFORM create_" in text]
    keys = [n for n, text in enumerate(texts) if "ADD CONSTRAINT" in text]
    assert (len(calls), len(keys)) == (4, 3)
    assert max(calls) < min(keys)
    assert "PERFORM create_distributed_table('\"spread_lines\"', 'tenant_id');" in "".join(texts)
    assert "PERFORM create_reference_table('\"spread_countries\"');" in "".join(texts)


def partitions(engine: Engine, text: str, arrays: list[list[int]]) -> set[str]:
    """Return the partitions that a statement goes to, by its plan; its arguments are these arrays of integers."""
    written = re.sub(r"\$(\d+)", lambda found: f"'{{{','.join(map(str, arrays[int(found[1]) - 1]))}}}'", text)
    plan = "\n".join(row[0] for row in engine.execute(f"EXPLAIN {written}"))
    return set(re.findall(r" on (parted_\d)", plan))


def test_the_condition_tells_where_rows_are(fresh_database: str) -> None:
    """PostgreSQL's own partitions are found by the same reasoning: by the condition, not by arrays that are joined."""
    keys = named_keys(Late.__mapper__, lambda column: column.pg_type)
    with create_engine(fresh_database) as engine:
        engine.execute("CREATE TABLE parted (tenant_id int8, id int8) PARTITION BY HASH (tenant_id)")
        for n in range(4):
            engine.execute(f"CREATE TABLE parted_{n} PARTITION OF parted FOR VALUES WITH (MODULUS 4, REMAINDER {n})")
        for tenants, expected in (([1, 1], 1), ([1, 2], 2)):
            arrays = [tenants, [5, 6]]
            routed, values = routing.route(Late.__mapper__, arrays, lambda column: column.pg_type, 3)
            assert values == [sorted(set(tenants))]
            assert len(partitions(engine, sql.delete("parted", keys, routed=routed), [*arrays, *values])) == expected
            assert len(partitions(engine, sql.by_keys("parted", keys, [], routed), [*arrays, *values])) == expected
            assert len(partitions(engine, sql.delete("parted", keys), arrays)) == 4
