"""Every bulk call with every form of rows from every kind of source, in several chunks, on both sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from psqlmodel import DatabaseError, InvalidValueError, Select
from psqlmodel.core.bulk import changing, inserting

from .both import Both, only_async
from .models import User

COUNT = 23
CHUNK = 5


async def _awaited(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


SOURCES: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda items: (item for item in items),
    "awaited": _awaited,
}


def _objects(rows: list[dict[str, Any]]) -> tuple[list[Any], dict[str, Any]]:
    return [User(**row) for row in rows], {}


def _dictionaries(rows: list[dict[str, Any]]) -> tuple[list[Any], dict[str, Any]]:
    return [dict(row) for row in rows], {"model": User}


def _tuples(rows: list[dict[str, Any]]) -> tuple[list[Any], dict[str, Any]]:
    return [tuple(row.values()) for row in rows], {"model": User, "columns": list(rows[0])}


FORMS = {"objects": _objects, "dictionaries": _dictionaries, "tuples": _tuples}
ROWS = [{"id": n, "name": f"new {n}", "age": n} for n in range(1, COUNT + 1)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: Any) -> None:
    monkeypatch.setattr(inserting, "CHUNK", CHUNK)
    monkeypatch.setattr(changing, "CHUNK", CHUNK)


@pytest.fixture
def filled(both: Both) -> Both:
    """Each second row is there already."""
    both.sql("INSERT INTO users (id, name) SELECT n, 'old ' || n FROM generate_series(2, %s, 2) n", COUNT)
    return both


def stored(both: Both) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in both.sql("SELECT id, name, age FROM users ORDER BY id")]


def given(both: Both, source: str, form: str, rows: list[dict[str, Any]]) -> tuple[Any, dict[str, Any]]:
    """Return the models of a call, and what must be said of them."""
    if both.is_sync and source == "awaited":
        pytest.skip("a Session can't wait for an iterator, and says so")
    items, options = FORMS[form](rows)
    return SOURCES[source](items), options


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", SOURCES)
async def test_insert(both: Both, source: str, form: str) -> None:
    models, options = given(both, source, form, ROWS)
    told: list[int] = []
    async with both.session() as session:
        assert await session.bulk_insert(models, progress=told.append, **options) == COUNT
        await session.commit()
    assert stored(both) == [tuple(row.values()) for row in ROWS]
    assert told == [5, 10, 15, 20, 23]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", SOURCES)
async def test_insert_what_is_not_there(filled: Both, source: str, form: str) -> None:
    models, options = given(filled, source, form, ROWS)
    async with filled.session() as session:
        assert await session.bulk_insert(models, on_conflict="ignore", **options) == 12
        await session.commit()
    assert stored(filled) == [(n, f"new {n}", n) if n % 2 else (n, f"old {n}", None) for n in range(1, COUNT + 1)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", SOURCES)
async def test_upsert(filled: Both, source: str, form: str) -> None:
    models, options = given(filled, source, form, ROWS)
    told: list[int] = []
    async with filled.session() as session:
        held = await session.get(User, 4)
        counted = await session.bulk_upsert(models, progress=told.append, **options)
        assert (counted, counted.inserted, counted.updated) == (COUNT, 12, 11)
        assert held.name == "new 4"  # a loaded object is read again
        await session.commit()
    assert stored(filled) == [tuple(row.values()) for row in ROWS]
    assert told == [5, 10, 15, 20, 23]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", SOURCES)
async def test_update(filled: Both, source: str, form: str) -> None:
    rows = ROWS[1::2]
    models, options = given(filled, source, form, rows)
    async with filled.session() as session:
        held = await session.get(User, 22)
        assert await session.bulk_update(models, **options) == len(rows)
        assert held.name == "new 22"
        await session.commit()
    assert stored(filled) == [tuple(row.values()) for row in rows]


@pytest.mark.parametrize("form", ["objects", "keys"])
@pytest.mark.parametrize("source", SOURCES)
async def test_delete(filled: Both, source: str, form: str) -> None:
    models, options = given(filled, source, "objects", ROWS[:20])
    if form == "keys":
        models, options = SOURCES[source]([row["id"] for row in ROWS[:20]]), {"model": User}
    async with filled.session() as session:
        held = await session.get(User, 4)
        assert await session.bulk_delete(models, **options) == 10
        assert await session.get(User, 4) is None
        await session.commit()
        assert held not in session
    assert [row[0] for row in stored(filled)] == [22]


@pytest.mark.parametrize("source", SOURCES)
async def test_the_servers_keys_are_on_the_objects_of_all_chunks(both: Both, source: str) -> None:
    if both.is_sync and source == "awaited":
        return
    users = [User(name=f"u{n}") for n in range(COUNT)]
    async with both.session() as session:
        assert await session.bulk_insert(SOURCES[source](users)) == COUNT
        await session.commit()
    assert {user.id: user.name for user in users} == {row[0]: row[1] for row in stored(both)}


BAD: dict[str, Any] = {
    "bulk_insert": {"id": 18, "name": None, "age": 1},
    "bulk_upsert": {"id": 18, "name": None, "age": 1},
    "bulk_update": {"id": 18, "name": None, "age": 1},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("verb", BAD)
async def test_a_bad_row_of_a_later_chunk_is_named_and_nothing_stays(both: Both, verb: str, form: str) -> None:
    if verb == "bulk_update":
        both.sql("INSERT INTO users (id, name) SELECT n, 'old' FROM generate_series(1, %s) n", COUNT)
    before = stored(both)
    for bad, error in ((BAD[verb], DatabaseError), ({"id": 18, "name": "a", "age": "secret"}, InvalidValueError)):
        rows = [bad if row["id"] == 18 else row for row in ROWS]
        models, options = given(both, "generator", form, rows)
        async with both.session() as session:
            with pytest.raises(error, match=r"models\[17\]") as caught:
                await getattr(session, verb)(models, **options)
            assert "secret" not in str(caught.value)
            await session.rollback()
        assert stored(both) == before


@only_async
async def test_an_iterator_that_is_awaited_may_read_from_the_same_session(filled: Both) -> None:
    async with filled.session() as session:

        async def changed() -> AsyncIterator[User]:
            async for user in session.stream(Select(User).OrderBy(User.id), batch=3):
                user.name = f"seen {user.id}"
                yield user

        assert await session.bulk_update(changed()) == 11
        await session.commit()
    assert {row[1].split()[0] for row in stored(filled)} == {"seen"}
