"""Bad input: a clear error of our own before anything is sent, nothing lost, the session still usable."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    AsyncSession,
    Column,
    ConfigurationError,
    Count,
    Delete,
    Engine,
    EngineKindError,
    Insert,
    InvalidValueError,
    MissingPrimaryKeyError,
    NotMappedError,
    ObjectStateError,
    PSQLModel,
    PSQLModelError,
    QueryError,
    Select,
    Session,
    SessionClosedError,
    Update,
    create_async_engine,
    create_engine,
    table,
    types,
)

from .both import Both, Statements
from .models import Account, Item, Order, RichUser, Tag, User


class Unmapped(PSQLModel):
    id: int = Column(primary_key=True)


class Stranger:
    pass


def ada(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")


# Each: what is done with a session, the class of the error, what its message says.
Case = tuple[Callable[[Any], Any], type[Exception], str]

CASES: dict[str, Case] = {
    # add and delete
    "add None": (lambda s: s.add(None), NotMappedError, "NoneType"),
    "add a str": (lambda s: s.add("user"), NotMappedError, "str"),
    "add a class": (lambda s: s.add(User), NotMappedError, "not the class User"),
    "add a dict": (lambda s: s.add({"name": "x"}), NotMappedError, "dict"),
    "add a stranger": (lambda s: s.add(Stranger()), NotMappedError, "Stranger"),
    "add a list": (lambda s: s.add([User(name="x")]), NotMappedError, "list"),
    "add_all with a stranger": (lambda s: s.add_all([User(name="x"), Stranger()]), NotMappedError, "Stranger"),
    "add_all of one object": (lambda s: s.add_all(User(name="x")), PSQLModelError, "add"),
    "add_all of None": (lambda s: s.add_all(None), PSQLModelError, "NoneType"),
    "delete None": (lambda s: s.delete(None), NotMappedError, "NoneType"),
    "delete a class": (lambda s: s.delete(User), NotMappedError, "not the class User"),
    "delete a transient": (lambda s: s.delete(User(id=1, name="x")), ObjectStateError, "nothing to delete"),
    # get
    "get of a str": (lambda s: s.get("User", 1), NotMappedError, "str"),
    "get of an object": (lambda s: s.get(User(name="x"), 1), NotMappedError, "class"),
    "get of an unmapped class": (lambda s: s.get(Unmapped, 1), NotMappedError, "Unmapped"),
    "get of a stranger": (lambda s: s.get(Stranger, 1), NotMappedError, "Stranger"),
    "get of None": (lambda s: s.get(User, None), MissingPrimaryKeyError, "can't be None"),
    "get of two for one": (lambda s: s.get(User, (1, 2)), MissingPrimaryKeyError, "one value"),
    "get of one for two": (lambda s: s.get(Account, "a"), MissingPrimaryKeyError, "2 values"),
    "get of half a key": (lambda s: s.get(Account, {"bank": "a"}), MissingPrimaryKeyError, "number"),
    "get of None in a key": (lambda s: s.get(Account, ("a", None)), MissingPrimaryKeyError, "number"),
    "get of an unknown name": (lambda s: s.get(Account, {"bnak": "a", "number": 1}), MissingPrimaryKeyError, "bank"),
    "get of a list": (lambda s: s.get(User, [1]), PSQLModelError, "list"),
    "get of a dict value": (lambda s: s.get(User, {"id": {}}), InvalidValueError, "dict"),
    "get of the wrong type": (lambda s: s.get(User, "one"), InvalidValueError, "str"),
    "get of a float": (lambda s: s.get(User, 1.5), InvalidValueError, "float"),
    "get of an object as key": (lambda s: s.get(User, object()), InvalidValueError, "object"),
    "get without a primary key": (lambda s: s.get(RichUser, 1), MissingPrimaryKeyError, "no primary key"),
    "get too big": (lambda s: s.get(User, 10**30), InvalidValueError, "outside"),
    # exec
    "exec None": (lambda s: s.exec(None), QueryError, "NoneType"),
    "exec a class": (lambda s: s.exec(User), QueryError, r"Select\(User\)"),
    "exec a number": (lambda s: s.exec(1), QueryError, "int"),
    "exec bytes": (lambda s: s.exec(b"SELECT 1"), QueryError, "bytes"),
    "exec empty text": (lambda s: s.exec(" "), QueryError, "empty"),
    "exec_one None": (lambda s: s.exec_one(None), QueryError, "NoneType"),
    "exec_scalar a class": (lambda s: s.exec_scalar(User), QueryError, r"Select\(User\)"),
    "params of a query": (lambda s: s.exec(Select(User), [1]), QueryError, "params"),
    "params missing": (lambda s: s.exec("SELECT %s, %s", [1]), QueryError, "2 placeholders"),
    "params too many": (lambda s: s.exec("SELECT %s", [1, 2]), QueryError, "1 placeholders|one placeholder"),
    "params a str": (lambda s: s.exec("SELECT %s", "x"), QueryError, "str"),
    "params a number": (lambda s: s.exec("SELECT %s", 1), QueryError, "int"),
    "params unnamed": (lambda s: s.exec("SELECT %(a)s", [1]), QueryError, "mapping"),
    "params named wrong": (lambda s: s.exec("SELECT %(a)s", {"b": 1}), QueryError, "a"),
    "params of a strange type": (lambda s: s.exec("SELECT %s", [Stranger()]), InvalidValueError, "Stranger"),
    # refresh and load
    "refresh None": (lambda s: s.refresh(None), NotMappedError, "NoneType"),
    "refresh a class": (lambda s: s.refresh(User), NotMappedError, "class"),
    "refresh a transient": (lambda s: s.refresh(User(id=1, name="x")), ObjectStateError, "no row yet"),
    "load nothing": (lambda s: s.load([]), QueryError, "what to load"),
    "load None": (lambda s: s.load(None, User.orders), NotMappedError, "NoneType"),
    "load for a transient": (lambda s: s.load(User(name="x"), User.orders), ObjectStateError, "no row yet"),
    # bulk
    "bulk_insert None": (lambda s: s.bulk_insert(None), NotMappedError, "NoneType"),
    "bulk_insert one object": (lambda s: s.bulk_insert(User(name="x")), NotMappedError, "User"),
    "bulk_insert strangers": (lambda s: s.bulk_insert([Stranger()]), NotMappedError, r"models\[0\]"),
    "bulk_insert classes": (lambda s: s.bulk_insert([User]), NotMappedError, r"models\[0\]"),
    "bulk_insert dicts without a model": (lambda s: s.bulk_insert([{"name": "x"}]), NotMappedError, "model="),
    "bulk_insert unknown names": (
        lambda s: s.bulk_insert([{"nam": "x"}], model=User), InvalidValueError, "did you mean 'name'",
    ),
    "bulk_insert for an unmapped class": (lambda s: s.bulk_insert([{}], model=Stranger), NotMappedError, "Stranger"),
    "bulk_insert wrong values": (
        lambda s: s.bulk_insert([User(name="x"), User(name=3)]), InvalidValueError, r"models\[1\].*User\.name",
    ),
    "bulk_update None": (lambda s: s.bulk_update(None), NotMappedError, "NoneType"),
    "bulk_update without key": (lambda s: s.bulk_update([User(name="x")]), MissingPrimaryKeyError, r"models\[0\]"),
    "bulk_update only keys": (lambda s: s.bulk_update([User(id=1)]), InvalidValueError, "no column"),
    "bulk_update twice": (
        lambda s: s.bulk_update([User(id=1, name="x"), User(id=1, name="y")]), InvalidValueError, "same key",
    ),
    # parallel
    "parallel None": (lambda s: s.parallel_exec(None), QueryError, "NoneType"),
    "parallel one query": (lambda s: s.parallel_exec(Select(User)), QueryError, "list of tasks"),
    "parallel numbers": (lambda s: s.parallel_exec([1]), QueryError, "task 0"),
    "parallel workers": (lambda s: s.parallel_exec(["SELECT 1"], max_workers=0), PSQLModelError, "at least 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("bulk")])
async def test_bad_bulk_calls_that_read_the_catalog(both: Both, statements: Statements, case: str) -> None:
    """Reading the catalog is no part of the work that an error ends."""
    both.engine.catalog.invalidate()
    await test_bad_calls(both, statements, case)


@pytest.mark.parametrize("case", CASES)
async def test_bad_calls(both: Both, statements: Statements, case: str) -> None:
    call, error, said = CASES[case]
    ada(both)
    async with both.session() as session:
        session.add(Tag(name="pending"))
        with pytest.raises(error, match=said) as caught:
            given = call(session)
            if inspect.isawaitable(given):
                await given
        assert isinstance(caught.value, PSQLModelError)
        if not case.startswith("bulk"):  # which flushes what is pending first
            assert [event for event in statements if event.purpose != "transaction"] == []
        await session.commit()  # nothing is lost, and the session goes on
    assert both.column("SELECT name FROM tags") == ["pending"]
    assert both.value("SELECT count(*) FROM users") == 1


@pytest.mark.parametrize("case", CASES)
async def test_bad_calls_on_a_closed_session(both: Both, statements: Statements, case: str) -> None:
    """What is wrong with the session comes first."""
    session = both.session()
    await session.close()
    with pytest.raises(PSQLModelError) as caught:
        given = CASES[case][0](session)
        if inspect.isawaitable(given):
            await given
    assert isinstance(caught.value, SessionClosedError)
    assert statements == []


GOOD: dict[str, Callable[[Any], Any]] = {
    "add": lambda s: s.add(User(name="x")),
    "add_all": lambda s: s.add_all([User(name="x")]),
    "get": lambda s: s.get(User, 1),
    "flush": lambda s: s.flush(),
    "commit": lambda s: s.commit(),
    "rollback": lambda s: s.rollback(),
    "exec": lambda s: s.exec(Select(User)),
    "exec_one": lambda s: s.exec_one("SELECT 1"),
    "exec_scalar": lambda s: s.exec_scalar("SELECT 1"),
    "bulk_insert": lambda s: s.bulk_insert([User(name="x")]),
    "bulk_update": lambda s: s.bulk_update([User(id=1, name="x")]),
    "parallel_exec": lambda s: s.parallel_exec(["SELECT 1"]),
}


@pytest.mark.parametrize("name", GOOD)
async def test_a_closed_session_says_so(both: Both, statements: Statements, name: str) -> None:
    async with both.session() as session:
        await session.exec("SELECT 1")
    statements.clear()
    with pytest.raises(SessionClosedError, match="open another"):
        given = GOOD[name](session)
        if inspect.isawaitable(given):
            await given
    assert statements == []


async def test_a_closed_session_can_not_be_entered_again(both: Both) -> None:
    session = both.session()
    await session.close()
    with pytest.raises(SessionClosedError):
        async with session:
            pass


# --- engines ---------------------------------------------------------------------------------------------------------


def test_the_wrong_kind_of_engine() -> None:
    dsn = "postgresql://localhost/nowhere"
    with pytest.raises(EngineKindError, match="AsyncSession"):
        Session(create_async_engine(dsn))
    with pytest.raises(EngineKindError, match="Session"):
        AsyncSession(create_engine(dsn))
    for wrong in (None, dsn, 3):
        with pytest.raises(EngineKindError):
            Session(wrong)
        with pytest.raises(EngineKindError):
            AsyncSession(wrong)


async def test_wrong_options_of_a_session(both: Both) -> None:
    with pytest.raises(TypeError, match="unknown"):
        both.session(unknown=True)
    with pytest.raises(ConfigurationError, match="READ COMMITTED"):
        both.session(isolation="SNAPSHOT")
    with pytest.raises(ConfigurationError):
        both.session(isolation=3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pool_sze": 3}, "pool_size"),
        ({"pool_size": 0}, "pool_size"),
        ({"pool_size": "5"}, "pool_size"),
        ({"max_pool_size": 1, "pool_size": 2}, "max_pool_size"),
        ({"pool_timeout": -1}, "pool_timeout"),
        ({"ensure_tables": True}, "models"),
        ({"settings": ["a"]}, "mapping"),
    ],
)
def test_wrong_options_of_an_engine(options: dict[str, Any], said: str) -> None:
    for make in (create_engine, create_async_engine):
        with pytest.raises(ConfigurationError, match=said):
            make("postgresql://localhost/nowhere", **options)


# --- objects of another session --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("execute", r"'(Async)?Session' object has no attribute 'execute'; write \.exec\(query\)$"),
        ("begin", r"begin_nested\(\), a part that may fail"),
        ("no_auto_flush", r"write \.no_autoflush$"),
        ("nonsense", r"has no attribute 'nonsense'$"),
        ("_nonsense", r"has no attribute '_nonsense'$"),
    ],
)
async def test_a_method_of_another_library_is_named_as_it_is_here(both: Both, name: str, said: str) -> None:
    session = Session(both.engine) if isinstance(both.engine, Engine) else AsyncSession(both.engine)
    with pytest.raises(AttributeError, match=said):
        getattr(session, name)
    assert getattr(session, name, None) is None
    async with both.session() as used:
        assert await used.exec_scalar("SELECT 1") == 1


async def test_an_object_of_another_session_can_not_be_linked_or_refreshed(both: Both) -> None:
    ada(both)
    async with both.session() as one, both.session() as other:
        user = await one.get(User, 1)
        with pytest.raises(ObjectStateError, match="another session"):
            await other.refresh(user)
        with pytest.raises(ObjectStateError, match="another session"):
            await other.load(user, User.orders)
        order = Order(user=user, total=1)
        with pytest.raises(ObjectStateError, match="another session"):
            other.add(user)
        one.add(order)
        await one.commit()
    assert both.column("SELECT user_id FROM orders") == [1]


async def test_nothing_is_registered_if_one_of_several_is_refused(both: Both, statements: Statements) -> None:
    ada(both)
    async with both.session() as one, both.session() as other:
        user = await one.get(User, 1)
        tag = Tag(name="x")
        with pytest.raises(ObjectStateError):
            other.add_all([tag, user])
        assert tag not in other
        statements.clear()
        await other.commit()
        assert statements == []


# --- models ----------------------------------------------------------------------------------------------------------


def test_unknown_names_in_models() -> None:
    with pytest.raises(TypeError, match="did you mean 'name'"):
        User(nme="x")
    with pytest.raises(TypeError):
        User("x")
    with pytest.raises(AttributeError, match="did you mean 'name'"):
        User(name="x").nme
    with pytest.raises(AttributeError, match="did you mean 'name'"):
        User(name="x").nme = "y"
    with pytest.raises(AttributeError, match="did you mean 'orders'"):
        User.oders
    with pytest.raises(TypeError, match="did you mean 'name'"):
        User.from_dict({"nme": "x"})
    with pytest.raises(AttributeError, match="did you mean 'name'"):
        User(name="x").update_from_dict({"status": "y", "nme": "x"})
    with pytest.raises(AttributeError, match="can't be deleted"):
        del User(name="x").name
    with pytest.raises(PSQLModelError, match="not mapped"):
        Unmapped(id=1)
    with pytest.raises(AttributeError, match="not mapped"):
        Unmapped.id


def test_update_from_dict_sets_all_or_nothing() -> None:
    user = User(name="x")
    with pytest.raises(AttributeError):
        user.update_from_dict({"name": "y", "unknown": 1})
    assert user.name == "x"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: User(name="x", orders=[Tag(name="t")]), "Order objects, not Tag"),
        (lambda: User(name="x", orders=3), "list of Order"),
        (lambda: User(name="x", orders="ab"), "list of Order"),
        (lambda: User(name="x", profile=Tag(name="t")), "Profile"),
        (lambda: Order(user="Ada"), "User objects or None, not str"),
        (lambda: User(name="x").orders.append(None), "not NoneType"),
        (lambda: User(name="x").orders.append(Order), "Order"),
        (lambda: Item(name="x").tags.extend([Tag(name="t"), 3]), "not int"),
    ],
)
def test_wrong_objects_in_relations(wrong: Callable[[], Any], said: str) -> None:
    with pytest.raises(ObjectStateError, match=said):
        wrong()


def test_a_refused_object_leaves_the_list_as_it_was() -> None:
    item = Item(name="x", tags=[Tag(name="t")])
    with pytest.raises(ObjectStateError):
        item.tags.extend([Tag(name="u"), 3])
    assert [tag.name for tag in item.tags] == ["t"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": 3}, r"User\.name.*int"),
        ({"name": "nul \x00"}, r"User\.name"),
        ({"name": "x", "age": "three"}, r"User\.age.*str"),
        ({"name": "x", "age": 2**40}, r"User\.age"),
        ({"name": "x", "age": 1.5}, r"User\.age.*float"),
        ({"name": "x", "labels": "abc"}, r"User\.labels"),
        ({"name": "x", "labels": [1]}, r"User\.labels"),
        ({"name": "x", "data": {"a": object()}}, r"User\.data"),
        ({"name": "x", "created_at": "2020-01-01"}, r"User\.created_at.*str"),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
async def test_values_that_do_not_fit(
    both: Both, statements: Statements, values: dict[str, Any], said: str, count: int
) -> None:
    async with both.session() as session:
        users = [User(**values) for _ in range(count)]
        session.add_all(users)
        with pytest.raises(InvalidValueError, match=said) as caught:
            await session.commit()
        for value in values.values():
            assert repr(value) == "'x'" or repr(value) not in str(caught.value)
        assert statements.of("flush") == []
        assert all(user in session for user in users)
        for n, user in enumerate(users):
            for key in values:
                setattr(user, key, None)
            user.name = f"fits {n}"
            if "created_at" in values:
                user.created_at = datetime.now(UTC)
        await session.commit()
    assert both.value("SELECT count(*) FROM users") == count


async def test_an_unloaded_key_of_a_new_object(both: Both) -> None:
    """A composite key that no default fills is reported by name."""
    async with both.session() as session:
        session.add(Account(bank="a"))
        with pytest.raises(PSQLModelError, match="number"):
            await session.flush()
    async with both.session() as session:
        both.sql("INSERT INTO accounts (bank, number) VALUES ('a', 1)")
        account = await session.get(Account, ("a", 1))
        account.number = None
        with pytest.raises(MissingPrimaryKeyError, match=r"Account\.number"):
            await session.flush()
        account.number = 2
        await session.commit()
    assert both.column("SELECT number FROM accounts") == [2]


async def test_a_view_can_not_be_written(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    both.sql("INSERT INTO orders (user_id, total) VALUES (1, 500)")
    async with both.session() as session:
        rich = await session.exec(Select(RichUser)).one()
        assert (rich.name, rich.spent) == ("Ada", Decimal(500))
        with pytest.raises(PSQLModelError):
            rich.name = "x"
            await session.flush()
        with pytest.raises(PSQLModelError):
            session.delete(rich)
            await session.flush()
        await session.rollback()


# --- queries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: Select(), QueryError, "Select"),
        (lambda: Select("name"), QueryError, "Select"),
        (lambda: Select(Unmapped), PSQLModelError, "Unmapped"),
        (lambda: Select(User).Where(True), QueryError, "constant True"),
        (lambda: Select(User).Where("id = 1"), QueryError, "str"),
        (lambda: Select(User).Where(Order.id == 1), QueryError, "not in the query"),
        (lambda: Select(User).Where(Count() > 1), QueryError, "Having"),
        (lambda: Select(User).Limit("5"), QueryError, "Limit"),
        (lambda: Select(User).Limit(True), QueryError, "Limit"),
        (lambda: Select(User).OrderBy("name"), QueryError, "OrderBy"),
        (lambda: Select(User).Join(User, User.id == 1), QueryError, "in the query already"),
        (lambda: User.id.In(None), QueryError, "In"),
        (lambda: User.id.In([1, None]), QueryError, "IsNull"),
        (lambda: User.id == "one", InvalidValueError, "str"),
        (lambda: User.id.In(["one"]), InvalidValueError, "str"),
        (lambda: bool(User.id == 1), QueryError, "&"),
        (lambda: Insert(User).Values(nme="x"), QueryError, "name"),
        (lambda: Insert(User).Values([]), QueryError, "empty"),
        (lambda: Insert(User).Values(User(name="x")), QueryError, "session.add"),
        (lambda: Update(User).Set(nme="x"), QueryError, "name"),
        (lambda: Update("users"), QueryError, "model class"),
        (lambda: str(Update(User)), QueryError, "Set"),
        (lambda: str(Insert(User)), QueryError, "Values"),
        (lambda: Delete(3), QueryError, "model class"),
    ],
)
def test_wrong_queries_are_refused_when_they_are_built(
    wrong: Callable[[], Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        wrong()


def test_wrong_declarations() -> None:
    for options, said in [
        ({"default": list}, "default_factory"),
        ({"default": []}, "default_factory"),
        ({"default": 1, "default_factory": int}, "not both"),
        ({"identity": "sometimes"}, "always"),
        ({"on_delete": "CASCADE"}, "foreign_key"),
        ({"foreign_key": "users.id", "on_delete": "EXPLODE"}, "CASCADE"),
        ({"generated": "1", "default": 1}, "generated"),
        ({"type": "timestamptz"}, "types.timestamptz, not 'timestamptz'"),
        ({"type": int}, "type= takes a type of psqlmodel.types"),
    ]:
        with pytest.raises(PSQLModelError, match=said):
            Column(**options)
    with pytest.raises(PSQLModelError, match="name of the table"):
        table("")
    with pytest.raises(PSQLModelError, match="PSQLModel"):
        table("strangers")(Stranger)
    with pytest.raises(PSQLModelError, match="no columns"):
        table("empty")(type("Empty", (PSQLModel,), {}))
    with pytest.raises(PSQLModelError, match="reserved"):
        type("Bad", (PSQLModel,), {"to_dict": Column(type=types.text)})
