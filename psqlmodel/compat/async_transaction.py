"""AsyncTransaction: apart from `Transaction`, because it brings asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psqlmodel.core.async_session import AsyncSession

if TYPE_CHECKING:
    from psqlmodel.core.engine.async_engine import AsyncEngine


class AsyncTransaction(AsyncSession):
    """An asynchronous session that commits at the end of its block: `AsyncSession(engine, auto_commit=True)`.

    async with AsyncTransaction(engine) as tx:
        await tx.add(User(name="Ada"))
    """

    def __init__(self, engine: AsyncEngine, **options: Any) -> None:
        super().__init__(engine, **{"auto_commit": True, **options})
