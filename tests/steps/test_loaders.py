"""Generated loaders make what a slow plain loader makes; what the session has takes the fresh values."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psqlmodel import gcpause
from psqlmodel.core.loading.reading import Loaded, load_rows
from psqlmodel.core.workspace import Workspace
from psqlmodel.model import Mapper, mapper_of
from psqlmodel.model.codegen import entity_loader, fresh_loader
from psqlmodel.model.state import PERSISTENT, raw_name
from psqlmodel.query import Select, compile
from psqlmodel.types import loader

from .models import Author, Colour, Pair, Sight, Thing
from .script import BOOL, INT4, INT4_ARRAY, INT8, JSONB, TEXT, rows, workspace

OIDS: dict[type, tuple[int, ...]] = {
    Thing: (INT8, TEXT, TEXT, JSONB, INT4_ARRAY, BOOL),
    Pair: (INT4, TEXT, JSONB),
    Sight: (TEXT, INT8),
}

_json = st.sampled_from(['{"a": 1}', "{}", "[1, [2]]", "null", '"text"'])
_colour = st.sampled_from(["red", "blue"])
_small = st.integers(0, 4)

ROWS: dict[type, st.SearchStrategy[tuple[Any, ...]]] = {
    Thing: st.tuples(
        _small,
        st.none() | st.text(max_size=3),
        st.none() | _colour,
        st.none() | _json,
        st.none() | st.lists(st.integers(0, 9) | st.none(), max_size=3),
        st.none() | st.booleans(),
    ),
    Pair: st.tuples(_small, _colour, st.none() | _json),
    Sight: st.tuples(st.none() | st.text(max_size=2), st.none() | _small),
}


def slow_load(mapper: Mapper, oids: tuple[int, ...], data: list[Any], start: int, optional: bool) -> list[Any]:
    """The loader without tricks: each object by its class's own way, attribute by attribute."""
    known: dict[Any, Any] = {}
    objects = []
    for row in data:
        part = row[start : start + len(oids)]
        if optional and all(value is None for value in part):
            objects.append(None)
            continue
        values = {}
        for column, oid, wire in zip(mapper.columns, oids, part, strict=True):
            load = loader(column.type, oid)
            values[column.key] = wire if wire is None or load is None else load(wire)
        key = tuple(values[column.key] for column in mapper.primary_key) or object()
        obj = known.get(key)
        if obj is None:
            obj = known[key] = mapper.cls()
        for name, value in values.items():
            setattr(obj, name, value)
        objects.append(obj)
    return objects


def seen(mapper: Mapper, objects: list[Any]) -> list[Any]:
    """What a program sees: the values, and which positions hold one object."""
    first: dict[int, int] = {}
    return [
        None
        if obj is None
        else (first.setdefault(id(obj), n), type(obj), [repr(getattr(obj, key)) for key in mapper.keys])
        for n, obj in enumerate(objects)
    ]


@pytest.mark.parametrize("model", [Thing, Pair, Sight])
@given(data=st.data())
def test_generated_loaders_make_what_the_slow_one_makes(model: Any, data: st.DataObject) -> None:
    mapper = mapper_of(model)
    before, after, optional = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()))
    wide = st.lists(ROWS[model] | st.just((None,) * len(OIDS[model])) if optional else ROWS[model], max_size=12)
    found = [("x",) * before + row + ("y",) * after for row in data.draw(wide)]
    width = before + len(mapper.columns) + after
    load = entity_loader(mapper, mapper.columns, OIDS[model], before, width=width, optional=optional)
    session = workspace()
    known = session.identity.of(mapper)
    fast = load(found, session.unit.clean(mapper), known)
    assert seen(mapper, fast) == seen(mapper, slow_load(mapper, OIDS[model], found, before, optional))
    assert all(obj is None or obj._state.status == PERSISTENT for obj in fast)


@pytest.mark.parametrize("model", [Thing, Pair])
@given(data=st.data())
def test_a_loader_of_fresh_objects_makes_what_the_slow_one_makes(model: Any, data: st.DataObject) -> None:
    mapper, after = mapper_of(model), data.draw(st.integers(0, 2))
    once: Any = st.lists(ROWS[model], max_size=12, unique_by=lambda row: row[: len(mapper.primary_key)])
    found = [(*row, *("y",) * after) for row in data.draw(once)]
    session = workspace()
    fast = fresh_loader(mapper, (*OIDS[model], *(TEXT,) * after))(found, session.unit.clean(mapper))
    assert seen(mapper, fast) == seen(mapper, slow_load(mapper, OIDS[model], found, 0, optional=False))
    assert all(obj._state.status == PERSISTENT for obj in fast)


def test_loaded_objects_are_their_class_and_nothing_else() -> None:
    (thing,) = load_things([(1, "a", "red", '{"a": 1}', [1], True)])
    assert type(thing) is Thing
    assert isinstance(thing, Thing)
    assert thing.colour is Colour.RED
    assert repr(thing) == "Thing(id=1, name='a', colour=<Colour.RED: 'red'>, data={'a': 1}, numbers=[1], flag=True)"


def test_raw_values_are_decoded_when_they_are_read_and_are_each_objects_own() -> None:
    wire = [1, [2]]
    one, other = load_things([(1, None, None, '{"a": [1]}', wire, None), (2, None, None, '{"a": [1]}', wire, None)])
    assert raw_name("data") in one.__dict__
    one.data["a"].append(2)
    one.numbers[1].append(3)
    assert other.data == {"a": [1]}
    assert other.numbers == [1, [2]]
    assert wire == [1, [2]]


def things_session(data: list[Any], session: Workspace) -> Loaded[Any]:
    query = Select(Thing)
    return load_rows(session, query, compile(query), rows(data, *OIDS[Thing]))


def load_things(data: list[Any], session: Workspace | None = None) -> list[Any]:
    return things_session(data, session or workspace()).items


def test_a_fresh_row_brings_new_values_and_keeps_changed_ones() -> None:
    session = workspace()
    (thing,) = load_things([(1, "old", "red", '{"a": 1}', [1], True)], session)
    thing.name = "mine"
    assert load_things([(1, "theirs", "blue", '{"a": 2}', [2], None)], session) == [thing]
    assert (thing.name, thing.colour, thing.data, thing.numbers, thing.flag) == (
        "mine",
        Colour.BLUE,
        {"a": 2},
        [2],
        None,
    )
    assert set(thing._state.original) == {"name", "data", "numbers"}


def test_a_value_that_was_handed_out_is_refreshed_in_place_unless_it_was_edited() -> None:
    session = workspace()
    (thing,) = load_things([(1, None, None, '{"a": 1}', [1, [2]], None)], session)
    data, numbers = thing.data, thing.numbers
    load_things([(1, None, None, '{"a": 2}', [3, [4]], None)], session)
    assert thing.data is data == {"a": 2}
    assert thing.numbers is numbers == [3, [4]]
    data["mine"] = True
    numbers[1].append(5)
    load_things([(1, None, None, '{"a": 3}', [6], None)], session)
    assert thing.data is data == {"a": 2, "mine": True}
    assert thing.numbers is numbers == [3, [4, 5]]


def test_an_edit_that_python_calls_equal_is_an_edit() -> None:
    session = workspace()
    (thing,) = load_things([(1, None, None, '{"a": 1}', None, None)], session)
    thing.data["a"] = True
    load_things([(1, None, None, '{"a": 2}', None, None)], session)
    assert thing.data["a"] is True


def test_json_that_becomes_null_and_comes_back() -> None:
    session = workspace()
    (thing,) = load_things([(1, None, None, '{"a": 1}', None, None)], session)
    load_things([(1, None, None, None, [1], None)], session)
    assert (thing.data, thing.numbers) == (None, [1])
    load_things([(1, None, None, "[]", None, None)], session)
    assert thing.data == []


def test_loading_holds_objects_weakly() -> None:
    session = workspace()
    objects = load_things([(n, None, None, None, None, None) for n in range(10)], session)
    last = weakref.ref(objects[-1])
    del objects
    gc.collect()
    assert last() is None


def test_an_outer_join_gives_none_and_rows_of_several_things() -> None:
    query = Select(Author, Thing.name).LeftJoin(Thing, Thing.id == Author.id)
    data = [(1, "Ada", "x"), (None, None, "y"), (1, "Ada", None)]
    one, two, three = load_rows(workspace(), query, compile(query), rows(data, INT4, TEXT, TEXT)).items
    assert one.Author is three.Author
    assert (one.name, two.Author, two["name"], three[1]) == ("x", None, "y", None)


def test_a_single_model_beyond_an_outer_join_gives_none() -> None:
    query = Select(Author).RightJoin(Thing, Thing.id == Author.id)
    found = load_rows(workspace(), query, compile(query), rows([(None, None), (1, "Ada")], INT4, TEXT)).items
    assert found[0] is None
    assert found[1].name == "Ada"


def test_scalars_are_converted_by_the_type_of_their_column() -> None:
    query = Select(Thing.colour, Thing.data, Thing.id)
    data = [("red", '{"a": 1}', 1), (None, None, 2)]
    found = load_rows(workspace(), query, compile(query), rows(data, TEXT, JSONB, INT4)).items
    assert found == [(Colour.RED, {"a": 1}, 1), (None, None, 2)]


def test_the_collector_is_paused_and_restored() -> None:
    assert gc.isenabled()
    with gcpause.paused():
        assert not gc.isenabled()
        with gcpause.paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_pause_ends_with_an_error_and_leaves_a_disabled_collector_disabled() -> None:
    with pytest.raises(ZeroDivisionError), gcpause.paused():
        raise ZeroDivisionError
    assert gc.isenabled()
    gc.disable()
    try:
        with gcpause.paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_is_relaxed_and_restored() -> None:
    before = gc.get_threshold()
    with gcpause.relaxed():
        with gcpause.relaxed():
            assert gc.get_threshold()[0] == gcpause.RELAXED
        assert gc.get_threshold()[0] == gcpause.RELAXED
        assert gc.isenabled()
    assert gc.get_threshold() == before


def test_what_a_program_makes_of_the_thresholds_stands() -> None:
    before = gc.get_threshold()
    try:
        with gcpause.relaxed():
            gc.set_threshold(123, 4, 5)
        assert gc.get_threshold()[0] == 123
        gc.set_threshold(0)  # another way to disable the collector
        with gcpause.relaxed():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)


def test_a_large_result_is_loaded_in_a_pause() -> None:
    runs: list[str] = []

    def watch(phase: str, info: dict[str, int]) -> None:
        runs.append(phase)

    session = workspace()
    data = [(n, "name", "red", "{}", [n], True) for n in range(5000)]
    gc.collect()
    gc.callbacks.append(watch)
    try:
        load_things(data, session)
    finally:
        gc.callbacks.remove(watch)
    assert len(runs) <= 2  # once at the end, perhaps; without the pause it runs seven times
    assert gc.isenabled()
