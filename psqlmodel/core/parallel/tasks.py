"""Tasks: what `parallel_exec` may be given, how many run at once, which is next and what became of it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

from psqlmodel.errors import ParallelError, QueryError, SessionClosedError, SessionError
from psqlmodel.query.sql import by_hand
from psqlmodel.query.statement import Query

if TYPE_CHECKING:
    from psqlmodel.core.async_session import AsyncSession
    from psqlmodel.core.session import Session

Job: TypeAlias = Callable[[Any], Any]  # takes the place where it runs


class Tasks:
    """The jobs of one call: the worker that is free takes the next, until one fails. Threads may share it.

    `name` is what an error calls a job, with its number: `"task {} of parallel_exec"`.
    """

    def __init__(self, name: str, jobs: Sequence[Job]) -> None:
        self._name = name
        self._left = deque(enumerate(jobs))
        self._results: list[Any] = [None] * len(jobs)
        self.failure: tuple[int, BaseException] | None = None

    def next(self) -> tuple[int, Job] | None:
        """Take the next job and its number, or None where nothing is left to do."""
        try:
            return self._left.popleft()  # threads can't take one twice
        except IndexError:
            return None

    def done(self, number: int, result: Any) -> None:
        """Note the result of a job."""
        self._results[number] = result

    def failed(self, number: int, error: BaseException) -> None:
        """Note the error of a job, if it is the first; those that have not begun never will."""
        if self.failure is None:
            self.failure = number, error
        self.stop()

    def stop(self) -> None:
        """Forget the jobs that have not begun."""
        self._left.clear()

    def results(self) -> list[Any]:
        """Return the results in the order of the jobs; raise `ParallelError` where one failed."""
        if self.failure is None:
            return self._results
        number, error = self.failure
        what = self._name.format(number)
        raise ParallelError(f"{what} failed: {type(error).__name__}: {error}", number) from error


def check_open(session: Session | AsyncSession) -> None:
    """Raise `SessionClosedError` for a session that is closed."""
    if session.closed:
        raise SessionClosedError(f"the {type(session).__name__} is closed: open another one to go on")


def listed(tasks: Any) -> list[Any]:
    """Return the tasks as a list; raise `QueryError` for what is no list of tasks."""
    if isinstance(tasks, str | Query) or not isinstance(tasks, Iterable):
        raise QueryError(f"parallel_exec takes a list of tasks, not {type(tasks).__name__}")
    return list(tasks)


def as_given(tasks: Any, results: list[Any]) -> Any:
    """Return the results as a tuple where the tasks came in one: type checkers know its parts."""
    return tuple(results) if isinstance(tasks, tuple) else results


def query_of(task: Any, number: int) -> tuple[Any, Any]:
    """Return the query or SQL text of a task, and its parameters."""
    if isinstance(task, Query | str) or by_hand(task) is not None:
        return task, None
    if isinstance(task, tuple) and len(task) == 2 and isinstance(task[0], str):
        return task
    raise no_task(task, number)


def no_task(task: Any, number: int) -> QueryError:
    """Return the error about what is no task."""
    hint = "; it has been executed already: pass the query itself, without .all()" if isinstance(task, list) else ""
    return QueryError(
        f"parallel_exec: task {number} is a {type(task).__name__}, and takes queries, SQL text, pairs of SQL text and "
        f"parameters, and functions{hint}"
    )


def asked_here(session: Session | AsyncSession) -> AbstractContextManager[None]:
    """Return a block whose tasks are shown at the place in the program that asks for them, where anybody looks."""
    if not session._channel._engine.observers:
        return nullcontext()
    from psqlmodel.observe.sites import begun_here  # it reads sources

    return begun_here()


def check_workers(option: str, wanted: Any) -> None:
    """Raise `SessionError` for what is no number of workers."""
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise SessionError(f"{option} must be at least 1, not {wanted!r}")


def worker_count(session: Session | AsyncSession, tasks: int, wanted: int | None) -> int:
    """Return how many tasks run at once: as many as there are, and connections that this session does not hold.

    More would only wait for each other, and with a pool of one connection for ever.
    """
    held = 1 if session._channel.connected else 0
    free = session.engine.pool.status().max_size - held
    if free < 1:
        raise SessionError(
            "parallel reads need a connection besides the one that the open transaction of this session holds: raise "
            "max_pool_size, or commit before"
        )
    return min(tasks, free, wanted or free)
