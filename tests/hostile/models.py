"""The tables that hostile texts are written to: all types that hold text, keys of text, and a relation."""

from __future__ import annotations

from enum import Enum
from typing import Any

from psqlmodel import Column, PSQLModel, Relation, table, types, varchar


class Mood(Enum):
    """Labels that are hostile themselves."""

    QUOTE = "it's"
    DOUBLE = 'a"b'
    BACKSLASH = "\\'; DROP TABLE canary; --"
    DOLLAR = "$do$ $$ $1"
    PERCENT = "%s %(x)s %%"


@table("hostile_things", comment="it's $do$ \\ %s; DROP TABLE canary; --")
class Thing(PSQLModel):
    id: int = Column(primary_key=True)
    body: Column[str | None] = Column(comment="'; DROP TABLE canary; --")
    short: Column[str | None] = Column(type=varchar(30))
    folded: Column[str | None] = Column(type=types.citext)
    tags: Column[list[str | None] | None] = Column()
    grid: Column[list[list[str]] | None] = Column(type=types.text.array())
    data: Column[dict[str, Any] | None] = Column()
    document: Column[Any | None] = Column(type=types.json)
    pairs: Column[dict[str, str | None] | None] = Column(type=types.hstore)
    mood: Column[Mood | None] = Column(type=types.enum(Mood, name='hostile "mood"\'s'))
    words: Column[str | None] = Column(type=types.tsvector)
    raw: Column[bytes | None] = Column()
    notes: Relation[list["Note"]] = Relation()


@table("hostile_notes")
class Note(PSQLModel):
    """A key that is text, and a unique text."""

    key: str = Column(primary_key=True)
    title: Column[str | None] = Column(unique=True)
    thing_id: int | None = Column(foreign_key="hostile_things.id", on_delete="CASCADE")
    thing: Relation["Thing | None"] = Relation()


MADE = [Thing, Note]
