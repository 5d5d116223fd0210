"""How a transaction begins: BEGIN with its mode, and the settings that count in this transaction only. Pure.

The settings go through `set_config(…, true)`, so that their values are parameters and end with the transaction: the
connection goes back to its pool as it came. They are one statement, on which BEGIN rides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from psqlmodel.errors import ConfigurationError
from psqlmodel.steps import Statement

_SETTING: Final = re.compile(r"[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)*", re.ASCII)
_OWN: Final = {
    "client_encoding": "psqlmodel and the server speak UTF-8",
    "role": 'the role is an option of its own: role="…"',
}

ISOLATION_LEVELS: Final = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


class Beginning:
    """How each transaction of a session begins; not changed once it is made.

    `settings` are the server's settings by name, `role` the role to be, the timeouts are in seconds:
    `statement_timeout` for one statement, `lock_timeout` for one wait for a lock, `idle_timeout` for the program's
    silence within the transaction. `plain`: it asks for nothing in particular, BEGIN alone. Raises
    `ConfigurationError` for what is not usable as given.
    """

    __slots__ = ("_fixed", "plain", "settings", "text")

    def __init__(
        self,
        text: str = "BEGIN",
        *,
        settings: Mapping[str, Any] | None = None,
        role: str | None = None,
        statement_timeout: float | None = None,
        lock_timeout: float | None = None,
        idle_timeout: float | None = None,
    ) -> None:
        self.text = text
        self.settings = _checked(settings)
        self._fixed: dict[str, str] = {
            **_timeout("statement_timeout", "statement_timeout", statement_timeout),
            **_timeout("lock_timeout", "lock_timeout", lock_timeout),
            **_timeout("idle_in_transaction_session_timeout", "idle_timeout", idle_timeout),
            **_role(role),  # the last: the other role may not be allowed to set the others
        }
        self.plain = text == "BEGIN" and not self.settings and not self._fixed

    @property
    def isolated(self) -> bool:
        """Whether the isolation is one under which the server refuses what conflicts."""
        return "REPEATABLE READ" in self.text or "SERIALIZABLE" in self.text

    def with_settings(self, settings: Mapping[str, Any]) -> Beginning:
        """Return the same with other `settings`; mode, role and timeouts stay."""
        made = Beginning(self.text, settings=settings)
        made._fixed = self._fixed
        made.plain = made.plain and not made._fixed
        return made

    def statement(self) -> Statement | None:
        """Return the statement that makes the settings, if there are any."""
        if not self.settings and not self._fixed:
            return None
        values = {name: _text(name, value) for name, value in self.settings.items()} | self._fixed
        calls = [f"set_config(${2 * n + 1}, ${2 * n + 2}, true)" for n in range(len(values))]
        args = [each for pair in values.items() for each in pair]
        return Statement(f"SELECT {', '.join(calls)}", args, purpose="transaction")


def beginning_of(
    *,
    isolation: str | None,
    read_only: bool,
    deferrable: bool,
    settings: Mapping[str, Any] | None,
    role: str | None,
    statement_timeout: float | None,
    lock_timeout: float | None,
    idle_timeout: float | None,
) -> Beginning:
    """Return how the transactions of a session with these options begin; without any it is always the same object."""
    given = (isolation, settings, role, statement_timeout, lock_timeout, idle_timeout)
    if given == _NOTHING and not read_only and not deferrable:
        return _PLAIN
    return Beginning(
        begin_text(isolation=isolation, read_only=read_only, deferrable=deferrable),
        settings=settings,
        role=role,
        statement_timeout=statement_timeout,
        lock_timeout=lock_timeout,
        idle_timeout=idle_timeout,
    )


def begin_text(*, isolation: str | None = None, read_only: bool = False, deferrable: bool = False) -> str:
    """Return the BEGIN of these options.

    Raises `ConfigurationError` for an isolation level that PostgreSQL does not have.
    """
    text = "BEGIN"
    if isolation is not None:
        level = str(isolation).upper().replace("_", " ")
        if level not in ISOLATION_LEVELS:
            raise ConfigurationError(f"isolation={isolation!r} is none of {', '.join(ISOLATION_LEVELS)}")
        text += f" ISOLATION LEVEL {level}"
    if read_only:
        text += " READ ONLY"
    if deferrable:
        text += " DEFERRABLE"
    return text


def _checked(settings: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if settings is None:
        return MappingProxyType({})
    if not isinstance(settings, Mapping):
        raise ConfigurationError('settings must be a mapping of names and values: {"app.tenant": 7}')
    for name, value in settings.items():
        check_setting(name, _OWN)
        _ = check_text(f"settings[{name!r}]", _text(name, value))
    return MappingProxyType(dict(settings))


def check_setting(name: Any, own: Mapping[str, str]) -> None:
    """Refuse a name that is none of a setting, or one of `own`, for which there is a reason.

    Raises `ConfigurationError`.
    """
    if not isinstance(name, str) or _SETTING.fullmatch(name) is None:
        raise ConfigurationError(
            f'settings must be a mapping of names and values: {{"app.tenant": 7}}; {name!r} is no name of a setting'
        )
    reason = own.get(name.lower())
    if reason is not None:
        raise ConfigurationError(f"settings can't hold {name!r}: {reason}")


def check_text(what: str, value: str) -> str:
    """Return a text that the server can be told.

    Raises `ConfigurationError` where it holds a NUL, at which the server would end it, or a lone surrogate.
    """
    if "\0" in value or not (value.isascii() or _encodable(value)):
        raise ConfigurationError(f"{what} must not contain a NUL character or a lone surrogate")
    return value


def _encodable(value: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in value)


def _text(name: str, value: Any) -> str:
    """Return a value as the server reads it in a setting."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str | int | float | Decimal | UUID):
        return str(value)
    raise ConfigurationError(f"settings[{name!r}] must be a str, a number or a bool, not {type(value).__name__}")


def _timeout(name: str, option: str, seconds: Any) -> dict[str, str]:
    if seconds is None:
        return {}
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 2_000_000:
        raise ConfigurationError(f"{option} must be a number of seconds above 0")
    return {name: str(max(1, round(seconds * 1000)))}  # to the server 0 would mean none


def _role(role: Any) -> dict[str, str]:
    if role is None:
        return {}
    if not isinstance(role, str) or not role:
        raise ConfigurationError("role must be the name of a role")
    return {"role": check_text("role", role)}


_PLAIN: Final = Beginning()
_NOTHING: Final = (None,) * 6
