"""What a flush costs: statements by table, operation and set of columns, whatever the number of rows; and nothing for
objects that nobody touched."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import Select
from tests.counts.calls import profiled

from .both import Both, Statements
from .models import Account, Course, Item, LedgerRow, Node, Order, Parted, Student, Tag, Ticket, User

MANY = 10_000


def many_users(both: Both, count: int = MANY) -> None:
    both.sql("INSERT INTO users (id, name, age) SELECT n, 'u' || n, n FROM generate_series(1, %s) n", count)


# --- one statement ---------------------------------------------------------------------------------------------------


async def test_10_000_new_objects_are_one_insert(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        users = [User(name=f"u{n}", data={"n": n}, labels=[str(n)]) for n in range(MANY)]
        session.add_all(users)
        await session.commit()
        assert len(statements.of("flush")) == 1
        assert len({user.id for user in users}) == MANY
        assert all(user.visits == 0 for user in users)
    rows = both.sql("SELECT id, name, data->>'n', labels[1] FROM users ORDER BY id")
    assert [tuple(row) for row in rows] == [(u.id, u.name, u.name[1:], u.name[1:]) for u in users]


async def test_10_000_changed_objects_are_one_update_per_column_set(both: Both, statements: Statements) -> None:
    many_users(both)
    async with both.session() as session:
        users = await session.exec(Select(User).OrderBy(User.id)).all()
        for user in users:
            user.age += 1
        statements.clear()
        await session.flush()
        assert statements.verbs == ["UPDATE"]
        for n, user in enumerate(users):
            if n % 3 == 0:
                user.name = f"n{n}"
            if n % 3 == 1:
                user.status = f"s{n}"
            if n % 3 == 2:
                user.name, user.status = f"n{n}", None
        statements.clear()
        await session.commit()
        # The third set changes one column in truth: status was NULL before.
        assert statements.verbs == ["UPDATE"] * 2
    rows = both.sql("SELECT id, name, status, age FROM users ORDER BY id")
    assert [tuple(row) for row in rows] == [(u.id, u.name, u.status, u.age) for u in users]


async def test_10_000_deleted_objects_are_one_delete(both: Both, statements: Statements) -> None:
    many_users(both)
    async with both.session() as session:
        users = await session.exec(Select(User)).all()
        statements.clear()
        for user in users[1:]:
            session.delete(user)
        await session.commit()
        assert statements.verbs == ["DELETE"]
    assert both.column("SELECT id FROM users") == [users[0].id]


async def test_parents_and_children_are_one_insert_each(both: Both, statements: Statements) -> None:
    """1,000 parents with 10 children each, added by the parents alone."""
    async with both.session() as session:
        users = []
        for n in range(1000):
            user = User(name=f"u{n}")
            user.orders = [Order(total=Decimal(n * 10 + k)) for k in range(10)]
            users.append(user)
        session.add_all(users)
        await session.commit()
        assert statements.verbs == ["INSERT", "INSERT"]
        assert all(order.user_id == user.id for user in users for order in user.orders)
    rows = both.sql("SELECT u.name, o.id, o.total FROM orders o JOIN users u ON u.id = o.user_id ORDER BY o.id")
    expected = [(u.name, o.id, o.total) for u in users for o in u.orders]
    assert [tuple(row) for row in rows] == expected


async def test_three_levels_are_three_inserts(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        for n in range(20):
            user = User(name=f"u{n}")
            for _ in range(3):
                order = Order(user=user)
                order.items = [Item(name="i"), Item(name="j")]
            session.add(user)
        await session.commit()
    assert statements.verbs == ["INSERT"] * 3
    assert both.value("SELECT count(*) FROM items JOIN orders ON orders.id = order_id") == 120


async def test_links_are_one_insert_and_one_delete(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        courses = [Course(title=f"c{n}") for n in range(5)]
        students = [Student(name=f"s{n}", courses=courses) for n in range(200)]
        session.add_all(students)
        await session.commit()
        assert statements.verbs == ["INSERT"] * 3
        assert both.value("SELECT count(*) FROM enrolments") == 1000
        statements.clear()
        for student in students:
            student.courses.pop()
            student.courses.remove(courses[0])
        await session.commit()
        assert statements.verbs == ["DELETE"]
    assert both.value("SELECT count(*) FROM enrolments") == 600


async def test_one_insert_for_each_set_of_columns(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        users = [User(name=f"u{n}", **({"status": "s"} if n % 2 else {})) for n in range(100)]
        session.add_all(users)
        await session.commit()
        assert statements.verbs == ["INSERT"] * 2
    rows = both.sql("SELECT id, name, status FROM users")
    assert {tuple(row) for row in rows} == {(u.id, u.name, u.status) for u in users}


async def test_composite_keys_and_text_keys(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        accounts = [Account(bank=f"b{n % 7}", number=n) for n in range(500)]
        session.add_all(accounts)
        await session.commit()
        for account in accounts:
            account.balance += account.number
        await session.commit()
        assert statements.verbs == ["INSERT", "UPDATE"]
        assert both.value("SELECT sum(balance) FROM accounts") == sum(range(500))
        statements.clear()
        for account in accounts[::2]:
            session.delete(account)
        await session.commit()
        assert statements.verbs == ["DELETE"]
    assert both.value("SELECT count(*) FROM accounts") == 250


async def test_a_tree_is_written_level_by_level(both: Both, statements: Statements) -> None:
    """Rows of one class that refer to each other: one INSERT a level at most, not one a row."""
    async with both.session() as session:
        root = Node(name="root")
        for n in range(20):
            child = Node(name=f"c{n}", parent=root)
            child.children = [Node(name=f"g{n}.{k}") for k in range(5)]
        session.add(root)
        await session.commit()
        assert len(statements.of("flush")) <= 3
    found = both.sql(
        "SELECT g.name AS g, c.name AS c, r.name AS r FROM nodes g JOIN nodes c ON c.id = g.parent_id"
        " JOIN nodes r ON r.id = c.parent_id"
    )
    assert len(found) == 100
    assert all(row.g.startswith(f"g{row.c[1:]}.") and row.r == "root" for row in found)


# --- keys and values by key or ordinal, never by the order of RETURNING ----------------------------------------------


async def test_rows_that_come_back_in_another_order(both: Both, statements: Statements) -> None:
    """Kinds go to different partitions, and the trigger's values come back; each object has its own."""
    async with both.session() as session:
        rows = [Parted(kind="ab"[n % 2], note=f"n{n}") for n in range(300)]
        ledger = [LedgerRow(amount=n) for n in range(300)]
        session.add_all([*rows, *ledger])
        await session.commit()
        assert statements.verbs == ["INSERT"] * 2
        assert [row.doubled for row in ledger] == [2 * n for n in range(300)]
        assert [row.changes for row in ledger] == [0] * 300
    stored = {(row.kind, row.id): row.note for row in both.sql("SELECT kind, id, note FROM parted")}
    assert stored == {(row.kind, row.id): row.note for row in rows}
    stored = {row.id: row.amount for row in both.sql("SELECT id, amount FROM ledger")}
    assert stored == {row.id: row.amount for row in ledger}


async def test_keys_that_descend(both: Both, statements: Statements) -> None:
    """The database gives descending keys: what is sent first has the greatest."""
    both.sql("ALTER SEQUENCE tags_id_seq INCREMENT -1 MINVALUE -100000 START -1 RESTART -1")
    try:
        async with both.session() as session:
            tags = [Tag(name=f"t{n}") for n in range(100)]
            session.add_all(tags)
            await session.commit()
            assert len(statements.of("flush")) == 1
        assert {row.id: row.name for row in both.sql("SELECT id, name FROM tags")} == {t.id: t.name for t in tags}
        assert tags[0].id > tags[-1].id
    finally:
        both.sql("ALTER SEQUENCE tags_id_seq INCREMENT 1 NO MINVALUE START 1000 RESTART 1000")


async def test_keys_that_a_trigger_makes(both: Both) -> None:
    async with both.session() as session:
        tickets = [Ticket(subject=f"s{n}") for n in range(20)]
        session.add_all(tickets)
        await session.commit()
        assert await session.get(Ticket, tickets[3].number) is tickets[3]
    stored = {row.number: row.subject for row in both.sql("SELECT number, subject FROM tickets")}
    assert stored == {ticket.number: ticket.subject for ticket in tickets}


# --- what clean objects cost -----------------------------------------------------------------------------------------


def calls(work: Callable[[], object]) -> int:
    """Return how many functions, of Python and of C, `work` calls."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    with profiled(profile):
        work()
    return count


async def test_100_000_clean_objects_cost_a_flush_nothing(both: Both) -> None:
    many_users(both, 100_000)
    async with both.session() as session:
        one = await session.get(User, 1)
        raw = getattr(session, "raw", session)
        unit = raw._workspace.unit

        async def cost() -> int:
            one.age += 1
            counted = 0

            def profile(frame: Any, event: str, argument: Any) -> None:
                nonlocal counted
                counted += event in ("call", "c_call")

            with profiled(profile):
                await session.flush()
            return counted

        await cost()  # what is made once is made now
        alone = await cost()
        users = await session.exec(Select(User)).all()
        assert len(users) == 100_000
        assert not unit.has_changes
        together = await cost()
        assert abs(together - alone) < 100, "a flush looked at objects that nobody touched"
        await session.rollback()


async def test_reading_100_000_objects_makes_none_of_them_changed(both: Both, statements: Statements) -> None:
    many_users(both, 2000)
    async with both.session() as session:
        users = await session.exec(Select(User)).all()
        assert sum(user.age for user in users) == sum(range(2001))
        assert calls(lambda: [user.name for user in users]) < 100  # a plain attribute: no call a read
        statements.clear()
        await session.commit()
    assert statements.of("flush") == []


# --- include ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [2, 500, 3000])
async def test_include_is_one_query_and_one_for_each_relation(both: Both, statements: Statements, rows: int) -> None:
    many_users(both, rows)
    both.sql("INSERT INTO orders (user_id) SELECT id FROM users")
    both.sql("INSERT INTO items (order_id, name) SELECT id, 'i' FROM orders")
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'one')")
    both.sql("INSERT INTO items_tags (item_id, tag_id) SELECT id, 1 FROM items")
    async with both.session() as session:
        query = Select(User).Include(User.orders.Include(Order.items.Include(Item.tags)), User.profile, User.pets)
        users = await session.exec(query).all()
        assert len(statements.of("query")) == 1
        assert len(statements.of("load")) == 5
        assert all(user.orders[0].items[0].tags[0].name == "one" for user in users)
        assert len(statements) == 6
        texts = {event.text for event in statements}
    assert not [text for text in texts if str(rows) in text]  # no count in the SQL
