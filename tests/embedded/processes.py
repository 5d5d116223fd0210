"""Other processes in the tests: start them, look at them, wait for what they do (bounded, never blindly)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 120.0


def alive(pid: int) -> bool:
    """Tell whether a process lives; a zombie does not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until(condition: Callable[[], bool], failure: str) -> None:
    """Wait until a condition holds, a few looks a second, with an end."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, failure
        time.sleep(0.01)


def user_of(data: Path | None, *, then: str = "sys.stdin.readline()") -> subprocess.Popen[str]:
    """Start a process that uses a data directory, says so on a line, and stays until a line is sent to it."""
    code = (
        "import sys\n"
        "from psqlmodel.embedded import Server\n"
        f"server = Server({None if data is None else str(data)!r}).start()\n"
        "print(server.pid, server.data, flush=True)\n"
        f"{then}\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> tuple[int, Path]:
    """Give the server's process id and data directory as `user_of` prints them."""
    assert process.stdout is not None
    pid, _, data = process.stdout.readline().strip().partition(" ")
    return int(pid), Path(data)


def finish(process: subprocess.Popen[str]) -> int:
    """Let a process that waits for a line come to its end."""
    process.communicate("\n", timeout=PATIENCE)
    return process.returncode


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process as the kernel does when memory runs out."""
    process.kill()
    process.communicate()
