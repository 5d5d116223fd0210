"""The source of generated constructors, to the letter; and that they do what the one of all classes does."""

from __future__ import annotations

import inspect
import linecache
import pickle
import random
from itertools import count
from typing import Any

import pytest

from psqlmodel import Column, PSQLModel, Relation, table
from psqlmodel.model import mapper_of
from psqlmodel.model.codegen import constructor_source_of
from psqlmodel.types import integer, varchar

numbers = count(1)


@table("made_parents")
class Parent(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    children: Relation[list[Child]] = Relation()


@table("made_children")
class Child(PSQLModel):
    id: Column[int] = Column(primary_key=True)
    parent_id: Column[int] = Column(foreign_key="made_parents.id", default=7)
    number: Column[int] = Column(default_factory=lambda: next(numbers))
    self: Column[str | None]
    parent: Relation[Parent] = Relation()


def test_attributes_are_keywords_and_no_name_of_ours_is_one_of_them() -> None:
    assert (
        constructor_source_of(mapper_of(Child))
        == """\
def __init__(_self, /, *, id=_UNSET, parent_id=_UNSET, number=_UNSET, self=_UNSET, \
parent=_UNSET, **_others):
    if _others or _self.__class__ is not _cls:
        return _general(_self, _others, id=id, parent_id=parent_id, number=number, self=self, \
parent=parent)
    _set_state(_self, _TRANSIENT)
    _own = _self.__dict__
    if id is not _UNSET:
        _own['id'] = id
    if parent_id is not _UNSET:
        _own['parent_id'] = parent_id
    if number is not _UNSET:
        _own['number'] = number
    if self is not _UNSET:
        _own['self'] = self
    if parent is not _UNSET:
        _self.parent = parent
    if 'parent_id' not in _own:
        _own['parent_id'] = _default0
    if 'number' not in _own:
        _own['number'] = _default1()
"""
    )


def test_a_debugger_finds_the_source() -> None:
    _ = Child()
    made = vars(Child)["__init__"]
    assert made.__qualname__ == "Child.__init__"
    assert inspect.getsource(made) == constructor_source_of(mapper_of(Child))
    assert linecache.getlines(made.__code__.co_filename)
    assert list(inspect.signature(Child).parameters)[:3] == ["id", "parent_id", "number"]


def test_the_signature_is_there_before_the_first_object_and_after_it() -> None:
    @table("signed")
    class Signed(PSQLModel):
        id: Column[int] = Column(primary_key=True)
        tags: Column[list[str] | None]
        size: int = 3
        kind: Column[varchar]
        made: Column[int] = Column(default_factory=lambda: 4)
        parent_id: Column[int | None] = Column(foreign_key="made_parents.id")
        parent: Relation["Parent | None"]
        others: Relation[list["NowhereYet"]]  # type: ignore[name-defined]  # noqa: F821

    expected = (
        "(*, id: int = UNSET, tags: list[str] | None = UNSET, size: int = 3, kind: str = UNSET, made: int = UNSET, "
        "parent_id: int | None = UNSET, parent: 'Parent | None' = UNSET, others: 'list[NowhereYet]' = UNSET)"
    )
    assert str(inspect.signature(Signed)) == expected
    assert "__signature__" not in vars(Signed)
    assert Signed(id=1).size == 3
    assert str(inspect.signature(Signed)) == expected
    assert not hasattr(Signed(), "__signature__")


def test_who_calls_by_the_signature_gives_its_defaults_from_the_first_object_on() -> None:
    @table("called_by_signature")
    class Called(PSQLModel):
        id: Column[int] = Column(primary_key=True)
        size: int = 3
        made: Column[int] = Column(default_factory=lambda: 4)
        parent_id: Column[int | None] = Column(foreign_key="made_parents.id")
        parent: Relation[Parent | None]

    shown: dict[str, Any] = {name: each.default for name, each in inspect.signature(Called).parameters.items()}
    for _ in range(2):
        called = Called(**shown)
        assert called.to_dict() == {"size": 3, "made": 4}
        assert "parent" not in vars(called)


def test_signatures_that_the_program_wrote_and_names_that_are_no_keywords() -> None:
    @table("written_by_hand")
    class ByHand(PSQLModel):
        id: Column[int] = Column(primary_key=True)

        def __init__(self, number: int = 1) -> None:
            super().__init__(id=number)

    @table("below_by_hand")
    class Below(ByHand):
        more: Column[int]

    assert list(inspect.signature(ByHand).parameters) == list(inspect.signature(Below).parameters) == ["number"]
    odd: Any = type("Odd", (PSQLModel,), {"id": Column(type=integer, primary_key=True), "class": Column(type=integer)})
    assert str(inspect.signature(table("odd_words")(odd))) == "(*, id: int = UNSET, **others)"
    assert list(inspect.signature(PSQLModel).parameters) == ["values"]


def test_it_does_what_the_constructor_of_all_classes_does() -> None:
    rng = random.Random(5)
    choices: dict[str, Any] = {"id": [1, None], "parent_id": [2], "number": [3], "self": ["me", None]}
    for _ in range(200):
        values = {key: rng.choice(some) for key, some in choices.items() if rng.random() < 0.5}
        if rng.random() < 0.5:
            values["parent"] = rng.choice([None, Parent(), Parent(id=9)])
        one, other = Child(**values), Child.__new__(Child)
        PSQLModel.__init__(other, **values)
        for child in (one, other):
            _ = child.__dict__.pop("number") if "number" not in values else None
        assert one.__dict__ == other.__dict__
        assert one._state is other._state


def test_related_objects_are_linked_and_bring_their_keys() -> None:
    parent = Parent(id=4)
    child = Child(parent=parent)
    assert child.parent_id == 4
    assert child in parent.children
    assert Child(parent=Parent()).parent_id == 7
    assert Parent(children=[child]).children == [child]


def test_unknown_keywords_are_refused_by_every_object() -> None:
    for _ in range(2):  # the first one is made by the constructor of all classes
        with pytest.raises(TypeError, match=r"Child\(\) got an unknown keyword 'nmber'; did you mean 'number'\?"):
            _ = Child(nmber=1)
    with pytest.raises(TypeError):
        _ = Child(1)  # type: ignore[misc]


def test_what_the_program_wrote_is_called() -> None:
    @table("made_by_hand")
    class ByHand(PSQLModel):
        id: Column[int] = Column(primary_key=True)
        name: Column[str]

        def __init__(self, name: str) -> None:
            super().__init__(name=name.title())

    assert [ByHand("ada").name, ByHand("bob").name] == ["Ada", "Bob"]


def test_classes_below_have_constructors_of_their_own() -> None:
    _ = Parent(id=1)

    @table("made_heirs")
    class Heir(Parent):
        name: Column[str] = Column(default="x")

    @table("made_by_heirs")
    class Named(Parent):
        name: Column[str]

        def __init__(self, **values: Any) -> None:
            super().__init__(name="fixed", **values)

    for _ in range(2):
        assert (Heir(id=2).id, Heir(id=2).name, Heir(name="y").name) == (2, "x", "y")
        assert (Named(id=3).id, Named().name) == (3, "fixed")
    assert vars(Heir)["__init__"] is not vars(Parent)["__init__"]


def test_names_that_are_no_keywords_are_taken_by_the_constructor_of_all_classes() -> None:
    odd: Any = type(PSQLModel)("Odd", (PSQLModel,), {"__annotations__": {"id": Column[int], "class": Column[str]}})
    mapped = table("made_odd")(odd)
    made = mapped(**{"id": 1, "class": "first"})
    assert made.__dict__ == {"id": 1, "class": "first"}
    assert "__init__" not in vars(mapped)


def test_copies_and_pickles_do_without() -> None:
    child = Child(id=1, self="me")
    again = pickle.loads(pickle.dumps(child))
    assert again.__dict__ == child.__dict__
