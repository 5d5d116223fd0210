"""Later: names of a package that are imported when they are first asked for (PEP 562).

For what many programs do without and what costs them milliseconds. Type checkers read the imports beside it, under
`TYPE_CHECKING`; `from package import name`, `import *` and `dir()` see no difference.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def later(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package: `homes` are the modules by the names that come from them.

    __getattr__, __dir__ = later(__name__, {"AsyncSession": "psqlmodel.core.async_session"})
    """
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        namespace[name] = value = getattr(import_module(home), name)
        return value

    def names() -> list[str]:
        return sorted(namespace.keys() | homes.keys())

    return get, names
