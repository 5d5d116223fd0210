"""Engines whose server is hurt on purpose, and ways to look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .place import Place
from .server import Observer


@pytest.fixture
def observer(fresh_database: str) -> Iterator[Observer]:
    opened = Observer(fresh_database)
    yield opened
    opened.close()


@pytest.fixture
def make_engine(fresh_database: str) -> Iterator[Callable[..., Any]]:
    """Make synchronous engines that are disposed at the end."""
    from psqlmodel.core.engine import create_engine

    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(create_engine(fresh_database, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def place(fresh_database: str) -> Iterator[Place]:
    made = Place(fresh_database)
    yield made
    made.close()
