"""Random programs of two sessions at once, against two transactions of plain SQL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from hypothesis.stateful import run_state_machine_as_test

from psqlmodel import create_engine
from psqlmodel.embedded import Server

from .driving import Driving
from .rival_models import MODELS, TWIN
from .rivals import Rivals
from .running import SETTINGS, TIMEOUT
from .side import PATIENCE

EMPTY = """
SET search_path = public;
DELETE FROM tickets; DELETE FROM deposits; DELETE FROM vaults;
DELETE FROM twin.tickets; DELETE FROM twin.deposits; DELETE FROM twin.vaults;
"""


@pytest.fixture(scope="module")
def rivals_dsn(server: Server) -> str:
    dsn = server.create_database("stateful_rivals")
    with create_engine(dsn) as engine:
        engine.create_all(MODELS)
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.cursor().execute(TWIN)
        connection.commit()
    return dsn


@pytest.fixture(params=["sync", "async"])
def driving(request: pytest.FixtureRequest, rivals_dsn: str) -> Iterator[Driving]:
    made = Driving(request.param, rivals_dsn)
    yield made
    made.close()


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("isolation", [None, "REPEATABLE READ", "SERIALIZABLE"])
def test_two_sessions_at_once_do_what_plain_sql_does(driving: Driving, rivals_dsn: str, isolation: str | None) -> None:
    with contextlib.ExitStack() as stack:
        plain, *twins = (stack.enter_context(contextlib.closing(psycopg2.connect(rivals_dsn))) for _ in range(3))
        for connection in (plain, *twins):
            connection.autocommit = True
        plain.cursor().execute(f"SET lock_timeout = '{PATIENCE}s'")

        def machine() -> Any:
            for twin in twins:
                twin.cursor().execute("ROLLBACK")
            plain.cursor().execute(EMPTY)
            return Rivals(driving, twins, plain, isolation)

        run_state_machine_as_test(machine, settings=SETTINGS)
    assert driving.engine.pool.status().in_use == 0
