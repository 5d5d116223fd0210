"""A network that fails: a TCP proxy in front of the server's socket that resets, falls silent, or trickles."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST


class Network:
    """`dsn` leads through it. `piece` is how many bytes are passed on at once; `silent` swallows all of them."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        about = parse_qs(parts.query)
        self._server = str(Path(about["host"][0]) / f".s.PGSQL.{about['port'][0]}")
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.dsn = f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
        self.piece = 65536
        self.silent = False
        self._ends: list[tuple[socket.socket, socket.socket]] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def reset(self) -> None:
        """Reset all connections: whoever uses one again is told so, and not before."""
        for client, server in self._ends:
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                server.shutdown(socket.SHUT_RDWR)
                client.shutdown(socket.SHUT_RD)
        for thread in self._threads[1:]:
            thread.join()
        for client, server in self._ends:
            client.close()
            server.close()
        self._ends.clear()
        del self._threads[1:]

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        self.reset()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._ends.append((client, server))
                for pair in ((client, server), (server, client)):
                    self._threads.append(threading.Thread(target=self._pass, args=pair, daemon=True))
                    self._threads[-1].start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.silent:
                    continue
                for start in range(0, len(data), self.piece):
                    target.sendall(data[start : start + self.piece])
        if not self.silent:
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)
