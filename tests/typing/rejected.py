"""Wrong programs that type checkers must reject: each mark names the rule, and a mark that is not needed is an error.

Checked; never run.
"""

from __future__ import annotations

from models import Order, User

from psqlmodel import AsyncSession, Column, PSQLModel, Relation, Select, Session, create_engine

user = User(name="Ada")
order = Order()
engine = create_engine("embedded")
session = Session(engine)

# --- values ----------------------------------------------------------------------------------------------------------

user.name = 3  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
user.name = None  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
user.nick.upper()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
user.orders.append(user)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
user.orders = [user]  # type: ignore[list-item]  # pyright: ignore[reportAttributeAccessIssue]
order.user = order  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
user.nam  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
order.total = "3"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]

User(nam="Ada")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
User(name=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
User(id=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
User(name="Ada", orders=[User(name="x")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Order(total="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Order(user=Order())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# --- declarations ----------------------------------------------------------------------------------------------------

Column(primari_key=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Column(max_len="40")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType,reportCallIssue]
Relation(orderby="id")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


class Wrong(PSQLModel):
    """A default of another type than the column."""

    id: Column[int] = 3  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


# --- queries ---------------------------------------------------------------------------------------------------------

User.nam  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
Select(User).Wher(User.id == 1)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
Select(User).Where(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Select(User).Where(User.name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Select(User).Include(User.name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Select(User).Join(Order, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
row: tuple[str, str] = session.exec(Select(User.id, User.name)).one()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
count: str | None = session.exec_scalar(Select(User.id))  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
User.orders.Wher()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

# --- sessions --------------------------------------------------------------------------------------------------------

AsyncSession(engine)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
session.get(User, 1).name  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
session.exec(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue,reportArgumentType]
session.exec(Select(User), [1])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue,reportArgumentType]
found: list[Order] = session.exec(Select(User)).all()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
Session(engine, auto_comit=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
