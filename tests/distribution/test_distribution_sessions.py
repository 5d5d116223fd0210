"""Sessions send the distribution column along: what goes to the server about rows of one tenant names that tenant.

`ANY_TENANT` finds where a statement says on which shards its rows are; the values are compared with what was written.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    Excluded,
    Insert,
    Merge,
    ObjectStateError,
    OrphanError,
    QueryError,
    RelationError,
    Select,
    StaleObjectError,
    Update,
)
from tests.database.both import Both, Statements

from .models import Country, Line, Note, Order, Post, PostTag, Reply, Tag, Tenant

ANY_TENANT = re.compile(r't\."tenant_id" = ANY\(\$\d+::int8\[\]\)')


async def shop(both: Both, tenants: int = 2, orders: int = 2) -> None:
    """Write tenants 1, 2, … with orders of number 1, 2, …, each with two lines."""
    async with both.session() as session:
        for n in range(1, tenants + 1):
            tenant = Tenant(id=n, name=f"tenant {n}", country_code="fr")
            tenant.orders = [Order(number=m, lines=[Line(text="a"), Line(text="b")]) for m in range(1, orders + 1)]
            await session.add(tenant)
        await session.commit()
    both.statements.clear()


def routed(texts: list[str]) -> list[bool]:
    """Tell for each text whether it says on which shards its rows are."""
    return [ANY_TENANT.search(text) is not None for text in texts]


# --- flush ------------------------------------------------------------------------------------------------------------


async def test_new_rows_are_one_statement_for_each_table(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        order = await session.exec(Select(Order).Include(Order.lines).Where(Order.tenant_id == 1)).first()
        statements.clear()
        order.lines.append(Line(text="c"))
        more = Order(tenant_id=1, number=9, lines=[Line(text="d"), Line(text="e")])
        await session.add_all([more, Note(text="plain")])
        await session.commit()
        assert [(line.tenant_id, line.order_id) for line in more.lines] == [(1, more.id)] * 2
    assert statements.verbs == ["INSERT"] * 3
    assert not any(" o1 AS (" in text for text in statements.of("flush"))


async def test_a_flush_of_two_operations_is_two_statements(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        order = await session.exec(Select(Order)).first()
        statements.clear()
        order.total = Decimal(5)
        await session.add(Country(code="se", name="Sweden"))
        await session.commit()
    assert [text.split()[0] for text in statements.of("flush")] == ["INSERT", "UPDATE"]
    assert statements.of("flush")[1] == 'UPDATE "spread_orders" SET "total" = $1 WHERE "tenant_id" = $2 AND "id" = $3'


async def test_what_is_not_distributed_goes_together_as_ever(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        note = Note(text="one")
        await session.add(note)
        await session.commit()
        note.text = "two"
        await session.add(Note(text="three"))
        statements.clear()
        await session.commit()
    [text] = statements.of("flush")
    assert " o1 AS (" in text


@pytest.mark.parametrize("tenants", [1, 2])
async def test_changed_rows_name_their_tenants(both: Both, statements: Statements, tenants: int) -> None:
    await shop(both, tenants)
    async with both.session() as session:
        for order in await session.exec(Select(Order)).all():
            order.total = Decimal(order.tenant_id)
        await session.commit()
    assert routed(statements.of("flush")) == [True]
    assert both.column("SELECT total::int FROM spread_orders ORDER BY total") == sorted([*range(1, tenants + 1)] * 2)


async def test_values_that_need_a_cast_get_it_before_the_update(both: Both, statements: Statements) -> None:
    """Citus calls no function on rows that it updates unless it is immutable; the text input of most types is none."""
    await shop(both)
    async with both.session() as session:
        for order in await session.exec(Select(Order)).all():
            order.data = {"of": [order.tenant_id]}
        await session.commit()
    [text] = statements.of("flush")
    assert text.startswith("WITH d AS MATERIALIZED (SELECT d.c1::jsonb AS c1,")
    assert "::jsonb" not in text.split("UPDATE", 1)[1]
    assert routed([text]) == [True]
    assert both.column("SELECT data->'of'->>0 = tenant_id::text FROM spread_orders") == [True] * 4


async def test_versions_are_compared_and_come_back(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        lines = await session.exec(Select(Line).OrderBy(Line.tenant_id, Line.id)).all()
        for line in lines:
            line.text = "new"
        await session.commit()
        assert [line.version for line in lines] == [2] * 8
        both.sql("UPDATE spread_lines SET version = 7 WHERE tenant_id = 2")
        for line in lines:
            line.text = "newer"
        with pytest.raises(StaleObjectError) as caught:
            await session.commit()
        assert {line.tenant_id for line in caught.value.objects} == {2}
        await session.rollback()
    assert routed([text for text in statements.of("flush") if text.startswith("UPDATE")]) == [True, True]


async def test_rows_that_are_gone_are_found_without_not_exists(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        orders = await session.exec(Select(Order).OrderBy(Order.tenant_id, Order.id)).all()
        both.sql("DELETE FROM spread_orders WHERE tenant_id = 2 AND number = 1")
        for order in orders:
            order.total = Decimal(3)
        with pytest.raises(StaleObjectError, match="did not find 1 of 4 rows") as caught:
            await session.commit()
        assert caught.value.objects == (orders[2],)
        await session.rollback()
    assert not any("NOT EXISTS" in text for text in statements.of("flush"))
    assert all(routed(statements.of("flush")))


async def test_deleted_rows_name_their_tenants(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        orders = await session.exec(Select(Order)).all()
        lines = await session.exec(Select(Line).Where(Line.tenant_id == 1)).all()
        statements.clear()
        await session.delete_all([*lines, *orders])
        await session.commit()
    texts = statements.of("flush")
    assert [text.split('"')[1] for text in texts] == ["spread_lines", "spread_orders"]
    assert routed(texts) == [True, True]
    assert both.value("SELECT count(*) FROM spread_lines") == 0


async def test_the_tenant_of_a_row_does_not_change(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        line = await session.exec(Select(Line).Where(Line.tenant_id == 1).OrderBy(Line.id)).first()
        other = await session.exec(Select(Order).Where(Order.tenant_id == 2)).first()
        for attribute, value in (("tenant_id", 2), ("order", other)):
            statements.clear()
            setattr(line, attribute, value)
            await session.add(Note(text="nor is anything else written"))
            with pytest.raises(ObjectStateError, match=r"Line \(1, \d+\): tenant_id can't change"):
                await session.commit()
            assert statements.of("flush") == []
            await session.rollback()
            assert line.tenant_id == 1
    assert both.value("SELECT count(*) FROM spread_notes") == 0


async def test_a_refused_change_can_be_set_back(both: Both) -> None:
    await shop(both)
    async with both.session() as session:
        order = await session.exec(Select(Order).Where(Order.tenant_id == 1)).first()
        order.tenant_id = 2
        with pytest.raises(ObjectStateError):
            await session.flush()
        order.tenant_id, order.total = 1, Decimal(8)
        await session.commit()
    assert both.column("SELECT total::int FROM spread_orders WHERE total > 0") == [8]


async def test_a_row_that_leaves_its_parent_stays_with_its_tenant(both: Both) -> None:
    async with both.session() as session:
        post = Post(tenant_id=3, replies=[Reply(), Reply()])
        await session.add(post)
        await session.commit()
        post.replies.pop()
        await session.commit()
    assert both.sql("SELECT tenant_id, post_id IS NULL FROM spread_replies ORDER BY 2") == [(3, False), (3, True)]


async def test_a_row_that_may_not_leave_its_parent_says_by_which_column(both: Both) -> None:
    await shop(both)
    async with both.session() as session:
        order = await session.exec(Select(Order).Include(Order.lines)).first()
        order.lines.pop()
        with pytest.raises(OrphanError, match=r"Line\.order_id can't be NULL"):
            await session.flush()
        await session.rollback()


async def test_link_rows_have_the_tenant_of_both_sides(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        post = Post(tenant_id=4, tags=[Tag(tenant_id=4, name="a"), Tag(tenant_id=4, name="b")])
        await session.add(post)
        await session.commit()
        assert both.column("SELECT tenant_id FROM spread_post_tags") == [4, 4]
        statements.clear()
        post.tags.pop()
        await session.commit()
        await session.delete(post)
        await session.commit()
    deletions = [text for text in statements.of("flush") if '"spread_post_tags"' in text]
    assert routed(deletions) == [True, True]
    assert both.value("SELECT count(*) FROM spread_post_tags") == 0


async def test_objects_of_two_tenants_are_not_linked(both: Both) -> None:
    async with both.session() as session:
        await session.add(Post(tenant_id=4, tags=[Tag(tenant_id=5, name="a")]))
        with pytest.raises(RelationError, match="links objects with the same tenant_id only"):
            await session.commit()
        await session.rollback()
    assert both.value("SELECT count(*) FROM spread_posts") == 0


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_includes_name_the_tenants_of_the_parents(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        query = Select(Tenant).Include(Tenant.orders.Include(Order.lines), Tenant.country).OrderBy(Tenant.id)
        tenants = await session.exec(query).all()
    assert [len(order.lines) for tenant in tenants for order in tenant.orders] == [2] * 4
    orders, lines, countries = statements.of("load")
    assert '"spread_orders"."tenant_id" = ANY($1)' in orders
    assert "FROM unnest($1::int8[], $2::int8[])" in lines
    assert 'AND "spread_lines"."tenant_id" = ANY($3)' in lines
    assert "tenant_id" not in countries


async def test_a_limited_include_names_them_too(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        orders = await session.exec(Select(Order).Include(Order.lines.Limit(1))).all()
    assert [len(order.lines) for order in orders] == [1] * 4
    assert '"spread_lines"."tenant_id" = ANY(' in statements.of("load")[0]


async def test_what_is_loaded_later_names_them(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        lines = await session.exec(Select(Line)).all()
        statements.clear()
        await session.load(lines, Line.order)
        assert {line.order.tenant_id == line.tenant_id for line in lines} == {True}
        await session.refresh(lines[0])
    load, refresh = statements.of("load")
    assert '"spread_orders"."tenant_id" = ANY($3)' in load
    assert 'WHERE "tenant_id" = $1 AND "id" = $2' in refresh


async def test_keys_hold_the_tenant(both: Both, statements: Statements) -> None:
    await shop(both)
    keys = [tuple(row) for row in both.sql("SELECT tenant_id, id FROM spread_orders ORDER BY 1, 2")]
    async with both.session() as session:
        order = await session.get(Order, keys[0])
        assert order.tenant_id == 1
        found = await session.get_many(Order, [*keys, (2, -1)])
        assert [None if each is None else (each.tenant_id, each.id) for each in found] == [*keys, None]
    one, many = statements.of("load")
    assert one.endswith('WHERE "tenant_id" = $1 AND "id" = $2')
    assert many.endswith('AND "spread_orders"."tenant_id" = ANY($3)')


async def test_links_are_read_by_tenant(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        await session.add(Post(tenant_id=4, tags=[Tag(tenant_id=4, name="a")]))
        await session.commit()
    async with both.session() as session:
        [post] = await session.exec(Select(Post).Include(Post.tags)).all()
        assert [tag.name for tag in post.tags] == ["a"]
    [text] = statements.of("load")
    assert '"spread_post_tags"."tenant_id" = "spread_tags"."tenant_id"' in text
    assert '"spread_post_tags"."tenant_id" = ANY($3)' in text
    assert both.value(f"SELECT count(*) FROM {PostTag.__mapper__.qualified}") == 1


# --- verbs and bulk ---------------------------------------------------------------------------------------------------


async def test_upsert(both: Both) -> None:
    await shop(both)
    async with both.session() as session:
        given = [Order(tenant_id=1, number=1, total=Decimal(4)), Order(tenant_id=3, number=1, total=Decimal(5))]
        both.sql("INSERT INTO spread_tenants VALUES (3, 'third')")
        written = await session.upsert(given, on=["tenant_id", "number"])
        await session.commit()
        assert ([o.tenant_id for o in written.updated], [o.tenant_id for o in written.inserted]) == ([1], [3])
        with pytest.raises(QueryError, match=r"upsert: update= would write Order.tenant_id"):
            await session.upsert(Order(tenant_id=1, number=1), on=["tenant_id", "number"], update=["tenant_id"])
    assert both.column("SELECT total::int FROM spread_orders WHERE total > 0 ORDER BY 1") == [4, 5]


async def test_what_is_there_is_found_by_a_statement_of_its_own(both: Both, statements: Statements) -> None:
    """What `upsert` finds, and what `get_or_create` does: parts of one statement would see each other on a cluster."""
    await shop(both)
    async with both.session() as session:
        given = [Order(tenant_id=2, number=9), Order(tenant_id=1, number=1)]
        written = await session.upsert(given, on=["tenant_id", "number"], update=())
        assert ([o.tenant_id for o in written.unchanged], [o.tenant_id for o in written.inserted]) == ([1], [2])
        insert, find = statements.of("flush")
        assert "DO NOTHING" in insert
        assert "NOT EXISTS" not in insert
        assert routed([insert, find]) == [False, True]
        assert "INSERT" not in find
        statements.clear()
        found, made = await session.get_or_create(Order, tenant_id=1, number=77)
        again, unmade = await session.get_or_create(Order, tenant_id=1, number=77)
        assert (found is again, made, unmade) == (True, True, False)
        assert len(statements.of("flush")) == 3
        await session.commit()


async def test_sync_set(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        wanted = [Order(tenant_id=1, number=2, total=Decimal(6)), Order(tenant_id=1, number=3)]
        written = await session.sync_set(Order, wanted, scope=Order.tenant_id == 1, on=["tenant_id", "number"])
        await session.commit()
        assert (len(written.inserted), len(written.updated), len(written.deleted)) == (1, 1, 1)
    [text] = statements.of("flush")
    parts = re.findall(r"(DELETE FROM|UPDATE) .*?AND \(\"spread_orders\"\.\"tenant_id\" = \$\d+\) RETURNING", text)
    assert parts == ["DELETE FROM", "UPDATE"]
    assert both.sql("SELECT tenant_id, number, total::int FROM spread_orders ORDER BY 1, 2") == [
        (1, 2, 6),
        (1, 3, 0),
        (2, 1, 0),
        (2, 2, 0),
    ]


async def test_merge(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        order = await session.exec(Select(Order).Where(Order.tenant_id == 1)).first()
    order.total = Decimal(9)
    async with both.session() as session:
        merged = await session.merge(order)
        await session.commit()
        assert merged.total == 9
    assert 'WHERE "tenant_id" = $2 AND "id" = $3' in statements.of("flush")[0]


async def test_bulk_work(both: Both, statements: Statements) -> None:
    await shop(both)
    async with both.session() as session:
        orders = await session.exec(Select(Order).OrderBy(Order.tenant_id, Order.id)).all()
        statements.clear()
        await session.bulk_update([{"tenant_id": o.tenant_id, "id": o.id, "total": 7} for o in orders], model=Order)
        assert routed(statements.of("bulk")) == [True]
        statements.clear()
        await session.bulk_delete([(o.tenant_id, o.id) for o in orders[:2]], model=Order)
        assert routed(statements.of("bulk")) == [True]
        statements.clear()
        missing = [{"tenant_id": 1, "id": -1, "total": 7}, {"tenant_id": 2, "id": orders[3].id, "total": 7}]
        with pytest.raises(StaleObjectError, match=r"1 of 2 keys match no row of \"spread_orders\" \(models\[0\]\)"):
            await session.bulk_update(missing, model=Order)
        assert routed(statements.of("bulk")) == [True, True]
        assert not any("NOT EXISTS" in text for text in statements.of("bulk"))
        await session.rollback()


async def test_bulk_rows_that_are_there(both: Both) -> None:
    await shop(both)
    async with both.session() as session:
        new = [Order(tenant_id=n, number=10 + n) for n in (1, 2)]
        await session.bulk_insert(new)
        assert all(order.id for order in new)
        rows: list[Any] = [{"tenant_id": 1, "number": 1, "total": 3}, {"tenant_id": 2, "number": 20, "total": 3}]
        counted = await session.bulk_upsert(rows, model=Order, on=["tenant_id", "number"])
        assert counted == 2
        with pytest.raises(QueryError, match=r"bulk_upsert: update= would write Order.tenant_id"):
            await session.bulk_upsert(rows, model=Order, on=["tenant_id", "number"], update=["tenant_id"])
        await session.rollback()


# --- what no cluster answers ------------------------------------------------------------------------------------------


async def test_rows_are_locked_on_one_shard(both: Both) -> None:
    await shop(both)
    of_one = Order.tenant_id == 1
    async with both.session() as session:
        for query in (
            Select(Order).Where(of_one).ForUpdate(),
            Select(Order).Where(of_one & (Order.number > 0) & (Order.total == 0)).ForShare(),
            Select(Line).Join(Line.order).Where(Order.number > 0, of_one).ForUpdate(of=Line),
            Select(Country).ForUpdate(),
            Select(Note).ForUpdate(),
        ):
            assert isinstance(await session.exec(query).all(), list)
        assert len(await session.claim(Order, 5, where=of_one)) == 2
        key = tuple(both.sql("SELECT tenant_id, id FROM spread_orders LIMIT 1")[0])
        assert (await session.get(Order, key, lock="update")).number in (1, 2)
        for query in (
            Select(Order).ForUpdate(),
            Select(Order).Where(Order.tenant_id > 1).ForUpdate(),
            Select(Order).Where(of_one | (Order.number > 0)).ForUpdate(),
            Select(Line).Join(Line.order).Where(Order.number == 1).ForUpdate(of=Line),
        ):
            with pytest.raises(QueryError, match=r"are locked on one shard only: add .Where\(tenant_id == …\)"):
                await session.exec(query).all()
        with pytest.raises(QueryError, match="locked on one shard"):
            await session.claim(Order, 5)


async def test_rows_of_a_stream_are_locked_on_one_shard(both: Both) -> None:
    await shop(both)
    async with both.session() as session:
        with pytest.raises(QueryError, match="are locked on one shard only"):
            await read(both, session.stream(Select(Order).ForUpdate()))
        assert len(await read(both, session.stream(Select(Order).Where(Order.tenant_id == 2).ForUpdate()))) == 2
        assert len(await read(both, session.stream(Select(Order).Include(Order.lines)))) == 4


async def read(both: Both, stream: Any) -> list[Any]:
    """Return all that a stream of either kind gives."""
    if both.is_sync:
        return list(await stream)  # of a session whose methods are awaited
    return [each async for each in stream]


async def test_queries_do_not_move_rows(both: Both) -> None:
    await shop(both)
    values = Insert(Order).Values(tenant_id=1, number=1).OnConflict(Order.tenant_id, Order.number)
    async with both.session() as session:
        with pytest.raises(QueryError, match=r"Update\(Order\) would write Order.tenant_id.*leave it out"):
            await session.exec(Update(Order).Set(tenant_id=2).Where(Order.tenant_id == 1))
        with pytest.raises(QueryError, match=r"DoUpdate\(…\) would write Order.tenant_id"):
            await session.exec(values.DoUpdate(tenant_id=Excluded.tenant_id))
        await session.exec(values.DoUpdate(total=Decimal(2)))
        await session.exec(Update(Order).Set(total=Order.total + 1).Where(Order.tenant_id == 1))
        await session.commit()
    assert both.column("SELECT total::int FROM spread_orders ORDER BY 1") == [0, 0, 1, 3]


@pytest.mark.since(15)
async def test_merge_takes_its_rows_from_the_cluster(both: Both) -> None:
    await shop(both)
    same = (Line.tenant_id == Order.tenant_id) & (Line.order_id == Order.id) & (Line.text == "a")
    async with both.session() as session:
        for query, message in (
            (Merge(Order).Using(Note, Note.id == Order.id).WhenMatched().Delete(), "Note is no table of the cluster"),
            (
                Merge(Country).Using(Tenant, Tenant.country_code == Country.code).WhenMatched().Delete(),
                "Country is a reference table",
            ),
        ):
            with pytest.raises(QueryError, match=message):
                await session.exec(query)
        await session.exec(Merge(Order).Using(Line, same).WhenMatched().Update(total=Decimal(1)))
        await session.commit()
    assert both.column("SELECT total::int FROM spread_orders") == [1] * 4


async def test_a_table_of_several_servers_has_no_one_snapshot(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(QueryError, match="parallel_scan can't split spread_orders"):
            await session.parallel_scan(Select(Order), workers=2)
