"""Values: whatever text a value is, the statements are those of any other text, and the value comes back whole.

A text that PostgreSQL can't hold is refused by an error of ours before it is sent, on both sessions.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from psqlmodel import DatabaseError, Engine, InvalidValueError, PSQLModelError, array_literal, parse_array, types
from psqlmodel.drivers.wire import copy_blocks

from .conftest import Place, each
from .texts import ATTACKS, budget, is_storable, texts
from .values import CASES, PICKY, TEXTUAL

PLAIN = "plain text without signs"  # longer than what a case cuts off, so that it sends what all others send


def _refused_in_time(place: Place, result: Any, sent: list[str], usual: list[str]) -> None:
    """Check that a text which PostgreSQL can't hold was refused before it was sent."""
    assert isinstance(result, PSQLModelError)
    assert not isinstance(result, DatabaseError)
    assert not any(event.error for event in place.both.statements)
    assert [text for text in sent if text not in ("ROLLBACK", "COMMIT")] == usual[: len(sent)][: _before(sent)]


def _before(sent: list[str]) -> int:
    return sum(text not in ("ROLLBACK", "COMMIT") for text in sent)


def _attack(place: Place, work: Callable[[Any, str], Awaitable[None]], examples: int, *, picky: bool) -> None:
    _, usual = place.outcome(partial(_with, work, PLAIN))
    _, again = place.outcome(partial(_with, work, PLAIN))
    assert usual == again  # what is sent does not depend on what went before
    seen = {"whole": 0, "refused": 0, "by the server": 0}

    @budget(examples)
    @given(texts)
    @example("'; DROP TABLE canary; --")
    @example("a\0'; DROP TABLE canary; --")
    @example("\ud800")
    def throw(text: str) -> None:
        result, sent = place.outcome(partial(_with, work, text))
        if not is_storable(text):
            _refused_in_time(place, result, sent, usual)
            seen["refused"] += 1
        elif result is None:
            assert sent == usual
            seen["whole"] += 1
        else:
            assert picky, result
            assert isinstance(result, DatabaseError | InvalidValueError)
            assert set(sent) <= {*usual, "ROLLBACK"}
            seen["by the server"] += 1

    throw()
    assert seen["refused"]
    assert seen["whole" if not picky else "by the server"] or work.__name__ == "bare_patterns"


async def _with(work: Callable[[Any, str], Awaitable[None]], text: str, session: Any) -> None:
    await work(session, text)


@pytest.mark.parametrize("name", each(CASES))
def test_a_value_is_never_sql(place: Place, name: str) -> None:
    _attack(place, CASES[name], 12, picky=False)


@pytest.mark.parametrize("name", each(PICKY))
def test_a_value_that_the_server_reads_by_a_syntax_is_never_sql(place: Place, name: str) -> None:
    _attack(place, PICKY[name], 12, picky=True)


@pytest.mark.parametrize("name", ["columns", "comparisons", "documents", "raw_parameters", "bulk", "expressions"])
def test_every_attack_where_values_enter_most(place: Place, name: str) -> None:
    for text in ATTACKS:
        result, _ = place.outcome(partial(_with, CASES[name], text))
        assert result is None, text


def test_parameters_beside_a_session(place: Place) -> None:
    """`engine.execute`, and connections of `engine.connect()` and `engine.transaction()`."""

    async def ask(text: str) -> list[Any]:
        sql, params = "SELECT %s::text, '%s'", [text]
        if isinstance(place.engine, Engine):
            with place.engine.connect() as plain, place.engine.transaction() as begun:
                return [place.engine.execute(sql, params), plain.execute(sql, params), begun.execute(sql, params)]
        async with place.engine.connect() as other, place.engine.transaction() as open_:
            return [await each.execute(sql, params) for each in (place.engine, other, open_)]

    @budget(20)
    @given(texts)
    def throw(text: str) -> None:
        if is_storable(text):
            assert [tuple(rows[0]) for rows in place.run(ask(text))] == [(text, "%s")] * 3
        else:
            with pytest.raises(InvalidValueError):
                place.run(ask(text))

    throw()


@budget(300)
@given(st.lists(texts, min_size=1, max_size=4))
def test_formats_keep_their_texts(given_texts: list[str]) -> None:
    """What travels as a text with a syntax of its own: arrays, rows of COPY, pairs."""
    if not all(map(is_storable, given_texts)):
        with pytest.raises(InvalidValueError):
            types.text.array().dump(given_texts)
        return
    assert parse_array(array_literal(given_texts), None) == given_texts
    pairs: Any = dict.fromkeys(given_texts, given_texts[0])
    assert types.hstore.load is not None
    assert types.hstore.load(types.hstore.dump(pairs)) == pairs
    line = "".join(copy_blocks([given_texts]))
    assert line.count("\n") == 1
    assert line.count("\t") == len(given_texts) - 1


@budget(100)
@given(texts)
def test_no_type_takes_a_text_and_says_it_in_an_error(text: str) -> None:
    marked = "s3cr3t" + text
    for type_ in TEXTUAL:
        try:
            _ = type_.dump(marked)
        except InvalidValueError as error:
            assert "s3cr3t" not in str(error)


@budget(200)
@given(texts)
def test_a_pattern_of_a_literal_matches_it_alone(text: str) -> None:
    from psqlmodel.query.operators import like_literal

    pattern = like_literal(text)
    assert re.sub(r"\\(.)", "", pattern, flags=re.DOTALL).translate({ord("%"): None, ord("_"): None}) == re.sub(
        r"\\(.)", "", pattern, flags=re.DOTALL
    )
    assert re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL) == text
