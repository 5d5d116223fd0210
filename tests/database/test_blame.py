"""An error of a flush says which object, attribute and value it is about, also when one row of thousands is bad."""

from __future__ import annotations

from decimal import Decimal

import pytest

from psqlmodel import (
    CheckViolation,
    Column,
    DataError,
    Engine,
    InvalidValueError,
    NotNullViolation,
    PSQLModel,
    Relation,
    UniqueViolation,
    numeric,
    table,
)

from .both import Both

MANY = 10_000
BAD = 7_777


@table("parts")
class Part(PSQLModel):
    """Made below with narrower columns than the model knows."""

    id: int = Column(primary_key=True)
    code: str | None = Column(unique=True)
    name: str = Column(default="")
    price: Decimal = Column(default=Decimal(1), check="price >= 0")
    weight: int = Column(default=1)
    memos: Relation[list["Memo"]] = Relation()


@table("part_memos")
class Memo(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    title: Column[str] = Column()
    cost: Column[Decimal] = Column(type=numeric(5, 2), default=Decimal(1))
    worth: Column[Decimal] = Column(type=numeric(9, 2), default=Decimal(1))
    part_id: Column[int | None] = Column(foreign_key="parts.id")


@pytest.fixture(autouse=True)
def tables(plain_sql: Engine) -> None:
    plain_sql.create_all([Part, Memo])
    plain_sql.execute("ALTER TABLE parts ALTER name TYPE varchar(10), ALTER price TYPE numeric(6, 2)")
    plain_sql.execute("ALTER TABLE parts ALTER weight TYPE smallint")


def parts() -> list[Part]:
    return [Part(code=f"c{n}", name=f"n{n}", price=Decimal(n % 100)) for n in range(MANY)]


async def test_the_one_row_that_breaks_a_unique_key(both: Both) -> None:
    async with both.session() as session:
        new = parts()
        new[BAD].code = "c0"
        session.add_all(new)
        with pytest.raises(UniqueViolation) as caught:
            await session.commit()
    error = caught.value
    assert (error.model, error.columns, error.value) == (Part, ("code",), "c0")
    assert error.object in (new[0], new[BAD])


async def test_the_one_row_that_is_null(both: Both) -> None:
    async with both.session() as session:
        new = parts()
        new[BAD].name = None  # type: ignore[assignment]
        session.add_all(new)
        with pytest.raises(NotNullViolation) as caught:
            await session.commit()
    assert (caught.value.object, caught.value.columns) == (new[BAD], ("name",))


async def test_the_one_row_that_fails_a_check(both: Both) -> None:
    async with both.session() as session:
        new = parts()
        new[BAD].price = Decimal(-5)
        session.add_all(new)
        with pytest.raises(CheckViolation) as caught:
            await session.commit()
    error = caught.value
    assert (error.object, error.columns, error.value) == (new[BAD], ("price",), Decimal(-5))
    assert error.constraint == "ck_parts_price"


async def test_the_one_text_that_is_too_long(both: Both) -> None:
    async with both.session() as session:
        new = parts()
        new[BAD].name = "x" * 11
        session.add_all(new)
        with pytest.raises(DataError) as caught:
            await session.commit()
    assert (caught.value.object, caught.value.columns, caught.value.value) == (new[BAD], ("name",), "x" * 11)


async def test_the_message_names_what_the_server_does_not(both: Both) -> None:
    async with both.session() as session:
        session.add(Part(code="a", name="y" * 11, memos=[Memo(title="t")]))
        with pytest.raises(DataError, match=r"^Part\.name: value too long"):
            await session.commit()


async def test_a_number_is_found_by_its_precision_and_in_its_class(both: Both) -> None:
    async with both.session() as session:
        session.add(Part(code="a", memos=[Memo(title="t", cost=Decimal(1_000), worth=Decimal(1_000))]))
        with pytest.raises(DataError, match=r"^Memo\.cost: numeric field overflow") as caught:
            await session.commit()
    assert (caught.value.model, caught.value.columns, caught.value.value) == (Memo, ("cost",), Decimal(1_000))


async def test_the_one_number_that_is_too_great_for_its_precision(both: Both) -> None:
    async with both.session() as session:
        new = parts()
        new[BAD].price = Decimal(10_000)
        session.add_all(new)
        with pytest.raises(DataError) as caught:
            await session.commit()
    assert (caught.value.object, caught.value.columns) == (new[BAD], ("price",))


async def test_a_number_that_is_too_great_for_its_type_is_refused_before_it_is_sent(both: Both) -> None:
    async with both.session() as session:
        session.add_all([Part(code="a"), Part(code="b", weight=40_000)])
        with pytest.raises(InvalidValueError, match=r"Part\.weight"):
            await session.commit()
        await session.rollback()


async def test_an_update_names_the_new_value(both: Both) -> None:
    async with both.session() as session:
        first, second = Part(code="a"), Part(code="b")
        session.add_all([first, second])
        await session.commit()
        second.code = "a"
        with pytest.raises(UniqueViolation) as caught:
            await session.commit()
        assert (caught.value.object, caught.value.value) == (second, "a")
        assert second.code == "b"
