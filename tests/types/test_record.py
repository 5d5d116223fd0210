"""Records: what a frozen dataclass is, without `dataclasses`."""

from __future__ import annotations

import copy
import pickle

import pytest

from psqlmodel.record import Record, fill, replace


class Seat(Record):
    row: int
    number: int = 1
    reserved: bool = False


class Twice(Record):
    value: int

    def __init__(self, value: int) -> None:
        fill(self, value=2 * value)


class Other(Record):
    row: int
    number: int = 1
    reserved: bool = False


def test_values_come_by_place_by_name_and_by_default() -> None:
    seat = Seat(3, reserved=True)
    assert (seat.row, seat.number, seat.reserved) == (3, 1, True)
    assert repr(seat) == "Seat(row=3, number=1, reserved=True)"
    assert Twice(4).value == 8


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, 2, True, 4), {}), ((1,), {"row": 1}), ((1,), {"chair": 1})],
    ids=["missing", "too many", "given twice", "unknown"],
)
def test_what_does_not_fit_is_refused(values: tuple[int, ...], named: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"Seat\(\) takes row, number, reserved"):
        Seat(*values, **named)


def test_equal_where_class_and_values_are() -> None:
    assert Seat(1) == Seat(1, 1, False)
    assert hash(Seat(1)) == hash(Seat(1, 1, False))
    assert Seat(1) != Seat(2)
    assert Seat(1) != Other(1)
    assert Seat(1) != (1, 1, False)


def test_frozen_and_without_room_for_more() -> None:
    seat = Seat(1)
    with pytest.raises(AttributeError, match="a Seat is frozen: its row"):
        seat.row = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="a Seat is frozen: its row"):
        del seat.row
    assert seat == Seat(1)
    assert not hasattr(seat, "__dict__")


def test_copies_and_pickles() -> None:
    for record in (Seat(1, reserved=True), Twice(4)):
        assert copy.copy(record) == copy.deepcopy(record) == pickle.loads(pickle.dumps(record)) == record


def test_replace_changes_what_it_is_told() -> None:
    assert replace(Seat(1, 2), reserved=True) == Seat(1, 2, True)
    with pytest.raises(TypeError):
        replace(Seat(1), chair=2)


def test_patterns_match_by_place() -> None:
    match Seat(7, 8):
        case Seat(row, number):
            assert (row, number) == (7, 8)
        case _:
            pytest.fail("no match")
