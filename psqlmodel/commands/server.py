"""`psqlmodel server`: a PostgreSQL of your own that outlives the command: start, stop, status, psql."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from psqlmodel.commands.terminal import guarded, make_parser
from psqlmodel.embedded import Server
from psqlmodel.embedded.binaries import find
from psqlmodel.embedded.guardian import STATE
from psqlmodel.errors import EmbeddedError

EXAMPLES = """\
  psqlmodel server start                  # data in ./pgdata, kept
  psqlmodel server start --data ~/shop    # prints the DSN
  psqlmodel server psql -- -c 'SELECT 1'
  psqlmodel server stop"""
_HELD = "held-by"  # a file in the server's own folder: the process that keeps it running


def main(arguments: Sequence[str], prog: str) -> int:
    """Start, stop, ask for or enter a server.

    Returns: 0; 1 where it is not running; 2 where it can't be started.
    """
    parser = make_parser(prog, "A PostgreSQL of your own, without a port and without root rights.", EXAMPLES)
    parser.add_argument("action", choices=("start", "stop", "status", "psql", "hold"), metavar="start|stop|status|psql")
    parser.add_argument("--data", default="pgdata", metavar="FOLDER", help="the data directory (default: ./pgdata)")
    parser.add_argument("rest", nargs="*", metavar="-- OPTIONS", help="options of psql")
    options = parser.parse_args(arguments)
    data = Path(options.data).expanduser().absolute()
    if options.rest and options.action != "psql":
        parser.error(f"{options.action} takes no options behind it")
    return guarded(prog, lambda: _do(options, data))


def _do(options: argparse.Namespace, data: Path) -> int:
    if options.action == "start":
        return _start(data)
    if options.action == "hold":
        return _hold(data)
    holder = _holder(data)
    if holder is None:
        print(f"no server was started on {data}; psqlmodel server start --data {options.data}", file=sys.stderr)
        return 1
    if options.action == "stop":
        return _stop(data, holder)
    with Server(data) as server:  # joins the one that runs
        if options.action == "psql":
            return subprocess.call([str(find().folder / "psql"), *options.rest, server.dsn])
        print(f"{server.dsn}\nPostgreSQL {server.version}, process {server.pid}")
    return 0


def _start(data: Path) -> int:
    """Leave a process behind that keeps the server running, and wait until it does."""
    if _holder(data) is None:
        command = [sys.executable, "-m", "psqlmodel", "server", "hold", "--data", str(data)]
        child = subprocess.Popen(
            command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stderr is not None
        if not child.stdout.readline():  # it ended without a word: stderr says why
            raise EmbeddedError(child.stderr.read().decode().strip() or "the server did not start")
    with Server(data) as server:
        print(server.dsn)
    return 0


def _hold(data: Path) -> int:
    """Keep the server running until a signal comes."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    with Server(data) as server:
        note = data / STATE / _HELD
        note.write_text(str(os.getpid()), encoding="ascii")
        print(server.dsn, flush=True)
        while not ended.wait(3600):
            pass
        note.unlink(missing_ok=True)
    return 0


def _stop(data: Path, holder: int) -> int:
    os.kill(holder, signal.SIGTERM)
    until = time.monotonic() + 60
    while _holder(data) is not None or _alive(holder):
        if time.monotonic() > until:
            raise EmbeddedError(f"process {holder} does not end; what still uses {data}?")
        time.sleep(0.05)
    print(f"stopped; the data stays in {data}")
    return 0


def _holder(data: Path) -> int | None:
    """Return the process that keeps a server running, or None."""
    try:
        pid = int((data / STATE / _HELD).read_text(encoding="ascii"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return pid if _alive(pid) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
