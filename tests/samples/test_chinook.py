"""Chinook asked as its users would ask: times without a zone, keys that are always generated, a tree of employees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import Alias, Count, DateTrunc, DenseRank, Func, InvalidValueError, Select, Sum, Update, With

from ..database.both import Both
from .chinook_models import (
    Album,
    Artist,
    Customer,
    Employee,
    Genre,
    Invoice,
    InvoiceLine,
    Playlist,
    PlaylistTrack,
    Track,
)
from .conftest import CHINOOK


@pytest.fixture
def chinook(open_sample: Callable[[Any], Both]) -> Both:
    return open_sample(CHINOOK)


# --- times without a zone ---------------------------------------------------------------------------------------------

SINCE = datetime(2022, 1, 1)
CONDITIONS = [
    (Invoice.invoice_date >= SINCE, "invoice_date >= '2022-01-01'"),
    (Invoice.invoice_date.Between(SINCE, datetime(2022, 6, 1)), "invoice_date BETWEEN '2022-01-01' AND '2022-06-01'"),
    (
        Invoice.invoice_date.In([datetime(2021, 1, 1), datetime(2021, 1, 2)]),
        "invoice_date IN ('2021-01-01', '2021-01-02')",
    ),
    (Invoice.total > Decimal("10"), "total > 10"),
    (Invoice.billing_state == None, "billing_state IS NULL"),  # noqa: E711 - that it works is what is tested
    (DateTrunc("year", Invoice.invoice_date) == SINCE, "date_trunc('year', invoice_date) = '2022-01-01'"),
    (Func.lower(Invoice.billing_country).Like("%an%"), "lower(billing_country) LIKE '%an%'"),
]


@pytest.mark.parametrize(("condition", "sql"), CONDITIONS, ids=[sql for _, sql in CONDITIONS])
async def test_conditions(chinook: Both, condition: Any, sql: str):
    query = Select(Invoice.invoice_id).Where(condition).OrderBy(Invoice.invoice_id)
    async with chinook.session() as session:
        found = await session.exec(query).scalars()
    assert found == chinook.column(f"SELECT invoice_id FROM invoice WHERE {sql} ORDER BY 1")
    assert found


async def test_a_zone_does_not_fit_a_time_without_one(chinook: Both):
    async with chinook.session() as session:
        with pytest.raises(InvalidValueError, match="timestamp"):
            await session.exec(Select(Invoice).Where(Invoice.invoice_date == datetime(2022, 1, 1, tzinfo=UTC)))
        invoice = await session.get(Invoice, 1)
        invoice.invoice_date = datetime(2022, 1, 1, tzinfo=UTC)
        with pytest.raises(InvalidValueError, match=r"Invoice\.invoice_date"):
            await session.flush()
        await session.rollback()
        assert invoice.invoice_date.tzinfo is None


# --- questions --------------------------------------------------------------------------------------------------------


async def test_the_best_customers_of_each_country(chinook: Both):
    spent = Sum(Invoice.total)
    ranked = (
        Select(
            Customer.customer_id,
            Customer.country,
            spent.As("spent"),
            DenseRank().Over(partition_by=Customer.country, order_by=spent.Desc()).As("place"),
        )
        .JoinRelated(Customer.invoices)
        .GroupBy(Customer.customer_id, Customer.country)
        .Subquery("ranked")
    )
    query = Select(ranked.customer_id, ranked.spent).Where(ranked.place == 1).OrderBy(ranked.customer_id)
    wanted = chinook.sql(
        "SELECT customer_id, spent FROM (SELECT customer_id, sum(total) AS spent, dense_rank() OVER "
        "(PARTITION BY country ORDER BY sum(total) DESC) AS place FROM customer JOIN invoice USING (customer_id) "
        "GROUP BY customer_id, country) r WHERE place = 1 ORDER BY 1"
    )
    async with chinook.session() as session:
        assert [tuple(row) for row in await session.exec(query)] == [tuple(row) for row in wanted]


async def test_the_tree_of_employees(chinook: Both):
    under = With("under", Select(Employee.employee_id).Where(Employee.reports_to.IsNull())).Recursive(
        lambda under: Select(Employee.employee_id).Join(under, Employee.reports_to == under.employee_id)
    )
    nested = Select(Employee).Where(Employee.reports_to.IsNull()).Include(Employee.reports.Include(Employee.reports))
    async with chinook.session() as session:
        assert len(await session.exec(Select(under.employee_id))) == 8
        boss = await session.exec(nested).one()
        heads = {head.last_name: len(head.reports) for head in boss.reports}
        assert heads == {"Edwards": 3, "Mitchell": 2}
        assert all(head.manager is boss for head in boss.reports)


async def test_genres_without_a_sale(chinook: Both):
    sold = Select(InvoiceLine.track_id)
    query = Select(Genre.name, Count()).JoinRelated(Genre.tracks).Where(Track.track_id.NotIn(sold)).GroupBy(Genre.name)
    wanted = chinook.sql(
        "SELECT g.name, count(*) FROM genre g JOIN track t USING (genre_id) "
        "WHERE track_id NOT IN (SELECT track_id FROM invoice_line) GROUP BY 1"
    )
    async with chinook.session() as session:
        assert Counter(map(tuple, await session.exec(query))) == Counter(map(tuple, wanted))


async def test_a_table_joined_to_itself(chinook: Both):
    boss: Any = Alias(Employee, "boss")
    query = (
        Select(Employee.last_name, boss.last_name)
        .LeftJoinRelated(Employee.manager, boss)
        .OrderBy(boss.last_name.Asc().NullsFirst(), Employee.employee_id)
    )
    async with chinook.session() as session:
        rows = [tuple(row) for row in await session.exec(query)]
    assert rows[:2] == [("Adams", None), ("Edwards", "Adams")]


async def test_many_questions_at_once(chinook: Both):
    queries = [Select(Count(model.artist_id if model is Artist else None)).From(model) for model in (Artist, Album)]
    async with chinook.session() as session:
        artists, albums, tracks = await session.parallel_exec([*queries, "SELECT count(*) FROM track"])
    found = [next(iter(result))[0] for result in (artists, albums, tracks)]
    assert found == [chinook.value(f"SELECT count(*) FROM {name}") for name in ("artist", "album", "track")]


# --- a unit of work ---------------------------------------------------------------------------------------------------


async def test_an_order_is_placed(chinook: Both):
    async with chinook.session() as session:
        customer = await session.exec(
            Select(Customer).Where(Customer.customer_id == 5).Include(Customer.invoices)
        ).one()
        tracks = list(await session.exec(Select(Track).OrderBy(Track.track_id).Limit(20)))
        number = len(customer.invoices)
        lines = [InvoiceLine(track=track, unit_price=track.unit_price, quantity=1) for track in tracks]
        total = sum((line.unit_price for line in lines), Decimal(0))
        invoice = Invoice(invoice_date=datetime(2026, 1, 1, 12), total=total, lines=lines)
        customer.invoices.append(invoice)
        chinook.statements.clear()
        await session.flush()
        assert chinook.statements.verbs == ["INSERT", "INSERT"]
        assert invoice.customer is customer
        rows = await session.exec(
            "SELECT count(*), sum(unit_price * quantity) FROM invoice_line WHERE invoice_id = %s", [invoice.invoice_id]
        )
        assert tuple(next(iter(rows))) == (20, total)
        assert len({line.invoice_line_id for line in lines}) == 20
        await session.rollback()
        assert len(customer.invoices) == number
        assert getattr(invoice, "invoice_id", None) is None


async def test_a_playlist_from_both_sides(chinook: Both):
    async with chinook.session() as session:
        playlist = await session.exec(Select(Playlist).Where(Playlist.playlist_id == 9).Include(Playlist.tracks)).one()
        track = await session.exec(Select(Track).Where(Track.track_id == 1).Include(Track.playlists)).one()
        assert playlist not in track.playlists
        track.playlists.append(playlist)
        assert track in playlist.tracks
        await session.flush()
        link = await session.get(PlaylistTrack, {"playlist_id": 9, "track_id": 1})
        assert (link.playlist_id, link.track_id) == (9, 1)
        playlist.tracks.remove(track)
        assert playlist not in track.playlists
        await session.flush()
        assert (
            list(
                await session.exec(
                    Select(PlaylistTrack).Where(PlaylistTrack.track_id == 1, PlaylistTrack.playlist_id == 9)
                )
            )
            == []
        )
        await session.rollback()


async def test_prices_rise_in_one_statement(chinook: Both):
    async with chinook.session() as session:
        tracks = list(await session.exec(Select(Track)))
        chinook.statements.clear()
        for track in tracks:
            track.unit_price += Decimal("0.01")
        await session.flush()
        assert chinook.statements.verbs == ["UPDATE"]
        total = await session.exec(Select(Sum(Track.unit_price))).scalar()
        await session.rollback()
        assert total == sum((track.unit_price + Decimal("0.01") for track in tracks), Decimal(0))
        raised = await session.exec(Update(Track).Set(unit_price=Track.unit_price * 2).Where(Track.genre_id == 1))
        assert raised.rowcount == chinook.value("SELECT count(*) FROM track WHERE genre_id = 1")
        await session.rollback()
