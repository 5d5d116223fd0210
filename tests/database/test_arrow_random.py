"""Files of Arrow: any values of any type go out and come back as they were, on both sessions.

The budget is fixed and the values are the same each time; `ARROW_EXAMPLES=500` tries so many, always others.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psqlmodel import Engine, Select, create_async_engine

from .arrow_kinds import KINDS, KINDS_SQL, Kind
from .both import Both

EXAMPLES = int(os.environ.get("ARROW_EXAMPLES", "0"))
NAMES = list(KINDS)

_TEXTS = ", ".join(f"v.{name}::{kind.sql}" for name, kind in KINDS.items())
_ARRAYS = ", ".join("%s::text[]" for _ in NAMES)
INSERT = (
    f"INSERT INTO arrow_kinds SELECT v.number__, {_TEXTS} "
    f"FROM unnest({_ARRAYS}) WITH ORDINALITY AS v ({', '.join(NAMES)}, number__)"
)
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | kind.texts for name, kind in KINDS.items()}), max_size=6)


@pytest.fixture
def emptied(both: Both) -> Iterator[Both]:
    both.sql(KINDS_SQL)
    both.sql("CREATE TABLE arrow_before AS TABLE arrow_kinds")
    yield both
    both.sql("DROP TABLE arrow_before")


async def _there_and_back(session: Any) -> None:
    file = io.BytesIO()
    async with session:
        count = await session.copy_to(Select(Kind), file, format="arrow")
        await session.exec("DELETE FROM arrow_kinds")
        file.seek(0)
        assert await session.copy_from(Kind, file, format="arrow") == count
        await session.commit()


def test_any_values_come_back_as_they_were(emptied: Both, shop_dsn: str) -> None:
    both = emptied
    seen = dict.fromkeys(NAMES, 0)
    with asyncio.Runner() as runner:
        engine = both.engine if both.is_sync else create_async_engine(shop_dsn)
        both.engine = engine

        @settings(
            max_examples=EXAMPLES or 30,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(ROWS)
        def throw(rows: list[dict[str, str | None]]) -> None:
            both.sql("TRUNCATE arrow_kinds, arrow_before")
            both.sql(INSERT, *[[row[name] for row in rows] for name in NAMES])
            both.sql("INSERT INTO arrow_before TABLE arrow_kinds")
            runner.run(_there_and_back(both.session()))
            lost = both.sql("SELECT b::text, k::text FROM arrow_before b FULL JOIN arrow_kinds k USING (id) "
                            "WHERE b::text IS DISTINCT FROM k::text")  # fmt: skip
            assert [tuple(row) for row in lost] == []
            for name in NAMES:
                seen[name] += sum(row[name] is not None for row in rows)

        throw()
        if not isinstance(engine, Engine):
            runner.run(engine.dispose())
    assert min(seen.values()) > 10
