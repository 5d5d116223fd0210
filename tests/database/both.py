"""Both sessions behind one way of writing: a test body awaits, whichever session it runs on.

`Both` is a database with an engine of one kind; `both.session()` gives an `AsyncSession` as it is, or a `Session` whose
methods are awaited (`Awaited`). What the two sessions do differently is tested apart, on the sessions themselves.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from psqlmodel import AsyncEngine, AsyncSession, Engine, Session
from psqlmodel.core.engine.channel import StatementEvent

_AT_ONCE = frozenset({"add", "add_all", "delete", "delete_all"})
_RESULTS = frozenset({"exec"})


class Statements(list[StatementEvent]):
    """What was sent to the server, without the reading of the catalog."""

    def __init__(self) -> None:
        super().__init__()
        self.catalog: list[StatementEvent] = []

    def take(self, event: StatementEvent) -> None:
        (self.catalog if event.purpose == "catalog" else self).append(event)

    def of(self, *purposes: str) -> list[str]:
        """Return the texts of the statements with one of these purposes."""
        return [event.text for event in self if event.purpose in purposes]

    @property
    def sent(self) -> list[str]:
        """The texts of all statements except the ends of transactions."""
        return [event.text for event in self if event.purpose != "transaction"]

    @property
    def verbs(self) -> list[str]:
        """What the statements of a flush do, in words: INSERT, UPDATE, DELETE; one statement may do several."""
        return [verb for text in self.of("flush") for verb in _verbs(text)]

    def clear(self) -> None:
        super().clear()
        self.catalog.clear()


def _verbs(text: str) -> list[str]:
    first = text.split()[0]
    if " o1 AS (" in text:  # several operations together
        return re.findall(r"\((INSERT|UPDATE|DELETE) ", text)
    return ["INSERT" if first == "WITH" and "INSERT INTO" in text else first]


class Both:
    """One database, an engine of one kind, and what was sent through it."""

    def __init__(self, kind: str, engine: Engine | AsyncEngine, sql: Engine) -> None:
        self.kind = kind
        self.engine = engine
        self.statements = Statements()
        self._sql = sql

    def __repr__(self) -> str:
        return f"<{self.kind} database>"

    @property
    def is_sync(self) -> bool:
        return self.kind == "sync"

    def session(self, **options: Any) -> Any:
        """Return a session whose methods are awaited."""
        if isinstance(self.engine, AsyncEngine):
            return AsyncSession(self.engine, **options)
        return Awaited(Session(self.engine, **options))

    async def run(self, work: Callable[[Any], Any], **options: Any) -> Any:
        """Run a coroutine function of a session by `engine.run`."""
        if isinstance(self.engine, AsyncEngine):
            return await self.engine.run(work, **options)
        return self.engine.run(at_once(work), **options)

    async def on_engine(self, method: str, *args: Any) -> Any:
        """Call a method of the engine, awaited where it must be."""
        result = getattr(self.engine, method)(*args)
        return await result if inspect.isawaitable(result) else result

    def sql(self, text: str, *params: Any) -> Any:
        """Execute SQL beside the session, on a connection of its own, committed at once."""
        return self._sql.execute(text, list(params) or None)

    def value(self, text: str, *params: Any) -> Any:
        """Return the first value of what `sql` gives."""
        return self.sql(text, *params).scalar()

    def column(self, text: str, *params: Any) -> list[Any]:
        """Return the first column of what `sql` gives."""
        return [row[0] for row in self.sql(text, *params)]


class Awaited:
    """A `Session` whose methods are awaited; `raw` is the session itself."""

    def __init__(self, session: Session) -> None:
        self.__dict__["raw"] = session

    async def __aenter__(self) -> Awaited:
        self.raw.__enter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.raw.__exit__(*error)

    def __contains__(self, model: object) -> bool:
        return model in self.raw

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.raw, name, value)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.raw, name)
        if name in _AT_ONCE:
            return lambda *args: Now(found(*args))
        if name in _RESULTS:
            return lambda *args, **options: AwaitedResult(found(*args, **options))
        if name in ("begin_nested", "savepoint"):
            return lambda *args: Block(found(*args))
        if not callable(found) or name in ("no_autoflush", "engine", "on"):
            return found
        return _later(found)


def at_once(work: Callable[[Any], Any]) -> Callable[[Session], Any]:
    """Return a coroutine function of an awaited session as a plain function of the session: nothing in it waits."""

    def plain(session: Session) -> Any:
        try:
            work(Awaited(session)).send(None)
        except StopIteration as stop:
            return stop.value
        raise AssertionError("it waited for something else than the session")

    return plain


async def later(value: Any) -> Any:
    """Return what a method gives that only the synchronous session of the two is awaited for."""
    return await value if inspect.isawaitable(value) else value


class Now:
    """A value that may be awaited or not."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Iterator[Any]:
        return self._value
        yield  # makes this a generator


class Block:
    """A `with` block that is entered with `async with`."""

    def __init__(self, block: Any) -> None:
        self._block = block

    async def __aenter__(self) -> Any:
        return self._block.__enter__()

    async def __aexit__(self, *error: Any) -> Any:
        return self._block.__exit__(*error)


class AwaitedResult:
    """A `QueryResult` whose methods are awaited."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __await__(self) -> Iterator[Any]:
        return self
        yield  # makes this a generator

    def __iter__(self) -> Iterator[Any]:
        return iter(self._result)

    def __len__(self) -> int:
        return len(self._result)

    def __getitem__(self, index: Any) -> Any:
        return self._result[index]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._result, name)
        return _later(found) if callable(found) else found


def _later(method: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **options: Any) -> Any:
        return method(*args, **options)

    return call


only_sync = pytest.mark.parametrize("both", ["sync"], indirect=True)
only_async = pytest.mark.parametrize("both", ["async"], indirect=True)
