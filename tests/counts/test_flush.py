"""W4, W4b, W5, W9 and growth: the calls that one more object costs from `add` or a change to the end of the commit.

Counted as the difference between two sizes, so that what a flush costs by itself does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from sys import getsizeof

import pytest

from psqlmodel import Column, Engine, PSQLModel, Relation, Select, Session, create_engine
from psqlmodel import table as mapped
from psqlmodel.embedded import Server

from .calls import calls_of

FEW, MANY = 1_500, 3_000  # both are more than what a small flush sends in one statement
_LOADED = f"INSERT INTO counted_books SELECT n, NULL, 'book ' || n, n FROM generate_series(-{MANY}, -1) n"


@mapped("counted_shelves")
class Shelf(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    books: Relation[list[Book]] = Relation()


@mapped("counted_books")
class Book(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    shelf_id: Column[int | None] = Column(foreign_key="counted_shelves.id", on_delete="CASCADE")
    title: Column[str]
    pages: Column[int]
    shelf: Relation[Shelf | None] = Relation()


@pytest.fixture(scope="module")
def engine(server: Server) -> Iterator[Engine]:
    with create_engine(server.create_database("counts_of_flush")) as made:
        made.create_all([Shelf, Book])
        yield made


@pytest.fixture(autouse=True)
def rows(engine: Engine) -> None:
    engine.execute("DELETE FROM counted_shelves")
    engine.execute("DELETE FROM counted_books")
    engine.execute(_LOADED)


def per_object(engine: Engine, prepare: Callable[[Session, int], Callable[[], object]]) -> float:
    """Return the calls for each object of what `prepare(session, count)` gives."""
    counts = []
    for count in (FEW, FEW, MANY):  # the first find out what is kept then: the catalog, texts, loaders
        with Session(engine) as session:
            counts.append(calls_of(prepare(session, count)))
        engine.execute("DELETE FROM counted_books WHERE id > 0")
        engine.execute(f"{_LOADED} ON CONFLICT DO NOTHING")
    return (counts[-1] - counts[-2]) / (MANY - FEW)


def test_a_new_object(engine: Engine) -> None:
    def prepare(session: Session, count: int) -> Callable[[], object]:
        def work() -> None:
            for n in range(count):
                session.add(Book(title="T", pages=n))
            session.commit()

        return work

    # 1 constructor. add: 1 of the session, 1 of what it shares with the other kind, 1 of the unit of work, 1 to
    # leave it. The flush: none.
    assert per_object(engine, prepare) <= 5


def test_a_new_child_of_a_new_parent(engine: Engine) -> None:
    def prepare(session: Session, count: int) -> Callable[[], object]:
        def work() -> None:
            for _ in range(count // 10):
                shelf = Shelf(name="S")
                shelf.books = [Book(title="T", pages=n) for n in range(10)]
                session.add(shelf)
            session.commit()

        return work

    # 1 constructor. A tenth of its parent's: 23 calls, half of them for the list and what leads to it. It is found
    # there, added and written without one.
    assert per_object(engine, prepare) <= 3.4


def test_the_objects_of_a_graph_share_the_names_of_all_that_they_hold(engine: Engine) -> None:
    # A dictionary with names of its own takes three times the memory, and to make it a third of the time of a child.
    with Session(engine) as session:
        shelves = [Shelf(name="S", books=[Book(title="T", pages=n)]) for n in range(100)]
        before = [(getsizeof(shelf.__dict__), getsizeof(shelf.books[0].__dict__)) for shelf in shelves]
        session.add_all(shelves)
        session.flush()
        assert all({"id", "shelf_id", "shelf"} <= shelf.books[0].__dict__.keys() for shelf in shelves)
        assert [(getsizeof(shelf.__dict__), getsizeof(shelf.books[0].__dict__)) for shelf in shelves] == before
        session.rollback()


def test_a_changed_object(engine: Engine) -> None:
    def prepare(session: Session, count: int) -> Callable[[], object]:
        books = session.exec(Select(Book).Where(Book.id >= -count)).all()

        def work() -> None:
            for book in books:
                book.pages += 1
            session.commit()

        return work

    # The change: __setattr__, the write of the shared state and of the object's own, which is made (4); nothing more.
    assert per_object(engine, prepare) <= 6


def test_a_deleted_object(engine: Engine) -> None:
    def prepare(session: Session, count: int) -> Callable[[], object]:
        books = session.exec(Select(Book).Where(Book.id >= -count)).all()
        session.commit()

        def work() -> None:
            for book in books:
                session.delete(book)
            session.commit()

        return work

    # delete: 1 of the session, 1 shared, 1 to leave, 1 of the unit of work, 2 for the state. The flush: none.
    assert per_object(engine, prepare) <= 6


def test_objects_deleted_together(engine: Engine) -> None:
    def prepare(session: Session, count: int) -> Callable[[], object]:
        books = session.exec(Select(Book).Where(Book.id >= -count)).all()
        session.commit()

        def work() -> None:
            session.delete_all(books)
            session.commit()

        return work

    assert per_object(engine, prepare) < 0.01


def test_what_is_loaded_costs_a_query_and_a_flush_nothing(engine: Engine) -> None:
    def calls(loaded: int) -> tuple[int, int]:
        with Session(engine) as session:
            books = session.exec(Select(Book).Where(Book.id >= -loaded)).all()
            assert len(books) == loaded
            books[0].pages += 1
            query = calls_of(lambda: session.exec(Select(Shelf).Where(Shelf.id == 1)).all())
            flushed = calls_of(session.flush)
            session.rollback()
            return query, flushed

    for _ in range(3):  # the first ones find out what is kept then, and prepare the statements
        _ = calls(10)
    assert calls(3_000) == calls(10)
