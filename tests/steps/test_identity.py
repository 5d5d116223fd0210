"""The identity map of a class is made when somebody needs it: whatever way leads to it finds what was loaded before."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from psqlmodel import Select
from psqlmodel.core.loading.access import known
from psqlmodel.core.loading.reading import load_rows
from psqlmodel.core.unitofwork.identity import IdentityMap
from psqlmodel.core.workspace import Workspace
from psqlmodel.model.mapper import mapper_of
from psqlmodel.model.state import Batch
from psqlmodel.query.compiler import compile

from .models import Author, Chapter
from .script import INT4, TEXT, rows, workspace

AUTHOR = mapper_of(Author)


def load_authors(session: Workspace, *numbers: int, query: Any = None) -> list[Any]:
    query = Select(Author) if query is None else query
    data = [(number, f"author {number}") for number in numbers]
    return load_rows(session, query, compile(query), rows(data, INT4, TEXT)).items


def waits(session: Workspace) -> bool:
    """Tell whether the authors have no map yet."""
    return Author not in session.identity.by_class


def enter_another(identity: IdentityMap, authors: list[Any]) -> None:
    other = Author(id=9, name="nine")
    identity.put(AUTHOR, 9, other)
    assert identity.get(AUTHOR, 9) is other


def discard_one(identity: IdentityMap, authors: list[Any]) -> None:
    identity.discard(AUTHOR, 1, authors[1])  # another one has the key
    assert identity.get(AUTHOR, 1) is authors[0]
    identity.discard(AUTHOR, 1, authors[0])
    assert identity.get(AUTHOR, 1) is None


def look_for_one(identity: IdentityMap, authors: list[Any]) -> None:
    assert identity.get(AUTHOR, 2) is authors[1]
    assert identity.get(AUTHOR, 3) is None


def look_at_all(identity: IdentityMap, authors: list[Any]) -> None:
    assert identity.objects(AUTHOR) == authors


def take_the_map(identity: IdentityMap, authors: list[Any]) -> None:
    assert [reference() for reference in identity.of(AUTHOR).values()] == authors
    assert list(identity.of(AUTHOR)) == [1, 2]


def sweep(identity: IdentityMap, authors: list[Any]) -> None:
    identity.sweep_if_due(AUTHOR)
    take_the_map(identity, authors)


@pytest.mark.parametrize(
    "use", [enter_another, discard_one, look_for_one, look_at_all, take_the_map, sweep], ids=lambda use: use.__name__
)
def test_every_use_makes_the_map(use: Callable[[IdentityMap, list[Any]], None]) -> None:
    session = workspace()
    authors = load_authors(session, 1, 2)
    assert waits(session)
    assert session.identity.mappers() == [AUTHOR]
    use(session.identity, authors)
    assert not waits(session)
    assert session.identity.mappers() == [AUTHOR]


def test_a_look_at_once_is_left_to_who_makes_the_map() -> None:
    session = workspace()
    authors = load_authors(session, 1, 2)
    assert known(session, Author, 1, None, False, False) is None
    look_for_one(session.identity, authors)
    assert known(session, Author, 1, None, False, False) is authors[0]


@pytest.mark.parametrize("again", [(1, 2, 3), (2,), (4, 1)])
def test_rows_that_come_again_are_the_objects_that_are_there(again: tuple[int, ...]) -> None:
    session = workspace()
    authors = load_authors(session, 1, 2)
    for author in load_authors(session, *again):
        assert [author] == [a for a in authors if a.id == author.id] or author.id > 2
        assert session.identity.get(AUTHOR, author.id) is author


def test_a_key_that_was_changed_before_is_found_as_the_database_has_it() -> None:
    session = workspace()
    one, _ = load_authors(session, 1, 2)
    one.id = 7
    assert session.identity.get(AUTHOR, 1) is one
    assert session.identity.get(AUTHOR, 7) is None


def test_a_composite_key_that_was_changed_in_part() -> None:
    session, query = workspace(), Select(Chapter)
    data = [(1, 1, "one"), (1, 2, "two")]
    _, two = load_rows(session, query, compile(query), rows(data, INT4, INT4, TEXT)).items
    two.number = 3
    assert session.identity.get(mapper_of(Chapter), (1, 2)) is two
    assert session.identity.get(mapper_of(Chapter), (1, 3)) is None


def test_who_died_meanwhile_is_not_in_the_map() -> None:
    session = workspace()
    authors = load_authors(session, 1, 2)
    del authors[0]
    gc.collect()
    assert list(session.identity.of(AUTHOR)) == [2]


def test_when_all_died_the_next_ones_wait_again() -> None:
    session = workspace()
    assert load_authors(session, 1, 2)
    gc.collect()
    authors = load_authors(session, 1, 2, 3)
    assert waits(session)
    assert session.identity.objects(AUTHOR) == authors


def test_a_session_that_lets_go_forgets_who_waits() -> None:
    session = workspace()
    _ = load_authors(session, 1, 2)
    session.identity.clear()
    assert session.identity.mappers() == []
    assert session.identity.get(AUTHOR, 1) is None


def test_many_objects_that_waited_do_not_make_a_sweep_due_at_once() -> None:
    session = workspace()
    authors = load_authors(session, *range(3000))
    entries = session.identity.of(AUTHOR)
    del authors[1:]
    gc.collect()
    session.identity.sweep_if_due(AUTHOR)
    assert len(entries) == 3000
    session.identity.sweep_if_due(AUTHOR, coming=3000)
    assert list(entries) == [0]


def test_the_objects_know_their_result_by_the_same_references() -> None:
    session = workspace()
    authors = load_authors(session, 1, 2)
    batch = authors[0]._state
    assert isinstance(batch, Batch)
    assert [reference() for reference in batch.members] == authors
    assert session.identity.objects(AUTHOR) == authors
    assert authors[1]._state is batch


@pytest.mark.parametrize(
    "query",
    [
        Select(Author).Join(Chapter, Chapter.book_id == Author.id),
        Select(Author).UnionAll(Select(Author)),
        Select(Author).From(Author, Chapter),
    ],
)
def test_where_a_row_may_come_twice_it_is_one_object(query: Any) -> None:
    session = workspace()
    one, other, _ = load_authors(session, 1, 1, 2, query=query)
    assert one is other
    assert not waits(session)


def test_objects_of_a_closed_session_hold_no_references_to_each_other() -> None:
    session = workspace()
    authors = load_authors(session, 1, 2)
    batch = authors[0]._state
    reference = weakref.ref(authors[1])
    session.unit.close()
    assert batch.members == []
    assert [author.name for author in authors] == ["author 1", "author 2"]
    assert weakref.getweakrefcount(authors[0]) == 0
    assert reference() is authors[1]
