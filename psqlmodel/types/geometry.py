"""Geometric values and their types. All coordinates are floats; all values are frozen and hashable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from psqlmodel.errors import InvalidValueError
from psqlmodel.record import Record, fill
from psqlmodel.types.pgtype import PgType, pgtype, refuse

Corner: TypeAlias = "Point | tuple[float, float]"


def _coordinate(value: Any) -> float:
    if isinstance(value, bool) or not hasattr(type(value), "__float__"):
        raise refuse("a coordinate", value, "a float")
    return float(value)


def _point(value: Any) -> Point:
    if isinstance(value, Point):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return Point(*value)
    raise refuse("a corner or end", value, "a Point or a pair of floats")


class Point(Record):
    """A point of the plane: `Point(1.5, 2)`."""

    x: float
    y: float

    def __init__(self, x: float, y: float) -> None:
        fill(self, x=_coordinate(x), y=_coordinate(y))


class Line(Record):
    """An infinite line: all points with a·x + b·y + c = 0. `a` and `b` are not both 0."""

    a: float
    b: float
    c: float

    def __init__(self, a: float, b: float, c: float) -> None:
        fill(self, a=_coordinate(a), b=_coordinate(b), c=_coordinate(c))
        if self.a == 0 and self.b == 0:
            raise InvalidValueError("a Line with a = b = 0 is no line")


class LineSegment(Record):
    """The segment between two points."""

    start: Point
    end: Point

    def __init__(self, start: Corner, end: Corner) -> None:
        fill(self, start=_point(start), end=_point(end))


class Box(Record):
    """A rectangle given by two opposite corners; kept as upper right and lower left, as PostgreSQL does."""

    high: Point
    low: Point

    def __init__(self, high: Corner, low: Corner) -> None:
        one, two = _point(high), _point(low)
        fill(
            self,
            high=Point(max(one.x, two.x), max(one.y, two.y)),
            low=Point(min(one.x, two.x), min(one.y, two.y)),
        )


class Path(Record):
    """A path through points, closed or open: `Path([(0, 0), (1, 1)], closed=False)`."""

    points: tuple[Point, ...]
    closed: bool = True

    def __init__(self, points: Iterable[Corner], closed: bool = True) -> None:
        fill(self, points=_points("Path", points), closed=bool(closed))


class Polygon(Record):
    """A polygon by its corners: `Polygon([(0, 0), (1, 0), (1, 1)])`."""

    points: tuple[Point, ...]

    def __init__(self, points: Iterable[Corner]) -> None:
        fill(self, points=_points("Polygon", points))


class Circle(Record):
    """A circle: centre and radius, which is not negative."""

    center: Point
    radius: float

    def __init__(self, center: Corner, radius: float) -> None:
        fill(self, center=_point(center), radius=_coordinate(radius))
        if self.radius < 0:
            raise InvalidValueError("a Circle with a negative radius is no circle")


def _points(name: str, points: Iterable[Any]) -> tuple[Point, ...]:
    kept = tuple(map(_point, points))
    if not kept:
        raise InvalidValueError(f"a {name} needs at least one point")
    return kept


# --- text forms ---------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"[^\s,()\[\]{}<>]+")


def _number(value: float) -> str:
    return repr(value).replace("inf", "Infinity").replace("nan", "NaN")


def _pair(point: Point) -> str:
    return f"({_number(point.x)},{_number(point.y)})"


def _pairs(points: Iterable[Point]) -> str:
    return ",".join(map(_pair, points))


def _numbers(name: str, text: str, wanted: int | None = None) -> list[float]:
    try:
        numbers = list(map(float, _NUMBER.findall(text)))
    except ValueError:
        numbers = []
    fits = len(numbers) == wanted if wanted is not None else numbers and len(numbers) % 2 == 0
    if not fits:
        raise InvalidValueError(f"the text is no {name} literal")
    return numbers


def _read_points(name: str, text: str) -> list[Point]:
    numbers = iter(_numbers(name, text))
    return [Point(x, y) for x, y in zip(numbers, numbers, strict=True)]


def _read_point(text: str) -> Point:
    return Point(*_numbers("point", text, 2))


def _read_line(text: str) -> Line:
    return Line(*_numbers("line", text, 3))


def _read_segment(text: str) -> LineSegment:
    a, b, c, d = _numbers("lseg", text, 4)
    return LineSegment(Point(a, b), Point(c, d))


def _read_box(text: str) -> Box:
    a, b, c, d = _numbers("box", text, 4)
    return Box(Point(a, b), Point(c, d))


def _read_path(text: str) -> Path:
    return Path(_read_points("path", text), closed=not text.startswith("["))


def _read_polygon(text: str) -> Polygon:
    return Polygon(_read_points("polygon", text))


def _read_circle(text: str) -> Circle:
    x, y, radius = _numbers("circle", text, 3)
    return Circle(Point(x, y), radius)


def _geometric(
    name: str,
    python: type[Any],
    write: Callable[[Any], str],
    read: Callable[[str], Any],
    oid: int,
    array_oid: int,
    **options: Any,
) -> PgType[Any]:
    def dump(value: Any) -> Any:
        if isinstance(value, python):
            return write(value)
        if value is None:
            return None
        raise refuse(name, value, f"a {python.__name__}")

    return pgtype(name, python, dump, load=read, oid=oid, array_oid=array_oid, **options)


point = _geometric("point", Point, _pair, _read_point, 600, 1017)
line = _geometric(
    "line",
    Line,
    lambda value: f"{{{_number(value.a)},{_number(value.b)},{_number(value.c)}}}",
    _read_line,
    628,
    629,
)
lseg = _geometric("lseg", LineSegment, lambda value: f"[{_pairs((value.start, value.end))}]", _read_segment, 601, 1018)
box = _geometric("box", Box, lambda value: _pairs((value.high, value.low)), _read_box, 603, 1020, delimiter=";")
path = _geometric(
    "path",
    Path,
    lambda value: f"({_pairs(value.points)})" if value.closed else f"[{_pairs(value.points)}]",
    _read_path,
    602,
    1019,
)
polygon = _geometric("polygon", Polygon, lambda value: f"({_pairs(value.points)})", _read_polygon, 604, 1027)
circle = _geometric(
    "circle", Circle, lambda value: f"<{_pair(value.center)},{_number(value.radius)}>", _read_circle, 718, 719
)
