"""The source of generated loaders, to the letter, and where a debugger finds it."""

from __future__ import annotations

import inspect
import linecache
from datetime import datetime
from typing import Any

import pytest

from psqlmodel import Column, PSQLModel, table
from psqlmodel.model import codegen, mapper_of
from psqlmodel.model.codegen import Field, entity_loader, fresh_source_of, source_of

INT4, TEXT, JSONB, TIMESTAMPTZ = 23, 25, 3802, 1184


@table("users")
class User(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    name: Column[str]
    data: Column[dict[str, Any] | None]


@table("seats")
class Seat(PSQLModel):
    row: Column[str] = Column(primary_key=True)
    number: Column[int] = Column(primary_key=True)


@table("totals")
class Total(PSQLModel):
    amount: Column[int]


@table("golden_events")
class Event(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    at: Column[datetime | None]


@pytest.fixture(autouse=True)
def shared_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loaders of 3.11 and 3.12, whatever Python runs."""
    monkeypatch.setattr(codegen, "OWN_NAMES", False)


def source(model: Any, oids: tuple[int, ...], start: int = 0, width: int | None = None, optional: bool = False) -> str:
    mapper = mapper_of(model)
    columns = mapper.columns[: len(oids)]
    fields = [Field(column, oid, start + n) for n, (column, oid) in enumerate(zip(columns, oids, strict=True))]
    return source_of(mapper, fields, start, width or start + len(fields), optional)


def test_values_that_are_what_they_are_go_straight_into_the_object() -> None:
    assert (
        source(User, (INT4, TEXT))
        == """\
def load(rows, state, known):
    objects = []
    append = objects.append
    get = known.get
    for row in rows:
        key = row[0]
        reference = get(key)
        if reference is not None:
            o = reference()
            if o is not None:
                refresh(o, row)
                append(o)
                continue
        o = twin()
        o.id, o.name = row
        o._state = state
        o.__class__ = cls
        known[key] = ref(o)
        append(o)
    return objects
"""
    )


def test_objects_that_nobody_can_have_are_not_looked_up() -> None:
    pairs = zip(mapper_of(User).columns, (INT4, TEXT, JSONB), strict=True)
    fields = [Field(column, oid, n) for n, (column, oid) in enumerate(pairs)]
    assert (
        fresh_source_of(fields, width=4)
        == """\
def load(rows, state):
    objects = []
    append = objects.append
    for row in rows:
        o = twin()
        o.id, o.name, v2 = row[:3]
        if v2 is None:
            o.data = None
        else:
            o._raw_data = v2
        o._state = state
        o.__class__ = cls
        append(o)
    return objects
"""
    )


def test_json_is_kept_raw_and_an_entity_may_stand_anywhere_in_a_row() -> None:
    assert (
        source(User, (INT4, TEXT, JSONB), start=2, width=6, optional=True)
        == """\
def load(rows, state, known):
    objects = []
    append = objects.append
    get = known.get
    met = {}
    met_before = met.get
    for row in rows:
        if row[2] is None:
            append(None)
            continue
        key = row[2]
        part = row[2:5]
        before = met_before(key)
        if before is not None and before[0] == part:
            append(before[1])
            continue
        reference = get(key)
        if reference is not None:
            o = reference()
            if o is not None:
                refresh(o, row)
                met[key] = part, o
                append(o)
                continue
        o = twin()
        o.id, o.name, v4 = part
        if v4 is None:
            o.data = None
        else:
            o._raw_data = v4
        o._state = state
        o.__class__ = cls
        known[key] = ref(o)
        met[key] = part, o
        append(o)
    return objects
"""
    )


def test_moments_that_came_as_text_are_read_in_c_unless_python_can_not_hold_them() -> None:
    fields = [Field(mapper_of(Event).columns[n], oid, n) for n, oid in enumerate((INT4, -TIMESTAMPTZ))]
    assert (
        fresh_source_of(fields, width=2)
        == """\
def load(rows, state):
    objects = []
    append = objects.append
    for row in rows:
        o = twin()
        o.id, v1 = row
        try:
            o.at = None if v1 is None else q1(v1)
        except ValueError:
            o.at = c1(v1)
        o._state = state
        o.__class__ = cls
        append(o)
    return objects
"""
    )


def test_from_python_3_13_on_an_object_has_a_dictionary_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codegen, "OWN_NAMES", True)
    columns = [*mapper_of(User).columns, mapper_of(Event).columns[1]]
    pairs = zip(columns, (INT4, TEXT, JSONB, -TIMESTAMPTZ), strict=True)
    assert (
        fresh_source_of([Field(column, oid, n) for n, (column, oid) in enumerate(pairs)], width=4)
        == """\
def load(rows, state):
    objects = []
    append = objects.append
    for row in rows:
        v0, v1, v2, v3 = row
        try:
            v3 = None if v3 is None else q3(v3)
        except ValueError:
            v3 = c3(v3)
        o = twin()
        o.__dict__ = {'id': v0, 'name': v1, 'at': v3}
        if v2 is None:
            o.data = None
        else:
            o._raw_data = v2
        o._state = state
        o.__class__ = cls
        append(o)
    return objects
"""
    )


def test_a_composite_key_is_a_tuple() -> None:
    assert "        key = (row[0], row[1])\n" in source(Seat, (TEXT, INT4))


def test_a_class_without_key_has_no_identity() -> None:
    assert (
        source(Total, (INT4,), optional=True)
        == """\
def load(rows, state, known):
    objects = []
    append = objects.append
    for row in rows:
        if row[0:1] == NOTHING:
            append(None)
            continue
        o = twin()
        o.amount, = row
        o._state = state
        o.__class__ = cls
        append(o)
    return objects
"""
    )


def test_a_debugger_finds_the_source() -> None:
    mapper = mapper_of(User)
    load: Any = entity_loader(mapper, mapper.columns, (INT4, TEXT, JSONB))
    filename = load.__code__.co_filename
    assert filename.startswith("<psqlmodel loader User(id, name, data)")
    assert inspect.getsource(load).startswith("def load(rows, state, known):")
    linecache.checkcache()
    assert linecache.getline(filename, 1) == "def load(rows, state, known):\n"


def test_a_loader_is_made_once() -> None:
    mapper = mapper_of(User)
    assert entity_loader(mapper, mapper.columns, (INT4, TEXT, JSONB)) is entity_loader(
        mapper, mapper.columns, (INT4, TEXT, JSONB)
    )
