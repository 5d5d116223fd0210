"""Needed: pyarrow, which comes with an extra. It is imported by the first call of `arrow`, and by nothing else here."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

from psqlmodel.errors import ConfigurationError


@cache
def arrow() -> ModuleType:
    """Return pyarrow, with `pyarrow.compute`, `pyarrow.csv` and `pyarrow.ipc`.

    Raises `ConfigurationError` where it is not installed, or too old to have a type for JSON.
    """
    try:
        for name in ("compute", "csv", "ipc"):
            _ = import_module(f"pyarrow.{name}")
        found = import_module("pyarrow")
        _ = found.json_
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            "format=\"arrow\" needs pyarrow, 19 or later; install it with: pip install 'psqlmodel[arrow]'"
        ) from error
    return found
