"""What a small flush of one shape does is decided once; the next of the shape does the same with other objects."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import AsyncEngine, Column, Engine, InvalidValueError, PSQLModel, Relation, StaleObjectError
from psqlmodel import table as mapped
from psqlmodel.core.unitofwork import plans

from .both import Both


@mapped("planned_payers")
class Payer(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str] = Column(unique=True)
    nick: Column[str | None] = Column()
    balance: Column[Decimal] = Column(server_default="0")
    notes: Column[dict[str, Any] | None] = Column()
    payments: Relation[list["Payment"]] = Relation()


@mapped("planned_payments")
class Payment(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    payer_id: Column[int | None] = Column(foreign_key="planned_payers.id")
    total: Column[Decimal | None] = Column()
    payer: Relation[Payer | None] = Relation()


@pytest.fixture(scope="module")
def made(plain_sql: Engine, sync_engine: Engine, async_engine: AsyncEngine) -> None:
    plain_sql.create_all([Payer, Payment])
    for engine in (sync_engine, async_engine):
        engine.catalog.read_committed = True  # which an engine learns with its first connection


ALL = """
    SELECT p.name, p.nick, p.balance::int, p.notes::text, array_agg(o.total::int ORDER BY o.total)
    FROM planned_payers p LEFT JOIN planned_payments o ON o.payer_id = p.id GROUP BY p.id ORDER BY p.name
"""


def fill(both: Both) -> None:
    both.sql("DELETE FROM planned_payments")
    both.sql("DELETE FROM planned_payers")
    both.sql("INSERT INTO planned_payers (id, name) SELECT -n, 'payer ' || n FROM generate_series(1, 9) n")


@pytest.fixture
def payers(made: None, both: Both) -> Both:
    """Nine payers: keys that the program gives are negative, so that they are no keys of the sequence."""
    both.engine.catalog.invalidate()
    fill(both)
    return both


class Watch:
    """Counts the flushes that a plan was found for, and those that went the long way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.planned: list[bool] = []
        find = plans.planned

        def found(*args: Any) -> Any:
            plan = find(*args)
            self.planned.append(plan is not None)
            return plan

        monkeypatch.setattr(plans, "planned", found)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


async def pay(session: Any, key: int, total: int) -> Payment:
    payer = await session.get(Payer, -key)
    payment = Payment(payer_id=-key, total=Decimal(total))
    session.add(payment)
    payer.balance -= Decimal(total)
    return payment


async def test_the_next_flush_of_the_shape_follows_the_plan(payers: Both, watch: Watch) -> None:
    for n in range(1, 4):
        async with payers.session() as session:
            payment = await pay(session, n, n)
            await session.commit()
            assert payment.id is not None
            assert await session.get(Payment, payment.id) is payment
            assert (await session.get(Payer, -n)).balance == -n
    assert watch.planned == [False, True, True]
    assert [tuple(row) for row in payers.sql("SELECT -payer_id, total FROM planned_payments ORDER BY 1")] == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]
    assert payers.column("SELECT balance::int FROM planned_payers WHERE id > -5 ORDER BY id DESC") == [-1, -2, -3, 0]


async def test_within_a_transaction_it_is_another_plan(payers: Both, watch: Watch) -> None:
    for n in (1, 2):
        async with payers.session() as session:
            await session.exec("SET LOCAL lock_timeout = '10s'")
            await pay(session, n, 1)
            await session.flush()
            await pay(session, n + 2, 1)
            await session.flush()
            await session.commit()
    assert watch.planned == [False, True, True, True]
    async with payers.session() as session:
        await pay(session, 5, 1)
        await session.commit()
    assert watch.planned[4:] == [False]


async def test_it_is_undone_like_any_other(payers: Both, watch: Watch) -> None:
    async with payers.session() as session:
        await pay(session, 1, 1)
        await session.commit()
        payer = await session.get(Payer, -2)
        payment = await pay(session, 2, 5)
        await session.flush()
        assert (payment.id is not None, payer.balance) == (True, -5)
        await session.rollback()
        assert ("id" in payment.__dict__, payer.balance) == (False, 0)
        async with session.begin_nested():
            await pay(session, 2, 7)
        assert payer.balance == -7
        await session.commit()
    assert payers.value("SELECT balance::int FROM planned_payers WHERE id = -2") == -7


async def test_a_row_that_is_gone_is_found_out(payers: Both, watch: Watch) -> None:
    async with payers.session() as session:
        await pay(session, 1, 1)
        await session.commit()
        payment = await pay(session, 2, 1)
        payers.sql("DELETE FROM planned_payers WHERE id = -2")
        with pytest.raises(StaleObjectError, match="Payer"):
            await session.commit()
        assert "id" not in payment.__dict__
    assert watch.planned == [False, True]
    assert payers.value("SELECT count(*) FROM planned_payments") == 1


async def test_a_value_that_does_not_fit_is_refused_before_anything_is_sent(payers: Both, watch: Watch) -> None:
    async with payers.session() as session:
        await pay(session, 1, 1)
        await session.commit()
        payment = await pay(session, 2, 1)
        wrong: Any = "much"
        payment.total = wrong
        with pytest.raises(InvalidValueError, match=r"Payment\.total"):
            await session.commit()
        payment.total = Decimal(3)
        await session.commit()
    assert watch.planned == [False, True, True]
    assert payers.column("SELECT total::int FROM planned_payments ORDER BY id") == [1, 3]


async def test_an_update_alone_has_a_plan(payers: Both, watch: Watch) -> None:
    async with payers.session() as session:
        for n in (1, 2, 3):
            (await session.get(Payer, -n)).nick = f"nick {n}"
            await session.commit()
    assert watch.planned == [False, True, True]
    assert payers.column("SELECT nick FROM planned_payers WHERE id > -4 ORDER BY id DESC") == [
        "nick 1",
        "nick 2",
        "nick 3",
    ]


async def test_a_key_that_is_given_and_one_that_is_none(payers: Both, watch: Watch) -> None:
    keys: list[Any] = [None, -77, None, -78, -79]
    async with payers.session() as session:
        for n, key in enumerate(keys, 1):
            (await session.get(Payer, -n)).nick = "x"
            session.add(Payment(id=key, payer_id=-n))
            await session.commit()
    assert watch.planned == [False, False, False, True, True]
    assert payers.column("SELECT id FROM planned_payments WHERE id < 0 ORDER BY id DESC") == [-77, -78, -79]
    assert payers.value("SELECT count(*) FROM planned_payments") == 5


async def change_back(session: Any, n: int) -> None:
    payer = await session.get(Payer, -n)
    before, payer.nick = payer.nick, "for a moment"
    payer.nick = before
    session.add(Payment(payer_id=-n))


async def take_over(session: Any, n: int) -> None:
    """Change a unique value, and take the old one for another row."""
    payer = await session.get(Payer, -n)
    session.add(Payer(name=payer.name))
    payer.name = f"once {payer.name}"


async def edit_in_place(session: Any, n: int) -> None:
    payer = await session.get(Payer, -n)
    if payer.notes is None:
        payer.notes = {}
    else:
        payer.notes["edited"] = True
    session.add(Payment(payer_id=-n))


async def hand_out(session: Any, n: int) -> None:
    """Look at a document, edit it now and then, and change something else."""
    payer = await session.get(Payer, -n)
    payer.nick = f"{payer.nick} and more"
    if payer.notes is None:
        payer.notes = {"edited": 0}
    else:
        payer.notes["edited"] += payer.notes["edited"] == 0


async def refer(session: Any, n: int) -> None:
    """Refer to a row that is there, and to one that comes."""
    payer = await session.get(Payer, -n)
    payer.nick = f"{payer.nick} and more"
    session.add(Payment(payer=payer if n % 2 else Payer(name=f"new {n} {payer.nick}")))


async def move(session: Any, n: int) -> None:
    """Put a row that is there into the loaded list of another parent, and give it a new one."""
    payer = await session.get(Payer, -n)
    await session.load([payer], Payer.payments)
    if payer.payments:
        payer.payments[0].total = Decimal(n)
    payer.payments.append(Payment(total=None))


async def two_of_a_class(session: Any, n: int) -> None:
    for key in (n, n + 1):
        payer = await session.get(Payer, -key)
        payer.nick = f"{payer.nick} and more"


WORKS = [change_back, take_over, hand_out, edit_in_place, refer, move, two_of_a_class]


@pytest.mark.parametrize("work", WORKS)
async def test_what_values_decide_goes_the_long_way(
    payers: Both, watch: Watch, work: Callable[[Any, int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each work is done twice on the same rows; the database must be the same as without any plan."""
    tables: list[list[Any]] = []
    for most in (plans.MOST_OBJECTS, 0):
        monkeypatch.setattr(plans, "MOST_OBJECTS", most)
        fill(payers)
        async with payers.session() as session:
            for n in (1, 2, 3, 4, 3, 2, 3, 4):
                await work(session, n)
                await session.commit()
        assert not any(watch.planned)
        tables.append([tuple(row) for row in payers.sql(ALL)])
    assert tables[0] == tables[1]


async def test_a_plan_ends_with_what_is_known_of_the_tables(payers: Both, watch: Watch) -> None:
    async with payers.session() as session:
        await pay(session, 1, 1)
        await session.commit()
        payers.engine.catalog.invalidate()
        await pay(session, 2, 1)
        await session.commit()
        await pay(session, 3, 1)
        await session.commit()
    assert watch.planned == [False, False, True]


async def test_a_plan_keeps_no_object_alive(payers: Both) -> None:
    import gc
    import weakref

    async with payers.session() as session:
        kept = []
        for n in (1, 2):
            payment = await pay(session, n, 1)
            await session.commit()
            kept.append(weakref.ref(payment))
            del payment
    gc.collect()
    assert [reference() for reference in kept] == [None, None]
