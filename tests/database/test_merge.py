"""Merge along relations: a graph from elsewhere is brought into the session whole, and nothing of others is lost."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from psqlmodel import (
    Column,
    Engine,
    ObjectStateError,
    OrphanError,
    PSQLModel,
    Relation,
    Select,
    StaleObjectError,
    table,
)

from .both import Both, Statements
from .rows import made, plain, rows


@table("ships")
class Ship(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    voyages: Relation[list[Voyage]] = Relation()


@table("voyages")
class Voyage(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    ship_id: Column[int | None] = Column(foreign_key="ships.id")
    ship: Relation[Ship | None] = Relation()
    legs: Relation[list[Leg]] = Relation(orphans="delete")
    mail: Relation[list[Letter]] = Relation()
    bags: Relation[list[Bag]] = Relation()
    ports: Relation[list[Port]] = Relation(secondary="auto")
    diary: Relation[Diary | None] = Relation()


@table("legs")
class Leg(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    place: Column[str]
    days: Column[int | None]
    voyage_id: Column[int] = Column(foreign_key="voyages.id")
    voyage: Relation[Voyage] = Relation()


@table("letters")
class Letter(PSQLModel):
    """It may be without a voyage, and has no relation to it."""

    id: Column[int] = Column(primary_key=True)
    text: Column[str]
    voyage_id: Column[int | None] = Column(foreign_key="voyages.id")


@table("bags")
class Bag(PSQLModel):
    """It can't be without its voyage."""

    id: Column[int] = Column(primary_key=True)
    voyage_id: Column[int] = Column(foreign_key="voyages.id")


@table("ports")
class Port(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]


@table("diaries")
class Diary(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    text: Column[str]
    voyage_id: Column[int | None] = Column(foreign_key="voyages.id", unique=True)
    voyage: Relation[Voyage | None] = Relation()


MODELS = (Ship, Voyage, Leg, Letter, Bag, Port, Diary)
ALL = (Voyage.ship, Voyage.legs, Voyage.mail, Voyage.ports, Voyage.diary)


def make_tables(engine: Engine) -> None:
    """Make the tables, where they are not there yet; keys begin at 1000, as those of the shop."""
    engine.create_all(MODELS)
    for model in MODELS:
        name = model.__mapper__.table
        engine.execute(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), 1000)")


@pytest.fixture(autouse=True, scope="module")
def tables(plain_sql: Engine) -> None:
    make_tables(plain_sql)


@pytest.fixture(autouse=True)
def _empty(both: Both, tables: None) -> None:
    both.sql(f"TRUNCATE {', '.join(model.__mapper__.table for model in MODELS)} CASCADE")


async def stored(both: Both) -> None:
    """One voyage with everything."""
    voyage = Voyage(id=1, name="north", ship=Ship(id=1, name="Argo"), diary=Diary(id=1, text="dear"))
    voyage.legs = [Leg(id=1, place="a"), Leg(id=2, place="b"), Leg(id=3, place="c")]
    voyage.mail = [Letter(id=1, text="x"), Letter(id=2, text="y")]
    voyage.ports = [Port(id=1, name="p"), Port(id=2, name="q")]
    await made(both, voyage, Port(id=3, name="r"))


async def detached(both: Both, *relations: Any) -> Voyage:
    """The voyage as a session left it that is gone."""
    async with both.session() as session:
        found = await session.exec(Select(Voyage).Include(*(relations or ALL))).one()
        for relation in relations or ALL:
            getattr(found, relation.key)
    return found


def as_it_is(voyage: Voyage) -> Voyage:
    return voyage


def pickled(voyage: Voyage) -> Voyage:
    again: Voyage = pickle.loads(pickle.dumps(voyage))
    return again


both_ways = pytest.mark.parametrize("sent", [as_it_is, pickled])
Sent = Callable[[Voyage], Voyage]


# --- detached ---------------------------------------------------------------------------------------------------------


@both_ways
async def test_a_detached_graph_comes_whole_with_one_query_for_each_class(
    both: Both, statements: Statements, sent: Sent
) -> None:
    await stored(both)
    given = await detached(both)
    given.name = "south"
    given.legs[0].days = 5
    given.ship.name = "Argo II"
    given.ports[1].name = "Q"
    given = sent(given)
    async with both.session() as session:
        statements.clear()
        merged = await session.merge(given)
        assert len(statements.sent) == 6  # voyages, and five relations
        assert [verb.split()[0] for verb in statements.sent] == ["SELECT"] * 6
        assert merged is not given
        assert merged in session
        parts = [merged.ship, merged.diary, *merged.legs, *merged.mail, *merged.ports]
        assert len(parts) == 9
        assert all(part in session for part in parts)
        assert len(statements.sent) == 6
        assert all(leg.voyage is merged for leg in merged.legs)
        assert {type(obj) for obj in plain(session).dirty} == {Voyage, Leg, Ship, Port}
        await session.commit()
        assert 1 <= len(statements.of("flush")) <= 4  # at most one for each class
    assert given not in session
    assert rows(both, "SELECT v.name, s.name FROM voyages v JOIN ships s ON s.id = ship_id") == [("south", "Argo II")]
    assert rows(both, "SELECT place, days FROM legs ORDER BY id") == [("a", 5), ("b", None), ("c", None)]
    assert both.column("SELECT name FROM ports ORDER BY id") == ["p", "Q", "r"]


async def test_many_graphs_cost_no_more_queries(both: Both, statements: Statements) -> None:
    ships = [Ship(id=n, name=f"s{n}") for n in range(3)]
    await made(both, *[Voyage(id=n, name="v", ship=ships[n % 3], legs=[Leg(place="x")] * 1) for n in range(12)])
    async with both.session() as session:
        given = await session.exec(Select(Voyage).Include(Voyage.ship, Voyage.legs)).all()
        assert all(voyage.legs[0].voyage is voyage for voyage in given)
    for voyage in given:
        voyage.legs[0].days = voyage.id
    async with both.session() as session:
        statements.clear()
        merged = await session.merge(list(given))
        assert len(statements.sent) == 3
        assert len({id(voyage.ship) for voyage in merged}) == 3
        await session.commit()
    assert both.column("SELECT days FROM legs ORDER BY days") == list(range(12))


async def test_what_is_not_loaded_is_not_touched(both: Both, statements: Statements) -> None:
    await stored(both)
    given = await detached(both, Voyage.ship)
    given.name = "south"
    async with both.session() as session:
        statements.clear()
        merged = await session.merge(given)
        assert len(statements.sent) == 2
        assert not {"legs", "mail", "ports", "diary"} & merged.__dict__.keys()
        await session.commit()
        assert len(statements.of("flush")) == 1


@both_ways
async def test_changes_of_lists_are_merged_and_what_others_did_stays(both: Both, sent: Sent) -> None:
    await stored(both)
    given = await detached(both)
    del given.legs[0]
    given.legs.append(Leg(place="new"))
    given.mail.remove(given.mail[0])
    given.ports.remove(given.ports[0])
    given.ports.append(Port(id=3, name="R"))
    given = sent(given)
    both.sql("INSERT INTO legs (id, place, voyage_id) VALUES (50, 'theirs', 1)")
    both.sql("DELETE FROM legs WHERE id = 3")
    async with both.session() as session:
        merged = await session.merge(given)
        assert [leg.place for leg in merged.legs] == ["b", "theirs", "new"]
        await session.commit()
        assert all(leg.voyage is merged for leg in merged.legs)
    assert both.column("SELECT place FROM legs ORDER BY id") == ["b", "theirs", "new"]
    assert rows(both, "SELECT id, voyage_id FROM letters ORDER BY id") == [(1, None), (2, 1)]
    assert both.column("SELECT port_id FROM ports_voyages ORDER BY port_id") == [2, 3]
    assert both.column("SELECT name FROM ports ORDER BY id") == ["p", "q", "R"]


@both_ways
async def test_a_to_one_relation_that_changed(both: Both, sent: Sent) -> None:
    await stored(both)
    given = await detached(both)
    given.ship = Ship(name="new")
    given.diary = None
    async with both.session() as session:
        merged = await session.merge(sent(given))
        assert (merged.ship.name, merged.ship.id, merged.diary) == ("new", None, None)
        await session.commit()
        assert merged.ship_id == merged.ship.id > 1000
    assert both.value("SELECT voyage_id FROM diaries") is None
    assert both.value("SELECT ship_id > 1000 FROM voyages") is True


async def test_the_orphan_rules_hold(both: Both, statements: Statements) -> None:
    await made(both, Voyage(id=1, name="v", bags=[Bag(id=1)]))
    given = await detached(both, Voyage.bags)
    given.bags.clear()
    async with both.session() as session:
        merged = await session.merge(given)
        assert merged.bags == []
        statements.clear()
        with pytest.raises(OrphanError, match="Bag has lost its Voyage"):
            await session.commit()
        assert statements.sent == []
        await session.rollback()
    assert both.column("SELECT voyage_id FROM bags") == [1]


async def test_objects_that_the_session_has_take_the_changes(both: Both, statements: Statements) -> None:
    await stored(both)
    given = await detached(both)
    given.legs[0].days = 3
    async with both.session() as session:
        mine = await session.exec(Select(Voyage).Include(*ALL)).one()
        mine.legs.append(Leg(place="mine"))
        legs = list(mine.legs)
        await session.flush()
        statements.clear()
        assert await session.merge(given) is mine
        assert statements.sent == []
        assert mine.legs == legs
        assert (legs[0].days, mine.legs[3].place) == (3, "mine")
        await session.commit()
    assert both.column("SELECT days FROM legs ORDER BY id") == [3, None, None, None]


async def test_a_row_that_is_there_twice_is_one_object(both: Both) -> None:
    await stored(both)
    one, other = await detached(both), await detached(both)
    one.legs[0].days = 1
    other.legs[0].place = "A"
    async with both.session() as session:
        first, second = await session.merge([one, other])
        assert first is second
        assert (first.legs[0].days, first.legs[0].place) == (1, "A")
        await session.rollback()


# --- what is gone, or older -------------------------------------------------------------------------------------------


async def test_a_row_that_is_gone_is_told_where_something_was_to_be_done_with_it(both: Both) -> None:
    await stored(both)
    given, untouched, linked = await detached(both), await detached(both), await detached(both)
    given.name = "south"
    given.legs[2].days = 3
    async with both.session() as session:
        port = await session.get(Port, 3)
    linked.ports.append(port)
    both.sql("DELETE FROM legs WHERE id = 3")
    both.sql("DELETE FROM ports WHERE id = 3")
    async with both.session() as session:
        with pytest.raises(StaleObjectError, match="Leg 3") as caught:
            await session.merge(given)
        assert caught.value.objects == (given.legs[2],)
        assert caught.value.changes == ({"days": 3},)
        assert plain(session).dirty == ()  # nothing is merged
        with pytest.raises(StaleObjectError, match="Port 3"):
            await session.merge(linked)
        merged = await session.merge(untouched)
        assert [leg.id for leg in merged.legs] == [1, 2]
        await session.rollback()


async def test_a_related_object_of_another_session_is_refused(both: Both) -> None:
    await stored(both)
    async with both.session() as session, both.session() as other:
        theirs = await other.get(Ship, 1)
        with pytest.raises(ObjectStateError, match="a related object, a Ship, belongs to another session"):
            await session.merge(Voyage(id=1, ship=theirs))
        assert plain(session).dirty == ()


# --- new objects ------------------------------------------------------------------------------------------------------


async def test_a_new_graph_with_keys_is_merged_with_the_rows_that_are_there(both: Both, statements: Statements) -> None:
    await stored(both)
    form = {
        "id": 1,
        "name": "from a form",
        "legs": [{"id": 2, "place": "B"}, {"place": "new"}],
        "ship": {"id": 7, "name": "new ship"},
        "ports": [{"id": 3, "name": "R"}],
    }
    async with both.session() as session:
        statements.clear()
        merged = await session.merge(Voyage.from_dict(form))
        assert len(statements.sent) == 5  # voyages, their legs and ports; ship and port that they had not
        assert [(leg.id, leg.place) for leg in merged.legs] == [(2, "B"), (None, "new")]
        await session.commit()
    assert both.column("SELECT place FROM legs ORDER BY id") == ["B", "new"]  # the list was given: it is the list
    assert rows(both, "SELECT ship_id, name FROM voyages") == [(7, "from a form")]
    assert both.column("SELECT port_id FROM ports_voyages") == [3]
    assert both.column("SELECT id FROM letters WHERE voyage_id = 1 ORDER BY id") == [1, 2]  # nothing was said


async def test_a_list_that_is_only_appended_to_or_looked_at_replaces_nothing(both: Both) -> None:
    await stored(both)
    given = Voyage(id=1)
    assert given.mail == []
    given.ports.append(Port(id=3))
    leg = Leg(id=9, place="new", voyage=given)  # which puts it on the list of its voyage
    async with both.session() as session:
        merged = await session.merge(leg)
        assert [each.id for each in merged.voyage.legs] == [1, 2, 3, 9]
        assert [port.id for port in merged.voyage.ports] == [1, 2, 3]
        await session.commit()
    assert both.column("SELECT id FROM legs ORDER BY id") == [1, 2, 3, 9]
    assert both.column("SELECT id FROM letters WHERE voyage_id = 1 ORDER BY id") == [1, 2]
    assert both.column("SELECT port_id FROM ports_voyages ORDER BY port_id") == [1, 2, 3]


async def test_an_empty_list_that_was_given_empties(both: Both) -> None:
    await stored(both)
    async with both.session() as session:
        merged = await session.merge(Voyage(id=1, legs=[], mail=[], ports=[]))
        assert (merged.legs, merged.mail, merged.ports, merged.name) == ([], [], [], "north")
        await session.commit()
    assert both.column("SELECT count(*) FROM legs") == [0]
    assert both.column("SELECT voyage_id FROM letters") == [None, None]
    assert both.column("SELECT count(*) FROM ports_voyages") == [0]


async def test_circles_and_new_objects_without_keys(both: Both) -> None:
    ship = Ship(id=1, name="Argo")
    ship.voyages = [Voyage(name="a", legs=[Leg(place="x")]), Voyage(name="b", ship=ship)]
    async with both.session() as session:
        merged = await session.merge(ship)
        assert [voyage.ship is merged for voyage in merged.voyages] == [True, True]
        assert ship not in session
        await session.commit()
        assert [voyage.id is not None for voyage in merged.voyages] == [True, True]
    assert ship.voyages[0].id is None
    assert both.column("SELECT place FROM legs JOIN voyages v ON v.id = voyage_id JOIN ships s ON s.id = ship_id") == [
        "x"
    ]


async def test_the_rolled_back_merge_leaves_no_trace(both: Both) -> None:
    await stored(both)
    async with both.session() as session:
        mine = await session.exec(Select(Voyage).Include(Voyage.legs)).one()
        await session.merge(Voyage(id=1, name="x", legs=[Leg(id=1, place="z"), Leg(place="new")]))
        assert len(mine.legs) == 2
        await session.flush()
        await session.rollback()
        assert (mine.name, [leg.place for leg in mine.legs]) == ("north", ["a", "b", "c"])
        assert plain(session).dirty == plain(session).new == ()
    assert both.value("SELECT count(*) FROM legs") == 3
