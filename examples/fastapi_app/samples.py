"""A few records, all of them invented."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from psqlmodel import Select, Session

from .models import Album, Artist, Genre, Track


def fill(session: Session) -> None:
    """Put the samples into an empty shop."""
    if session.exec_one(Select(Artist).Limit(1)) is not None:
        return
    lakes = Album(title="Nine Lakes", released=date(2019, 3, 1))
    lakes.tracks = [
        Track(position=1, name="Thaw", genre=Genre.AMBIENT, seconds=431),
        Track(position=2, name="Reeds", genre=Genre.AMBIENT, seconds=388, price=Decimal("1.29")),
    ]
    ferry = Album(title="Last Ferry Home", released=date(2021, 9, 17))
    ferry.tracks = [Track(position=1, name="Quay Song", seconds=205), Track(position=2, name="Rope and Tar")]
    session.add_all(
        [
            Artist(name="The Slow Herons", country="FI", albums=[lakes]),
            Artist(name="Maren Oda", country="NO", albums=[ferry]),
            Artist(name="Quartet Without a Drummer"),
        ]
    )
    session.commit()
