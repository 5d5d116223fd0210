"""Arrays: their literals, which are also how psycopg2 sends a list, and the array types.

`array_literal` takes wire values and gives text; `parse_array` gives lists of what `load_element` makes of
the elements' text. Neither knows types: an array type puts them together with its element's conversions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, partial
from itertools import repeat
from types import NoneType
from typing import Any, TypeVar
from uuid import UUID

from psqlmodel.errors import InvalidValueError
from psqlmodel.later import pattern
from psqlmodel.types.pgtype import PgType, identity, pgtype, refuse

T = TypeVar("T")


class SemicolonList(list[Any]):
    """A list whose array literal separates with `;`, as arrays of box do: a box is written with commas."""

    __slots__ = ()
    delimiter = ";"


_NESTED = frozenset({list, tuple, SemicolonList})


def array_literal(values: Sequence[Any]) -> str:
    """Return the array literal of a list of wire values; lists in it are further dimensions.

    Raises `InvalidValueError` for a NUL character, which PostgreSQL can't store.

        array_literal([1, None, 2])  # '{1,NULL,2}'
    """
    delimiter: str = getattr(values, "delimiter", ",")
    kinds = set(map(type, values))
    if len(kinds) == 1 or (len(kinds) == 2 and NoneType in kinds):
        (kind,) = kinds - {NoneType} or kinds
        if kind in _OF_ONE_KIND:
            write, quote = _OF_ONE_KIND[kind]
            if len(kinds) == 1:
                return "{" + quote + f"{quote}{delimiter}{quote}".join(write(values)) + quote + "}"
            return "{" + delimiter.join(_with_nulls(values, write, quote)) + "}"
    if not _NESTED.isdisjoint(kinds):
        return _nested_literal(values, delimiter)
    return "{" + delimiter.join(map(_element_literal, values)) + "}"


def parse_array(text: str, load_element: Callable[[str], Any] | None = None, delimiter: str = ",") -> list[Any]:
    """Return the list that an array literal says, nested for several dimensions.

    Parameters: `load_element` makes a value of an element's text (None: the text itself); NULL is None
    without it. Raises `InvalidValueError` where `text` is no array literal.

        parse_array("{1,2,NULL}", int)  # [1, 2, None]
    """
    body = text
    if text[:1] == "[":  # explicit bounds: [0:2]={…}
        body = text[text.find("=") + 1 :]
    if body[:1] != "{" or body[-1:] != "}":
        raise _malformed()
    inner = body[1:-1]
    if not inner.strip(_SPACES):
        return []
    if '"' in inner or "{" in inner or "}" in inner or "\\" in inner:
        return _parse_tokens(body, load_element, delimiter)
    items = inner.split(delimiter)
    if load_element is None:
        return [None if item == "NULL" else item for item in items]
    if "NULL" in items:
        return [None if item == "NULL" else load_element(item) for item in items]
    return list(map(load_element, items))


def array(element: PgType[T] | type[PgType[T]]) -> PgType[list[T]]:
    """Return the type of arrays of `element`; there are no arrays of arrays, only more dimensions.

    tags: Column[list[str]] = Column(type=array(text))
    """
    if not isinstance(element, PgType):
        raise InvalidValueError(f"array() takes a type such as integer or text, not {element!r}")
    return _array_of(element)


@cache
def _array_of(element: PgType[Any]) -> PgType[Any]:
    if element.element is not None:
        return element  # integer[][] is integer[]
    if element.serial:
        raise InvalidValueError(f"there are no arrays of {element.name}: use integer or bigint")
    return _make(element)


def _make(element: PgType[Any]) -> PgType[Any]:
    name = f"{element.name}[]"
    make = SemicolonList if element.delimiter == ";" else list
    native = element.transport != "text" and element.carry is element.dump
    # Lists in an array are dimensions, except where the elements themselves may be lists (json, vector).
    spread = _flat if element.mutable else _spread
    dump_wires = element.dump_column if native else _each(element.dump)
    dump_texts = dump_wires if native else _each(element.dump_text)

    def dump_list(value: Any) -> Any:
        return None if value is None else make(spread(value, dump_wires, name))

    def dump_text(value: Any) -> Any:
        return None if value is None else array_literal(make(spread(value, dump_texts, name)))

    def load_text(text: str) -> list[Any]:
        return parse_array(text, element.load_text, element.delimiter)

    def load(wire: Any) -> Any:
        if isinstance(wire, str):
            return load_text(wire)
        return _loaded(wire, element.load) if element.load is not None else wire

    return pgtype(
        name,
        list,
        dump_list if element.array_oid else dump_text,
        load=None if element.array_oid and element.load is None else load,
        dump_text=dump_text,
        load_text=load_text,
        oid=element.array_oid,
        base=f"{element.base}[]",
        mutable=True,
        element=element,
        labels=element.labels,
        type_name=element.type_name,
        schema=element.schema,
        extension=element.extension,
    )


Dump = Callable[[list[Any]], list[Any]]


def _each(convert: Callable[[Any], Any]) -> Dump:
    def dump(values: list[Any]) -> list[Any]:
        return [None if value is None else convert(value) for value in values]

    return dump


def _flat(values: Any, dump: Dump, name: str) -> list[Any]:
    if not isinstance(values, list | tuple):
        raise refuse(name, values, "a list")
    return dump(list(values))


def _spread(values: Any, dump: Dump, name: str) -> list[Any]:
    flat = _flat(values, list, name)
    if _NESTED.isdisjoint(map(type, flat)):
        return dump(flat)
    rows = [_spread(value, dump, name) for value in _rectangular(flat)]
    return rows if rows[0] else []  # PostgreSQL has one empty array, without dimensions


def _rectangular(values: Sequence[Any]) -> Sequence[Any]:
    if not all(isinstance(value, list | tuple) for value in values):
        raise InvalidValueError("an array has lists and single values side by side: give all the same depth")
    if len(set(map(_lengths, values))) > 1:
        raise InvalidValueError("the lists in an array have different lengths: PostgreSQL's arrays are rectangular")
    return values


def _lengths(value: Any) -> tuple[int, ...]:
    lengths = []
    while isinstance(value, list | tuple):
        lengths.append(len(value))
        value = value[0] if value else None
    return tuple(lengths)


def _loaded(values: list[Any], load: Callable[[Any], Any]) -> list[Any]:
    return [
        None if value is None else _loaded(value, load) if isinstance(value, list) else load(value) for value in values
    ]


# --- writing ------------------------------------------------------------------------------------------------


def text_of(value: Any) -> str:
    """Return the text form of a wire value, as PostgreSQL reads it.

    The greatest and least `date` and `datetime` are the infinities.
    """
    kind = type(value)
    if kind is str:
        return str(value)
    write = _PLAIN.get(kind) or _QUOTED.get(kind)
    if write is None:
        if isinstance(value, UUID):
            return str(value)
        raise InvalidValueError(f"a {kind.__qualname__} is no wire value: dump it with its type first")
    return write(value)


def plain_texts(kinds: set[type]) -> Callable[[Sequence[Any]], Iterable[str]] | None:
    """Return what writes the texts of many wire values of one kind, without a call for each; None where there is none.

    `kinds` are the types of the values. No text has a quote, backslash, tab or end of line.
    """
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    return None if kind is str or kind not in _OF_ONE_KIND else _OF_ONE_KIND[kind][0]


def _bool_text(value: bool) -> str:
    return "t" if value else "f"


def _bytes_text(value: bytes) -> str:
    return "\\x" + value.hex()


def _date_text(value: date) -> str:
    if value == date.max:
        return "infinity"
    return "-infinity" if value == date.min else value.isoformat()


def _datetime_text(value: datetime) -> str:
    bare = value.replace(tzinfo=None)
    if bare == datetime.max:  # noqa: DTZ901  # naive on purpose: the infinities have no zone
        return "infinity"
    return "-infinity" if bare == datetime.min else value.isoformat(" ")  # noqa: DTZ901


def _interval_text(value: timedelta) -> str:
    return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"


# Types whose text needs no quotes in an array literal, and those whose text does.
_PLAIN: dict[type, Callable[[Any], str]] = {
    int: int.__repr__,
    float: float.__repr__,
    Decimal: Decimal.__str__,
    bool: _bool_text,
    date: _date_text,
    UUID: UUID.__str__,
    time: time.isoformat,
}
_QUOTED: dict[type, Callable[[Any], str]] = {
    bytes: _bytes_text,
    datetime: _datetime_text,
    timedelta: _interval_text,
}


def _escaped_all(values: Sequence[str]) -> Sequence[str]:
    joined = "".join(values)
    if "\0" in joined:
        raise _nul()
    return [_escaped(value) for value in values] if "\\" in joined or '"' in joined else values


def _datetime_texts(values: Sequence[datetime]) -> Iterable[str]:
    texts = list(map(datetime.isoformat, values, repeat(" ")))  # __str__ takes an eighth longer
    joined = "".join(texts)
    if "9999-12-31" in joined or "0001-01-01" in joined:  # may be an infinity
        return map(_datetime_text, values)
    return texts


# The texts of many values of one type, and what quotes them: nothing in Python is called for each, which takes a third
# of the time for moments, a half for texts beside NULLs.
_OF_ONE_KIND: dict[type, tuple[Callable[[Sequence[Any]], Iterable[str]], str]] = {
    **{kind: (partial(map, write), "") for kind, write in _PLAIN.items()},
    bool: (partial(map, {True: "t", False: "f"}.__getitem__), ""),
    datetime: (_datetime_texts, '"'),
    str: (_escaped_all, '"'),
}


def _with_nulls(values: Sequence[Any], write: Callable[[Sequence[Any]], Iterable[str]], quote: str) -> list[str]:
    texts = iter(write([value for value in values if value is not None]))
    return ["NULL" if value is None else f"{quote}{next(texts)}{quote}" for value in values]


def _nested_literal(values: Sequence[Any], delimiter: str) -> str:
    rows = _rectangular(values)
    parts = [array_literal(SemicolonList(row) if delimiter == ";" else row) for row in rows]
    if "{}" in parts:
        return "{}"  # PostgreSQL has one empty array, without dimensions
    return "{" + delimiter.join(parts) + "}"


def _element_literal(value: Any) -> str:
    kind = type(value)
    if kind is NoneType:
        return "NULL"
    if kind in _PLAIN:
        return _PLAIN[kind](value)
    text = text_of(value)
    if "\0" in text:
        raise _nul()
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _nul() -> InvalidValueError:
    return InvalidValueError("a text in an array contains a NUL character, which PostgreSQL can't store")


# --- reading ------------------------------------------------------------------------------------------------

_SPACES = " \t\n\r\v\f"  # to PostgreSQL; Python knows more, which are part of a text without quotes
_TOKENS = {
    delimiter: pattern(
        r'[ \t\n\r\v\f]*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([{}' + delimiter + r'])|((?:[^{}"\\' + delimiter + r"]|\\.)+))",
        re.DOTALL,
    )
    for delimiter in ",;"
}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def _parse_tokens(body: str, load_element: Callable[[str], Any] | None, delimiter: str) -> list[Any]:
    load = load_element or identity
    result: list[Any] = []
    stack: list[list[Any]] = []
    current = result
    position, end = 0, len(body)
    match_token = _TOKENS[delimiter].match
    while position < end:
        token = match_token(body, position)
        if token is None:
            raise _malformed()
        position = token.end()
        quoted, mark, bare = token.groups()
        if quoted is not None:
            current.append(load(_ESCAPE.sub(r"\1", quoted) if "\\" in quoted else quoted))
        elif bare is not None:
            bare = bare.rstrip(_SPACES)
            current.append(None if bare.upper() == "NULL" else load(_ESCAPE.sub(r"\1", bare)))
        elif mark == "{":
            stack.append(current)
            inner: list[Any] = []
            current.append(inner)
            current = inner
        elif mark == "}":
            if not stack:
                raise _malformed()
            current = stack.pop()
    if stack or len(result) != 1:
        raise _malformed()
    top: list[Any] = result[0]
    return top


def _malformed() -> InvalidValueError:
    return InvalidValueError("the text is no array literal: it must look like {1,2,3}")
