"""Tables made on a real server: again, at once, in cycles, with every type, and dropped."""

from __future__ import annotations

import threading
from enum import Enum
from typing import Any

import pytest

from psqlmodel import errors, types
from psqlmodel.model import Check, Column, Index, PSQLModel, Relation, Unique, table
from psqlmodel.schema import create_all, drop_all, inspect_enums, inspect_tables

from .conftest import SyncDrive


class Mood(Enum):
    HAPPY = "happy"
    SAD = "sad"


@table("teams", comment="who plays")
class Team(PSQLModel):
    id: types.bigserial = Column(primary_key=True)
    captain_id: Column[int | None] = Column(foreign_key="players.id", on_delete="SET NULL")
    tags: Relation[list[Tag]] = Relation(secondary="auto")


@table(
    "players",
    constraints=[Unique("team_id", "number"), Check("number > 0")],
    indexes=[Index("lower(name)"), Index("team_id", where="number < 12", unique=True)],
)
class Player(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    team_id: Column[int] = Column(foreign_key="teams.id", on_delete="CASCADE")
    name: Column[str] = Column(max_len=40, index=True, comment="as on the shirt")
    number: Column[int] = Column(server_default="1")
    mood: Column[Mood] = Column(type=types.enum(Mood, name="mood", native=True), server_default="'happy'")


@table("Order", schema="Mixed Schema")
class Select(PSQLModel):
    """A keyword as the table, capitals everywhere."""

    key: Column[int] = Column(primary_key=True, name="Primary Key")
    user: Column[str] = Column(unique=True)
    parent: Column[int | None] = Column(name="tABLE", foreign_key="Mixed Schema.Order.Primary Key", index=True)


@table("tags")
class Tag(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]


MODELS = [Team, Player, Select, Tag]
MAPPERS = [model.__mapper__ for model in MODELS]


def relations(drive: SyncDrive) -> list[str]:
    return drive.sql(
        "SELECT c.oid::int8, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE n.nspname IN ('public', 'Mixed Schema') ORDER BY 1"
    )


def test_create_all_twice_and_drop_all_twice(drive: SyncDrive):
    drive(create_all(MAPPERS))
    first = relations(drive)
    drive(create_all(MAPPERS))
    assert relations(drive) == first
    names = {name for _, name in first}
    assert {
        "teams",
        "players",
        "Order",
        "tags",
        "tags_teams",
        "ix_players_name",
        "uq_players_team_id",
    } <= names
    assert drive(inspect_enums())[0].labels == ("happy", "sad")
    drive(drop_all(MAPPERS))
    assert relations(drive) == []
    assert drive(inspect_enums()) == []
    drive(drop_all(MAPPERS))


def test_what_was_made_works(sync_drive: SyncDrive):
    sync_drive(create_all(MAPPERS))
    sql = sync_drive.sql
    assert sql("INSERT INTO teams DEFAULT VALUES RETURNING id") == [(1,)]
    assert sql("INSERT INTO players (team_id, name) VALUES (1, 'Ada') RETURNING id, number, mood::text") == [
        (1, 1, "happy")
    ]
    sql("UPDATE teams SET captain_id = 1")
    with pytest.raises(errors.UniqueViolation) as unique:
        sql("INSERT INTO players (team_id, name) VALUES (1, 'Ida')")
    assert unique.value.constraint == "uq_players_team_id_number"
    with pytest.raises(errors.CheckViolation):
        sql("UPDATE players SET number = 0")
    with pytest.raises(errors.ForeignKeyViolation) as foreign:
        sql("INSERT INTO players (team_id, name, number) VALUES (7, 'Eve', 2)")
    assert foreign.value.constraint == "fk_players_team_id_teams"
    sql("DELETE FROM players")
    assert sql("SELECT captain_id FROM teams") == [(None,)]


def test_at_once_from_several_connections(fresh_database: str):
    """Without the lock most of these fail on a unique index of pg_catalog."""
    drives = [SyncDrive(fresh_database) for _ in range(6)]
    barrier = threading.Barrier(len(drives))
    failures: list[BaseException] = []

    def make(drive: SyncDrive) -> None:
        barrier.wait()
        try:
            drive(create_all(MAPPERS))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make, args=(drive,)) for drive in drives]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len([name for _, name in relations(drives[0]) if name == "players"]) == 1
    for drive in drives:
        drive.close()


def test_an_error_undoes_everything(drive: SyncDrive):
    @table("broken", indexes=[Index("no_such_function(id)")])
    class Broken(PSQLModel):
        id: Column[int] = Column(primary_key=True)

    with pytest.raises(errors.ProgrammingError, match="no_such_function"):
        drive(create_all([Tag.__mapper__, Broken.__mapper__]))
    assert relations(drive) == []
    assert drive.sent[-2] == "ROLLBACK"
    drive(create_all([Tag.__mapper__]))


def test_a_contradiction_sends_nothing(sync_drive: SyncDrive):
    @table("twice", indexes=[Index("id", method="brin"), Index("id", method="hash")])
    class Twice(PSQLModel):
        id: Column[int] = Column(primary_key=True)

    with pytest.raises(errors.MappingError):
        sync_drive(create_all([Twice.__mapper__]))
    assert sync_drive.sent == []


def test_drop_all_names_what_still_refers_to_it(sync_drive: SyncDrive):
    sync_drive(create_all(MAPPERS))
    before = relations(sync_drive)
    sync_drive.sql("CREATE TABLE other (team_id bigint REFERENCES teams)")
    with pytest.raises(errors.DatabaseError, match=r"cannot drop.*on table other depends on table teams"):
        sync_drive(drop_all(MAPPERS))
    assert set(before) < set(relations(sync_drive))


@pytest.mark.parametrize("schema", ["", "Mixed Schema."])
def test_create_all_names_the_key_that_leads_nowhere(sync_drive: SyncDrive, schema: str):
    @table("lost_ones")
    class Lost(PSQLModel):
        id: Column[int] = Column(primary_key=True)
        home_id: Column[int] = Column(foreign_key=f"{schema}no_homes.id")

    sync_drive.sql('CREATE SCHEMA "Mixed Schema"')
    said = r"lost_ones \(home_id\) refers to the table no_homes, which is neither in the database nor"
    with pytest.raises(errors.UndefinedTable, match=said):
        sync_drive(create_all([Lost.__mapper__]))


def test_an_enum_in_use_elsewhere_stays(sync_drive: SyncDrive):
    sync_drive(create_all(MAPPERS))
    sync_drive.sql("CREATE TABLE other (moods mood[])")
    sync_drive(drop_all(MAPPERS))
    assert [enum.name for enum in sync_drive(inspect_enums())] == ["mood"]
    sync_drive(create_all(MAPPERS))


def test_nothing_is_sent_for_no_models(sync_drive: SyncDrive):
    sync_drive(create_all([]))
    sync_drive(drop_all([]))
    assert sync_drive.sent == []


# Every name of the types module as a column, and as an array; what PostgreSQL calls it is its own affair.
NO_ARRAYS = {"smallserial", "serial", "bigserial"}
SPECIAL: dict[str, Any] = {
    "numeric": types.numeric(12, 2),
    "varchar": types.varchar(40),
    "char": types.char(3),
    "bit": types.bit(8),
    "varbit": types.varbit(8),
    "vector": types.vector(3),
}


def all_types() -> dict[str, types.PgType[Any]]:
    found = {name: SPECIAL.get(name, getattr(types, name)) for name in types.__all__}
    return {name: value for name, value in found.items() if isinstance(value, types.PgType)}


def test_every_type_is_a_column(sync_drive: SyncDrive):
    there = {name for (name,) in sync_drive.sql("SELECT name::text FROM pg_available_extensions")}
    columns = {name: t for name, t in all_types().items() if t.extension in {"", *there}}
    assert len(columns) > 45
    namespace: dict[str, Any] = {"__annotations__": {}, "__module__": __name__, "__qualname__": "AllTypes"}
    for name, type_ in columns.items():
        namespace[f"c_{name}"] = Column(type=type_, nullable=name not in NO_ARRAYS)
        namespace["__annotations__"][f"c_{name}"] = Any
        if name not in NO_ARRAYS:
            namespace[f"a_{name}"] = Column(type=type_.array(), nullable=True)
            namespace["__annotations__"][f"a_{name}"] = Any
    namespace["id"] = Column(primary_key=True, type=types.integer)
    namespace["__annotations__"]["id"] = int
    model = table("all_types")(type(PSQLModel)("AllTypes", (PSQLModel,), namespace))
    sync_drive(create_all([model.__mapper__]))
    (made,) = sync_drive(inspect_tables(["all_types"]))
    assert len(made.columns) == 2 * len(columns) - len(NO_ARRAYS) + 1
    for name in columns:
        info = made.column(f"c_{name}").type_info
        assert info is not None
        assert info.kind in "brm"
        if name not in NO_ARRAYS:
            element = made.column(f"a_{name}").type_info.element
            assert element == info
