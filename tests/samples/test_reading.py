"""Every row of every table and view is what the server says it is."""

from __future__ import annotations

from typing import Any

import pytest

from psqlmodel import Select

from ..database.both import Both
from .conftest import SAMPLES, Samples
from .reading import read_as
from .sample import Sample, server_texts

EVERY = [pytest.param(each, model, id=model.__name__) for each in SAMPLES for model in each.models]


@pytest.mark.parametrize(("sample", "model"), EVERY)
async def test_rows_are_the_servers(sample: Sample, model: Any, both: Both, samples: Samples):
    columns = model.__columns__
    texts = server_texts(samples.dsn(sample), str(model.__source__.shape), [column.name for column in columns])
    assert texts
    async with both.session() as session:
        objects = list(await session.exec(Select(model)))
        rows = list(await session.exec(Select(*columns)))
    assert len(objects) == len(texts)
    readers = []
    for column in columns:
        values = [value for obj in objects if (value := getattr(obj, column.key)) is not None]
        assert all(isinstance(value, column.pg_type.python) for value in values), column.key
        readers.append(read_as(max(values, key=_tellingness)) if values else str)
    wanted = [
        tuple(None if text is None else read(text) for read, text in zip(readers, row, strict=True)) for row in texts
    ]
    found = [tuple(getattr(obj, column.key) for column in columns) for obj in objects]
    spelled = sorted(map(repr, wanted))
    assert sorted(map(repr, found)) == spelled
    assert sorted(map(repr, map(tuple, rows))) == spelled


def _tellingness(value: Any) -> int:
    """A value that shows its type: not an empty list or range, not one of only None."""
    return len(repr(value))


@pytest.mark.parametrize(("sample", "model"), [case for case in EVERY if case.values[1].__mapper__.primary_key])
async def test_get_by_key(sample: Sample, model: Any, both: Both):
    async with both.session() as session:
        first = (await session.exec(Select(model).Limit(1)))[0]
    key = model.__mapper__.key_of(first)
    async with both.session() as session:
        found = await session.get(model, key)
        both.statements.clear()
        assert await session.get(model, key) is found
        assert both.statements.sent == []
    assert found.to_dict() == first.to_dict() or repr(found.to_dict()) == repr(first.to_dict())


async def test_no_table_of_the_samples_is_without_a_model(sample: Sample, both: Both):
    found = both.column(
        "SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm') "
        "AND c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'harbour'))"
    )
    assert sorted(found) == sorted(model.__mapper__.table for model in sample.models)
