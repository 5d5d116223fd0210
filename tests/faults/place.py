"""A database behind a proxy, with a small schema in it: what is in it is looked at past the proxy."""

from __future__ import annotations

from typing import Any

from psqlmodel import Column, PSQLModel, Relation, create_engine, table

from .proxy import Proxy
from .server import Observer


@table("fault_authors")
class Author(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    notes: Column[dict[str, Any] | None] = Column()
    books: Relation[list[Book]] = Relation()
    genres: Relation[list[Genre]] = Relation(secondary="auto")


@table("fault_books")
class Book(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    title: Column[str]
    author_id: Column[int] = Column(foreign_key="fault_authors.id", on_delete="CASCADE")
    author: Relation[Author] = Relation()


@table("fault_genres")
class Genre(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]


BEGINNING = """
    DELETE FROM fault_authors_fault_genres; DELETE FROM fault_books; DELETE FROM fault_authors;
    DELETE FROM fault_genres;
    INSERT INTO fault_authors (id, name, notes) VALUES (-1, 'Ann', '{"a": [1]}'), (-2, 'Bob', NULL), (-3, 'Cy', NULL);
    INSERT INTO fault_books (id, title, author_id) VALUES (-1, 'A', -1), (-2, 'B', -2), (-3, 'C', -3);
    INSERT INTO fault_genres (id, name) VALUES (-1, 'drama'), (-2, 'comedy')
"""
LOOK = """
    SELECT (SELECT string_agg(name || coalesce(notes::text, ''), ',' ORDER BY name) FROM fault_authors),
           (SELECT string_agg(title || ' by ' || name, ',' ORDER BY title)
            FROM fault_books b JOIN fault_authors a ON a.id = b.author_id),
           (SELECT string_agg(a.name || ':' || g.name, ',' ORDER BY a.name) FROM fault_authors_fault_genres
            JOIN fault_authors a ON a.id = fault_author_id JOIN fault_genres g ON g.id = fault_genre_id)
"""


class Place:
    """The database behind the proxy, and a way to it beside the proxy."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        with create_engine(dsn) as engine:
            engine.create_all([Author, Book, Genre])
        self.observer = Observer(dsn)
        self.proxy = Proxy(dsn)

    @property
    def content(self) -> tuple[Any, ...]:
        return self.observer.query(LOOK)[0]

    def restart(self) -> None:
        self.observer.query(BEGINNING)

    def nothing_is_left_open(self) -> None:
        self.observer.wait_for_others(0, "state LIKE 'idle in transaction%'")

    def close(self) -> None:
        self.proxy.close()
        self.observer.close()
