"""The current session: nested, in threads, tasks, generators and callbacks, as contextvars make one expect."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any

import pytest

from psqlmodel import NoActiveSessionError, SessionManager
from psqlmodel.query import Select

from .models import Author

current: Any = SessionManager.current
current_async: Any = SessionManager.current_async


class Fake:
    """What the manager needs of a session."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __enter__(self) -> Fake:
        self.token = SessionManager.push(self)
        return self

    def __exit__(self, *error: object) -> None:
        SessionManager.pop(self.token)

    def exec(self, query: Any) -> Any:
        self.asked.append(query)
        return self

    def all(self) -> list[Any]:
        return ["all"]

    def first(self) -> str:
        return "first"


class FakeAsync(Fake):
    async def __aenter__(self) -> FakeAsync:
        self.token = SessionManager.push(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        SessionManager.pop(self.token)


def test_a_session_is_current_inside_its_block_only() -> None:
    assert current() is None
    with Fake() as session:
        assert current() is session
        assert SessionManager.require_current() is session  # type: ignore[comparison-overlap]
    assert current() is None


def test_the_innermost_of_nested_sessions_counts() -> None:
    with Fake() as outer:
        with Fake() as inner:
            assert current() is inner
        assert current() is outer


async def test_kinds_are_kept_apart() -> None:
    with Fake() as sync:
        async with FakeAsync() as asynchronous:
            assert (current(), current_async()) == (sync, asynchronous)
        assert current_async() is None


def test_none_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(NoActiveSessionError, match=r"with Session\(engine\)"):
        SessionManager.require_current()
    with pytest.raises(NoActiveSessionError, match=r"async with AsyncSession\(engine\)"):
        SessionManager.require_current_async()
    with Fake(), pytest.raises(NoActiveSessionError, match="of the other kind"):
        SessionManager.require_current_async()


def test_a_new_thread_sees_no_session_unless_it_is_given_the_context() -> None:
    seen: list[Any] = []
    with Fake() as session:
        context = contextvars.copy_context()
        for target in (lambda: seen.append(current()), lambda: context.run(lambda: seen.append(current()))):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [None, session]


async def test_tasks_inherit_and_do_not_disturb_each_other() -> None:
    async def own() -> Any:
        before = current_async()
        async with FakeAsync() as session:
            await asyncio.sleep(0)
            assert current_async() is session
        return before

    async with FakeAsync() as outer:
        assert await asyncio.gather(own(), own(), own()) == [outer] * 3
        assert current_async() is outer


async def test_a_task_that_outlives_the_block_does_not_see_a_closed_session() -> None:
    left = asyncio.Event()

    async def late() -> Any:
        await left.wait()
        return current_async()

    async with FakeAsync():
        task = asyncio.create_task(late())
        await asyncio.sleep(0)
    left.set()
    assert await task is None


async def test_callbacks_run_in_the_context_that_they_were_made_in() -> None:
    seen: list[Any] = []
    async with FakeAsync() as session:
        asyncio.get_running_loop().call_soon(lambda: seen.append(current_async()))
        await asyncio.sleep(0)
    assert seen == [session]


def test_a_generator_that_opens_a_session_leaves_no_trace() -> None:
    def numbers() -> Iterator[Any]:
        with Fake():
            yield current()

    generator = numbers()
    inner = next(generator)
    assert current() is inner  # a generator shares the context of its caller: contextvars work so
    generator.close()
    assert current() is None


def test_blocks_that_are_left_out_of_order() -> None:
    first, second = Fake(), Fake()
    first.__enter__()
    second.__enter__()
    first.__exit__()
    assert current() is second
    second.__exit__()
    assert current() is None


async def test_an_async_generator_that_the_loop_closes_elsewhere() -> None:
    async def numbers() -> AsyncIterator[Any]:
        async with FakeAsync():
            yield 1

    generator = numbers()
    assert await anext(generator) == 1
    await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]
    assert current_async() is None


def test_a_query_runs_in_the_innermost_session() -> None:
    query = Select(Author)
    with pytest.raises(NoActiveSessionError, match=r"\.all\(\) has nowhere to run"):
        query.all()
    with Fake() as outer, Fake() as inner:
        assert query.all() == ["all"]
        assert query.first() == "first"
        assert inner.asked == [query, query]
        assert outer.asked == []
