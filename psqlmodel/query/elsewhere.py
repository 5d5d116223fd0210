"""What methods of other libraries are called here, for those who look for them.

`no_attribute` returns the error for a name that a query or a session does not have. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

QUERY: Final[Mapping[str, str]] = {
    "filter": "Where(User.name == …)",
    "filter_by": "Where(User.name == …)",
    "exclude": "Where(~(User.name == …))",
    "select_from": "From(User)",
    "outerjoin": "LeftJoin(User.orders)",
    "options": "Include(User.orders)",
    "select_related": "Include(User.orders)",
    "prefetch_related": "Include(User.orders)",
    "with_for_update": "ForUpdate()",
    "select_for_update": "ForUpdate()",
    "values": "Set(name=…)",
}
SESSION: Final[Mapping[str, str]] = {
    "execute": "exec(query)",
    "query": "exec(Select(User))",
    "scalars": "exec(query)",
    "scalar": "exec_scalar(query)",
    "begin": "begin_nested(), a part that may fail; the transaction begins by itself",
    "bulk_save_objects": "bulk_insert(objects)",
    "bulk_insert_mappings": "bulk_insert(rows, model=User)",
    "bulk_update_mappings": "bulk_update(rows, model=User)",
    "expire": "refresh(object)",
    "expire_all": "refresh(object)",
}


def no_attribute(obj: Any, name: str, known: Mapping[str, str]) -> AttributeError:
    """Return the error for a name that `obj` lacks; it says what that is called here, where it is known."""
    kind: type = type(obj)
    text = f"{kind.__name__!r} object has no attribute {name!r}"
    if not name.startswith("_") and (here := known.get(name) or _spelled(kind, name)):
        text += f"; write .{here}"
    return AttributeError(text, name=name, obj=obj)


@cache
def _spelled(kind: type, name: str) -> str:
    """Return the name that differs in capitals and underscores only: `order_by` is `OrderBy`."""
    plain = name.replace("_", "").lower()
    return next((each for each in dir(kind) if each[0] != "_" and each.replace("_", "").lower() == plain), "")
