"""Texts: moments that a driver leaves as texts, read as those who take rows read them."""

from __future__ import annotations

from psqlmodel.steps import Rows
from psqlmodel.types import loader


def read(rows: Rows) -> Rows:
    """Read what the driver left as text, as who takes rows does for each value."""
    texts = {n: loader(None, oid) for n, oid in enumerate(rows.shape.oids) if oid < 0}
    if not texts:
        return rows
    data = [
        tuple([value if value is None or n not in texts else texts[n](value) for n, value in enumerate(row)])
        for row in rows.data
    ]
    return Rows(data, rows.shape, rows.count)
