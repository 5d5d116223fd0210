"""`Server`: one embedded PostgreSQL, as one user of it sees it.

It prepares the data directory, joins the server that runs on it or has a guardian start one, and leaves it.
It must not decide when the server ends: that is the guardian's, who waits for the last user (see
`guardian.py`).

In the data directory the folder ``.psqlmodel`` holds three locks and the server's log and socket. ``users``:
held shared by every `Server` in use. ``start``: held by the one who starts. ``server``: held by the guardian
and every process of the server. They are always taken in this order.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote as percent

from psqlmodel.embedded import binaries, locks
from psqlmodel.embedded.guardian import POLL, STATE, status
from psqlmodel.errors import EmbeddedError

SUPERUSER = "postgres"
PORT = 5432  # only a part of the socket's name: the server does not listen on the network
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_LIMIT = 107 if sys.platform.startswith("linux") else 103  # bytes of a socket's path, given by the kernel
LOCK_FILES = ("users", "start", "server")
TEMPORARY = "temporary"  # a file of this name marks data that goes with its last user
SHORTEST = "/tmp"  # noqa: S108 – a folder of a fixed name is made in it, and refused where somebody else owns it
PREFIX = "psqlmodel-"  # of temporary data directories
INITDB_PATIENCE = 60.0  # seconds; half a second is usual
ANSWER_PATIENCE = 1.0  # seconds for a local connection
REAP_PATIENCE = 5.0  # seconds; the guardian of a server that has ended has nothing left to do
STOP_PATIENCE = 30.0  # seconds that leaving waits for the server's end

ALWAYS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_min_error_statement": "panic",  # statements may contain what nobody should read in a log
}
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}  # for data that goes at the end

_in_use: weakref.WeakSet[Server] = weakref.WeakSet()
_guardians: dict[Path, subprocess.Popen[bytes]] = {}  # started by this process and not yet reaped, by data


class Server:
    """A PostgreSQL of your own, without a network port, gone with the last process that uses it.

    Params: data – the data directory: made where it is missing, kept, usable by several processes at once;
    None for a temporary one (faster, not crash-safe, removed at the end). options – settings of the server,
    as in postgresql.conf; they count for the process that starts it, not for those that join. timeout –
    seconds to wait until it is ready.
    Raises: EmbeddedError, from `start`.

        with Server() as server:
            engine = create_engine(server.dsn)
    """

    def __init__(
        self,
        data: str | Path | None = None,
        *,
        options: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        if data is not None and not str(data):
            raise EmbeddedError("the data directory's name is empty; name a folder, or None for a temporary one")
        self._wanted = None if data is None else Path(data).expanduser().absolute()
        self._temporary = data is None
        self._options = dict(options or {})
        self._timeout = timeout
        self._mutex = threading.RLock()
        self._data: Path | None = None
        self._socket = ""
        self._leave: weakref.finalize[[int], Server] | None = None

    @classmethod
    def shared(cls, name: str, *, options: Mapping[str, str] | None = None, timeout: float = 60.0) -> Server:
        """Return the temporary server of a name, which the processes of one user share: the first starts it.

        It is gone with the last of them. name – letters, digits, `_` and `-`; one that nobody else guesses, as it
        becomes the name of a folder among the temporary files. The rest is as for a server of one's own.
        Raises: EmbeddedError for another name.

            with Server.shared(f"tests-{run_id}") as server: ...
        """
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise EmbeddedError(f"a shared server's name is made of letters, digits, _ and -, unlike {name!r}")
        made = cls(Path(tempfile.gettempdir()) / f"{PREFIX}{os.geteuid()}-{name}", options=options, timeout=timeout)
        made._temporary = True
        return made

    # --- life -----------------------------------------------------------------------------------------------

    def start(self) -> Server:
        """Start the server, or join the one that runs on this data directory; nothing where that is done.

        Returns: the server itself. Takes about 0.6 s for a new data directory, 0.1 s for an old one.
        Raises: EmbeddedError where there are no programs, the directory is not usable or the server does not
        start.
        """
        with self._mutex:
            if self._leave is None:
                try:
                    self._join(time.monotonic() + self._timeout + INITDB_PATIENCE)
                except OSError as error:
                    raise EmbeddedError(f"the data directory {self._wanted or ''} is not usable: {error}") from error
        return self

    def stop(self) -> None:
        """Leave the server; its last user waits until it is stopped and temporary data is gone."""
        with self._mutex:
            if self._leave is None or self._data is None:
                return
            temporary = (self._data / STATE / TEMPORARY).exists()
            self._leave()
            self._leave = None
            _in_use.discard(self)
            _wait_for_end(self._data, time.monotonic() + STOP_PATIENCE, temporary=temporary)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "stopped" if self._leave is None else "running"
        return f"<Server {self._data or self._wanted or 'temporary'} ({state})>"

    # --- what it is -----------------------------------------------------------------------------------------

    @property
    def data(self) -> Path:
        """The data directory."""
        if self._leave is None or self._data is None:
            raise EmbeddedError("this Server is not running; call start() or use it in a with block")
        return self._data

    @property
    def dsn(self) -> str:
        """The DSN of the database ``postgres``, for either driver."""
        return self.dsn_for("postgres")

    @property
    def pid(self) -> int:
        """The process id of the server."""
        found = status(self.data)
        if found is None:
            raise EmbeddedError(f"the server on {self.data} is gone; stop() and start() it again")
        return found.pid

    @property
    def version(self) -> str:
        """The server's version, as in ``18.6``."""
        return binaries.find(_major(self.data)).version

    def dsn_for(self, database: str) -> str:
        """Give the DSN of a database, for either driver; it need not exist."""
        self.data  # noqa: B018 – refuses where the server is not running
        where = percent(self._socket, safe="/")
        return f"postgresql://{SUPERUSER}@/{percent(database, safe='')}?host={where}&port={PORT}"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, as a copy of another one where template names it.

        Returns: its DSN.
        Raises: the driver's errors, such as psycopg2.errors.DuplicateDatabase.
        """
        from psqlmodel.query.quoting import quote

        source = "" if template is None else f" TEMPLATE {quote(template)}"
        self._execute(f"CREATE DATABASE {quote(name)}{source}")
        return self.dsn_for(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and end the connections to it; nothing where it does not exist."""
        from psqlmodel.query.quoting import quote

        self._execute(f"DROP DATABASE IF EXISTS {quote(name)} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        import psycopg2

        with contextlib.closing(psycopg2.connect(self.dsn)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    # --- joining and starting -------------------------------------------------------------------------------

    def _join(self, deadline: float) -> None:
        data = self._wanted or Path(tempfile.mkdtemp(prefix=PREFIX))
        _prepare(data)
        users = _take(data, "users", locks.SHARED, deadline)
        try:
            if self._temporary:
                (data / STATE / TEMPORARY).touch()  # only now: the sweep takes marked folders that nobody has locked
                _sweep(data.parent)
            with locks.held(data / STATE / "start", locks.EXCLUSIVE, deadline):
                self._socket = _running(data, deadline) or self._launch(data)
        except BaseException as error:
            os.close(users)
            _remove_unused(data)
            if isinstance(error, TimeoutError):
                raise EmbeddedError(f"the server on {data} did not become usable: {error}") from error
            raise
        self._data = data
        self._leave = weakref.finalize(self, os.close, users)
        _in_use.add(self)

    def _launch(self, data: Path) -> str:
        """Have a guardian start the server; give the folder of its socket."""
        programs = binaries.find(_major(data))
        _refuse_foreign(data)
        prefix = binaries.run_as_owner(data)
        _share_with_owner(data)
        temporary = (data / STATE / TEMPORARY).exists()
        folder = _socket_folder(data)
        settings = {
            **ALWAYS,
            "unix_socket_directories": '"' + folder.replace('"', '""') + '"',
            **(FAST if temporary else {}),
            **self._options,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        job = {
            "data": str(data),
            "socket": folder,
            "temporary": temporary,
            "timeout": self._timeout,
            "initdb": [
                *prefix,
                str(programs.folder / "initdb"),
                *_initdb_options(programs.major, temporary=temporary),
            ],
            "postgres": [*prefix, *binaries.die_with_parent(), str(programs.folder / "postgres"), *words],
            "env": _environment(),
        }
        _start_guardian(job, time.monotonic() + self._timeout + INITDB_PATIENCE)
        return folder


def _prepare(data: Path) -> None:
    """Make the data directory and its lock files where they are missing."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Looked at in this order: another process may be making our folder, always the first in there, right now.
    filled = any(data.iterdir())
    if not (data / STATE).exists() and not (data / "PG_VERSION").exists():
        if filled:
            raise EmbeddedError(
                f"{data} is neither empty nor a data directory of PostgreSQL; give an empty or a new folder"
            )
        data.chmod(0o700)  # PostgreSQL refuses data that others can read
    (data / STATE).mkdir(mode=0o700, exist_ok=True)
    for name in LOCK_FILES:
        (data / STATE / name).touch(mode=0o600)


def _share_with_owner(data: Path) -> None:
    """Give what root has made to the owner of the data, as whom the server runs."""
    owner = data.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in (data / STATE, *(data / STATE).iterdir()):
            os.chown(path, owner.st_uid, owner.st_gid)


def _refuse_foreign(data: Path) -> None:
    """Refuse a directory that another program's server runs on."""
    found = status(data)
    if found is not None and Path(found.socket) not in _possible_sockets(data):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(found.pid, 0)
            raise EmbeddedError(
                f"{data} is in use by a PostgreSQL that psqlmodel did not start (process {found.pid}); "
                "connect to it by its own DSN, or stop it first"
            )


def _take(data: Path, name: str, how: int, deadline: float) -> int:
    """Take a lock of a directory, which a guardian may be removing right now."""
    while True:
        try:
            return locks.take(data / STATE / name, how, deadline)
        except FileNotFoundError:
            _prepare(data)
        except TimeoutError as error:
            raise EmbeddedError(f"the server on {data} is stopping and does not come to an end: {error}") from error


def _running(data: Path, deadline: float) -> str | None:
    """Give the socket's folder of the server that runs here, or None; wait out one that stops."""
    while not locks.is_free(data / STATE / "server"):
        found = status(data)
        if found is not None and found.state == "ready" and _listens(found.socket):
            return found.socket
        if time.monotonic() > deadline:
            raise TimeoutError("it neither becomes ready nor ends")
        time.sleep(POLL)
    return None


def _listens(folder: str) -> bool:
    """Tell whether somebody answers at a socket: a crash leaves postmaster.pid and the socket file behind."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_PATIENCE)
        try:
            client.connect(str(Path(folder) / SOCKET_NAME))
        except OSError:
            return False
        return True


def _major(data: Path) -> int | None:
    """Give the major version that the data belongs to, None where there is none yet."""
    try:
        text = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return None
    if not text.isdigit():
        raise EmbeddedError(f"{data / 'PG_VERSION'} does not name a version of PostgreSQL; is this its data directory?")
    return int(text)


def _possible_sockets(data: Path) -> list[Path]:
    """Give the folders for the socket, best first: in the data directory, else a short one.

    The short one's name follows from the directory's, so that a killed process leaves one folder, not many.
    """
    name = f"{PREFIX}{os.geteuid()}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
    return [data / STATE, *(Path(parent) / name for parent in (tempfile.gettempdir(), SHORTEST))]


def _socket_folder(data: Path) -> str:
    # libpq separates hosts by commas and has no way to quote one.
    usable = [
        folder
        for folder in _possible_sockets(data)
        if len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_LIMIT and "," not in str(folder)
    ]
    if not usable:
        raise EmbeddedError(
            f"the path {data} is too long for a socket ({SOCKET_LIMIT} bytes), and so is the folder for "
            "temporary files; choose a shorter one or set TMPDIR"
        )
    folder = usable[0]
    if folder != data / STATE:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = data.stat()
        found = folder.lstat()
        if found.st_uid not in (os.geteuid(), owner.st_uid) or found.st_mode & 0o077 or not folder.is_dir():
            raise EmbeddedError(f"{folder}, the folder for the socket, belongs to somebody else; remove it")
        if os.geteuid() == 0:
            os.chown(folder, owner.st_uid, owner.st_gid)
    return str(folder)


def _initdb_options(major: int, *, temporary: bool) -> list[str]:
    words = ["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-instructions"]
    if major >= 17:
        # Sorts as C does, and knows the upper and lower case of all letters.
        words += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [*words, "--no-sync"] if temporary else words


def _environment() -> dict[str, str]:
    """Give the environment without what would change the server: PGPORT, PGDATA, locales, …"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C"}


def _start_guardian(job: dict[str, Any], deadline: float) -> None:
    """Start a guardian and wait for its answer."""
    guardian = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("guardian.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C at the terminal is for the program, not for its server
        cwd="/",
    )
    assert guardian.stdin is not None
    assert guardian.stdout is not None
    with guardian.stdin as question, guardian.stdout as answer:
        with contextlib.suppress(BrokenPipeError):
            question.write(json.dumps(job).encode())
            question.close()
        ready, _, _ = select.select([answer], [], [], max(0.0, deadline - time.monotonic()))
        said = answer.read() if ready else b""
    if not said:
        guardian.kill()
        guardian.wait()
        raise EmbeddedError(f"PostgreSQL could not start in {job['data']}: its guardian process ended or hung")
    error = json.loads(said).get("error")
    if error is not None:
        guardian.wait()
        raise EmbeddedError(error)
    _reap(Path(job["data"]))  # that of a server that has crashed since
    _guardians[Path(job["data"])] = guardian


# --- leaving and cleaning up --------------------------------------------------------------------------------


def _wait_for_end(data: Path, deadline: float, *, temporary: bool) -> None:
    """Wait until the server is gone, and temporary data with it, unless others use it."""
    state = data / STATE
    while time.monotonic() < deadline:
        if locks.is_free(state / "server"):
            _remove_unused(data)  # its guardian was killed, or is removing it right now
            if not temporary or not data.exists():
                _reap(data)
                return
        # Not exclusive, yet shared: others have it. Neither: the guardian is at work. Both: it will wake up.
        elif not locks.is_free(state / "users", locks.EXCLUSIVE) and locks.is_free(state / "users"):
            return
        time.sleep(POLL)


def _remove_unused(data: Path) -> None:
    """Remove a temporary data directory that nobody uses and no server runs on."""
    state = data / STATE
    if not (state / TEMPORARY).exists():
        return
    with contextlib.suppress(OSError):
        users = locks.attempt(state / "users", locks.EXCLUSIVE)
        if users is not None:
            if locks.is_free(state / "server", locks.EXCLUSIVE):
                shutil.rmtree(data, ignore_errors=True)
            os.close(users)


def _sweep(parent: Path) -> None:
    """Remove the temporary data that killed guardians of this user have left."""
    for data in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if data.lstat().st_uid == os.geteuid():
                _remove_unused(data)


def _reap(data: Path) -> None:
    """Take leave of the guardian of a server that has ended, so that it does not stay as a zombie."""
    guardian = _guardians.pop(data, None)
    if guardian is not None:
        try:
            guardian.wait(REAP_PATIENCE)
        except subprocess.TimeoutExpired:
            _guardians[data] = guardian


@atexit.register
def _stop_all() -> None:
    for server in list(_in_use):
        server.stop()
    for guardian in _guardians.values():
        guardian.returncode = 0  # others use its server: it outlives us by intent, and no warning is due
