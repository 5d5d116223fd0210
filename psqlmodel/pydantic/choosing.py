"""Choosing: Pydantic's `include` and `exclude`, applied to what is shown of an object. Pure.

Pydantic does not hand them on to what a function shows, so this does what it does with its own models: names and places
(from the end, too), `"__all__"` for every place of a list, and dictionaries for what is deeper.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from psqlmodel.model.state import UNSET


def pruned(value: Any, include: Any, exclude: Any) -> Any:
    """Return a dictionary or list with what `include` names, without what `exclude` names; other values as they are."""
    if (include is None and exclude is None) or not isinstance(value, dict | list):
        return value
    pairs: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
    kept = []
    for key, item in pairs:
        place = key if isinstance(value, dict) else (key, key - len(value))
        if not is_left_out(place, include, exclude):
            kept.append((key, pruned(item, below(place, include), below(place, exclude))))
    return dict(kept) if isinstance(value, dict) else [item for _, item in kept]


def is_left_out(place: Any, include: Any, exclude: Any) -> bool:
    """Tell whether nothing of a place is shown: a name, or the place in a list counted from both ends."""
    if include is not None and _entry(place, include) is UNSET:
        return True
    return exclude is not None and _entry(place, exclude) in (True, ...)


def below(place: Any, chosen: Any) -> Any:
    """Return what `include` or `exclude` says of what is inside of a place; None where it says nothing."""
    found = None if chosen is None else _entry(place, chosen)
    return found if isinstance(found, Mapping | Set) else None


def _entry(place: Any, chosen: Any) -> Any:
    for name in (*(place if isinstance(place, tuple) else (place,)), "__all__"):
        if name in chosen:
            return chosen[name] if isinstance(chosen, Mapping) else True
    return UNSET
