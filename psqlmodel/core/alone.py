"""Alone: which statements need no BEGIN, because they only read. Pure.

Under READ COMMITTED every statement has a snapshot of its own, inside a transaction as outside of it. A read before the
first write is therefore sent by itself: it saves the round trips of BEGIN (asyncpg) and of COMMIT or ROLLBACK, and a
session that reads leaves no transaction idle on the server. The transaction begins with the first statement that
writes, locks, or calls a function of which nothing is known here; and with the first of all where the session asks for
an isolation level, a mode or settings, or the database does by its default.
"""

from __future__ import annotations

from typing import Final

from psqlmodel.query.lexing import tokens
from psqlmodel.steps import Copy, Statement

_MOST_TEXTS: Final = 4096
_known: dict[str, bool] = {}

# What may stand before a parenthesis: words of the grammar, and functions that do nothing but compute.
_BEFORE_PARENTHESIS: Final = frozenset(
    """
    all and any array as between by case cast coalesce distinct else exists except filter from group grouping groups
    having ilike in intersect is join lateral like limit materialized not nullif offset on or order ordinality over
    partition range recursive rollup row rows select set sets similar some then union using values when where with
    within cube
    abs array_agg array_length avg bool_and bool_or cardinality ceil char_length count date_part date_trunc dense_rank
    extract first_value floor greatest jsonb_agg jsonb_build_object jsonb_object_agg lag last_value lead least length
    lower max min mod nth_value ntile octet_length position power rank replace round row_number sign split_part sqrt
    strpos string_agg substring sum to_jsonb trim trunc unnest upper
    char character decimal numeric time timestamp varchar bit
    = < > + - * / , ( [ |
    """.split()  # noqa: SIM905 - a list of strings would be twenty lines
)
_WRITING: Final = frozenset({"insert", "update", "delete", "merge", "into", "for", "tablesample"})


def reads_only(request: Statement | Copy) -> bool:
    """Tell whether a request only reads, so that it means the same outside of a transaction."""
    if request.purpose == "catalog":
        return True
    if request.purpose not in ("load", "query") or isinstance(request, Copy):
        return False
    found = _known.get(request.text)
    if found is None:
        if len(_known) >= _MOST_TEXTS:
            _known.clear()
        found = _known[request.text] = _is_reading(request.text)
    return found


def _is_reading(text: str) -> bool:
    """Tell whether the text is a query without locks and without a call that could do more than compute.

    A name in quotes before a parenthesis is refused: it may be a function's. (The columns of a common table, which look
    alike, are refused with it.)
    """
    first, last, last_but_one = "", "", ""
    for kind, piece in tokens(text):
        word = piece.lower() if kind == "word" else ""
        first = first or word
        if word in _WRITING or kind == "semicolon":
            return False
        if kind == "opaque" and piece[:2] in ("--", "/*"):
            continue
        if kind == "other":
            piece = piece.strip()
            computes = last in _BEFORE_PARENTHESIS and last_but_one != "."  # with a schema it is another function
            if piece.startswith("(") and not (computes or last_but_one == "as"):
                return False
        if piece:
            last_but_one, last = last, word or piece[-1]
    return first in ("select", "with", "values")
