"""A trace as a table: in colours for a terminal, without, and without rich."""

from __future__ import annotations

import io
import re

import pytest

from psqlmodel import DatabaseError, Session, Trace, create_engine
from psqlmodel.observe import table


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture(scope="module")
def trace(observed_dsn: str) -> Trace:
    with create_engine(observed_dsn) as engine, Session(engine) as session:
        with session.trace() as made:
            for n in range(60):
                session.exec(f"SELECT {n} AS wanted, 'hunter2' FROM generate_series(1, %s)", [n]).all()
            with pytest.raises(DatabaseError):
                session.exec("SELECT [red]nothing[/red]").all()
        session.rollback()
    return made


def test_with_rich(trace: Trace) -> None:
    shown = table.drawn(trace, colours=False)
    lines = shown.splitlines()
    assert lines[0].startswith("61 statements, ")
    assert re.search(r"│ +# │ +at ms │ +time │ +rows │ +trips │ statement", lines[2])
    assert re.search(r"│ +7 │ .* │ SELECT \? AS wanted, \? FROM", shown)
    assert "… and 11 more" in shown
    assert "\x1b" not in shown
    assert "hunter2" not in shown
    assert max(map(len, lines)) <= 160
    assert "\x1b[" in table.drawn(trace, colours=True)


@pytest.mark.parametrize("rich", [True, False])
def test_a_narrow_terminal(trace: Trace, monkeypatch: pytest.MonkeyPatch, rich: bool) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = (table.drawn(trace, colours=False) if rich else table.plain(trace)).splitlines()
    line = next(each for each in lines if "SELECT" in each)
    assert max(len(each) for each in lines) <= 80
    assert f".py:{trace.statements[0].site.line}" in line  # type: ignore[union-attr]


def test_rich_prints_it_itself(trace: Trace) -> None:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=120).print(trace)
    assert "61 statements" in out.getvalue()


def test_without_rich(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "find_spec", lambda _: None)
    lines = str(trace).splitlines()
    assert lines[0].startswith("61 statements, ")
    assert lines[1].split() == ["#", "at", "ms", "time", "rows", "trips", "statement", "from"]
    assert lines[2].split()[-1].endswith(f".py:{trace.statements[0].site.line}")  # type: ignore[union-attr]
    assert lines[2].startswith(" 1")
    assert "BEGIN; SELECT" in lines[2]
    assert lines[52] == "… and 11 more: trace.statements has them all"


def test_signs_of_rich_in_a_text_are_only_signs(observed_dsn: str) -> None:
    with create_engine(observed_dsn) as engine, engine.trace() as trace:
        engine.execute('SELECT 1 AS "[red]x[/red]"')
    assert '"[red]x[/red]"' in table.drawn(trace, colours=False)


def test_one_of_each(observed_dsn: str) -> None:
    with create_engine(observed_dsn) as engine, engine.trace() as trace:
        engine.execute("SELECT 1")
    assert str(trace).startswith("1 statement, 1 round trip, ")
    assert ", 1 row" in table.summary(trace)
