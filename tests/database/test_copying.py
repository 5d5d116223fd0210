"""Files: what a query returns goes into one, and its rows into a table, on both sessions; CSV and binary."""

from __future__ import annotations

import csv
import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from psqlmodel import (
    DataError,
    InvalidValueError,
    NotMappedError,
    PSQLModelError,
    QueryError,
    Select,
    UniqueViolation,
)

from .both import Both, Statements
from .models import Item, Tag, User

ODD = ["plain", "it's", 'a "quote"', "semi;colon", "back\\slash", "line\nbreak", "$1 %s %(x)s", "ünïcödé €", ""]


@pytest.fixture
def odd(both: Both) -> Both:
    for number, text in enumerate(ODD):
        both.sql("INSERT INTO users (id, name, status, data) VALUES (%s, %s, NULL, %s)", number, text, {"k": [text]})
    return both


@pytest.mark.parametrize("format", ["csv", "binary"])
async def test_there_and_back(odd: Both, tmp_path: Path, format: str) -> None:
    path = tmp_path / "users"
    before = [tuple(row) for row in odd.sql("SELECT * FROM users ORDER BY id")]
    async with odd.session() as session:
        assert await session.copy_to(Select(User).OrderBy(User.id), path, format=format) == len(ODD)
        await session.bulk_delete(range(len(ODD)), model=User)
        assert await session.copy_from(User, path, format=format) == len(ODD)
        await session.commit()
    assert [tuple(row) for row in odd.sql("SELECT * FROM users ORDER BY id")] == before


@pytest.mark.parametrize("text", ODD)
async def test_values_of_a_query_stay_values(odd: Both, text: str) -> None:
    file = io.BytesIO()
    async with odd.session() as session:
        query = Select(User.name, User.id).Where((User.name == text) & User.id.In([*range(50)]) & (User.age == None))  # noqa: E711
        assert await session.copy_to(query, file) == 1
    assert list(csv.reader(io.StringIO(file.getvalue().decode(), newline="")))[1:] == [[text, str(ODD.index(text))]]


async def test_csv_begins_with_names_in_a_file_of_text(both: Both) -> None:
    both.sql("INSERT INTO tags (id, name) VALUES (1, 'ü'), (2, NULLIF('', 'x'))")
    file = io.StringIO()
    async with both.session() as session:
        assert await session.copy_to(Select(Tag).OrderBy(Tag.id), file) == 2
        assert await session.copy_to("SELECT 1 AS one -- a comment\n;", file) == 1
    assert file.getvalue() == 'id,name\n1,ü\n2,""\none\n1\n'


async def test_what_is_pending_is_in_the_file(both: Both) -> None:
    file = io.StringIO()
    async with both.session() as session:
        session.add(Tag(id=1, name="new"))
        assert await session.copy_to(Select(Tag.name), file) == 1
        await session.rollback()
    assert file.getvalue() == "name\nnew\n"


async def test_a_file_names_some_columns_in_any_order(both: Both) -> None:
    file = io.BytesIO('\ufeffname,labels,id\nü,"{x,y}",7\n'.encode())
    async with both.session() as session:
        assert await session.copy_from(User, file) == 1
        await session.commit()
    assert [tuple(row) for row in both.sql("SELECT id, name, labels, visits FROM users")] == [(7, "ü", ["x", "y"], 0)]


async def test_a_file_without_names_needs_columns(both: Both) -> None:
    async with both.session() as session:
        assert await session.copy_from(Tag, io.StringIO("1,a\n2,b\n"), columns=[Tag.id, "name"]) == 2
        assert await session.copy_from(Tag, io.StringIO("id,name\n")) == 0
        await session.commit()
    assert both.column("SELECT name FROM tags ORDER BY id") == ["a", "b"]


async def test_computed_columns_are_no_part_of_a_binary_file(both: Both) -> None:
    both.sql("INSERT INTO users (id, name) VALUES (1, 'u')")
    both.sql("INSERT INTO orders (id, user_id, total) VALUES (1, 1, 0)")
    both.sql("INSERT INTO items (id, order_id, name, price, quantity) VALUES (1, 1, 'i', 2, 3)")
    file = io.BytesIO()
    async with both.session() as session:
        columns = [column for column in Item.__mapper__.columns if column.name != "cost"]
        await session.copy_to(Select(*columns), file, format="binary")
        await session.bulk_delete([1], model=Item)
        file.seek(0)
        assert await session.copy_from(Item, file, format="binary") == 1
        await session.commit()
    assert both.column("SELECT cost FROM items") == [6]


async def test_a_bad_row_is_named_and_nothing_stays(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(DataError, match=r'^line 3, column "age": invalid input syntax') as caught:
            await session.copy_from(User, io.StringIO("id,name,age\n1,a,1\n2,b,secret\n"))
        assert "secret" not in str(caught.value.args)
        with pytest.raises(UniqueViolation):
            await session.copy_from(Tag, io.StringIO("id,name\n1,a\n2,a\n"))
        assert await session.exec_scalar("SELECT count(*) FROM tags") == 0
    assert both.value("SELECT count(*) FROM users") == 0


async def test_an_error_in_the_middle_leaves_no_half_file(both: Both, tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text("as it was")
    async with both.session() as session:
        with pytest.raises(PSQLModelError, match="division by zero"):
            await session.copy_to("SELECT 1 / (5000 - n) FROM generate_series(1, 9000) n", path)
        assert await session.exec_scalar("SELECT 1") == 1
    assert [each.name for each in tmp_path.iterdir()] == ["numbers.csv"]
    assert path.read_text() == "as it was"


class Broken(io.RawIOBase):
    """A file on a device that has failed."""

    def write(self, data: Any) -> int:
        raise OSError("no space left")

    def read(self, size: int = -1) -> bytes:
        raise ValueError("unreadable")

    def readline(self, size: int | None = -1) -> bytes:
        return b"id,name\n"


async def test_what_goes_wrong_with_a_file_is_raised_as_it_is(both: Both) -> None:
    async with both.session() as session:
        with pytest.raises(OSError, match="no space left"):
            await session.copy_to("SELECT generate_series(1, 9000)", Broken())
        with pytest.raises(ValueError, match="unreadable"):
            await session.copy_from(Tag, Broken())
        await session.rollback()
        assert await session.exec_scalar("SELECT 1") == 1


async def test_a_file_that_is_not_there_costs_no_transaction(
    both: Both, tmp_path: Path, statements: Statements
) -> None:
    async with both.session() as session:
        await session.bulk_insert([Tag(name="kept")])
        with pytest.raises(FileNotFoundError):
            await session.copy_from(Tag, tmp_path / "nowhere.csv")
        with pytest.raises(FileNotFoundError):
            await session.copy_to(Tag, tmp_path / "no" / "folder.csv")
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["kept"]


async def test_a_path_that_is_no_plain_file_is_written_to(both: Both) -> None:
    async with both.session() as session:
        assert await session.copy_to("SELECT 1", os.devnull) == 1


async def test_the_observer_sees_no_value(both: Both, statements: Statements) -> None:
    async with both.session() as session:
        await session.copy_to(Select(User).Where(User.name == "a secret"), io.BytesIO())
    assert [event.text.split()[0] for event in statements if event.purpose == "bulk"] == ["COPY"]
    assert not any("a secret" in event.text for event in statements)


@pytest.mark.parametrize("format", ["csv", "binary"])
async def test_memory_does_not_grow_with_the_file(both: Both, tmp_path: Path, format: str) -> None:
    async with both.session() as session:
        peaks = []
        for count in (20_000, 200_000):
            tracemalloc.start()
            try:
                path = tmp_path / str(count)
                query = f"SELECT n::int4 AS id, 't' || n AS name FROM generate_series(1, {count}) n"
                assert await session.copy_to(query, path, format=format) == count
                assert await session.copy_from(Tag, path, format=format) == count
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
            await session.rollback()
    assert peaks[1] < 1.3 * peaks[0] + 500_000


@pytest.mark.parametrize(
    ("query", "file", "options", "error", "words"),
    [
        (Select(User), io.BytesIO(), {"format": "xml"}, QueryError, "not 'xml'"),
        (Select(User), io.StringIO(), {"format": "binary"}, InvalidValueError, "opened in binary mode"),
        (Select(User), 5, {}, InvalidValueError, r"an open file with write\(\), not int"),
        (Select(User).Include(User.orders), io.BytesIO(), {}, QueryError, "Include can't be copied"),
        (" ;", io.BytesIO(), {}, QueryError, "empty"),
        (5, io.BytesIO(), {}, QueryError, "not int"),
        (int, io.BytesIO(), {}, NotMappedError, "int is not a mapped model"),
    ],
)
async def test_what_can_not_be_copied_is_refused(
    both: Both, statements: Statements, query: Any, file: Any, options: Any, error: type[Exception], words: str
) -> None:
    async with both.session() as session:
        with pytest.raises(error, match=words):
            await session.copy_to(query, file, **options)
    assert statements.of("bulk") == []


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("id,nam\n", InvalidValueError, "the first line: Tag has no column 'nam'; did you mean 'name'"),
        ("id,id\n", InvalidValueError, "Tag.id twice"),
        ("", InvalidValueError, "the first line names the columns of Tag"),
    ],
)
async def test_a_first_line_that_names_no_columns_is_refused(
    both: Both, text: str, error: type[Exception], words: str
) -> None:
    async with both.session() as session:
        with pytest.raises(error, match=words):
            await session.copy_from(Tag, io.StringIO(text))
