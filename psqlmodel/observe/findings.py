"""Findings: what a trace shows that a program could do better, and what to write instead. Pure.

Statements that a loop sends one by one (N+1), the same question asked again, relations that were loaded and not read,
transactions that were open while nothing was asked, indexes that plans lack. What is said is what the trace shows: a
finding is worth a look, not always a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.errors import PSQLModelError
from psqlmodel.model.mapper import registry
from psqlmodel.observe.plan import QueryPlan, duration
from psqlmodel.observe.texts import Reading, counted, one_line, reading_of, redacted, writes
from psqlmodel.record import Record, replace

if TYPE_CHECKING:
    from psqlmodel.model.relations import RelationInfo
    from psqlmodel.observe.sites import Site
    from psqlmodel.observe.trace import Trace, Traced

MANY: Final = 3  # statements of one shape from one place
_IDLE: Final = 0.1  # seconds of an open transaction in which nothing is asked
_READS: Final = frozenset({"query", "load", "raw"})
_ASKED: Final = _READS | {"flush"}


class Finding(Record):
    """One thing to change.

    `kind` is "N+1", "one by one", "repeated", "unread include", "idle in transaction" or "no index"; `title` says what
    was seen, `advice` what to do, `code` what to write (empty where that can't be told). `site` is the place in the
    program, `statements` the numbers of the statements, `seconds` the time that they took.
    """

    kind: str
    title: str
    advice: str
    code: str
    site: Site | None
    statements: tuple[int, ...]
    seconds: float

    def __str__(self) -> str:
        return f"{self.kind}: {self.title}: {self.advice}" + (f"\n    {self.code}" if self.code else "")


def find(trace: Trace) -> list[Finding]:
    """Return the findings of a trace, the most costly first."""
    alike: dict[Any, list[Finding]] = {}
    for each in chain(_in_loops(trace), _repeated(trace), _unread(trace), _idle(trace), _plans(trace)):
        text = trace.statements[each.statements[0] - 1].raw if each.statements else each.title
        alike.setdefault((each.kind, each.site, text), []).append(each)
    return sorted(map(_merged, alike.values()), key=lambda each: -each.seconds)


def _merged(alike: list[Finding]) -> Finding:
    """Return one finding for those that several sessions, or parts of one, have in common: the most costly tells."""
    first = max(alike, key=lambda each: each.seconds)
    if len(alike) == 1:
        return first
    return replace(
        first,
        title=f"{first.title}; the like {counted(len(alike) - 1, 'time')} more",
        statements=tuple(sorted({number for each in alike for number in each.statements})),
        seconds=_seconds(alike),
    )


# --- statements of a loop -----------------------------------------------------------------------------------------


def _in_loops(trace: Trace) -> Iterator[Finding]:
    groups: dict[Any, list[Traced]] = {}
    for each in trace.statements:
        if each.purpose in _ASKED and each.arguments and not each.several and each.site is not None:
            groups.setdefault((each.session, each.raw, each.site), []).append(each)
    for group in groups.values():
        if len(group) < MANY or len({each.fingerprint for each in group}) < MANY:
            continue
        if not writes(group[0].raw):
            yield _n_plus_one(trace, group)
        elif max(each.rows for each in group) <= 1 and "unnest(" not in group[0].raw:  # that writes what arrays hold
            yield _written_singly(group)


def _n_plus_one(trace: Trace, group: list[Traced]) -> Finding:
    first, count = group[0], len(group)
    reading = reading_of(first.raw)
    before = [each for each in trace.statements[: first.number - 1] if each.session == first.session]
    relation, origin = _relation_of(reading, before)
    what = repr(relation) if relation is not None else _named(first)
    advice, code = _instead(first, reading, relation, origin)
    return Finding(
        "N+1",
        f"{count} statements for {what}, one at a time, at {first.site}",
        advice,
        code,
        first.site,
        _numbers(group),
        _seconds(group),
    )


def _instead(
    first: Traced, reading: Reading | None, relation: RelationInfo | None, origin: Traced | None
) -> tuple[str, str]:
    """Return what to do instead of a loop of reads, and what to write."""
    if reading is None or not _gives_objects(first, relation):
        return "ask for all of them in one query: filter with .In(…), and group where it counts or sums", ""
    where = "" if origin is None or origin.site is None else f" in the query at {origin.site}"
    if relation is None:
        return "ask for all of them in one query", _by_keys(reading)
    owner = relation.mapper.name
    path = f"{relation!r}{_part_of(first)}"
    return f"load them with the {owner} objects{where}", f"Select({owner}).Include({path})"


def _gives_objects(first: Traced, relation: RelationInfo | None) -> bool:
    """Tell whether a statement reads whole rows: an aggregate can't be included."""
    selected = redacted(first.raw).upper().partition("FROM")[0]
    if "(" in selected:
        return False
    return relation is None or selected.count(",") + 1 >= len(relation.target.columns) or "*" in selected


def _part_of(first: Traced) -> str:
    """Return what makes the path of an Include a part of the relation, as far as the text shows that there is some."""
    text = redacted(first.raw)
    if first.purpose == "load":
        return ""
    condition = ".Where(…)" if " AND " in text.replace("\n", " ") else ""
    ordering = ".OrderBy(…)" if "ORDER BY" in text else ""
    return f"{condition}{ordering}{'.Limit(…)' if 'LIMIT' in text else ''}"


def _by_keys(reading: Reading) -> str:
    model = next((m for m in registry.mappers() if reading.table in (m.table, f"{m.schema}.{m.table}")), None)
    if model is None or len(reading.keys) != 1:
        return ""
    column = model.by_name.get(reading.keys[0][1])
    return "" if column is None else f"Select({model.name}).Where({model.name}.{column.key}.In(keys))"


def _written_singly(group: list[Traced]) -> Finding:
    first, count = group[0], len(group)
    return Finding(
        "one by one",
        f"{count} × {first.verb} into {_named(first)}, one at a time, at {first.site}"
        if first.verb == "INSERT"
        else f"{count} × {first.verb} of {_named(first)}, one at a time, at {first.site}",
        "change all objects first, and flush or commit once after the loop: rows of one kind are one statement",
        "session.add_all(objects); session.commit()" if first.verb == "INSERT" else "",
        first.site,
        _numbers(group),
        _seconds(group),
    )


# --- relations ----------------------------------------------------------------------------------------------------


def _relation_of(reading: Reading | None, before: Sequence[Traced]) -> tuple[RelationInfo | None, Traced | None]:
    """Return the relation that a statement reads for one object, and the statement that brought these objects.

    Of several that fit, the one whose objects came last before.
    """
    if reading is None:
        return None, None
    fitting = [relation for relation in _relations() if _fits(relation, reading)]
    latest: tuple[int, RelationInfo | None, Traced | None] = (0, None, None)
    for relation in fitting:
        origin = next((each for each in reversed(before) if _brings(each, relation)), None)
        if origin is not None and origin.number > latest[0]:
            latest = (origin.number, relation, origin)
    if latest[1] is None and len({repr(each) for each in fitting}) == 1:
        return fitting[0], None
    return latest[1], latest[2]


def _relations() -> Iterator[RelationInfo]:
    for mapper in registry.mappers():
        yield from mapper.relations.values()


def _fits(relation: RelationInfo, reading: Reading) -> bool:
    """Tell whether a statement reads the target of a relation by the key that leads to it."""
    with suppress(PSQLModelError):  # a class that names one which does not exist
        target = relation.target
        if relation.secondary is not None:
            link, ours, _ = relation.secondary
            name = str(getattr(link, "__source__", link).name)
            asked = {column for table, column in reading.keys if table == name}
            return name in reading.tables and {str(column.name) for column in ours} <= asked
        if reading.table not in (target.table, f"{target.schema}.{target.table}"):
            return False
        asked = {column for table, column in reading.keys if table in ("", target.table)}
        return {str(column.name) for column in relation.remote} <= asked
    return False


def _brings(statement: Traced, relation: RelationInfo) -> bool:
    reading = reading_of(statement.raw)
    owner = relation.mapper
    return reading is not None and reading.table in (owner.table, f"{owner.schema}.{owner.table}")


# --- the others ---------------------------------------------------------------------------------------------------


def _repeated(trace: Trace) -> Iterator[Finding]:
    """Find what was asked again with the same values, with nothing written in between."""
    asked: dict[Any, list[Traced]] = {}
    for each in trace.statements:
        if writes(each.raw) or each.purpose in ("flush", "bulk", "schema"):
            yield from _again(asked)
            asked = {}
        elif each.purpose in _READS and each.verb == "SELECT" and each.error is None:
            asked.setdefault((each.session, each.raw, each.fingerprint), []).append(each)
    yield from _again(asked)


def _again(asked: dict[Any, list[Traced]]) -> Iterator[Finding]:
    for group in asked.values():
        if len(group) < 2:
            continue
        sites = list(dict.fromkeys([str(each.site) for each in group if each.site is not None]))
        yield Finding(
            "repeated",
            f"asked {len(group)} times for the same: {one_line(redacted(group[0].raw), 70)}",
            f"keep the result of the first{f'; it is asked at {_listed(sites)}' if sites else ''}",
            "",
            group[0].site,
            _numbers(group),
            _seconds(group[1:]),
        )


def _unread(trace: Trace) -> Iterator[Finding]:
    seen: set[Any] = set()
    for each in trace.includes:
        if each.read or not each.objects or (each.relation, each.site) in seen:
            continue
        seen.add((each.relation, each.site))
        yield Finding(
            "unread include",
            f"{each.relation!r} was included in a query for {each.objects} objects and not read, at {each.site}",
            f"leave {each.relation!r} out of .Include(…) there, if nobody reads it after the trace either",
            "",
            each.site,
            (),
            0.0,
        )


def _idle(trace: Trace) -> Iterator[Finding]:
    by_session: dict[int, list[Any]] = {}
    for gap in trace.gaps:
        by_session.setdefault(gap.session, []).append(gap)
    for gaps in by_session.values():
        whole, longest = sum(gap.seconds for gap in gaps), max(gaps, key=lambda gap: gap.seconds)
        if whole < _IDLE:
            continue
        after = longest.after.site
        until = "the end of the trace" if longest.before is None else str(longest.before.site)
        until = "the next statement there" if until == str(after) else until
        yield Finding(
            "idle in transaction",
            f"a transaction was open for {duration(whole)} while nothing was asked",
            f"the longest part, {duration(longest.seconds)}, is between {after} and {until}: commit before it, or do "
            "that work outside; meanwhile its locks are held, and VACUUM can't remove what it may still see",
            "",
            after,
            _numbers([each for each in (longest.after, longest.before) if each is not None]),
            whole,
        )


def _plans(trace: Trace) -> Iterator[Finding]:
    """Find the indexes that plans lack: one finding for each, whatever the number of plans."""
    lacking: dict[str, list[Traced]] = {}
    for text, plan in trace.plans.items():
        wanted = plan.costly.index_wanted if isinstance(plan, QueryPlan) else None
        if wanted is not None:
            lacking.setdefault(wanted, []).extend(each for each in trace.statements if each.raw == text)
    for wanted, group in lacking.items():
        ordered = sorted(group, key=lambda each: each.number)
        yield Finding(
            "no index",
            f"the whole table is read to find few rows, {counted(len(ordered), 'time')}",
            "an index finds them, if the table has many rows in production, too",
            wanted,
            ordered[0].site,
            _numbers(ordered),
            _seconds(ordered),
        )


def _named(statement: Traced) -> str:
    return statement.tables[0] if statement.tables else one_line(statement.text, 40)


def _numbers(group: Iterable[Traced]) -> tuple[int, ...]:
    return tuple([each.number for each in group])


def _seconds(group: Iterable[Traced | Finding]) -> float:
    return sum(each.seconds for each in group)


def _listed(sites: list[str]) -> str:
    return sites[0] if len(sites) == 1 else f"{', '.join(sites[:-1])} and {sites[-1]}"
