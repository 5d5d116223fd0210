"""Pagila asked as its users would ask: what the annotations say and what the tables are differ, and nobody notices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from psqlmodel import (
    Count,
    DatabaseError,
    Delete,
    Func,
    Insert,
    MissingPrimaryKeyError,
    RelationError,
    Select,
    StaleObjectError,
    Sum,
    Update,
)

from ..database.both import Both
from .conftest import PAGILA
from .pagila_models import (
    Actor,
    Address,
    City,
    Customer,
    CustomerListed,
    Film,
    FilmActor,
    FilmListed,
    Inventory,
    Language,
    Payment,
    Rating,
    Rental,
    SalesByStore,
    Staff,
    Store,
)


@pytest.fixture
def pagila(open_sample: Callable[[Any], Both]) -> Both:
    return open_sample(PAGILA)


# --- the database's types win -----------------------------------------------------------------------------------------

CONDITIONS = [
    (Film.rating == Rating.cautioned, "rating = 'PG-13'"),
    (Film.rating != Rating.adults, "rating <> 'NC-17'"),
    (Film.rating.In([Rating.general, Rating.guidance]), "rating IN ('G', 'PG')"),
    (Film.rating.NotIn([Rating.general]), "rating NOT IN ('G')"),
    (Film.release_year == 2006, "release_year = 2006"),
    (Film.release_year.In([2005, 2006]), "release_year IN (2005, 2006)"),
    (Film.length.In([50, 60, 100]), "length IN (50, 60, 100)"),
    (Film.length.Between(50, 55), "length BETWEEN 50 AND 55"),
    (Film.rental_rate.In([Decimal("0.99"), Decimal("2.99")]), "rental_rate IN (0.99, 2.99)"),
    (Film.special_features.Contains(["Trailers"]), "special_features @> ARRAY['Trailers']"),
    (Film.special_features.Overlaps(["Trailers", "Commentaries"]), "special_features && '{Trailers,Commentaries}'"),
    (Film.special_features == ["Trailers"], "special_features = '{Trailers}'"),
    (Film.title.ILike("%zombie%"), "title ILIKE '%zombie%'"),
    (Film.last_update >= datetime(2020, 1, 1, tzinfo=UTC), "last_update >= '2020-01-01 00:00+00'"),
    (Film.original_language_id.IsNull(), "original_language_id IS NULL"),
]


@pytest.mark.parametrize(("condition", "sql"), CONDITIONS, ids=[sql for _, sql in CONDITIONS])
async def test_conditions(pagila: Both, condition: Any, sql: str):
    async with pagila.session() as session:
        found = await session.exec(Select(Film.film_id).Where(condition).OrderBy(Film.film_id)).scalars()
    wanted = pagila.column(f"SELECT film_id FROM film WHERE {sql} ORDER BY 1")
    assert found == wanted


async def test_a_fixed_length_text_is_found_without_its_spaces(pagila: Both):
    async with pagila.session() as session:
        found = await session.exec(Select(Language).Where(Language.name == "Italian")).one()
        assert found.name == "Italian" + " " * 13
        assert len(await session.exec(Select(Language).Where(Language.name.In(["Italian", "French"])))) == 2


async def test_aggregates_over_a_join(pagila: Both):
    query = (
        Select(Film.rating, Count(), Sum(Payment.amount))
        .JoinRelated(Film.inventory)
        .JoinRelated(Inventory.rentals)
        .JoinRelated(Rental.payments)
        .Where(Payment.payment_date < datetime(2022, 3, 1, tzinfo=UTC))
        .GroupBy(Film.rating)
        .OrderBy(Film.rating)
    )
    wanted = pagila.sql(
        "SELECT rating::text, count(*), sum(amount) FROM film JOIN inventory USING (film_id) "
        "JOIN rental USING (inventory_id) JOIN payment USING (rental_id) WHERE payment_date < '2022-03-01 00:00+00' "
        "GROUP BY rating ORDER BY film.rating"
    )
    async with pagila.session() as session:
        rows = list(await session.exec(query))
    assert [(rating.value, count, total) for rating, count, total in rows] == [tuple(row) for row in wanted]


async def test_the_builder_writes(pagila: Both):
    async with pagila.session() as session:
        made = await session.exec(
            Insert(Film)
            .Values(title="Zenda", language_id=1, rating=Rating.cautioned, special_features=["a,b"], release_year=1937)
            .Returning(Film)
        ).one()
        assert (made.rating, made.special_features, made.rental_duration) == (Rating.cautioned, ["a,b"], 3)
        assert made.fulltext == "'zenda':1"
        changed = await session.exec(
            Update(Film)
            .Set(rating=Rating.restricted, special_features=[], release_year=Film.release_year + 1)
            .Where(Film.film_id == made.film_id)
            .Returning(Film.rating, Film.special_features, Film.release_year)
        ).one()
        assert tuple(changed) == (Rating.restricted, [], 1938)
        gone = await session.exec(Delete(Film).Where(Film.rating == Rating.restricted, Film.title == "Zenda"))
        assert gone.rowcount == 1
        await session.rollback()


# --- relations --------------------------------------------------------------------------------------------------------


async def test_an_include_of_five_levels(pagila: Both):
    query = (
        Select(Customer)
        .Where(Customer.customer_id <= 20)
        .Include(Customer.rentals.Include(Rental.inventory.Include(Inventory.film.Include(Film.actors, Film.language))))
        .Include(Customer.address.Include(Address.city.Include(City.country)))
    )
    async with pagila.session() as session:
        customers = list(await session.exec(query))
        reads = [text for text in pagila.statements.sent if not text.startswith("BEGIN")]
        assert len(reads) == 9
        found = {
            (c.customer_id, r.rental_id, r.inventory.film.title, a.actor_id)
            for c in customers
            for r in c.rentals
            for a in r.inventory.film.actors
        }
        assert {c.address.city.country.country for c in customers} <= set(pagila.column("SELECT country FROM country"))
    wanted = pagila.sql(
        "SELECT customer_id, rental_id, title, actor_id FROM rental JOIN inventory USING (inventory_id) "
        "JOIN film USING (film_id) JOIN film_actor USING (film_id) WHERE customer_id <= 20"
    )
    assert found == {tuple(row) for row in wanted}


async def test_the_last_payments_of_each_customer(pagila: Both):
    last = Customer.payments.Where(Payment.amount > 1).OrderBy(Payment.payment_date.Desc(), Payment.payment_id).Limit(3)
    async with pagila.session() as session:
        customers = list(await session.exec(Select(Customer).Include(last)))
        found = {c.customer_id: [p.payment_id for p in c.payments] for c in customers}
    wanted: dict[int, list[int]] = {c.customer_id: [] for c in customers}
    rows = pagila.sql(
        "SELECT customer_id, payment_id FROM (SELECT *, row_number() OVER (PARTITION BY customer_id "
        "ORDER BY payment_date DESC, payment_id) AS n FROM payment WHERE amount > 1) p WHERE n <= 3 ORDER BY n"
    )
    for customer_id, payment_id in rows:
        wanted[customer_id].append(payment_id)
    assert found == wanted


async def test_actors_are_in_the_order_of_the_relation(pagila: Both):
    async with pagila.session() as session:
        films = list(await session.exec(Select(Film).Include(Film.actors).Limit(50)))
        for film in films:
            names = [(actor.last_name, actor.first_name) for actor in film.actors]
            assert names == sorted(names)


async def test_links_come_and_go(pagila: Both):
    async with pagila.session() as session:
        film = await session.exec(Select(Film).Where(Film.film_id == 1).Include(Film.actors)).one()
        before = [actor.actor_id for actor in film.actors]
        newcomer = await session.get(Actor, 200)
        assert newcomer not in film.actors
        film.actors.append(newcomer)
        film.actors.remove(film.actors[0])
        pagila.statements.clear()
        await session.flush()
        assert sorted(pagila.statements.verbs) == ["DELETE", "INSERT"]
        rows = await session.exec("SELECT actor_id FROM film_actor WHERE film_id = 1")
        assert sorted(row.actor_id for row in rows) == sorted([*before[1:], 200])
        await session.rollback()
        assert [actor.actor_id for actor in film.actors] == before


async def test_a_store_and_its_manager_need_each_other(pagila: Both):
    async with pagila.session() as session:
        address = await session.get(Address, 1)
        store = Store(address=address)
        staff = Staff(first_name="A", last_name="B", username="ab", address=address, store=store)
        store.manager = staff
        session.add(store)
        with pytest.raises(RelationError, match="circle of new objects"):
            await session.flush()
        await session.rollback()

        store = Store(address_id=1, manager_staff_id=1499)  # somebody, until the manager has a key
        staff = Staff(first_name="A", last_name="B", username="ab", address_id=1, store=store)
        session.add(staff)
        await session.flush()
        store.manager = staff
        await session.flush()
        rows = await session.exec("SELECT manager_staff_id FROM store WHERE store_id = %s", [store.store_id])
        assert [row.manager_staff_id for row in rows] == [staff.staff_id]
        session.delete(store)
        session.delete(staff)
        await session.flush()
        await session.rollback()


# --- partitions -------------------------------------------------------------------------------------------------------


async def test_a_payment_moves_to_another_partition(pagila: Both):
    async with pagila.session() as session:
        payment = await session.exec(
            Select(Payment).Where(Payment.payment_date >= datetime(2022, 2, 1, tzinfo=UTC)).Limit(1)
        ).one()
        old = (payment.payment_date, payment.payment_id)
        payment.payment_date = payment.payment_date.replace(month=6)
        payment.amount += 1
        await session.flush()
        rows = list(await session.exec("SELECT amount FROM payment_p2022_06 WHERE payment_id = %s", [old[1]]))
        assert [row.amount for row in rows] == [payment.amount]
        assert await session.get(Payment, (payment.payment_date, old[1])) is payment
        assert await session.get(Payment, {"payment_id": old[1], "payment_date": old[0]}) is None
        await session.rollback()
        assert (payment.payment_date, payment.payment_id) == old


async def test_a_payment_without_a_partition_is_refused(pagila: Both):
    async with pagila.session() as session:
        session.add(
            Payment(payment_date=datetime(1999, 1, 1, tzinfo=UTC), customer_id=1, staff_id=1, rental_id=1, amount=1)
        )
        with pytest.raises(DatabaseError, match="no partition"):
            await session.flush()
        await session.rollback()
        assert await session.get(Customer, 1) is not None


# --- triggers ---------------------------------------------------------------------------------------------------------


async def test_what_a_trigger_writes_is_there_after_refresh(pagila: Both):
    async with pagila.session() as session:
        film = await session.get(Film, 1)
        film.title = "Quite Something Else"
        await session.flush()
        await session.refresh(film)
        assert "'someth':2" in film.fulltext
        assert film.last_update > datetime.now(UTC) - timedelta(hours=1)
        await session.rollback()
        assert film.title == "ACADEMY DINOSAUR"


# --- views ------------------------------------------------------------------------------------------------------------


async def test_a_view_is_queried_and_joined(pagila: Both):
    async with pagila.session() as session:
        query = (
            Select(CustomerListed)
            .Where(CustomerListed.zip_code.IsNotNull(), CustomerListed.country == "Japan")
            .OrderBy(CustomerListed.name)
            .Include(CustomerListed.customer.Include(Customer.rentals))
        )
        listed = list(await session.exec(query))
        assert [each.id for each in listed] == pagila.column(
            "SELECT id FROM customer_list WHERE country = 'Japan' ORDER BY name"
        )
        assert all(each.name == f"{each.customer.first_name} {each.customer.last_name}" for each in listed)
        assert all(each.customer.rentals for each in listed)
        total = await session.exec(Select(Func.count(SalesByStore.store))).scalar()
        assert total == pagila.value("SELECT count(*) FROM sales_by_store")


async def test_rows_without_a_key_are_objects_of_their_own(pagila: Both):
    async with pagila.session() as session:
        films = list(await session.exec(Select(FilmListed)))
        again = list(await session.exec(Select(FilmListed)))
        assert len(films) == len(again)
        assert not set(map(id, films)) & set(map(id, again))
        with pytest.raises(MissingPrimaryKeyError, match="FilmListed has no primary key"):
            await session.get(FilmListed, 1)
        with pytest.raises(MissingPrimaryKeyError, match="FilmListed has no primary key"):
            await session.refresh(films[0])
    async with pagila.session() as session:
        session.add_all(films)  # rows without a key are never the same
        assert all(film in session for film in films)


async def test_a_view_is_not_written(pagila: Both):
    async with pagila.session() as session:
        listed = await session.get(CustomerListed, 1)
        listed.name = "Somebody Else"
        with pytest.raises(DatabaseError, match="view"):
            await session.flush()
        await session.rollback()
        assert listed.name != "Somebody Else"
        session.add(SalesByStore(store="a", manager="b", total_sales=Decimal(1)))
        with pytest.raises(DatabaseError, match="view"):
            await session.flush()
        await session.rollback()
        row = await session.exec(Select(FilmListed).Limit(1)).one()
        row.title = "Something Else"
        with pytest.raises(MissingPrimaryKeyError, match="FilmListed has no primary key"):
            await session.flush()
        await session.rollback()
        row = await session.exec(Select(FilmListed).Limit(1)).one()
        with pytest.raises(MissingPrimaryKeyError, match="FilmListed has no primary key"):
            session.delete(row)
        assert await session.get(Customer, 1) is not None


async def test_a_row_that_somebody_else_deleted_is_stale(pagila: Both):
    async with pagila.session() as session:
        link = await session.exec(Select(FilmActor).Limit(1)).one()
        await session.exec("DELETE FROM film_actor WHERE actor_id = %s AND film_id = %s", [link.actor_id, link.film_id])
        link.last_update = datetime(2001, 1, 1, tzinfo=UTC)
        with pytest.raises(StaleObjectError, match="FilmActor"):
            await session.flush()
        await session.rollback()
