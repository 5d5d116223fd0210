"""Tests that a user writes, as type checkers see them: the fixtures, the factories, the names of psqlmodel 0.9."""

from typing import Any, assert_type

from models import User

from psqlmodel import (
    AsyncSession,
    AsyncTransaction,
    BulkDelete,
    BulkInsert,
    BulkUpdate,
    CheckConstraint,
    Engine,
    NotExists,
    Scalar,
    Select,
    Session,
    Transaction,
    UniqueConstraint,
)
from psqlmodel.pytest import AssertStatements, NoNPlusOne
from psqlmodel.testing import AsyncFactory, Factory, Sent


def test_of_theirs(
    engine: Engine, session: Session, make: Factory, assert_statements: AssertStatements, no_n_plus_one: NoNPlusOne
) -> None:
    assert_type(make(User, name="Ada"), User)
    assert_type(make.many(User, 3), list[User])
    assert_type(make.build(User), User)
    with assert_statements(at_most=2) as sent, no_n_plus_one(times=3):
        assert_type(sent, Sent)
        assert_type(sent.texts, list[str])


async def test_of_theirs_in_async_code(async_make: AsyncFactory) -> None:
    assert_type(await async_make(User, name="Ada"), User)
    assert_type(await async_make.many(User, 3), list[User])


def names_of_0_9(engine: Engine) -> None:
    with Transaction(engine) as tx:
        tx.exec(BulkInsert(User, [{"name": "Ada"}]))
        tx.exec(BulkUpdate(User, User.id, [{"id": 1, "name": "Ada"}]))
        tx.exec(BulkDelete(User, User.id, [1]))
        assert_type(tx.exec(Select(User).Where(NotExists(Select(User.id)))).all(), list[User])
        Select(Scalar(Select(User.id)))
    constraints: list[Any] = [UniqueConstraint("name"), CheckConstraint("id > 0")]
    assert constraints
    assert issubclass(AsyncTransaction, AsyncSession)
    User(name="Ada").save()
