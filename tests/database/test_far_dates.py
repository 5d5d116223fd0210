"""Dates and moments that the server has and Python can't hold: a clear error that names the column, no more harm."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from psqlmodel import Column, DataError, Engine, PSQLModel, Range, Select, table

from .both import Both

FAR = "before the year 1 or after 9999"


@table("far_dates")
class Far(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    at: Column[datetime | None]
    moments: Column[list[datetime] | None]
    day: Column[date | None]
    days: Column[list[date] | None]
    span: Column[Range[datetime] | None]


@pytest.fixture(scope="module", autouse=True)
def tables(plain_sql: Engine) -> None:
    plain_sql.create_all([Far])


@pytest.mark.parametrize("far", ["20000-01-01", "0044-03-15 BC"])
@pytest.mark.parametrize("column", ["at", "moments", "day", "days", "span"])
async def test_what_python_cannot_hold_is_told(both: Both, column: str, far: str) -> None:
    value = {"moments": f"{{{far}}}", "days": f"{{{far}}}", "span": f"[{far},{far}]"}.get(column, far)
    both.sql(f"INSERT INTO far_dates (id, {column}) VALUES (1, '{value}'), (2, NULL)")
    async with both.session() as session:
        near = await session.get(Far, 2)
        for query in (f"SELECT {column} FROM far_dates", Select(Far)):
            with pytest.raises(DataError, match=FAR) as caught:
                _ = [getattr(row, column) for row in await session.exec(query).all()]
            assert caught.value.sqlstate == "22008"
        near.day = date(2024, 2, 29)
        await session.commit()
    assert both.value("SELECT count(*) FROM far_dates WHERE day = '2024-02-29'") == 1


@pytest.mark.parametrize("column", ["at", "day"])
async def test_the_error_names_the_column(both: Both, column: str) -> None:
    both.sql(f"INSERT INTO far_dates (id, {column}) VALUES (1, '20000-01-01')")
    async with both.session() as session:
        for query in (f"SELECT id, {column} FROM far_dates", Select(Far.id, getattr(Far, column)), Select(Far)):
            with pytest.raises(DataError, match=FAR) as caught:
                _ = [getattr(row, column) for row in await session.exec(query).all()]
            assert column in caught.value.columns  # a driver that reads dates itself names all that it may be
            assert column in str(caught.value)


@pytest.mark.parametrize("column", ["moments", "days"])
async def test_the_error_names_the_columns_that_it_may_be(both: Both, column: str) -> None:
    both.sql(f"INSERT INTO far_dates (id, {column}) VALUES (1, '{{20000-01-01}}')")
    async with both.session() as session:
        with pytest.raises(DataError, match=f"a date or time in {column} is {FAR}") as caught:
            await session.exec(f"SELECT id, {column} FROM far_dates").all()
        assert caught.value.columns == (column,)


@pytest.mark.parametrize("column", ["at", "day"])
async def test_a_loaded_object_that_is_read_again(both: Both, column: str) -> None:
    both.sql(f"INSERT INTO far_dates (id, {column}) VALUES (1, '2000-01-01')")
    async with both.session() as session:
        far = await session.get(Far, 1)
        both.sql(f"UPDATE far_dates SET {column} = '20000-01-01'")
        for again in (lambda: session.refresh(far), lambda: session.exec(Select(Far)).all()):
            with pytest.raises(DataError, match=FAR) as caught:
                await again()
            assert column in caught.value.columns
            assert column in str(caught.value)
        assert getattr(far, column).year == 2000


async def test_a_range_names_its_column(both: Both) -> None:
    both.sql("INSERT INTO far_dates (id, span) VALUES (1, '[20000-01-01,20000-01-02]'), (2, NULL)")
    async with both.session() as session:
        for read in (lambda: session.get(Far, 1), lambda: session.exec(Select(Far)).all()):
            with pytest.raises(DataError, match=f"span: .* {FAR}") as caught:
                await read()
            assert caught.value.columns == ("span",)
        near = await session.get(Far, 2)
        both.sql("UPDATE far_dates SET span = '[20000-01-01,20000-01-02]'")
        with pytest.raises(DataError, match=f"span: .* {FAR}"):
            await session.refresh(near)
