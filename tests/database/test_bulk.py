"""Bulk work on both sessions: keys, defaults, chunks, types that the database knows better, errors with positions."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    ForeignKeyViolation,
    InvalidValueError,
    MissingPrimaryKeyError,
    NotLoadedError,
    NotMappedError,
    NotNullViolation,
    ObjectStateError,
    Select,
    StaleObjectError,
    UniqueViolation,
)
from psqlmodel.core.bulk import inserting

from .both import Both, Statements
from .models import Account, Group, Item, LedgerRow, Mood, Order, Parted, Person, Tag, Ticket, User


async def test_keys_that_the_server_makes_are_on_the_objects(both: Both) -> None:
    users = [User(name=f"u{n}", email=f"{n}@x.org") for n in range(50)]
    async with both.session() as session:
        assert await session.bulk_insert(users) == 50
        await session.commit()
    by_key = {row.id: row.email for row in both.sql("SELECT id, email FROM users")}
    assert by_key == {user.id: user.email for user in users}


async def test_without_returning_no_key_is_asked_for(both: Both, statements: Statements) -> None:
    users = [User(name="a"), User(name="b")]
    async with both.session() as session:
        await session.bulk_insert(users, returning=False)
        await session.commit()
    assert [text.split()[0] for text in statements.of("bulk")] == ["COPY"]
    assert [user.id for user in users] == [None, None]
    assert both.column("SELECT name FROM users ORDER BY name") == ["a", "b"]


async def test_objects_are_detached_afterwards_and_not_inserted_again(both: Both) -> None:
    user, order = User(name="a"), Order(total=3)
    async with both.session() as session:
        await session.bulk_insert([user])
        with pytest.raises(NotLoadedError):  # the server made it, and nobody asked
            _ = user.created_at
        order.user = user
        session.add(order)
        await session.commit()
        user.name = "b"
        session.add(user)
        await session.commit()
    assert [tuple(row) for row in both.sql("SELECT id, name FROM users")] == [(user.id, "b")]
    assert both.value("SELECT user_id FROM orders") == user.id


async def test_dictionaries_need_a_class_and_get_defaults_and_keys(both: Both) -> None:
    given: list[dict[str, Any]] = [{"user_id": 1}, {"user_id": 1, "total": Decimal(5), "note": None}]
    async with both.session() as session:
        await session.bulk_insert([User(id=1, name="a")])
        await session.bulk_insert(given, model=Order)
        await session.commit()
    rows = both.sql("SELECT id, user_id, total FROM orders ORDER BY total")
    assert [tuple(row) for row in rows] == [(given[0]["id"], 1, 0), (given[1]["id"], 1, 5)]


async def test_rows_may_set_different_columns_and_be_of_different_classes(both: Both) -> None:
    models = [
        User(id=1, name="a"),
        User(name="b", visits=7, data={"k": [1]}, labels=["x", 'y"', None]),
        Tag(name="t"),
        User(id=2, name="c", data=None),
        Group(),
        Group(order="o", user="u", strange=3, class_="c"),
    ]
    async with both.session() as session:
        assert await session.bulk_insert(models) == 6
        await session.commit()
    rows = both.sql("SELECT name, visits, data, labels FROM users ORDER BY name")
    assert [tuple(row) for row in rows] == [
        ("a", 0, None, None),
        ("b", 7, {"k": [1]}, ["x", 'y"', None]),
        ("c", 0, None, None),
    ]
    assert both.column('SELECT "User" FROM "Group" ORDER BY id') == [None, "u"]


async def test_pending_changes_are_flushed_first(both: Both) -> None:
    async with both.session() as session:
        user = User(name="parent")
        session.add(user)
        await session.flush()
        session.add(User(id=5, name="pending"))
        await session.bulk_insert([Order(user_id=5), Order(user_id=user.id)])
        await session.commit()
    assert both.value("SELECT count(*) FROM orders") == 2


async def test_a_relation_gives_its_key(both: Both) -> None:
    async with both.session() as session:
        user = User(name="parent")
        session.add(user)
        await session.flush()
        await session.bulk_insert([Order(user=user, total=1)])
        await session.commit()
        assert both.value("SELECT user_id FROM orders") == user.id


async def test_rollback_takes_the_rows_back(both: Both) -> None:
    async with both.session() as session:
        await session.bulk_insert([Tag(name="a")])
        await session.rollback()
    assert both.value("SELECT count(*) FROM tags") == 0


async def test_the_types_of_the_database_win(both: Both) -> None:
    people = [
        Person(
            email=f"{n}@x.org",
            feeling=Mood.SO_SO,
            code="123",
            seen=datetime(2024, 1, n + 1),
            numbers=[2**40, n],
            moods=[Mood.SAD, Mood.HAPPY],
            address="10.0.0.1",
            big=2**50,
            small=n,
        )
        for n in range(3)
    ]
    async with both.session() as session:
        await session.bulk_insert(people)
        await session.commit()
        assert min(person.id for person in people) >= 5_000_000_000
        for person in people:
            person.seen, person.feeling, person.moods, person.numbers = None, Mood.SAD, [], [1]
            person.boss_id = people[0].id
        await session.bulk_update(people)
        await session.commit()
        loaded = await session.exec(Select(Person).OrderBy(Person.id)).all()
    assert [(p.seen, p.feeling, p.moods, p.numbers, p.boss_id) for p in loaded] == [
        (None, Mood.SAD, [], [1], people[0].id)
    ] * 3
    assert both.column("SELECT feeling::text || code || big FROM people") == [f"sad123{2**50}"] * 3


async def test_triggers_and_partitions(both: Both) -> None:
    rows = [LedgerRow(amount=n) for n in range(3)]
    parted = [Parted(kind=kind) for kind in "abab"]
    async with both.session() as session:
        await session.bulk_insert(rows)
        await session.bulk_insert(parted)
        await session.commit()
    assert both.column("SELECT doubled FROM ledger ORDER BY id") == [0, 2, 4]
    assert both.column("SELECT kind FROM parted ORDER BY kind, id") == list("aabb")
    assert len({row.id for row in parted}) == 4


async def test_a_key_that_only_a_trigger_makes(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(MissingPrimaryKeyError, match=r"models\[0\] has no Ticket.number.*returning=False"):
            await session.bulk_insert([Ticket(subject="s")])
        await session.bulk_insert([Ticket(subject="s")], returning=False)
        await session.commit()
    assert both.column("SELECT subject FROM tickets") == ["s"]


async def test_an_iterator_is_read_in_chunks(both: Both, statements: Statements, monkeypatch: Any) -> None:
    monkeypatch.setattr(inserting, "CHUNK", 10)
    made = 0

    def tags() -> Iterator[Tag]:
        nonlocal made
        for number in range(35):
            made += 1
            assert made <= 10 * (1 + len([t for t in statements.of("bulk") if t.startswith("COPY")]))
            yield Tag(name=f"t{number}")

    async with both.session() as session:
        assert await session.bulk_insert(tags()) == 35
        await session.commit()
    assert both.value("SELECT count(*) FROM tags") == 35


async def test_memory_does_not_grow_with_the_number_of_rows(both: Both, monkeypatch: Any) -> None:
    monkeypatch.setattr(inserting, "CHUNK", 1000)
    async with both.session() as session:
        await session.bulk_insert([User(id=1, name="a")])
        tracemalloc.start()
        try:
            await session.bulk_insert(Order(user_id=1, note="x" * 20) for _ in range(3_000))
            small = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            await session.bulk_insert(Order(user_id=1, note="x" * 20) for _ in range(12_000))
            large = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await session.rollback()
    assert large < 1.3 * small


async def test_nothing_is_nothing(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        assert await session.bulk_insert([]) == 0
        assert await session.bulk_update([]) == 0
    assert statements == []


# --- updates ----------------------------------------------------------------------------------------------------------


async def test_an_update_is_one_statement_for_each_set_of_columns(both: Both, statements: Statements) -> None:
    both.sql("INSERT INTO users (id, name, status, age) SELECT n, 'u', 's', n FROM generate_series(1, 6) n")
    changes = [{"id": n, "status": None} for n in (3, 1, 2)] + [{"id": n, "age": None, "name": "v"} for n in (5, 4)]
    async with both.session() as session:
        assert await session.bulk_update(changes, model=User) == 5
        assert len(statements.of("bulk")) == 2
        await session.commit()
    rows = both.sql("SELECT name, status, age FROM users ORDER BY id")
    assert [tuple(row) for row in rows] == [("u", None, n) for n in (1, 2, 3)] + [("v", "s", None)] * 2 + [
        ("u", "s", 6)
    ]


async def test_loaded_objects_are_written_as_they_are(both: Both) -> None:
    both.sql("INSERT INTO users (id, name, data) SELECT n, 'u', '{\"a\": 1}' FROM generate_series(1, 3) n")
    async with both.session() as session:
        users = await session.exec(Select(User).OrderBy(User.id)).all()
    users[0].data["b"] = 2
    users[1].name = "changed"
    async with both.session() as session:
        await session.bulk_update(users)
        await session.commit()
    assert both.column("SELECT data FROM users ORDER BY id") == [{"a": 1, "b": 2}, {"a": 1}, {"a": 1}]
    assert both.column("SELECT name FROM users ORDER BY id") == ["u", "changed", "u"]


async def test_generated_columns_are_left_out(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'u')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 0)")
    both.sql("INSERT INTO items (id, order_id, name, price, quantity) VALUES (1, 1, 'i', 2, 3)")
    async with both.session() as session:
        items = await session.exec(Select(Item)).all()
        items[0].price = Decimal(5)
        await session.bulk_update(items)
        await session.commit()
    assert both.value("SELECT cost FROM items") == 15


async def test_composite_keys(both: Both) -> None:
    accounts = [Account(bank="b", number=n, balance=Decimal(n)) for n in range(3)]
    async with both.session() as session:
        await session.bulk_insert(accounts)
        await session.bulk_update(
            [{"bank": "b", "number": n, "balance": Decimal(10 * n)} for n in range(3)], model=Account
        )
        await session.commit()
    assert both.column("SELECT balance FROM accounts ORDER BY number") == [0, 10, 20]


async def test_keys_that_match_no_row_are_reported(both: Both) -> None:
    users = [User(id=n, name="u") for n in (1, 2, 3, 4)]
    async with both.session() as session:
        await session.bulk_insert([User(id=2, name="here")])
        with pytest.raises(StaleObjectError, match=r"3 of 4 keys match no row .*models\[0\], models\[2\]"):
            await session.bulk_update(users)
        with pytest.raises(StaleObjectError) as caught:
            await session.bulk_update(users)
        assert caught.value.objects == (users[0], users[2], users[3])
        await session.rollback()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "options", "error", "words"),
    [
        ([{"name": "a"}], {}, NotMappedError, r"models\[0\] is a dictionary.*model="),
        ([{"nam": "a"}], {"model": User}, InvalidValueError, r"models\[0\].*'nam'.*'name'"),
        ([User(name="a"), 3], {}, NotMappedError, r"models\[1\].*int is not a mapped model"),
        ([User], {}, NotMappedError, r"models\[0\] is the class User"),
        ({"name": "a"}, {"model": User}, NotMappedError, "a list or an iterator of models, not dict"),
        (5, {}, NotMappedError, "not int"),
        ([{"name": "a"}], {"model": int}, NotMappedError, "int"),
        ([User(name="a"), User(name=3)], {}, InvalidValueError, r"models\[1\]: User.name: .*not int"),
    ],
)
async def test_what_can_be_no_row_is_refused(
    both: Both, statements: Statements, models: Any, options: Any, error: type[Exception], words: str
) -> None:
    async with both.session() as session:
        with pytest.raises(error, match=words):
            await session.bulk_insert(models, **options)
        assert statements.of("bulk") == []
        assert await session.exec_scalar("SELECT 1") == 1  # the session is still usable


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([{"name": "a"}], r"models\[0\] has no User.id"),
        ([{"id": 1, "name": "a"}, {"id": None, "name": "a"}], r"models\[1\] has no User.id"),
        ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], r"models\[0\] and models\[1\] have the same key"),
        ([{"id": 1}], r"models\[0\] sets no column besides its key"),
    ],
)
async def test_what_can_be_no_update_is_refused(both: Both, models: Any, words: str) -> None:
    async with both.session() as session:
        with pytest.raises((InvalidValueError, MissingPrimaryKeyError), match=words):
            await session.bulk_update(models, model=User)


async def test_objects_of_a_session_are_refused(both: Both) -> None:
    async with both.session() as session:
        pending, loaded = User(name="p"), User(name="l")
        session.add(loaded)
        await session.flush()
        session.add(pending)
        with session.no_autoflush():
            with pytest.raises(ObjectStateError, match=r"models\[0\] .*waiting for a flush"):
                await session.bulk_insert([pending])
        with pytest.raises(ObjectStateError, match=r"models\[0\] .*has a row already"):
            await session.bulk_insert([loaded])
        await session.rollback()


async def test_an_error_of_the_server_names_the_row(both: Both) -> None:
    tags = [Tag(name=f"t{n}") for n in range(5)] + [Tag(name="t2"), Tag(name="z")]
    async with both.session() as session:
        with pytest.raises(UniqueViolation, match=r"^models\[5\]: ") as caught:
            await session.bulk_insert(tags)
        assert caught.value.object is tags[5]
        assert caught.value.model is Tag
        bad = Tag(name="x")
        bad.name = None
        with pytest.raises(NotNullViolation, match=r"^models\[1\]: ") as missing:
            await session.bulk_insert([Tag(name="y"), bad])
        assert missing.value.object is bad
        with pytest.raises(ForeignKeyViolation):
            await session.bulk_insert([Order(user_id=77)])


async def test_an_error_rolls_earlier_chunks_back(both: Both, monkeypatch: Any) -> None:
    monkeypatch.setattr(inserting, "CHUNK", 2)
    async with both.session() as session:
        with pytest.raises(InvalidValueError, match=r"models\[4\]"):
            await session.bulk_insert([Tag(name=name) for name in ("a", "b", "c", "d", 5)])
        await session.rollback()
    assert both.value("SELECT count(*) FROM tags") == 0
