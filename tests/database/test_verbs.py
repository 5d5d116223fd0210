"""Verbs on both sessions: get_many, get_or_create, merge, upsert, sync_set; the books: new, changes, plan, expunge."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest

from psqlmodel import (
    Engine,
    InvalidValueError,
    MappingError,
    MissingPrimaryKeyError,
    NotMappedError,
    NotNullViolation,
    ObjectStateError,
    QueryError,
    Select,
    StaleObjectError,
    UniqueViolation,
)

from .both import Both, Statements
from .models import Account, Course, Group, Item, Mood, Node, Order, Person, Student, Tag, User
from .versioned import File, Folder, Line, Member, Sheet, Team, make_tables


@pytest.fixture(autouse=True, scope="module")
def tables(plain_sql: Engine) -> None:
    make_tables(plain_sql)


@pytest.fixture
def rival(shop_dsn: str) -> Iterator[Any]:
    """A connection of someone else, in a transaction."""
    connection = psycopg2.connect(shop_dsn)
    yield connection
    connection.close()


async def made(both: Both, *objects: Any) -> None:
    async with both.session(auto_commit=True) as session:
        session.add_all(objects)


def plain(session: Any) -> Any:
    """The session itself: its books need no awaiting."""
    return getattr(session, "raw", session)


def rows(both: Both, text: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in both.sql(text)]


# --- get_many ---------------------------------------------------------------------------------------------------------


async def test_get_many_gives_objects_in_order_and_none_for_no_row(both: Both, statements: Statements) -> None:
    await made(both, *(User(id=n, name=f"u{n}") for n in range(1, 6)))
    async with both.session() as session:
        two = await session.get(User, 2)
        statements.clear()
        found = await session.get_many(User, [5, 2, 99, 1, 5])
        assert [user and user.id for user in found] == [5, 2, None, 1, 5]
        assert found[1] is two
        assert found[0] is found[4]
        assert len(statements.of("load")) == 1
        statements.clear()
        assert await session.get_many(User, [1, 2, 5]) == [found[3], two, found[0]]
        assert statements.sent == []


async def test_get_many_of_composite_keys_that_the_database_knows_better(both: Both) -> None:
    await made(both, Account(bank="a", number=1), Account(bank="b", number=2))
    both.sql("INSERT INTO people (email) VALUES ('x@y')")
    key = both.value("SELECT id FROM people")
    async with both.session() as session:
        found = await session.get_many(Account, [("b", 2), {"bank": "a", "number": 1}, ("a", 2)])
        assert [account and account.bank for account in found] == ["b", "a", None]
        assert [person.email for person in await session.get_many(Person, [key])] == ["x@y"]


async def test_get_many_sees_what_is_pending_and_not_what_is_deleted(both: Both) -> None:
    await made(both, User(id=1, name="a"))
    async with both.session() as session:
        session.delete(await session.get(User, 1))
        new = User(id=2, name="b")
        session.add(new)
        assert await session.get_many(User, [1, 2]) == [None, new]
        await session.rollback()


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ("12", InvalidValueError),
        (7, InvalidValueError),
        ([None], MissingPrimaryKeyError),
        ([(1, 2)], MissingPrimaryKeyError),
    ],
)
async def test_get_many_refuses_what_is_no_list_of_keys(both: Both, keys: Any, error: type[Exception]) -> None:
    async with both.session() as session:
        with pytest.raises(error):
            await session.get_many(User, keys)
        assert await session.get_many(User, []) == []


# --- get_or_create ----------------------------------------------------------------------------------------------------


async def test_get_or_create_is_one_statement_and_takes_no_key_for_a_row_that_is_there(
    both: Both, statements: Statements
) -> None:
    async with both.session() as session:
        tag, created = await session.get_or_create(Tag, name="new")
        assert created
        assert (tag.name, tag in session) == ("new", True)
        again, created = await session.get_or_create(Tag, name="new")
        assert (again, created) == (tag, False)
        assert len(statements.of("flush")) == 2
        before = both.value("SELECT last_value FROM tags_id_seq")
        await session.get_or_create(Tag, name="new")
        assert both.value("SELECT last_value FROM tags_id_seq") == before
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["new"]


async def test_get_or_create_uses_defaults_only_for_a_new_row(both: Both) -> None:
    async with both.session() as session:
        user, created = await session.get_or_create(User, defaults={"name": "Ada", "data": {"n": 1}}, email="a@x")
        assert (created, user.name, user.data, user.visits) == (True, "Ada", {"n": 1}, 0)
        await session.commit()
        same, created = await session.get_or_create(User, defaults={"name": "Bob"}, email="a@x")
        assert (same is user, created, user.name) == (True, False, "Ada")
        user.name = "Ada L."
        await session.commit()
    assert both.column("SELECT name FROM users") == ["Ada L."]


async def test_get_or_create_waits_for_a_row_that_someone_else_is_making(both: Both, rival: Any) -> None:
    """The other transaction commits while ours waits for it: its row is found, not doubled."""
    async with both.session() as session:
        rival.cursor().execute("INSERT INTO tags (id, name) VALUES (1, 'shared')")
        with commits_once_waited_for(rival, both):
            tag, created = await session.get_or_create(Tag, name="shared")
        assert (tag.id, created) == (1, False)
        await session.rollback()


async def test_upsert_waits_for_a_row_that_someone_else_is_making(both: Both, rival: Any) -> None:
    async with both.session() as session:
        rival.cursor().execute("INSERT INTO users (id, name, email) VALUES (1, 'theirs', 'a@x')")
        with commits_once_waited_for(rival, both):
            written = await session.upsert([User(name="ours", email="a@x")], on="email")
        assert (written[0].id, written.updated, written.inserted) == (1, written, [])
        await session.commit()
    assert rows(both, "SELECT id, name FROM users") == [(1, "ours")]


@contextmanager
def commits_once_waited_for(rival: Any, both: Both) -> Iterator[None]:
    """Commit the rival's transaction as soon as somebody waits for a lock of it."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"

    def commit() -> None:
        while both.value(waiting, rival.info.backend_pid) == 0:
            pass
        rival.commit()

    with ThreadPoolExecutor(1) as pool:
        committing = pool.submit(commit)
        yield
        committing.result()


async def test_get_or_create_rolled_back_is_a_new_object_again(both: Both) -> None:
    async with both.session() as session:
        tag, _ = await session.get_or_create(Tag, name="x")
        assert tag.id is not None
        await session.rollback()
        assert (tag.id, tag.name, tag in session) == (None, "x", False)
        session.add(tag)
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["x"]


async def test_get_or_create_takes_related_objects(both: Both) -> None:
    async with both.session() as session:
        folder = Folder(name="f")
        session.add(folder)
        with pytest.raises(QueryError, match="only a unique key"):
            await session.get_or_create(File, folder=folder)
        file, created = await session.get_or_create(File, defaults={"title": "t", "folder": folder}, code="c")
        assert (created, file.folder is folder) == (True, True)
        await session.commit()
    assert rows(both, "SELECT f.name, g.title FROM files g JOIN folders f ON f.id = g.folder_id") == [("f", "t")]


async def test_get_or_create_needs_a_unique_key(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(QueryError, match=r"\(email\)"):
            await session.get_or_create(User, name="a")
        with pytest.raises(InvalidValueError, match=r"has no User\.email"):
            await session.get_or_create(User, email=None)
        with pytest.raises(MappingError):
            await session.get_or_create(User, nothing=1)
        with pytest.raises(NotNullViolation):
            await session.get_or_create(User, email="a@x")
        assert (await session.get_or_create(User, defaults={"name": "a"}, email="a@x"))[1]
        await session.commit()


# --- merge ------------------------------------------------------------------------------------------------------------


async def test_merge_brings_a_list_into_the_session_with_one_query(both: Both, statements: Statements) -> None:
    await made(both, *(User(id=n, name=f"u{n}", age=n) for n in range(1, 11)))
    async with both.session() as session:
        statements.clear()
        given = [User(id=n, name=f"new {n}") for n in range(1, 12)]
        merged = await session.merge(given)
        assert statements.verbs == []
        assert len(statements.sent) == 1
        assert all(user in session and not any(user is other for other in given) for user in merged)
        assert [(user.id, user.age) for user in merged[:2]] == [(1, 1), (2, 2)]
        await session.commit()
        assert sorted(statements.verbs) == ["INSERT", "UPDATE"]
    assert both.column("SELECT name FROM users ORDER BY id") == [f"new {n}" for n in range(1, 12)]


async def test_merge_of_a_detached_object_brings_its_changes_only(both: Both) -> None:
    await made(both, User(id=1, name="a", age=1, data={"n": 1}))
    async with both.session() as session:
        user = await session.get(User, 1)
        user.data["n"] = 2
        user = pickle.loads(pickle.dumps(user))  # from a cache
        await session.rollback()
    both.sql("UPDATE users SET age = 50")
    async with both.session() as session:
        merged = await session.merge(user)
        assert (merged.age, merged.data, merged is user) == (50, {"n": 2}, False)
        assert await session.merge(merged) is merged
        await session.commit()
    assert rows(both, "SELECT age, data->>'n' FROM users") == [(50, "2")]


async def test_merge_refuses_what_is_older_than_its_row(both: Both) -> None:
    await made(both, Sheet(id=1, title="a"), Sheet(id=2, title="b"))
    async with both.session() as session:
        sheets = await session.get_many(Sheet, [1, 2])
    sheets[0].title = "mine"
    both.sql("UPDATE sheets SET version = 2")
    async with both.session() as session:
        with pytest.raises(StaleObjectError, match="Sheet 1") as caught:
            await session.merge(sheets)
        assert caught.value.objects == (sheets[0],)
        assert caught.value.changes == ({"title": "mine"},)
        assert (await session.merge(sheets[1])).version == 2
        both.sql("DELETE FROM sheets WHERE id = 1")
        with pytest.raises(StaleObjectError):
            await session.merge([sheets[0]])


async def test_merge_of_the_same_key_twice_and_of_new_keys(both: Both) -> None:
    async with both.session() as session:
        one, two = await session.merge([User(id=7, name="a"), User(id=7, age=3)])
        assert one is two
        assert (one.name, one.age) == ("a", 3)
        await session.commit()
    assert rows(both, "SELECT id, name, age FROM users") == [(7, "a", 3)]


async def test_merge_refuses_what_it_can_not_know(both: Both) -> None:
    async with both.session() as session, both.session() as other:
        theirs = User(name="x")
        other.add(theirs)
        for wrong, error in (
            (User(name="no key"), MissingPrimaryKeyError),
            (theirs, ObjectStateError),
            ("text", NotMappedError),
            (User, NotMappedError),
        ):
            with pytest.raises(error):
                await session.merge([wrong])
        await other.rollback()


# --- upsert -----------------------------------------------------------------------------------------------------------


async def test_upsert_tells_inserted_from_updated_in_one_statement(both: Both, statements: Statements) -> None:
    await made(both, *(User(name=f"old{n}", email=f"{n}@x", age=n) for n in range(50)))
    given = [User(name=f"new{n}", email=f"{n}@x") for n in range(100)]
    async with both.session() as session:
        statements.clear()
        written = await session.upsert(given, on=User.email)
        assert statements.verbs == ["INSERT"]
        assert [user.email for user in written] == [f"{n}@x" for n in range(100)]
        assert written.updated == written[:50]
        assert written.inserted == written[50:]
        assert all(user in session and user.id and user.visits == 0 for user in written)
        assert written[7].age == 7
        written[0].age = 99
        await session.commit()
    assert both.value("SELECT count(*) FROM users WHERE name LIKE 'new%'") == 100
    assert both.value("SELECT age FROM users WHERE email = '0@x'") == 99


async def test_upsert_writes_only_what_update_names(both: Both) -> None:
    await made(both, User(name="old", email="a@x", age=1, status="s"))
    async with both.session() as session:
        (user,) = await session.upsert([User(name="new", email="a@x", age=2)], on="email", update=["age"])
        assert (user.name, user.age, user.status) == ("old", 2, "s")
        written = await session.upsert(
            [User(name="newer", email="a@x"), User(name="b", email="b@x")], on="email", update=()
        )
        assert [u.name for u in written.unchanged] == ["old"]
        assert [u.name for u in written.inserted] == ["b"]
        assert written[0] is user
        await session.commit()
    assert rows(both, "SELECT name, age FROM users ORDER BY email") == [("old", 2), ("b", None)]


async def test_upsert_by_primary_key_with_different_columns_defaults_and_types(
    both: Both, statements: Statements
) -> None:
    async with both.session() as session:
        await session.exec("SELECT 1")
        statements.clear()
        written = await session.upsert([Node(id=2, name="b"), Node(id=1, name="a"), Node(id=3, name="c", parent_id=1)])
        assert len(statements.of("flush")) == 2
        assert [node.name for node in written.inserted] == ["b", "a", "c"]
        people = [Person(id=1, email="x@y", feeling=Mood.SO_SO, numbers=[1, 2**40], score=2)]
        (person,) = await session.upsert(people)
        assert (person.length, person.feeling, person.numbers) == (3, Mood.SO_SO, [1, 2**40])
        await session.commit()
    assert rows(both, "SELECT id, feeling::text FROM people") == [(1, "so so")]


async def test_upsert_counts_versions(both: Both) -> None:
    await made(both, Sheet(id=1, title="a", code="c"))
    async with both.session() as session:
        known = await session.get(Sheet, 1)
        (sheet,) = await session.upsert([Sheet(title="b", code="c")], on=["code"])
        assert sheet is known
        assert (sheet.title, sheet.version) == ("b", 2)
        (new,) = await session.upsert([Sheet(title="n", code="d")], on="code")
        assert new.version == 1
        sheet.title = "c"
        await session.commit()
        (file,) = await session.upsert([File(title="f", code="x")], on="code")
        file.title = "g"
        await session.commit()
    assert rows(both, "SELECT title, version FROM sheets ORDER BY id") == [("c", 3), ("n", 1)]


async def test_upsert_rolled_back_restores_new_and_known_objects(both: Both) -> None:
    await made(both, User(id=1, name="old", email="a@x", data={"n": 1}))
    async with both.session() as session:
        known = await session.get(User, 1)
        assert known.data == {"n": 1}
        new = User(name="n", email="b@x")
        await session.upsert([User(name="new", email="a@x", data={"n": 2}), new], on=User.email)
        assert (known.name, known.data, new.id is None) == ("new", {"n": 2}, False)
        await session.rollback()
        assert (known.name, known.data) == ("old", {"n": 1})
        assert (new.id, new in session) == (None, False)
        session.add(new)
        await session.commit()
    assert both.column("SELECT name FROM users ORDER BY email") == ["old", "n"]


async def test_upsert_takes_related_objects_and_pending_ones(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        folder = Folder(name="f")
        session.add(folder)
        file = File(title="t", code="c", folder=folder)
        session.add(file)
        assert await session.upsert(file, on="code") == [file]
        assert statements.verbs == ["INSERT", "INSERT"]
        await session.commit()
        assert statements.verbs == ["INSERT", "INSERT"]
    assert rows(both, "SELECT title, folder_id IS NOT NULL FROM files") == [("t", True)]


async def test_upsert_refuses_before_anything_is_sent(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        user = User(name="mine", email="m@x")
        session.add(user)
        await session.flush()
        statements.clear()
        for given, options, error, match in (
            (
                [User(name="a", email="a@x"), User(name="b", email="a@x")],
                {"on": "email"},
                InvalidValueError,
                r"objects\[0\] and objects\[1\]",
            ),
            ([User(name="a")], {"on": "email"}, InvalidValueError, r"objects\[0\] has no User.email"),
            ([User(name="a")], {}, InvalidValueError, "has no User.id"),
            ([User(name="a", email="e")], {"on": "nothing"}, MappingError, "nothing"),
            ([User(name="a", email="e")], {"on": "email", "update": ["age"]}, InvalidValueError, "User.age"),
            ([User(name="a", email="e"), Tag(name="t")], {"on": "email"}, InvalidValueError, "one class"),
            ([user], {"on": "email"}, ObjectStateError, "this session already"),
            (["text"], {}, NotMappedError, r"objects\[0\]"),
        ):
            with pytest.raises(error, match=match) as caught:
                await session.upsert(given, **options)
            assert "a@x" not in str(caught.value)
        assert statements.sent == []
        assert await session.upsert([]) == []
        await session.rollback()


async def test_upsert_that_breaks_another_unique_key_names_the_object(both: Both) -> None:
    await made(both, User(id=1, name="a", email="a@x"))
    wrong = User(id=2, name="b", email="a@x")
    async with both.session() as session:
        with pytest.raises(UniqueViolation) as caught:
            await session.upsert([wrong])
        assert caught.value.object is wrong
        assert wrong not in session


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


async def test_sync_set_of_many_rows_joins_them_by_hash(both: Both) -> None:
    """The planner knows nothing of rows that a statement makes: a nested loop over them would take minutes."""

    def lines(first: int) -> list[Line]:
        return [Line(folder_id=1, number=n, text=f"t{n + first}") for n in range(first, first + 20_000)]

    await made(both, Folder(id=1, name="a"))
    async with both.session(statement_timeout=20) as session:
        on = [Line.folder_id, Line.number]
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


# --- the books --------------------------------------------------------------------------------------------------------


async def test_new_dirty_and_deleted(both: Both) -> None:
    await made(both, *(User(id=n, name=f"u{n}") for n in (1, 2, 3)))
    async with both.session() as session:
        one, two, three = await session.get_many(User, [1, 2, 3])
        new = User(name="n")
        session.add(new)
        one.name = "x"
        two.name = "y"
        two.name = "u2"  # as it was
        session.delete(three)
        books = plain(session)
        assert (books.new, books.dirty, books.deleted) == ((new,), (one,), (three,))
        await session.flush()
        assert (books.new, books.dirty, books.deleted) == ((), (), ())
        await session.rollback()


async def test_changes_are_old_and_new_values(both: Both) -> None:
    await made(both, User(id=1, name="a", data={"n": 1}), User(id=2, name="b"), Order(id=1, user_id=1))
    await made(both, Student(id=1, name="s"), Course(id=1, title="c"))
    async with both.session() as session:
        user, other = await session.get_many(User, [1, 2])
        order = await session.get(Order, 1)
        student, course = await session.get(Student, 1), await session.get(Course, 1)
        await session.load(student, Student.courses)
        changes = plain(session).changes
        assert changes(user) == {}
        user.name = "x"
        user.data["n"] = 2
        assert changes(user) == {"name": ("a", "x"), "data": ({"n": 1}, {"n": 2})}
        order.user = other
        assert changes(order) == {"user": (user, other), "user_id": (1, 2)}
        student.courses.append(course)
        assert changes(student) == {"courses": ([], [course])}
        assert changes(Tag(name="t")) == {"name": (None, "t")}
        user.name = "a"
        user.data["n"] = 1
        assert changes(user) == {}
        await session.rollback()


async def test_expunge_lets_an_object_go(both: Both, statements: Statements) -> None:
    await made(both, User(id=1, name="a"), User(id=2, name="b"), User(id=3, name="c"))
    async with both.session() as session:
        one, two, three = await session.get_many(User, [1, 2, 3])
        new = User(name="n")
        session.add(new)
        one.name = "x"
        session.delete(three)
        for obj in (one, two, three, new):
            await later(session.expunge(obj))
            assert obj not in session
        statements.clear()
        await session.commit()
        assert statements.sent == []
        assert await session.get(User, 1) is not one
        with pytest.raises(ObjectStateError, match="does not belong"):
            await later(session.expunge(two))
    async with both.session() as session:
        session.add(one)
        await session.commit()
    assert both.column("SELECT name FROM users ORDER BY id") == ["x", "b", "c"]


async def test_a_rollback_does_not_concern_what_was_expunged(both: Both) -> None:
    await made(both, User(id=1, name="a"))
    async with both.session() as session:
        user = await session.get(User, 1)
        user.name = "b"
        await session.flush()
        await later(session.expunge(user))
        await session.rollback()
        assert (user.name, user in session) == ("b", False)


async def test_expunge_all_keeps_the_transaction(both: Both) -> None:
    await made(both, User(id=1, name="a"))
    async with both.session() as session:
        user = await session.get(User, 1)
        flushed = User(name="flushed")
        session.add(flushed)
        await session.flush()
        session.add(User(name="n"))
        user.name = "x"
        await later(session.expunge_all())
        assert user not in session
        assert (plain(session).new, plain(session).dirty) == ((), ())
        await session.commit()
        assert (await session.get(User, 1)).name == "a"
    assert both.column("SELECT name FROM users ORDER BY name") == ["a", "flushed"]


async def later(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


# --- plan -------------------------------------------------------------------------------------------------------------


async def check_plan(both: Both, session: Any, statements: Statements) -> list[str]:
    """The plan sends nothing, and the flush sends just what it says."""
    statements.clear()
    plan = plain(session).plan()
    again = plain(session).plan()
    assert statements == []
    assert str(plan) == str(again)
    await session.flush()
    sent = statements.of("flush")
    assert len(sent) == len(plan), f"{plan}\n{sent}"
    for planned, text in zip(plan, sent, strict=True):
        assert planned.verb in text
        assert all(table in text for table in planned.table.split(", "))
    return str(plan).splitlines()


async def test_the_plan_is_what_the_flush_sends(both: Both, statements: Statements) -> None:
    await made(both, *(User(id=n, name=f"u{n}") for n in (1, 2, 3)), Tag(id=1, name="t"))
    async with both.session() as session:
        one, two, three = await session.get_many(User, [1, 2, 3])
        tag = await session.get(Tag, 1)
        assert str(plain(session).plan()) == "nothing to send"
        user = User(name="new", orders=[Order(items=[Item(name="a", tags=[tag]), Item(name="b")]), Order(note="n")])
        session.add(user)
        one.name = "x"
        two.age = 5
        session.delete(three)
        lines = await check_plan(both, session, statements)
        assert lines == [
            'INSERT "users" (name): 1 row',
            'INSERT "orders" (user_id): 1 row',
            'INSERT "orders" (user_id, note): 1 row',
            'INSERT "items" (order_id, name): 2 rows',
            'UPDATE "users" (name): 1 row',
            'UPDATE "users" (age): 1 row',
            'INSERT "items_tags": 1 row',
            'DELETE "users": 1 row',
        ]
        await session.rollback()


async def test_the_plan_of_trees_takeovers_and_versions(both: Both, statements: Statements) -> None:
    await made(
        both, Sheet(id=1, title="a", code="x"), Sheet(id=2, title="b", code="y"), Sheet(id=3, title="c", code="z")
    )
    async with both.session() as session:
        one, two, three = await session.get_many(Sheet, [1, 2, 3])
        one.code, two.code = two.code, one.code
        session.delete(three)
        session.add(Sheet(title="n", code="z"))
        root = Node(name="root", children=[Node(name="leaf"), Node(name="other")])
        session.add(root)
        plan = await check_plan(both, session, statements)
        assert plan[0] == 'DELETE "sheets": 1 row'
        assert 'INSERT "nodes" (name, parent_id): 2 rows' in plan
        await session.rollback()


async def test_the_plan_of_rows_that_refer_to_each_other(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        team = Team(name="a")
        team.lead = Member(name="m", team=team)
        session.add(team)
        plan = await check_plan(both, session, statements)
        assert plan == [
            'INSERT "teams" (name): 1 row',
            'INSERT "members" (name, team_id, version): 1 row',
            'UPDATE "teams" (lead_id): 1 row',
        ]
        session.delete(team.lead)
        session.delete(team)
        plan = await check_plan(both, session, statements)
        assert plan[-1] == 'DELETE "teams", "members": 2 rows'
        await session.rollback()


async def test_the_plan_tells_its_objects(both: Both) -> None:
    async with both.session() as session:
        users = [User(name="a"), User(name="b")]
        session.add_all(users)
        (statement,) = plain(session).plan()
        assert (statement.verb, statement.columns, statement.rows) == ("INSERT", ("name",), 2)
        assert statement.objects == tuple(users)
        assert repr(statement) == '<INSERT "users" (name): 2 rows>'
        await session.rollback()
