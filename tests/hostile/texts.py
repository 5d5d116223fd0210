"""Hostile texts: what the tests throw at every place where text enters, and how much of it.

The budget is fixed and the texts are the same each time; `HOSTILE_EXAMPLES=2000` tries so many at each place, always
others.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("HOSTILE_EXAMPLES", "0"))
TIMEOUT = 0 if EXAMPLES else 600  # seconds, on a busy machine; 0: none

# Runs of signs that mean something to the server, to a driver, to a format of PostgreSQL or to a shell of ours.
PIECES = [
    "'", "''", '"', '""', "\\", "\\'", "\\\\", "`", "$$", "$do$", "$a$", "$1", "$2", "$", "%", "%%", "%s", "%(x)s",
    "%(", "%b", "_", ";", "--", "/*", "*/", "#", "\n", "\r", "\t", "\v", "\f", " ", "E'", "e'\\", "U&'", "U&\"", "x'",
    "::", ":x", "?", "|", "||", "@", "!", "=", "=>", ",", ".", "..", "(", ")", "[", "]", "{", "}", "{}", "[]", "NULL",
    "null", "\\N", "\\.", "true", "0", "1", "-1", "1e999", "a", "B", "é", "ß", "ſ", "İ", "K", "’", "ʼ", "＇", "＂",
    "﹔", "；", "‐", "е", "٣", "²", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\x85", "\x01", "\x1b",
    "\x7f", "\x80", "𝕏", "\U0001f600", "\U0010ffff", "\ufffe", "e\u0301", "SELECT", "DROP TABLE canary", "UNION",
    "OR 1=1", "current_user", "pg_sleep(9)", "name", "id", "body", "canary", "public", "pg_catalog",
]  # fmt: skip

# Whole attacks: each would end the canary, or say more than it should, if its text became SQL.
ATTACKS = [
    "'; DROP TABLE canary; --",
    "\"; DROP TABLE canary; --",
    "\\'; DROP TABLE canary; --",
    "\\\\'; DROP TABLE canary; --",
    "''; DROP TABLE canary; --",
    "\u02bc; DROP TABLE canary; --",
    "$$; DROP TABLE canary; $$",
    "$do$; DROP TABLE canary; $do$",
    "x') ; DROP TABLE canary; --",
    'x" ("id") VALUES (1); DROP TABLE canary; --',
    "*/; DROP TABLE canary; /*",
    "-- \n; DROP TABLE canary",
    "--\r; DROP TABLE canary",
    "x' || (DELETE FROM canary) || '",
    "' OR '1'='1",
    "%s'; DROP TABLE canary; --",
    "%(x)s'; DROP TABLE canary; --",
    "E'\\'; DROP TABLE canary; --",
    "U&'\\0027; DROP TABLE canary; --",
    "\xbf'; DROP TABLE canary; --",  # the old trick with GBK: what stands before the quote eats the backslash
    "\x8c'; DROP TABLE canary; --",
    "a\tb\nc\\.\n\\N",
    "{\"a\": 1}'; DROP TABLE canary; --",
    '{x","y}',
    "[1,2)",
    "a=>b, c=>NULL",
    "../../etc/passwd",
    "canary; DROP TABLE canary",
    "1; DROP TABLE canary",
    "x" * 64,
    "é" * 40,
]  # fmt: skip

UNSTORABLE = ["\0", "a\0b", "'\0; DROP TABLE canary; --", "\ud800", "a\udfffb", "\udc80'"]


def _composed() -> st.SearchStrategy[str]:
    pieces = st.one_of(st.sampled_from(PIECES), st.sampled_from(ATTACKS))
    return st.lists(pieces, min_size=1, max_size=8).map("".join)


storable = st.one_of(
    st.sampled_from(ATTACKS),
    _composed(),
    st.text(min_size=1, max_size=60).filter(lambda text: "\0" not in text),
    st.builds(lambda text, times: text * times, _composed(), st.integers(100, 800)),
)
unstorable = st.one_of(
    st.sampled_from(UNSTORABLE),
    st.builds(lambda before, bad, after: before + bad + after, _composed(), st.sampled_from(UNSTORABLE), _composed()),
)
texts = st.one_of(storable, storable, storable, unstorable)
names = st.one_of(st.sampled_from(ATTACKS), _composed(), st.text(min_size=1, max_size=40), unstorable)


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL can hold a text: no NUL, no lone surrogate."""
    return "\0" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)


def is_name(text: str) -> bool:
    """Tell whether PostgreSQL can have a name."""
    return is_storable(text) and 1 <= len(text.encode()) <= 63


def budget(examples: int) -> settings:
    """Return the settings of a property that has so many examples in a fixed run."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
