"""The embedded server as its users see it: its life, databases, both drivers, one directory for many."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

import asyncpg
import psycopg2
import pytest

from psqlmodel.embedded import EmbeddedError, Server, acquire, is_embedded
from psqlmodel.embedded.guardian import status

from .processes import alive, wait_until


def ask(dsn: str, statement: str) -> Any:
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        return None if row is None else row[0]


def execute(dsn: str, statement: str) -> None:
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def test_temporary_server_lives_and_leaves_nothing() -> None:
    with Server() as server:
        data, pid = server.data, server.pid
        assert ask(server.dsn, "SELECT 1") == 1
        assert data.stat().st_mode & 0o077 == 0
        assert repr(server) == f"<Server {data} (running)>"
    assert not alive(pid)
    assert not data.exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("fsync", "off"),
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
    ],
)
def test_settings_of_a_temporary_server(server: Server, setting: str, value: str) -> None:
    assert ask(server.dsn, f"SELECT current_setting('{setting}')") == value


def test_text_sorts_by_code_point_and_knows_letters(server: Server) -> None:
    assert ask(server.dsn, "SELECT 'B' < 'a'") is True
    assert ask(server.dsn, "SELECT lower('É')") == "é"


async def test_both_drivers_take_the_dsn(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")  # the DSN says everything: the environment must not redirect it
    monkeypatch.setenv("PGHOST", "example.invalid")
    connection = await asyncpg.connect(server.dsn)
    try:
        assert await connection.fetchval("SELECT current_user") == "postgres"
    finally:
        await connection.close()
    assert ask(server.dsn, "SELECT current_database()") == "postgres"


def test_the_environment_does_not_change_a_new_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("LC_ALL", "no_SUCH.locale")
    with Server() as server:
        assert ask(server.dsn, "SELECT current_setting('port')") == "5432"


async def test_databases(server: Server) -> None:
    name = 'a "quoted" name/ü?&'
    dsn = server.create_database(name)
    try:
        execute(dsn, "CREATE TABLE t AS SELECT 7 AS n")
        copy = server.create_database("copied", template=name)
        assert ask(copy, "SELECT n FROM t") == 7
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT current_database()") == name
    finally:
        server.drop_database(name)  # with a connection open: it is ended
        server.drop_database("copied")
    connection.terminate()
    assert ask(server.dsn, "SELECT count(*) FROM pg_database WHERE datname = 'copied'") == 0
    server.drop_database("never made")


def test_options_reach_the_server() -> None:
    with Server(options={"work_mem": "7MB", "fsync": "on"}) as server:
        assert ask(server.dsn, "SHOW work_mem") == "7MB"
        assert ask(server.dsn, "SHOW fsync") == "on"


def test_version_and_pid(server: Server) -> None:
    assert ask(server.dsn, "SHOW server_version") == server.version
    assert alive(server.pid)


def test_start_and_stop_twice_are_harmless() -> None:
    server = Server()
    assert server.start() is server.start()
    pid = server.pid
    server.stop()
    server.stop()
    assert not alive(pid)
    with pytest.raises(EmbeddedError, match=r"not running; call start\(\)"):
        _ = server.dsn
    with server:
        assert ask(server.dsn, "SELECT 1") == 1


def test_kept_data_is_kept_and_safe(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    with Server(data) as server:
        assert server.data == data
        assert ask(server.dsn, "SHOW fsync") == "on"
        execute(server.dsn, "CREATE TABLE kept AS SELECT 42 AS n")
    assert (data / "PG_VERSION").exists()
    with Server(data) as server:
        assert ask(server.dsn, "SELECT n FROM kept") == 42
    assert "was interrupted" not in (data / ".psqlmodel" / "server.log").read_text()  # it had a clean end


def test_two_servers_of_one_process_share_a_directory(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as first:
        with Server(tmp_path / "data") as second:
            assert second.pid == first.pid
            pid = first.pid
        assert alive(pid)
        assert ask(first.dsn, "SELECT 1") == 1
    assert not alive(pid)


def test_a_shared_server_is_found_by_its_name_and_goes_with_its_last_user() -> None:
    name = f"test-{os.getpid()}"
    with Server.shared(name) as first:
        with Server.shared(name) as second:
            assert (second.pid, second.data) == (first.pid, first.data)
            assert ask(second.dsn, "SHOW fsync") == "off"  # it is temporary, and as fast
        assert ask(first.dsn, "SELECT 1") == 1
        data = first.data
    assert not data.exists()


@pytest.mark.parametrize("name", ["", "../x", "a b", "é"])
def test_names_of_shared_servers(name: str) -> None:
    with pytest.raises(EmbeddedError, match="letters, digits, _ and -"):
        Server.shared(name)


def test_threads_start_one_directory_at_once(tmp_path: Path) -> None:
    servers = [Server(tmp_path / "data") for _ in range(6)]
    threads = [threading.Thread(target=server.start) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        # The thread that started the server has ended: the server must not have ended with it.
        assert len({server.pid for server in servers}) == 1
        assert ask(servers[0].dsn, "SELECT 1") == 1
    finally:
        for server in servers:
            server.stop()


def test_a_dropped_server_does_not_stay(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    pid = server.pid
    del server
    wait_until(lambda: not alive(pid), "the server whose Server was garbage is still there")


def test_a_crashed_server_is_started_again(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as first:
        pid = first.pid
        os.kill(pid, 9)
        wait_until(lambda: not alive(pid), "the killed server is still there")
        with Server(tmp_path / "data") as second:
            assert second.pid != pid
            assert ask(second.dsn, "SELECT 1") == 1
            assert ask(first.dsn, "SELECT 1") == 1  # the same socket


def test_a_stale_pid_of_another_process_does_not_keep_the_server_from_starting(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        pid, content = server.pid, (server.data / "postmaster.pid").read_text()
    lines = content.splitlines()
    assert lines[0] == str(pid)
    # A container that was killed and came back: the number is now another process, here this one.
    (tmp_path / "data" / "postmaster.pid").write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    with Server(tmp_path / "data") as server:
        assert ask(server.dsn, "SELECT 1") == 1


def test_half_made_data_is_completed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Server(data):
        pass
    # As a process leaves it that was killed while it moved initdb's result to its place.
    made = data / ".psqlmodel" / "cluster"
    made.mkdir()
    for name in ("PG_VERSION", "base", "global", "pg_wal"):
        (data / name).rename(made / name)
    with Server(data) as server:
        assert ask(server.dsn, "SELECT 1") == 1
    assert not made.exists()


@pytest.mark.parametrize("name", ["with space", "comma,and'quote\"s", "ümläut", "d" * 120, "percent%20"])
def test_awkward_and_long_paths(tmp_path: Path, name: str) -> None:
    with Server(tmp_path / name) as server:
        assert ask(server.dsn, "SHOW data_directory") == str(tmp_path / name)
        found = status(server.data)
        assert found is not None
        socket = Path(found.socket)
        assert socket.stat().st_mode & 0o077 == 0
    assert not (socket / ".s.PGSQL.5432").exists()


async def test_asyncpg_takes_the_dsn_of_an_awkward_path(tmp_path: Path) -> None:
    with Server(tmp_path / "comma, and space") as server:
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()


# --- the DSN of an engine -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dsn", "answer"),
    [
        ("embedded", True),
        ("embedded:///data", True),
        ("embedded:data", True),
        ("postgresql:///embedded", False),
        ("embeddedx", False),
        ("", False),
    ],
)
def test_is_embedded(dsn: str, answer: bool) -> None:
    assert is_embedded(dsn) is answer


def test_acquire_gives_each_its_own_temporary_server() -> None:
    first, second = acquire("embedded"), acquire("embedded")
    try:
        assert first.data != second.data
        assert first.pid != second.pid
        assert ask(second.dsn, "SELECT 1") == 1
    finally:
        first.stop()
        second.stop()


def test_acquire_with_a_path_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = acquire(f"embedded://{tmp_path}/my%20data")
    try:
        assert server.data == tmp_path / "my data"
        monkeypatch.chdir(tmp_path)
        second = acquire("embedded:my data")
        assert second.pid == server.pid
        second.stop()
    finally:
        server.stop()
    assert (tmp_path / "my data" / "PG_VERSION").exists()


@pytest.mark.parametrize(
    ("dsn", "words"),
    [("embedded://data", "three slashes"), ("postgresql://x", "does not begin with embedded")],
)
def test_acquire_refuses(dsn: str, words: str) -> None:
    with pytest.raises(EmbeddedError, match=words):
        acquire(dsn)
