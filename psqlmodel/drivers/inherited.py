"""What a child process has of a connection of its parent: a word about whose it is.

After a fork the sockets are the parent's still: whoever wrote to one here would disturb the parent's transaction, and
closing it in order would end the parent's session. `Inherited` takes the place of the driver's connection. It sends
nothing and closes nothing.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from psqlmodel.errors import ConnectionLost

_kept: Final[list[object]] = []  # for ever: what is let go would be closed


class Inherited:
    """Stands for what the parent has; any use but closing it raises `ConnectionLost`: nothing was sent."""

    closed = 2  # as psycopg2 says that a connection is broken

    def __init__(self, *held: object) -> None:
        _kept.append(held)

    def is_closed(self) -> bool:
        """Tell that this process has no such connection."""
        return True

    def close(self, **_: Any) -> None:
        """Do nothing: it is the parent's to close."""

    def terminate(self) -> None:
        """Do nothing: it is the parent's to close."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ConnectionLost(
            "this connection belongs to the parent of this process, whose transaction goes on there; open a session of "
            "its own in the child: the engine may be used as it is"
        )


def keep(held: object) -> None:
    """Keep something that belongs to the parent, so that it is never closed here."""
    _kept.append(held)
