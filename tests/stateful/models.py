"""A small world with every kind of relation, and its twin: the same tables keyed by label, all constraints deferred.

An object is known by its `label`, which never changes: tests, twin and failure reports speak of labels, not of keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from psqlmodel import Column, PSQLModel, Relation, table


@table("teams")
class Team(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    label: Column[str]
    settings: Column[dict[str, Any] | None] = Column()
    marks: Column[list[int] | None] = Column()
    leader_id: Column[int | None] = Column(foreign_key="people.id", on_delete="SET NULL")
    leader: Relation[Person | None] = Relation(foreign_keys="leader_id", back="leads")  # a circle with Person.team
    members: Relation[list[Person]] = Relation(foreign_keys="team_id", back="team")


@table("people")
class Person(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    label: Column[str]
    email: Column[str | None] = Column(unique=True)
    rank: Column[int] = Column(server_default="7")
    team_id: Column[int | None] = Column(foreign_key="teams.id", on_delete="SET NULL")
    mentor_id: Column[int | None] = Column(foreign_key="people.id", on_delete="SET NULL")
    team: Relation[Team | None] = Relation(foreign_keys="team_id", back="members")
    leads: Relation[list[Team]] = Relation(foreign_keys="leader_id", back="leader")
    mentor: Relation[Person | None] = Relation(back="pupils")
    pupils: Relation[list[Person]] = Relation(back="mentor")
    passport: Relation[Passport | None] = Relation()
    tasks: Relation[list[Task]] = Relation()
    skills: Relation[list[Skill]] = Relation(secondary="auto")


@table("passports")
class Passport(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    label: Column[str]
    holder_id: Column[int] = Column(foreign_key="people.id", on_delete="CASCADE", unique=True)
    holder: Relation[Person] = Relation()


@table("folders")
class Folder(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    label: Column[str]
    parent_id: Column[int | None] = Column(foreign_key="folders.id", on_delete="CASCADE")
    parent: Relation[Folder | None] = Relation()
    children: Relation[list[Folder]] = Relation()
    tasks: Relation[list[Task]] = Relation()


@table("tasks")
class Task(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    label: Column[str]
    owner_id: Column[int] = Column(foreign_key="people.id", on_delete="CASCADE")
    folder_id: Column[int | None] = Column(foreign_key="folders.id")  # no action: a folder in use can't be deleted
    owner: Relation[Person] = Relation()
    folder: Relation[Folder | None] = Relation()


@table("skills")
class Skill(PSQLModel):
    label: Column[str] = Column(primary_key=True)  # a key that the program makes
    level: Column[int] = Column(default=1)
    people: Relation[list[Person]] = Relation(secondary="auto")


@dataclass(frozen=True)
class Kind:
    """What the reference knows of a class: its columns, its to-one links, and its lists by the link behind them.

    `lists` names, for each relation that the other side holds, the class and the link there.
    """

    cls: type[PSQLModel]
    columns: tuple[str, ...] = ()
    links: dict[str, str] = field(default_factory=dict)
    lists: dict[str, tuple[str, str]] = field(default_factory=dict)
    single: frozenset[str] = frozenset()

    @property
    def table(self) -> str:
        return str(self.cls.__source__.name)


KINDS = {
    "Team": Kind(Team, ("settings", "marks"), {"leader": "Person"}, {"members": ("Person", "team")}),
    "Person": Kind(
        Person,
        ("email", "rank"),
        {"team": "Team", "mentor": "Person"},
        {
            "leads": ("Team", "leader"),
            "pupils": ("Person", "mentor"),
            "passport": ("Passport", "holder"),
            "tasks": ("Task", "owner"),
        },
        frozenset({"passport"}),
    ),
    "Passport": Kind(Passport, (), {"holder": "Person"}),
    "Folder": Kind(Folder, (), {"parent": "Folder"}, {"children": ("Folder", "parent"), "tasks": ("Task", "folder")}),
    "Task": Kind(Task, (), {"owner": "Person", "folder": "Folder"}),
    "Skill": Kind(Skill, ("level",)),
}
MODELS = [kind.cls for kind in KINDS.values()]

LATER = "DEFERRABLE INITIALLY DEFERRED"
TWIN = f"""
CREATE SCHEMA twin;
SET search_path = twin;
CREATE TABLE teams (label text PRIMARY KEY, settings jsonb, marks int[], leader text);
CREATE TABLE people (label text PRIMARY KEY, email text UNIQUE {LATER}, rank int NOT NULL DEFAULT 7,
    team text REFERENCES teams ON DELETE SET NULL {LATER}, mentor text REFERENCES people ON DELETE SET NULL {LATER});
ALTER TABLE teams ADD FOREIGN KEY (leader) REFERENCES people ON DELETE SET NULL {LATER};
CREATE TABLE passports (label text PRIMARY KEY,
    holder text NOT NULL UNIQUE {LATER} REFERENCES people ON DELETE CASCADE {LATER});
CREATE TABLE folders (label text PRIMARY KEY, parent text REFERENCES folders ON DELETE CASCADE {LATER});
CREATE TABLE tasks (label text PRIMARY KEY, owner text NOT NULL REFERENCES people ON DELETE CASCADE {LATER},
    folder text REFERENCES folders {LATER});
CREATE TABLE skills (label text PRIMARY KEY, level int NOT NULL);
CREATE TABLE people_skills (person text REFERENCES people ON DELETE CASCADE {LATER},
    skill text REFERENCES skills ON DELETE CASCADE {LATER}, PRIMARY KEY (person, skill));
"""

# What the session wrote, in the twin's words.
SEEN = {
    "Team": "SELECT t.label, t.settings, t.marks, p.label FROM teams t LEFT JOIN people p ON p.id = t.leader_id",
    "Person": "SELECT p.label, p.email, p.rank, t.label, m.label FROM people p LEFT JOIN teams t ON t.id = p.team_id "
    "LEFT JOIN people m ON m.id = p.mentor_id",
    "Passport": "SELECT x.label, p.label FROM passports x JOIN people p ON p.id = x.holder_id",
    "Folder": "SELECT f.label, u.label FROM folders f LEFT JOIN folders u ON u.id = f.parent_id",
    "Task": "SELECT t.label, p.label, f.label FROM tasks t JOIN people p ON p.id = t.owner_id "
    "LEFT JOIN folders f ON f.id = t.folder_id",
    "Skill": "SELECT label, level FROM skills",
}
