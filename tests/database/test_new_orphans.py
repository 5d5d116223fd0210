"""New objects that are taken from their parents before they were ever written: what `orphans=` means for them."""

from __future__ import annotations

import pytest

from psqlmodel import Column, Engine, OrphanError, PSQLModel, Relation, Select, table

from .both import Both, Statements


@table("dishes")
class Dish(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    stages: Relation[list[Stage]] = Relation(orphans="delete")
    guests: Relation[list[Guest]] = Relation(orphans="null")
    checks: Relation[list[Check]] = Relation(orphans="error")
    photo: Relation[Photo | None] = Relation(orphans="delete")
    opinions: Relation[list[Opinion]] = Relation()


@table("dish_stages")
class Stage(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    dish_id: Column[int] = Column(foreign_key="dishes.id")
    dish: Relation[Dish] = Relation()
    hints: Relation[list[Hint]] = Relation(orphans="delete")


@table("dish_hints")
class Hint(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    stage_id: Column[int] = Column(foreign_key="dish_stages.id")


@table("dish_guests")
class Guest(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    dish_id: Column[int | None] = Column(foreign_key="dishes.id")


@table("dish_checks")
class Check(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    dish_id: Column[int | None] = Column(foreign_key="dishes.id")


@table("dish_photos")
class Photo(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    dish_id: Column[int] = Column(foreign_key="dishes.id", unique=True)


@table("dish_opinions")
class Opinion(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    dish_id: Column[int] = Column(foreign_key="dishes.id")


@pytest.fixture(autouse=True, scope="module")
def tables(plain_sql: Engine) -> None:
    plain_sql.create_all([Dish, Stage, Hint, Guest, Check, Photo, Opinion])


async def test_where_orphans_are_deleted_a_new_one_is_dropped(both: Both) -> None:
    async with both.session() as session:
        cook, serve = Stage(), Stage()
        dish = Dish(stages=[cook, serve])
        session.add(dish)
        dish.stages.remove(cook)
        await session.commit()
        assert cook._state.status == "transient"
        assert cook not in session
        assert serve.dish_id == dish.id
    assert both.value("SELECT count(*) FROM dish_stages") == 1


async def test_so_is_what_hangs_on_it(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        dish = Dish(stages=[], checks=[], opinions=[])
        session.add(dish)
        await session.commit()
        statements.clear()
        stage = Stage(hints=[Hint(), Hint()])
        dish.stages.append(stage)
        dish.stages.clear()
        plan = session.plan()
        assert str(await plan if both.is_sync else plan) == "nothing to send"
        await session.commit()
        assert not session.new
    assert statements.verbs == []


async def test_one_that_gets_another_parent_is_written(both: Both) -> None:
    async with both.session() as session:
        first, second = Dish(), Dish()
        stages = [Stage(), Stage(), Stage()]
        session.add_all([first, second])
        first.stages.extend(stages)
        first.stages.clear()
        second.stages.append(stages[0])
        stages[1].dish = second
        await session.flush()
        stages[2].dish = None  # transient already: it is nobody's
        third = Stage(dish=first)
        session.add(third)
        third.dish = None
        third.dish_id = second.id
        await session.commit()
        found = await session.exec(Select(Stage).Where(Stage.dish_id == second.id)).all()
        assert set(found) == {stages[0], stages[1], third}
        assert stages[2]._state.status == "transient"


async def test_a_one_to_one_object_that_is_replaced_is_dropped(both: Both) -> None:
    async with both.session() as session:
        blurred, sharp = Photo(), Photo()
        dish = Dish(photo=blurred)
        session.add(dish)
        dish.photo = sharp
        await session.commit()
        assert blurred._state.status == "transient"
        assert sharp.dish_id == dish.id


async def test_where_orphans_are_set_free_a_new_one_is_written_without_a_key(both: Both) -> None:
    async with both.session() as session:
        guest = Guest()
        dish = Dish(guests=[guest])
        session.add(dish)
        dish.guests.remove(guest)
        await session.commit()
        assert guest.id is not None
        assert guest.dish_id is None


@pytest.mark.parametrize(("relation", "child"), [("checks", Check), ("opinions", Opinion)])
async def test_where_orphans_are_refused_a_new_one_is_too(
    both: Both, statements: Statements, relation: str, child: type[PSQLModel]
) -> None:
    async with both.session() as session:
        dish = Dish(stages=[], checks=[], opinions=[])
        session.add(dish)
        await session.commit()
        orphan, kept = child(), child()
        for each in (orphan, kept):
            getattr(dish, relation).append(each)
        getattr(dish, relation).remove(orphan)
        statements.clear()
        with pytest.raises(OrphanError, match=f"this {child.__name__} has lost its Dish") as caught:
            await session.flush()
        assert caught.value.object is orphan
        assert statements.sent == []
        session.delete(orphan)
        await session.commit()
        assert kept.id is not None


async def test_a_savepoint_that_is_rolled_back_forgets_who_was_an_orphan(both: Both) -> None:
    async with both.session() as session:
        dish = Dish(stages=[], checks=[], opinions=[])
        session.add(dish)
        await session.commit()
        opinion = Opinion()
        with pytest.raises(RuntimeError):
            async with session.begin_nested():
                dish.opinions.append(opinion)
                dish.opinions.remove(opinion)
                raise RuntimeError
        dish.opinions.append(opinion)
        await session.commit()
        assert opinion.dish_id == dish.id
