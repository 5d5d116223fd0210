"""Keys: a query that was built like one before finds its text without being assembled. Its twin without a key is
assembled from the start, and must be the same in all that is sent.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psqlmodel.errors import QueryError
from psqlmodel.model import Column, PSQLModel, table
from psqlmodel.query import (
    Alias,
    Coalesce,
    Count,
    DateTrunc,
    Exists,
    Expression,
    Func,
    Select,
    Sum,
    Text,
    With,
    compile,
    compiler,
)
from psqlmodel.types import timestamp, timestamptz
from tests.counts.calls import calls_of

from .shop import Item, Mood, Order, User

Boss = Alias(User, "boss")
Numbers = Iterator[int]

DAY = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


def _recent(n: Numbers) -> Any:
    return Select(Order.user_id, Count().As("n")).Where(Order.total > next(n)).GroupBy(Order.user_id)


CONDITIONS: list[Callable[[Numbers], Any]] = [
    lambda n: User.age > next(n),
    lambda n: User.name == f"n{next(n)}",
    lambda n: User.mood == (Mood.SAD if next(n) % 2 else Mood.HAPPY),
    lambda n: User.born < DAY + datetime.timedelta(next(n)),
    lambda n: User.tags.Contains([str(next(n))]),
    lambda n: User.id.In([next(n), next(n)]),
    lambda n: (User.age < next(n)) | (User.nick.IsNull()),
    lambda n: (User.age < next(n)) & ~(User.id == next(n)),
    lambda n: User.age + next(n) > User.id,
    lambda n: User.age.Between(next(n), next(n)),
    lambda n: User.name.ILike(f"{next(n)}%"),
    lambda n: User.id == Order.user_id,
    lambda n: Order.total >= Decimal(next(n)),
    lambda n: Order.paid,
    lambda n: Boss.age > next(n),
    lambda n: Exists(Select(Item).Where(Item.order_id == Order.id, Item.kind == str(next(n)))),
    lambda n: User.id.In(Select(Order.user_id).Where(Order.total > next(n))),
    lambda n: User.id.In(Select(With("big", _recent(n)).user_id)),
    lambda n: Coalesce(User.age, next(n)) == next(n),
]
BEGINNINGS: list[Callable[[Numbers], Any]] = [
    lambda n: Select(User),
    lambda n: Select(User.name, Order.total),
    lambda n: Select(User, Boss),
    lambda n: Select(User.id, Coalesce(User.age, next(n)).As("age")),
    lambda n: Select(Count()).From(User),
    lambda n: Select(DateTrunc("day" if next(n) % 2 else "month", User.born).As("at"), Sum(User.age)),
    lambda n: Select(_recent(n).Subquery("r")),
    lambda n: Select(With("users", _recent(n)).user_id),
    lambda n: Select(User.name.As(f"n{next(n) % 2}")),
]
CLAUSES: list[Callable[[Any, Numbers], Any]] = [
    *[lambda q, n, made=made: q.Where(made(n)) for made in CONDITIONS],
    lambda q, n: q.Where(CONDITIONS[0](n), CONDITIONS[6](n)),
    lambda q, n: q.Where(),
    lambda q, n: q.Join(Order, Order.user_id == User.id),
    lambda q, n: q.LeftJoin(Order, (Order.user_id == User.id) & (Order.total > next(n))),
    lambda q, n: q.JoinRelated(User.orders),
    lambda q, n: q.JoinRelated(User.boss, Boss),
    lambda q, n: q.CrossJoin(Boss),
    lambda q, n: q.Join((r := _recent(n).Subquery("r")), r.user_id == User.id),
    lambda q, n: q.LateralJoin(Select(Count().As("n")).From(Order).Where(Order.user_id == User.id).Subquery("l")),
    lambda q, n: q.Join((big := With("big", _recent(n))), big.user_id == User.id),
    lambda q, n: q.From(User),
    lambda q, n: q.From(User, Order),
    lambda q, n: q.GroupBy(User.id),
    lambda q, n: q.GroupBy(User),
    lambda q, n: q.GroupBy(DateTrunc("day" if next(n) % 2 else "month", User.born)),
    lambda q, n: q.Having(Count() > next(n)),
    lambda q, n: q.Having(Sum(User.age) > next(n), Func.bool_or(User.born > DAY)),
    lambda q, n: q.Distinct(),
    lambda q, n: q.DistinctOn(User.age),
    lambda q, n: q.DistinctOn(Coalesce(User.age, next(n))),
    lambda q, n: q.OrderBy(User.age.Desc().NullsLast(), User.id),
    lambda q, n: q.OrderBy(Order.total),
    lambda q, n: q.OrderBy(DateTrunc("day" if next(n) % 2 else "month", User.born).Desc()),
    lambda q, n: q.Limit(next(n)),
    lambda q, n: q.Offset(next(n)),
    lambda q, n: q.ForUpdate(skip_locked=bool(next(n) % 2)),
    lambda q, n: q.Include(User.orders),
    lambda q, n: q.With(With("gone", Select(Item.id).Where(Item.kind == str(next(n))))),
    lambda q, n: q.Union(Select(User).Where(User.age > next(n))),
]


def _built(beginning: int, clauses: list[int], numbers: Numbers) -> Any:
    """Build a query; clauses that are refused are left out."""
    query = BEGINNINGS[beginning](numbers)
    for clause in clauses:
        try:
            query = CLAUSES[clause](query, numbers)
        except (QueryError, AttributeError):  # AttributeError: a UNION has no Where
            continue
    return query


def _sent(query: Any, types: Any) -> Any:
    try:
        compiled = compile(query, types)
    except QueryError as error:
        return str(error)
    used = [repr(column) for column in compiled.columns_used]
    return compiled.text, compiled.args, compiled.tables, used, compiled.outputs


def _twin(query: Any, types: Any) -> Any:
    """Return what is sent for a copy that has neither a key nor anything that was kept."""
    compiler._texts.clear()
    return _sent(query._with(), types)


def _plain(column: Any) -> Any:
    return column.type


def _zoned(column: Any) -> Any:
    return timestamptz if column.key == "born" else column.type


RECIPES = st.tuples(
    st.integers(0, len(BEGINNINGS) - 1),
    st.lists(st.integers(0, len(CLAUSES) - 1), max_size=7),
    st.lists(st.integers(1, 99), min_size=1, max_size=5),
    st.lists(st.integers(1, 99), min_size=1, max_size=5),
)


@settings(max_examples=600, deadline=None)
@given(RECIPES)
def test_a_query_is_its_twin_without_a_key(recipe: Any) -> None:
    beginning, clauses, first, second = recipe
    for numbers in (first, second, first):
        query = _built(beginning, clauses, cycle(numbers))
        for types in (None, _plain, _zoned):
            assert _sent(query, types) == _twin(query, types)


def test_queries_of_one_or_two_clauses_are_told_apart() -> None:
    count = range(len(CLAUSES))
    recipes = [(beginning, [clause]) for beginning in range(len(BEGINNINGS)) for clause in count]
    recipes += [(0, [first, second]) for first in count for second in count]
    for numbers in ([1, 2], [2, 1]):
        for beginning, clauses in recipes:
            query = _built(beginning, clauses, cycle(numbers))
            assert _sent(query, None) == _twin(query, None)


def test_a_repeated_shape_is_not_assembled(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(n: int) -> Any:
        joined = Select(User.name, Order.total).Join(Order, Order.user_id == User.id)
        return joined.Where(User.age > n, User.born > DAY).GroupBy(User.name).Having(Count() > n).OrderBy(User.id)

    text = compile(build(1).Limit(1)).text
    monkeypatch.setattr(compiler, "_assembled", None)
    assert compile(build(2).Limit(3)).text == text
    assert compile(build(2).Limit(3)).args == [2, DAY, 2, 3]


# --- what a key must tell apart ---------------------------------------------------------------------------------


def test_an_expression_with_parameters_is_told_by_its_values() -> None:
    clauses: dict[str, Callable[[Any, Any], Any]] = {
        "GROUP BY ": lambda query, at: query.GroupBy(at),
        "ORDER BY ": lambda query, at: query.OrderBy(at),
        "SELECT DISTINCT ON (": lambda query, at: query.DistinctOn(at),
    }
    for lead, clause in clauses.items():

        def build(selected: str, named: str, clause: Any = clause) -> str:
            return compile(clause(Select(DateTrunc(selected, User.born).As("at")), DateTrunc(named, User.born))).text

        assert f"{lead}1" in build("day", "day")
        assert f"{lead}date_trunc($" in build("day", "month")
        assert f"{lead}1" in build("month", "month")


def test_parentheses_follow_from_what_stands_beside() -> None:
    either = (User.id == 1) | (User.id == 2)
    alone = compile(Select(User.id).Where(either)).text
    assert alone.endswith('WHERE "users"."id" = $1 OR "users"."id" = $2')
    for query in (Select(User.id).Where(either, User.age > 3), Select(User.id).Where(either).Where(User.age > 3)):
        assert compile(query).text.endswith('("users"."id" = $1 OR "users"."id" = $2)\n  AND "users"."age" > $3')


def test_what_looks_alike_may_hold_together_otherwise() -> None:
    for _ in range(2):
        for condition, text in ((Expression[bool](("TRUE",)), "TRUE"), (Text("TRUE"), "(TRUE)")):
            assert f"WHERE {text}\n" in compile(Select(User.id).Where(condition, User.age > 3)).text


def test_two_tables_of_one_alias_are_two() -> None:
    for _ in range(2):
        for entity, name in ((User, "users"), (Order, "orders")):
            other = Alias(entity, "other")
            query = Select(Item.id).Join(other, other.id == Item.id).CrossJoin(Alias(entity, "third"))
            assert f'JOIN "{name}" AS "other"' in compile(query).text
            assert f'CROSS JOIN "{name}" AS "third"' in compile(Select(Item.id).CrossJoin(Alias(entity, "third"))).text


def test_clauses_may_come_in_any_order_and_twice() -> None:
    joined = (Order.user_id == User.id) & (Order.total > 2)
    for _ in range(2):
        query = Select(User.id).Limit(9).Where(User.age > 1).Limit(5).Join(Order, joined).Where(User.age < 3)
        compiled = compile(query.Offset(6).Having(Count() > 4).GroupBy(User.id))
        assert compiled.args == [2, 1, 3, 4, 5, 6]


def test_from_after_a_condition_forgets_nothing() -> None:
    for _ in range(2):
        assert compile(Select(Count()).From(User)).text.endswith('FROM "users"')
        late = Select(Count()).From(User).Where(User.nick.IsNull()).From(User)
        assert compile(late).text.endswith('WHERE "users"."nick" IS NULL')
        with pytest.raises(QueryError, match="without having it"):
            compile(Select(Count()).From(User).Where(User.nick.IsNull()).From(Order))


def test_aliases_of_one_name_are_no_excuse_for_each_other() -> None:
    u, other = Alias(User, "u"), Alias(Order, "u")
    for _ in range(2):
        assert compile(Select(u.name).Where(u.id == 1)).args == [1]
        assert compile(Select(u.name).OrderBy(u.id)).args == []
        with pytest.raises(QueryError, match="which is not in the query"):
            Select(u.name).Where(other.id == 1)
        with pytest.raises(QueryError, match="without having it"):
            compile(Select(u.name).OrderBy(other.id))
    assert compile(Select(u.name).OrderBy(Alias(User, "u").id)).args == []


def test_a_common_table_is_not_the_table_of_its_name() -> None:
    orders = With("orders", Select(Order.id).Where(Order.total > 7))
    for _ in range(2):
        assert compile(Select(Order.id).Limit(1)).text == 'SELECT "orders"."id"\nFROM "orders"\nLIMIT $1'
        assert compile(Select(orders.id).Limit(1)).text.startswith('WITH "orders" AS (')
        assert compile(Select(Order.id).Limit(1)).tables == {'"orders"'}


def test_a_query_is_not_changed_by_what_follows() -> None:
    query = Select(User).Where(User.age > 1)
    before = compile(query).args, compile(query).text
    assert compile(query.Where(User.id == 2).Limit(3)).args == [1, 2, 3]
    compile(query).args.append("mine")
    query.to_sql_params()[1].clear()
    assert (compile(query).args, compile(query).text) == before


def test_a_value_that_waits_is_dumped_by_the_type_that_is_found() -> None:
    naive = datetime.datetime(2024, 1, 1)
    known: Any
    for value, known in ((DAY, timestamptz), (naive, timestamp)):
        query = Select(User.id).Where(User.born == value)
        found = compile(query, lambda column, known=known: known)
        assert (found.args, found.columns_used) == ([value], ())


# --- columns of classes -------------------------------------------------------------------------------------------


def test_a_class_answers_for_its_own_columns_only() -> None:
    @table("key_bases")
    class Base(PSQLModel):
        id: Column[int] = Column(primary_key=True)
        mro: Column[str | None]  # what every class has by that name stays what it is

    class Unmapped(Base):
        pass

    @table("key_subs")
    class Sub(Base):
        more: Column[int]

    assert Base.id is Base.__mapper__.attributes["id"]
    named: Any = Base
    assert named.mro()[0] is Base
    assert not hasattr(Base(), "no_such")
    assert "id" not in Base().__dict__
    assert type(Unmapped) is type(PSQLModel)
    with pytest.raises(AttributeError, match="no attribute 'id'"):
        _ = Unmapped.id
    assert (Sub.id.source.name, Sub.more.source.name) == ("key_subs", "key_subs")
    assert not hasattr(Base, "more")


# --- calls ------------------------------------------------------------------------------------------------------------


def _five(n: int) -> Any:
    return (
        Select(User)
        .JoinRelated(User.orders)
        .Where(User.age > n, User.name == "x", Order.paid == True, Order.total >= n, User.born < DAY)  # noqa: E712
    )


# What building one and asking for its text and arguments calls, a shape that came before.
CALLS: dict[str, tuple[Callable[[int], Any], int]] = {
    # Select 1; comparison 4: __eq__, comparison, bind, dump; Where 2: itself and the copy that it changes;
    # to_sql_params 5: itself, _compiled, compile, arguments, Compiled.
    "by key": (lambda n: Select(User).Where(User.id == n), 12),
    # Select 1; JoinRelated 6: itself, _related, _joined, added, source_of, the copy; four comparisons 16; the one with
    # a datetime 6: its type is a guess, hence what waits and its wire value; Where 2, and 2 for what waits;
    # to_sql_params 5, and 5 for what waits.
    "join, five conditions": (_five, 43),
    # Limit 3: itself, the check of the count, the copy.
    "limit": (lambda n: Select(User).Limit(n), 9),
    # OrderBy 2, Desc 2: itself and the Ordering; a plain column 2 more: the check and its Ordering.
    "order": (lambda n: Select(User).OrderBy(User.age.Desc(), User.id), 12),
    # What columns a query begins with is kept too.
    "columns": (lambda n: Select(User.id, User.name), 6),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_of_a_repeated_shape(name: str) -> None:
    build, most = CALLS[name]
    build(1).to_sql_params()
    build(1).to_sql_params()
    assert calls_of(lambda: build(2).to_sql_params()) <= most
