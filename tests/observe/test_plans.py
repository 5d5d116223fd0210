"""Plans: the tree of what EXPLAIN answered, its costly node, and what is advised. No database."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel import QueryPlan
from psqlmodel.observe.plan import duration, number


def scan(**more: Any) -> dict[str, Any]:
    return {
        "Node Type": "Seq Scan",
        "Relation Name": "items",
        "Alias": "items",
        "Total Cost": 900.0,
        "Plan Rows": 3,
    } | more


def plan_of(node: dict[str, Any], **more: Any) -> QueryPlan:
    return QueryPlan([{"Plan": node} | more], "SELECT 1")


ANALYZED = {
    "Node Type": "Nested Loop",
    "Join Type": "Left",
    "Total Cost": 100.0,
    "Plan Rows": 10,
    "Actual Total Time": 10.0,
    "Actual Rows": 20,
    "Actual Loops": 1,
    "Plans": [
        scan(**{"Actual Total Time": 2.0, "Actual Rows": 20, "Actual Loops": 1}),
        {
            "Node Type": "Index Scan",
            "Relation Name": "orders",
            "Alias": "o",
            "Index Name": "orders_pkey",
            "Index Cond": "(id = items.order_id)",
            "Total Cost": 4.0,
            "Plan Rows": 1,
            "Actual Total Time": 0.3,
            "Actual Rows": 1,
            "Actual Loops": 20,
        },
    ],
}


def test_a_tree_with_its_costly_node() -> None:
    plan = plan_of(ANALYZED, **{"Planning Time": 0.5, "Execution Time": 10.4})
    first, second = plan.tree.children
    assert (plan.root.own, first.own, second.own) == pytest.approx((0.002, 0.002, 0.006))
    assert plan.costly is second
    assert sum(node.share for node in plan) == pytest.approx(1)
    assert (second.rows, second.estimated, second.loops) == (20, 20, 20)
    assert str(plan) == (
        "                                                  time       rows  estimated\n"
        "Nested Loop Left Join                            10 ms         20         10\n"
        "├─ Seq Scan on items                              2 ms         20          3\n"
        "└─ Index Scan on orders o using orders_pkey       6 ms         20         20  ◀ 60%\n"
        "      Index Cond: (id = items.order_id)\n"
        "execution 10 ms, planning 0.5 ms"
    )


def test_a_plan_that_was_not_executed_counts_costs() -> None:
    plan = plan_of({"Node Type": "Limit", "Total Cost": 30.0, "Plan Rows": 1, "Plans": [scan()]})
    assert not plan.analyzed
    assert (plan.costly.kind, plan.costly.share, plan.execution) == ("Seq Scan", 1.0, None)
    assert "◀ 100%" in str(plan).splitlines()[2]


@pytest.mark.parametrize(
    ("node", "index"),
    [
        (scan(Filter="(order_id = $1)"), "CREATE INDEX ON items (order_id)"),
        (scan(Filter="((order_id = $1) AND ((kind)::text = 'x'::text))"), "CREATE INDEX ON items (order_id, kind)"),
        (scan(**{"Filter": "(order_id = $1)", "Relation Name": "My Items"}), 'CREATE INDEX ON "My Items" (order_id)'),
        (scan(**{"Filter": "(order_id = $1)", "Plan Rows": 9000}), None),  # most of the table
        (scan(**{"Filter": "(order_id = $1)", "Total Cost": 40.0}), None),  # a small table
        (scan(Filter="(price > $1)"), None),
        (scan(), None),
        (scan(**{"Filter": "(order_id = $1)", "Node Type": "Index Scan"}), None),
    ],
)
def test_the_index_that_is_wanted(node: dict[str, Any], index: str | None) -> None:
    plan = plan_of(node)
    assert plan.costly.index_wanted == index
    assert plan.advice == (
        [] if index is None else [f"{plan.root.label} reads the whole table to find 3 rows: {index}"]
    )


def test_advice_of_what_was_executed() -> None:
    slow = {"Actual Total Time": 50.0, "Actual Rows": 4000, "Actual Loops": 1, "Plan Rows": 4}
    assert plan_of(scan(**slow)).advice == [
        "Seq Scan on items: 4 rows were expected and 4,000 came; ANALYZE items makes better estimates"
    ]
    fast = slow | {"Actual Total Time": 0.1}
    assert plan_of(scan(**fast)).advice == []
    sort = {"Node Type": "Sort", "Total Cost": 9.0, "Plan Rows": 1, "Sort Space Type": "Disk", "Sort Space Used": 4096}
    assert "sorted 4,096 kB on disk" in plan_of(sort | {"Actual Total Time": 1.0, "Actual Rows": 1}).advice[0]
    hashed = {"Node Type": "Hash", "Total Cost": 9.0, "Plan Rows": 1, "Hash Batches": 8}
    assert "8 batches" in plan_of(hashed | {"Actual Total Time": 1.0, "Actual Rows": 1}).advice[0]


def test_text_of_a_plan_may_come_as_json() -> None:
    assert (
        QueryPlan('[{"Plan": {"Node Type": "Result", "Total Cost": 0.01, "Plan Rows": 1}}]', "").root.kind == "Result"
    )


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        ({"Node Type": "ModifyTable", "Operation": "Update"}, "Update"),
        ({"Node Type": "Aggregate", "Strategy": "Hashed"}, "HashAggregate"),
        ({"Node Type": "Hash Join", "Join Type": "Inner"}, "Hash Join"),
        ({"Node Type": "Hash Join", "Join Type": "Anti"}, "Hash Anti Join"),
        ({"Node Type": "Seq Scan", "Parallel Aware": True}, "Parallel Seq Scan"),
    ],
)
def test_nodes_are_named_as_explain_names_them(node: dict[str, Any], kind: str) -> None:
    assert plan_of(node).root.kind == kind


def test_figures_for_people() -> None:
    assert [duration(s) for s in (0.0000012, 0.00082, 0.0123, 1.44)] == ["0.0012 ms", "0.82 ms", "12 ms", "1.4 s"]
    assert [number(n) for n in (0, 1.25, 12.4, 12345)] == ["0", "1.2", "12", "12,345"]
