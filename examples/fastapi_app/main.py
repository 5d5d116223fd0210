"""The web service: artists in synchronous routes, albums and tracks in asynchronous ones, on the same tables."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated

from fastapi import FastAPI, Query

from psqlmodel import AsyncSession, Select, Session
from psqlmodel.fastapi import Create, Database, Read, Update, error_handlers, found

from .models import Album, AlbumWithAll, Artist, ArtistWithAlbums, Genre, NewAlbum, Track
from .samples import fill

database = Database(os.environ.get("DATABASE_URL", "embedded"), models=[Artist, Album, Track])
Sessions = Annotated[Session, database.session]
AsyncSessions = Annotated[AsyncSession, database.async_session]
Offset = Annotated[int, Query(ge=0)]
Limit = Annotated[int, Query(ge=1, le=100)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """Open the database, and put something into it."""
    async with database.lifespan(app):
        with Session(database.engine) as session:
            fill(session)
        yield


app = FastAPI(title="Records", lifespan=lifespan, exception_handlers=error_handlers())


# --- artists: synchronous -------------------------------------------------------------------------------------------


@app.post("/artists", status_code=201)
def create_artist(artist: Create[Artist], session: Sessions) -> Read[Artist]:
    session.add(artist)
    session.commit()
    return artist


@app.get("/artists")
def list_artists(
    session: Sessions, name: str | None = None, offset: Offset = 0, limit: Limit = 20
) -> list[Read[Artist]]:
    query = Select(Artist).OrderBy(Artist.name).Offset(offset).Limit(limit)
    if name is not None:
        query = query.Where(Artist.name.Contains(name))
    return session.exec(query).all()


@app.get("/artists/{artist_id}")
def read_artist(artist_id: int, session: Sessions) -> ArtistWithAlbums:
    return session.exec(Select(Artist).Where(Artist.id == artist_id).Include(Artist.albums)).one()


@app.patch("/artists/{artist_id}")
def change_artist(artist_id: int, patch: Update[Artist], session: Sessions) -> Read[Artist]:
    artist = found(session.get(Artist, artist_id)).update_from(patch)
    session.commit()
    return artist


@app.delete("/artists/{artist_id}", status_code=204)
def delete_artist(artist_id: int, session: Sessions) -> None:
    session.delete(found(session.get(Artist, artist_id)))
    session.commit()


# --- albums and tracks: asynchronous --------------------------------------------------------------------------------


@app.post("/albums", status_code=201)
async def create_album(album: NewAlbum, session: AsyncSessions) -> Album:
    """Create an album, with its tracks where the data brings some."""
    await session.add(album)
    await session.commit()
    return album


@app.get("/albums/{album_id}")
async def read_album(album_id: int, session: AsyncSessions) -> AlbumWithAll:
    query = Select(Album).Where(Album.id == album_id).Include(Album.artist).Include(Album.tracks)
    return await session.exec(query).one()


@app.patch("/albums/{album_id}")
async def change_album(album_id: int, patch: Update[Album], session: AsyncSessions, version: int) -> Read[Album]:
    """Change an album that nobody has changed since the client read it."""
    seen = Select(Album).Where(Album.id == album_id, Album.version == version)
    album = found(await session.exec(seen).first(), "No such album, or another version").update_from(patch)
    await session.commit()
    return album


@app.delete("/albums/{album_id}", status_code=204)
async def delete_album(album_id: int, session: AsyncSessions) -> None:
    await session.delete(found(await session.get(Album, album_id)))
    await session.commit()


@app.get("/tracks")
async def list_tracks(
    session: AsyncSessions,
    genre: Genre | None = None,
    cheaper_than: Decimal | None = None,
    offset: Offset = 0,
    limit: Limit = 20,
) -> list[Read[Track]]:
    query = Select(Track).OrderBy(Track.id).Offset(offset).Limit(limit)
    if genre is not None:
        query = query.Where(Track.genre == genre)
    if cheaper_than is not None:
        query = query.Where(Track.price < cheaper_than)
    return await session.exec(query).all()
