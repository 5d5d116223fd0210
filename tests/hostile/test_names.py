"""Names: an identifier stands quoted in the statement and means itself, or is refused with a clear error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pglast
import pytest
from hypothesis import example, given

from psqlmodel import (
    Column,
    ConfigurationError,
    DatabaseError,
    Index,
    InvalidValueError,
    JsonTable,
    MappingError,
    Nested,
    New,
    Old,
    Only,
    PSQLModel,
    PSQLModelError,
    QueryError,
    Select,
    TableSample,
    Text,
    Unique,
    Update,
    quote,
    table,
    types,
    varchar,
)
from psqlmodel.core.engine.replicas import position_of

from .conftest import Place, each
from .models import Thing
from .names import QUOTED
from .texts import ATTACKS, budget, is_name, is_storable, names, storable, texts

PLAIN = "Plain Name"
DOTTED = 'a"."b'  # looks like two names once it is quoted


async def _with(work: Callable[[Any, str], Awaitable[None]], name: str, session: Any) -> None:
    await work(session, name)


@pytest.mark.parametrize("case", each(QUOTED))
def test_a_name_is_quoted_or_refused(place: Place, case: str) -> None:
    work = QUOTED[case]
    result, usual = place.outcome(partial(_with, work, PLAIN))
    assert result is None
    assert any(quote(PLAIN) in text for text in usual)

    @budget(20)
    @given(names)
    @example(DOTTED)
    @example('"; DROP TABLE canary; --')
    @example("\0")
    @example("x" * 64)
    def throw(name: str) -> None:
        result, sent = place.outcome(partial(_with, work, name))
        if is_name(name):
            assert result is None
            if case != "schemas_of_functions":  # a plain one stands as it is
                assert sent == [text.replace(quote(PLAIN), quote(name)) for text in usual]
        else:
            assert isinstance(result, QueryError)
            assert not any(event.error for event in place.both.statements)

    throw()


def test_a_function_is_a_name_too(place: Place) -> None:
    from psqlmodel import Func

    @budget(30)
    @given(names.filter(lambda name: not name.startswith("__")))
    @example('max"(1); DROP TABLE canary; --')
    @example("pg_sleep(9); --")
    def throw(name: str) -> None:
        async def call(session: Any) -> None:
            _ = await session.exec(Select(getattr(Func, name)(1)))

        result, sent = place.outcome(call)
        if not is_name(name):
            assert isinstance(result, QueryError)
        elif not (name.isascii() and name.isidentifier() and name == name.lower()):
            assert quote(name) + "(" in sent[0]
            assert result is None or isinstance(result, DatabaseError)

    throw()


def test_operators_are_signs(place: Place) -> None:
    @budget(60)
    @given(names)
    @example("= 1) --")
    @example("=--")
    @example("/*=")
    @example("")
    def throw(operator: str) -> None:
        async def use(session: Any) -> None:
            _ = await session.exec(Select(Thing).Where(Thing.id.Op(operator, 1)))

        result, sent = place.outcome(use)
        if set(operator) <= set("+-*/<>=~!@#%^&|`?") and operator and "--" not in operator and "/*" not in operator:
            assert result is None or isinstance(result, DatabaseError)
        else:
            assert isinstance(result, QueryError)
            assert sent == []

    throw()


def test_names_that_a_model_does_not_have(place: Place) -> None:
    from psqlmodel import Excluded, Insert

    @budget(30)
    @given(names)
    def throw(name: str) -> None:
        if hasattr(Thing, name):
            return
        for use in (
            lambda: Select(Thing).Subquery("s")[name],
            lambda: Insert(Thing).Values(**{name: 1}),
            lambda: Insert(Thing).Values(body="x").OnConflict(Thing.id).DoUpdate(body=Excluded[name]),
            lambda: Select(Thing).OrderBy(name),
            lambda: Select(name),
            lambda: Select(Thing).Where(name),
            lambda: Select(Thing).GroupBy(name),
            lambda: Select(Thing).Join(name),
            lambda: Insert(name),
        ):
            with pytest.raises(PSQLModelError):
                _ = use()

    throw()


def test_pieces_of_sql_hold_one_statement(place: Place) -> None:
    """`Text` is SQL by intent; what it can't be is more than a piece of one statement."""

    @budget(60)
    @given(texts)
    @example("true; DROP TABLE canary")
    @example("true\0; DROP TABLE canary")
    def throw(piece: str) -> None:
        async def use(session: Any) -> None:
            _ = await session.exec(Select(Thing).Where(Text(piece[:200])).Limit(1))

        result, sent = place.outcome(use)
        assert result is None or isinstance(result, PSQLModelError)
        assert len(sent) <= 2

    throw()


def test_a_foreign_key_to_any_name(place: Place) -> None:
    @budget(15)
    @given(names)
    @example("canary")
    @example('canary"; DROP TABLE canary; --')
    def throw(name: str) -> None:
        with pytest.raises(PSQLModelError):  # MappingError, or the server's: there is no such table or column

            @table("hostile_children")
            class Child(PSQLModel):
                id: int = Column(primary_key=True)
                parent: int | None = Column(foreign_key=f"{name}.{name}")

            place.run(_on_engine(place, "create_all", Child))

    throw()


@pytest.mark.parametrize("token", [*ATTACKS[:8], "", "0/0; --", "0/G", "\0", "1/1\n", "٣/٣", "0/0 OR 1=1"])
def test_a_token_of_a_position_is_one(token: str) -> None:
    with pytest.raises(InvalidValueError):
        position_of(token)


# --- tables ---------------------------------------------------------------------------------------------------------


def _model(name: str, schema: str, column: str, key: str, index: str, comment: str) -> Any:
    @table(
        name,
        schema=schema,
        comment=comment,
        constraints=[Unique("body", name=key)],
        indexes=[Index("number", name=index)],
    )
    class Made(PSQLModel):
        id: int = Column(primary_key=True)
        body: str | None = Column(name=column, comment=comment, type=varchar(200), server_default="'x'")
        number: int | None = Column()

    return Made


async def _use(place: Place, made: Any) -> None:
    """Write and read rows of a model in all the ways that name its table."""
    async with place.both.session() as session:
        session.add_all([made(body="a", number=1), made(body="b", number=2), made(number=3)])
        await session.flush()
        found = await session.exec_one(Select(made).Where(made.body == "b"))
        found.body = "c"
        await session.flush()
        await session.refresh(found)
        assert found.body == "c"
        _ = await session.upsert([made(body="d", number=4)], on=made.body)
        assert await session.bulk_insert([made(body=f"{n}", number=n) for n in range(20)]) == 20
        assert await session.bulk_insert([{"body": f"-{n}"} for n in range(20)], model=made, returning=False) == 20
        assert await session.bulk_update([made(id=found.id, number=7), made(id=found.id + 1, number=7)]) == 2
        session.delete(found)
        await session.commit()
        assert len(await session.exec(Select(made.id))) == 43


_PRESENT = """
SELECT (SELECT array_agg(relname) FROM pg_class WHERE relnamespace = n.oid AND relkind = 'r'),
       (SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        WHERE relnamespace = n.oid AND relkind = 'r' AND attnum > 0),
       (SELECT array_agg(conname) FROM pg_constraint WHERE connamespace = n.oid AND contype = 'u'),
       (SELECT count(*) FROM pg_class WHERE relnamespace = n.oid AND relkind = 'i' AND relname = %s),
       (SELECT array_agg(DISTINCT description) FROM pg_description d JOIN pg_class c ON c.oid = objoid
        WHERE relnamespace = n.oid)
FROM pg_namespace n WHERE nspname = %s"""


def _attempt(place: Place, parts: list[str], comment: str) -> None:
    name, schema, column, key, index = parts
    good = all(map(is_name, parts)) and is_storable(comment)
    try:
        made = _model(name, schema, column, key, index, comment)
        place.run(_on_engine(place, "create_all", made))
    except (MappingError, QueryError, ConfigurationError, InvalidValueError):
        assert not good
        return
    try:
        assert good
        assert tuple(place.sql.execute(_PRESENT, [index, schema])[0]) == (
            [name],
            ["id", column, "number"],
            [key],
            1,
            [comment],
        )
        place.run(_use(place, made))
        place.run(_on_engine(place, "drop_all", made))
        assert place.sql.execute(_PRESENT, [index, schema])[0][0] is None
    finally:
        place.sql.execute(f"DROP SCHEMA {quote(schema)} CASCADE")
        seen = place.sql.execute("SELECT DISTINCT object FROM ddl_seen WHERE object NOT LIKE 'public.%'")
        assert seen
        place.sql.execute("DELETE FROM ddl_seen WHERE object NOT LIKE 'public.%'")


async def _on_engine(place: Place, method: str, made: Any) -> None:
    _ = await place.both.on_engine(method, [made])


@pytest.mark.parametrize("parts", [
    [DOTTED, "s", "c", "k", "i"],
    [DOTTED, DOTTED, DOTTED, DOTTED + "k", DOTTED + "i"],
    ["t", 's"."t', "c", "k", "i"],
    ["a.b", "c.d", "e.f", "g.h", "i.j"],
    ["select", "user", "table", "order", "group"],
    ["$do$", "$do_$", "$1", "%s", "%(x)s"],
    ["'", "\\", "\\'", "E'\\", "--"],
    ["t;", "/*", "*/", "\r", "\n"],
    ["é" * 31, "’", "\u202e", "\ufeff", "\U0001f600"],
    ["x" * 63, "y" * 63, "z" * 63, "k" * 63, "i" * 63],
    ["t", "s", "c" * 64, "k", "i"],
    ["t\0", "s", "c", "k", "i"],
    ["t", "s", "c\ud800", "k", "i"],
    ["t", "s", "c", "k", "i\0"],
], ids=range(14))  # fmt: skip
def test_tables_with_hostile_names(place: Place, parts: list[str]) -> None:
    _attempt(place, parts, "'; DROP TABLE canary; --\\$do$")


def test_tables_with_any_names(place: Place) -> None:
    short = names.map(lambda name: name[:24])

    @budget(8)
    @given(short, short, short, short, short, texts.map(lambda text: text[:200]))
    def throw(name: str, schema: str, column: str, key: str, index: str, comment: str) -> None:
        if len({name, key, index}) < 3 or column in ("id", "number") or schema in ("public", ""):
            return
        if schema.startswith("pg_"):
            return  # the server keeps these for itself
        _attempt(place, [name, schema, column, key, index], comment)

    throw()


# --- transactions ----------------------------------------------------------------------------------------------------


def test_identifiers_of_prepared_transactions(place: Place) -> None:
    @budget(25)
    @given(texts.map(lambda text: text[:150]))
    @example("'; DROP TABLE canary; --")
    @example("\\'; DROP TABLE canary; --")
    @example("\0")
    def throw(identifier: str) -> None:
        async def prepare(session: Any) -> None:
            session.add(Thing(body="x"))
            await session.prepare(identifier)

        result, _ = place.outcome(prepare)
        if not is_storable(identifier):
            assert isinstance(result, ConfigurationError)
            for method in ("commit_prepared", "rollback_prepared"):
                with pytest.raises(ConfigurationError):
                    place.run(_call(place, method, identifier))
        elif len(identifier.encode()) >= 200:
            assert isinstance(result, DatabaseError)
        else:
            assert result is None
            waiting = place.run(_call(place, "prepared"))
            assert [each.identifier for each in waiting] == [identifier]
            place.run(_call(place, "rollback_prepared", identifier))

    throw()
    assert place.run(_call(place, "prepared")) == []


async def _call(place: Place, method: str, *args: Any) -> Any:
    return await place.both.on_engine(method, *args)


def test_roles(place: Place) -> None:
    async def who(role: str) -> Any:
        async with place.both.session(role=role) as session:
            return await session.exec_scalar("SELECT current_user::text")

    assert place.run(who('it\'s a "role"\\')) == 'it\'s a "role"\\'

    @budget(25)
    @given(storable)
    def throw(role: str) -> None:
        if role.lower() == "none":
            return
        with pytest.raises(DatabaseError):
            place.run(who(role))

    throw()
    for role in ("\0", "postgres\0x", "\ud800"):
        with pytest.raises(ConfigurationError):
            place.run(who(role))


_NO_SETTINGS = [*ATTACKS[:-2], "a b", "a\0", "é", "a..b", ".a", "a.", "1a", "", "role", "ROLE", "Client_Encoding"]


@pytest.mark.parametrize("name", _NO_SETTINGS, ids=range(len(_NO_SETTINGS)))
def test_names_of_settings_are_names(place: Place, name: str) -> None:
    async def begin() -> None:
        async with place.both.session(settings={name: "x"}) as session:
            await session.exec("SELECT 1")

    with pytest.raises(ConfigurationError):
        place.run(begin())


@pytest.mark.parametrize("text", ["x'; DROP TABLE canary; --", "$[*]' COLUMNS (a int)) --", "\\'", '$."a"'])
def test_paths_and_methods_of_samples_are_quoted(text: str) -> None:
    """A JSON path is a literal, and the method of a sample a name: the text is one statement whatever they say."""
    for query in (
        Select(JsonTable("j", [], text, a=types.integer)),
        Select(JsonTable("j", [], "$", a=(types.integer, text))),
        Select(JsonTable("j", [], "$", a=Nested(text, b=types.integer))),
        Select(TableSample(Thing, 10, method=text)),
        Update(Thing).Set(body=text).Where(Thing.id == 1).Returning(Old(Thing).body, New(Thing).body),
        Select(Only(Thing)).Where(Thing.body == text),
    ):
        [statement] = pglast.parse_sql(str(query))
        assert type(statement.stmt).__name__ in ("SelectStmt", "UpdateStmt")
