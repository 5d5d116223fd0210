"""Active: `user.save()` and `user.delete()`, which ask the current session to do it. Sends nothing itself."""

from __future__ import annotations

from typing import Any

from psqlmodel.query import execution


class Active:
    """What every model can do with the session that is current."""

    __slots__ = ()

    def save(self) -> Any:
        """Add the object to the current session and flush: what the database makes is on the object afterwards.

        To be awaited where that is an `AsyncSession`. The transaction stays open: `session.commit()`. Raises
        `NoActiveSessionError` outside of a session's block.

            user.save()        # with Session(engine) as session:
            await user.save()  # async with AsyncSession(engine) as session:
        """
        session = execution.session()
        _ = session.add(self)
        return session.flush()

    def delete(self) -> Any:
        """Delete the object's row through the current session, and flush; see `save`."""
        session = execution.session()
        _ = session.delete(self)
        return session.flush()
