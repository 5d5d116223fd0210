"""Plans: how PostgreSQL executes a query, as a tree whose costly node is marked. Pure: made of what EXPLAIN answered.

A node's own share is its time (or, where nothing was executed, its estimated cost) without that of its children: the
node that has the most is where to look first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from psqlmodel.later import pattern
from psqlmodel.observe.texts import one_line
from psqlmodel.query.quoting import quote
from psqlmodel.record import Record

# What is said below a node: the key of EXPLAIN's answer.
_DETAILS: Final = (
    "Index Cond",
    "Recheck Cond",
    "Hash Cond",
    "Merge Cond",
    "TID Cond",
    "Join Filter",
    "Filter",
    "One-Time Filter",
    "Function Call",
    "Sort Key",
    "Presorted Key",
    "Group Key",
    "Cache Key",
    "Conflict Resolution",
)
_PLAIN: Final = pattern(r"[a-z_][a-z0-9_]*")
_WORTH_A_WORD: Final = 0.0005  # seconds: what takes less is not worth advice
_COSTLY_SCAN: Final = 500.0  # of the planner's cost: some 40,000 rows
_COST_OF_FEW: Final = 0.2  # of the planner's cost for a row that is found: some nine of ten were read in vain
_EQUAL: Final = pattern(r"\(?(\w+)\)?(?:::[\w ]+)? = ")
_MISJUDGED: Final = 10  # times more or fewer rows than were estimated
_MANY_LOOPS: Final = 1000

Show = Callable[[str], str]


class PlanNode:
    """One node of a plan.

    `kind` is its type ("Seq Scan"), `relation` and `index` what it reads, `rows` the rows that it gives in all, as they
    came where it was executed and else as estimated; `estimated` the estimate, `loops` how often it ran, `cost` the
    planner's total, `seconds` the whole time with its children (None where nothing was executed). `share` is its own
    part of the whole, 0 to 1, without its children. `details` are its conditions, by name.
    """

    def __init__(self, found: Mapping[str, Any], show: Show) -> None:
        self.raw = found
        self.kind = _kind(found)
        self.relation: str | None = found.get("Relation Name") or found.get("CTE Name") or found.get("Function Name")
        self.alias: str | None = found.get("Alias")
        self.index: str | None = found.get("Index Name")
        self.cost = float(found.get("Total Cost", 0.0))
        self.loops = int(found.get("Actual Loops", 1))
        self.estimated = float(found.get("Plan Rows", 0)) * self.loops
        actual = found.get("Actual Rows")
        self.rows = self.estimated if actual is None else float(actual) * self.loops
        total = found.get("Actual Total Time")
        self.seconds: float | None = None if total is None else float(total) * self.loops / 1000
        self.details = {name: show(_spelled(found[name])) for name in _DETAILS if name in found}
        self.children = tuple([PlanNode(child, show) for child in found.get("Plans", ())])
        self.share = 0.0

    @property
    def removed(self) -> float:
        """The rows that its filter threw away."""
        lost: float = found_number(self.raw, "Rows Removed by Filter") * self.loops
        return lost

    @property
    def index_wanted(self) -> str | None:
        """The index that would spare a scan of the whole table: `CREATE INDEX ON items (order_id)`; None for none."""
        columns = list(dict.fromkeys(_EQUAL.findall(self.details.get("Filter", ""))))
        if not columns or self.relation is None or not self.kind.endswith("Seq Scan") or not _reads_much(self):
            return None
        return f"CREATE INDEX ON {_bare(self.relation)} ({', '.join(map(_bare, columns))})"

    @property
    def own(self) -> float:
        """Its own time in seconds, or its own cost where nothing was executed."""
        if self.seconds is None:
            return max(self.cost - sum(child.cost for child in self.children if child._is_input), 0.0)
        return max(self.seconds - sum(child.seconds or 0.0 for child in self.children), 0.0)

    @property
    def _is_input(self) -> bool:
        return self.raw.get("Parent Relationship") not in ("InitPlan", "SubPlan")

    @property
    def label(self) -> str:
        """What the node is, in a line: `Index Scan on orders using orders_user_id_idx`."""
        source = f" on {self.relation}" if self.relation else ""
        alias = f" {self.alias}" if self.alias and self.alias != self.relation else ""
        index = f" using {self.index}" if self.index else ""
        name = f"{self.raw['Subplan Name']}: " if "Subplan Name" in self.raw else ""
        return f"{name}{self.kind}{source}{alias if source else ''}{index}"

    def __iter__(self) -> Iterator[PlanNode]:
        yield self
        for child in self.children:
            yield from child

    def __repr__(self) -> str:
        return f"<PlanNode {self.label} {self.share:.0%}>"


class QueryPlan:
    """The plan of a query: `print(plan)` shows the tree, `plan.costly` is the node that takes the most.

    `root` is its tree; `analyzed` tells whether the query was executed; `planning` and `execution` are times in seconds
    (None where unknown), `text` the statement. `advice` says what to look at, as far as the plan tells.
    """

    def __init__(self, answer: Any, text: str, show: Show = str) -> None:
        found = json.loads(answer) if isinstance(answer, str | bytes) else answer
        whole: Mapping[str, Any] = found[0] if isinstance(found, Sequence) else found
        self.text = text
        self.raw = whole
        self.raw_answer = found
        self.root = PlanNode(whole["Plan"], show)
        self.analyzed = self.root.seconds is not None
        self.planning = _seconds(whole.get("Planning Time"))
        self.execution = _seconds(whole.get("Execution Time"))
        all_own = sum(node.own for node in self.root) or 1.0
        for node in self.root:
            node.share = node.own / all_own
        self.costly = max(self.root, key=lambda node: node.own)

    def __iter__(self) -> Iterator[PlanNode]:
        return iter(self.root)

    @property
    def tree(self) -> PlanNode:
        """The root of the tree."""
        return self.root

    @property
    def advice(self) -> list[str]:
        """What to look at, a sentence each."""
        return [said for node in self.root for said in _advice(node, self.costly is node)]

    def __str__(self) -> str:
        lines = [*_lines(self.root, "", "", self.costly)]
        width = max(len(line.label) for line in lines)
        head = ("time", "rows", "estimated") if self.analyzed else ("cost", "rows", "")
        shown = [_row("", head, width, "")]
        shown += [_row(line.label, line.figures, width, line.mark) for line in lines]
        if self.execution is not None:
            planning = "" if self.planning is None else f", planning {duration(self.planning)}"
            shown.append(f"execution {duration(self.execution)}{planning}")
        return "\n".join([*shown, *[f"→ {said}" for said in self.advice]])

    def __repr__(self) -> str:
        return f"<QueryPlan {one_line(self.text, 60)}>"


def duration(seconds: float) -> str:
    """Return a time as people read it: `0.8 ms`, `12 ms`, `1.4 s`."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    milliseconds = seconds * 1000
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.2g} ms"


def number(value: float) -> str:
    """Return a number of rows as people read it: `12,345`; an average below ten with one place."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def found_number(found: Mapping[str, Any], name: str) -> float:
    """Return a number of EXPLAIN's answer; 0 where it says none."""
    return float(found.get(name, 0) or 0)


class _Line(Record):
    label: str
    figures: tuple[str, str, str]
    mark: str


def _lines(node: PlanNode, lead: str, below: str, costly: PlanNode) -> Iterator[_Line]:
    mark = f"◀ {node.share:.0%}" if node is costly else ""
    if node.seconds is None:
        figures = (f"{node.cost:,.1f}", number(node.rows), "")
    else:
        figures = (duration(node.seconds), number(node.rows), number(node.estimated))
    yield _Line(lead + node.label, figures, mark)
    inner = below + ("│  " if node.children else "   ")
    for name, detail in node.details.items():
        yield _Line(f"{inner}{name}: {one_line(detail, 90)}", ("", "", ""), "")
    if node.removed:
        yield _Line(f"{inner}Rows removed by the filter: {number(node.removed)}", ("", "", ""), "")
    for child in node.children:
        last = child is node.children[-1]
        yield from _lines(child, f"{below}{'└─ ' if last else '├─ '}", f"{below}{'   ' if last else '│  '}", costly)


def _row(label: str, figures: tuple[str, str, str], width: int, mark: str) -> str:
    return f"{label:<{width}}  {figures[0]:>9}  {figures[1]:>9}  {figures[2]:>9}  {mark}".rstrip()


def _bare(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else quote(name)


def _kind(found: Mapping[str, Any]) -> str:
    kind = str(found.get("Node Type", ""))
    if kind == "ModifyTable":
        return str(found.get("Operation", kind))
    if kind == "Aggregate":
        return {"Hashed": "HashAggregate", "Sorted": "GroupAggregate", "Mixed": "MixedAggregate"}.get(
            str(found.get("Strategy")), kind
        )
    join = found.get("Join Type")
    if join and join != "Inner":
        kind = f"{kind.removesuffix(' Join')} {join} Join"
    return f"Parallel {kind}" if found.get("Parallel Aware") and not kind.startswith("Parallel") else kind


def _spelled(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _seconds(milliseconds: Any) -> float | None:
    return None if milliseconds is None else float(milliseconds) / 1000


# --- advice -----------------------------------------------------------------------------------------------------


def _advice(node: PlanNode, costly: bool) -> Iterator[str]:
    slow = node.seconds is None or node.own >= _WORTH_A_WORD
    if costly and slow and node.index_wanted is not None:
        yield f"{node.label} reads the whole table to find {number(node.rows)} rows: {node.index_wanted}"
    if node.seconds is None:
        return
    if costly and slow and node.loops >= _MANY_LOOPS:
        yield f"{node.label} ran {number(node.loops)} times: is there an index for the join, or a query in a loop?"
    wrong = max(node.rows, 1.0) / max(node.estimated, 1.0)
    if slow and costly and (wrong >= _MISJUDGED or wrong <= 1 / _MISJUDGED):
        yield (
            f"{node.label}: {number(node.estimated)} rows were expected and {number(node.rows)} came; ANALYZE "
            f"{node.relation or 'the tables'} makes better estimates"
        )
    if node.raw.get("Sort Space Type") == "Disk":
        size = found_number(node.raw, "Sort Space Used")
        yield f"{node.label} sorted {number(size)} kB on disk: more work_mem, or an index in that order"
    if found_number(node.raw, "Hash Batches") > 1:
        yield f"{node.label} did not fit into work_mem: it took {number(node.raw['Hash Batches'])} batches on disk"


def _reads_much(node: PlanNode) -> bool:
    """Tell whether a scan reads many rows to find few: those of which an index could tell where they are."""
    if node.seconds is None:
        return node.cost >= _COSTLY_SCAN and node.cost >= _COST_OF_FEW * node.rows
    return node.removed >= 1000 and node.removed >= 10 * node.rows
