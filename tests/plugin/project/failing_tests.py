"""Tests that must fail, and what they say; and some that must not."""

from __future__ import annotations

from typing import Any

import pytest
from shop import Customer, Order

from psqlmodel import Select, Session


def test_one_too_many_with_secret(session: Session, assert_statements: Any) -> None:
    with assert_statements(1):
        session.add(Customer(name="secret", email="secret"))
        session.commit()
        session.exec(Select(Customer).Where(Customer.name == "secret")).all()


def test_at_most(session: Session, assert_statements: Any) -> None:
    with assert_statements(at_most=1):
        session.exec(Select(Customer)).all()
        session.exec(Select(Order)).all()


def test_as_many_as_said(session: Session, assert_statements: Any) -> None:
    with assert_statements(2) as sent:
        session.exec(Select(Customer)).all()
        session.exec(Select(Order)).all()
    assert [text.split()[-1] for text in sent.texts] == ['"customers"', '"orders"']


@pytest.mark.no_n_plus_one
def test_a_query_for_each(session: Session) -> None:
    for key in range(3):
        session.get(Customer, key)


def test_a_block_with_a_query_for_each(session: Session, no_n_plus_one: Any) -> None:
    with no_n_plus_one():
        for key in range(3):
            session.exec(Select(Customer).Where(Customer.id == key)).all()


@pytest.mark.no_n_plus_one(times=3)
def test_more_are_allowed(session: Session) -> None:
    for key in range(3):
        session.get(Customer, key)


def test_nothing_to_watch(assert_statements: Any) -> None:
    with assert_statements(0):
        pass
