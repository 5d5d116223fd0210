"""Bulk work where rows may be there already: left out or updated, counted, marked; on both sessions."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel import (
    Column,
    Engine,
    InvalidValueError,
    MissingPrimaryKeyError,
    NotNullViolation,
    PSQLModel,
    PSQLModelError,
    QueryError,
    Unique,
    UniqueViolation,
    table,
)
from psqlmodel.core.bulk import inserting

from .both import Both, Statements
from .models import Account, Parted, Tag, User


@table("bulk_products", constraints=[Unique("shop", "number")])
class Product(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    sku: Column[str] = Column(unique=True)
    shop: Column[int | None] = Column()
    number: Column[int | None] = Column()
    price: Column[int | None] = Column()
    version: Column[int] = Column(version=True)


@pytest.fixture(scope="module")
def made(plain_sql: Engine) -> None:
    plain_sql.create_all([Product])


@pytest.fixture
def products(made: None, both: Both) -> None:
    both.sql("INSERT INTO bulk_products (id, sku, shop, number, price, version) VALUES (-1, 'a', 1, 1, 10, 1)")


def stored(both: Both) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in both.sql("SELECT sku, price, version FROM bulk_products ORDER BY sku")]


async def test_ignored_rows_are_left_out_and_told_from_new_ones(both: Both) -> None:
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'a'), (2, 'b')")
    tags = [Tag(name=name) for name in ("a", "new", "b", "newer", "new")]
    async with both.session() as session:
        count = await session.bulk_insert(tags, on_conflict="ignore", on=Tag.name)
        await session.commit()
    assert (count, count.inserted, count.updated) == (2, 2, 0)
    keys = {row.name: row.id for row in both.sql("SELECT id, name FROM tags")}
    assert set(keys) == {"a", "b", "new", "newer"}
    assert [tag.id for tag in tags] == [None, keys["new"], None, keys["newer"], None]


async def test_new_objects_are_detached_and_those_left_out_are_not(both: Both) -> None:
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'a')")
    old, new = Tag(name="a"), Tag(name="b")
    async with both.session() as session:
        await session.bulk_insert([old, new], on_conflict="ignore")  # the one unique key
        session.add(new)
        assert session.new == ()
        session.add(old)
        assert session.new == (old,)
        await session.rollback()


async def test_the_first_of_two_with_one_key_is_inserted_where_others_are_ignored(both: Both) -> None:
    rows = [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]
    async with both.session() as session:
        assert await session.bulk_insert(rows, model=Tag, on_conflict="ignore") == 1
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["a"]


async def test_ignoring_one_key_does_not_ignore_another(both: Both) -> None:
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'a')")
    async with both.session() as session:
        with pytest.raises(UniqueViolation, match=r"^models\[1\]: "):
            await session.bulk_insert([Tag(id=1, name="x"), Tag(id=2, name="a")], on_conflict="ignore")
        await session.rollback()
    assert both.column("SELECT name FROM tags") == ["a"]


async def test_an_upsert_writes_what_is_set_and_gives_the_keys_of_the_rows(both: Both, products: None) -> None:
    given = [Product(sku="b", price=2), Product(sku="a", price=11)]
    async with both.session() as session:
        count = await session.bulk_upsert(given, on=Product.sku)
        await session.commit()
    assert (count, count.inserted, count.updated) == (2, 1, 1)
    assert given[1].id == -1
    assert given[0].id == both.value("SELECT id FROM bulk_products WHERE sku = 'b'")
    assert stored(both) == [("a", 11, 2), ("b", 2, 1)]


async def test_an_upsert_by_several_columns_of_dictionaries(both: Both, products: None) -> None:
    rows: list[dict[str, Any]] = [{"sku": "z", "shop": 1, "number": 1}, {"sku": "y", "shop": 1, "number": 2}]
    async with both.session() as session:
        count = await session.bulk_upsert(rows, model=Product, on=["shop", Product.number], update=Product.sku)
        await session.commit()
    assert (count.inserted, count.updated) == (1, 1)
    assert rows[0]["id"] == -1
    assert stored(both) == [("y", None, 1), ("z", 10, 2)]


async def test_tuples_are_counted_and_nothing_is_asked_back(both: Both, products: None, statements: Statements) -> None:
    rows = [("a", 5), ("b", 6), ("c", 7)]
    async with both.session() as session:
        count = await session.bulk_upsert(rows, model=Product, columns=["sku", Product.price], on="sku")
        await session.commit()
    assert (count, count.inserted, count.updated) == (3, 2, 1)
    assert [text.split()[0] for text in statements.of("bulk")] == ["CREATE", "COPY", "WITH", "DROP"]
    assert stored(both) == [("a", 5, 2), ("b", 6, 1), ("c", 7, 1)]


async def test_an_upsert_that_writes_nothing_leaves_the_rows(both: Both, products: None) -> None:
    async with both.session() as session:
        count = await session.bulk_upsert([Product(sku="a", price=5), Product(sku="b")], on="sku", update=())
        await session.commit()
    assert (count.inserted, count.updated) == (1, 0)
    assert stored(both) == [("a", 10, 1), ("b", None, 1)]


async def test_composite_keys_are_the_default(both: Both) -> None:
    both.sql("INSERT INTO accounts (bank, number, balance) VALUES ('b', 1, 1)")
    accounts = [Account(bank="b", number=n, balance=7) for n in (1, 2)]
    async with both.session() as session:
        count = await session.bulk_insert(accounts, on_conflict="update")
        await session.commit()
    assert (count.inserted, count.updated) == (1, 1)
    assert both.column("SELECT balance FROM accounts") == [7, 7]


async def test_a_partitioned_table_does_not_tell_which_are_new(both: Both) -> None:
    both.sql("INSERT INTO parted (id, kind, note) VALUES (1, 'a', 'old')")
    rows = [Parted(id=1, kind="a", note="x"), Parted(id=2, kind="b", note="y")]
    async with both.session() as session:
        count = await session.bulk_upsert(rows)
        await session.commit()
    assert (count, count.inserted, count.updated) == (2, None, None)
    assert both.column("SELECT note FROM parted ORDER BY id") == ["x", "y"]


async def test_types_that_only_the_database_knows(both: Both) -> None:
    rows = [User(id=1, name="a", data={"k": [1, None]}, labels=["x", 'y"\t', None]), User(id=2, name="\\b\n")]
    async with both.session() as session:
        await session.bulk_upsert(rows)
        for row in rows:
            row.name += "!"
        await session.bulk_upsert([User(id=1, name="a!", data=None, labels=[]), User(id=2, name="\\b\n!")])
        await session.commit()
    found = [tuple(row) for row in both.sql("SELECT name, data, labels FROM users ORDER BY id")]
    assert found == [("a!", None, []), ("\\b\n!", None, None)]


async def test_chunks_and_several_calls_in_one_transaction(both: Both, monkeypatch: Any) -> None:
    monkeypatch.setattr(inserting, "CHUNK", 3)
    async with both.session() as session:
        for step in (1, 2):
            rows = ((n, f"{step} {n}") for n in range(10))
            count = await session.bulk_upsert(rows, model=Tag, columns=["id", "name"], on="id")
            assert (count.inserted, count.updated) == ((10, 0) if step == 1 else (0, 10))
        async with session.begin_nested():
            assert await session.bulk_insert([Tag(id=3, name="?")], on_conflict="ignore") == 0
        await session.commit()
    assert both.value("SELECT count(*) FROM tags WHERE name = '2 ' || id") == 10
    assert both.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'psqlmodel_bulk%'") == 0


async def test_loaded_objects_show_what_an_upsert_wrote(both: Both, products: None) -> None:
    async with both.session() as session:
        loaded = await session.get(Product, -1)
        assert loaded.price == 10
        await session.bulk_upsert([("a", 99)], model=Product, columns=["sku", "price"], on="sku")
        assert (loaded.price, loaded.version) == (99, 2)
        loaded.price = 100  # its version is the row's
        await session.commit()
        await session.bulk_upsert([{"sku": "a", "price": 1}], model=Product, on="sku", returning=False)
        assert loaded.price == 1
        await session.rollback()
        assert (loaded.price, loaded.version) == (100, 3)
    assert stored(both) == [("a", 100, 3)]


@pytest.mark.parametrize(
    ("options", "rows", "error", "words"),
    [
        ({"on_conflict": "replace"}, [], QueryError, r'"ignore" or "update", not \'replace\''),
        ({"on": "sku"}, [], QueryError, "say on_conflict="),
        ({"on_conflict": "update"}, [Product(sku="a")], QueryError, r"\(sku\) and \(shop, number\).* say on="),
        ({"on_conflict": "ignore"}, [Parted(kind="a")], MissingPrimaryKeyError, "no other unique key; say on="),
        (
            {"on_conflict": "update", "on": "number"},
            [Product(sku="a")],
            InvalidValueError,
            r"models\[0\] has no .*number",
        ),
        (
            {"on_conflict": "update", "on": "sku"},
            [Product(sku="a", price=1), Product(sku="b", price=1), Product(sku="a", price=2)],
            InvalidValueError,
            r"models\[0\] and models\[2\] have the same key",
        ),
    ],
)
async def test_what_can_be_no_conflict_is_refused(
    both: Both,
    products: None,
    options: dict[str, Any],
    rows: list[Any],
    error: type[Exception],
    words: str,
) -> None:
    async with both.session() as session:
        with pytest.raises(error, match=words):
            await session.bulk_insert(rows, **options)
    assert stored(both) == [("a", 10, 1)]


async def test_columns_to_write_must_be_set(both: Both, products: None) -> None:
    async with both.session() as session:
        with pytest.raises(InvalidValueError, match=r"update= names Product.price, and models\[0\] does not set it"):
            await session.bulk_upsert([Product(sku="a")], on="sku", update=[Product.price])


async def test_a_bad_row_is_named_on_the_way_and_at_the_table(both: Both, products: None) -> None:
    async with both.session() as session:
        rows: list[Any] = [{"id": 2, "sku": "b"}, {"id": 3, "sku": None}]
        with pytest.raises(NotNullViolation, match=r"^models\[1\]: ") as caught:
            await session.bulk_upsert(rows, model=Product)
        assert caught.value.object is rows[1]
        large = [(n, f"s{n}", 2**40 if n == 7 else n) for n in range(10, 20)] + [(7, "s", 2**40)]
        with pytest.raises(PSQLModelError, match=r"^models\[10\]: "):
            await session.bulk_upsert(large, model=Product, columns=["id", "sku", "price"])
    assert stored(both) == [("a", 10, 1)]
