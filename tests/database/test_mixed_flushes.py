"""Flushes that make, change and delete rows at once, and what is left of them after a rollback."""

from __future__ import annotations

import pytest

from psqlmodel import Engine

from .both import Both
from .models import Tag
from .rows import made
from .versioned import Sheet, Stamped, make_tables


@pytest.fixture(scope="module", autouse=True)
def tables(plain_sql: Engine) -> None:
    make_tables(plain_sql)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("model", [Sheet, Stamped])
async def test_the_version_follows_a_rollback_where_changed_rows_were_deleted_too(
    both: Both, model: type[Sheet | Stamped], nested: bool
) -> None:
    await made(both, model(id=1, title="a"), Tag(id=1, name="a"))
    key = model.__mapper__.version.key
    async with both.session() as session:
        one, tag = await session.get(model, 1), await session.get(Tag, 1)
        version = getattr(one, key)
        if nested:
            block = session.begin_nested()
            await block.__aenter__()
        one.title = tag.name = "b"
        session.delete(tag)
        await session.flush()
        assert getattr(one, key) != version
        await session.rollback()
        assert (one.title, tag.name, getattr(one, key)) == ("a", "a", version)
        one.title = "c"
        await session.commit()
    assert both.value(f"SELECT title FROM {model.__mapper__.table}") == "c"
