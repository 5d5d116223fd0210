"""SessionManager: the session that is current in a context, found without passing it on. Sends nothing.

A session is current from entering its `with` block to leaving it, in the context (`contextvars`) that entered
it: a task sees the sessions that were current when it was made, a new thread sees none, and a callback sees
those of the context that it runs in. Sessions nest; sync and async ones are kept apart. Here is also what
`Select(User).all()` does: it asks the innermost session of the context.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

from psqlmodel.errors import NoActiveSessionError
from psqlmodel.query import execution

if TYPE_CHECKING:
    from psqlmodel.core.async_session import AsyncSession
    from psqlmodel.core.session import Session


class Entry:
    """One open session and what was current around it; `closed` when its block was left elsewhere."""

    __slots__ = ("asynchronous", "closed", "outer", "session")

    def __init__(self, session: Any, outer: Entry | None) -> None:
        self.session = session
        self.outer = outer
        self.asynchronous = hasattr(type(session), "__aenter__")
        self.closed = False


Innermost: TypeAlias = Entry | None

_innermost: ContextVar[Innermost] = ContextVar("psqlmodel_session", default=None)


class SessionManager:
    """Gives the session that is current in this context.

    def count_users() -> int:
        return SessionManager.require_current().exec_scalar("SELECT count(*) FROM users")
    """

    @staticmethod
    def current() -> Session | None:
        """Return the innermost open `Session` of this context, or None."""
        entry = _open(asynchronous=False)
        return None if entry is None else entry.session

    @staticmethod
    def require_current() -> Session:
        """Return the innermost open `Session` of this context; raise `NoActiveSessionError` where there is
        none.
        """
        entry = _open(asynchronous=False)
        if entry is None:
            raise NoActiveSessionError(_none("Session", "with Session(engine) as session: …", "require_current_async"))
        session: Session = entry.session
        return session

    @staticmethod
    def current_async() -> AsyncSession | None:
        """Return the innermost open `AsyncSession` of this context, or None."""
        entry = _open(asynchronous=True)
        return None if entry is None else entry.session

    @staticmethod
    def require_current_async() -> AsyncSession:
        """Return the innermost open `AsyncSession`; raise `NoActiveSessionError` where there is none."""
        entry = _open(asynchronous=True)
        if entry is None:
            raise NoActiveSessionError(
                _none("AsyncSession", "async with AsyncSession(engine) as session: …", "require_current")
            )
        session: AsyncSession = entry.session
        return session

    @staticmethod
    def push(session: Any) -> Entry:
        """Make a session current in this context; `pop` of what is returned ends it. Sessions do this
        themselves.
        """
        entry = Entry(session, _innermost.get())
        _ = _innermost.set(entry)
        return entry

    @staticmethod
    def pop(entry: Entry) -> None:
        """End a session's being current, in whatever context and order its block is left.

        A block may be left in another context than it was entered in (a generator closed by the collector, an
        async generator finished by the event loop): the entry is marked, so that no context finds it any
        more. It lets the session go: a context lives as long as a connection that was opened in it.
        """
        entry.closed = True
        entry.session = None
        _ = _innermost.set(_living())


def _living() -> Innermost:
    entry = _innermost.get()
    while entry is not None and entry.closed:
        entry = entry.outer
    return entry


def _open(*, asynchronous: bool) -> Innermost:
    entry = _living()
    while entry is not None and (entry.closed or entry.asynchronous is not asynchronous):
        entry = entry.outer
    return entry


def _none(kind: str, how: str, other: str) -> str:
    hint = f"; the current one is of the other kind: {other}()" if _living() is not None else ""
    return f"no {kind} is active in this context: open one ({how}) or pass the session on{hint}"


def _run(query: Any, verb: str) -> Any:
    """Execute a query in the innermost session: at once in a `Session`, when awaited in an `AsyncSession`."""
    session = _innermost_session(f"no session is active, so the query's .{verb}() has nowhere to run")
    return getattr(session.exec(query), verb)()


def _innermost_session(otherwise: str = "no session is active, so the query can't be explained") -> Any:
    entry = _living()
    if entry is None:
        raise NoActiveSessionError(f"{otherwise}: open a session, or pass the query to session.exec(…)")
    return entry.session


execution.set_runner(_run, _innermost_session)
