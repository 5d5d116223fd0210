"""The tables of a record shop. These classes are the types of the web service, too."""

from __future__ import annotations

import enum
from datetime import date
from decimal import Decimal
from typing import Annotated

from psqlmodel import Column, PSQLModel, Relation, numeric, table
from psqlmodel.fastapi import Shape


class Genre(enum.Enum):
    """What kind of music it is."""

    AMBIENT = "ambient"
    FOLK = "folk"
    JAZZ = "jazz"


@table("artists")
class Artist(PSQLModel):
    """Who made it."""

    id: Column[int] = Column(primary_key=True)
    name: Column[str] = Column(max_len=80, unique=True, check="name <> ''")
    country: Column[str | None] = Column(max_len=2, comment="ISO 3166, two letters")
    albums: Relation[list[Album]] = Relation(order_by=["released", "id"])


@table("albums")
class Album(PSQLModel):
    """What they made."""

    id: Column[int] = Column(primary_key=True)
    artist_id: Column[int] = Column(foreign_key="artists.id", on_delete="RESTRICT", index=True)
    title: Column[str] = Column(max_len=120)
    released: Column[date | None]
    version: Column[int] = Column(version=True)
    artist: Relation[Artist] = Relation()
    tracks: Relation[list[Track]] = Relation(order_by="position")


@table("tracks")
class Track(PSQLModel):
    """A piece of it."""

    id: Column[int] = Column(primary_key=True)
    album_id: Column[int] = Column(foreign_key="albums.id", on_delete="CASCADE", index=True)
    position: Column[int] = Column(check="position > 0")
    name: Column[str] = Column(max_len=120)
    genre: Column[Genre] = Column(default=Genre.FOLK)
    seconds: Column[int | None] = Column(check="seconds BETWEEN 1 AND 36000")
    price: Column[Decimal] = Column(type=numeric(6, 2), default=Decimal("0.99"), check="price >= 0")
    album: Relation[Album] = Relation()


ArtistWithAlbums = Annotated[Artist, Shape("read", relations=[Artist.albums], name="ArtistWithAlbums")]
AlbumWithAll = Annotated[Album, Shape("read", relations=[Album.artist, Album.tracks], name="AlbumWithAll")]
NewAlbum = Annotated[Album, Shape("create", relations=[Album.tracks], name="NewAlbum")]
