"""Many-to-many that only one side declares: the other one's deletion is seen in the lists all the same."""

from __future__ import annotations

import pytest

from psqlmodel import Column, Engine, PSQLModel, Relation, Select, table

from .both import Both


@table("labels_of_parcels")
class Label(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    word: Column[str]


@table("labelled_parcels")
class Parcel(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    labels: Relation[list[Label]] = Relation(secondary="auto", order_by="id")


@table("chosen_colours")
class Colour(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    cars: Relation[list["Car"]] = Relation(secondary="auto", order_by="id")


@table("coloured_cars")
class Car(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    colours: Relation[list[Colour]] = Relation(secondary="auto", order_by="id")


@pytest.fixture(scope="module", autouse=True)
def tables(plain_sql: Engine) -> None:
    plain_sql.create_all([Label, Parcel, Colour, Car])


@pytest.fixture(autouse=True)
def _rows(tables: None, both: Both) -> None:
    both.sql("INSERT INTO labels_of_parcels VALUES (1, 'red'), (2, 'hot'), (3, 'old')")
    both.sql("INSERT INTO labelled_parcels VALUES (1), (2)")
    both.sql(
        "INSERT INTO labelled_parcels_labels_of_parcels (labelled_parcel_id, labels_of_parcel_id) "
        "VALUES (1, 1), (1, 2), (2, 2)"
    )


def words(parcel: Parcel) -> list[str]:
    return [label.word for label in parcel.labels]


async def test_a_deleted_object_leaves_the_lists_that_it_does_not_know(both: Both) -> None:
    async with both.session() as session:
        one, two = await session.exec(Select(Parcel).OrderBy(Parcel.id).Include(Parcel.labels)).all()
        session.delete(await session.get(Label, 2))
        await session.flush()
        assert (words(one), words(two)) == (["red"], [])
        two.labels.append(await session.get(Label, 3))
        await session.commit()
        assert (words(one), words(two)) == (["red"], ["old"])
    assert both.value("SELECT count(*) FROM labelled_parcels_labels_of_parcels") == 2


async def test_several_at_once(both: Both) -> None:
    async with both.session() as session:
        one, two = await session.exec(Select(Parcel).OrderBy(Parcel.id).Include(Parcel.labels)).all()
        session.delete_all(await session.exec(Select(Label)).all())
        await session.commit()
        assert (words(one), words(two)) == ([], [])
        assert session.dirty == ()


@pytest.mark.parametrize("nested", [False, True])
async def test_a_rollback_brings_it_back(both: Both, nested: bool) -> None:
    async with both.session() as session:
        one, two = await session.exec(Select(Parcel).OrderBy(Parcel.id).Include(Parcel.labels)).all()
        hot = await session.get(Label, 2)
        if nested:
            with pytest.raises(ZeroDivisionError):
                async with session.begin_nested():
                    session.delete(hot)
                    await session.flush()
                    assert words(one) == ["red"]
                    raise ZeroDivisionError
        else:
            session.delete(hot)
            await session.flush()
            assert words(one) == ["red"]
            await session.rollback()
        assert (words(one), words(two)) == (["red", "hot"], ["hot"])
        assert one.labels[1] is hot
        await session.commit()
    assert both.value("SELECT count(*) FROM labelled_parcels_labels_of_parcels") == 3


async def test_lists_that_nobody_loaded_stay_unloaded(both: Both) -> None:
    async with both.session() as session:
        one = await session.get(Parcel, 1)
        both.statements.clear()
        session.delete(await session.get(Label, 2))
        await session.commit()
        assert both.statements.verbs == ["DELETE"]
        await session.load(one, Parcel.labels)
        assert words(one) == ["red"]


@pytest.mark.parametrize("ending", ["commit", "rollback"])
@pytest.mark.parametrize("known", [(), (1,), (1, 2)])
async def test_a_deleted_object_leaves_lists_whether_its_own_is_loaded_or_not(
    both: Both, ending: str, known: tuple[int, ...]
) -> None:
    async with both.session() as session:
        one, two, three = Colour(), Colour(), Colour()
        session.add_all([Car(colours=[one, two, three]), Car(colours=[two])])
        await session.commit()
    async with both.session() as session:
        cars = await session.exec(Select(Car).OrderBy(Car.id.Desc()).Limit(2).Include(Car.colours)).all()
        colours = await session.get_many(Colour, [one.id, two.id])
        await session.load([colours[place - 1] for place in known] or [], Colour.cars)
        session.delete_all(colours)
        await session.flush()
        left = [[colour.id for colour in car.colours] for car in cars]
        await (session.commit() if ending == "commit" else session.rollback())
        if ending == "rollback":
            await session.load(cars, Car.colours)
            left = [[colour.id for colour in car.colours] for car in cars]
    assert left == ([[], [three.id]] if ending == "commit" else [[two.id], [one.id, two.id, three.id]])
