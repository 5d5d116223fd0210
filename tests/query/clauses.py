"""How each clause of PostgreSQL is written here: what docs/clauses.md shows. Each example is built, parsed and run.

    python -m tests.query.clauses        writes the page

`sql` is what the text must hold; `since` the version of PostgreSQL that has it, where that is not 14.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psqlmodel
from psqlmodel import types
from psqlmodel.query import Query

from .shop import Item, Order, User

PAGE = Path(__file__).parents[2] / "docs" / "clauses.md"
NAMES: dict[str, Any] = {
    **{name: getattr(psqlmodel.query, name) for name in psqlmodel.query.__all__},
    "User": User,
    "Order": Order,
    "Item": Item,
    "types": types,
    "timedelta": timedelta,
    "day": date(2026, 1, 1),
    "now": datetime(2026, 1, 1, tzinfo=UTC),
}


@dataclass(frozen=True)
class Clause:
    """A clause, the code that writes it, a part of the SQL that must come of it."""

    clause: str
    code: str
    sql: str
    since: int = 14

    def build(self) -> Any:
        """Return the query, or the SQL by hand."""
        return eval(self.code, dict(NAMES))


def _tree(end: str) -> str:
    start = "With('tree', Select(User.id, User.boss_id).Where(User.boss_id == None))"
    step = "lambda t: Select(User.id, User.boss_id).Join(t, User.boss_id == t.id)"
    return f"Select(tree := {start}.Recursive({step}){end})"


SECTIONS: dict[str, list[Clause]] = {
    "SELECT": [
        Clause("select list, AS", "Select(User.id, User.name.As('called'))", 'AS "called"'),
        Clause("SELECT DISTINCT", "Select(User.age).Distinct()", "SELECT DISTINCT"),
        Clause(
            "SELECT DISTINCT ON",
            "Select(Order).DistinctOn(Order.user_id).OrderBy(Order.user_id, Order.day)",
            "DISTINCT ON (",
        ),
        Clause("without FROM", "Select(Now())", "SELECT now()"),
        Clause("WHERE", "Select(User).Where(User.age > 18, User.name != 'x')", "WHERE"),
        Clause("GROUP BY, HAVING", "Select(User.age, Count()).GroupBy(User.age).Having(Count() > 1)", "HAVING"),
        Clause(
            "GROUP BY ROLLUP",
            "Select(Order.day, Order.paid, Sum(Order.total)).GroupBy(Rollup(Order.day, Order.paid))",
            "ROLLUP (",
        ),
        Clause("GROUP BY CUBE", "Select(Order.day, Count()).GroupBy(Cube(Order.day, Order.paid))", "CUBE ("),
        Clause(
            "GROUPING SETS, GROUPING()",
            "Select(Order.day, Grouping(Order.day), Count()).GroupBy(GroupingSets((Order.day, Order.paid), ()))",
            "GROUPING SETS (",
        ),
        Clause("ORDER BY, NULLS FIRST", "Select(User).OrderBy(User.born.Desc().NullsLast(), User.id)", "NULLS LAST"),
        Clause("LIMIT, OFFSET", "Select(User).OrderBy(User.id).Limit(10).Offset(20)", "OFFSET"),
        Clause("FETCH … WITH TIES", "Select(User).OrderBy(User.age).LimitWithTies(3)", "ROWS WITH TIES"),
        Clause(
            "FOR UPDATE and its kin", "Select(User).ForUpdate(of=User, skip_locked=True)", 'FOR UPDATE OF "users" SKIP'
        ),
        Clause("FOR NO KEY UPDATE", "Select(User).ForNoKeyUpdate(nowait=True)", "FOR NO KEY UPDATE NOWAIT"),
        Clause("FOR SHARE", "Select(User).ForShare()", "FOR SHARE"),
        Clause("FOR KEY SHARE", "Select(User).ForKeyShare()", "FOR KEY SHARE"),
        Clause("UNION [ALL]", "Select(User.id).Union(Select(Order.user_id)).OrderBy(User.id)", "UNION"),
        Clause("UNION ALL", "Select(User.id).UnionAll(Select(Order.user_id))", "UNION ALL"),
        Clause("INTERSECT [ALL]", "Select(User.id).IntersectAll(Select(Order.user_id))", "INTERSECT ALL"),
        Clause("INTERSECT", "Select(User.id).Intersect(Select(Order.user_id))", "INTERSECT"),
        Clause("EXCEPT [ALL]", "Select(User.id).ExceptAll(Select(Order.user_id))", "EXCEPT ALL"),
        Clause("EXCEPT", "Select(User.id).Except(Select(Order.user_id))", "EXCEPT"),
    ],
    "FROM": [
        Clause("another table, AS", "Select(a := Alias(User, 'a')).Where(a.id == 1)", '"users" AS "a"'),
        Clause(
            "several tables", "Select(Count()).From(User, Order).Where(Order.user_id == User.id)", '"users", "orders"'
        ),
        Clause("ONLY", "Select(Only(User))", "FROM ONLY"),
        Clause(
            "TABLESAMPLE", "Select(TableSample(User, 10, method='bernoulli', repeatable=1))", "TABLESAMPLE BERNOULLI"
        ),
        Clause("JOIN … ON", "Select(User).Join(Order, Order.user_id == User.id)", "JOIN"),
        Clause("JOIN along a relation", "Select(User).Join(User.orders)", "JOIN"),
        Clause("LEFT JOIN", "Select(User, Order.total).LeftJoin(User.orders)", "LEFT JOIN"),
        Clause(
            "RIGHT JOIN", "Select(User.id, Order.id.As('o')).RightJoin(Order, Order.user_id == User.id)", "RIGHT JOIN"
        ),
        Clause("FULL JOIN", "Select(User.id, Order.id.As('o')).FullJoin(Order, Order.user_id == User.id)", "FULL JOIN"),
        Clause("CROSS JOIN", "Select(User.id, Order.id.As('o')).CrossJoin(Order)", "CROSS JOIN"),
        Clause("subquery", "Select(s := Select(User.id).Where(User.age > 1).Subquery('s'))", 'AS "s"'),
        Clause(
            "LATERAL",
            "Select(User.id, (last := Select(Order.total).Where(Order.user_id == User.id).OrderBy(Order.day.Desc())"
            ".Limit(1).Subquery('last')).total).LeftLateralJoin(last)",
            "LEFT JOIN LATERAL",
        ),
        Clause(
            "VALUES as a table",
            "Select(v := Values('v', ['a', 'b'], [(1, 'x'), (2, 'y')])).Where(v.a > 1)",
            "unnest(",
        ),
        Clause(
            "a function that gives rows",
            "Select(g := Func.generate_series(1, 9).AsTable('g', 'n')).Where(g.n > 3)",
            'generate_series($1::integer, $2::integer) AS "g" ("n")',
        ),
        Clause(
            "WITH ORDINALITY",
            "Select(User.id, (t := Func.unnest(User.tags).AsTable('t', 'tag', ordinality='place')).tag, t.place)"
            ".LateralJoin(t)",
            "WITH ORDINALITY",
        ),
        Clause(
            "column definitions of a record",
            "Select(r := Func.jsonb_to_recordset(Cast([{'a': 1}], types.jsonb)).AsTable('r', a=types.integer))",
            '("a" integer)',
        ),
        Clause(
            "JSON_TABLE",
            "Select(User.id, (line := JsonTable('line', User.data, '$.lines[*]', n=Ordinality(), "
            "sku=(types.text, '$.s'), parts=Nested('$.p[*]', part=types.integer))).sku, line.part).CrossJoin(line)",
            "JSON_TABLE(",
            17,
        ),
    ],
    "WITH": [
        Clause("WITH", "Select(w := With('w', Select(User.id).Where(User.age > 1)))", 'WITH "w" AS ('),
        Clause("MATERIALIZED", "Select(w := With('w', Select(User.id)).Materialized())", "AS MATERIALIZED ("),
        Clause(
            "NOT MATERIALIZED", "Select(w := With('w', Select(User.id)).NotMaterialized())", "AS NOT MATERIALIZED ("
        ),
        Clause("RECURSIVE", _tree(""), "WITH RECURSIVE"),
        Clause(
            "SEARCH DEPTH FIRST",
            _tree(".SearchDepthFirst('id', set='place')") + ".OrderBy(tree.place)",
            "DEPTH FIRST BY",
        ),
        Clause("SEARCH BREADTH FIRST", _tree(".SearchBreadthFirst('id')"), "BREADTH FIRST BY"),
        Clause("CYCLE", _tree(".Cycle('id', mark='again', path='way')"), 'CYCLE "id" SET "again" USING "way"'),
        Clause(
            "data-modifying",
            "Select(w := With('w', Delete(Order).Where(Order.paid == True).Returning(Order.id)))",
            "DELETE FROM",
        ),
        Clause(
            "beside another statement",
            "Select(Count()).From(User)"
            ".With(With('w', Update(User).Set(age=1).Where(User.id == 1).Returning(User.id)))",
            "UPDATE",
        ),
    ],
    "INSERT": [
        Clause("VALUES", "Insert(Order).Values(user_id=1, total=3, day=day)", "VALUES"),
        Clause(
            "several rows",
            "Insert(Order).Values({'user_id': 1, 'total': 3, 'day': day}, {'user_id': 1, 'total': 4, 'day': day})",
            "INSERT",
        ),
        Clause(
            "from a query",
            "Insert(Order).FromSelect(Select(User.id, Value(1).As('total'), Value(day).As('d')), "
            "Order.user_id, Order.total, Order.day)",
            "SELECT",
        ),
        Clause(
            "OVERRIDING SYSTEM VALUE",
            "Insert(Order).OverridingSystemValue().Values(id=99, user_id=1, total=3, day=day)",
            "OVERRIDING SYSTEM VALUE",
        ),
        Clause(
            "ON CONFLICT DO NOTHING",
            "Insert(Order).Values(user_id=1, total=3, day=day).OnConflict().DoNothing()",
            "DO NOTHING",
        ),
        Clause(
            "ON CONFLICT DO UPDATE … WHERE",
            "Insert(Order).Values(id=1, user_id=1, total=3, day=day)"
            ".OnConflict(Order.id).DoUpdate(total=Excluded.total).Where(Order.paid == False)",
            "DO UPDATE",
        ),
        Clause("RETURNING", "Insert(Order).Values(user_id=1, total=3, day=day).Returning(Order)", "RETURNING"),
    ],
    "UPDATE": [
        Clause("SET", "Update(User).Set(age=User.age + 1, name='x').Where(User.id == 1)", "SET"),
        Clause("FROM", "Update(User).Set(age=0).From(Order).Where(Order.user_id == User.id)", "\nFROM"),
        Clause(
            "SET from a subquery",
            "Update(User).Set(age=Select(Count()).From(Order).Scalar()).Where(User.id == 1)",
            "(SELECT",
        ),
        Clause("every row", "Update(User).Set(age=0).AllRows()", "UPDATE"),
        Clause(
            "RETURNING old, new",
            "Update(User).Set(age=User.age + 1).Where(User.id == 1).Returning(Old(User).age, New(User).age)",
            'RETURNING old."age"',
            18,
        ),
    ],
    "DELETE": [
        Clause("WHERE", "Delete(Order).Where(Order.paid == True)", "WHERE"),
        Clause("USING", "Delete(Order).Using(User).Where(Order.user_id == User.id, User.age > 99)", "USING"),
        Clause("RETURNING", "Delete(Order).Where(Order.id == 1).Returning(Order)", "RETURNING"),
    ],
    "MERGE": [
        Clause(
            "USING, WHEN MATCHED, WHEN NOT MATCHED",
            "Merge(User).Using(Order, Order.user_id == User.id).WhenMatched(Order.paid == True).Update(age=1)"
            ".WhenMatched().DoNothing()",
            "WHEN MATCHED",
            15,
        ),
        Clause(
            "WHEN NOT MATCHED BY SOURCE",
            "Merge(Order).Using(User, User.id == Order.user_id).WhenNotMatchedBySource().Delete()",
            "BY SOURCE",
            17,
        ),
        Clause(
            "RETURNING",
            "Merge(Order).Using(User, User.id == Order.user_id).WhenMatched().Delete()"
            ".Returning(Func.merge_action(), Order.id)",
            "merge_action()",
            17,
        ),
    ],
    "Expressions": [
        Clause("AND, OR, NOT", "Select(User).Where(~((User.age > 1) & (User.id == 1) | (User.id == 2)))", "NOT ("),
        Clause("IN, = ANY", "Select(User).Where(User.id.In([1, 2]))", "= ANY("),
        Clause("IN (subquery)", "Select(User).Where(User.id.In(Select(Order.user_id)))", "IN ("),
        Clause(
            "ANY, ALL", "Select(User).Where(User.id == AnyOf(Select(Order.user_id)), User.age > AllOf([1, 2]))", "ANY ("
        ),
        Clause("EXISTS", "Select(User).Where(Exists(Select(Order).Where(Order.user_id == User.id)))", "EXISTS ("),
        Clause("BETWEEN", "Select(User).Where(User.age.Between(1, 9))", "BETWEEN"),
        Clause("IS [NOT] NULL", "Select(User).Where(User.nick == None)", "IS NULL"),
        Clause("IS DISTINCT FROM", "Select(User).Where(User.nick.IsDistinctFrom('x'))", "IS DISTINCT FROM"),
        Clause("LIKE, ILIKE", "Select(User).Where(User.name.ILike('a%'))", "ILIKE"),
        Clause("regular expressions", "Select(User).Where(User.name.Matches('^a'), User.name.IMatches('b$'))", " ~ "),
        Clause("CASE", "Select(Case().When(User.age < 18, 'minor').Else('adult'))", "CASE WHEN"),
        Clause(
            "COALESCE, NULLIF, GREATEST",
            "Select(Coalesce(User.nick, User.name), NullIf(User.age, 0).As('a'), Greatest(User.age, 1).As('b'))",
            "coalesce(",
        ),
        Clause("CAST, ::", "Select(User.age.Cast(types.text))", "::text"),
        Clause("COLLATE", "Select(User).OrderBy(User.name.Collate('C'))", 'COLLATE "C"'),
        Clause("AT TIME ZONE", "Select(User.born.AtTimeZone('Europe/Rome').As('there'))", "AT TIME ZONE"),
        Clause("row values", "Select(User).Where(Row(User.age, User.id) > (18, 1))", ") > ("),
        Clause(
            "arrays",
            "Select(User).Where(User.tags.Has('x'), User.scores.Contains([1]), User.tags.Overlaps(['a']))",
            "@>",
        ),
        Clause("elements and slices of arrays", "Select(User.scores[1])", "["),
        Clause("JSON", "Select(User.data['a']['b']).Where(User.data.HasKey('a'), User.data.Contains({'a': 1}))", "->"),
        Clause("JSON path", "Select(User).Where(User.data.Op('@?', Cast('$.a[*]', types.custom('jsonpath'))))", "@?"),
        Clause("ranges", "Select(User).Where(User.years.Contains(5), User.years.Overlaps(types.Range(1, 9)))", "&&"),
        Clause(
            "full-text search",
            "Select(User).Where(Func.to_tsvector(User.name).Op('@@', Func.to_tsquery('cat & dog')))",
            "@@",
        ),
        Clause("any operator", "Select(User).Where(User.name.Op('^@', 'A'))", "^@"),
        Clause("any function", "Select(Func.pg_catalog.initcap(User.name))", "pg_catalog.initcap("),
        Clause("a piece of SQL", "Select(User).Where(Text('length(%s) > %s', User.name, 3))", "length("),
        Clause(
            "scalar subquery",
            "Select(User.id, Select(Count()).From(Order).Where(Order.user_id == User.id).As('n'))",
            "(SELECT count(*)",
        ),
    ],
    "Aggregates and windows": [
        Clause("DISTINCT in an aggregate", "Select(Count(User.age).Distinct())", "count(DISTINCT"),
        Clause("ORDER BY in an aggregate", "Select(ArrayAgg(User.name).OrderBy(User.age))", "array_agg("),
        Clause("FILTER", "Select(Count().Filter(User.age > 18)).From(User)", "FILTER (WHERE"),
        Clause(
            "WITHIN GROUP",
            "Select(Func.percentile_cont(0.5).WithinGroup(User.age)).From(User)",
            "WITHIN GROUP (ORDER BY",
        ),
        Clause("OVER (…)", "Select(Rank().Over(partition_by=User.age, order_by=User.id))", "OVER (PARTITION BY"),
        Clause("frames", "Select(Sum(Order.total).Over(order_by=Order.id, rows=(-2, 0)))", "ROWS BETWEEN"),
        Clause(
            "WINDOW",
            "Select(Sum(Order.total).Over('w'), Rank().Over('w'))"
            ".Window('w', partition_by=Order.user_id, order_by=Order.id)",
            'WINDOW "w" AS (',
        ),
    ],
    "By hand": [
        Clause(
            "a whole statement", "SQL('SELECT count(*) FROM {table} WHERE age > {age}', table=User, age=18)", "age > $1"
        ),
        Clause(
            "into objects",
            "SQL('SELECT * FROM users WHERE age > {age}', age=18).Into(User).Where(User.name == 'x')",
            'AS "users"',
        ),
    ],
}


def text_of(made: Any) -> tuple[str, list[Any]]:
    """Return the text of a query or of SQL by hand, and its arguments."""
    return made.to_sql_params() if isinstance(made, Query) else made.statement()


def page() -> str:
    """Return the page."""
    lines = [
        "# PostgreSQL's clauses, and how they are written",
        "",
        "Made from the tests, which build each example, parse its SQL with PostgreSQL's grammar and run it on a",
        "server. A clause that needs a newer one than PostgreSQL 14 names its version.",
        "",
    ]
    for section, clauses in SECTIONS.items():
        lines += [f"## {section}", "", "| clause | written as |", "|---|---|"]
        for each in clauses:
            since = f" (PostgreSQL {each.since})" if each.since > 14 else ""
            code = each.code.replace("|", "\\|")
            lines.append(f"| {each.clause}{since} | `{code}` |")
        lines.append("")
    lines += [
        "What has no form of its own (`ROWS FROM`, `SET (a, b) = ROW(…)`, `WHERE CURRENT OF`, `ORDER BY … USING`,",
        "XML functions) is written with `Text` inside a query, or with `SQL` as a whole statement: values are",
        'parameters there, too. Before Python 3.14 `SQL("… {v} …", v=value)`; from 3.14 on',
        '`session.exec(t"… {value} …")` as well.',
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
