"""A real PgBouncer in front of the tests' server, in transaction mode with two connections to it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, quote, urlsplit

from psqlmodel.embedded import Server, binaries

PORT = 6432
_SETTINGS = """
[databases]
* = host={socket} port={port} user=postgres

[pgbouncer]
listen_addr =
listen_port = {own}
unix_socket_dir = {folder}
unix_socket_mode = 0700
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 500
query_wait_timeout = 60
admin_users = admin
logfile = {folder}/log
{more}
"""


def find() -> str | None:
    """Return the path of the program, where there is one; packages put it into a folder of the superuser."""
    return shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


class Bouncer:
    """PgBouncer, as long as the `with` block lasts; `dsn` leads through it."""

    def __init__(self, server: Server, dsn: str, *, mode: str = "transaction", size: int = 2, more: str = "") -> None:
        parts = urlsplit(dsn)
        about = parse_qs(parts.query)
        self._prefix = binaries.run_as_owner(server.data)
        self.folder = Path(tempfile.mkdtemp(prefix="bouncer-", dir="/tmp"))  # short: a socket's path has 107 bytes
        self._share(server.data)
        settings = _SETTINGS.format(
            socket=about["host"][0],
            port=about["port"][0],
            own=PORT,
            folder=self.folder,
            mode=mode,
            size=size,
            more=more,
        )
        (self.folder / "ini").write_text(settings)
        where = f"host={quote(str(self.folder), safe='')}&port={PORT}"
        self.dsn = f"postgresql://postgres@{parts.path}?{where}"
        self.admin = f"postgresql://admin@/pgbouncer?{where}"

    def __enter__(self) -> Bouncer:
        self.start()
        return self

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = find()
        assert program is not None
        command = [*self._prefix, program, "-q", str(self.folder / "ini")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PgBouncer did not start:\n{self.log}")
            time.sleep(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def stop(self) -> None:
        """End it at once, all its connections with it."""
        self._process.terminate()
        self._process.wait(20)

    @property
    def log(self) -> str:
        """What PgBouncer wrote."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.folder / f".s.PGSQL.{PORT}")) == 0

    def _share(self, data: Path) -> None:
        """Give the folder to the user as whom PgBouncer runs: it refuses to be root."""
        owner = data.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.chown(self.folder, owner.st_uid, owner.st_gid)
