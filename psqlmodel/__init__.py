"""psqlmodel: a PostgreSQL-only ORM whose centre is the session. Importing it imports neither a driver nor asyncio."""

from typing import TYPE_CHECKING

from psqlmodel import errors, query, types
from psqlmodel.core.context import SessionManager
from psqlmodel.core.engine import Engine, create_async_engine, create_engine
from psqlmodel.core.engine.channel import StatementEvent
from psqlmodel.core.engine.jobs import PreparedTransaction
from psqlmodel.core.loading.result import AsyncQueryResult, QueryResult
from psqlmodel.core.row import Row as ResultRow
from psqlmodel.core.session import Session
from psqlmodel.core.verbs.planning import Plan, PlannedStatement
from psqlmodel.core.verbs.written import Written
from psqlmodel.drivers.slots import PoolStatus
from psqlmodel.errors import *  # noqa: F403 - the whole tree is public
from psqlmodel.model import Check, Column, Exclude, ForeignKey, Index, PSQLModel, Relation, Unique, table
from psqlmodel.query import *  # noqa: F403 - the whole builder is public
from psqlmodel.types import *  # noqa: F403 - all type names are public

if TYPE_CHECKING:
    from psqlmodel.core.async_session import AsyncSession
    from psqlmodel.core.engine.async_engine import AsyncEngine
else:
    from psqlmodel.later import later

    __getattr__, __dir__ = later(  # with asyncio: more than a third of what this package costs a program
        __name__,
        {
            "AsyncEngine": "psqlmodel.core.engine.async_engine",
            "AsyncSession": "psqlmodel.core.async_session",
        },
    )

__version__ = "0.1.0"

__all__ = [
    "AsyncEngine",
    "AsyncQueryResult",
    "AsyncSession",
    "Check",
    "Column",
    "Engine",
    "Exclude",
    "ForeignKey",
    "Index",
    "PSQLModel",
    "Plan",
    "PlannedStatement",
    "PoolStatus",
    "PreparedTransaction",
    "QueryResult",
    "Relation",
    "ResultRow",
    "Session",
    "SessionManager",
    "StatementEvent",
    "Unique",
    "Written",
    "__version__",
    "create_async_engine",
    "create_engine",
    "errors",
    "query",
    "table",
    "types",
]
__all__ += errors.__all__
__all__ += query.__all__
__all__ += types.__all__
