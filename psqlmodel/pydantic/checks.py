"""Checks: what the SQL of a CHECK constraint says about one column, as far as a JSON schema can say it. Pure.

Understood are terms joined by AND: a comparison with a number, BETWEEN, IN with texts, a length, `<> ''`. Everything
else is left to the database, which checks all of it anyway: what is understood never refuses what the constraint takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

Bounds = dict[str, Any]

_CAST = re.compile(r"::\s*[a-z][a-z ]*(?:\(\s*\d+\s*(?:,\s*\d+\s*)?\))?", re.IGNORECASE)
_BETWEEN = re.compile(r"(\S+)\s+BETWEEN\s+(\S+)\s+AND\s+(\S+)", re.IGNORECASE)
_COMPARISON = re.compile(r"(?P<left>[^<>=!]+?)\s*(?P<operator><=|>=|<>|!=|<|>)\s*(?P<right>[^<>=!]+)")
_IN = re.compile(r"(?P<left>\S+)\s+IN\s*\(\s*(?P<items>'(?:[^']|'')*'(?:\s*,\s*'(?:[^']|'')*')*)\s*\)", re.IGNORECASE)
_LENGTH = re.compile(r"(?:char_length|character_length|length)\s*\(\s*(?P<column>[^()]+?)\s*\)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)")
_ITEM = re.compile(r"'((?:[^']|'')*)'")
_TEXT = re.compile(r"'(?:[^']|'')*'")
# What may turn the meaning of a term round, or hide where one ends.
_LOOSE = re.compile(r"\b(?:OR|NOT|CASE|SELECT)\b|--|/\*|[$\\]", re.IGNORECASE)
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "<>": "<>", "!=": "!="}
_NAMES = {">": "gt", ">=": "ge", "<": "lt", "<=": "le"}
_LENGTHS = {">": ("min_length", 1), ">=": ("min_length", 0), "<": ("max_length", -1), "<=": ("max_length", 0)}


def bounds_of(check: str, column: str) -> Bounds:
    """Return what `check` demands of `column`: `ge gt le lt` (Decimals), `min_length max_length`, `choices` (texts).

    bounds_of("age >= 0 AND age < 150", "age")  # {"ge": Decimal(0), "lt": Decimal(150)}
    """
    found: Bounds = {}
    if _LOOSE.search(_TEXT.sub("''", check)):
        return found
    for term in _terms(_CAST.sub("", check)):
        for name, value in _of_term(term, column):
            found[name] = value if name not in found else _narrower(name, found[name], value)
    return found


def _terms(text: str) -> Iterator[str]:
    """Give the terms that AND joins; BETWEEN as the two comparisons that it is."""
    text = _BETWEEN.sub(r"\1 >= \2 AND \1 <= \3", text)
    for part in _split(text):
        yield _bare(part)


def _split(text: str) -> Iterator[str]:
    """Split at AND, outside of texts and parentheses; a pair of parentheses around all of it is none."""
    text = _bare(text)
    depth, start, position = 0, 0, 0
    while position < len(text):
        if text[position] == "'":
            quoted = _TEXT.match(text, position)
            position = len(text) if quoted is None else quoted.end()
            continue
        depth += (text[position] == "(") - (text[position] == ")")
        joint = re.compile(r"\bAND\b", re.IGNORECASE).match(text, position) if depth == 0 else None
        if joint is not None:
            yield from _split(text[start:position])
            start = position = joint.end()
            continue
        position += 1
    yield text[start:]


def _bare(text: str) -> str:
    text = text.strip()
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closing(text: str) -> int:
    """Return the place of the parenthesis that closes the first sign of the text."""
    depth = 0
    for position, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return position
    return -1


def _of_term(term: str, column: str) -> Iterator[tuple[str, Any]]:
    if (found := _IN.fullmatch(term)) is not None:
        if _is_column(found["left"], column):
            yield "choices", tuple(item.replace("''", "'") for item in _ITEM.findall(found["items"]))
        return
    compared = _COMPARISON.fullmatch(term)
    if compared is None:
        return
    left, operator, right = _bare(compared["left"]), compared["operator"], _bare(compared["right"])
    if _NUMBER.fullmatch(left) or left == "''":
        left, operator, right = right, _FLIPPED[operator], left
    measured = _LENGTH.fullmatch(left)
    if operator in ("<>", "!="):
        if right == "''" and _is_column(left, column):
            yield "min_length", 1
    elif not _NUMBER.fullmatch(right):
        return
    elif measured is not None:
        if _is_column(measured["column"], column) and right.isdecimal():
            name, more = _LENGTHS[operator]
            yield name, int(right) + more
    elif _is_column(left, column):
        yield _NAMES[operator], Decimal(right)


def _is_column(text: str, column: str) -> bool:
    """Tell whether `text` is the column: bare, quoted, or behind the name of its table."""
    name = _bare(text).rpartition(".")[2]
    return name == f'"{column}"' or name.lower() == column


def _narrower(name: str, one: Any, other: Any) -> Any:
    if name == "choices":
        return tuple(item for item in one if item in other)
    return max(one, other) if name in ("ge", "gt", "min_length") else min(one, other)
