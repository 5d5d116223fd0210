"""Checks: what CHECK constraints ask of single columns, as far as it can be read from their SQL. Pure.

`limits_of(conditions)` returns the `Limits` of each column, and pairs of columns of which one is less than the other.
What is not understood is left out: the database decides, and its error names the constraint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from psqlmodel.query.lexing import tokens

_NAME: Final = r'(?:"?[A-Za-z_]\w*"?\.)?"?(?P<name>[A-Za-z_][\w$]*)"?'
_CAST: Final = r"(?:::[\w \"]+(?:\([\d, ]+\))?(?:\[\])?)?"
_LENGTH: Final = r"(?:char_length|character_length|length)"
_NUMBER: Final = rf"\(?\s*'?(?P<number>-?\d+(?:\.\d+)?)'?\s*\)?{_CAST}"
_TEXT: Final = rf"(?P<text>'(?:[^']|'')*'){_CAST}"
_OPERATOR: Final = r"(?P<op><=|>=|<>|!=|=|<|>)"
_FLIPPED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}

_RULES: Final = [
    (kind, re.compile(rf"(?is)^{pattern}$"))
    for kind, pattern in (
        ("number", rf"{_NAME}{_CAST}\s*{_OPERATOR}\s*{_NUMBER}"),
        ("flipped", rf"{_NUMBER}\s*{_OPERATOR}\s*{_NAME}{_CAST}"),
        ("length", rf"{_LENGTH}\s*\(\s*{_NAME}{_CAST}\s*\)\s*{_OPERATOR}\s*{_NUMBER}"),
        ("between", rf"{_NAME}\s+between\s+(?P<low>-?\d+(?:\.\d+)?)\s+and\s+(?P<high>-?\d+(?:\.\d+)?)"),
        (
            "length between",
            rf"{_LENGTH}\s*\(\s*{_NAME}{_CAST}\s*\)\s+between\s+(?P<low>\d+)\s+and\s+(?P<high>\d+)",
        ),
        ("in", rf"{_NAME}{_CAST}\s+in\s*\((?P<list>.+)\)"),
        ("in", rf"{_NAME}{_CAST}\s*=\s*any\s*\(\s*\(?\s*array\s*\[(?P<list>.+)\]\s*\)?{_CAST}\s*\)"),
        ("text", rf"{_NAME}{_CAST}\s*(?P<op><>|!=|=)\s*{_TEXT}"),
        ("pattern", rf"{_NAME}{_CAST}\s*(?P<op>~\*?)\s*{_TEXT}"),
        ("like", rf"{_NAME}{_CAST}\s+i?like\s+{_TEXT}"),
        ("case", rf"{_NAME}{_CAST}\s*=\s*(?P<case>lower|upper)\s*\(\s*\"?(?P=name)\"?{_CAST}\s*\)"),
        ("order", rf"{_NAME}{_CAST}\s*(?P<op><=|>=|<|>)\s*\"?(?P<other>[A-Za-z_][\w$]*)\"?{_CAST}"),
    )
]


class Limits:
    """What is asked of one column. Bounds are closed; `above` and `below` are open ones."""

    def __init__(self) -> None:
        self.least: Decimal | None = None
        self.most: Decimal | None = None
        self.above: Decimal | None = None
        self.below: Decimal | None = None
        self.shortest = 0
        self.longest: int | None = None
        self.choices: list[str] = []
        self.refused: set[str] = set()
        self.pattern: str | None = None
        self.case: str = ""


def limits_of(conditions: Iterable[str]) -> tuple[dict[str, Limits], list[tuple[str, str]]]:
    """Return what is asked of the columns, by their database names, and pairs (less, greater) of columns.

    limits_of(["total >= 0 AND total < 100", "starts <= ends"])
    """
    found: dict[str, Limits] = {}
    pairs: list[tuple[str, str]] = []
    for condition in conditions:
        for term in _terms(condition):
            _read(term, found, pairs)
    return found, pairs


def _read(term: str, found: dict[str, Limits], pairs: list[tuple[str, str]]) -> None:
    for kind, rule in _RULES:
        match = rule.match(term)
        if match is None:
            continue
        if kind == "order":
            less, greater = match["name"], match["other"]
            pairs.append((less, greater) if match["op"] in ("<", "<=") else (greater, less))
        else:
            _apply(found.setdefault(match["name"], Limits()), kind, match)
        return


def _apply(limits: Limits, kind: str, match: re.Match[str]) -> None:
    if kind in ("number", "flipped"):
        operator = match["op"]
        _bound(limits, _FLIPPED.get(operator, operator) if kind == "flipped" else operator, Decimal(match["number"]))
    elif kind == "length":
        _length(limits, match["op"], int(Decimal(match["number"])))
    elif kind == "between":
        limits.least, limits.most = Decimal(match["low"]), Decimal(match["high"])
    elif kind == "length between":
        limits.shortest, limits.longest = int(match["low"]), int(match["high"])
    elif kind == "in":
        limits.choices = [_value(item) for item in _items(match["list"])]
    elif kind == "text":
        _text(limits, match["op"], _value(match["text"]))
    elif kind == "pattern":
        limits.pattern = _value(match["text"])
    elif kind == "like":
        limits.pattern = _like(_value(match["text"]))
    elif kind == "case":
        limits.case = match["case"].lower()


def _bound(limits: Limits, operator: str, number: Decimal) -> None:
    if operator == "=":
        limits.choices = [str(number)]
    elif operator in ("<>", "!="):
        limits.refused.add(str(number))
    else:
        name = {">=": "least", "<=": "most", ">": "above", "<": "below"}[operator]
        known = getattr(limits, name)
        tighter = max if operator in (">=", ">") else min
        setattr(limits, name, number if known is None else tighter(known, number))


def _length(limits: Limits, operator: str, number: int) -> None:
    if operator in (">=", ">", "="):
        limits.shortest = max(limits.shortest, number + (operator == ">"))
    if operator in ("<=", "<", "="):
        limits.longest = number - (operator == "<")


def _text(limits: Limits, operator: str, value: str) -> None:
    if operator == "=":
        limits.choices = [value]
    elif value:
        limits.refused.add(value)
    else:
        limits.shortest = max(limits.shortest, 1)


def _like(text: str) -> str:
    """Return a pattern of LIKE as a regular expression."""
    return "^" + "".join({"%": "[a-z]{3}", "_": "[a-z]"}.get(sign, re.escape(sign)) for sign in text) + "$"


def _value(item: str) -> str:
    text = re.sub(rf"{_CAST}$", "", item.strip())
    return text[1:-1].replace("''", "'") if text[:1] == "'" else text


def _items(listing: str) -> list[str]:
    return [item for item in _split(listing, ",") if item]


def _terms(condition: str) -> Iterator[str]:
    """Give the conditions that AND joins; a BETWEEN is whole."""
    text = _bare(condition)
    pieces = _split(text, "and")
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        if len(_split(piece, "between")) > 1 and at + 1 < len(pieces):
            piece, at = f"{piece} AND {pieces[at + 1]}", at + 1
        at += 1
        bare = _bare(piece)
        if len(pieces) > 1 and bare != piece.strip() and len(_split(bare, "and")) > 1:
            yield from _terms(bare)
        else:
            yield bare


def _split(text: str, separator: str) -> list[str]:
    """Split at a word or sign that stands outside of parentheses and literals."""
    parts, current, depth = [], "", 0
    for kind, piece in tokens(text):
        if kind == "opaque":
            current += piece
            continue
        if kind == "word" and depth == 0 and piece.lower() == separator:
            parts.append(current.strip())
            current = ""
            continue
        for sign in piece:
            depth += (sign in "([") - (sign in ")]")
            if sign == separator and depth == 0:
                parts.append(current.strip())
                current = ""
            else:
                current += sign
    return [*parts, current.strip()]


def _bare(text: str) -> str:
    """Return the text without parentheses around all of it."""
    text = text.strip()
    while text[:1] == "(" and text[-1:] == ")" and _closes_at_end(text):
        text = text[1:-1].strip()
    return text


def _closes_at_end(text: str) -> bool:
    depth, position = 0, 0
    for kind, piece in tokens(text):
        if kind != "opaque":
            for at, sign in enumerate(piece):
                depth += (sign == "(") - (sign == ")")
                if depth == 0:
                    return position + at == len(text) - 1
        position += len(piece)
    return False


class _Unknown(Exception):
    """A regular expression has what is not known here, or leaves no sign to choose."""


def example_of(pattern: str, choose: Any) -> str | None:
    """Return a text that a regular expression matches, or None where it has what is not known here.

    `choose` is a `random.Random`. PostgreSQL's and Python's expressions agree in what is known.
    """
    import importlib

    parser: Any = importlib.import_module("re._parser")
    try:
        made = "".join(_examples(parser.parse(pattern), choose))
    except (re.error, _Unknown):
        return None
    return made if re.search(pattern, made) else None


def _examples(parsed: Iterable[Any], choose: Any) -> Iterator[str]:
    for operation, argument in parsed:
        name = str(operation)
        if name == "LITERAL":
            yield chr(argument)
        elif name in ("ANY", "NOT_LITERAL"):
            yield choose.choice([sign for sign in _LETTERS if name == "ANY" or sign != chr(argument)])
        elif name == "IN":
            yield choose.choice(_members(argument))
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            low, high, inner = argument
            for _ in range(choose.randint(int(low), min(int(high), int(low) + 3))):
                yield from _examples(inner, choose)
        elif name == "SUBPATTERN":
            yield from _examples(argument[3], choose)
        elif name == "BRANCH":
            yield from _examples(choose.choice(argument[1]), choose)
        elif name != "AT":
            raise _Unknown


def _members(items: Iterable[Any]) -> str:
    found, inverted = "", False
    for operation, argument in items:
        name = str(operation)
        if name == "NEGATE":
            inverted = True
        elif name == "LITERAL":
            found += chr(argument)
        elif name == "RANGE":
            found += "".join(map(chr, range(argument[0], min(argument[1], argument[0] + 255) + 1)))
        elif name == "CATEGORY":
            found += _CATEGORIES[str(argument)]
        else:
            raise _Unknown
    members = "".join([sign for sign in _PLAIN if sign not in found]) if inverted else found
    if not members:
        raise _Unknown
    return members


_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = "0123456789"
_PLAIN: Final = _LETTERS + _LETTERS.upper() + _DIGITS + " .-_"
_CATEGORIES: Final = {
    "CATEGORY_DIGIT": _DIGITS,
    "CATEGORY_WORD": _LETTERS + _DIGITS + "_",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": _LETTERS,
    "CATEGORY_NOT_WORD": " ",
    "CATEGORY_NOT_SPACE": _LETTERS + _DIGITS,
}
