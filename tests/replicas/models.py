"""Notes that are written on the primary and read on its replicas."""

from __future__ import annotations

from psqlmodel import Column, PSQLModel, Relation, table


@table("replica_books")
class Book(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    notes: Relation[list[Note]] = Relation()


@table("replica_notes")
class Note(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    text: Column[str]
    book_id: Column[int | None] = Column(foreign_key="replica_books.id", on_delete="CASCADE")
    book: Relation[Book | None] = Relation()


@table("replica_pages")
class Page(PSQLModel):
    id: Column[int] = Column(primary_key=True)


MODELS = [Book, Note]
