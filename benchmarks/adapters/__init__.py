"""The adapters, by name. A module is imported only in the process that measures it."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError

from benchmarks.adapters.base import Adapter

_WHERE = {  # name: (module, class, the adapter that is 1.0)
    "psycopg2": ("psycopg2", "Psycopg2", "psycopg2"),
    "psqlmodel-sync": ("psqlmodel_sync", "PsqlmodelSync", "psycopg2"),
    "sqlalchemy-sync": ("sqlalchemy_sync", "SqlalchemySync", "psycopg2"),
    "sqlmodel": ("sqlmodel", "Sqlmodel", "psycopg2"),
    "django": ("django", "Django", "psycopg2"),
    "peewee": ("peewee", "Peewee", "psycopg2"),
    "asyncpg": ("asyncpg", "Asyncpg", "asyncpg"),
    "psqlmodel-async": ("psqlmodel_async", "PsqlmodelAsync", "asyncpg"),
    "sqlalchemy-async": ("sqlalchemy_async", "SqlalchemyAsync", "asyncpg"),
    "tortoise": ("tortoise", "Tortoise", "asyncpg"),
    "piccolo": ("piccolo", "Piccolo", "asyncpg"),
}
FLOORS = {name: floor for name, (_, _, floor) in _WHERE.items()}
_GROUPS = {"floor": ("psycopg2", "asyncpg")}
NAMES = tuple(_WHERE)


def named(text: str) -> list[str]:
    """Return the adapters that a list of names, groups and beginnings of names means: `floor,psqlmodel`."""
    chosen: set[str] = set()
    for word in filter(None, (word.strip() for word in text.split(","))):
        found = _GROUPS.get(word) or tuple(name for name in NAMES if name == word or name.startswith(f"{word}-"))
        if not found:
            raise SystemExit(f"there is no adapter {word!r}; there are floor, {', '.join(NAMES)}")
        chosen.update(found)
    return [name for name in NAMES if name in chosen] or list(NAMES)


def load(name: str) -> type[Adapter]:
    """Import an adapter. Raises: ModuleNotFoundError where its library is not installed."""
    module, attribute, _ = _WHERE[name]
    found: type[Adapter] = getattr(import_module(f"benchmarks.adapters.{module}"), attribute)
    try:
        found.versions()
    except PackageNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is not installed") from error
    return found
