"""Where the server is: DSN strings and the environment → connection parameters. Pure; connects to nothing.

Understood: `postgresql://`, `postgres://` and `postgresql+driver://` URLs, keyword strings
(`host=… dbname=…`), and `embedded` (a private server, started by the engine).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from psqlmodel.core.beginning import check_text
from psqlmodel.errors import ConfigurationError
from psqlmodel.later import pattern
from psqlmodel.record import Record

_SCHEME = pattern(r"^(postgres(?:ql)?)(\+[a-z0-9_]+)?://", re.IGNORECASE | re.ASCII)
_PAIR = pattern(r"\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?:\s+|$)", re.IGNORECASE | re.ASCII)
_OTHER_SCHEME = pattern(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE | re.ASCII)
_KEY = pattern(r"[a-z_][a-z0-9_.]*", re.IGNORECASE | re.ASCII)
_CONTROL = pattern(r"[\x01-\x1f\x7f]")  # some of which urlsplit drops; a NUL is refused with the value that holds it
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
        return Target({}, embedded=check_text("the DSN", dsn))
    match = _SCHEME.match(dsn)
    if match is not None:
        return Target(_checked(_parse_url("postgresql://" + dsn[match.end() :])))
    other = _OTHER_SCHEME.match(dsn)
    if other is not None:
        raise ConfigurationError(f"the DSN begins with {other.group()}; write postgresql://…")
    return Target(_checked(_parse_pairs(dsn)))


def _checked(parameters: dict[str, str]) -> dict[str, str]:
    """Refuse names that are none, and values that no driver can send; none of them is shown: it may be a password."""
    for key, value in parameters.items():
        if _KEY.fullmatch(key) is None:
            raise ConfigurationError(
                "the DSN has a parameter whose name is none; in a password write %3F for ?, %26 for & and %3D for ="
            )
        _ = check_text(f"{key} in the DSN", value)
    return parameters


def _unquoted(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _undecodable() from None


def _queried(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise _undecodable() from None


def _undecodable() -> ConfigurationError:
    return ConfigurationError("the DSN holds a % that begins no character of UTF-8; write %25 for %")


def _parse_url(url: str) -> dict[str, str]:
    if _CONTROL.search(url) is not None:
        raise ConfigurationError("the DSN holds a control character; in a password write %09 for a tab, %0A for a line")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _unreadable() from None
    if "@" in parts.path + parts.query:  # what stands before it is a part of the password, and would be shown
        raise ConfigurationError(
            "the DSN has an @ behind a / or ?; in a password write %2F for / and %3F for ?, elsewhere %40 for @"
        )
    parameters: dict[str, str] = {}
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    parameters |= {"user": _unquoted(user), "password": _unquoted(password)}
    parameters |= _parse_hosts(hosts)
    parameters["dbname"] = _unquoted(parts.path.removeprefix("/"))
    if parts.fragment:
        raise ConfigurationError("the DSN holds a #; in a password write %23 instead")
    for key, value in _queried(parts.query):
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
        hosts.append(_unquoted(host))
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
