"""Transaction: the synchronous session that commits by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psqlmodel.core.session import Session

if TYPE_CHECKING:
    from psqlmodel.core.engine import Engine


class Transaction(Session):
    """A session that commits at the end of its block: `Session(engine, auto_commit=True)`.

    with Transaction(engine) as tx:
        tx.add(User(name="Ada"))
    """

    def __init__(self, engine: Engine, **options: Any) -> None:
        super().__init__(engine, **{"auto_commit": True, **options})
