"""Pagila (a film rental), as somebody would write it who has read the README and looked at the tables.

The annotations are plain where the tables are not: `str` over a domain, an enum, char(20) and tsvector, `int` over
smallint and a domain, lists over text[]; a partitioned table, views, and keys that defaults make.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum

from psqlmodel import Column, ForeignKey, Index, PSQLModel, Relation, Unique, table
from psqlmodel.types import tsvector


class Rating(Enum):
    general = "G"
    guidance = "PG"
    cautioned = "PG-13"
    restricted = "R"
    adults = "NC-17"


class Dated(PSQLModel):
    """What nearly every table has; a trigger writes it at each update."""

    last_update: datetime | None = Column(server_default="now()")


@table("actor")
class Actor(Dated):
    actor_id: int = Column(primary_key=True)
    first_name: str
    last_name: str
    films: Relation[list[Film]] = Relation(secondary="FilmActor")


@table("category")
class Category(Dated):
    category_id: int = Column(primary_key=True)
    name: str
    films: Relation[list[Film]] = Relation(secondary="FilmCategory")


@table("language")
class Language(Dated):
    language_id: int = Column(primary_key=True)
    name: str
    films: Relation[list[Film]] = Relation(foreign_keys="language_id")
    originals: Relation[list[Film]] = Relation(foreign_keys="original_language_id", back="original_language")


@table("film")
class Film(Dated):
    film_id: int = Column(primary_key=True)
    title: str
    description: str | None
    release_year: int | None
    language_id: int = Column(foreign_key="language.language_id")
    original_language_id: int | None = Column(foreign_key="language.language_id")
    rental_duration: int = Column(server_default="3")
    rental_rate: Decimal = Column(server_default="4.99")
    length: int | None
    replacement_cost: Decimal = Column(server_default="19.99")
    rating: Rating | None
    special_features: list[str] | None
    fulltext: tsvector
    language: Relation[Language] = Relation(foreign_keys="language_id")
    original_language: Relation[Language] = Relation(foreign_keys="original_language_id")
    actors: Relation[list[Actor]] = Relation(secondary="FilmActor", order_by=["last_name", "first_name"])
    categories: Relation[list[Category]] = Relation(secondary="FilmCategory")
    inventory: Relation[list[Inventory]] = Relation()


@table("film_actor")
class FilmActor(Dated):
    actor_id: int = Column(primary_key=True, foreign_key="actor.actor_id")
    film_id: int = Column(primary_key=True, foreign_key="film.film_id")
    actor: Relation[Actor] = Relation()
    film: Relation[Film] = Relation()


@table("film_category")
class FilmCategory(Dated):
    film_id: int = Column(primary_key=True, foreign_key="film.film_id")
    category_id: int = Column(primary_key=True, foreign_key="category.category_id")
    film: Relation[Film] = Relation()
    category: Relation[Category] = Relation()


@table("country")
class Country(Dated):
    country_id: int = Column(primary_key=True)
    country: str
    cities: Relation[list[City]] = Relation()


@table("city")
class City(Dated):
    city_id: int = Column(primary_key=True)
    city: str
    country_id: int = Column(foreign_key="country.country_id")
    country: Relation[Country] = Relation()


@table("address")
class Address(Dated):
    address_id: int = Column(primary_key=True)
    address: str
    address2: str | None
    district: str
    city_id: int = Column(foreign_key="city.city_id")
    postal_code: str | None
    phone: str
    city: Relation[City] = Relation()
    customers: Relation[list[Customer]] = Relation()


@table("store", indexes=[Index("manager_staff_id", unique=True)])
class Store(Dated):
    store_id: int = Column(primary_key=True)
    manager_staff_id: int = Column(foreign_key="staff.staff_id", enforced=False)  # the table has no constraint for it
    address_id: int = Column(foreign_key="address.address_id")
    manager: Relation[Staff] = Relation(foreign_keys="manager_staff_id")
    staff: Relation[list[Staff]] = Relation(foreign_keys="store_id")
    address: Relation[Address] = Relation()
    customers: Relation[list[Customer]] = Relation()


@table("staff")
class Staff(Dated):
    staff_id: int = Column(primary_key=True)
    first_name: str
    last_name: str
    address_id: int = Column(foreign_key="address.address_id")
    email: str | None
    store_id: int = Column(foreign_key="store.store_id")
    active: bool = Column(server_default="true")
    username: str
    password: str | None
    picture: bytes | None
    address: Relation[Address] = Relation()
    store: Relation[Store] = Relation(foreign_keys="store_id")
    manages: Relation[Store] = Relation(foreign_keys="manager_staff_id", back="manager")


@table("customer")
class Customer(Dated):
    customer_id: int = Column(primary_key=True)
    store_id: int = Column(foreign_key="store.store_id")
    first_name: str
    last_name: str
    email: str | None
    address_id: int = Column(foreign_key="address.address_id")
    activebool: bool = Column(server_default="true")
    create_date: date = Column(server_default="CURRENT_DATE")
    active: int | None
    store: Relation[Store] = Relation()
    address: Relation[Address] = Relation()
    rentals: Relation[list[Rental]] = Relation()
    payments: Relation[list[Payment]] = Relation()


@table("inventory")
class Inventory(Dated):
    inventory_id: int = Column(primary_key=True)
    film_id: int = Column(foreign_key="film.film_id")
    store_id: int = Column(foreign_key="store.store_id")
    film: Relation[Film] = Relation()
    store: Relation[Store] = Relation()
    rentals: Relation[list[Rental]] = Relation()


@table("rental", constraints=[Unique("rental_date", "inventory_id", "customer_id")])
class Rental(Dated):
    rental_id: int = Column(primary_key=True)
    rental_date: datetime
    inventory_id: int = Column(foreign_key="inventory.inventory_id")
    customer_id: int = Column(foreign_key="customer.customer_id")
    return_date: datetime | None
    staff_id: int = Column(foreign_key="staff.staff_id")
    inventory: Relation[Inventory] = Relation()
    customer: Relation[Customer] = Relation()
    staff: Relation[Staff] = Relation()
    payments: Relation[list[Payment]] = Relation()


@table("payment", constraints=[ForeignKey("rental_id", "rental", "rental_id")])
class Payment(PSQLModel):
    """Partitioned by month; the key has the partition's column first."""

    payment_date: datetime = Column(primary_key=True)
    payment_id: int = Column(primary_key=True)
    customer_id: int = Column(foreign_key="customer.customer_id")
    staff_id: int = Column(foreign_key="staff.staff_id")
    rental_id: int
    amount: Decimal
    customer: Relation[Customer] = Relation()
    staff: Relation[Staff] = Relation()
    rental: Relation[Rental] = Relation()


class _PaymentOfMonth(PSQLModel):
    payment_date: datetime
    payment_id: int = Column(primary_key=True)
    customer_id: int
    staff_id: int
    rental_id: int
    amount: Decimal


MONTHS: list[type[PSQLModel]] = [
    table(f"payment_p2022_{month:02}")(type(f"PaymentOfMonth{month}", (_PaymentOfMonth,), {"__module__": __name__}))
    for month in range(1, 8)
]


# --- views ------------------------------------------------------------


@table("actor_info")
class ActorInfo(PSQLModel):
    actor_id: int = Column(primary_key=True)
    first_name: str
    last_name: str
    film_info: str | None


class _PersonListed(PSQLModel):
    id: int = Column(primary_key=True)
    name: str
    address: str
    zip_code: str | None = Column(name="zip code")
    phone: str
    city: str
    country: str
    sid: int


@table("customer_list")
class CustomerListed(_PersonListed):
    id: int = Column(primary_key=True, foreign_key="customer.customer_id")
    notes: str
    customer: Relation[Customer] = Relation()


@table("staff_list")
class StaffListed(_PersonListed):
    pass


class _FilmListed(PSQLModel):
    """A film is there once for each of its categories: no column is a key."""

    fid: int
    title: str
    description: str | None
    category: str
    price: Decimal
    length: int
    rating: Rating
    actors: str


@table("film_list")
class FilmListed(_FilmListed):
    pass


@table("nicer_but_slower_film_list")
class NicelyListed(_FilmListed):
    rating: str  # type: ignore[assignment]  # an enum read as text


@table("sales_by_store")
class SalesByStore(PSQLModel):
    store: str
    manager: str
    total_sales: Decimal


@table("sales_by_film_category")
class SalesByCategory(PSQLModel):
    category: str = Column(primary_key=True)
    total_sales: Decimal


@table("rental_by_category")
class RentalByCategory(PSQLModel):
    category: str = Column(primary_key=True)
    total_sales: Decimal


TABLES: list[type[PSQLModel]] = [
    Actor,
    Category,
    Language,
    Film,
    FilmActor,
    FilmCategory,
    Country,
    City,
    Address,
    Store,
    Staff,
    Customer,
    Inventory,
    Rental,
    Payment,
    *MONTHS,
]
VIEWS: list[type[PSQLModel]] = [
    ActorInfo,
    CustomerListed,
    StaffListed,
    FilmListed,
    NicelyListed,
    SalesByStore,
    SalesByCategory,
    RentalByCategory,
]

# For each relation, the SQL that says which object belongs to which: the key of the one, the key of the other.
_OF_PAYMENT = "payment_date, payment_id"
PAIRS = {
    "Actor.films": "SELECT actor_id, film_id FROM film_actor",
    "Category.films": "SELECT category_id, film_id FROM film_category",
    "Language.films": "SELECT language_id, film_id FROM film",
    "Language.originals": "SELECT original_language_id, film_id FROM film WHERE original_language_id IS NOT NULL",
    "Film.language": "SELECT film_id, language_id FROM film",
    "Film.original_language": "SELECT film_id, original_language_id FROM film WHERE original_language_id IS NOT NULL",
    "Film.actors": "SELECT film_id, actor_id FROM film_actor",
    "Film.categories": "SELECT film_id, category_id FROM film_category",
    "Film.inventory": "SELECT film_id, inventory_id FROM inventory",
    "FilmActor.actor": "SELECT actor_id, film_id, actor_id FROM film_actor",
    "FilmActor.film": "SELECT actor_id, film_id, film_id FROM film_actor",
    "FilmCategory.film": "SELECT film_id, category_id, film_id FROM film_category",
    "FilmCategory.category": "SELECT film_id, category_id, category_id FROM film_category",
    "Country.cities": "SELECT country_id, city_id FROM city",
    "City.country": "SELECT city_id, country_id FROM city",
    "Address.city": "SELECT address_id, city_id FROM address",
    "Address.customers": "SELECT address_id, customer_id FROM customer",
    "Store.manager": "SELECT s.store_id, staff_id FROM store s JOIN staff ON manager_staff_id = staff_id",
    "Store.staff": "SELECT store_id, staff_id FROM staff",
    "Store.address": "SELECT store_id, address_id FROM store",
    "Store.customers": "SELECT store_id, customer_id FROM customer",
    "Staff.address": "SELECT staff_id, address_id FROM staff",
    "Staff.store": "SELECT staff_id, store_id FROM staff",
    "Staff.manages": "SELECT staff_id, s.store_id FROM store s JOIN staff ON manager_staff_id = staff_id",
    "Customer.store": "SELECT customer_id, store_id FROM customer",
    "Customer.address": "SELECT customer_id, address_id FROM customer",
    "Customer.rentals": "SELECT customer_id, rental_id FROM rental",
    "Customer.payments": f"SELECT customer_id, {_OF_PAYMENT} FROM payment",
    "Inventory.film": "SELECT inventory_id, film_id FROM inventory",
    "Inventory.store": "SELECT inventory_id, store_id FROM inventory",
    "Inventory.rentals": "SELECT inventory_id, rental_id FROM rental",
    "Rental.inventory": "SELECT rental_id, inventory_id FROM rental",
    "Rental.customer": "SELECT rental_id, customer_id FROM rental",
    "Rental.staff": "SELECT rental_id, staff_id FROM rental",
    "Rental.payments": f"SELECT rental_id, {_OF_PAYMENT} FROM payment",
    "Payment.customer": f"SELECT {_OF_PAYMENT}, customer_id FROM payment",
    "Payment.staff": f"SELECT {_OF_PAYMENT}, staff_id FROM payment",
    "Payment.rental": f"SELECT {_OF_PAYMENT}, rental_id FROM payment",
    "CustomerListed.customer": "SELECT id, id FROM customer_list",
}


def new_objects() -> list[PSQLModel]:
    """Two new objects for each table, linked as a user would."""
    made: list[PSQLModel] = []
    for number in (1, 2):
        country = Country(country=f"Ruritania {number}")
        city = City(city=f"Strelsau {number}", country=country)
        address = Address(address=f"{number} O'Castle", district="", phone="+42", city=city)
        # Its manager exists: a new store and a new manager would need each other's key.
        store = Store(address=address, manager_staff_id=1400 + number)
        staff = Staff(
            first_name="Rudolf",
            last_name=f"Rassendyll {number}",
            address=address,
            store=store,
            username=f"rudolf{number}",
            picture=bytes(range(256)),
        )
        customer = Customer(
            first_name="Antoinette", last_name=f"Mauban {number}", store=store, address=address, active=1
        )
        language = Language(name=f"Ruritanian{number:10}")  # a char(20) is filled with spaces
        film = Film(
            title=f"The Prisoner of Zenda {number}",
            description='A "swashbuckler" \\ with 100% swords',
            release_year=1936 + number,
            language=language,
            length=101,
            rating=Rating.cautioned,
            special_features=["Trailers", 'Comma, "quote"', ""],
        )
        category = Category(name=f"Swashbuckler {number}", films=[film])
        actor = Actor(first_name="Ronald", last_name=f"Colman {number}")
        role = FilmActor(actor=actor, film=film)
        copy = Inventory(film=film, store=store)
        rented = datetime(2022, 1, 31, 22, number, 0, 123456, tzinfo=UTC)
        rental = Rental(rental_date=rented, inventory=copy, customer=customer, staff=staff)
        payment = Payment(payment_date=rented, customer=customer, staff=staff, rental=rental, amount=Decimal("0.10"))
        made += [country, city, address, store, staff, customer, language, film, category, actor, role, copy, rental]
        made += [payment, *(_payment_of(month, number) for month in range(1, 8))]
    return made


def _payment_of(month: int, number: int) -> PSQLModel:
    date = datetime(2022, month, 2, number, tzinfo=UTC)
    return MONTHS[month - 1](payment_date=date, customer_id=number, staff_id=1, rental_id=1, amount=Decimal("1.00"))


# How many rows the tables have more with the new objects, where it is not two: the partitions' are the payments' too.
GROWTH: dict[type[PSQLModel], int] = {Payment: 16, MONTHS[0]: 4}

# For each class, an edit of its rows.
EDITS: dict[type[PSQLModel], tuple[str, object]] = {
    Actor: ("last_name", "O'Toole"),
    Category: ("name", "%(name)s"),
    Language: ("name", "twenty letters, full"),
    Film: ("special_features", []),
    FilmActor: ("last_update", datetime(2001, 1, 1, tzinfo=UTC)),
    FilmCategory: ("last_update", datetime(2001, 1, 1, tzinfo=UTC)),
    Country: ("country", "\U0001f3f0"),
    City: ("city", ""),
    Address: ("address2", "$1"),
    Store: ("address_id", 1),
    Staff: ("picture", b""),
    Customer: ("active", None),
    Inventory: ("film_id", 1),
    Rental: ("return_date", datetime(2022, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)),
    Payment: ("amount", Decimal("-999.99")),
    **{month: ("amount", Decimal("999.99")) for month in MONTHS},
}
