"""What both sessions are made of: their options, and what needs no statement. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from sys import _getframe
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar
from weakref import ref

from psqlmodel.core import lifecycle
from psqlmodel.core.beginning import beginning_of
from psqlmodel.core.context import SessionManager
from psqlmodel.core.done import DONE, Done
from psqlmodel.core.events import Events
from psqlmodel.core.guard import Guard
from psqlmodel.core.lifecycle import Policy
from psqlmodel.core.verbs.methods import Books
from psqlmodel.core.workspace import Workspace
from psqlmodel.errors import ConcurrentUseError
from psqlmodel.steps import Notify

if TYPE_CHECKING:
    from psqlmodel.core.engine import Engine
    from psqlmodel.core.engine.async_engine import AsyncEngine

E = TypeVar("E", "Engine", "AsyncEngine")
Lock: TypeAlias = Literal["update", "no key update", "share", "key share"]
Params: TypeAlias = Sequence[Any] | Mapping[str, Any] | None


class SessionBase(Books, Generic[E]):
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
        settings: Mapping[str, Any] | None = None,
        role: str | None = None,
        statement_timeout: float | None = None,
        lock_timeout: float | None = None,
        idle_timeout: float | None = None,
        resolve_commit: bool = False,
        after: str | None = None,
    ) -> None:
        lifecycle.check_engine(engine, self._kind, self._advice)
        beginning = beginning_of(
            isolation=isolation,
            read_only=read_only,
            deferrable=deferrable,
            settings=settings,
            role=role,
            statement_timeout=statement_timeout,
            lock_timeout=lock_timeout,
            idle_timeout=idle_timeout,
        )
        self.engine: E = engine
        self._workspace = Workspace(
            engine,
            engine.catalog,
            lazy=self._lazy,
            autoflush=autoflush,
            strict=strict,
            beginning=beginning,
            resolve_commit=resolve_commit,
            events=Events(awaits=not self._lazy, outer=engine.events),
        )
        self._guard = Guard(type(self).__name__)
        self._policy = Policy(auto_commit=auto_commit, auto_rollback=auto_rollback, atomic=atomic)
        self._token: Any = None
        self._connect(engine if engine.replicas is None else self._source(engine, read_only, after))
        self._channel.session = ref(self)

    if not TYPE_CHECKING:  # for type checkers, what is not there is an error anyway

        def __getattr__(self, name: str) -> Any:
            from psqlmodel.query import elsewhere  # for those who make an error

            raise elsewhere.no_attribute(self, name, elsewhere.SESSION)

    def _source(self, engine: E, read_only: bool, after: str | None) -> Any:
        """Return where the connections of the session come from: the engine, or its replicas."""
        assert engine.replicas is not None
        transaction = self._workspace.transaction
        # A standby refuses SERIALIZABLE: it can't know what others on the primary do.
        if not read_only or "SERIALIZABLE" in transaction.beginning.text:
            transaction.take_token = engine.replicas.take_token
            return engine
        transaction.elsewhere = True
        return engine.reader(after)

    def _connect(self, engine: Any) -> None:
        """Make the channel to the engine; it takes a connection with its first request."""
        raise NotImplementedError

    def _handle(self, request: Notify) -> Any:
        """Call the handlers of an event."""
        raise NotImplementedError

    def _now(self, register: Callable[[Any], None], model: Any) -> Done:
        guard = self._guard
        if guard.closed or not guard.take(False):
            guard.enter()
        else:
            guard.held = _getframe()  # `enter` without its call: with `take` a sixth of an add
        try:
            register(model)
        finally:
            guard.leave()
        return DONE

    def _made_current(self) -> Any:
        self._guard.check_open()
        return SessionManager.push(self)

    def _seized(self, error: BaseException | None) -> bool:
        """Begin to end the session; where another thread or task still uses it, close it under that one instead."""
        try:
            self._guard.enter_to_end()
        except ConcurrentUseError:
            lifecycle.seize(self._workspace, self._guard, self._channel)
            if error is None:
                raise
            return True
        return False

    def __del__(self) -> None:
        lifecycle.abandon(self.__dict__.get("_guard"), self.__dict__.get("_channel"))

    @property
    def closed(self) -> bool:
        """Whether the session is closed."""
        return self._guard.closed

    @property
    def token(self) -> str | None:
        """What the last commit of this session wrote, for `Session(…, read_only=True, after=token)` in another context.

        A text of up to 17 signs; None before the first commit, and on an engine without replicas.
        """
        return self._workspace.transaction.token

    @property
    def strict(self) -> bool:
        """Whether an unloaded attribute is an error even where it could be loaded."""
        return self._workspace.unit.strict

    @strict.setter
    def strict(self, value: bool) -> None:
        self._workspace.unit.strict = value

    @property
    def settings(self) -> Mapping[str, Any]:
        """The server's settings that count in each transaction: `{"app.tenant": 7}`.

        Other ones can be assigned between two transactions. Raises `SessionError` within one, `ConfigurationError` for
        what is no mapping of names and values.
        """
        return self._workspace.transaction.beginning.settings

    @settings.setter
    def settings(self, settings: Mapping[str, Any]) -> None:
        lifecycle.set_settings(self._workspace, settings)

    def on(self, event: str, handler: Callable[[Any], Any]) -> Callable[[], None]:
        """Call `handler(session)` at each `event`; returns a function that ends this.

        The events are `before_flush` (the handler may change, add and delete objects), `after_flush`, `after_commit`
        (only after a real commit) and `after_rollback` (of the whole transaction). `engine.on` does the same for all
        sessions. A handler of an `AsyncSession` may be a coroutine function. What a handler raises goes to the caller.

            stop = session.on("after_commit", lambda session: print("committed"))
        """
        return self._workspace.events.on(event, handler)

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
