"""Tables for flushes of many kinds of rows at once, and their twin, keyed by label, with deferred constraints.

Keys are made by the server (an identity, a UUID), by the parent (a slot's is its depot's and a number) or by the
program. Versions are counters, timestamps and `xmin`; in the twin a counter that the reference moves. Depots have a
column that the database computes, crates and parcels defaults of the server, alarms a trigger that refuses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psqlmodel import Check, Column, PSQLModel, Relation, table


@table("depots", constraints=[Check("size BETWEEN 0 AND 9")])
class Depot(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    label: Column[str]
    code: Column[str | None] = Column(unique=True)
    size: Column[int] = Column(server_default="1")
    doubled: Column[int] = Column(generated="size * 2")
    version: Column[int] = Column(version=True)


@table("crates", constraints=[Check("weight >= 0")])
class Crate(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    label: Column[str]
    weight: Column[int] = Column(server_default="3")
    note: Column[str | None]
    depot_id: Column[int | None] = Column(foreign_key="depots.id", on_delete="SET NULL")
    version: Column[datetime] = Column(version=True)
    depot: Relation[Depot | None] = Relation()


@table("parcels", optimistic="xmin")
class Parcel(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    label: Column[str]
    stamp: Column[int] = Column(server_default="5")
    note: Column[str | None]
    crate_id: Column[int] = Column(foreign_key="crates.id", on_delete="CASCADE")
    depot_id: Column[int | None] = Column(foreign_key="depots.id", on_delete="SET NULL")
    crate: Relation[Crate] = Relation()
    depot: Relation[Depot | None] = Relation()


@table("items")
class Item(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    label: Column[str]
    amount: Column[int | None]
    note: Column[str | None]
    crate_id: Column[int | None] = Column(foreign_key="crates.id", on_delete="CASCADE")
    crate: Relation[Crate | None] = Relation()
    tags: Relation[list[Tag]] = Relation(secondary="auto")


@table("tags")
class Tag(PSQLModel):
    id: Column[UUID] = Column(primary_key=True, server_default="gen_random_uuid()")
    label: Column[str]
    name: Column[str | None] = Column(unique=True)


@table("slots")
class Slot(PSQLModel):
    depot_id: Column[int] = Column(primary_key=True, foreign_key="depots.id", on_delete="CASCADE")
    number: Column[int] = Column(primary_key=True)
    label: Column[str]
    note: Column[str | None]
    depot: Relation[Depot] = Relation()


@table("alarms")
class Alarm(PSQLModel):
    label: Column[str] = Column(primary_key=True)
    note: Column[str | None]
    level: Column[int] = Column(default=2)


@dataclass(frozen=True)
class Kind:
    """What the reference knows of a class.

    `values` are the columns that a program may set, with values that are good; `made` those that only the server sets;
    `links` lead from relations to classes, `needed` are those that may not be None. `bad` is what a constraint or
    trigger refuses.
    """

    cls: type[PSQLModel]
    values: dict[str, tuple[Any, ...]]
    links: dict[str, str] = field(default_factory=dict)
    needed: frozenset[str] = frozenset()
    made: tuple[str, ...] = ()
    bad: tuple[str, Any] | None = None
    versioned: bool = False

    @property
    def table(self) -> str:
        return str(self.cls.__source__.name)

    @property
    def columns(self) -> list[str]:
        """The twin's columns, without label and version."""
        return [*self.values, *self.made, *self.links]


NOTES = (None, "x", "y")
KINDS = {
    "Depot": Kind(
        Depot,
        {"code": (None, "a", "b", "c"), "size": (1, 2, 3)},
        made=("doubled",),
        bad=("size", 10),
        versioned=True,
    ),
    "Crate": Kind(Crate, {"weight": (3, 4, 5), "note": NOTES}, {"depot": "Depot"}, bad=("weight", -1), versioned=True),
    "Parcel": Kind(
        Parcel,
        {"stamp": (5, 6), "note": NOTES},
        {"crate": "Crate", "depot": "Depot"},
        frozenset({"crate"}),
        versioned=True,
    ),
    "Item": Kind(Item, {"amount": (None, 1, 2), "note": NOTES}, {"crate": "Crate"}),
    "Tag": Kind(Tag, {"name": (None, "a", "b", "c")}),
    "Slot": Kind(Slot, {"note": NOTES}, {"depot": "Depot"}, frozenset({"depot"})),
    "Alarm": Kind(Alarm, {"note": NOTES, "level": (1, 2)}, bad=("note", "bad")),
}
MODELS: list[Any] = [kind.cls for kind in KINDS.values()]

LATER = "DEFERRABLE INITIALLY DEFERRED"
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF NEW.note = 'bad' THEN RAISE EXCEPTION 'refused'; END IF;
    RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {}.alarms FOR EACH ROW EXECUTE FUNCTION refuse()"""
TWIN = f"""
{REFUSE.format("public")};
CREATE SCHEMA twin;
SET search_path = twin;
CREATE TABLE depots (label text PRIMARY KEY, code text UNIQUE {LATER}, size int NOT NULL DEFAULT 1
    CHECK (size BETWEEN 0 AND 9), doubled int GENERATED ALWAYS AS (size * 2) STORED, version int NOT NULL DEFAULT 1);
CREATE TABLE crates (label text PRIMARY KEY, weight int NOT NULL DEFAULT 3 CHECK (weight >= 0), note text,
    depot text REFERENCES depots ON DELETE SET NULL {LATER}, version int NOT NULL DEFAULT 1);
CREATE TABLE parcels (label text PRIMARY KEY, stamp int NOT NULL DEFAULT 5, note text,
    crate text NOT NULL REFERENCES crates ON DELETE CASCADE {LATER},
    depot text REFERENCES depots ON DELETE SET NULL {LATER}, version int NOT NULL DEFAULT 1);
CREATE TABLE items (label text PRIMARY KEY, amount int, note text,
    crate text REFERENCES crates ON DELETE CASCADE {LATER}, version int NOT NULL DEFAULT 1);
CREATE TABLE tags (label text PRIMARY KEY, name text UNIQUE {LATER}, version int NOT NULL DEFAULT 1);
CREATE TABLE slots (label text PRIMARY KEY, note text, depot text NOT NULL REFERENCES depots ON DELETE CASCADE {LATER},
    version int NOT NULL DEFAULT 1);
CREATE TABLE alarms (label text PRIMARY KEY, note text, level int NOT NULL DEFAULT 2, version int NOT NULL DEFAULT 1);
CREATE TABLE items_tags (item text REFERENCES items ON DELETE CASCADE {LATER},
    tag text REFERENCES tags ON DELETE CASCADE {LATER}, PRIMARY KEY (item, tag));
{REFUSE.format("twin")};
"""

# What the session wrote, in the twin's words.
SEEN = {
    "Depot": "SELECT label, code, size, doubled FROM public.depots",
    "Crate": "SELECT c.label, weight, note, d.label "
    "FROM public.crates c LEFT JOIN public.depots d ON d.id = c.depot_id",
    "Parcel": "SELECT p.label, stamp, p.note, c.label, d.label FROM public.parcels p "
    "JOIN public.crates c ON c.id = p.crate_id LEFT JOIN public.depots d ON d.id = p.depot_id",
    "Item": "SELECT i.label, amount, i.note, c.label "
    "FROM public.items i LEFT JOIN public.crates c ON c.id = i.crate_id",
    "Tag": "SELECT label, name FROM public.tags",
    "Slot": "SELECT s.label, note, d.label FROM public.slots s JOIN public.depots d ON d.id = s.depot_id",
    "Alarm": "SELECT label, note, level FROM public.alarms",
}
SEEN_PAIRS = (
    "SELECT i.label, t.label FROM public.items_tags x JOIN public.items i ON i.id = x.item_id "
    "JOIN public.tags t ON t.id = x.tag_id"
)
