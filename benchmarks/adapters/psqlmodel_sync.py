"""psqlmodel's `Session`, as its docs recommend it."""

from __future__ import annotations

from typing import Any

from benchmarks.adapters.base import CHUNK, SyncAdapter, peak
from benchmarks.adapters.psqlmodel_models import Item, Order, Reading, User, busy_users
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
from psqlmodel import Select, Session, create_engine


class PsqlmodelSync(SyncAdapter):
    name = "psqlmodel-sync"
    packages = ("psqlmodel",)
    imports = "import psqlmodel"

    def open(self) -> None:
        self.engine = create_engine(self.dsn)

    def close(self) -> None:
        self.engine.dispose()

    # --- reading --------------------------------------------------------------------------------------------

    def get(self, clock: Clock, count: int) -> list[User]:
        with clock, Session(self.engine) as session:
            return [session.get(User, key) for key in range(1, count + 1)]

    def get_again(self, clock: Clock, count: int) -> User:
        with Session(self.engine) as session:
            user = session.get(User, 1)
            with clock:
                for _ in range(count):
                    session.get(User, 1)
            return user

    def load_users(self, clock: Clock, count: int) -> list[User]:
        with clock, Session(self.engine) as session:
            return session.exec(Select(User).Where(User.id <= count)).all()

    def load_orders(self, clock: Clock, count: int) -> list[Order]:
        with clock, Session(self.engine) as session:
            return session.exec(Select(Order).Where(Order.id <= count)).all()

    def include(self, clock: Clock, count: int) -> list[User]:
        with clock, Session(self.engine) as session:
            return session.exec(Select(User).Where(User.id <= count).Include(User.orders)).all()

    def include_deep(self, clock: Clock, count: int) -> list[User]:
        with clock, Session(self.engine) as session:
            return session.exec(Select(User).Where(User.id <= count).Include(User.orders.Include(Order.items))).all()

    def include_many(self, clock: Clock, count: int) -> list[User]:
        with clock, Session(self.engine) as session:
            return session.exec(Select(User).Where(User.id <= count).Include(User.tags)).all()

    def stream(self, clock: Clock, count: int) -> tuple[int, int]:
        seen = total = 0
        with clock, peak(clock), Session(self.engine) as session:
            for reading in session.stream(Select(Reading), batch=CHUNK):
                seen += 1
                total += reading.id
        return seen, total

    # --- writing --------------------------------------------------------------------------------------------

    def add(self, clock: Clock, count: int) -> list[User]:
        rows = new_users(count)
        users = []
        with clock, Session(self.engine) as session:
            for row in rows:
                user = User(**row)
                session.add(user)
                users.append(user)
            session.commit()
        return users

    def add_graph(self, clock: Clock, count: int) -> tuple[list[User], list[Order]]:
        rows, children = new_users(count), new_orders(count * CHILDREN)
        users, orders = [], []
        with clock, Session(self.engine) as session:
            for number, row in enumerate(rows):
                user = User(**row)
                user.orders = [Order(**child) for child in children[number * CHILDREN : (number + 1) * CHILDREN]]
                session.add(user)
                users.append(user)
                orders += user.orders
            session.commit()
        return users, orders

    def change_all(self, clock: Clock, count: int) -> list[User]:
        with clock, Session(self.engine) as session:
            users = session.exec(Select(User).Where(User.id <= count)).all()
            for user in users:
                user.age += 1
            session.commit()
            return users

    def change_few(self, clock: Clock, count: int) -> list[User]:
        with clock, Session(self.engine) as session:
            users = session.exec(Select(User).Where(User.id <= count)).all()
            for user in users[:: max(1, count // 10)][:10]:
                user.age += 1
            session.commit()
            return users

    def bulk_insert(self, clock: Clock, count: int) -> None:
        orders = [Order(**row) for row in orders_of_users(count, self.users)]
        with clock, Session(self.engine) as session:
            session.bulk_insert(orders, returning=False)
            session.commit()

    def bulk_insert_plain(self, clock: Clock, count: int) -> None:
        readings = [Reading(**row) for row in new_readings(count)]
        with clock, Session(self.engine) as session:
            session.bulk_insert(readings, returning=False)
            session.commit()

    def bulk_update(self, clock: Clock, count: int) -> None:
        changes = changed_orders(count)
        with clock, Session(self.engine) as session:
            session.bulk_update(changes, model=Order)
            session.commit()

    def delete(self, clock: Clock, count: int) -> None:
        with Session(self.engine) as session:
            items = session.exec(Select(Item).Where(Item.id <= count)).all()
            session.commit()
            with clock:
                session.delete_all(items)
                session.commit()

    # --- one web transaction, one small graph ---------------------------------------------------------------

    def web_one(self, number: int) -> tuple[User, list[Order], Order]:
        with Session(self.engine) as session:
            user = session.get(User, self.key(number))
            last = session.exec(Select(Order).Where(Order.user_id == user.id).OrderBy(Order.id.Desc()).Limit(10)).all()
            order = Order(user_id=user.id, number=f"order {number}", total=TOTAL, paid=False, created=user.created)
            session.add(order)
            user.balance -= order.total
            session.commit()
            return user, last, order

    def add_one(self, row: dict[str, Any], children: list[dict[str, Any]]) -> tuple[User, list[Order]]:
        with Session(self.engine) as session:
            user = User(**row, orders=[Order(**child) for child in children])
            session.add(user)
            session.commit()
            return user, user.orders

    # --- the query builder ----------------------------------------------------------------------------------

    def build(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        values = criteria(count)
        made: Any = None
        with clock:
            for value in values:
                made = busy_users(*value).to_sql_params()
        return made

    def render(self, clock: Clock, count: int) -> tuple[str, list[Any]]:
        queries = [busy_users(*value) for value in criteria(count)]
        made: Any = None
        with clock:
            for query in queries:
                made = query.to_sql_params()
        return made
