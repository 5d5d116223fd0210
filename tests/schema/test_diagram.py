"""Diagrams: Mermaid to the letter, SVG as well-formed XML that shows every table, column and key."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from psqlmodel.schema.description import ColumnInfo, ForeignKeyInfo, KeyInfo, TableInfo
from psqlmodel.schema.diagram import mermaid, svg

PEOPLE = TableInfo(
    "people",
    "public",
    columns=(
        ColumnInfo("id", "bigint", nullable=False),
        ColumnInfo("Full Name", "character varying(80)", nullable=False),
        ColumnInfo("boss_id", "bigint"),
    ),
    primary_key=KeyInfo("people_pkey", ("id",)),
    uniques=(KeyInfo("people_name", ("Full Name",)),),
    foreign_keys=(ForeignKeyInfo("boss", ("boss_id",), "people", ("id",), "public"),),
)
PASSPORTS = TableInfo(
    "pass<ports>",
    "public",
    columns=(ColumnInfo("person_id", "bigint", nullable=False), ColumnInfo("seen", "timestamp with time zone")),
    primary_key=KeyInfo("pk", ("person_id",)),
    foreign_keys=(
        ForeignKeyInfo("person", ("person_id",), "people", ("id",), "public"),
        ForeignKeyInfo("far", ("person_id",), "elsewhere", ("id",), "public"),
    ),
)
TABLES = [PEOPLE, PASSPORTS]


def test_mermaid() -> None:
    assert mermaid(TABLES) == (
        "erDiagram\n"
        "    people {\n"
        "        bigint id PK\n"
        "        character_varying_80 Full_Name UK\n"
        "        bigint boss_id FK\n"
        "    }\n"
        "    pass_ports {\n"
        "        bigint person_id PK, FK\n"
        "        timestamp_with_time_zone seen\n"
        "    }\n"
        '    people |o--o{ people : "boss_id"\n'
        '    people ||--o| pass_ports : "person_id"\n'
    )


def test_svg() -> None:
    root = ElementTree.fromstring(svg(TABLES))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"people", "Full Name", "varchar(80)", "bigint?", "pass<ports>", "timestamptz?"} <= set(texts)
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["people.boss_id → people", "pass<ports>.person_id → people"]


@pytest.mark.parametrize("count", [0, 1, 60])
def test_no_table_lies_upon_another(count: int) -> None:
    """Each box is a rectangle of its own within the picture, whatever the keys are: circles, too."""
    tables = [
        TableInfo(
            f"t{n}",
            columns=(ColumnInfo("id", "integer"), ColumnInfo("other", "integer")),
            foreign_keys=(ForeignKeyInfo("k", ("other",), f"t{(n * 7 + 3) % count}", ("id",)),),
        )
        for n in range(count)
    ]
    root = ElementTree.fromstring(svg(tables))
    page, *found = root.iter("{http://www.w3.org/2000/svg}rect")
    boxes = [tuple(float(r.attrib[key]) for key in ("x", "y", "width", "height")) for r in found]
    assert len(boxes) == count
    for x, y, width, height in boxes:
        assert x + width <= float(page.attrib["width"])
        assert y + height <= float(page.attrib["height"])
        near = [b for b in boxes if b[0] < x + width and x < b[0] + b[2] and b[1] < y + height and y < b[1] + b[3]]
        assert len(near) == 1
