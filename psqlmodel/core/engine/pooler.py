"""Poolers: whether one stands between an engine and the server, how that shows, and what then counts. Pure.

PgBouncer in transaction mode gives each transaction another connection to the server. It shows in two ways: it refuses
startup parameters that it does not know, ours among them; and the process id that it names when a connection begins is
no backend's. A pooler that works by sessions shows in the same ways, so an option has the last word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psqlmodel.errors import ConfigurationError, DatabaseError

if TYPE_CHECKING:
    from psqlmodel.core.engine.options import Options

_REFUSAL: Final = "unsupported startup parameter"


def refused(error: DatabaseError) -> bool:
    """Tell whether a pooler refused the startup parameters of a connection."""
    return _REFUSAL in str(error)


def check(options: Options) -> None:
    """Raise `ConfigurationError` for options that need a connection of their own to the server."""
    given = [name for name in ("settings", "statement_timeout") if getattr(options, name)]
    if given:
        raise ConfigurationError(
            f"{given[0]} of an engine can't count behind PgBouncer, where each transaction has another connection: "
            f"give it to the session, Session(engine, {given[0]}=…), or set it for all with ALTER ROLE … SET. Where "
            'PgBouncer works by sessions, say pooler="none", prepared_statements=False'
        )
    if "options" in options.target.parameters:
        raise ConfigurationError(
            "options=… in the DSN can't pass PgBouncer; use ALTER ROLE … SET, or settings of sessions"
        )


def check_style(style: str) -> None:
    """Raise `ConfigurationError` where intervals come in a form that is not read, which can't be set there."""
    if style != "postgres":
        raise ConfigurationError(
            f"the server writes intervals in the style {style!r}, and behind PgBouncer that can't be set for a "
            "connection: ALTER ROLE … SET intervalstyle = 'postgres'"
        )
