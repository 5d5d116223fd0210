"""A parent is deleted by a session that knows its children as they were: someone else has changed them meanwhile."""

from __future__ import annotations

import pytest

from psqlmodel import Column, Engine, PSQLModel, Relation, Select, StaleObjectError, table

from .both import Both, Statements


@table("kennels")
class Kennel(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    dogs: Relation[list[Dog]] = Relation()


@table("kennel_dogs")
class Dog(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    kennel_id: Column[int] = Column(foreign_key="kennels.id", on_delete="CASCADE")
    kennel: Relation[Kennel] = Relation()


@table("kennel_cats", optimistic="xmin")
class Cat(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    toys: Column[dict[str, int]] = Column(default_factory=dict)
    kennel_id: Column[int | None] = Column(foreign_key="kennels.id", on_delete="SET NULL")


@pytest.fixture(autouse=True, scope="module")
def tables(plain_sql: Engine) -> None:
    plain_sql.create_all([Kennel, Dog, Cat])


@pytest.fixture(autouse=True)
def _rows(both: Both) -> None:
    both.sql("INSERT INTO kennels (id) VALUES (1), (2)")
    both.sql("INSERT INTO kennel_dogs (id, name, kennel_id) VALUES (1, 'Rex', 1), (2, 'Bo', 1)")
    both.sql("INSERT INTO kennel_cats (id, name, toys, kennel_id) VALUES (1, 'Tom', '{\"ball\": 1}', 1)")


async def test_a_child_that_moved_is_presumed_deleted_until_its_row_comes(both: Both) -> None:
    async with both.session() as session:
        rex, bo = await session.exec(Select(Dog).OrderBy(Dog.id)).all()
        both.sql("UPDATE kennel_dogs SET kennel_id = 2, name = 'Max' WHERE id = 1")
        session.delete(await session.get(Kennel, 1))
        await session.flush()
        assert rex._state.status == bo._state.status == "deleted"
        assert await session.exec(Select(Dog)).all() == [rex]
        assert (rex._state.status, rex.name, rex.kennel_id) == ("persistent", "Max", 2)
        rex.name = "Rex"
        await session.commit()
        assert (rex._state.status, bo._state.status) == ("persistent", "transient")
    assert both.column("SELECT name FROM kennel_dogs") == ["Rex"]


async def test_get_asks_the_database_for_it(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        rex, bo = await session.exec(Select(Dog).OrderBy(Dog.id)).all()
        both.sql("UPDATE kennel_dogs SET kennel_id = 2 WHERE id = 1")
        session.delete(await session.get(Kennel, 1))
        await session.flush()
        assert await session.get_many(Dog, [2, 1]) == [None, rex]
        assert await session.get(Dog, 1) is rex
        statements.clear()
        assert await session.get(Dog, 2) is None
        assert bo._state.status == "deleted"
        assert len(statements.sent) == 1
        await session.rollback()


async def test_refresh_tells(both: Both) -> None:
    async with both.session() as session:
        rex, bo = await session.exec(Select(Dog).OrderBy(Dog.id)).all()
        both.sql("UPDATE kennel_dogs SET kennel_id = 2 WHERE id = 1")
        session.delete(await session.get(Kennel, 1))
        await session.flush()
        await session.refresh(rex)
        assert (rex._state.status, rex.kennel_id) == ("persistent", 2)
        with pytest.raises(StaleObjectError, match="Dog 2 has no row any more"):
            await session.refresh(bo)
        await session.commit()
        assert bo._state.status == "transient"


async def test_no_statement_is_sent_to_find_out(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        await session.exec(Select(Dog)).all()
        kennel = await session.get(Kennel, 1)
        statements.clear()
        session.delete(kennel)
        await session.flush()
        assert statements.verbs == ["DELETE"]
        await session.rollback()


async def test_a_rollback_brings_all_children_back(both: Both) -> None:
    async with both.session() as session:
        rex, bo = await session.exec(Select(Dog).OrderBy(Dog.id)).all()
        both.sql("UPDATE kennel_dogs SET kennel_id = 2 WHERE id = 1")
        session.delete(await session.get(Kennel, 1))
        await session.flush()
        assert await session.get(Dog, 1) is rex
        await session.rollback()
        assert rex._state.status == bo._state.status == "persistent"
        assert await session.get(Dog, 1) is rex
        assert await session.get(Dog, 2) is bo


async def test_after_the_commit_the_key_is_free(both: Both) -> None:
    async with both.session() as session:
        rex, _ = await session.exec(Select(Dog).OrderBy(Dog.id)).all()
        session.delete(await session.get(Kennel, 1))
        await session.commit()
        both.sql("INSERT INTO kennel_dogs (id, name, kennel_id) VALUES (1, 'Ace', 2)")
        ace = await session.get(Dog, 1)
        assert ace is not rex
        assert (rex._state.status, rex.name, ace.name) == ("transient", "Rex", "Ace")


async def test_a_new_object_may_take_the_key_at_once(both: Both) -> None:
    async with both.session() as session:
        rex, _ = await session.exec(Select(Dog).OrderBy(Dog.id)).all()
        session.delete(await session.get(Kennel, 1))
        await session.flush()
        ace = Dog(id=1, name="Ace", kennel_id=2)
        session.add(ace)
        await session.commit()
        assert await session.get(Dog, 1) is ace
        assert rex._state.status == "transient"
        assert ace._state.status == "persistent"


@pytest.mark.parametrize("change", ["name = 'Kit'", "toys = '{}'", "kennel_id = 2", None])
async def test_a_key_set_to_null_does_not_hide_what_others_changed(both: Both, change: str | None) -> None:
    async with both.session() as session:
        cat = (await session.exec(Select(Cat)).all())[0]
        kennel = await session.get(Kennel, 1)
        if change is not None:
            both.sql(f"UPDATE kennel_cats SET {change} WHERE id = 1")
        session.delete(kennel)
        await session.flush()
        assert cat.kennel_id is None
        cat.toys["mouse"] = 2
        if change is None:
            await session.commit()
            cat.name = "Kit"
            await session.commit()
            return
        with pytest.raises(StaleObjectError, match=r"UPDATE of .kennel_cats") as caught:
            await session.commit()
        assert caught.value.objects == (cat,)
        await session.rollback()


async def test_nor_that_they_deleted_the_row(both: Both) -> None:
    async with both.session() as session:
        cat = (await session.exec(Select(Cat)).all())[0]
        session.delete(await session.get(Kennel, 1))
        both.sql("DELETE FROM kennel_cats")
        await session.flush()
        session.delete(cat)
        with pytest.raises(StaleObjectError, match=r"DELETE of .kennel_cats") as caught:
            await session.flush()
        assert caught.value.objects == (cat,)
        await session.rollback()


async def test_nor_in_a_flush_that_writes_more_or_deletes(both: Both) -> None:
    async with both.session() as session:
        cat = (await session.exec(Select(Cat)).all())[0]
        session.delete(await session.get(Kennel, 1))
        await session.flush()
        cat.name = "Kit"
        session.add(Kennel(id=3))
        await session.flush()
        session.delete(cat)
        session.add(Kennel(id=4))
        await session.commit()
    assert both.column("SELECT id FROM kennels ORDER BY id") == [2, 3, 4]
    assert both.value("SELECT count(*) FROM kennel_cats") == 0


async def test_with_a_loss_among_them(both: Both) -> None:
    async with both.session() as session:
        cat = (await session.exec(Select(Cat)).all())[0]
        kennel = await session.get(Kennel, 1)
        both.sql("UPDATE kennel_cats SET name = 'Kit' WHERE id = 1")
        session.delete(kennel)
        await session.flush()
        cat.toys["mouse"] = 2
        session.add(Kennel(id=3))
        with pytest.raises(StaleObjectError, match=r"UPDATE of .kennel_cats") as caught:
            await session.flush()
        assert caught.value.objects == (cat,)
        await session.rollback()
        assert await session.get(Kennel, 1) is kennel


@pytest.mark.parametrize("changed", [False, True])
async def test_what_came_back_within_a_savepoint_goes_with_it(both: Both, changed: bool) -> None:
    async with both.session() as session:
        kennels = await session.exec(Select(Kennel).OrderBy(Kennel.id).Include(Kennel.dogs)).all()
        bo = await session.get(Dog, 2)
        session.delete(kennels[0])
        await session.flush()
        with pytest.raises(ZeroDivisionError):
            async with session.begin_nested():
                async with session.begin_nested():
                    await session.exec("INSERT INTO kennel_dogs (id, name, kennel_id) VALUES (2, 'Bo', 2)")
                    assert await session.exec(Select(Dog)).all() == [bo]
                    if changed:
                        bo.name = "Max"
                assert (bo._state.status, bo.kennel_id) == ("persistent", 2)
                await session.refresh(kennels[1])
                await session.load(kennels[1], Kennel.dogs)
                raise ZeroDivisionError
        assert bo._state.status == "deleted"
        assert bo not in kennels[1].dogs
        await session.commit()
        assert bo._state.status == "transient"
        assert await session.get(Dog, 2) is None


async def test_a_row_that_lives_is_found_again_after_the_savepoint(both: Both) -> None:
    async with both.session() as session:
        rex = await session.get(Dog, 1)
        both.sql("UPDATE kennel_dogs SET kennel_id = 2 WHERE id = 1")
        session.delete(await session.get(Kennel, 1))
        await session.flush()
        with pytest.raises(ZeroDivisionError):
            async with session.begin_nested():
                assert await session.get(Dog, 1) is rex
                raise ZeroDivisionError
        assert await session.get(Dog, 1) is rex
        rex.name = "Max"
        await session.commit()
    assert both.column("SELECT name FROM kennel_dogs") == ["Max"]


async def test_one_that_the_savepoint_itself_presumed_to_be_deleted_is_there_after_it(both: Both) -> None:
    async with both.session() as session:
        rex = await session.get(Dog, 1)
        both.sql("UPDATE kennel_dogs SET kennel_id = 2 WHERE id = 1")
        with pytest.raises(ZeroDivisionError):
            async with session.begin_nested():
                async with session.begin_nested():
                    session.delete(await session.get(Kennel, 1))
                    await session.flush()
                    assert rex._state.status == "deleted"
                assert await session.exec(Select(Dog).Where(Dog.id == 1)).one() is rex
                raise ZeroDivisionError
        assert rex._state.status == "persistent"
        await session.commit()
        assert rex._state.status == "persistent"


async def test_a_list_that_a_rollback_filled_again_lets_its_objects_go(both: Both) -> None:
    async with both.session() as session:
        one, two = await session.exec(Select(Kennel).OrderBy(Kennel.id).Include(Kennel.dogs)).all()
        rex = one.dogs[0]
        session.delete(one)
        await session.flush()
        await session.rollback()
        assert [dog.name for dog in one.dogs] == ["Rex", "Bo"]
        rex.kennel = two
        assert ([dog.name for dog in one.dogs], [dog.name for dog in two.dogs]) == (["Bo"], ["Rex"])
        await session.commit()
    assert both.column("SELECT kennel_id FROM kennel_dogs ORDER BY id") == [2, 1]
