"""Inspection of schemas that nobody here wrote."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest

from psqlmodel.core.engine.catalog import Catalog
from psqlmodel.query.nodes import TableSource
from psqlmodel.schema import inspect_enums, inspect_tables
from psqlmodel.schema.description import TableInfo
from psqlmodel.schema.order import in_dependency_order

from .conftest import SyncDrive

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def load(dsn: str, file: str) -> None:
    path = DATA / file
    if not path.exists():
        pytest.skip(f"the sample database {path.name} is not beside the repository")
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    connection.cursor().execute(path.read_text(encoding="utf-8"))
    connection.close()


def test_pagila(drive: SyncDrive, fresh_database: str):
    load(fresh_database, "pagila/pagila-schema.sql")
    found = {t.name: t for t in drive(inspect_tables(schema="public"))}
    tables = [t for t in found.values() if t.kind in ("table", "partitioned table")]
    assert len(tables) == 22
    assert found["payment"].kind == "partitioned table"
    assert found["payment_p2022_01"].partition_of == ("public", "payment")
    assert {t.name for t in found.values() if t.kind == "view"} >= {
        "actor_info",
        "customer_list",
        "film_list",
    }
    film = found["film"]
    year = film.column("release_year").type_info
    assert year is not None
    assert year.base is not None
    assert (year.name, year.kind, year.base.name) == ("year", "d", "int4")
    features = film.column("special_features").type_info
    assert features is not None
    assert features.element is not None
    assert features.element.name == "text"
    assert film.column("fulltext").type == "tsvector"
    assert {key.columns: key.table for key in film.foreign_keys} == {
        ("language_id",): "language",
        ("original_language_id",): "language",
    }
    assert found["film_actor"].primary_key is not None
    assert found["film_actor"].primary_key.columns == ("actor_id", "film_id")
    (rating,) = drive(inspect_enums())
    assert rating.labels == ("G", "PG", "PG-13", "R", "NC-17")
    assert_ordered(tables)


def test_pagilas_types_in_the_catalog(drive: SyncDrive, fresh_database: str):
    load(fresh_database, "pagila/pagila-schema.sql")
    catalog = Catalog()
    names = [t.name for t in drive(inspect_tables(schema="public"))]
    sources = [TableSource(name, "public") for name in names]
    drive.sent.clear()
    drive(catalog.ensure(sources))
    assert len(drive.sent) == 1
    assert catalog.missing(sources) == []
    film = catalog.actual(TableSource("film", "public"))
    assert film["rating"].cast == '::"public"."mpaa_rating"'
    assert (film["release_year"].transport, film["special_features"].name) == ("int4", "text[]")


def test_chinook(sync_drive: SyncDrive, fresh_database: str):
    load(fresh_database, "chinook/chinook.sql")
    found = {t.name: t for t in sync_drive(inspect_tables(schema="public"))}
    assert len(found) == 11
    links = {name: {key.table for key in t.foreign_keys} for name, t in found.items()}
    assert links["employee"] == {"employee"}
    assert links["playlist_track"] == {"playlist", "track"}
    assert_ordered(list(found.values()))


def assert_ordered(tables: list[TableInfo]) -> None:
    ordered, late = in_dependency_order(tables)
    assert late == []
    places = {t.name: place for place, t in enumerate(ordered)}
    assert len(places) == len(tables)
    assert all(places[key.table] <= places[t.name] for t in tables for key in t.foreign_keys)
