"""The report of a trace: one HTML page that needs nothing else, no network and no file beside it. Returns text.

All text of the program and of the server is escaped. Constants and values are not in it (see `Trace`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Final

from psqlmodel.observe.plan import PlanNode, QueryPlan, duration, number
from psqlmodel.observe.texts import brief, counted
from psqlmodel.query.lexing import tokens

if TYPE_CHECKING:
    from psqlmodel.observe.findings import Finding
    from psqlmodel.observe.sites import Site
    from psqlmodel.observe.trace import Gap, Trace, Traced

_KINDS: Final = {"query": "query", "load": "load", "flush": "flush", "bulk": "flush", "raw": "raw"}
_NAMES: Final = {
    "query": "queries",
    "load": "relations and objects by key",
    "flush": "writes",
    "raw": "SQL by hand",
    "other": "transactions, catalog",
}
_RUN: Final = 4  # so many statements of one text and place in a row are shown as one row
_TICKS: Final = 8
_STEPS: Final = (1, 2, 5)


def page(trace: Trace) -> str:
    """Return the page."""
    findings = trace.findings
    parts = [
        _header(trace),
        _tiles(trace, findings),
        _what_to_change(findings),
        _timeline(trace),
        _shapes(trace),
        _in_order(trace),
        _footer(trace),
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>psqlmodel trace</title>'
        f"<style>\n{_part('report.css')}</style></head><body><main>\n"
        f'{"".join(parts)}</main><div id="tip"></div><script>\n{_part("report.js")}</script></body></html>\n'
    )


def _part(name: str) -> str:
    return files("psqlmodel.observe").joinpath(name).read_text(encoding="utf-8")


def _header(trace: Trace) -> str:
    when = datetime.fromtimestamp(trace.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"<header><h1>Trace</h1><small>{when}, {duration(trace.elapsed)}</small></header>\n"


def _tiles(trace: Trace, findings: Sequence[Finding]) -> str:
    share = trace.seconds / trace.elapsed if trace.elapsed else 0.0
    idle = trace.idle_in_transaction
    tiles = [
        (f"{len(trace):,}", "statement" if len(trace) == 1 else "statements", ""),
        (f"{trace.round_trips:,}", "round trips", ""),
        (duration(trace.seconds), f"in the database, {min(share, 1):.0%} of the time", ""),
        (f"{trace.rows:,}", "rows", ""),
        (
            duration(idle) if idle else "0",
            "idle in transaction",
            "warn" if _has(findings, "idle in transaction") else "",
        ),
        (
            str(len(findings)),
            "thing to change" if len(findings) == 1 else "things to change",
            "warn" if findings else "",
        ),
    ]
    shown = [f'<div class="tile card {kind}"><b>{figure}</b><span>{what}</span></div>' for figure, what, kind in tiles]
    return f'<section class="tiles">{"".join(shown)}</section>\n'


def _has(findings: Sequence[Finding], kind: str) -> bool:
    return any(each.kind == kind for each in findings)


# --- findings -----------------------------------------------------------------------------------------------------


def _what_to_change(findings: Sequence[Finding]) -> str:
    if not findings:
        return '<h2>What to change</h2><div class="card fine">Nothing that a trace can see.</div>\n'
    return f"<h2>What to change</h2>{''.join(map(_finding, findings))}\n"


def _finding(found: Finding) -> str:
    code = f"<pre>{escape(found.code)}</pre>" if found.code else ""
    time = f", {duration(found.seconds)}" if found.seconds else ""
    about = f'<p class="site">{_site(found.site, _links(found.statements) + time)}</p>' if found.site else ""
    return (
        f'<article class="card finding"><h3><span class="badge">{escape(found.kind)}</span>{escape(found.title)}</h3>'
        f"<p>{escape(_sentence(found.advice))}</p>{code}{about}</article>"
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _links(numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    first = f'<a href="#s{numbers[0]}" data-row="s{numbers[0]}">#{numbers[0]}</a>'
    if len(numbers) == 1:
        return f", statement {first}"
    last = f'<a href="#s{numbers[-1]}" data-row="s{numbers[-1]}">#{numbers[-1]}</a>'
    return f", {len(numbers)} statements from {first} to {last}"


def _site(site: Site, more: str = "") -> str:
    source = f'<code class="source">{escape(site.source)}</code>' if site.source else ""
    return f"<code>{escape(str(site))}</code> in {escape(site.function)}{more}{source}"


# --- timeline -----------------------------------------------------------------------------------------------------


def _timeline(trace: Trace) -> str:
    if not trace.statements:
        return '<h2>Timeline</h2><div class="card fine">Nothing was sent.</div>\n'
    kinds = dict.fromkeys(_kind(each) for each in trace.statements)
    keys = [f'<span class="key {kind}">{_NAMES[kind]}</span>' for kind in _NAMES if kind in kinds]
    gaps = trace.gaps
    if gaps:
        keys.append('<span class="key idle">transaction open, nothing asked</span>')
    zoom = '<label>Zoom <input id="zoom" type="range" min="0" max="7" step="0.25" value="0"></label>'
    marks: dict[int, list[str]] = {each.session: [] for each in trace.statements}
    for gap in gaps:
        marks[gap.session].append(_gap(gap, trace.elapsed))
    for each in trace.statements:
        marks[each.session].append(_hit(each, trace.elapsed))
    lanes = "".join(_lane(session, marks[session], len(marks) > 1) for session in sorted(marks))
    return (
        f'<h2>Timeline</h2><section class="card timeline"><div class="bar">{"".join(keys)}{zoom}</div>'
        f'<div class="scroll"><div class="lanes">{"".join(_ticks(trace.elapsed))}{lanes}</div></div></section>\n'
    )


def _ticks(elapsed: float) -> Iterator[str]:
    step = _step(elapsed)
    at = 0.0
    while elapsed and at <= elapsed * 0.97:
        yield f'<div class="tick" style="left:{_percent(at, elapsed)}"><span>{duration(at) if at else "0"}</span></div>'
        at += step


def _step(elapsed: float) -> float:
    """Return a round time of which about eight make the whole."""
    size = 1e-6
    while elapsed / (size * 10) > _TICKS:
        size *= 10
    return next((size * step for step in _STEPS if elapsed / (size * step) <= _TICKS), size * 10)


def _lane(session: int, marks: list[str], named: bool) -> str:
    name = f"<i>session {session}</i>" if named else ""
    return f'<div class="lane">{name}{"".join(marks)}</div>'


def _hit(each: Traced, elapsed: float) -> str:
    said = f"#{each.number}  {duration(each.seconds)}, {_came(each)}, {counted(each.round_trips, 'round trip')}"
    text = f"{said}\n{brief(each.text)}" + (f"\n{each.site}" if each.site else "")
    return (
        f'<a class="hit {_kind(each)}{" bad" if each.error else ""}" href="#s{each.number}" data-row="s{each.number}" '
        f'aria-label="statement {each.number}" data-tip="{escape(text)}" '
        f'style="left:{_percent(each.begun, elapsed)};width:{_percent(each.seconds, elapsed)}"></a>'
    )


def _gap(gap: Gap, elapsed: float) -> str:
    said = f"{duration(gap.seconds)} idle in transaction\nafter {gap.after.site or 'a statement'}"
    return (
        f'<div class="gap" data-tip="{escape(said)}" '
        f'style="left:{_percent(gap.begun, elapsed)};width:{_percent(gap.seconds, elapsed)}"></div>'
    )


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole if whole else 0:.3f}%"


def _kind(each: Traced) -> str:
    return _KINDS.get(each.purpose, "other")


def _came(each: Traced) -> str:
    return each.error or counted(each.rows, "row")


# --- statements by text -------------------------------------------------------------------------------------------


def _shapes(trace: Trace) -> str:
    groups: dict[str, list[Traced]] = {}
    for each in trace.statements:
        groups.setdefault(each.raw, []).append(each)
    costly = sorted(groups.values(), key=lambda group: -sum(each.seconds for each in group))
    shown = "".join(_shape(trace, group) for group in costly)
    return f"<h2>Statements <small>by text, the most costly first</small></h2>{shown}\n" if shown else ""


def _shape(trace: Trace, group: list[Traced]) -> str:
    first, whole = group[0], sum(each.seconds for each in group)
    sites = list(dict.fromkeys(each.site for each in group if each.site is not None))
    places = "".join(f'<li class="site">{_site(site)}</li>' for site in sites)
    called = f"<div><h4>Called from</h4><ul>{places}</ul></div>" if places else ""
    return (
        f'<details class="card shape"><summary><span class="mono"><span class="dot {_kind(first)}"></span>'
        f"{escape(brief(first.text))}</span>"
        f"{_figure(f'{len(group)} ×', '')}{_figure(duration(whole), 'in all')}"
        f"{_figure(f'{sum(each.rows for each in group):,}', 'rows')}</summary>"
        f'<div class="inside"><pre>{_sql(first.text)}</pre>{called}{_values(group)}'
        f"{_plan(trace.plans.get(first.raw))}</div></details>"
    )


def _figure(figure: str, below: str) -> str:
    return f'<span class="figure">{figure}{f"<small>{below}</small>" if below else ""}</span>'


def _values(group: list[Traced]) -> str:
    kept = [each for each in group if each.values]
    if not kept:
        return ""
    rows = "".join(
        f"<li><code>#{each.number}: {escape(', '.join(each.values or ()))}</code></li>" for each in kept[:50]
    )
    return f"<div><h4>Values</h4><ul>{rows}</ul></div>"


def _sql(text: str) -> str:
    return "".join(map(_coloured, tokens(text)))


def _coloured(token: tuple[str, str]) -> str:
    kind, piece = token
    shown = escape(piece)
    if kind == "word" and piece.isupper():  # a keyword, as the library writes them
        return f'<span class="kw">{shown}</span>'
    if kind == "dollar":
        return f'<span class="par">{shown}</span>'
    if kind == "opaque" and not piece.startswith('"'):
        return f'<span class="cst">{shown}</span>'
    return shown


# --- plans --------------------------------------------------------------------------------------------------------


def _plan(plan: QueryPlan | str | None) -> str:
    if plan is None:
        return ""
    if isinstance(plan, str):
        return f"<div><h4>Plan</h4><p class='site'>{escape(_sentence(plan))}</p></div>"
    rows = "".join(_node(node, depth, plan.costly) for node, depth in _deep(plan.root, 0))
    advice = "".join(f'<p class="advice">{escape(_sentence(said))}</p>' for said in plan.advice)
    return (
        '<div><h4>Plan, as for any values</h4><div class="scroll"><table class="plan"><thead><tr><th>node</th>'
        '<th>its own share</th><th class="n"></th><th class="n">cost</th><th class="n">rows expected</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{advice}</div>"
    )


def _deep(node: PlanNode, depth: int) -> Iterator[tuple[PlanNode, int]]:
    yield node, depth
    for child in node.children:
        yield from _deep(child, depth + 1)


def _node(node: PlanNode, depth: int, costly: PlanNode) -> str:
    lead = "   " * (depth - 1) + "└─ " if depth else ""
    below = "   " * depth
    details = "".join(
        f'<tr><td class="detail mono" colspan="5">{below}   {escape(name)}: {escape(said)}</td></tr>'
        for name, said in node.details.items()
    )
    return (
        f'<tr class="{"costly" if node is costly else ""}"><td class="mono">{lead}{escape(node.label)}</td>'
        f'<td class="share"><i style="width:{node.share:.1%}"></i></td><td class="n mark">{node.share:.0%}</td>'
        f'<td class="n">{node.cost:,.1f}</td><td class="n">{number(node.rows)}</td></tr>{details}'
    )


# --- in order -----------------------------------------------------------------------------------------------------


def _in_order(trace: Trace) -> str:
    if not trace.statements:
        return ""
    rows: list[str] = []
    for run, (_, members) in enumerate(groupby(trace.statements, key=lambda each: (each.raw, each.site, each.session))):
        group = list(members)
        if len(group) >= _RUN:
            rows.append(_run(run, group))
        rows += [_row(each, run if len(group) >= _RUN else None) for each in group]
    head = "".join(f'<th class="{kind}">{name}</th>' for name, kind in _HEAD)
    return (
        '<h2>In order</h2><section class="card order"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></section>\n"
    )


_HEAD: Final = (("#", "n"), ("at", "n"), ("time", "n"), ("rows", "n"), ("trips", "n"), ("statement", ""), ("from", ""))


def _run(run: int, group: list[Traced]) -> str:
    first = group[0]
    numbers = f"{first.number}–{group[-1].number}"
    trips = sum(each.round_trips for each in group)
    return (
        f'<tr class="more" data-more="{run}" title="show each of them"><td class="n">{numbers}</td>'
        f"{_cells(first.begun, sum(each.seconds for each in group), f'{sum(each.rows for each in group):,}')}"
        f'<td class="n">{trips}</td><td class="mono"><span class="dot {_kind(first)}"></span>'
        f"{len(group)} × {escape(brief(first.text))}</td>{_from(first.site)}</tr>"
    )


def _row(each: Traced, run: int | None) -> str:
    hidden = "" if run is None else f' data-run="{run}" hidden'
    text = f"BEGIN; {brief(each.text)}" if each.begins else brief(each.text)
    return (
        f'<tr id="s{each.number}"{hidden}{" class=bad" if each.error else ""}><td class="n">{each.number}</td>'
        f"{_cells(each.begun, each.seconds, each.error or f'{each.rows:,}')}"
        f'<td class="n">{each.round_trips}</td><td class="mono" title="{escape(text)}">'
        f'<span class="dot {_kind(each)}"></span>{escape(text)}</td>'
        f"{_from(each.site)}</tr>"
    )


def _from(site: Site | None) -> str:
    return f'<td class="from mono">{escape(str(site or ""))}</td>'


def _cells(begun: float, seconds: float, rows: str) -> str:
    at = f"{begun * 1000:,.1f} ms"
    return f'<td class="n">{at}</td><td class="n">{duration(seconds)}</td><td class="n">{escape(rows)}</td>'


def _footer(trace: Trace) -> str:
    kept = (
        "The trace was made with values=True: what the program sent is in this page."
        if trace.keeps_values
        else "No value is in this page: constants of the texts are ?, and of the program's lines …"
    )
    return f"<footer>{kept}</footer>"
