"""Parallel reads of a `Session`: tasks in threads (`ThreadPoolExecutor`), each in a session of its own.

`run_all` is `parallel_exec`, `scan` is `parallel_scan`; `coroutines` has their twins. The objects that they give are
detached. The first error ends what has not begun; what runs is waited for, so that no thread is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from psqlmodel.core.engine.channel import SessionChannel
from psqlmodel.core.engine.observing import observe_alike
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
from psqlmodel.steps import run

if TYPE_CHECKING:
    from psqlmodel.core.session import Session


def run_all(session: Session, tasks: Any, *, max_workers: int | None, consistent: bool) -> Any:
    """Run tasks in threads and return their results in order: a list, or a tuple where the tasks came in one.

    A task is a query, SQL text, a pair of SQL text and parameters (these give lists), or a function without
    arguments. Raises `ParallelError` for the first task that failed, `QueryError` for what is no task, and
    `SessionError` where `consistent` tasks would miss what the session has not committed.
    """
    check_open(session)
    if max_workers is not None:
        check_workers("max_workers", max_workers)
    with asked_here(session):
        jobs = [_job(task, number) for number, task in enumerate(listed(tasks))]
        work = Tasks("task {} of parallel_exec", jobs)
        if jobs:
            (_consistently if consistent else _apart)(session, work, len(jobs), max_workers)
    return as_given(tasks, work.results())


def _apart(session: Session, work: Tasks, tasks: int, max_workers: int | None) -> None:
    session._run(snapshot.rest(session._workspace))
    place = _Apart(session)
    _work_together(work, place, [place] * (worker_count(session, tasks, max_workers) - 1))


def _consistently(session: Session, work: Tasks, tasks: int, max_workers: int | None) -> None:
    with _first_worker(session, "parallel_exec(consistent=True)") as first:
        _work_together(work, first, first.others(worker_count(session, tasks, max_workers)))


def scan(session: Session, query: Query[Any], *, workers: int) -> list[Any]:
    """Read a query of one table in parts, all in one snapshot, and return what they give, in the order of the table.

    Raises `QueryError` for a query that can't be split, `SessionError` where the session holds changes, and
    `ParallelError` for the first part that failed.
    """
    check_open(session)
    check_workers("workers", workers)
    splitting.check_scan(query)
    with asked_here(session), _first_worker(session, "parallel_scan") as first:
        parts = first.run(splitting.split(query, workers))  # type: ignore[arg-type]
        work = Tasks("part {} of parallel_scan", [_in_context(partial(_read, part, None)) for part in parts])
        _work_together(work, first, first.others(worker_count(session, len(parts), workers)))
    return list(chain.from_iterable(work.results()))


# --- jobs -------------------------------------------------------------------------------------------------------


def _job(task: Any, number: int) -> Job:
    if callable(task) and not isinstance(task, Query):
        return _in_context(partial(_call, task))
    return _in_context(partial(_read, *query_of(task, number)))


def _in_context(job: Job) -> Job:
    """Return a job that sees the context variables of the caller, in a copy of its own."""
    context = copy_context()
    return lambda place: context.run(job, place)


def _read(query: Any, params: Any, place: _Apart | _Worker) -> Any:
    with place.session(read_only=True) as own:
        return own.exec(query, params).all()


def _call(task: Callable[[], Any], place: _Apart | _Worker) -> Any:
    with place.session():
        return task()


# --- workers ----------------------------------------------------------------------------------------------------


def _work_together(work: Tasks, first: _Apart | _Worker, others: Sequence[_Apart | _Worker]) -> None:
    """Do the jobs in threads, one for each place. The first stays as it is, since its snapshot may be awaited."""
    with ThreadPoolExecutor(1 + len(others), "psqlmodel-parallel") as executor:
        threads = [
            executor.submit(_work, work, first),
            *(executor.submit(_in_context(partial(_join, work)), each) for each in others),
        ]
        try:
            _ = wait(threads)
        finally:
            work.stop()
    for thread in threads:
        thread.result()


def _work(work: Tasks, place: _Apart | _Worker) -> None:
    while (found := work.next()) is not None:
        number, job = found
        try:
            work.done(number, job(place))
        except BaseException as error:  # a thread has no caller that could see it
            work.failed(number, error)


def _join(work: Tasks, place: _Apart | _Worker) -> None:
    try:
        if place.joins():
            _work(work, place)
    finally:
        place.leave()


class _Apart:
    """Where tasks run that share nothing: each has a connection, and a transaction, of its own."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def session(self, *, read_only: bool = False) -> Session:
        made: Session = snapshot.fresh(self._session, read_only=read_only)
        return made

    def joins(self) -> bool:
        return True

    def leave(self) -> None:
        pass


class _Worker:
    """Where tasks run in one snapshot: a connection with a transaction that outlives them."""

    def __init__(self, session: Session, source: Any, identifier: str | None) -> None:
        self._session = session
        self._channel = SessionChannel(source)
        observe_alike(self._channel, session._channel)
        self._identifier = identifier

    def begin(self) -> None:
        """Begin in the snapshot, or export one where there is none yet."""
        settings = self._session._workspace.transaction.beginning
        self._identifier = self.run(snapshot.begin(self._identifier, settings))

    def others(self, count: int) -> list[_Worker]:
        """Return the workers that join this one, so that they are `count` together."""
        return [_Worker(self._session, self._channel.here, self._identifier) for _ in range(count - 1)]

    def joins(self) -> bool:
        """Begin in the snapshot of the first worker, if there is a connection for it now, and tell whether there was.

        To wait for one would be to wait, perhaps, for somebody who waits for that of the first. Where the server
        refuses, the first does the work, or says what is wrong.
        """
        try:
            if not self._channel.try_connect():
                return False
            self.begin()
        except DatabaseError:
            return False
        return True

    def leave(self) -> None:
        """Give the connection back: its transaction only read, and is rolled back there."""
        _ = self._channel.release()

    def run(self, steps: Any) -> Any:
        return run(steps, self._channel)

    @contextmanager
    def session(self, *, read_only: bool = True) -> Iterator[Session]:
        with snapshot.lend(self._channel, self._session) as own:
            yield own
            snapshot.take_back(self._channel, own)


@contextmanager
def _first_worker(session: Session, verb: str) -> Iterator[_Worker]:
    """Begin in a snapshot: that of the session's transaction where it has one, else a new one."""
    workspace = session._workspace
    snapshot.refuse_writes(workspace, verb)
    session._run(snapshot.rest(workspace))
    _ = worker_count(session, 1, None)
    identifier = session._run(snapshot.own(workspace))
    # A snapshot is of one server: that of the session where it is its own, else a replica, as for other reads.
    source = session.engine.reader(None) if identifier is None else session._channel.here
    worker = _Worker(session, source, identifier)
    try:
        worker.begin()
        yield worker
    finally:
        worker.leave()
