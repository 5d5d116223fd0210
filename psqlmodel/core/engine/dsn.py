"""Where the server is: DSN strings and the environment → connection parameters. Pure; connects to nothing.

Understood: `postgresql://`, `postgres://` and `postgresql+driver://` URLs, keyword strings
(`host=… dbname=…`), and `embedded` (a private server, started by the engine).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from psqlmodel.errors import ConfigurationError
from psqlmodel.later import pattern
from psqlmodel.record import Record

_SCHEME = pattern(r"^(postgres(?:ql)?)(\+[a-z0-9_]+)?://", re.IGNORECASE)
_PAIR = pattern(r"\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?:\s+|$)", re.IGNORECASE)
_ENVIRONMENT = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE")
_SPELLINGS = {"database": "dbname", "username": "user"}


class Target(Record):
    """Where to connect: libpq's parameters, or the DSN of an embedded server that is not started yet."""

    parameters: dict[str, str]
    embedded: str = ""

    def __repr__(self) -> str:
        return f"Target({self})"

    def __str__(self) -> str:
        """Say where, without a password."""
        if self.embedded:
            return self.embedded
        shown = {key: value for key, value in self.parameters.items() if key in ("host", "port", "dbname", "user")}
        return " ".join(f"{key}={value}" for key, value in shown.items()) or "from the environment"

    def on_database(self, name: str) -> Target:
        """Return the same place with another database."""
        return Target(self.parameters | {"dbname": name})


def find_target(dsn: str | None, environment: Mapping[str, str]) -> Target:
    """Return the target that `dsn` names, else `DATABASE_URL`, else the PG* variables.

    Raises `ConfigurationError` where nothing says where the server is, or says it unreadably.
    """
    if dsn is not None and not isinstance(dsn, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"dsn must be a str, not {type(dsn).__name__}")
    chosen = dsn if dsn is not None else environment.get("DATABASE_URL")
    if chosen is not None and chosen.strip():
        return parse_dsn(chosen.strip())
    if dsn is not None:
        raise ConfigurationError("the DSN is empty; write postgresql://user@host/database, or pass none")
    if any(name in environment for name in _ENVIRONMENT):
        return Target({})  # both drivers read the PG* variables themselves
    raise ConfigurationError(
        'no server is named: pass a DSN (postgresql://user@host/database, or "embedded"), or set '
        "DATABASE_URL, or PGHOST, PGDATABASE and PGUSER"
    )


def parse_dsn(dsn: str) -> Target:
    """Return the target for a DSN; the messages of its errors hold no password.

    parse_dsn("postgresql+asyncpg://me@localhost/shop")
    """
    if dsn == "embedded" or dsn.startswith("embedded:"):
        return Target({}, embedded=dsn)
    match = _SCHEME.match(dsn)
    if match is not None:
        return Target(_parse_url("postgresql://" + dsn[match.end() :]))
    if "://" in dsn:
        raise ConfigurationError(f"the DSN begins with {dsn.partition('://')[0]}://; write postgresql://…")
    return Target(_parse_pairs(dsn))


def _parse_url(url: str) -> dict[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _unreadable() from None
    parameters: dict[str, str] = {}
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    parameters |= {"user": unquote(user), "password": unquote(password)}
    parameters |= _parse_hosts(hosts)
    parameters["dbname"] = unquote(parts.path.removeprefix("/"))
    if parts.fragment:
        raise ConfigurationError("the DSN holds a #; in a password write %23 instead")
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        parameters[_SPELLINGS.get(key, key)] = value
    return {key: value for key, value in parameters.items() if value}


def _parse_hosts(listing: str) -> dict[str, str]:
    """Return host and port; several, with commas between, are tried in order."""
    hosts: list[str] = []
    ports: list[str] = []
    for place in listing.split(","):
        if place.startswith("["):  # an IPv6 address
            host, _, rest = place[1:].partition("]")
            port = rest.removeprefix(":")
        else:
            host, _, port = place.partition(":")
        if port and not port.isdigit():
            raise ConfigurationError(
                "the port in the DSN is no number; in a password write %40 for @, %3A for : and %2F for /"
            )
        hosts.append(unquote(host))
        ports.append(port)
    several = ",".join(port or "5432" for port in ports) if len(ports) > 1 and any(ports) else ports[0]
    return {"host": ",".join(hosts), "port": several}


def _parse_pairs(text: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            raise _unreadable()
        key, quoted, plain = match.groups()
        value = re.sub(r"\\(.)", r"\1", quoted if quoted is not None else plain)
        parameters[_SPELLINGS.get(key.lower(), key.lower())] = value
        position = match.end()
    return parameters


def _unreadable() -> ConfigurationError:
    return ConfigurationError(
        "the DSN is not readable; write postgresql://user:password@host:5432/database or host=… dbname=… user=…"
    )
