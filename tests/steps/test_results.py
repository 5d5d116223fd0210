"""Results: what `.all()`, `.one()` and the others give, and the awaitables of an asynchronous session."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable
from typing import Any

import pytest

from psqlmodel import errors
from psqlmodel.core.loading.reading import Loaded
from psqlmodel.core.loading.result import AsyncQueryResult, PendingResult, QueryResult
from psqlmodel.core.row import row_class

ITEMS: list[Any] = ["a", "b", "c"]
ROW = row_class(("id", "count", "id", "two words"))


def test_a_result_is_a_sequence() -> None:
    result = QueryResult(Loaded(list(ITEMS), 3))
    assert list(result) == result.all() == ITEMS
    assert (len(result), bool(result), result[0], result[-1], result[1:]) == (3, True, "a", "c", ["b", "c"])
    assert "b" in result
    assert result.rowcount == 3
    assert repr(result) == "<QueryResult of 3>"


def test_all_is_the_programs_own_list() -> None:
    result = QueryResult(Loaded(list(ITEMS), 3))
    result.all().clear()
    assert len(result) == 3


@pytest.mark.parametrize(("items", "first", "one"), [([], None, None), (["a"], "a", "a")])
def test_first_and_one_or_none(items: list[Any], first: Any, one: Any) -> None:
    result = QueryResult(Loaded(items, len(items)))
    assert (result.first(), result.one_or_none()) == (first, one)


def test_one_needs_exactly_one() -> None:
    with pytest.raises(errors.NoResultFound, match=r"first\(\)"):
        QueryResult(Loaded([], 0)).one()
    for verb in ("one", "one_or_none"):
        with pytest.raises(errors.MultipleResultsFound, match="3 rows"):
            getattr(QueryResult(Loaded(ITEMS, 3)), verb)()


def test_scalars_are_the_first_values_of_rows_and_objects_themselves() -> None:
    rows = [ROW((1, 2, 3, 4)), ROW((5, 6, 7, 8))]
    assert QueryResult(Loaded(rows, 2)).scalars() == [1, 5]
    assert QueryResult(Loaded(rows, 2)).scalar() == 1
    assert QueryResult(Loaded(ITEMS, 3)).scalars() == ITEMS
    assert QueryResult(Loaded([], 0)).scalar() is None


def test_rows_are_read_by_position_name_and_attribute() -> None:
    row = ROW((1, 2, 3, 4))
    assert (row[0], row["id"], row.id, row.count, row["two words"], row[1:3]) == (1, 1, 1, 2, 4, (2, 3))
    assert row == (1, 2, 3, 4)
    with pytest.raises(KeyError, match="it has id, count, id, two words"):
        row["nothing"]
    with pytest.raises(AttributeError, match="no column 'nothing'"):
        _ = row.nothing
    assert pickle.loads(pickle.dumps(row)).count == 2


# --- awaited ---------------------------------------------------------------------------------------------------------


class Sender:
    """Counts how often a query is sent."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.times = 0

    async def __call__(self) -> Loaded[Any]:
        self.times += 1
        await asyncio.sleep(0)
        return Loaded(self.items, len(self.items))

    def pending(self) -> PendingResult[Any]:
        return PendingResult("SELECT 1", None, self)


async def test_an_awaited_result_iterates_and_its_methods_are_awaitable() -> None:
    sender = Sender(ITEMS)
    result = await sender.pending()
    assert isinstance(result, AsyncQueryResult)
    assert (list(result), len(result), result[0]) == (ITEMS, 3, "a")
    assert (await result.all(), await result.first(), await result.scalar()) == (ITEMS, "a", "a")
    assert await result.scalars() == ITEMS
    for verb in (result.one, result.one_or_none):
        with pytest.raises(errors.MultipleResultsFound):
            await verb()
    assert sender.times == 1


async def test_a_method_of_a_pending_result_sends_it() -> None:
    for verb, expected in (("all", ["a"]), ("first", "a"), ("one", "a"), ("one_or_none", "a"), ("scalar", "a")):
        sender = Sender(["a"])
        assert await getattr(sender.pending(), verb)() == expected
        assert sender.times == 1
    assert await Sender(["a"]).pending().scalars() == ["a"]


async def test_nothing_is_sent_before_it_is_awaited_and_once_only() -> None:
    sender = Sender(ITEMS)
    pending: Awaitable[list[Any]] = sender.pending().all()
    assert sender.times == 0
    assert await pending == await pending == ITEMS
    assert sender.times == 1


async def test_a_query_that_nobody_awaits_warns() -> None:
    for make in (lambda: Sender([]).pending(), lambda: Sender([]).pending().all()):
        with pytest.warns(RuntimeWarning, match="never awaited: SELECT 1"):
            make()  # dropped at once: nothing holds it


async def test_a_failed_query_can_be_awaited_again() -> None:
    class Failing(Sender):
        async def __call__(self) -> Loaded[Any]:
            self.times += 1
            if self.times == 1:
                raise errors.QueryCanceled("too slow")
            return Loaded(self.items, 1)

    sender = Failing(["a"])
    pending = sender.pending().all()
    with pytest.raises(errors.QueryCanceled):
        await pending
    assert await pending == ["a"]


@pytest.mark.parametrize("use", [list, len, bool, lambda pending: pending[0]])
def test_a_forgotten_await_is_named(use: Any) -> None:
    async def run() -> Loaded[Any]:
        return Loaded([], 0)

    with pytest.raises(TypeError, match="not executed yet, await it first: SELECT 1"):
        use(PendingResult("SELECT 1", None, run))


@pytest.mark.parametrize("make", [lambda sender: sender.pending(), lambda sender: sender.pending().first()])
async def test_an_attribute_of_what_was_not_awaited_is_named(make: Any) -> None:
    pending = make(Sender(ITEMS))
    with pytest.raises(AttributeError, match=r"has no 'name': the query is not executed yet, await it first: SELECT 1"):
        _ = pending.name
    assert not hasattr(pending, "__len_of_nothing__")
    await pending
