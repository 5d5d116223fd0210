"""A server that is further away: a proxy in a process of its own, which makes each round trip longer and counts them.

It is the proxy of the fault tests, which knows where a request ends: a simple query, or a Sync.
"""

from __future__ import annotations

import multiprocessing
from typing import Any

from tests.faults.proxy import Proxy

DELAY = 0.001  # seconds


class Remote:
    """`dsn` leads to the server through the proxy; `trips()` says how many there were."""

    def __init__(self, dsn: str, delay: float = DELAY) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(dsn, delay, theirs), daemon=True)
        self._process.start()
        self.dsn: str = self._pipe.recv()

    def trips(self) -> int:
        """Return the number of round trips since the beginning."""
        self._pipe.send("trips")
        return self._pipe.recv()

    def close(self) -> None:
        """End the proxy and what goes through it."""
        self._pipe.send("end")
        self._process.join()


def _serve(dsn: str, delay: float, pipe: Any) -> None:
    proxy = Proxy(dsn, delay)
    pipe.send(proxy.dsn)
    while pipe.recv() == "trips":
        pipe.send(proxy.trips)
    proxy.close()
