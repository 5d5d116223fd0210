"""delete_all on both sessions: what it registers, all or none; what a rollback gives back; what ON DELETE took."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel import (
    Column,
    MissingPrimaryKeyError,
    NotMappedError,
    ObjectStateError,
    PSQLModel,
    Select,
    StaleObjectError,
    table,
)

from .both import Both
from .models import Item, Node, Order, Tag, User
from .rows import made, plain


@table("keyless_of_delete_all")
class Keyless(PSQLModel):
    name: Column[str]


async def names(both: Both) -> list[str]:
    async with both.session() as session:
        return [tag.name for tag in await session.exec(Select(Tag).OrderBy(Tag.id)).all()]


async def tags(both: Both, count: int = 4) -> None:
    await made(both, *(Tag(id=n, name=f"t{n}") for n in range(1, count + 1)))


async def test_all_go_by_one_statement_for_each_table(both: Both) -> None:
    await tags(both, 300)
    async with both.session() as session:
        loaded = await session.exec(Select(Tag).OrderBy(Tag.id)).all()
        both.statements.clear()
        session.delete_all(loaded[1:])
        books = plain(session)
        assert books.deleted == tuple(loaded[1:])
        await session.commit()
        assert both.statements.verbs == ["DELETE", "DELETE"]  # of their links, and of all of them
        assert [tag in session for tag in loaded[:3]] == [True, False, False]
    assert await names(both) == ["t1"]


async def test_objects_of_every_kind(both: Both) -> None:
    await made(both, *(User(id=n, name=f"u{n}", data={"n": n}) for n in (1, 2, 3)), Order(id=1, user_id=1))
    await tags(both)
    async with both.session() as session:
        detached = await session.get(Tag, 4)
    async with both.session() as session:
        clean, modified, handed_out = await session.get_many(User, [1, 2, 3])
        modified.name = "other"
        assert handed_out.data == {"n": 3}
        new = User(name="new")
        session.add(new)
        order = await session.get(Order, 1)
        session.delete_all(iter([clean, modified, handed_out, new, order, detached, clean, new]))
        assert plain(session).deleted == (clean, modified, handed_out, order, detached)
        assert plain(session).new == ()
        await session.commit()
    assert await names(both) == ["t1", "t2", "t3"]
    async with both.session() as session:
        assert await session.exec(Select(User)).all() == []


async def test_all_or_none(both: Both) -> None:
    await tags(both)
    async with both.session() as other, both.session() as session:
        loaded = await session.exec(Select(Tag).OrderBy(Tag.id)).all()
        foreign = await other.get(Tag, 4)
        for wrong, error in (
            (Tag(name="transient"), ObjectStateError),
            (foreign, ObjectStateError),
            ("tag", NotMappedError),
            (Tag, NotMappedError),
        ):
            with pytest.raises(error):
                session.delete_all([*loaded[:2], wrong])
            assert plain(session).deleted == ()
        for no_list in ("tags", {"a": 1}, 5, loaded[0]):
            with pytest.raises(NotMappedError, match="delete_all takes a list"):
                session.delete_all(no_list)
        session.delete_all([])
        await session.commit()
    assert len(await names(both)) == 4


async def test_two_objects_of_one_row_are_refused(both: Both) -> None:
    await tags(both, 1)
    async with both.session() as session:
        one = await session.get(Tag, 1)
    async with both.session() as session:
        two = await session.get(Tag, 1)
    async with both.session() as session:
        with pytest.raises(ObjectStateError, match="two objects for Tag 1"):
            session.delete_all([one, two])
        assert plain(session).deleted == ()


async def test_a_class_without_a_key_is_refused(both: Both) -> None:
    async with both.session() as session:
        _ = await session.exec("CREATE TEMPORARY TABLE keyless_of_delete_all (name text)")
        _ = await session.exec("INSERT INTO keyless_of_delete_all VALUES ('a'), ('b')")
        loaded = await session.exec(Select(Keyless)).all()
        with pytest.raises(MissingPrimaryKeyError):
            session.delete_all(loaded)
        await session.rollback()


async def test_a_rollback_gives_all_back(both: Both) -> None:
    await tags(both)
    async with both.session() as session:
        loaded = await session.exec(Select(Tag).OrderBy(Tag.id)).all()
        session.delete_all(loaded)
        await session.rollback()  # before the flush
        assert plain(session).deleted == ()
        session.delete_all(loaded)
        await session.flush()
        assert await session.exec(Select(Tag)).all() == []
        await session.rollback()
        loaded[0].name = "changed"
        assert await session.get(Tag, 2) is loaded[1]
        await session.commit()
    assert await names(both) == ["changed", "t2", "t3", "t4"]


async def test_a_savepoint_gives_back_what_went_in_it(both: Both) -> None:
    await tags(both)
    async with both.session() as session:
        loaded = await session.exec(Select(Tag).OrderBy(Tag.id)).all()
        session.delete_all(loaded[:1])
        await session.flush()
        with pytest.raises(KeyError):
            async with session.begin_nested():
                session.delete_all(loaded[1:3])
                await session.flush()
                raise KeyError
        assert [await session.get(Tag, n) for n in (1, 2, 3)] == [None, loaded[1], loaded[2]]
        async with session.begin_nested():
            session.delete_all(loaded[2:3])
            await session.flush()
        await session.commit()
        assert await session.get(Tag, 3) is None
        session.add_all([loaded[0], loaded[2]])  # their rows are gone: they are new
        await session.commit()
    assert sorted(await names(both)) == ["t1", "t2", "t3", "t4"]


async def test_one_is_added_again_before_the_flush(both: Both) -> None:
    await tags(both)
    async with both.session() as session:
        loaded = await session.exec(Select(Tag).OrderBy(Tag.id)).all()
        session.delete_all(loaded)
        session.add(loaded[0])
        loaded[1].name = "written while it waits to go"
        session.add(loaded[1])
        await session.commit()
        loaded[0].name = "stays"
        await session.commit()
    assert await names(both) == ["stays", "written while it waits to go"]


async def test_what_was_not_flushed_stays_readable_after_the_session(both: Both) -> None:
    await made(both, *(User(id=n, name=f"u{n}") for n in (1, 2)))
    session = both.session()
    loaded = await session.exec(Select(User).OrderBy(User.id)).all()
    session.delete_all(loaded)
    await session.close()
    loaded[0].name = "later"
    async with both.session() as session:
        session.add_all(loaded)
        await session.commit()
        assert [user.name for user in await session.exec(Select(User).OrderBy(User.id)).all()] == ["later", "u2"]


async def test_a_row_that_is_gone_is_stale(both: Both) -> None:
    await tags(both)
    async with both.session() as session:
        loaded = await session.exec(Select(Tag).OrderBy(Tag.id)).all()
        both.sql("DELETE FROM tags WHERE id = 2")
        session.delete_all(loaded)
        with pytest.raises(StaleObjectError):
            await session.commit()
        assert plain(session).deleted == ()
    assert await names(both) == ["t1", "t3", "t4"]


async def test_loaded_children_and_lists_follow(both: Both) -> None:
    await made(both, User(id=1, name="a"), User(id=2, name="b"))
    await made(
        both,
        *(Order(id=n, user_id=1 + n % 2) for n in range(1, 5)),
        *(Item(id=n, order_id=n, name="i") for n in (1, 2)),
    )
    async with both.session() as session:
        users = await session.exec(Select(User).OrderBy(User.id).Include(User.orders)).all()
        items = await session.exec(Select(Item).OrderBy(Item.id)).all()
        session.delete_all([order for user in users for order in user.orders if order.id != 4])
        await session.flush()
        assert [[order.id for order in user.orders] for user in users] == [[4], []]
        assert [item in plain(session).deleted for item in items] == [False, False]
        await session.rollback()
        assert [[order.id for order in user.orders] for user in users] == [[2, 4], [1, 3]]


async def test_keys_given_out_of_order(both: Both) -> None:
    await made(both, *(Node(id=n, name=f"n{n}") for n in range(1, 301)))
    async with both.session() as session:
        loaded = await session.exec(Select(Node).OrderBy(Node.id)).all()
        session.delete_all(reversed(loaded[:250]))
        await session.commit()
        left: list[Any] = await session.exec(Select(Node).OrderBy(Node.id)).all()
        assert left == loaded[250:]
