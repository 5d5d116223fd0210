"""SQL by hand with values in their places: `SQL("… {v} …", v=value)`, and t-strings (Python 3.14).

A value becomes a parameter, never text; an expression, a query or a model stands for its SQL. `.Into(User)` makes a
query of the builder that loads objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from psqlmodel.errors import QueryError
from psqlmodel.query import raw
from psqlmodel.query.expression import Expression, compose
from psqlmodel.query.lexing import first_word
from psqlmodel.query.nodes import ANY_TABLE, ATOM, DEFERRED, NO_SOURCES, Node, Source
from psqlmodel.query.select import SelectQuery
from psqlmodel.query.sources import Table
from psqlmodel.query.templates import is_template, parts_of

if TYPE_CHECKING:
    from psqlmodel.query.templates import Template

E = TypeVar("E")

_READING = ("SELECT", "VALUES", "TABLE", "WITH")


class RawSQL:
    """A statement by hand; made by `SQL(…)` or from a t-string. Sessions execute it like a query."""

    __slots__ = ("_written",)

    def __init__(self, parts: Iterable[str | Node]) -> None:
        self._written = compose(0, None, *_without_end(parts))
        if self._written.flags & DEFERRED:
            raise QueryError("an expression inside SQL has a value whose type only a query of the builder finds out")

    def Into(self, entity: type[E]) -> SelectQuery[E]:
        """Return a query that loads objects of a model from the rows, which have its columns by their names.

        `Include`, `Where` and the rest follow as for every query. Raises `QueryError` for a statement that changes
        rows: `Insert`, `Update` and `Delete` have `.Returning(Model)`.

            SQL("SELECT * FROM users WHERE name %% {like}", like="ada").Into(User).Include(User.orders)
        """
        text = self._text()
        if first_word(text) not in _READING:
            raise QueryError("Into takes what reads; Insert, Update and Delete load objects with .Returning(Model)")
        closing = "\n)" if "--" in text.rpartition("\n")[2] else ")"  # after a comment
        query: SelectQuery[E] = SelectQuery((_Rows(entity, self._written, closing),))
        return query

    def statement(self) -> tuple[str, list[Any]]:
        """Return the text with `$1 … $n`, and the wire values."""
        return self._text(), list(self._written.params)

    def _text(self) -> str:
        from psqlmodel.query.compiler import render

        return render(self._written.shape)

    def __repr__(self) -> str:
        return f"<SQL: {' '.join(self._text().split())}>"


class _Rows:
    """A model whose rows come from SQL by hand, under the name of its table."""

    def __init__(self, entity: Any, written: Expression[Any], closing: str) -> None:
        if not hasattr(entity, "__columns__") or isinstance(entity, Table):
            raise QueryError(f"Into takes a model class, not {entity!r}")
        original: Source = entity.__source__
        shape = ("(", ANY_TABLE, written.shape, f"{closing} AS {original.qualifier}")
        self.__entity__ = getattr(entity, "__entity__", entity)
        # Conditions name the columns of the model itself: they are known here.
        self.__source__ = Source(original.qualifier, shape, written.params)
        self.__source__.itself = frozenset((self.__source__, original))
        self.__columns__ = tuple(column.through(self.__source__) for column in entity.__columns__)

    def __repr__(self) -> str:
        return repr(self.__source__)


def SQL(text: str | Template, /, **values: Any) -> RawSQL:
    """Write a statement by hand; each `{name}` is the place of a value, `{{` and `}}` are braces.

    A value becomes a parameter. A column or another expression, a query, a model class (its table) stand for their SQL.
    A t-string (Python 3.14) has its values in it, and may have further t-strings in its places. Raises `QueryError`
    for names without a value and values without a place.

        session.exec(SQL("SELECT * FROM users WHERE age > {age}", age=18).Into(User))
        session.exec(SQL("SELECT count(*) FROM {table} WHERE {column} IS NULL", table=User, column=User.email))
    """
    if is_template(text):
        if values:
            raise QueryError("a t-string has its values inside; names with values belong to SQL as a str")
        return _from_template(text)
    if not isinstance(text, str):
        raise QueryError(f"expected SQL as a str or a t-string, not {type(text).__name__}")
    used: set[str] = set()
    made = RawSQL(list(_parts(text, values, used)))
    unused = [name for name in values if name not in used]
    if unused:
        raise QueryError(f"SQL has no place for {', '.join(unused)}: write {{{unused[0]}}} where it belongs")
    return made


def by_hand(query: Any) -> RawSQL | None:
    """Return the statement that `SQL(…)` made, or that a t-string is; None for anything else."""
    if isinstance(query, RawSQL):
        return query
    return _from_template(query) if is_template(query) else None


def _from_template(template: Any) -> RawSQL:
    return RawSQL([part if isinstance(part, str) else _node(part.value) for part in parts_of(template)])


def _without_end(parts: Iterable[str | Node]) -> list[str | Node]:
    """Return the parts without the semicolon at the end, after which nothing could follow."""
    found = list(parts)
    last = found[-1].rstrip() if found and isinstance(found[-1], str) else ""
    if last.endswith(";"):
        found[-1] = last.rstrip("; \n\t")
    return found


def _parts(text: str, values: dict[str, Any], used: set[str]) -> Iterator[str | Node]:
    position = 0
    while position < len(text):
        brace = min((at for at in (text.find("{", position), text.find("}", position)) if at >= 0), default=-1)
        if brace < 0:
            yield text[position:]
            return
        yield text[position:brace]
        if text[brace : brace + 2] in ("{{", "}}"):
            yield text[brace]
            position = brace + 2
            continue
        end = text.find("}", brace)
        name = text[brace + 1 : end]
        if text[brace] == "}" or end < 0 or not name.isidentifier():
            raise QueryError("a brace in SQL is doubled ({{ or }}), or holds the name of a value: {name}")
        if name not in values:
            raise QueryError(f"SQL has no value for {{{name}}}: pass {name}=…")
        used.add(name)
        yield _node(values[name])
        position = end + 1


def _node(value: Any) -> Node:
    source = getattr(value, "__source__", None)
    if isinstance(source, Source):
        if isinstance(getattr(type(value), "__source__", None), Source):
            raise QueryError(f"a {type(value).__name__} is a row, not a value: give one of its columns, or its class")
        return Expression(source.shape, source.params, NO_SOURCES, source.flags)
    written = by_hand(value)
    if written is not None:
        return written._written
    if isinstance(value, Node):
        shape = value.shape if value.level == ATOM else ("(", value.shape, ")")
        return Expression(shape, value.params, NO_SOURCES, value.flags)
    return Expression(None, (raw.dump(value),))
