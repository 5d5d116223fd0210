"""Refresh, and columns that are loaded later: what is asked for, what happens to changes, what an error leaves."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel import errors
from psqlmodel.core.loading.access import load, load_missing, refresh, select
from psqlmodel.core.workspace import Workspace
from psqlmodel.model.state import PERSISTENT, Clean, State
from psqlmodel.query import Select

from .models import Author, Book, Thing
from .script import BOOL, INT4, INT4_ARRAY, JSONB, NOTHING, TEXT, Script, rows, workspace

THING = (INT4, TEXT, TEXT, JSONB, INT4_ARRAY, BOOL)


def loaded(session: Workspace, model: Any, *data: tuple[Any, ...]) -> list[Any]:
    oids = {Author: (INT4, TEXT), Book: (INT4, INT4, INT4), Thing: THING}[model]
    items: list[Any] = Script(rows(data, *oids)).run(select(session, Select(model))).items
    return items


def test_refresh_loads_all_columns_and_drops_changes() -> None:
    session = workspace()
    (thing,) = loaded(session, Thing, (1, "a", "red", '{"k": 1}', [1], True))
    thing.name = "mine"
    thing.data["mine"] = True
    script = Script(rows([(1, "theirs", None, '{"k": 2}', [2], False)], *THING))
    script.run(refresh(session, thing))
    assert script.texts == ['SELECT "id", "name", "colour", "data", "numbers", "flag" FROM "things" WHERE "id" = $1']
    assert (thing.name, thing.colour, thing.flag) == ("theirs", None, False)
    assert isinstance(thing._state, Clean)
    assert not session.unit.has_changes
    assert (thing.data, thing.numbers) == ({"k": 2}, [2])


def test_refresh_of_some_attributes_keeps_the_changes_of_others() -> None:
    session = workspace()
    (thing,) = loaded(session, Thing, (1, "a", "red", None, None, True))
    thing.name, thing.flag = "mine", None
    script = Script(rows([(1, "theirs")], INT4, TEXT))
    script.run(refresh(session, thing, ["name"]))
    assert script.texts == ['SELECT "id", "name" FROM "things" WHERE "id" = $1']
    assert (thing.name, thing.flag) == ("theirs", None)
    assert isinstance(thing._state, State)
    assert thing._state.original == {"flag": True}


def test_a_changed_key_is_asked_for_as_the_database_knows_it() -> None:
    session = workspace()
    (author,) = loaded(session, Author, (1, "Ada"))
    author.id = 5
    script = Script(rows([(1, "Ada")], INT4, TEXT))
    script.run(refresh(session, author))
    assert script.arguments == [[1]]
    assert author.id == 1


def test_a_row_that_is_gone_is_an_error_and_changes_nothing() -> None:
    session = workspace()
    (author,) = loaded(session, Author, (1, "Ada"))
    author.name = "mine"
    with pytest.raises(errors.StaleObjectError, match="Author 1 has no row any more") as caught:
        Script(rows([], INT4, TEXT)).run(refresh(session, author))
    assert caught.value.objects == (author,)
    assert author.name == "mine"
    assert author._state.original == {"name": "Ada"}


def test_loaded_relations_are_refreshed_too() -> None:
    session = workspace()
    (author,) = loaded(session, Author, (1, "Ada"))
    Script(rows([(10, 1, None)], INT4, INT4, INT4)).run(load(session, author, Author.books))
    held = author.books
    held.append(Book(id=11))
    session.unit.new.clear()  # the new book is another story
    answers = rows([(1, "Ada")], INT4, TEXT), rows([(10, 1, None), (12, 1, None)], INT4, INT4, INT4)
    Script(*answers).run(refresh(session, author))
    assert author.books is held
    assert [book.id for book in held] == [10, 12]
    assert isinstance(author._state, Clean)


def test_a_changed_link_goes_back_on_both_sides() -> None:
    session = workspace()
    ada, ben = loaded(session, Author, (1, "Ada"), (2, "Ben"))
    Script(rows([(10, 1, None)], INT4, INT4, INT4)).run(load(session, [ada, ben], Author.books))
    book = ada.books[0]
    book.author = ben
    assert (ada.books, ben.books) == ([], [book])
    Script(rows([(10, 1, None)], INT4, INT4, INT4)).run(refresh(session, book, ["author_id"]))
    assert (ada.books, ben.books) == ([book], [])
    assert (book.author_id, book.author) == (1, ada)


def test_an_error_in_refreshing_a_relation_leaves_it_as_it_was_before_the_changes() -> None:
    session = workspace()
    (book,) = loaded(session, Book, (10, None, None))
    Script(rows([], INT4, INT4)).run(load(session, book, Book.subjects))
    book.subjects.append(Book.subjects.target.cls(id=7))
    session.unit.new.clear()
    failure = errors.QueryCanceled("too slow", sqlstate="57014")
    with session.no_autoflush(), pytest.raises(errors.QueryCanceled):
        Script(failure, NOTHING).run(refresh(session, book, ["subjects"]))
    assert book.subjects == []


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda session: Author(id=1), errors.ObjectStateError, "no row yet"),
        (lambda session: Author, errors.NotMappedError, "takes an object, not the class Author"),
        (lambda session: 5, errors.NotMappedError, "int is not a mapped model"),
        (lambda session: loaded(session, Author, (1, "A")) and _deleted(session), errors.ObjectStateError, "deleted"),
    ],
)
def test_what_has_no_row_here_is_refused(make: Any, error: type[Exception], words: str) -> None:
    session = workspace()
    with pytest.raises(error, match=words):
        Script().run(refresh(session, make(session)))


def _deleted(session: Workspace) -> Any:
    (author,) = loaded(session, Author, (1, "A"))
    session.unit.delete(author)
    return author


def test_an_unknown_attribute_is_refused() -> None:
    session = workspace()
    (author,) = loaded(session, Author, (1, "Ada"))
    with pytest.raises(AttributeError, match="did you mean 'name'"):
        Script().run(refresh(session, author, ["nam"]))


def test_a_column_that_is_missing_is_loaded_for_all_of_the_result() -> None:
    session = workspace()
    one, two = loaded(session, Author, (1, "Ada"), (2, "Ben"))
    for author in (one, two):
        del author.__dict__["name"]
    script = Script(rows([(2, "Ben"), (1, "Ada")], INT4, TEXT))
    assert script.run(load_missing(session, one, "name")) == "Ada"
    assert script.arguments == [[[1, 2]]]
    assert two.__dict__["name"] == "Ben"
    assert one._state.status == PERSISTENT


def test_a_column_of_a_row_that_is_gone() -> None:
    session = workspace()
    (author,) = loaded(session, Author, (1, "Ada"))
    del author.__dict__["name"]
    with pytest.raises(errors.StaleObjectError, match=r"Author\.name can't be loaded"):
        Script(rows([], INT4, TEXT)).run(load_missing(session, author, "name"))


def test_load_takes_columns_too() -> None:
    session = workspace()
    (author,) = loaded(session, Author, (1, "Ada"))
    script = Script(rows([(1, "Eve")], INT4, TEXT))
    script.run(load(session, author, Author.name))
    assert author.name == "Eve"
