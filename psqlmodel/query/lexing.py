"""SQL text, seen as tokens: enough to tell a placeholder from the same signs in a literal or a comment.

Pure; knows PostgreSQL's lexical rules (scan.l) with standard_conforming_strings on, and nothing of its
grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from psqlmodel.later import pattern

# Letters and signs of names; to the server every character beyond ASCII is one, whatever Unicode says of it.
_FIRST: Final = r"a-zA-Z_\x80-\U0010ffff"
_NEXT: Final = rf"{_FIRST}0-9"
_ESCAPED: Final = r"'(?:[^'\\]|\\.|'')*'"
# Between two quotes, a gap with an end of line in it makes them one literal. Possessive, or `--` would take for ever.
_GAP: Final = r"(?:[ \t\f\v]|--[^\n\r]*+)*+[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*+[\n\r])*+"
# Whatever must be copied as it is comes first, names included: the `$1` in `a$1` is part of a name.
_TOKEN: Final = pattern(
    rf"""
    (?P<opaque>
        [eE]{_ESCAPED}(?:{_GAP}{_ESCAPED})*
      | '(?:[^']|'')*'
      | "(?:[^"]|"")*"
      | \$(?P<tag>(?:[{_FIRST}][{_NEXT}]*)?)\$.*?\$(?P=tag)\$
      | --[^\n\r]*
    )
  | (?P<comment>/\*)
  | (?P<word>[{_FIRST}][{_NEXT}$]*)
  | (?P<dollar>\$[0-9]+)
  | (?P<percent>%(?:s(?![\w$])|\((?P<key>[^)]*)\)s|%)?)
  | (?P<semicolon>;)
  """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield `(kind, piece)` for the whole text; the pieces joined are the text.

    Kinds: "opaque" (literal, quoted identifier, comment), "dollar" (`$1`), "percent" (`%s`, `%(name)s`,
    `%%`, `%`), "word", "semicolon" and "other".
    """
    position = 0
    while True:
        match = _TOKEN.search(text, position)
        if match is None:
            break
        if match.start() > position:
            yield "other", text[position : match.start()]
        kind, position = match.lastgroup or "", match.end()
        if kind == "comment":
            position = _comment_end(text, position)
            yield "opaque", text[match.start() : position]
        else:
            yield _kind(match), match.group()
    if position < len(text):
        yield "other", text[position:]


def first_word(text: str) -> str:
    """Return the first word of the statement in upper case, comments skipped; empty where it begins
    otherwise.
    """
    for kind, piece in tokens(text):
        if kind == "word":
            return piece.upper()
        if kind == "opaque" and piece[:2] in ("--", "/*"):
            continue
        if piece.strip("( \t\r\n;"):
            return ""
    return ""


def is_script(text: str) -> bool:
    """Tell whether the text holds more than one statement."""
    ended = False
    for kind, piece in tokens(text):
        if kind == "semicolon":
            ended = True
        elif ended and piece.strip() and piece[:2] not in ("--", "/*"):
            return True
    return False


def _kind(match: re.Match[str]) -> str:
    for kind in ("opaque", "word", "dollar", "percent", "semicolon"):
        if match.group(kind) is not None:
            return kind
    raise AssertionError("a token of no kind")


def _comment_end(text: str, position: int) -> int:
    """Return where the comment that began before `position` ends; comments nest in PostgreSQL."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, position)
        if edge is None:
            return len(text)
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return position
