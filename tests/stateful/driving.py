"""Both sessions behind one way of calling: every call is made and waited for, on either kind."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from psqlmodel import AsyncSession, NotLoadedError, Session, create_async_engine, create_engine
from psqlmodel.core.engine.channel import StatementEvent
from psqlmodel.model.state import UNSET, raw_name


class Driving:
    """An engine of one kind, its event loop, and what was sent through it."""

    def __init__(self, kind: str, dsn: str) -> None:
        self.kind = kind
        self._loop = asyncio.new_event_loop() if kind == "async" else None
        self.engine = create_engine(dsn) if kind == "sync" else create_async_engine(dsn)
        self.sent: list[StatementEvent] = []
        self.engine.on_statement(self.sent.append)

    def session(self, **options: Any) -> Any:
        return Session(self.engine, **options) if self.kind == "sync" else AsyncSession(self.engine, **options)

    def wait(self, given: Any) -> Any:
        """Return what was given, or what it brings when it is awaited."""
        if self._loop is None or not inspect.isawaitable(given):
            return given

        async def waiting() -> Any:
            return await given

        return self._loop.run_until_complete(waiting())

    def enter(self, block: Any) -> None:
        self.wait(block.__enter__() if self.kind == "sync" else block.__aenter__())

    def leave(self, block: Any, error: BaseException | None = None) -> None:
        about = (type(error) if error else None, error, None)
        self.wait(block.__exit__(*about) if self.kind == "sync" else block.__aexit__(*about))

    def read(self, session: Any, obj: Any, key: str) -> Any:
        """Read a relation: a synchronous session loads it now, an asynchronous one is asked to."""
        try:
            return getattr(obj, key)
        except NotLoadedError:
            assert self.kind == "async"
            self.wait(session.load(obj, getattr(type(obj), key)))
            return getattr(obj, key)

    def close(self) -> None:
        self.wait(self.engine.dispose())
        if self._loop is not None:
            self._loop.close()


def peek(obj: Any, key: str) -> Any:
    """Return an attribute as far as it is loaded, without loading or handing out anything; else UNSET."""
    values = obj.__dict__
    if key in values:
        return values[key]
    mapper = type(obj).__mapper__
    wire = values.get(raw_name(key), UNSET)
    if wire is UNSET or key in mapper.relations or wire is None:
        return wire
    load = mapper.attributes[key].type.load
    return wire if load is None else load(wire)
