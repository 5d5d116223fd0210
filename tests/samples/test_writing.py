"""Every table is written: rows come, change and go, by flush and in bulk, and are what the server then says."""

from __future__ import annotations

import re
from collections import Counter
from copy import copy
from typing import Any

import pytest

from psqlmodel import Select

from ..database.both import Both
from .conftest import SAMPLES
from .sample import Sample

EVERY = [pytest.param(each, model, id=model.__name__) for each in SAMPLES for model in each.tables]


async def _counts(session: Any, sample: Sample) -> dict[Any, int]:
    parts = [f"(SELECT count(*) FROM {model.__source__.shape})" for model in sample.tables]
    (row,) = await session.exec(f"SELECT {', '.join(parts)}")
    return dict(zip(sample.tables, row, strict=True))


async def _texts(session: Any, model: Any, *, without: frozenset[str] = frozenset()) -> Counter[tuple[Any, ...]]:
    """All rows of a table in the server's words, as the session's transaction sees them."""
    names = [column.name for column in model.__columns__ if column.key not in without]
    # As JSON, in which a document that is spelled anew is the same.
    values = ", ".join('to_jsonb("' + name.replace('"', '""') + '")::text' for name in names)
    rows = await session.exec(f"SELECT {values} FROM {model.__source__.shape}")
    return Counter(map(tuple, rows))


def _written(both: Both, verb: str) -> Counter[str]:
    """How often each table was written with a verb by the flush."""
    found: Counter[str] = Counter()
    for text in both.statements.of("flush"):
        words = {"INSERT": "INSERT INTO", "UPDATE": "UPDATE", "DELETE": "DELETE FROM"}[verb]
        found.update(re.findall(rf"\b{words} ((?:\"[^\"]*\"\.)?\"[^\"]*\")", text))
    return found


def _table(model: Any) -> str:
    return str(model.__source__.shape)


async def test_a_unit_of_work_over_all_tables(sample: Sample, both: Both):
    async with both.session() as session:
        before = await _counts(session, sample)
        made = sample.new_objects()
        both.statements.clear()
        session.add_all(made)
        await session.flush()
        inserted = _written(both, "INSERT")
        # A row at a time where a trigger makes the keys; the managers before those who report to them.
        twice = {'"harbour"."notice"', '"employee"'}
        assert inserted == {table: 2 if table in twice else 1 for table in map(_table, sample.tables)}
        grown = {model: count - before[model] for model, count in (await _counts(session, sample)).items()}
        assert grown == {model: sample.growth.get(model, 2) for model in sample.tables}
        await _agree(session, made)

        both.statements.clear()
        for obj in made:
            key, value = sample.edits[type(obj)]
            setattr(obj, key, value)
        await session.flush()
        assert _written(both, "UPDATE") == {_table(model): 1 for model in {type(obj) for obj in made}}
        await _agree(session, made)

        both.statements.clear()
        for obj in made:
            session.delete(obj)
        await session.flush()
        deleted = _written(both, "DELETE")
        links = {relation.link_table for model in sample.tables for relation in model.__mapper__.relations.values()}
        assert {table: count for table, count in deleted.items() if table not in links} == {
            table: 1 for table in map(_table, sample.tables) if table not in links
        }
        assert await _counts(session, sample) == before
        await session.rollback()
        assert await _counts(session, sample) == before


async def _agree(session: Any, objects: list[Any]) -> None:
    """What the objects say is what a fresh look at their rows says."""
    for obj in objects:
        mapper = type(obj).__mapper__
        assert mapper.key_of(obj) is not None
        said = {key: getattr(obj, key) for key in mapper.keys if key != "last_update"}
        await session.refresh(obj, list(said))
        fresh = {key: getattr(obj, key) for key in said}
        assert repr(fresh) == repr(said)


@pytest.mark.parametrize(("sample", "model"), [case for case in EVERY if case.values[1] in case.values[0].edits])
async def test_all_rows_changed_at_once(sample: Sample, model: Any, both: Both):
    key, value = sample.edits[model]
    async with both.session() as session:
        await session.exec("SET LOCAL session_replication_role = replica")
        before = await _counts(session, sample)
        unchanged = await _texts(session, model, without=frozenset([key]))
        objects = list(await session.exec(Select(model)))
        both.statements.clear()
        for obj in objects:
            setattr(obj, key, value)
        await session.flush()
        assert _written(both, "UPDATE") == {_table(model): 1}
        assert await _counts(session, sample) == before
        assert await _texts(session, model, without=frozenset([key])) == unchanged
        values = list(await session.exec(Select(getattr(model, key)).Distinct()))
        assert [row[0] for row in values] == [value]
        await session.rollback()
        assert any(getattr(obj, key) != value for obj in objects)


@pytest.mark.parametrize(("sample", "model"), EVERY)
async def test_all_rows_deleted_and_added_again(sample: Sample, model: Any, both: Both):
    """All values of a table travel to the server again through the arrays of one INSERT."""
    mapper = model.__mapper__
    async with both.session() as session:
        await session.exec("SET LOCAL session_replication_role = replica")
        always = _always(both, model)
        kept = await _texts(session, model, without=always)
        objects = list(await session.exec(Select(model)))
        copies = [copy(obj) for obj in objects]
        for each in copies:
            for key in always:
                each.__dict__.pop(key, None)
        both.statements.clear()
        for obj in objects:
            session.delete(obj)
        await session.flush()
        assert _written(both, "DELETE")[_table(model)] == 1
        assert (await _counts(session, sample))[model] == 0

        both.statements.clear()
        session.add_all(copies)
        await session.flush()
        assert _written(both, "INSERT") == {_table(model): 1}
        assert await _texts(session, model, without=always) == kept
        assert len({mapper.key_of(each) for each in copies}) == len(copies)
        await session.rollback()


def _always(both: Both, model: Any) -> frozenset[str]:
    """The columns that take no value: computed ones, and identities that are GENERATED ALWAYS."""
    names = both.column(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND (attidentity = 'a' OR attgenerated <> '')",
        _table(model),
    )
    return frozenset(model.__mapper__.by_name[name].key for name in names if name in model.__mapper__.by_name)


@pytest.mark.parametrize(("sample", "model"), EVERY)
async def test_all_rows_in_bulk(sample: Sample, model: Any, both: Both):
    """All values travel through `bulk_update`, then through `bulk_insert` into the emptied table."""
    async with both.session() as session:
        await session.exec("SET LOCAL session_replication_role = replica")
        always = _always(both, model)
        kept = await _texts(session, model)
        objects = list(await session.exec(Select(model)))
        count = await session.bulk_update(objects) if len(model.__columns__) > len(model.__mapper__.primary_key) else 0
        assert count in (len(objects), 0)
        assert await _texts(session, model) == kept

        await session.exec(f"DELETE FROM {_table(model)}")
        copies = [copy(obj) for obj in objects]
        for each in copies:
            for key in always:
                each.__dict__.pop(key, None)
        assert await session.bulk_insert(copies) == len(copies)
        assert await _texts(session, model, without=always) == _without(kept, model, always)
        keys = {model.__mapper__.key_of(each) for each in copies}
        assert None not in keys
        assert len(keys) == len(copies)
        await session.rollback()


def _without(kept: Counter[tuple[Any, ...]], model: Any, left_out: frozenset[str]) -> Counter[tuple[Any, ...]]:
    places = [n for n, column in enumerate(model.__columns__) if column.key not in left_out]
    found: Counter[tuple[Any, ...]] = Counter()
    for row, count in kept.items():
        found[tuple(row[n] for n in places)] += count
    return found


async def test_what_is_committed_is_there(sample: Sample, copied: Both):
    async with copied.session() as session:
        before = await _counts(session, sample)
        made = sample.new_objects()
        session.add_all(made)
        await session.commit()
    keys = [(type(obj), type(obj).__mapper__.key_of(obj), obj.to_dict()) for obj in made]
    async with copied.session() as session:
        grown = {model: count - before[model] for model, count in (await _counts(session, sample)).items()}
        assert grown == {model: sample.growth.get(model, 2) for model in sample.tables}
        found = [await session.get(model, key) for model, key, _ in keys]
        for obj, (_, _, values) in zip(found, keys, strict=True):
            assert repr(sorted(obj.to_dict().items())) == repr(sorted(values.items()))
            session.delete(obj)
        await session.commit()
    async with copied.session() as session:
        assert await _counts(session, sample) == before
    if not copied.is_sync:
        await copied.engine.dispose()
