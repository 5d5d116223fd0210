"""Round trips: how often a connection will wait for the server to answer a request. Sends nothing.

A request is not always one trip: asyncpg sends BEGIN by itself and prepares a text before its first execution; psycopg2
prepares one that comes for the second time. `expected` says so beforehand, from what the connection has prepared. What
nobody knows then is not in it: that a table changed since (a trip more), or takes no binary rows (one less, once).
"""

from __future__ import annotations

from typing import Any

from psqlmodel.steps import Copy, CopyIn, CopyOut, Statement


def expected(connection: Any, request: Statement | Copy) -> int:
    """Return the number of round trips that `request` takes on a driver's connection."""
    of_psycopg2 = hasattr(connection, "_plans")
    return _of_psycopg2(connection, request) if of_psycopg2 else _of_asyncpg(connection, request)


def _of_psycopg2(connection: Any, request: Statement | Copy) -> int:
    if isinstance(request, Copy):  # the server says that it is ready, then that it is done; what it sends is one answer
        return bool(request.prelude) + (1 if isinstance(request, CopyOut) else 2)
    plans = connection._plans
    plan = plans.get(request.text)
    if plan is None:
        oldest = next(iter(plans.values()), None)
        return 1 + (len(plans) >= _psycopg2_capacity() and oldest is not None and bool(oldest.name))
    if request.fresh or plan.name:
        return 1
    return 2 if request.prepare and connection._prepares and plan.preparable else 1


def _psycopg2_capacity() -> int:
    from psqlmodel.drivers.psycopg2 import PREPARED_STATEMENTS  # whose connection this is: it is imported

    return PREPARED_STATEMENTS


def _of_asyncpg(connection: Any, request: Statement | Copy) -> int:
    begun = bool(request.prelude)
    if isinstance(request, CopyIn | CopyOut):
        return begun + 1  # it sends the rows without waiting for the server to be ready for them
    if isinstance(request, Copy):
        return begun + _copy_by_asyncpg(connection, request)
    if not request.args and connection._is_rowless(request):
        return begun + 1
    known = request.text in connection._prepared and request.prepare and not request.fresh
    return begun + (1 if known else 2)


def _copy_by_asyncpg(connection: Any, request: Copy) -> int:
    """Return the trips of rows by COPY: asyncpg asks for the types of the columns before it sends binary ones."""
    from psqlmodel.drivers.asyncpg import fits_binary  # whose connection this is: it is imported

    if "numeric" in request.types:
        return 1
    oids = connection._columns.get((request.table, tuple(request.columns)))
    if oids is None:  # it looks first, and most tables take binary rows
        return 3
    return 2 if all(fits_binary(kind, oid) for kind, oid in zip(request.types, oids, strict=True)) else 1
