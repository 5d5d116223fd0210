"""Retries: a function that is a whole transaction runs again where the server rolled it back to let others pass.

That are serialization failures, deadlocks, and a COMMIT of which is known that it did not happen. Nothing else is run
again, and nothing after a commit that the function made itself: no work is ever applied twice. The synchronous and
the asynchronous half differ in how they wait and call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.loading.access import reload_columns
from psqlmodel.core.loading.include import include
from psqlmodel.core.replay import may_run_again
from psqlmodel.errors import ConfigurationError, SessionError
from psqlmodel.model.state import UNSET
from psqlmodel.steps import Steps

if TYPE_CHECKING:
    from psqlmodel.core.async_session import AsyncSession
    from psqlmodel.core.session import Session
    from psqlmodel.core.workspace import Workspace

_FIRST: Final = 0.01  # seconds; about as long as the transaction that was in the way goes on
_LONGEST: Final = 1.0


class Attempts:
    """Counts the attempts of one run, and decides whether there is another."""

    def __init__(self, retries: int) -> None:
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ConfigurationError("retries must be a whole number of at least 0")
        self._left = retries
        self._longest = _FIRST

    def pause_after(self, error: BaseException, *, committed: bool) -> float | None:
        """Return the seconds to wait before the next attempt, or None where the error stands."""
        if not may_run_again(error) or self._left == 0:
            return None
        if committed:
            error.add_note("It was not run again, because a part of it was committed by the function itself.")
            return None
        import random  # 2 ms, for those who met a conflict

        self._left -= 1
        pause = self._longest * random.uniform(0.5, 1.0)  # noqa: S311 - so that two do not meet again and again
        self._longest = min(2 * self._longest, _LONGEST)
        return pause


# --- a session for each attempt ---------------------------------------------------------------------------------------


def run_fresh(
    session_class: Callable[..., Any], engine: Any, work: Callable[[Any], Any], retries: int, options: dict[str, Any]
) -> Any:
    """Run `work(session)` and commit, in a session of its own for each attempt; return what it returns."""
    attempts = Attempts(retries)
    while True:
        with session_class(engine, **{"resolve_commit": True} | options) as session:
            try:
                result = work(session)
                session.commit()
                return result
            except Exception as error:
                pause = attempts.pause_after(error, committed=_commits(session) > 0)
                if pause is None:
                    raise
                session.rollback()
        time.sleep(pause)


async def run_fresh_async(
    session_class: Callable[..., Any], engine: Any, work: Callable[[Any], Any], retries: int, options: dict[str, Any]
) -> Any:
    """Run `work(session)` and commit, in a session of its own for each attempt; return what it returns."""
    attempts = Attempts(retries)
    while True:
        async with session_class(engine, **{"resolve_commit": True} | options) as session:
            try:
                result = await _awaited(work(session))
                await session.commit()
                return result
            except Exception as error:
                pause = attempts.pause_after(error, committed=_commits(session) > 0)
                if pause is None:
                    raise
                await session.rollback()
        await _sleep(pause)


# --- in the session that is there -------------------------------------------------------------------------------------


def run_within(session: Session, work: Callable[[Any], Any], retries: int) -> Any:
    """Run `work(session)` and commit, as often as needed; return what it returns."""
    attempts = Attempts(retries)
    with _whole_transaction(session) as before:
        while True:
            try:
                session._run(_reload(session._workspace))
                result = work(session)
                session.commit()
                return result
            except Exception as error:
                pause = attempts.pause_after(error, committed=_commits(session) > before)
                if not session.closed:
                    session.rollback()
                if pause is None:
                    raise
            time.sleep(pause)


async def run_within_async(session: AsyncSession, work: Callable[[Any], Any], retries: int) -> Any:
    """Run `work(session)` and commit, as often as needed; return what it returns."""
    attempts = Attempts(retries)
    with _whole_transaction(session) as before:
        while True:
            try:
                await session._run(_reload(session._workspace))
                result = await _awaited(work(session))
                await session.commit()
                return result
            except Exception as error:
                pause = attempts.pause_after(error, committed=_commits(session) > before)
                if not session.closed:
                    await session.rollback()
                if pause is None:
                    raise
            await _sleep(pause)


@contextmanager
def _whole_transaction(session: Session | AsyncSession) -> Iterator[int]:
    """Refuse a session that is in the middle of something; for the block, a lost COMMIT is resolved."""
    workspace = session._workspace
    transaction = workspace.transaction
    if transaction.begun or transaction.failure is not None or workspace.unit.pending():
        raise SessionError("run() makes a whole transaction: commit() or rollback() what is open before")
    resolves, transaction.resolve_commit = transaction.resolve_commit, True
    try:
        yield transaction.commits
    finally:
        transaction.resolve_commit = resolves


def _reload(workspace: Workspace) -> Steps[None]:
    """Load anew what the session holds, in the transaction of the attempt: it must not work with values from before."""
    for mapper in list(workspace.identity.mappers()):
        objects = list(workspace.identity.objects(mapper))
        if objects:
            yield from reload_columns(workspace, mapper, objects, mapper.columns)
        for relation in mapper.relations.values():
            holders = [obj for obj in objects if relation.loaded(obj) is not UNSET]
            if holders:
                yield from include(workspace, mapper, holders, [relation])


def _commits(session: Session | AsyncSession) -> int:
    return session._workspace.transaction.commits


async def _sleep(seconds: float) -> None:
    import asyncio  # a synchronous session does without

    await asyncio.sleep(seconds)


async def _awaited(result: Any) -> Any:
    from inspect import isawaitable

    return await result if isawaitable(result) else result
