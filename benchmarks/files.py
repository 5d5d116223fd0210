"""Files and bulk work beside raw COPY: time and memory, of both drivers, for a number of rows and a tenth of it.

    python -m benchmarks.files [rows] [rounds]

Each number is of a process of its own, rounds are interleaved, and the fastest counts. Time is that of the processors,
of the client and its backend together, so that it counts on a shared machine, too; it is told as a ratio to what the
driver does by hand with CSV. `MiB` is the greatest resident memory above that of the process when it had connected and
imported all that it needs.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psqlmodel import AsyncSession, Column, PSQLModel, Select, Session, create_async_engine, create_engine, table
from psqlmodel.embedded import Server

WORKS = ("raw out", "csv out", "binary out", "arrow out", "raw in", "csv in", "binary in", "arrow in", "insert in")
MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
COLUMNS = "id, name, price, at"
FILL = """INSERT INTO measured SELECT n, 'measured ' || n, n * 0.25, '2024-01-01'::timestamptz + n * interval '1 s'
FROM generate_series(1, %s) n"""


@table("measured")
class Measured(PSQLModel):
    """Four kinds of values."""

    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    price: Column[float]
    at: Column[datetime]


def main() -> None:
    """Print a table for each driver."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        dsn = server.create_database("measured")
        sizes = [count // 10, count]
        print(f"| | {' | '.join(f'{driver} {n:,}, MiB' for driver in ('psycopg2', 'asyncpg') for n in sizes)} |")
        found = {driver: _of_driver(dsn, folder, driver, sizes, rounds) for driver in ("psycopg2", "asyncpg")}
    for work in WORKS:
        raw = f"raw {work.split()[1]}"
        cells = []
        for driver in found:
            for n in sizes:
                seconds, memory = found[driver][work, n]
                cells.append(f"{seconds / found[driver][raw, n][0]:.2f}, {memory:.0f}")
        print(f"| {work} | {' | '.join(cells)} |")


def _of_driver(dsn: str, folder: str, driver: str, sizes: list[int], rounds: int) -> dict[Any, tuple[float, float]]:
    best: dict[Any, tuple[float, float]] = {}
    with create_engine(dsn) as engine:
        for count in sizes:
            engine.execute("DROP TABLE IF EXISTS measured")
            engine.execute("CREATE TABLE measured (id int, name text, price float8, at timestamptz)")
            engine.execute(FILL, [count])
            for _ in range(rounds):
                for work in WORKS:  # out before in: they read what those wrote
                    command = [
                        sys.executable,
                        "-m",
                        "benchmarks.files",
                        "--child",
                        driver,
                        work,
                        dsn,
                        folder,
                        str(count),
                    ]
                    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                    seconds, memory = json.loads(told)
                    before = best.get((work, count), (seconds, memory))
                    best[work, count] = min(before[0], seconds), max(before[1], memory)
    return best


def _child(driver: str, work: str, dsn: str, folder: str, count: str) -> None:
    kind, way = work.split()
    path = Path(folder) / f"{'csv' if kind in ('raw', 'insert') else kind}-{count}"
    measure = _psycopg2 if driver == "psycopg2" else lambda *args: asyncio.run(_asyncpg(*args))
    measure(dsn, kind, way, path, int(count))


def _psycopg2(dsn: str, kind: str, way: str, path: Path, count: int) -> None:
    engine = create_engine(dsn)
    with Session(engine) as session:
        _ready(kind)
        _ = session.exec(Select(Measured).Limit(1)).all()
        raw = engine.acquire()
        backend = raw.pid if kind == "raw" else session.exec_scalar("SELECT pg_backend_pid()")
        with _Measured(backend):
            if kind == "raw":
                with path.open("wb" if way == "out" else "rb") as file:
                    raw._cursor.execute("BEGIN")
                    raw._cursor.copy_expert(_command(way), file, 1 << 16)
            elif kind == "insert":
                assert session.bulk_insert(_rows(count), model=Measured, returning=False) == count
            elif way == "out":
                assert session.copy_to(Measured, path, format=kind) == count  # type: ignore[arg-type]
            else:
                assert session.copy_from(Measured, path, format=kind) == count  # type: ignore[arg-type]
        raw.reset()
        engine.pool.release(raw)
        session.rollback()
    engine.dispose()


async def _asyncpg(dsn: str, kind: str, way: str, path: Path, count: int) -> None:
    engine = create_async_engine(dsn)
    async with AsyncSession(engine) as session:
        _ready(kind)
        _ = await session.exec(Select(Measured).Limit(1)).all()
        held = await engine.acquire()
        raw = held._raw
        backend = held.pid if kind == "raw" else await session.exec_scalar("SELECT pg_backend_pid()")
        with _Measured(backend):
            if kind == "raw" and way == "out":
                with path.open("wb") as file:
                    await raw.copy_from_query(f"SELECT {COLUMNS} FROM measured", output=file, format="csv", header=True)
            elif kind == "raw":
                await raw.execute("BEGIN")
                with path.open("rb") as file:
                    await raw.copy_to_table("measured", source=file, format="csv", header=True)
            elif kind == "insert":
                assert await session.bulk_insert(_rows(count), model=Measured, returning=False) == count
            elif way == "out":
                assert await session.copy_to(Measured, path, format=kind) == count  # type: ignore[arg-type]
            else:
                assert await session.copy_from(Measured, path, format=kind) == count  # type: ignore[arg-type]
        await held.reset()
        await engine.pool.release(held)
        await session.rollback()
    await engine.dispose()


def _command(way: str) -> str:
    where = "TO STDOUT" if way == "out" else "FROM STDIN"
    return f"COPY measured ({COLUMNS}) {where} WITH (FORMAT csv, HEADER)"


def _rows(count: int) -> Iterator[dict[str, Any]]:
    for n in range(1, count + 1):
        yield {"id": n, "name": f"measured {n}", "price": n * 0.25, "at": MOMENT}


def _ready(kind: str) -> None:
    if kind == "arrow":
        from psqlmodel.core.bulk.arrow.needed import arrow

        _ = arrow()


class _Measured:
    """Print the seconds of the processors that its block takes, and the memory that it needs."""

    def __init__(self, backend: int) -> None:
        self._backend = Path(f"/proc/{backend}/stat")

    def __enter__(self) -> None:
        gc.collect()
        self._before = _resident()
        self._start = self._seconds()

    def __exit__(self, *error: object) -> None:
        seconds = self._seconds() - self._start
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps([seconds, max(0.0, most - self._before)]))

    def _seconds(self) -> float:
        fields = self._backend.read_text().rpartition(")")[2].split()
        return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(*sys.argv[2:])
    else:
        main()
