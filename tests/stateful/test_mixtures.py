"""Random programs whose flushes write many kinds of rows at once, against plain SQL row by row."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from psqlmodel import create_engine
from psqlmodel.embedded import Server

from .driving import Driving
from .mixture_models import KINDS, MODELS, TWIN
from .mixtures import Mixtures
from .running import EXAMPLES, SETTINGS, TIMEOUT

TABLES = [*(kind.table for kind in KINDS.values()), "items_tags"]
EMPTY = "; ".join(f"DELETE FROM {schema}.{table}" for schema in ("public", "twin") for table in reversed(TABLES))


@pytest.fixture(scope="module")
def mixtures_dsn(server: Server) -> str:
    dsn = server.create_database("stateful_mixtures")
    with create_engine(dsn) as engine:
        engine.create_all(MODELS)
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.cursor().execute(TWIN)
        connection.commit()
    return dsn


@pytest.fixture(params=["sync", "async"])
def driving(request: pytest.FixtureRequest, mixtures_dsn: str) -> Iterator[Driving]:
    made = Driving(request.param, mixtures_dsn)
    yield made
    made.close()


@pytest.mark.timeout(TIMEOUT)
def test_flushes_of_many_kinds_of_rows(driving: Driving, mixtures_dsn: str) -> None:
    with (
        contextlib.closing(psycopg2.connect(mixtures_dsn)) as plain,
        contextlib.closing(psycopg2.connect(mixtures_dsn)) as twin,
    ):
        plain.autocommit = twin.autocommit = True

        def machine() -> Any:
            twin.cursor().execute("ROLLBACK")
            plain.cursor().execute("SET lock_timeout = '5s'")  # a session that was left open would block it
            plain.cursor().execute("SET session_replication_role = replica; " + EMPTY)
            plain.cursor().execute("SET session_replication_role = origin")
            return Mixtures(driving, plain, twin)

        budget = SETTINGS if EXAMPLES else settings(SETTINGS, max_examples=30, stateful_step_count=12)
        run_state_machine_as_test(machine, settings=budget)
    assert driving.engine.pool.status().in_use == 0
