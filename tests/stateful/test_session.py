"""Random programs of one session, against plain SQL row by row."""

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
from .machine import SessionMachine
from .models import MODELS, TWIN
from .running import SETTINGS, TIMEOUT

EMPTY = """
SET session_replication_role = replica;
DELETE FROM teams; DELETE FROM people; DELETE FROM passports; DELETE FROM folders; DELETE FROM tasks;
DELETE FROM skills; DELETE FROM people_skills;
DELETE FROM twin.teams; DELETE FROM twin.people; DELETE FROM twin.passports; DELETE FROM twin.folders;
DELETE FROM twin.tasks; DELETE FROM twin.skills; DELETE FROM twin.people_skills;
SET session_replication_role = origin
"""


@pytest.fixture(scope="module")
def world_dsn(server: Server) -> str:
    dsn = server.create_database("stateful")
    with create_engine(dsn) as engine:
        engine.create_all(MODELS)
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.cursor().execute(TWIN)
        connection.commit()
    return dsn


@pytest.fixture(params=["sync", "async"])
def driving(request: pytest.FixtureRequest, world_dsn: str) -> Iterator[Driving]:
    made = Driving(request.param, world_dsn)
    yield made
    made.close()


@pytest.mark.timeout(TIMEOUT)
def test_a_session_does_what_the_program_meant(driving: Driving, world_dsn: str) -> None:
    with (
        contextlib.closing(psycopg2.connect(world_dsn)) as plain,
        contextlib.closing(psycopg2.connect(world_dsn)) as twin,
    ):
        plain.autocommit = twin.autocommit = True

        def machine() -> Any:
            with contextlib.suppress(psycopg2.Error):
                twin.cursor().execute("ROLLBACK")
            plain.cursor().execute("SET lock_timeout = '5s'; " + EMPTY)  # a session that was left open would block it
            return SessionMachine(driving, plain, twin)

        run_state_machine_as_test(machine, settings=SETTINGS)
    assert driving.engine.pool.status().in_use == 0
