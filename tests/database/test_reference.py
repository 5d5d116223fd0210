"""The session reference: its snippets as they are written, and each of its sentences, section by section."""

from __future__ import annotations

import ast
import asyncio
import inspect
import textwrap
from typing import Any

import pytest

from psqlmodel import (
    AsyncQueryResult,
    AsyncSession,
    Count,
    Insert,
    NoActiveSessionError,
    QueryResult,
    Select,
    Session,
    SessionClosedError,
    SessionManager,
    StaleObjectError,
    UncommittedChangesWarning,
)

from .both import Both, Statements, only_async, only_sync
from .models import Order, Tag, User
from .rows import two_users


async def run_snippet(text: str, both: Both, **names: Any) -> dict[str, Any]:
    """Run the text of a snippet as it stands, with what its surroundings have, and return its names."""
    namespace = {"engine": both.engine, "User": User, "Order": Order, "Select": Select, **names}
    code = compile(textwrap.dedent(text), "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, namespace)
    if inspect.iscoroutine(running):
        await running
    return namespace


# --- overview --------------------------------------------------------------------------------------------------------


async def test_overview_wraps_a_transaction(both: Both) -> None:
    async with both.session() as session:
        first = await session.exec_scalar("SELECT pg_current_xact_id()::text")
        assert await session.exec_scalar("SELECT pg_current_xact_id()::text") == first
        await session.commit()
        assert await session.exec_scalar("SELECT pg_current_xact_id()::text") != first
        await session.rollback()


async def test_overview_identity_map_one_row_one_object(both: Both) -> None:
    two_users(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        assert await session.get(User, 1) is user
        assert await session.exec(Select(User).Where(User.name == "Ada")).one() is user
        query = Select(User, Order).Join(Order, Order.user_id == User.id).OrderBy(Order.id)
        rows = await session.exec(query).all()
        assert [row[0] is user for row in rows] == [True, True, False]
        order = await session.get(Order, 1)
        assert order.user is user


async def test_overview_identity_map_is_per_session(both: Both) -> None:
    two_users(both)
    async with both.session() as one, both.session() as other:
        assert await one.get(User, 1) is not await other.get(User, 1)


async def test_overview_unit_of_work_flushes_in_order(both: Both, statements: Statements) -> None:
    """Inserts parents first, then updates, then deletes, whatever the order of the calls."""
    two_users(both)
    async with both.session() as session:
        gone = await session.get(Order, 3)
        changed = await session.get(User, 1)
        new = User(name="Cid")
        session.delete(gone)
        changed.name = "Ann"
        session.add(Order(user=new, total=5))
        statements.clear()
        await session.commit()
    tables = [(text.split()[0], "users" in text.split('"')[1]) for text in statements.of("flush")]
    assert tables == [("INSERT", True), ("INSERT", False), ("UPDATE", True), ("DELETE", False)]
    assert both.column("SELECT name FROM users ORDER BY name") == ["Ann", "Bob", "Cid"]
    assert both.value("SELECT count(*) FROM orders WHERE id = 3") == 0


async def test_overview_used_as_context_manager(both: Both) -> None:
    async with both.session() as session:
        assert not session.closed
    assert session.closed


# --- 1. synchronous session ------------------------------------------------------------------------------------------


@only_sync
async def test_1_basic_usage_snippet(both: Both) -> None:
    two_users(both)
    await run_snippet(
        """
        from psqlmodel import Session

        with Session(engine) as session:
            # 1. Fetch
            user = session.get(User, 1)

            # 2. Modify (tracked automatically)
            user.name = "New Name"
            session.add(user)  # Register for persistence

            # 3. Create
            order = Order(user_id=1, total=100)
            session.add(order)

            # 4. Commit (flushes changes + commits transaction)
            session.commit()
        """,
        both,
    )
    assert both.value("SELECT name FROM users WHERE id = 1") == "New Name"
    assert both.column("SELECT total FROM orders WHERE user_id = 1 ORDER BY id") == [10, 20, 100]


@only_sync
async def test_1_auto_commit_snippet(both: Both) -> None:
    await run_snippet(
        """
        # Auto-commit mode
        with Session(engine, auto_commit=True) as session:
            user = User(name="Auto")
            session.add(user)
        # Implicit commit happens here if no error
        """,
        both,
        Session=Session,
    )
    assert both.column("SELECT name FROM users") == ["Auto"]


async def test_1_auto_commit_is_off_by_default(both: Both) -> None:
    with pytest.warns(UncommittedChangesWarning, match="1 new User"):
        async with both.session() as session:
            session.add(User(name="Lost"))
    assert both.value("SELECT count(*) FROM users") == 0


async def test_1_auto_commit_commits_at_the_end(both: Both) -> None:
    async with both.session(auto_commit=True) as session:
        user = User(name="Auto")
        session.add(user)
    assert both.column("SELECT id FROM users") == [user.id]


async def test_1_auto_commit_does_not_commit_after_an_error(both: Both) -> None:
    with pytest.raises(ZeroDivisionError):
        async with both.session(auto_commit=True) as session:
            session.add(User(name="Lost"))
            await session.flush()
            raise ZeroDivisionError
    assert both.value("SELECT count(*) FROM users") == 0


async def test_1_auto_rollback_rolls_back_on_an_error(both: Both) -> None:
    two_users(both)
    with pytest.raises(ZeroDivisionError):
        async with both.session() as session:
            user = await session.get(User, 1)
            user.name = "Changed"
            await session.flush()
            raise ZeroDivisionError
    assert both.value("SELECT name FROM users WHERE id = 1") == "Ada"
    assert user.name == "Ada"


async def test_1_not_atomic_by_default_the_session_stays_open(both: Both) -> None:
    async with both.session() as session:
        session.add(User(name="First"))
        await session.commit()
        assert not session.closed
        session.add(User(name="Second"))  # a new transaction begins with the next operation
        await session.commit()
    assert both.column("SELECT name FROM users ORDER BY id") == ["First", "Second"]


async def test_1_atomic_commit_closes_the_session(both: Both) -> None:
    async with both.session(atomic=True) as session:
        session.add(User(name="Once"))
        await session.commit()
        assert session.closed
        with pytest.raises(SessionClosedError, match="open another"):
            await session.get(User, 1)
    assert both.column("SELECT name FROM users") == ["Once"]


# --- 2. asynchronous session -----------------------------------------------------------------------------------------


@only_async
async def test_2_basic_usage_snippet(both: Both) -> None:
    two_users(both)
    names = await run_snippet(
        """
        from psqlmodel import AsyncSession

        async with AsyncSession(engine) as session:
            # 1. Fetch
            user = await session.get(User, 1)

            # 2. Modify
            user.status = "active"
            await session.add(user)

            # 3. Query
            results = await session.exec(Select(Order).Where(Order.user_id == 1))
            orders = await results.all()

            # 4. Commit
            await session.commit()
        """,
        both,
    )
    assert both.value("SELECT status FROM users WHERE id = 1") == "active"
    assert sorted(order.id for order in names["orders"]) == [1, 2]  # the query says no order


@only_async
async def test_2_is_non_blocking(both: Both) -> None:
    """Other tasks go on while the server works: here, what the server waits for is done by another session."""
    both.sql("INSERT INTO users (id, name) VALUES (1, 'Ada')")
    async with both.session() as holder, both.session() as waiter:
        await holder.exec("UPDATE users SET name = 'held' WHERE id = 1")
        waiting = asyncio.create_task(_update(waiter))
        while both.value("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted") == 0:
            await asyncio.sleep(0)
        assert not waiting.done()
        await holder.commit()
        await waiting
    assert both.value("SELECT name FROM users WHERE id = 1") == "waited"


async def _update(session: Any) -> None:
    await session.exec("UPDATE users SET name = 'waited' WHERE id = 1")
    await session.commit()


def public(cls: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(cls) if not name.startswith("_")}


def test_2_the_apis_are_parallel() -> None:
    """The same names with the same parameters."""
    sync, asynchronous = public(Session), public(AsyncSession)
    assert sync.keys() == asynchronous.keys()
    for name, member in sync.items():
        if callable(member):
            ours, theirs = (list(inspect.signature(m).parameters) for m in (member, asynchronous[name]))
            assert ours == theirs, name
    made = [inspect.signature(cls).parameters for cls in (Session, AsyncSession)]
    assert [(p.name, p.default, p.kind) for p in made[0].values()] == [
        (p.name, p.default, p.kind) for p in made[1].values()
    ]


# --- 3. core: persistence --------------------------------------------------------------------------------------------


async def test_3_add_registers_for_insertion(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        user = User(name="Ada")
        session.add(user)
        assert statements == []
        assert user in session
        await session.commit()
    assert both.column("SELECT name FROM users") == ["Ada"]


async def test_3_add_registers_for_update(both: Both) -> None:
    two_users(both)
    async with both.session() as session:
        user = await session.get(User, 1)
    user.name = "Changed while detached"
    async with both.session() as session:
        session.add(user)
        await session.commit()
    assert both.value("SELECT name FROM users WHERE id = 1") == "Changed while detached"


async def test_3_delete_registers_for_deletion(both: Both, statements: Statements) -> None:
    two_users(both)
    async with both.session() as session:
        order = await session.get(Order, 1)
        statements.clear()
        session.delete(order)
        assert statements == []
        await session.commit()
    assert both.column("SELECT id FROM orders ORDER BY id") == [2, 3]


async def test_3_flush_sends_without_committing(both: Both) -> None:
    async with both.session() as session:
        user = User(name="Ada")
        session.add(user)
        await session.flush()
        assert user.id is not None  # the generated id, before the commit
        assert both.value("SELECT count(*) FROM users") == 0
        await session.commit()
    assert both.column("SELECT id FROM users") == [user.id]


async def test_3_commit_flushes_and_commits(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        session.add(Tag(name="x"))
        await session.commit()
        assert [event.text.split()[0] for event in statements] == ["INSERT"]  # it commits itself
        statements.clear()
        _ = await session.exec("SELECT 1")
        session.add(Tag(name="y"))
        await session.commit()
        assert [event.text.split()[0] for event in statements] == ["SELECT", "INSERT", "COMMIT"]


async def test_3_rollback_rolls_back_the_transaction(both: Both) -> None:
    async with both.session() as session:
        session.add(User(name="Ada"))
        await session.flush()
        await session.exec("UPDATE users SET name = 'raw'")
        await session.rollback()
    assert both.value("SELECT count(*) FROM users") == 0


async def test_3_refresh_reloads_and_discards_local_changes(both: Both) -> None:
    two_users(both)
    async with both.session() as session:
        user = await session.get(User, 1)
        user.name = "Local"
        both.sql("UPDATE users SET name = 'Elsewhere', status = 'far' WHERE id = 1")
        await session.refresh(user)
        assert (user.name, user.status) == ("Elsewhere", "far")
        await session.commit()
    assert both.value("SELECT name FROM users WHERE id = 1") == "Elsewhere"


async def test_3_refresh_of_some_attributes(both: Both) -> None:
    two_users(both)
    async with both.session(auto_commit=True) as session:
        user = await session.get(User, 1)
        user.name, user.status = "Local", "local"
        await session.refresh(user, ["status"])
        assert (user.name, user.status) == ("Local", "new")


async def test_3_refresh_of_a_row_that_is_gone(both: Both) -> None:
    two_users(both)
    async with both.session() as session:
        user = await session.get(User, 2)
        both.sql("DELETE FROM users WHERE id = 2")
        with pytest.raises(StaleObjectError, match="User 2"):
            await session.refresh(user)


# --- 3. core: querying -----------------------------------------------------------------------------------------------


async def test_3_get_fetches_by_primary_key(both: Both) -> None:
    two_users(both)
    async with both.session() as session:
        user = await session.get(User, 2)
        assert (user.id, user.name, user.status) == (2, "Bob", None)
        assert await session.get(User, 3) is None


async def test_3_get_uses_the_identity_map_as_cache(both: Both, statements: Statements) -> None:
    two_users(both)
    async with both.session() as session:
        user = await session.get(User, 2)
        statements.clear()
        assert await session.get(User, 2) is user
        assert statements == []


async def test_3_exec_select_insert_and_raw_sql(both: Both) -> None:
    two_users(both)
    async with both.session() as session:
        users = await session.exec(Select(User).OrderBy(User.id)).all()
        assert [user.name for user in users] == ["Ada", "Bob"]
        made = await session.exec(Insert(User).Values(name="Cid").Returning(User.id)).scalar()
        assert made >= 1000
        result = await session.exec(Insert(User).Values([{"name": "Dan"}, {"name": "Eve"}]))
        assert result.rowcount == 2
        rows = await session.exec("SELECT id, name FROM users WHERE id = %s OR name = %s ORDER BY id", [1, "Cid"]).all()
        assert [(row.id, row["name"], row[1]) for row in rows] == [(1, "Ada", "Ada"), (made, "Cid", "Cid")]
        named = await session.exec("SELECT name FROM users WHERE id = %(id)s", {"id": 2}).one()
        assert named == ("Bob",)
        await session.commit()
    assert both.value("SELECT count(*) FROM users") == 5


@only_sync
async def test_3_exec_returns_a_query_result(both: Both) -> None:
    with Session(both.engine) as session:
        assert type(session.exec(Select(User))) is QueryResult
        assert type(session.exec("SELECT 1")) is QueryResult


@only_async
async def test_3_exec_returns_an_async_query_result(both: Both) -> None:
    two_users(both)
    async with AsyncSession(both.engine) as session:
        result = await session.exec(Select(User).OrderBy(User.id))
        assert type(result) is AsyncQueryResult
        assert [user.id for user in result] == [1, 2]  # iterates without awaiting
        assert (len(result), result[0].id) == (2, 1)
        assert [user.id for user in await result.all()] == [1, 2]
        assert (await result.first()).id == 1
        assert [user.id for user in await session.exec(Select(User).OrderBy(User.id)).all()] == [1, 2]


async def test_3_exec_one_is_the_first_result_or_none(both: Both) -> None:
    two_users(both)
    async with both.session() as session:
        assert (await session.exec_one(Select(User).OrderBy(User.id.Desc()))).id == 2
        assert await session.exec_one(Select(User).Where(User.id == 9)) is None
        assert (await session.exec_one("SELECT name FROM users WHERE id = %s", [1])).name == "Ada"
        assert await session.exec_one("SELECT name FROM users WHERE id = 9") is None


async def test_3_exec_scalar_is_the_first_column_of_the_first_row(both: Both) -> None:
    two_users(both)
    async with both.session() as session:
        assert await session.exec_scalar(Select(Count()).From(User)) == 2
        assert await session.exec_scalar("SELECT COUNT(*) FROM users WHERE id > %s", [1]) == 1
        assert await session.exec_scalar("SELECT id, name FROM users WHERE id = 9") is None


# --- 3. core: bulk ---------------------------------------------------------------------------------------------------


async def test_3_bulk_insert(both: Both, statements: Statements) -> None:
    users = [User(name=f"u{n}", data={"n": n}) for n in range(500)]
    async with both.session() as session:
        assert await session.bulk_insert(users) == 500
        assert len(statements.of("bulk")) <= 2  # the keys, then the rows
        assert all(user not in session for user in users)  # bypasses the identity map
        await session.commit()
    rows = both.sql("SELECT id, name, data->>'n' FROM users ORDER BY id")
    assert [tuple(row) for row in rows] == [(user.id, user.name, user.name[1:]) for user in users]


async def test_3_bulk_update(both: Both, statements: Statements) -> None:
    users = [User(name=f"u{n}", status="old") for n in range(300)]
    async with both.session() as session:
        await session.bulk_insert(users)
        statements.clear()
        changed = [User(id=user.id, name=user.name.upper(), status=None) for user in reversed(users)]
        assert await session.bulk_update(changed) == 300
        assert len(statements.of("bulk")) == 1
        await session.commit()
    assert both.column("SELECT name FROM users ORDER BY id") == [f"U{n}" for n in range(300)]
    assert both.value("SELECT count(*) FROM users WHERE status IS NULL") == 300


# --- 4. session manager ----------------------------------------------------------------------------------------------


@only_sync
async def test_4_snippet(both: Both) -> None:
    two_users(both)
    names = await run_snippet(
        """
        from psqlmodel import SessionManager

        # In a library/helper function:
        def get_current_user_count():
            # Automatically finds the active session
            session = SessionManager.require_current()
            return session.exec_scalar("SELECT COUNT(*) FROM users")

        # Usage:
        with Session(engine) as session:
            count = get_current_user_count()
        """,
        both,
        Session=Session,
    )
    assert names["count"] == 2


@only_sync
async def test_4_current_and_require_current(both: Both) -> None:
    assert SessionManager.current() is None
    with pytest.raises(NoActiveSessionError, match="open one"):
        SessionManager.require_current()
    with Session(both.engine) as session:
        assert SessionManager.current() is session
        assert SessionManager.require_current() is session
        assert SessionManager.current_async() is None
    assert SessionManager.current() is None


@only_async
async def test_4_async_variants(both: Both) -> None:
    assert SessionManager.current_async() is None
    with pytest.raises(NoActiveSessionError, match="open one"):
        SessionManager.require_current_async()
    async with AsyncSession(both.engine) as session:
        assert SessionManager.current_async() is session
        assert SessionManager.require_current_async() is session
        assert SessionManager.current() is None
        with pytest.raises(NoActiveSessionError, match="other kind"):
            SessionManager.require_current()
    assert SessionManager.current_async() is None


async def test_4_decouples_the_query_builder(both: Both) -> None:
    """Queries find the session by themselves: a list under a `Session`, an awaitable under an `AsyncSession`."""
    two_users(both)

    async def given(value: Any) -> Any:
        return await value if inspect.isawaitable(value) else value

    with pytest.raises(NoActiveSessionError, match="session"):
        Select(User).all()
    async with both.session() as session:
        user = await session.get(User, 1)
        users = await given(Select(User).OrderBy(User.id).all())
        assert users[0] is user
        assert await given(Select(User).Where(User.id == 1).one()) is user
        assert await given(Select(User).Where(User.id == 7).first()) is None
        assert await given(Select(Count()).From(User).scalar()) == 2
