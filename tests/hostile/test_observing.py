"""What observes: tags, plans and reports with any text in them; none becomes SQL, none becomes a part of a page."""

from __future__ import annotations

from contextlib import AsyncExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from hypothesis import example, given

from psqlmodel import PSQLModelError, QueryPlan, Select, tagged
from psqlmodel.observe.tags import Tagging

from .conftest import Place
from .models import Thing
from .texts import ATTACKS, budget, is_storable, texts


def test_tags_with_any_text(place: Place) -> None:
    stop = place.engine.observe(Tagging({"place": "hostile"}))
    _, usual = place.outcome(_read)

    @budget(150)
    @given(texts, texts)
    @example("*/; DROP TABLE canary; /*", "a\0'*/; DROP TABLE canary; --")
    def throw(name: str, value: str) -> None:
        async def work(session: Any) -> None:
            with tagged(**{name: value, "other": value}):
                await _read(session)

        result, sent = place.outcome(work)
        assert (result, sent) == (None, usual)

    throw()
    stop()


async def _read(session: Any) -> None:
    await session.exec(Select(Thing).Where(Thing.body == "%s")).all()
    await session.exec("SELECT %s::text", ["%"]).all()


def test_plans_of_queries_with_any_value(place: Place) -> None:
    @budget(60)
    @given(texts)
    @example("'; DROP TABLE canary; --")
    def throw(text: str) -> None:
        async def work(session: Any) -> Any:
            return await session.explain(Select(Thing).Where(Thing.body == text), analyze=True)

        result, _ = place.outcome(work)
        assert isinstance(result, QueryPlan if is_storable(text) else PSQLModelError)
        if is_storable(text):
            assert str(result)

    throw()


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        assert all(not name.startswith("on") and name != "src" for name, _ in attrs)
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_with_any_text(place: Place, tmp_path: Path) -> None:
    async def traced(session: Any, text: str) -> Any:
        raw = getattr(session, "raw", session)
        async with AsyncExitStack() as stack:
            block = raw.trace(values=True)
            if hasattr(block, "__aenter__"):
                trace = await stack.enter_async_context(block)
            else:
                trace = stack.enter_context(block)
            name = text.replace("\0", "").encode(errors="replace").decode()[:30].replace('"', '""') or "x"
            await session.exec(f'SELECT 1 AS "{name}"').all()
            await session.exec("SELECT %s::text", [text]).all()
        return trace

    shown: list[Any] = []

    @budget(60)
    @given(texts)
    @example("</script><script>alert(1)</script>")
    @example('"><img src=x onerror=alert(1)>')
    def throw(text: str) -> None:
        async def work(session: Any) -> None:
            shown.append(await traced(session, text))

        place.outcome(work)
        if not shown:
            return
        trace = shown.pop()
        page = trace.html(tmp_path / "report.html").read_text(encoding="utf-8")
        parser = Tags()
        parser.feed(page)
        assert (parser.open, parser.found.count("script"), parser.found.count("img")) == ([], 1, 0)
        assert str(trace)

    for attack in ATTACKS[:5]:
        throw = example(attack)(throw)
    throw()
