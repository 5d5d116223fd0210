"""Flush: from the changes of a unit of work to statements, one for each table, operation and set of columns. Steps.

The order is: link rows that go, new rows (parents first), changed rows, link rows that come, deleted rows (children
first). What the rows were before goes to the undo log before anything is sent.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any

from psqlmodel.core.events import notify_of_flush, refuse_within_flush
from psqlmodel.core.transaction import fail, within
from psqlmodel.core.unitofwork import deletion, insertion, links, plans, routing, together, updating
from psqlmodel.core.unitofwork.collect import Changes, Texts, collect, remembered, validate
from psqlmodel.core.unitofwork.grouping import regroup
from psqlmodel.core.unitofwork.ordering import Group, parents_first
from psqlmodel.core.unitofwork.orphans import settle_orphans
from psqlmodel.core.unitofwork.parts import Parts, parts_of
from psqlmodel.core.unitofwork.takeover import Takeovers, find_takeovers, placeholder
from psqlmodel.errors import PSQLModelError
from psqlmodel.gcpause import relax_for
from psqlmodel.model.state import Raw, raw_name, set_state
from psqlmodel.steps import Steps

if TYPE_CHECKING:
    from psqlmodel.core.unitofwork.unit import UnitOfWork
    from psqlmodel.core.workspace import Workspace
    from psqlmodel.model.mapper import Mapper


def flush(workspace: Workspace) -> Steps[None]:
    """Write all changes of the session's unit of work in its transaction.

    Raises what the server reports and `StaleObjectError` for a row that is gone, after the transaction is rolled back
    and the objects are restored; `InvalidValueError` for a value that does not fit, before anything is sent.
    """
    unit, catalog = workspace.unit, workspace.catalog
    refuse_within_flush(workspace)
    if not unit.has_changes:
        return
    if workspace.events.of("before_flush"):
        yield from notify_of_flush(workspace, "before_flush")
    shape = plans.shape_of(workspace)
    plan = plans.planned(workspace, shape)
    if plan is None:
        if not catalog.knows(unit.mappers):
            yield from within(workspace, catalog.ensure(unit.mappers))
        if unit.tracked or unit.orphaned:
            settle_orphans(unit)
    with relax_for(len(unit.new) + len(unit.tracked)):  # what is remembered of each, and the rows that come back
        changes = collect(unit) if plan is None else plan[0]
        tracked = list(unit.tracked.values())
        _remember(workspace, changes, tracked)
        before = workspace.transaction.sent
        try:
            yield from _write(workspace, changes, shape) if plan is None else _write_together(workspace, *plan)
        except GeneratorExit:
            raise
        except BaseException as error:
            if isinstance(error, PSQLModelError) and workspace.transaction.sent == before:
                unit.undo.forget_inserted(changes.new)  # refused by ourselves: all is as it was, and can be put right
            else:
                yield from fail(workspace, error)
            raise
        _settle(workspace, changes, tracked)
    if workspace.events.of("after_flush"):
        yield from notify_of_flush(workspace, "after_flush")


def _write(workspace: Workspace, changes: Changes, shape: plans.Shape) -> Steps[None]:
    for mapper, by_columns in changes.changed.items():
        if mapper.distribution is not None:
            routing.refuse_moved(mapper, by_columns)
    order = parents_first(changes.mappers)
    takeovers = find_takeovers(changes)
    parts = parts_of(workspace, changes, order, takeovers)
    if parts is not None:
        plans.keep(workspace, shape, parts)
        yield from _write_together(workspace, changes, parts)
    else:
        yield from _write_in_order(workspace, changes, order, takeovers)


def _write_together(workspace: Workspace, changes: Changes, parts: Parts) -> Steps[None]:
    """Write a small flush in one statement."""
    keep = workspace.transaction.keep
    if keep is not None and not parts.alone:
        keep()
    yield from together.write(workspace, parts, changes)
    workspace.transaction.worked = True


def _write_in_order(
    workspace: Workspace, changes: Changes, order: tuple[Group, ...], takeovers: Takeovers
) -> Steps[None]:
    """Write in a statement for each table, operation and set of columns."""
    keep = workspace.transaction.keep
    if keep is not None:
        keep()
    validate(changes, workspace.catalog.type_of)
    yield from links.unlink(workspace, changes.unlinked)
    if takeovers.deletes_first:
        yield from _delete(workspace, changes)
    yield from _let_go(workspace, takeovers)
    for group in order:
        yield from insertion.insert(workspace, group, changes)
        for mapper in group:
            yield from updating.read_new_versions(workspace, mapper, changes.new.get(mapper, ()))
    for (mapper, columns), objects in changes.late.items():  # keys that a circle of rows left open
        yield from updating.update(workspace, mapper, columns, objects)
    for mapper in (mapper for group in order for mapper in group):
        for columns, objects in changes.changed.get(mapper, {}).items():
            yield from updating.update(workspace, mapper, columns, objects)
    yield from links.link(workspace, changes.linked)
    if not takeovers.deletes_first:
        yield from _delete(workspace, changes)
    if changes.written:
        workspace.transaction.worked = True


def _let_go(workspace: Workspace, takeovers: Takeovers) -> Steps[None]:
    """Write unique values that other rows of this flush take over, before these are written."""
    for (mapper, columns), objects in takeovers.vacated.items():
        yield from updating.vacate(workspace, mapper, columns, objects, placeholder)
    for wave in takeovers.waves:
        for (mapper, columns), objects in wave.items():
            yield from updating.update(workspace, mapper, columns, objects)


def _delete(workspace: Workspace, changes: Changes) -> Steps[None]:
    """Delete rows, children first; those of tables that refer to each other together."""
    for group in reversed(parents_first(changes.deleted)):
        yield from deletion.delete(workspace, group, changes)


def _remember(workspace: Workspace, changes: Changes, tracked: list[Any]) -> None:
    undo = workspace.unit.undo
    for objects in changes.deleted.values():
        undo.deleted(objects)
    if tracked:  # after those that are deleted: what the flush itself changes (versions) must find the note open
        undo.all_updated(tracked)
    for objects in changes.new.values():
        undo.inserted(objects)
    if changes.linked or changes.unlinked:
        undo.linked(changes.linked)
        undo.unlinked(changes.unlinked)


def _settle(workspace: Workspace, changes: Changes, tracked: list[Any]) -> None:
    """Make everything that was written clean: what the database has is what the objects say.

    `tracked` are the objects of which `_remember` has made a note.
    """
    unit = workspace.unit
    regroup(unit, changes.new, list(unit.tracked.values()))
    for mapper, objects in changes.new.items():
        unit.settle_new(mapper, objects)
    for mapper, deleted in changes.deleted.items():
        deletion.now_deleted(workspace, mapper, deleted)
        deletion.mark_cascaded(workspace, mapper, deleted)
    if unit.tracked:
        left = list(unit.tracked.values())
        if len(left) != len(tracked) or not all(map(is_, left, tracked)):  # the flush has changed more of them
            unit.undo.all_updated(left)
        _settle_changed(unit, left)
    for mapper, objects in changes.new.items():
        if mapper.mutable:
            _watch(unit, mapper, objects, changes.texts)


def _settle_changed(unit: UnitOfWork, objects: list[Any]) -> None:
    """Make all tracked objects clean."""
    unit.tracked.clear()
    for obj in objects:
        state = obj._state
        baseline = {} if obj.__dict__.keys().isdisjoint(state.mapper.mutable) else _baseline(obj, {})
        if not baseline and state.batch is not None:
            set_state(obj, state.batch)  # nothing is handed out: `settle` without its call
        else:
            unit.settle(obj, baseline)


def _watch(unit: UnitOfWork, mapper: Mapper, objects: list[Any], texts: Texts) -> None:
    """Compare what new objects have handed out with what was written of it."""
    known = {key: texts.get((mapper, key), []) for key in mapper.mutable}
    if len(known) == 1:
        [(key, groups)] = known.items()
        if sum(len(written) for written, _ in groups) == len(objects):
            for written, array in groups:
                unit.watch_all(mapper, key, written, array)
            return
    found = {
        key: {id(obj): text for group in groups for obj, text in zip(*group, strict=True)}
        for key, groups in known.items()
    }
    for obj in objects:
        handed_out = None if obj.__dict__.keys().isdisjoint(mapper.mutable) else _baseline(obj, found)
        if handed_out:
            unit.watch(obj, handed_out)


def _baseline(obj: Any, texts: dict[str, dict[int, Any]]) -> dict[str, Any]:
    """Return what values that can be edited in place are compared with from now on: those that were handed out.

    `texts` are those that were written, by column and the id of the object: to dump a value once less is a twentieth of
    the time of a new object.
    """
    mapper = type(obj).__mapper__
    values = obj.__dict__
    found: dict[str, Any] = {}
    for key in mapper.mutable:
        value = values.get(key)
        if value is not None and raw_name(key) not in values:
            text = texts[key].get(id(obj)) if key in texts else None
            found[key] = remembered(mapper.attributes[key].type, value) if text is None else Raw(text)
    return found
