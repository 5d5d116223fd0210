"""Flushes that make, change and delete rows at once, and what is left of them after a rollback."""

from __future__ import annotations

import pytest

from psqlmodel import Column, DataError, Engine, PSQLModel, StaleObjectError, table

from .both import Both
from .models import Tag
from .rows import made
from .versioned import Sheet, Stamped, make_tables


@table("loudness")
class Loudness(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    power: Column[int]
    level: Column[int] = Column(generated="(10 * log(power))::int")


@pytest.fixture(scope="module", autouse=True)
def tables(plain_sql: Engine) -> None:
    make_tables(plain_sql)
    plain_sql.create_all([Loudness])


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


async def test_an_error_of_a_column_that_the_database_computes_is_no_lost_row(both: Both) -> None:
    await made(both, Loudness(id=1, power=10), Tag(id=1, name="a"))
    async with both.session() as session:
        one, tag = await session.get(Loudness, 1), await session.get(Tag, 1)
        one.power, tag.name = 0, "b"
        with pytest.raises(DataError, match="logarithm"):
            await session.commit()
        assert (one.power, one.level, tag.name) == (10, 10, "a")
        one.power, tag.name = 1000, "b"
        await session.commit()
        assert one.level == 30


async def test_a_row_that_is_gone_is_told_in_a_flush_of_one_statement(both: Both) -> None:
    await made(both, Loudness(id=1, power=10), Tag(id=1, name="a"))
    async with both.session() as session:
        one, tag = await session.get(Loudness, 1), await session.get(Tag, 1)
        both.sql("DELETE FROM loudness")
        one.power, tag.name = 100, "b"
        both.statements.clear()
        with pytest.raises(StaleObjectError) as caught:
            await session.commit()
        assert caught.value.objects == (one,)
        assert (one.power, tag.name) == (10, "a")
        assert len(both.statements.of("flush")) == 1
    assert both.column("SELECT name FROM tags") == ["a"]
