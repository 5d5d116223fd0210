"""Include without a database: how many statements, with which keys, and what is attached to whom."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from psqlmodel import errors
from psqlmodel.core.loading.access import load, load_missing, select
from psqlmodel.core.loading.include import merged_paths
from psqlmodel.core.workspace import Workspace
from psqlmodel.model import mapper_of
from psqlmodel.model.state import raw_name
from psqlmodel.query import Select

from .models import Author, Book, Chapter, Editor, Key, Loan, Note, Owner, Player, Subject
from .script import INT4, INT8, NOTHING, TEXT, Script, rows, workspace
from .script import UUID as UUID_OID

AUTHORS = rows([(1, "Ada"), (2, "Ben"), (3, "Cleo")], INT4, TEXT)


def books(*data: tuple[Any, ...]) -> Any:
    return rows(data, INT4, INT4, INT4)


def run(session: Workspace, query: Any, *answers: Any) -> tuple[list[Any], Script]:
    script = Script(*answers)
    return script.run(select(session, query)).items, script


def test_to_many_is_one_statement_for_all_parents() -> None:
    session = workspace()
    authors, script = run(
        session, Select(Author).Include(Author.books), AUTHORS, books((10, 1, None), (11, 2, None), (12, 1, None))
    )
    assert script.texts[1:] == [
        'SELECT "books"."id", "books"."author_id", "books"."editor_id" FROM "books" '
        'WHERE "books"."author_id" = ANY($1) ORDER BY "books"."id"'
    ]
    assert script.arguments[1] == [[1, 2, 3]]
    assert [[book.id for book in author.books] for author in authors] == [[10, 12], [11], []]


def test_no_parents_no_statement() -> None:
    authors, script = run(workspace(), Select(Author).Include(Author.books), rows([], INT4, TEXT))
    assert authors == []
    assert len(script.sent) == 1


def test_nested_includes_are_one_statement_each() -> None:
    path = Author.books.Include(Book.chapters.Include(Chapter.notes))
    authors, script = run(
        workspace(),
        Select(Author).Include(path),
        AUTHORS,
        books((10, 1, None)),
        rows([(10, 2, "b"), (10, 1, "a")], INT4, INT4, TEXT),
        rows([], *[INT4] * 12),
        rows([(5, 10, 1), (6, 10, 1)], INT4, INT4, INT4),
    )
    assert [request.purpose for request in script.sent] == ["query", "load", "load", "catalog", "load"]  # type: ignore[union-attr]
    assert script.texts[2].endswith('ORDER BY "chapters"."number" DESC, "chapters"."book_id"')
    assert 'WHERE ("notes"."book_id", "notes"."number") IN (SELECT k.c1, k.c2 FROM unnest(' in script.texts[4]
    assert script.arguments[4] == [[10, 10], [2, 1]]
    second, first = authors[0].books[0].chapters
    assert (second.notes, [note.id for note in first.notes]) == ([], [5, 6])


def test_to_one_asks_for_what_the_session_does_not_have() -> None:
    session = workspace()
    authors, _ = run(session, Select(Author), AUTHORS)
    found, script = run(
        session,
        Select(Book).Include(Book.author),
        books((10, 1, None), (11, 9, None), (12, None, None), (13, 9, None), (14, 8, None)),
        rows([(9, "Zoe")], INT4, TEXT),
    )
    assert script.arguments[1] == [[9, 8]]
    zoe = found[1].author
    # 8 is a key without a row: no constraint forbids it.
    assert [book.__dict__["author"] for book in found] == [authors[0], zoe, None, zoe, None]
    assert zoe.name == "Zoe"


def test_to_one_is_no_statement_where_nothing_is_missing() -> None:
    session = workspace()
    authors, _ = run(session, Select(Author), AUTHORS)
    found, script = run(session, Select(Book).Include(Book.author), books((10, 1, None), (12, None, None)))
    assert len(script.sent) == 1
    assert [book.author for book in found] == [authors[0], None]


def test_many_to_many_brings_the_key_of_the_link_along() -> None:
    query = Select(Book).Include(Book.subjects)
    found, script = run(
        workspace(),
        query,
        books((10, 1, None), (11, 1, None)),
        rows([(7, 10), (7, 11), (8, 11), (8, 11)], INT4, INT4),
    )
    assert script.texts[1] == (
        'SELECT "subjects"."id", "books_subjects"."book_id" FROM "subjects" '
        'JOIN "books_subjects" ON "subjects"."id" = "books_subjects"."subject_id" '
        'WHERE "books_subjects"."book_id" = ANY($1) ORDER BY "subjects"."id"'
    )
    assert [[subject.id for subject in book.subjects] for book in found] == [[7], [7, 8]]
    assert found[0].subjects[0] is found[1].subjects[0]


def test_a_link_that_the_link_table_says_twice_is_shown_once() -> None:
    answers = rows([(1,), (2,)], INT4), rows([(5, 1), (5, 1), (6, 2), (5, 2)], INT4, INT4)
    players, _ = run(workspace(), Select(Player).Include(Player.teams), *answers)
    assert [[team.id for team in player.teams] for player in players] == [[5], [6, 5]]


def test_a_limit_is_for_each_parent_and_still_one_statement() -> None:
    path = Author.books.Where(Book.id > 5).OrderBy(Book.editor_id.Desc()).Limit(2).Offset(1)
    authors, script = run(
        workspace(),
        Select(Author).Include(path),
        AUTHORS,
        rows([(10, 1, None, 2), (12, 1, None, 3)], INT4, INT4, INT4, INT8),
    )
    assert script.texts[1] == (
        'SELECT * FROM ( SELECT "books"."id", "books"."author_id", "books"."editor_id", row_number() OVER '
        '(PARTITION BY "books"."author_id" ORDER BY "books"."editor_id" DESC, "books"."id") AS "_rank" FROM "books" '
        'WHERE "books"."id" > $1 AND "books"."author_id" = ANY($2) ) AS "_ranked" '
        'WHERE "_rank" > $3::int8 AND "_rank" <= $4::int8 ORDER BY "_rank"'
    )
    assert script.arguments[1] == [5, [1, 2, 3], 1, 3]
    assert [[book.id for book in author.books] for author in authors] == [[10, 12], [], []]


def test_a_model_class_stands_for_the_one_relation_that_leads_to_it() -> None:
    authors, _ = run(workspace(), Select(Author).Include(Book), AUTHORS, books((10, 1, None)))
    assert [book.id for book in authors[0].books] == [10]


@pytest.mark.parametrize(
    ("model", "path", "words"),
    [
        (Loan, Author, "several relations lead from Loan to Author: Loan.giver, Loan.taker"),
        (Author, Note, "no relation leads from Author to Note; its relations are Author.books"),
        (Author, Book.chapters, "Book.chapters can't be included here: the objects are Author"),
        (Author, Book.chapters.Limit(1), "Book.chapters can't be included here"),
        (Editor, Book, "Editor has no relations"),
        (Author, "books", "Include takes relations such as Author.orders"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(model: Any, path: Any, words: str) -> None:
    with pytest.raises(errors.QueryError, match=words):
        merged_paths(mapper_of(model), [path])


def test_one_relation_included_twice_is_merged_or_refused() -> None:
    paths = [Author.books.Include(Book.chapters), Author.books.Include(Book.subjects)]
    (path,) = merged_paths(mapper_of(Author), paths)
    assert path.includes == (Book.chapters, Book.subjects)
    with pytest.raises(errors.QueryError, match=r"Author.books is included twice"):
        merged_paths(mapper_of(Author), [Author.books, Author.books.Limit(1)])


def test_a_relation_that_the_program_changed_keeps_the_change() -> None:
    session = workspace()
    authors, _ = run(session, Select(Author).Include(Author.books), AUTHORS, books((10, 1, None)))
    mine = Book(id=99)
    authors[1].books.append(mine)
    with session.no_autoflush():
        run(session, Select(Author).Include(Author.books), AUTHORS, books((10, 1, None), (11, 2, None)))
    assert authors[1].books == [mine]
    assert [book.id for book in authors[0].books] == [10]


def test_a_list_that_the_program_holds_takes_what_is_loaded() -> None:
    session = workspace()
    authors, _ = run(session, Select(Author).Include(Author.books), AUTHORS, books((10, 1, None)))
    held = authors[0].books
    run(session, Select(Author).Include(Author.books), AUTHORS, books((10, 1, None), (11, 1, None)))
    assert authors[0].books is held
    assert [book.id for book in held] == [10, 11]


def test_lazy_loading_loads_for_all_objects_of_the_same_result() -> None:
    session = workspace()
    authors, _ = run(session, Select(Author), AUTHORS)
    authors[0].name = "changed"  # a changed object still belongs to its result
    script = Script(books((10, 1, None), (11, 3, None)))
    found = script.run(load_missing(session, authors[0], "books"))
    assert [book.id for book in found] == [10]
    assert script.arguments == [[[1, 2, 3]]]
    assert all(raw_name("books") in author.__dict__ for author in authors[1:])


def test_lazy_loading_asks_only_for_objects_that_lack_it_and_live() -> None:
    session = workspace()
    authors, _ = run(session, Select(Author), AUTHORS)
    Script(books((11, 3, None))).run(load(session, authors[2], Author.books))
    del authors[1]
    script = Script(books())
    script.run(load_missing(session, authors[0], "books"))
    assert script.arguments == [[[1]]]


def test_objects_of_other_results_are_left_alone() -> None:
    session = workspace()
    first, _ = run(session, Select(Author), AUTHORS)
    others, _ = run(session, Select(Author), rows([(4, "Dora"), (5, "Eve")], INT4, TEXT))
    script = Script(books())
    script.run(load_missing(session, others[0], "books"))
    assert script.arguments == [[[4, 5]]]
    assert raw_name("books") not in first[0].__dict__


def test_load_refuses_objects_that_are_not_persistent_here() -> None:
    session = workspace()
    for obj, words in ((Author(id=1), "no row yet"), (foreign(), "another session")):
        with pytest.raises(errors.ObjectStateError, match=words):
            Script().run(load(session, obj, Author.books))
    with pytest.raises(errors.QueryError, match="what to load"):
        Script().run(load(session, []))
    with pytest.raises(errors.NotMappedError):
        Script().run(load(session, [1], Author.books))


def foreign() -> Any:
    authors, _ = run(_OTHER, Select(Author), AUTHORS)
    _KEPT.extend(authors)
    return authors[0]


_OTHER = workspace()
_KEPT: list[Any] = []


def test_an_error_in_an_include_ends_the_transaction() -> None:
    session = workspace()
    script = Script(AUTHORS, errors.QueryCanceled("too slow", sqlstate="57014"), NOTHING)
    with pytest.raises(errors.QueryCanceled):
        script.run(select(session, Select(Author).Include(Author.books)))
    assert not session.transaction.begun


def test_subjects_of_no_book() -> None:
    found, _ = run(workspace(), Select(Subject).Include(Subject.books), rows([(7,)], INT4), rows([], *[INT4] * 4))
    assert found[0].books == []


def test_a_key_that_one_side_calls_a_uuid_and_the_other_a_str() -> None:
    one, other = UUID(int=1), UUID(int=2)
    owners, script = run(
        workspace(),
        Select(Owner).Include(Owner.keys),
        rows([(one,), (other,)], UUID_OID),
        rows([(5, other), (6, one)], INT4, UUID_OID),
    )
    assert script.arguments[1] == [[str(one), str(other)]]
    assert [[key.id for key in owner.keys] for owner in owners] == [[6], [5]]
    keys, script = run(
        workspace(),
        Select(Key).Include(Key.owner),
        rows([(5, other), (6, one)], INT4, UUID_OID),
        rows([(one,), (other,)], UUID_OID),
    )
    assert script.arguments[1] == [[other, one]]
    assert [key.owner.id for key in keys] == [other, one]
