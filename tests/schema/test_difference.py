"""Models held against a database: each way to differ is found, with a remedy, and nothing stays behind."""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal

import psycopg2
import pytest

from psqlmodel import (
    Check,
    Column,
    Exclude,
    ForeignKey,
    Index,
    PSQLModel,
    Range,
    Relation,
    Unique,
    create_engine,
    table,
)
from psqlmodel.errors import InsufficientPrivilege
from psqlmodel.schema import create_all, inspect_tables
from psqlmodel.schema.check import check_models, check_statements
from psqlmodel.schema.difference import Difference
from psqlmodel.types import enum as enum_type
from psqlmodel.types import varchar

from .conftest import SyncDrive


class Grade(enum.Enum):
    A = "a"
    B = "b"


@table("diff_owners", constraints=[Unique("name", "grade")], comment="who owns")
class Owner(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str] = Column(type=varchar(20))
    grade: Column[Grade] = Column(type=enum_type(Grade), server_default="'a'::grade")
    born: Column[datetime] = Column(server_default="now()")
    email: Column[str | None] = Column(unique=True)
    score: Column[Decimal | None] = Column(check="score > 0")
    things: Relation[list["Thing"]] = Relation()
    labels: Relation[list["Label"]] = Relation(secondary="auto")


@table("diff_labels", schema="diff_app")
class Label(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    word: Column[str] = Column(index=True)


@table(
    "diff_things",
    schema="diff_app",
    constraints=[Check("weight > 0", name="heavy"), Exclude(("during", "&&"))],
    indexes=[Index("lower(title)", where="weight > 3")],
)
class Thing(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    owner_id: Column[int] = Column(foreign_key=Owner.id, on_delete="CASCADE")
    title: Column[str]
    weight: Column[int] = Column(default=1)
    twice: Column[int] = Column(generated="weight * 2")
    during: Column[Range[int] | None] = Column()
    owner: Relation[Owner] = Relation()


MAPPERS = [model.__mapper__ for model in (Owner, Label, Thing)]
# Each: what is done to the database; the differences that are found, as (where, a part of what, harmless).
OWNERS, THINGS = "ALTER TABLE diff_owners", "ALTER TABLE diff_app.diff_things"
CASES = {
    "a table": (["DROP TABLE diff_app.diff_things"], [("diff_things", "the table is missing", False)]),
    "a column": ([f"{OWNERS} DROP COLUMN born"], [("diff_owners", "column born is missing", False)]),
    "a type": (
        [f"{OWNERS} ALTER name TYPE varchar(30)"],
        [("diff_owners", "name is character varying(30), the model says character varying(20)", False)],
    ),
    "a type that the model only guesses": (
        [f"{OWNERS} ALTER email TYPE varchar(9)"],
        [("diff_owners", "email is character varying(9)", True)],
    ),
    "a type with other values": (
        [f"{THINGS} DROP COLUMN title, ADD COLUMN title int NOT NULL"],  # its index goes with it
        [
            ("diff_things", "title is integer, the model says text", False),
            ("diff_things", "index (lower(title))", True),
        ],
    ),
    "NULL": ([f"{OWNERS} ALTER name DROP NOT NULL"], [("diff_owners", "name may be NULL", False)]),
    "NOT NULL": ([f"{OWNERS} ALTER email SET NOT NULL"], [("diff_owners", "email is NOT NULL", False)]),
    "a default": (
        [f"{OWNERS} ALTER born SET DEFAULT '2020-01-01'"],
        [("diff_owners", "born has the default '2020-01-01", False)],
    ),
    "no default": ([f"{OWNERS} ALTER born DROP DEFAULT"], [("diff_owners", "born has the default NULL", False)]),
    "no identity": ([f"{OWNERS} ALTER id DROP IDENTITY"], [("diff_owners", "id gets no value by itself", False)]),
    "serial is as good": (
        [f"{OWNERS} ALTER id DROP IDENTITY", "CREATE SEQUENCE s", f"{OWNERS} ALTER id SET DEFAULT nextval('s')"],
        [],
    ),
    "generated otherwise": (
        [f"{THINGS} DROP COLUMN twice, ADD COLUMN twice int NOT NULL GENERATED ALWAYS AS (weight * 3) STORED"],
        [("diff_things", "twice is generated otherwise: (weight * 3)", False)],
    ),
    "a column more": ([f"{OWNERS} ADD COLUMN x int"], [("diff_owners", "x is only in the database", True)]),
    "a column more that must be given": (
        [f"{OWNERS} ADD COLUMN x int NOT NULL"],
        [("diff_owners", "x is only in the database, NOT NULL and without a default: no INSERT succeeds", False)],
    ),
    "no primary key": (
        [f"{OWNERS} DROP CONSTRAINT pk_diff_owners CASCADE"],
        [
            ("diff_owners", "there is no primary key", False),
            ("diff_things", "foreign key (owner_id) to diff_owners(id) is missing", False),
            ("diff_labels_diff_owners", "foreign key (diff_owner_id) to diff_owners(id) is missing", False),
        ],
    ),
    "another primary key": (
        [f"{THINGS} DROP CONSTRAINT pk_diff_things, ADD PRIMARY KEY (id, owner_id)"],
        [("diff_things", "the primary key is (id, owner_id), not (id)", False)],
    ),
    "a unique constraint": (
        [f"{OWNERS} DROP CONSTRAINT uq_diff_owners_name_grade"],
        [("diff_owners", "unique constraint (name, grade) is missing", False)],
    ),
    "a unique index is as good": (
        [f"{OWNERS} DROP CONSTRAINT uq_diff_owners_email", "CREATE UNIQUE INDEX e ON diff_owners (email)"],
        [("diff_owners", "index UNIQUE (\"email\") is only in the database", True)],
    ),
    "another name is the same": ([f"{OWNERS} RENAME CONSTRAINT uq_diff_owners_email TO other"], []),
    "a foreign key": (
        [f"{THINGS} DROP CONSTRAINT fk_diff_things_owner_id_diff_owners"],
        [("diff_things", "foreign key (owner_id) to diff_owners(id) is missing", False)],
    ),
    "a CHECK": ([f"{THINGS} DROP CONSTRAINT heavy"], [("diff_things", "CHECK (weight > 0) is missing", False)]),
    "a CHECK more": (
        [f"{THINGS} ADD CHECK (weight < 9)"],
        [("diff_things", "CHECK (weight < 9) is only in the database", True)],
    ),
    "EXCLUDE": (
        [f"{THINGS} DROP CONSTRAINT ex_diff_things_during"],
        [("diff_things", "EXCLUDE USING gist (during WITH &&) is missing", False)],
    ),
    "an index": (["DROP INDEX diff_app.ix_diff_labels_word"], [("diff_labels", 'index ("word") is missing', True)]),
    "a comment": (["COMMENT ON TABLE diff_owners IS 'x'"], [("diff_owners", "the comment is another", True)]),
    "a label more": (["ALTER TYPE grade ADD VALUE 'c'"], [("grade", "the label 'c' is only in the database", False)]),
}  # fmt: skip


@pytest.fixture
def made(sync_drive: SyncDrive) -> SyncDrive:
    sync_drive(create_all(MAPPERS))
    return sync_drive


def found(drive: SyncDrive) -> list[Difference]:
    before = drive.sql("SELECT oid, relname FROM pg_class ORDER BY oid")
    differences: list[Difference] = drive(check_models(MAPPERS))
    assert drive.sql("SELECT oid, relname FROM pg_class ORDER BY oid") == before
    return differences


def test_what_create_all_made_is_the_same(drive: SyncDrive) -> None:
    drive(create_all(MAPPERS))
    assert found(drive) == []


@pytest.mark.parametrize("case", CASES)
def test_differences(made: SyncDrive, case: str) -> None:
    statements, expected = CASES[case]
    for statement in statements:
        made.sql(statement)
    differences = found(made)
    shown = [(each.where, each.what, each.harmless) for each in differences]
    assert len(shown) == len(expected), shown
    for where, what, harmless in expected:
        assert any(where == w and what in text and harmless == h for w, text, h in shown), shown


@pytest.mark.parametrize(
    "case", ["a column", "a type", "NULL", "NOT NULL", "a default", "no identity", "no primary key", "a foreign key",
             "a unique constraint", "a CHECK", "EXCLUDE", "an index", "a comment", "another primary key"],
)  # fmt: skip
def test_the_remedy_mends_it(made: SyncDrive, case: str) -> None:
    for statement in CASES[case][0]:
        made.sql(statement)
    for difference in found(made):
        made.sql(difference.remedy.split("; or ")[0])
    assert found(made) == []


def test_a_label_that_is_missing(sync_drive: SyncDrive) -> None:
    sync_drive.sql("CREATE TYPE grade AS ENUM ('b')")
    sync_drive(create_all([Label.__mapper__]))
    differences = sync_drive(check_models(MAPPERS))
    assert differences[0] == Difference("grade", "the label 'a' is missing", "ALTER TYPE \"grade\" ADD VALUE 'a'")


def test_in_an_empty_database(sync_drive: SyncDrive) -> None:
    whats = {(each.where, each.what) for each in sync_drive(check_models(MAPPERS))}
    assert ("grade", "the type is missing") in whats
    assert ("diff_owners", "the table is missing") in whats
    assert sync_drive.sql("SELECT nspname FROM pg_namespace WHERE nspname ~ '^psqlmodel|^diff'") == []


def test_a_role_that_may_not_create(made: SyncDrive, fresh_database: str) -> None:
    made.sql("CREATE ROLE looker LOGIN")
    try:
        dsn = fresh_database.replace("postgres@", "looker@")
        with create_engine(dsn) as engine, pytest.raises(InsufficientPrivilege):
            engine.run_steps(check_models(MAPPERS))
        with create_engine(dsn) as engine:  # what was begun is over
            assert engine.execute("SELECT 1").scalar() == 1
    finally:
        made.sql("DROP ROLE looker")


def test_statements(drive: SyncDrive) -> None:
    texts = {"good": "SELECT $1::int + 1", "bad": "SELECT x FROM nowhere", "worse": "SELEC"}
    refused = drive(check_statements(texts))
    assert {name: type(error).__name__ for name, error in refused.items()} == {
        "bad": "UndefinedTable",
        "worse": "ProgrammingError",
    }
    assert drive.sql("SELECT name FROM pg_prepared_statements WHERE name ~ 'check'") == []


def test_tables_are_neither_locked_nor_touched(made: SyncDrive, fresh_database: str) -> None:
    """Somebody else writes to every table all the while, and lets nobody else write."""
    other = psycopg2.connect(fresh_database)
    other.cursor().execute("LOCK TABLE diff_owners, diff_app.diff_labels, diff_app.diff_things IN EXCLUSIVE MODE")
    made.sql("SET lock_timeout = '1s'")
    try:
        assert found(made) == []
    finally:
        other.close()
    assert {t.name for t in made(inspect_tables(schema="diff_app"))} == {"diff_labels", "diff_things"}


def test_foreign_keys_to_tables_without_a_model(sync_drive: SyncDrive) -> None:
    @table("diff_loners", constraints=[ForeignKey(["far_id"], "diff_far", ["id"])])
    class Loner(PSQLModel):
        id: Column[int] = Column(primary_key=True)
        far_id: Column[int]

    sync_drive.sql("CREATE TABLE diff_far (id int PRIMARY KEY)")
    sync_drive(create_all([Loner.__mapper__]))
    assert sync_drive(check_models([Loner.__mapper__])) == []
