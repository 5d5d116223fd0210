"""SQL text as it is shown: without its constants; and what a statement reads, as far as its text tells. Pure.

The parser below knows the shape of what the library writes, and of everyday SQL by hand. Where it understands nothing
it returns nothing: who asks then says less, never something wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from psqlmodel.later import pattern
from psqlmodel.query.lexing import first_word, tokens
from psqlmodel.record import Record

# A number that stands by itself: not the 8 of int8, not the 1 of $1.
_NUMBER: Final = pattern(r"(?<![\w$\"])(?:\d\w*(?:\.\d\w*)?|\.\d\w*)(?:(?<=[eE])[+-]?\d+)?")
# What is no sign to be seen, too: in a terminal or a log it could be a command, or turn what follows around.
_SPACES: Final = pattern(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+")
_QUOTED: Final = re.compile(r"'|\$|[eE]'")
_PATH: Final = r'(?:"(?:[^"]|"")+"|\w+)(?:\.(?:"(?:[^"]|"")+"|\w+))*'
_SOURCE: Final = pattern(rf"\b(?:FROM|INTO|UPDATE|JOIN|COPY)\s+(?:ONLY\s+)?({_PATH})", re.IGNORECASE)
# FROM that is none: `extract(epoch FROM made)`, `IS DISTINCT FROM b`.
_NO_SOURCE: Final = pattern(r"\bDISTINCT\s+FROM\b|\(\s*(?!SELECT\b)\w+\s+FROM\b", re.IGNORECASE)
# What stands after FROM, JOIN, UPDATE without quotes and is no table: `FOR UPDATE SKIP LOCKED`, `DO UPDATE SET`.
_NO_TABLE: Final = frozenset({"unnest", "lateral", "select", "set", "skip", "nowait", "of", "stdin"})
_COMMON: Final = pattern(
    rf"(?:\bWITH|\bRECURSIVE|,)\s+({_PATH})\s*(?:\([^()]*\)\s*)?AS\s+(?:(?:NOT\s+)?MATERIALIZED\s+)?\(", re.IGNORECASE
)
_WHERE: Final = pattern(r"\bWHERE\b(.*?)(?:\bORDER BY\b|\bGROUP BY\b|\bLIMIT\b|\bFOR\b|$)", re.IGNORECASE | re.DOTALL)
_EQUAL: Final = pattern(rf"({_PATH})\s*=\s*(?:ANY\s*\(\s*)?(?:\$\d+|\?)", re.IGNORECASE)
_KEYS: Final = pattern(rf"\(({_PATH}(?:\s*,\s*{_PATH})+)\)\s+IN\s+\(SELECT", re.IGNORECASE)
_PLAIN: Final = pattern(r'"([a-z_][a-z0-9_]*)"')
_COLUMNS: Final = pattern(r"^(SELECT )(.*?)( FROM )")
_LONG: Final = 24  # characters of a list of columns
_READING: Final = frozenset({"SELECT", "VALUES", "TABLE"})
_PART: Final = pattern(r'"((?:[^"]|"")+)"|(\w+)')


class Reading(Record):
    """What a SELECT reads: its first table, all its tables, and the columns that its WHERE compares with values.

    Tables and columns are unquoted names; a column comes with the name before its dot, or an empty one.
    """

    table: str
    tables: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]


@lru_cache(maxsize=1024)
def redacted(text: str) -> str:
    """Return SQL text with `?` for each constant: a literal that somebody wrote into it may be a secret.

    redacted("SELECT * FROM users WHERE name = 'Ada' LIMIT 3")  # SELECT * FROM users WHERE name = ? LIMIT ?
    """
    return "".join(_shown(text))


def _shown(text: str) -> Iterator[str]:
    plain = ""
    for kind, piece in tokens(text):
        if kind != "opaque":
            plain += piece
            continue
        yield _NUMBER.sub("?", plain)
        plain = ""
        if piece[:2] not in ("--", "/*"):  # who comments may quote
            yield "?" if _QUOTED.match(piece) else piece
    before, quote, _ = plain.partition("'")  # a text that nobody closes
    yield _NUMBER.sub("?", before) + ("?" if quote else "")


def one_line(text: str, width: int = 0) -> str:
    """Return the text in one line, cut to `width` characters where that is not 0."""
    line = _SPACES.sub(" ", text).strip()
    return line if not width or len(line) <= width else f"{line[: width - 1]}…"


def counted(number: int, what: str) -> str:
    """Return a number with its noun: `1 row`, `2 rows`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


@lru_cache(maxsize=1024)
def brief(text: str) -> str:
    """Return a statement in a line for people: names without quotes where they need none, and no long list of columns.

    brief('SELECT "users"."id", "users"."name" FROM "users"')  # SELECT … FROM users
    """
    line = _PLAIN.sub(r"\1", one_line(text))
    return _COLUMNS.sub(lambda found: f"{found[1]}…{found[3]}" if len(found[2]) > _LONG else found[0], line, count=1)


@lru_cache(maxsize=1024)
def verb_of(text: str) -> str:
    """Return the first word of a statement in upper case; of a WITH that writes, what it writes."""
    word = first_word(text)
    if word != "WITH":
        return word
    words = [piece.upper() for kind, piece in tokens(text) if kind == "word"]
    return next((each for each in words if each in ("INSERT", "UPDATE", "DELETE", "MERGE")), "SELECT")


@lru_cache(maxsize=1024)
def tables_of(text: str) -> tuple[str, ...]:
    """Return the tables that a statement names, the first one first; `schema.table` where it says so."""
    shown = _NO_SOURCE.sub(" ", redacted(text))
    named = dict.fromkeys(".".join(_parts(path)) for path in _SOURCE.findall(shown) if path.lower() not in _NO_TABLE)
    if first_word(text) == "WITH":
        common = {".".join(_parts(path)) for path in _COMMON.findall(shown)}
        return tuple(name for name in named if name not in common) or tuple(named)
    return tuple(named)


@lru_cache(maxsize=1024)
def reading_of(text: str) -> Reading | None:
    """Return what a SELECT reads by which keys; None for other statements, and where that can't be told."""
    tables = tables_of(text)
    if first_word(text) not in _READING or not tables:
        return None
    where = _WHERE.search(redacted(text))
    return Reading(tables[0], tables, _compared("" if where is None else where[1]))


def _compared(condition: str) -> tuple[tuple[str, str], ...]:
    found = [_column(path) for path in _EQUAL.findall(condition)]
    for listed in _KEYS.findall(condition):
        found += [_column(path) for path in listed.split(",")]
    return tuple(dict.fromkeys(found))


def _column(path: str) -> tuple[str, str]:
    *before, name = _parts(path)
    return (before[-1] if before else ""), name


def _parts(path: str) -> Sequence[str]:
    return [quoted.replace('""', '"') if quoted else bare.lower() for quoted, bare in _PART.findall(path)]


def writes(text: str) -> bool:
    """Tell whether a statement writes rows, as far as its first words tell."""
    return verb_of(text) in ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE")


@lru_cache(maxsize=1024)
def has_comment(text: str) -> bool:
    """Tell whether there is a comment in SQL text."""
    return any(kind == "opaque" and piece[:2] in ("--", "/*") for kind, piece in tokens(text))
