"""What each operation sends: the table in docs/counts.md is made here, and is compared to the letter.

Round trips are counted by a proxy between driver and server: a simple query, or what a Sync ends. Each operation has
run before, so that the catalog is read and statements are prepared.

    WRITE_COUNTS=1 pytest tests/database/test_counts.py      writes the table anew
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from psqlmodel import Select, create_async_engine, create_engine
from tests.faults.proxy import BEFORE, Proxy

from .both import Both
from .models import Item, Node, Order, Tag, User

PAGE = Path(__file__).parents[2] / "docs" / "counts.md"
MANY = 10**9
Operation = Callable[[Any], Awaitable[None]]


async def get(session: Any) -> None:
    _ = await session.get(User, 1)


async def get_again(session: Any) -> None:
    user = await session.get(User, 1)
    for _ in range(10):
        assert await session.get(User, 1) is user


async def select(session: Any) -> None:
    assert len(await session.exec(Select(User)).all()) == 1000


async def include(session: Any) -> None:
    _ = await session.exec(Select(User).Include(User.orders.Include(Order.items))).all()


async def get_many(session: Any) -> None:
    _ = await session.get_many(User, range(1000))


async def add_one(session: Any) -> None:
    session.add(Tag(name="one"))
    await session.commit()


async def add_many(session: Any) -> None:
    session.add_all(Node(name=f"node {n}") for n in range(1000))
    await session.commit()


async def graph(session: Any) -> None:
    session.add_all(User(name="x", orders=[Order() for _ in range(10)]) for _ in range(100))
    await session.commit()


async def change_one(session: Any) -> None:
    users = await session.exec(Select(User)).all()
    users[0].age = 1
    await session.commit()


async def change_many(session: Any) -> None:
    for user in await session.exec(Select(User)).all():
        user.age = 2
    await session.commit()


async def change_nothing(session: Any) -> None:
    users = await session.exec(Select(User)).all()
    users[0].name = users[0].name
    await session.commit()


async def delete_many(session: Any) -> None:
    for user in await session.exec(Select(User)).all():
        session.delete(user)
    await session.commit()


async def delete_all(session: Any) -> None:
    session.delete_all(await session.exec(Select(User)).all())
    await session.commit()


async def link(session: Any) -> None:
    session.add(Item(order=Order(user=User(name="x")), name="i", tags=[Tag(name="a"), Tag(name="b"), Tag(name="c")]))
    await session.commit()


async def savepoint(session: Any) -> None:
    async with session.begin_nested():
        session.add(Tag(name="inner"))
    await session.commit()


async def roll_back(session: Any) -> None:
    session.add(Tag(name="lost"))
    await session.flush()
    await session.rollback()


async def upsert(session: Any) -> None:
    _ = await session.upsert([Tag(name=f"tag {n}") for n in range(1000)], on=Tag.name)
    await session.commit()


async def bulk_insert(session: Any) -> None:
    _ = await session.bulk_insert([Node(name="b") for _ in range(1000)])
    await session.commit()


async def bulk_upsert(session: Any) -> None:
    _ = await session.bulk_upsert([Tag(name=f"tag {n}") for n in range(1000)], on=Tag.name)
    await session.commit()


async def bulk_update(session: Any) -> None:
    _ = await session.bulk_update([{"id": n, "name": "c"} for n in range(1000)], model=User)
    await session.commit()


async def bulk_delete(session: Any) -> None:
    _ = await session.bulk_delete(range(1000), model=User)
    await session.commit()


async def copy_to(session: Any) -> None:
    _ = await session.copy_to(Select(Node), io.BytesIO())


async def parallel(session: Any) -> None:
    _ = await session.parallel_exec([Select(User), Select(Tag), Select(Node)], consistent=True, max_workers=1)


OPERATIONS: list[tuple[str, Operation]] = [
    ("`get` by key", get),
    ("`get` by key eleven times", get_again),
    ("`Select` of 1,000 objects", select),
    ("`Select` with `Include` of two levels", include),
    ("`get_many` of 1,000 keys", get_many),
    ("`add` one, `commit`", add_one),
    ("`add` 1,000, `commit`", add_many),
    ("`add` 100 parents with 10 children each, `commit`", graph),
    ("select 1,000, change none, `commit`", change_nothing),
    ("select 1,000, change one, `commit`", change_one),
    ("select 1,000, change all, `commit`", change_many),
    ("select 1,000, `delete` all, `commit`", delete_many),
    ("select 1,000, `delete_all`, `commit`", delete_all),
    ("`add` an item with its order, its user and three tags, `commit`", link),
    ("`add` one in a savepoint, `commit`", savepoint),
    ("`add` one, `flush`, `rollback`", roll_back),
    ("`upsert` 1,000, `commit`", upsert),
    ("`bulk_insert` 1,000, `commit`", bulk_insert),
    ("`bulk_upsert` 1,000, `commit`", bulk_upsert),
    ("`bulk_update` 1,000, `commit`", bulk_update),
    ("`bulk_delete` 1,000, `commit`", bulk_delete),
    ("`copy_to` of a table", copy_to),
    ("`parallel_exec` of three queries, `consistent`, by one worker", parallel),
]


@pytest.fixture
def proxy(shop_dsn: str) -> Iterator[Proxy]:
    made = Proxy(shop_dsn)
    yield made
    made.close()


def fill(both: Both) -> None:
    for name in ("users", "tags", "nodes"):
        both.sql(f"DELETE FROM {name}")
    both.sql("INSERT INTO users (id, name) SELECT n, 'user ' || n FROM generate_series(0, 999) n")
    both.sql("INSERT INTO orders (user_id, total) SELECT n, 1 FROM generate_series(0, 999) n")
    both.sql("INSERT INTO items (order_id, name, price, quantity) SELECT id, 'item', 1, 1 FROM orders")


async def counted(both: Both, proxy: Proxy, operation: Operation) -> tuple[int, int]:
    """Return the statements and the round trips of one operation, once everything is warm."""
    for _ in range(3):
        fill(both)
        both.statements.clear()
        proxy.cut(MANY, BEFORE)
        async with both.session() as session:
            await operation(session)
            sent, trips = len(both.statements), MANY - proxy._left
    return sent, trips


@pytest.fixture
def through(both: Both, proxy: Proxy) -> Iterator[Both]:
    """The same shop through the proxy, on engines of its own."""
    engine: Any = (create_engine if both.is_sync else create_async_engine)(proxy.dsn)
    made = Both(both.kind, engine, both._sql)
    stop = engine.on_statement(made.statements.take)
    yield made
    stop()


async def test_the_table_in_the_docs_is_true(through: Both, proxy: Proxy) -> None:
    column = 2 if through.is_sync else 3
    rows = {name: await counted(through, proxy, operation) for name, operation in OPERATIONS}
    closing: Any = through.engine.dispose()
    if closing is not None:
        await closing
    if os.environ.get("WRITE_COUNTS"):
        _write(rows, column)
    found = {line[0]: (int(line[1]), int(line[column])) for line in _table() if line[0] in rows}
    assert found == rows


def _table() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _write(rows: dict[str, tuple[int, int]], column: int) -> None:
    known = {line[0]: line for line in _table()}
    lines = []
    for name, (sent, trips) in rows.items():
        line = known.get(name, [name, "0", "0", "0"])
        line[1], line[column] = str(sent), str(trips)
        lines.append("| " + " | ".join(line) + " |")
    text = re.sub(
        r"(\|---[^\n]*\n)(?:\| [^\n]*\n)*", lambda m: m[1] + "\n".join(lines) + "\n", PAGE.read_text(), count=1
    )
    _ = PAGE.write_text(text)
