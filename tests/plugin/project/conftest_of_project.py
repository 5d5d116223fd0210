"""The fixtures of the project: what all tests find."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from shop import Customer, Order, Place

from psqlmodel import Engine, Session


@pytest.fixture(scope="session")
def psqlmodel_setup() -> Callable[[Engine], None]:
    def fill(engine: Engine) -> None:
        engine.create_all([Customer, Order, Place])
        with Session(engine, auto_commit=True) as session:
            session.add(Customer(name="Seed", email="seed"))

    return fill
