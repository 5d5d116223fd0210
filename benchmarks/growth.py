"""How the cost grows: Include, flush and delete at 10³ … 10⁶ rows, in microseconds for each row.

    python -m benchmarks.growth [greatest number of rows]

A column that stays level is linear growth. `nothing to flush` is for a whole flush: it must not follow what is loaded.
Each number of rows has a process of its own.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.adapters.psqlmodel_models import Order, User
from benchmarks.data import Size, fill
from benchmarks.rows import orders_of_users
from benchmarks.run import SETTINGS
from psqlmodel import Select, Session, create_engine
from psqlmodel.embedded import Server

STEPS = (1_000, 10_000, 100_000, 1_000_000)
IDLE = 1_000  # flushes without anything to do
TITLES = ("Include", "change, flush", "add, flush", "delete, flush", "nothing to flush")


def measure(dsn: str, count: int) -> list[float]:
    """Return the microseconds of each piece of work: for one row, except the last."""
    fill(dsn, Size(users=count // 10, orders=count, items=0))
    engine = create_engine(dsn)
    with Session(engine) as session:  # the catalog is read, statements are prepared
        assert session.exec(Select(User).Where(User.id <= 2).Include(User.orders)).all()
    found = [_timed(count, lambda: _include(engine, count))]
    with Session(engine) as session:
        orders = session.exec(Select(Order)).all()
        idle = _timed(IDLE, lambda: [session.flush() for _ in range(IDLE)])
        for order in orders:
            order.paid = not order.paid
        found.append(_timed(count, session.flush))
        session.add_all([Order(**row) for row in orders_of_users(count, count // 10)])
        found.append(_timed(count, session.flush))
        for order in orders:
            session.delete(order)
        found.append(_timed(count, session.flush))
        assert session.exec_scalar("SELECT count(*) FROM orders") == count
        session.rollback()
    engine.dispose()
    return [*found, idle]


def _include(engine: Any, count: int) -> None:
    with Session(engine) as session:
        users = session.exec(Select(User).Include(User.orders)).all()
        assert sum(len(user.orders) for user in users) == count


def _timed(count: int, work: Callable[[], Any]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) / count * 1e6


def _apart(count: int) -> list[float]:
    """Measure in a process of its own, on a server of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", "--measure", str(count)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)


def _measure_here(count: int) -> None:
    with Server(options=SETTINGS) as server:
        print(json.dumps(measure(server.create_database("growth"), count)))


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        return _measure_here(int(sys.argv[2]))
    most = int(sys.argv[1]) if sys.argv[1:] else STEPS[-1]
    print("| rows | " + " | ".join(f"{title}, µs" for title in TITLES) + " |")
    print("| ---: |" + " ---: |" * len(TITLES))
    for count in STEPS:
        if count <= most:
            print(f"| {count:,} | " + " | ".join(f"{value:.2f}" for value in _apart(count)) + " |", flush=True)
    return None


if __name__ == "__main__":
    main()
