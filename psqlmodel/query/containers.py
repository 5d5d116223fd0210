"""What the operators of containers and texts build where it is more than one sign between two operands.

Elements of arrays and JSON documents (`User.tags[1]`, `User.data["a"]["b"].text()`), and tests with a text
that is itself an expression.
"""

from __future__ import annotations

from typing import Any

from psqlmodel.errors import QueryError
from psqlmodel.query.expression import (
    Condition,
    Expression,
    beside,
    compose,
    literal,
    operand,
    paren,
    text_operand,
    typed,
)
from psqlmodel.query.nodes import ADD, ATOM, COMPARISON, NO_SOURCES, OTHER, Node
from psqlmodel.types.scalars import text


class JsonItem(Expression[Any]):
    """A member of a JSON document; it remembers its way, so that `.text()` can read the last step as text."""

    __slots__ = ("container", "step")

    container: Expression[Any]
    step: Node


def item(expression: Any, key: Any) -> Expression[Any]:
    """Return the element or member `key` of an array, JSON document or hstore."""
    type_ = expression.type
    if type_ is None:
        raise QueryError(f"the type of {expression!r} is not known: cast it before you take an element")
    if type_.element is not None:
        return _element(expression, key)
    if type_.name not in ("json", "jsonb", "hstore"):
        raise QueryError(f"{expression!r} is {type_.name}: only arrays, JSON and hstore have elements")
    return _member(expression, key)


def json_text(expression: Any) -> Expression[str]:
    """Return a JSON value as text."""
    if isinstance(expression, JsonItem):
        return compose(OTHER, text, paren(expression.container, OTHER), " ->> ", expression.step)
    if expression.type is None or expression.type.name not in ("json", "jsonb"):
        raise QueryError(f"{expression!r} is no JSON value: cast it to text with .Cast(types.text)")
    return compose(OTHER, text, paren(expression, OTHER), " #>> '{}'")


def has(expression: Any, value: Any) -> Condition:
    """Test whether an array has an element."""
    element = expression.type.element if expression.type is not None else None
    item = typed(value, element) if element is not None else operand(value)
    return compose(COMPARISON, None, paren(item, OTHER), " = ANY(", expression, ")")


def contained(expression: Any, value: Any) -> Node:
    """Return what `@>` compares with: a range contains elements too, and they bring their own type."""
    type_ = expression.type
    if isinstance(value, Node) or type_ is None or "range" not in type_.name:
        return operand(value) if type_ is None else beside(expression, value)
    return beside(expression, value) if isinstance(value, type_.python) else literal(value)


def text_array(texts: Any) -> Expression[Any]:
    """Return several texts as one array parameter."""
    items = [texts] if isinstance(texts, str) else list(texts)
    if not all(isinstance(item, str) for item in items):
        raise QueryError("keys are texts: .HasAnyKey(['a', 'b'])")
    return Expression((None, "::text[]"), (text.array().dump(items),))


def starts_with(expression: Any, text: Any) -> Condition:
    """Test whether a text begins with another expression's."""
    return compose(ATOM, None, "starts_with(", expression, ", ", text_operand(text), ")")


def ends_with(expression: Any, text: Any) -> Condition:
    """Test whether a text ends with another expression's."""
    end = text_operand(text)
    return compose(COMPARISON, None, "right(", expression, ", length(", end, ")) = ", paren(end, OTHER))


def text_contains(expression: Any, text: Any) -> Condition:
    """Test whether a text contains another expression's."""
    return compose(COMPARISON, None, "strpos(", expression, ", ", text_operand(text), ") > 0")


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
