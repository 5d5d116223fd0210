"""W8: the calls of a web request's transaction, step by step: a user, the last ten orders, one more order, the balance.

Each bound is what is needed today, with what it is made of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    AsyncSession,
    Column,
    Engine,
    PSQLModel,
    Relation,
    Select,
    Session,
    create_async_engine,
    create_engine,
)
from psqlmodel import table as mapped
from psqlmodel.embedded import Server

from .calls import awaited_calls_of, calls_of


@mapped("counted_payers")
class Payer(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    balance: Column[Decimal]


@mapped("counted_payments")
class Payment(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    payer_id: Column[int] = Column(foreign_key="counted_payers.id")
    total: Column[Decimal]
    made: Column[datetime]
    payer: Relation[Payer] = Relation()


NOW = datetime(2024, 1, 1, tzinfo=UTC)

# The steps of a request on a `Session`, and what their calls are made of. Those of the driver module count, too.
CALLS = {
    # The session and its parts, one call for each: 14. The block, and what is current in this context: 4.
    "open": 18,
    # Session and guard: 7. The object by its key (is it there, its statement, its loader, its place in the identity
    # map): 16. The transaction, which this read does not begin: 4. The connection from its pool: 8. The driver: 7.
    "get": 42,
    # Session, guard and result: 8. The query: compiled, its arguments, its objects and their shared state: 19.
    # The transaction: 4. The driver: 8.
    "exec": 40,
    # The constructor: 1. add: 7. The change of an attribute, and the state of its own that the object gets: 6.
    "change": 14,
    # Guard, session, replay and transaction, which wait for two answers: 32. The shape of what is pending, and the plan
    # for it: 13; without a plan it would be 49. What the objects were: 8. The arguments: 7 calls for 6 values, 4 to
    # begin. What comes back, and the objects made clean: 20. Who listens to events: 7. The driver (3 values go as text,
    # 7), a look at its socket (4), the connection to its pool (10).
    "commit": 132,
    # What is current: 2. Guard and session: 9. Is something lost, is something open: 5. The objects let go: 6.
    "close": 22,
}
# The same on an `AsyncSession`: each level that waits is called again with the answer, but fewer values go as text.
CALLS_AWAITED = {"open": 18, "get": 48, "exec": 52, "change": 14, "commit": 131, "close": 22}
WARM = 6  # requests, after which texts are prepared and their results known


@pytest.fixture(scope="module")
def dsn(server: Server) -> str:
    made = server.create_database("counts_of_transaction")
    with create_engine(made) as engine:
        engine.create_all([Payer, Payment])
        engine.execute("INSERT INTO counted_payers SELECT n, 'payer ' || n, 100 FROM generate_series(1, 20) n")
        engine.execute(
            "INSERT INTO counted_payments (payer_id, total, made) "
            "SELECT n % 20 + 1, 1, now() FROM generate_series(1, 400) n"
        )
    return made


@pytest.fixture(scope="module")
def engine(dsn: str) -> Iterator[Engine]:
    with create_engine(dsn) as made:
        yield made


def last_ten(payer: Payer) -> Any:
    return Select(Payment).Where(Payment.payer_id == payer.id).OrderBy(Payment.id.Desc()).Limit(10)


def pay(session: Any, payer: Payer) -> None:
    payment = Payment(payer_id=payer.id, total=Decimal("1.5"), made=NOW)
    session.add(payment)
    payer.balance -= payment.total


class Steps:
    """The steps of one request; each notes its calls."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}

    def do(self, name: str, step: Callable[[], Any]) -> Any:
        found: list[Any] = []
        self.calls[name] = calls_of(lambda: found.append(step()))
        return found[0]

    async def wait(self, name: str, step: Callable[[], Awaitable[Any]]) -> Any:
        found: list[Any] = []

        async def keep() -> None:
            found.append(await step())

        self.calls[name] = await awaited_calls_of(keep)
        return found[0]


def request(engine: Engine, key: int) -> dict[str, int]:
    steps = Steps()
    session = steps.do("open", lambda: Session(engine).__enter__())
    payer = steps.do("get", lambda: session.get(Payer, key))
    query = last_ten(payer)
    assert len(steps.do("exec", lambda: session.exec(query))) == 10
    steps.do("change", lambda: pay(session, payer))
    steps.do("commit", session.commit)
    steps.do("close", lambda: session.__exit__(None, None, None))
    return steps.calls


async def request_awaited(engine: Any, key: int) -> dict[str, int]:
    steps = Steps()
    session = await steps.wait("open", lambda: AsyncSession(engine).__aenter__())
    payer = await steps.wait("get", lambda: session.get(Payer, key))
    query = last_ten(payer)
    assert len(await steps.wait("exec", lambda: session.exec(query))) == 10
    steps.do("change", lambda: pay(session, payer))
    await steps.wait("commit", session.commit)
    await steps.wait("close", lambda: session.__aexit__(None, None, None))
    return steps.calls


def test_a_request(engine: Engine) -> None:
    for key in range(1, WARM):
        _ = request(engine, key)
    assert_within(request(engine, WARM), CALLS)


async def test_a_request_awaited(dsn: str) -> None:
    engine = create_async_engine(dsn)
    for key in range(1, WARM):
        _ = await request_awaited(engine, key)
    assert_within(await request_awaited(engine, WARM), CALLS_AWAITED)
    await engine.dispose()


def assert_within(calls: dict[str, int], limits: dict[str, int]) -> None:
    """Fail with the steps that make more calls than they may."""
    assert {name: count for name, count in calls.items() if count > limits[name]} == {}
