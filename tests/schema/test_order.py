"""The order of tables and the transaction around them, without a database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psqlmodel.errors import ConnectionLost
from psqlmodel.model import Column, PSQLModel, table
from psqlmodel.schema import create_all
from psqlmodel.schema.description import ForeignKeyInfo, TableInfo
from psqlmodel.schema.order import in_dependency_order
from psqlmodel.steps import NO_COLUMNS, Release, Rows, Statement

NAMES = "abcdefg"


def make(links: dict[str, list[str]]) -> list[TableInfo]:
    return [
        TableInfo(name, foreign_keys=tuple(ForeignKeyInfo(f"{name}{to}", (to,), to, ("id",)) for to in targets))
        for name, targets in links.items()
    ]


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES + "z"), unique=True)))
def test_keys_find_their_tables_made(links: dict[str, list[str]]):
    tables = make(links)
    ordered, late = in_dependency_order(tables)
    assert sorted(t.name for t in ordered) == sorted(links)
    late_names = {key.name for _, key in late}
    made: set[str] = set()
    for one in ordered:
        made.add(one.name)
        for key in one.foreign_keys:
            assert key.name in late_names or key.table in made or key.table not in links
    assert all(reaches(links, key.table, holder.name) for holder, key in late), "only cycles need a late key"


def reaches(links: dict[str, list[str]], start: str, goal: str) -> bool:
    seen, frontier = set(), [start]
    while frontier:
        name = frontier.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            frontier.extend(links.get(name, ()))
    return False


def test_the_given_order_is_kept_where_it_may_be():
    tables = make({"c": [], "a": [], "b": ["a"]})
    assert [t.name for t in in_dependency_order(tables)[0]] == ["c", "a", "b"]


@table("t")
class Model(PSQLModel):
    id: Column[int] = Column(primary_key=True)


@pytest.mark.parametrize("sent_before", [1, 2, 3, 4])
def test_an_interruption_gives_the_connection_up(sent_before: int):
    """Nobody knows whether the interrupted statement was done: the connection must not be used again."""
    steps = create_all([Model.__mapper__])
    request = next(steps)
    for _ in range(sent_before - 1):
        request = steps.send(Rows([], NO_COLUMNS, 0))
    assert isinstance(request, Statement)
    request = steps.throw(KeyboardInterrupt())
    assert isinstance(request, Release)
    assert request.discard
    with pytest.raises(KeyboardInterrupt):
        steps.send(Rows([], NO_COLUMNS, 0))


def test_a_lost_connection_keeps_the_first_error():
    steps = create_all([Model.__mapper__])
    next(steps)
    steps.send(Rows([], NO_COLUMNS, 0))
    first = ConnectionLost("first")
    rollback = steps.throw(first)
    assert isinstance(rollback, Statement)
    assert rollback.text == "ROLLBACK"
    assert isinstance(steps.throw(ConnectionLost("second")), Release)
    with pytest.raises(ConnectionLost) as raised:
        steps.send(Rows([], NO_COLUMNS, 0))
    assert raised.value is first


def test_a_connection_that_was_dead_is_replaced_once():
    steps = create_all([Model.__mapper__])
    begin = next(steps)
    assert isinstance(begin, Statement)
    assert begin.once
    given_up = steps.throw(ConnectionLost("it was dead"))
    assert isinstance(given_up, Release)
    assert given_up.discard
    assert steps.send(Rows([], NO_COLUMNS, 0)) is begin
    again = ConnectionLost("and so is the server")
    assert steps.throw(again).text == "ROLLBACK"
    assert isinstance(steps.throw(ConnectionLost("third")), Release)
    with pytest.raises(ConnectionLost) as raised:
        steps.send(Rows([], NO_COLUMNS, 0))
    assert raised.value is again
