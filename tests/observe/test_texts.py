"""What is shown of SQL text, and what is understood of it. No database."""

from __future__ import annotations

import pytest

from psqlmodel.observe.texts import brief, counted, one_line, reading_of, redacted, tables_of, verb_of, writes


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT * FROM users WHERE name = 'Ada' LIMIT 3", "SELECT * FROM users WHERE name = ? LIMIT ?"),
        ("SELECT 'it''s', E'a\\'b', $$hunter2$$, $t$hunter2$t$", "SELECT ?, ?, ?, ?"),
        ("SELECT $1::int8, t1.c2, \"Column 3\", int4 '7'", 'SELECT $1::int8, t1.c2, "Column 3", int4 ?'),
        ("SELECT 1.5e-3, -2, .5, 1_000, 0x1F, a[1:2], 3::int8", "SELECT ?, -?, ?, ?, ?, a[?:?], ?::int8"),
        ("SELECT x'1F', B'101', U&'d\\0061t'", "SELECT x?, B?, U&?"),
        ("SELECT a -- hunter2\nFROM t /* hunter2 */", "SELECT a \nFROM t "),
        ("SELECT 7, 'open", "SELECT ?, ?"),
    ],
)
def test_constants_and_comments_are_not_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_a_text_in_a_line_without_needless_signs() -> None:
    text = 'SELECT "users"."id", "users"."name", "users"."Age"\nFROM "users"\nWHERE "users"."Age" > $1'
    assert brief(text) == 'SELECT … FROM users WHERE users."Age" > $1'
    assert brief('SELECT "id" FROM "t"') == "SELECT id FROM t"
    assert one_line("SELECT\n   1", 6) == "SELEC…"
    assert one_line("a\x1b[31m\x00\r\nb\u202ec") == "a [31m b c"
    assert (counted(1, "row"), counted(2000, "row")) == ("1 row", "2,000 rows")


@pytest.mark.parametrize(
    ("text", "verb", "writing"),
    [
        ("SELECT 1", "SELECT", False),
        ("with x as (select 1) select * from x", "SELECT", False),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING id) SELECT * FROM x", "INSERT", True),
        ("/* UPDATE */ delete from t", "DELETE", True),
        ("COPY t FROM STDIN", "COPY", True),
        ("WITH x AS (SELECT 'DELETE') SELECT * FROM x", "SELECT", False),
    ],
)
def test_verbs(text: str, verb: str, writing: bool) -> None:
    assert (verb_of(text), writes(text)) == (verb, writing)


def test_tables() -> None:
    text = 'SELECT * FROM "users" u JOIN "Sales"."orders" o ON true, LATERAL unnest($1) x JOIN ONLY Items ON true'
    assert tables_of(text) == ("users", "Sales.orders", "items")
    assert tables_of("INSERT INTO t (a) SELECT a FROM s WHERE x = 'FROM secret'") == ("t", "s")
    assert tables_of("SELECT 1") == ()


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("SELECT * FROM t FOR UPDATE SKIP LOCKED", "t"),
        ("SELECT * FROM t JOIN o ON true FOR NO KEY UPDATE OF o NOWAIT", "t o"),
        ("SELECT * FROM t FOR UPDATE NOWAIT", "t"),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1", "t"),
        ("MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN UPDATE SET x = 1", "a"),
        ("SELECT extract(epoch FROM made), trim(both from name) FROM t WHERE a IS DISTINCT FROM b", "t"),
        ("SELECT * FROM t WHERE EXISTS (SELECT FROM o) AND x IN (SELECT y FROM p)", "t o p"),
        ("COPY t (a, b) FROM STDIN", "t"),
        ('SELECT * FROM "set" JOIN "skip" ON true', "set skip"),
        (
            'WITH w AS (SELECT * FROM t), "W2" (a) AS MATERIALIZED (SELECT 1 FROM w) SELECT * FROM "W2" JOIN o ON true',
            "t o",
        ),
        ("WITH RECURSIVE r (n) AS (SELECT 1 FROM t UNION ALL SELECT n + 1 FROM r) SELECT * FROM r", "t"),
        ("WITH t AS (SELECT * FROM t WHERE a) SELECT * FROM t", "t"),
    ],
)
def test_what_is_no_table(text: str, tables: str) -> None:
    assert " ".join(tables_of(text)) == tables


@pytest.mark.parametrize(
    ("text", "table", "keys"),
    [
        ('SELECT "id" FROM "users" WHERE "id" = $1', "users", (("", "id"),)),
        (
            'SELECT 1 FROM "orders" WHERE "orders"."user_id" = ANY($1) AND x > $2 ORDER BY y = $3',
            "orders",
            (("orders", "user_id"),),
        ),
        ("select * from Orders where user_id = 7 and status = 'open'", "orders", (("", "user_id"), ("", "status"))),
        (
            'SELECT 1 FROM "a" WHERE ("a"."x", "a"."y") IN (SELECT k.c1, k.c2 FROM unnest($1) k)',
            "a",
            (("a", "x"), ("a", "y")),
        ),
        ("SELECT count(*) FROM t", "t", ()),
    ],
)
def test_what_a_select_reads(text: str, table: str, keys: tuple[tuple[str, str], ...]) -> None:
    reading = reading_of(text)
    assert reading is not None
    assert (reading.table, reading.keys) == (table, keys)


@pytest.mark.parametrize("text", ["UPDATE t SET a = 1 WHERE b = 2", "SELECT 1", "", "COMMIT"])
def test_what_is_no_reading_of_a_table(text: str) -> None:
    assert reading_of(text) is None
