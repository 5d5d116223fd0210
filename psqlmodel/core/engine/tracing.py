"""Tracing: the blocks in which a session, or an engine, is traced. What a trace is stands in `psqlmodel.observe.trace`.

They only begin and end: an observer is put up, and taken away. The plans that a trace was asked for come at its end,
from a connection of their own that is free then; what goes wrong with them is said in the trace, and raised to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from psqlmodel.core.engine import observing
from psqlmodel.core.engine.channel import AsyncSessionChannel, SessionChannel
from psqlmodel.errors import DatabaseError
from psqlmodel.observe.plan import QueryPlan
from psqlmodel.observe.trace import Trace
from psqlmodel.steps import Release, Statement, Steps, run, run_async

if TYPE_CHECKING:
    from psqlmodel.core.workspace import Workspace

End: TypeAlias = Callable[[], None]
Begin: TypeAlias = Callable[[Trace], End]

_NAME: Final = "psqlmodel_explained"
_BUSY: Final = "no connection of the pool was free when the trace ended"
_POOLED: Final = "behind a pooler nothing can be prepared, and a plan without values not be had"


class _Block:
    """What both blocks are."""

    def __init__(self, engine: Any, begin: Begin, *, plans: bool, values: bool) -> None:
        self._engine = engine
        self._begin = begin
        self._plans = plans
        self._trace = Trace(values=values)

    def _enter(self) -> Trace:
        self._end = self._begin(self._trace)
        return self._trace

    def _leave(self) -> Iterable[tuple[str, int]]:
        """End the trace, and return the texts whose plans are asked for."""
        self._end()
        self._trace.finish()
        wanted = list(self._trace.explainable()) if self._plans else []
        if self._engine.pooler is None:
            return wanted
        for text, _ in wanted:
            self._trace.add_plan(text, _POOLED)
        return ()


class Tracing(_Block):
    """The `with` block of `Session.trace()` and `Engine.trace()`; it gives the `Trace`."""

    def __enter__(self) -> Trace:
        return self._enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        channel = SessionChannel(self._engine)
        try:
            for text, arguments in self._leave():
                self._trace.add_plan(text, self._plan(channel, text, arguments))
        finally:
            _ = channel.release()

    def _plan(self, channel: SessionChannel, text: str, arguments: int) -> QueryPlan | str:
        try:
            free = channel.connected or channel.try_connect()
            return run(generic_plan(text, arguments), channel) if free else _BUSY
        except DatabaseError as error:
            return _refused(error)


class AsyncTracing(_Block):
    """The `async with` block of `AsyncSession.trace()` and `AsyncEngine.trace()`; it gives the `Trace`."""

    async def __aenter__(self) -> Trace:
        return self._enter()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        channel = AsyncSessionChannel(self._engine)
        try:
            for text, arguments in self._leave():
                self._trace.add_plan(text, await self._plan(channel, text, arguments))
        finally:
            _ = await channel.release()

    async def _plan(self, channel: AsyncSessionChannel, text: str, arguments: int) -> QueryPlan | str:
        try:
            free = channel.connected or await channel.try_connect()
            return await run_async(generic_plan(text, arguments), channel) if free else _BUSY
        except DatabaseError as error:
            return _refused(error)


def in_session(workspace: Workspace, channel: Any) -> Begin:
    """Return what lets a trace hear of one session, and returns what ends that."""

    def begin(trace: Trace) -> End:
        workspace.included = (*workspace.included, trace)
        observing.observe(channel, trace)

        def end() -> None:
            workspace.included = _without(workspace.included, trace)
            observing.unobserve(channel, trace)

        return end

    return begin


def in_engine(engine: Any) -> Begin:
    """Return what lets a trace hear of all sessions of an engine, and returns what ends that."""

    def begin(trace: Trace) -> End:
        stop = engine.observe(trace)
        engine.included = (*engine.included, trace)

        def end() -> None:
            stop()
            engine.included = _without(engine.included, trace)

        return end

    return begin


def generic_plan(text: str, arguments: int) -> Steps[QueryPlan]:
    """Return the plan that the server would use whatever the arguments: no value is in it.

    Nothing is executed; it takes a transaction of its own. Raises what the server says of the text.
    """
    prelude = "BEGIN READ ONLY; SET LOCAL plan_cache_mode = force_generic_plan"
    marks = f" ({', '.join(['NULL'] * arguments)})" if arguments else ""
    try:
        _ = yield Statement(f"PREPARE {_NAME} AS {text}", prepare=False, prelude=prelude, purpose="explain")
        command = f"EXPLAIN (FORMAT JSON) EXECUTE {_NAME}{marks}"
        rows = yield Statement(command, prepare=False, purpose="explain")
        _ = yield Statement(f"ROLLBACK; DEALLOCATE {_NAME}", prepare=False, purpose="explain")
    except DatabaseError:
        yield Release(discard=True)  # the name may be taken on it
        raise
    return QueryPlan(rows.data[0][0], text)


def _refused(error: DatabaseError) -> str:
    return f"the server gave no plan: {type(error).__name__} ({error.sqlstate})"


def _without(traces: tuple[Any, ...], gone: Trace) -> tuple[Any, ...]:
    return tuple([each for each in traces if each is not gone])
