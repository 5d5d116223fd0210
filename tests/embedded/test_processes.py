"""The embedded server among processes: joined, killed, forked; no server and no folder stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg2
import pytest

from psqlmodel.embedded import EmbeddedError, Server
from psqlmodel.embedded.guardian import status

from .processes import PATIENCE, alive, finish, first_line, kill, user_of, wait_until


def gone(pid: int, data: Path) -> None:
    wait_until(lambda: not alive(pid), f"the server {pid} is still there")
    wait_until(lambda: not data.exists(), f"{data} is still there")


def test_processes_share_a_directory_until_the_last_leaves(tmp_path: Path) -> None:
    users = [user_of(tmp_path / "data") for _ in range(4)]  # all at once: one starts the server, the others join
    pids = {first_line(user)[0] for user in users}
    assert len(pids) == 1
    pid = pids.pop()
    for user in users[:-1]:
        assert finish(user) == 0
    assert alive(pid)
    assert finish(users[-1]) == 0
    assert not alive(pid)


def test_the_starter_is_killed_and_the_others_stay(tmp_path: Path) -> None:
    starter = user_of(tmp_path / "data")
    pid, _ = first_line(starter)
    with Server(tmp_path / "data") as server:
        with contextlib.closing(psycopg2.connect(server.dsn)) as connection, connection.cursor() as cursor:
            kill(starter)
            cursor.execute("SELECT 1")  # this very connection has lived through it
        assert server.pid == pid
    assert not alive(pid)


def test_a_killed_process_leaves_no_server_and_no_folder() -> None:
    user = user_of(None)
    pid, data = first_line(user)
    assert data.exists()
    kill(user)
    gone(pid, data)


@pytest.mark.parametrize("then", ["pass", "sys.exit(3)", "raise SystemExit", "import os; os._exit(0)"])
def test_a_process_that_ends_without_stop_leaves_nothing(then: str) -> None:
    user = user_of(None, then=then)
    pid, data = first_line(user)
    user.communicate(timeout=PATIENCE)
    gone(pid, data)


def test_an_ordinary_end_waits_for_the_servers_end() -> None:
    user = user_of(None)
    pid, data = first_line(user)
    assert finish(user) == 0
    assert not alive(pid)
    assert not data.exists()


def test_ctrl_c_is_for_the_program_alone() -> None:
    user = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, sys, psycopg2\n"
            "from psqlmodel.embedded import Server\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job inherits that it is ignored
            "with Server() as server:\n"
            "    try:\n"
            "        print(server.pid, server.data, flush=True)\n"
            "        sys.stdin.readline()\n"
            "    except KeyboardInterrupt:\n"
            "        psycopg2.connect(server.dsn).close()\n"
            "        print('served', flush=True)\n",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pid, data = first_line(user)
    os.killpg(user.pid, signal.SIGINT)  # what a terminal sends
    output, _ = user.communicate(timeout=PATIENCE)
    assert output == "served\n"
    gone(pid, data)


def test_a_killed_guardian_takes_its_server_along_and_the_next_start_mends(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        pid = server.pid
        os.kill(guardian_of(pid), signal.SIGKILL)
        wait_until(lambda: not alive(pid), "the server outlives its guardian")
        with Server(tmp_path / "data") as again:
            assert again.pid != pid
            with contextlib.closing(psycopg2.connect(again.dsn)) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1")


def test_temporary_data_of_a_killed_guardian_goes_at_the_next_start() -> None:
    user = user_of(None)
    pid, data = first_line(user)
    os.kill(guardian_of(pid), signal.SIGKILL)
    kill(user)
    wait_until(lambda: not alive(pid), "the server outlives its guardian")
    assert data.exists()
    with Server():
        assert not data.exists()


def test_the_sweep_leaves_foreign_folders_and_live_servers() -> None:
    with Server() as server, tempfile.TemporaryDirectory(prefix="psqlmodel-") as foreign:
        (Path(foreign) / "file").touch()
        with Server():
            assert (Path(foreign) / "file").exists()
            assert alive(server.pid)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_does_not_end_its_parents_server(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        child = os.fork()
        if child == 0:
            server.stop()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert alive(server.pid)
        psycopg2.connect(server.dsn).close()
        pid = server.pid
    assert not alive(pid)


def test_a_starter_that_is_killed_during_its_start_leaves_usable_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    code = f"from psqlmodel.embedded import Server; Server({str(data)!r}).start()"
    starter = subprocess.Popen([sys.executable, "-c", code], text=True)
    wait_until((data / ".psqlmodel" / "initdb").exists, "initdb has not begun")
    kill(starter)
    with Server(data) as server:
        psycopg2.connect(server.dsn).close()


def test_a_directory_in_use_by_a_foreign_server_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Server(data) as server:
        content = (data / "postmaster.pid").read_text()
        assert status(data) is not None
        assert server.pid
    lines = content.splitlines()
    lines[0], lines[4] = str(os.getpid()), "/run/postgresql"
    (data / "postmaster.pid").write_text("\n".join(lines) + "\n")
    with pytest.raises(EmbeddedError, match=f"psqlmodel did not start .process {os.getpid()}"):
        Server(data).start()


def guardian_of(pid: int) -> int:
    status_lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status_lines if line.startswith("PPid:")))
