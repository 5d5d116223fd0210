"""Chinook (a music shop), as somebody would write it who has read the README and looked at the tables.

Every key is GENERATED ALWAYS, the texts are varchar, the times have no time zone: the annotations say none of it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from psqlmodel import Column, PSQLModel, Relation, table


@table("artist")
class Artist(PSQLModel):
    artist_id: Column[int] = Column(primary_key=True)
    name: Column[str | None]
    albums: Relation[list[Album]] = Relation()


@table("album")
class Album(PSQLModel):
    album_id: Column[int] = Column(primary_key=True)
    title: Column[str]
    artist_id: Column[int] = Column(foreign_key="artist.artist_id")
    artist: Relation[Artist] = Relation()
    tracks: Relation[list[Track]] = Relation(order_by="-milliseconds")


@table("genre")
class Genre(PSQLModel):
    genre_id: int = Column(primary_key=True)
    name: str | None
    tracks: Relation[list["Track"]] = Relation("Track")


@table("media_type")
class MediaType(PSQLModel):
    id: int = Column(primary_key=True, name="media_type_id")
    name: str | None


@table("track")
class Track(PSQLModel):
    # Not in the order of the table, and not all of its columns' real types.
    name: str
    milliseconds: int
    bytes: int | None
    composer: str | None
    unit_price: Decimal
    track_id: int = Column(primary_key=True)
    album_id: int | None = Column(foreign_key="album.album_id")
    genre_id: int | None = Column(foreign_key="genre.genre_id")
    media_type_id: int = Column(foreign_key="media_type.media_type_id")
    album: Relation[Album] = Relation()
    genre: Relation[Genre] = Relation()
    media_type: Relation[MediaType] = Relation()
    playlists: Relation[list[Playlist]] = Relation(secondary="PlaylistTrack")
    lines: Relation[list[InvoiceLine]] = Relation()


@table("playlist")
class Playlist(PSQLModel):
    playlist_id: int = Column(primary_key=True)
    name: str | None
    tracks: Relation[list[Track]] = Relation(secondary="PlaylistTrack")


@table("playlist_track")
class PlaylistTrack(PSQLModel):
    playlist_id: int = Column(primary_key=True, foreign_key="playlist.playlist_id")
    track_id: int = Column(primary_key=True, foreign_key="track.track_id")
    playlist: Relation[Playlist] = Relation()
    track: Relation[Track] = Relation()


class Person:
    """The columns of whoever has an address: a plain mixin."""

    first_name: str = Column()
    last_name: str = Column()
    address: str | None = Column()
    city: str | None = Column()
    state: str | None = Column()
    country: str | None = Column()
    postal_code: str | None = Column()
    phone: str | None = Column()
    fax: str | None = Column()


@table("employee")
class Employee(Person, PSQLModel):
    employee_id: int = Column(primary_key=True)
    title: str | None
    email: str | None
    reports_to: int | None = Column(foreign_key="employee.employee_id")
    birth_date: datetime | None
    hire_date: datetime | None
    manager: Relation[Employee] = Relation(foreign_keys="reports_to")
    reports: Relation[list[Employee]] = Relation()
    customers: Relation[list[Customer]] = Relation()


@table("customer")
class Customer(Person, PSQLModel):
    customer_id: int = Column(primary_key=True)
    company: str | None
    email: str
    support_rep_id: int | None = Column(foreign_key="employee.employee_id")
    support_rep: Relation[Employee] = Relation()
    invoices: Relation[list[Invoice]] = Relation()


@table("invoice")
class Invoice(PSQLModel):
    invoice_id: int = Column(primary_key=True)
    customer_id: int = Column(foreign_key="customer.customer_id")
    invoice_date: datetime
    billing_address: str | None
    billing_city: str | None
    billing_state: str | None
    billing_country: str | None
    billing_postal_code: str | None
    total: Decimal
    customer: Relation[Customer] = Relation()
    lines: Relation[list[InvoiceLine]] = Relation()


@table("invoice_line")
class InvoiceLine(PSQLModel):
    invoice_line_id: int = Column(primary_key=True)
    invoice_id: int = Column(foreign_key="invoice.invoice_id")
    track_id: int = Column(foreign_key="track.track_id")
    unit_price: Decimal
    quantity: int
    invoice: Relation[Invoice] = Relation()
    track: Relation[Track] = Relation()


MODELS: list[type[PSQLModel]] = [
    Artist,
    Album,
    Genre,
    MediaType,
    Track,
    Playlist,
    PlaylistTrack,
    Employee,
    Customer,
    Invoice,
    InvoiceLine,
]

# For each relation, the SQL that says which object belongs to which: the key of the one, the key of the other.
PAIRS = {
    "Artist.albums": "SELECT artist_id, album_id FROM album",
    "Album.artist": "SELECT album_id, artist_id FROM album",
    "Album.tracks": "SELECT album_id, track_id FROM track WHERE album_id IS NOT NULL",
    "Genre.tracks": "SELECT genre_id, track_id FROM track WHERE genre_id IS NOT NULL",
    "Track.album": "SELECT track_id, album_id FROM track WHERE album_id IS NOT NULL",
    "Track.genre": "SELECT track_id, genre_id FROM track WHERE genre_id IS NOT NULL",
    "Track.media_type": "SELECT track_id, media_type_id FROM track",
    "Track.playlists": "SELECT track_id, playlist_id FROM playlist_track",
    "Track.lines": "SELECT track_id, invoice_line_id FROM invoice_line",
    "Playlist.tracks": "SELECT playlist_id, track_id FROM playlist_track",
    "PlaylistTrack.playlist": "SELECT playlist_id, track_id, playlist_id FROM playlist_track",
    "PlaylistTrack.track": "SELECT playlist_id, track_id, track_id FROM playlist_track",
    "Employee.manager": "SELECT employee_id, reports_to FROM employee WHERE reports_to IS NOT NULL",
    "Employee.reports": "SELECT reports_to, employee_id FROM employee WHERE reports_to IS NOT NULL",
    "Employee.customers": "SELECT support_rep_id, customer_id FROM customer WHERE support_rep_id IS NOT NULL",
    "Customer.support_rep": "SELECT customer_id, support_rep_id FROM customer WHERE support_rep_id IS NOT NULL",
    "Customer.invoices": "SELECT customer_id, invoice_id FROM invoice",
    "Invoice.customer": "SELECT invoice_id, customer_id FROM invoice",
    "Invoice.lines": "SELECT invoice_id, invoice_line_id FROM invoice_line",
    "InvoiceLine.invoice": "SELECT invoice_line_id, invoice_id FROM invoice_line",
    "InvoiceLine.track": "SELECT invoice_line_id, track_id FROM invoice_line",
}


def new_objects() -> list[PSQLModel]:
    """Two new objects for each table, linked as a user would."""
    made: list[PSQLModel] = []
    for number in (1, 2):
        genre = Genre(name=f"Skiffle {number}")
        medium = MediaType(name=f"Wax cylinder {number}")
        artist = Artist(name=f"Chas McDevitt {number}")
        album = Album(title=f"Freight 'Train' {number}", artist=artist)
        track = Track(
            name=f'It "Takes" a Worried Man {number}',
            milliseconds=2**31 - number,
            unit_price=Decimal("0.99"),
            album=album,
            genre=genre,
            media_type=medium,
        )
        playlist = Playlist(name=f"100% \\ ünïcode {number}", tracks=[track])
        boss = Employee(first_name="Ada", last_name=f"Boss {number}", hire_date=datetime(2020, 1, number, 8, 30))
        clerk = Employee(first_name="Bo", last_name=f"Clerk {number}", manager=boss)
        customer = Customer(first_name="Cy", last_name=f"Buyer {number}", email="cy@example.com", support_rep=clerk)
        line = InvoiceLine(track=track, unit_price=Decimal("0.99"), quantity=number)
        invoice = Invoice(
            customer=customer, invoice_date=datetime(2024, 2, 29, 23, 59, 59), total=Decimal("0.99"), lines=[line]
        )
        made += [genre, medium, artist, album, track, playlist, boss, clerk, customer, invoice, line]
    return made


# How many rows the tables have more with the new objects, where it is not two.
GROWTH: dict[type[PSQLModel], int] = {Employee: 4}

# For each class, an edit of its rows.
EDITS: dict[type[PSQLModel], tuple[str, object]] = {
    Artist: ("name", None),
    Album: ("title", "x" * 160),
    Genre: ("name", "Genre; DROP TABLE genre"),
    MediaType: ("name", "%s"),
    Track: ("milliseconds", -(2**31)),
    Playlist: ("name", ""),
    Employee: ("birth_date", datetime(1900, 1, 1)),
    Customer: ("company", "Größe & Söhne"),
    Invoice: ("total", Decimal("-99999999.99")),
    InvoiceLine: ("quantity", 0),
}
