"""Names that are derived: the singular of a table's name, and what the user may have meant."""

from __future__ import annotations

from collections.abc import Iterable

from psqlmodel.errors import nearest

_IRREGULAR = {
    "children": "child",
    "cookies": "cookie",
    "data": "data",
    "men": "man",
    "movies": "movie",
    "news": "news",
    "people": "person",
    "series": "series",
    "species": "species",
    "women": "woman",
}
# The longest ending first; each is replaced as the pair says.
_ENDINGS = (
    ("ouses", "ouse"),
    ("auses", "ause"),
    ("sses", "ss"),
    ("uses", "us"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("xes", "x"),
    ("ies", "y"),
    ("ss", "ss"),
    ("us", "us"),
    ("s", ""),
)


def singular(table: str) -> str:
    """Return the English singular of a table's name: `film_actors` → `film_actor`."""
    head, underscore, word = table.rpartition("_")
    if word in _IRREGULAR:
        return head + underscore + _IRREGULAR[word]
    for ending, replacement in _ENDINGS:
        if word.endswith(ending):
            return head + underscore + word[: -len(ending)] + replacement
    return table


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the candidate that is nearest to `name`, or nothing."""
    near = None if name.startswith("__") else nearest(name, candidates)  # Python's names are asked for, not mistyped
    return f"; did you mean {near!r}?" if near else ""
