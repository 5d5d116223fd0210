"""psqlmodel: a PostgreSQL-only ORM whose centre is the session.

Importing it imports neither a driver nor asyncio, nor its own modules: each comes when one of its names is asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psqlmodel import errors as errors
    from psqlmodel import query as query
    from psqlmodel import types as types
    from psqlmodel.compat.async_transaction import AsyncTransaction as AsyncTransaction
    from psqlmodel.compat.names import BulkDelete as BulkDelete
    from psqlmodel.compat.names import BulkInsert as BulkInsert
    from psqlmodel.compat.names import BulkUpdate as BulkUpdate
    from psqlmodel.compat.names import CheckConstraint as CheckConstraint
    from psqlmodel.compat.names import ForeignKeyConstraint as ForeignKeyConstraint
    from psqlmodel.compat.names import NotExists as NotExists
    from psqlmodel.compat.names import PrimaryKeyConstraint as PrimaryKeyConstraint
    from psqlmodel.compat.names import Scalar as Scalar
    from psqlmodel.compat.names import UniqueConstraint as UniqueConstraint
    from psqlmodel.compat.transaction import Transaction as Transaction
    from psqlmodel.core.async_session import AsyncSession as AsyncSession
    from psqlmodel.core.context import SessionManager as SessionManager
    from psqlmodel.core.engine import Engine as Engine
    from psqlmodel.core.engine import create_async_engine as create_async_engine
    from psqlmodel.core.engine import create_engine as create_engine
    from psqlmodel.core.engine.async_engine import AsyncEngine as AsyncEngine
    from psqlmodel.core.engine.channel import StatementEvent as StatementEvent
    from psqlmodel.core.engine.jobs import PreparedTransaction as PreparedTransaction
    from psqlmodel.core.loading.result import AsyncQueryResult as AsyncQueryResult
    from psqlmodel.core.loading.result import QueryResult as QueryResult
    from psqlmodel.core.row import ResultRow as ResultRow
    from psqlmodel.core.session import Session as Session
    from psqlmodel.core.verbs.paging import Page as Page
    from psqlmodel.core.verbs.planning import Plan as Plan
    from psqlmodel.core.verbs.planning import PlannedStatement as PlannedStatement
    from psqlmodel.core.verbs.written import Written as Written
    from psqlmodel.drivers.slots import PoolStatus as PoolStatus
    from psqlmodel.errors import *  # noqa: F403 - the whole tree is public
    from psqlmodel.model import Check as Check
    from psqlmodel.model import Column as Column
    from psqlmodel.model import Exclude as Exclude
    from psqlmodel.model import ForeignKey as ForeignKey
    from psqlmodel.model import Index as Index
    from psqlmodel.model import PrimaryKey as PrimaryKey
    from psqlmodel.model import PSQLModel as PSQLModel
    from psqlmodel.model import Relation as Relation
    from psqlmodel.model import Unique as Unique
    from psqlmodel.model import table as table
    from psqlmodel.observe.plan import QueryPlan as QueryPlan
    from psqlmodel.observe.tags import tagged as tagged
    from psqlmodel.observe.trace import Trace as Trace
    from psqlmodel.query import *  # noqa: F403 - the whole builder is public
    from psqlmodel.types import *  # noqa: F403 - all type names are public
else:
    from psqlmodel.later import later

    _MODEL = [
        *["Check", "Column", "Exclude", "ForeignKey", "Index", "PrimaryKey", "PSQLModel", "Relation", "Unique", "table"]
    ]
    _FROM_0_9 = [
        *["BulkDelete", "BulkInsert", "BulkUpdate", "CheckConstraint", "ForeignKeyConstraint", "NotExists"],
        *["PrimaryKeyConstraint", "Scalar", "UniqueConstraint"],
    ]

    __getattr__, __dir__ = later(
        __name__,
        {
            "psqlmodel.compat.names": _FROM_0_9,
            "psqlmodel.compat.transaction": ["Transaction"],
            "psqlmodel.compat.async_transaction": ["AsyncTransaction"],
            # An engine runs functions in sessions, which it does not know: both come together.
            "psqlmodel.core.session": ["Engine", "Session", "create_async_engine", "create_engine"],
            "psqlmodel.core.async_session": ["AsyncEngine", "AsyncSession"],
            "psqlmodel.core.context": ["SessionManager"],
            "psqlmodel.core.engine.channel": ["StatementEvent"],
            "psqlmodel.core.engine.jobs": ["PreparedTransaction"],
            "psqlmodel.core.loading.result": ["AsyncQueryResult", "QueryResult"],
            "psqlmodel.core.row": ["ResultRow"],
            "psqlmodel.core.verbs.paging": ["Page"],
            "psqlmodel.core.verbs.planning": ["Plan", "PlannedStatement"],
            "psqlmodel.core.verbs.written": ["Written"],
            "psqlmodel.drivers.slots": ["PoolStatus"],
            "psqlmodel.model": _MODEL,
            "psqlmodel.observe.plan": ["QueryPlan"],
            "psqlmodel.observe.tags": ["tagged"],
            "psqlmodel.observe.trace": ["Trace"],
        },
        "psqlmodel.errors",
        "psqlmodel.query",
        "psqlmodel.types",
    )

__version__ = "0.1.0"
