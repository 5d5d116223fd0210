"""Which statements need no BEGIN: those that do nothing but read."""

from __future__ import annotations

import pytest

from psqlmodel.core.alone import reads_only
from psqlmodel.steps import Copy, Statement


@pytest.mark.parametrize(
    "text",
    [
        'SELECT "a", ("b") FROM "t" AS "u" WHERE "id" = $1',
        "SELECT count(*), lower(a) FROM (SELECT 1) AS x WHERE a IN (SELECT 1) AND b = ANY ($1::int8[])",
        "SELECT row_number() OVER (PARTITION BY a ORDER BY b) FROM t",
        "SELECT x FROM unnest($1::int[]) AS k(c1) -- for\n/* update */",
        "WITH a AS (SELECT 1) VALUES (1), (2)",
        "SELECT 'for update; f(1)', - (a) <> ALL ($1) OR NOT (c), $1::varchar(3)",
    ],
)
def test_what_reads(text: str) -> None:
    assert reads_only(Statement(text, purpose="query"))
    assert reads_only(Statement(text, purpose="load"))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t FOR NO KEY UPDATE",
        "SELECT nextval($1)",
        "SELECT now()",
        "SELECT mine.lower(a) FROM t",
        'SELECT "f"(1)',
        'SELECT "s"."f" (1)',
        "SELECT f --x\n(1)",
        "SELECT f/**/ (1)",
        "SELECT * FROM t JOIN f(1) ON true",
        "SELECT 1 AS f, g(2)",
        "SELECT 1; DROP TABLE t",
        "SELECT 1 INTO t",
        "WITH a AS (DELETE FROM t RETURNING 1) SELECT 1",
        "INSERT INTO t VALUES (1)",
        "TRUNCATE t",
        "",
    ],
)
def test_what_may_do_more(text: str) -> None:
    assert not reads_only(Statement(text, purpose="query"))


def test_sql_that_users_write_and_copy_may_do_anything() -> None:
    assert not reads_only(Statement("SELECT 1", purpose="raw"))
    assert not reads_only(Copy("t", [], [], []))
