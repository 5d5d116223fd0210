"""A web application in a uvicorn of its own: a process, a socket, and a PostgreSQL behind it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


@contextmanager
def running(app: str, folder: Path, dsn: str) -> Iterator[httpx.Client]:
    """Run `app` (`module:name`, found in `folder`) and give a client for it.

    The socket listens before the process is there, so that nobody has to look for it: the first request waits. At the
    end the process must leave in good order, with nothing to complain about.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = subprocess.Popen(
            [
                *(sys.executable, "-W", "error", "-m", "uvicorn", app),
                *("--app-dir", str(folder), "--fd", str(listening.fileno()), "--log-level", "warning"),
            ],
            pass_fds=[listening.fileno()],
            env=os.environ | {"DATABASE_URL": dsn},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            client.get("/")  # answered, if only with 404, when the lifespan has begun: the tables are there
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=120)
    assert said == "", said
    assert process.returncode in (0, -signal.SIGTERM)
