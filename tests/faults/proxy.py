"""A proxy in front of the server's socket that cuts the connection at a chosen request: before it, in it, after it.

It knows just enough of the protocol to see where a request ends (a simple query, a Sync, or the end of the rows of a
COPY) and where its answer does.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

BEFORE, DURING, AFTER = "before", "during", "after"
HOWS = (BEFORE, DURING, AFTER)
_READY = b"Z\x00\x00\x00\x05"  # ReadyForQuery, without the state of the transaction
_COPY_IN = b"G\x00\x00\x00"  # CopyInResponse: the server waits for rows


class Proxy:
    """`dsn` leads through the proxy; `cut(n, how)` arms it for the n-th request from then on.

    `trips` counts the requests; each of them waits `delay` seconds, as if the server were further away.
    """

    def __init__(self, dsn: str, delay: float = 0.0) -> None:
        parts = urlsplit(dsn)
        about = parse_qs(parts.query)
        name = f".s.PGSQL.{about['port'][0]}"
        self._server = str(Path(about["host"][0]) / name)
        self._folder = tempfile.mkdtemp(prefix="proxy-", dir="/tmp")  # short: a socket's path has 107 bytes
        self.dsn = (
            f"postgresql://{parts.netloc}{parts.path}?host={quote(self._folder, safe='')}&port={about['port'][0]}"
        )
        self.trips = 0
        self._delay = delay
        self._left = 0
        self._how = BEFORE
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{self._folder}/{name}")
        self._listener.listen(20)
        self._links: list[_Link] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self, number: int, how: str) -> None:
        """Cut at the `number`-th request (from 1) that comes now, on whatever connection."""
        with self._lock:
            self._left, self._how = number, how

    @property
    def armed(self) -> bool:
        """Whether the cut is still to come."""
        return self._left > 0

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for link in self._links:
            link.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._links.append(_Link(self, client, server))

    def _due(self) -> str | None:
        """Count a request; say how it is cut, if it is."""
        if self._delay:
            time.sleep(self._delay)
        with self._lock:
            self.trips += 1
            if self._left == 0:
                return None
            self._left -= 1
            return self._how if self._left == 0 else None


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._swallow = False
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self.forward, self.answer)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._cut()
        for thread in self._threads:
            thread.join()
        self._client.close()
        self._server.close()

    def forward(self) -> None:
        with contextlib.suppress(OSError), self._client.makefile("rb") as incoming:
            self._server.sendall(_rest(incoming, b""))  # the startup message has no kind
            request = b""
            while kind := incoming.read(1):
                request += _rest(incoming, kind)
                if kind in (b"Q", b"S", b"c"):
                    if not self._send(request):
                        return self._cut()
                    request = b""
                elif kind not in (b"P", b"B", b"D", b"E", b"C", b"d"):  # part of no request that the above end
                    self._server.sendall(request)
                    request = b""
        self._cut()
        return None

    def answer(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(65536):
                if not self._swallow:
                    self._client.sendall(data)
                elif data[-6:-1] == _READY or _COPY_IN in data:
                    break
        self._cut()

    def _send(self, request: bytes) -> bool:
        how = self._proxy._due()
        if how == BEFORE:
            return False
        if how == DURING:
            self._server.sendall(request[: len(request) // 2])
            return False
        self._swallow = how == AFTER
        self._server.sendall(request)
        return True

    def _cut(self) -> None:
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _rest(incoming, kind: bytes) -> bytes:
    length = incoming.read(4)
    if len(length) < 4:
        raise OSError("the client has gone")
    return kind + length + incoming.read(struct.unpack("!i", length)[0] - 4)
