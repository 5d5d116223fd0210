"""The record shop through HTTP, on a running uvicorn: what SQLModel's tutorial shows, sync and async."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from psqlmodel import create_engine
from psqlmodel.embedded import Server

from .service import ROOT, running


@pytest.fixture(scope="module")
def dsn(server: Server) -> str:
    return server.create_database("record_shop", template="template0")


@pytest.fixture(scope="module")
def shop(dsn: str) -> Iterator[httpx.Client]:
    with running("fastapi_app.main:app", ROOT / "examples", dsn) as client:
        yield client


def made(response: httpx.Response) -> Any:
    assert response.status_code == 201, response.text
    return response.json()


def errors_of(response: httpx.Response) -> list[tuple[str, str]]:
    """Return type and place of each error of an answer."""
    return [(error["type"], ".".join(map(str, error["loc"]))) for error in response.json()["detail"]]


# --- create and read --------------------------------------------------------------------------------------------------


def test_the_samples_are_there_at_the_start(shop: httpx.Client) -> None:
    artists = shop.get("/artists", params={"name": "Herons"}).json()
    assert [(artist["name"], artist["country"]) for artist in artists] == [("The Slow Herons", "FI")]
    tracks = shop.get("/tracks", params={"genre": "ambient"}).json()
    assert [(track["name"], track["price"]) for track in tracks] == [("Thaw", "0.99"), ("Reeds", "1.29")]


def test_an_artist_is_created_with_what_the_database_makes(shop: httpx.Client, dsn: str) -> None:
    artist = made(shop.post("/artists", json={"name": "Tin Orchard"}))
    assert artist == {"id": artist["id"], "name": "Tin Orchard", "country": None}
    with create_engine(dsn) as engine:
        assert engine.execute("SELECT name FROM artists WHERE id = %s", [artist["id"]]).scalar() == "Tin Orchard"


def test_bad_data_is_refused_with_its_places(shop: httpx.Client) -> None:
    refused = shop.post("/artists", json={"name": "", "country": "Finland", "id": 3})
    assert refused.status_code == 422
    assert errors_of(refused) == [
        ("string_too_short", "body.name"),
        ("string_too_long", "body.country"),
        ("extra_forbidden", "body.id"),
    ]


def test_a_name_that_is_taken_is_a_conflict(shop: httpx.Client) -> None:
    made(shop.post("/artists", json={"name": "Twice"}))
    refused = shop.post("/artists", json={"name": "Twice"})
    assert (refused.status_code, errors_of(refused)) == (409, [("unique", "body.name")])
    assert refused.json()["detail"][0]["msg"] == "name is taken already"


def test_an_artist_comes_with_its_albums(shop: httpx.Client) -> None:
    artist = made(shop.post("/artists", json={"name": "Salt Lines"}))
    for title, released in [("Later", "2022-01-01"), ("Earlier", "2020-01-01")]:
        made(shop.post("/albums", json={"artist_id": artist["id"], "title": title, "released": released}))
    shown = shop.get(f"/artists/{artist['id']}").json()
    assert [album["title"] for album in shown["albums"]] == ["Earlier", "Later"]
    assert "artist" not in shown["albums"][0]


def test_what_is_not_there_is_not_found(shop: httpx.Client) -> None:
    for answer in (
        shop.get("/artists/0"),
        shop.patch("/artists/0", json={}),
        shop.delete("/artists/0"),
        shop.get("/albums/0"),
        shop.delete("/albums/0"),
    ):
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


# --- lists ------------------------------------------------------------------------------------------------------------


def test_lists_come_in_pages(shop: httpx.Client) -> None:
    for number in range(5):
        made(shop.post("/artists", json={"name": f"Page {number}"}))
    pages = [shop.get("/artists", params={"name": "Page ", "offset": at, "limit": 2}).json() for at in (0, 2, 4)]
    assert [[artist["name"] for artist in page] for page in pages] == [
        ["Page 0", "Page 1"],
        ["Page 2", "Page 3"],
        ["Page 4"],
    ]
    assert shop.get("/artists", params={"limit": 101}).status_code == 422
    assert shop.get("/artists", params={"name": "%"}).json() == []


def test_tracks_are_filtered(shop: httpx.Client) -> None:
    found = shop.get("/tracks", params={"genre": "ambient", "cheaper_than": "1.00"}).json()
    assert [track["name"] for track in found] == ["Thaw"]
    assert errors_of(shop.get("/tracks", params={"genre": "polka"})) == [("enum", "query.genre")]


# --- change and delete ------------------------------------------------------------------------------------------------


def test_a_patch_changes_what_it_sets(shop: httpx.Client) -> None:
    artist = made(shop.post("/artists", json={"name": "Kiln", "country": "DK"}))
    at = f"/artists/{artist['id']}"
    assert shop.patch(at, json={"name": "Kiln Quartet"}).json() == {**artist, "name": "Kiln Quartet"}
    assert shop.patch(at, json={"country": None}).json()["country"] is None
    assert shop.patch(at, json={}).json() == {**artist, "name": "Kiln Quartet", "country": None}
    assert errors_of(shop.patch(at, json={"name": None})) == [("string_type", "body.name")]
    assert errors_of(shop.patch(at, json={"nam": "x"})) == [("extra_forbidden", "body.nam")]


def test_an_album_is_created_with_its_tracks(shop: httpx.Client) -> None:
    artist = made(shop.post("/artists", json={"name": "Four Doors"}))
    tracks = [{"position": 2, "name": "Hinge"}, {"position": 1, "name": "Latch", "price": "2.50", "genre": "jazz"}]
    album = made(shop.post("/albums", json={"artist_id": artist["id"], "title": "Doors", "tracks": tracks}))
    assert album["version"] == 1
    shown = shop.get(f"/albums/{album['id']}").json()
    assert shown["artist"] == artist
    assert [(track["name"], track["price"], track["genre"]) for track in shown["tracks"]] == [
        ("Latch", "2.50", "jazz"),
        ("Hinge", "0.99", "folk"),
    ]
    wrong = {"artist_id": artist["id"], "title": "x", "tracks": [{"position": 0, "name": "a", "price": "1.234"}]}
    assert errors_of(shop.post("/albums", json=wrong)) == [
        ("greater_than", "body.tracks.0.position"),
        ("decimal_max_places", "body.tracks.0.price"),
    ]


def test_an_album_that_someone_else_changed_is_not_written_over(shop: httpx.Client) -> None:
    artist = made(shop.post("/artists", json={"name": "Second Thoughts"}))
    album = made(shop.post("/albums", json={"artist_id": artist["id"], "title": "One"}))
    at, seen = f"/albums/{album['id']}", {"version": album["version"]}
    assert shop.patch(at, json={"title": "Two"}, params=seen).json()["version"] == 2
    refused = shop.patch(at, json={"title": "Three"}, params=seen)
    assert refused.status_code == 404
    assert shop.get(at).json()["title"] == "Two"


def test_what_is_referred_to_is_not_deleted(shop: httpx.Client) -> None:
    artist = made(shop.post("/artists", json={"name": "Leaving"}))
    album = made(shop.post("/albums", json={"artist_id": artist["id"], "title": "Gone", "tracks": []}))
    refused = shop.delete(f"/artists/{artist['id']}")
    assert (refused.status_code, errors_of(refused)[0][0]) == (409, "foreign_key")
    assert shop.delete(f"/albums/{album['id']}").status_code == 204
    assert shop.delete(f"/artists/{artist['id']}").status_code == 204
    assert shop.get(f"/artists/{artist['id']}").status_code == 404


def test_a_row_that_is_missing_is_a_conflict(shop: httpx.Client) -> None:
    refused = shop.post("/albums", json={"artist_id": 0, "title": "Nobody's"})
    assert (refused.status_code, errors_of(refused)[0][0]) == (409, "foreign_key")


# --- the description --------------------------------------------------------------------------------------------------


def test_the_description_says_what_the_columns_allow(shop: httpx.Client) -> None:
    schemas = shop.get("/openapi.json").json()["components"]["schemas"]
    artist, track = schemas["ArtistCreate"], schemas["TrackRead"]
    assert artist["required"] == ["name"]
    assert artist["properties"]["name"] == {"maxLength": 80, "minLength": 1, "title": "Name", "type": "string"}
    assert artist["properties"]["country"]["description"] == "ISO 3166, two letters"
    assert "id" not in artist["properties"]
    assert set(track["required"]) == set(track["properties"])
    assert track["properties"]["seconds"]["anyOf"][0] == {"maximum": 36000, "minimum": 1, "type": "integer"}
    assert schemas["AlbumUpdate"].get("required") is None
    assert "tracks" not in schemas["AlbumUpdate"]["properties"]


def test_it_is_short() -> None:
    """Ten routes with what they need: the point of the exercise."""
    text = (ROOT / "examples" / "fastapi_app" / "main.py").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(re.findall(r"^@app\.", text, re.MULTILINE)) == 10
    assert len(lines) <= 100
