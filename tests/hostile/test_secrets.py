"""Secrets: values and passwords are in no message, no representation, no log line, no warning and no statement event.

Each of `FAILURES` makes something go wrong around a secret value. What is said about it is gathered: the error with its
causes as a traceback prints them, all log records of all levels, warnings, statement events, and the representations of
session, engine, pool and options.
"""

from __future__ import annotations

import gc
import logging
import traceback
import warnings
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    Cast,
    DateTrunc,
    Func,
    InvalidValueError,
    Now,
    PSQLModelError,
    Select,
    Text,
    UncommittedChangesWarning,
    Value,
    types,
)
from psqlmodel.drivers.failure import make_error

from .conftest import Place
from .models import Note, Thing

SECRET = "hunter2-s3cr3t"
OTHER = 8_675_309_424_242  # numbers that stand for nothing else
PARENT = 867_530_942

Work = Callable[[Any], Awaitable[Any]]
FAILURES: dict[str, Work] = {}


def failure(work: Work) -> Work:
    FAILURES[work.__name__] = work
    return work


async def _flushed(session: Any, *objects: Any) -> None:
    session.add_all(objects)
    await session.flush()


# --- what the server refuses ------------------------------------------------------------------------------------------


@failure
async def a_key_twice(session: Any) -> None:
    await _flushed(session, Note(key=SECRET))
    _ = await session.exec("INSERT INTO hostile_notes (key) VALUES (%s)", [SECRET])


@failure
async def a_key_twice_in_a_flush(session: Any) -> None:
    await _flushed(session, Note(key=SECRET + "1", title=SECRET), Note(key=SECRET + "2", title=SECRET))


@failure
async def a_missing_parent(session: Any) -> None:
    await _flushed(session, Note(key=SECRET, thing_id=PARENT))


@failure
async def a_key_twice_by_copy(session: Any) -> None:
    _ = await session.bulk_insert([Note(key=SECRET), Note(key=SECRET)])


@failure
async def a_row_without_what_it_needs(session: Any) -> None:
    _ = await session.exec("INSERT INTO hostile_notes (key, title) VALUES (NULL, %s)", [SECRET])


@failure
async def a_text_as_number(session: Any) -> None:
    _ = await session.exec("SELECT %s::int", [SECRET])


@failure
async def a_number_too_great(session: Any) -> None:
    _ = await session.exec("SELECT %s::int", [OTHER])


@failure
async def a_text_as_each_type(session: Any) -> None:
    for name in ("date", "uuid", "jsonb", "int[]", "interval", "point", "inet", "int4range", "xml", "bit(3)", "bytea"):
        try:
            async with session.begin_nested():
                _ = await session.exec(f"SELECT %s::{name}", [f'\\x{SECRET} "{{<a]'])
        except PSQLModelError as error:
            _say(error)
        else:
            raise AssertionError(name)


@failure
async def a_text_with_a_syntax(session: Any) -> None:
    for name in ("tsquery", "tsvector", "jsonpath", "regtype", "hstore", '"hostile ""mood""\'s"'):
        try:
            async with session.begin_nested():
                _ = await session.exec(f"SELECT %s::{name}", [f"{SECRET} ' ( "])
        except PSQLModelError as error:
            _say(error)
        else:
            raise AssertionError(name)


@failure
async def a_parameter_where_none_can_be(session: Any) -> None:
    _ = await session.exec("SELECT 1 FROM canary WHERE ORDER %s", [SECRET])


@failure
async def a_division(session: Any) -> None:
    _ = await session.exec("SELECT length(%s) / 0", [SECRET])


@failure
async def a_query_of_the_builder(session: Any) -> None:
    _ = await session.exec(Select(Cast(Value(SECRET), types.uuid)).Where(Value(SECRET) == SECRET))


@failure
async def a_number_that_the_column_can_not_hold(session: Any) -> None:
    _ = await session.exec("SELECT 1 FROM hostile_things WHERE id = %s::int AND 'x' = %s", [OTHER, SECRET])


@failure
async def a_comparison_that_the_catalog_refuses(session: Any) -> None:
    _ = await session.exec(Select(Thing).Where(Thing.id == OTHER**3, Thing.body == SECRET))


@failure
async def a_unit_that_is_none(session: Any) -> None:
    _ = await session.exec(Select(DateTrunc(SECRET, Now())))


@failure
async def a_regular_expression(session: Any) -> None:
    await _flushed(session, Thing(body="x"))
    _ = await session.exec(Select(Thing).Where(Thing.body.Matches(f"({SECRET}")))


@failure
async def a_piece_of_sql(session: Any) -> None:
    _ = await session.exec(Select(Thing).Where(Text("%s::int = 1", SECRET)))


@failure
async def a_function_that_is_not_there(session: Any) -> None:
    _ = await session.exec(Select(Func.hostile_nothing(SECRET)))


@failure
async def a_time_limit(session: Any) -> None:
    _ = await session.exec("SET LOCAL statement_timeout = '20ms'")
    _ = await session.exec("SELECT pg_sleep(20), %s", [SECRET])


@failure
async def a_connection_that_ends(session: Any) -> None:
    _ = await session.exec("SELECT pg_terminate_backend(pg_backend_pid()), %s", [SECRET])


# --- what we refuse ---------------------------------------------------------------------------------------------------


@failure
async def values_of_a_wrong_type(session: Any) -> None:
    for model, values in (
        (Thing, {"id": SECRET}),
        (Thing, {"short": SECRET * 10}),
        (Thing, {"body": SECRET + "\0"}),
        (Thing, {"tags": [SECRET, 1]}),
        (Thing, {"data": {SECRET: object()}}),
        (Thing, {"data": {"a": SECRET + "\0"}}),
        (Thing, {"pairs": {SECRET: 1}}),
        (Thing, {"mood": SECRET}),
        (Thing, {"raw": SECRET}),
        (Thing, {"words": SECRET.encode()}),
        (Note, {"key": SECRET, "thing_id": OTHER}),
    ):
        with pytest.raises(PSQLModelError) as caught:
            await _flushed(session, model(**values))
        _say(caught.value)
        await session.rollback()


@failure
async def conditions_of_a_wrong_type(session: Any) -> None:
    for make in (
        lambda: Thing.id == SECRET,
        lambda: Thing.id.In([SECRET]),
        lambda: Thing.body.Like(SECRET + "\0"),
        lambda: Thing.body == datetime(2026, 1, 1),
        lambda: Thing.mood == SECRET,
        lambda: Value([SECRET, 1]),
        lambda: Value(object()),
        lambda: Cast(SECRET, types.uuid),
    ):
        try:
            _ = make()
        except PSQLModelError as error:
            _say(error)
        else:
            raise AssertionError(_)


@failure
async def parameters_that_do_not_fit(session: Any) -> None:
    for sql, params in (
        ("SELECT %s", [SECRET, SECRET]),
        ("SELECT %s", SECRET),
        ("SELECT %s", {"x": SECRET}),
        ("SELECT %(x)s", [SECRET]),
        ("SELECT %(x)s", {"y": SECRET}),
        ("SELECT %s", [SECRET + "\0"]),
        ("SELECT %s", [{SECRET: {1, 2}}]),
        ("SELECT %s", [{SECRET}]),
        ("SELECT %s", [{SECRET: float("nan")}]),
    ):
        try:
            _ = await session.exec(sql, params)
        except PSQLModelError as error:
            _say(error)


@failure
async def keys_of_a_wrong_type(session: Any) -> None:
    for key in (SECRET, (SECRET, SECRET), {"id": SECRET}, {"no": SECRET}, SECRET.encode(), Decimal("1.5")):
        with pytest.raises(PSQLModelError) as caught:
            _ = await session.get(Thing, key)
        _say(caught.value)


@failure
async def a_row_that_is_gone(session: Any) -> None:
    thing = Thing(body=SECRET)
    await _flushed(session, thing)
    _ = await session.exec("DELETE FROM hostile_things")
    thing.body = SECRET + "2"
    await session.flush()


@failure
async def settings_that_are_none(session: Any) -> None:
    for value in (SECRET + "\0", [SECRET], {SECRET: 1}):
        with pytest.raises(PSQLModelError) as caught:
            session.settings = {"hostile.secret": value}
        _say(caught.value)
    session.settings = {"hostile.secret": SECRET, "work_mem": SECRET}
    _ = await session.exec("SELECT 1")


@failure
async def a_failed_transaction_goes_on(session: Any) -> None:
    await _flushed(session, Note(key=SECRET))
    with pytest.raises(PSQLModelError) as caught:
        await _flushed(session, Note(key=SECRET + "x", title="t"), Note(key=SECRET + "y", title="t"))
    _say(caught.value)
    _ = await session.exec("SELECT 1")


# --- gathering --------------------------------------------------------------------------------------------------------

_said: list[str] = []


def _say(error: BaseException) -> None:
    _said.append("".join(traceback.format_exception(error)) + repr(error) + str(error))
    cause: BaseException | None = error
    while cause is not None:
        _said.append(f"{cause!r} {cause} {cause.args!r}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _leaks() -> list[str]:
    return [text for text in _said if SECRET in text or str(OTHER) in text or str(PARENT) in text]


@pytest.fixture
def gathered(caplog: pytest.LogCaptureFixture) -> list[str]:
    """An empty list of what is said; logging of all levels is on, asyncio's own included."""
    _said.clear()
    caplog.set_level(logging.DEBUG)
    for name in ("asyncio", "asyncpg", "psycopg2", "psqlmodel"):
        caplog.set_level(logging.DEBUG, name)
    return _said


def _representations(place: Place, session: Any) -> list[str]:
    raw = getattr(session, "raw", session)
    seen = (
        raw,
        place.engine,
        place.engine.options,
        place.engine.pool,
        place.engine.pool.status(),
        place.engine.catalog,
    )
    return [f"{each!r} {each}" for each in seen]


@pytest.mark.parametrize("name", FAILURES)
def test_an_error_does_not_say_the_value(
    place: Place, gathered: list[str], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    async def fail() -> None:
        session = place.both.session()
        try:
            async with session:
                try:
                    await FAILURES[name](session)
                finally:
                    gathered.extend(_representations(place, session))
        except PSQLModelError as error:
            _say(error)

    place.both.statements.clear()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        place.run(fail())
        gc.collect()
    assert gathered
    gathered.extend(f"{each.message!r} {each.message}" for each in warned)
    gathered.extend(f"{record.getMessage()} {record.args!r} {record.exc_text}" for record in caplog.records)
    gathered.extend(repr(event) for event in place.both.statements)
    assert _leaks() == []


def test_what_is_lost_is_named_without_values(place: Place, gathered: list[str]) -> None:
    async def leave() -> None:
        async with place.both.session() as session:
            session.add(Thing(body=SECRET))
            session.add(Note(key=SECRET))

    with pytest.warns(UncommittedChangesWarning) as warned:
        place.run(leave())
    gathered.extend(str(each.message) for each in warned)
    assert gathered
    assert _leaks() == []


def test_settings_of_an_engine_are_not_shown(hostile_dsn: str) -> None:
    from psqlmodel import create_async_engine, create_engine

    for make in (create_engine, create_async_engine):
        dsn = hostile_dsn + f"&password={SECRET}"
        engine: Any = make(dsn, settings={"hostile.secret": SECRET}, replicas=[dsn, dsn])
        for each in (engine, engine.options, engine.options.target, engine.pool, vars(engine), vars(engine.pool)):
            assert SECRET not in repr(each)
            assert SECRET not in str(each)
        assert "hostile.secret" in repr(engine.options)


@pytest.mark.parametrize(
    ("message", "sqlstate"),
    [
        ('invalid input syntax for type integer: "hunter2-s3cr3t"', "22P02"),
        ("ungültige Eingabesyntax für Typ integer: »hunter2-s3cr3t«", "22P02"),
        ("syntaxe en entrée invalide pour le type integer : « hunter2-s3cr3t »", "22P02"),
        ("la sintaxis no es válida para el tipo integer: «hunter2-s3cr3t»", "22P02"),
        ("型integerの入力構文が不正です: 「hunter2-s3cr3t」", "22P02"),
        ('syntax error in tsquery: "hunter2-s3cr3t "', "42601"),
        ("syntax error at or near \"'hunter2-s3cr3t'\"", "42601"),
    ],
)
def test_a_server_of_any_language_does_not_make_us_say_it(message: str, sqlstate: str) -> None:
    error = make_error(message, sqlstate=sqlstate, statement="SELECT $1")
    assert SECRET not in str(error)


def test_what_stands_in_the_statement_is_said() -> None:
    error = make_error('syntax error at or near "FRMO"', sqlstate="42601", statement="SELECT 1 FRMO x")
    assert "FRMO" in str(error)


def test_a_query_shows_its_text_and_no_value(place: Place) -> None:
    query = Select(Thing).Where(Thing.body == SECRET, Thing.data[SECRET].text() == SECRET, Thing.tags.Has(SECRET))
    for each in (query, Thing.body == SECRET, Value(SECRET), Thing.body.Like(SECRET)):
        assert SECRET not in repr(each)
    with pytest.raises(InvalidValueError):
        _ = Thing.body == SECRET + "\0"
