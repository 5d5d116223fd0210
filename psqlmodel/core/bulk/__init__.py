"""Bulk work: many rows past the identity map and the tracking of changes, in the session's transaction. Steps.

Rows are taken in chunks, so that an iterator of any length needs little memory, and grouped by the columns that they
set. What this package has, `Session` and `AsyncSession` have as methods. Its modules come when they are first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psqlmodel.core.bulk.changing import bulk_delete as bulk_delete
    from psqlmodel.core.bulk.changing import bulk_update as bulk_update
    from psqlmodel.core.bulk.conflicts import Counted as Counted
    from psqlmodel.core.bulk.copying import copy_from as copy_from
    from psqlmodel.core.bulk.copying import copy_to as copy_to
    from psqlmodel.core.bulk.inserting import bulk_insert as bulk_insert
    from psqlmodel.core.bulk.inserting import bulk_upsert as bulk_upsert
else:
    from psqlmodel.later import later

    __getattr__, __dir__ = later(
        __name__,
        {
            "psqlmodel.core.bulk.changing": ["bulk_delete", "bulk_update"],
            "psqlmodel.core.bulk.conflicts": ["Counted"],
            "psqlmodel.core.bulk.copying": ["copy_from", "copy_to"],
            "psqlmodel.core.bulk.inserting": ["bulk_insert", "bulk_upsert"],
        },
    )
