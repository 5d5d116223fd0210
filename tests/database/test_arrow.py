"""Files of Arrow: what a query returns goes into one, and its rows into a table, on both sessions."""

from __future__ import annotations

import io
import tracemalloc
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from psqlmodel import (
    ConfigurationError,
    DataError,
    Engine,
    InvalidValueError,
    QueryError,
    Select,
    Sum,
    UniqueViolation,
    types,
)
from psqlmodel.core.bulk.arrow import needed, reading, writing

from .arrow_kinds import KINDS, KINDS_SQL, Kind
from .both import Both, Statements
from .models import Tag, User

NANOS = 1000


@pytest.fixture(scope="module")
def made(plain_sql: Engine) -> None:
    plain_sql.execute(KINDS_SQL)


@pytest.fixture
def kinds(made: None, both: Both) -> Both:
    """Two rows: one of values, one of NULLs."""
    names = ", ".join(KINDS)
    values = ", ".join(f"'{kind.text}'" for kind in KINDS.values())
    both.sql(f"INSERT INTO arrow_kinds (id, {names}) VALUES (1, {values}), (2{', NULL' * len(KINDS)})")
    return both


def stored(both: Both) -> list[str]:
    return both.column("SELECT k::text FROM arrow_kinds k ORDER BY id")


def read(file: io.BytesIO) -> pa.Table:
    return pa.ipc.open_stream(file.getvalue()).read_all()


def stream(**columns: Any) -> io.BytesIO:
    """Return a stream of one batch."""
    file = io.BytesIO()
    batch = pa.record_batch(columns)
    with pa.ipc.new_stream(file, batch.schema) as writer:
        writer.write_batch(batch)
    file.seek(0)
    return file


async def test_each_type_has_its_own(kinds: Both) -> None:
    file = io.BytesIO()
    async with kinds.session() as session:
        assert await session.copy_to(Select(Kind).OrderBy(Kind.id), file, format="arrow") == 2
    found = read(file)
    assert dict(zip(found.schema.names, found.schema.types, strict=True)) == {"id": pa.int32()} | {
        name: kind.type for name, kind in KINDS.items()
    }
    values, nulls = found.to_pylist()
    assert values == {"id": 1} | {name: kind.value for name, kind in KINDS.items()}
    assert nulls == {"id": 2} | dict.fromkeys(KINDS)


async def test_there_and_back(kinds: Both, tmp_path: Path) -> None:
    path = tmp_path / "kinds.arrow"
    before = stored(kinds)
    async with kinds.session() as session:
        assert await session.copy_to(Kind, path, format="arrow") == 2
        await session.bulk_delete([1, 2], model=Kind)
        assert await session.copy_from(Kind, path, format="arrow") == 2
        await session.commit()
    assert stored(kinds) == before
    assert [each.name for each in tmp_path.iterdir()] == ["kinds.arrow"]


async def test_sql_text_has_the_types_that_the_server_tells(kinds: Both) -> None:
    file = io.BytesIO()
    async with kinds.session() as session:
        text = (
            "WITH k AS (SELECT * FROM arrow_kinds) "
            "SELECT mood, exact, whole AS mood, 1::int8 AS n FROM k ORDER BY id -- all\n;"
        )
        assert await session.copy_to(text, file, format="arrow") == 2
    found = read(file)
    assert found.schema.names == ["mood", "exact", "mood", "n"]
    # Which precision a numeric has is known of columns of tables alone.
    assert found.schema.types == [KINDS["mood"].type, pa.string(), pa.int32(), pa.int64()]
    assert [column.to_pylist()[0] for column in found.columns] == ["so so", "-1234.500", -7, 1]


async def test_the_precision_of_a_numeric(kinds: Both) -> None:
    file = io.BytesIO()
    async with kinds.session() as session:
        columns = [Kind.exact, Kind.exact.As("named"), Kind.free, Kind.exact.Cast(types.numeric(20, 1)).As("cast")]
        await session.copy_to(Select(*columns).Where(Kind.id == 1), file, format="arrow")
        total = io.BytesIO()
        await session.copy_to(Select(Sum(Kind.exact)), total, format="arrow")
        both_of = io.BytesIO()
        await session.copy_to(Select(Kind.exact).Union(Select(Kind.free)), both_of, format="arrow")
    decimal, text = pa.decimal128(12, 3), pa.string()
    assert read(file).schema.types == [decimal, decimal, text, pa.decimal128(20, 1)]
    assert read(file).to_pylist()[0]["cast"] == Decimal("-1234.5")
    assert read(total).schema.types == [text]
    assert read(both_of).schema.types == [text]


async def test_texts_stay_what_they_are(both: Both) -> None:
    odd = [
        "",
        "\\N",
        "\\.",
        "a\nb\r\nc",
        "\t",
        '"',
        "\ufeffx",
        "{}",
        ",",
        "\\",
        "\\n",
        "NULL",
        " a ",
        "ü€𝕏",
        "1.0",
        "\r",
    ]
    file = io.BytesIO()
    async with both.session() as session:
        await session.bulk_insert([User(id=n, name=text) for n, text in enumerate(odd)])
        query = Select(User.name, User.id, User.email, User.labels).OrderBy(User.id)
        assert await session.copy_to(query, file, format="arrow") == len(odd)
        assert read(file).column("name").to_pylist() == odd
        only = io.BytesIO()
        assert await session.copy_to(Select(User.email), only, format="arrow") == len(odd)
        assert read(only).column(0).to_pylist() == [None] * len(odd)
        await session.bulk_delete(range(len(odd)), model=User)
        file.seek(0)
        assert await session.copy_from(User, file, format="arrow") == len(odd)
        await session.commit()
    assert both.column("SELECT name FROM users ORDER BY id") == odd


async def test_an_empty_result_has_its_columns(both: Both) -> None:
    file = io.BytesIO()
    async with both.session() as session:
        assert await session.copy_to(Tag, file, format="arrow") == 0
        file.seek(0)
        assert await session.copy_from(Tag, file, format="arrow") == 0
        await session.rollback()
    assert read(file).schema.names == ["id", "name"]


async def test_what_is_pending_is_in_the_file(both: Both) -> None:
    file = io.BytesIO()
    async with both.session() as session:
        session.add(Tag(id=1, name="new"))
        assert await session.copy_to(Select(Tag.name).Where(Tag.name == "new"), file, format="arrow") == 1
        await session.rollback()
    assert read(file).to_pylist() == [{"name": "new"}]


async def test_batches_are_of_some_size(both: Both, monkeypatch: Any) -> None:
    monkeypatch.setattr(writing, "BLOCK", 5000)
    monkeypatch.setattr(reading, "BLOCK", 2000)
    file = io.BytesIO()
    async with both.session() as session:
        query = "SELECT n::int4 AS id, 'tag ' || n AS name FROM generate_series(1, 20000) n"
        assert await session.copy_to(query, file, format="arrow") == 20_000
        batches = list(pa.ipc.open_stream(file.getvalue()))
        assert 1 < len(batches) < 100
        assert [value for batch in batches for value in batch.column("id").to_pylist()] == [*range(1, 20_001)]
        file.seek(0)
        assert await session.copy_from(Tag, file, format="arrow") == 20_000
        await session.commit()
    assert both.value("SELECT sum(id) FROM tags WHERE name = 'tag ' || id") == 200_010_000


# --- reading what others wrote ------------------------------------------------------------------------------


async def test_types_of_others_find_their_way(made: None, both: Both) -> None:
    moment = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    file = stream(
        id=pa.array([1, None, 3], pa.uint64()).fill_null(2),
        small=pa.array([1.0, None, 3.0], pa.float64()).cast(pa.int8()),
        words=pa.array(["a", None, "a"]).dictionary_encode(),
        short=pa.array(["x", "y", None], pa.large_string()),
        flag=pa.nulls(3),
        double=pa.array([1.5, None, 0.25], pa.float16()),
        exact=pa.array([1, 2, None], pa.int64()),
        day=pa.array([date(2024, 2, 29), None, date.max], pa.date64()),
        clock=pa.array([time(1, 2, 3), None, time(0)], pa.time32("s")),
        local=pa.array([datetime(2024, 2, 29), None, datetime.min], pa.timestamp("ms")),
        moment=pa.array([moment, None, moment], pa.timestamp("ns", tz="Europe/Berlin")),
        span=pa.array([-3_723_004_005, None, 0], pa.duration("us")),
        mark=pa.array([UUID(int=5).bytes, None, UUID(int=6).bytes], pa.binary(16)),
        raw=pa.array([b"\\x", None, b""], pa.large_binary()),
        doc=pa.array([{"a": [1, 2]}, None, {"a": []}]),
        note=pa.array([[1], None, []], pa.list_(pa.int8())),
        numbers=pa.array([[1, 2], None, [3, None]], pa.list_(pa.int16(), 2)),
        texts=pa.array([['a"', None], [], ["\\", "{,}"]], pa.large_list(pa.string())),
        matrix=pa.array([[[1, 2], [3, 4]], None, [[5, 6]]], pa.list_(pa.list_(pa.int32()))),
    )
    async with both.session() as session:
        assert await session.copy_from(Kind, file, format="arrow") == 3
        await session.commit()
    names = "small, words, short, flag, double, exact, day, clock, local, moment, span, mark, raw, doc, note, numbers"
    rows = [tuple(row) for row in both.sql(f"SELECT {names}, texts, matrix::text FROM arrow_kinds ORDER BY id")]
    assert [str(value) for value in rows[0]] == [
        "1", "a", "x", "None", "1.5", "1.000", "2024-02-29", "01:02:03", "2024-02-29 00:00:00",
        "2024-02-29 12:30:00+00:00", "-1 day, 22:57:56.995995", str(UUID(int=5)), r"b'\\x'", "{'a': [1, 2]}", "[1]",
        "[1, 2]", "['a\"', None]", "{{1,2},{3,4}}",
    ]  # fmt: skip
    assert rows[1][:-2] == (None, None, "y", None, None, Decimal("2.000")) + (None,) * 10
    assert rows[1][-2:] == ([], None)
    infinite = "SELECT day = 'infinity' AND local = '-infinity' FROM arrow_kinds WHERE id = 3"
    assert both.value(infinite) is True
    assert rows[2][-2:] == (["\\", "{,}"], "{{5,6}}")


async def test_a_file_with_a_footer(both: Both, tmp_path: Path) -> None:
    path = tmp_path / "tags.feather"
    batch = pa.record_batch({"name": ["a", "b"], "id": [1, 2]})
    with pa.ipc.new_file(path, batch.schema) as writer:
        writer.write_batch(batch)
    async with both.session() as session:
        assert await session.copy_from(Tag, path, format="arrow") == 2
        await session.rollback()
        assert await session.copy_from(Tag, io.BytesIO(path.read_bytes()), format="arrow") == 2
        await session.commit()
    assert both.column("SELECT name FROM tags ORDER BY id") == ["a", "b"]


class OneWay(io.RawIOBase):
    """A file that can only be read on, such as a pipe."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(size)


async def test_a_stream_that_can_not_go_back(both: Both) -> None:
    async with both.session() as session:
        file = OneWay(stream(id=[1], name=["a"]).getvalue())
        assert await session.copy_from(Tag, file, format="arrow") == 1
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["a"]


async def test_columns_are_told_by_name_or_by_place(both: Both) -> None:
    async with both.session() as session:
        assert await session.copy_from(User, stream(name=["a"]), format="arrow") == 1
        given = stream(x=["b"], y=[7])
        assert await session.copy_from(User, given, format="arrow", columns=[User.name, "visits"]) == 1
        await session.commit()
    assert [tuple(row) for row in both.sql("SELECT name, visits FROM users ORDER BY id")] == [("a", 0), ("b", 7)]


# --- what goes wrong ----------------------------------------------------------------------------------------


async def test_a_bad_row_is_named_and_nothing_stays(both: Both) -> None:
    texts = ["a\nb\nc"] * 5 + ["\\."]
    async with both.session() as session:
        with pytest.raises(DataError, match=r'^row 3, column "visits": invalid input syntax') as caught:
            await session.copy_from(User, stream(name=texts[:3], visits=["1", "2", "secret"]), format="arrow")
        assert "secret" not in str(caught.value)
        with pytest.raises(UniqueViolation, match=r"^row 6: "):
            await session.copy_from(Tag, stream(id=[1, 2, 3, 4, 5, 5], name=[*"abcdef"]), format="arrow")
        assert await session.exec_scalar("SELECT count(*) FROM tags") == 0
    assert both.value("SELECT count(*) FROM users") == 0


BAD: list[tuple[str, Any, str]] = [
    ("local", pa.array([1, 1001], pa.timestamp("ns")).take([1, 0]), r'^row 1, column "local": .* lose digits'),
    ("span", pa.array([pa.MonthDayNano([1, 2, 3])]), r'^row 1, column "span": interval has microseconds'),
    ("day", pa.array([0, 2_932_897], pa.date32()), r'^row 2, column "day": it is not between the years 1 and 9999'),
    ("moment", pa.array([-(2**62)], pa.timestamp("us", tz="UTC")), r'^row 1, column "moment": it is not between'),
    ("numbers", pa.array([[[1], [2, 3]]]), r'^row 1, column "numbers": .*rectangular'),
    ("note", pa.array([["a"], [b"b".decode()], ["\0"]]), r"^row 3"),
    ("words", pa.array([b"\xff"]).view(pa.string()), r"row 1"),
]


@pytest.mark.parametrize(("name", "values", "words"), BAD, ids=[each[0] for each in BAD])
async def test_a_value_that_does_not_fit_is_named(
    made: None, both: Both, statements: Statements, name: str, values: Any, words: str
) -> None:
    async with both.session() as session:
        await session.bulk_insert([Tag(name="kept")])
        savepoint = session.begin_nested()
        with pytest.raises(DataError, match=words):
            async with savepoint:
                await session.copy_from(Kind, stream(id=[*range(len(values))], **{name: values}), format="arrow")
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["kept"]
    assert both.value("SELECT count(*) FROM arrow_kinds") == 0


MISFITS: list[tuple[str, Any, str]] = [
    ("moment", pa.array([0], pa.timestamp("us")), "say in which zone"),
    ("moment", pa.array([0], pa.date32()), "give it a time and a zone"),
    ("local", pa.array([0], pa.timestamp("us", tz="UTC")), "take its zone away"),
    ("words", pa.array([b"a"]), "cast it to string"),
    ("raw", pa.array(["a"]), "cast it to binary"),
    ("small", pa.array([[1]]), "does not go into smallint"),
    ("day", pa.array([{"a": 1}]), "does not go into date"),
]


@pytest.mark.parametrize(("name", "values", "words"), MISFITS)
async def test_a_type_that_does_not_fit_is_refused_before_anything_is_sent(
    made: None, both: Both, statements: Statements, name: str, values: Any, words: str
) -> None:
    async with both.session() as session:
        with pytest.raises(InvalidValueError, match=f'column "{name}": .*{words}'):
            await session.copy_from(Kind, stream(**{name: values}), format="arrow")
    assert statements.of("bulk") == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT CASE n WHEN 3 THEN '4713-01-01 BC' ELSE now() END AS at FROM generate_series(1, 5) n",
         '3, column "at"'),
        ("SELECT '24:00'::time AS late", '1, column "late"'),
        ("SELECT CASE n WHEN 2 THEN '{{1}}'::int[] END AS deep FROM generate_series(1, 5) n",
         '2, column "deep".*dimens'),
        ("SELECT '200000-01-01'::date AS far", '1, column "far"'),
    ],
)  # fmt: skip
async def test_a_value_that_arrow_can_not_hold_is_named_and_the_transaction_goes_on(
    both: Both, tmp_path: Path, query: str, words: str
) -> None:
    async with both.session() as session:
        await session.bulk_insert([Tag(name="kept")])
        with pytest.raises(DataError, match=f"^row {words}.*select it as a text"):
            await session.copy_to(query, tmp_path / "values.arrow", format="arrow")
        assert await session.copy_to("SELECT 1", io.BytesIO(), format="arrow") == 1
        await session.commit()
    assert both.column("SELECT name FROM tags") == ["kept"]
    assert [*tmp_path.iterdir()] == []


async def test_not_a_number_is_no_decimal(kinds: Both) -> None:
    kinds.sql("UPDATE arrow_kinds SET exact = 'NaN' WHERE id = 2")
    async with kinds.session() as session:
        with pytest.raises(DataError, match=r'^row 2, column "exact"'):
            await session.copy_to(Select(Kind).OrderBy(Kind.id), io.BytesIO(), format="arrow")
        assert await session.copy_to(Select(Kind.free), io.BytesIO(), format="arrow") == 2


@pytest.mark.parametrize(
    ("query", "file", "error", "words"),
    [
        ("DELETE FROM tags RETURNING id", io.BytesIO(), QueryError, "only reads"),
        ("SELECT FROM tags", io.BytesIO(), QueryError, "no columns"),
        ("SELECT 1", io.StringIO(), InvalidValueError, "binary mode"),
        ("SELECT 1", 5, InvalidValueError, r"an open file with write\(\)"),
    ],
)
async def test_what_can_not_be_copied_is_refused(
    both: Both, statements: Statements, query: str, file: Any, error: type[Exception], words: str
) -> None:
    async with both.session() as session:
        with pytest.raises(error, match=words):
            await session.copy_to(query, file, format="arrow")
    assert statements.of("bulk") == []


@pytest.mark.parametrize(
    ("file", "error", "words"),
    [
        (b"id,name\n1,a\n", InvalidValueError, "no Arrow stream"),
        (b"ARROW1\0\0nothing", InvalidValueError, "no Arrow stream"),
        (b"", InvalidValueError, "no Arrow stream"),
        (stream(idd=[1]).getvalue(), InvalidValueError, "no column 'idd'; did you mean 'id'"),
        (stream().getvalue(), InvalidValueError, "names the columns of Tag"),
    ],
)
async def test_what_is_no_file_of_arrow_is_refused(
    both: Both, statements: Statements, file: bytes, error: type[Exception], words: str
) -> None:
    async with both.session() as session:
        with pytest.raises(error, match=words):
            await session.copy_from(Tag, io.BytesIO(file), format="arrow")
        with pytest.raises(InvalidValueError, match="binary mode"):
            await session.copy_from(Tag, io.StringIO("a"), format="arrow")
        with pytest.raises(InvalidValueError, match="the file has 2 columns, and columns= names 1"):
            await session.copy_from(Tag, stream(a=[1], b=["b"]), format="arrow", columns=[Tag.id])
    assert statements.of("bulk") == []


async def test_a_file_that_breaks_off_is_told(both: Both) -> None:
    whole = io.BytesIO()
    batch = pa.record_batch({"id": [1], "name": ["a" * 5000]})
    with pa.ipc.new_stream(whole, batch.schema) as writer:
        writer.write_batch(batch)
        writer.write_batch(batch)
    async with both.session() as session:
        with pytest.raises(DataError, match="the Arrow file is damaged after 1 batches"):
            await session.copy_from(Tag, io.BytesIO(whole.getvalue()[:-2000]), format="arrow")
        await session.rollback()
        assert await session.exec_scalar("SELECT 1") == 1
    assert both.value("SELECT count(*) FROM tags") == 0


class Broken(io.RawIOBase):
    """A file on a device that fails after its first bytes."""

    def __init__(self, data: bytes = b"") -> None:
        self._rest = io.BytesIO(data)

    def write(self, data: Any) -> int:
        raise OSError("no space left")

    def read(self, size: int = -1) -> bytes:
        found = self._rest.read(size)
        if not found:
            raise OSError("unreadable")
        return found


async def test_what_goes_wrong_with_a_file_is_raised_as_it_is(both: Both) -> None:
    data = stream(id=[*range(1000)], name=[str(n) for n in range(1000)]).getvalue()
    async with both.session() as session:
        with pytest.raises(OSError, match="no space left"):
            await session.copy_to("SELECT generate_series(1, 9000)", Broken(), format="arrow")
        with pytest.raises(OSError, match="unreadable"):
            await session.copy_from(Tag, Broken(), format="arrow")
        with pytest.raises(OSError, match="unreadable"):
            await session.copy_from(Tag, Broken(data[: len(data) - 100]), format="arrow")
        await session.rollback()
        assert await session.exec_scalar("SELECT 1") == 1


async def test_without_pyarrow_it_is_said_how_to_get_it(both: Both, statements: Statements, monkeypatch: Any) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    needed.arrow.cache_clear()
    monkeypatch.setattr(needed, "import_module", missing)
    try:
        async with both.session() as session:
            with pytest.raises(ConfigurationError, match=r"pip install 'psqlmodel\[arrow\]'"):
                await session.copy_to(Tag, io.BytesIO(), format="arrow")
            with pytest.raises(ConfigurationError, match=r"pip install 'psqlmodel\[arrow\]'"):
                await session.copy_from(Tag, io.BytesIO(), format="arrow")
    finally:
        needed.arrow.cache_clear()
    assert statements.of("bulk") == []


async def test_memory_does_not_grow_with_the_file(both: Both, tmp_path: Path, monkeypatch: Any) -> None:
    """Neither Python's nor Arrow's."""
    monkeypatch.setattr(reading, "BLOCK", 1 << 18)
    monkeypatch.setattr(writing, "BLOCK", 1 << 18)
    usual = pa.default_memory_pool()
    peaks = []
    async with both.session() as session:
        for count in (60_000, 300_000):
            counting = pa.proxy_memory_pool(usual)
            pa.set_memory_pool(counting)
            tracemalloc.start()
            try:
                path = tmp_path / str(count)
                query = f"SELECT n::int4 AS id, 't' || n AS name FROM generate_series(1, {count}) n"
                assert await session.copy_to(query, path, format="arrow") == count
                assert await session.copy_from(Tag, path, format="arrow") == count
                peaks.append((tracemalloc.get_traced_memory()[1], counting.max_memory()))
            finally:
                tracemalloc.stop()
                pa.set_memory_pool(usual)
            await session.rollback()
    assert peaks[1][0] < 1.3 * peaks[0][0] + 500_000
    assert 0 < peaks[1][1] < 1.3 * peaks[0][1] + 500_000
