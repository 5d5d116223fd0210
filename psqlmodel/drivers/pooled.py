"""What can't work behind a pooler that gives each transaction another connection to the server. Pure.

`refuse` raises for SQL whose effect would stay on that connection, where other clients meet it and this one does not.
It looks at the words of a text only: what a function does that is called is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from psqlmodel.errors import QueryError
from psqlmodel.query.lexing import tokens

_MOST_TEXTS: Final = 4096
_fine: set[str] = set()

_FIRST: Final = {
    "LISTEN": "listening needs a connection of its own: an engine that goes past the pooler",
    "UNLISTEN": "listening needs a connection of its own: an engine that goes past the pooler",
    "PREPARE": "a prepared statement belongs to one connection; send the statement itself",
    "EXECUTE": "a prepared statement belongs to one connection; send the statement itself",
    "DEALLOCATE": "a prepared statement belongs to one connection; there is none",
    "DISCARD": "what it discards belongs to other clients",
    "LOAD": "a library is loaded into one connection; name it in session_preload_libraries",
    "SET": "a setting belongs to one connection: SET LOCAL in a transaction, settings= of the session, or ALTER ROLE … "
    "SET for all",
}
_OF_THE_TRANSACTION: Final = {
    "SET": frozenset({"LOCAL", "TRANSACTION", "CONSTRAINTS"}),
    "PREPARE": frozenset({"TRANSACTION"}),
}
_LOCKS: Final = frozenset(
    [
        "PG_ADVISORY_LOCK",
        "PG_ADVISORY_LOCK_SHARED",
        "PG_TRY_ADVISORY_LOCK",
        "PG_TRY_ADVISORY_LOCK_SHARED",
        "PG_ADVISORY_UNLOCK",
        "PG_ADVISORY_UNLOCK_SHARED",
        "PG_ADVISORY_UNLOCK_ALL",
    ]
)
_TEMPORARY: Final = frozenset({"TEMP", "TEMPORARY"})
_BEFORE_TEMPORARY: Final = frozenset({"CREATE", "REPLACE", "LOCAL", "GLOBAL", "INTO"})


def refuse(text: str) -> None:
    """Raise `QueryError` where a statement of the text can't work behind the pooler.

    refuse("SET LOCAL lock_timeout = '1s'")  # ends with the transaction
    """
    if text in _fine:
        return
    for words in _statements(text):
        reason = _reason(words)
        if reason:
            raise QueryError(
                f"{words[0]} can't work here: behind the pooler each transaction has another connection to the server; "
                f"{reason}"
            )
    if len(_fine) >= _MOST_TEXTS:
        _fine.clear()
    _fine.add(text)


def _statements(text: str) -> Iterator[list[str]]:
    """Yield the words of each statement in upper case; a name in quotes is its bare name."""
    words: list[str] = []
    for kind, piece in tokens(text):
        if kind == "semicolon":
            if words:
                yield words
            words = []
        elif kind == "word":
            words.append(piece.upper())
        elif kind == "opaque" and piece[:1] == '"':
            words.append(piece[1:-1].upper())
    if words:
        yield words


def _reason(words: Sequence[str]) -> str:
    first = words[0]
    if first in _FIRST and (len(words) < 2 or words[1] not in _OF_THE_TRANSACTION.get(first, ())):
        return _FIRST[first]
    if not _LOCKS.isdisjoint(words):
        return "a lock of the session stays behind on one: session.lock(name), or pg_advisory_xact_lock"
    if first == "DECLARE" and _follow(words, "WITH", "HOLD"):
        return "a cursor WITH HOLD stays behind on one: session.stream(query)"
    if _makes_temporary(words) and not _follow(words, "ON", "COMMIT", "DROP"):
        return "a temporary table stays behind on one: add ON COMMIT DROP, and use it in the same transaction"
    return ""


def _makes_temporary(words: Sequence[str]) -> bool:
    if words[0] not in ("CREATE", "SELECT", "WITH"):
        return False
    return any(word in _TEMPORARY and before in _BEFORE_TEMPORARY for before, word in pairwise(words))


def _follow(words: Sequence[str], *wanted: str) -> bool:
    count = len(wanted)
    return any(tuple(words[at : at + count]) == wanted for at in range(len(words) - count + 1))
