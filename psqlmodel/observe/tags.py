"""Tags: what a program says about a statement, as a comment after it, by the specification of sqlcommenter.

    SELECT … /*action='list',application='shop'*/

`pg_stat_activity`, the server's log and its monitors show then where a statement comes from. The tags of an engine are
`create_engine(tags={…})`; `tagged` adds some for a block. A comment is part of the text: see `Tagging` for what that
costs. Statements of the library about transactions and the catalog have none, nor has SQL that has a comment already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from psqlmodel.errors import ConfigurationError
from psqlmodel.observe.texts import has_comment
from psqlmodel.steps import Copy, Statement

if TYPE_CHECKING:
    from psqlmodel.core.engine.channel import Exchange

# A value, or a function that gives it for each statement; None leaves the tag out.
TagValue: TypeAlias = "str | Callable[[], str | None]"
Tags: TypeAlias = Mapping[str, TagValue]

_tags: ContextVar[Tags] = ContextVar("psqlmodel_tags", default={})  # noqa: B039 (never changed)
_SILENT: Final = frozenset({"transaction", "catalog", "explain"})
# They differ with each request: a prepared statement with one of them would never be used again.
_UNIQUE: Final = frozenset({"traceparent", "tracestate"})


@contextmanager
def tagged(**tags: TagValue) -> Iterator[None]:
    """Tag the statements of a block, in this context (task, thread), beside the tags around it.

    Values are texts, or functions that give one (or None: no tag) for each statement. An engine writes tags only where
    it was made with some: `create_engine(tags={})` is enough. Raises `ConfigurationError` for what is no text.

        with tagged(route="/users/{id}", action="show"):
            session.get(User, 1)
    """
    before = _tags.set({**_tags.get(), **checked(tags)})
    try:
        yield
    finally:
        _tags.reset(before)


def checked(tags: Any) -> Tags:
    """Return tags; raise `ConfigurationError` for what can't be some."""
    if not isinstance(tags, Mapping):
        raise ConfigurationError('tags must be a mapping of names and texts: {"application": "shop"}')
    for name, value in tags.items():
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"the name of a tag is a text, not {type(name).__name__}")
        if not isinstance(value, str) and not callable(value):
            raise ConfigurationError(
                f"the tag {name!r} must be a str, or a function that returns one, not {type(value).__name__}"
            )
    return dict(tags)


def comment_of(tags: Tags) -> str:
    """Return the comment that says these tags, sorted by name; empty where there are none.

    Names and values are percent-encoded, so that nothing in them can end the comment.

        comment_of({"route": "/users"})  # " /*route='%2Fusers'*/"
    """
    values = {name: value() if callable(value) else value for name, value in tags.items()}
    return _comment(tuple(sorted((name, str(value)) for name, value in values.items() if value is not None)))


@lru_cache(maxsize=1024)
def _comment(pairs: tuple[tuple[str, str], ...]) -> str:
    said = [f"{_encoded(name)}='{_encoded(value)}'" for name, value in pairs]
    return f" /*{','.join(said)}*/" if said else ""


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="replace")  # half a character becomes a question mark


class Tagging:
    """The observer that writes the comment.

    psycopg2 sends the comment beside a prepared statement (`EXECUTE … /*…*/`), so that it costs nothing but its bytes.
    asyncpg sends no text with a prepared statement: there each text is prepared once for each comment that it comes
    with, and with one that never comes again (`traceparent`) it is sent unprepared, which is a round trip more.
    """

    __slots__ = ("_tags",)

    def __init__(self, tags: Tags) -> None:
        self._tags = tags

    def sending(self, exchange: Exchange) -> None:
        """Put the tagged statement in the place of the plain one."""
        request = exchange.sent
        if isinstance(request, Copy) or request.purpose in _SILENT or has_comment(request.text):
            return
        tags = {**self._tags, **_tags.get()}
        comment = comment_of(tags)
        if comment:
            exchange.sent = _with_comment(request, comment, exchange.connection, _UNIQUE.isdisjoint(tags))

    def answered(self, exchange: Exchange) -> None:
        """Nothing to do with an answer."""


class TaggedStatement(Statement):
    """A statement with a comment that is sent beside its text, by a driver that can."""

    __slots__ = ("comment",)

    def __init__(self, request: Statement, comment: str) -> None:
        super().__init__(request.text, request.args, request.prepare, request.fresh, request.prelude, request.purpose)
        self.once = request.once
        self.comment = comment


def _with_comment(request: Statement, comment: str, connection: Any, returns: bool) -> Statement:
    tagged = TaggedStatement(request, comment)
    if not hasattr(connection, "_plans"):  # asyncpg: the comment is part of the text
        tagged.text = _joined(request.text, comment)
        tagged.fresh = request.fresh or not returns
    return tagged


def _joined(text: str, comment: str) -> str:
    bare = text.rstrip().removesuffix(";")
    return f"{bare}{comment}" if len(bare) < len(text.rstrip()) else f"{text}{comment}"
