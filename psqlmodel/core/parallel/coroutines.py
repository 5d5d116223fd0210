"""Parallel reads of an `AsyncSession`: tasks of asyncio, each in a session of its own.

`run_all` is `parallel_exec`, `scan` is `parallel_scan`, as `threads` has them for `Session`. The objects that they give
are detached. The first error cancels what runs and ends what has not begun; a cancellation does both, too.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from psqlmodel.core.engine.channel import AsyncSessionChannel
from psqlmodel.core.engine.observing import observe_alike
from psqlmodel.core.loading.result import Pending
from psqlmodel.core.parallel import snapshot, splitting
from psqlmodel.core.parallel.tasks import (
    Job,
    Tasks,
    as_given,
    asked_here,
    check_open,
    check_workers,
    listed,
    query_of,
    worker_count,
)
from psqlmodel.errors import DatabaseError
from psqlmodel.query.statement import Query
from psqlmodel.steps import run_async

if TYPE_CHECKING:
    from psqlmodel.core.async_session import AsyncSession


async def run_all(session: AsyncSession, tasks: Any, *, max_workers: int | None, consistent: bool) -> Any:
    """Run tasks concurrently and return their results in order: a list, or a tuple where the tasks came in one.

    A task is a query, SQL text, a pair of SQL text and parameters (these give lists), an awaitable of a query
    (`Select(User).first()`), a coroutine function without arguments, or any awaitable. Raises `ParallelError`
    for the first task that failed, `QueryError` for what is no task, and `SessionError` where `consistent` tasks would
    miss what the session has not committed.
    """
    check_open(session)
    given = listed(tasks)
    try:
        jobs = [_job(task, number) for number, task in enumerate(given)]
        if max_workers is not None:
            check_workers("max_workers", max_workers)
        work = Tasks("task {} of parallel_exec", jobs)
        if jobs:
            with asked_here(session):
                await (_consistently if consistent else _apart)(session, work, len(jobs), max_workers)
        return as_given(tasks, work.results())
    finally:
        _close_coroutines(given)


async def _apart(session: AsyncSession, work: Tasks, tasks: int, max_workers: int | None) -> None:
    await session._run(snapshot.rest(session._workspace))
    place = _Apart(session)
    await _work_together(work, place, [place] * (worker_count(session, tasks, max_workers) - 1))


async def _consistently(session: AsyncSession, work: Tasks, tasks: int, max_workers: int | None) -> None:
    async with _first_worker(session, "parallel_exec(consistent=True)") as first:
        await _work_together(work, first, first.others(worker_count(session, tasks, max_workers)))


def _close_coroutines(given: Iterable[Any]) -> None:
    """Close the coroutines that were never begun: they would warn of that."""
    for task in given:
        if inspect.iscoroutine(task) and inspect.getcoroutinestate(task) == inspect.CORO_CREATED:
            task.close()


async def scan(session: AsyncSession, query: Query[Any], *, workers: int) -> list[Any]:
    """Read a query of one table in parts, all in one snapshot; see `threads.scan`."""
    check_open(session)
    check_workers("workers", workers)
    splitting.check_scan(query)
    with asked_here(session):
        return await _scanned(session, query, workers)


async def _scanned(session: AsyncSession, query: Query[Any], workers: int) -> list[Any]:
    async with _first_worker(session, "parallel_scan") as first:
        parts = await first.run(splitting.split(query, workers))  # type: ignore[arg-type]
        work = Tasks("part {} of parallel_scan", [partial(_read, part, None, _items) for part in parts])
        await _work_together(work, first, first.others(worker_count(session, len(parts), workers)))
    return list(chain.from_iterable(work.results()))


# --- jobs -------------------------------------------------------------------------------------------------------


def _job(task: Any, number: int) -> Job:
    if isinstance(task, Pending):
        task.take_over()
        return partial(_read, task.query, task.params, task.take)
    if not isinstance(task, Query) and inspect.isawaitable(task):
        return partial(_call, lambda: task)
    if not isinstance(task, Query) and callable(task):
        return partial(_call, task)
    return partial(_read, *query_of(task, number), _items)


def _items(loaded: Any) -> list[Any]:
    return list(loaded.items)


async def _read(query: Any, params: Any, take: Callable[[Any], Any], place: _Apart | _Worker) -> Any:
    async with place.session(read_only=True) as own:
        return take(await own._select(query, params))


async def _call(task: Callable[[], Any], place: _Apart | _Worker) -> Any:
    async with place.session():
        result = task()
        return await result if inspect.isawaitable(result) else result


# --- workers ----------------------------------------------------------------------------------------------------


async def _work_together(work: Tasks, first: _Apart | _Worker, others: Sequence[_Apart | _Worker]) -> None:
    """Do the jobs in tasks, one for each place. The first stays as it is, since its snapshot may be awaited."""
    running = [asyncio.ensure_future(each) for each in (_work(work, first), *(_join(work, each) for each in others))]
    try:
        _ = await asyncio.gather(*running)
    except BaseException as error:
        work.stop()
        for task in running:
            _ = task.cancel()
        _ = await asyncio.gather(*running, return_exceptions=True)
        if work.failure is None or not isinstance(error, Exception):
            raise


async def _work(work: Tasks, place: _Apart | _Worker) -> None:
    while (found := work.next()) is not None:
        number, job = found
        try:
            work.done(number, await asyncio.ensure_future(job(place)))  # a task: its context variables are its own
        except Exception as error:
            work.failed(number, error)
            raise


async def _join(work: Tasks, place: _Apart | _Worker) -> None:
    try:
        if await place.joins():
            await _work(work, place)
    finally:
        await place.leave()


class _Apart:
    """Where tasks run that share nothing: each has a connection, and a transaction, of its own."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def session(self, *, read_only: bool = False) -> AsyncSession:
        made: AsyncSession = snapshot.fresh(self._session, read_only=read_only)
        return made

    async def joins(self) -> bool:
        return True

    async def leave(self) -> None:
        pass


class _Worker:
    """Where tasks run in one snapshot: a connection with a transaction that outlives them."""

    def __init__(self, session: AsyncSession, source: Any, identifier: str | None) -> None:
        self._session = session
        self._channel = AsyncSessionChannel(source)
        observe_alike(self._channel, session._channel)
        self._identifier = identifier

    async def begin(self) -> None:
        """Begin in the snapshot, or export one where there is none yet."""
        settings = self._session._workspace.transaction.beginning
        self._identifier = await self.run(snapshot.begin(self._identifier, settings))

    def others(self, count: int) -> list[_Worker]:
        """Return the workers that join this one, so that they are `count` together."""
        return [_Worker(self._session, self._channel.here, self._identifier) for _ in range(count - 1)]

    async def joins(self) -> bool:
        """Begin in the snapshot of the first worker, if there is a connection for it now, and tell whether there was.

        See the twin in `threads`.
        """
        try:
            if not await self._channel.try_connect():
                return False
            await self.begin()
        except DatabaseError:
            return False
        return True

    async def leave(self) -> None:
        """Give the connection back: its transaction only read, and is rolled back there."""
        _ = await self._channel.release()

    async def run(self, steps: Any) -> Any:
        return await run_async(steps, self._channel)

    @asynccontextmanager
    async def session(self, *, read_only: bool = True) -> AsyncIterator[AsyncSession]:
        async with snapshot.lend(self._channel, self._session) as own:
            yield own
            snapshot.take_back(self._channel, own)


@asynccontextmanager
async def _first_worker(session: AsyncSession, verb: str) -> AsyncIterator[_Worker]:
    """Begin in a snapshot: that of the session's transaction where it has one, else a new one."""
    workspace = session._workspace
    snapshot.refuse_writes(workspace, verb)
    await session._run(snapshot.rest(workspace))
    _ = worker_count(session, 1, None)
    identifier = await session._run(snapshot.own(workspace))
    # A snapshot is of one server: that of the session where it is its own, else a replica, as for other reads.
    source = session.engine.reader(None) if identifier is None else session._channel.here
    worker = _Worker(session, source, identifier)
    try:
        await worker.begin()
        yield worker
    finally:
        await worker.leave()
