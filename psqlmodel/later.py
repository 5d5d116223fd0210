"""Later: what is made when it is first used, so that the start of a program does not wait for it.

`later` is for the names of a package, whose modules are imported when one of them is first asked for (PEP 562).
Type checkers read the imports that stand beside it, under `TYPE_CHECKING`. `from package import name`, `import *`,
`dir()` and `hasattr()` see no difference. What is found is kept in the package: it is looked for once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, cast


def later(
    package: str, homes: Mapping[str, Sequence[str]], *whole: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package.

    `homes` are names by the module that they come from; of the modules in `whole` all public names belong to the
    package, and the modules themselves.

        __getattr__, __dir__ = later(__name__, {"psqlmodel.core.session": ["Session"]}, "psqlmodel.errors")
    """
    namespace = vars(sys.modules[package])
    home_of = {name: home for home, names in homes.items() for name in names}
    modules = {home.rpartition(".")[2]: home for home in whole}

    def get(name: str) -> Any:
        if name == "__all__":
            value: Any = [*home_of, *modules, *(each for home in whole for each in import_module(home).__all__)]
        elif name in modules:
            value = import_module(modules[name])
        else:
            value = getattr(import_module(find(name)), name)
        namespace[name] = value
        return value

    def find(name: str) -> str:
        found = home_of.get(name)
        if found is None and not name.startswith("_"):
            found = next((home for home in whole if name in import_module(home).__all__), None)
        if found is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return found

    return get, lambda: sorted({*namespace, *get("__all__")})


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    r"""Return a regular expression that is compiled at its first use: the long ones take up to 0.7 ms.

    pattern(r"(\d+) years?").fullmatch("3 years")
    """
    return cast("re.Pattern[str]", _Pattern(text, flags))


class _Pattern:
    """Stands for a `re.Pattern`, whose methods become its own attributes: calling them costs what it costs there."""

    def __init__(self, text: str, flags: int) -> None:
        self._source = text, flags

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(*self._source), name)
        setattr(self, name, found)
        return found
