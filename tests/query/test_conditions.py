"""Operators: the text of each, and how a value beside a column travels."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from psqlmodel.errors import InvalidValueError, QueryError
from psqlmodel.query import AnyOf, Case, Cast, Delete, Exists, Lower, Row, Select, Text, Update, Value
from psqlmodel.types import Range, text

from .shop import Mood, Order, User, where

U = '"users".'


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (User.age == 1, f'{U}"age" = $1'),
        (User.age != 1, f'{U}"age" <> $1'),
        (User.age < 1, f'{U}"age" < $1'),
        (User.age <= 1, f'{U}"age" <= $1'),
        (User.age > 1, f'{U}"age" > $1'),
        (User.age >= 1, f'{U}"age" >= $1'),
        (User.nick == None, f'{U}"nick" IS NULL'),  # noqa: E711
        (User.nick != None, f'{U}"nick" IS NOT NULL'),  # noqa: E711
        (User.nick.IsNull(), f'{U}"nick" IS NULL'),
        (User.nick.IsNotNull(), f'{U}"nick" IS NOT NULL'),
        (User.nick.IsDistinctFrom("x"), f'{U}"nick" IS DISTINCT FROM $1'),
        (User.nick.IsDistinctFrom(None), f'{U}"nick" IS NOT NULL'),
        (User.nick.IsNotDistinctFrom(User.name), f'{U}"nick" IS NOT DISTINCT FROM {U}"name"'),
        (User.age.In([1, 2]), f'{U}"age" = ANY($1)'),
        (User.age.In([]), f'{U}"age" = ANY($1)'),
        (User.age.NotIn({1}), f'{U}"age" <> ALL($1)'),
        (User.age.In(range(3)), f'{U}"age" = ANY($1)'),
        (User.age.In([User.id, 3]), f'{U}"age" IN ({U}"id", $1)'),
        (User.age.Between(1, 2), f'{U}"age" BETWEEN $1 AND $2'),
        (User.age.NotBetween(User.id, 2), f'{U}"age" NOT BETWEEN {U}"id" AND $1'),
        (User.name.Like("a%"), f'{U}"name" LIKE $1::text'),
        (User.name.NotLike("a%"), f'{U}"name" NOT LIKE $1::text'),
        (User.name.ILike("a%"), f'{U}"name" ILIKE $1::text'),
        (User.name.NotILike("a%"), f'{U}"name" NOT ILIKE $1::text'),
        (User.name.StartsWith(User.nick), f'starts_with({U}"name", {U}"nick")'),
        (User.name.EndsWith(User.nick), f'right({U}"name", length({U}"nick")) = {U}"nick"'),
        (User.name.Contains(User.nick), f'strpos({U}"name", {U}"nick") > 0'),
        (User.name.Matches("^a"), f'{U}"name" ~ $1::text'),
        (User.name.IMatches("^a"), f'{U}"name" ~* $1::text'),
        (User.name + "x" == "ax", f'{U}"name" || $1::text = $2'),
        ("x" + User.name == "xa", f'$1::text || {U}"name" = $2'),
        (User.name.Collate("C") < "b", f'{U}"name" COLLATE "C" < $1'),
        (User.age + 1 > 2, f'{U}"age" + $1::integer > $2'),
        (2 * User.age - 1 > User.id, f'{U}"id" < $1::integer * {U}"age" - $2::integer'),
        ((User.age + 1) * 2 > 5, f'({U}"age" + $1::integer) * $2::integer > $3'),
        (User.age - (User.id - 1) > 5, f'{U}"age" - ({U}"id" - $1::integer) > $2'),
        (User.age % 2 == 0, f'{U}"age" % $1::integer = $2'),
        (-User.age < 0, f'-{U}"age" < $1'),
        ((User.age == 1) & (User.id == 2), f'{U}"age" = $1 AND {U}"id" = $2'),
        ((User.age == 1) | (User.id == 2), f'{U}"age" = $1 OR {U}"id" = $2'),
        (
            ((User.age == 1) | (User.id == 2)) & (User.id > 0),
            f'({U}"age" = $1 OR {U}"id" = $2) AND {U}"id" > $3',
        ),
        (~(User.age == 1), f'NOT {U}"age" = $1'),
        (~((User.age == 1) & (User.id == 2)), f'NOT ({U}"age" = $1 AND {U}"id" = $2)'),
        ((User.age == 1) == (User.id == 2), f'({U}"age" = $1) = ({U}"id" = $2)'),
        (User.tags.Contains(["a"]), f'{U}"tags" @> $1'),
        (User.tags.ContainedBy(["a"]), f'{U}"tags" <@ $1'),
        (User.tags.Overlaps(["a"]), f'{U}"tags" && $1'),
        (User.tags.Has("a"), f'$1::text = ANY({U}"tags")'),
        (User.tags[1] == "a", f'{U}"tags"[$1::integer] = $2'),
        (User.scores[1:2] == [1, 2], f'{U}"scores"[$1::integer:$2::integer] = $3'),
        (User.scores[:2] == [1, 2], f'{U}"scores"[:$1::integer] = $2'),
        (User.age == AnyOf(User.scores), f'{U}"age" = ANY ({U}"scores")'),
        (User.data["a"]["b"].text() == "x", f'{U}"data" -> $1::text ->> $2::text = $3'),
        (User.data["a"][0] == {"k": 1}, f'{U}"data" -> $1::text -> $2::integer = $3'),
        (User.data.text() == "{}", f"{U}\"data\" #>> '{{}}' = $1"),
        (User.data.Contains({"a": 1}), f'{U}"data" @> $1'),
        (User.data.HasKey("a"), f'{U}"data" ? $1::text'),
        (User.data.HasAnyKey(["a"]), f'{U}"data" ?| $1::text[]'),
        (User.data.HasAllKeys([]), f'{U}"data" ?& $1::text[]'),
        (User.years.Contains(5), f'{U}"years" @> $1::integer'),
        (User.years.Contains(Range(1, 2)), f'{U}"years" @> $1'),
        (User.years.Overlaps(Range(1, 2)), f'{U}"years" && $1'),
        (User.years.Adjacent(Range(1, 2)), f'{U}"years" -|- $1'),
        (User.years.Before(Range(1, 2)), f'{U}"years" << $1'),
        (User.years.After(Range(1, 2)), f'{U}"years" >> $1'),
        (User.age.Cast(text) == "1", f'{U}"age"::text = $1'),
        ((User.age + 1).Cast(text) == "1", f'({U}"age" + $1::integer)::text = $2'),
        (User.age.Op("#", 3) == 1, f'{U}"age" # $1 = $2'),
        (Value(3) == User.age, f'{U}"age" = $1::integer'),
        (Row(User.age, User.id) == (1, 2), f'({U}"age", {U}"id") = ($1, $2)'),
        (Row(User.age, User.id) > (1, 2), f'({U}"age", {U}"id") > ($1, $2)'),
        (
            Row(User.age, User.id).In([(1, 2)]),
            f'({U}"age", {U}"id") IN '
            '(SELECT "r"."c1", "r"."c2" FROM unnest($1::int4[], $2::int4[]) AS "r" ("c1", "c2"))',
        ),
        (Lower(User.name) == "x", f'lower({U}"name") = $1'),
        (Text("length(%s) > %s", User.name, 3), f'length({U}"name") > $1::integer'),
        (Text("%(a)s || 'it''s 100%%'", {"a": User.name}) == "x", f"({U}\"name\" || 'it''s 100%%') = $1"),
        (
            Case().When(User.age < 18, "m").Else("a") == "m",
            f'CASE WHEN {U}"age" < $1 THEN $2::text ELSE $3::text END = $4',
        ),
        (Case(User.age).When(1, User.name).Else("a") == "m", f'CASE {U}"age" WHEN $1 THEN {U}"name" ELSE $2 END = $3'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_text_of_operators(condition: object, expected: str) -> None:
    assert where(condition) == expected


@pytest.mark.parametrize(
    ("condition", "args"),
    [
        (User.name.StartsWith("50%_\\"), ["50\\%\\_\\\\%"]),
        (User.name.EndsWith("%"), ["%\\%"]),
        (User.name.Contains("_"), ["%\\_%"]),
        (User.age.In(n for n in (1, 2)), [[1, 2]]),
        (User.mood == Mood.SAD, ["sad"]),
        (User.mood.In([Mood.SAD, Mood.HAPPY]), [["sad", "happy"]]),
        (User.data == {"a": [1, None]}, ['{"a":[1,null]}']),
        (User.years.Contains(Range(1, 3)), ["[1,3)"]),
        (Value(2**31) == User.id, [2**31]),
        (Value(2**63) == User.id, [Decimal(2**63)]),
        (User.tags == ["a", "b"], [["a", "b"]]),
    ],
    ids=repr,
)
def test_values_travel_as_wire_values(condition: object, args: list[object]) -> None:
    assert Select(User.id).Where(condition).to_sql_params()[1] == args


def test_a_value_takes_its_own_type_where_the_column_would_mislead_the_server() -> None:
    query = Select(Order.day + 3, Order.total * 2, Order.day - datetime.date(2024, 1, 1))
    assert str(query).splitlines()[0] == (
        'SELECT "orders"."day" + $1::integer AS "column1", "orders"."total" * $2::integer AS "column2", '
        '"orders"."day" - $3::date AS "column3"'
    )


def test_a_cast_gives_an_empty_list_its_type() -> None:
    from psqlmodel.types import integer

    assert where(Cast([], integer.array()) == User.scores) == '"users"."scores" = $1::integer[]'


REFUSED = [
    (lambda: bool(User.age == 1), QueryError, "combine conditions with & | ~"),
    (lambda: (User.age == 1) and (User.id == 2), QueryError, "and, or, not"),
    (lambda: 1 < User.age < 5, QueryError, "truth value"),
    (lambda: 1 in User.tags, QueryError, r"\.In\("),
    (lambda: list(User.tags), TypeError, "not iterable"),
    (lambda: User.age.In([1, None]), QueryError, r"\.In\(…\) \| \.IsNull\(\)"),
    (lambda: User.age.NotIn([None]), QueryError, r"\.NotIn\(…\) & \.IsNotNull\(\)"),
    (lambda: User.age.In("12"), QueryError, "list of values"),
    (lambda: User.age.In(5), QueryError, "list of values"),
    (lambda: User.age.In(Select(User.id, User.age)), QueryError, "one column"),
    (lambda: User.tags.In([["a"]]), QueryError, "Overlaps"),
    (lambda: User.age < None, QueryError, "IsNull"),
    (lambda: User.age.Between(1, None), QueryError, "never true"),
    (lambda: (User.age == 1) & True, QueryError, "constant True"),
    (lambda: Select(Order).Where(Order.user == User), QueryError, "compare its key"),
    (lambda: Select(Order).Where(Order.user.name == "Ann"), AttributeError, r"relation, and has no 'name'.*Join\("),
    (lambda: Select(User).Where(User.orders.Any()), AttributeError, r"inside Exists\(Select\("),
    (lambda: (User.age > 1) & "x", QueryError, "bind tighter"),
    (lambda: Select(User).Where("age > 1"), QueryError, r"SQL by hand is Text\("),
    (lambda: Select(User).Where(None), QueryError, "leave it out"),
    (lambda: Select(User).order_by(User.id), AttributeError, r"write \.OrderBy$"),
    (lambda: Select(User).where(User.id == 1), AttributeError, r"write \.Where$"),
    (lambda: Select(User).limit(1), AttributeError, r"write \.Limit$"),
    (lambda: Select(User.age).distinct(), AttributeError, r"write \.Distinct$"),
    (lambda: Delete(User).where(User.id == 1), AttributeError, r"write \.Where$"),
    (lambda: Select(User).filter(User.id == 1), AttributeError, r"write \.Where\("),
    (lambda: Update(User).values(age=1), AttributeError, r"write \.Set\("),
    (lambda: Select(User).nonsense, AttributeError, "has no attribute 'nonsense'$"),
    (lambda: Select(int), QueryError, "the class int, which is no model"),
    (lambda: User.age == 1 & User.id == 2, QueryError, "bind tighter"),
    (lambda: Order.total > "x", InvalidValueError, "orders.total"),
    (lambda: User.age == "x", InvalidValueError, "users.age"),
    (lambda: User.age.In([1, "x"]), InvalidValueError, "users.age"),
    (lambda: User.name == "a\0", InvalidValueError, "NUL"),
    (lambda: User.name.Like("a\0"), InvalidValueError, "NUL"),
    (lambda: User.name.Like(5), QueryError, "expected a str"),
    (lambda: User.tags[0], QueryError, "from 1"),
    (lambda: User.tags[-1], QueryError, "from 1"),
    (lambda: User.tags["a"], QueryError, "whole numbers"),
    (lambda: User.age[1], QueryError, "only arrays, JSON"),
    (lambda: User.data[1.5], QueryError, "a key"),
    (lambda: User.age.text(), QueryError, "no JSON"),
    (lambda: User.age.Op("; DROP", 1), QueryError, "no operator"),
    (lambda: User.age.Op("--", 1), QueryError, "no operator"),
    (lambda: User.age.Cast("int"), QueryError, "types.bigint"),
    (lambda: Value([]), QueryError, "empty list"),
    (lambda: Value([1, "a"]), QueryError, "mixed types"),
    (lambda: Value(object()), QueryError, "not a value that SQL can take"),
    (lambda: Row(User.age), QueryError, "two or more"),
    (lambda: Row(User.age, User.id) == (1,), QueryError, "tuples of 2"),
    (lambda: Row(User.age, User.id).In([(1, None)]), QueryError, "never equal"),
    (lambda: Text("%s"), None, ""),
    (lambda: Text("%s %s", 1), QueryError, "no parameter"),
    (lambda: Text("%s", 1, 2), QueryError, "1 places for 2"),
    (lambda: Text("%(a)s", {"b": 1}), QueryError, r"%\(a\)s"),
    (lambda: Text("$1 = 1"), QueryError, "write %s"),
    (lambda: Text("1; DROP TABLE users"), QueryError, "one statement"),
    (lambda: Exists(User), QueryError, "Exists takes a query"),
    (lambda: Case().When(True, 1), QueryError, "takes a condition"),
    (lambda: Case().When(User.age > 1, 1).Else(2).Else(3), QueryError, "one .Else"),
    (lambda: Case().When(User.age > 1, 1).Else(2).When(User.age > 2, 3), QueryError, "before .Else"),
]


@pytest.mark.parametrize(("build", "error", "words"), REFUSED)
def test_a_wrong_expression_is_refused_when_it_is_built(build, error, words) -> None:
    if error is None:
        build()
        return
    with pytest.raises(error, match=words):
        build()


def test_an_error_never_tells_the_value() -> None:
    with pytest.raises(InvalidValueError) as caught:
        _ = User.age == "secret"
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(User.name == "secret")


def test_a_chain_of_thousands_of_conditions_compiles() -> None:
    condition = User.id == 0
    for number in range(1, 3000):
        condition = condition | (User.id == number)
    text = where(condition)
    assert text.count(" OR ") == 2999
    assert text.endswith("$3000")
