"""Plans that were made for few rows do not serve many: neither the server's generic plan nor old statistics matter."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel import Select
from psqlmodel.core.unitofwork.sending import MANY as SO_MANY

from .both import Both, later
from .models import Account, Tag, Transfer

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


@pytest.mark.parametrize("count", [2, SO_MANY])
async def test_arrays_of_many_are_not_given_to_a_kept_plan(both: Both, count: int) -> None:
    """The server may keep a plan for all arguments from the sixth time on, so none with many comes to one it knows."""
    keys = [("acme", number) for number in range(count)]
    async with both.session() as session:
        await session.bulk_insert([Account(bank=bank, number=number) for bank, number in keys])
        transfers = [Transfer(from_bank=bank, from_number=number) for bank, number in keys]
        await session.bulk_insert(transfers)
        changes = [{"bank": bank, "number": number, "balance": 1} for bank, number in keys]
        works = {
            "get_many": lambda: session.get_many(Account, keys),
            "Include": lambda: session.exec(Select(Transfer).Include(Transfer.sender)).all(),
            "bulk_update": lambda: session.bulk_update(changes, model=Account),
        }
        for name, work in works.items():
            before = await executions(session)
            for _ in range(3):  # the first two make it known, at most
                await later(session.expunge_all())
                _ = await work()
            after = await executions(session)
            assert (after > before) is (count < SO_MANY), name
        await session.rollback()


async def executions(session: Any) -> int:
    """How often has the connection executed a statement that it keeps and that takes rows in arrays?"""
    found = await session.exec(
        """SELECT coalesce(sum(generic_plans + custom_plans), 0)::int FROM pg_prepared_statements
        WHERE statement ~ 'unnest[(]' AND statement ~ '"accounts"'"""
    ).one()
    return int(found[0])
