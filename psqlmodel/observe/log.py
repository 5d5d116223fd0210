"""Logging: each statement as a record of the logger `psqlmodel`, as of the line of the program that asked for it.

The record's file, line and function are those of the program, so that every format and every filter finds them. Values
are in no record unless they were asked for: neither arguments nor the constants of the text.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from psqlmodel.errors import ConfigurationError
from psqlmodel.observe.plan import duration
from psqlmodel.observe.sites import Site, caller
from psqlmodel.observe.texts import one_line, redacted
from psqlmodel.steps import Copy

if TYPE_CHECKING:
    from psqlmodel.core.engine.channel import Exchange

LOGGER: Final = logging.getLogger("psqlmodel")
_ERROR: Final = logging.WARNING


class Logging:
    """The observer that logs. Raises `ConfigurationError` for what is no level or no time."""

    __slots__ = ("_level", "_slower_than", "_values")

    def __init__(self, level: int | str, slower_than: float, values: bool) -> None:
        number = logging.getLevelNamesMapping().get(level.upper()) if isinstance(level, str) else level
        if not isinstance(number, int):
            raise ConfigurationError(f"{level!r} is no level of logging: use one such as 'DEBUG' or 'INFO'")
        if isinstance(slower_than, bool) or not isinstance(slower_than, int | float) or slower_than < 0:
            raise ConfigurationError("slower_than must be a number of seconds, 0 or more")
        self._level = number
        self._slower_than = slower_than
        self._values = values

    def sending(self, exchange: Exchange) -> None:
        """Nothing to log before there is an answer."""

    def answered(self, exchange: Exchange) -> None:
        """Log it."""
        level = self._level if exchange.error is None else max(self._level, _ERROR)
        if (exchange.error is None and exchange.seconds < self._slower_than) or not LOGGER.isEnabledFor(level):
            return
        site = caller()
        record = LOGGER.makeRecord(
            LOGGER.name,
            level,
            "(unknown file)" if site is None else site.file,
            0 if site is None else site.line,
            "%s",
            (self._message(exchange, site),),
            None,
            None if site is None else site.function,
            _extra(exchange),
        )
        LOGGER.handle(record)

    def _message(self, exchange: Exchange, site: Site | None) -> str:
        request = exchange.request
        text = one_line(request.text if self._values else redacted(request.text))
        came = _counted(exchange.count) if exchange.error is None else f"{type(exchange.error).__name__}"
        where = "" if site is None else f" at {site}"
        values = f" {tuple(request.args)!r}" if self._values and not isinstance(request, Copy) and request.args else ""
        return f"{duration(exchange.seconds)}, {came}{where}: {text}{values}"


def _counted(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows} rows"


def _extra(exchange: Exchange) -> dict[str, object]:
    """Return what a formatter of structured logs may take from the record."""
    return {"db_seconds": exchange.seconds, "db_rows": exchange.count, "db_purpose": exchange.request.purpose}
