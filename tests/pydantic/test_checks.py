"""What the SQL of a CHECK says about a column; and what is not understood says nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from psqlmodel.pydantic.checks import bounds_of

D = Decimal


@pytest.mark.parametrize(
    ("check", "bounds"),
    [
        ("age >= 0", {"ge": D(0)}),
        ("age > -1.5", {"gt": D("-1.5")}),
        ("age>=0 and age<=9", {"ge": D(0), "le": D(9)}),
        ("0 < age AND 10 >= age", {"gt": D(0), "le": D(10)}),
        ("age BETWEEN 1 AND 5", {"ge": D(1), "le": D(5)}),
        ("((age >= (1)) AND (age < (5)::integer))", {"ge": D(1), "lt": D(5)}),
        ('"people"."age" >= 3', {"ge": D(3)}),
        ('"age" >= 3 AND people.AGE >= 4', {"ge": D(4)}),
        ("age::numeric(6, 2) < 7", {"lt": D(7)}),
        ("age <> ''", {"min_length": 1}),
        ("length(age) > 2 AND char_length(age) <= 5", {"min_length": 3, "max_length": 5}),
        ("character_length( age ) < 5 AND 2 <= length(age)", {"min_length": 2, "max_length": 4}),
        ("age IN ('a', 'it''s', 'AND')", {"choices": ("a", "it's", "AND")}),
        ("age IN ('a', 'b') AND age IN ('b', 'c')", {"choices": ("b",)}),
        ("age >= 0 AND name <> 'x AND y > 3'", {"ge": D(0)}),
        ("age >= 0 AND lower(age) > 3", {"ge": D(0)}),
        # Another column, or more than is understood.
        ("wage >= 0", {}),
        ("age >= wage", {}),
        ("age >= 0 OR name = 'x'", {}),
        ("NOT age >= 0", {}),
        ("age + 1 >= 0", {}),
        ("age >= 1 + 2", {}),
        ("abs(age) >= 0", {}),
        ("age >= 'now'", {}),
        ("age = 3", {}),
        ("age NOT IN ('a')", {}),
        ("age NOT BETWEEN 1 AND 2", {}),
        ("age IN (1, 2)", {}),
        ("CASE WHEN x THEN age >= 3 ELSE true END", {}),
        ("age >= 0 IS NOT FALSE", {}),
        ("-age >= 0", {}),
        ("age >= 0 = false", {}),
        ("age < 0 IS FALSE", {}),
        ("f(age, age >= 3)", {}),
        ("age >= 0 -- AND age < 5", {}),
        ("age >= 0 /* AND age < 5 */", {}),
        ("name <> E'\\' AND age > 3'", {}),
        ("name <> $$ AND age > 3 AND $$", {}),
        ("(age >= 0) = (name > 3)", {}),
        ("age BETWEEN SYMMETRIC 5 AND 1", {}),
        ("", {}),
        ("(((", {}),
        ("'", {}),
    ],
)
def test_bounds(check: str, bounds: dict[str, Any]) -> None:
    assert bounds_of(check, "age") == bounds
