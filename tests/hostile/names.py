"""The places where a name enters: each is a coroutine of a session and a name.

`QUOTED`: the name is an identifier, which stands quoted in the statement. `LITERAL`: it stands there as a constant, for
the statement takes no parameter. `ASIDE`: it is a parameter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from psqlmodel import (
    Alias,
    Cast,
    DataError,
    Func,
    Insert,
    JsonTable,
    ProgrammingError,
    Select,
    Value,
    Values,
    With,
    types,
)

from .models import Note, Thing

Work = Callable[[Any, str], Awaitable[None]]
QUOTED: dict[str, Work] = {}


def quoted(work: Work) -> Work:
    QUOTED[work.__name__] = work
    return work


@quoted
async def aliases(session: Any, name: str) -> None:
    session.add(Thing(body="x"))
    await session.flush()
    other = Alias(Thing, name)
    thing = await session.exec_one(Select(other).Where(other.body == "x").OrderBy(other.id))
    assert thing.body == "x"


@quoted
async def subqueries(session: Any, name: str) -> None:
    inner = Select(Value(1).As("n")).Subquery(name)
    assert await session.exec_scalar(Select(inner.n)) == 1


@quoted
async def common_tables(session: Any, name: str) -> None:
    named = With(name, Select(Value(1).As("n"))).Recursive(lambda tree: Select(tree.n + 1).Where(tree.n < 3))
    assert await session.exec_scalar(Select(Func.max(named.n))) == 3


@quoted
async def labels(session: Any, name: str) -> None:
    row = await session.exec_one(Select(Value(1).As(name), Value(2).As("other")))
    assert row[name] == 1
    assert list(row.to_dict()) == [name, "other"]


@quoted
async def columns_of_subqueries(session: Any, name: str) -> None:
    inner = Select(Value(1).As(name)).Subquery("inner_")
    assert await session.exec_scalar(Select(inner[name])) == 1


@quoted
async def savepoints(session: Any, name: str) -> None:
    session.add(Thing(body="kept"))
    async with session.begin_nested(name):
        session.add(Thing(body="kept, too"))
    with_error = session.savepoint(name)
    try:
        async with with_error:
            session.add(Thing(body="lost"))
            await session.flush()
            raise LookupError
    except LookupError:
        pass
    assert await session.exec_scalar(Select(Func.count(Thing.id))) == 2


@quoted
async def constraints(session: Any, name: str) -> None:
    try:
        _ = await session.exec(Insert(Note).Values(key="x").OnConflict(constraint=name).DoNothing())
    except ProgrammingError as error:
        assert error.sqlstate == "42704"
        return
    raise AssertionError("there is no such constraint")


@quoted
async def names_of_types(session: Any, name: str) -> None:
    try:
        _ = await session.exec(Select(Cast("x", types.custom(name))))
    except ProgrammingError as error:
        assert error.sqlstate in ("42704", "42501")  # there is no such type, or it may not be used
    except DataError:
        pass  # there is one: a table is a type, too


@quoted
async def collations(session: Any, name: str) -> None:
    try:
        _ = await session.exec(Select(Value("x").Collate(name)))
    except ProgrammingError as error:
        assert error.sqlstate == "42704"


@quoted
async def schemas_of_functions(session: Any, name: str) -> None:
    if name.startswith("__"):
        return  # what Python looks up by itself
    schema = getattr(Func, name)
    try:
        _ = await session.exec(Select(schema.Nothing(1)))
    except ProgrammingError as error:
        assert error.sqlstate in ("3F000", "42883", "42601")


@quoted
async def tables_in_from(session: Any, name: str) -> None:
    rows = Values(name, [name], [(1,), (2,)])
    assert await session.exec_scalar(Select(rows[name]).Where(rows[name] > 1)) == 2
    numbers = Func.generate_series(1, 2).AsTable(name, name, ordinality="place")
    assert await session.exec_scalar(Select(numbers[name]).Where(numbers.place == 2)) == 2
    records = Func.jsonb_to_recordset(Cast([{name: 5}], types.jsonb)).AsTable(name, **{name: types.integer})
    assert await session.exec_scalar(Select(records[name])) == 5


@quoted
@pytest.mark.since(17)
async def documents_in_from(session: Any, name: str) -> None:
    document = JsonTable(name, [{"k": 7}], "$[*]", **{name: (types.integer, "$.k")})
    assert await session.exec_scalar(Select(document[name])) == 7


@quoted
async def windows(session: Any, name: str) -> None:
    session.add(Thing(body="x"))
    await session.flush()
    query = Select(Func.row_number().Over(name)).From(Thing).Where(Thing.body == "x").Window(name, order_by=Thing.id)
    assert await session.exec_scalar(query) == 1


@quoted
async def searches(session: Any, name: str) -> None:
    start = With("tree", Select(Value(1).As("n")))
    tree = start.Recursive(lambda tree: Select(tree.n + 1).Where(tree.n < 3))
    ordered = tree.SearchDepthFirst("n", set=name)
    assert len(await session.exec(Select(ordered.n).OrderBy(ordered[name]))) == 3
    marked = tree.Cycle("n", mark=name, path="way")
    assert await session.exec_scalar(Select(marked[name]).Where(marked.n == 1)) is False
