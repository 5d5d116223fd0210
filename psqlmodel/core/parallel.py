"""Parallel execution: several queries at once, each in a short-lived session of its own on a connection of
the pool.

Nothing of it happens in the transaction of the calling session: its uncommitted changes are not seen. Queries
and SQL run read-only. The objects that they give are detached: they stay readable, and two tasks that read
one row give two objects. A callable runs with a session of its own as the current one, and commits there what
it writes.

The synchronous half uses threads (`ThreadPoolExecutor`), the asynchronous one tasks. Results come in the
order of the tasks. The first error ends the tasks that have not begun (asynchronous ones are cancelled), the
others are waited for, and `ParallelError` names the task.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from psqlmodel.core.loading.result import Pending
from psqlmodel.errors import ParallelError, QueryError, SessionClosedError, SessionError
from psqlmodel.query.statement import Query

if TYPE_CHECKING:
    from psqlmodel.core.async_session import AsyncSession
    from psqlmodel.core.session import Session


def run_all(session: Session, tasks: Iterable[Any], *, max_workers: int | None = None) -> list[Any]:
    """Run tasks in threads and return their results in order.

    A task is a query, SQL text, a pair of SQL text and parameters (these give lists), or a function without
    arguments. Raises `ParallelError` for the first task that failed, `QueryError` for what is no task.
    """
    jobs = [_job(session, task, number) for number, task in enumerate(_listed(session, tasks))]
    if not jobs:
        return []
    with ThreadPoolExecutor(_workers(session, len(jobs), max_workers), "psqlmodel-parallel") as executor:
        futures = [executor.submit(copy_context().run, job) for job in jobs]
        try:
            _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            for future in futures:
                _ = future.cancel()
        _ = wait([future for future in futures if not future.cancelled()])
    return _results(futures)


def _job(session: Session, task: Any, number: int) -> Callable[[], Any]:
    if callable(task) and not isinstance(task, Query):
        return lambda: _call(session, task)
    query, params = _query_of(task, number)

    def read() -> Any:
        with _fresh(session, read_only=True) as own:
            return own.exec(query, params).all()

    return read


def _call(session: Session, task: Callable[[], Any]) -> Any:
    with _fresh(session):
        return task()


def _results(futures: list[Future[Any]]) -> list[Any]:
    for number, future in enumerate(futures):
        if not future.cancelled():
            error = future.exception()
            if error is not None:
                raise _failed(number, error) from error
    return [future.result() for future in futures]


async def gather_all(session: AsyncSession, tasks: Iterable[Any], *, max_workers: int | None = None) -> list[Any]:
    """Run tasks concurrently and return their results in order.

    A task is a query, SQL text, a pair of SQL text and parameters (these give lists), an awaitable of a query
    (`Select(User).first()`), a coroutine function without arguments, or any awaitable. Raises `ParallelError`
    for the first task that failed, `QueryError` for what is no task.
    """
    jobs = [_async_job(session, task, number) for number, task in enumerate(_listed(session, tasks))]
    if not jobs:
        return []
    free = asyncio.Semaphore(_workers(session, len(jobs), max_workers))

    async def limited(job: Callable[[], Awaitable[Any]]) -> Any:
        async with free:
            return await job()

    running = [asyncio.ensure_future(limited(job)) for job in jobs]
    first: list[int] = []
    for number, future in enumerate(running):
        future.add_done_callback(partial(_note_failure, number, first))
    try:
        return await asyncio.gather(*running)
    except BaseException as error:
        for future in running:
            _ = future.cancel()
        _ = await asyncio.gather(*running, return_exceptions=True)
        if first and isinstance(error, Exception):
            raise _failed(first[0], error) from error
        raise


def _note_failure(number: int, first: list[int], done: asyncio.Future[Any]) -> None:
    if not done.cancelled() and done.exception() is not None:
        first.append(number)


def _async_job(session: AsyncSession, task: Any, number: int) -> Callable[[], Awaitable[Any]]:
    if isinstance(task, Pending):
        task.take_over()
        return lambda: _read(session, task.query, task.params, task.take)
    if isinstance(task, Query | str | tuple):
        query, params = _query_of(task, number)
        return lambda: _read(session, query, params, lambda loaded: list(loaded.items))
    if inspect.isawaitable(task):
        return lambda: _await(session, lambda: task)
    if callable(task):
        return lambda: _await(session, task)
    raise _no_task(task, number)


async def _read(session: AsyncSession, query: Any, params: Any, take: Callable[[Any], Any]) -> Any:
    async with _fresh(session, read_only=True) as own:
        return take(await own._select(query, params))


async def _await(session: AsyncSession, task: Callable[[], Any]) -> Any:
    async with _fresh(session):
        result = task()
        return await result if inspect.isawaitable(result) else result


# --- tasks --------------------------------------------------------------------------------------------------


def _fresh(session: Any, **options: Any) -> Any:
    """Return a session of the same kind on the same engine."""
    return type(session)(session.engine, **options)


def _listed(session: Session | AsyncSession, tasks: Any) -> list[Any]:
    if session.closed:
        raise SessionClosedError(f"the {type(session).__name__} is closed: open another one to go on")
    if isinstance(tasks, str | Query) or not isinstance(tasks, Iterable):
        raise QueryError(f"parallel_exec takes a list of tasks, not {type(tasks).__name__}")
    return list(tasks)


def _query_of(task: Any, number: int) -> tuple[Any, Any]:
    if isinstance(task, Query | str):
        return task, None
    if isinstance(task, tuple) and len(task) == 2 and isinstance(task[0], str):
        return task
    raise _no_task(task, number)


def _no_task(task: Any, number: int) -> QueryError:
    hint = "; it has been executed already: pass the query itself, without .all()" if isinstance(task, list) else ""
    return QueryError(
        f"parallel_exec: task {number} is a {type(task).__name__}, and takes queries, SQL text, pairs of SQL text and "
        f"parameters, and functions{hint}"
    )


def _workers(session: Session | AsyncSession, tasks: int, wanted: int | None) -> int:
    """Return how many tasks run at once: as many as there are, and connections that this session does not
    hold.

    More would only wait for each other, and with a pool of one connection for ever.
    """
    if wanted is not None and wanted < 1:
        raise SessionError(f"max_workers must be at least 1, not {wanted}")
    held = 1 if session._channel.connected else 0
    free = session.engine.pool.status().max_size - held
    if free < 1:
        raise SessionError(
            "parallel_exec needs a connection besides the one that this session holds: raise max_pool_size, or commit "
            "before"
        )
    return min(tasks, free, wanted or free)


def _failed(number: int, error: BaseException) -> ParallelError:
    return ParallelError(f"task {number} of parallel_exec failed: {type(error).__name__}: {error}", number)
