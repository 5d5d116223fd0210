"""The report: whole in itself, without values, proof against any text, and working in a real browser."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from psqlmodel import Column, DatabaseError, Engine, PSQLModel, Relation, Select, Session, Trace, create_engine, table

from .browser import Browser, needs_browser


@table("report_shelves")
class ReportShelf(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    place: Column[str]
    books: Relation[list["ReportBook"]] = Relation()


@table("report_books")
class ReportBook(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    shelf_id: Column[int] = Column(foreign_key="report_shelves.id")
    title: Column[str]


@pytest.fixture(scope="module")
def engine(server: object) -> Iterator[Engine]:
    dsn: str = server.create_database("report")  # type: ignore[attr-defined]
    with create_engine(dsn) as made:
        made.create_all([ReportShelf, ReportBook])
        made.execute("INSERT INTO report_shelves (place) SELECT 'p' || n FROM generate_series(1, 8) n")
        made.execute(
            "INSERT INTO report_books (shelf_id, title) SELECT n %% 8 + 1, 't' || n FROM generate_series(1, %s) n",
            [40000],
        )
        made.execute("ANALYZE")
        yield made


ATTACK = "</pre><script>document.title='hunter2'</script><img src=x onerror=alert(1)>\"'&amp;"


@pytest.fixture(scope="module")
def trace(engine: Engine) -> Trace:
    with Session(engine) as session:
        with session.trace(plans=True) as made:
            for shelf in session.exec(Select(ReportShelf).Include(ReportShelf.books)).all():
                session.exec(
                    Select(ReportBook).Where(ReportBook.shelf_id == shelf.id, ReportBook.title == "hunter2")
                ).all()
            session.parallel_exec([Select(ReportShelf), Select(ReportBook).Limit(1)])
            session.exec('SELECT 1 AS "<script>alert(1)</script>", %s', [ATTACK]).all()
            with pytest.raises(DatabaseError):
                session.exec('SELECT "</td><script>alert(1)</script>"').all()
        session.rollback()
    return made


@pytest.fixture(scope="module")
def report(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trace.html(tmp_path_factory.mktemp("report") / "report.html")


class Parser(HTMLParser):
    """The tags and attributes of a page, and whether each tag is closed."""

    VOID = frozenset({"meta", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing(report: Path) -> None:
    parser = Parser()
    parser.feed(report.read_text(encoding="utf-8"))
    assert parser.open == []
    assert set(parser.tags).isdisjoint({"link", "img", "iframe", "object", "embed"})
    assert parser.tags.count("script") == 1
    names = {name for name, _ in parser.attributes}
    assert names.isdisjoint({"src", "onerror", "onclick", "onload", "srcset"})
    assert all((value or "").startswith("#") for name, value in parser.attributes if name == "href")
    assert "default-src 'none'" in report.read_text(encoding="utf-8")


def test_the_page_has_what_was_seen(report: Path, trace: Trace) -> None:
    page = report.read_text(encoding="utf-8")
    assert "8 statements for ReportShelf.books" in page
    assert "Select(ReportShelf).Include(ReportShelf.books.Where(…))" in page
    assert "CREATE INDEX ON report_books (" in page
    assert "was included in a query for 8 objects and not read" in page
    assert "test_report.py:" in page
    assert "Called from" in page
    assert page.count('class="hit') == len(trace)
    assert "session 3" in page  # a parallel task


def test_no_value_is_in_the_page(report: Path) -> None:
    assert "hunter2" not in report.read_text(encoding="utf-8")


def test_values_are_in_the_page_where_they_are_asked_for(engine: Engine, tmp_path: Path) -> None:
    with Session(engine) as session:
        with session.trace(values=True) as trace:
            session.exec("SELECT %s", [ATTACK]).all()
        session.rollback()
    page = trace.html(tmp_path / "values.html").read_text(encoding="utf-8")
    assert "hunter2" in page
    assert "<script>document" not in page
    assert "values=True" in page


def test_nothing_to_show(engine: Engine, tmp_path: Path) -> None:
    with Session(engine) as session, session.trace() as trace:
        pass
    page = trace.html(tmp_path / "empty.html").read_text(encoding="utf-8")
    assert "Nothing was sent." in page
    assert "Nothing that a trace can see." in page
    assert str(trace).startswith("0 statements, 0 round trips")


@needs_browser
def test_the_page_in_a_browser(report: Path, trace: Trace, tmp_path: Path) -> None:
    script = """
        const row = document.getElementById("s4");
        const wasHidden = row.hidden;
        document.querySelector('a.hit[data-row="s4"]').click();
        const bar = document.querySelector(".hit").getBoundingClientRect();
        document.querySelector(".hit").dispatchEvent(new MouseEvent("mousemove", {clientX: 100, clientY: 100}));
        const tip = document.getElementById("tip");
        const said = [tip.style.display, tip.textContent];
        const lanes = document.querySelector(".lanes"), before = lanes.offsetWidth;
        const zoom = document.getElementById("zoom"), card = document.querySelector(".card");
        zoom.value = 2;
        zoom.dispatchEvent(new Event("input"));
        for (const shape of document.querySelectorAll("details")) shape.open = true;
        return {
          title: document.title, hidden: [wasHidden, row.hidden, row.className], tip: said,
          bar: [bar.width, bar.height], styled: getComputedStyle(card).borderRadius,
          wider: lanes.offsetWidth / before, wide: document.documentElement.scrollWidth - innerWidth,
          resources: performance.getEntriesByType("resource").length,
          plans: [...document.querySelectorAll("tr.costly")].filter((node) => node.offsetHeight > 0).length,
          hits: document.querySelectorAll(".hit").length,
        };"""
    found, console = Browser(tmp_path).run(report, script)
    assert console == []
    assert found["title"] == "psqlmodel trace"
    assert found["hidden"] == [True, False, "seen"]  # one of a run of eight
    assert found["bar"][0] >= 3
    assert found["bar"][1] > 10
    assert found["tip"][0] == "block"
    assert found["tip"][1].startswith("#1  ")
    assert found["wider"] == pytest.approx(4, rel=0.02)
    assert found["wide"] <= 0
    assert found["resources"] == 0
    assert found["plans"] == len(trace.plans) > 3
    assert found["hits"] == len(trace)
    assert found["styled"] == "10px"


@needs_browser
def test_the_page_on_a_narrow_screen(report: Path, tmp_path: Path) -> None:
    script = "return [document.documentElement.scrollWidth, innerWidth];"
    (content, screen), console = Browser(tmp_path).run(report, script, width=520)
    assert (content <= screen, console) == (True, [])


@needs_browser
def test_a_picture_of_the_page_is_no_blank(report: Path, tmp_path: Path) -> None:
    picture = tmp_path / "report.png"
    Browser(tmp_path).screenshot(report, picture)
    data = picture.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (1280, 2600)
    assert len(data) > 100_000  # a blank one has some 10,000 bytes


def test_colours_stand_for_something(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    used = set(re.findall(r'class="(?:hit|dot|key) (\w+)', page))
    assert used <= {"query", "load", "flush", "raw", "other", "idle"}
    assert {"query", "load", "raw"} <= used
