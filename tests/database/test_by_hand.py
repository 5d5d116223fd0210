"""SQL with its values in their places (`SQL(…)`, t-strings) wherever a session takes SQL."""

from __future__ import annotations

import io
from typing import Any

import pytest

from psqlmodel import SQL, QueryError, Select, Text
from tests.tstrings import t

from .both import Both
from .models import Tag

FORMS: dict[str, Any] = {
    "SQL": lambda low: SQL("SELECT id, name FROM tags WHERE id > {low} ORDER BY id", low=low),
    "t-string": lambda low: t("SELECT id, name FROM tags WHERE id > {low} ORDER BY id", low=low),
    "t-string in SQL": lambda low: SQL(t("SELECT id, name FROM tags WHERE {c} ORDER BY id", c=t("id > {n}", n=low))),
}


@pytest.fixture(params=FORMS)
def after(request: pytest.FixtureRequest, both: Both) -> Any:
    """What makes a statement for the tags with greater keys."""
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'a'), (2, 'b''; --'), (3, 'c')")
    return FORMS[request.param]


async def test_it_is_executed(both: Both, after: Any) -> None:
    async with both.session() as session:
        session.add(Tag(id=4, name="pending"))
        rows = await session.exec(after(1)).all()
        assert [tuple(row) for row in rows] == [(2, "b'; --"), (3, "c"), (4, "pending")]
        assert (await session.exec_one(after(2))).name == "c"
        assert await session.exec_scalar(after(3)) == 4
        with pytest.raises(QueryError, match="have their values inside"):
            await session.exec(after(1), [1])
        await session.rollback()


async def test_it_is_explained(both: Both, after: Any) -> None:
    async with both.session() as session:
        plan = await session.explain(after(1), analyze=True)
        assert any(node.relation == "tags" for node in plan)
        with pytest.raises(QueryError, match="have their values inside"):
            await session.explain(after(1), [1])


async def test_it_is_a_task(both: Both, after: Any) -> None:
    async with both.session() as session:
        first, tags = await session.parallel_exec((after(2), Select(Tag).OrderBy(Tag.id)))
    assert [row.name for row in first] == ["c"]
    assert [tag.id for tag in tags] == [1, 2, 3]


async def test_it_is_copied(both: Both, after: Any) -> None:
    file = io.StringIO()
    async with both.session() as session:
        session.add(Tag(id=4, name="pending"))
        assert await session.copy_to(after(2), file) == 2
        await session.rollback()
    assert file.getvalue() == "id,name\n3,c\n4,pending\n"


async def test_a_condition_of_a_query(both: Both, after: Any) -> None:
    async with both.session() as session:
        name = "b'; --"
        condition = Text(t("{Tag.name} = {name}", Tag=Tag, name=name))
        assert [tag.id for tag in await session.exec(Select(Tag).Where(condition)).all()] == [2]
