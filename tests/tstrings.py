"""t-strings for tests on every Python: from 3.14 on the real ones; before, look-alikes made of the same text."""

from __future__ import annotations

import string
import sys
from collections.abc import Iterable
from typing import Any


class Interpolation:
    def __init__(self, value: Any, expression: str, conversion: str | None, format_spec: str) -> None:
        self.value, self.expression = value, expression
        self.conversion, self.format_spec = conversion, format_spec


class Template:
    """What `string.templatelib.Template` has, as far as SQL matters."""

    def __init__(self, strings: Iterable[str], interpolations: Iterable[Interpolation]) -> None:
        self.strings, self.interpolations = tuple(strings), tuple(interpolations)


def t(source: str, **names: Any) -> Any:
    """Return `t"…"` with this text, whose places see these names."""
    if sys.version_info >= (3, 14):
        return eval(f"t{source!r}", names)
    strings, places = [""], []
    for text, name, form, conversion in string.Formatter().parse(source):
        strings[-1] += text
        if name is not None:
            places.append(Interpolation(eval(name, names), name, conversion, form or ""))
            strings.append("")
    return Template(strings, places)
