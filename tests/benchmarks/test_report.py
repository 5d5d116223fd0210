"""What the figures of a run become: which adapters and workloads are meant, medians, ratios, and what is not there."""

from __future__ import annotations

import pytest

from benchmarks import adapters, report
from benchmarks.adapters.base import percentile
from benchmarks.run import Cell, Results
from benchmarks.workloads import WORKLOADS

NAMES = ["psycopg2", "psqlmodel-sync", "peewee"]


def cell(*rounds: list[float]) -> Cell:
    return Cell([[{"wall": value, "cpu": value / 2} for value in samples] for samples in rounds])


@pytest.fixture
def results() -> Results:
    made = Results(server="18")
    made.cells["W1", "psycopg2"] = cell([0.2, 0.1], [0.3])
    made.cells["W1", "psqlmodel-sync"] = cell([0.1, 0.1], [0.9])
    made.cells["W1", "peewee"] = Cell(missing="no reason")
    made.cells["W4", "psycopg2"] = cell([0.2])
    made.cells["W4", "psqlmodel-sync"] = Cell(trouble="W4 went wrong")
    return made


def test_adapters_are_named_by_group_and_beginning() -> None:
    assert adapters.named("floor,psqlmodel") == ["psycopg2", "psqlmodel-sync", "asyncpg", "psqlmodel-async"]
    assert adapters.named("django, psycopg2") == ["psycopg2", "django"]
    assert adapters.named("") == list(adapters.NAMES)
    with pytest.raises(SystemExit, match="there is no adapter 'psql'"):
        adapters.named("psql")


def test_ratios_are_of_medians_to_the_floor_of_the_driver(results: Results) -> None:
    text = report.markdown(results, NAMES, ["W1", "W4"], 2, "command")
    rows = [line for line in text.splitlines() if line.startswith("| W1 |")]
    assert rows[0].endswith("| 1.00 | 0.50 | – |")
    assert rows[2].endswith("| 200 ms | 100 ms | – |")
    assert "| 1.00 | failed | – |" in text
    assert "- W1, peewee: no reason" in text
    assert results.troubles == ["W4 psqlmodel-sync: W4 went wrong"]


def test_pairs_are_of_the_same_round(results: Results) -> None:
    first = report.pairs(results, NAMES[:2], ["W1"]).splitlines()[0]
    assert first == "W1    wall  psqlmodel-sync / psycopg2: 1.833 (0.667 … 3.000, 2 rounds)"


def test_an_adapter_that_is_not_installed_is_named(results: Results) -> None:
    results.absent["peewee"] = "No module named 'peewee'"
    text = report.markdown(results, NAMES, ["W1"], 1, "command")
    assert "- peewee could not be installed or imported: No module named 'peewee'." in text
    assert "| psycopg2 | psqlmodel-sync |\n" in text


def test_what_takes_long_is_measured_once(results: Results) -> None:
    results.cells["W7", "peewee"] = cell([5.5])
    assert results.slow("W7", "peewee")
    assert not results.slow("W1", "psycopg2")
    assert not results.slow("W2", "psycopg2")
    results.cells["W8", "peewee"] = cell([0.01])  # for one of 640
    assert results.slow("W8", "peewee")


def test_percentile() -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], 0.99) == 100
    assert percentile([1.0], 0.99) == 1.0


def test_every_workload_is_a_method_or_has_a_reason() -> None:
    methods = {workload.method for workload in WORKLOADS}
    for name in adapters.NAMES:
        try:
            kind = adapters.load(name)
        except ModuleNotFoundError:
            continue
        missing = {method for method in methods if not hasattr(kind, method)}
        assert missing == set(kind.missing), name
