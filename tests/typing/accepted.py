"""Programs that type checkers must accept, with the types that they must see. Checked; never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type

from models import Item, Mood, Order, User

from psqlmodel import (
    ArrayAgg,
    AsyncEngine,
    AsyncQueryResult,
    AsyncSession,
    Avg,
    Case,
    Coalesce,
    Col,
    Column,
    Count,
    Delete,
    Engine,
    Lower,
    Max,
    NotNullable,
    Now,
    Nullable,
    QueryPlan,
    QueryResult,
    Range,
    ResultRow,
    Select,
    SelectQuery,
    Session,
    SessionManager,
    Sum,
    Trace,
    Update,
    create_async_engine,
    create_engine,
)
from psqlmodel.core.bulk import Counted
from psqlmodel.model.path import RelationPath
from psqlmodel.query import Call, ColumnExpression, Expression
from psqlmodel.query.constructs import CaseExpression

# --- attributes: an expression on the class, a value on an object ----------------------------------------------------

user = User(name="Ada", nick=None)
order = Order(total=Decimal(3), user=user)
item = Item(name="x")

assert_type(User.name, Column[str])
assert_type(User.nick, Column[str | None])
assert_type(User.name == "x", Expression[bool])
assert_type(user.id, int)
assert_type(user.name, str)
assert_type(user.nick, str | None)
assert_type(user.mood, Mood)
assert_type(user.tags, list[str])
assert_type(user.data, dict[str, Any])
assert_type(user.span, Range[int] | None)
assert_type(user.seen, datetime | None)
user.name = "Grace"
user.nick = None
user.tags.append("new")

assert_type(order.id, int)
assert_type(order.total, Decimal)
assert_type(order.note, str | None)
order.total = Decimal(4)

assert_type(Item.id, ColumnExpression[int])
assert_type(item.id, int)
assert_type(item.name, str)

# --- relations -------------------------------------------------------------------------------------------------------

assert_type(User.orders, RelationPath)
assert_type(User.orders.Where(User.id > 1).OrderBy(User.id.Desc()).Limit(3).Include(Order.user), RelationPath)
assert_type(user.orders, list[Order])
assert_type(user.friends, list[User])
assert_type(order.user, User)
assert_type(item.order, Order)
assert_type(item.others, list[Order])
user.orders.append(order)
user.orders = []
order.user = user

# --- dictionaries ----------------------------------------------------------------------------------------------------

assert_type(User.from_dict({"name": "Ada"}), User)
assert_type(user.update_from_dict({"name": "Ada"}), User)
assert_type(user.to_dict(relations=True), dict[str, Any])

# --- queries ---------------------------------------------------------------------------------------------------------

assert_type(Select(User), SelectQuery[User])
assert_type(Select(User.id, User.name), SelectQuery[tuple[int, str]])
assert_type(Select(User, User.nick), SelectQuery[tuple[User, str | None]])
assert_type(Select(User).Where(User.id > 1).Include(User.orders).Limit(1), SelectQuery[User])

assert_type(
    Select(
        User.id, User.name, User.nick, User.mood, User.tags, User.data, User.marks, User.feeling, User.seen, Item.id
    ),
    SelectQuery[
        tuple[int, str, str | None, Mood, list[str], dict[str, Any], list[int], Mood | None, datetime | None, int]
    ],
)
assert_type(Select(User, Nullable(Order)), SelectQuery[tuple[User, Order | None]])
assert_type(Select(User.name, Nullable(Item.id)), SelectQuery[tuple[str, int | None]])
assert_type(Select(NotNullable(User.nick)), SelectQuery[tuple[str]])
assert_type(Select(User).LeftJoin(User.orders).Where(User.nick == None, User.id.In([1])), SelectQuery[User])  # noqa: E711
Select(User).Include(User.orders, Order, User.orders.Include(Order.user))

# --- functions -------------------------------------------------------------------------------------------------------

assert_type(Count(), Call[int])
assert_type(Sum(User.id), Call[int | None])
assert_type(Avg(User.id), Call[Decimal | None])
assert_type(Max(User.name), Call[str | None])
assert_type(ArrayAgg(User.name), Call[list[str] | None])
assert_type(Coalesce(User.nick, "x"), Call[str])
assert_type(Coalesce(Sum(User.id), 0), Call[int])
assert_type(Coalesce(User.nick, User.name), Call[str])
assert_type(Lower(User.name), Call[str])
assert_type(Now(), Call[datetime])
assert_type(Case().When(User.id > 1, "a"), CaseExpression[str])
assert_type(Select(Case().When(User.id > 1, "a")), SelectQuery[tuple[str | None]])
assert_type(Case().When(User.id > 1, "a").Else(User.name), Expression[str])
assert_type(Case().When(User.id > 1, User.name).When(User.id > 4, 3).Else(None), Expression[str | int | None])
assert_type(Select(User.name, Count(), Sum(User.id)).GroupBy(User.name), SelectQuery[tuple[str, int, int | None]])

# --- the plain spelling: on the class a column has the type of its value ---------------------------------------------

assert_type(Select(Order).Where(Order.total > 3, Order.note == None), SelectQuery[Order])  # noqa: E711
Select(Order).Join(User, Order.user_id == User.id).OrderBy(Order.total).Limit(3)
Select(Order.total, Count()).GroupBy(Order.total).Having(Count() > 1)
Select(Item).Include(Item.order, Item.others)
assert_type(Sum(Order.total), Call[Decimal | None])
assert_type(Select(Col(Order.id), Col(Order.total)), SelectQuery[tuple[int, Decimal]])
Select(Order).Where(Col(Order.note).ILike("a%"), Col(Order.id).In([1, 2])).OrderBy(Col(Order.total).Desc())
Update(Order).Set(total=Order.total + 1).Where(Order.id == 1)
Delete(Order).Where(Order.total > 3)

# --- sessions --------------------------------------------------------------------------------------------------------

engine = create_engine("embedded")
assert_type(engine, Engine)
assert_type(create_engine("embedded", async_=True), AsyncEngine)

with Session(engine, auto_commit=True) as session:
    assert_type(session, Session)
    assert_type(session.get(User, 1), User | None)
    assert_type(session.exec(Select(User)), QueryResult[User])
    assert_type(session.exec(Select(User)).all(), list[User])
    assert_type(session.exec(Select(User)).first(), User | None)
    assert_type(session.exec(Select(User)).one(), User)
    assert_type(session.exec(Select(User)).to_dicts(), list[dict[str, Any]])
    assert_type(session.exec(Select(User).OrderBy(User.name).Desc()).all(), list[User])
    assert_type(session.exec(Select(User.id, User.name)).all(), list[tuple[int, str]])
    assert_type(session.exec("SELECT 1").one(), ResultRow)
    assert_type(session.exec_one(Select(User)), User | None)
    assert_type(session.bulk_insert([User(name="x")]), Counted)
    assert_type(session.bulk_insert([(1, "x")], model=User, columns=[User.id, "name"]).inserted, int | None)
    assert_type(session.bulk_upsert([User(name="x")], on=User.name, update=[]).updated, int | None)
    assert_type(session.bulk_update([{"id": 1, "name": "x"}], model=User), int)
    assert_type(session.bulk_delete([1, 2], model=User, progress=print), int)
    assert_type(session.copy_to(Select(User), "users.csv"), int)
    assert_type(session.copy_from(User, "users", format="binary", columns=[User.id]), int)
    assert_type(session.exec_scalar(Select(User.id)), int | None)
    assert_type(session.exec_scalar(Select(User.nick, User.id)), str | None)
    assert_type(session.exec_scalar(Select(User)), User | None)
    assert_type(session.exec(Select(User.id, User.name)).scalars(), list[int])
    assert_type(session.exec(Select(User)).scalars(), list[User])
    assert_type(session.exec(Select(User.id)).scalar(), int | None)
    assert_type(session.exec("SELECT 1").scalars(), list[Any])
    for streamed in session.stream(Select(User)):
        assert_type(streamed, User)
    for each in session.exec(Select(User)):
        assert_type(each, User)
    for key, name in session.exec(Select(User.id, User.name)):
        assert_type(key, int)
        assert_type(name, str)
    session.add(user)
    session.add_all([user, order])
    with session.no_autoflush(), session.begin_nested():
        session.delete(user)
        session.delete_all(user.orders)
        session.delete_all(order for order in (order,))

assert_type(SessionManager.current(), Session | None)
assert_type(SessionManager.require_current_async(), AsyncSession)


async def main() -> None:
    """The same, awaited."""
    async_engine = create_async_engine("embedded")
    assert_type(async_engine, AsyncEngine)
    async with AsyncSession(async_engine) as session:
        assert_type(await session.get(User, 1), User | None)
        assert_type(await session.exec(Select(User)), AsyncQueryResult[User])
        assert_type(await session.exec(Select(User)).all(), list[User])
        assert_type(await session.exec(Select(User)).one_or_none(), User | None)
        assert_type(await session.exec(Select(User)).to_dicts(), list[dict[str, Any]])
        assert_type(await session.exec(Select(User.id, User.name)).all(), list[tuple[int, str]])
        assert_type(await session.exec_one(Select(User)), User | None)
        assert_type(await session.exec_scalar(Select(User.id)), int | None)
        assert_type(await session.exec(Select(User.id, User.name)).scalars(), list[int])
        result = await session.exec(Select(User))
        assert_type(await result.scalar(), User | None)
        async for streamed in session.stream(Select(User, User.name)):
            assert_type(streamed, tuple[User, str])
        assert_type(await (await session.exec("SELECT 1")).one(), ResultRow)
        await session.add(user)
        await session.commit()


# --- parallel reads: a tuple of tasks gives a tuple, each result of its task's type ----------------------------------


def parallel(session: Session, engine: Engine) -> None:
    assert_type(session.parallel_exec((Select(User), Select(Order))), tuple[list[User], list[Order]])
    assert_type(
        session.parallel_exec((Select(User), Select(User.name), Select(Order)), consistent=True, max_workers=2),
        tuple[list[User], list[tuple[str]], list[Order]],
    )
    assert_type(session.parallel_exec((lambda: 1, lambda: "a")), tuple[int, str])
    assert_type(session.parallel_exec([Select(User), "SELECT 1"]), list[Any])
    assert_type(session.parallel_scan(Select(User), workers=2), list[User])


async def parallel_async(session: AsyncSession, count: Callable[[], Awaitable[int]]) -> None:
    assert_type(await session.parallel_exec((Select(User), Select(Order))), tuple[list[User], list[Order]])
    assert_type(await session.parallel_exec((session.exec_one(Select(User)), count)), tuple[User | None, int])
    assert_type(await session.parallel_exec([Select(User), "SELECT 1"]), list[Any])
    assert_type(await session.parallel_scan(Select(User.name)), list[tuple[str]])


# --- seeing what happens ---------------------------------------------------------------------------------------------


def traced(session: Session, engine: Engine) -> None:
    with session.trace(plans=True) as trace, engine.trace(values=True) as whole:
        assert_type((trace, whole), tuple[Trace, Trace])
    assert_type(session.explain(Select(User), analyze=True), QueryPlan)
    assert_type(Select(User).explain(session), QueryPlan)


async def traced_async(session: AsyncSession, engine: AsyncEngine) -> None:
    async with session.trace() as trace, engine.trace() as whole:
        assert_type((trace, whole), tuple[Trace, Trace])
    assert_type(await session.explain("SELECT 1"), QueryPlan)
    assert_type(await Select(User).explain(session), QueryPlan)
