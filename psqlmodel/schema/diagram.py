"""Descriptions of tables → a diagram of them: Mermaid for pages that render it, SVG to look at. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape

from psqlmodel.record import Record
from psqlmodel.schema.description import ColumnInfo, ForeignKeyInfo, TableInfo

_CHAR, _ROW, _PADDING = 7.3, 20, 10  # pixels: the width of a character at 12 px monospace, the height of a row
_GAP_X, _GAP_Y = 90, 36
_FONT = "ui-monospace, Menlo, Consolas, monospace"
_HEAD, _LINE, _KEY = "#1f4e79", "#8aa0b5", "#b45309"


def mermaid(tables: Sequence[TableInfo]) -> str:
    """Return a Mermaid entity-relationship diagram.

    print(mermaid(engine.run_steps(inspect_tables(schema="public"))))
    """
    lines = ["erDiagram"]
    for table in tables:
        lines.append(f"    {_word(table.name)} {{")
        lines += [f"        {_word(c.type)} {_word(c.name)}{_marks(table, c)}" for c in table.columns]
        lines.append("    }")
    names = {(table.schema, table.name) for table in tables} | {(None, table.name) for table in tables}
    for table in tables:
        for key in table.foreign_keys:
            if (key.schema, key.table) in names:
                ends = f"{_word(key.table)} {_ends(table, key)} {_word(table.name)}"
                lines.append(f'    {ends} : "{", ".join(key.columns)}"')
    return "\n".join(lines) + "\n"


def svg(tables: Sequence[TableInfo]) -> str:
    """Return an SVG picture: tables as boxes, those that others refer to on the left, keys as lines.

    Path("schema.svg").write_text(svg(tables))
    """
    boxes = _placed(tables)
    width = max((box.x + box.width for box in boxes.values()), default=0) + _PADDING
    height = max((box.y + box.height for box in boxes.values()), default=0) + _PADDING
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{_FONT}" font-size="12">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
    ]
    for table in tables:
        parts += _keys(table, boxes)
    for table in tables:
        parts += _drawn(table, boxes[table.name])
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Box(Record):
    x: float
    y: float
    width: float
    height: float


# --- what both say ------------------------------------------------------------------------------------------


def _word(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_") or "_"


def _is_key(table: TableInfo, column: ColumnInfo) -> bool:
    return table.primary_key is not None and column.name in table.primary_key.columns


def _refers(table: TableInfo, column: ColumnInfo) -> bool:
    return any(column.name in key.columns for key in table.foreign_keys)


def _marks(table: TableInfo, column: ColumnInfo) -> str:
    alone = any(key.columns == (column.name,) for key in table.uniques)
    marks = [m for m, holds in (("PK", _is_key(table, column)), ("FK", _refers(table, column)), ("UK", alone)) if holds]
    return f" {', '.join(marks)}" if marks else ""


def _ends(table: TableInfo, key: ForeignKeyInfo) -> str:
    """Return Mermaid's signs for both ends: of how many there is one, of how many there may be several."""
    optional = any(table.column(name).nullable for name in key.columns)
    keys = [found.columns for found in (table.primary_key, *table.uniques) if found is not None]
    unique = any(set(columns) == set(key.columns) for columns in keys)
    return f"{'|o' if optional else '||'}--{'o|' if unique else 'o{'}"


# --- the picture --------------------------------------------------------------------------------------------


def _placed(tables: Sequence[TableInfo]) -> dict[str, _Box]:
    """Place the tables in columns by how many keys lead away from them, each beside what it refers to."""
    columns: dict[int, list[TableInfo]] = defaultdict(list)
    levels = _levels(tables)
    for table in tables:
        columns[levels[table.name]].append(table)
    boxes: dict[str, _Box] = {}
    x = float(_PADDING)
    for level in sorted(columns):
        y = float(_PADDING)
        widest = max(map(_width, columns[level]))
        for table in sorted(columns[level], key=lambda table: _pull(table, boxes)):
            height = _ROW * (len(table.columns) + 1) + 4
            boxes[table.name] = _Box(x, y, widest, height)
            y += height + _GAP_Y
        x += widest + _GAP_X
    return boxes


def _levels(tables: Sequence[TableInfo]) -> dict[str, int]:
    known = {table.name: table for table in tables}
    levels: dict[str, int] = {}

    def level(name: str, above: tuple[str, ...]) -> int:
        if name not in levels:
            parents = {key.table for key in known[name].foreign_keys} & known.keys() - {name, *above}
            levels[name] = 1 + max((level(parent, (*above, name)) for parent in sorted(parents)), default=-1)
        return levels[name]

    for name in known:
        level(name, ())
    return levels


def _pull(table: TableInfo, boxes: dict[str, _Box]) -> float:
    """Return where the tables to the left that it refers to lie, on average."""
    near = [boxes[key.table].y for key in table.foreign_keys if key.table in boxes]
    return sum(near) / len(near) if near else 0.0


def _width(table: TableInfo) -> float:
    names = max((len(column.name) for column in table.columns), default=0)
    types = max((len(_short(column)) for column in table.columns), default=0)
    return max(names + types + 3, len(table.name) + 2) * _CHAR + 2 * _PADDING


def _short(column: ColumnInfo) -> str:
    short = {"character varying": "varchar", "timestamp with time zone": "timestamptz", "character(": "char("}
    made = column.type
    for long, name in short.items():
        made = made.replace(long, name)
    return made.replace("timestamp without time zone", "timestamp") + ("?" if column.nullable else "")


def _drawn(table: TableInfo, box: _Box) -> Iterator[str]:
    yield f'<g><rect x="{box.x}" y="{box.y}" width="{box.width:.1f}" height="{box.height}" rx="5" fill="#f7fafc" '
    yield f'stroke="{_HEAD}"/><path d="M{box.x} {box.y + _ROW + 2} h{box.width:.1f}" stroke="{_HEAD}"/>'
    yield _label(box.x + _PADDING, box.y + 15, table.name, f'font-weight="bold" fill="{_HEAD}"')
    for number, column in enumerate(table.columns, 1):
        y = box.y + _ROW * number + 17
        style = f'font-weight="bold" fill="{_KEY}"' if _is_key(table, column) else 'fill="#111827"'
        yield _label(box.x + _PADDING, y, column.name, style)
        yield _label(box.x + box.width - _PADDING, y, _short(column), 'text-anchor="end" fill="#6b7280"')
    yield "</g>"


def _label(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _keys(table: TableInfo, boxes: dict[str, _Box]) -> Iterator[str]:
    for key in table.foreign_keys:
        there = boxes.get(key.table)
        if there is None:
            continue
        here = boxes[table.name]
        y = here.y + _ROW * (_place(table, key.columns[0]) + 1) + 13
        target = there.y + _ROW + 13
        title = f"<title>{escape(f'{table.name}.{key.columns[0]} → {key.table}')}</title>"
        line = _curve(here, y, there, target)
        yield f'<path d="{line}" fill="none" stroke="{_LINE}" stroke-width="1.4">{title}</path>'


def _place(table: TableInfo, column: str) -> int:
    return next(n for n, each in enumerate(table.columns) if each.name == column)


def _curve(here: _Box, y: float, there: _Box, target: float) -> str:
    if there.x < here.x:
        start, end, bend = here.x, there.x + there.width, _GAP_X / 2
        return f"M{start:.1f} {y:.1f} C{start - bend:.1f} {y:.1f} {end + bend:.1f} {target:.1f} {end:.1f} {target:.1f}"
    # The same column of boxes, or against the order: around the right side.
    start, end = here.x + here.width, there.x + there.width
    bend = max(start, end) + _GAP_X / 2.5
    return f"M{start:.1f} {y:.1f} C{bend:.1f} {y:.1f} {bend:.1f} {target:.1f} {end:.1f} {target:.1f}"
