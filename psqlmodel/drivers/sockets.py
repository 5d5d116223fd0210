"""A look at a socket: has the server said something that nobody asked for? It costs 1 µs and sends nothing."""

from __future__ import annotations

import select


def has_news(descriptor: int) -> bool:
    """Tell whether an idle connection's socket is readable: the server has closed it, is about to, or sent a NOTIFY.

    Raises `OSError` or `ValueError` where the descriptor is no socket (any more).
    """
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    look = select.poll()
    look.register(descriptor, select.POLLIN)
    return bool(look.poll(0))
