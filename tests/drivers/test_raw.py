"""SQL by hand: placeholders and Python values. No database."""

from __future__ import annotations

import enum
from datetime import date
from decimal import Decimal
from ipaddress import ip_address
from uuid import UUID

import pytest

from psqlmodel.errors import InvalidValueError, QueryError
from psqlmodel.query.lexing import first_word, is_script, tokens
from psqlmodel.query.raw import dump, translate_params
from psqlmodel.types import Point, Range


@pytest.mark.parametrize(
    ("sql", "params", "text"),
    [
        ("a = %s AND b = %s", [1, 2], "a = $1 AND b = $2"),
        ("a = %(x)s OR b = %(y)s OR c = %(x)s", {"x": 1, "y": 2}, "a = $1 OR b = $2 OR c = $1"),
        ("a LIKE '50%' AND b = %s", [1], "a LIKE '50%' AND b = $1"),
        ("a LIKE '%%s' AND b = %s", [1], "a LIKE '%s' AND b = $1"),
        ("5 %% 3 = %s", [1], "5 % 3 = $1"),
        ("5 % 3 = %s", [1], "5 % 3 = $1"),
        ("data ? 'x' AND b::text = %s", [1], "data ? 'x' AND b::text = $1"),
        ("'%s' || $$%s$$ || \"%s\" -- %s\n || %s /* %s */", [1], "'%s' || $$%s$$ || \"%s\" -- %s\n || $1 /* %s */"),
        ("a = $1 AND b = $2", [1, 2], "a = $1 AND b = $2"),
        ("a LIKE '100%%' AND 5 % 3 = 2", None, "a LIKE '100%%' AND 5 % 3 = 2"),
        ("a LIKE '100%%'", [], "a LIKE '100%%'"),
    ],
)
def test_placeholders(sql, params, text):
    assert translate_params(sql, params)[0] == text


def test_a_name_used_twice_is_one_argument():
    assert translate_params("%(b)s %(a)s %(b)s", {"a": 1, "b": 2, "unused": 3}) == ("$1 $2 $1", [2, 1])


@pytest.mark.parametrize(
    ("sql", "params", "message"),
    [
        ("a = %s", [1, 2], "1 placeholders and params has 2"),
        ("a = %s", {"x": 1}, "positional"),
        ("a = %(x)s", [1], "mapping"),
        ("a = %(x)s", {"y": 1}, "x"),
        ("a = %s", "x", r"\[value\]"),
        ("a = %s", 5, r"\[value\]"),
        ("a = %s AND b = $1", [1], "mixes"),
        ("a = :x", {"x": 1}, r"write %\(name\)s"),
        ("a = ?", [1], "write %s where"),
        (5, None, "must be a str"),
    ],
)
def test_params_that_do_not_fit(sql, params, message):
    with pytest.raises(QueryError, match=message):
        translate_params(sql, params)


class Mood(enum.Enum):
    SAD = "sad"


def test_values():
    assert dump(Mood.SAD) == "sad"
    assert dump([Mood.SAD, None, [1]]) == ["sad", None, [1]]
    assert dump({"a": [1, date(2024, 1, 1), UUID(int=1), Decimal("1.5"), Mood.SAD]}) == (
        '{"a": [1, "2024-01-01", "00000000-0000-0000-0000-000000000001", "1.5", "sad"]}'
    )
    assert dump(Range(1, 5)) == "[1,5)"
    assert dump(Range(None, date(2024, 1, 1))) == "(,2024-01-01)"
    assert dump(Point(1, 2)) == "(1.0,2.0)"
    assert dump(ip_address("10.0.0.1")) == "10.0.0.1"
    assert dump(bytearray(b"x")) == b"x"
    with pytest.raises(InvalidValueError, match="object"):
        dump(object())
    with pytest.raises(InvalidValueError, match="object"):
        dump({"a": object()})


def test_tokens_are_the_whole_text():
    text = "SELECT 'a''b', E'\\'', $x$ ' $x$, \"q\"\"\" /* /* */ -- */ -- end\n, %s %(a)s $1 ; a$1"
    assert "".join(piece for _, piece in tokens(text)) == text
    assert [piece for kind, piece in tokens(text) if kind in ("dollar", "percent")] == ["%s", "%(a)s", "$1"]
    for broken in ("'open", "/* open", "$x$ open", '"open', "E'open\\'"):
        assert "".join(piece for _, piece in tokens(broken)) == broken


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("select 1", "SELECT"),
        ("  (SELECT 1)", "SELECT"),
        ("-- x\n/* y /* z */ */ With a AS ()", "WITH"),
        ("'x'", ""),
        ("", ""),
    ],
)
def test_first_word(text, word):
    assert first_word(text) == word


def test_scripts():
    assert is_script("SELECT 1; SELECT 2")
    assert not is_script("SELECT ';' ; -- done")
    assert not is_script("SELECT 1")
