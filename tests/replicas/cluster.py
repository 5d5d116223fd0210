"""A real primary and real hot standbys, each a PostgreSQL of its own that a test may stop, kill or promote."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from psqlmodel.embedded import binaries

PORT = 5432  # part of a socket's name
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "timezone": "UTC",
    "wal_receiver_status_interval": "1",
    "wal_retrieve_retry_interval": "100ms",
    "hot_standby_feedback": "on",
    "max_wal_senders": "5",
    "min_wal_size": "2MB",
}


class Node:
    """One PostgreSQL in a folder of its own."""

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp"))  # short: a socket's path has 107 bytes
        self._programs = binaries.find().folder
        self._prefix = binaries.run_as_owner(self.folder)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self.folder), safe='')}&port={PORT}"

    def filled_from(self, template: Node) -> Node:
        """Take the data of a server that does not run."""
        self._run("cp", "-a", template.data, self.data)
        return self

    def follow(self, primary: Node) -> Node:
        """Become a standby of a primary, of whose data this is a copy."""
        (self.data / "standby.signal").touch()
        with (self.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = 'host={primary.folder} port={PORT} user=postgres'\n")
        return self

    def initialise(self) -> Node:
        self._call(
            "initdb",
            "-D",
            self.data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "--wal-segsize=1",
        )
        return self

    def copy_of(self, primary: Node) -> Node:
        """Become a standby of a primary that runs."""
        source = ["-h", primary.folder, "-p", str(PORT), "-U", "postgres"]
        self._call("pg_basebackup", "-D", self.data, *source, "-c", "fast", "-R", "--no-sync")
        return self

    def start(self) -> Node:
        options = _OPTIONS | {"unix_socket_directories": str(self.folder)}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = [*self._prefix, *binaries.die_with_parent(), self._programs / "postgres", "-D", self.data, *words]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + 30
        while True:
            try:
                self.sql("SELECT 1")
            except psycopg2.Error as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"it did not start:\n{(self.folder / 'log').read_text()}") from error
                time.sleep(0.02)
            else:
                return self

    def stop(self) -> None:
        """End it at once, all its connections with it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast": it does not wait for clients
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def sql(self, text: str, *args: Any, database: str = "postgres") -> Any:
        """Execute SQL on a connection of its own; return the first value of what comes."""
        connection = psycopg2.connect(self.dsn(database))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(text, args or None)
                row = cursor.fetchone() if cursor.description else None
                return None if row is None else row[0]
        finally:
            connection.close()

    def until(self, question: str, database: str = "postgres") -> None:
        """Wait until the server says yes; it waits itself, 5 ms at a time."""
        for _ in range(4000):
            if self.sql(f"SELECT {question} FROM pg_sleep(0.005)", database=database):
                return
        raise AssertionError(f"never became true: {question}")

    def pause(self) -> None:
        """Let a standby fall behind: it receives, but does not replay."""
        self.sql("SELECT pg_wal_replay_pause()")
        self.until("pg_get_wal_replay_pause_state() = 'paused'")

    def resume(self) -> None:
        self.sql("SELECT pg_wal_replay_resume()")

    def catch_up(self, primary: Node) -> None:
        # Something new in the log: it may have moved on to a new file, in which there is nothing to replay yet.
        position = primary.sql("SELECT pg_logical_emit_message(true, 'test', '')::text")
        self.until(f"pg_last_wal_replay_lsn() >= '{position}'")

    def promote(self) -> None:
        assert self.sql("SELECT pg_promote(true, 30)")

    def _call(self, program: str, *words: Any) -> None:
        self._run(self._programs / program, *words)

    def _run(self, *words: Any) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
        done = subprocess.run(
            [*self._prefix, *map(str, words)],
            capture_output=True,
            text=True,
            env={**environment, "LC_ALL": "C"},
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{words[0]}: {done.stderr}")
