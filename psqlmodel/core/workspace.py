"""Workspace: what the steps of one session share. It decides nothing and sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psqlmodel.core.beginning import Beginning
from psqlmodel.core.events import Events
from psqlmodel.core.transaction import Transaction
from psqlmodel.core.unitofwork.identity import IdentityMap
from psqlmodel.core.unitofwork.unit import UnitOfWork

if TYPE_CHECKING:
    from psqlmodel.core.engine.catalog import Catalog


class Workspace:
    """The identity map, the unit of work and the transaction of one session, and what it knows of its engine.

    `lazy`: the session can load an attribute when it is read (a synchronous session); an asynchronous one can't.
    `beginning` is how its transactions begin, `events` who listens to it. `flushing`: handlers of a flush are called.
    `included` are the traces that want to know what its queries include.
    """

    __slots__ = (
        "autoflush",
        "catalog",
        "engine",
        "events",
        "flushing",
        "identity",
        "included",
        "lazy",
        "transaction",
        "unit",
    )

    def __init__(
        self,
        engine: Any,
        catalog: Catalog,
        *,
        lazy: bool,
        autoflush: bool = True,
        strict: bool = False,
        beginning: Beginning | None = None,
        resolve_commit: bool = False,
        events: Events | None = None,
    ) -> None:
        self.engine = engine
        self.catalog = catalog
        self.identity = IdentityMap()
        self.unit = UnitOfWork(self.identity)
        self.transaction = Transaction(beginning or Beginning(), resolve_commit=resolve_commit)
        self.events = events or Events()
        self.flushing = False
        self.included: tuple[Any, ...] = ()
        self.autoflush = autoflush
        self.unit.strict = strict
        self.lazy = lazy

    @contextmanager
    def no_autoflush(self) -> Iterator[None]:
        """Switch autoflush off for a block."""
        before, self.autoflush = self.autoflush, False
        try:
            yield
        finally:
            self.autoflush = before
