"""Random edits of a graph come to the same whether they are made in the session, or elsewhere and merged.

What is not reachable in the end (a new ship that a voyage has let go again) is only known to a session that saw it: the
comparison leaves it out.
"""

from __future__ import annotations

import pickle
from random import Random
from typing import Any

import pytest

from psqlmodel import Engine, Select

from .both import Both
from .rows import made, rows
from .test_merge import ALL, MODELS, Diary, Leg, Letter, Port, Ship, Voyage, make_tables

CONTENT = """
    SELECT 'voyage' AS what, v.name, s.name AS at FROM voyages v LEFT JOIN ships s ON s.id = ship_id
    UNION ALL SELECT 'leg', place || coalesce(days::text, ''), v.name FROM legs JOIN voyages v ON v.id = voyage_id
    UNION ALL SELECT 'letter', text, v.name FROM letters LEFT JOIN voyages v ON v.id = voyage_id
    UNION ALL SELECT 'diary', text, v.name FROM diaries d LEFT JOIN voyages v ON v.id = voyage_id
        WHERE d.id < 1000 OR v.id IS NOT NULL
    UNION ALL SELECT 'port', p.name, v.name FROM ports_voyages JOIN ports p ON p.id = port_id
        JOIN voyages v ON v.id = voyage_id
    ORDER BY 1, 2, 3
"""
Graph = tuple[list[Voyage], list[Ship], list[Port]]


@pytest.fixture(autouse=True, scope="module")
def tables(plain_sql: Engine) -> None:
    make_tables(plain_sql)


async def begin(both: Both) -> None:
    both.sql(f"TRUNCATE {', '.join(model.__mapper__.table for model in MODELS)} CASCADE")
    ships = [Ship(id=n, name=f"ship {n}") for n in (1, 2, 3)]
    ports = [Port(id=n, name=f"port {n}") for n in (1, 2, 3)]
    voyages = [Voyage(id=n, name=f"voyage {n}", ship=ships[n - 1] if n < 3 else None) for n in (1, 2, 3)]
    for n, voyage in enumerate(voyages, 1):
        voyage.legs = [Leg(id=10 * n + k, place=f"place {n}.{k}") for k in range(3)]
        voyage.mail = [Letter(id=10 * n + k, text=f"letter {n}.{k}") for k in range(2)]
        voyage.ports = ports[:n]
        if n < 3:
            voyage.diary = Diary(id=n, text=f"diary {n}")
    await made(both, *voyages, *ships, *ports)


async def load(session: Any) -> Graph:
    voyages = await session.exec(Select(Voyage).OrderBy(Voyage.id).Include(*ALL)).all()
    ships = await session.exec(Select(Ship).OrderBy(Ship.id).Include(Ship.voyages)).all()
    ports = await session.exec(Select(Port).OrderBy(Port.id)).all()
    for voyage in voyages:
        for relation in ALL:
            getattr(voyage, relation.key)
    for ship in ships:
        _ = ship.voyages
    return list(voyages), list(ships), list(ports)


def edit(random: Random, graph: Graph) -> None:
    """Do some of what programs do."""
    for n in range(random.randint(1, 6)):
        one_edit(random, n, *graph)


def one_edit(random: Random, n: int, voyages: list[Voyage], ships: list[Ship], ports: list[Port]) -> None:
    voyage, other, port = random.choice(voyages), random.choice(voyages), random.choice(ports)
    old_legs = [leg for leg in voyage.legs if leg.id is not None]
    leg = random.choice(old_legs) if old_legs else Leg(place=f"new {n}", voyage=voyage)
    match random.randint(0, 12):
        case 0:
            voyage.name += f" {n}"
        case 1:
            leg.days = n
        case 2 if old_legs:
            voyage.legs.remove(leg)
        case 3:
            voyage.legs.append(Leg(place=f"new {n}"))
        case 4:
            other.legs.append(leg)
        case 5:
            leg.voyage = other
        case 6:
            voyage.ship = random.choice([None, *ships])
        case 7:
            random.choice(ships).voyages = random.sample(voyages, 2)
        case 8:
            (voyage.ports.remove if port in voyage.ports else voyage.ports.append)(port)
        case 9 if voyage.mail:
            voyage.mail.pop(random.randrange(len(voyage.mail)))
        case 10:
            voyage.ship = Ship(name=f"new {n}")
        case 11:
            voyage.diary = random.choice([None, Diary(text=f"new {n}")])
        case _:
            voyage.ports = random.sample(ports, 2)


@pytest.mark.parametrize("seed", range(25))
async def test_edits_elsewhere_are_edits_here(both: Both, seed: int) -> None:
    await begin(both)
    async with both.session() as session:
        edit(Random(seed), await load(session))
        await session.commit()
    expected = rows(both, CONTENT)

    for pickled in (False, True):
        await begin(both)
        async with both.session() as session:
            graph = await load(session)
        edit(Random(seed), graph)
        if pickled:
            graph = pickle.loads(pickle.dumps(graph))
        async with both.session() as session:
            await session.merge([obj for objects in graph for obj in objects])
            await session.commit()
        assert rows(both, CONTENT) == expected
