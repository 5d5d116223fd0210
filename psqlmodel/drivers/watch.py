"""Watches: a statement whose answer does not come in time is given up, and its connection cut.

The server's own `statement_timeout` needs a server that works; where it hangs, or the network swallows what it says,
nobody but this side can notice. `Watched` and `AsyncWatched` stand for a connection, with all of its methods; a watch
sends nothing, and raises nothing itself: who waits for the answer learns that the connection is lost.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from types import TracebackType
from typing import Any

from psqlmodel.errors import ConnectionLost
from psqlmodel.steps import Copy, Rows, Statement


class Watch:
    """The watch of a synchronous engine; `patience` is in seconds.

    One thread serves all statements: it begins with the first and ends with the program.
    """

    _thread: threading.Thread | None
    _turns: dict[_Turn, float]  # in the order of their deadlines, since all have the same patience

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._start()

    def enter(self, turn: _Turn) -> None:
        """Begin to watch."""
        if self._owner != os.getpid():  # a forked child has no thread of its parent
            self._start()
        with self._changed:
            self._turns[turn] = time.monotonic() + self.patience
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="psqlmodel-watch", daemon=True)
                self._thread.start()
            elif len(self._turns) == 1:
                self._changed.notify()

    def leave(self, turn: _Turn) -> None:
        """End it; afterwards the connection is not cut any more."""
        with self._changed:
            _ = self._turns.pop(turn, None)

    def _start(self) -> None:
        self._owner = os.getpid()
        self._turns = {}
        self._changed = threading.Condition()
        self._thread = None

    def _run(self) -> None:
        while True:
            with self._changed:
                turn = next(iter(self._turns), None)
                rest = None if turn is None else self._turns[turn] - time.monotonic()
                if turn is None or rest is None or rest > 0:
                    _ = self._changed.wait(rest)
                else:
                    del self._turns[turn]
                    turn.cut()


class _Turn:
    """A block in which one thread waits for the answer of one statement."""

    __slots__ = ("_connection", "_late", "_watch")

    def __init__(self, watch: Watch, connection: Any) -> None:
        self._watch = watch
        self._connection = connection
        self._late = False

    def cut(self) -> None:
        """Cut the connection: the thread that waits at its socket wakes up."""
        self._late = True
        try:
            with socket.socket(fileno=os.dup(self._connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
        except Exception:  # noqa: S110 (it is gone already: then nobody waits for it)
            pass

    def __enter__(self) -> None:
        self._watch.enter(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.leave(self)
        _explain(error, self._late, self._watch.patience)


class Watched:
    """A synchronous connection, watched whenever it waits for the server."""

    __slots__ = ("_connection", "_watch")

    def __init__(self, connection: Any, watch: Watch) -> None:
        self._connection = connection
        self._watch = watch

    def execute(self, request: Statement | Copy) -> Rows:
        """Send one request."""
        with _Turn(self._watch, self._connection):
            rows: Rows = self._connection.execute(request)
            return rows

    def reset(self) -> None:
        """Roll back what is open."""
        with _Turn(self._watch, self._connection):
            self._connection.reset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _AsyncTurn:
    """A block in which one task waits for the answer of one statement: a timer of its event loop watches."""

    __slots__ = ("_connection", "_late", "_patience", "_timer")

    def __init__(self, connection: Any, patience: float) -> None:
        self._connection = connection
        self._patience = patience
        self._late = False
        self._timer: Any = None

    def __enter__(self) -> None:
        import asyncio  # whose connection this is has it; a synchronous program does without

        self._timer = asyncio.get_running_loop().call_later(self._patience, self._cut)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        _explain(error, self._late, self._patience)

    def _cut(self) -> None:
        self._late = True
        self._connection.terminate()


class AsyncWatched:
    """An asynchronous connection, watched whenever it waits for the server; `patience` is in seconds."""

    __slots__ = ("_connection", "_patience")

    def __init__(self, connection: Any, patience: float) -> None:
        self._connection = connection
        self._patience = patience

    async def execute(self, request: Statement | Copy) -> Rows:
        """Send one request."""
        with _AsyncTurn(self._connection, self._patience):
            rows: Rows = await self._connection.execute(request)
            return rows

    async def reset(self) -> None:
        """Roll back what is open."""
        with _AsyncTurn(self._connection, self._patience):
            await self._connection.reset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _explain(error: BaseException | None, late: bool, patience: float) -> None:
    """Add to the error of a connection that was cut why it was."""
    if late and isinstance(error, ConnectionLost):
        error.add_note(f"the server did not answer within answer_timeout={patience:g} s, and the connection was cut")
