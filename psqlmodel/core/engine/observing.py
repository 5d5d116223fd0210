"""What stands in for the engine in the channel of a session that is observed by itself. Sends nothing.

The engine's own observers hear of all its sessions; who wants to hear of one only is put in front of its engine. So a
session that nobody observes asks nothing more than before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psqlmodel.core.engine.channel import Observer


class Observed:
    """An engine, or what stands in for one, with observers of one session beside its own."""

    __slots__ = ("_base", "_own")

    def __init__(self, base: Any, own: list[Observer]) -> None:
        self._base = base
        self._own = own

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Those of the engine, then those of the session."""
        return (*self._base.observers, *self._own)

    @property
    def here(self) -> Any:
        """What has connections to the server of the one that is held, observed alike."""
        return Observed(self._base.here, self._own)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)


def observe(channel: Any, observer: Observer) -> None:
    """Let an observer hear of what goes through a channel."""
    if not isinstance(channel._engine, Observed):
        channel._engine = Observed(channel._engine, [])
    channel._engine._own.append(observer)


def unobserve(channel: Any, observer: Observer) -> None:
    """End it; a channel without observers of its own is what it was."""
    observed = channel._engine
    if isinstance(observed, Observed) and observer in observed._own:
        observed._own.remove(observer)
        if not observed._own:
            channel._engine = observed._base


def observe_alike(channel: Any, other: Any) -> None:
    """Let those who observe the channel `other` hear of `channel`, too, as long as they hear of the other."""
    observed = other._engine
    if isinstance(observed, Observed) and not isinstance(channel._engine, Observed):
        channel._engine = Observed(channel._engine, observed._own)
