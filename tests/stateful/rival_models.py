"""Tables that two sessions fight over, and their twin. Keys are labels that the program makes: both may make the same.

A vault has a counter as version, a deposit `xmin` (in the twin: a counter that a trigger moves with every UPDATE), a
ticket none. Tables without autovacuum, so that nobody but the test ever holds a lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psqlmodel import Column, PSQLModel, Relation, table


@table("vaults")
class Vault(PSQLModel):
    label: Column[str] = Column(primary_key=True)
    amount: Column[int] = Column(default=0)
    note: Column[str | None]
    version: Column[int] = Column(version=True)


@table("deposits", optimistic="xmin")
class Deposit(PSQLModel):
    label: Column[str] = Column(primary_key=True)
    amount: Column[int] = Column(default=0)
    note: Column[str | None]
    vault_label: Column[str | None] = Column(foreign_key="vaults.label", on_delete="CASCADE")
    vault: Relation[Vault | None] = Relation()


@table("tickets")
class Ticket(PSQLModel):
    label: Column[str] = Column(primary_key=True)
    amount: Column[int] = Column(default=0)
    note: Column[str | None] = Column(unique=True)


@dataclass(frozen=True)
class Rival:
    """What the reference knows of a class."""

    cls: type[PSQLModel]
    columns: tuple[str, ...]
    versioned: bool
    counts: bool = False  # the version is a column of ours, which an UPDATE by hand moves too

    @property
    def table(self) -> str:
        return str(self.cls.__source__.name)

    @property
    def seen(self) -> str:
        """The rows without their versions."""
        return f"SELECT label, {', '.join(self.columns)} FROM {self.table}"


RIVALS = {
    "Vault": Rival(Vault, ("amount", "note"), versioned=True, counts=True),
    "Deposit": Rival(Deposit, ("amount", "note", "vault_label"), versioned=True),
    "Ticket": Rival(Ticket, ("amount", "note"), versioned=False),
}
MODELS: list[Any] = [rival.cls for rival in RIVALS.values()]

LATER = "DEFERRABLE INITIALLY DEFERRED"
QUIET = "WITH (autovacuum_enabled = off)"
TWIN = f"""
ALTER TABLE vaults SET (autovacuum_enabled = off);
ALTER TABLE deposits SET (autovacuum_enabled = off);
ALTER TABLE tickets SET (autovacuum_enabled = off);
CREATE SCHEMA twin;
SET search_path = twin;
CREATE TABLE vaults (label text PRIMARY KEY, amount int NOT NULL, note text, version int NOT NULL DEFAULT 1) {QUIET};
CREATE TABLE deposits (label text PRIMARY KEY, amount int NOT NULL, note text,
    vault_label text REFERENCES vaults ON DELETE CASCADE {LATER}, version int NOT NULL DEFAULT 1) {QUIET};
CREATE TABLE tickets (label text PRIMARY KEY, amount int NOT NULL, note text UNIQUE {LATER},
    version int NOT NULL DEFAULT 1) {QUIET};
CREATE FUNCTION count_on() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN NEW.version := OLD.version + 1; RETURN NEW; END $$;
CREATE TRIGGER count_on BEFORE UPDATE ON vaults FOR EACH ROW EXECUTE FUNCTION count_on();
CREATE TRIGGER count_on BEFORE UPDATE ON deposits FOR EACH ROW EXECUTE FUNCTION count_on();
"""
