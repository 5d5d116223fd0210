"""Replay: a flush that is the whole transaction runs again where the server rolled it back to let others pass.

`Wishes` keep what is pending, as it is before the flush; after the rollback they are put back, so that the next flush
finds what the last one found. Pure, apart from `commit_whole`, which yields what flush and commit yield.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.core.transaction import CONFLICTS
from psqlmodel.errors import TransactionAbortedError, TransactionRollbackError
from psqlmodel.model.collections import RelationList
from psqlmodel.model.state import State, set_state
from psqlmodel.steps import Steps

if TYPE_CHECKING:
    from psqlmodel.core.unitofwork.unit import UnitOfWork
    from psqlmodel.core.workspace import Workspace

_REPLAYS: Final = 5  # without a pause: who was in the way has committed by then
_FEW: Final = 1000  # objects: 2 ms at most, where a commit of as many takes ten
_AGAIN: Final = (*CONFLICTS, None)  # None: a lost COMMIT that the server is known to have rolled back


def may_run_again(error: BaseException | None) -> bool:
    """Tell whether the error says that the transaction was rolled back and may succeed if it runs again."""
    if isinstance(error, TransactionAbortedError):  # the program went on after the error that matters
        error = error.__cause__
    return isinstance(error, TransactionRollbackError) and error.sqlstate in _AGAIN


def commit_whole(workspace: Workspace, commit: Callable[[Workspace], Steps[None]]) -> Steps[None]:
    """Flush and commit by `commit`; again after a conflict, where the transaction is nothing but this flush.

    What is pending is kept when the flush is about to send the first of several statements; one that is alone is just
    sent again. Where handlers may change what is pending, it is kept before they are called.
    """
    transaction = workspace.transaction
    if transaction.begun or not _worth_keeping(workspace):
        yield from commit(workspace)
        return
    for _ in range(_REPLAYS):
        kept: list[Wishes] = []
        transaction.keep = partial(_keep, workspace.unit, kept)
        if workspace.events.of("before_flush"):
            transaction.keep()
        try:
            yield from commit(workspace)
        except TransactionRollbackError as error:
            if not may_run_again(error) or not kept:
                raise
            transaction.failure = None
            kept[0].put_back()
        else:
            return
        finally:
            transaction.keep = None
    yield from commit(workspace)


def _keep(unit: UnitOfWork, kept: list[Wishes]) -> None:
    if not kept:
        kept.append(Wishes(unit))


def _worth_keeping(workspace: Workspace) -> bool:
    """Tell whether what is pending is kept for a replay.

    Under an isolation that makes conflicts likely it is; else only a deadlock can happen, and the copy must cost
    nothing beside the commit: some 2 µs an object.
    """
    pending = sum(map(len, (workspace.unit.new, workspace.unit.tracked, workspace.unit.deleted)))
    return pending > 0 and (pending <= _FEW or workspace.transaction.beginning.isolated)


class Wishes:
    """What is pending in a unit of work, at one moment."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._unit = unit
        held = (unit.new, unit.tracked, unit.deleted)
        self._saved = [[_Saved(obj) for obj in objects.values()] for objects in held]

    def put_back(self) -> None:
        """Make all of it pending again, after the objects were restored."""
        unit = self._unit
        for held, saved in zip((unit.new, unit.tracked, unit.deleted), self._saved, strict=True):
            for each in saved:
                each.put_back(unit)
                held[id(each.obj)] = each.obj


class _Saved:
    """One object: its values, the content of its lists, its state."""

    __slots__ = ("batch", "lists", "obj", "original", "status", "values")

    def __init__(self, obj: Any) -> None:
        state = obj._state
        self.obj = obj
        self.values = dict(obj.__dict__)
        self.lists = [(value, list(value)) for value in self._relation_lists()]
        self.status, self.batch, self.original = state.status, state.batch, dict(state.original)

    def _relation_lists(self) -> list[list[Any]]:
        loaded = [relation.loaded(self.obj) for relation in type(self.obj).__mapper__.all_relations()]
        return [value for value in loaded if isinstance(value, list)]

    def put_back(self, unit: UnitOfWork) -> None:
        values = self.obj.__dict__
        values.clear()
        values.update(self.values)
        for held, items in self.lists:
            if isinstance(held, RelationList):
                held.replace_loaded(items)
            else:
                held[:] = items
        state = State(unit, type(self.obj).__mapper__, self.status, self.batch)
        state.original.update(self.original)
        set_state(self.obj, state)
