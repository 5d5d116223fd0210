"""Elements of arrays and JSON documents: `User.tags[1]`, `User.data["a"]["b"].text()`."""

from __future__ import annotations

from typing import Any

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import ADD, ATOM, OTHER, Expression, compose, literal, paren
from psqlmodel.query.nodes import NO_SOURCES, Node
from psqlmodel.types.scalars import text


class JsonItem(Expression[Any]):
    """A member of a JSON document; it remembers its way, so that `.text()` can read the last step as text."""

    __slots__ = ("container", "step")

    container: Expression[Any]
    step: Node


def item(expression: Expression[Any], key: Any) -> Expression[Any]:
    """Return the element or member `key` of an array, JSON document or hstore."""
    type_ = expression.type
    if type_ is None:
        raise QueryError(f"the type of {expression!r} is not known: cast it before you take an element")
    if type_.element is not None:
        return _element(expression, key)
    if type_.name not in ("json", "jsonb", "hstore"):
        raise QueryError(f"{expression!r} is {type_.name}: only arrays, JSON and hstore have elements")
    return _member(expression, key)


def json_text(expression: Expression[Any]) -> Expression[str]:
    """Return a JSON value as text."""
    if isinstance(expression, JsonItem):
        return compose(OTHER, text, paren(expression.container, OTHER), " ->> ", expression.step)
    if expression.type is None or expression.type.name not in ("json", "jsonb"):
        raise QueryError(f"{expression!r} is no JSON value: cast it to text with .Cast(types.text)")
    return compose(OTHER, text, paren(expression, OTHER), " #>> '{}'")


def _member(expression: Expression[Any], key: Any) -> Expression[Any]:
    if not isinstance(key, str | int | Expression) or isinstance(key, bool):
        raise QueryError(f"{expression!r}[…] takes a key (str) or an index (int), not {type(key).__name__}")
    step = paren(literal(key), ADD)
    made = compose(OTHER, None, paren(expression, OTHER), " -> ", step)
    if expression.type is not None and expression.type.name == "hstore":
        made.type = text
        return made
    member = JsonItem(made.shape, made.params, made.sources, made.flags, OTHER, expression.type)
    member.container = expression
    member.step = step
    return member


def _element(expression: Expression[Any], key: Any) -> Expression[Any]:
    type_ = expression.type
    assert type_ is not None
    base = paren(expression, ATOM)
    if isinstance(key, slice):
        if key.step is not None:
            raise QueryError("a slice of an array has no step")
        return compose(ATOM, type_, base, "[", _bound(key.start), ":", _bound(key.stop), "]")
    return compose(ATOM, type_.element, base, "[", _index(key), "]")


def _bound(index: Any) -> Node:
    return Expression("", (), NO_SOURCES) if index is None else _index(index)


def _index(index: Any) -> Node:
    if isinstance(index, Expression):
        return index
    if not isinstance(index, int) or isinstance(index, bool):
        raise QueryError(f"an array is indexed by whole numbers, not {type(index).__name__}")
    if index < 1:
        raise QueryError("PostgreSQL counts the elements of an array from 1, and not from the end")
    return literal(index)
