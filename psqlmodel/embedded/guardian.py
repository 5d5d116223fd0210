"""The guardian: the small process that is the parent of one embedded PostgreSQL.

It is run by its path, on the standard library alone (``python -I -S guardian.py``), reads one JSON object
from standard input and writes one to standard output: ``{}`` when the server takes connections, ``{"error":
…}`` when it does not. Then it waits for the end of the last user.

Why it exists: the server has to outlive the process that started it while others use it, and must not outlive
the last of them, however that one dies. Every user holds a shared lock on one file; the guardian waits for
the exclusive one, and the kernel gives up a lock when its holder is gone, killed or not. The server and its
guardian hold a second lock, inherited by every process of the server: when it is free, none of them lives.

It must not import psqlmodel (it has to be small and start in 20 ms) and must never stop a server that is in
use.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

STATE = ".psqlmodel"  # our folder in the data directory: locks, log, socket
POLL = 0.005  # seconds between two looks at a file
LOG_LINES = 12  # what an error shows of the server's log
SMALLEST_ROOM = 1 << 20  # bytes; a server that starts with less can not even write its log
STOP_PATIENCE = 5.0  # seconds for a server that failed to become ready


class Failed(Exception):
    """The server cannot run; the message is for the user."""


class Status(NamedTuple):
    """What postmaster.pid says of a running server."""

    pid: int
    socket: str
    state: str


def status(data: Path) -> Status | None:
    """Read postmaster.pid: None where there is none or it is not yet complete."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
        return Status(int(lines[0]), lines[4], lines[7].strip() if len(lines) > 7 else "")
    except (OSError, ValueError, IndexError):
        return None


def tail(text: str) -> str:
    """Give the last lines of a log, indented."""
    return "\n".join("  " + line for line in text.strip().splitlines()[-LOG_LINES:])


def make_cluster(data: Path, command: list[str], env: dict[str, str]) -> None:
    """Fill a data directory by initdb: complete, or as if it had not begun.

    initdb wants an empty folder and ours has the locks in it, so it works beside them and the result is moved
    up, PG_VERSION last. A run that was killed half-way is carried on by the next one.
    """
    made, working = data / STATE / "cluster", data / STATE / "initdb"
    if not made.exists():
        shutil.rmtree(working, ignore_errors=True)
        done = subprocess.run(
            [*command, "-D", str(working)],
            capture_output=True,
            text=True,
            errors="replace",
            env=env,
            check=False,
        )
        if done.returncode != 0:
            shutil.rmtree(working, ignore_errors=True)
            raise Failed(f"initdb failed in {data}:\n{tail(done.stdout + done.stderr)}")
        working.rename(made)
    for entry in sorted(made.iterdir(), key=lambda path: path.name == "PG_VERSION"):
        entry.rename(data / entry.name)
    made.rmdir()


def start(data: Path, job: dict[str, Any], server_lock: int) -> subprocess.Popen[bytes]:
    """Start the server and wait until it takes connections."""
    found = status(data)
    if found is not None and found.socket == job["socket"]:
        # Ours (it names our socket) and dead (its lock is free): its number may be another process by now,
        # which would keep the server from starting. Without this a container that was killed could not start
        # again.
        (data / "postmaster.pid").unlink()
    with (data / STATE / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*job["postgres"], "-D", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[server_lock],
            env=job["env"],
        )
    try:
        wait_until_ready(data, process, job["timeout"])
    except Failed:
        end(process)
        raise
    return process


def wait_until_ready(data: Path, process: subprocess.Popen[bytes], timeout: float) -> None:
    """Wait until postmaster.pid says that this server is ready."""
    deadline = time.monotonic() + timeout
    while True:
        found = status(data)
        if found is not None and found.pid == process.pid and found.state == "ready":
            return
        if process.poll() is not None:
            what = f"PostgreSQL could not start in {data}"
        elif time.monotonic() > deadline:
            what = f"PostgreSQL did not become ready in {data} within {timeout:g} s"
        else:
            time.sleep(POLL)
            continue
        raise Failed(f"{what}; its log ends with:\n{last_words(data)}")


def last_words(data: Path) -> str:
    """Give the end of the server's log, and what a full disk keeps out of it."""
    words = tail((data / STATE / "server.log").read_text(errors="replace"))
    room = shutil.disk_usage(data).free
    if room < SMALLEST_ROOM:
        words += f"\n  No space left on device: {room} bytes are free in {data}"
    return words


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server that is of no use."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGQUIT)
    try:
        process.wait(STOP_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def stop_after_last_user(users_lock: int, process: subprocess.Popen[bytes], how: int, unused: threading.Event) -> None:
    """Wait until nobody uses the server, then tell it to stop. Runs in a thread."""
    fcntl.flock(users_lock, fcntl.LOCK_EX)  # from here on newcomers wait until this process is gone
    unused.set()
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(how)


def guard(data: Path, process: subprocess.Popen[bytes], job: dict[str, Any]) -> None:
    """Stay until the server is gone, and clean up behind it."""
    users_lock = os.open(data / STATE / "users", os.O_RDWR)
    unused = threading.Event()
    # Temporary data is thrown away: no checkpoint for it (SIGQUIT); kept data gets a clean end (SIGINT).
    how = signal.SIGQUIT if job["temporary"] else signal.SIGINT
    threading.Thread(target=stop_after_last_user, args=(users_lock, process, how, unused), daemon=True).start()
    process.wait()
    if job["socket"] != str(data / STATE):
        shutil.rmtree(job["socket"], ignore_errors=True)
    if unused.is_set() and job["temporary"]:
        shutil.rmtree(data, ignore_errors=True)


def say(answer: dict[str, str]) -> None:
    """Answer the process that started us; it may be gone."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(answer).encode())
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)


def main() -> int:
    """Run one server from its start to its end."""
    job: dict[str, Any] = json.load(sys.stdin)
    data = Path(job["data"])
    try:
        server_lock = os.open(data / STATE / "server", os.O_RDWR)
        fcntl.flock(server_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.set_inheritable(server_lock, True)
        if not (data / "PG_VERSION").exists():
            make_cluster(data, job["initdb"], job["env"])
        process = start(data, job, server_lock)
    except Failed as error:
        say({"error": str(error)})
        return 1
    except OSError as error:
        say({"error": f"PostgreSQL could not start in {data}: {error}"})
        return 1
    say({})
    guard(data, process, job)
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    # Not through the interpreter's own end, which would wait for the thread at the lock.
    os._exit(main())
