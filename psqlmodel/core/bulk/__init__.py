"""Bulk work: many rows past the identity map and the tracking of changes, in the session's transaction. Steps.

Rows are taken in chunks, so that an iterator of any length needs little memory, and grouped by the columns that they
set. What this package has, `Session` and `AsyncSession` have as methods.
"""

from psqlmodel.core.bulk.changing import bulk_delete, bulk_update
from psqlmodel.core.bulk.conflicts import Counted
from psqlmodel.core.bulk.inserting import bulk_insert, bulk_upsert

__all__ = ["Counted", "bulk_delete", "bulk_insert", "bulk_update", "bulk_upsert"]
