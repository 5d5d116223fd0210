"""On a real cluster, where `PSQLMODEL_CITUS_DSN` names its coordinator: all tests of sessions, and where statements go.

    PSQLMODEL_CITUS_DSN=postgresql://me@coordinator/test pytest tests/distribution

The database is one for tests: tables whose names begin with `spread_` are dropped and made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from psqlmodel import Engine, Session, create_engine
from psqlmodel.core.unitofwork import routing, sql
from psqlmodel.core.unitofwork.updating import named_keys
from tests.database.both import Both

from . import test_distribution_sessions as cases
from .conftest import on_either
from .models import MODELS, Order, Tenant

# The same tests, with another database behind them.
globals().update({name: case for name, case in vars(cases).items() if name.startswith("test_")})

_SPREAD = "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid::text LIKE 'spread_%'"


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The DSN of the coordinator, with the tables of the models."""
    dsn = os.environ.get("PSQLMODEL_CITUS_DSN")
    if not dsn:
        pytest.skip("PSQLMODEL_CITUS_DSN does not name the coordinator of a Citus cluster")
    with create_engine(dsn) as engine:
        engine.drop_all(MODELS)
        engine.create_all(MODELS)
        yield dsn
        engine.drop_all(MODELS)


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest, cluster: str) -> Iterator[Both]:
    """An empty shop on the cluster behind an engine of either kind."""
    yield from on_either(request.param, cluster)


@pytest.fixture
def engine(cluster: str) -> Iterator[Engine]:
    with create_engine(cluster) as engine:
        yield engine


def tasks(engine: Engine, text: str, arrays: list[list[Any]]) -> int:
    """Return the number of shards that a statement goes to, by its plan; arrays of integers are its arguments."""
    written = re.sub(r"\$(\d+)", lambda found: f"'{{{','.join(map(str, arrays[int(found[1]) - 1]))}}}'", text)
    plan = "\n".join(row[0] for row in engine.execute(f"EXPLAIN {written}"))
    found = re.search(r"Task Count: (\d+)", plan)
    assert found is not None, plan
    return int(found[1])


def test_tables_are_spread(engine: Engine) -> None:
    assert engine.execute(_SPREAD).scalar() == len(MODELS) - 1


def written_by_key(verb: str, routed: str) -> str:
    """Return a statement about many orders by their keys: the new numbers, where there are some, then the keys."""
    mapper = Order.__mapper__
    keys = named_keys(mapper, _type_of)
    if verb == "UPDATE":
        number = mapper.attributes["number"]
        return sql.update_many(mapper.qualified, sql.named([number], [_type_of(number)]), keys, [], (), routed)
    if verb == "DELETE":
        return sql.delete(mapper.qualified, keys, routed=routed)
    return sql.by_keys(mapper.qualified, keys, [], routed)


def _type_of(column: Any) -> Any:
    return column.pg_type


@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "SELECT"])
def test_rows_of_one_tenant_are_on_one_shard(engine: Engine, verb: str) -> None:
    arrays = [*([[7, 8]] if verb == "UPDATE" else []), [1, 1], [5, 6]]
    routed, values = routing.route(Order.__mapper__, arrays[-2:], _type_of, len(arrays) + 1)
    assert tasks(engine, written_by_key(verb, routed), [*arrays, *values]) == 1
    assert tasks(engine, written_by_key(verb, ""), arrays) > 1


def test_what_is_locked_is_on_one_shard(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Tenant(id=1, name="one", orders=[Order(number=1)]))
        session.flush()
        assert len(session.claim(Order, 1, where=Order.tenant_id == 1)) == 1
        session.rollback()
