"""`get`: the identity map first, then one statement by key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from psqlmodel import errors
from psqlmodel.core.loading.access import get
from psqlmodel.model import mapper_of
from psqlmodel.model.state import DETACHED, PERSISTENT
from psqlmodel.steps import Release, Statement

from .models import Author, Book, Chapter, Event, Sight
from .script import INT4, NOTHING, TEXT, TIMESTAMPTZ, Script, rows, workspace

ADA = rows([(1, "Ada")], INT4, TEXT)


def test_a_miss_is_one_statement_that_begins_the_transaction() -> None:
    session, script = workspace(), Script(ADA)
    author = script.run(get(session, Author, 1))
    assert (author.id, author.name, author._state.status) == (1, "Ada", PERSISTENT)
    assert script.texts == ['SELECT "id", "name" FROM "authors" WHERE "id" = $1']
    assert script.arguments == [[1]]
    assert script.sent[0].prelude == "BEGIN"  # type: ignore[union-attr]


def test_a_hit_is_no_statement() -> None:
    session = workspace()
    author = Script(ADA).run(get(session, Author, 1))
    assert Script().run(get(session, Author, 1)) is author


def test_an_object_that_nobody_holds_is_read_again() -> None:
    session = workspace()
    Script(ADA).run(get(session, Author, 1))
    assert Script(ADA).run(get(session, Author, 1)).name == "Ada"


def test_no_row_is_none() -> None:
    assert Script(rows([], INT4, TEXT)).run(get(workspace(), Author, 7)) is None


@pytest.mark.parametrize("key", [(3, 4), [3, 4], {"number": 4, "book_id": 3}])
def test_a_composite_key_is_a_tuple_or_a_dictionary(key: Any) -> None:
    session, script = workspace(), Script(rows([(3, 4, "End")], INT4, INT4, TEXT))
    chapter = script.run(get(session, Chapter, key))
    assert script.arguments == [[3, 4]]
    assert session.identity.get(mapper_of(Chapter), (3, 4)) is chapter


@pytest.mark.parametrize(
    ("model", "key", "error", "words"),
    [
        (Chapter, 3, errors.MissingPrimaryKeyError, "a tuple of 2 values, not 1"),
        (Chapter, (1, 2, 3), errors.MissingPrimaryKeyError, "a tuple of 2 values, not 3"),
        (Chapter, (1, None), errors.MissingPrimaryKeyError, "Chapter.number"),
        (Chapter, {"book_id": 1}, errors.MissingPrimaryKeyError, "Chapter.number"),
        (Chapter, {"book": 1}, errors.MissingPrimaryKeyError, "did you mean 'book_id'"),
        (Author, None, errors.MissingPrimaryKeyError, "Author.id"),
        (Author, (1, 2), errors.MissingPrimaryKeyError, "one value, not 2"),
        (Author, [1], errors.InvalidValueError, "a list can't be a key"),
        (Author, "one", errors.InvalidValueError, "authors.id"),
        (Sight, 1, errors.MissingPrimaryKeyError, "no primary key"),
        (int, 1, errors.NotMappedError, "int is not a mapped model"),
        ("Author", 1, errors.NotMappedError, "str"),
    ],
)
def test_what_can_be_no_key_is_refused_before_anything_is_sent(
    model: Any, key: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words.replace("(", r"\(")):
        Script().run(get(workspace(), model, key))


def test_a_value_of_a_refused_key_is_not_in_the_message() -> None:
    with pytest.raises(errors.InvalidValueError) as caught:
        Script().run(get(workspace(), Author, "a secret"))
    assert "secret" not in str(caught.value)


def test_a_deleted_object_is_not_found() -> None:
    session = workspace()
    author = Script(ADA).run(get(session, Author, 1))
    session.unit.delete(author)
    assert Script().run(get(session, Author, 1)) is None


def test_a_guess_that_matters_asks_the_catalog_first() -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    catalog = rows([], *[INT4] * 12)  # the table is not there: the model's word counts
    session, script = workspace(), Script(catalog, rows([(moment, "x")], TIMESTAMPTZ, TEXT))
    event = script.run(get(session, Event, moment))
    assert [request.purpose for request in script.sent] == ["catalog", "load"]  # type: ignore[union-attr]
    assert [request.prelude for request in script.sent] == ["BEGIN", ""]  # type: ignore[union-attr]
    assert event.at == moment


def test_an_error_of_the_server_rolls_back_and_is_raised() -> None:
    failure = errors.UndefinedTable("no such table", sqlstate="42P01")
    script = Script(failure, NOTHING)
    session = workspace()
    with pytest.raises(errors.UndefinedTable):
        script.run(get(session, Author, 1))
    assert [type(request) for request in script.sent] == [Statement, Release]
    assert not session.transaction.begun


def test_closing_detaches_what_was_loaded_alone_and_together() -> None:
    session = workspace()
    alone = Script(ADA).run(get(session, Author, 1))
    book = Script(rows([(1, 1, None)], INT4, INT4, INT4)).run(get(session, Book, 1))
    session.unit.close()
    assert alone._state.status == book._state.status == DETACHED
