"""Factories: valid rows from models, on both sessions; what they read from checks; what they refuse."""

from __future__ import annotations

import datetime as dt
import enum
import random
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    AsyncSession,
    Check,
    CheckViolation,
    Circle,
    Column,
    Exclude,
    ForeignKey,
    Index,
    Multirange,
    Point,
    PSQLModel,
    Range,
    Relation,
    Session,
    Unique,
    bit,
    create_async_engine,
    create_engine,
    inet,
    int4range,
    numeric,
    smallint,
    table,
    timestamp,
    varchar,
)
from psqlmodel.embedded import Server
from psqlmodel.testing.checks import example_of, limits_of
from psqlmodel.testing.factory import AsyncFactory, Factory, FactoryError


class Mood(enum.Enum):
    HAPPY = "happy"
    SAD = "sad"


@table("made_tenants")
class Tenant(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    code: Column[str] = Column(check="code ~ '^[A-Z]{3}-[0-9]{2,4}$'", unique=True)


@table(
    "made_users",
    constraints=[Unique("tenant_id", "number"), Check("char_length(zip) = 5 AND zip = upper(zip)")],
    indexes=[Index("lower(email)", unique=True)],
)
class User(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    tenant_id: Column[int] = Column(foreign_key="made_tenants.id")
    number: Column[int] = Column(type=smallint)
    email: Column[str] = Column(max_len=40)
    zip: Column[str]
    initials: Column[str] = Column(type=varchar(2), unique=True)
    status: Column[str] = Column(check="status IN ('new', 'it''s old')")
    level: Column[int] = Column(check="level BETWEEN 3 AND 5 AND level <> 4")
    note: Column[str | None]
    points: Column[int] = Column(default=7)
    made: Column[dt.datetime] = Column(server_default="now()")
    version: Column[int] = Column(version=True)
    posts: Relation[list[Post]] = Relation(foreign_keys="user_id")


@table("made_posts", constraints=[ForeignKey(["tenant_id", "user_number"], "made_users", ["tenant_id", "number"])])
class Post(PSQLModel):
    id: Column[uuid.UUID] = Column(primary_key=True)
    user_id: Column[int] = Column(foreign_key="made_users.id")
    tenant_id: Column[int] = Column(foreign_key="made_tenants.id")
    user_number: Column[int] = Column(type=smallint)
    user: Relation[User] = Relation(foreign_keys="user_id")


@table("made_kinds", constraints=[Check("starts < ends"), Exclude(("room", "="), ("during", "&&"))])
class Kinds(PSQLModel):
    key: Column[str] = Column(primary_key=True, max_len=3)
    room: Column[int]
    during: Column[Range[int]] = Column(type=int4range)
    mood: Column[Mood]
    born: Column[dt.date]
    naive: Column[dt.datetime] = Column(type=timestamp)
    at: Column[dt.time]
    took: Column[dt.timedelta]
    starts: Column[dt.datetime]
    ends: Column[dt.datetime]
    tags: Column[list[str]]
    numbers: Column[list[int]]
    data: Column[dict[str, int]]
    raw: Column[bytes]
    ratio: Column[float] = Column(check="ratio > 0 AND ratio < 1")
    fraction: Column[float] = Column(check="fraction > 0 AND fraction < 0.001")
    rate: Column[Decimal] = Column(type=numeric(4, 2), check="rate >= 0.5::numeric")
    address: Column[str] = Column(type=inet)
    spans: Column[Multirange[int]]
    bits: Column[str] = Column(type=bit(3))
    place: Column[Point]
    area: Column[Circle]
    live: Column[bool]


@table("made_bosses")
class Boss(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    boss_id: Column[int] = Column(foreign_key="made_bosses.id")


@table("made_secrets", constraints=[Check("n % 2 = 0")])
class Odd(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    n: Column[int]


@table("made_visits", constraints=[Check("leaves > comes"), Check("seats >= taken")])
class Visit(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    comes: Column[dt.datetime] = Column(server_default="now()")
    leaves: Column[dt.datetime]
    seats: Column[int] = Column(default=-1)
    taken: Column[int]


MODELS = [Tenant, User, Post, Kinds, Boss, Odd, Visit]


@pytest.fixture(scope="module")
def made_dsn(server: Server) -> str:
    dsn = server.create_database("made_by_factories")
    with create_engine(dsn) as engine:
        engine.execute("CREATE EXTENSION btree_gist")
        engine.create_all(MODELS)
    return dsn


class Made:
    """Either factory, its methods awaited."""

    def __init__(self, factory: Factory | AsyncFactory) -> None:
        self._factory = factory

    async def __call__(self, model: type[Any], /, **values: Any) -> Any:
        found: Any = self._factory(model, **values)
        return await found if isinstance(self._factory, AsyncFactory) else found

    async def many(self, model: type[Any], count: int, /, **values: Any) -> Any:
        found: Any = self._factory.many(model, count, **values)
        return await found if isinstance(self._factory, AsyncFactory) else found


Making = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def making(request: pytest.FixtureRequest, made_dsn: str) -> Making:
    """A function of a seed that gives a block with a factory of either kind; at its end all is rolled back."""

    @asynccontextmanager
    async def block(seed: int = 0) -> AsyncIterator[Made]:
        if request.param == "sync":
            with create_engine(made_dsn) as engine, Session(engine) as session:
                yield Made(Factory(session, seed=seed))
                session.rollback()
            return
        async with create_async_engine(made_dsn) as engine, AsyncSession(engine) as session:
            yield Made(AsyncFactory(session, seed=seed))
            await session.rollback()

    return block


async def test_rows_that_the_database_takes(making: Making) -> None:
    async with making() as make:
        users = await make.many(User, 30)
        kinds = await make.many(Kinds, 20)
        posts = await make.many(Post, 5)
        _check_users(users)
        assert all(post.tenant_id == post.user.tenant_id and post.user_number == post.user.number for post in posts)
    assert {kind.mood for kind in kinds} == set(Mood)
    assert all(kind.starts < kind.ends and 0 < kind.ratio < 1 for kind in kinds)


async def test_a_default_that_a_check_compares_with_a_made_value_gives_way(making: Making) -> None:
    late = dt.datetime(9000, 1, 1, tzinfo=dt.UTC)
    async with making() as make:
        for visit in await make.many(Visit, 10):
            assert visit.leaves > visit.comes
            assert visit.seats >= visit.taken
        kept = await make(Visit, leaves=late, taken=-2)
        assert (kept.leaves, kept.seats, kept.taken) == (late, -1, -2)  # the defaults, where nothing is made up
        assert kept.comes.year < late.year


def _check_users(users: list[User]) -> None:
    for user in users:
        assert re.fullmatch(r"[A-Z]{5}", user.zip)
        assert user.status in ("new", "it's old")
        assert user.level in (3, 5)
        assert (user.note, user.points, user.version) == (None, 7, 1)
        assert user.made is not None
        assert len(user.initials) == 2
        assert user.email.endswith("@example.com")


async def test_what_is_given_stays(making: Making) -> None:
    async with making() as make:
        tenant = await make(Tenant, code="ABC-12")
        user = await make(User, tenant_id=tenant.id, email="ada@example.org")
        post = await make(Post, user=user)
        assert (post.tenant_id, post.user_number) == (tenant.id, user.number)  # what the user says of itself
        assert (tenant.code, user.tenant_id, user.email) == ("ABC-12", tenant.id, "ada@example.org")
        assert post.user is user


async def test_the_same_seed_gives_the_same_values(making: Making) -> None:
    seen = []
    for seed in (1, 1, 2):
        async with making(seed) as make:
            kind = await make(Kinds)
        seen.append(kind.to_dict())
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


async def test_a_check_that_can_not_be_read_is_the_databases(making: Making) -> None:
    async with making() as make:
        with pytest.raises(CheckViolation):
            await make(Odd, n=1)
        assert (await make(Odd, n=2)).n == 2


async def test_a_circle_is_refused(making: Making) -> None:
    async with making() as make:
        with pytest.raises(FactoryError, match=r"Boss → Boss\): pass Boss\(boss_id=…\)"):
            await make(Boss)


async def test_names_that_are_none_are_refused(making: Making) -> None:
    async with making() as make:
        with pytest.raises(TypeError, match="did you mean 'email'"):
            await make(User, emial="x")


def test_without_a_database(made_dsn: str) -> None:
    with create_engine(made_dsn) as engine, Session(engine) as session:
        make = Factory(session)
        kinds = make.build(Kinds)
        assert kinds not in session
        assert kinds.rate >= Decimal("0.5")
        with pytest.raises(FactoryError, match="make it in a session"):
            make.build(User)


def test_unique_values_run_out(made_dsn: str) -> None:
    @table("made_small")
    class Small(PSQLModel):
        id: Column[int] = Column(primary_key=True)
        mood: Column[Mood] = Column(unique=True)

    with create_engine(made_dsn) as engine, Session(engine) as session:
        make = Factory(session)
        assert {make.build(Small).mood, make.build(Small).mood} == set(Mood)
        with pytest.raises(FactoryError, match="mood is unique, and no further value was found"):
            make.build(Small)


def test_types_of_which_nothing_is_known(made_dsn: str) -> None:
    from psqlmodel import custom

    @table("made_strange")
    class Strange(PSQLModel):
        id: Column[int] = Column(primary_key=True)
        what: Column[str] = Column(type=custom("cube"))

    with create_engine(made_dsn) as engine, Session(engine) as session:
        with pytest.raises(FactoryError, match='what of the type "cube": pass what='):
            Factory(session).build(Strange)


# --- what is read of checks -----------------------------------------------------------------------------------------


def limits(condition: str, column: str) -> dict[str, Any]:
    found, _ = limits_of([condition])
    return {key: value for key, value in vars(found[column]).items() if value not in (None, 0, "", [], set())}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("a >= 5 AND a < 100", {"least": Decimal(5), "below": Decimal(100)}),
        ("5 < a", {"above": Decimal(5)}),
        ("((a >= 1) AND (a <= 3))", {"least": Decimal(1), "most": Decimal(3)}),
        ("a > 2 AND a > 1", {"above": Decimal(2)}),
        ('"t"."a" <> 3', {"refused": {"3"}}),
        ("a BETWEEN 1 AND 9 AND a <> 4", {"least": Decimal(1), "most": Decimal(9), "refused": {"4"}}),
        ("(length(a) BETWEEN 2 AND 5)", {"shortest": 2, "longest": 5}),
        ("char_length(a::text) > 2", {"shortest": 3}),
        ("a <> ''", {"shortest": 1}),
        ("a IN ('x', 'y''z', 'a, b')", {"choices": ["x", "y'z", "a, b"]}),
        ("(a = ANY (ARRAY['x'::text, 'y'::text]))", {"choices": ["x", "y"]}),
        ("a ~ '^x AND y$'", {"pattern": "^x AND y$"}),
        ("a = lower(a)", {"case": "lower"}),
        ("a LIKE 'A-%'", {"pattern": "^A\\-[a-z]{3}$"}),
    ],
)
def test_checks_that_are_read(condition: str, expected: dict[str, Any]) -> None:
    assert limits(condition, "a") == expected


@pytest.mark.parametrize("condition", ["a IS NULL OR b > 3", "a % 2 = 0", "a > 1 OR a < 0", "jsonb_typeof(a) = 'x'"])
def test_checks_that_are_left_to_the_database(condition: str) -> None:
    assert limits_of([condition]) == ({}, [])


def test_pairs_of_columns() -> None:
    assert limits_of(["starts < ends AND high >= low"]) == ({}, [("starts", "ends"), ("low", "high")])


@pytest.mark.parametrize("pattern", [r"^[A-Z]{3}-\d{2,4}$", r"^(a|bc)+[^x]?\w\s.$", r"^\+[0-9]{7,}$", "plain"])
def test_examples_of_patterns(pattern: str) -> None:
    for seed in range(50):
        made = example_of(pattern, random.Random(seed))
        assert made is not None
        assert re.search(pattern, made)


@pytest.mark.parametrize("pattern", [r"(?=x)y", r"[", r"(a)\1b$^"])
def test_patterns_that_are_not_understood(pattern: str) -> None:
    assert example_of(pattern, random.Random(0)) is None
