"""Forks and ends of processes: a child leaves its parent's sockets alone, and no open session keeps a program alive."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from psqlmodel import AsyncSession, ConnectionLost, Session, create_async_engine, create_engine

from .place import Author, Place

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
PID = "SELECT pg_backend_pid()"


def in_a_child(work: Callable[[], object]) -> str:
    """Run `work` in a forked child and return what it returned, or its traceback."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(work()).encode())
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture(autouse=True)
def _beginning(place: Place) -> None:
    place.restart()


@needs_fork
@pytest.mark.filterwarnings("ignore:This process")
def test_a_child_can_not_speak_in_its_parents_transaction(place: Place) -> None:
    with create_engine(place.dsn) as engine, Session(engine) as session:
        session.add(Author(name="Dan"))
        session.flush()
        mine = session.exec_scalar(PID)

        def child() -> str:
            with pytest.raises(ConnectionLost, match="belongs to the parent"):
                session.exec_scalar(PID)
            session.rollback()
            with Session(engine) as other:
                theirs = other.exec_scalar(PID)
            session.close()
            engine.dispose()
            return f"another one: {theirs != mine}"

        assert in_a_child(child) == "another one: True"
        assert session.exec_scalar(PID) == mine
        session.commit()
    assert place.content[0] == 'Ann{"a": [1]},Bob,Cy,Dan'


@needs_fork
@pytest.mark.filterwarnings("ignore:This process")
def test_a_child_commits_nothing_of_its_parents(place: Place) -> None:
    """COMMIT is the first that the child says."""
    with create_engine(place.dsn) as engine, Session(engine) as session:
        dan = Author(name="Dan")
        session.add(dan)
        session.flush()

        def child() -> str:
            with pytest.raises(ConnectionLost, match="belongs to the parent") as caught:
                session.commit()
            return f"{type(caught.value).__name__} {dan.id}"

        assert in_a_child(child) == "ConnectionLost None"
        session.rollback()
    assert place.content[0] == 'Ann{"a": [1]},Bob,Cy'


@needs_fork
@pytest.mark.filterwarnings("ignore:This process")
def test_a_child_reads_on_with_a_connection_of_its_own(place: Place) -> None:
    """What has only read holds a connection, but nothing that could be lost."""
    with create_engine(place.dsn) as engine, Session(engine) as session:
        session.exec("SELECT 1")  # with its first connection the engine learns the default isolation
        session.rollback()
        ann = session.get(Author, -1)

        def child() -> str:
            names = [session.get(Author, -2).name, session.get(Author, -3).name]
            ann.name = "Anna"
            session.commit()
            engine.dispose()
            return ",".join(names)

        assert in_a_child(child) == "Bob,Cy"
        session.refresh(ann)
        assert (ann.name, engine.pool.status().size) == ("Anna", 1)


@needs_fork
@pytest.mark.filterwarnings("ignore:This process")
def test_a_child_of_an_asynchronous_program(place: Place) -> None:
    """The parent's loop goes on with its connections, one of them in a transaction; the child has a loop of its own."""
    engine = create_async_engine(place.dsn)
    with asyncio.Runner() as runner:
        session = AsyncSession(engine)

        async def begin() -> Any:
            session.add(Author(name="Dan"))
            await session.flush()
            await engine.execute("SELECT 1")  # one more, that rests
            return await session.exec_scalar(PID)

        mine = runner.run(begin())

        async def in_child() -> str:
            with pytest.raises(ConnectionLost, match="belongs to the parent"):
                await session.exec_scalar(PID)
            theirs = (await engine.execute(PID)).scalar()
            return f"another one: {theirs != mine}, {engine.pool.status().size}"

        assert in_a_child(lambda: asyncio.run(in_child())) == "another one: True, 1"

        async def go_on() -> None:
            assert await session.exec_scalar(PID) == mine
            await session.commit()
            assert engine.pool.status().size == 2
            await engine.dispose()

        runner.run(go_on())
    assert place.content[0] == 'Ann{"a": [1]},Bob,Cy,Dan'
    place.observer.wait_for_others(0)


# --- the end of a program ---------------------------------------------------------------------------------------------

OPEN = """
    import asyncio, sys, threading
    from psqlmodel import AsyncSession, Session, create_async_engine, create_engine

    dsn = sys.argv[1]
    engine = create_engine(dsn)
    session = Session(engine)
    session.exec("UPDATE fault_authors SET name = 'lost' WHERE id = -1")
    reader = Session(engine)
    reader.exec("SELECT 1").all()
    async_engine = create_async_engine(dsn)

    async def begin():
        global held
        held = AsyncSession(async_engine)
        await held.exec("UPDATE fault_authors SET name = 'lost' WHERE id = -2")

    asyncio.run(begin())
"""
ENDS = {
    "it just ends": "",
    "sys.exit": "sys.exit(0)",
    "a thread waits for the pool": """
        threading.Thread(target=lambda: engine.execute("SELECT pg_sleep(0.1)")).start()
    """,
    "a daemon is in the middle of a query": """
        threading.Thread(target=lambda: engine.execute("SELECT pg_sleep(60)"), daemon=True).start()
    """,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_program_ends_with_open_sessions(place: Place, end: str) -> None:
    """It does not hang, it prints nothing, and the server rolls back what was open."""
    program = textwrap.dedent(OPEN) + textwrap.dedent(ENDS[end])
    done = subprocess.run(
        [sys.executable, "-c", program, place.dsn], capture_output=True, text=True, timeout=250, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    place.observer.wait_for_others(0, "state LIKE 'idle in transaction%'")
    assert place.content[0] == 'Ann{"a": [1]},Bob,Cy'


def test_a_program_that_fails_says_only_why(place: Place) -> None:
    program = textwrap.dedent(OPEN) + "\nraise ValueError('the reason')\n"
    done = subprocess.run(
        [sys.executable, "-c", program, place.dsn], capture_output=True, text=True, timeout=250, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.endswith("ValueError: the reason\n")
    place.observer.wait_for_others(0, "state LIKE 'idle in transaction%'")
