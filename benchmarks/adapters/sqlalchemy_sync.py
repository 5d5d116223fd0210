"""SQLAlchemy's `Session`: selectinload, bulk INSERT and UPDATE by `session.execute`, as its ORM guide recommends.

`expire_on_commit=False` is in its favour: the objects need not be read again for their keys to be looked at.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine, create_engine, insert, select, update
from sqlalchemy.orm import Session, selectinload

from benchmarks.adapters.base import CHUNK, CONNECTIONS, SyncAdapter, peak
from benchmarks.adapters.sqlalchemy_models import Item, Order, Reading, User, busy_users
from benchmarks.clock import Clock
from benchmarks.rows import (
    CHILDREN,
    TOTAL,
    changed_orders,
    criteria,
    new_orders,
    new_readings,
    new_users,
    orders_of_users,
)


class SqlalchemySync(SyncAdapter):
    name = "sqlalchemy-sync"
    packages = ("SQLAlchemy",)
    imports = "import sqlalchemy.orm"

    def open(self) -> None:
        parts = self.parts
        query = {"host": parts["host"], "port": parts["port"]}
        url = URL.create("postgresql+psycopg2", parts["user"], database=parts["dbname"], query=query)
        self.engine: Engine = create_engine(url, pool_size=CONNECTIONS)

    def close(self) -> None:
        self.engine.dispose()

    def session(self) -> Session:
        return Session(self.engine, expire_on_commit=False)

    # --- reading --------------------------------------------------------------------------------------------

    def get(self, clock: Clock, count: int) -> list[User]:
        with clock, self.session() as session:
            return [session.get(User, key) for key in range(1, count + 1)]

    def get_again(self, clock: Clock, count: int) -> User:
        with self.session() as session:
            user = session.get(User, 1)
            with clock:
                for _ in range(count):
                    session.get(User, 1)
            return user

    def load_users(self, clock: Clock, count: int) -> list[User]:
        with clock, self.session() as session:
            return session.scalars(select(User).where(User.id <= count)).all()

    def load_orders(self, clock: Clock, count: int) -> list[Order]:
        with clock, self.session() as session:
            return session.scalars(select(Order).where(Order.id <= count)).all()

    def include(self, clock: Clock, count: int) -> list[User]:
        query = select(User).where(User.id <= count).options(selectinload(User.orders))
        with clock, self.session() as session:
            return session.scalars(query).all()

    def include_deep(self, clock: Clock, count: int) -> list[User]:
        query = select(User).where(User.id <= count).options(selectinload(User.orders).selectinload(Order.items))
        with clock, self.session() as session:
            return session.scalars(query).all()

    def include_many(self, clock: Clock, count: int) -> list[User]:
        query = select(User).where(User.id <= count).options(selectinload(User.tags))
        with clock, self.session() as session:
            return session.scalars(query).all()

    def stream(self, clock: Clock, count: int) -> tuple[int, int]:
        seen = total = 0
        query = select(Reading).execution_options(yield_per=CHUNK)
        with clock, peak(clock), self.session() as session:
            for reading in session.scalars(query):
                seen += 1
                total += reading.id
        return seen, total

    # --- writing --------------------------------------------------------------------------------------------

    def add(self, clock: Clock, count: int) -> list[User]:
        rows = new_users(count)
        users = []
        with clock, self.session() as session:
            for row in rows:
                user = User(**row)
                session.add(user)
                users.append(user)
            session.commit()
        return users

    def add_graph(self, clock: Clock, count: int) -> tuple[list[User], list[Order]]:
        rows, children = new_users(count), new_orders(count * CHILDREN)
        users, orders = [], []
        with clock, self.session() as session:
            for number, row in enumerate(rows):
                user = User(**row)
                user.orders = [Order(**child) for child in children[number * CHILDREN : (number + 1) * CHILDREN]]
                session.add(user)
                users.append(user)
                orders += user.orders
            session.commit()
        return users, orders

    def change_all(self, clock: Clock, count: int) -> list[User]:
        with clock, self.session() as session:
            users = session.scalars(select(User).where(User.id <= count)).all()
            for user in users:
                user.age += 1
            session.commit()
            return users

    def change_few(self, clock: Clock, count: int) -> list[User]:
        with clock, self.session() as session:
            users = session.scalars(select(User).where(User.id <= count)).all()
            for user in users[:: max(1, count // 10)][:10]:
                user.age += 1
            session.commit()
            return users

    def bulk_insert(self, clock: Clock, count: int) -> None:
        rows = orders_of_users(count, self.users)
        with clock, self.session() as session:
            session.execute(insert(Order), rows)
            session.commit()

    def bulk_insert_plain(self, clock: Clock, count: int) -> None:
        rows = new_readings(count)
        with clock, self.session() as session:
            session.execute(insert(Reading), rows)
            session.commit()

    def bulk_update(self, clock: Clock, count: int) -> None:
        changes = changed_orders(count)
        with clock, self.session() as session:
            session.execute(update(Order), changes)
            session.commit()

    def delete(self, clock: Clock, count: int) -> None:
        with self.session() as session:
            items = session.scalars(select(Item).where(Item.id <= count)).all()
            session.commit()
            with clock:
                for item in items:
                    session.delete(item)
                session.commit()

    # --- one web transaction, one small graph ---------------------------------------------------------------

    def web_one(self, number: int) -> tuple[User, list[Order], Order]:
        with self.session() as session:
            user = session.get(User, self.key(number))
            last = session.scalars(
                select(Order).where(Order.user_id == user.id).order_by(Order.id.desc()).limit(10)
            ).all()
            order = Order(user_id=user.id, number=f"order {number}", total=TOTAL, paid=False, created=user.created)
            session.add(order)
            user.balance -= order.total
            session.commit()
            return user, last, order

    def add_one(self, row: dict[str, Any], children: list[dict[str, Any]]) -> tuple[User, list[Order]]:
        with self.session() as session:
            user = User(**row, orders=[Order(**child) for child in children])
            session.add(user)
            session.commit()
            return user, user.orders

    # --- the query builder ----------------------------------------------------------------------------------

    def build(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        values = criteria(count)
        sql, params = "", []
        with clock:
            for value in values:
                made = busy_users(*value).compile(self.engine)
                sql, params = str(made), list(made.params.values())
        return sql, params

    def render(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        queries = [busy_users(*value) for value in criteria(count)]
        sql, params = "", []
        with clock:
            for query in queries:
                made = query.compile(self.engine)
                sql, params = str(made), list(made.params.values())
        return sql, params
