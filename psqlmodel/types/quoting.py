"""Quoting: the one place where names and constants become SQL text.

`quote` is used for every identifier of the project. `quote_literal` is for statements that take no parameters
(comments, enum labels and defaults in DDL, identifiers of prepared transactions, the query of a COPY into a file) and
for nothing else: values of other queries never enter SQL text.
"""

from __future__ import annotations

from functools import lru_cache

from psqlmodel.errors import QueryError

MAX_IDENTIFIER_BYTES = 63  # NAMEDATALEN - 1; PostgreSQL would cut a longer name silently


@lru_cache(maxsize=8192)
def quote(identifier: str) -> str:
    """Return `identifier` as a quoted SQL identifier.

    It is always quoted, so keywords, capitals, spaces and quotes in names need no thought. Raises
    `QueryError` for a name that PostgreSQL can't hold: empty, with a NUL or a lone surrogate, or longer than 63 bytes.

        quote('Order')  # '"Order"'
    """
    if not isinstance(identifier, str):
        raise QueryError(f"an SQL identifier must be a str, not {type(identifier).__name__}")
    if not identifier:
        raise QueryError("an SQL identifier must not be empty")
    if len(_encoded("identifier", identifier)) > MAX_IDENTIFIER_BYTES:
        raise QueryError(
            f"the identifier {identifier!r} is longer than {MAX_IDENTIFIER_BYTES} bytes; "
            "PostgreSQL would cut it: choose a shorter name"
        )
    return '"' + identifier.replace('"', '""') + '"'


def qualified(name: str, schema: str | None = None) -> str:
    """Return the quoted name of a table, type or sequence, with its schema where there is one."""
    return quote(name) if schema is None else f"{quote(schema)}.{quote(name)}"


def quote_literal(text: str) -> str:
    """Return `text` as an SQL string constant, safe whatever `standard_conforming_strings` says.

    Raises `QueryError` where the text contains a NUL or a lone surrogate.
    """
    _ = _encoded("string", text)
    quoted = "'" + text.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def check_statement(text: str) -> str:
    """Return the text of a statement if it can be sent whole.

    Raises `QueryError` for a NUL, at which libpq would end the statement and drop the rest of it without a word, and
    for a lone surrogate.
    """
    _ = _encoded("statement", text)
    return text


def _encoded(what: str, text: str) -> bytes:
    """Return the bytes that the server will read."""
    if "\0" in text:
        raise QueryError(f"an SQL {what} must not contain a NUL character")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise QueryError(f"an SQL {what} must not contain a lone surrogate, which UTF-8 has no form for") from None
