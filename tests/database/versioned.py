"""Models with versions: a counter, a timestamp, PostgreSQL's own `xmin`; and their tables beside those of the shop."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psqlmodel import Column, Engine, PSQLModel, Relation, Unique, table


@table("sheets")
class Sheet(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    title: Column[str]
    body: Column[str | None]
    code: Column[str | None] = Column(unique=True)
    data: Column[dict[str, Any] | None]
    version: Column[int] = Column(version=True)


@table("stamped")
class Stamped(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    title: Column[str]
    changed: Column[datetime] = Column(version=True)


@table("folders", optimistic="xmin")
class Folder(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    files: Relation[list[File]] = Relation()


@table("files", optimistic="xmin")
class File(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    title: Column[str]
    code: Column[str | None] = Column(unique=True)
    folder_id: Column[int | None] = Column(foreign_key="folders.id", on_delete="SET NULL")
    folder: Relation[Folder | None] = Relation()


@table("lines", constraints=[Unique("folder_id", "number")])
class Line(PSQLModel):
    """A part of something, with a key of its own and one within the whole."""

    id: Column[int] = Column(primary_key=True)
    folder_id: Column[int] = Column(foreign_key="folders.id", on_delete="CASCADE")
    number: Column[int]
    text: Column[str | None]
    amount: Column[int] = Column(default=0)
    data: Column[dict[str, Any] | None]
    version: Column[int] = Column(version=True)


@table("teams", optimistic="xmin")
class Team(PSQLModel):
    """A team and its members refer to each other."""

    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    lead_id: Column[int | None] = Column(foreign_key="members.id")
    lead: Relation[Member | None] = Relation(foreign_keys="lead_id")


@table("members")
class Member(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    team_id: Column[int] = Column(foreign_key="teams.id")
    version: Column[int] = Column(version=True)
    team: Relation[Team] = Relation(foreign_keys="team_id")


VERSIONED = (Sheet, Stamped, Folder, File, Line, Team, Member)


def make_tables(engine: Engine) -> None:
    """Make the tables, where they are not there yet; keys begin at 1000, as those of the shop."""
    engine.create_all(VERSIONED)
    for model in VERSIONED:
        name = model.__mapper__.table
        engine.execute(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), 1000)")
