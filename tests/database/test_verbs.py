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
    StaleObjectError,
    UniqueViolation,
)

from .both import Both, Statements
from .models import Account, Mood, Node, Person, Tag, User
from .rows import made, rows
from .versioned import File, Folder, Sheet, make_tables


@pytest.fixture(autouse=True, scope="module")
def tables(plain_sql: Engine) -> None:
    make_tables(plain_sql)


@pytest.fixture
def rival(shop_dsn: str) -> Iterator[Any]:
    """A connection of someone else, in a transaction."""
    connection = psycopg2.connect(shop_dsn)
    yield connection
    connection.close()


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
        with pytest.raises(
            InvalidValueError, match=r"^get_or_create: User\.email is None, and no row is found by that"
        ):
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
