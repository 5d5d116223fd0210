"""sync_set on both sessions: a slice of a table becomes equal to the objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from psqlmodel import (
    Engine,
    InvalidValueError,
    NotMappedError,
    QueryError,
    Select,
    UniqueViolation,
)

from .both import Both, Statements
from .models import Group, Mood, Person, User
from .rows import made, rows
from .versioned import Folder, Line, make_tables


@pytest.fixture(autouse=True, scope="module")
def tables(plain_sql: Engine) -> None:
    make_tables(plain_sql)


@pytest.fixture
def rival(shop_dsn: str) -> Iterator[Any]:
    """A connection of someone else, in a transaction."""
    connection = psycopg2.connect(shop_dsn)
    yield connection
    connection.close()


# --- sync_set ---------------------------------------------------------------------------------------------------------


async def folder_with_lines(both: Both) -> None:
    await made(both, Folder(id=1, name="a"), Folder(id=2, name="b"))
    await made(
        both,
        *(Line(id=n, folder_id=1, number=n, text=f"t{n}", data={"n": n}) for n in range(1, 5)),
        Line(id=9, folder_id=2, number=1, text="elsewhere"),
    )


async def test_sync_set_makes_a_slice_equal_in_one_statement(both: Both, statements: Statements) -> None:
    await folder_with_lines(both)
    written_at = dict(rows(both, "SELECT id, xmin::text FROM lines"))
    async with both.session() as session:
        gone = await session.get(Line, 4)
        given = [
            Line(id=1, folder_id=1, number=1, text="t1", data={"n": 1}),
            Line(id=2, folder_id=1, number=2, text="changed", data={"n": 2}),
            Line(id=3, folder_id=1, number=4, text="t3", data={"n": 3}),  # the number of one that goes
            Line(folder_id=1, number=3, text="new", data=None),  # the number that the one above lets go
        ]
        statements.clear()
        written = await session.sync_set(Line, given, scope=Line.folder_id == 1)
        assert len(statements.of("flush")) == 1
        assert [line.text for line in written] == ["t1", "changed", "t3", "new"]
        assert written.unchanged == written[:1]
        assert written.updated == written[1:3]
        assert written.inserted == written[3:]
        assert written.deleted == [4]
        assert gone._state.status == "deleted"
        assert [line.version for line in written] == [1, 2, 2, 1]
        written[3].text = "newer"
        await session.commit()
    found = rows(both, "SELECT number, text FROM lines WHERE folder_id = 1 ORDER BY number")
    assert found == [(1, "t1"), (2, "changed"), (3, "newer"), (4, "t3")]
    after = dict(rows(both, "SELECT id, xmin::text FROM lines"))
    assert {key for key, xmin in after.items() if written_at.get(key) == xmin} == {1, 9}


async def test_sync_set_by_another_key_than_the_primary_one(both: Both) -> None:
    await folder_with_lines(both)
    async with both.session() as session:
        given = [Line(folder_id=1, number=n, amount=n * 10, text=f"t{n}", data={"n": n}) for n in (2, 5)]
        written = await session.sync_set(Line, given, scope=Line.folder_id == 1, on=[Line.folder_id, Line.number])
        assert [line.id == 2 for line in written] == [True, False]
        assert sorted(written.deleted) == [1, 3, 4]
        await session.commit()
    assert rows(both, "SELECT number, amount FROM lines ORDER BY folder_id, number") == [(2, 20), (5, 50), (1, 0)]


async def test_sync_set_twice_writes_nothing_and_an_empty_set_empties_the_slice(
    both: Both, statements: Statements
) -> None:
    await folder_with_lines(both)

    def lines() -> list[Line]:
        return [Line(id=n, folder_id=1, number=n, text=f"t{n}", data={"n": n}) for n in range(1, 5)]

    async with both.session() as session:
        written = await session.sync_set(Line, lines(), scope=Line.folder_id == 1)
        assert (len(written.unchanged), written.inserted, written.updated, written.deleted) == (4, [], [], [])
        written = await session.sync_set(Line, [], scope=Line.folder_id.In([1]))
        assert sorted(written.deleted) == [1, 2, 3, 4]
        await session.rollback()
        assert both.value("SELECT count(*) FROM lines") == 5
        assert [line.id for line in await (await session.exec(Select(Line).OrderBy(Line.id))).all()] == [1, 2, 3, 4, 9]


async def test_sync_set_refuses_objects_outside_the_scope(both: Both) -> None:
    await folder_with_lines(both)
    async with both.session() as session:
        given = [Line(folder_id=2, number=7, text="t", data=None)]
        with pytest.raises(InvalidValueError, match=r"objects\[0\] is outside of the scope"):
            await session.sync_set(Line, given, scope=Line.folder_id == 1)
        await session.rollback()
        moved = [Line(id=1, folder_id=2, number=7, text="t", data=None)]
        with pytest.raises(InvalidValueError, match="outside of the scope"):
            await session.sync_set(Line, moved, scope=Line.folder_id == 1)
        await session.rollback()
        theirs = [Line(id=9, folder_id=1, number=7, text="t", data=None)]
        with pytest.raises(UniqueViolation):
            await session.sync_set(Line, theirs, scope=Line.folder_id == 1)
        await session.rollback()
    assert both.value("SELECT count(*) FROM lines WHERE folder_id = 1") == 4


async def test_sync_set_rolled_back_restores_objects(both: Both) -> None:
    await folder_with_lines(both)
    async with both.session() as session:
        known = await session.get_many(Line, [1, 2])
        given = [
            Line(id=1, folder_id=1, number=1, text="changed", data=None),
            Line(folder_id=1, number=2, text="n", data=None),
        ]
        await session.sync_set(Line, given, scope=Line.folder_id == 1)
        assert known[0].text == "changed"
        assert known[1]._state.status == "deleted"
        await session.rollback()
        assert [(line.text, line.version, line in session) for line in known] == [("t1", 1, True), ("t2", 1, True)]
        assert given[1].id is None
        known[1].text = "again"
        await session.commit()
    assert both.value("SELECT text FROM lines WHERE id = 2") == "again"


async def test_sync_set_deletes_what_hangs_on_rows(both: Both) -> None:
    await folder_with_lines(both)
    async with both.session() as session:
        line = await session.get(Line, 9)
        await session.sync_set(Folder, [Folder(id=1, name="a")], scope=Folder.name.In(["a", "b"]))
        assert line._state.status == "deleted"  # ON DELETE CASCADE
        assert await session.get(Line, 9) is None
        await session.commit()


@pytest.mark.parametrize("statistics", ["none", "one row in many pages"])
async def test_sync_set_of_many_rows(both: Both, statistics: str) -> None:
    """The planner knows nothing of rows that a statement makes: nested loops over nested loops would take minutes."""

    def lines(first: int) -> list[Line]:
        return [Line(folder_id=1, number=n, text=f"t{n + first}") for n in range(first, first + 20_000)]

    on = [Line.folder_id, Line.number]
    await made(both, Folder(id=1, name="a"))
    if statistics != "none":
        async with both.session() as session:
            await session.sync_set(Line, lines(0), scope=Line.folder_id == 1, on=on)
            await session.rollback()
        both.sql("INSERT INTO lines (folder_id, number, amount, version) VALUES (1, -1, 0, 1)")
        both.sql("VACUUM ANALYZE lines")
    async with both.session(statement_timeout=20) as session:
        await session.sync_set(Line, lines(0), scope=Line.folder_id == 1, on=on)
        written = await session.sync_set(Line, lines(5_000), scope=Line.folder_id == 1, on=on)
        assert (len(written.inserted), len(written.updated), len(written.deleted)) == (5_000, 15_000, 5_000)
        assert [line.number for line in written] == list(range(5_000, 25_000))
        await session.rollback()


async def test_sync_set_of_types_that_the_database_knows_better(both: Both) -> None:
    both.sql("INSERT INTO people (email, feeling, numbers) VALUES ('a', 'happy', '{1}'), ('b', 'sad', NULL)")
    async with both.session() as session:
        keys = dict(rows(both, "SELECT email, id FROM people"))
        given = [
            Person(id=keys["a"], email="a", feeling=Mood.HAPPY, numbers=[1]),
            Person(id=keys["b"], email="b", feeling=Mood.SO_SO, numbers=[2**40]),
        ]
        written = await session.sync_set(Person, given, scope=Person.email.In(["a", "b"]))
        assert (len(written.unchanged), len(written.updated)) == (1, 1)
        await session.commit()
    assert rows(both, "SELECT feeling::text FROM people ORDER BY email") == [("happy",), ("so so",)]


async def test_sync_set_refuses_before_anything_is_sent(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        line = {"folder_id": 1, "number": 1}
        scope = Line.folder_id == 1
        await session.get(Line, 1)
        statements.clear()
        for given, condition, error, match in (
            ([Line(**line)], None, QueryError, "scope="),
            ([Line(**line)], User.id == 1, QueryError, "users"),
            ([Line(id=1, **line), Line(id=1, **line)], scope, InvalidValueError, r"objects\[0\] and objects\[1\]"),
            ([Line(**line), Line(text="t", **line)], scope, InvalidValueError, "Line.text is set on some"),
            ([Folder(name="f")], scope, NotMappedError, "not a Line"),
        ):
            with pytest.raises(error, match=match):
                await session.sync_set(Line, given, scope=condition)
        assert statements.sent == []


async def test_a_table_with_names_that_sql_finds_hard(both: Both) -> None:
    async with both.session() as session:
        given = [
            Group(id=1, order="o", user="u", strange=3, class_="c"),
            Group(id=2, order="p", user="u", strange=4, class_="c"),
        ]
        await session.upsert(given)
        written = await session.sync_set(
            Group, [Group(id=1, order="q", user="u", strange=3, class_="c")], scope=Group.user == "u"
        )
        assert (len(written.updated), written.deleted) == (1, [2])
        await session.commit()
    assert rows(both, 'SELECT id, "order" FROM "Group"') == [(1, "q")]
