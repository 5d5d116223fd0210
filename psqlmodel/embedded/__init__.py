"""A private PostgreSQL as a child process: nothing to install, no root rights, no port, gone with its user.

`Server` is for tests and scripts; ``create_engine("embedded")`` and
``create_engine("embedded:///path/to/data")`` call `acquire`. The programs come from ``PG_BIN``, from the
wheel of the extra ``embedded``, or from the system. Linux and macOS. It must not be imported before it is
needed: the package works without it.
"""

from __future__ import annotations

from urllib.parse import unquote

from psqlmodel.embedded.server import Server
from psqlmodel.errors import EmbeddedError

__all__ = ["EmbeddedError", "Server", "acquire", "is_embedded"]

SCHEME = "embedded"


def is_embedded(dsn: str) -> bool:
    """Tell whether a DSN asks for an embedded server: ``embedded`` or ``embedded:///path``."""
    return dsn == SCHEME or dsn.startswith(SCHEME + ":")


def acquire(dsn: str) -> Server:
    """Start the server that a DSN asks for; the caller stops it.

    Params: dsn – ``embedded`` for a new temporary server, ``embedded:///absolute/path`` for kept data
    (``embedded:relative/path`` starts at the current folder). Percent signs are escapes, as in every URL.
    Returns: a running `Server`. Blocks for about 0.6 s (a new server) or 0.1 s (kept data).
    Raises: EmbeddedError.

        server = acquire("embedded:///var/lib/app/data")
    """
    if not is_embedded(dsn):
        raise EmbeddedError("the DSN does not begin with embedded; write embedded or embedded:///path/to/data")
    path = dsn.removeprefix(SCHEME).removeprefix(":")
    if path.startswith("//"):
        path = path.removeprefix("//")
        if path and not path.startswith("/"):
            raise EmbeddedError(f"embedded://{path} names a host; write embedded:///{path} with three slashes")
    return Server(unquote(path) or None).start()
