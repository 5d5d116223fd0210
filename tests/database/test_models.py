"""Models on a real server: values, copies, names that SQL finds hard, tables that others made."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import InvalidValueError, NotLoadedError, PSQLModelError, Select

from .both import Both, Statements, only_sync
from .models import Account, Group, Item, LedgerRow, Mood, Order, Parted, Person, RichUser, Tag, Ticket, User


def ada(both: Both) -> None:
    both.sql("INSERT INTO users (id, name, data, labels) VALUES (1, 'Ada', '{\"a\": [1]}', '{x,y}')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 10)")


# --- repr, equality, hash --------------------------------------------------------------------------------------------


async def test_repr_sends_no_query(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        statements.clear()
        assert repr(user).startswith("User(id=1, name='Ada'")
        assert "orders" not in repr(user)
        assert repr(User(name="new")) == "User(name='new')"
        assert repr(session)
        assert statements == []
    assert "name='Ada'" in repr(user)
    assert len(repr(User(name="x" * 1000))) < 200


async def test_equality_is_identity_and_objects_are_hashable(both: Both) -> None:
    ada(both)
    async with both.session() as one, both.session() as other:
        user, same_row = await one.get(User, 1), await other.get(User, 1)
        assert user is await one.get(User, 1)
        assert user != same_row
        assert len({user, same_row, user}) == 2
        before = hash(user)
        user.name = "changed"
        user.data
        await one.flush()
        assert hash(user) == before
        await one.rollback()
        assert {user: 1}[user] == 1


# --- copies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
async def test_a_copy_is_transient_with_the_same_columns(both: Both, copied: Any) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.orders)).one()
        other = copied(user)
        assert other not in session
        assert (other.id, other.name, other.data, other.labels) == (1, "Ada", {"a": [1]}, ["x", "y"])
        assert other.orders == []
        other.data["a"].append(2)
        other.labels.append("z")
        assert (user.data, user.labels) == ({"a": [1]}, ["x", "y"])
        other.id = 2
        session.add(other)
        await session.commit()
    assert both.sql("SELECT id, data->'a', labels FROM users ORDER BY id") == [
        (1, [1], ["x", "y"]),
        (2, [1, 2], ["x", "y", "z"]),
    ]


async def test_pickle_after_the_session_is_gone(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.orders)).one()
        inside = pickle.dumps(user)
    for dumped in (inside, pickle.dumps(user)):
        loaded = pickle.loads(dumped)
        assert (loaded.name, loaded.data, loaded.labels) == ("Ada", {"a": [1]}, ["x", "y"])
        assert [order.total for order in loaded.orders] == [10]
        assert loaded.orders[0].user is loaded
        with pytest.raises(NotLoadedError):
            loaded.profile
    loaded.name = "unpickled"
    loaded.data["b"] = 1
    async with both.session() as session:
        session.add(loaded)
        statements.clear()
        await session.commit()
    assert statements.verbs == ["UPDATE"]
    assert tuple(both.sql("SELECT name, data->>'b' FROM users")[0]) == ("unpickled", "1")


async def test_pickle_keeps_changes_and_transience(both: Both) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.get(User, 1)
    user.name = "changed"
    user.labels.append("z")
    again = pickle.loads(pickle.dumps(user))
    fresh = pickle.loads(pickle.dumps(User(name="fresh")))
    async with both.session() as session:
        session.add_all([again, fresh])
        await session.commit()
    assert both.column("SELECT name FROM users ORDER BY id") == ["changed", "fresh"]
    assert both.value("SELECT labels FROM users WHERE id = 1") == ["x", "y", "z"]


# --- dictionaries ----------------------------------------------------------------------------------------------------


async def test_to_dict(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as session:
        user = await session.exec(Select(User).Include(User.orders)).one()
        statements.clear()
        plain = user.to_dict(exclude=["created_at"])
        assert plain == {
            "id": 1, "name": "Ada", "status": None, "age": None, "email": None,
            "data": {"a": [1]}, "labels": ["x", "y"], "visits": 0,
        }  # fmt: skip
        plain["data"]["a"].append("not in the object")
        assert user.data == {"a": [1]}
        nested = user.to_dict(relations=True)
        assert [order["total"] for order in nested["orders"]] == [10]
        assert "user" not in nested["orders"][0]  # met already
        assert "profile" not in nested  # not loaded
        assert statements == []


async def test_to_dict_has_a_shared_object_in_each_place(both: Both) -> None:
    async with both.session() as session:
        new = Tag(name="new")
        session.add(
            User(name="Ada", orders=[Order(items=[Item(name="pen", tags=[new]), Item(name="ink", tags=[new])])])
        )
        await session.commit()
    async with both.session() as session:
        everything = Select(Order).Include(Order.user, Order.items.Include(Item.tags.Include(Tag.items)))
        order = (await session.exec(everything).one()).to_dict(relations=True)
    assert [[tag["name"] for tag in item["tags"]] for item in order["items"]] == [["new"], ["new"]]
    assert order["user"]["name"] == "Ada"
    assert "orders" not in order["user"]  # not loaded
    assert ["order" in item for item in order["items"]] == [False, False]  # the way back
    assert ["items" in tag for item in order["items"] for tag in item["tags"]] == [False, False]


async def test_from_dict_and_update_from_dict(both: Both) -> None:
    async with both.session() as session:
        user = User.from_dict({"name": "Ada", "orders": [{"total": Decimal(3)}, {"total": Decimal(4)}]})
        assert [type(order) for order in user.orders] == [Order, Order]
        session.add(user)
        await session.commit()
        assert user.update_from_dict({"status": "new", "age": 3}) is user
        await session.commit()
    assert both.sql("SELECT name, status, age FROM users") == [("Ada", "new", 3)]
    assert both.column("SELECT total FROM orders ORDER BY id") == [3, 4]


# --- names, mixins, abstract bases -----------------------------------------------------------------------------------


async def test_keyword_named_and_mixed_case_tables_and_columns(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        groups = [Group(order=f"o{n}", user="u", strange=n, class_="c", created_by="me") for n in range(3)]
        session.add_all(groups)
        await session.commit()
        for group in groups:
            group.strange += 10
            group.order = None
        await session.commit()
        found = await session.exec(
            Select(Group).Where((Group.strange > 10) & (Group.user == "u")).OrderBy(Group.strange.Desc())
        ).all()
        assert found == [groups[2], groups[1]]
        await session.bulk_insert([Group(class_="bulk", strange=1)])
        await session.bulk_update([Group(id=groups[0].id, class_="updated")])
        await session.refresh(groups[0])
        assert groups[0].class_ == "updated"
        session.delete(groups[1])
        await session.commit()
    rows = both.sql('SELECT "order", "User", "a ""b"" c", "class", created_by FROM "Group" ORDER BY id')
    assert rows == [
        (None, "u", 10, "updated", "me"),
        (None, "u", 12, "c", "me"),
        (None, None, 1, "bulk", None),
    ]


def test_mixins_and_abstract_bases() -> None:
    group = Group(created_by="Ada")
    assert group.signed() == "by Ada"
    assert list(Group.__mapper__.attributes) == ["id", "created_by", "order", "user", "strange", "class_"] or {
        *Group.__mapper__.attributes
    } == {"id", "created_by", "order", "user", "strange", "class_"}
    assert Group.user.name == "User"


# --- tables that others made: the database's types win ---------------------------------------------------------------


PERSON: dict[str, Any] = {
    "email": "ada@example.org",
    "feeling": Mood.SO_SO,
    "code": "12345",
    "seen": datetime(2024, 1, 2, 3, 4, 5),
    "numbers": [1, 2**40],
    "moods": [Mood.HAPPY, Mood.SAD],
    "address": "10.0.0.1",
    "score": Decimal("2.50"),
    "big": 2**50,
    "small": 7,
}


def check_stored(both: Both, person: Person, **expected: Any) -> None:
    row = both.sql(
        "SELECT id, email, feeling::text, code::text, seen::text, numbers, moods::text[] AS moods, host(address) AS"
        " address, score, big, small, unknown_to_the_model, length FROM people WHERE id = %s",
        person.id,
    )[0]
    values = {**PERSON, **expected}
    assert row.id == person.id >= 5_000_000_000
    assert (row.email, row.code, row.address, row.score) == (
        values["email"], values["code"], values["address"], values["score"],
    )  # fmt: skip
    assert row.feeling == values["feeling"].value
    assert row.moods == [mood.value for mood in values["moods"]]
    assert row.seen == values["seen"].isoformat(" ")
    assert (row.numbers, row.big, row.small) == (values["numbers"], values["big"], values["small"])
    assert row.unknown_to_the_model == "kept"
    assert row.length == len(values["email"])


@pytest.mark.parametrize("count", [1, 3])
async def test_flushing_types_that_differ_from_the_annotation(both: Both, count: int) -> None:
    async with both.session() as session:
        people = [Person(**copy.deepcopy(PERSON)) for _ in range(count)]
        session.add_all(people)
        await session.commit()
        for person in people:
            check_stored(both, person)
            assert person.length == 15  # generated, though the model does not say so
        for person in people:
            person.feeling = Mood.SAD
            person.moods.append(Mood.SO_SO)
            person.numbers[0] = 2**41
            person.seen = datetime(2025, 1, 1)
            person.code = "99"
            person.big = 1
            person.address = "10.0.0.2"
            person.email = "a@b"
        await session.commit()
        for person in people:
            check_stored(
                both, person, feeling=Mood.SAD, moods=[Mood.HAPPY, Mood.SAD, Mood.SO_SO], numbers=[2**41, 2**40],
                seen=datetime(2025, 1, 1), code="99", big=1, address="10.0.0.2", email="a@b",
            )  # fmt: skip
        for person in people:
            session.delete(person)
        await session.commit()
    assert both.value("SELECT count(*) FROM people") == 0


async def test_reading_types_that_differ_from_the_annotation(both: Both, statements: Statements) -> None:
    both.sql(
        "INSERT INTO people (email, feeling, code, seen, numbers, moods, address, score, big, small) VALUES"
        " ('ada@example.org', 'so so', '12345', '2024-01-02 03:04:05', '{1,1099511627776}', '{happy,sad}',"
        " '10.0.0.1', 2.5, 1125899906842624, 7)"
    )
    async with both.session() as session:
        person = await session.exec(Select(Person)).one()
        assert {key: getattr(person, key) for key in PERSON} == PERSON
        assert type(person.feeling) is Mood
        assert type(person.address) is str
        assert type(person.moods[0]) is Mood
        statements.clear()
        await session.commit()
        assert statements.of("flush") == []  # reading changes nothing
        found = await session.exec(
            Select(Person).Where(
                (Person.feeling == Mood.SO_SO)
                & (Person.seen == datetime(2024, 1, 2, 3, 4, 5))
                & Person.id.In([person.id])
                & (Person.code == "12345")
                & (Person.big > 2**40)
                & Person.feeling.In([Mood.SAD, Mood.SO_SO])
                & (Person.address == "10.0.0.1")
            )
        ).one()
        assert found is person
        assert await session.get(Person, person.id) is person
        await session.refresh(person)
        assert person.numbers == [1, 2**40]
        rows = await session.exec(Select(Person.feeling, Person.numbers, Person.seen)).all()
        assert rows == [(Mood.SO_SO, [1, 2**40], datetime(2024, 1, 2, 3, 4, 5))]


async def test_bulk_work_with_types_that_differ(both: Both) -> None:
    async with both.session() as session:
        people = [Person(**copy.deepcopy(PERSON)) for _ in range(3)]
        await session.bulk_insert(people)
        await session.commit()
        for person in people:
            check_stored(both, person)
        changed = [Person(id=p.id, feeling=Mood.HAPPY, numbers=[], seen=None, big=-1) for p in people]
        assert await session.bulk_update(changed) == 3
        await session.commit()
    rows = both.sql("SELECT DISTINCT feeling::text, numbers, seen, big, email FROM people")
    assert rows == [("happy", [], None, -1, "ada@example.org")]


async def test_include_over_a_wider_key(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        boss = Person(**copy.deepcopy(PERSON), staff=[Person(**copy.deepcopy(PERSON)), Person(**copy.deepcopy(PERSON))])
        session.add(boss)
        await session.commit()
        number = boss.id
    async with both.session(strict=True) as session:
        statements.clear()
        people = await session.exec(Select(Person).Include(Person.staff, Person.boss).OrderBy(Person.id)).all()
        assert len(statements.of("query", "load")) <= 3
        by_id = {person.id: person for person in people}
        assert len(by_id[number].staff) == 2
        assert by_id[number].boss is None
        assert all(person.boss is by_id[number] for person in people if person.id != number)


async def test_values_that_the_database_refuses(both: Both) -> None:
    async with both.session() as session:
        session.add(Person(**{**PERSON, "code": "no digits"}))
        with pytest.raises(PSQLModelError) as caught:
            await session.commit()
        assert getattr(caught.value, "sqlstate", None) == "23514"
        session.add(Person(**{**PERSON, "small": 2**20}))
        with pytest.raises(InvalidValueError, match=r"Person\.small"):
            await session.commit()
        await session.rollback()
        session.add(Person(**{**PERSON, "seen": datetime(2024, 1, 1, tzinfo=UTC)}))
        with pytest.raises(InvalidValueError, match=r"Person\.seen"):
            await session.commit()
        await session.rollback()


async def test_the_catalog_is_read_once_for_each_table(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        for _ in range(3):
            session.add(Person(**copy.deepcopy(PERSON)))
            await session.commit()
            await session.exec(Select(Person).Where(Person.seen > datetime(2020, 1, 1))).all()
    async with both.session() as session:
        session.add(Person(**copy.deepcopy(PERSON)))
        await session.commit()
    assert len(statements.catalog) <= 1


# --- identity ALWAYS, triggers, generated columns, partitions, views -------------------------------------------------


async def test_identity_always_gives_the_key(both: Both) -> None:
    async with both.session() as session:
        one = Person(**copy.deepcopy(PERSON))
        session.add(one)
        await session.flush()
        many = [Person(**copy.deepcopy(PERSON)) for _ in range(3)]
        session.add_all(many)
        await session.commit()
        assert len({one.id, *(person.id for person in many)}) == 4


@pytest.mark.parametrize("count", [1, 4])
async def test_triggers_show_in_returned_columns(both: Both, count: int) -> None:
    async with both.session() as session:
        rows = [LedgerRow(amount=n) for n in range(count)]
        session.add_all(rows)
        await session.commit()
        assert [(row.doubled, row.changes) for row in rows] == [(2 * n, 0) for n in range(count)]
        for row in rows:
            row.amount += 1
        await session.commit()
        for row in rows:
            await session.refresh(row)
        assert [(row.doubled, row.changes) for row in rows] == [(2 * n + 2, 1) for n in range(count)]


async def test_a_key_that_a_trigger_makes(both: Both) -> None:
    async with both.session() as session:
        ticket = Ticket(subject="broken")
        session.add(ticket)
        await session.commit()
        assert ticket.number.startswith("T-")
        assert await session.get(Ticket, ticket.number) is ticket
        own = Ticket(number="X-1", subject="own key")
        session.add(own)
        await session.commit()
    assert both.value("SELECT subject FROM tickets WHERE number = 'X-1'") == "own key"


async def test_composite_keys(both: Both) -> None:
    async with both.session() as session:
        session.add_all([Account(bank="a", number=1), Account(bank="b", number=1, balance=5)])
        await session.commit()
        account = await session.get(Account, {"number": 1, "bank": "b"})
        assert account is await session.get(Account, ("b", 1))
        account.balance += 1
        await session.commit()
        session.delete(account)
        await session.commit()
        assert await session.get(Account, ("b", 1)) is None
    assert both.sql("SELECT bank, number FROM accounts") == [("a", 1)]


async def test_a_partitioned_table(both: Both) -> None:
    async with both.session() as session:
        row = Parted(kind="a", note="x")
        session.add(row)
        await session.commit()
        assert await session.get(Parted, (row.id, "a")) is row
        row.note = "y"
        await session.commit()
        session.add(Parted(kind="no partition"))
        with pytest.raises(PSQLModelError):
            await session.commit()
    assert both.sql("SELECT kind, note FROM parted") == [("a", "y")]


async def test_a_view_is_read(both: Both) -> None:
    ada(both)
    both.sql("INSERT INTO orders (user_id, total) VALUES (1, 500)")
    async with both.session() as session:
        rows = await session.exec(Select(RichUser)).all()
        assert [(row.name, row.spent) for row in rows] == [("Ada", 510)]


async def test_a_partly_selected_row_of_a_wider_table(both: Both) -> None:
    """Columns in another physical order, a dropped one, and one that the model does not have."""
    async with both.session() as session:
        session.add(Person(**copy.deepcopy(PERSON)))
        await session.commit()
    async with both.session() as session:
        rows = await session.exec("SELECT * FROM people").all()
        assert rows[0].unknown_to_the_model == "kept"
        assert rows[0]["feeling"] == "so so"
        person = (await session.exec(Select(Person)).all())[0]
        assert person.email == rows[0].email
        assert not hasattr(type(person), "unknown_to_the_model")


@only_sync
async def test_values_travel_alike(both: Both, async_engine: Any) -> None:
    """What one driver wrote the other reads as the same Python values."""
    from psqlmodel import AsyncSession, Session

    with Session(both.engine, auto_commit=True) as session:
        session.add(Person(**copy.deepcopy(PERSON)))
    async with AsyncSession(async_engine) as session:
        person = await session.exec(Select(Person)).one()
        assert {key: getattr(person, key) for key in PERSON} == PERSON
