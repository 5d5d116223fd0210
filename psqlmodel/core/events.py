"""Events of a session: what may be listened to, and who does. A handler is called with the session.

`before_flush`: changes are about to be written; a handler may change, add and delete objects, and they are written
with the rest. `after_flush`: they are written. `after_commit`: the transaction was committed; the handler may begin
the next. `after_rollback`: the whole transaction was rolled back, and the objects are restored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from psqlmodel.errors import ConfigurationError, SessionError, nearest
from psqlmodel.steps import Notify, Steps

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

Handler: TypeAlias = Callable[[Any], Any]

EVENTS: Final = ("before_flush", "after_flush", "after_commit", "after_rollback")


class Events:
    """The handlers of a session, behind those of its engine (`outer`).

    `awaits`: a handler may be a coroutine function.
    """

    __slots__ = ("_awaits", "_handlers", "_outer")

    def __init__(self, *, awaits: bool = False, outer: Events | None = None) -> None:
        self._awaits = awaits
        self._outer = outer
        self._handlers: dict[str, tuple[Handler, ...]] = {}

    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` at each `event`; returns a function that ends this.

        Raises `ConfigurationError` for an unknown event and for what can't be called.
        """
        self._check(event, handler)
        entry: Handler = lambda session: handler(session)  # noqa: E731 - one of its own for each registration
        self._handlers[event] = (*self._handlers.get(event, ()), entry)

        def stop() -> None:
            self._handlers[event] = tuple([each for each in self._handlers[event] if each is not entry])

        return stop

    def of(self, event: str) -> tuple[Handler, ...]:
        """Return the handlers of an event: the engine's, then the session's, each in the order of registration."""
        outer = self._outer
        if not self._handlers and (outer is None or not outer._handlers):
            return ()
        own = self._handlers.get(event, ())
        return own if outer is None else (*outer.of(event), *own)

    def _check(self, event: str, handler: Handler) -> None:
        if event not in EVENTS:
            close = nearest(str(event), EVENTS)
            advice = f"did you mean {close!r}?" if close else f"there are {', '.join(EVENTS)}"
            raise ConfigurationError(f"there is no event {event!r}; {advice}")
        if not callable(handler):
            raise ConfigurationError(f"on({event!r}, …) takes a function of the session, not {type(handler).__name__}")
        if not self._awaits and _is_coroutine_function(handler):
            raise ConfigurationError(f"on({event!r}, …): a synchronous session can't await a coroutine function")


def _is_coroutine_function(handler: Handler) -> bool:
    from inspect import iscoroutinefunction  # with ast and dis: 9 ms

    return iscoroutinefunction(handler)


def notify(events: Events, event: str) -> Steps[None]:
    """Have the handlers of an event called, if there are any."""
    handlers = events.of(event)
    if handlers:
        _ = yield Notify(event, handlers)


def notify_of_flush(workspace: Workspace, event: str) -> Steps[None]:
    """Have the handlers of a flush called; their queries do not flush."""
    if not workspace.events.of(event):
        return
    workspace.flushing = True
    try:
        with workspace.no_autoflush():
            yield from notify(workspace.events, event)
    finally:
        workspace.flushing = False


def refuse_within_flush(workspace: Workspace) -> None:
    """Raise `SessionError` where a handler of a flush flushes or ends the transaction."""
    if workspace.flushing:
        raise SessionError(
            "a handler of before_flush or after_flush can't flush, commit, roll back or close: its changes are written "
            "by the flush that called it, or by the next; raise an error to stop it"
        )
