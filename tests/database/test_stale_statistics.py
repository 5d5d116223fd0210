"""Plans that were made for few rows do not serve many: neither the server's generic plan nor old statistics matter."""

from __future__ import annotations

from psqlmodel import Select

from .both import Both
from .models import Tag

MANY = 30_000
PATIENCE = 10  # seconds for a statement; comparing each row with each argument takes several times as long


async def test_many_rows_after_a_plan_for_two(both: Both) -> None:
    await a_table_of_two_rows_in_many_pages(both)
    async with both.session(statement_timeout=PATIENCE) as session:
        first, second = await session.exec(Select(Tag).OrderBy(Tag.id)).all()
        for n in range(12):  # from the sixth on, the server may keep one plan for all arguments
            first.name, second.name = f"one {n}", f"two {n}"
            await session.flush()
        tags = [Tag(name=f"t{n}") for n in range(MANY)]
        session.add_all(tags)
        await session.flush()
        for tag in tags:
            tag.name += "!"
        await session.flush()
        for _ in range(12):
            await session.delete(tags.pop())
            await session.delete(tags.pop())
            await session.flush()
        for tag in tags:
            await session.delete(tag)
        await session.commit()
    assert both.value("SELECT count(*) FROM tags") == 2


async def a_table_of_two_rows_in_many_pages(both: Both) -> None:
    async with both.session() as session:
        session.add_all([Tag(name=f"t{n}") for n in range(10_000)])
        await session.flush()
        await session.rollback()
    both.sql("INSERT INTO tags (name) VALUES ('one'), ('two')")
    both.sql("VACUUM ANALYZE tags")
