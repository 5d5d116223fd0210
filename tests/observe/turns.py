"""A line to the server that counts how often the client waited for it: each time it speaks after the server spoke."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit


class Line:
    """Stands before the server's socket; `dsn` leads through it, `turns` is the count.

    A client that is `eager` sends the rows of a COPY without waiting for the server to be ready: that one word of the
    server, which may come before them or after, is none that anybody waited for.
    """

    def __init__(self, dsn: str, *, eager: bool) -> None:
        self._eager = eager
        parts = urlsplit(dsn)
        about = parse_qs(parts.query)
        name = f".s.PGSQL.{about['port'][0]}"
        self._server = str(Path(about["host"][0]) / name)
        self._folder = tempfile.mkdtemp(prefix="line-", dir="/tmp")
        self.dsn = (
            f"postgresql://{parts.netloc}{parts.path}?host={quote(self._folder, safe='')}&port={about['port'][0]}"
        )
        self.turns = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{self._folder}/{name}")
        self._listener.listen(20)
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in [*self._sockets, self._listener]:
            each.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._sockets += [client, server]
                self._join(client, server)

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        last = ["client"]
        for name, source, target in (("client", client, server), ("server", server, client)):
            thread = threading.Thread(target=self._forward, args=(name, source, target, last), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _forward(self, name: str, source: socket.socket, target: socket.socket, last: list[str]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if name == "client" and last[0] == "server":
                    self.turns += 1
                if not (name == "server" and self._eager and data[:1] == b"G" and len(data) == 1 + data[4]):
                    last[0] = name
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
