"""The sample databases: each loaded once for each worker, behind a session of either kind.

Tests roll back what they do; `copied` is a copy for those that commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from psqlmodel import AsyncEngine, Engine, create_async_engine, create_engine
from psqlmodel.embedded import Server

from ..database.both import Both
from . import chinook_models, harbour_models, pagila_models
from .sample import SHARED, Sample, load

HERE = Path(__file__).parent

CHINOOK = Sample(
    "chinook",
    files=[SHARED / "chinook" / "chinook.sql"],
    tables=chinook_models.MODELS,
    views=[],
    pairs=chinook_models.PAIRS,
    new_objects=chinook_models.new_objects,
    edits=chinook_models.EDITS,
    growth=chinook_models.GROWTH,
)
PAGILA = Sample(
    "pagila",
    files=[SHARED / "pagila" / "pagila-schema.sql", SHARED / "pagila" / "pagila-data.sql"],
    tables=pagila_models.TABLES,
    views=pagila_models.VIEWS,
    pairs=pagila_models.PAIRS,
    new_objects=pagila_models.new_objects,
    edits=pagila_models.EDITS,
    growth=pagila_models.GROWTH,
    afterwards="REFRESH MATERIALIZED VIEW public.rental_by_category",
)
HARBOUR = Sample(
    "harbour",
    files=[HERE / "harbour.sql"],
    tables=harbour_models.TABLES,
    views=harbour_models.VIEWS,
    pairs=harbour_models.PAIRS,
    new_objects=harbour_models.new_objects,
    edits=harbour_models.EDITS,
    growth=harbour_models.GROWTH,
)
SAMPLES = [CHINOOK, PAGILA, HARBOUR]


class Samples:
    """The sample databases of this worker, loaded when they are first asked for."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._dsns: dict[str, str] = {}
        self._engines: dict[tuple[str, str], Engine | AsyncEngine] = {}

    def dsn(self, sample: Sample) -> str:
        """Return the DSN of the loaded database."""
        if sample.name not in self._dsns:
            if sample.missing:
                pytest.skip(f"the sample database is not beside the repository: {', '.join(sample.missing)}")
            dsn = self._server.create_database(f"sample_{sample.name}", template="template0")
            load(dsn, sample)
            self._server.create_database(f"copy_of_{sample.name}", template=f"sample_{sample.name}")
            self._dsns[sample.name] = dsn
        return self._dsns[sample.name]

    def engine(self, sample: Sample, kind: str) -> Engine | AsyncEngine:
        """Return an engine of a kind (`sync`, `async`) on the loaded database."""
        dsn = self.dsn(sample)
        if (sample.name, kind) not in self._engines:
            self._engines[sample.name, kind] = create_engine(dsn, async_=kind == "async")
        return self._engines[sample.name, kind]

    def close(self) -> None:
        for engine in self._engines.values():
            if isinstance(engine, Engine):
                engine.dispose()


@pytest.fixture(scope="session")
def samples(server: Server) -> Iterator[Samples]:
    made = Samples(server)
    yield made
    made.close()


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of the session: each test runs on both."""
    kind: str = request.param
    return kind


@pytest.fixture
def open_sample(samples: Samples, kind: str) -> Iterator[Callable[[Sample], Both]]:
    """Opens a sample database behind a session of the kind."""
    ends: list[Callable[[], None]] = []

    def open_sample(sample: Sample) -> Both:
        plain = samples.engine(sample, "sync")
        assert isinstance(plain, Engine)
        both = Both(kind, samples.engine(sample, kind), plain)
        ends.append(both.engine.on_statement(both.statements.take))
        return both

    yield open_sample
    for end in ends:
        end()


@pytest.fixture(params=SAMPLES, ids=repr)
def sample(request: pytest.FixtureRequest) -> Sample:
    """Each of the samples."""
    sample: Sample = request.param
    return sample


@pytest.fixture
def both(open_sample: Callable[[Sample], Both], sample: Sample) -> Both:
    """Each sample behind each session."""
    return open_sample(sample)


@pytest.fixture
def copied(server: Server, samples: Samples, sample: Sample, kind: str) -> Iterator[Both]:
    """A copy of each sample, for a test that commits."""
    samples.dsn(sample)
    name = f"committed_{sample.name}_{kind}"
    dsn = server.create_database(name, template=f"copy_of_{sample.name}")
    with create_engine(dsn) as plain:
        made = Both(kind, create_async_engine(dsn) if kind == "async" else plain, plain)
        yield made
    server.drop_database(name)
