"""A trace as a table: with rich where it is installed, else as plain text. Returns text; prints nothing."""

from __future__ import annotations

import io
import shutil
import textwrap
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.observe.plan import duration
from psqlmodel.observe.texts import brief, counted, one_line

if TYPE_CHECKING:
    from psqlmodel.observe.findings import Finding
    from psqlmodel.observe.trace import Trace, Traced

_NARROW: Final = 80
_WIDE: Final = 160
_HEAD: Final = ("#", "at ms", "time", "rows", "trips", "statement", "from")
_LEAST: Final = 10  # characters of a column
_FOOT: Final = 50  # more statements than this are not listed one by one
_COLOURS: Final = {"flush": "green", "bulk": "green", "load": "cyan", "raw": "magenta", "transaction": "dim"}


def drawn(trace: Trace, *, colours: bool) -> str:
    """Return the table as text; `colours` for a terminal."""
    if find_spec("rich") is None:
        return plain(trace)
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=_width(), force_terminal=colours, no_color=not colours, legacy_windows=False)
    console.print(renderable(trace))
    return out.getvalue().rstrip("\n")


def renderable(trace: Trace) -> Any:
    """Return what rich shows: the table, and the findings below it."""
    from rich.box import ROUNDED
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    widths = _widths(trace, frame=3 * len(_HEAD) + 1)
    table = Table(title=summary(trace), title_justify="left", title_style="bold", header_style="dim", box=ROUNDED)
    for name, width in zip(_HEAD, widths, strict=True):
        justify: Any = "left" if name in ("statement", "from") else "right"
        table.add_column(name, justify=justify, no_wrap=True, width=width, overflow="ellipsis")
    for each in _listed(trace):
        style = "red" if each.error else _COLOURS.get(each.purpose, "")
        table.add_row(*[Text(cell) for cell in _fitted(_cells(each), widths)], style=style)
    left = len(trace) - _FOOT
    more = [Text(f"… and {left} more: trace.statements has them all", style="dim")] if left > 0 else []
    return Group(table, *more, *[Text(said, style="yellow") for said in _said(trace.findings)])


def plain(trace: Trace) -> str:
    """Return the table as text without rich."""
    widths = _widths(trace, frame=2 * (len(_HEAD) - 1))
    lines = textwrap.wrap(summary(trace), _width())
    for row in [_HEAD, *[_fitted(_cells(each), widths) for each in _listed(trace)]]:
        cells = [f"{row[n]:>{widths[n]}}" for n in range(5)]
        lines.append("  ".join([*cells, f"{one_line(row[5], widths[5]):<{widths[5]}}", row[6]]).rstrip())
    if len(trace) > _FOOT:
        lines.append(f"… and {len(trace) - _FOOT} more: trace.statements has them all")
    return "\n".join([*lines, *_said(trace.findings)])


def summary(trace: Trace) -> str:
    """Return what a trace comes to, in a line."""
    parts = [
        counted(len(trace), "statement"),
        counted(trace.round_trips, "round trip"),
        f"{duration(trace.seconds)} of {duration(trace.elapsed)} in the database",
        counted(trace.rows, "row"),
    ]
    if trace.idle_in_transaction >= 0.001:
        parts.append(f"{duration(trace.idle_in_transaction)} idle in transaction")
    return ", ".join(parts)


def _listed(trace: Trace) -> list[Traced]:
    return trace.statements[:_FOOT]


def _widths(trace: Trace, frame: int) -> list[int]:
    """Return the widths of the columns: statement and place share what the figures and the frame leave."""
    rows = [_HEAD, *[_cells(each) for each in _listed(trace)]]
    widths = [max(len(row[n]) for row in rows) for n in range(len(_HEAD))]
    room = _width() - sum(widths[:5]) - frame
    widths[6] = min(widths[6], max(room // 3, _LEAST))
    widths[5] = min(widths[5], max(room - widths[6], _LEAST))
    return widths


def _cells(each: Traced) -> tuple[str, ...]:
    text = brief(each.text)
    return (
        str(each.number),
        f"{each.begun * 1000:.1f}",
        duration(each.seconds),
        each.error or f"{each.rows:,}",
        str(each.round_trips),
        text if not each.begins else f"BEGIN; {text}",
        "" if each.site is None else str(each.site),
    )


def _fitted(cells: tuple[str, ...], widths: list[int]) -> tuple[str, ...]:
    """Return the cells with statement and place cut to their columns: of a place the end counts."""
    place = cells[6] if len(cells[6]) <= widths[6] else f"…{cells[6][1 - widths[6] :]}"
    return (*cells[:5], one_line(cells[5], widths[5]), place)


def _said(findings: list[Finding]) -> list[str]:
    lines: list[str] = []
    for each in findings:
        lines += textwrap.wrap(f"{each.kind}: {each.title}", _width(), initial_indent="→ ", subsequent_indent="  ")
        lines += textwrap.wrap(each.advice, _width(), initial_indent="  ", subsequent_indent="  ")
        if each.code:
            lines.append(f"    {each.code}")
    return lines


def _width() -> int:
    return min(max(shutil.get_terminal_size((120, 40)).columns, _NARROW), _WIDE)
