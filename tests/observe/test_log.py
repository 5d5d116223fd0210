"""Statements in the log: of which line, how long, how many rows, and no value that nobody asked for."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from psqlmodel import ConfigurationError, DatabaseError, Select, Session, create_engine

from .conftest import Kind, ObservedThing


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="psqlmodel")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.db_purpose != "catalog"]  # type: ignore[attr-defined]


async def test_a_statement_is_a_record(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    engine = kind.engine()
    stop = engine.log_statements("INFO")
    async with kind.session(engine) as call:
        await call("exec", Select(ObservedThing).Where(ObservedThing.secret == "hunter2"))
        await call("exec", "SELECT 'hunter2', generate_series(1, %s)", [2])
        stop()
        await call("exec", "SELECT 3")
        await call("rollback")
    first, second = messages(caplog)
    assert re.match(r"[\d.]+ (ms|s), 0 rows at .*conftest\.py:\d+: SELECT .* WHERE .*secret\" = \$1$", first)
    assert re.search(r"2 rows at .*: SELECT \?, generate_series\(\?, \$1\)$", second)
    assert {(record.name, record.levelname) for record in caplog.records} == {("psqlmodel", "INFO")}
    assert "hunter2" not in caplog.text


def test_the_record_is_of_the_line_that_asked(observed_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    with create_engine(observed_dsn) as engine, Session(engine) as session:
        engine.log_statements()
        session.exec("SELECT 1").all()
    record = caplog.records[0]
    assert (record.pathname, record.funcName) == (__file__, "test_the_record_is_of_the_line_that_asked")
    assert f"test_log.py:{record.lineno}" in record.getMessage()
    assert (record.db_rows, record.db_purpose, record.db_seconds > 0) == (1, "raw", True)  # type: ignore[attr-defined]


def test_values_where_they_are_asked_for(observed_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    with create_engine(observed_dsn) as engine:
        engine.log_statements(values=True)
        engine.execute("SELECT 'kept', %s", ["hunter2"])
    assert messages(caplog)[0].endswith("SELECT 'kept', $1 ('hunter2',)")


async def test_only_what_is_slow_and_what_fails(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    engine = kind.engine()
    engine.log_statements(slower_than=0.05)
    async with kind.session(engine) as call:
        await call("exec", "SELECT pg_sleep(0.06)")
        for _ in range(5):
            await call("exec", "SELECT 1")
        with pytest.raises(DatabaseError):
            await call("exec", "SELECT 'hunter2'::int")
        await call("rollback")
    slow, *others, failed = caplog.records
    assert all(each.db_seconds >= 0.05 for each in [slow, *others])  # type: ignore[attr-defined]
    assert len(others) < 5
    assert "pg_sleep(?)" in slow.getMessage()
    assert (failed.levelname, "hunter2" in failed.getMessage()) == ("WARNING", False)
    assert "DataError" in failed.getMessage() or "InvalidTextRepresentation" in failed.getMessage()


def test_a_level_that_nobody_hears_makes_no_record(
    observed_dsn: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from psqlmodel.observe import log

    def never(*_: Any) -> None:
        raise AssertionError("nobody hears it")

    monkeypatch.setattr(log, "caller", never)
    caplog.set_level(logging.WARNING, logger="psqlmodel")
    with create_engine(observed_dsn) as engine:
        engine.log_statements("DEBUG")
        engine.execute("SELECT 1")
    assert caplog.records == []


@pytest.mark.parametrize("options", [{"level": "LOUD"}, {"slower_than": -1}, {"slower_than": True}, {"level": None}])
def test_what_can_not_be_logged_is_refused(options: dict[str, Any]) -> None:
    engine = create_engine("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(ConfigurationError):
        engine.log_statements(**options)
