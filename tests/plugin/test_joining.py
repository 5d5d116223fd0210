"""Sessions that share one transaction: what becomes of their work whatever the order in which they begin and end."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psqlmodel import (
    Column,
    DataError,
    Engine,
    InFailedTransaction,
    ProgrammingError,
    PSQLModel,
    Session,
    SessionError,
    create_engine,
    table,
)
from psqlmodel.embedded import Server
from psqlmodel.steps import Statement
from psqlmodel.testing.isolation import IsolatedPool, isolate
from psqlmodel.testing.joining import IsolationWarning, control


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("COMMIT", ("COMMIT",)),
        ("end;", ("COMMIT",)),
        ("/* so */ ROLLBACK WORK", ("ROLLBACK",)),
        ("ABORT", ("ROLLBACK",)),
        ('SAVEPOINT "a b"', ("SAVEPOINT", "a b")),
        ("RELEASE a", ("RELEASE", "a")),
        ("RELEASE SAVEPOINT a", ("RELEASE", "a")),
        ("ROLLBACK TO a", ("ROLLBACK TO", "a")),
        ("rollback work to savepoint a", ("ROLLBACK TO", "a")),
        ("ROLLBACK TO SAVEPOINT a; RELEASE SAVEPOINT a", ("UNDO", "a")),
        ("START TRANSACTION READ ONLY", ("BEGIN", "START TRANSACTION READ ONLY")),
        ("SET TRANSACTION SNAPSHOT 'x'", ("MODE",)),
        ("SELECT pg_export_snapshot()", ("SNAPSHOT",)),
        ("PREPARE TRANSACTION 'x'", ("REFUSED", "PREPARE TRANSACTION")),
        ("COMMIT PREPARED 'x'", ("REFUSED", "COMMIT PREPARED")),
        ("BEGIN; DELETE FROM t; COMMIT", ("REFUSED", "a script that begins or ends transactions")),
        ("SELECT 'COMMIT'", ()),
        ("SET search_path = a", ()),
        ("PREPARE a AS SELECT 1", ()),
        ("DO $$ BEGIN COMMIT; END $$", ()),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END", ()),
        ("", ()),
    ],
)
def test_what_a_text_means(text: str, meant: tuple[str, ...]) -> None:
    assert control(text) == meant


@pytest.fixture(scope="module")
def isolated(server: Server) -> Iterator[tuple[Engine, IsolatedPool]]:
    with create_engine(server.create_database("joined")) as engine:
        engine.execute("CREATE TABLE joined (n int)")
        yield engine, isolate(engine)


class Program:
    """One user of the connection, and what its statements must come to: `kept` is what all have committed."""

    def __init__(self, pool: IsolatedPool, kept: set[int]) -> None:
        self.connection = pool.acquire()
        self.kept = kept
        self.levels: list[set[int]] = []  # of the transaction, then of each savepoint
        self.failed = False

    def send(self, text: str) -> None:
        self.connection.execute(Statement(text, prepare=False, purpose="raw"))

    def begin(self) -> None:
        self.send("BEGIN")
        self.levels = self.levels or [set()]

    def insert(self, number: int) -> None:
        if self.failed:
            with pytest.raises(InFailedTransaction):
                self.send(f"INSERT INTO joined VALUES ({number})")
            return
        self.send(f"INSERT INTO joined VALUES ({number})")
        (self.levels[-1] if self.levels else self.kept).add(number)

    def fail(self) -> None:
        if not self.failed:
            with pytest.raises(DataError):
                self.send("SELECT 1 / 0")
            self.failed = bool(self.levels)

    def savepoint(self) -> None:
        if self.levels and not self.failed:
            self.send("SAVEPOINT s")
            self.levels.append(set())

    def back(self) -> None:
        if len(self.levels) > 1:
            self.send("ROLLBACK TO SAVEPOINT s")
            self.levels[-1] = set()
            self.failed = False

    def release(self) -> None:
        if len(self.levels) > 1 and not self.failed:
            self.send("RELEASE SAVEPOINT s")
            inner = self.levels.pop()
            self.levels[-1] |= inner

    def commit(self) -> None:
        self.send("COMMIT")
        self._ended(keeps=not self.failed)

    def rollback(self) -> None:
        refused = False
        try:
            self.send("ROLLBACK")
        except SessionError:
            refused = True  # it would have taken along what others committed: its work stays, and it says so
        self._ended(keeps=refused)

    def _ended(self, *, keeps: bool) -> None:
        if keeps:
            self.kept.update(*self.levels)
        self.levels, self.failed = [], False


VERBS = ["begin", "insert", "insert", "fail", "savepoint", "back", "release", "commit", "rollback"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(VERBS)), min_size=12, max_size=60))
def test_what_was_committed_is_there(isolated: tuple[Engine, IsolatedPool], moves: list[tuple[int, str]]) -> None:
    engine, pool = isolated
    pool.begin()
    try:
        kept: set[int] = set()
        programs = [Program(pool, kept) for _ in range(3)]
        with warnings.catch_warnings(), suppress(IsolationWarning):  # after which it is not kept, and that was said
            warnings.simplefilter("error", IsolationWarning)
            for number, (who, verb) in enumerate(moves):
                program = programs[who]
                program.insert(number) if verb == "insert" else getattr(program, verb)()
            for program in programs:
                program.commit()
            found = [row[0] for row in engine.execute("SELECT n FROM joined ORDER BY n")]
            assert found == sorted(kept)
    finally:
        pool.end()
    pool.begin()
    assert engine.execute("SELECT count(*) FROM joined").scalar() == 0
    pool.end()


def test_it_is_told_when_it_is_used_at_the_wrong_time(isolated: tuple[Engine, IsolatedPool]) -> None:
    engine, pool = isolated
    with pytest.raises(SessionError, match="works while a test runs"):
        engine.execute("SELECT 1")
    pool.begin()
    left: Any = pool.acquire()
    pool.end()
    with pytest.raises(SessionError, match="belongs to a test that has ended"):
        left.execute(Statement("SELECT 1"))
    pool.release(left)


@table("remembered")
class Remembered(PSQLModel):
    id: Column[int] = Column(primary_key=True)


def test_what_is_known_of_tables_is_kept_unless_they_change(server: Server) -> None:
    with create_engine(server.create_database("remembering")) as engine:
        engine.create_all([Remembered])
        pool = isolate(engine)
        asked: list[str] = []
        engine.on_statement(lambda event: asked.append(event.purpose))
        for statement, times in (("SELECT 1", 1), ("SELECT 1", 0), ("CREATE TABLE other ()", 0), ("SELECT 1", 1)):
            asked.clear()
            pool.begin()
            with Session(engine, auto_commit=True) as session:
                session.add(Remembered())
                session.exec(statement)
            pool.end()
            assert asked.count("catalog") == times


def test_savepoints_that_are_none(isolated: tuple[Engine, IsolatedPool]) -> None:
    engine, pool = isolated
    pool.begin()
    try:
        with pytest.raises(ProgrammingError, match="SAVEPOINT can only be used"), engine.connect() as connection:
            connection.execute("SAVEPOINT a")
        with pytest.raises(ProgrammingError, match="does not exist"), engine.transaction() as connection:
            connection.execute("RELEASE a")
    finally:
        pool.end()
