"""The options of an engine: read once, checked before anything is connected. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from psqlmodel.core.beginning import check_setting, check_text
from psqlmodel.core.engine.dsn import Target, find_target
from psqlmodel.errors import ConfigurationError, nearest
from psqlmodel.record import Record

PGBOUNCER = "pgbouncer"
_POOLERS = (PGBOUNCER, "none")
_CONNECTION = "it says where to connect, or as whom: write it into the DSN"
# What would change the connection itself if the drivers took it for a setting.
_OWN = {
    **dict.fromkeys(("user", "database", "replication", "options", "password"), _CONNECTION),
    "client_encoding": "psqlmodel and the server speak UTF-8",
}


class Options(Record):
    """What `create_engine` was told; times are in seconds."""

    target: Target
    pool_size: int = 5
    max_pool_size: int = 10
    pool_timeout: float = 30.0
    max_lifetime: float = 3600.0
    connect_timeout: float = 10.0
    statement_timeout: float | None = None
    answer_timeout: float | None = None
    application_name: str | None = None
    timezone: str = "UTC"
    prepared_statements: bool = True
    pooler: str | None = None
    replicas: tuple[Target, ...] = ()
    replica_wait: float = 0.2
    replica_retry: float = 5.0
    settings: Mapping[str, Any] = MappingProxyType({})
    ensure_database: bool = False
    ensure_tables: bool = False
    models: tuple[type, ...] = ()
    models_path: tuple[str, ...] = ()
    tags: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        """Say the options without the values of settings, which may be secrets."""
        values = {name: getattr(self, name) for name in type(self).__match_args__}
        values["settings"] = sorted(self.settings)
        values["tags"] = self.tags if self.tags is None else sorted(self.tags)
        return f"Options({', '.join([f'{name}={value!r}' for name, value in values.items()])})"

    def server_settings(self) -> dict[str, str]:
        """Return the settings that every connection starts with."""
        settings = {"TimeZone": self.timezone, "DateStyle": "ISO", "IntervalStyle": "postgres"}
        if self.statement_timeout is not None:
            settings["statement_timeout"] = str(round(self.statement_timeout * 1000))
        return settings | {name: str(value) for name, value in self.settings.items()}

    def pooled_settings(self) -> dict[str, str]:
        """Return those of them that PgBouncer keeps for each of its clients."""
        return {"TimeZone": self.timezone, "DateStyle": "ISO"}

    def connection_parameters(self, target: Target) -> dict[str, str]:
        """Return libpq's parameters for `target`."""
        name = {} if self.application_name is None else {"application_name": self.application_name}
        return target.parameters | name


def read_options(dsn: str | None, given: Mapping[str, Any]) -> Options:
    """Return the checked options.

    Raises `ConfigurationError` for an unknown name, a value out of range, or a DSN that is not readable.
    """
    known = list(Options.defaults)
    for name in given:
        if name not in known:
            close = nearest(name, known)
            advice = f"; did you mean {close}?" if close else f"; there are {', '.join(known)}"
            raise ConfigurationError(f"create_engine has no option {name!r}{advice}")
    values = dict(given)
    values["models"] = _as_models(values.get("models"))
    values["models_path"] = _as_paths(values.get("models_path"))
    values["replicas"] = _as_targets(values.get("replicas"))
    if values.get("tags") is not None:
        from psqlmodel.observe.tags import checked  # few have some

        values["tags"] = checked(values["tags"])
    _limit_pool(values)
    options = Options(target=find_target(dsn, os.environ), **values)
    _check(options)
    return options


def _limit_pool(values: dict[str, Any]) -> None:
    """Let `pool_size` alone raise the limit, and `max_pool_size` alone lower the size."""
    size, limit = values.get("pool_size"), values.get("max_pool_size")
    if isinstance(size, int) and limit is None:
        values["max_pool_size"] = max(size, Options.defaults["max_pool_size"])
    if isinstance(limit, int) and size is None:
        values["pool_size"] = min(limit, Options.defaults["pool_size"])


def _check(options: Options) -> None:
    for name in ("pool_size", "max_pool_size"):
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{name} must be a whole number of at least 1")
    if options.max_pool_size < options.pool_size:
        raise ConfigurationError(f"max_pool_size={options.max_pool_size} is less than pool_size={options.pool_size}")
    for name in ("pool_timeout", "max_lifetime", "connect_timeout", "statement_timeout", "answer_timeout"):
        value = getattr(options, name)
        if value is None and name in ("statement_timeout", "answer_timeout"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ConfigurationError(f"{name} must be a number of seconds above 0")
    for name in ("replica_wait", "replica_retry"):
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ConfigurationError(f"{name} must be a number of seconds, 0 or more")
    for name in ("prepared_statements", "ensure_database", "ensure_tables"):
        if not isinstance(getattr(options, name), bool):
            raise ConfigurationError(f"{name} must be True or False")
    _check_texts(options)
    if options.pooler not in (None, *_POOLERS):
        raise ConfigurationError(f"pooler must be {' or '.join(map(repr, _POOLERS))}, or None to find out")
    if options.pooler == PGBOUNCER:
        from psqlmodel.core.engine import pooler  # few have one

        pooler.check(options)
    if options.ensure_tables and not (options.models or options.models_path):
        raise ConfigurationError("ensure_tables=True needs the models: models=[User, …] or models_path='myapp.models'")


def _check_texts(options: Options) -> None:
    for name in ("application_name", "timezone"):
        value = getattr(options, name)
        if value is None and name == "application_name":
            continue
        if not isinstance(value, str):
            raise ConfigurationError(f"{name} must be a str")
        _ = check_text(name, value)
    settings: Any = options.settings
    if not isinstance(settings, Mapping):
        raise ConfigurationError('settings must be a mapping of names and values: {"lock_timeout": "2s"}')
    for name, value in settings.items():
        check_setting(name, _OWN)
        _ = check_text(f"settings[{name!r}]", str(value))


def _as_models(models: Any) -> tuple[type, ...]:
    if models is None:
        return ()
    if isinstance(models, type) or not isinstance(models, Iterable):
        raise ConfigurationError("models must be a list of model classes: models=[User, Order]")
    return tuple(models)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _as_targets(replicas: Any) -> tuple[Target, ...]:
    if replicas is None:
        return ()
    if isinstance(replicas, str) or not isinstance(replicas, Iterable):
        raise ConfigurationError('replicas must be a list of DSNs: replicas=["postgresql://…"]')
    targets = tuple([find_target(dsn, {}) for dsn in replicas])  # pyright: ignore[reportUnknownVariableType]
    if any(target.embedded for target in targets):
        raise ConfigurationError("an embedded server is no replica of another; replicas=… takes the DSNs of standbys")
    return targets


def _as_paths(paths: Any) -> tuple[str, ...]:
    if paths is None:
        return ()
    if isinstance(paths, str | os.PathLike):
        return (str(paths),)
    if not isinstance(paths, Iterable):
        raise ConfigurationError("models_path must be a module's name, a file or a folder, or a list of these")
    return tuple(map(str, paths))  # pyright: ignore[reportUnknownArgumentType]
