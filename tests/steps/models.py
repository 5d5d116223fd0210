"""Models for steps without a database."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from psqlmodel import Column, ForeignKey, PSQLModel, Relation, table


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@table("authors")
class Author(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    books: Relation[list[Book]] = Relation()


@table("books")
class Book(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    author_id: Column[int | None] = Column(foreign_key="authors.id")
    editor_id: Column[int | None] = Column(foreign_key="editors.id")
    author: Relation[Author | None] = Relation()
    editor: Relation[Editor | None] = Relation()
    subjects: Relation[list[Subject]] = Relation(secondary="auto")
    chapters: Relation[list[Chapter]] = Relation(order_by="-number")


@table("editors")
class Editor(PSQLModel):
    id: Column[int] = Column(primary_key=True)


@table("subjects")
class Subject(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    books: Relation[list[Book]] = Relation(secondary="auto")


@table("chapters")
class Chapter(PSQLModel):
    book_id: Column[int] = Column(primary_key=True, foreign_key="books.id")
    number: Column[int] = Column(primary_key=True)
    title: Column[str]
    notes: Relation[list[Note]] = Relation()


@table("notes", constraints=[ForeignKey(["book_id", "number"], "chapters", ["book_id", "number"])])
class Note(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    book_id: Column[int | None]
    number: Column[int | None]
    chapter: Relation[Chapter | None] = Relation()


@table("loans")
class Loan(PSQLModel):
    """Two keys lead to one class."""

    id: Column[int] = Column(primary_key=True)
    giver_id: Column[int] = Column(foreign_key="authors.id")
    taker_id: Column[int] = Column(foreign_key="authors.id")
    giver: Relation[Author] = Relation(foreign_keys="giver_id")
    taker: Relation[Author] = Relation(foreign_keys="taker_id")


@table("events")
class Event(PSQLModel):
    """A key whose type is a guess that matters: the column may be of either kind of timestamp."""

    at: Column[datetime] = Column(primary_key=True)
    what: Column[str]


@table("things")
class Thing(PSQLModel):
    """Values of all kinds of loading: as they come, converted, kept raw."""

    id: Column[int] = Column(primary_key=True)
    name: Column[str | None]
    colour: Column[Colour | None]
    data: Column[dict[str, Any] | None]
    numbers: Column[list[int] | None]
    flag: Column[bool | None]


@table("pairs")
class Pair(PSQLModel):
    a: Column[int] = Column(primary_key=True)
    b: Column[Colour] = Column(primary_key=True)
    data: Column[dict[str, Any] | None]


@table("sights")
class Sight(PSQLModel):
    """A view: no primary key."""

    name: Column[str | None]
    count: Column[int | None]


@table("owners")
class Owner(PSQLModel):
    """Its key is a UUID; whoever refers to it says str."""

    id: Column[UUID] = Column(primary_key=True)
    keys: Relation[list[Key]] = Relation()


@table("keys")
class Key(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    owner_id: Column[str] = Column(foreign_key="owners.id")
    owner: Relation[Owner] = Relation()


@table("link_players")
class Player(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    teams: Relation[list[Team]] = Relation(secondary="link_stays")


@table("link_teams")
class Team(PSQLModel):
    id: Column[int] = Column(primary_key=True)


@table("link_stays")
class Stay(PSQLModel):
    """A player may have been in a team twice."""

    id: Column[int] = Column(primary_key=True)
    player_id: Column[int] = Column(foreign_key="link_players.id")
    team_id: Column[int] = Column(foreign_key="link_teams.id")
