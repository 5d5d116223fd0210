"""Our reading of SQL text is the server's: what it takes for a parameter or the end of a statement, we do, and no more.

The server's own scanner (libpg_query, through pglast) reads the same text. A difference would be a hole: a `%s` that we
replace inside what the server takes for a literal, or one that we overlook.
"""

from __future__ import annotations

import time

import pglast.parser
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from psqlmodel import QueryError
from psqlmodel.query.lexing import tokens
from psqlmodel.query.raw import translate_params

from .texts import budget, texts

_PIECES = [
    "'", '"', "\\", "$", "$$", "$a$", "$€$", "$é$", "$1", "$2", "$٣", "--", "\r", "\n", "/*", "*/", "E'", "e'", "U&'",
    "x'", "B'", "N'", " ", "a", "é", "²", "٣", "€", "1", ";", "%", "%%", "(", ")", ",", "E", "\t", "\f", "\v",
    "\x85", "\u2028", "\xa0", "\ufeff", "+", "@", "-", "*", "/", ":", "::", ".", "_",
]  # fmt: skip
_texts = st.lists(st.sampled_from(_PIECES), max_size=14).map("".join)
_with_placeholders = st.lists(st.sampled_from([*_PIECES, "%s", "%s"]), max_size=14).map("".join)


@budget(1500)
@given(_texts)
@example("-- x\r$1")
@example("€$1")
@example("²$1 ٣$1 $٣")
@example("$€$ $1 $€$ $2")
@example("E'a' -- b\n 'c\\' $1' $2")
@example("E'a'\r'\\' $1' ; $2")
@example("E'a' 'b\\' $1 ; '")
@example("/* /* */ $1 */ $2")
@example("a$1 $$ $1 $$ \"$1\" U&'\\' $1")
def test_parameters_and_ends_are_those_of_the_server(text: str) -> None:
    try:
        seen = pglast.parser.scan(text)
    except pglast.parser.ParseError:
        return  # the server refuses it as a whole
    position, parameters, ends = 0, [], []
    for kind, piece in tokens(text):
        if kind in ("dollar", "semicolon"):
            (parameters if kind == "dollar" else ends).append(position)
        position += len(piece)
    assert parameters == [token.start for token in seen if token.name == "PARAM"]
    assert ends == [token.start for token in seen if token.name == "ASCII_59"]


@budget(300)
@given(_with_placeholders, texts)
def test_a_parameter_never_enters_the_text(sql: str, value: str) -> None:
    try:
        plain, _ = translate_params(sql, ["plain"])
    except QueryError:
        return
    try:
        assert translate_params(sql, [value]) == (plain, [value])
    except ValueError:
        assert "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value)


@pytest.mark.parametrize("text", ["SELECT 1\0; DROP TABLE canary", "\0", "SELECT '\ud800'"])
def test_a_text_that_can_not_be_sent_whole_is_not_sent(text: str) -> None:
    with pytest.raises(QueryError, match="statement must not contain"):
        translate_params(text)


@pytest.mark.parametrize("text", ["E''" + "-" * 50_000, "E''" + " -- x" * 10_000, "/*" * 20_000, "E'" + "\\" * 50_000])
def test_reading_takes_no_more_than_its_length(text: str) -> None:
    begun = time.process_time()
    assert "".join(piece for _, piece in tokens(text)) == text
    assert time.process_time() - begun < 5  # seconds; going through all ways to split it would take years
