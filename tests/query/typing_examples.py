"""What a type checker must see in queries; checked by mypy and pyright, and run as a program by nobody."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, assert_type

from psqlmodel.query import Alias, Count, Insert, Select, SelectQuery, Sum, Update
from psqlmodel.query.expression import Expression
from psqlmodel.query.insert import InsertQuery

from .shop import Order, User

assert_type(Select(User), SelectQuery[User])
assert_type(Select(User.id), SelectQuery[tuple[int]])
assert_type(Select(User.id, User.name), SelectQuery[tuple[int, str]])
assert_type(Select(User, Order.total), SelectQuery[tuple[User, Decimal]])
assert_type(Select(User.id, User.name, User.nick, Order.total), SelectQuery[tuple[int, str, str | None, Decimal]])
assert_type(Select(User).Where(User.id == 1).OrderBy(User.name).Limit(1), SelectQuery[User])
assert_type(Select(User.id, Count(), Sum(User.age)), SelectQuery[tuple[int, int, int | None]])
assert_type(User.id == 1, Expression[bool])
assert_type((User.id == 1) & (User.name > "x") | ~(User.age < 3), Expression[bool])
assert_type(Alias(User, "u").name == "x", Expression[bool])
assert_type(Insert(User).Values(name="x").Returning(User.id), InsertQuery[Any])

Update(User).Set(naem="x")  # names are checked when the query is built, not here

Select(object())  # type: ignore[call-overload]
Select(User).Limit("1")  # type: ignore[arg-type]
Select(User).Where(1)  # type: ignore[arg-type]
User.id.As(5)  # type: ignore[arg-type]
