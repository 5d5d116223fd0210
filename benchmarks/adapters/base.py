"""What every adapter is: one class, one method for each workload, written as the library's own docs say is best.

A method takes a clock and a count, does its work inside `with clock`, and returns what it made, to be verified outside.
What only the library's user sees counts: objects with attributes, keys on them, everything committed. A method that is
not there is work that the library does not do; `missing` says why. Nothing here may be on the clock by itself.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from psycopg2.extensions import parse_dsn

from benchmarks.clock import Clock
from benchmarks.rows import new_orders, new_users

TASKS = 32  # at once, in the web transaction of an async adapter
CONNECTIONS = 10
CHUNK = 2_000  # rows that a stream has in hand


class Adapter:
    """One library on one driver; `dsn` leads to the data set, which has `users` users."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]  # whose versions are told
    imports: ClassVar[str]  # what a program writes to have it
    missing: ClassVar[dict[str, str]] = {}

    def __init__(self, dsn: str, users: int) -> None:
        self.dsn = dsn
        self.users = users

    @property
    def parts(self) -> dict[str, str]:
        """What the DSN says: user, dbname, host, port."""
        return parse_dsn(self.dsn)

    @classmethod
    def versions(cls) -> str:
        """Return names and versions of the packages."""
        return ", ".join(f"{name} {version(name)}" for name in cls.packages)

    def many(self, obj: Any, name: str) -> list[Any]:
        """Return the loaded objects of a to-many relation."""
        return list(getattr(obj, name))

    def key(self, number: int) -> int:
        """Return the user of the `number`-th web transaction."""
        return number % self.users + 1


class SyncAdapter(Adapter):
    """An adapter whose methods are plain functions."""

    def open(self) -> None: ...

    def close(self) -> None: ...

    def web(self, clock: Clock, count: int) -> Any:
        """Do `count` web transactions, one after the other."""
        return self._web(clock, count)

    def web_remote(self, clock: Clock, count: int) -> Any:
        """Do the same; the server is further away."""
        return self._web(clock, count)

    def _web(self, clock: Clock, count: int) -> Any:
        waits, done = [], []
        with clock:
            for number in range(count):
                began = time.perf_counter()
                done.append(self.web_one(number))
                waits.append(time.perf_counter() - began)
        clock.note("p99", percentile(waits, 0.99))
        return done

    def add_remote(self, clock: Clock, count: int) -> Any:
        """Add a user with two orders, commit; `count` times."""
        made = graphs(count)
        with clock:
            return [self.add_one(*graph) for graph in made]

    def memory(self, clock: Clock, count: int) -> Any:
        """Note the bytes that one loaded order keeps."""
        with kept(clock, count):
            return self.load_orders(Clock(), count)  # type: ignore[attr-defined]


class AsyncAdapter(Adapter):
    """An adapter whose methods are coroutines."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def web(self, clock: Clock, count: int) -> Any:
        """Do `count` web transactions in 32 tasks."""
        waits: list[float] = []
        done: list[Any] = []
        numbers = iter(range(count))

        async def task() -> None:
            for number in numbers:
                began = time.perf_counter()
                done.append(await self.web_one(number))
                waits.append(time.perf_counter() - began)

        with clock:
            await asyncio.gather(*(task() for _ in range(TASKS)))
        clock.note("p99", percentile(waits, 0.99))
        return done

    async def web_remote(self, clock: Clock, count: int) -> Any:
        """Do the same one after the other; the server is further away."""
        with clock:
            return [await self.web_one(number) for number in range(count)]

    async def add_remote(self, clock: Clock, count: int) -> Any:
        """Add a user with two orders, commit; `count` times."""
        made = graphs(count)
        with clock:
            return [await self.add_one(*graph) for graph in made]

    async def memory(self, clock: Clock, count: int) -> Any:
        """Note the bytes that one loaded order keeps."""
        with kept(clock, count):
            return await self.load_orders(Clock(), count)  # type: ignore[attr-defined]


def graphs(count: int) -> list[Any]:
    """Return the values of `count` users with two orders each."""
    return [(user, new_orders(2, first)) for first, user in enumerate(new_users(count))]


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that is not below `share` of all."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@contextmanager
def kept(clock: Clock, count: int) -> Iterator[None]:
    """Note the bytes of Python objects that are made inside the block and stay, for each of `count`."""
    gc.collect()
    tracemalloc.start()
    yield  # where the block returns, its result is alive
    gc.collect()
    clock.note("bytes", tracemalloc.get_traced_memory()[0] / count)
    tracemalloc.stop()


@contextmanager
def peak(clock: Clock) -> Iterator[None]:
    """Note by how many MiB the memory of this process grows at most inside the block."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = _status("VmHWM")
    yield
    clock.note("mib", (_status("VmHWM") - before) / 1024)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise LookupError(name)
