"""The errors of both drivers become ours: one class per SQLSTATE, no parameter value in a message.

Pure: takes what a driver reported and gives the error to raise. `detail` may hold values (PostgreSQL's DETAIL
does), `str(error)` never.
"""

from __future__ import annotations

import re

from psqlmodel.errors import DatabaseError, DataError, error_class
from psqlmodel.steps import Shape

# A DETAIL line names the columns before the values: Key (tenant, lower(email))=(1, …) already exists.
_KEY = re.compile(r"^Key \((.*?)\)=\(", re.DOTALL)
# As servers of all languages quote.
_QUOTED = re.compile(r'["“”„«»「].*["“”„«»」]', re.DOTALL)
# Messages of these classes quote the offending value: data exceptions, and casts in EXECUTE.
_QUOTING_CLASSES = ("22",)
# These quote a piece of the statement, or of a value with a syntax of its own (tsquery, a name).
_SYNTAX_ERRORS = ("42601", "42602")
# Dates and moments, and their arrays. Where a driver leaves them as texts (negative OIDs) it does not read them.
_DATES = frozenset({1082, 1114, 1184, 1182, 1115, 1185})

# The server has no hint for the commonest mistake of all.
_NO_TABLE = "is it made (engine.create_all, a migration), and is this the right database and schema?"


def unreadable(error: Exception, shape: Shape) -> Exception:
    """Return the error to raise where the rows of an answer can't be read: it names the columns with dates, if any."""
    names = [name for name, oid in zip(shape.names, shape.oids, strict=True) if oid in _DATES]
    if not names:
        return error
    return DataError(
        f"a date or time in {' or '.join(names)} is before the year 1 or after 9999, which Python can't hold: "
        "select its text, with a cast",
        sqlstate="22008",
        columns=tuple(names),
    )


def make_error(
    message: str,
    *,
    sqlstate: str | None,
    statement: str | None = None,
    schema: str | None = None,
    table: str | None = None,
    column: str | None = None,
    constraint: str | None = None,
    detail: str | None = None,
    hint: str | None = None,
) -> DatabaseError:
    """Return our error for what the server or the driver reported."""
    text = without_values(message.strip(), sqlstate, statement)
    where = f" (table {table})" if table and table not in text else ""
    hinted = hint or (_NO_TABLE if _lacks_table(text, sqlstate) else None)
    advice = f"; {hinted}" if hinted else ""
    return error_class(sqlstate)(
        f"{text}{where}{advice}",
        sqlstate=sqlstate,
        statement=statement,
        schema=schema,
        table=table,
        columns=(column,) if column else key_columns(detail),
        constraint=constraint,
        detail=detail,
        hint=hint,
    )


def _lacks_table(text: str, sqlstate: str | None) -> bool:
    """Tell whether a statement is about a table that is not there; FROM that lacks one has this SQLSTATE, too."""
    return sqlstate == "42P01" and text.startswith("relation ")


def without_values(message: str, sqlstate: str | None, statement: str | None = None) -> str:
    """Return the server's message without the values that it quotes; `statement` is the text, which holds none."""
    if sqlstate is None:
        return message
    quoted = _QUOTED.search(message) if sqlstate in _SYNTAX_ERRORS else None
    foreign = quoted is not None and quoted.group()[1:-1] not in (statement or "")
    if foreign or sqlstate[:2] in _QUOTING_CLASSES:
        return _QUOTED.sub('"…"', message)
    return message


def key_columns(detail: str | None) -> tuple[str, ...]:
    """Return the columns that the DETAIL of a key violation names; empty where it names none."""
    match = _KEY.match(detail) if detail else None
    if match is None:
        return ()
    return tuple(_unquote(part) for part in _split(match.group(1)))


def _split(listing: str) -> list[str]:
    """Split at the commas that are in no parentheses and no quoted identifier."""
    parts, depth, quoted, start = [], 0, False, 0
    for position, sign in enumerate(listing):
        if sign == '"':
            quoted = not quoted
        elif not quoted:
            depth += (sign == "(") - (sign == ")")
            if sign == "," and depth == 0:
                parts.append(listing[start:position].strip())
                start = position + 1
    return [*parts, listing[start:].strip()]


def _unquote(name: str) -> str:
    if len(name) > 1 and name[0] == name[-1] == '"':
        return name[1:-1].replace('""', '"')
    return name
