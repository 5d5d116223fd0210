"""Every relation, included: the objects are those that plain SQL pairs, at two queries whatever the number of rows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from psqlmodel import Alias, NotLoadedError, Select

from ..database.both import Both
from .conftest import SAMPLES
from .sample import Sample


def _model(sample: Sample, name: str) -> Any:
    return next(model for model in sample.models if model.__name__ == name)


# All officers are there when all officers are read, and no film names its original language: there is nothing to ask.
NOTHING_TO_ASK = {"Employee.manager", "Officer.superior", "Film.original_language"}
EVERY = [pytest.param(each, path, id=path) for each in SAMPLES for path in each.pairs]


def test_all_relations_are_here(sample: Sample):
    declared = [f"{model.__name__}.{key}" for model in sample.models for key in model.__mapper__.relations]
    assert sorted(sample.pairs) == sorted(declared)


def _pairs(objects: list[Any], key: str) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    for obj in objects:
        value = getattr(obj, key)
        for other in value if isinstance(value, list) else [] if value is None else [value]:
            found[*_key(obj), *_key(other)] += 1
    return found


def _key(obj: Any) -> tuple[Any, ...]:
    return tuple(getattr(obj, column.key) for column in type(obj).__mapper__.primary_key)


def _wanted(both: Both, sample: Sample, path: str, objects: list[Any]) -> Counter[tuple[Any, ...]]:
    """The pairs that plain SQL finds for these objects."""
    keys = set(map(_key, objects))
    return Counter(pair for pair in map(tuple, both.sql(sample.pairs[path])) if pair[: len(next(iter(keys)))] in keys)


@pytest.mark.parametrize(("sample", "path"), EVERY)
async def test_include(sample: Sample, path: str, both: Both):
    name, key = path.split(".")
    model = _model(sample, name)
    wanted = Counter(map(tuple, both.sql(sample.pairs[path])))
    async with both.session() as session:
        both.statements.clear()
        objects = list(await session.exec(Select(model).Include(getattr(model, key))))
        sent = list(both.statements.sent)
        assert _pairs(objects, key) == wanted
        assert both.statements.sent == sent  # nothing was loaded afterwards
    main, *included = [text for text in sent if not text.startswith("BEGIN")]
    assert len(included) == (path not in NOTHING_TO_ASK)
    assert main.count("$") <= 1


@pytest.mark.parametrize(("sample", "path"), EVERY)
async def test_load_what_was_not_included(sample: Sample, path: str, both: Both):
    name, key = path.split(".")
    model = _model(sample, name)
    async with both.session() as session:
        objects = list(await session.exec(Select(model).Limit(1000)))
        both.statements.clear()
        if both.is_sync:
            found = _pairs(objects, key)  # reading one loads it for all of the result
        else:
            if path not in NOTHING_TO_ASK:
                _is_refused(objects, path)
            await session.load(objects, getattr(model, key))
            found = _pairs(objects, key)
        assert len(both.statements.sent) == (path not in NOTHING_TO_ASK)
    assert found == _wanted(both, sample, path, objects)


def _is_refused(objects: list[Any], path: str) -> None:
    key = path.split(".")[1]
    with pytest.raises(NotLoadedError, match=path):
        [getattr(obj, key) for obj in objects]  # one without a key is known to have no partner


@pytest.mark.parametrize(("sample", "path"), EVERY)
async def test_join_along_the_relation(sample: Sample, path: str, both: Both):
    name, key = path.split(".")
    model = _model(sample, name)
    relation = getattr(model, key)
    target: Any = Alias(relation.target.cls, "other")
    wanted = Counter(map(tuple, both.sql(sample.pairs[path])))
    columns = [getattr(model, column.key) for column in model.__mapper__.primary_key]
    others = [getattr(target, column.key) for column in relation.target.primary_key]
    async with both.session() as session:
        rows = await session.exec(Select(*columns, *others).JoinRelated(relation, target))
        assert Counter(map(tuple, rows)) == wanted


async def test_all_relations_of_a_class_at_once(sample: Sample, both: Both):
    for model in sample.models:
        relations = list(model.__mapper__.relations)
        if not relations:
            continue
        async with both.session() as session:
            both.statements.clear()
            query = Select(model).Limit(500).Include(*(getattr(model, key) for key in relations))
            objects = list(await session.exec(query))
            reads = [text for text in both.statements.sent if not text.startswith("BEGIN")]
            assert len(reads) <= 1 + len(relations)
            for key in relations:
                assert _pairs(objects, key) == _wanted(both, sample, f"{model.__name__}.{key}", objects)
