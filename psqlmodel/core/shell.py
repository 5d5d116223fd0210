"""What both sessions are made of: their options, and what needs no statement. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from psqlmodel.core import lifecycle
from psqlmodel.core.done import DONE, Done
from psqlmodel.core.engine import AsyncEngine, Engine
from psqlmodel.core.guard import Guard
from psqlmodel.core.lifecycle import Policy
from psqlmodel.core.transaction import begin_text
from psqlmodel.core.workspace import Workspace

E = TypeVar("E", Engine, AsyncEngine)
Params: TypeAlias = Sequence[Any] | Mapping[str, Any] | None


class SessionBase(Generic[E]):
    """The ground of `Session` and `AsyncSession`."""

    _kind: ClassVar[type]
    _advice: ClassVar[str]
    _lazy: ClassVar[bool]
    _channel: Any

    def __init__(
        self,
        engine: E,
        *,
        auto_commit: bool = False,
        auto_rollback: bool = True,
        atomic: bool = False,
        autoflush: bool = True,
        strict: bool = False,
        isolation: str | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> None:
        lifecycle.check_engine(engine, self._kind, self._advice)
        begin = begin_text(isolation=isolation, read_only=read_only, deferrable=deferrable)
        self.engine: E = engine
        self._workspace = Workspace(
            engine, engine.catalog, lazy=self._lazy, autoflush=autoflush, strict=strict, begin=begin
        )
        self._guard = Guard(type(self).__name__)
        self._policy = Policy(auto_commit=auto_commit, auto_rollback=auto_rollback, atomic=atomic)
        self._token: Any = None
        self._connect(engine)

    def _connect(self, engine: E) -> None:
        """Make the channel to the engine; it takes a connection with its first request."""
        raise NotImplementedError

    def _now(self, register: Callable[[Any], None], model: Any) -> Done:
        self._guard.enter()
        try:
            register(model)
        finally:
            self._guard.leave()
        return DONE

    def __del__(self) -> None:
        lifecycle.abandon(self.__dict__.get("_guard"), self.__dict__.get("_channel"))

    @property
    def closed(self) -> bool:
        """Whether the session is closed."""
        return self._guard.closed

    @property
    def strict(self) -> bool:
        """Whether an unloaded attribute is an error even where it could be loaded."""
        return self._workspace.unit.strict

    @strict.setter
    def strict(self, value: bool) -> None:
        self._workspace.unit.strict = value

    def no_autoflush(self) -> AbstractContextManager[None]:
        """Return a `with` block in which queries do not flush pending changes.

        with session.no_autoflush():
            session.exec(Select(User)).all()
        """
        return self._workspace.no_autoflush()

    def __contains__(self, model: object) -> bool:
        return self._workspace.unit.contains(model)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self.closed else 'open'} on {self.engine!r}>"
